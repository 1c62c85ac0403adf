#!/usr/bin/env bash
# mgm-pim between hosts in network namespaces, with real packets. Ends with the line "N passed, N failed". Names of tests on the
# command line run only those.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=topology.sh
. "$(dirname "$0")/topology.sh"
make_topology() { :; } # each test makes its own

# Everything is quick: hellos twice a second, joins each 0.8, 0.2 s to override.
FAST="--hello-interval 0.5 --triggered-hello 0.1 --join-interval 0.8 --override-interval 0.2 --propagation-delay 0.1
    --query-interval 5 --response-interval 1 --last-member-interval 0.2 --prune-holdtime 6 --refresh-interval 0"

pim() { # NODE ARGUMENT...: starts mgm-pim there, also as the name for the log
    local node=$1
    shift
    # shellcheck disable=SC2086 # several words
    protocol "$node" "$node" mgm-pim $FAST "$@"
}
neighbours() { # NODE COUNT: it has seen so many come
    [ "$(grep -c 'neighbour .* is there' "$LOGS/$1")" -ge "$2" ]
}

# lost NAME: how many packets are missing between those that a host got.
lost() {
    local mark=at$EPOCHREALTIME
    tell "$1" sync "$mark"
    wait_for 20 log_has "$1" "synced $mark"
    sed -n "s/^got $G from $S number //p" "$LOGS/$1" |
        awk 'NR > 1 && $1 > last { lost += $1 - last - 1 } { last = $1 } END { print lost + 0 }'
}

# source - r1 - r2 - r3 - member: links 10.1.0.0 to 10.4.0.0
chain() {
    node source r1 r2 r3 member
    wire source eth0 10.1.0.2 r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 r3 above 10.3.0.3
    wire r3 below 10.4.0.3 member eth0 10.4.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n r3 route add 10.1.0.0/24 via 10.3.0.2
    ip -n source route add default via 10.1.0.1
    receivers member
}
S=10.1.0.2
G=232.1.1.1

# ---- source-specific mode -------------------------------------------------------------------------------------

ssm_over_three_hops() {
    local count
    chain
    for r in r1 r2 r3; do pim $r above below; done
    must "the routers know each other" neighbours r2 2
    must "the routers know each other" neighbours r3 1
    capture wire r2 above 103
    stream stream source eth0 $S $G 100
    must "nobody wants it" oifs_are r1 $S $G -
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    now "by every router" oifs_are r2 $S $G below
    must "past the holdtimes of joins and neighbours" gets_more member $G 350
    tell member leave $G $S
    must "pruned at the source" oifs_are r1 $S $G -
    count=$(got member $G)
    tell member join $G $S
    must "joined again" gets_more member $G $((count + 20))
    decodes_cleanly wire
    for r in r1 r2 r3; do ends $r; done
    now "nothing is left in the kernel" test -z "$(ip -n r2 mroute show)"
}

a_neighbour_that_dies_and_comes_back() {
    local count once_a_second="--hello-interval 1" # so that a restart is over within the holdtime, 3.5 s
    chain
    # shellcheck disable=SC2086 # several words
    for r in r1 r2 r3; do pim $r $once_a_second above below; done
    must "the routers know each other" neighbours r2 2
    stream stream source eth0 $S $G 100
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    finish r2 KILL || true
    must "its upstream neighbour misses its joins" oifs_are r1 $S $G -
    must "and its hellos" log_has r3 "neighbour 10.3.0.2 has not been heard of: gone"
    count=$(got member $G)
    # shellcheck disable=SC2086
    pim r2 $once_a_second above below
    must "joined again" gets_more member $G $((count + 20))
    # Sooner than the neighbours miss it: its new generation id makes them join again.
    finish r2 KILL || true
    count=$(got member $G)
    # shellcheck disable=SC2086
    pim r2 $once_a_second above below
    must "restarted" gets_more member $G $((count + 20))
    now "and known by its generation id" log_has r3 "neighbour 10.3.0.2 has restarted"
}

killed_and_restarted_under_mgmd_without_a_loss() {
    local before missing slow="--hello-interval 2 --join-interval 2" # nobody is missed during a restart: 7 s
    chain
    # shellcheck disable=SC2086 # several words
    {
        pim r1 $slow above below
        pim r3 $slow above below
        start_mgmd r2 6
        pim r2 $slow above below # no member of its own, and so no IGMP
    }
    must "the routers know each other" neighbours r3 1
    stream stream source eth0 $S $G 200
    tell member join $G $S
    must "the member gets it" gets_more member $G 50
    before=$(lost member) # the kernel keeps four packets of a new flow, no more
    finish r2 KILL || true
    # shellcheck disable=SC2086
    pim r2 $slow above below
    must "time goes on" gets_more member $G $(($(got member $G) + 1400)) # past the hold
    missing=$(($(lost member) - before))
    now "no packet is missing ($missing)" test $missing = 0
    tell member leave $G $S
    must "pruned in the end" oifs_are r2 $S $G -
    must "upstream too" oifs_are r1 $S $G -
    # The host ends and comes back.
    tell member join $G $S
    must "joined again" oifs_are r2 $S $G below
    before=$(got member $G)
    finish mgmd TERM || true
    must "the host is missed" log_has r2 "the group manager has gone"
    start_mgmd r2 6
    must "and found again" gets_more member $G $((before + 100))
}

# Routers a and b both reach the source and send to one LAN, on which routers c and d, with a member each, chose different ones.
an_assert_on_a_lan() {
    local count
    node source a b c d member1 member2 watcher
    lan top source:eth0:$S a:above:10.1.0.11 b:above:10.1.0.12
    lan mid a:below:10.2.0.11 b:below:10.2.0.12 c:above:10.2.0.13 d:above:10.2.0.14 watcher:eth0:10.2.0.99
    wire c below 10.3.0.13 member1 eth0 10.3.0.9
    wire d below 10.4.0.14 member2 eth0 10.4.0.9
    ip -n c route add 10.1.0.0/24 via 10.2.0.11
    ip -n d route add 10.1.0.0/24 via 10.2.0.12
    ip -n source route add default via 10.1.0.11
    for r in a b c d; do pim $r above below; done
    must "they know each other" neighbours c 3
    must "they know each other" neighbours d 3
    receivers member1
    receivers member2
    receivers watcher
    tell member1 join $G $S
    tell member2 join $G $S
    must "both are joined" wait_both_joined
    stream stream source eth0 $S $G 100
    must "the first member gets it" gets_more member1 $G 50
    must "the second member gets it" gets_more member2 $G 50
    # The route is the same, so the higher address has it: b.
    must "one router has stopped" oifs_are a $S $G -
    now "the other one goes on" oifs_are b $S $G below
    must "c joins the winner" log_has c "10.2.0.12 forwards ($S,$G) (assert)"
    count=$(on_link watcher $G)
    must "more" more_on_link watcher $G $((count + 200))
    now "and one copy of each is on the LAN" test "$(twice watcher $G $((count + 1)))" = 0
    finish b KILL || true
    count=$(got member2 $G)
    must "when the winner dies the other one takes over" gets_more member2 $G $((count + 50))
    must "for both" gets_more member1 $G $((count + 50))
}
wait_both_joined() {
    kill -USR1 "$(pid_of a)" "$(pid_of b)"
    log_has a "below: on joined" && log_has b "below: on joined"
}

# Both a and b hear the member and have the source on a link of theirs; b is the designated router.
members_are_served_by_the_designated_router() {
    node source a b member
    lan top source:eth0:$S a:above:10.1.0.11 b:above:10.1.0.12
    lan low a:below:10.2.0.11 b:below:10.2.0.12 member:eth0:10.2.0.99
    pim a above below
    pim b above below
    must "they know each other" log_has a "below: the designated router is 10.2.0.12"
    receivers member
    stream stream source eth0 $S $G 100
    must "nobody wants it" oifs_are a $S $G -
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    must "by b" oifs_are b $S $G below
    must "and not by a" oifs_are a $S $G -
    must "though that heard the member, too" log_has a "$G is wanted"
    tell member join 232.1.1.2 $S # the same where the member is there before the source
    must "both hear it" log_has a "232.1.1.2 is wanted"
    must "both hear it" log_has b "232.1.1.2 is wanted"
    stream second source eth0 $S 232.1.1.2 100
    must "the member gets it" gets_more member 232.1.1.2 20
    must "not by a" oifs_are a $S 232.1.1.2 -
    finish b KILL || true
    must "b dies, and a goes on" gets_more member $G $(($(got member $G) + 50))
}

# r3 reaches the source by r1 or by r2; its route moves.
a_route_moves() {
    local before lost
    node source r1 r2 r3 member
    lan top source:eth0:$S r1:above:10.1.0.11 r2:above:10.1.0.12
    wire r1 below 10.2.0.11 r3 one 10.2.0.3
    wire r2 below 10.3.0.12 r3 two 10.3.0.3
    wire r3 below 10.4.0.3 member eth0 10.4.0.9
    ip -n r3 route add 10.1.0.0/24 via 10.2.0.11
    pim r1 above below
    pim r2 above below
    pim r3 one two below
    must "they know each other" neighbours r3 2
    receivers member
    tell member join $G $S
    stream stream source eth0 $S $G 200
    must "the member gets it" gets_more member $G 50
    now "by r1" iif_is r3 $S $G one
    ip -n r3 route replace 10.1.0.0/24 via 10.3.0.12
    must "by r2 now" iif_is r3 $S $G two
    must "r1 is pruned" oifs_are r1 $S $G -
    must "the member gets it" gets_more member $G $(($(got member $G) + 100))
    lost=$(lost member)
    now "at most 1 s is lost ($lost of 200 a second)" test "$lost" -le 200
    before=$(got member $G)
    ip -n r3 link set two down # its route goes with it
    ip -n r3 route add 10.1.0.0/24 via 10.2.0.11
    must "a link fails" gets_more member $G $((before + 50))
}

# Hellos that are sound but for one thing, and one that is sound.
what_is_not_heard() {
    local hello=2000df93000100020069
    node r1 host
    wire r1 below 10.2.0.1 host eth0 10.2.0.9
    pim r1 below
    must "PIM runs" log_has r1 "below: PIM runs"
    from() { in_ns host "$BIN/igmp_send" -a eth0 "$@"; }
    from 10.2.0.8 ip 103 2 224.0.0.13 $hello               # TTL
    from 10.9.0.8 ip 103 1 224.0.0.13 $hello               # not on the link
    from 10.2.0.1 ip 103 1 224.0.0.13 $hello               # the router's own address
    from 10.2.0.8 ip 103 1 10.2.0.1 $hello                 # unicast
    from 10.2.0.8 ip 103 1 224.0.0.13 2000df94000100020069 # checksum
    from 10.2.0.8 ip 103 1 224.0.0.13 1000ef93000100020069 # version
    from 10.2.0.8 ip 103 1 224.0.0.13 2000dffc00010002     # length
    from 10.2.0.8 ip 103 1 224.0.0.13 2500e5ce01000020e80101010100000a010002000000010000000a # an assert of a stranger
    from 10.2.0.8 ip 2 1 224.0.0.13 $hello                 # another protocol
    from 10.2.0.8 ip 103 1 224.0.0.5 $hello                # another group
    from 10.2.0.9 ip 103 1 224.0.0.13 $hello
    must "a sound one is heard" log_has r1 "neighbour 10.2.0.9 is there"
    now "no other one is" lines_are r1 "neighbour 10" 1
    now "the log says why, once" lines_are r1 "is not heard" 1
    kill -USR1 "$(pid_of r1)"
    must "all are counted" log_has r1 "9 messages, 8 not heard"
    ends r1
}

# In 232.0.0.0/8 a member that names no source gets nothing (RFC 4607), whichever protocol brought the packets here: not on a link
# in source-specific mode, where it is heard before the flow or after it, in this program's IGMP or in mgm-igmp. Nor is such a link
# flooded, though it has a neighbour.
members_of_the_ssm_range_without_a_source() {
    local how g
    node source r1 r2 low1 low2
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 to-r2 10.2.0.1 r2 above 10.2.0.2
    wire r1 to-low1 10.3.0.1 low1 eth0 10.3.0.9
    wire r1 to-low2 10.4.0.1 low2 eth0 10.4.0.9
    ip -n source route add default via 10.1.0.1
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    receivers low1
    hosts_speak_igmp low2 2
    start low2 low2 "$BIN/receiver" eth0 "$PORT"
    must "the receiver is there" log_has low2 ready
    pim r2 above
    for g in 1 2; do stream "stream$g" source eth0 $S 232.1.1.$g 100; done
    for how in within beside; do
        # shellcheck disable=SC2086 # several words
        if [ $how = within ]; then
            pim r1 --query-interval 100 above,dense to-r2 to-low1 to-low2
        else
            start_mgmd r1
            pim r1 --igmp no above,dense to-r2 to-low1 to-low2
            protocol igmp r1 mgm-igmp --query-interval 100 --response-interval 0.5 to-low1 to-low2
            unset MGM_HOST
        fi
        must "the neighbour is known ($how)" neighbours r1 1
        tell low2 join 232.1.1.1
        must "a member of version 2 is heard ($how)" heard_in $how "to-low2: 232.1.1.1 is wanted"
        must "for nobody ($how)" oifs_are r1 $S 232.1.1.1 -
        tell low1 join 232.1.1.1 $S
        tell low1 join 232.1.1.2 $S
        for g in 1 2; do must "to the member that names the source ($how)" oifs_are r1 $S 232.1.1.$g to-low1; done
        igmp low2 eth0 10.4.0.9 to_ex 232.1.1.2 # after the flow, in version 3
        igmp low2 eth0 10.4.0.9 allow 232.1.1.3 $S
        must "heard ($how)" heard_in $how "to-low2: 232.1.1.3 is wanted"
        for g in 1 2; do must "and not to the others ($how)" oifs_are r1 $S 232.1.1.$g to-low1; done
        [ $how = within ] || ends igmp
        ends r1
        tell low1 leave 232.1.1.1 $S
        tell low1 leave 232.1.1.2 $S
        tell low2 leave 232.1.1.1
        must "all is left" all_left
    done
}
heard_in() { case $1 in within) log_has r1 "$2" ;; beside) log_has igmp "$2" ;; esac; }
all_left() { [ "$(grep -c "^left 232" "$LOGS/low1")" -ge 2 ] && log_has low2 "left 232.1.1.1"; }

# An interface that is not there yet, goes, and comes again.
an_interface_comes_and_goes() {
    chain
    ip -n r3 link del below
    for r in r1 r2 r3; do pim $r above below; done
    must "it is waited for" log_has r3 "below is not there yet"
    for turn in 1 2; do
        wire r3 below 10.4.0.3 member eth$turn 10.4.0.9
        must "it is taken ($turn)" taken_times "$turn"
        start member$turn member "$BIN/receiver" eth$turn "$PORT"
        must "the member listens" log_has member$turn ready
        tell member$turn join $G $S
        stream stream$turn source eth0 $S $G 100
        must "the member gets it" gets_more member$turn $G 20
        kill "$(pid_of stream$turn)"
        ip -n r3 link del below
        must "it has gone" log_has r3 "below has gone"
    done
}

# The link's members and neighbours are known again when it has been down, or has another address.
a_link_that_flaps() {
    local count
    chain
    for r in r1 r2 r3; do pim $r above below; done
    must "the routers know each other" neighbours r2 2
    stream stream source eth0 $S $G 100
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    ip -n r3 link set below down
    must "the link is down" log_has r3 "below: PIM runs no more"
    ip -n r3 link set below up
    count=$(got member $G)
    must "and up again" gets_more member $G $((count + 20))
    ip -n r3 address add 10.4.0.5/25 dev below # not a second one of the same prefix, which would go with the first
    ip -n r3 address del 10.4.0.3/24 dev below
    must "another address" log_has r3 "the address is not 10.4.0.3 any more"
    count=$(got member $G)
    must "it still comes" gets_more member $G $((count + 200))
}

# Interfaces, their modes and times come and go with the file.
the_file_is_read_anew() {
    local count before
    chain
    pim r1 above below
    pim r3 above below
    words r2 "$FAST --hello-interval 1" above
    protocol r2 r2 mgm-pim --config "$LOGS/r2.conf"
    stream stream source eth0 $S $G 100
    tell member join $G $S
    must "one interface" neighbours r2 1
    words r2 "$FAST --hello-interval 1" above below
    read_anew r2
    must "another one" gets_more member $G 20
    before=$(lost member)
    words r2 "$FAST --hello-interval 4 --priority 7" above below
    read_anew r2
    must "other times: past the holdtime of before" gets_more member $G $(($(got member $G) + 450))
    now "nobody is missed" lines_are r3 "has not been heard of" 0
    now "no packet is missing" test "$(lost member)" = "$before"
    words r2 "$FAST" above below,dense
    read_anew r2
    must "another mode" log_has r2 "below: PIM runs in dense mode"
    words r2 "$FAST" above below
    read_anew r2
    count=$(got member $G)
    must "and the first one again" gets_more member $G $((count + 20))
    words r2 "$FAST" above below,loud
    no_sense r2 'below,loud: there is no setting "loud"'
    words r2 "$FAST --igmp no" above below
    no_sense r2 "--igmp needs a restart"
    words r2 "$FAST" above
    read_anew r2
    must "an interface less" oifs_are r1 $S $G -
    now "it says goodbye" log_has r3 "neighbour 10.3.0.2 says goodbye"
    for r in r1 r2 r3; do ends $r; done
    now "nothing is left in the kernel" test -z "$(ip -n r2 mroute show)"
}

taken_times() { [ "$(grep -c 'PIM: is on below' "$LOGS/r3")" = "$1" ]; }


# ---- dense mode ------------------------------------------------------------------------------------------------

# source - r0; r0 - r1 - r3 and r0 - r2 - r3; r3 - member. r3 prefers r1.
diamond() {
    links_of_a_diamond
    receivers member
    pim r0 --dense "$@" above left right
    pim r1 --dense "$@" above below
    pim r2 --dense "$@" above below
    pim r3 --dense "$@" left right below
    for r in r0 r1 r2 r3; do must "$r knows both others" neighbours "$r" 2; done
    G=239.1.1.1
}
links_of_a_diamond() {
    node source r0 r1 r2 r3 member
    wire source eth0 $S r0 above 10.1.0.1
    wire r0 left 10.2.0.1 r1 above 10.2.0.2
    wire r0 right 10.3.0.1 r2 above 10.3.0.2
    wire r1 below 10.4.0.2 r3 left 10.4.0.3
    wire r2 below 10.5.0.2 r3 right 10.5.0.3
    wire r3 below 10.6.0.3 member eth0 10.6.0.9
    ip -n source route add default via 10.1.0.1
    ip -n r1 route add 10.1.0.0/24 via 10.2.0.1
    ip -n r2 route add 10.1.0.0/24 via 10.3.0.1
    ip -n r3 route add 10.1.0.0/24 via 10.4.0.2 metric 10
    ip -n r3 route add 10.1.0.0/24 via 10.5.0.2 metric 20
}

dense_mode_in_a_diamond() {
    local before
    diamond
    capture wire r3 right 103
    stream stream source eth0 $S $G 200
    must "flooded, and pruned by all" log_has r0 "($S,$G) does not leave by right"
    must "flooded, and pruned by all" oifs_are r0 $S $G -
    now "r3 had it" iif_is r3 $S $G left
    now "and sent nothing to a leaf without members" link_count_is member $G 0
    tell member join $G
    must "a graft brings it" gets_more member $G 20
    now "by r1" oifs_are r1 $S $G below
    must "and not by r2" oifs_are r2 $S $G -
    must "there was an assert" log_has r3 "10.5.0.2 forwards ($S,$G) (assert)"
    before=$(lost member)
    ip -n r3 link set left down # its route goes with it
    must "the link has failed" iif_is r3 $S $G right
    must "it comes by r2" gets_more member $G $(($(got member $G) + 100))
    before=$(($(lost member) - before))
    now "at most 1 s is lost ($before of 200 a second)" test $before -le 200
    must "r1 is pruned" oifs_are r1 $S $G -
    ip -n r3 link set left up
    ip -n r3 route add 10.1.0.0/24 via 10.4.0.2 metric 10
    must "the link is back" iif_is r3 $S $G left
    must "it comes by r1" gets_more member $G $(($(got member $G) + 100))
    must "and not by r2" oifs_are r2 $S $G -
    tell member leave $G
    must "pruned at the source" oifs_are r0 $S $G -
    decodes_cleanly wire
    for r in r0 r1 r2 r3; do ends $r; done
}

# Packets flow while the routers start: whoever starts last, what nobody wants is pruned as soon as the neighbours know each other,
# and not when the packets are next looked at, after 30 s.
dense_routers_start_under_traffic() {
    local last order r
    links_of_a_diamond
    receivers member
    G=239.1.1.1
    stream stream source eth0 $S $G 200
    for last in r0 r1 r2 r3; do
        order="$(tr ' ' '\n' <<<"r0 r1 r2 r3" | grep -v $last | shuf | tr '\n' ' ')$last"
        for r in $order; do
            # shellcheck disable=SC2046 # several words
            pim "$r" --prune-holdtime 100 --dense $(links_of "$r")
        done
        for r in r0 r1 r2 r3; do must "$r knows both others ($order)" neighbours $r 2; done
        for r in r0 r1 r2 r3; do must "$r is silent ($order)" forwards_nothing $r; done
        tell member join $G
        must "a member gets it ($order)" gets_more member $G $(($(got member $G) + 20))
        tell member leave $G
        for r in r0 r1 r2 r3; do must "$r is silent again ($order)" forwards_nothing $r; done
        for r in r0 r1 r2 r3; do ends $r; done
    done
}
links_of() { case $1 in r0) echo above left right ;; r3) echo left right below ;; *) echo above below ;; esac; }
# A router that has pruned before a packet came has no entry.
forwards_nothing() { [ "$(oifs "$1" $S $G | tr -d '-')" = "" ]; }

# r0's prunes hold for 4 s. With state refresh they are kept while the source sends, and without it they are not.
prunes_are_kept_by_state_refresh() {
    local count
    diamond --prune-holdtime 4 --refresh-interval 1 --source-lifetime 7
    stream stream source eth0 $S $G 100
    must "pruned" oifs_are r0 $S $G -
    must "for long" log_has r0 "($S,$G) does not leave by right"
    count=$(packets_of r1)
    must "time goes on" more_packets r0 $(($(packets_of r0) + 700))
    now "nothing more comes to r1" test "$(packets_of r1)" = "$count"
    finish r0 TERM
    pim r0 --dense --prune-holdtime 4 --source-lifetime 7 above left right # without state refresh
    must "pruned" oifs_are r0 $S $G -
    count=$(lines r0 "($S,$G) leaves by left")
    must "prunes end" more_lines r0 "($S,$G) leaves by left" "$count"
    must "and are made again" oifs_are r0 $S $G -
}
packets_of() { ip -n "$1" -s mroute show | sed -n 's/^ *\([0-9]*\) packets,.*/\1/p' | head -1; }
more_packets() { [ "$(packets_of "$1")" -gt "$2" ]; }

a_dense_router_killed_and_restarted() {
    local count
    diamond
    stream stream source eth0 $S $G 200
    must "pruned" oifs_are r0 $S $G -
    tell member join $G
    must "the member gets it" gets_more member $G 20
    for r in r1 r3; do
        count=$(got member $G)
        finish $r KILL || true
        if [ $r = r1 ]; then pim $r --dense above below; else pim $r --dense left right below; fi
        must "again after $r has been restarted" gets_more member $G $((count + 100))
    done
}

# Under mgmd what the router left behind goes on; what it does not know of that it learns from its neighbours' prunes.
a_dense_router_restarted_under_mgmd() {
    local before missing
    node source r1 r2 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 member eth0 10.3.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n source route add default via 10.1.0.1
    receivers member
    G=239.1.1.1
    # Hellos each 2 s: the restart is over within their holdtime, 7 s.
    pim r2 --hello-interval 2 --prune-holdtime 100 --dense above below
    start_mgmd r1
    pim r1 --hello-interval 2 --prune-holdtime 100 --dense above below
    must "they know each other" neighbours r2 1
    stream stream source eth0 $S $G 200
    must "pruned" oifs_are r1 $S $G -
    finish r1 KILL || true
    pim r1 --hello-interval 2 --prune-holdtime 100 --dense above below
    must "it is noticed" log_has r2 "neighbour 10.2.0.1 has restarted"
    tell member join $G
    must "a graft reaches the one that was started anew" gets_more member $G 50
    before=$(lost member)
    finish r1 KILL || true
    pim r1 --hello-interval 2 --prune-holdtime 100 --dense above below
    must "time goes on" gets_more member $G $(($(got member $G) + 400))
    missing=$(($(lost member) - before))
    now "no packet is missing ($missing)" test $missing = 0
    tell member leave $G
    must "pruned in the end" oifs_are r1 $S $G -
}

# A flow that nobody below wanted, as there was nobody, reaches a router that comes after a restart.
a_neighbour_after_a_restart_under_mgmd() {
    node source r1 r2 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 member eth0 10.3.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n source route add default via 10.1.0.1
    receivers member
    G=239.1.1.1
    start_mgmd r1
    pim r1 --prune-holdtime 100 --dense above below
    stream stream source eth0 $S $G 200
    must "there is nobody" oifs_are r1 $S $G -
    finish r1 KILL || true
    pim r1 --prune-holdtime 100 --dense above below
    unset MGM_HOST # r2 is a router without mgmd
    pim r2 --dense above below
    must "they know each other" neighbours r1 1
    tell member join $G
    must "the flow is for the neighbour too" gets_more member $G 50
}

# A member that excludes a source does not get it, and nobody has to send it.
excluded_sources() {
    node source r1 r2 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 r2 above 10.2.0.2
    wire r2 below 10.3.0.2 member eth0 10.3.0.9
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n source route add default via 10.1.0.1
    G=239.1.1.1
    pim r1 --dense above below
    pim r2 --dense --query-interval 100 above below # the member is not to be forgotten
    must "they know each other" neighbours r1 1
    igmp member eth0 10.3.0.9 to_ex $G $S
    must "heard" log_has r2 "$G is wanted"
    stream stream source eth0 $S $G 100
    must "pruned" oifs_are r1 $S $G -
    igmp member eth0 10.3.0.9 allow $G $S
    must "wanted after all" oifs_are r1 $S $G below
    must "by the member" oifs_are r2 $S $G below
    igmp member eth0 10.3.0.9 block $G $S
    must "and no more" oifs_are r2 $S $G -
    must "pruned" oifs_are r1 $S $G -
}

# What the group manager has been told until a member of the group is known on `below` has taken effect then.
knows_a_member() { # ROUTER MEMBER ADDRESS GROUP
    igmp "$2" eth0 "$3" to_ex "$4"
    must "$1 knows a member of $4" log_has "$1" "(*,$4) leaves by below"
}

# A membership that is new lets all sources of its group out again, but not those that its host excludes.
sources_excluded_by_a_new_member() {
    node source r1 member
    wire source eth0 $S r1 above 10.1.0.1
    wire r1 below 10.2.0.1 member eth0 10.2.0.9
    ip -n source route add default via 10.1.0.1
    G=239.1.1.1
    pim r1 --dense --query-interval 100 above below
    stream stream source eth0 $S $G 100
    must "nobody wants it" oifs_are r1 $S $G -
    igmp member eth0 10.2.0.9 to_ex $G $S
    must "heard" log_has r1 "(*,$G) leaves by below"
    knows_a_member r1 member 10.2.0.9 239.1.1.2
    now "the member has said that it wants it from others" oifs_are r1 $S $G -
    igmp member eth0 10.2.0.9 allow $G $S
    must "and wants it from this one, too" oifs_are r1 $S $G below
}

# Nor does it end an assert.
a_new_member_where_an_assert_was_lost() {
    node source a b member
    lan top source:eth0:$S a:above:10.1.0.11 b:above:10.1.0.12
    lan low a:below:10.2.0.11 b:below:10.2.0.12 member:eth0:10.2.0.99
    G=239.1.1.1
    pim a --dense --query-interval 100 above below
    pim b --dense --query-interval 100 above below
    must "they know each other" neighbours a 2
    must "they know each other" neighbours b 2
    stream stream source eth0 $S $G 100
    must "b wins the assert" log_has a "10.2.0.12 forwards ($S,$G) (assert)"
    must "a does not forward" oifs_are a $S $G -
    knows_a_member a member 10.2.0.99 $G
    knows_a_member a member 10.2.0.99 239.1.1.2
    now "still not" oifs_are a $S $G -
    must "b does" oifs_are b $S $G below
}

# A link that comes while packets flow, and has no neighbour yet, gets none of them.
a_link_comes_under_traffic() {
    node source r1 member
    wire source eth0 $S r1 above 10.1.0.1
    ip -n source route add default via 10.1.0.1
    G=239.1.1.1
    pim r1 --dense --query-interval 100 above below
    stream stream source eth0 $S $G 100
    must "nobody wants it" oifs_are r1 $S $G -
    wire r1 below 10.2.0.1 member eth0 10.2.0.9
    must "the link is there" log_has r1 "below: PIM runs in dense mode"
    knows_a_member r1 member 10.2.0.9 239.1.1.2
    now "and quiet" oifs_are r1 $S $G -
}

# ---- both ------------------------------------------------------------------------------------------------------

# source1 - a - border - b - member2, source2; dense mode left of the border and source-specific mode right of it.
border() {
    node source a border b member
    wire source eth0 $S a above 10.1.0.1
    wire a below 10.2.0.1 border above 10.2.0.2
    wire border below 10.3.0.2 b above 10.3.0.3
    wire b below 10.4.0.3 member eth0 10.4.0.9
    ip -n source route add default via 10.1.0.1
    ip -n border route add 10.1.0.0/24 via 10.2.0.1
    ip -n border route add 10.4.0.0/24 via 10.3.0.3
    ip -n b route add 10.1.0.0/24 via 10.3.0.2
    ip -n a route add 10.4.0.0/24 via 10.2.0.2
    ip -n member route add default via 10.4.0.3
    receivers source member
    pim a --dense above below
    pim b above below
}
across_the_border() {
    must "they know each other" neighbours a 1
    must "they know each other" neighbours b 1
    stream left source eth0 $S $G 100
    must "flooded to the border and pruned" oifs_are a $S $G -
    tell member join $G $S
    must "a join becomes a graft" gets_more member $G 20
    tell member leave $G $S
    must "a prune becomes a prune" oifs_are a $S $G -
    tell member join $G $S
    must "and again" gets_more member $G $(($(got member $G) + 20))
}
a_border_router() {
    border
    pim border above,dense below
    across_the_border
}
a_border_router_of_two_programs() {
    border
    start_mgmd border
    # shellcheck disable=SC2086 # several words
    protocol dense border mgm-pim $FAST --igmp no --dense above
    # shellcheck disable=SC2086 # several words
    protocol sparse border mgm-pim --igmp no --component 2 $FAST below
    across_the_border
}
# upstream - border - right - far: an IGMP router upstream of a proxy on the border, and PIM to the right of it. Links:
# source 10.1 upstream 10.2 border 10.3 (near: a host behind the proxy), 10.4 right, 10.5 far (a host).
proxy_and_pim() { # MODE: that of PIM
    node source upstream border near right far
    wire source eth0 $S upstream above 10.1.0.1
    wire upstream below 10.2.0.1 border uplink 10.2.0.2
    wire border to-near 10.3.0.1 near eth0 10.3.0.9
    wire border to-right 10.4.0.2 right above 10.4.0.3
    wire right below 10.5.0.3 far eth0 10.5.0.9
    ip -n source route add default via 10.1.0.1
    ip -n border route add default via 10.2.0.1
    ip -n border route add 10.5.0.0/24 via 10.4.0.3
    ip -n right route add default via 10.4.0.2
    ip -n far route add default via 10.5.0.3
    ip -n near route add default via 10.3.0.1
    # shellcheck disable=SC2086 # several words
    {
        protocol upstream upstream mgm-igmp $IGMP above below
        pim right "$1" above below
        start_mgmd border
        protocol igmp border mgm-igmp $IGMP to-near to-right
        protocol proxy border mgm-proxy uplink to-near
        pim border "$1" to-right
    }
    receivers near far
    must "the routers know each other" neighbours right 1
}
IGMP="--query-interval 4 --response-interval 0.5 --last-member-interval 0.2"

a_border_of_proxy_and_ssm() {
    proxy_and_pim --ssm
    stream stream source eth0 $S $G 100
    tell far join $G $S
    must "a join of PIM's is told to the proxy and reported upstream" log_has upstream "below: $G is wanted"
    must "the far host gets it" gets_more far $G 20
    now "the entry goes from the proxy's link to PIM's" test "$(iif border $S $G) $(oifs border $S $G)" = "uplink to-right"
    tell near join $G $S
    must "the near host gets it too" gets_more near $G 20
    tell far leave $G $S
    must "the far host leaves" oifs_are border $S $G to-near
    tell near leave $G $S
    must "and the near one" oifs_are upstream $S $G -
    # The other way: a source behind PIM, a member behind the proxy.
    S=10.5.0.9
    stream back far eth0 $S $G 100
    tell near join $G $S
    must "a member of the proxy's makes PIM join" log_has right "($S,$G) leaves by above"
    must "the near host gets it" gets_more_from near $S 20
    ends border # PIM: started again it learns what the proxy has wanted all along
    must "nothing is sent" oifs_are right $S $G -
    pim border --ssm to-right
    must "joined again" oifs_are right $S $G above
    tell near leave $G $S
    must "and prune" oifs_are right $S $G -
}
gets_more_from() { [ "$(grep -c "^got $G from $2" "$LOGS/$1")" -gt "$3" ]; }

a_border_of_proxy_and_dense_mode() {
    G=239.1.1.1
    proxy_and_pim --dense
    S=10.5.0.9
    stream back far eth0 $S $G 100
    must "flooded to the border, which prunes it" oifs_are right $S $G -
    tell near join $G
    must "a member of the proxy's becomes a graft" gets_more_from near $S 20
    tell near leave $G
    must "and a prune" oifs_are right $S $G -
    S=10.1.0.2
    stream stream source eth0 $S $G 100
    tell near join $G
    must "a member of the proxy's brings the other source, which floods to dense mode" gets_more_from near $S 20
    tell far join $G
    must "and so to the far host" gets_more_from far $S 20
}

TESTS="ssm_over_three_hops a_neighbour_that_dies_and_comes_back killed_and_restarted_under_mgmd_without_a_loss an_assert_on_a_lan
    members_are_served_by_the_designated_router a_route_moves what_is_not_heard members_of_the_ssm_range_without_a_source
    an_interface_comes_and_goes a_link_that_flaps the_file_is_read_anew dense_mode_in_a_diamond dense_routers_start_under_traffic prunes_are_kept_by_state_refresh
    a_dense_router_killed_and_restarted a_dense_router_restarted_under_mgmd
    a_neighbour_after_a_restart_under_mgmd excluded_sources sources_excluded_by_a_new_member
    a_new_member_where_an_assert_was_lost a_link_comes_under_traffic a_border_router a_border_router_of_two_programs
    a_border_of_proxy_and_ssm a_border_of_proxy_and_dense_mode"
run_tests "mgm-pim's topologies" "$TESTS" "$@"
