#!/usr/bin/env bash
# The main job, for people: what libmgm does, shown three times.
#   1. startup: a routing protocol starts up beside IGMP (memory forwarder).
#   2. router: real hosts, real IGMP, real packets, the kernel's forwarding.
#   3. the same router as three processes, one of which is killed and started again.
# Ends with status 1 at the first thing that is not as it should be. `make demo` calls this.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

title() { printf '\n== %s\n\n' "$*"; }
ok() { printf '  ok   %s\n' "$*"; }
fail() {
    printf '  FAIL %s\n' "$*"
    if [ -n "$LOGS" ]; then
        printf '\nThe router said:\n'
        sed 's/^/  /' "$LOGS/router" 2>/dev/null || true
        printf '\nThe kernel has:\n'
        ip -n rtr -s mroute show 2>/dev/null | sed 's/^/  /' || true
    fi
    exit 1
}
# check TEXT COMMAND...: the command holds within 20 seconds.
check() {
    local text=$1
    shift
    wait_for 20 "$@" || fail "$text"
    ok "$text"
}
# exactly TEXT COMMAND...: holds now, without waiting; for things that must not have happened.
exactly() {
    local text=$1
    shift
    "$@" || fail "$text"
    ok "$text"
}
nothing_on_link() { [ "$(on_link "$1" "$2")" = "$3" ]; }

if [ -z "${MGM_IN_NAMESPACES:-}" ]; then
    title "1. A routing protocol starts up beside IGMP (memory forwarder)"
    env -u MGM_FORWARDER MGM_LOG=off "$BIN/startup" || fail "startup"

    title "2. A router between real hosts (kernel forwarder)"
    enter_namespaces "$@" || {
        say "skipped: the router between real hosts, for network namespaces are not permitted here ($NS_REASON)"
        [ "${CI:-}" != true ] || exit 1
        exit 0
    }
fi
enter_namespaces
prepare
say "  src ---- rtr ---- rcv1     four hosts in namespaces of their own ($MGM_IN_NAMESPACES)"
say "            |                src 10.1.0.2 and 10.1.0.3, rcv1 10.2.0.2, rcv2 10.3.0.2"
say "            +------ rcv2     rtr runs the router on libmgm with MGM_FORWARDER=kernel"
say ""
make_hosts
start_receivers || fail "the receivers start"
# shellcheck disable=SC2119
start_router || fail "the router starts"
ok "the router is ready: its protocol owns to-src, to-rcv1 and to-rcv2, IGMP is on each"

title "rcv1 joins 239.1.1.1; 10.1.0.2 sends 20 packets"
join rcv1 239.1.1.1 || fail "the router hears the join"
ok "the router heard the IGMP report of 10.2.0.2"
send 10.1.0.2 239.1.1.1 1 20 || fail "the kernel saw 20 packets"
check "rcv1 got 1 to 20, each once, in order" \
    numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq -s ' ' 1 20)"
exactly "nothing of it on rcv2's link" nothing_on_link rcv2 239.1.1.1 0

title "A second group: rcv2 joins 239.1.1.2; 10.1.0.2 sends 10 packets"
join rcv2 239.1.1.2 || fail "the router hears the join"
send 10.1.0.2 239.1.1.2 1 10 || fail "the kernel saw 10 packets"
check "rcv2 got 1 to 10" numbers_are rcv2 got 239.1.1.2 10.1.0.2 "$(seq -s ' ' 1 10)"
exactly "nothing of it on rcv1's link" nothing_on_link rcv1 239.1.1.2 0

title "A second source: 10.1.0.3 sends 10 packets to 239.1.1.1"
send 10.1.0.3 239.1.1.1 1 10 || fail "the kernel saw 10 packets"
check "rcv1 got 1 to 10" numbers_are rcv1 got 239.1.1.1 10.1.0.3 "$(seq -s ' ' 1 10)"
exactly "still nothing of 239.1.1.1 on rcv2's link" nothing_on_link rcv2 239.1.1.1 0

title "rcv2 joins 239.1.1.1 too; 10.1.0.2 sends 5 more"
join rcv2 239.1.1.1 || fail "the router hears the join"
send 10.1.0.2 239.1.1.1 21 5 || fail "the kernel saw 5 packets"
check "rcv1 got 21 to 25" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq -s ' ' 1 25)"
check "rcv2 got 21 to 25" numbers_are rcv2 got 239.1.1.1 10.1.0.2 "$(seq -s ' ' 21 25)"

title "rcv1 leaves 239.1.1.1; 10.1.0.2 sends 5 more"
leave rcv1 239.1.1.1 || fail "the router hears the leave"
check "the kernel's entry goes to rcv2 only" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv2
send 10.1.0.2 239.1.1.1 26 5 || fail "the kernel saw 5 packets"
check "rcv2 got 26 to 30" numbers_are rcv2 got 239.1.1.1 10.1.0.2 "$(seq -s ' ' 21 30)"
exactly "no more of it on rcv1's link (25 and 10 packets, as before)" \
    nothing_on_link rcv1 239.1.1.1 35

title "rcv2 leaves it as well; 10.1.0.2 sends 5 more"
leave rcv2 239.1.1.1 || fail "the router hears the leave"
check "the kernel's entry goes to nobody" kernel_oifs_are 10.1.0.2 239.1.1.1 -
send 10.1.0.2 239.1.1.1 31 5 || fail "the kernel saw 5 packets"
exactly "nothing on rcv1's link" nothing_on_link rcv1 239.1.1.1 35
exactly "nothing on rcv2's link" nothing_on_link rcv2 239.1.1.1 10

title "The forwarding table, as the kernel has it (ip -s mroute)"
ip -n rtr -s mroute show | sed 's/^/  /'
KERNEL=$(kernel_table)

title "SIGINT: the router prints the table as MgmGetFirstMfeStats has it, and ends"
STATUS=0
finish router INT || STATUS=$?
sed -n '/^router: forwarding table/,$p' "$LOGS/router" | sed 's/^/  /'
say ""
[ "$STATUS" = 0 ] || fail "the router ends with status 0 (it was $STATUS)"
ok "every call of the shut-down gave the code it should"
if [ "$KERNEL" != "$(router_table)" ]; then
    say "kernel:"; say "$KERNEL"; say "router:"; router_table
    fail "both tables agree"
fi
ok "both tables agree: sources, groups, interfaces, packets, octets"
exactly "the kernel has no entry left" [ -z "$(kernel_table)" ]

title "What the router said meanwhile"
sed '/^router: forwarding table/,$d' "$LOGS/router" | sed 's/^/  /'
title "3. The same router as three processes"
APART=1 HOLD=10
# shellcheck disable=SC2119
start_router || fail "the three processes start"
for ONE in mgmd igmp protocol; do
    printf '  %6d  %s\n' "$(pid_of $ONE)" "$(tr '\0' ' ' <"/proc/$(pid_of $ONE)/cmdline" | sed "s|$BIN/||")"
done
say ""
ok "mgmd has the kernel's table; IGMP and the protocol are its clients (MGM_HOST=$SOCKET)"

title "rcv1 joins 239.1.1.3; 10.1.0.2 sends 500 packets a second; the protocol is killed"
join rcv1 239.1.1.3 || fail "IGMP hears the join"
send 10.1.0.2 239.1.1.3 1 1 || fail "the kernel saw a packet"
start stream src "$BIN/sender" eth0 10.1.0.2 239.1.1.3 $PORT 2 1500 500
check "the stream is on its way" log_has rcv1 "got 239.1.1.3 from 10.1.0.2 number 250"
STATUS=0
finish protocol KILL || STATUS=$?
[ "$STATUS" = 137 ] || fail "kill -9"
ok "kill -9 of the protocol: IGMP and mgmd go on"
start_client protocol
protocol_is_back() { [ "$(router_lines "protocol ready")" = 2 ]; }
check "started again, it is back, and has its interfaces" protocol_is_back
check "rcv1 got 1 to 1501, each once, in order" \
    numbers_are rcv1 got 239.1.1.3 10.1.0.2 "$(seq -s ' ' 1 1501)"
STATUS=0
stop_router || STATUS=$?
[ "$STATUS" = 0 ] || fail "the three processes end with status 0 (it was $STATUS)"
ok "the three processes ended in order"
exactly "the kernel has no entry left" [ -z "$(kernel_table)" ]

title "What IGMP and the protocol said meanwhile"
sed '/^router: forwarding table/,/^router: [0-9]* entries/d' "$LOGS/router" | sed 's/^/  /'
printf '\nThe demo ended well.\n'
