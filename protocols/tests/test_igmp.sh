#!/usr/bin/env bash
# mgm-igmp between real hosts. It is alone on the router, so it owns the interfaces and forwards from any of them to the members
# on the others. Names of tests on the command line run only those.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Short times, so that a test need not wait: a group is remembered for 4.5 s, a last member asked for during 0.4 s.
TIMES="--query-interval 2 --response-interval 0.5 --last-member-interval 0.2"
start_igmp() { # [OPTION...]
    # shellcheck disable=SC2086 # options are words
    protocol igmp rtr mgm-igmp $TIMES "$@"
}
all_three() { start_igmp "$@" to-src to-rcv1 to-rcv2; }

# ---- tests ----------------------------------------------------------------------------------------

join_forward_leave() { # with whatever version of IGMP the hosts speak
    receivers rcv1 rcv2
    join rcv1 239.1.1.1
    must "the join is heard" log_has igmp "239.1.1.1 is wanted"
    send 10.1.0.2 239.1.1.1 1 20 || wrong "20 packets reach the kernel"
    must "rcv1 got all" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 20)"
    now "rcv2's link stays free" link_count_is rcv2 239.1.1.1 0
    leave rcv1 239.1.1.1
    must "forwarded to nobody" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    join rcv1 239.1.1.1
    must "forwarded again" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
}
hosts_of_version_3() {
    local n
    capture wire rtr to-rcv1 2
    all_three
    join_forward_leave
    for n in 2 3; do
        join rcv2 232.1.1.1 10.1.0.$n
    done
    must "both sources are wanted" wait_for 1 sources_are 2
    packet 10.1.0.2 232.1.1.1
    must "a source that was asked for" got rcv2 232.1.1.1 10.1.0.2 1
    ip -n src address add 10.1.0.4/24 dev eth0
    packet 10.1.0.4 232.1.1.1
    must "another one is forwarded to nobody" kernel_oifs_are 10.1.0.4 232.1.1.1 -
    leave rcv2 232.1.1.1 10.1.0.2
    must "the first one no more" kernel_oifs_are 10.1.0.2 232.1.1.1 -
    packet 10.1.0.3 232.1.1.1 7
    must "the second goes on" got rcv2 232.1.1.1 10.1.0.3 7
    ends igmp
    decodes_cleanly wire
    now "nothing is left in the kernel" kernel_is_empty
}
sources_are() {
    kill -USR1 "$(pid_of igmp)"
    sleep 0.1
    [ "$(grep -F 'to-rcv2: 232.1.1.1 source' "$LOGS/igmp" | grep -cF wanted)" -ge "$1" ]
}
hosts_of_version_2() {
    hosts_speak_igmp rcv1 2
    all_three
    join_forward_leave
    ends igmp
}
hosts_of_version_1() {
    hosts_speak_igmp rcv1 1
    start_igmp to-src to-rcv1,query-interval=30 to-rcv2
    receivers rcv1
    join rcv1 239.1.1.1 # by the kernel
    must "heard" log_has igmp "to-rcv1: 239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    must "forwarded" got rcv1 239.1.1.1 10.1.0.2 1
    # A leave of version 2 does not count while a host of version 1 is there, which cannot be asked.
    igmp rcv2 eth0 10.3.0.70 v1 239.1.1.1
    must "heard" log_has igmp "to-rcv2: 239.1.1.1 is wanted"
    igmp rcv2 eth0 10.3.0.71 leave 239.1.1.1
    sleep 1
    now "forwarded to both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    must "but it falls silent" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    ends igmp
}

# Interfaces and groups come and go with the file; those that stay lose no packet.
the_file_is_read_anew() {
    words igmp "$TIMES" to-src to-rcv1 to-rcv2
    protocol igmp rtr mgm-igmp --config "$LOGS/igmp.conf"
    receivers rcv1 rcv2
    join rcv1 239.1.1.1
    join rcv1 239.1.2.1
    join rcv2 239.1.1.1
    packet 10.1.0.2 239.1.2.1
    must "a group" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv1
    must "heard on the other link" log_has igmp "to-rcv2: 239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 1500 300
    must "under traffic" more_lines rcv1 "link 239.1.1.1" 20
    now "to both" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1,to-rcv2
    words igmp "$TIMES --deny 239.1.2.0/24" to-src to-rcv1
    read_anew igmp
    must "a group that is denied now" kernel_oifs_are 10.1.0.2 239.1.2.1 -
    must "an interface less" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    now "which it does without" log_has igmp "does without to-rcv2"
    words igmp "$TIMES" to-src to-rcv1 to-rcv2,deny=239.1.1.1
    read_anew igmp
    must "the group is permitted again" kernel_oifs_are 10.1.0.2 239.1.2.1 to-rcv1
    must "the interface is taken again" lines_are igmp "IGMP: is on to-rcv2" 2
    now "where the group is not permitted" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    words igmp "$TIMES" to-src to-rcv1,query-interval=0
    no_sense igmp "query-interval 0: seconds from 1 to 31744 are allowed"
    words igmp "$TIMES" to-src to-rcv1 to-src
    no_sense igmp "to-src: named twice"
    rm "$LOGS/igmp.conf"
    no_sense igmp "$LOGS/igmp.conf: No such file"
    now "the interface stays" lines_are igmp "does without" 1
    finish sender
    must "no packet is lost" wait_for 1 link_numbers_are rcv1 239.1.1.1 10.1.0.2 "$(seq_line 1 1501)"
    ends igmp
    now "nothing is left in the kernel" kernel_is_empty
}
link_numbers_are() { [ "$(numbers "$1" link "$2" "$3")" = "$4" ]; }

# Hosts of all three versions on one link: whoever stays keeps the group.
versions_on_one_link() {
    all_three --robustness 1
    packet 10.1.0.2 239.1.1.1
    igmp rcv1 eth0 10.2.0.73 to_ex 239.1.1.1
    must "version 3" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    receivers rcv1
    hosts_speak_igmp rcv1 2
    join rcv1 239.1.1.1
    igmp rcv1 eth0 10.2.0.73 to_in 239.1.1.1
    must "it is asked for" log_has igmp "239.1.1.1"
    sleep 1
    must "the host of version 2 answers" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    leave rcv1 239.1.1.1
    must "and leaves" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    ends igmp
}

# Sources that hosts exclude are not forwarded, and are again when somebody wants them.
excluded_sources() {
    all_three --query-interval 100 # nobody answers queries, and nobody is to be forgotten
    igmp rcv1 eth0 10.2.0.77 is_ex 239.1.1.1 10.1.0.3
    must "heard" log_has igmp "239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    packet 10.1.0.3 239.1.1.1
    must "another source is forwarded" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    must "the one that is excluded is not" kernel_oifs_are 10.1.0.3 239.1.1.1 -
    igmp rcv1 eth0 10.2.0.78 allow 239.1.1.1 10.1.0.3
    must "a second host wants it" kernel_oifs_are 10.1.0.3 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.78 block 239.1.1.1 10.1.0.3
    must "and no more" kernel_oifs_are 10.1.0.3 239.1.1.1 -
    now "the other one stays" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    ends igmp
}

reports_of_all_kinds() {
    local version
    all_three
    for version in 1 2; do # without router alert
        igmp rcv1 -a eth0 10.2.0.7$version v$version 239.1.1.$version
        must "version $version" log_has igmp "239.1.1.$version is wanted"
    done
    igmp rcv1 -a eth0 10.2.0.73 to_ex 239.1.1.3
    must "version 3" log_has igmp "239.1.1.3 is wanted"
    igmp rcv1 eth0 0.0.0.0 to_ex 239.1.1.4
    must "a host without an address" log_has igmp "239.1.1.4 is wanted"
    igmp rcv1 eth0 10.99.0.1 to_ex 239.1.1.5
    must "a source elsewhere is told of" log_has igmp "a bad packet from 10.99.0.1: from a source that is not on this link"
    igmp rcv1 eth0 10.2.0.66 raw 224.0.0.22 2200e61300000001040003e8ef010106
    igmp rcv1 eth0 10.2.0.66 raw 224.0.0.22 16000000ef010101
    igmp rcv1 eth0 10.2.0.66 raw 10.1.0.1 "$(with_checksum 16000000ef010109)" # an address of the router's, elsewhere
    IGMP_TTL=2 igmp rcv1 eth0 10.2.0.66 to_ex 239.1.1.8 # from another link, perhaps
    igmp rcv1 eth0 10.2.0.66 to_ex 239.1.1.7
    must "what comes after is heard" log_has igmp "239.1.1.7 is wanted"
    now "the one from elsewhere was not" lines_are igmp "239.1.1.5 is wanted" 0
    now "nor the one that was sent elsewhere" lines_are igmp "239.1.1.9 is wanted" 0
    now "nor the one with a TTL of 2" lines_are igmp "239.1.1.8 is wanted" 0
    now "one line for all of them" lines_are igmp "a bad packet" 1
    kill -USR1 "$(pid_of igmp)"
    must "but all were counted" log_has igmp "5 bad packets"
    ends igmp
}

limits() {
    start_igmp --query-interval 100 to-src to-rcv1,max-groups=2,permit=239.1.0.0/16,fast-leave to-rcv2,deny=239.1.1.0/24
    igmp rcv1 eth0 10.2.0.77 to_ex 239.2.1.1
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.2
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.3
    must "a third group is refused" log_has igmp "239.1.1.3 is refused: there are 2 groups already"
    igmp rcv2 eth0 10.3.0.77 to_ex 239.1.1.1
    igmp rcv2 eth0 10.3.0.77 to_ex 239.2.1.1
    must "what the list permits" log_has igmp "to-rcv2: 239.2.1.1 is wanted"
    now "not what it denies" lines_are igmp "to-rcv2: 239.1.1.1 is wanted" 0
    now "nor on the other interface" lines_are igmp "to-rcv1: 239.2.1.1 is wanted" 0
    packet 10.1.0.2 239.1.1.1
    must "forwarded" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    igmp rcv1 eth0 10.2.0.77 to_in 239.1.1.1
    must "fast leave" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    ends igmp
}

# Two routers on rcv1's link: the lower address asks. The second one is in rcv1's own namespace.
election() {
    protocol other rcv1 mgm-igmp --query-interval 1 --response-interval 0.4 eth0
    must "alone it asks" log_has other "eth0: querier, as 10.2.0.2"
    start_igmp to-rcv1
    must "10.2.0.1 is the querier" log_has other "eth0: 10.2.0.1 is the querier"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "both hear hosts" log_has igmp "239.1.1.1 is wanted"
    sleep 0.5
    finish igmp KILL
    must "when it is silent the other asks" log_has other "eth0: the querier 10.2.0.1 has fallen silent"
    start_igmp to-rcv1
    must "until it is back" wait_for 1 lines_are other "10.2.0.1 is the querier" 2
    ends igmp
    ends other
}

interfaces_come_and_go() {
    ip -n rtr link del to-rcv1
    all_three
    now "a name that is not there is waited for" log_has igmp "to-rcv1 is not there yet"
    new_link_to_rcv1
    must "it is taken" log_has igmp "is on to-rcv1"
    must "and asked" log_has igmp "to-rcv1: querier, as 10.2.0.1"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    packet 10.1.0.2 239.1.1.1
    must "members there count" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    ip -n rtr link del to-rcv1
    must "it has gone" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    new_link_to_rcv1
    must "it is taken again" lines_are igmp "to-rcv1: querier, as 10.2.0.1" 2
    now "without the members of before" kernel_oifs_are 10.1.0.2 239.1.1.1 -
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "and its members count" kernel_oifs_are 10.1.0.2 239.1.1.1 to-rcv1
    ends igmp
}
new_link_to_rcv1() {
    ip -n rtr link add to-rcv1 type veth peer name eth0 netns rcv1
    ip -n rtr address add 10.2.0.1/24 dev to-rcv1
    ip -n rtr link set to-rcv1 up
    ip -n rcv1 address add 10.2.0.2/24 dev eth0
    ip -n rcv1 link set eth0 up
}

# Killed and started again under traffic: alone, its queries find the members; under mgmd no packet is lost.
killed_alone() {
    all_three
    receivers rcv1
    join rcv1 239.1.1.1
    must "heard" log_has igmp "239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    must "forwarded" got rcv1 239.1.1.1 10.1.0.2 1
    finish igmp KILL
    must "the kernel has nothing of it" kernel_is_empty
    all_three
    must "the member is found" log_has igmp "239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1 2
    must "forwarded again" got rcv1 239.1.1.1 10.1.0.2 2
    ends igmp
}
killed_under_mgmd() {
    start_mgmd rtr
    all_three
    receivers rcv1
    join rcv1 239.1.1.1
    must "heard" log_has igmp "239.1.1.1 is wanted"
    packet 10.1.0.2 239.1.1.1
    must "forwarded" got rcv1 239.1.1.1 10.1.0.2 1
    start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 400 200
    must "under traffic" got rcv1 239.1.1.1 10.1.0.2 20
    finish igmp KILL
    all_three
    must "the member is found" log_has igmp "239.1.1.1 is wanted"
    finish sender
    must "no packet is lost" numbers_are rcv1 got 239.1.1.1 10.1.0.2 "$(seq_line 1 401)"
    # And the host: it ends, and comes back.
    finish mgmd TERM
    must "it is missed" log_has igmp "the group manager has gone"
    start_mgmd rtr
    must "and found again" lines_are igmp "IGMP: registered" 2
    must "with its memberships" flows_to 10.1.0.2 239.1.1.1 to-rcv1
    ends igmp
}

# ---- what is sent, octet by octet ---------------------------------------------------------------------------

# sent PATTERN: how many packets from 10.2.0.1 fit. A pattern is DESTINATION DATA; a checksum is four dots.
sent() { grep -cE "^10\.2\.0\.1 > $1 ttl 1 options 94040000 data $2\$" "$LOGS/wire" || true; }
sent_are() { [ "$(sent "$1" "$2")" = "$3" ]; }
in_hex() { printf '%02x%02x%02x%02x' "${1%%.*}" "$(cut -d. -f2 <<<"$1")" "$(cut -d. -f3 <<<"$1")" "${1##*.}"; }

# As many queries as are set, as far apart, to whom, with which times, and with the S flag where somebody has answered.
queries_on_the_wire() {
    local general group sources begun
    general="11 05.... 00000000 0206 0000" group="11 04.... ef010101 0206 0000" sources="11 04.... e8010101 0206"
    general=${general// } group=${group// } sources=${sources// }
    capture wire rtr to-rcv1 2
    begun=$EPOCHREALTIME
    start_igmp --query-interval 6 --startup-count 3 --startup-interval 0.3 --last-member-count 4 --last-member-interval 0.4 to-rcv1
    must "three at the start" sent_are 224.0.0.1 "$general" 3
    now "0.3 s apart" have_passed 0.5 "$begun"
    must "then at the interval" sent_are 224.0.0.1 "$general" 4
    now "which is 6 s" have_passed 6.5 "$begun"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    igmp rcv1 eth0 10.2.0.77 allow 232.1.1.1 10.1.0.2 10.1.0.3
    begun=$EPOCHREALTIME
    igmp rcv1 eth0 10.2.0.77 to_in 239.1.1.1
    igmp rcv1 eth0 10.2.0.77 block 232.1.1.1 10.1.0.2
    must "it is left" log_has igmp "nobody wants 239.1.1.1"
    now "after four times 0.4 s" have_passed 1.5 "$begun"
    must "four queries for the group" sent_are 239.1.1.1 "$group" 4
    must "four for the source, and for that alone" sent_are 232.1.1.1 "${sources}0001$(in_hex 10.1.0.2)" 4
    # Somebody answers: what is still to be asked has the S flag.
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.2
    igmp rcv1 eth0 10.2.0.77 to_in 239.1.1.2
    igmp rcv1 eth0 10.2.0.78 is_ex 239.1.1.2
    igmp rcv1 eth0 10.2.0.77 block 232.1.1.1 10.1.0.3
    igmp rcv1 eth0 10.2.0.78 allow 232.1.1.1 10.1.0.3
    group="1104....ef0101020a060000" sources="1104....e80101010a060001$(in_hex 10.1.0.3)"
    must "four, and the S flag once it has answered" answered 239.1.1.2 "$group"
    must "for the source as well" answered 232.1.1.1 "$sources"
    now "nothing else was sent" only_queries_were_sent
    ends igmp
}
# Of four queries the first has no S flag, and those that come after the answer have it.
answered() {
    local with without
    with=$(sent "$1" "$2") without=$(sent "$1" "${2/0a06/0206}")
    [ $((with + without)) = 4 ] && [ "$with" -ge 1 ] && [ "$without" -ge 1 ]
}
only_queries_were_sent() { ! grep '^10\.2\.0\.1 ' "$LOGS/wire" | grep -qvE ' ttl 1 options 94040000 data 11'; }
# have_passed SECONDS SINCE: at least. What a machine that is busy takes longer says nothing; unit_igmp_times.c looks at the rest.
have_passed() { awk -v least="$1" -v since="$2" -v now="$EPOCHREALTIME" 'BEGIN { exit !(now - since >= least) }'; }

queries_of_older_versions() {
    capture wire rtr to-rcv1 2
    start_igmp --igmp-version 2 to-rcv1
    must "version 2" sent_are 224.0.0.1 "1105....00000000" 2
    igmp rcv1 eth0 10.2.0.77 v2 239.1.1.1
    igmp rcv1 eth0 10.2.0.77 leave 239.1.1.1
    must "for a group" sent_are 239.1.1.1 "1102....ef010101" 2
    ends igmp
    start_igmp --igmp-version 1 to-rcv1
    must "version 1" sent_are 224.0.0.1 "1100....00000000" 2
    ends igmp
}

# Another router's queries, made by hand: its times are taken, and its questions to last members count here as well.
a_querier_elsewhere() {
    local asked begun
    ip -n rtr address del 10.2.0.1/24 dev to-rcv1
    ip -n rtr address add 10.2.0.9/24 dev to-rcv1
    capture wire rtr to-rcv1 2
    start_igmp --query-interval 30 --startup-count 99 --startup-interval 0.3 to-rcv1
    must "it asks" log_has igmp "to-rcv1: querier, as 10.2.0.9"
    query() { igmp rcv1 eth0 "$1" raw "$2" "$(with_checksum "$3")"; }
    query 0.0.0.0 224.0.0.1 110500000000000003010000
    query 10.2.0.20 224.0.0.1 110500000000000003010000
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.1
    must "what came before was heard" log_has igmp "239.1.1.1 is wanted"
    now "nobody is elected without an address, or with a higher one" lines_are igmp "is the querier" 0
    query 10.2.0.2 224.0.0.1 110500000000000005010000
    must "a lower one is" log_has igmp "to-rcv1: 10.2.0.2 is the querier"
    query 10.2.0.2 239.1.1.1 11040000ef0101010d010000 # with the S flag
    must "it is on the wire, behind all that was asked before" log_has wire "10.2.0.2 > 239.1.1.1 "
    asked=$(lines wire "10.2.0.9 > 224.0.0.1 ")
    kill -USR1 "$(pid_of igmp)"
    must "it asks no more" log_has igmp "listening, querier 10.2.0.2"
    igmp rcv1 eth0 10.2.0.77 to_ex 239.1.1.2
    begun=$EPOCHREALTIME
    query 10.2.0.2 239.1.1.2 11040000ef01010205010000
    must "a group that nobody answers for" log_has igmp "nobody wants 239.1.1.2"
    now "after its robustness times 0.4 s" have_passed 1.9 "$begun"
    now "meanwhile this one asks nothing" lines_are wire "10.2.0.9 > 224.0.0.1 " "$asked"
    now "not with the S flag" lines_are igmp "nobody wants 239.1.1.1" 0
    must "until that is silent for 5 times 1 s" wait_for 8 log_has igmp "the querier 10.2.0.2 has fallen silent"
    ends igmp
}
# The message, in hexadecimal digits, with its checksum in octets 2 and 3, which are 0 before.
with_checksum() {
    local sum=0 at
    for ((at = 0; at < ${#1}; at += 4)); do sum=$((sum + 16#${1:at:4})); done
    sum=$(((sum & 0xffff) + (sum >> 16)))
    printf '%s%04x%s' "${1:0:4}" $(((~(sum + (sum >> 16))) & 0xffff)) "${1:8}"
}

TESTS="hosts_of_version_3 hosts_of_version_2 hosts_of_version_1 versions_on_one_link excluded_sources reports_of_all_kinds limits
    election interfaces_come_and_go the_file_is_read_anew killed_alone killed_under_mgmd
    queries_on_the_wire queries_of_older_versions a_querier_elsewhere"
run_tests "mgm-igmp's topologies" "$TESTS" "$@"
