#!/usr/bin/env bash
# Installs what `make demo` (install-deps.sh demo) or `make test` (install-deps.sh test) needs and
# this machine lacks: as root on Debian or Ubuntu with apt-get. Anybody else is told the one line
# that does it, with status 1. Does nothing, quickly, where all is there. The Rust toolchain is
# assumed.
set -eu

case "${1:-test}" in
    demo) needs="cc:gcc make:make ip:iproute2 unshare:util-linux nsenter:util-linux" ;;
    test) needs="gcc:gcc g++:g++ clang:clang make:make ip:iproute2 unshare:util-linux
                 nsenter:util-linux setpriv:util-linux pkg-config:pkg-config nm:binutils
                 valgrind:valgrind mandoc:mandoc" ;;
    *)
        echo "usage: install-deps.sh [demo|test]" >&2
        exit 2
        ;;
esac

PATH=$PATH:/usr/sbin:/sbin # ip, for ordinary users
missing() {
    local need
    for need in $needs; do
        command -v "${need%%:*}" >/dev/null || printf '%s\n' "${need##*:}"
    done
    # A compiler without the C library's headers is no help.
    [ -e /usr/include/stdio.h ] || printf 'libc6-dev\n'
    # Headers to hold ours against (tests/abi.rs); without them that is skipped, outside CI.
    [ "${CI:-}" != true ] || [ -e /usr/share/mingw-w64/include/rtmv2.h ] || printf 'mingw-w64-common\n'
}

packages=$(missing | sort -u | tr '\n' ' ')
if [ -n "$packages" ]; then
    line="apt-get install -y --no-install-recommends $packages"
    if [ "$(id -u)" != 0 ]; then
        echo "Some programs are missing. This line installs them:" >&2
        echo "    sudo $line" >&2
        exit 1
    fi
    if ! command -v apt-get >/dev/null; then
        echo "Some programs are missing and there is no apt-get. Debian's packages are: $packages" >&2
        exit 1
    fi
    echo "Installing: $packages"
    apt-get update -qq </dev/null
    # shellcheck disable=SC2086 # several words
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -qq $packages </dev/null
    packages=$(missing | sort -u | tr '\n' ' ')
    if [ -n "$packages" ]; then
        echo "Still missing after the installation: $packages" >&2
        exit 1
    fi
fi

if ! command -v "${CARGO:-cargo}" >/dev/null; then
    echo "cargo is missing: install Rust, with https://rustup.rs for example" >&2
    exit 1
fi
