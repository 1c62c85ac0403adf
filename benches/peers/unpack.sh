#!/usr/bin/env bash
# Unpacks other routers from Debian's packages, with the libraries that this machine lacks. Nothing
# is installed and no service starts.
#
#     unpack.sh DIRECTORY [PACKAGE...]
set -eu
directory=$1
shift
[ $# != 0 ] || set -- smcroute pimd igmpproxy frr
mkdir -p "$directory"
cd "$directory"

# What the packages depend on, so far as it is not installed.
missing() {
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances --no-pre-depends "$@" 2>/dev/null | grep '^lib' | sort -u |
        while read -r package; do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok' || echo "$package"
        done
}

unpack() {
    ls "$1"_*.deb >/dev/null 2>&1 || apt-get download -q "$1" >/dev/null 2>&1 || return 1
    dpkg -x "$1"_*.deb .
}

if ! command -v apt-get >/dev/null; then
    echo "bench: other routers come from Debian's packages, and there is no apt-get" >&2
    exit 0
fi
updated=
for package; do
    [ ! -e ".$package" ] || continue
    if ! unpack "$package"; then
        [ -n "$updated" ] || apt-get update -qq >/dev/null 2>&1 || :
        updated=yes
        unpack "$package" || { echo "bench: no package $package" >&2; continue; }
    fi
    for library in $(missing "$package"); do
        unpack "$library" || echo "bench: no package $library for $package" >&2
    done
    touch ".$package"
done
