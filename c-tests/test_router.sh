#!/usr/bin/env bash
# The router of this directory on the kernel forwarder, between hosts in namespaces, with real
# IGMP and real packets: as one process, and as three (mgmd, IGMP, the routing protocol). Ends with the
# line "N passed, N failed". Names of tests on the command line run only those; one of three processes
# begins with "apart_".
set -u
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

enter_namespaces "$@" || {
    echo "skipped: the router's tests, for network namespaces are not permitted here ($NS_REASON)"
    echo "0 passed, 0 failed"
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

# must TEXT COMMAND...: within 20 seconds. now TEXT COMMAND...: at once.
must() { local text=$1; shift; wait_for 20 "$@" || wrong "$text"; }
now() { local text=$1; shift; "$@" || wrong "$text"; }
wrong() {
    echo "  does not hold: $*"
    {
        echo "-- router:"; cat "$LOGS/router"
        [ ! -e "$LOGS/shell" ] || { echo "-- shell:"; cat "$LOGS/shell" "$LOGS/shown"; }
        [ -z "${APART:-}" ] || { echo "-- mgmd:"; cat "$LOGS/mgmd"; }
        echo "-- kernel:"; ip -n rtr -s mroute show
    } 2>/dev/null | sed 's/^/    /'
    exit 1
}
# The kernel lacks what the test is about: it is reported, and in CI it counts as a failure.
cannot() {
    echo "skipped: $*"
    exit 77
}
link_count_is() { [ "$(on_link "$1" "$2")" = "$3" ]; }
seq_line() { seq -s ' ' "$1" "$2"; }

router_and_receivers() {
    start_router "$@" || wrong "the router starts"
    start_receivers || wrong "the receivers start"
}

# The router ends with status 0, having printed just what the kernel had, and leaves it empty.
end_router() {
    local kernel status=0
    kernel=$(kernel_table)
    stop_router || status=$?
    [ "$status" = 0 ] || wrong "the router ends with status 0 (it was $status)"
    if [ "$kernel" != "$(router_table)" ]; then
        printf 'kernel:\n%s\nrouter:\n%s\n' "$kernel" "$(router_table)"
        wrong "the router's table and the kernel's agree"
    fi
    now "nothing is left in the kernel" kernel_is_empty
}
kernel_is_empty() { [ -z "$(kernel_table)" ]; }

hosts_speak_igmp() { # 1, 2 or 3
    local host
    for host in rcv1 rcv2; do
        in_ns "$host" sh -c "echo $1 >/proc/sys/net/ipv4/conf/eth0/force_igmp_version"
    done
}
igmp() { local host=$1; shift; in_ns "$host" "$BIN/igmp_send" "$@"; }

# ---- tests ----------------------------------------------------------------------------------------

join_forward_leave() { # with whatever version of IGMP the hosts speak
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 20 || wrong "20 packets reach the kernel"
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 20)"
    now "rcv2's link stays free" link_count_is rcv2 239.1.1.1 0
    leave rcv1 239.1.1.1 || wrong "the leave is heard"
    must "forwarded to nobody" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    send 10.1.0.2 239.1.1.1 21 5 || wrong "5 packets reach the kernel"
    now "rcv1's link stays free" link_count_is rcv1 239.1.1.1 20
    join rcv1 239.1.1.1 || wrong "the second join is heard"
    must "forwarded again, without a packet" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    send 10.1.0.2 239.1.1.1 26 5 || wrong "5 packets reach the kernel"
    must "rcv1 got the last five" \
        numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 20) $(seq_line 26 30)"
    end_router
}
igmp_version_3() { join_forward_leave; }
igmp_version_2() { hosts_speak_igmp 2; join_forward_leave; }

igmp_version_1() {
    router_and_receivers
    igmp rcv1 eth0 10.2.0.70 v1 239.1.1.1
    must "heard" log_has router "igmp: 10.2.0.70 joined 239.1.1.1 on to-rcv1"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    must "on rcv1's link" link_count_is rcv1 239.1.1.1 5
    end_router
}

# Such reports reach no raw socket but the forwarder's (RFC 2236 wants the option, RFC 1112 has none).
igmp_without_router_alert() {
    local version
    router_and_receivers
    for version in 1 2; do
        igmp rcv1 -a eth0 10.2.0.7$version v$version 239.1.1.$version
        must "heard" log_has router "igmp: 10.2.0.7$version joined 239.1.1.$version on to-rcv1"
        send 10.1.0.2 239.1.1.$version 1 5 || wrong "5 packets reach the kernel"
        must "on rcv1's link" link_count_is rcv1 239.1.1.$version 5
    done
    igmp rcv1 -a eth0 10.2.0.72 leave 239.1.1.2
    must "the leave too" log_has router "igmp: 10.2.0.72 left 239.1.1.2"
    must "forwarded to nobody" kernel_oifs_are 10.1.0.2 239.1.1.2 -
    end_router
}

# A program on the router is a member itself: then the kernel takes reports for packets of a flow.
reports_are_no_flow() {
    local option version
    start_router || wrong "the router starts"
    start_receivers || wrong "the receivers start"
    in_ns rtr sh -c "echo 2 >/proc/sys/net/ipv4/conf/to-rcv1/force_igmp_version"
    start own rtr "$BIN/receiver" to-rcv1 $PORT
    wait_for 20 log_has own ready
    tell own join 239.1.1.1
    must "the router's program joined" log_has own "joined 239.1.1.1"
    for option in "" -a; do
        for version in 1 2; do
            # shellcheck disable=SC2086 # an option or none
            igmp rcv1 $option eth0 10.2.0.$((60 + version * 10 + ${#option})) v$version 239.1.1.1
        done
    done
    must "all are heard" log_has router "igmp: 10.2.0.82 joined 239.1.1.1"
    # (Not with send: the kernel counts each packet twice, as it comes back to its own member.)
    in_ns src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 1 3 20
    must "rcv1's link has a source's packets" link_count_is rcv1 239.1.1.1 3
    now "the source is the only one" [ "$(kernel_table | wc -l)" = 1 ]
    now "nor has the protocol heard of another" [ "$(router_lines "new flow (10.2.0.")" = 0 ]
    # A host that was taken for none is a source like any other.
    in_ns rcv1 "$BIN/sender" eth0 10.2.0.2 239.1.1.1 $PORT 1 1 20
    must "a packet of rcv1's makes an entry" kernel_count_is 10.2.0.2 239.1.1.1 1
    end_router
}

source_specific() {
    router_and_receivers
    join rcv1 232.1.1.1 10.1.0.3 || wrong "the join is heard"
    send 10.1.0.2 232.1.1.1 1 5 || wrong "5 packets reach the kernel"
    send 10.1.0.3 232.1.1.1 1 5 || wrong "5 packets reach the kernel"
    must "rcv1 got those of 10.1.0.3" numbers_are rcv1 got 232.1.1.1 10.1.0.3 "$(seq_line 1 5)"
    now "and nothing else is on its link" link_count_is rcv1 232.1.1.1 5
    now "10.1.0.2 is forwarded to nobody" kernel_oifs_are 10.1.0.2 232.1.1.1 -
    leave rcv1 232.1.1.1 10.1.0.3 || wrong "the leave is heard"
    must "10.1.0.3 is forwarded to nobody" kernel_oifs_are 10.1.0.3 232.1.1.1 -
    end_router
}

# Threads cost address space: a stack each, and glibc's malloc would reserve 64 MiB for each.
address_space() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 20 || wrong "20 packets reach the kernel"
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 20)"
    now "less than 64 MiB" address_space_is_below 65536
    end_router
}
address_space_is_below() {
    local size
    size=$(sed -n 's/^VmSize:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$(pid_of router)/status")
    [ "$size" -lt "$1" ] || { echo "  VmSize: $size kB"; return 1; }
}

# One host's leave does not cut another off.
two_hosts_on_a_link() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "the second host is heard" log_has router "igmp: 10.2.0.77 joined 239.1.1.1"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    leave rcv1 239.1.1.1 || wrong "the leave is heard"
    now "still forwarded" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    send 10.1.0.2 239.1.1.1 6 5 || wrong "5 packets reach the kernel"
    must "all on the link" link_count_is rcv1 239.1.1.1 10
    igmp rcv1 eth0 10.2.0.77 leave 239.1.1.1
    must "the last one left" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    end_router
}

version_3_records() {
    router_and_receivers
    send 10.1.0.2 239.1.1.1 1 1 || wrong "a packet reaches the kernel"
    send 10.1.0.3 239.1.1.1 1 1 || wrong "a packet reaches the kernel"
    igmp rcv1 eth0 10.2.0.77 allow 239.1.1.1 10.1.0.2 10.1.0.3
    must "ALLOW both" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1
    must "ALLOW both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 block 239.1.1.1 10.1.0.3
    must "BLOCK one" kernel_oifs_are 10.1.0.3 239.1.1.1 -
    now "and not the other" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 to_in 239.1.1.1 10.1.0.3
    must "TO_IN the other" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    must "TO_IN the other" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 is_ex 239.1.1.1
    must "IS_EX none" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    now "the other stays" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 is_in 239.1.1.1 10.1.0.2
    must "IS_IN one" kernel_oifs_are 10.1.0.3 239.1.1.1 -
    now "it stays" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 block 239.1.1.1 10.1.0.2
    must "BLOCK the last" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    now "that is a leave" log_has router "igmp: 10.2.0.77 left 239.1.1.1"
    end_router
}

members_before_the_router() {
    start_receivers || wrong "the receivers start"
    tell rcv2 join 239.1.1.1
    must "rcv2 joined" log_has rcv2 "joined 239.1.1.1"
    start_router || wrong "the router starts"
    must "its first query finds the member" log_has router "igmp: 10.3.0.2 joined 239.1.1.1"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    must "rcv2 got all" numbers_are rcv2 got 239.1.1.1 10.1.0.2 "$(seq_line 1 5)"
    end_router
}

silent_members_are_dropped() {
    router_and_receivers -q 1
    join rcv2 239.1.1.1 || wrong "the join is heard"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "heard" log_has router "igmp: 10.2.0.77 joined 239.1.1.1"
    send 10.1.0.2 239.1.1.1 1 1 || wrong "a packet reaches the kernel"
    must "nobody answers for 10.2.0.77" log_has router "10.2.0.77 on to-rcv1 fell silent"
    must "rcv2 answers the queries" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
    end_router
}

malformed_igmp() {
    local octets
    router_and_receivers
    # Short, of an unknown type, with a wrong checksum, with records and sources that are not there.
    for octets in 16 160009f9 16000000ef010101 ff0000ff00000000 2200ddffffffffff \
        2200ddfe0000000100000000 2200e61300000001040003e8ef010101 22000000; do
        igmp rcv1 eth0 10.2.0.66 raw 224.0.0.22 $octets
    done
    igmp rcv1 eth0 10.2.0.66 v2 10.1.0.9      # not a group
    igmp rcv1 eth0 10.2.0.66 to_ex 224.0.0.5  # stays on its link
    igmp rcv1 eth0 10.2.0.66 to_in 239.1.1.1  # wants nothing
    join rcv1 239.1.1.9 || wrong "the router still hears"
    now "nothing came of it" [ "$(router_lines 10.2.0.66)" = 0 ]
    end_router
}

wrong_interface() {
    ip -n rcv2 address add 10.1.0.2/32 dev lo # rcv2 pretends to be the source
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    join rcv2 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    in_ns rcv2 "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 1 3 200
    must "the protocol hears of it" \
        log_has router "wrong interface (10.1.0.2,239.1.1.1): a packet came in on to-rcv2"
    must "the kernel counted them" kernel_count_is 10.1.0.2 239.1.1.1 8
    now "rcv1 has none of them" link_count_is rcv1 239.1.1.1 5
    end_router
}

sources_on_every_side() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    join rcv2 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    in_ns rcv2 "$BIN/sender" eth0 10.3.0.2 239.1.1.1 $PORT 1 1 200
    must "a packet of rcv2's" kernel_count_is 10.3.0.2 239.1.1.1 1
    must "goes to rcv1" numbers_are rcv1 got 239.1.1.1 10.3.0.2 1
    now "and not back" kernel_oifs_are 10.3.0.2 239.1.1.1 to-rcv1
    now "and 10.1.0.2's to both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    end_router
}

many_flows() {
    local n source
    router_and_receivers
    for n in $(seq 1 12); do
        join rcv1 "239.2.0.$n" || wrong "the join is heard"
        [ $((n % 2)) = 0 ] || join rcv2 "239.2.0.$n" || wrong "the join is heard"
    done
    for n in $(seq 1 12); do
        for source in 10.1.0.2 10.1.0.3; do
            send $source "239.2.0.$n" 1 $((n % 3 + 1)) || wrong "the packets reach the kernel"
        done
    done
    for n in $(seq 1 12); do
        for source in 10.1.0.2 10.1.0.3; do
            must "rcv1 got them" \
                numbers_are rcv1 got "239.2.0.$n" $source "$(seq_line 1 $((n % 3 + 1)))"
        done
    done
    now "one entry for each" [ "$(kernel_table | wc -l)" = 24 ]
    end_router
}

route_changes() {
    ip -n src address add 10.9.0.5/32 dev lo
    ip -n rtr route add 10.9.0.0/24 via 10.1.0.2
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.9.0.5 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    must "from to-src" iif_is 10.9.0.5 239.1.1.1 to-src
    ip -n rtr route replace 10.9.0.0/24 via 10.3.0.2
    must "the entry follows the route" iif_is 10.9.0.5 239.1.1.1 to-rcv2
    now "to the same member" kernel_oifs_are 10.9.0.5 239.1.1.1 to-rcv1
    ip -n rtr route del 10.9.0.0/24
    must "without a route it goes to nobody" kernel_oifs_are 10.9.0.5 239.1.1.1 -
    ip -n rtr route add 10.9.0.0/24 via 10.1.0.2
    must "and with it again" kernel_oifs_are 10.9.0.5 239.1.1.1 to-rcv1
    end_router
}
iif_is() { [ "$(kernel_table | awk -v s="$1" -v g="$2" '$1 == s && $2 == g { print $3 }')" = "$3" ]; }

link_goes_down_and_up() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    join rcv2 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    ip -n rtr link set to-rcv1 down
    must "the interface leaves the list" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
    ip -n rtr link set to-rcv1 up
    must "and comes back" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    send 10.1.0.2 239.1.1.1 4 3 || wrong "3 packets reach the kernel"
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 6)"
    end_router
}

second_router() {
    router_and_receivers
    start second rtr env MGM_FORWARDER=kernel "$BIN/router" to-src to-rcv1
    finish second
    now "a second router does not start" [ $? = 1 ]
    now "it says which call" log_has second "gave ERROR_CAN_NOT_COMPLETE"
    now "and why" log_has second "another multicast router"
    join rcv1 239.1.1.1 || wrong "the first one goes on"
    end_router
}

killed() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    finish router KILL
    must "the kernel has nothing of it" kernel_is_empty
    start_router || wrong "the next one starts"
    must "and finds the member" log_has router "igmp: 10.2.0.2 joined 239.1.1.1"
    end_router
}

# The kernel asks for CAP_NET_RAW to open the socket; CAP_NET_ADMIN goes as well, for good measure.
no_permission() {
    start router rtr env MGM_FORWARDER=kernel setpriv --bounding-set=-net_admin,-net_raw \
        --inh-caps=-net_admin,-net_raw "$BIN/router" to-src
    finish router
    now "it ends with status 1" [ $? = 1 ]
    now "it says which call" log_has router "gave ERROR_CAN_NOT_COMPLETE"
    now "and what it needs" log_has router CAP_NET_
}

unknown_forwarder() {
    start router rtr env MGM_FORWARDER=karnel "$BIN/router" to-src
    finish router
    now "it ends with status 1" [ $? = 1 ]
    now "it names the variable" log_has router MGM_FORWARDER
    now "it says which call" log_has router "gave ERROR_CAN_NOT_COMPLETE"
}

another_table() {
    ip -n rtr mrule add priority 100 lookup 100 ||
        cannot "another_table: this kernel has one multicast routing table only"
    start router rtr env MGM_FORWARDER=kernel:100 MGM_LOG=warn "$BIN/router" to-src to-rcv1 to-rcv2
    must "the router starts" log_has router "router: ready"
    start_receivers || wrong "the receivers start"
    join rcv1 239.1.1.1 || wrong "the join is heard"
    in_ns src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 1 3 20
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 3)"
    now "the default table stays empty" kernel_is_empty
    MROUTE_TABLE=100
    now "the entry is in table 100" kernel_count_is 10.1.0.2 239.1.1.1 3
    end_router
}

startup_on_the_kernel() {
    local index
    index=$(ip -n rtr -o link show to-src | cut -d: -f1)
    start router rtr env MGM_FORWARDER=kernel MGM_LOG=off "$BIN/startup" "$index"
    finish router || wrong "startup"
}

no_such_interface() {
    start router rtr env MGM_FORWARDER=kernel "$BIN/startup" 9999
    finish router
    now "it ends with status 1" [ $? = 1 ]
    now "the take is refused" log_has router "= ERROR_CAN_NOT_COMPLETE"
    now "with the reason" log_has router "9999"
}

# docs/PORTING.md's daemon, on the kernel's socket and on mgm.h: the same lines, the same kernel entries.
ported_daemon() {
    local daemon
    ip -n rcv1 address add 10.1.0.2/32 dev lo
    for daemon in port_mrt port_mgm; do
        start "$daemon" rtr env MGM_LOG=warn "$BIN/$daemon" 239.1.0.0/16 to-src to-rcv1 to-rcv2
        must "$daemon starts" log_has "$daemon" ready
        send 10.1.0.2 239.1.1.1 1 20 || wrong "20 packets reach the kernel"
        send 10.1.0.3 239.2.1.1 1 5 || wrong "5 packets of another group reach the kernel"
        in_ns rcv1 "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 1 1 20
        must "$daemon hears of the wrong interface" log_has "$daemon" "wrong interface 10.1.0.2 239.1.1.1 to-rcv1"
        kernel_table >"$LOGS/$daemon.kernel"
        kill -USR1 "$(pid_of "$daemon")"
        must "$daemon prints its entries" log_has "$daemon" "2 entries"
        finish "$daemon" TERM || wrong "$daemon ends with status 0"
        now "nothing is left in the kernel" kernel_is_empty
    done
    now "the kernel had the same" diff "$LOGS/port_mrt.kernel" "$LOGS/port_mgm.kernel"
    now "both print the same" diff "$LOGS/port_mrt" "$LOGS/port_mgm"
    now "and it is right" grep -qx "entry 10.1.0.2 239.1.1.1 from to-src, 20 packets to to-rcv1 to-rcv2" "$LOGS/port_mgm"
}

# ---- in three processes ----

# A stream of 1,000 packets a second for so many seconds, from the second packet on: the first has been
# sent, so that the flow has its entry.
start_stream() {
    send 10.1.0.2 239.1.1.1 1 1 || wrong "the first packet reaches the kernel"
    STREAM=$(($1 * 1000))
    lost_before=$(full_sockets)
    start stream src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 "$STREAM" 1000
}
# Packets that rcv1 had no room for because its program read too late.
# shellcheck disable=SC2016 # awk expands it
full_sockets() { in_ns rcv1 awk '/^Udp: [0-9]/ { print $6 }' /proc/net/snmp; }
# Every packet of the stream has come to rcv1, once and in order.
stream_has_come() {
    local got full
    wait "$(pid_of stream)" || wrong "the stream was sent"
    wait_for 20 stream_is_read || true
    got=$(sed -n 's/^got 239.1.1.1 from 10.1.0.2 number //p' "$LOGS/rcv1" | wc -l)
    full=$(($(full_sockets) - lost_before))
    echo "  $((STREAM + 1)) packets sent, $got read by the member, $full more on its full socket"
    now "no packet was lost" [ $((got + full)) = $((STREAM + 1)) ]
    now "none came twice, all in order" in_order
}
stream_is_read() { log_has rcv1 "got 239.1.1.1 from 10.1.0.2 number $((STREAM + 1))"; }
in_order() {
    sed -n 's/^got 239.1.1.1 from 10.1.0.2 number //p' "$LOGS/rcv1" | sort -cnu
}
router_says_again() { # TEXT COMMAND...: the command makes the router say the text once more
    local text=$1 before
    shift
    before=$(router_lines "$text")
    "$@"
    must "the router says: $text" more_router_lines "$text" "$before"
}
kill_client() { # igmp|protocol: and start it again
    finish "$1" KILL
    [ $? = 137 ] || wrong "it was killed"
    start_client "$1"
}

# Rule P3: killed and started again within the hold time, neither client loses a packet.
apart_clients_killed() {
    HOLD=4 router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    start_stream 8
    router_says_again "protocol ready" kill_client protocol
    router_says_again "igmp: 10.2.0.2 joined 239.1.1.1" kill_client igmp
    # What they did not ask for again goes while the stream is on.
    must "the hold time of the first is over" log_has mgmd "is back; 0 interfaces"
    must "and of the second" hold_is_over_for_both
    stream_has_come
    end_router
}

hold_is_over_for_both() { [ "$(grep -c "is back; 0 interfaces" "$LOGS/mgmd")" = 2 ]; }

# Rule P2: without a hold time its entries go with it, and the others go on.
apart_client_gone() {
    router_and_receivers
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 3 || wrong "3 packets reach the kernel"
    router_says_again "igmp: enabled on to-rcv1" finish protocol KILL
    send 10.1.0.2 239.1.1.1 4 3 || wrong "3 packets reach the kernel"
    must "IGMP's member gets what comes" log_has rcv1 "got 239.1.1.1 from 10.1.0.2 number 6"
    finish igmp KILL
    must "nobody is left" kernel_is_empty
    finish mgmd TERM || wrong "mgmd ends with status 0"
}

# Rule P5: mgmd is killed and started again with its socket, as systemd does it. The kernel goes on, and
# both clients find the new one.
apart_host_killed() {
    local before
    SERVICE=1 HOLD=10 router_and_receivers
    must "it is ready" log_has mgmd "says READY=1"
    must "its socket is kept" log_has mgmd "keeps mgm"
    join rcv1 239.1.1.1 || wrong "the join is heard"
    start_stream 6
    before=$(router_lines "protocol ready")
    router_says_again "igmp ready" kill -KILL "$(sed -n 's/^started //p' "$LOGS/mgmd")"
    must "the protocol too" more_router_lines "protocol ready" "$before"
    now "they were told" [ "$(router_lines "the host has gone")" = 2 ]
    now "the new one took the entry over" log_has mgmd "with 1 entries on 3 interfaces"
    join rcv2 239.1.1.1 || wrong "a new member is heard"
    must "and gets the flow" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    stream_has_come
    # The socket stays in the store, and with it what the kernel has.
    finish protocol INT || wrong "the protocol ends with status 0"
    finish igmp INT || wrong "IGMP ends with status 0"
    finish mgmd TERM || wrong "mgmd ends with status 0"
    now "it said that it ends" log_has mgmd "says STOPPING=1"
}

# printed DOCUMENT MARK: the block of code behind the comment that begins with MARK; its first line names a language.
printed() { sed -n "/^<!-- $2/,/^\`\`\`\$/p" "$HERE/../$1" | sed '1,2d;$d'; }

# The three commands of docs/RUNNING.md, as they stand there, on a router with eth0 and eth1.
apart_readme() {
    local commands
    commands=$(printed docs/RUNNING.md "commands c-tests")
    now "they are there" [ "$(printf '%s\n' "$commands" | grep -c '&$')" = 3 ]
    ip -n rtr link set to-src down
    ip -n rtr link set to-rcv1 down
    ip -n rtr link set to-src name eth0
    ip -n rtr link set to-rcv1 name eth1
    ip -n rtr link set eth0 up
    ip -n rtr link set eth1 up
    start router rtr sh -c "cd '$HERE/..' || exit 1
        $commands
        wait"
    must "all three run" three_children
    # shellcheck disable=SC2207 # several numbers
    PIDS+=($(children router))
    start_receivers || wrong "the receivers start"
    must "IGMP is there" log_has router "igmp ready"
    must "the protocol is there" log_has router "protocol ready"
    join rcv1 239.1.1.1 || wrong "the join is heard"
    send 10.1.0.2 239.1.1.1 1 5 || wrong "5 packets reach the kernel"
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 5)"
}
children() { cat "/proc/$(pid_of "$1")/task/$(pid_of "$1")/children"; }
three_children() { [ "$(children router | wc -w)" = 3 ]; }

# The README's first minute, as it is typed: what is printed there is what comes, numbers aside.
readme_first_minute() {
    local commands n
    if ! command -v ping >/dev/null; then
        cannot "the README's first minute, for ping is missing"
    fi
    commands=$(printed README.md "first minute")
    now "it ends with a look" [ "$(tail -1 <<<"$commands")" = "mgmctl watch" ]
    start shell rtr bash
    tell shell "cd '$HERE/..'"
    tell shell "${commands%mgmctl watch}"
    must "the three programs and the source run" children_are shell 4
    for n in $(children shell); do PIDS+=("$n"); done
    must "mgmctl watch shows the entry" shows watch watch --looks 1
    must "the groups and the interfaces" shows show show groups interfaces
    tell shell "$(printed README.md leave)"
    must "the member leaves, and the entry goes to nobody" entry_ends_with -
    tell shell "$(printed README.md end)"
    must "everything ends" children_are shell 0
    must "the machines are gone" [ ! -e /run/netns/router ]
    tell shell exit
    finish shell || wrong "the shell ends with status 0"
}
children_are() { [ "$(children "$1" | wc -w)" = "$2" ]; }
# shape: numbers as N, blanks as one, the lines in whatever order.
shape() { sed -E 's/[0-9][0-9.]*/N/g; s/ +/ /g; s/ $//; /^$/d' | sort; }
# shows MARK show|watch [ARGUMENT...]: mgmctl prints what the README prints there.
shows() {
    local mark=$1 command=$2 what
    shift 2
    if [ "$command" = show ]; then
        for what; do echo "\$ mgmctl show $what"; in_ns router "$BIN/mgmctl" show "$what"; done
    else
        in_ns router "$BIN/mgmctl" "$command" "$@"
    fi | shape >"$LOGS/shown"
    printed README.md "$mark" | shape | cmp -s - "$LOGS/shown"
}
entry_ends_with() { in_ns router "$BIN/mgmctl" show mfes | grep -q "^239.1.1.1 .* mgm-proxy eth0 $1\$"; }

TESTS="igmp_version_3 igmp_version_2 igmp_version_1 igmp_without_router_alert reports_are_no_flow source_specific two_hosts_on_a_link
    version_3_records members_before_the_router silent_members_are_dropped malformed_igmp
    wrong_interface address_space sources_on_every_side many_flows route_changes link_goes_down_and_up
    second_router killed another_table no_permission unknown_forwarder startup_on_the_kernel no_such_interface ported_daemon
    readme_first_minute"
# The same tests with three processes, and those that need them.
APART_TESTS="apart_igmp_version_3 apart_igmp_version_2 apart_igmp_version_1 apart_source_specific
    apart_two_hosts_on_a_link apart_version_3_records apart_members_before_the_router
    apart_silent_members_are_dropped apart_wrong_interface apart_sources_on_every_side
    apart_route_changes apart_link_goes_down_and_up apart_client_gone apart_clients_killed
    apart_host_killed apart_readme"

prepare
passed=0 failed=0
# shellcheck disable=SC2048 # names of tests are words
for test in ${*:-$TESTS $APART_TESTS}; do
    # Each in a process of its own, with hosts of its own.
    (
        PIDS=()
        trap 'stop_all; remove_hosts' EXIT
        make_hosts || wrong "the hosts are made"
        case $test in apart_*) APART=1 ;; esac
        if [ -n "${APART:-}" ] && ! declare -F "$test" >/dev/null; then "${test#apart_}"; else "$test"; fi
    ) &
    PIDS=($!)
    status=0
    wait $! || status=$?
    if [ "$status" = 0 ]; then
        echo "passed: $test"
        passed=$((passed + 1))
    elif [ "$status" != 77 ] || [ "${CI:-}" = true ]; then
        echo "FAILED: $test"
        failed=$((failed + 1))
    fi
    PIDS=()
    rm -f "$LOGS"/*
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
