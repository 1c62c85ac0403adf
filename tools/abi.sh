#!/usr/bin/env bash
# Holds the C interface, as the headers declare it, against that of the last release, which debian/libmgm1.abi keeps:
# functions, types, members, enumerations, and what each has for a size. Additions are fine; what would break a program
# that was compiled before is an error. (That the library fits its headers is for tests/abi.rs and tests/exports.rs;
# that it has the functions of the release, for debian/libmgm1.symbols.)
#
#   tools/abi.sh          compares; needs abidiff (Debian: abigail-tools)
#   tools/abi.sh update   writes debian/libmgm1.abi anew, for a release
set -eu
cd "$(dirname "$0")/.."
KEPT=debian/libmgm1.abi
T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-abi.XXXXXX")
trap 'rm -rf "$T"' EXIT

# A library with the functions of the headers, and nothing in them: the debug information of a C compiler describes the
# interface as C programs see it. (Rust's describes what is inside.) One more function for each record makes the records
# part of it that programs find in buffers.
{
    echo '#include <mgm_host.h>'
    cat include/mgm.h include/mgm_host.h | tr '\n' ' ' | grep -oE 'DWORD Mgm[A-Za-z]+\([^)]*\);' | sed 's/;$/ { return 0; }/'
    sed -n 's/^struct _\([A-Z0-9_]*\) {/void record_\1(struct _\1 *record) { (void)record; }/p' include/mgm.h include/mgm_host.h
} >"$T/interface.c"
[ "$(grep -c '^DWORD' "$T/interface.c")" = "$(grep -c '^ Mgm' debian/libmgm1.symbols)" ] || {
    echo "abi: the headers declare other functions than debian/libmgm1.symbols has" >&2
    exit 1
}
cc -Iinclude -Wall -g -fPIC -shared -Wl,-soname,libmgm.so.1 "$T/interface.c" -o "$T/libmgm.so.1"

if [ "${1:-}" = update ]; then
    abidw --no-corpus-path --no-comp-dir-path --no-show-locs --out-file "$KEPT" "$T/libmgm.so.1"
    exit
fi
abidiff --no-added-syms --no-show-locs "$KEPT" "$T/libmgm.so.1" || {
    echo "abi: programs that were compiled with the last release may break" >&2
    exit 1
}
