#!/usr/bin/env bash
# Counts the instructions of a new flow, and of an add and delete of a membership with an alert each, with
# callgrind: they do not depend on how busy the machine is.
#
#     benches/instructions/run.sh [DIRECTORY]    the library in DIRECTORY (target/release)
#     benches/instructions/run.sh profile flows|pairs [DIRECTORY]    the functions that they are spent in
set -eu
cd "$(dirname "$0")/../.."
PROFILE=
if [ "${1:-}" = profile ]; then PROFILE=$2; shift 2; fi
LIBRARY=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release}")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
ln -s "$LIBRARY/libmgm.so" "$WORK/libmgm.so"
ln -s "$LIBRARY/libmgm.so" "$WORK/libmgm.so.1"
${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -Iinclude benches/instructions/work.c -o "$WORK/work" -L"$WORK" -lmgm

# count WHAT N: all instructions of the program.
count() {
    LD_LIBRARY_PATH=$WORK valgrind --tool=callgrind --callgrind-out-file="$WORK/$1.out" "$WORK/work" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : //p'
}

if [ -n "$PROFILE" ]; then
    count "$PROFILE" 10000
    callgrind_annotate --auto=no --threshold=98 "$WORK/$PROFILE.out"
    exit
fi
for what in flows pairs; do
    few=$(count $what 2000)
    many=$(count $what 4000)
    printf '%s\t%s instructions each\n' $what $(((many - few) / 2000))
done
