#!/usr/bin/env bash
# Installs what a command of the Makefile needs and this machine lacks: as root on Debian or Ubuntu
# with apt-get. Anybody else is told the line that does it, with status 1. Does nothing, quickly,
# where all is there.
#
#   install-deps.sh demo      for `make demo`: a C compiler, network tools, Rust
#   install-deps.sh test      for `make test`: what the C tests and the installation need as well
#   install-deps.sh test-all  for `make test-all`: a second compiler with its fuzzer, valgrind, tshark, systemd
#                             and the headers of mingw-w64 as well
#   install-deps.sh ci        for .ci/run: shellcheck and abidiff as well
set -eu
# shellcheck source-path=SCRIPTDIR source=rust.sh
. "$(dirname "$0")/rust.sh"

demo="cc:gcc make:make ip:iproute2 unshare:util-linux nsenter:util-linux"
test="$demo gcc:gcc g++:g++ pkg-config:pkg-config nm:binutils setpriv:util-linux mandoc:mandoc ping:iputils-ping"
all="$test clang:clang fuzzer: tshark:tshark valgrind:valgrind /lib/systemd/systemd:systemd /usr/share/mingw-w64/include/rtmv2.h:mingw-w64-common"
case "${1:-test}" in
    demo) needs=$demo ;;
    test) needs=$test ;;
    test-all) needs=$all ;;
    ci) needs="$all shellcheck:shellcheck abidiff:abigail-tools" ;;
    *)
        echo "usage: install-deps.sh [demo|test|test-all|ci]" >&2
        exit 2
        ;;
esac

PATH=$PATH:/usr/sbin:/sbin # ip, for ordinary users

# The Rust that CARGO names is taken as it is.
has_rust() {
    if [ "${CARGO:-cargo}" != cargo ]; then command -v "$CARGO" >/dev/null; else rust_directory >/dev/null; fi
}

# The packages that are missing, Rust aside.
missing() {
    local need version
    for need in $needs; do # a command, or a file
        case $need in
            /*) [ -e "${need%%:*}" ] ;;
            fuzzer:) # libFuzzer's runtime comes in a package of clang's own version
                version=$(clang -dumpversion 2>/dev/null) || version=$(apt-cache policy clang | sed -n 's/^  Candidate: [0-9]*:\([0-9]*\).*/\1/p')
                need=fuzzer:libclang-rt-${version%%.*}-dev
                [ -n "$(find "$(clang -print-runtime-dir 2>/dev/null || echo /nonexistent)" -name '*fuzzer*' 2>/dev/null)" ]
                ;;
            *) command -v "${need%%:*}" >/dev/null ;;
        esac || printf '%s\n' "${need##*:}"
    done
    # A compiler without the C library's headers is no help.
    [ -e /usr/include/stdio.h ] || printf 'libc6-dev\n'
}

# The packages of a Rust that is new enough, as far as apt knows any. Debian's and Ubuntu's own
# may be old; beside them there are newer ones under other names, for what browsers need.
rust_packages() {
    local cargo version
    command -v apt-cache >/dev/null || return 1
    for cargo in cargo cargo-web cargo-mozilla $(apt-cache pkgnames cargo-1. | sort -rV); do
        version=$(LC_ALL=C apt-cache policy "$cargo" 2>/dev/null | sed -n 's/^  Candidate: //p')
        if [ -n "$version" ] && at_least "$version" "$(rust_wanted)"; then
            # cargo fetches over TLS.
            printf '%s %s ca-certificates\n' "$cargo" "rustc${cargo#cargo}"
            return 0
        fi
    done
    return 1
}

packages=$(missing | sort -u | tr '\n' ' ')
if [ -z "$packages" ] && has_rust; then exit 0; fi
[ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || apt-get update -qq </dev/null
packages=$(missing | sort -u | tr '\n' ' ') # the name of one of them depends on what apt knows
rustup= # the line that installs Rust where apt does not
if ! has_rust; then
    if rust=$(rust_packages); then
        packages="$packages$rust"
    else
        rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal"
    fi
fi

# Whatever is there stays: an old Rust is not taken away unasked.
apt="apt-get install -y --no-install-recommends --no-remove $packages"
if [ -n "$packages" ] && ! command -v apt-get >/dev/null; then
    echo "Some programs are missing and there is no apt-get. Debian's packages are: $packages" >&2
elif [ -n "$packages" ] && [ "$(id -u)" = 0 ]; then
    echo "Installing: $packages"
    if DEBIAN_FRONTEND=noninteractive $apt -qq </dev/null >/dev/null; then
        packages=$(missing | sort -u | tr '\n' ' ')
        [ -n "$rustup" ] || has_rust || packages="${packages}Rust $(rust_wanted)"
        [ -z "$packages" ] || echo "Still missing after the installation: $packages" >&2
    else
        echo "That failed. The line was: ${apt% }" >&2
    fi
elif [ -n "$packages" ]; then
    echo "Some programs are missing. This line installs them:" >&2
    echo "    sudo ${apt% }${rustup:+ && $rustup}" >&2
    exit 1
fi
if [ -n "$rustup" ]; then
    echo "Rust $(rust_wanted) or newer is missing, and apt has no package of it. This line installs it:" >&2
    echo "    $rustup" >&2
fi
[ -z "$packages" ] && [ -z "$rustup" ]
