#!/bin/bash
# The README tells the truth: its program is examples/c/hello_record.c, its
# commands (the blocks marked sh) work in a fresh copy of the tree, and the
# errors that it explains are ones that the library can give.
#
#     tests/readme.sh
#
# shellcheck disable=SC2016 # backquotes are Markdown
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

fail() {
    echo "readme.sh: $*" >&2
    exit 1
}

# blocks LANGUAGE   the lines between the fences of that language
blocks() {
    awk -v fence="\`\`\`$1" '/^```/ { inside = ($0 == fence); next } inside' "$root/README.md"
}

blocks c | diff - "$root/examples/c/hello_record.c" ||
    fail "the program (<) is not examples/c/hello_record.c (>)"

# A row's first cell is a sentence; … stands for what differs from case to case.
awk '/^\| it says/ { inside = 1; getline; next } /^$/ { inside = 0 } inside' "$root/README.md" |
    sed -n 's/^| `\([^`]*\)`.*/\1/p' | sed 's/…/\n/g' | sed 's/^[ ,]*//; s/[ ,]*$//; /^$/d' >"$work/sentences"
[ "$(wc -l <"$work/sentences")" -gt 5 ] || fail "the table of errors is not found"
while read -r words; do
    grep -rqF --include='*.go' --include='*.c' -e "$words" "$root/internal" "$root/capi" ||
        fail "no error says \"$words\""
done <"$work/sentences"

# The commands, in a copy and for a home of its own. ./demo and ./check are
# steps of ./check already.
mkdir "$work/tree" "$work/home"
tar -C "$root" --exclude=./build --exclude=./recordings --exclude=node_modules --exclude=./.git -c . | tar -C "$work/tree" -x
GOCACHE=$(go env GOCACHE) GOMODCACHE=$(go env GOMODCACHE) GOFLAGS=$(go env GOFLAGS)
export GOCACHE GOMODCACHE GOFLAGS
blocks sh | grep -v -e '^\./demo' -e '^\./check' >"$work/commands"
(cd "$work/tree" && HOME=$work/home bash -euxo pipefail "$work/commands") >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    fail "a command failed: the last one after + above"
}

# What they built works.
cd "$work/tree"
build/record-server -addr 127.0.0.1:0 -dir "$work/recordings" >"$work/log" 2>&1 &
server=$!
for _ in {1..100}; do
    url=$(sed -n 's/^listening on \(ws:[^ ]*\).*/\1/p' "$work/log")
    [ -z "$url" ] || break
    sleep 0.05
done
for program in ./hello_record build/hello_record build-examples/hello_record; do
    rm -f "$work/recordings/tone.wav"
    "$program" "${url}tone.wav" || fail "$program failed"
    for _ in {1..100}; do
        [ "$(stat -c %s "$work/recordings/tone.wav" 2>/dev/null)" = $((80 + 3 * 16000 * 2)) ] && continue 2
        sleep 0.05
    done
    fail "$program: tone.wav is not three seconds long"
done
