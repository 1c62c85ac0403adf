#!/usr/bin/env bash
# The main job, for people: what libmgm does, shown four times.
#   1. startup: a routing protocol starts up beside IGMP (memory forwarder).
#   2. router: real hosts, real IGMP, real packets, the kernel's forwarding.
#   3. the same router as three processes, one of which is killed and started again.
#   4. a border router: an IGMP proxy and PIM under one mgmd, with sources and members on either side.
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
        sed 's/^/  /' "$LOGS/router" "$LOGS/mgmd" "$LOGS"/mgm_{igmp,proxy,pim,pim2} 2>/dev/null || true
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

title "4. A border router: an IGMP proxy and PIM under one mgmd"
say "  src ---- rtr ---- pim ---- rcv2   pim is a second router between rtr and rcv2, with mgm-pim alone"
say "            |                       rtr: mgm-proxy, upstream to-src, downstream to-rcv1, where mgm-igmp"
say "            +------ rcv1            hears the members; mgm-pim on to-pim. All three are clients of mgmd"
say ""
finish rcv2 KILL || true
ip -n rtr link del to-rcv2
ip netns add pim
ip -n pim link set lo up
ip -n rtr link add to-pim type veth peer name to-rtr netns pim
ip -n pim link add to-rcv2 type veth peer name eth0 netns rcv2
ip -n rtr address add 10.4.0.1/24 dev to-pim
ip -n pim address add 10.4.0.2/24 dev to-rtr
ip -n pim address add 10.3.0.1/24 dev to-rcv2
ip -n rcv2 address add 10.3.0.2/24 dev eth0
ip -n rtr link set to-pim up
ip -n pim link set to-rtr up
ip -n pim link set to-rcv2 up
ip -n rcv2 link set eth0 up
ip -n rcv2 route add default via 10.3.0.1
ip -n rtr route add 10.3.0.0/24 via 10.4.0.2
ip -n pim route add default via 10.4.0.1
# shellcheck disable=SC2016 # the inner shell expands it
in_ns pim sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$f"; done'
start rcv2 rcv2 "$BIN/receiver" eth0 $PORT
check "rcv2 is behind the second router now" log_has rcv2 ready

PIM="mgm-pim --log debug --ssm --hello-interval 1 --triggered-hello 0.2"
start mgmd rtr "$BIN/mgmd" --log warn
# What each says is in a file of its name.
protocol() { # NAME NAMESPACE PROGRAM ARGUMENT...
    start "$1" "$2" "${@:3:1}" "${@:4}"
    printf '  %-4s %s\n' "$2" "$(basename "$3") ${*:4}"
}
export MGM_HOST=$SOCKET
say "  rtr  mgmd"
protocol mgm_igmp rtr "$BIN/mgm-igmp" to-rcv1
protocol mgm_proxy rtr "$BIN/mgm-proxy" to-src to-rcv1
# shellcheck disable=SC2086 # several words
protocol mgm_pim rtr "$BIN"/$PIM to-pim
unset MGM_HOST
# shellcheck disable=SC2086
protocol mgm_pim2 pim "$BIN"/$PIM to-rtr to-rcv2
say ""
for ONE in igmp proxy pim pim2; do
    check "mgm_$ONE is ready" log_has mgm_$ONE "info: ready"
done
check "PIM on rtr has found its neighbour" log_has mgm_pim "neighbour 10.4.0.2 is there"
check "and that has found it" log_has mgm_pim2 "neighbour 10.4.0.1 is there"

# The membership of a protocol, as mgmctl shows it.
member_is() { in_ns rtr "$BIN/mgmctl" show groups | tr -s ' ' | grep -qxF "$*"; }
# What mgm-proxy asks for upstream is written to its log when it is told to.
proxy_asks() { kill -USR1 "$(pid_of mgm_proxy)" && log_has mgm_proxy "$1"; }
# sends SOURCE GROUP HOST: 20 packets, the first packet of a flow alone, as send does.
sends() {
    local source=$1 group=$2 host=$3
    in_ns "$host" "$BIN/sender" eth0 "$source" "$group" $PORT 1 1 200
    wait_for 20 kernel_count_is "$source" "$group" 1 || return 1
    in_ns "$host" "$BIN/sender" eth0 "$source" "$group" $PORT 2 19 200
    wait_for 20 kernel_count_is "$source" "$group" 20
}

title "rcv2, behind PIM, joins 232.1.1.1 of the source 10.1.0.2 on the proxy's side"
tell rcv2 join 232.1.1.1 10.1.0.2
check "its PIM router has sent a join, for which mgm-pim on rtr has added a membership" \
    member_is "232.1.1.1 10.1.0.2 to-pim mgm-pim protocol"
check "the proxy heard of it (join), and asks for it upstream" proxy_asks "to-src: 232.1.1.1 from 10.1.0.2"
sends 10.1.0.2 232.1.1.1 src || fail "the kernel saw 20 packets"
check "rcv2 got 1 to 20, each once, in order" \
    numbers_are rcv2 got 232.1.1.1 10.1.0.2 "$(seq -s ' ' 1 20)"

title "rcv1, behind the proxy, joins 232.1.1.2 of the source 10.3.0.2 on PIM's side"
tell rcv1 join 232.1.1.2 10.3.0.2
check "mgm-igmp heard its report, and has added a membership" \
    member_is "232.1.1.2 10.3.0.2 to-rcv1 mgm-igmp igmp"
check "the proxy heard of it (local join), and has added the same" \
    member_is "232.1.1.2 10.3.0.2 to-rcv1 mgm-proxy protocol"
check "mgm-pim heard of that (join), and its neighbour has its join" \
    log_has mgm_pim2 "(10.3.0.2,232.1.1.2) leaves by to-rtr"
sends 10.3.0.2 232.1.1.2 rcv2 || fail "the kernel saw 20 packets"
check "rcv1 got 1 to 20, each once, in order" \
    numbers_are rcv1 got 232.1.1.2 10.3.0.2 "$(seq -s ' ' 1 20)"

for ONE in mfes groups interfaces clients; do
    title "mgmctl show $ONE"
    in_ns rtr "$BIN/mgmctl" show $ONE | sed 's/^/  /'
done
title "They end"
for ONE in mgm_pim2 mgm_pim mgm_proxy mgm_igmp mgmd; do
    STATUS=0
    finish $ONE TERM || STATUS=$?
    [ "$STATUS" = 0 ] || fail "$ONE ends with status 0 (it was $STATUS)"
done
ok "all five programs ended with status 0"
exactly "the kernel has no entry left" [ -z "$(kernel_table)" ]
printf '\nThe demo ended well.\n'
