#!/usr/bin/env bash
# The protocols beside other routers, in one run: each in turn, on the same hosts with the same source. Run by
# `make bench-protocols` as root; prints lines `what<TAB>entries<TAB>who<TAB>value`. What cannot run is told on standard error,
# and the rest goes on.
#
#     run.sh ROUNDS [ROW...]      all rows by default; ROW: change
#
# Each measurement has namespaces of its own, and begins with a router that has just been started.
# shellcheck source-path=SCRIPTDIR source=../../protocols/tests/lib.sh
. "$(dirname "$0")/../../protocols/tests/lib.sh"
# shellcheck source=../../protocols/tests/topology.sh
. "$(dirname "$0")/../../protocols/tests/topology.sh"
# shellcheck source=../../protocols/tests/peers.sh
. "$(dirname "$0")/../../protocols/tests/peers.sh"
BENCH_HOST=${BENCH_HOST:-$BIN/bench_host}

# src - rtr - rcv1
one_router() {
    node src rtr rcv1
    wire src eth0 10.1.0.2 rtr to-src 10.1.0.1
    wire rcv1 eth0 10.2.0.2 rtr to-rcv1 10.2.0.1
}

# ---- routers: each takes the source's interface and the member's -----------------------------------------

mgm_proxy() { protocol router rtr mgm-proxy --log info to-src to-rcv1; }
# The proxy and IGMP as processes of their own.
mgmd() {
    start_mgmd rtr
    protocol proxy rtr mgm-proxy --log info to-src to-rcv1
    protocol router rtr mgm-igmp --log info to-rcv1
}
igmp_proxy() { igmpproxy rtr to-src to-rcv1; }
# It is the rendezvous point itself.
frr_asm() {
    frr rtr <<'END'
ip pim rp 10.1.0.1 239.0.0.0/8
interface to-src
 ip pim
interface to-rcv1
 ip pim
 ip igmp
END
}

declare -A NAMES=([mgm_proxy]=mgm-proxy [mgmd]="mgmd, mgm-igmp, mgm-proxy" [igmp_proxy]=igmpproxy [frr_asm]=FRR)

# ---- rows ------------------------------------------------------------------------------------------------

# Who is measured.
declare -A ROW=([change]="mgm_proxy mgmd igmp_proxy frr_asm")

change() { # WHO
    one_router
    "$1"
    "$BENCH_HOST" change "${NAMES[$1]}" 100
}

measure() { # ROW WHO
    enter_namespaces measure "$@" || { echo "bench: network namespaces are not permitted here ($NS_REASON)" >&2; exit 1; }
    prepare
    ( trap stop_all EXIT; "$1" "$2" ) || { tail -n 5 "$LOGS"/* >&2; exit 1; }
}

if [ "$1" = measure ]; then
    measure "$2" "$3"
    exit
fi
peers_are_there "the protocols' bench" "usr/lib/frr/pimd=frr usr/sbin/igmpproxy=igmpproxy" "$@"
rounds=$1
shift
[ $# != 0 ] || set -- change
for _ in $(seq "$rounds"); do
    for row; do
        for who in ${ROW[$row]}; do
            # Before all ordinary processes, routers and hosts alike: what else the machine does is not to be measured.
            chrt --rr 1 bash "$0" measure "$row" "$who" || echo "bench: $row by $who failed" >&2
        done
    done
done
