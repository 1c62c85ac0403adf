#!/usr/bin/env bash
# Builds the Debian packages (`make deb`): libmgm1, libmgm-dev, mgmd and mgm-protocols, from the sources that
# tools/dist.sh lays out, without the network. They are put into build/deb. lintian, where it is installed, must find
# no error.
#
# Needs dpkg-dev and debhelper, and a Rust that is new enough: one of Debian's packages, or any other.
set -eu
cd "$(dirname "$0")/.."
TOP=$PWD
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
for need in dpkg-buildpackage:dpkg-dev dh:debhelper; do
    command -v "${need%%:*}" >/dev/null || {
        echo "deb: ${need%%:*} is missing: apt-get install ${need##*:}" >&2
        exit 1
    }
done
[ "$(dpkg-parsechangelog -S Version | sed 's/-[^-]*$//')" = "$VERSION" ] || {
    echo "deb: the first entry of debian/changelog is not for version $VERSION" >&2
    exit 1
}
T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-deb.XXXXXX")
trap 'rm -rf "$T"' EXIT
tools/dist.sh tree "$T/libmgm-$VERSION"
cd "$T/libmgm-$VERSION"
# Where Rust comes from rustup, the packages that debian/control names are not there.
CHECK=()
dpkg-checkbuilddeps 2>/dev/null || CHECK=(-d)
dpkg-buildpackage -b -us -uc "${CHECK[@]}"
cd "$T"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error --info ./*.changes
else
    echo "lintian is not installed: it did not look at the packages"
fi
mkdir -p "$TOP/build/deb"
rm -f "$TOP"/build/deb/*
cp -- *.deb *.buildinfo *.changes "$TOP/build/deb"
ls -l "$TOP/build/deb"
