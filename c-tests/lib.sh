# shellcheck shell=bash
# What the scripts that need hosts share: network namespaces of their own, programs in them, and
# waiting for a state with a deadline. Sourced, after `set -eu`.
#
#   src ---- rtr ---- rcv1        src   10.1.0.2 and 10.1.0.3
#             |                   rcv1  10.2.0.2
#             +------ rcv2        rcv2  10.3.0.2
#
# The router's interfaces are called to-src, to-rcv1 and to-rcv2 (10.N.0.1), a host's is called eth0.

PATH=$PATH:/usr/sbin:/sbin # ip, for ordinary users
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=${MGM_BIN:-$HERE/../build/bin}
LOGS=            # a directory of this run's own, once the namespaces are there
PIDS=()

say() { printf '%s\n' "$*"; }

# ---- namespaces -----------------------------------------------------------------------------------

# What a namespace of our own must permit: a tmpfs on /run (for ip netns), namespaces in it, veth.
NS_PROBE='mount -t tmpfs tmpfs /run && ip netns add probe &&
    ip -n probe link add probe0 type veth peer name probe1'

# Runs this script again, with its arguments, in namespaces of its own: as root in plain ones, else
# as the root of a user namespace. Gives 1, with the reason in NS_REASON, where neither is permitted.
enter_namespaces() {
    local how reason
    [ -z "${MGM_IN_NAMESPACES:-}" ] || { mount -t tmpfs tmpfs /run; return 0; }
    NS_REASON=
    for how in "unshare -nm" "unshare -Urnm"; do
        [ "$how" != "unshare -nm" ] || [ "$(id -u)" = 0 ] || continue
        # shellcheck disable=SC2086 # $how is a command and its options
        if reason=$($how bash -c "$NS_PROBE" 2>&1); then
            # shellcheck disable=SC2086,SC2093
            MGM_IN_NAMESPACES=$how exec $how bash "$0" "$@"
        fi
        NS_REASON="$NS_REASON${NS_REASON:+; }$how: ${reason:-failed}"
    done
    return 1
}

# Called once, in the namespaces: a directory for logs, and everything ends with the script.
prepare() {
    LOGS=$(mktemp -d "${TMPDIR:-/tmp}/mgm.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT TERM
}

stop_all() {
    local pid
    { # in one group, so that bash does not report each end
        for pid in "${PIDS[@]}"; do kill -KILL "$pid" || true; done
        for pid in "${PIDS[@]}"; do wait "$pid" || true; done
    } 2>/dev/null
}

clean_up() {
    stop_all
    [ -z "$LOGS" ] || rm -rf "$LOGS"
}

# links_run NODE...: all that is up in them works. The kernel brings that about a moment after the command that asked for it, and
# what is sent until then is lost.
links_run() {
    local node
    for node; do ! ip -n "$node" -o link show up | grep -q 'state [A-Z]*DOWN' || return 1; done
}

in_ns() { local ns=$1; shift; nsenter --net="/run/netns/$ns" "$@"; }

make_hosts() {
    local host n=0
    ip netns add rtr
    ip -n rtr link set lo up
    for host in src rcv1 rcv2; do
        n=$((n + 1))
        ip netns add "$host"
        ip -n "$host" link set lo up
        ip -n rtr link add "to-$host" type veth peer name eth0 netns "$host"
        ip -n rtr address add "10.$n.0.1/24" dev "to-$host"
        ip -n rtr link set "to-$host" up
        ip -n "$host" address add "10.$n.0.2/24" dev eth0
        ip -n "$host" link set eth0 up
        ip -n "$host" route add default via "10.$n.0.1"
    done
    ip -n src address add 10.1.0.3/24 dev eth0
    # With rp_filter the kernel drops packets on a wrong interface before it reports them.
    # shellcheck disable=SC2016 # the inner shell expands it
    in_ns rtr sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$f"; done'
    wait_for 20 links_run rtr src rcv1 rcv2
}

remove_hosts() {
    local host
    for host in src rcv1 rcv2 rtr; do ip netns del "$host" 2>/dev/null || true; done
}

# ---- programs ---------------------------------------------------------------------------------------

# start NAME NAMESPACE COMMAND...: in the background, output to $LOGS/NAME, input from the FIFO
# $LOGS/NAME.in (held open by the program itself). Its process id is in PID_NAME. With LOG=FILE before
# it the output is added to $LOGS/FILE.
start() {
    local name=$1 ns=$2 log=${LOG:-$1}
    shift 2
    rm -f "$LOGS/$name.in"
    mkfifo "$LOGS/$name.in"
    [ -n "${LOG:-}" ] || : >"$LOGS/$name" # the one before of this name is forgotten here, not a moment later
    nsenter --net="/run/netns/$ns" "$@" <>"$LOGS/$name.in" >>"$LOGS/$log" 2>&1 &
    PIDS+=($!)
    printf -v "PID_$name" %s "$!"
}

pid_of() { local variable=PID_$1; printf '%s' "${!variable}"; }

# wait_for SECONDS COMMAND...: until the command succeeds; gives 1 when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1 + 1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.02 # between two looks; what counts is the state looked for
    done
}

ended() { ! kill -0 "$1" 2>/dev/null; }
log_has() { grep -qF -- "$2" "$LOGS/$1"; }

# finish NAME [SIGNAL]: sends the signal and waits for the end; gives the program's exit status,
# 99 where it had to be killed.
finish() {
    local pid status=0
    pid=$(pid_of "$1")
    {
        [ $# -lt 2 ] || kill "-$2" "$pid" || true
        if wait_for 20 ended_or_zombie "$pid"; then
            wait "$pid" || status=$?
        else
            kill -KILL "$pid"
            wait "$pid" || true
            status=99
        fi
    } 2>/dev/null
    return "$status"
}
ended_or_zombie() { ended "$1" || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"; }

# start_router [OPTION...]: on the three interfaces, kernel forwarder. With APART=1 as three processes:
# mgmd, IGMP and the routing protocol.
# shellcheck disable=SC2120 # options are optional
start_router() {
    if [ -n "${APART:-}" ]; then
        start_apart "$@"
        return
    fi
    start router rtr env MGM_FORWARDER=kernel MGM_LOG="${MGM_LOG:-warn}" \
        "$BIN/router" "$@" to-src to-rcv1 to-rcv2
    wait_for 20 log_has router "router: ready"
}

# Its three processes. mgmd holds what a client leaves for HOLD seconds, 0 by default; SERVICE=1 runs it
# under what plays systemd's part. What the two clients say is in $LOGS/router.
SOCKET=/run/mgm/mgm.sock
start_apart() {
    : >"$LOGS/router"
    start mgmd rtr ${SERVICE:+"$BIN/service"} "$BIN/mgmd" --forwarder kernel --hold "${HOLD:-0}"
    wait_for 20 [ -S "$SOCKET" ] || return 1
    start_client igmp "$@"
    start_client protocol
    wait_for 20 log_has router "igmp ready" && wait_for 20 log_has router "protocol ready"
}
# start_client igmp|protocol [OPTION...]
start_client() {
    local client=$1
    shift
    LOG=router start "$client" rtr env MGM_HOST="$SOCKET" MGM_LOG="${MGM_LOG:-warn}" \
        "$BIN/router" -o "$client" "$@" to-src to-rcv1 to-rcv2
}

# stop_router: in order, having printed its table; gives the exit status, of the first that failed.
stop_router() {
    local status=0 one
    if [ -z "${APART:-}" ]; then
        finish router INT
        return
    fi
    for one in "protocol INT" "igmp INT" "mgmd TERM"; do
        # shellcheck disable=SC2086 # a name and a signal
        finish $one || [ "$status" != 0 ] || status=$?
    done
    return "$status"
}
# The process that prints the table.
table_printer() { if [ -n "${APART:-}" ]; then pid_of protocol; else pid_of router; fi; }

PORT=5001
start_receivers() {
    local host
    for host in rcv1 rcv2; do
        start "$host" "$host" "$BIN/receiver" eth0 $PORT
        wait_for 20 log_has "$host" ready
    done
}

tell() { # tell rcv1 join 239.1.1.1
    local name=$1
    shift
    ! ended_or_zombie "$(pid_of "$name")" || return 1 # opening its FIFO would wait for ever
    printf '%s\n' "$*" >"$LOGS/$name.in"
}

# A membership as the router sees it, after the `tell` that changes it. The log's lines are counted,
# so that a second join of the same group is not taken for the first.
router_lines() { grep -cF -- "$1" "$LOGS/router" || true; }

# join HOST GROUP [SOURCE] and leave HOST GROUP [SOURCE]: until the router knows.
join() { change_membership join joined "$@"; }
leave() { change_membership leave left "$@"; }
change_membership() {
    local command=$1 word=$2 host=$3 group=$4 line before
    shift 4
    line="igmp: 10.$((${host#rcv} + 1)).0.2 $word $group"
    before=$(router_lines "$line")
    tell "$host" "$command" "$group" "$@"
    wait_for 20 more_router_lines "$line" "$before"
}
more_router_lines() { [ "$(router_lines "$1")" -gt "$2" ]; }

# ---- the kernel's table and the router's ----------------------------------------------------------------

# Both as lines "SOURCE GROUP IIF PACKETS OCTETS WRONG OIF,OIF", sorted.
MROUTE_TABLE=default
kernel_table() {
    ip -n rtr -s mroute show table "$MROUTE_TABLE" | awk '
        /^\(/ {
            gsub(/[(),]/, " ")
            source = $1; group = $2; iif = ""; oifs = ""
            for (n = 3; n <= NF; n++) {
                if ($n == "Iif:") iif = $(n + 1)
                if ($n == "Oifs:")
                    for (m = n + 1; m <= NF && $m != "State:"; m++) oifs = oifs "\n" $m
            }
        }
        / packets, / {
            # The kernel counts the packets and octets of the wrong interface in. It does not tell
            # their octets apart; ours are all of one size.
            wrong = ($0 ~ /wrong iif/) ? $5 : 0
            good = $1 - wrong
            print source, group, iif, good, $1 ? $3 * good / $1 : 0, wrong, sorted(oifs)
        }
        function sorted(list,   names, count, i, j, t, text) {
            count = split(substr(list, 2), names, "\n")
            for (i = 1; i < count; i++)
                for (j = i + 1; j <= count; j++)
                    if (names[j] < names[i]) { t = names[i]; names[i] = names[j]; names[j] = t }
            for (i = 1; i <= count; i++) text = text (i > 1 ? "," : "") names[i]
            return text == "" ? "-" : text
        }' | sort
}

# The last table that the router printed.
router_table() {
    awk '
        /^router: forwarding table/ { count = 0; split("", entry); split("", oifs) }
        /^  \(/ {
            gsub(/[(),:]/, " ")
            # source group "in" iif "upstream" u packets "packets" octets "octets" wrong "on" …
            count++
            entry[count] = $1 " " $2 " " $4 " " $7 " " $9 " " $11
            oifs[count] = ""
        }
        /^      out / && $2 != "to" {
            sub(/:/, "", $2)
            oifs[count] = oifs[count] (oifs[count] == "" ? "" : ",") $2
        }
        END {
            for (n = 1; n <= count; n++) print entry[n], (oifs[n] == "" ? "-" : oifs[n])
        }' "$LOGS/router" | sort
}

# kernel_count SOURCE GROUP: the packets that the kernel counted for the entry, 0 without one.
kernel_count() {
    kernel_table | awk -v s="$1" -v g="$2" '$1 == s && $2 == g { n = $4 + $6 } END { print n + 0 }'
}
kernel_count_is() { [ "$(kernel_count "$1" "$2")" = "$3" ]; }
kernel_oifs() { kernel_table | awk -v s="$1" -v g="$2" '$1 == s && $2 == g { print $7 }'; }
kernel_oifs_are() { [ "$(kernel_oifs "$1" "$2")" = "$3" ]; }

# Has the router print its table, without ending it.
router_prints_table() {
    local before
    before=$(router_lines " entries")
    kill -USR1 "$(table_printer)"
    wait_for 20 more_router_lines " entries" "$before"
}

# ---- packets ------------------------------------------------------------------------------------------

# send SOURCE GROUP FIRST COUNT: numbered packets at 200 a second; until the router's kernel has
# counted them all. The very first of a flow goes alone: the kernel keeps only four packets while
# the router makes up its mind.
send() {
    local source=$1 group=$2 first=$3 count=$4 before
    before=$(kernel_count "$source" "$group")
    if [ "$before" = 0 ] && [ "$count" -gt 1 ]; then
        in_ns src "$BIN/sender" eth0 "$source" "$group" $PORT "$first" 1 200
        wait_for 20 kernel_count_is "$source" "$group" 1 || return 1
        before=1 first=$((first + 1)) count=$((count - 1))
    fi
    in_ns src "$BIN/sender" eth0 "$source" "$group" $PORT "$first" "$count" 200
    wait_for 20 kernel_count_is "$source" "$group" $((before + count))
}

# numbers LOG WORD GROUP SOURCE: the numbers that a receiver printed, in order, on one line.
# WORD is "got" (the joined socket) or "link" (whatever came over the link).
numbers() {
    sed -n "s/^$2 $3 from $4 number //p" "$LOGS/$1" | tr '\n' ' ' | sed 's/ $//'
}
numbers_are() { [ "$(numbers "$1" "$2" "$3" "$4")" = "$5" ]; }
# on_link HOST GROUP: how many packets of the group have been on the host's link, those that its
# program has yet to print included.
on_link() {
    local mark
    mark=$(mktemp -u "$LOGS/sync.XXXXXX")
    mark=${mark##*.}
    tell "$1" sync "$mark"
    wait_for 20 log_has "$1" "synced $mark" || return 1
    grep -c "^link $2 " "$LOGS/$1" || true
}
