#!/bin/bash
# Measures what the library costs, and prints the table that the README has.
#
#     tests/cost.sh [BUILD_DIR]
#
# shellcheck disable=SC2016 # the titles are Markdown
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "${1:-$root/build}")
work=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

${CC:-gcc} -O2 -I"$root/include" "$root/tests/cost/cost.c" -L"$build" -lmsprecord -Wl,-rpath,"$build" -o "$work/cost"
"$build/record-server" -addr 127.0.0.1:0 -dir "$work" >"$work/log" 2>&1 &
server=$!
for _ in {1..100}; do
    url=$(sed -n 's/^listening on \(ws:[^ ]*\).*/\1/p' "$work/log")
    [ -z "$url" ] || break
    sleep 0.05
done

# row TITLE ARGUMENTS...   of five runs, the one with the least beside it
row() {
    local title=$1 threads resident remark
    shift
    for _ in 1 2 3 4 5; do "$work/cost" "$@"; done | sort -t'|' -k3,3g >"$work/runs"
    IFS='|' read -r threads resident remark <"$work/runs"
    printf '| %s | %s | %s | %s |\n' "$title" "$threads" \
        "$(awk -v kib="$resident" 'BEGIN { printf "%.1f MB", kib * 1024 / 1e6 }')" "${remark:-–}"
}

size() {
    awk -v bytes="$1" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'
}

echo '| a program that | threads | resident | besides |'
echo '| --- | --- | --- | --- |'
row 'links the library and never calls it' unused
row 'has made its first `record_*` call' first
row 'streams three rings to a server, 80 ms a piece' streams "$url"
row 'has 100 idle ring sessions' idle 100
row 'has 100 sessions blocked in `data_ready`' blocked 100
echo
echo "The library is $(size "$(stat -Lc %s "$build/libmsprecord.so")") ($(size "$(xz -c "$build/libmsprecord.so" | wc -c)") with xz)."
