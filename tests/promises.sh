#!/bin/bash
# Each command that docs/reliability.md names runs some test: the patterns of
# "go test -run" match in each package they name, and the programs and the tests
# of build/ are there.
#
#     tests/promises.sh
#
# shellcheck disable=SC2016 # backquotes are Markdown
set -euo pipefail
cd "$(dirname "$0")/.."
commands=$(grep -o '`[^`]*`' docs/reliability.md | tr -d '`' | sed 's/\\|/|/g' | sort -u)
failed=0
seen=0

fail() {
    echo "promises.sh: $*" >&2
    failed=1
}

while read -r command; do
    case $command in
    'go test '*)
        seen=$((seen + 1))
        eval "set -- $command"
        pattern=. packages=()
        for ((i = 3; i <= $#; i++)); do
            case ${!i} in
            -run)
                i=$((i + 1))
                pattern=${!i}
                ;;
            ./*) packages+=("${!i}") ;;
            esac
        done
        for package in "${packages[@]}"; do
            grep -hoE '^func Test[A-Za-z0-9_]*' "$package"/*_test.go | grep -qE "$pattern" ||
                fail "$package has no test like $pattern: $command"
        done
        ;;
    build/test_*)
        seen=$((seen + 1))
        read -r program name <<<"$command"
        source=tests/c/${program#build/}.c
        [ -f "$source" ] || fail "$source is not there: $command"
        [ -z "$name" ] || grep -q "\b$name\b" "$source" || fail "$source has no $name"
        ;;
    esac
done <<<"$commands"
[ $seen -gt 20 ] || fail "the commands are not found"
exit $failed
