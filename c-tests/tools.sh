#!/usr/bin/env bash
# The library under faults and tools: memory that runs out, faults on purpose, sanitizers, valgrind.
# Called by tools/test.sh, which has built the library into build/lib. Ends with the line
# "N passed, N failed". `c-tests/tools.sh NAME...` runs only those parts:
#
#   oom         malloc fails, once at each of the library's allocations (rule A4)
#   faults      a library that is made to panic in each function (rule A5)
#   schedules   a scheduler decides which thread goes on, thousands of times (rules A6 to A8)
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD
LIB=${MGM_LIB:-$ROOT/build/lib}
TARGET=${CARGO_TARGET_DIR:-target}
OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-tools.XXXXXX")
trap 'rm -rf "$OUT"' EXIT
PASSED=0 FAILED=0
CFLAGS="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -g -O1 -pthread -Iinclude"

passed() {
    echo "passed: $1"
    PASSED=$((PASSED + 1))
}
failed() {
    echo "FAILED: $1"
    [ $# -lt 2 ] || sed 's/^/    /' "$2"
    FAILED=$((FAILED + 1))
}

# check NAME COMMAND...: passes if the command does; its output shows only if it fails.
check() {
    local name=$1
    shift
    if "$@" >"$OUT/log" 2>&1 </dev/null; then passed "$name"; else failed "$name" "$OUT/log"; fi
}

# program OUTPUT LIBRARY_DIRECTORY SOURCE...: a C test, linked with a libmgm.
program() {
    local output=$1 lib=$2
    shift 2
    # shellcheck disable=SC2086 # several words
    "${CC:-gcc}" $CFLAGS "$@" c-tests/fixture.c -o "$output" -L"$lib" -lmgm "-Wl,-rpath,$lib"
}

part_oom() {
    check "oom: it compiles" program "$OUT/oom" "$LIB" c-tests/oom.c
    check "oom: memory runs out at each allocation" timeout 600 "$OUT/oom"
}

# The library with faults is built in a directory of its own, so that it is never taken for the
# one that is installed.
part_faults() {
    local dir=$TARGET/fault-injection
    # shellcheck disable=SC2317 # it is called by check
    shipped_has_no_faults() { ! grep -q MGM_FAULT "$LIB/libmgm.so"; }
    check "faults: the library that is installed has none" shipped_has_no_faults
    check "faults: from Rust, and no symbol more" env CARGO_TARGET_DIR="$dir" RUST_BACKTRACE=0 \
        "${CARGO:-cargo}" test --features fault-injection --test panic --test exports
    mkdir -p "$OUT/faults"
    cp "$dir/debug/deps/libmgm.so" "$OUT/faults/libmgm.so.1"
    ln -s libmgm.so.1 "$OUT/faults/libmgm.so"
    check "faults: it compiles" program "$OUT/fault" "$OUT/faults" c-tests/faults.c
    check "faults: from C" env RUST_BACKTRACE=0 timeout 600 "$OUT/fault"
}

part_schedules() {
    check "schedules: the same ones each time" env RUST_BACKTRACE=0 \
        "${CARGO:-cargo}" test --features shuttle --lib schedules
}

[ $# -gt 0 ] || set -- oom faults schedules
for part; do
    "part_$part"
done
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
