# shellcheck shell=bash
# The hosts of the kernel benches: src ---- rtr ---- rcv1 .. rcvN. Sourced in namespaces of one's own
# (unshare -nm). Sources are 10.0.0.0/8, receivers 192.168.N.0/24. ref has interfaces of the same names
# and no hosts: there a bare loop keeps a table beside the router's.

make_bench_hosts() {
    local host n=0 address
    mount -t tmpfs tmpfs /run
    ip netns add rtr
    ip netns add ref
    ip -n rtr link set lo up
    for host in src $(seq -f 'rcv%g' 1 "$1"); do
        address=192.168.$n.1/24
        [ "$host" != src ] || address=10.0.0.1/8
        ip netns add "$host"
        ip -n rtr link add "to-$host" type veth peer name eth0 netns "$host"
        ip -n rtr address add "$address" dev "to-$host"
        ip -n rtr link set "to-$host" up
        ip -n "$host" address add "${address%.1/*}.2/${address#*/}" dev eth0
        ip -n "$host" link set eth0 up
        ip -n ref link add "to-$host" type veth peer name "end-$n"
        ip -n ref link set "to-$host" up
        ip netns exec rtr sysctl -qw "net.ipv4.conf.to-$host.rp_filter=0"
        n=$((n + 1))
    done
    ip netns exec rtr sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.ip_forward=1
    # Links are up once addresses on them can be reached.
    for host in src $(seq -f 'rcv%g' 1 "$1"); do
        for n in $(seq 50); do
            ! ip -n rtr link show "to-$host" | grep -q 'state UP' || break
            read -rt 0.1 <> <(:) || :
        done
    done
}

in_router() { timeout 150 ip netns exec rtr "$@"; }

# flows FLOWS HOW WHO...: each resolves flows.
flows() {
    local flows=$1 how=$2 who
    shift 2
    for who in "$@"; do
        in_router "$WORK/kernel" flows "$who" "$flows" "$how" || echo "bench: flows $how by $who failed" >&2
    done
}
