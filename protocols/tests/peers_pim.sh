#!/usr/bin/env bash
# mgm-pim beside FRR's pimd and beside pimd 2.3. Ends with the line "N passed, N failed". Needs the network; part of make test-all.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=topology.sh
. "$(dirname "$0")/topology.sh"
# shellcheck source=peers.sh
. "$(dirname "$0")/peers.sh"
make_topology() { :; }

FAST="--hello-interval 1 --triggered-hello 0.2 --join-interval 2 --query-interval 5 --response-interval 1 --last-member-interval 0.2"
S=10.1.0.2
G=232.1.1.1

# quick_frr NODE DEVICE...: FRR with PIM on them, quick.
quick_frr() {
    local node=$1 device
    shift
    frr "$node" < <(
        echo "ip pim join-prune-interval 5"
        for device; do printf 'interface %s\n ip pim\n ip pim hello 1 4\n' "$device"; done
    )
}
pim() {
    local node=$1
    shift
    # shellcheck disable=SC2086 # several words
    protocol "$node" "$node" mgm-pim $FAST "$@"
}

# source - r1 (ours) - r2 (FRR) - r3 (ours) - member: it is downstream of r1 and upstream of r3.
frr_between_two_of_ours() {
    local count
    node source r1 r2 r3 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 r3 above 10.3.0.3
    wire r3 below 10.4.0.3 member eth0 10.4.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n r3 route add 10.1.0.0/24 via 10.3.0.2
    ip -n source route add default via 10.1.0.1
    pim r1 above below
    quick_frr r2 above below
    pim r3 above below
    receivers member
    must "FRR is r1's neighbour" log_has r1 "below: neighbour 10.2.0.2 is there"
    must "FRR is r3's neighbour" log_has r3 "above: neighbour 10.3.0.2 is there"
    capture wire r2 above 103
    stream stream source eth0 $S $G 100
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    now "by FRR" oifs_are r2 $S $G below
    must "past the holdtimes" gets_more member $G 800
    tell member leave $G $S
    must "our prune reaches FRR, and FRR's reaches us" oifs_are r1 $S $G -
    count=$(got member $G)
    tell member join $G $S
    must "joined again" gets_more member $G $((count + 20))
    # FRR is killed; a new one is known by its generation id or comes anew.
    finish r2_pimd KILL || true
    must "it is missed" log_has r3 "neighbour 10.3.0.2 has not been heard of: gone"
    count=$(got member $G)
    quick_frr r2 above below
    must "joined again" gets_more member $G $((count + 20))
    decodes_cleanly wire
}

# FRR and ours both above a LAN, with ours and ours below: they agree by an assert on who forwards.
an_assert_with_frr() {
    local count
    node source a b c d member1 member2 watcher
    lan top source:eth0:$S a:above:10.1.0.11 b:above:10.1.0.12
    lan mid a:below:10.2.0.11 b:below:10.2.0.12 c:above:10.2.0.13 d:above:10.2.0.14 watcher:eth0:10.2.0.99
    wire c below 10.3.0.13 member1 eth0 10.3.0.9
    wire d below 10.4.0.14 member2 eth0 10.4.0.9
    ip -n c route add 10.1.0.0/24 via 10.2.0.11
    ip -n d route add 10.1.0.0/24 via 10.2.0.12
    quick_frr a above below
    for r in b c d; do pim $r above below; done
    receivers member1 member2 watcher
    must "they know each other" log_has c "neighbour 10.2.0.11 is there"
    must "they know each other" log_has d "neighbour 10.2.0.12 is there"
    tell member1 join $G $S
    tell member2 join $G $S
    must "both are joined" log_has b "leaves by below"
    stream stream source eth0 $S $G 100
    must "the first member gets it" gets_more member1 $G 50
    must "the second member gets it" gets_more member2 $G 50
    must "there was an assert" log_has b "forwards ($S,$G) (assert)"
    must "time goes on" gets_more member1 $G $(($(got member1 $G) + 200))
    count=$(on_link_so_far watcher $G)
    must "more" more_on_link watcher $G $((count + 200))
    now "one copy of each is on the LAN" test "$(twice watcher $G $((count + 1)))" = 0
}

# source - r1 - r2 - member, one of the routers pimd. It counts time in steps of 5 s, and forgets a neighbour whose hello holds for
# less.
beside_pimd() { # OURS PIMD'S
    node source r1 r2 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 member eth0 10.3.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    FAST="--hello-interval 10 --triggered-hello 0.2 --join-interval 5 --query-interval 5 --response-interval 1 --last-member-interval 0.2"
    pim "$1" above below
    pimd "$2" <<<"rp-address 10.2.0.1 239.0.0.0/8"
    receivers member
    stream stream source eth0 $S $G 100
    tell member join $G $S
}
pimd_downstream() {
    beside_pimd r1 r2
    capture wire r1 below 103
    must "pimd is r1's neighbour" log_has r1 "below: neighbour 10.2.0.2 is there"
    must "the member gets it" gets_more member $G 20
    must "for a while" gets_more member $G 1000
    tell member leave $G $S
    must "pimd prunes, when it has asked for other members" wait_for 30 oifs_are r1 $S $G -
    decodes_cleanly wire
    ends r1
}
pimd_upstream() {
    local count
    beside_pimd r2 r1
    capture wire r2 above 103
    must "pimd is r2's neighbour" log_has r2 "above: neighbour 10.2.0.1 is there"
    must "the member gets it" gets_more member $G 20
    must "past the holdtime of a join" wait_for 40 gets_more member $G 2500
    tell member leave $G $S
    must "our prune reaches pimd, which sends to its register interface alone" oifs_are r1 $S $G pimreg
    count=$(got member $G)
    tell member join $G $S
    must "and our join again" gets_more member $G $((count + 20))
    decodes_cleanly wire
    ends r2
}

peers_are_there "PIM beside FRR and pimd" "usr/lib/frr/pimd=frr usr/sbin/pimd=pimd" "$@"
TESTS="frr_between_two_of_ours an_assert_with_frr pimd_downstream pimd_upstream"
run_tests "PIM beside FRR and pimd" "$TESTS" "$@"
