#!/usr/bin/env bash
# Takes away what `make install` with the same variables puts in place: it installs into a directory of its
# own, and removes the same files, and the directories that are libmgm's own. So no list can grow old.
#
#   tools/uninstall.sh DESTDIR VARIABLE=VALUE...
set -eu
cd "$(dirname "$0")/.."
from=$1
shift
T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-uninstall.XXXXXX")
trap 'rm -rf "$T"' EXIT
make --no-print-directory -s install DESTDIR="$T" "$@" >/dev/null
(cd "$T" && find . ! -type d -printf '%P\n') | while IFS= read -r file; do
    # What an administrator has changed stays.
    case $file in */mgmd.toml) cmp -s "$T/$file" "$from/$file" || continue ;; esac
    rm -f "$from/$file"
done
(cd "$T" && find . -depth -type d -path '*mgm*' -printf '%P\n') | while IFS= read -r directory; do
    rmdir "$from/$directory" 2>/dev/null || true
done
