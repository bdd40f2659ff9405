#!/bin/bash
# The installed library can be used from outside the tree: by CMake, by
# pkg-config and by hand, in C and in C++, and after the tree was moved; and the
# licences of everything that is linked into it lie beside it.
#
#     tests/install.sh [BUILD_DIR]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "${1:-$root/build}")
cc=${CC:-gcc} cxx=${CXX:-g++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# Installed in one place, used from another.
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
prefix=$work/prefix
libdir=$(dirname "$(find "$prefix" -name libmsprecord.so)")
version=$(sed -n 's/^#define MSP_RECORD_VERSION "\(.*\)"/\1/p' "$root/capi/record.c")
[ -n "$version" ] || fail "capi/record.c has no version"
[ "$(readlink "$libdir/libmsprecord.so")" = "libmsprecord.so.$version" ] || fail "libmsprecord.so is not a link to the library"
if grep -rIl -e "$work" -e "$root" "$prefix"; then
    fail "the files above name the build's own folders"
fi

# What each linked module is under, word for word: Go itself and the modules.
licences=$prefix/share/doc/msprecord/licenses
cmp "$root/LICENSE" "$prefix/share/doc/msprecord/LICENSE"
cd "$root"
expected=go.txt
while read -r module dir; do
    file=$(tr / - <<<"$module").txt
    expected+=" $file"
    cmp "$dir/LICENSE" "$licences/$file" || fail "licenses/$file is not the text in $module"
done < <(go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./capi/libmsprecord | sort -u)
# Some distributions keep Go's licence elsewhere.
goroot=$(go env GOROOT)
[ ! -e "$goroot/LICENSE" ] || cmp "$goroot/LICENSE" "$licences/go.txt"
diff <(tr ' ' '\n' <<<"$expected" | sort) <(find "$licences" -type f -printf '%f\n' | sort) ||
    fail "< must have a licence text, > has one"

cp "$root"/tests/install/* "$work"
cd "$work"
try() {
    local program=$1
    shift
    rm -f "$work/out"
    env "$@" "$program" "$work/out" "$version" || fail "$program failed"
}

echo "find_package"
cmake -S . -B cmake -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build cmake >cmake.log || { cat cmake.log >&2; exit 1; }
for program in cmake/in_*; do
    try "$program"
done
cmake -S "$root/examples/c" -B examples -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build examples >cmake.log || { cat cmake.log >&2; exit 1; }
[ -x examples/wsrec ] || fail "examples/c does not build by itself"

echo "pkg-config"
export PKG_CONFIG_PATH=$libdir/pkgconfig
[ "$(pkg-config --modversion msprecord)" = "$version" ] || fail "msprecord.pc has another version"
# shellcheck disable=SC2046 # several words each
{
    $cc consumer.c -o pc_c $(pkg-config --cflags --libs msprecord)
    $cxx -std=c++11 consumer.cpp -o pc_cxx $(pkg-config --cflags --libs msprecord)
}
try ./pc_c "LD_LIBRARY_PATH=$libdir"
try ./pc_cxx "LD_LIBRARY_PATH=$libdir"

echo "plain gcc"
$cc -I"$prefix/include" consumer.c -L"$libdir" -lmsprecord -Wl,-rpath,"$libdir" -o plain_c
$cxx -std=c++11 -I"$prefix/include" consumer.cpp -L"$libdir" -lmsprecord -Wl,-rpath,"$libdir" -o plain_cxx
try ./plain_c
try ./plain_cxx
if [ -e "$libdir/libmsprecord.a" ]; then
    $cc -I"$prefix/include" consumer.c "$libdir/libmsprecord.a" -pthread -o archive_c
    try ./archive_c
fi
