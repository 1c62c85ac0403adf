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

# ---- the file is read anew ------------------------------------------------------------------------------------

# routes ROUTE...: what the file says from now on; routes_read_anew has it read.
routes() { printf '%s\n' "# routes" "$@" >"$LOGS/routes.conf"; }
from_file() { protocol static rtr mgm-static --config "$LOGS/routes.conf"; }
routes_read_anew() {
    local before
    before=$(lines static "the routes were read anew")
    kill -HUP "$(pid_of static)"
    must "it is read anew" more_lines static "the routes were read anew" "$before"
}

# Under traffic, alone and under mgmd: what stays loses no packet, whatever comes and goes beside it.
the_file_changes() {
    local host
    for host in alone mgmd; do
        [ $host = alone ] || start_mgmd rtr
        routes 'to-src: 239.1.1.1 239.1.2.1 > to-rcv1'
        from_file
        receivers rcv1 rcv2
        packet 10.1.0.2 239.1.1.1
        packet 10.1.0.2 239.1.2.1
        packet 10.1.0.2 239.1.3.1
        must "to rcv1" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv1
        must "what no route names goes nowhere" kernel_oifs_are 10.1.0.2 239.1.3.1 -
        start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 600 300
        must "under traffic" more_lines rcv1 "link 239.1.1.1" 20
        routes 'to-src: 239.1.1.1 239.1.3.1 > to-rcv1 to-rcv2'
        routes_read_anew
        must "an interface more" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
        must "a group less" kernel_oifs_are 10.1.0.2 239.1.2.1 -
        must "and another one" kernel_oifs_are 10.1.0.2 239.1.3.1 to-rcv1,to-rcv2
        must "on its link" more_lines rcv2 "link 239.1.1.1" 20
        routes 'to-src: 239.1.1.1 > to-rcv1'
        routes_read_anew
        must "an interface less" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
        must "which it does without" log_has static "does without to-rcv2"
        routes 'to-src: 239.1.1.1 > to-rcv1 to-rcv1'
        kill -HUP "$(pid_of static)"
        must "what makes no sense is told" log_has static "error: the routes stay as they are: to-rcv1: named twice in one route"
        rm "$LOGS/routes.conf"
        kill -HUP "$(pid_of static)"
        must "a file that is not there as well" log_has static "routes.conf: No such file"
        now "nothing has changed" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
        finish sender
        must "no packet is lost" wait_for 1 link_numbers_are rcv1 239.1.1.1 10.1.0.2 "$(seq_line 1 601)"
        ends static
        finish rcv1 KILL || true
        finish rcv2 KILL || true
    done
}
link_numbers_are() { [ "$(numbers "$1" link "$2" "$3")" = "$4" ]; }

# A flow that is there comes in elsewhere from now on, or may leave where it might not.
the_way_in_changes() {
    ip -n src address add 172.16.0.5/32 dev lo
    ip -n rtr route add 172.16.0.0/16 via 10.3.0.2
    routes 'to-rcv2: 239.1.1.1 > to-rcv1' 'to-src: 239.1.2.1 > to-rcv2' 'to-rcv1: 239.1.2.1 > to-src'
    from_file
    receivers rcv1
    packet 172.16.0.5 239.1.1.1
    packet 10.1.0.2 239.1.2.1
    must "expected from elsewhere" kernel_has "172.16.0.5 239.1.1.1 to-rcv2"
    must "to its own route's interface" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv2
    routes 'to-src: 239.1.1.1 > to-rcv1' 'to-src: 239.1.2.1 > to-rcv2' 'to-rcv2: 239.1.2.1 > to-rcv1'
    routes_read_anew
    must "accepted where its packets come in" arrives_at rcv1 172.16.0.5 239.1.1.1
    must "an interface for another route" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv2
    routes 'to-src: 239.1.1.1 > to-rcv1' 'to-src: 239.1.2.1 > to-rcv2 to-rcv1' 'to-rcv2: 239.1.2.1 > to-rcv1'
    routes_read_anew
    must "becomes one for this, too" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv1,to-rcv2
    routes 'to-src: 239.1.1.1 > to-rcv1' 'to-src: 239.1.2.1 > to-rcv2' 'to-rcv2: 239.1.2.1 > to-rcv1'
    routes_read_anew
    must "and is none again" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv2
    ends static
}
kernel_has() { kernel_table | cut -d' ' -f1-3 | grep -qxF "$1"; }
arrives_at() { packet "$2" "$3" && grep -q "^link $3 from $2 " "$LOGS/$1"; }

# Groups are joined on the way in, more of them than one socket may, and sources; and left when they are not named any more.
joins() {
    local n descriptors
    in_ns rtr sh -c 'echo 2 >/proc/sys/net/ipv4/igmp_max_memberships'
    routes '--join yes' 'to-src: 239.1.1.1-239.1.1.50 10.1.0.2,239.1.2.1 239.1.2.1 > to-rcv1' '--join no' 'to-src: 239.9.9.9 > to-rcv1'
    from_file
    must "50 groups of a range, and one" joined_are 51 to-src
    now "not on the way out" joined_are 0 to-rcv1
    now "nor without the option" not_joined 239.9.9.9
    routes '--join yes' 'to-src: 239.1.1.9 10.1.0.2,239.1.2.1 10.1.0.3,239.1.2.1 > to-rcv1'
    routes_read_anew
    must "others" joined_are 2 to-src
    must "with their sources" sources_joined 2
    descriptors=$(descriptors_of static)
    for n in 1 2 3; do # it goes and comes
        ip -n rtr link del to-src
        must "it has gone ($n)" lines_are static "to-src has gone" $n
        ip -n rtr link add to-src up type veth peer name eth0 netns src
        must "joined again ($n)" joined_are 2 to-src
        must "with their sources" sources_joined 2
    done
    routes 'to-src: 239.1.1.9 > to-rcv1'
    routes_read_anew
    now "no socket keeps what has gone" [ "$(descriptors_of static)" = "$descriptors" ]
    must "the option ends: all are left" joined_are 0 to-src
    ends static
}
descriptors_of() { find "/proc/$(pid_of "$1")/fd" -type l | wc -l; }
# Groups that the kernel has joined on a device, 224.0.0.1 aside.
joined() {
    in_ns rtr ip maddress show dev "$1" | sed -n 's/^[[:space:]]*inet  *\([0-9.]*\).*/\1/p' | grep -vE '^224\.0\.0\.' || true
}
joined_are() { [ "$(joined "$2" | grep -c .)" = "$1" ]; }
not_joined() { ! joined to-src | grep -qxF "$1"; }
# The kernel shows those of a device only while the group that it joined last has some.
sources_joined() { [ "$(in_ns rtr grep -c to-src /proc/net/mcfilter)" = "$1" ]; }

# A switch that snoops sends the group only where it was asked for: without a join not to the router.
a_switch_on_the_way_in() {
    ip -n rtr link del to-src
    ip netns add switch
    ip -n switch link add bridge type bridge mcast_snooping 1 mcast_querier 1 mcast_query_response_interval 20 \
        mcast_startup_query_interval 50
    ip -n switch address add 10.1.0.9/24 dev bridge
    ip -n switch link add to-rtr type veth peer name to-src netns rtr
    ip -n switch link add to-src type veth peer name eth0 netns src
    for port in to-rtr to-src; do
        ip -n switch link set $port master bridge
        ip -n switch link set $port up
    done
    ip -n switch link set bridge up
    ip -n rtr address add 10.1.0.1/24 dev to-src
    ip -n rtr link set to-src up
    ip -n src address add 10.1.0.2/24 dev eth0
    ip -n src link set eth0 up
    ip -n src route add default via 10.1.0.1
    routes 'to-src: 239.1.1.1 239.1.1.2 > to-rcv1'
    from_file
    must "the switch snoops" nothing_comes_of 239.1.1.2
    receivers rcv1
    routes '--join yes' 'to-src: 239.1.1.1 > to-rcv1' '--join no' 'to-src: 239.1.1.2 > to-rcv1'
    routes_read_anew
    must "what is joined comes" arrives_at rcv1 10.1.0.2 239.1.1.1
    packet 10.1.0.2 239.1.1.2
    packet 10.1.0.2 239.1.1.1 2
    must "more of it" log_has rcv1 "link 239.1.1.1 from 10.1.0.2 number 2"
    now "and what is not does not" link_count_is rcv1 239.1.1.2 0
    ends static
}
# Of two packets, one of a group that every switch floods, the router's device counts one.
nothing_comes_of() {
    local before
    before=$(frames)
    packet 10.1.0.2 "$1"
    in_ns src "$BIN/sender" eth0 10.1.0.2 224.0.0.99 $PORT 1 1 1000 # is flooded
    wait_for 2 more_frames "$before" && [ "$(frames)" = $((before + 1)) ]
}
frames() { in_ns rtr cat /proc/net/dev | awk '$1 == "to-src:" { print $3 }'; }
more_frames() { [ "$(frames)" -gt "$1" ]; }

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

TESTS="groups_and_ranges sources routes_of_two_interfaces foreign_sources interfaces_come_and_go with_igmp_under_mgmd
    the_file_changes the_way_in_changes joins a_switch_on_the_way_in bad_routes"
run_tests "mgm-static's topologies" "$TESTS" "$@"
