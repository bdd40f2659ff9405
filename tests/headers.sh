#!/bin/bash
# The public headers keep their promises to a C programmer:
#   1. each compiles alone, twice in a row, as C99 and as C++11, without a warning;
#   2. each function's comment tells Ownership, Threads and Returns.
#
#     tests/headers.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cc=${CC:-gcc} cxx=${CXX:-g++}
failed=0

for header in $(cd include && find . -name '*.h' | sed 's|^\./||' | sort); do
    for compiler in "$cc -std=c99 -x c" "$cxx -std=c++11 -x c++"; do
        # shellcheck disable=SC2086 # several words each
        if ! printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "$header" "$header" |
            $compiler -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude -; then
            echo "include/$header does not compile alone with $compiler" >&2
            failed=1
        fi
    done
done

# A prototype starts in column 0 and is preceded by its comment, or by another
# prototype that shares it. Typedefs, macros and inline bodies are not meant.
for header in include/msp/*.h; do
    awk -v file="$header" '
        /^\/\*/                { comment = ""; in_comment = 1; fresh = 1 }
        in_comment             { comment = comment $0 "\n"; if (/\*\//) in_comment = 0; next }
        /^$/                   { fresh = 0; next }
        /^(typedef|static|extern|struct|enum|#|[ }])/ { next }
        /^[a-z].*[ *][a-z_0-9]+\(/ {
            name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
            if (name == "__attribute__") next
            missing = ""
            if (!fresh || comment !~ /Ownership:/) missing = missing " Ownership"
            if (!fresh || comment !~ /Threads:/)   missing = missing " Threads"
            if (!fresh || comment !~ /Returns:/)   missing = missing " Returns"
            if (missing != "") { print file ":" NR ": " name " does not tell:" missing; bad = 1 }
            count++
        }
        END { if (count == 0) { print file ": no prototype found"; bad = 1 } exit bad }
    ' "$header" >&2 || failed=1
done
exit $failed
