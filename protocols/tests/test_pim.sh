#!/usr/bin/env bash
# mgm-pim between hosts in network namespaces, with real packets. Ends with the line "N passed, N failed". Names of tests on the
# command line run only those.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=c-tests/lib.sh
. c-tests/lib.sh
enter_namespaces "$@" || {
    echo "skipped: PIM's tests, for network namespaces are not permitted here ($NS_REASON)"
    echo "0 passed, 0 failed"
    [ "${CI:-}" != true ] || exit 1
    exit 0
}
# shellcheck source=protocols/tests/topology.sh
. protocols/tests/topology.sh

must() { local text=$1; shift; wait_for 20 "$@" || wrong "$text"; }
now() { local text=$1; shift; "$@" || wrong "$text"; }
wrong() {
    local name
    echo "  does not hold: $*"
    for name in "${NODES[@]}"; do
        [ ! -s "$LOGS/${name}_pim" ] || { kill -USR1 "$(pid_of "${name}_pim")" 2>/dev/null && sleep 0.1; }
        echo "-- $name"
        tail -n 60 "$LOGS/${name}_pim" 2>/dev/null
        ip -n "$name" mroute show 2>/dev/null
    done | sed 's/^/    /'
    exit 1
}

# Everything is quick: hellos twice a second, joins each 0.8, 0.2 s to override.
FAST="--hello-interval 0.5 --triggered-hello 0.1 --join-interval 0.8 --override-interval 0.2 --propagation-delay 0.1
    --query-interval 5 --response-interval 1 --last-member-interval 0.2 --prune-holdtime 6 --refresh-interval 0"

pim() { # NODE ARGUMENT...: starts mgm-pim there
    local name=$1
    shift
    # shellcheck disable=SC2086 # several words
    start "${name}_pim" "$name" env ${PIM_ENVIRONMENT:-MGM_FORWARDER=kernel} "$BIN/mgm-pim" $FAST "$@"
    wait_for 20 log_has "${name}_pim" "info: ready" || wrong "mgm-pim starts on $name"
}
neighbours() { # NODE COUNT: it has seen so many come
    [ "$(grep -c 'neighbour .* is there' "$LOGS/${1}_pim")" -ge "$2" ]
}

# lost NAME: how many packets are missing between those that a host got.
lost() {
    tell "$1" sync end
    wait_for 20 log_has "$1" "synced end"
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
    listen member member eth0
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
    stream stream source eth0 $S $G 100
    must "nobody wants it" oifs_are r1 $S $G -
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    now "by every router" oifs_are r2 $S $G below
    must "past the holdtimes of joins and neighbours" gets_more member $G 400
    tell member leave $G $S
    must "pruned at the source" oifs_are r1 $S $G -
    count=$(got member $G)
    tell member join $G $S
    must "joined again" gets_more member $G $((count + 20))
}

a_neighbour_that_dies_and_comes_back() {
    local count
    chain
    for r in r1 r2 r3; do pim $r above below; done
    must "the routers know each other" neighbours r2 2
    stream stream source eth0 $S $G 100
    tell member join $G $S
    must "the member gets it" gets_more member $G 20
    finish r2_pim KILL || true
    must "its upstream neighbour misses its joins" oifs_are r1 $S $G -
    must "and its hellos" log_has r3_pim "neighbour 10.3.0.2 has not been heard of: gone"
    count=$(got member $G)
    pim r2 above below
    must "joined again" gets_more member $G $((count + 20))
    # Sooner than the neighbours miss it: its new generation id makes them join again.
    finish r2_pim KILL || true
    count=$(got member $G)
    pim r2 above below
    must "restarted" gets_more member $G $((count + 20))
    now "and known by its generation id" log_has r3_pim "neighbour 10.3.0.2 has restarted"
}

killed_and_restarted_under_mgmd_without_a_loss() {
    local missing
    chain
    pim r1 above below
    pim r3 above below
    start mgmd r2 "$BIN/mgmd" --forwarder kernel --serve "$LOGS/mgm.sock" --control "$LOGS/control.sock" --hold 3
    must "mgmd serves" test -S "$LOGS/mgm.sock"
    PIM_ENVIRONMENT=MGM_HOST=$LOGS/mgm.sock
    pim r2 above below
    must "the routers know each other" neighbours r3 1
    stream stream source eth0 $S $G 200
    tell member join $G $S
    must "the member gets it" gets_more member $G 50
    finish r2_pim KILL || true
    pim r2 above below
    must "time goes on" gets_more member $G $(($(got member $G) + 800)) # past the hold
    missing=$(lost member)
    now "no packet is missing ($missing)" test $missing = 0
    tell member leave $G $S
    must "pruned in the end" oifs_are r2 $S $G -
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
    listen member1 member1 eth0
    listen member2 member2 eth0
    listen watcher watcher eth0
    tell member1 join $G $S
    tell member2 join $G $S
    must "both are joined" wait_both_joined
    stream stream source eth0 $S $G 100
    must "the first member gets it" gets_more member1 $G 50
    must "the second member gets it" gets_more member2 $G 50
    # The route is the same, so the higher address has it: b.
    must "one router has stopped" oifs_are a $S $G -
    now "the other one goes on" oifs_are b $S $G below
    now "c joins the winner" log_has c_pim "10.2.0.12 forwards ($S,$G) (assert)"
    count=$(on_link watcher $G)
    must "more" gets_more member1 $G $(($(got member1 $G) + 200))
    count=$(($(on_link watcher $G) - count))
    now "and one copy is on the LAN ($count for 200)" test $count -le 260
    finish b_pim KILL || true
    count=$(got member2 $G)
    must "when the winner dies the other one takes over" gets_more member2 $G $((count + 50))
    must "for both" gets_more member1 $G $((count + 50))
}
wait_both_joined() {
    kill -USR1 "$(pid_of a_pim)" "$(pid_of b_pim)"
    log_has a_pim "below: on joined" && log_has b_pim "below: on joined"
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
    listen member member eth0
    tell member join $G $S
    stream stream source eth0 $S $G 200
    must "the member gets it" gets_more member $G 50
    now "by r1" iif_is r3 $S $G one
    ip -n r3 route replace 10.1.0.0/24 via 10.3.0.12
    must "by r2 now" iif_is r3 $S $G two
    must "r1 is pruned" oifs_are r1 $S $G -
    must "the member gets it" gets_more member $G $(($(got member $G) + 100))
    lost=$(lost member)
    now "at most 0.2 s are lost ($lost of 200 a second)" test "$lost" -le 40
    before=$(got member $G)
    ip -n r3 link set two down # its route goes with it
    ip -n r3 route add 10.1.0.0/24 via 10.2.0.11
    must "a link fails" gets_more member $G $((before + 50))
}

# An interface that is not there yet, goes, and comes again.
an_interface_comes_and_goes() {
    chain
    ip -n r3 link del below
    for r in r1 r2 r3; do pim $r above below; done
    must "it is waited for" log_has r3_pim "below is not there yet"
    for turn in 1 2; do
        wire r3 below 10.4.0.3 member eth$turn 10.4.0.9
        must "it is taken ($turn)" taken_times "$turn"
        listen member$turn member eth$turn
        tell member$turn join $G $S
        stream stream$turn source eth0 $S $G 100
        must "the member gets it" gets_more member$turn $G 20
        kill "$(pid_of stream$turn)"
        ip -n r3 link del below
        must "it has gone" log_has r3_pim "below has gone"
    done
}

taken_times() { [ "$(grep -c 'PIM: is on below' "$LOGS/r3_pim")" = "$1" ]; }

# ---- all of them -----------------------------------------------------------------------------------------------

SSM="ssm_over_three_hops a_neighbour_that_dies_and_comes_back killed_and_restarted_under_mgmd_without_a_loss an_assert_on_a_lan
    a_route_moves an_interface_comes_and_goes"
prepare
passed=0 failed=0
# shellcheck disable=SC2048 # names of tests are words
for test in ${*:-$SSM}; do
    begun=$EPOCHREALTIME
    if (
        LOGS=$(mktemp -d "$LOGS/XXXXXX")
        trap 'stop_all; remove_nodes' EXIT
        "$test"
    ); then
        echo "passed: $test ($(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $begun }") s)"
        passed=$((passed + 1))
    else
        echo "FAILED: $test"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
