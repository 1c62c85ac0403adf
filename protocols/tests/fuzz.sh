#!/usr/bin/env bash
# Fuzzes the packet parsers of the protocols, and the tables behind them, under the address and undefined-behaviour sanitizers.
#
#   fuzz.sh [SECONDS [TARGET...]]    20 seconds for each target by default; targets are fuzz_*.c without "fuzz_"
#
# As many run at a time as there are processors. Needs clang with its fuzzer runtime. Ends with the line "N passed, N failed".
set -eu
cd "$(dirname "$0")/../.."
SECONDS_EACH=${1:-20}
[ $# = 0 ] || shift
WORK=$(mktemp -d "${TMPDIR:-/tmp}/mgm-fuzz.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
passed=0 failed=0

if ! { echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n ? 0 : 0; }' >"$WORK/probe.c" &&
    clang -fsanitize=fuzzer,address,undefined "$WORK/probe.c" -o "$WORK/probe" 2>"$WORK/probe.log"; }; then
    echo "skipped: fuzzing the protocols, for there is no clang with a fuzzer runtime here"
    echo "0 passed, 0 failed"
    [ "${CI:-}" != true ]
    exit
fi

# The sources of a target: its protocol's without main.c, and those that all share; without those that a line "without:" of the
# target itself names, and with those that a line "with:" names.
sources_of() {
    local source without
    without=" main.c $(sed -n 's/^ \* without: //p' "protocols/tests/fuzz_$1.c") "
    for source in protocols/"$1"/*.c protocols/common/*.c; do
        [ "${without#* "${source##*/}" }" != "$without" ] || printf '%s\n' "$source"
    done
    sed -n 's/^ \* with: \(.*[^ ]\) \*\/$/\1/p' "protocols/tests/fuzz_$1.c"
}

# fuzz TARGET: its result is the first word of what it prints last.
fuzz() {
    local target=$1 log=$WORK/$1.log
    mkdir "$WORK/$target"
    # shellcheck disable=SC2046 # names of sources have no blanks
    if ! clang -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Iinclude \
        -DPIM_BUCKETS=16 "protocols/tests/fuzz_$target.c" $(sources_of "$target") -Lbuild/lib -lmgm "-Wl,-rpath,$PWD/build/lib" \
        -o "$WORK/fuzz_$target" >"$log" 2>&1; then
        tail -40 "$log"
        echo "FAILED: $target does not build"
    elif ASAN_OPTIONS=detect_leaks=0 "$WORK/fuzz_$target" -max_total_time="$SECONDS_EACH" -max_len=2048 -print_final_stats=1 \
        -artifact_prefix="${TMPDIR:-/tmp}/mgm-fuzz-$target-" "$WORK/$target" >"$log" 2>&1; then
        echo "passed: $target, $(sed -n 's/^stat::number_of_executed_units: //p' "$log") inputs"
    else
        tail -40 "$log"
        echo "FAILED: $target"
    fi
}

if [ $# = 0 ]; then
    for file in protocols/tests/fuzz_*.c; do
        file=${file##*/fuzz_}
        set -- "$@" "${file%.c}"
    done
fi
for target; do
    [ "$(jobs -rp | wc -l)" -lt "$(nproc)" ] || wait -n
    fuzz "$target" >"$WORK/$target.result" &
done
wait
for target; do
    cat "$WORK/$target.result"
    case $(tail -1 "$WORK/$target.result") in
        passed:*) passed=$((passed + 1)) ;;
        *) failed=$((failed + 1)) ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
