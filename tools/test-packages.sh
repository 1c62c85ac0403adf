#!/usr/bin/env bash
# Tries the sources and the Debian packages in minimal Debians of their own (`make test-packages`). As root, with
# debootstrap (apt-get install debootstrap), the network for Debian's packages, and a quarter of an hour.
#
#   tools/test-packages.sh          all but the suite
#   tools/test-packages.sh PART...  some of them; `install` needs the packages, which `build` leaves in build/deb
#
#   build    `make dist`; with Debian's Rust, and without the network, `make deb` from the tarball; lintian
#   install  the packages in a Debian that has none of this: systemd starts mgmd and each protocol, with two
#            capabilities and no more; README's program is built with pkg-config and CMake, by gcc and clang; README's
#            first minute; all is removed, and nothing is left
#   suite    `make test` from the tarball, where nothing but make, and the tarball's crates, is there: five minutes
#            at most after the build
#
# The minimal Debian is made once for all parts; MGM_DEBIAN_BASE=DIRECTORY keeps it for another time.
set -eu
cd "$(dirname "$0")/.."
SUITE=${MGM_DEBIAN:-bookworm}
[ "$(id -u)" = 0 ] || { echo "test-packages: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "test-packages: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
# What is mounted goes with this process, and what runs with its first one.
if [ "${MGM_APART:-}" != yes ]; then
    T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-packages.XXXXXX")
    status=0
    MGM_APART=yes T=$T unshare --mount --pid --fork --mount-proc --kill-child "$0" "$@" || status=$?
    rm -rf --one-file-system "$T"
    exit "$status"
fi
BASE=${MGM_DEBIAN_BASE:-$T/base}
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

say() { printf '\n== %s\n\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# wants WHAT COMMAND...: until it succeeds, for a minute.
wants() {
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@" >"$T/last" 2>&1; do
        [ $SECONDS -lt $end ] || {
            cat "$T/last"
            [ -z "${INIT:-}" ] || inside journalctl --no-pager -u 'mgm*' -n 30
            fail "$what"
        }
        sleep 0.1
    done
    echo "ok: $what"
}

# debian NAME PACKAGES...: a new minimal Debian in $T/NAME, with these.
debian() {
    local root=$T/$1 pocket
    shift
    if [ ! -d "$BASE" ]; then
        debootstrap --variant=minbase "$SUITE" "$BASE" >"$T/debootstrap" 2>&1 || { tail "$T/debootstrap"; exit 1; }
        for pocket in " $SUITE" " $SUITE-updates" "-security $SUITE-security"; do
            echo "deb http://deb.debian.org/debian$pocket main"
        done >"$BASE/etc/apt/sources.list"
        cp /etc/resolv.conf "$BASE/etc/resolv.conf"
        echo force-unsafe-io >"$BASE/etc/dpkg/dpkg.cfg.d/no-sync" # nothing here has to outlive a crash
        chroot "$BASE" apt-get update -qq
    fi
    cp -a "$BASE" "$root"
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    [ $# = 0 ] || chroot "$root" apt-get install -y -qq --no-install-recommends "$@" >"$T/apt" 2>&1 || { tail "$T/apt"; exit 1; }
}
# The tarball, unpacked in the home of that Debian's root.
unpack() {
    [ -e "$T/sources.tar.xz" ] || { tools/dist.sh && mv build/libmgm-*.tar.xz "$T/sources.tar.xz"; }
    tar -xJf "$T/sources.tar.xz" -C "$T/$1/root"
}

build() {
    say "The packages, from the tarball, with Debian's Rust and without the network"
    debian build build-essential cargo-web debhelper lintian rustc-web xz-utils
    unpack build
    unshare --net chroot "$T/build" env -i HOME=/root PATH="$PATH" sh -ec 'cd /root/libmgm-*; make deb' >"$T/build.log" 2>&1 || {
        tail -50 "$T/build.log"
        fail "make deb"
    }
    ! grep '^E: ' "$T/build.log" || fail "lintian"
    grep '^W: ' "$T/build.log" || true
    mkdir -p build/deb
    rm -f build/deb/*
    cp "$T"/build/root/libmgm-*/build/deb/* build/deb
    (cd build/deb && ls -sh -- *.deb)
}

# What lies in the Debian, but for what systemd and apt write at any time.
files() {
    (cd "$T/install" && find . -xdev \( -path ./var/log -o -path ./var/cache -o -path ./root -o -path ./var/lib/apt \) -prune -o -print | sort)
}
inside() { nsenter -t "$INIT" -a --root --wd env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# The first process of a Debian, in namespaces of its own, the network's too.
boot() {
    local root=$T/install unit
    # These would change the machine's kernel.
    for unit in systemd-sysctl systemd-modules-load; do ln -s /dev/null "$root/etc/systemd/system/$unit.service"; done
    cat >"$T/boot" <<SH
set -e
mount --make-rprivate /
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
for at in run tmp dev; do mount -t tmpfs tmpfs $root/\$at; done
mkdir $root/dev/shm $root/dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
for device in null zero full random urandom tty; do touch $root/dev/\$device; mount --bind /dev/\$device $root/dev/\$device; done
# What units ask of mount namespaces needs a root of its own, which chroot alone does not make.
cd $root
mkdir .old
pivot_root . .old
umount -l .old
rmdir .old
exec chroot . env -i container=chroot PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
SH
    unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh "$T/boot" >"$T/systemd" 2>&1 &
    BOOT=$!
    wants "a systemd of its own" sh -c "grep -qx '/lib/systemd/systemd.*' /proc/\$(cat /proc/$BOOT/task/$BOOT/children | tr -d ' ')/cmdline -za"
    INIT=$(tr -d ' ' <"/proc/$BOOT/task/$BOOT/children")
    wants "systemd is up" inside systemctl is-system-running
}

# A unit's main process is user mgm, with CAP_NET_ADMIN and CAP_NET_RAW (bits 12 and 13) and nothing else.
restricted() {
    local pid user
    pid=$(inside systemctl show -p MainPID --value "$1")
    user=$(inside id -u mgm)
    inside sh -ec "
        grep -q '^Uid:.$user.$user.$user.$user\$' /proc/$pid/status
        for set in Prm Eff Bnd; do grep -q \"^Cap\$set:.0000000000003000\\\$\" /proc/$pid/status; done" ||
        { inside cat "/proc/$pid/status"; fail "$1 runs with other rights"; }
    echo "ok: $1 runs as mgm with two capabilities"
}
# eth0 and eth1, with nobody at their other ends.
devices() {
    # shellcheck disable=SC2016 # its own shell's
    inside sh -ec 'for n in 0 1; do
        ip link add eth$n type veth peer name peer$n
        ip address add 10.$n.0.1/24 dev eth$n
        ip link set peer$n up; ip link set eth$n up
    done'
}
# block FILE MARK: the block of code that follows this comment.
block() {
    awk -v mark="<!-- $2 -->" '$0 == mark { on = 1; next } on && /^```$/ { exit } on && !/^```/' "$1" >"$T/block"
    [ -s "$T/block" ] || fail "$1 has no block after $2"
    cat "$T/block"
}
client() { inside mgmctl show clients | grep -q "$1"; }
units() {
    say "The units"
    local name
    # shellcheck disable=SC2016 # its own shell's
    inside sh -ec 'cd /lib/systemd/system; systemd-analyze verify $(ls mgm*.service | sed "s/@/@lan/")'
    [ "$(inside systemctl is-enabled mgmd)" = disabled ] || fail "mgmd is enabled unasked"
    devices
    inside sh -ec '
        echo "eth1" >/etc/mgm/igmp-lan.conf
        echo "eth0 eth1" >/etc/mgm/pim-lan.conf
        echo "eth0: 239.1.1.1 > eth1" >/etc/mgm/static-lan.conf'
    block docs/RUNNING.md 'commands tools/test-packages.sh' >"$T/commands"
    for name in igmp static proxy pim; do
        if [ $name = proxy ]; then
            inside bash -e <"$T/commands"
        else
            inside systemctl start "mgm-$name@lan"
        fi
        wants "mgm-$name runs under mgmd" client "mgm-$name"
        restricted "mgm-$name@lan"
        # The interfaces have one owner among the others.
        [ $name = igmp ] || inside systemctl disable --now "mgm-$name@lan"
    done
    restricted mgmd
    wants "a watchdog and a restart that keeps its socket" inside sh -c 'systemctl restart mgmd && mgmctl summary'
    wants "IGMP comes back" client mgm-igmp
    inside systemctl stop mgm-igmp@lan mgmd
    [ -z "$(inside systemctl --failed --plain --no-legend)" ] || fail "$(inside systemctl --failed)"
    inside sh -c 'ip link del eth0; ip link del eth1; rm /etc/mgm/*'
}

programs() {
    say "README's program"
    local compiler
    cp c-tests/readme_protocol.c "$T/install/root/protocol.c" # tests/docs.rs holds it against README
    cat >"$T/install/root/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.18)
project(protocol C)
find_package(libmgm 0.1 CONFIG REQUIRED)
add_executable(protocol protocol.c)
target_link_libraries(protocol libmgm::mgm)
add_executable(alone protocol.c)
target_link_libraries(alone libmgm::mgm_static)
CMAKE
    devices
    for compiler in gcc clang; do
        # shellcheck disable=SC2016 # its own shell's
        inside CC=$compiler sh -ec 'cd; mkdir $CC; cd $CC
            $CC ../protocol.c -Wall -Werror $(pkg-config --cflags --libs libmgm) -o by-pkg-config
            cmake .. >log 2>&1 && make >>log 2>&1 || { cat log; exit 1; }
            ldd by-pkg-config | grep -q "libmgm.so.1 => /lib/"
            ldd protocol | grep -q "libmgm.so.1 => /lib/"
            ! ldd alone | grep libmgm
            for program in by-pkg-config protocol alone; do
                MGM_FORWARDER=kernel MGM_LOG=info ./$program 239.1.1.1 eth1 eth0 </dev/null 2>$program.log || { cat $program.log; exit 1; }
                grep -q "kernel" $program.log
            done'
        echo "ok: $compiler, by pkg-config, by CMake, by CMake with libmgm.a"
    done
    inside sh -c 'ip link del eth0; ip link del eth1; mandoc -V >/dev/null 2>&1; man -w mgm MgmSetMfe mgmd mgm-proxy' >/dev/null
    echo "ok: the manual"
}

# README's first minute as it stands there; only the last line, which waits for a key, is asked in another way.
first_minute() {
    say "README's first minute"
    block README.md 'first minute' >"$T/install/root/first-minute"
    [ "$(tail -1 "$T/install/root/first-minute")" = "mgmctl watch" ] || fail "README has no first minute that ends with mgmctl watch"
    sed -i '$d' "$T/install/root/first-minute"
    cat >>"$T/install/root/first-minute" <<'SH'
for n in $(seq 300); do
    mgmctl show mfes | grep -qE '^239.1.1.1 +10.1.0.2 +F .* eth0 +eth1$' && break
    sleep 0.1
done
mgmctl show mfes | tee table
kill $(jobs -p); wait
for name in source router member; do ip netns del $name; done
grep -qE '^239.1.1.1 +10.1.0.2 +F .* eth0 +eth1$' table
SH
    inside bash -c 'cd && bash ./first-minute 2>log' || { cat "$T/install/root/log"; fail "README's first minute"; }
    echo "ok: README's first minute"
}

install() {
    say "The packages in a Debian that has none of this"
    # What programs are built with, and what the first minute types.
    debian install bash clang cmake dbus gcc iproute2 iputils-ping libc6-dev make man-db pkg-config systemd systemd-sysv
    mkdir "$T/install/root/deb"
    cp build/deb/libmgm1_* build/deb/libmgm-dev_* build/deb/mgmd_* build/deb/mgm-protocols_* "$T/install/root/deb"
    boot
    files >"$T/before"
    inside sh -c 'apt-get install -y --no-install-recommends /root/deb/*.deb' >"$T/apt" 2>&1 || { cat "$T/apt"; fail "installation"; }
    # shellcheck disable=SC2016 # dpkg-query's
    echo "ok: installed: $(inside dpkg-query -W -f '${Package} ' 'libmgm*' 'mgm*')"
    units
    programs
    first_minute
    say "Removal"
    inside apt-get purge -y libmgm1 libmgm-dev mgmd mgm-protocols >"$T/apt" 2>&1 || { cat "$T/apt"; fail "removal"; }
    inside systemctl daemon-reload
    files >"$T/after"
    diff "$T/before" "$T/after" || fail "files are left, or were taken away"
    ! inside getent passwd mgm || fail "the user is left"
    ! inside getent group mgm || fail "the group is left"
    # useradd's and userdel's copies of the files before, passwd- and the like, aside.
    ! grep -rl --exclude='*-' mgm "$T/install/etc" "$T/install/var/lib/systemd" || fail "something names it"
    [ ! -e "/proc/$INIT/root/run/mgm" ] || fail "/run/mgm is left"
    echo "ok: nothing is left"
    kill -KILL "$INIT"
    wait "$BOOT" || true
}

suite() {
    say "make test in a Debian that has make and nothing else"
    debian suite make
    unpack suite
    cp -a "$T/suite/root"/libmgm-* "$T/suite/root/libmgm"
    chroot "$T/suite" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c '
        mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /dev/shm 2>/dev/null
        mkdir -p /dev/pts; mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts; ln -sf pts/ptmx /dev/ptmx
        cd /root/libmgm && make test </dev/null' 2>&1 | tee "$T/suite.log" | grep -E '^(== |FAILED|Installing|skipped|The tests took|[0-9]+ passed|\([0-9]+ s, )|^test .*FAILED' || true
    tail -1 "$T/suite.log" | grep -q '^[1-9][0-9]* passed, 0 failed$' || { tail -60 "$T/suite.log"; fail "make test"; }
    local took
    took=$(sed -n 's/^The tests took \([0-9]*\) s.$/\1/p' "$T/suite.log")
    [ "$took" -le 300 ] || fail "make test took $took s after the build"
}

[ $# != 0 ] || set -- build install
for part; do
    case $part in
        build | install | suite) "$part" ;;
        *) fail "no such part: $part" ;;
    esac
done
say "All is in order."
