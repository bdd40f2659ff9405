#!/bin/bash
# Examples work as they are copied, against the installed library:
#   1. each example in a header's comment, and the README's program, as C99 and
#      as C++11, without a warning, up to their end with status 0;
#   2. the README's CMakeLists.txt;
#   3. the commands at the top of examples/c that build each program.
#
# An example in a header is indented by four spaces behind " * ", and is a whole
# program that begins with #include. An indented block that begins otherwise is
# what the program before it prints to standard error, its numbers aside. The
# only thing that is changed is the server's address, 127.0.0.1:9090: it becomes
# that of a record-server which this script starts.
#
#     tests/examples.sh [BUILD_DIR]
#
# shellcheck disable=SC2016 # backquotes are Markdown
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "${1:-$root/build}")
cc=${CC:-gcc} cxx=${CXX:-g++}
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

fail() {
    echo "examples.sh: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/prefix" >/dev/null
prefix=$work/prefix
libdir=$(dirname "$(find "$prefix" -name libmsprecord.so)")

: >"$work/server.log"
"$build/record-server" -addr 127.0.0.1:0 -dir "$work/recordings" >"$work/server.log" 2>&1 &
server=$!
address=
for _ in {1..200}; do
    address=$(sed -n 's|^listening on ws://\([^/ ]*\)/.*|\1|p' "$work/server.log")
    [ -z "$address" ] || break
    sleep 0.05
done
[ -n "$address" ] || fail "record-server does not listen: $(cat "$work/server.log")"

# stored NAME   waits until the receiver has something under that name
stored() {
    for _ in {1..200}; do
        [ ! -s "$work/recordings/$1" ] || return 0
        sleep 0.05
    done
    fail "$1 was not stored"
}

# run PROGRAM WHAT   runs it to its end; $work/said has what it says
run() {
    rm -rf "$work/recordings"/*.wav
    timeout 60 "$1" >"$work/said" 2>&1 || fail "$2 ends with status $?: $(cat "$work/said")"
    [ "$(grep -c 'ws://' "$1.c")" = 0 ] || stored "$(sed -n 's|.*"ws://[^/]*/\([^"]*\)".*|\1|p' "$1.c")"
}

# try SOURCE WHAT   compiles and runs a program in both languages
try() {
    local language program=${1%.c}
    sed -i "s/127\.0\.0\.1:9090/$address/g" "$1"
    for language in "$cc -std=c99 -x c" "$cxx -std=c++11 -x c++"; do
        # shellcheck disable=SC2086 # several words each
        $language -Wall -Wextra -Werror -I"$prefix/include" "$1" -x none -o "$program" \
            -L"$libdir" -lmsprecord -lm -Wl,-rpath,"$libdir" || fail "$2 does not compile with $language"
        run "$program" "$2"
    done
}

# Each block of a header in a file of its own: 1.c for a program, 1.said for
# what it says.
mkdir "$work/examples"
count=0
for header in $(cd "$root/include" && find . -name '*.h' | sed 's|^\./||' | sort); do
    dir=$work/examples/$(tr / - <<<"$header")
    mkdir "$dir"
    awk -v dir="$dir" '
        /^ \*     [^ ]/ && !inside { inside = 1; if (/^ \*     #include/) file = dir "/" ++n ".c"; else file = dir "/" n + 0 ".said" }
        inside && /^ \*     |^ \*$/ { sub(/^ \*(     )?/, ""); print > file; next }
        { inside = 0 }
    ' "$root/include/$header"
    [ ! -e "$dir/0.said" ] || fail "$header has a block that is no whole program: $(head -n 1 "$dir/0.said")"
    for source in "$dir"/*.c; do
        [ -e "$source" ] || continue
        count=$((count + 1))
        echo "$header"
        try "$source" "the example in $header"
        [ -e "${source%.c}.said" ] || continue
        # The numbers of both, and blank lines, do not count.
        diff <(sed '/^$/d; s/[0-9]\+/0/g' "${source%.c}.said") <(sed 's/[0-9]\+/0/g' "$work/said") ||
            fail "the example in $header says something else (>) than it is said to (<)"
    done
done
[ $count -ge 3 ] || fail "$count examples were found in the headers"

# Other kinds of blocks in the README would be run by nobody: tests/readme.sh
# has those marked sh; console is a look at a terminal.
awk '/^```/ { inside = !inside; if (inside) print }' "$root/README.md" | sort -u >"$work/kinds"
if grep -v -x -e '```c' -e '```cmake' -e '```sh' -e '```console' "$work/kinds"; then
    fail "the README has blocks of the kind above, which nothing checks"
fi
blocks() {
    awk -v fence="\`\`\`$1" '/^```/ { inside = ($0 == fence); next } inside' "$root/README.md"
}
echo "README, C"
blocks c >"$work/examples/readme.c"
try "$work/examples/readme.c" "the program in the README"

echo "README, CMake"
mkdir "$work/project"
blocks cmake >"$work/project/CMakeLists.txt"
cp "$work/examples/readme.c" "$work/project/hello_record.c"
if ! { cmake -S "$work/project" -B "$work/project/build" -DCMAKE_PREFIX_PATH="$prefix" &&
    cmake --build "$work/project/build"; } >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "the README's CMakeLists.txt does not build"
fi
cp "$work/project/hello_record.c" "$work/project/build"
run "$work/project/build/hello_record" "the README's CMake project"

echo "examples/c"
cp -r "$root/examples/c" "$work/c"
export CPATH=$prefix/include LIBRARY_PATH=$libdir PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
cd "$work/c"
for source in *.c; do
    command=$(sed -n 's/^ \*.*\(\bcc .*-lmsprecord.*\|\bcc .*pkg-config.*\)$/\1/p' "$source")
    [ -n "$command" ] || fail "examples/c/$source does not say how to build it"
    echo "$command"
    bash -euo pipefail -c "$command" || fail "examples/c/$source: $command"
    [ -x "${source%.c}" ] || fail "examples/c/$source: $command makes no ${source%.c}"
done
