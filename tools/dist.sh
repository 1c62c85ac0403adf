#!/usr/bin/env bash
# The sources with everything that cargo would fetch, so that they build without the network. Needs cargo and, the
# first time, the network.
#
#   tools/dist.sh                  makes build/libmgm-VERSION.tar.xz (`make dist`); the same commit gives the same file
#   tools/dist.sh tree DIRECTORY   puts the sources into a new directory instead
#
# In a repository these are the files that it tracks, with changes that are not committed. In an unpacked tarball these
# are its own files.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

tree() {
    local to=$1 crate
    mkdir -p "$to"
    if [ ! -e .git ]; then
        tar -c --exclude=./build --exclude=./target . | tar -x -C "$to"
        return
    fi
    git archive "$(commit)" | tar -x -C "$to"
    mkdir "$to/.cargo"
    # What cargo prints is the configuration that makes it look there.
    (cd "$to" && "$CARGO" vendor --locked vendor >.cargo/config.toml 2>.cargo/log) || {
        cat "$to/.cargo/log" >&2
        return 1
    }
    rm "$to/.cargo/log"
    # Some crates are import libraries for Windows: megabytes that no Linux machine reads. The lock file wants the crates.
    for crate in "$to"/vendor/winapi-*-pc-windows-gnu* "$to"/vendor/windows_*; do
        rm -rf "${crate:?}/lib"
        sed -i 's/"files":{[^}]*}/"files":{}/' "$crate/.cargo-checksum.json"
    done
}

# A commit with what is not committed yet, which belongs to no branch; HEAD where there is nothing.
commit() {
    local changes
    changes=$(git stash create)
    echo "${changes:-HEAD}"
}

case "${1:-}" in
    tree)
        tree "$2"
        ;;
    "")
        [ -e .git ] || {
            echo "dist: there is no repository here; these sources are a tarball's already" >&2
            exit 1
        }
        T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-dist.XXXXXX")
        trap 'rm -rf "$T"' EXIT
        tree "$T/libmgm-$VERSION"
        mkdir -p build
        tar -c -C "$T" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw,a-s \
            --mtime="@$(git log -1 --format=%ct)" "libmgm-$VERSION" | xz -T2 >"build/libmgm-$VERSION.tar.xz.new"
        mv "build/libmgm-$VERSION.tar.xz.new" "build/libmgm-$VERSION.tar.xz"
        echo "build/libmgm-$VERSION.tar.xz"
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
