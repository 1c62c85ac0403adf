#!/usr/bin/env bash
# The library on other machines (`make test-cross`): 32-bit x86, which runs here as it is; and big-endian and ARM, which
# qemu-user runs. For each: the library is built; the functions that it exports, its records' sizes in Rust and in C; the
# unit tests in C on the memory forwarder; random programs against the model, fewer than usual. Ends with the line
# "N passed, N failed". What a machine lacks is skipped with its reason.
#
#   tools/test-cross.sh [NAME...]   some of: i686 s390x aarch64 armhf
#
# Needs for each a C cross compiler with its C library (Debian: gcc-i686-linux-gnu and its like) and, but for i686, qemu-user. Rust's library
# for the machine is used where it is installed (rustup target add); otherwise it is built from its sources
# (Debian: rust-web-src; rustup component add rust-src), with what stable compilers hide: RUSTC_BOOTSTRAP=1.
#
# MGM_CROSS_PROGRAMS is the number of random programs, 100 by default.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
PATH=$(tools/rust.sh path)
OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-cross.XXXXXX")
trap 'rm -rf "$OUT"' EXIT
PASSED=0 FAILED=0

passed() { PASSED=$((PASSED + $1)); echo "passed: $NAME: $2"; }
failed() {
    FAILED=$((FAILED + 1))
    echo "FAILED: $NAME: $1"
    sed 's/^/    /' "$2" | tail -40
}
# one WHAT COMMAND...
one() {
    local what=$1
    shift
    if "$@" >"$OUT/log" 2>&1; then passed 1 "$what"; else failed "$what" "$OUT/log"; return 1; fi
}

# in_rust WHAT ARGUMENTS...: tests in Rust, of which some must have run.
in_rust() {
    local what=$1 status=0 n
    shift
    "$CARGO" test --target "$TARGET" "${STD[@]}" "$@" >"$OUT/log" 2>&1 || status=$?
    n=$(awk '/^test result:/ { n += $4 } END { print n + 0 }' "$OUT/log")
    if [ $status = 0 ] && [ "$n" -gt 0 ]; then passed "$n" "$what: $n tests"; else failed "$what" "$OUT/log"; fi
}

# One program in C, linked with the library.
in_c() {
    local source=$1 name last
    name=$(basename "$source" .c)
    local -a with=("$source")
    ! grep -q '"fixture.h"' "$source" || with+=(c-tests/fixture.c)
    if ! "$GNU-gcc" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -O1 -pthread -Iinclude "${with[@]}" "${LINK[@]}" -L"$LIB" -lmgm \
        -o "$OUT/$name" >"$OUT/$name.log" 2>&1; then
        failed "$name: compile" "$OUT/$name.log"
        return
    fi
    LD_LIBRARY_PATH=$LIB timeout 600 "${RUN[@]}" "$OUT/$name" >"$OUT/$name.log" 2>&1 </dev/null || true
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$OUT/$name.log" | tail -1) || true
    case $last in
        [1-9]*" passed, 0 failed") passed "${last%% *}" "$name: $last" ;;
        *) failed "$name" "$OUT/$name.log" ;;
    esac
}

# machine NAME TARGET GNU QEMU
machine() {
    local source begun=$SECONDS sources
    NAME=$1 TARGET=$2 GNU=$3
    if ! command -v "$GNU-gcc" >/dev/null; then
        echo "skipped: $NAME: $GNU-gcc is not installed (Debian: gcc-$GNU and its libc6-dev-…-cross)"
        return
    fi
    if [ -n "$4" ]; then
        if ! command -v "$4" >/dev/null; then
            echo "skipped: $NAME: $4 is not installed (Debian: qemu-user)"
            return
        fi
        RUN=("$4" -L "/usr/$GNU") LINK=()
    else
        # It runs here; the C library of the cross compiler is its own.
        RUN=() LINK=("-Wl,--dynamic-linker=/usr/$GNU/lib/ld-linux.so.2" "-Wl,-rpath=/usr/$GNU/lib")
        printf 'int main(void) { return 0; }' >"$OUT/empty.c"
        if ! { "$GNU-gcc" "$OUT/empty.c" "${LINK[@]}" -o "$OUT/empty" && "$OUT/empty"; } >/dev/null 2>&1; then
            echo "skipped: $NAME: no program can be built and run here (Debian: libc6-dev-i386-cross)"
            return
        fi
    fi
    sources=$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock
    if [ -n "$(find "$(rustc --print target-libdir --target "$TARGET")" -name 'libstd-*' 2>/dev/null)" ]; then
        STD=()
    elif [ -e "$sources" ]; then
        STD=("-Zbuild-std=std,panic_unwind,test")
        export RUSTC_BOOTSTRAP=1
    else
        echo "skipped: $NAME: Rust has neither the library for $TARGET nor its sources (Debian: rust-web-src)"
        return
    fi
    local variable
    variable=CARGO_TARGET_$(printf '%s' "$TARGET" | tr a-z- A-Z_)
    export "${variable}_LINKER=$GNU-gcc"
    [ ${#RUN[@]} = 0 ] || export "${variable}_RUNNER=${RUN[*]}"
    # shellcheck disable=SC2001 # each word
    [ ${#LINK[@]} = 0 ] || export "${variable}_RUSTFLAGS=$(printf -- '-Clink-arg=%s ' "${LINK[@]}")"

    printf '\n== %s\n\n' "$NAME"
    one "the library is built" "$CARGO" build --target "$TARGET" "${STD[@]}" || return 0
    LIB=$PWD/${CARGO_TARGET_DIR:-target}/$TARGET/debug
    ln -sf libmgm.so "$LIB/libmgm.so.1"
    echo "    ($((SECONDS - begun)) s)"
    in_rust "exports" --test exports
    # The other machines are none of Windows', whose records these are held against; their sizes were checked while
    # src/ffi/types.rs was compiled. What runs a compiler of this machine is left to this machine.
    case $NAME in
        i686 | aarch64) in_rust "records, constants and functions in Rust" --test abi -- --skip mingw ;;
    esac
    for source in c-tests/abi.c c-tests/badargs.c c-tests/t_*.c; do in_c "$source"; done
    MGM_MODEL_PROGRAMS=${MGM_CROSS_PROGRAMS:-100} in_rust "random programs" --test model -- random_programs_through what_once_failed_through
    echo "    ($((SECONDS - begun)) s)"
}

[ $# != 0 ] || set -- i686 s390x aarch64 armhf
for name; do
    case $name in
        i686) machine i686 i686-unknown-linux-gnu i686-linux-gnu "" ;;
        s390x) machine s390x s390x-unknown-linux-gnu s390x-linux-gnu qemu-s390x ;;
        aarch64) machine aarch64 aarch64-unknown-linux-gnu aarch64-linux-gnu qemu-aarch64 ;;
        armhf) machine armhf armv7-unknown-linux-gnueabihf arm-linux-gnueabihf qemu-arm ;;
        *)
            sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
done
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
