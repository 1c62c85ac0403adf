#!/usr/bin/env bash
# The units under a systemd of their own, which is process 1 of a namespace: what `make install` puts there starts, is restarted
# when it is killed, without a packet lost, and is reloaded. Names of tests on the command line run only those. As root, where
# systemd is installed.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

ROOT=/run/installed # on a tmpfs of systemd's namespace: the units see no /home, /root and /tmp
SYSTEMD=/usr/lib/systemd/systemd
[ -x $SYSTEMD ] || SYSTEMD=/lib/systemd/systemd

# Puts itself into a cgroup of its own, so that nothing of another systemd is there, and becomes process 1.
if [ "${1:-}" = --own-cgroup ]; then
    set -e
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir "/sys/fs/cgroup/$2"
    echo $$ >"/sys/fs/cgroup/$2/cgroup.procs"
    umount /sys/fs/cgroup # process 1 sees it with its own as the root
    exec unshare -mpiuC --fork --kill-child --mount-proc bash "$0" --process-1
fi
# Process 1: its namespace has an installation, the user mgm, a cgroup tree of its own, and no unit but ours.
if [ "${1:-}" = --process-1 ]; then
    set -e
    mount -t tmpfs tmpfs /run
    mkdir -p $ROOT/stubs $ROOT/etc/mgm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for file in passwd group; do
        grep -v '^mgm:' "/etc/$file" >"$ROOT/$file"
        case $file in passwd) echo "mgm:x:989:989::/:/bin/false" ;; group) echo "mgm:x:989:" ;; esac >>"$ROOT/$file"
        mount --bind "$ROOT/$file" "/etc/$file"
    done
    make --no-print-directory -C "$HERE/.." install PREFIX=$ROOT SYSCONFDIR=$ROOT/etc >/dev/null
    for target in sysinit basic shutdown umount network network-pre multi-user; do
        printf '[Unit]\nDefaultDependencies=no\n' >"$ROOT/stubs/$target.target"
    done
    export container=mgm SYSTEMD_UNIT_PATH=$ROOT/lib/systemd/system:$ROOT/stubs
    exec $SYSTEMD --system --unit=multi-user.target --show-status=no --log-target=console
fi

sd() { timeout 20 nsenter -t "$SD" -a env SYSTEMD_UNIT_PATH="$ROOT/lib/systemd/system:$ROOT/stubs" "$@"; }
config() { printf '%s\n' "${@:2}" | sd tee "$ROOT/etc/mgm/$1.conf" >/dev/null; }
groups_have() { sd "$ROOT/sbin/mgmctl" show groups | tr -s ' ' | grep -qF "$1"; }
is_active() { [ "$(sd systemctl is-active "$@" | sort -u)" = active ]; }
restarts_are() { [ "$(sd systemctl show -P NRestarts "$1")" = "$2" ] && is_active "$1"; }
main_pid() { sd systemctl show -P MainPID "$1"; }

under_systemd() {
    local unit pid units="mgmd.service mgm-igmp@a.service mgm-proxy@a.service mgm-pim@a.service mgm-static@a.service"
    ip -n rtr link add dummy0 up type veth peer name dummy1
    ip -n rtr link set dummy1 up
    start systemd rtr unshare -m bash "$0" --own-cgroup "mgm-units.$$"
    must "process 1 is there" first_child
    must "and answers" wait_for 1 sd systemctl is-active multi-user.target
    # systemd 252 does not know a key that newer ones do.
    # shellcheck disable=SC2086 # several names
    sd systemd-analyze verify --man=no $units 2>&1 | grep -v "Unknown key .*'FileDescriptorStorePreserve'" >"$LOGS/verify"
    now "systemd-analyze has nothing to say" [ ! -s "$LOGS/verify" ]
    config igmp-a "--query-interval 2 --response-interval 0.5 # hears members" to-rcv1
    config proxy-a to-src to-rcv1
    config pim-a --hello-interval 1 to-rcv2
    config static-a "dummy0: 239.9.9.1 > dummy1"
    # shellcheck disable=SC2086
    sd systemctl start $units || wrong "the units start"
    # shellcheck disable=SC2086
    must "all are active" is_active $units
    for unit in $units; do
        pid=$(main_pid "$unit")
        now "$unit runs as the user mgm" sd grep -q '^Uid:[[:space:]]*989[[:space:]]*989' "/proc/$pid/status"
    done
    must "routes" groups_have "239.9.9.1 * dummy1 mgm-static"
    receivers rcv1
    join rcv1 239.1.1.1
    must "a member is heard" groups_have "239.1.1.1 * to-rcv1 mgm-igmp"
    must "and the proxy has it" groups_have "239.1.1.1 * to-rcv1 mgm-proxy"
    packet 10.1.0.2 239.1.1.1
    must "forwarded" got rcv1 239.1.1.1 10.1.0.2 1
    start sender src "$BIN/sender" eth0 10.1.0.2 239.1.1.1 $PORT 2 100000 200
    must "under traffic" got rcv1 239.1.1.1 10.1.0.2 20
    for unit in mgm-proxy@a mgm-igmp@a mgm-pim@a mgm-static@a mgmd; do
        sd systemctl kill -s KILL "$unit" || wrong "$unit is killed"
        must "$unit is started again" restarts_are "$unit" 1
        must "the member is known again" groups_have "239.1.1.1 * to-rcv1 mgm-proxy"
    done
    must "all are connected again" groups_have "239.9.9.1 * dummy1 mgm-static"
    config static-a "dummy0: 239.9.9.2 > dummy1"
    config igmp-a "--query-interval 3 --response-interval 0.5" to-rcv1
    config proxy-a --upstream-robustness 3 to-src to-rcv1
    config pim-a --hello-interval 2 to-rcv2
    for unit in igmp proxy pim static; do
        pid=$(main_pid mgm-$unit@a)
        sd systemctl reload mgm-$unit@a || wrong "a reload"
        must "mgm-$unit goes on" is_active mgm-$unit@a
        now "as the same process" [ "$(main_pid mgm-$unit@a)" = "$pid" ]
    done
    must "other routes" groups_have "239.9.9.2 * dummy1 mgm-static"
    finish sender KILL || true
    must "no packet is lost" none_is_missing rcv1
    # shellcheck disable=SC2086
    sd systemctl stop $units || wrong "the units stop"
    for unit in $units; do
        now "$unit ended in order" [ "$(sd systemctl show -P Result "$unit")" = success ]
    done
    must "nothing is left in the kernel" kernel_is_empty
    finish systemd KILL || true
    must "its cgroup goes" remove_cgroup "mgm-units.$$"
}
# What systemd leaves behind.
remove_cgroup() {
    unshare -m sh -c "mount -t cgroup2 cgroup2 /sys/fs/cgroup && find /sys/fs/cgroup/$1 -depth -type d -exec rmdir {} +" || return 1
}
# From the first to the last there are all, and there are many.
none_is_missing() {
    local all last
    all=$(numbers "$1" got 239.1.1.1 10.1.0.2)
    last=${all##* }
    [ "$last" -gt 1000 ] && [ "$all" = "$(seq_line 1 "$last")" ]
}
first_child() {
    SD=$(tr -d ' ' <"/proc/$(pid_of systemd)/task/$(pid_of systemd)/children") && [ -n "$SD" ] &&
        [ "$(cat "/proc/$SD/comm")" = systemd ]
}

if [ $# = 0 ]; then
    reason=
    if [ ! -x "$SYSTEMD" ]; then reason="systemd is not installed"
    elif [ "$(id -u)" != 0 ]; then reason="it takes root"
    elif ! reason=$(unshare -mC sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup' 2>&1); then reason="no cgroup tree: $reason"
    else reason= # whatever it said
    fi
    if [ -n "$reason" ]; then
        echo "skipped: the units under systemd: $reason"
        echo "0 passed, 0 failed"
        exit 0
    fi
fi
run_tests "the units" "under_systemd" "$@"
