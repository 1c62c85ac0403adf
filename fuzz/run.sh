#!/usr/bin/env bash
# Builds and runs the fuzz targets: coverage-guided (libFuzzer), under AddressSanitizer, on stable
# Rust, with nothing but crates.io and a C++ compiler.
#
#   fuzz/run.sh build            builds them as the smoke test wants them: less optimised, which takes less time in all
#   fuzz/run.sh smoke            some thousand inputs each, or as many as FUZZ_SECONDS allow, two at a time, from the
#                                corpus that is in the repository; ends with the line "N passed, N failed"
#   fuzz/run.sh fuzz [TARGET...] half an hour each (FUZZ_SECONDS), two at a time; what is found and
#                                the corpus that grows stay in fuzz/artifacts and fuzz/target
#   fuzz/run.sh once TARGET FILE...  runs inputs that were found
#   fuzz/run.sh minimise [TARGET...]  makes the repository's corpus anew of what has grown
set -eu
cd "$(dirname "$0")"
CARGO=${CARGO:-cargo}
TARGETS="api packets kernel setup calls remote"
HOST=$(rustc -vV | sed -n 's/^host: //p')
DIR=${CARGO_TARGET_DIR:-target}
PROFILE=release
GROWN=$DIR/corpus # what has grown here; the repository's is in corpus/
ARTIFACTS=artifacts
MOST_SEEDS=150    # in the repository for each target

# What cargo-fuzz would set, without cargo-fuzz: coverage for libFuzzer, comparisons for it to learn
# from, AddressSanitizer. The latter is an unstable option whose runtime comes with stable Rust.
# With a target named, build scripts and procedural macros are built without all that.
build() {
    local flags="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module"
    local option
    for option in level=4 inline-8bit-counters pc-table trace-compares; do
        flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
    done
    flags="$flags -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags "$CARGO" build --profile "$PROFILE" --locked --target "$HOST" \
        --target-dir "$DIR"
}

# The longest input of each target, in octets.
longest() {
    case $1 in
        api) echo 400 ;;
        kernel) echo 1000 ;;
        setup) echo 300 ;;
        calls) echo 500 ;;
        *) echo 700 ;;
    esac
}

# How many inputs of each target the smoke test runs: some ten seconds' worth. A busy machine takes longer, and runs
# the same ones.
inputs() {
    case $1 in
        api) echo 2500 ;;
        kernel) echo 30000 ;;
        setup) echo 20000 ;;
        *) echo 5000 ;;
    esac
}

# libfuzzer TARGET ARGUMENT...: memory that leaks shows at the end of a run; a bounded quarantine
# keeps the process small.
libfuzzer() {
    local target=$1
    shift
    mkdir -p "$ARTIFACTS"
    ASAN_OPTIONS=quarantine_size_mb=64:detect_leaks=1 MGM_LOG=off \
        "$DIR/$HOST/$PROFILE/$target" -max_len="$(longest "$target")" -len_control=20 -timeout=20 \
        -artifact_prefix="$ARTIFACTS/$target-" -print_final_stats=1 "$@"
}

# in_pairs COMMAND TARGET...: runs COMMAND TARGET for all, two at a time.
in_pairs() {
    local command=$1 target
    shift
    for target; do
        [ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n || true
        "$command" "$target" &
    done
    wait
}

smoke_one() {
    local scratch=$OUT/$1 log=$OUT/$1.log bound
    mkdir "$scratch"
    # The seed is fixed: a failure is that of the change at hand.
    bound=-runs=$(inputs "$1")
    [ -z "${FUZZ_SECONDS:-}" ] || bound=-max_total_time=$FUZZ_SECONDS
    if libfuzzer "$1" -seed=1 "$bound" "$scratch" "corpus/$1" >"$log" 2>&1; then
        touch "$OUT/$1.passed"
    fi
}

smoke() {
    local target passed=0 failed=0 runs seeds
    OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-fuzz.XXXXXX")
    trap 'rm -rf "$OUT"' EXIT
    # Distributions' Rust comes without it. In CI tools/test.sh takes what is skipped for a failure.
    if [ -z "$(find "$(rustc --print sysroot)/lib/rustlib/$HOST/lib" -name 'librustc-*_rt.asan.a')" ]; then
        echo "skipped: the fuzz targets: this Rust comes without AddressSanitizer's runtime (rustup's has it)"
        echo "0 passed, 0 failed"
        return
    fi
    if ! build >"$OUT/build.log" 2>&1; then
        tail -40 "$OUT/build.log"
        echo "FAILED: the fuzz targets do not build"
        echo "0 passed, 1 failed"
        return 1
    fi
    # shellcheck disable=SC2086 # several words
    in_pairs smoke_one $TARGETS
    for target in $TARGETS; do
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$OUT/$target.log")
        # A run that only read its corpus, or had none, has shown nothing.
        seeds=$(find "corpus/$target" -type f | wc -l)
        if [ -e "$OUT/$target.passed" ] && [ "$seeds" -gt 0 ] && [ "${runs:-0}" -gt $((2 * seeds)) ]; then
            echo "passed: fuzz target $target, $runs runs"
            grep -a '^skipped: ' "$OUT/$target.log" || true
            passed=$((passed + 1))
        else
            echo "FAILED: fuzz target $target, ${runs:-no} runs"
            # What it says itself, and the octets that made it say so.
            grep -a -A60 'panicked at' "$OUT/$target.log" | sed '/stack backtrace:/,$d' |
                cut -c1-4000 | sed 's/^/    /' || true
            grep -av '^#\|^DEDUP\|# Uses:' "$OUT/$target.log" | cut -c1-2000 | tail -20 | sed 's/^/    /'
            failed=$((failed + 1))
        fi
    done
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}

fuzz_one() {
    mkdir -p "$GROWN/$1" "corpus/$1"
    libfuzzer "$1" -max_total_time="${FUZZ_SECONDS:-1800}" "$GROWN/$1" "corpus/$1" \
        >"$GROWN/$1.log" 2>&1 || echo "$1: FOUND SOMETHING, see $PWD/$ARTIFACTS and $PWD/$GROWN/$1.log"
    grep -a '^#.*DONE\|^stat::number_of\|^stat::average\|^stat::peak' "$GROWN/$1.log" |
        sed "s/^/$1: /"
}

minimise_one() {
    local new=$OUT/$1
    mkdir -p "$new" "$GROWN/$1" "corpus/$1"
    libfuzzer "$1" -set_cover_merge=1 "$new" "$GROWN/$1" "corpus/$1" >"$OUT/$1.log" 2>&1 || return 1
    # Some of each size: a start, not an archive. Those with names were written by hand and stay.
    find "corpus/$1" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
    local count
    count=$(find "$new" -type f | wc -l)
    find "$new" -type f -printf '%s %p\n' | sort -n |
        awk -v step=$((count / MOST_SEEDS + 1)) 'NR % step == 0 { print $2 }' |
        xargs -r cp -t "corpus/$1"
}

command=${1:-smoke}
[ $# = 0 ] || shift
case $command in
    build | smoke)
        PROFILE=smoke
        "$command"
        ;;
    fuzz)
        build
        # shellcheck disable=SC2086 # several words
        [ $# -gt 0 ] || set -- $TARGETS
        in_pairs fuzz_one "$@"
        ;;
    once)
        build
        target=$1
        shift
        libfuzzer "$target" "$@"
        ;;
    minimise)
        OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-fuzz.XXXXXX")
        trap 'rm -rf "$OUT"' EXIT
        build
        # shellcheck disable=SC2086 # several words
        [ $# -gt 0 ] || set -- $TARGETS
        in_pairs minimise_one "$@"
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
