#!/usr/bin/env bash
# `make install` into a directory of its own gives what a user needs: a program builds with what
# pkg-config says and runs, linked dynamically and statically, a Windows source builds with the
# compatibility headers, and mgmd serves. `make install-lib` installs the library alone. Nothing outside
# that directory is touched.
set -eu
cd "$(dirname "$0")/.."
T=$(mktemp -d "${TMPDIR:-/tmp}/mgm-install.XXXXXX")
trap 'rm -rf "$T"' EXIT

make --no-print-directory install DESTDIR="$T" PREFIX=/usr
export PKG_CONFIG_PATH=$T/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$T
# Without these, pkg-config leaves out -I/usr/include and -L/usr/lib, which are not under $T.
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1

cat >"$T/one.c" <<'C'
#include <mgm.h>
int main(void)
{
    ROUTING_PROTOCOL_CONFIG config = {0};
    HANDLE handle;
    if (MgmRegisterMProtocol(&config, 7, 1, &handle) != NO_ERROR)
        return 1;
    if (MgmTakeInterfaceOwnership(handle, 1, 0) != NO_ERROR)
        return 2;
    if (MgmReleaseInterfaceOwnership(handle, 1, 0) != NO_ERROR)
        return 3;
    return MgmDeRegisterMProtocol(handle) == NO_ERROR ? 0 : 4;
}
C
# shellcheck disable=SC2046 # several words
cc $(pkg-config --cflags libmgm) "$T/one.c" -o "$T/dynamic" $(pkg-config --libs libmgm)
readelf -d "$T/dynamic" | grep -q 'libmgm.so.1'
env -u MGM_FORWARDER LD_LIBRARY_PATH="$T/usr/lib" "$T/dynamic"

# shellcheck disable=SC2046
cc $(pkg-config --cflags libmgm) "$T/one.c" -o "$T/static" "$T/usr/lib/libmgm.a" \
    $(pkg-config --libs --static libmgm | sed 's/-lmgm//')
if readelf -d "$T/static" | grep -q libmgm; then
    echo "the statically linked program still asks for libmgm.so"
    exit 1
fi
env -u MGM_FORWARDER "$T/static"

# Some versions put the system root before variables, others do not.
COMPAT=$T/$(pkg-config --variable=compatdir libmgm | sed "s|^$T||")
# shellcheck disable=SC2046
cc $(pkg-config --cflags libmgm) -I"$COMPAT" \
    -c c-tests/headers_windows.c -o "$T/windows.o"
# Each function has its page.
grep -o 'Mgm[A-Za-z]*(' include/mgm.h include/mgm_host.h -h | tr -d '(' | sort -u |
    while IFS= read -r name; do [ -e "$T/usr/share/man/man3/$name.3" ]; done
[ -e "$T/usr/share/man/man7/mgm.7" ]
[ ! -e "$T/usr/include/windows.h" ] # would hide a real one
[ "$(pkg-config --modversion libmgm)" = "$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)" ]
# The daemon, its page, and what its unit needs: the unit names a file that is there, and a user that
# systemd-sysusers makes.
MGMD=$T/usr/sbin/mgmd UNIT=$T/usr/lib/systemd/system/mgmd.service
"$MGMD" --version | grep -q '^mgmd '
[ -e "$T/usr/share/man/man8/mgmd.8" ]
# The protocols with theirs.
for name in $(make -s --no-print-directory protocol-names); do
    LD_LIBRARY_PATH="$T/usr/lib" "$T/usr/sbin/mgm-$name" --version | grep -q "^mgm-$name [0-9]"
    grep -q "ExecStart=/usr/sbin/mgm-$name --config /etc/mgm/$name-%i.conf" "$T/usr/lib/systemd/system/mgm-$name@.service"
    [ -e "$T/usr/share/man/man8/mgm-$name.8" ]
done
# The administrator's view, its page and its completion.
[ -x "$T/usr/sbin/mgmctl" ]
"$T/usr/sbin/mgmctl" --version | grep -q mgmctl
[ -e "$T/usr/share/man/man8/mgmctl.8" ]
bash -n "$T/usr/share/bash-completion/completions/mgmctl"
[ -s "$T/usr/share/zsh/site-functions/_mgmctl" ]
[ -s "$T/usr/share/fish/vendor_completions.d/mgmctl.fish" ]
grep -q '^ExecStart=/usr/sbin/mgmd --config /etc/mgmd.toml$' "$UNIT"
[ "$(grep -c '@[A-Z]*@' "$UNIT")" = 0 ]
USER_OF_UNIT=$(sed -n 's/^User=//p' "$UNIT")
grep -q "^u $USER_OF_UNIT " "$T/usr/lib/sysusers.d/mgm.conf"
# Each option is in the file, most of them as a comment.
OPTIONS=$(sed -n 's/^#\{0,1\}\([a-z-]*\) = .*/\1/p' "$T/etc/mgmd.toml")
for option in $OPTIONS config; do "$MGMD" --help | grep -q -- "--$option "; done
[ "$("$MGMD" --help | grep -c '^ *--[a-z-]* <')" = $(($(printf '%s\n' "$OPTIONS" | wc -l) + 1)) ]
# It serves a program that was linked with the installed library.
"$MGMD" --config "$T/etc/mgmd.toml" --forwarder memory --serve "$T/mgm.sock" --control "$T/control.sock" 2>"$T/log" &
PID=$!
trap 'kill $PID 2>/dev/null || true; rm -rf "$T"' EXIT
for _ in $(seq 500); do [ ! -S "$T/mgm.sock" ] || break; sleep 0.02; done
env -u MGM_FORWARDER MGM_HOST="$T/mgm.sock" LD_LIBRARY_PATH="$T/usr/lib" "$T/dynamic"
grep -q 'registered' "$T/log"
kill -TERM $PID
wait $PID
# A file of the administrator's stays as it is.
echo 'hold = 30' >"$T/etc/mgmd.toml"
make --no-print-directory install DESTDIR="$T" PREFIX=/usr >"$T/again"
grep -q '^hold = 30$' "$T/etc/mgmd.toml"

# The library alone: what has been looked at above, and nothing of the daemon's.
make --no-print-directory install-lib DESTDIR="$T/alone" PREFIX=/usr >"$T/again"
[ -e "$T/alone/usr/lib/libmgm.so.1" ]
[ -e "$T/alone/usr/include/mgm_host.h" ]
[ -e "$T/alone/usr/share/man/man3/MgmHostDispatch.3" ]
[ -z "$(find "$T/alone" -name '*mgmd*' -o -name '*mgmctl*')" ]

# A user for the daemon, and a configuration that stays as its administrator wrote it.
grep -q '^u mgm ' "$T/usr/lib/sysusers.d/mgm.conf"
"$T/usr/sbin/mgmd" --config "$T/etc/mgmd.toml" --forwarder memory --serve "$T/s" --control "$T/c" --metrics none 2>&1 |
    grep -q 'metrics none'
echo '# mine' >>"$T/etc/mgmd.toml"
# CMake's files name what is there.
for word in libmgm.so libmgm.a; do
    file=$(sed -n "s|.*IMPORTED_LOCATION \"\(.*$word.*\)\"|\1|p" "$T/usr/lib/cmake/libmgm/libmgm-config.cmake")
    [ -e "$T$file" ]
done
make --no-print-directory uninstall DESTDIR="$T" PREFIX=/usr
[ "$(find "$T/usr" "$T/etc" ! -type d)" = "$T/etc/mgmd.toml" ]
[ -z "$(find "$T/usr" -type d -name '*mgm*')" ]
