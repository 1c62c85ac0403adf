# shellcheck shell=bash
# Other routers, one after the other, on the same hosts with the same sender. Sourced by benches/run.sh
# in namespaces of its own. What cannot run is told on standard error, and the rest goes on.

P=$WORK/peers
PEER_LIBRARIES=$P/usr/lib/$(uname -m)-linux-gnu:$P/usr/lib/$(uname -m)-linux-gnu/frr:$P/lib/$(uname -m)-linux-gnu

# wait_for COMMAND...: until it succeeds, at most 10 seconds.
wait_for() {
    local end=$((SECONDS + 10))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        read -rt 0.1 <> <(:) || :
    done
}

RUNNING=()
# run_peer LOG COMMAND...: in the background, until end_peers.
run_peer() {
    local log=$1
    shift
    LD_LIBRARY_PATH=$PEER_LIBRARIES ip netns exec rtr "$@" >>"$WORK/$log.log" 2>&1 &
    RUNNING+=($!)
}

end_peers() {
    kill "${RUNNING[@]}" 2>/dev/null || :
    # What does not end by itself within three seconds is made to.
    for _ in $(seq 30); do
        kill -0 "${RUNNING[@]}" 2>/dev/null || break
        read -rt 0.1 <> <(:) || :
    done
    kill -9 "${RUNNING[@]}" 2>/dev/null || :
    wait "${RUNNING[@]}" 2>/dev/null || :
    RUNNING=()
}

# comes_up NAME HOW: waits until flows get through. Each try is with other flows: a first packet that
# a router leaves unanswered is not reported again for ten seconds.
comes_up() {
    local try
    for try in $(seq 2 30); do
        ! in_router "$WORK/kernel" flows "$1" "$try" "$2" 2>/dev/null | grep -q 'lost.*[^0-9.]0\.000$' || return 0
        read -rt 0.3 <> <(:) || :
    done
    return 1
}

# measure NAME HOW FLOWS...: what runs by the name resolves so many flows, once it resolves a few.
measure() {
    local name=$1 how=$2
    if comes_up "$name" "$([ "$how" = burst ] && echo single || echo "$how")"; then
        shift 2
        for count in "$@"; do flows "$count" "$how" "$name"; done
    else
        echo "bench: $name resolves nothing here; its last words:" >&2
        tail -n 3 "$WORK/$name.log" >&2
    fi
}

# peer NAME PROGRAM FLOWS COMMAND...: a router of one program, which hears of its receiver by IGMP.
peer() {
    local name=$1 program=$P/$2 flows=$3
    shift 3
    [ -x "$program" ] || { echo "bench: $name is not there" >&2; return; }
    : >"$WORK/$name.log"
    run_peer "$name" "$program" "$@"
    ip netns exec rcv1 python3 benches/peers/join.py &
    RUNNING+=($!)
    # shellcheck disable=SC2086 # several numbers
    measure "$name" burst $flows
    end_peers
}

# FRR programs a (*,G) entry for each group that somebody joined, and hears of no flow then. What it
# does with new flows it does as their first router, on the way to a rendezvous point: without a
# member, so that what is counted are the kernel's entries and not deliveries.
frr() {
    local daemons=$P/usr/lib/frr
    [ -x "$daemons/zebra" ] || { echo "bench: frr is not there" >&2; return; }
    # Its daemons insist on a group of theirs. The mount namespace is ours alone.
    if ! grep -q '^frrvty:' /etc/group; then
        { cat /etc/group && echo 'frrvty:x:65533:root'; } >"$WORK/group"
        mount --bind "$WORK/group" /etc/group
    fi
    rm -rf /run/frr
    mkdir -p /run/frr
    : >"$WORK/frr.log"
    for daemon in zebra pimd; do
        cp benches/peers/frr.conf "/run/frr/$daemon.conf"
        run_peer frr "$daemons/$daemon" -u root -g root -f "/run/frr/$daemon.conf" -i "/run/frr/$daemon.pid" \
            -z /run/frr/zserv.api --vty_socket /run/frr -P 0 --log stdout --log-level errors
        [ $daemon = pimd ] || wait_for test -S /run/frr/zserv.api || echo "bench: zebra does not come up" >&2
    done
    measure frr installed "$@"
    end_peers
}

peers_round() {
    for count in 1000 10000; do
        flows $count burst bare mgm
        flows $count installed bare mgm
    done
    peer smcroute usr/sbin/smcrouted "1000 10000" -n -N -f benches/peers/smcroute.conf -l none \
        -P "$WORK/smcroute.pid" -u "$WORK/smcroute.sock"
    peer pimd usr/sbin/pimd "1000 10000" -f -c "$PWD/benches/peers/pimd.conf"
    peer igmpproxy usr/sbin/igmpproxy "1000" -n "$PWD/benches/peers/igmpproxy.conf"
    frr 1000 10000
}
