#!/usr/bin/env bash
# mgm-igmp and mgm-proxy on one link with FRR's IGMP querier and with igmpproxy. Ends with the line "N passed, N failed". Needs the
# network; part of make test-all.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=topology.sh
. "$(dirname "$0")/topology.sh"
# shellcheck source=peers.sh
. "$(dirname "$0")/peers.sh"
make_topology() { :; }

S=10.1.0.2
TIMES="--query-interval 4 --response-interval 0.5 --last-member-interval 0.2"

# frr_querier NODE VERSION DEVICE...: FRR with PIM and IGMP on them, as quick as it can be set; its own rendezvous point.
frr_querier() {
    local node=$1 version=$2 device
    shift 2
    frr "$node" < <(
        echo "ip pim rp 10.1.0.1 239.0.0.0/8"
        for device; do
            printf 'interface %s\n ip pim\n ip igmp\n ip igmp version %s\n' "$device" "$version"
            printf ' ip igmp query-max-response-time 10\n ip igmp query-interval 5\n ip igmp last-member-query-interval 2\n'
        done
    )
}
frr_shows() { frr_says "$1" "$2" | grep -qE "$3"; } # NODE COMMAND TEXT
frr_knows() { frr_shows "$1" "show ip igmp groups" "$2"; }
frr_asks() { frr_shows "$1" "show ip igmp interface" "^$2 .* $3 "; } # NODE DEVICE local|other

# A LAN with FRR, mgm-igmp and hosts of each version. Whoever has the lower address asks; both hear all members. FRR forwards
# nothing to one of version 1, whose kernel answers so late that queries as quick as these forget it.
the_lower_address_asks() { # FRR'S MGM-IGMP'S
    local n
    node src a b h1 h2 h3
    wire src eth0 $S a above 10.1.0.1
    lan mid a:low:"$1" b:low:"$2" h1:eth0:10.2.0.101 h2:eth0:10.2.0.102 h3:eth0:10.2.0.103
    for n in 1 2 3; do hosts_speak_igmp h$n $n; done
    capture wire b low 2
    # shellcheck disable=SC2086 # options are words
    protocol b b mgm-igmp $TIMES low
    frr_querier a 3 above low # which asks at once
    receivers h1 h2 h3
    for n in 1 2 3; do
        join h$n 239.1.1.$n
        must "mgm-igmp hears of version $n" log_has b "low: 239.1.1.$n is wanted"
        must "FRR hears of version $n" frr_knows a "239.1.1.$n "
    done
    for n in 2 3; do stream "s$n" src eth0 $S 239.1.1.$n 50; done
}
frr_is_the_querier() {
    the_lower_address_asks 10.2.0.1 10.2.0.2
    must "mgm-igmp leaves it to FRR" log_has b "low: 10.2.0.1 is the querier"
    must "FRR asks" frr_asks a low local
    # Members stay known by FRR's queries: past the membership interval of 2 x 4 + 0.5 s.
    for n in 2 3; do must "a member of version $n gets its packets" gets_more h$n 239.1.1.$n 600; done
    for n in 2 3; do now "mgm-igmp knows it still" lines_are b "nobody wants 239.1.1.$n" 0; done
    for n in 2 3; do
        leave h$n 239.1.1.$n
        must "FRR's query for the group counts for mgm-igmp" log_has b "low: nobody wants 239.1.1.$n any more"
    done
    finish a_pimd KILL || true
    must "FRR is missed" log_has b "querier 10.2.0.1 has fallen silent"
    decodes_cleanly wire
    ends b
}
mgm_igmp_is_the_querier() {
    the_lower_address_asks 10.2.0.2 10.2.0.1
    must "FRR leaves it to mgm-igmp" frr_asks a low other
    now "which asks" lines_are b "is the querier" 0
    for n in 2 3; do must "a member of version $n gets its packets" gets_more h$n 239.1.1.$n 600; done
    for n in 2 3; do now "FRR knows it still" frr_knows a "239.1.1.$n "; done
    for n in 2 3; do
        leave h$n 239.1.1.$n
        must "mgm-igmp notices the leave" log_has b "low: nobody wants 239.1.1.$n any more"
        must "FRR too" not frr_knows a "239.1.1.$n "
    done
    decodes_cleanly wire
    ends b
}
not() { ! "$@"; }

# src - r1 - rtr - rcv1
proxied() {
    node src r1 rtr rcv1
    wire src eth0 $S r1 to-src 10.1.0.1
    wire r1 to-rtr 10.9.0.1 rtr uplink 10.9.0.2
    wire rtr to-rcv1 10.2.0.1 rcv1 eth0 10.2.0.2
    ip -n rtr route add default via 10.9.0.1
    ip -n rcv1 route add default via 10.2.0.1
    ip -n src route add default via 10.1.0.1
}

# igmpproxy's host upstream is the kernel's.
igmpproxy_asks_mgm_igmp() {
    local version count
    proxied
    capture wire r1 to-rtr 2
    # shellcheck disable=SC2086
    protocol r1 r1 mgm-igmp $TIMES to-src to-rtr
    igmpproxy rtr uplink to-rcv1
    receivers rcv1
    stream stream src eth0 $S 239.1.1.9 50
    for version in 1 2 3; do
        hosts_speak_igmp rcv1 $version
        join rcv1 239.1.1.$version
        must "igmpproxy asks for what a host of version $version wants" log_has r1 "to-rtr: 239.1.1.$version is wanted"
        stream "s$version" src eth0 $S 239.1.1.$version 50
        must "and it comes" gets_more rcv1 239.1.1.$version 50
    done
    leave rcv1 239.1.1.3
    must "a leave reaches mgm-igmp" log_has r1 "to-rtr: nobody wants 239.1.1.3 any more"
    count=$(got rcv1 239.1.1.2)
    must "the other goes on past the membership interval" gets_more rcv1 239.1.1.2 $((count + 600))
    decodes_cleanly wire
    ends r1
}

# igmpproxy passes over others' queries and goes on with its own. mgm-igmp stops where its address is the higher one, and hears
# members by igmpproxy's queries; where it is the lower one both ask.
igmpproxy_is_on_the_link() { # MGM-IGMP'S-ADDRESS
    local n
    node src rtr b h1 h2 h3
    wire src eth0 $S rtr uplink 10.1.0.1
    lan mid rtr:low:10.2.0.5 b:low:"$1" h1:eth0:10.2.0.101 h2:eth0:10.2.0.102 h3:eth0:10.2.0.103
    for n in 1 2 3; do hosts_speak_igmp h$n $n; done
    capture wire b low 2
    # shellcheck disable=SC2086
    protocol b b mgm-igmp $TIMES low
    igmpproxy rtr uplink low
    receivers h1 h2 h3
    for n in 1 2 3; do
        join h$n 239.1.1.$n
        must "mgm-igmp hears of version $n" log_has b "low: 239.1.1.$n is wanted"
        stream "s$n" src eth0 $S 239.1.1.$n 50
        must "igmpproxy forwards to a member of version $n" gets_more h$n 239.1.1.$n 50
    done
}
igmpproxy_asks_as_the_lower_address() {
    igmpproxy_is_on_the_link 10.2.0.6
    must "mgm-igmp leaves it to igmpproxy" log_has b "low: 10.2.0.5 is the querier"
    decodes_cleanly wire
    ends b
}
igmpproxy_asks_as_the_higher_address() {
    igmpproxy_is_on_the_link 10.2.0.4
    must "past the membership interval" gets_more h3 239.1.1.3 600
    now "mgm-igmp goes on asking" lines_are b "is the querier" 0
    decodes_cleanly wire
    ends b
}

# mgm-proxy as a host of FRR's querier, of version 3 and 2.
mgm_proxy_asks_frr() { # VERSION
    local count
    proxied
    frr_querier r1 "$1" to-src to-rtr
    capture wire rtr uplink 2
    # shellcheck disable=SC2086
    protocol proxy rtr mgm-proxy $TIMES uplink to-rcv1
    receivers rcv1
    join rcv1 239.1.1.1
    must "FRR is asked" frr_knows r1 "239.1.1.1 "
    stream s1 src eth0 $S 239.1.1.1 50
    must "the packets come" gets_more rcv1 239.1.1.1 50
    must "past the membership interval" gets_more rcv1 239.1.1.1 800
    leave rcv1 239.1.1.1
    must "the leave reaches FRR" not frr_knows r1 "239.1.1.1 "
    count=$(got rcv1 239.1.1.1)
    join rcv1 239.1.1.1
    must "joined again" gets_more rcv1 239.1.1.1 $((count + 20))
}
mgm_proxy_asks_frr_by_version_3() {
    mgm_proxy_asks_frr 3
    join rcv1 232.1.1.1 $S
    stream ssm src eth0 $S 232.1.1.1 50
    must "a source is asked for" frr_shows r1 "show ip igmp sources" "232.1.1.1 +$S"
    must "and comes" gets_more rcv1 232.1.1.1 50
    leave rcv1 232.1.1.1 $S
    must "and is left" not frr_shows r1 "show ip igmp sources" "232.1.1.1 +$S"
    decodes_cleanly wire
    ends proxy
}
mgm_proxy_asks_frr_by_version_2() {
    mgm_proxy_asks_frr 2
    now "it speaks version 2" log_has proxy "uplink: reporting in IGMPv2"
    decodes_cleanly wire
    ends proxy
}

peers_are_there "IGMP beside FRR and igmpproxy" "usr/lib/frr/pimd=frr usr/sbin/igmpproxy=igmpproxy" "$@"
TESTS="frr_is_the_querier mgm_igmp_is_the_querier igmpproxy_asks_mgm_igmp igmpproxy_asks_as_the_lower_address
    igmpproxy_asks_as_the_higher_address mgm_proxy_asks_frr_by_version_3 mgm_proxy_asks_frr_by_version_2"
run_tests "IGMP beside FRR and igmpproxy" "$TESTS" "$@"
