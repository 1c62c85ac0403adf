#!/usr/bin/env bash
# mgm-static between real hosts. Names of tests on the command line run only those.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

static() { protocol static rtr mgm-static "$@"; }

groups_and_ranges() {
    static 'to-src: 239.1.1.1 239.1.2.0/30 > to-rcv1 to-rcv2' 'to-src: 239.1.3.7-239.1.3.9 > to-rcv2'
    receivers rcv1 rcv2
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    send 10.1.0.3 239.1.2.3 1 3 || wrong "3 packets reach the kernel"
    send 10.1.0.2 239.1.3.9 1 3 || wrong "3 packets reach the kernel"
    must "on rcv1's link" link_count_is rcv1 239.1.1.1 5
    must "on rcv2's link" link_count_is rcv2 239.1.1.1 5
    must "a group of a prefix" link_count_is rcv1 239.1.2.3 3
    must "a group of a range" link_count_is rcv2 239.1.3.9 3
    now "to the interface of its route alone" link_count_is rcv1 239.1.3.9 0
    packet 10.1.0.2 239.1.2.4
    must "the group behind the last is forwarded to nobody" kernel_oifs_are 10.1.0.2 239.1.2.4 -
    ends static
    now "nothing is left in the kernel" kernel_is_empty
}

sources() {
    static 'to-src: 10.1.0.3,239.1.1.1 > to-rcv1' 'to-rcv1: 10.2.0.0-10.2.0.255,239.1.1.1 > to-src'
    packet 10.1.0.2 239.1.1.1
    packet 10.1.0.3 239.1.1.1
    must "the source that is named" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1
    must "not another" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    in_ns rcv1 "$BIN/sender" eth0 10.2.0.2 239.1.1.1 $PORT 1 1 200
    must "and one of a range on the other side" kernel_oifs_are 10.2.0.2 239.1.1.1 to-src
    ends static
}

# A flow goes out by the routes of the interface that it came in on, and by no others.
routes_of_two_interfaces() {
    static 'to-src: 239.1.1.1 > to-rcv1' 'to-rcv1: 239.1.1.1 > to-rcv2'
    packet 10.1.0.2 239.1.1.1
    in_ns rcv1 "$BIN/sender" eth0 10.2.0.2 239.1.1.1 $PORT 1 1 200
    must "from to-src" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    must "from to-rcv1" kernel_oifs_are 10.2.0.2 239.1.1.1 to-rcv2
    ends static
}

# The source's address is no matter of the unicast routes: there is none, or one that leads elsewhere.
foreign_sources() {
    ip -n src address add 172.16.0.5/32 dev lo
    ip -n src address add 172.17.0.5/32 dev lo
    ip -n rtr route add 172.17.0.0/16 via 10.3.0.2
    static 'to-src: 239.1.1.1 > to-rcv1' 'to-rcv2: 239.9.9.9 > to-rcv1'
    send 172.16.0.5 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    must "without a route" kernel_oifs_are 172.16.0.5 239.1.1.1 to-rcv1
    send 172.17.0.5 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    must "with another" kernel_oifs_are 172.17.0.5 239.1.1.1 to-rcv1
    packet 172.16.0.5 239.5.5.5
    must "a flow that no route is about is refused" kernel_oifs_are 172.16.0.5 239.5.5.5 -
    ends static
}

interfaces_come_and_go() {
    ip -n rtr link del to-rcv1
    static 'to-src: 239.1.1.1 > to-rcv1 to-rcv2'
    packet 10.1.0.2 239.1.1.1
    must "to what is there" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
    ip -n rtr link add to-rcv1 type veth peer name eth0 netns rcv1
    ip -n rtr link set to-rcv1 up
    ip -n rcv1 link set eth0 up
    must "and to what comes" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    ip -n rtr link del to-rcv1
    must "and goes" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
    ends static
}

# Under mgmd with IGMP, which adds members of its own; killed and started again under traffic.
with_igmp_under_mgmd() {
    start_mgmd rtr
    static 'to-src: 239.1.1.1 > to-rcv1' 'to-src: 239.9.9.9 > to-rcv2'
    protocol igmp rtr mgm-igmp --query-interval 2 --response-interval 0.5 to-rcv1 to-rcv2
    receivers rcv1 rcv2
    join rcv2 239.1.1.1
    must "heard" log_has igmp "239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    must "to the route's interface and the member's" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 300 200
    must "under traffic" got rcv2 239.1.1.1 10.1.0.2 20
    finish static KILL
    static 'to-src: 239.1.1.1 > to-rcv1' 'to-src: 239.9.9.9 > to-rcv2'
    finish sender
    must "no packet is lost" numbers_are rcv2 got 239.1.1.1 10.1.0.2 "$(seq_line 1 301)"
    now "nor on the route's interface" link_count_is rcv1 239.1.1.1 301
    # Another protocol has the interfaces: a second one waits for them.
    start second rtr env MGM_LOG=off "$BIN/mgm-static" --component 2 'to-src: 239.1.1.1 > to-rcv1'
    must "it says so" log_has second "cannot have to-src (ERROR_ALREADY_EXISTS)"
    ends static
    must "it gets them in the end" log_has second "is on to-src"
    packet 10.1.0.2 239.1.1.1 400
    must "and forwards" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    ends igmp
    ends second
}

bad_routes() {
    local route
    for route in '239.1.1.1 > eth1' 'eth0: > eth1' 'eth0: 239.1.1.1' 'eth0: 239.1.1.1 >' 'eth0: 10.0.0.1 > eth1' \
        'eth0: 224.0.0.9 > eth1' 'eth0: 239.1.1.1 > eth0' 'eth0: 239.1.1.1 > eth1 eth1' 'eth0: 239.1.1.9-239.1.1.1 > eth1' \
        'eth0: 239.1.1.1,10.0.0.1 > eth1' 'eth0: 239.0.0.0/8 > eth1' 'eth0: 239.1.1.1/33 > eth1' 'eth0: 239.1.1.1 > > eth1'; do
        start bad rtr "$BIN/mgm-static" "$route"
        finish bad
        [ $? = 2 ] || wrong "$route is refused"
        now "$route: it says why" log_has bad "mgm-static: error: "
    done
}

TESTS="groups_and_ranges sources routes_of_two_interfaces foreign_sources interfaces_come_and_go with_igmp_under_mgmd bad_routes"
run_tests "mgm-static's topologies" "$TESTS" "$@"
