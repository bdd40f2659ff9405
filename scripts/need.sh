# shellcheck shell=bash
# Sourced by ./demo and ./check: what they need, installed or named.

# need COMMAND=PACKAGE ...   each command, and the Debian package that has it
need() {
    local pair packages=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
    done
    need_packages "${packages[@]}"
}

# need_packages PACKAGE ...   Debian packages that are known to be missing
need_packages() {
    local as_root=()
    [ $# -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "Missing, and there is no apt-get here; install what Debian calls: $*" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "Missing: $*. Install it, then run this again:" >&2
            echo "    sudo apt-get install -y --no-install-recommends $*" >&2
            exit 1
        fi
        as_root=(sudo -n)
    fi
    echo "Installing $*"
    # A fresh image has no package lists; old ones may still do if this fails.
    "${as_root[@]}" apt-get -qq update || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

need_go() {
    PATH=$PATH:/usr/local/go/bin
    command -v go >/dev/null && return
    echo "Go is missing: install it from https://go.dev/doc/install, then run this again." >&2
    exit 1
}
