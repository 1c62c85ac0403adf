# shellcheck shell=bash
# Other routers beside our protocols, from Debian's packages, which are unpacked and not installed (into MGM_PEERS, where that is
# set). Sourced after lib.sh.

# peers_are_there WHAT "PROGRAM=PACKAGE..." ARGUMENT...: unpacks the packages, once. Where one is not to be had the script ends here;
# where MGM_PEERS was not set it runs again with it, and the ARGUMENTs.
peers_are_there() {
    local what=$1 peer status=0
    if [ -z "${MGM_PEERS:-}" ]; then
        MGM_PEERS=$(mktemp -d "${TMPDIR:-/tmp}/mgm-peers.XXXXXX")
        export MGM_PEERS
        trap 'rm -rf "$MGM_PEERS"' EXIT
        bash "$0" "${@:3}" || status=$?
        exit $status
    fi
    for peer in $2; do
        [ ! -x "$MGM_PEERS/${peer%%=*}" ] || continue
        "$(dirname "${BASH_SOURCE[0]}")/../../benches/peers/unpack.sh" "$MGM_PEERS" "${peer#*=}"
        [ -x "$MGM_PEERS/${peer%%=*}" ] || {
            echo "skipped: $what, for the package ${peer#*=} is not to be had here"
            echo "0 passed, 0 failed"
            exit 0
        }
    done
}

# peer NAME NODE PROGRAM ARGUMENT...: starts a program of the packages with their libraries.
peer() {
    local name=$1 node=$2 program=$MGM_PEERS/$3 libraries
    shift 3
    libraries=$MGM_PEERS/usr/lib/$(uname -m)-linux-gnu
    start "$name" "$node" env LD_LIBRARY_PATH="$libraries:$libraries/frr:$MGM_PEERS/lib/$(uname -m)-linux-gnu" "$program" "$@"
}

# frr NODE: zebra, unless it runs, and pimd on a node, as the processes NODE_zebra and NODE_pimd, with pimd's configuration from
# the input.
frr() {
    local node=$1 run=/run/frr/$1 daemon
    mkdir -p "$run"
    rm -f "$run/pimd.vty"
    # Its daemons insist on a group of theirs. The mount namespace is ours alone.
    if ! grep -q '^frrvty:' /etc/group; then
        { cat /etc/group && echo 'frrvty:x:65533:root'; } >/run/frr/group
        mount --bind /run/frr/group /etc/group
    fi
    cat >"$run/pimd.conf"
    : >"$run/zebra.conf"
    for daemon in zebra pimd; do
        [ $daemon = pimd ] || [ ! -S "$run/zserv.api" ] || continue
        peer "${node}_$daemon" "$node" "usr/lib/frr/$daemon" -u root -g root -f "$run/$daemon.conf" -i "$run/$daemon.pid" \
            -z "$run/zserv.api" --vty_socket "$run" -P 0 --log stdout
        [ $daemon = pimd ] || wait_for 20 test -S "$run/zserv.api" || wrong "zebra comes up on $node"
    done
    wait_for 20 test -S "$run/pimd.vty" || wrong "FRR's pimd comes up on $node"
}

# frr_says NODE COMMAND: what its pimd answers. vtysh asks for a password unless PAM lets root in; the mount namespace is ours alone.
frr_says() {
    local libraries
    libraries=$MGM_PEERS/usr/lib/$(uname -m)-linux-gnu
    if [ ! -e /run/frr/pam/frr ]; then
        mkdir -p /run/frr/pam
        printf '%s sufficient pam_permit.so\n' auth account >/run/frr/pam/frr
        mount --bind /run/frr/pam /etc/pam.d
    fi
    LD_LIBRARY_PATH=$libraries:$libraries/frr "$MGM_PEERS/usr/bin/vtysh" --vty_socket "/run/frr/$1" -d pimd -c "$2" 2>&1
}

# igmpproxy NODE UPSTREAM DOWNSTREAM...: with what else is to be in its configuration in the variable IGMPPROXY.
igmpproxy() {
    local node=$1 device
    mkdir -p /run/igmpproxy
    {
        printf '%s\nphyint %s upstream ratelimit 0 threshold 1\n altnet 10.0.0.0/8\n' "${IGMPPROXY:-}" "$2"
        for device in "${@:3}"; do printf 'phyint %s downstream ratelimit 0 threshold 1\n' "$device"; done
    } >"/run/igmpproxy/$node.conf"
    # Its host upstream is the kernel's, whose memberships are limited.
    in_ns "$node" sh -c 'echo 1000000 >/proc/sys/net/ipv4/igmp_max_memberships'
    peer "${node}_igmpproxy" "$node" usr/sbin/igmpproxy -n -v "/run/igmpproxy/$node.conf"
}

# pimd NODE: pimd 2.3, with its configuration from the input.
pimd() {
    local node=$1
    mkdir -p /run/pimd
    cat >"/run/pimd/$node.conf"
    peer "${node}_pimd" "$node" usr/sbin/pimd -f -c "/run/pimd/$node.conf"
}
