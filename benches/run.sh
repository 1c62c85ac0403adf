#!/usr/bin/env bash
# The measurements, run by `make bench` and `make bench-peers` as root. Prints a table and writes
# benches/results.tsv (each value), benches/RESULTS.md and docs/plots.
#
#     benches/run.sh [peers]
#     benches/run.sh quick capi|beside|remote|flows|table...   the ratios of some parts only, for tuning; records nothing
#
# ROUNDS=5 (quick: 3): how often each is measured; library and reference take turns.
# ENTRIES="1000 100000 1000000" (quick: 100000): the sizes of capi.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
WORK=$PWD/build/bench
MODE=${1:-all}
PARTS="capi beside remote flows table"
SIZES=${ENTRIES:-1000 100000 1000000}
case $MODE in
    quick)
        shift
        PARTS=${*:-$PARTS}
        ROUNDS=${ROUNDS:-3}
        SIZES=${ENTRIES:-100000}
        RESULTS=$WORK/quick.tsv
        ;;
    peers)
        PARTS=peers
        RESULTS=benches/results-peers.tsv
        ;;
    *) RESULTS=benches/results.tsv ;;
esac
export ROUNDS=${ROUNDS:-5} PYTHONDONTWRITEBYTECODE=1

# wanted PART...: whether one of these is to be measured.
wanted() {
    local part
    for part in "$@"; do [[ " $PARTS " != *" $part "* ]] || return 0; done
    return 1
}

if [ -n "${BENCH_IN_NAMESPACE:-}" ]; then
    # shellcheck source=benches/hosts.sh disable=SC1091
    . benches/hosts.sh
    export LD_LIBRARY_PATH=$WORK
    if wanted peers; then
        make_bench_hosts 1
        # shellcheck source=benches/peers/run.sh disable=SC1091
        . benches/peers/run.sh
        for _ in $(seq "$ROUNDS"); do peers_round; done
        exit
    fi
    make_bench_hosts 3
    ! wanted flows || for _ in $(seq "$ROUNDS"); do
        flows 10000 paced bare mgm
        flows 10000 burst bare bare64 mgm
        flows 10000 single bare bare64 mgm
        flows 50000 burst bare bare64 mgm
    done
    ! wanted flows remote || for _ in $(seq "$ROUNDS"); do flows 10000 burst two apart; done
    ! wanted table || for entries in 10000 100000; do
        in_router "$WORK/kernel" table "$entries" "$ROUNDS" || echo "bench: table $entries failed" >&2
    done
    exit
fi

[ "$(id -u)" = 0 ] || { echo "bench: run as root: the kernel's part needs network namespaces" >&2; exit 1; }
mkdir -p "$WORK"
CARGO=${CARGO:-cargo}
TARGET=${CARGO_TARGET_DIR:-target}

# bench_program NAME: the newest program that cargo made of benches/NAME.rs.
bench_program() {
    find "$TARGET/release/deps" -name "$1-*" -type f -perm -u+x -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -1 | cut -d' ' -f2
}

# What measures opens the library at run time: the library's own changes do not concern it.
bench_programs_are_new() {
    local name program
    for name in capi process; do
        program=$(bench_program $name)
        [ -n "$program" ] && [ -z "$(find benches -name '*.rs' -newer "$program")" ] || return 1
    done
}

$CARGO build --release
! wanted remote || $CARGO bench --bench remote --no-run
! wanted capi beside || { [ "$MODE" = quick ] && bench_programs_are_new; } ||
    $CARGO bench --bench capi --bench process --no-run
cp -f "$TARGET/release/libmgm.so" "$WORK/libmgm.so.1"
ln -sf libmgm.so.1 "$WORK/libmgm.so"
strip -s -o "$WORK/stripped.so" "$WORK/libmgm.so.1"
export MGM_LIBRARY=$WORK/libmgm.so.1
${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -Iinclude benches/kernel/*.c -o "$WORK/kernel" \
    -L"$WORK" -lmgm -pthread
if wanted peers; then benches/peers/unpack.sh "$WORK/peers"; fi

: >"$RESULTS"
if wanted capi; then
    for _ in $(seq "$ROUNDS"); do MGM_LIBRARY=$WORK/stripped.so "$(bench_program process)" start >>"$RESULTS"; done
    export CRITERION_HOME=$WORK/criterion
    rm -rf "$CRITERION_HOME"
    for entries in $SIZES; do
        [ "$MODE" = quick ] || echo "bench: in the process, $entries entries" >&2
        ENTRIES=$entries "$(bench_program capi)" --bench >"$WORK/criterion.log" 2>&1 ||
            { tail "$WORK/criterion.log" >&2; exit 1; }
        for _ in $(seq "$ROUNDS"); do "$(bench_program process)" "$entries" >>"$RESULTS"; done
    done
    python3 benches/report.py criterion "$CRITERION_HOME" >>"$RESULTS"
fi
if wanted beside; then
    [ "$MODE" = quick ] || echo "bench: beside large calls" >&2
    for _ in $(seq "$ROUNDS"); do "$(bench_program process)" beside "${SIZES##* }" >>"$RESULTS"; done
fi
if wanted remote; then
    [ "$MODE" = quick ] || echo "bench: from process to process" >&2
    "$(bench_program remote)" >>"$RESULTS"
fi
if wanted flows remote table peers; then
    [ "$MODE" = quick ] || echo "bench: with the kernel" >&2
    # shellcheck disable=SC2086 # several words
    BENCH_IN_NAMESPACE=1 unshare -nm bash "$0" "$MODE" $PARTS >>"$RESULTS"
fi
if [ "$MODE" = quick ]; then python3 benches/report.py quick "$RESULTS"; else python3 benches/report.py measured; fi
