#!/bin/bash
# The built library shows what the headers declare and nothing else, and starts
# nothing when it is loaded.
#
#     tests/exports.sh [BUILD_DIR]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build}
lib=$build/libmsprecord.so
map=$root/capi/exports.map
cc=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

fail() {
    echo "exports.sh: $*" >&2
    exit 1
}

# The list, the headers (gcc tells what it saw declared, and where) and the
# library, as three sorted files of names.
sed -n 's/^ *\([a-z_0-9]*\);.*/\1/p' "$map" | sort >"$work/listed"
for header in "$root"/include/msp/*.h; do
    $cc -I"$root/include" -fsyntax-only -aux-info "$work/aux" -x c "$header"
    sed -n 's|^/\* [^ ]*/include/msp/[^ ]* \*/ extern [^(]*[ *]\([a-z_0-9]*\) (.*|\1|p' "$work/aux"
done | sort -u >"$work/declared"
nm -D --defined-only "$lib" | awk '$2 != "A" { print $3 }' | sort >"$work/shown"

diff "$work/declared" "$work/listed" >&2 ||
    fail "< is declared in include/msp but not in capi/exports.map, > the other way round"
sed 's/$/@@MSPRECORD_1.0/' "$work/listed" | diff - "$work/shown" >&2 ||
    fail "< is in capi/exports.map but not in the library, > the other way round"

# A function that does not start Go first hangs: each is tried in a process of its own.
grep '^record_' "$work/listed" | while read -r name; do
    grep -q "{\"$name\", first_$name}" "$root/tests/c/test_host.c" ||
        fail "tests/c/test_host.c does not try $name as the first call of a process"
done

soname=$(readelf -d "$lib" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ "$soname" = libmsprecord.so.1 ] || fail "the soname is $soname"

# Go's own start is an entry in DT_INIT_ARRAY. A library of one C function has
# what the compiler adds, and so must ours. (The atomic is for arm64, where
# libgcc adds an entry that asks which atomics the processor has.)
init_array_size() {
    readelf -d "$1" | awk '/INIT_ARRAYSZ/ { print $3 }'
}
echo 'int f(int *p) { return __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST); }' >"$work/f.c"
$cc -shared -fPIC "$work/f.c" -o "$work/f.so"
plain=$(init_array_size "$work/f.so") ours=$(init_array_size "$lib")
[ "$plain" = "$ours" ] ||
    fail "DT_INIT_ARRAYSZ is $ours, a plain library's is $plain: Go would start at load (capi/extld.sh)"

echo "$(wc -l <"$work/shown") names, soname $soname, nothing starts at load"
