# shellcheck shell=bash
# Routers, hosts and links of a test of the protocols, each node a network namespace. Sourced after c-tests/lib.sh.

node() { # NAME...
    local name
    for name in "$@"; do
        ip netns add "$name"
        ip -n "$name" link set lo up
        # With rp_filter the kernel drops packets on a wrong interface before it reports them.
        in_ns "$name" sh -c 'echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
            echo 1 >/proc/sys/net/ipv4/ip_forward'
    done
}

# wire NODE DEVICE ADDRESS NODE DEVICE ADDRESS: a link of two.
wire() {
    ip -n "$1" link add "$2" type veth peer name "$5" netns "$4"
    ip -n "$1" address add "$3/24" dev "$2"
    ip -n "$4" address add "$6/24" dev "$5"
    ip -n "$1" link set "$2" up
    ip -n "$4" link set "$5" up
    wait_for 20 links_run "$1" "$4"
}

# lan NAME NODE:DEVICE:ADDRESS...: a link of many, with a switch that passes everything on.
lan() {
    local name=$1 end host device address hosts=()
    shift
    ip netns add "$name"
    ip -n "$name" link add switch type bridge mcast_snooping 0
    ip -n "$name" link set switch up
    for end in "$@"; do
        IFS=: read -r host device address <<<"$end"
        ip -n "$host" link add "$device" type veth peer name "to-$host" netns "$name"
        ip -n "$name" link set "to-$host" master switch
        ip -n "$name" link set "to-$host" up
        ip -n "$host" address add "$address/24" dev "$device"
        ip -n "$host" link set "$device" up
        hosts+=("$host")
    done
    wait_for 20 links_run "$name" "${hosts[@]}"
}

# oifs NODE SOURCE GROUP: where the node's kernel sends them, "-": nowhere; nothing: it has no such entry.
oifs() {
    ip -n "$1" mroute show table default 2>/dev/null | awk -v key="($2,$3)" '
        $1 == key { found = 1; for (n = 2; n <= NF; n++) if ($n == "Oifs:") for (n++; n <= NF && $n != "State:"; n++) print $n }
        END { if (found) print "" }' | sort | tr '\n' ' ' | sed 's/^ *//; s/ *$//; s/^$/-/'
}
oifs_are() { [ "$(oifs "$1" "$2" "$3")" = "$4" ]; }
iif() { ip -n "$1" mroute show table default 2>/dev/null | awk -v key="($2,$3)" '$1 == key { for (n = 2; n < NF; n++) if ($n == "Iif:") print $(n + 1) }'; }
iif_is() { [ "$(iif "$1" "$2" "$3")" = "$4" ]; }

# A source that goes on sending: stream NAME NODE DEVICE FROM GROUP PER-SECOND.
stream() { start "$1" "$2" "$BIN/sender" "$3" "$4" "$5" "$PORT" 1 1000000 "$6"; }
got() { grep -c "^got $2 from" "$LOGS/$1" || true; } # got NAME GROUP: packets so far
gets_more() { # NAME GROUP COUNT: more than so many
    [ "$(got "$1" "$2")" -gt "$3" ]
}
# twice NAME GROUP SINCE: of the lines about packets on the host's link, from line SINCE on, how many tell a number again.
twice() { sed -n "s/^link $2 from .* number //p" "$LOGS/$1" | tail -n "+$3" | sort | uniq -d | wc -l; }
on_link_so_far() { grep -c "^link $2 " "$LOGS/$1" || true; }
more_on_link() { [ "$(on_link_so_far "$1" "$2")" -gt "$3" ]; }
