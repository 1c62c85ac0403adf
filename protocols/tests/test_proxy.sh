#!/usr/bin/env bash
# mgm-proxy between a source, an upstream router and three links of hosts. Names of tests on the command line run only those.
#
#   src ---- r1 ---- rtr ---- rcv1      src 10.1.0.2 and 10.1.0.3, rcvN 10.(N+1).0.2
#                     +------ rcv2      r1: mgm-igmp, 10.1.0.1 to src, 10.9.0.1 to rtr
#                     +------ rcv3      rtr: the proxy, 10.9.0.2 (uplink), 10.(N+1).0.1 (to-rcvN)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

make_topology() {
    local n host
    for host in r1 rtr; do
        ip netns add $host
        ip -n $host link set lo up
    done
    ip -n r1 link add to-rtr type veth peer name uplink netns rtr
    ip -n r1 address add 10.9.0.1/24 dev to-rtr
    ip -n r1 link set to-rtr up
    ip -n rtr address add 10.9.0.2/24 dev uplink
    ip -n rtr link set uplink up
    ip -n rtr route add default via 10.9.0.1
    link r1 src 1
    ip -n src address add 10.1.0.3/24 dev eth0
    for n in 1 2 3; do
        link rtr "rcv$n" $((n + 1))
        ip -n r1 route add "10.$((n + 1)).0.0/24" via 10.9.0.2
    done
    for host in r1 rtr; do
        # shellcheck disable=SC2016 # the inner shell expands it
        in_ns $host sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$f"; done'
    done
    wait_for 20 links_run r1 rtr src rcv1 rcv2 rcv3
}
link() { # ROUTER HOST N
    ip netns add "$2"
    ip -n "$2" link set lo up
    ip -n "$1" link add "to-$2" type veth peer name eth0 netns "$2"
    ip -n "$1" address add "10.$3.0.1/24" dev "to-$2"
    ip -n "$1" link set "to-$2" up
    ip -n "$2" address add "10.$3.0.2/24" dev eth0
    ip -n "$2" link set eth0 up
    ip -n "$2" route add default via "10.$3.0.1"
}

TIMES="--query-interval 4 --response-interval 0.5 --last-member-interval 0.2"
# The router upstream; its version of IGMP is the argument, and more options.
router_upstream() {
    local version=$1
    shift
    # shellcheck disable=SC2086 # options are words
    protocol r1 r1 mgm-igmp $TIMES --igmp-version "$version" "$@" to-src to-rtr
}
proxy() {
    # shellcheck disable=SC2086
    protocol proxy rtr mgm-proxy $TIMES uplink to-rcv1 to-rcv2 to-rcv3
}
asked() { log_has r1 "to-rtr: $1 is wanted"; }
given_up() { log_has r1 "to-rtr: nobody wants $1 any more"; }
# The upstream router's entry.
upstream_oifs_are() {
    [ "$(ip -n r1 mroute show | awk -v e="($1,$2)" '$1 == e { for (n = 1; n < NF; n++) if ($n == "Oifs:" && $(n+1) != "State:") print $(n+1) }')" = "$3" ]
}

# ---- tests ----------------------------------------------------------------------------------------

# Members of all three versions, on three links.
members_of_three_versions() {
    local n
    router_upstream 3
    capture wire rtr uplink 2
    # A host of version 1 takes up to ten seconds for an answer, whatever it is asked.
    # shellcheck disable=SC2086
    protocol proxy rtr mgm-proxy $TIMES uplink to-rcv1,query-interval=30 to-rcv2 to-rcv3
    hosts_speak_igmp rcv1 1
    hosts_speak_igmp rcv2 2
    receivers rcv1 rcv2 rcv3
    for n in 1 2 3; do
        join rcv$n 239.1.1.$n
        must "a member of version $n is asked for upstream" asked 239.1.1.$n
    done
    for n in 1 2 3; do
        must "packets for a member of version $n" hears rcv$n 10.1.0.2 239.1.1.$n
        now "come to its link alone" link_count_is rcv$((n % 3 + 1)) 239.1.1.$n 0
    done
    for n in 2 3; do
        leave rcv$n 239.1.1.$n
        must "a leave of version $n goes upstream" given_up 239.1.1.$n
        must "and no packet comes" upstream_oifs_are 10.1.0.2 239.1.1.$n ""
    done
    must "the one of version 1 goes on" upstream_oifs_are 10.1.0.2 239.1.1.1 to-rtr
    ends proxy
    must "at its end it leaves" given_up 239.1.1.1
    now "nothing is left in the kernel" kernel_is_empty
    decodes_cleanly wire
    ! command -v tshark >/dev/null || for n in 1 2 3; do # RFC 3376: as often as the robustness variable says
        [ "$(tshark_finds wire "igmp.type == 0x22 && igmp.record_type == 4 && igmp.maddr == 239.1.1.$n")" -ge 2 ] ||
            wrong "a change is reported twice"
    done
    ends r1
}

several_sources() {
    local n
    ip -n src address add 10.1.0.4/24 dev eth0
    router_upstream 3
    proxy
    receivers rcv2 rcv3
    join rcv2 232.1.1.1 10.1.0.2
    must "one source" asked 232.1.1.1
    join rcv3 232.1.1.1 10.1.0.3
    for n in 2 3 4; do packet 10.1.0.$n 232.1.1.1; done
    must "to the link that asked for it" hears rcv2 10.1.0.2 232.1.1.1
    must "to the link that asked for it" hears rcv3 10.1.0.3 232.1.1.1
    must "the third source is not fetched" upstream_oifs_are 10.1.0.4 232.1.1.1 ""
    now "rcv2 has its own source alone" kernel_oifs_are 10.1.0.2 232.1.1.1 to-rcv2
    leave rcv2 232.1.1.1 10.1.0.2
    must "one leaves" upstream_oifs_are 10.1.0.2 232.1.1.1 ""
    now "the other stays" upstream_oifs_are 10.1.0.3 232.1.1.1 to-rtr
    join rcv2 232.1.1.1 # from anybody
    must "all sources, upstream too" upstream_oifs_are 10.1.0.4 232.1.1.1 to-rtr
    must "the third one comes" hears rcv2 10.1.0.4 232.1.1.1
    leave rcv2 232.1.1.1
    must "and one again" upstream_oifs_are 10.1.0.4 232.1.1.1 ""
    now "still" upstream_oifs_are 10.1.0.3 232.1.1.1 to-rtr
    ends proxy
    ends r1
}

old_queriers_upstream() {
    router_upstream 2
    proxy
    receivers rcv3
    join rcv3 239.1.1.3
    must "version 2 is spoken" log_has proxy "uplink: reporting in IGMPv2"
    must "the group is asked for" hears rcv3 10.1.0.2 239.1.1.3
    join rcv3 232.1.1.3 10.1.0.3
    must "a source is asked for as its group" hears rcv3 10.1.0.3 232.1.1.3
    leave rcv3 239.1.1.3
    must "and left" given_up 239.1.1.3
    ends r1
    router_upstream 1
    must "version 1 is spoken" log_has proxy "uplink: reporting in IGMPv1"
    join rcv3 239.1.1.4
    must "the group is asked for" hears rcv3 10.1.0.2 239.1.1.4
    ends proxy
    ends r1
}

# A hundred groups one after the other; and more at once than igmp_max_memberships allows a socket.
zapping() {
    local n
    router_upstream 3
    proxy
    receivers rcv1 rcv2
    for n in $(seq 1 100); do
        join rcv1 239.7.0."$n"
        must "channel $n is asked for" asked_upstream 239.7.0."$n" # a host that changes its mind at once says nothing
        [ "$n" = 1 ] || leave rcv1 239.7.0.$((n - 1))
    done
    must "the last one is on" hears rcv1 10.1.0.2 239.7.0.100
    must "all others are off" one_is_left
    now "and the last one still on" upstream_oifs_are 10.1.0.2 239.7.0.100 to-rtr
    for n in $(seq 1 100); do igmp rcv2 eth0 10.3.0.77 to_ex 239.8.0."$n"; done
    must "a hundred at once" asked_all 100
    ends proxy
    ends r1
}
asked_upstream() { log_has r1 "to-rtr: $1 is wanted"; }
one_is_left() { [ "$(grep -oE 'to-rtr: nobody wants 239\.7\.0\.[0-9]+' "$LOGS/r1" | sort -u | wc -l)" = 99 ]; }
asked_all() { [ "$(grep -F 'to-rtr: 239.8.' "$LOGS/r1" | grep -cF 'is wanted')" = "$1" ]; }

# Sources on a downstream link go upstream and to the members on other links.
sources_downstream() {
    router_upstream 3
    proxy
    receivers rcv2 src
    join rcv2 239.1.1.1
    join src 239.1.1.1
    must "the member upstream is known" log_has r1 "to-src: 239.1.1.1 is wanted"
    must "the one downstream too" asked 239.1.1.1
    in_ns rcv1 "$BIN/sender" eth0 10.2.0.2 239.1.1.1 $PORT 1 1 200
    must "upstream and to the other link" kernel_oifs_are 10.2.0.2 239.1.1.1 to-rcv2,uplink
    must "the member downstream has it" got rcv2 239.1.1.1 10.2.0.2 1
    must "the member upstream has it" got src 239.1.1.1 10.2.0.2 1
    ends proxy
    ends r1
}

# Sources without a route, and behind a route over an interface that is not the proxy's.
foreign_sources() {
    ip -n src address add 172.16.0.5/32 dev lo
    ip -n src address add 172.17.0.5/32 dev lo
    ip -n r1 route add 172.16.0.0/15 via 10.1.0.2
    ip -n rtr route add unreachable 172.16.0.0/16
    ip -n rtr link add other type veth peer name other-end
    ip -n rtr link set other up
    ip -n rtr address add 10.99.0.1/24 dev other
    ip -n rtr route add 172.17.0.0/16 dev other
    router_upstream 3
    proxy
    receivers rcv1
    join rcv1 239.1.1.1
    must "asked for" asked 239.1.1.1
    must "any source upstream by default" hears rcv1 172.16.0.5 239.1.1.1
    must "behind a foreign route as well" hears rcv1 172.17.0.5 239.1.1.1
    ends proxy
    words proxy uplink to-rcv1
    # shellcheck disable=SC2086
    protocol proxy rtr mgm-proxy $TIMES --config "$LOGS/proxy.conf"
    must "asked for" hears rcv1 172.16.0.5 239.1.1.1
    words proxy uplink to-rcv1 "--permit-source 172.17.0.0/16"
    read_anew proxy
    must "asked for" wait_for 1 upstream_oifs_are 172.17.0.5 239.1.1.1 to-rtr
    packet 172.16.0.5 239.1.1.1
    must "what is not on the list is refused" log_has proxy "(172.16.0.5,239.1.1.1) is refused"
    packet 172.17.0.5 239.1.1.1
    must "what is on it is not" kernel_oifs_are 172.17.0.5 239.1.1.1 to-rcv1
    now "refused" kernel_oifs_are 172.16.0.5 239.1.1.1 -
    ends proxy
    ends r1
}

# Links downstream come and go with the file, as one process and as two.
the_file_is_read_anew() {
    local host
    router_upstream 3
    for host in alone mgmd; do
        if [ $host = mgmd ]; then
            start_mgmd rtr
            # shellcheck disable=SC2086
            protocol igmp rtr mgm-igmp $TIMES to-rcv1 to-rcv2 to-rcv3
        fi
        words proxy uplink "to-rcv1 to-rcv2"
        # shellcheck disable=SC2086
        protocol proxy rtr mgm-proxy $TIMES --config "$LOGS/proxy.conf"
        receivers rcv1 rcv2 rcv3
        join rcv1 239.1.1.1
        join rcv2 239.1.1.2
        join rcv3 239.1.1.3
        must "asked for" upstream_gets 239.1.1.1 to-rtr
        must "asked for" upstream_gets 239.1.1.2 to-rtr
        must "forwarded" hears rcv1 10.1.0.2 239.1.1.1
        start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 800 200
        must "under traffic" more_lines rcv1 "link 239.1.1.1" 20
        words proxy uplink "to-rcv1 to-rcv3" "--upstream-robustness 3"
        read_anew proxy
        must "a link more" upstream_gets 239.1.1.3 to-rtr
        must "with its packets" hears rcv3 10.1.0.2 239.1.1.3
        must "a link less" log_has proxy "does without to-rcv2"
        if [ $host = alone ]; then
            must "its groups are given up" upstream_gets 239.1.1.2 ""
        else # mgm-igmp still has members there
            must "its groups are another client's" upstream_gets 239.1.1.2 to-rtr
        fi
        words proxy to-rcv2 "to-rcv1 to-rcv3"
        no_sense proxy "another upstream interface, and --igmp, need a restart"
        words proxy uplink "--deny-source 10.1/8 to-rcv1"
        no_sense proxy "10.1/8: not an address, nor a prefix such as 239.0.0.0/8"
        finish sender
        must "no packet is lost" none_is_missing rcv1
        words proxy uplink to-rcv1 "--upstream-version 2"
        read_anew proxy
        must "another version" log_has proxy "uplink: reporting in IGMPv2"
        ends proxy
        ! [ $host = mgmd ] || ends igmp
        finish rcv1 KILL || true
        finish rcv2 KILL || true
        finish rcv3 KILL || true
        must "all is given up" upstream_gets 239.1.1.3 ""
    done
    ends r1
}
# A packet each look.
upstream_gets() { packet 10.1.0.2 "$1" && upstream_oifs_are 10.1.0.2 "$1" "$2"; }
none_is_missing() { # from the first to the last
    local all last
    all=$(numbers "$1" link 239.1.1.1 10.1.0.2 | tr ' ' '\n' | sort -nu | tr '\n' ' ')
    last=${all% } last=${last##* }
    [ "$last" = 801 ] && [ "$all" = "$(seq_line 1 "$last") " ]
}

excluded_sources() {
    router_upstream 3
    proxy
    igmp rcv1 eth0 10.2.0.77 is_ex 239.1.1.1 10.1.0.3
    igmp rcv2 eth0 10.3.0.77 is_ex 239.1.1.1
    must "asked for" asked 239.1.1.1
    packet 10.1.0.2 239.1.1.1
    packet 10.1.0.3 239.1.1.1
    must "not to the link that excludes it" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv2
    must "another source to both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    igmp rcv1 eth0 10.2.0.78 is_ex 239.1.1.1
    must "until somebody wants it" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1,to-rcv2
    # The flow is there before the member that excludes it.
    igmp rcv2 eth0 10.3.0.77 is_ex 239.1.1.2
    must "asked for" asked 239.1.1.2
    packet 10.1.0.3 239.1.1.2
    must "to the other link" kernel_oifs_are 10.1.0.3 239.1.1.2 to-rcv2
    igmp rcv1 eth0 10.2.0.77 is_ex 239.1.1.2 10.1.0.3
    igmp rcv1 eth0 10.2.0.77 is_ex 239.1.1.3
    must "the proxy has heard both" asked 239.1.1.3
    packet 10.1.0.2 239.1.1.2
    must "another source to both" kernel_oifs_are 10.1.0.2 239.1.1.2 to-rcv1,to-rcv2
    now "and this one still to the other link alone" kernel_oifs_are 10.1.0.3 239.1.1.2 to-rcv2
    ends proxy
    ends r1
}

# Another router is the querier of a downstream link: the proxy does not forward there (RFC 4605 section 3).
not_the_querier() {
    router_upstream 3
    ip -n rtr address del 10.2.0.1/24 dev to-rcv1
    ip -n rtr address add 10.2.0.9/24 dev to-rcv1
    proxy
    protocol other rcv1 mgm-igmp --query-interval 2 --response-interval 0.4 eth0
    must "the other one is the querier" log_has proxy "to-rcv1: 10.2.0.2 is the querier"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    igmp rcv2 eth0 10.3.0.77 to_ex 239.1.1.1
    must "the proxy hears of rcv1" log_has proxy "to-rcv1: 239.1.1.1 is wanted"
    must "asked for, for rcv2" asked 239.1.1.1
    packet 10.1.0.2 239.1.1.1
    must "forwarded" kernel_count_is 10.1.0.2 239.1.1.1 1
    now "to rcv2 alone" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
    finish other KILL
    must "until the querier is silent" log_has proxy "the querier 10.2.0.2 has fallen silent"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "then to both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    ends proxy
    ends r1
}

killed_alone() {
    router_upstream 3
    proxy
    receivers rcv1
    join rcv1 239.1.1.1
    must "forwarded" hears rcv1 10.1.0.2 239.1.1.1
    finish proxy KILL
    must "the kernel has nothing of it" kernel_is_empty
    now "the router upstream goes on" upstream_oifs_are 10.1.0.2 239.1.1.1 to-rtr
    proxy
    packet 10.1.0.2 239.1.1.1
    must "the next one finds the member" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    ends proxy
    ends r1
}

# The proxy and IGMP as processes of their own; each killed and started again under traffic, without a packet lost.
killed_under_mgmd() {
    router_upstream 3
    start_mgmd rtr
    proxy
    # shellcheck disable=SC2086
    protocol igmp rtr mgm-igmp $TIMES to-rcv1 to-rcv2 to-rcv3
    receivers rcv1
    join rcv1 239.1.1.1
    must "asked for" asked 239.1.1.1
    packet 10.1.0.2 239.1.1.1
    must "forwarded" got rcv1 239.1.1.1 10.1.0.2 1
    start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 600 200
    must "under traffic" got rcv1 239.1.1.1 10.1.0.2 20
    finish proxy KILL
    proxy
    must "a while later" got rcv1 239.1.1.1 10.1.0.2 250
    finish igmp KILL
    # shellcheck disable=SC2086
    protocol igmp rtr mgm-igmp $TIMES to-rcv1 to-rcv2 to-rcv3
    must "the member is found" log_has igmp "239.1.1.1 is wanted"
    finish sender
    must "no packet is lost" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 601)"
    leave rcv1 239.1.1.1
    must "and the leave goes upstream" given_up 239.1.1.1
    ends igmp
    ends proxy
    unset MGM_HOST
    ends r1
}

# The group manager ends and another begins: upstream nothing is given up meanwhile.
group_manager_restarted() {
    router_upstream 3
    start_mgmd rtr
    proxy
    # shellcheck disable=SC2086
    protocol igmp rtr mgm-igmp $TIMES to-rcv1 to-rcv2 to-rcv3
    receivers rcv1
    join rcv1 239.1.1.1
    must "forwarded" hears rcv1 10.1.0.2 239.1.1.1
    finish mgmd KILL
    must "it is missed" log_has proxy "the group manager has gone"
    must "everything goes with it" kernel_is_empty
    start_mgmd rtr
    must "it is there again" lines_are proxy "proxy: is on to-rcv1" 2
    must "and IGMP on it" lines_are igmp "IGMP: is on to-rcv1" 2
    packet 10.1.0.2 239.1.1.1
    must "forwarded again" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    now "upstream nobody heard of it" lines_are r1 "nobody wants 239.1.1.1" 0
    leave rcv1 239.1.1.1
    must "but a leave is a leave, in the end" wait_for 10 given_up 239.1.1.1
    ends igmp
    ends proxy
    unset MGM_HOST
    ends r1
}

# Some packet socket on the router is bound to this device.
hears_packets_of() {
    local index
    index=$(ip -n rtr -o link show dev "$1") || return 1
    in_ns rtr cat /proc/net/packet | awk -v on="${index%%:*}" '$5 == on { found = 1 } END { exit !found }'
}

upstream_comes_and_goes() {
    router_upstream 3
    ip -n rtr link del uplink
    proxy
    now "waiting for it" log_has proxy "uplink is not there yet"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "a member" log_has proxy "239.1.1.1 is wanted"
    ip -n r1 link add to-rtr type veth peer name uplink netns rtr
    ip -n r1 address add 10.9.0.1/24 dev to-rtr
    ip -n r1 link set to-rtr up
    ip -n rtr address add 10.9.0.2/24 dev uplink
    ip -n rtr link set uplink up
    ip -n rtr route add default via 10.9.0.1
    must "is asked for when it has come" asked 239.1.1.1
    packet 10.1.0.2 239.1.1.1
    must "and forwarded to" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    must "queries are heard there alone" hears_packets_of uplink
    ends proxy
    ends r1
}

TESTS="members_of_three_versions several_sources old_queriers_upstream zapping sources_downstream foreign_sources excluded_sources
    not_the_querier killed_alone killed_under_mgmd upstream_comes_and_goes the_file_is_read_anew
    group_manager_restarted"
run_tests "mgm-proxy's topologies" "$TESTS" "$@"
