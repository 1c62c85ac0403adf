#!/usr/bin/env bash
# The library under faults and tools: memory that runs out, faults on purpose, sanitizers, valgrind.
# Called by tools/test.sh, which has built the library into build/lib. Ends with the line
# "N passed, N failed". `c-tests/tools.sh NAME...` runs only those parts:
#
#   oom         malloc fails, once at each of the library's allocations (rule A4)
#   faults      a library that is made to panic in each function (rule A5)
#   panics      the same from Rust
#   unload      a client's code is unmapped while alerts for it are on their way (rule A8)
#   leaving     callbacks that are left by a C++ exception or with their thread
#   stack       what a call needs of it
#   hangs       functions of the host's that do not return, while the run ends
#   tsan        threads under ThreadSanitizer, in the library as well as in C
#   canaries    the sanitizers and valgrind, each with an error that it has to find
#   schedules   a scheduler decides which thread goes on, thousands of times (rules A6 to A8)
#
# `c-tests/tools.sh builds` only builds the libraries and tests in Rust that these parts use.
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD
LIB=${MGM_LIB:-$ROOT/build/lib}
TARGET=${CARGO_TARGET_DIR:-target}
OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-tools.XXXXXX")
trap 'rm -rf "$OUT"' EXIT
PASSED=0 FAILED=0
CFLAGS="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -g -O1 -pthread -Iinclude"

passed() {
    echo "passed: $1"
    PASSED=$((PASSED + 1))
}
failed() {
    echo "FAILED: $1"
    [ $# -lt 2 ] || sed 's/^/    /' "$2"
    FAILED=$((FAILED + 1))
}

# In CI tools/test.sh takes what is skipped for a failure.
skip() { echo "skipped: $1"; }

# check NAME COMMAND...: passes if the command does; its output shows only if it fails.
check() {
    local name=$1
    shift
    if "$@" >"$OUT/log" 2>&1 </dev/null; then passed "$name"; else failed "$name" "$OUT/log"; fi
}

# program OUTPUT LIBRARY_DIRECTORY SOURCE...: a C test, linked with a libmgm.
program() {
    local output=$1 lib=$2
    shift 2
    # shellcheck disable=SC2086 # several words
    "${CC:-gcc}" $CFLAGS "$@" c-tests/fixture.c -o "$output" -L"$lib" -lmgm "-Wl,-rpath,$lib"
}

part_oom() {
    check "oom: it compiles" program "$OUT/oom" "$LIB" c-tests/oom.c
    check "oom: memory runs out at each allocation" timeout 600 "$OUT/oom"
}

# The library with faults is built in a directory of its own, so that it is never taken for the one that is
# installed, and the unit tests with the scheduler's locks there as well. What the tests in Rust have had built
# of others' crates is copied from theirs: for the whole workspace it is the same. The schedules are long enough
# for optimised code to pay: they take a fifth of the time.
FAULTS=$TARGET/fault-injection

faults_build() {
    local kind
    if [ ! -e "$FAULTS" ] && [ -d "$TARGET/debug/.fingerprint" ]; then
        mkdir -p "$FAULTS.new/debug/deps"
        for kind in .fingerprint build; do
            cp -a "$TARGET/debug/$kind" "$FAULTS.new/debug"
            rm -rf "$FAULTS.new/debug/$kind"/{libmgm,mgm-daemon}-*
        done
        find "$TARGET/debug/deps" \( -name 'lib*' -o -name '*.d' \) ! -name '*mgm*' \
            -exec cp -a -t "$FAULTS.new/debug/deps" {} +
        mv "$FAULTS.new" "$FAULTS"
    fi
    timeout 1800 env CARGO_TARGET_DIR="$FAULTS" "${CARGO:-cargo}" test --workspace \
        --config profile.dev.package.libmgm.opt-level=1 --features libmgm/fault-injection,libmgm/shuttle "$@"
}

part_faults() {
    # shellcheck disable=SC2317 # it is called by check
    shipped_has_no_faults() { ! grep -q MGM_FAULT "$LIB/libmgm.so"; }
    check "faults: the library that is installed has none" shipped_has_no_faults
    check "faults: the library is built with them" faults_build --no-run --test exports
    mkdir -p "$OUT/faults"
    cp "$FAULTS/debug/deps/libmgm.so" "$OUT/faults/libmgm.so.1"
    ln -s libmgm.so.1 "$OUT/faults/libmgm.so"
    check "faults: it compiles" program "$OUT/fault" "$OUT/faults" c-tests/faults.c
    check "faults: from C" env RUST_BACKTRACE=0 timeout 600 "$OUT/fault"
}

part_panics() {
    # shellcheck disable=SC2317 # it is called by check
    panics() { RUST_BACKTRACE=0 faults_build --test panic --test exports; }
    check "panics: from Rust, and no symbol more" panics
}

# compiled OUTPUT SOURCE FLAG...: a C test's object file.
compiled() {
    local output=$1 source=$2
    shift 2
    # shellcheck disable=SC2086 # several words
    "${CC:-gcc}" $CFLAGS "$@" -c "c-tests/$source.c" -o "$output"
}

# unload_clients DIRECTORY LIBRARY_DIRECTORY FLAG...: the shared object that unload.c loads, twice.
# Sanitizers are a matter of compiling only: what they need is in the program.
unload_clients() {
    local dir=$1 lib=$2
    shift 2
    compiled "$dir/client.o" unload_client -fPIC "$@"
    gcc -shared "$dir/client.o" -o "$dir/unload_one.so" -L"$lib" -lmgm
    cp "$dir/unload_one.so" "$dir/unload_two.so"
}

part_unload() {
    local clients=("$OUT/unload_one.so" "$OUT/unload_two.so")
    check "unload: the client compiles" unload_clients "$OUT" "$LIB"
    check "unload: it compiles" program "$OUT/unload" "$LIB" c-tests/unload.c -ldl
    check "unload: nothing is called in code that is gone" \
        env LD_LIBRARY_PATH="$LIB" timeout 900 "$OUT/unload" "${clients[@]}"
}

part_leaving() {
    # shellcheck disable=SC2317 # it is called by check
    leaving_program() {
        "${CXX:-g++}" -std=c++11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -g -O1 -pthread \
            -Iinclude c-tests/leaving.cpp -o "$OUT/leaving" -L"$LIB" -lmgm "-Wl,-rpath,$LIB"
    }
    check "leaving: it compiles" leaving_program
    check "leaving: a callback that does not return ends the process" timeout 600 "$OUT/leaving"
}

part_stack() {
    check "stack: it compiles" program "$OUT/stack" "$LIB" c-tests/stack.c
    check "stack: no call needs more than the manual promises" timeout 300 "$OUT/stack"
}

part_hangs() {
    check "hangs: it compiles" program "$OUT/hangs" "$LIB" c-tests/hangs.c
    check "hangs: a run ends without what hangs" timeout 300 "$OUT/hangs"
}

# The sanitizer of the toolchain's own runtime, in the library and in C. std comes compiled without
# it: it sees all that the library does, what it takes from generic code of std included, and calls
# to the system and to pthreads; not what std's finished functions do among themselves. tsan.supp has
# what is no error. As each access is watched, this library is one for tests: it has faults, too.
TSAN=$TARGET/tsan
TRIPLE=$(rustc -vV | sed -n 's/^host: //p')
tsan_build() {
    env CARGO_TARGET_DIR="$TSAN" RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
        "${CARGO:-cargo}" build --features fault-injection --target "$TRIPLE"
}

part_tsan() {
    local runtime source lib=$OUT/tsan
    runtime=$(echo "$(rustc --print sysroot)/lib/rustlib/$TRIPLE/lib"/librustc-*_rt.tsan.a)
    if [ ! -e "$runtime" ]; then
        skip "tsan: this Rust comes without ThreadSanitizer's runtime (rustup's has it)"
        return
    fi
    mkdir -p "$lib"
    check "tsan: the library is built with it" tsan_build
    cp "$TSAN/$TRIPLE/debug/libmgm.so" "$lib/libmgm.so.1"
    ln -s libmgm.so.1 "$lib/libmgm.so"
    # shellcheck disable=SC2317 # it is called by check
    watched() { nm "$1" | grep -q ' U __tsan_write'; }
    check "tsan: it watches the library" watched "$lib/libmgm.so"
    check "tsan: the fixture compiles" compiled "$lib/fixture.o" fixture -fsanitize=thread
    check "tsan: the unloaded client compiles" unload_clients "$lib" "$lib" -fsanitize=thread
    for source in t_threads t_reentry t_order t_control t_custom t_stop t_hoststop t_runs unload; do
        # shellcheck disable=SC2317 # it is called by check
        tsan_program() {
            compiled "$lib/$source.o" "$source" -fsanitize=thread
            gcc -rdynamic "$lib/$source.o" "$lib/fixture.o" -o "$lib/$source" -L"$lib" -lmgm \
                -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -pthread -ldl -lm -lrt
        }
        check "tsan: $source compiles" tsan_program
        check "tsan: it watches $source" watched "$lib/$source.o"
        check "tsan: $source" env TSAN_OPTIONS=suppressions=c-tests/tsan.supp \
            LD_LIBRARY_PATH="$lib" timeout 900 "$lib/$source" "$lib/unload_one.so" "$lib/unload_two.so"
    done
    # shellcheck disable=SC2317 # it is called by check
    race_is_found() {
        ! env MGM_FAULT=race LD_LIBRARY_PATH="$lib" timeout 300 "$lib/t_threads" >"$lib/log" 2>&1 &&
            grep -q 'WARNING: ThreadSanitizer: data race' "$lib/log" &&
            grep -q ' mgm::ffi::guard::race ' "$lib/log"
    }
    check "tsan: a data race in the library is found" race_is_found
}

# canary TOOL MODE TEXT COMMAND...: the tool must find the program's error and say so.
canary() {
    local tool=$1 mode=$2 text=$3
    shift 3
    # shellcheck disable=SC2317 # it is called by check
    canary_is_found() {
        ! env LD_LIBRARY_PATH="$LIB" timeout 60 "$@" "$mode" >"$OUT/canary.log" 2>&1 &&
            grep -q "$text" "$OUT/canary.log"
    }
    check "canaries: $tool finds $mode" canary_is_found "$@"
}

part_canaries() {
    local memcheck=(valgrind -q --error-exitcode=9 --leak-check=full
        --errors-for-leak-kinds=definite --fair-sched=yes)
    check "canaries: they compile" program "$OUT/canary" "$LIB" c-tests/canary.c
    check "canaries: they compile with sanitizers" program "$OUT/canary.san" "$LIB" \
        -fsanitize=address,undefined -fno-sanitize-recover=all c-tests/canary.c
    check "canaries: no error, none found" env LD_LIBRARY_PATH="$LIB" ASAN_OPTIONS=detect_leaks=0 \
        "$OUT/canary.san" none
    canary AddressSanitizer overflow AddressSanitizer "$OUT/canary.san"
    canary AddressSanitizer stale 'heap-use-after-free' "$OUT/canary.san"
    canary UndefinedBehaviorSanitizer shift 'runtime error' "$OUT/canary.san"
    if ! command -v valgrind >/dev/null; then
        skip "canaries: memcheck: valgrind is not installed"
        return
    fi
    check "canaries: no error, none found by memcheck" env LD_LIBRARY_PATH="$LIB" \
        "${memcheck[@]}" "$OUT/canary" none
    canary memcheck overflow 'Invalid write' "${memcheck[@]}" "$OUT/canary"
    canary memcheck in-the-library 'Invalid write' "${memcheck[@]}" "$OUT/canary"
    canary memcheck leak 'definitely lost' "${memcheck[@]}" "$OUT/canary"
}

part_schedules() {
    # shellcheck disable=SC2317 # it is called by check
    schedules() { RUST_BACKTRACE=0 faults_build --lib schedules; }
    check "schedules: the same ones each time" schedules
}

# What fails here fails again, and is reported, in its part.
part_builds() {
    faults_build --no-run --test panic --test exports --lib || true
    tsan_build || true
}

[ $# -gt 0 ] || set -- oom faults panics unload leaving stack hangs tsan canaries schedules
for part; do
    "part_$part"
done
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
