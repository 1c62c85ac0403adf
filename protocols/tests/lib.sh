# shellcheck shell=bash
# What the protocols' topology tests share: real packets between network namespaces of their own, polling for states. Sourced
# first by each test_*.sh, which ends with run_tests. Ends with "N passed, N failed".
set -u
# shellcheck source-path=SCRIPTDIR source=../../c-tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../c-tests/lib.sh"

# make builds mgmd where it installs it, cargo where it tests it: the newer one.
MGMD=$BIN/mgmd
BUILT_BY_CARGO=${CARGO_TARGET_DIR:-$HERE/../target}/debug/mgmd
[ ! "$BUILT_BY_CARGO" -nt "$MGMD" ] || MGMD=$BUILT_BY_CARGO

# must TEXT COMMAND...: within 20 seconds. now TEXT COMMAND...: at once.
must() { local text=$1; shift; wait_for 20 "$@" || wrong "$text"; }
now() { local text=$1; shift; "$@" || wrong "$text"; }
wrong() {
    local log
    echo "  does not hold: $*"
    {
        for log in "$LOGS"/*; do
            [ -f "$log" ] || continue # a FIFO
            [ "${log%.pcap}" = "$log" ] || continue
            echo "-- ${log##*/}:"
            tail -40 "$log"
        done
        for log in /run/netns/*; do
            echo "-- kernel of ${log##*/}:"
            ip -n "${log##*/}" -s mroute show
        done
    } 2>/dev/null | sed 's/^/    /'
    exit 1
}
seq_line() { seq -s ' ' "$1" "$2"; }

# protocol NAME NAMESPACE PROGRAM [OPTION...]: starts build/bin/PROGRAM, on the kernel forwarder unless MGM_HOST is set; until it
# is ready.
protocol() {
    local name=$1 ns=$2 program=$3
    shift 3
    start "$name" "$ns" env MGM_LOG="${MGM_LOG:-warn}" "$BIN/$program" --log debug "$@"
    wait_for 20 log_has "$name" "info: ready" || wrong "$program starts"
}
# words NAME WORD...: what the program's file says from now on. read_anew NAME: it is read.
words() { printf '%s\n' "# words" "${@:2}" >"$LOGS/$1.conf"; }
read_anew() {
    local before
    before=$(lines "$1" "the configuration was read anew")
    kill -HUP "$(pid_of "$1")"
    must "$1: its file is read anew" more_lines "$1" "the configuration was read anew" "$before"
}
# no_sense NAME WHY: its file makes no sense, which is told, and nothing changes.
no_sense() {
    kill -HUP "$(pid_of "$1")"
    must "$1: $2" log_has "$1" "error: everything stays as it is: $2"
}
# start_mgmd NAMESPACE [SECONDS]: serving at $LOGS/mgm.sock, with a hold of ten seconds or so many.
start_mgmd() {
    local ns=$1
    start "mgmd" "$ns" env -u MGM_HOST "$MGMD" --serve "$LOGS/mgm.sock" --control "$LOGS/control.sock" --hold "${2:-10}" --log info
    wait_for 20 test -S "$LOGS/mgm.sock" || wrong "mgmd starts"
    export MGM_HOST=$LOGS/mgm.sock
}
# ends NAME: with SIGTERM and status 0.
ends() {
    local status=0
    finish "$1" TERM || status=$?
    [ "$status" = 0 ] || wrong "$1 ends with status 0 (it was $status)"
}
kernel_is_empty() { [ -z "$(kernel_table)" ]; }
# lines NAME TEXT: how many lines of the log have it.
lines() { grep -cF -- "$2" "$LOGS/$1" || true; }
more_lines() { [ "$(lines "$1" "$2")" -gt "$3" ]; }
lines_are() { [ "$(lines "$1" "$2")" = "$3" ]; }
link_count_is() { [ "$(on_link "$1" "$2")" = "$3" ]; }
hosts_speak_igmp() { # HOST 1, 2 or 3
    in_ns "$1" sh -c "echo $2 >/proc/sys/net/ipv4/conf/eth0/force_igmp_version"
}
igmp() { local host=$1; shift; in_ns "$host" "$BIN/igmp_send" "$@"; }
# join HOST GROUP [SOURCE] and leave HOST GROUP [SOURCE]: until the host's kernel has done it.
join() { change join joined "$@"; }
leave() { change leave left "$@"; }
change() {
    local command=$1 word=$2 host=$3 group=$4 before
    shift 4
    before=$(lines "$host" "$word $group")
    tell "$host" "$command" "$group" "$@"
    wait_for 20 more_lines "$host" "$word $group" "$before" || wrong "$host: $command $group"
}
receivers() {
    local host
    for host; do
        start "$host" "$host" "$BIN/receiver" eth0 "$PORT"
        wait_for 20 log_has "$host" ready || wrong "the receiver on $host starts"
    done
}
# packet SOURCE GROUP [NUMBER]: one, from the host src.
packet() { in_ns src "$BIN/sender" eth0 "$1" "$2" "$PORT" "${3:-1}" 1 1000; }
# flows_to SOURCE GROUP INTERFACES: the entry goes there. A packet each look, for one that comes before the interface is taken makes
# no entry.
flows_to() { packet "$1" "$2" && kernel_oifs_are "$1" "$2" "$3"; }
# A packet each look, until the receiver has got one of this group and source: how long does a channel change take?
hears() { packet "$2" "$3" && grep -q "^got $3 from $2 " "$LOGS/$1"; }
got() { log_has "$1" "got $2 from $3 number $4"; }

# capture NAME NAMESPACE INTERFACE [PROTOCOL]: into $LOGS/NAME.pcap.
capture() {
    local name=$1
    start "$name" "$2" "$BIN/capture" "$3" "$LOGS/$name.pcap" "${4:-0}"
    wait_for 20 log_has "$name" ready || wrong "the capture starts"
}
# tshark_finds NAME FILTER: how many packets.
tshark_finds() { tshark -n -r "$LOGS/$1.pcap" -Y "$2" 2>/dev/null | wc -l; }
# Every packet is decoded without a complaint, and there are some. Where there is no tshark this is not looked at.
decodes_cleanly() {
    command -v tshark >/dev/null || {
        [ "${CI:-}" != true ] || wrong "tshark is installed"
        return 0
    }
    [ "$(tshark_finds "$1" ip)" -gt 0 ] || wrong "something was sent"
    [ "$(tshark_finds "$1" "_ws.malformed || _ws.expert.severity >= warning || ip.checksum.status == 0 || igmp.checksum.status == 0 || pim.cksum.status == 0")" = 0 ] || {
        tshark -n -V -r "$LOGS/$1.pcap" -Y "_ws.malformed || _ws.expert.severity >= warning" 2>/dev/null | tail -60
        wrong "tshark decodes all packets without a complaint"
    }
}

# run_tests WHAT TESTS [NAME...]: the tests named, or all: each in a process, namespaces and hosts (make_topology) of its own,
# MGM_TEST_JOBS (4) at a time, for they wait more than they work.
run_tests() {
    local what=$1 tests=$2 test passed=0 failed=0 work line
    shift 2
    [ $# != 1 ] || { run_one "$what" "$1"; return; }
    work=$(mktemp -d "${TMPDIR:-/tmp}/mgm-tests.XXXXXX")
    # shellcheck disable=SC2086 # names of tests are words
    [ $# != 0 ] || set -- $tests
    # shellcheck disable=SC2016 # the inner shell expands it
    printf '%s\n' "$@" | xargs -P "${MGM_TEST_JOBS:-4}" -I '{}' sh -c 'bash "$1" "$2" >"$3/$2" 2>&1 </dev/null' - "$0" '{}' "$work"
    for test; do
        line=$(tail -1 "$work/$test")
        grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$work/$test"
        case $line in
            "1 passed, 0 failed") passed=$((passed + 1)) ;;
            "0 passed, 0 failed") break ;; # namespaces are not permitted: the reason once
            *) failed=$((failed + 1)) ;;
        esac
    done
    rm -rf "$work"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
run_one() {
    local status=0 begun=$SECONDS
    enter_namespaces "$2" || {
        echo "skipped: $1, for network namespaces are not permitted here ($NS_REASON)"
        echo "0 passed, 0 failed"
        [ "${CI:-}" != true ] || exit 1
        exit 0
    }
    prepare
    (
        trap stop_all EXIT
        make_topology || wrong "the hosts are made"
        "$2"
    ) || status=$?
    if [ "$status" = 0 ]; then
        echo "passed: $2 ($((SECONDS - begun)) s)"
        echo "1 passed, 0 failed"
    else
        echo "FAILED: $2"
        echo "0 passed, 1 failed"
    fi
    [ "$status" = 0 ]
}
make_topology() { make_hosts; }
