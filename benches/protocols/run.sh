#!/usr/bin/env bash
# The protocols beside other routers, in one run: each in turn, on the same hosts with the same source. Run by
# `make bench-protocols` as root; prints lines `what<TAB>entries<TAB>who<TAB>value`. What cannot run is told on standard error,
# and the rest goes on.
#
#     run.sh ROUNDS [ROW...]      all rows by default; ROW: change, joins_1000, joins_10000, reroute, diamond
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

mgm_pim() { protocol router rtr mgm-pim --log info to-src to-rcv1; }
pimd_asm() { pimd rtr <<<"rp-address 10.1.0.1 239.0.0.0/8"; }
declare -A NAMES=([mgm_proxy]=mgm-proxy [mgmd]="mgmd, mgm-igmp, mgm-proxy" [mgm_pim]=mgm-pim [igmp_proxy]=igmpproxy [pimd_asm]=pimd
    [frr_asm]=FRR [mgm_pim_ssm]=mgm-pim [frr_ssm]=FRR
    [mgm_pim_dense_on]="mgm-pim, dense" [mgm_pim_on]=mgm-pim [frr_on]=FRR)

# ---- rows ------------------------------------------------------------------------------------------------

# Who is measured.
JOINED="mgm_proxy mgmd mgm_pim igmp_proxy pimd_asm frr_asm"
declare -A ROW=([change]="mgm_proxy mgmd igmp_proxy frr_asm" [joins_1000]=$JOINED [joins_10000]=$JOINED
    [reroute]="mgm_pim_ssm frr_ssm" [diamond]="mgm_pim_dense_on mgm_pim_on frr_on")

change() { # WHO
    one_router
    "$1"
    "$BENCH_HOST" change "${NAMES[$1]}" 100
}

joins_1000() { joins "$1" 1000; }
joins_10000() { joins "$1" 10000; }
joins() { # WHO GROUPS
    one_router
    "$1"
    "$BENCH_HOST" joins "${NAMES[$1]}" "$2" "${PIDS[@]}"
}

# Two neighbours, of which one is on the way to the source. The host plays them and the member.
reroute() { # WHO
    node rtr one two member
    wire one eth0 10.2.0.11 rtr one 10.2.0.1
    wire two eth0 10.3.0.12 rtr two 10.3.0.1
    wire member eth0 10.4.0.9 rtr member 10.4.0.1
    ip -n rtr route add 10.9.0.0/24 via 10.2.0.11
    "$1"
    "$BENCH_HOST" reroute "${NAMES[$1]}" 10000
}
mgm_pim_ssm() { protocol router rtr mgm-pim --log info one two member; }
frr_ssm() {
    frr rtr <<'END'
interface one
 ip pim
interface two
 ip pim
interface member
 ip pim
 ip igmp
END
}

# source - r0; r0 - r1 - r3 and r0 - r2 - r3; r3 - member. r3 prefers r1, and its link to it fails under 1,000 packets a second.
diamond() { # WHO
    local r group=232.1.1.1 before
    node source r0 r1 r2 r3 member
    wire source eth0 10.1.0.2 r0 above 10.1.0.1
    wire r0 left 10.2.0.1 r1 above 10.2.0.2
    wire r0 right 10.3.0.1 r2 above 10.3.0.2
    wire r1 below 10.4.0.2 r3 left 10.4.0.3
    wire r2 below 10.5.0.2 r3 right 10.5.0.3
    wire r3 below 10.6.0.3 member eth0 10.6.0.9
    ip -n r1 route add 10.1.0.0/24 via 10.2.0.1
    ip -n r2 route add 10.1.0.0/24 via 10.3.0.1
    ip -n r3 route add 10.1.0.0/24 via 10.4.0.2 metric 10
    ip -n r3 route add 10.1.0.0/24 via 10.5.0.2 metric 20
    "$1" r0 above left right
    for r in r1 r2; do "$1" $r above below; done
    "$1" r3 left right below
    receivers member
    stream stream source eth0 10.1.0.2 $group 1000
    tell member join $group 10.1.0.2
    wait_for 100 gets_more member $group 8000 || return # all neighbours have said hello by then: within 5 s
    before=$(missing)
    ip -n r3 link set left down
    wait_for 100 gets_more member $group $(($(got member $group) + 2000)) || return
    printf 'link failure: packets lost of 1,000 a second\t1\t%s\t%s\n' "${NAMES[$1]}" $(($(missing) - before))
}
missing() {
    sed -n 's/^got 232.1.1.1 from 10.1.0.2 number //p' "$LOGS/member" |
        awk 'NR > 1 && $1 > last { lost += $1 - last - 1 } { last = $1 } END { print lost + 0 }'
}
mgm_pim_dense_on() { protocol "$1" "$1" mgm-pim --log info --dense "${@:2}"; }
mgm_pim_on() { protocol "$1" "$1" mgm-pim --log info "${@:2}"; }
frr_on() {
    frr "$1" < <(for device in "${@:2}"; do printf 'interface %s\n ip pim\n ip igmp\n' "$device"; done)
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
peers_are_there "the protocols' bench" "usr/lib/frr/pimd=frr usr/sbin/igmpproxy=igmpproxy usr/sbin/pimd=pimd" "$@"
rounds=$1
shift
[ $# != 0 ] || set -- change joins_1000 joins_10000 reroute diamond
for _ in $(seq "$rounds"); do
    for row; do
        for who in ${ROW[$row]}; do
            # Before all ordinary processes, routers and hosts alike: what else the machine does is not to be measured.
            chrt --rr 1 bash "$0" measure "$row" "$who" || echo "bench: $row by $who failed" >&2
        done
    done
done
