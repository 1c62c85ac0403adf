#!/usr/bin/env bash
# The measurements, run by `make bench` and `make bench-peers` as root. Prints a table and writes
# benches/results.tsv (each value), benches/RESULTS.md and docs/plots.
#
#     benches/run.sh [peers]
#     benches/run.sh quick flows|table|capi...   the ratios of one part only, for tuning; records nothing
#
# ROUNDS=5 (quick: 3): how often each is measured; library and reference take turns.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
WORK=$PWD/build/bench
MODE=${1:-all}
PARTS="capi flows table"
[ "$MODE" != quick ] || { shift; PARTS=${*:-$PARTS}; ROUNDS=${ROUNDS:-3}; }
ROUNDS=${ROUNDS:-5}

# wanted PART: whether this part is to be measured.
wanted() { [[ " $PARTS " == *" $1 "* ]]; }

# ---- in namespaces of our own: the kernel's part ----

in_router() { timeout 150 ip netns exec rtr "$@"; }

# flows FLOWS HOW WHO...: each resolves flows.
flows() {
    local flows=$1 how=$2 who
    shift 2
    for who in "$@"; do
        in_router "$WORK/kernel" flows "$who" "$flows" "$how" || echo "bench: flows $how by $who failed" >&2
    done
}

flow_round() {
    flows 10000 paced bare mgm
    flows 10000 burst bare mgm
    flows 10000 single bare bare64 mgm
    flows 50000 burst bare mgm
}

# wait_for COMMAND...: until it succeeds, at most 40 times.
wait_for() {
    for _ in $(seq 40); do
        ! "$@" >/dev/null 2>&1 || return 0
        read -rt 0.1 <> <(:) || :
    done
    return 1
}

# forwards NAME: whether a packet of one flow gets through.
forwards() { in_router "$WORK/kernel" flows "$1" 1 single | grep -q 'lost.*[^0-9.]0\.000$'; }

# peer NAME FLOWS COMMAND...: resolves flows with another router, which is started and ended.
peer() {
    local name=$1 flows=$2 router joined=
    shift 2
    ip netns exec rtr "$@" >"$WORK/$name.log" 2>&1 &
    router=$!
    # IGMP routers learn of the receiver by its report.
    ip netns exec rcv1 python3 benches/peers/join.py &
    joined=$!
    wait_for forwards "$name" || echo "bench: $name forwards nothing" >&2
    in_router "$WORK/kernel" flows "$name" "$flows" burst || echo "bench: $name failed" >&2
    kill "$joined" "$router" 2>/dev/null || :
    wait "$joined" "$router" 2>/dev/null || :
}

if [ -n "${BENCH_IN_NAMESPACE:-}" ]; then
    # shellcheck source=benches/hosts.sh disable=SC1091
    . benches/hosts.sh
    export LD_LIBRARY_PATH=$WORK
    if [ "$MODE" != peers ]; then
        make_bench_hosts 3
        ! wanted flows || for _ in $(seq "$ROUNDS"); do flow_round; done
        ! wanted table || for entries in 10000 100000; do
            in_router "$WORK/kernel" table "$entries" "$ROUNDS" || echo "bench: table $entries failed" >&2
        done
    else
        make_bench_hosts 1
        P=$WORK/peers
        for _ in $(seq "$ROUNDS"); do
            for flows in 1000 10000; do
                flows $flows burst bare mgm
                [ ! -x "$P/usr/sbin/smcrouted" ] || peer smcroute $flows "$P/usr/sbin/smcrouted" \
                    -n -N -f benches/peers/smcroute.conf -l none -P "$WORK/smc.pid" -u "$WORK/smc.sock"
                [ ! -x "$P/usr/sbin/pimd" ] || peer pimd $flows "$P/usr/sbin/pimd" \
                    -f -c "$PWD/benches/peers/pimd.conf"
            done
            [ ! -x "$P/usr/sbin/igmpproxy" ] || peer igmpproxy 1000 "$P/usr/sbin/igmpproxy" -n \
                "$PWD/benches/peers/igmpproxy.conf"
        done
    fi
    exit
fi

# ---- outside ----

[ "$(id -u)" = 0 ] || { echo "bench: run as root: the kernel's part needs network namespaces" >&2; exit 1; }
mkdir -p "$WORK"
CARGO=${CARGO:-cargo}
$CARGO build --release
if [ "$MODE" = peers ] || ! wanted capi; then CAPI=; else $CARGO bench --bench capi --no-run; CAPI=yes; fi
TARGET=${CARGO_TARGET_DIR:-target}
cp -f "$TARGET/release/libmgm.so" "$WORK/libmgm.so.1"
ln -sf libmgm.so.1 "$WORK/libmgm.so"
strip -s -o "$WORK/stripped.so" "$WORK/libmgm.so.1"
[ -z "$CAPI" ] || CAPI=$(find "$TARGET/release/deps" -name 'capi-*' -type f -perm -u+x -printf '%T@ %p\n' | sort -rn | head -1 | cut -d' ' -f2)
${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -Iinclude benches/kernel/*.c -o "$WORK/kernel" \
    -L"$WORK" -lmgm -pthread

case $MODE in
    peers) RESULTS=benches/results-peers.tsv ;;
    quick) RESULTS=$WORK/quick.tsv ;;
    *) RESULTS=benches/results.tsv ;;
esac
: >"$RESULTS"

if [ "$MODE" = all ]; then
    for round in $(seq "$ROUNDS"); do
        echo "round $round of $ROUNDS: in the process" >&2
        "$CAPI" "$WORK/stripped.so" start >>"$RESULTS"
        for entries in 1000 100000 1000000; do
            "$CAPI" "$WORK/libmgm.so.1" "$entries" >>"$RESULTS"
        done
    done
elif [ "$MODE" = quick ]; then
    ! wanted capi || for _ in $(seq "$ROUNDS"); do "$CAPI" "$WORK/libmgm.so.1" "${ENTRIES:-100000}" >>"$RESULTS"; done
else
    # Debian's packages are only unpacked: nothing is installed, no service starts.
    mkdir -p "$WORK/peers"
    for package in smcroute pimd igmpproxy; do
        (cd "$WORK/peers" && { ls "${package}"_*.deb >/dev/null 2>&1 || apt-get download -q "$package"; } &&
            dpkg -x "${package}"_*.deb .) >/dev/null 2>&1 || echo "bench: no package $package" >&2
    done
fi
if wanted flows || wanted table; then
    export ROUNDS
    # shellcheck disable=SC2086 # several words
    BENCH_IN_NAMESPACE=1 unshare -nm bash "$0" "$MODE" $PARTS >>"$RESULTS"
fi
if [ "$MODE" = quick ]; then python3 benches/report.py quick "$RESULTS"; else python3 benches/report.py; fi
