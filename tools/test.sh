#!/usr/bin/env bash
# All tests: Rust, C, installation, and real packets in namespaces. Ends with the plain line
# "N passed, N failed". With CI=true a test that cannot run here has failed. Called by `make test`,
# which has built everything.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
PASSED=0 FAILED=0
SKIPPED=()
LOG=$(mktemp "${TMPDIR:-/tmp}/mgm-test.XXXXXX")
PLAIN_USER= # a copy of the built programs that an ordinary user can read
trap 'rm -rf "$LOG" ${PLAIN_USER:+"$PLAIN_USER"}' EXIT

title() { printf '\n== %s\n\n' "$*"; }
skip() {
    echo "skipped: $*"
    SKIPPED+=("$*")
}

# count STATUS: adds the "N passed, N failed" that the log ends with; a status that does not fit
# those numbers is a failure of its own.
count() {
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$LOG" | tail -1) || true
    if [ -z "$line" ]; then
        echo "FAILED: ended with status $1 and without a summary"
        FAILED=$((FAILED + 1))
        return
    fi
    line=${line% failed}
    PASSED=$((PASSED + ${line%% *}))
    FAILED=$((FAILED + ${line##* }))
    if [ "$1" != 0 ] && [ "${line##* }" = 0 ]; then
        echo "FAILED: ended with status $1 though nothing in it failed"
        FAILED=$((FAILED + 1))
    fi
    while IFS= read -r line; do SKIPPED+=("$line"); done < <(sed -n 's/^skipped: //p' "$LOG")
}

# suite TITLE COMMAND...: one that counts for itself.
suite() {
    local status=0
    title "$1"
    shift
    "$@" </dev/null 2>&1 | tee "$LOG"
    status=${PIPESTATUS[0]}
    count "$status"
}

# one TITLE COMMAND...: a single test; its output shows only if it fails.
one() {
    local name=$1
    shift
    if "$@" >"$LOG" 2>&1 </dev/null; then
        echo "passed: $name"
        PASSED=$((PASSED + 1))
    else
        echo "FAILED: $name"
        sed 's/^/    /' "$LOG"
        FAILED=$((FAILED + 1))
    fi
    while IFS= read -r line; do SKIPPED+=("$line"); done < <(sed -n 's/^skipped: //p' "$LOG")
}

rust_tests() {
    local status=0 log
    log=$(mktemp "${TMPDIR:-/tmp}/mgm-cargo.XXXXXX")
    "${CARGO:-cargo}" test --no-fail-fast 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    awk '/^test result:/ { p += $4; f += $6; i += $8 }
         END { printf "\n%d ignored\n%d passed, %d failed\n", i, p, f }' "$log"
    rm -f "$log"
    return "$status"
}

suite "Rust" rust_tests
suite "C: every compiler, standard and way of linking" c-tests/matrix.sh

suite "Faults and tools" c-tests/tools.sh

suite "Fuzzing: 20 seconds for each target" fuzz/run.sh smoke

title "Programs"
one "startup, linked with libmgm" env -u MGM_FORWARDER MGM_LOG=off build/bin/startup
one "installation: pkg-config, linking, static linking, compatibility headers" \
    c-tests/test_install.sh

suite "Kernel, in namespaces of our own ($(id -un))" c-tests/test_router.sh
one "make demo's transcript ($(id -un))" c-tests/demo.sh

# The same as an ordinary user, whom root can be for a moment.
if [ "$(id -u)" = 0 ]; then
    PLAIN_USER=$(mktemp -d "${TMPDIR:-/tmp}/mgm-user.XXXXXX")
    cp -a c-tests build "$PLAIN_USER"
    chmod -R a+rX "$PLAIN_USER"
    as_nobody() {
        setpriv --reuid=65534 --regid=65534 --clear-groups \
            env HOME=/nonexistent TMPDIR=/tmp "$@"
    }
    suite "Kernel, in namespaces of our own (an ordinary user)" \
        as_nobody "$PLAIN_USER/c-tests/test_router.sh"
    one "make demo's transcript (an ordinary user)" as_nobody "$PLAIN_USER/c-tests/demo.sh"
fi

echo
if [ ${#SKIPPED[@]} -gt 0 ]; then
    echo "Skipped:"
    printf '  %s\n' "${SKIPPED[@]}" | sort -u
    if [ "${CI:-}" = true ]; then
        echo "In CI nothing may be skipped."
        FAILED=$((FAILED + 1))
    fi
fi
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" = 0 ]
