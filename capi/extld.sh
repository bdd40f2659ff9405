#!/bin/sh
# Stands between Go's linker and the C compiler (or ar), so that the Go runtime
# starts at the first record_* call and not when the library is loaded:
#
#     go build -buildmode=c-shared  -ldflags "-extld=$PWD/capi/extld.sh" ...
#     go build -buildmode=c-archive -ldflags "-extar=$PWD/capi/extld.sh" ...
#
# Why: a runtime that runs since load is dead in every child of fork() or
# daemon(), costs memory and threads in programs that never record, and takes
# its signal mask and environment before main() had a word. capi/start.c calls
# the runtime's entry itself instead.
#
# Takes CC, AR and OBJCOPY from the environment. For a cross build all three
# must be the target's (CC=riscv64-linux-gnu-gcc OBJCOPY=riscv64-linux-gnu-objcopy).
set -eu

for arg in "$@"; do
    # Go hands over its own code as one object of this name, in a folder that it
    # removes afterwards. The other objects are C: their constructors stay.
    case $arg in
    */go.o) ;;
    *) continue ;;
    esac

    # Removed, not renamed: gold takes a renamed section for init code all the
    # same, and then the runtime starts twice. .rel is ARM's relocation section,
    # .rela everybody else's. The entry is a local symbol, out of start.c's reach
    # until it is made global; exports.map hides it again from the world.
    "${OBJCOPY:-objcopy}" \
        --remove-section .init_array \
        --remove-section .rela.init_array \
        --remove-section .rel.init_array \
        --wildcard --globalize-symbol '_rt0_*_linux_lib' \
        --globalize-symbol runtime.sigtable \
        "$arg"
done

# Go calls its archiver as "ar -q -c -s OUT OBJECTS" and no compiler with -q.
# Neither is quoted: CC may be two words, such as "ccache gcc" or "gcc -m32".
if [ "${1-}" = -q ]; then
    # shellcheck disable=SC2086
    exec ${AR:-ar} "$@"
fi
# shellcheck disable=SC2086
exec ${CC:-gcc} "$@"
