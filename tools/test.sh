#!/usr/bin/env bash
# The tests. Ends with the plain line "N passed, N failed". Called by the Makefile, which has built
# the library, the programs and the tests in Rust, and has installed what is needed.
#
#   tools/test.sh      `make test`: what needs a C compiler and Rust and no special runtime. The
#                      tests in C run beside those in Rust, of which those that take long are
#                      shortened or left out.
#   tools/test.sh all  `make test-all`: all tests in full. Those in Rust, some of which measure
#                      times, share the machine only with builds at the lowest priority; the
#                      fuzzer has it for itself.
#
# What cannot run here is reported as skipped. With CI=true that is a failure.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
CARGO=${CARGO:-cargo}
case "${1:-}" in
    "") KIND=quick ;;
    all) KIND=all ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
WORK=$(mktemp -d "${TMPDIR:-/tmp}/mgm-test.XXXXXX") # results: lines "PASSED FAILED"; skipped: reasons
: >"$WORK/results"
: >"$WORK/skipped"
BESIDE= # the process group of what runs beside the others
end() {
    [ -z "$BESIDE" ] || kill -TERM -- "-$BESIDE" 2>/dev/null || true
    rm -rf "$WORK"
}
trap end EXIT

title() { printf '\n== %s\n\n' "$*"; }
result() { echo "$1 $2" >>"$WORK/results"; }
skips_of() { sed -n 's/^skipped: //p' "$1" >>"$WORK/skipped"; }

# count LOG STATUS: adds the "N passed, N failed" that the log ends with; a status that does not
# fit those numbers is a failure of its own.
count() {
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -1) || true
    if [ -z "$line" ]; then
        echo "FAILED: ended with status $2 and without a summary"
        result 0 1
        return
    fi
    line=${line% failed}
    result "${line%% *}" "${line##* }"
    if [ "$2" != 0 ] && [ "${line##* }" = 0 ]; then
        echo "FAILED: ended with status $2 though nothing in it failed"
        result 0 1
    fi
    skips_of "$1"
}

# What the children that this shell has waited for have used of a processor, in seconds.
used() {
    times >"$WORK/times.$BASHPID" # in the second line
    awk -F '[ms ]+' 'NR == 2 { printf "%.0f", 60 * ($1 + $3) + $2 + $4 }' "$WORK/times.$BASHPID"
}

# suite TITLE COMMAND...: one that counts for itself.
suite() {
    local log begun=$SECONDS used status
    log=$(mktemp "$WORK/log.XXXXXX")
    used >"$log"
    used=$(<"$log")
    title "$1"
    shift
    "$@" </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    count "$log" "$status"
    used >"$log"
    echo "($((SECONDS - begun)) s, $(($(<"$log") - used)) s of a processor)"
}

# one TITLE COMMAND...: a single test; its output shows only if it fails.
one() {
    local name=$1 log
    log=$(mktemp "$WORK/log.XXXXXX")
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "passed: $name"
        result 1 0
    else
        echo "FAILED: $name"
        sed 's/^/    /' "$log"
        result 0 1
    fi
    skips_of "$log"
}

startup() { one "startup, linked with libmgm" env -u MGM_FORWARDER MGM_LOG=off build/bin/startup; }
protocols() {
    local program
    for program in build/bin/protocol_unit_* protocols/tests/test_*.sh; do
        suite "Protocols: ${program##*/}" "$program"
    done
}
installation() {
    one "installation: pkg-config, linking, static linking, compatibility headers" \
        c-tests/test_install.sh
}
router() {
    suite "Kernel, in namespaces of our own ($1)" "${@:2}" "$C_TESTS/test_router.sh"
    one "make demo's transcript ($1)" "${@:2}" "$C_TESTS/demo.sh"
}

# beside COMMAND: in a process group of its own, to be ended as one; what it prints comes with
# finish_beside.
beside() {
    set -m
    "$@" >"$WORK/beside" 2>&1 </dev/null &
    BESIDE=$!
    set +m
}
finish_beside() {
    wait "$BESIDE" || result 0 1
    BESIDE=
    cat "$WORK/beside"
}

quick_in_c() {
    suite "C: two compilers, linked and loaded, and under sanitizers" c-tests/matrix.sh quick
    suite "Faults" c-tests/tools.sh oom faults unload hangs
    protocols
    title "Programs"
    startup
    installation
    router "$(id -un)"
}
# What later parts need built, at the lowest priority beside the tests in Rust, which wait for most of
# their time. What fails here fails again, and is reported, where it is needed.
builds_ahead() {
    fuzz/run.sh build & # most of it has one thread
    make --no-print-directory daemon || true
    c-tests/tools.sh builds || true
    [ "${CI:-}" != true ] || tools/check.sh lints || true # which comes next
    wait
}
tools() {
    suite "Faults and tools" c-tests/tools.sh
    title "Programs"
    startup
    installation
}

C_TESTS=c-tests
begun=$SECONDS
if [ $KIND = quick ]; then
    beside quick_in_c
    suite "Rust" tools/rust-tests.sh
    finish_beside
else
    export MGM_TESTS=all
    export -f builds_ahead
    beside nice -n 19 bash -c builds_ahead
    suite "Rust" tools/rust-tests.sh --include-ignored
    wait "$BESIDE" || true
    beside tools
    # The protocols and the routers as well, which mostly wait: the latter for both kinds of user, where this one
    # is root, who can be an ordinary one for a moment.
    protocols >"$WORK/waiting.protocols" 2>&1 &
    WAITING=$!
    router "$(id -un)" >"$WORK/waiting.own" 2>&1 &
    WAITING="$WAITING $!"
    if [ "$(id -u)" = 0 ]; then
        mkdir "$WORK/user" # where an ordinary user can read the built programs
        cp -a c-tests build docs README.md "$WORK/user"
        chmod a+x "$WORK"
        chmod -R a+rX "$WORK/user"
        C_TESTS=$WORK/user/c-tests router "an ordinary user" setpriv --reuid=65534 --regid=65534 \
            --clear-groups env HOME=/nonexistent TMPDIR=/tmp >"$WORK/waiting.user" 2>&1 &
        WAITING="$WAITING $!"
    fi
    # It never waits, and goes on while those do.
    suite "C: every compiler, standard and way of linking" nice -n 10 c-tests/matrix.sh
    for waiting in $WAITING; do
        wait "$waiting" || result 0 1
    done
    cat "$WORK"/waiting.*
    finish_beside
    suite "Fuzzing: some thousand inputs of each target" fuzz/run.sh smoke
    suite "Fuzzing the protocols: 10 seconds for each" protocols/tests/fuzz.sh 10
    # What needs packages from the network, or another machine's compiler, is for a person who runs it.
    if [ "${CI:-}" != true ]; then
        suite "A 32-bit machine" tools/test-cross.sh i686
        for program in protocols/tests/peers_*.sh; do
            suite "Beside others: ${program##*/}" "$program"
        done
    fi
fi

echo
echo "The tests took $((SECONDS - begun)) s."
if [ -s "$WORK/skipped" ]; then
    echo "Skipped:"
    sort -u "$WORK/skipped" | sed 's/^/  /'
    if [ "${CI:-}" = true ]; then
        echo "In CI nothing may be skipped."
        result 0 1
    fi
fi
[ $KIND = all ] || echo "make test-all runs what takes long or needs special tools."
awk '{ p += $1; f += $2 }
     END { printf "%d passed, %d failed\n", p, f; exit f > 0 || p == 0 }' "$WORK/results"
