#!/usr/bin/env bash
# Builds every unit-test program of this directory with each compiler and standard, runs each
# linked with -lmgm and once more with the library loaded by dlopen, then once under valgrind,
# once with the C side under the address and undefined-behaviour sanitizers, and, linked and loaded,
# with the host in another process (apart.c). `matrix.sh quick` does with gcc alone: one standard of C,
# one of C++, the sanitizers and the other process. Ends with the line "N passed, N failed". Called by
# tools/test.sh; expects the library in build/lib.
#
# A program is any t_*.c, abi*.c or badargs.c; its last line says "N passed, N failed". headers*.c
# are compiled only. A source with "matrix: C only" in its first lines is not built as C++, and one with
# "apart: no" not run with the host in another process.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
LIB=${MGM_LIB:-$ROOT/build/lib}
WARNINGS="-Wall -Wextra -Wpedantic -Werror"
# Asked for by the standard that a column names; g++ and clang++ take them from -x c++.
COLUMNS_ALL="gcc:c99 gcc:c11 g++:c++17 clang:c99 clang:c11 clang++:c++17"
COLUMNS_QUICK="gcc:c11 g++:c++17"

export LD_LIBRARY_PATH=$LIB

sources() { (cd "$HERE" && ls t_*.c abi*.c badargs.c headers*.c 2>/dev/null) | sort; }

# result NAME PASSED FAILED [LOG]: one line in $OUT/results, the log shown where something failed.
result() {
    printf '%s %s %s\n' "$2" "$3" "$1" >>"$OUT/results"
    if [ "$3" != 0 ]; then
        {
            printf 'FAILED: %s\n' "$1"
            [ $# -lt 4 ] || sed 's/^/    /' "$4"
        } >>"$OUT/failures"
    fi
}

# run NAME COMMAND...: runs a program to its summary line.
run() {
    local name=$1 log status=0 last
    shift
    log=$OUT/$(printf '%s' "$name" | tr -c 'A-Za-z0-9+_.\n' -).log
    timeout 600 "$@" >"$log" 2>&1 </dev/null || status=$?
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -1) || true
    if [ -z "$last" ]; then
        echo "(ended with status $status and without a summary)" >>"$log"
        result "$name" 0 1 "$log"
    elif [ "$status" != 0 ] && [ "${last##*, }" = "0 failed" ]; then
        echo "(ended with status $status)" >>"$log"
        result "$name" "${last%% *}" 1 "$log"
    else
        last=${last% failed}
        result "$name" "${last%% *}" "${last##* }" "$log"
    fi
}

# compile NAME OUTPUT COMMAND...
compile() {
    local name=$1 output=$2
    shift 2
    if ! "$@" -o "$output" >"$output.log" 2>&1; then
        result "$name: compile" 0 1 "$output.log"
        return 1
    fi
}

# One program in one column: compiled once, linked and run twice.
job() {
    local source=$1 column=$2 compiler standard name object include language="" mode
    local -a flags
    compiler=${column%:*}
    standard=${column#*:}
    name=${source%.c}
    case "$compiler" in *++) language="-x c++" ;; esac
    if [ -n "$language" ] && head -5 "$HERE/$source" | grep -q 'matrix: C only'; then return 0; fi
    include="-I$ROOT/include"
    case "$name" in headers*) include="$include -I$ROOT/include/compat" ;; esac
    # shellcheck disable=SC2206 # several words each
    flags=(-std=$standard -D_GNU_SOURCE $WARNINGS -g -O1 -pthread $include)
    [ -n "$language" ] || flags+=(-Wstrict-prototypes)
    mode=$column
    object=$OUT/$name.$compiler.$standard
    # shellcheck disable=SC2086
    compile "$mode $name" "$object.o" "$compiler" "${flags[@]}" -c $language "$HERE/$source" || return 0
    case "$name" in headers*) result "$mode $name (compiled)" 1 0; return 0 ;; esac
    set -- "$object.o"
    ! grep -q '"fixture.h"' "$HERE/$source" || set -- "$@" "$OUT/fixture.$compiler.$standard.o"
    if compile "$mode $name (linked)" "$object" "$compiler" -pthread "$@" -L"$LIB" -lmgm; then
        run "$mode $name (linked)" "$object"
    fi
    if compile "$mode $name (dlopen)" "$object.dl" "$compiler" -pthread "$@" "$OUT/mgm_dl.o" -ldl; then
        if readelf -d "$object.dl" | grep -q libmgm; then
            result "$mode $name (dlopen): must not be linked with libmgm" 0 1
        fi
        run "$mode $name (dlopen)" "$object.dl"
    fi
}

# Under valgrind: the whole process, no error and no definite leak.
job_valgrind() {
    local name=${1%.c}
    run "valgrind $name" valgrind -q --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite --fair-sched=yes "$OUT/$name.gcc.c11"
}

# The sanitizers watch the C side: what tests hand in, and what the library writes into it through
# the C library's functions.
job_sanitized() {
    local name=${1%.c}
    # shellcheck disable=SC2054 # the comma is the option's own
    local -a flags=(-std=c11 -D_GNU_SOURCE -g -O1 -pthread "-I$ROOT/include"
        -fsanitize=address,undefined -fno-sanitize-recover=all)
    compile "sanitizers $name" "$OUT/$name.san" gcc "${flags[@]}" "$HERE/$1" "$OUT/fixture.san.o" \
        -L"$LIB" -lmgm || return 0
    if ! nm "$OUT/$name.san" | grep -q __asan_report || ! nm "$OUT/$name.san" | grep -q __ubsan_handle; then
        result "sanitizers $name: they are not in it" 0 1
    fi
    run "sanitizers $name" env ASAN_OPTIONS=detect_leaks=0 "$OUT/$name.san"
}

# The host in another process: what was built above is linked with apart.c, which does the host's
# functions there.
job_apart() {
    local name=${1%.c}
    set -- "$OUT/$name.gcc.c11.o" "$OUT/apart.o"
    ! grep -q '"fixture.h"' "$HERE/$name.c" || set -- "$@" "$OUT/fixture.gcc.c11.o"
    local -a wrapped
    # shellcheck disable=SC2054 # the commas are the shell's and the option's own
    wrapped=(-Wl,--wrap=MgmHost{Start,Stop,Receive,RouteChanged,InterfaceDown})
    compile "apart $name (linked)" "$OUT/$name.apart" gcc -pthread "${wrapped[@]}" "$@" -L"$LIB" -lmgm || return 0
    run "apart $name (linked)" "$OUT/$name.apart"
    compile "apart $name (dlopen)" "$OUT/$name.apart.dl" gcc -pthread "${wrapped[@]}" "$@" "$OUT/mgm_dl.o" -ldl ||
        return 0
    run "apart $name (dlopen)" "$OUT/$name.apart.dl"
}

if [ "${1:-}" = --job ]; then # called by xargs below
    shift
    case "$2" in
        valgrind) job_valgrind "$1" ;;
        sanitizers) job_sanitized "$1" ;;
        apart) job_apart "$1" ;;
        *) job "$1" "$2" ;;
    esac
    exit 0
fi

case "${1:-}" in
    "") columns=$COLUMNS_ALL tools="sanitizers valgrind apart" ;;
    quick) columns=$COLUMNS_QUICK tools="sanitizers apart" ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-matrix.XXXXXX")
export OUT
trap 'rm -rf "$OUT"' EXIT
: >"$OUT/results"

# without NAME REASON: leaves out the columns and the tool of this name. In CI tools/test.sh takes
# what is skipped for a failure.
without() {
    local word kept=""
    case " $columns $tools" in *" $1"*) ;; *) return 0 ;; esac
    echo "skipped: the unit tests in C with $1: $2"
    for word in $columns; do case $word in "$1"*) ;; *) kept="$kept $word" ;; esac; done
    columns=$kept kept=""
    for word in $tools; do case $word in "$1"*) ;; *) kept="$kept $word" ;; esac; done
    tools=$kept
}
command -v clang >/dev/null || without clang "it is not installed"
command -v valgrind >/dev/null || without valgrind "it is not installed"
echo 'int main(void) { return 0; }' |
    gcc -fsanitize=address,undefined -x c - -o "$OUT/empty" 2>/dev/null ||
    without sanitizers "gcc has no libasan and libubsan here"

# Shared objects first.
compile mgm_dl "$OUT/mgm_dl.o" gcc -std=gnu11 -Wall -Wextra -Werror "-I$ROOT/include" -g -O1 -c \
    "$HERE/mgm_dl.c" || true
compile apart "$OUT/apart.o" gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror "-I$ROOT/include" -g -O1 -pthread \
    -c "$HERE/apart.c" || true
for column in $columns; do
    compiler=${column%:*} standard=${column#*:} language=""
    case "$compiler" in *++) language="-x c++" ;; esac
    # shellcheck disable=SC2086
    compile "$column fixture" "$OUT/fixture.$compiler.$standard.o" "$compiler" "-std=$standard" \
        -D_GNU_SOURCE $WARNINGS -g -O1 -pthread "-I$ROOT/include" -c $language "$HERE/fixture.c" || true
done
case $tools in *sanitizers*) compile "sanitizers fixture" "$OUT/fixture.san.o" gcc -std=c11 -D_GNU_SOURCE -g -O1 -pthread \
    -fsanitize=address,undefined -fno-sanitize-recover=all "-I$ROOT/include" -c "$HERE/fixture.c" || true ;; esac

for source in $(sources); do
    for column in $columns; do printf '%s %s\n' "$source" "$column"; done
done | xargs -P "$(nproc)" -L 1 "$0" --job

# What valgrind runs and apart.c is linked with has been built above.
for source in $(sources); do
    case "$source" in headers*) continue ;; esac
    for tool in $tools; do
        [ "$tool" != apart ] || ! head -8 "$HERE/$source" | grep -q 'apart: no' || continue
        printf '%s %s\n' "$source" "$tool"
    done
done | xargs -P "$(nproc)" -L 1 "$0" --job

[ ! -e "$OUT/failures" ] || cat "$OUT/failures"
awk '{ kind = $3; passed[kind] += $1; failed[kind] += $2 }
     END { for (k in passed) printf "  %-16s %5d passed, %d failed\n", k, passed[k], failed[k] }' \
    "$OUT/results" | sort
awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$OUT/results"
