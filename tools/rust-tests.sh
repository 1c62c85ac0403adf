#!/usr/bin/env bash
# Runs the test programs in Rust of the whole workspace with these arguments for their harness. cargo would
# run one after the other; here one more than there are processors run at a time, since many wait for most of
# theirs, and those that take longest begin. What each prints comes when it has ended. Called by tools/test.sh.
#
# A test that cannot run here counts as passed for the harness, and writes why into the file that
# MGM_SKIPPED names; one that is left out as "ignored" takes long. Ends with the line "N passed, N failed".
set -eu
cd "$(dirname "$0")/.."
LONGEST="kernel_router oom kernel_plane model remote scenarios hung_clients"

# program OUT NUMBER ARGUMENT...: runs the one in this line of the list, as cargo does. One that ends before
# it has summed up, or with a status that its sums deny, is a failure of its own.
program() {
    local out=$1 number=$2 name directory file log status=0 begun=$SECONDS sums used fault=""
    shift 2
    IFS=$'\t' read -r name directory file < <(sed -n "${number}p" "$out/programs")
    log=$out/$number.log
    if [ -n "$file" ]; then
        (cd "$directory" && CARGO_MANIFEST_DIR=$directory exec "$file" "$@") >"$log" 2>&1 </dev/null || status=$?
    else
        "$CARGO" test --workspace --doc -- "$@" >"$log" 2>&1 </dev/null || status=$?
    fi
    times >"$out/$number.times" # in the second line, what it used of a processor
    used=$(awk -F '[ms ]+' 'NR == 2 { printf "%.0f", 60 * ($1 + $3) + $2 + $4 }' "$out/$number.times")
    # A test that failed may show the same line of a process of its own, which ran it alone.
    sums=$(awk '/^test result:.* 0 filtered out/ { n++; p += $4; f += $6; i += $8 }
        END { if (n) print p, f, i }' "$log")
    case $sums in
        "") fault="ended with status $status and without a summary" ;;
        *" 0 "*) [ "$status" = 0 ] || fault="ended with status $status though nothing in it failed" ;;
    esac
    echo "${sums:-0 0 0} ${fault:+1}" >"$out/$number.sums"
    {
        flock 9
        printf '\n-- %s (%s s, %s s of a processor)\n' "$name" "$((SECONDS - begun))" "$used"
        cat "$log"
        [ -z "$fault" ] || echo "FAILED: $name $fault"
    } 9>"$out/lock"
}

if [ "${1:-}" = --program ]; then # called by xargs below
    shift
    program "$@"
    exit 0
fi

OUT=$(mktemp -d "${TMPDIR:-/tmp}/mgm-rust.XXXXXX")
trap 'rm -rf "$OUT"' EXIT
export CARGO=${CARGO:-cargo}
export MGM_SKIPPED=$OUT/skipped
: >"$MGM_SKIPPED"
if ! "$CARGO" test --workspace --no-run --message-format=json-render-diagnostics >"$OUT/built" 2>"$OUT/build"; then
    cat "$OUT/build"
    echo "0 passed, 1 failed"
    exit 1
fi
# Lines of a name, its package's directory and its file; without a file: the examples in the documentation.
sed -n 's|.*"manifest_path":"\([^"]*\)/Cargo.toml".*"name":"\([^"]*\)".*"profile":{[^}]*"test":true}.*"executable":"\([^"]*\)".*|\2\t\1\t\3|p' \
    "$OUT/built" |
    awk -v longest="$LONGEST" '
        BEGIN { n = split(longest, names, " "); for (i = 1; i <= n; i++) rank[names[i]] = i }
        { print (($1 in rank) ? rank[$1] : n + 1) "\t" $0 }' |
    sort -s -n -k 1,1 | cut -f 2- >"$OUT/programs"
printf 'examples\t\t\n' >>"$OUT/programs"
programs=$(wc -l <"$OUT/programs")
seq "$programs" | xargs -P $(($(nproc) + 1)) -I '{}' "$0" --program "$OUT" '{}' "$@"

echo
sed 's/^/skipped: /' "$MGM_SKIPPED"
cat "$OUT"/*.sums | awk -v kind="${MGM_TESTS:-quick}" -v skips="$(wc -l <"$MGM_SKIPPED")" -v programs="$programs" '
    { p += $1; f += $2 + $4; i += $3 }
    END {
        if (NR != programs) { printf "FAILED: %d of %d programs did not run\n", programs - NR, programs; f++ }
        if (i && kind == "all") printf "skipped: %d tests in Rust that are ignored even so\n", i
        else if (i) printf "%d that take long are left to make test-all\n", i
        printf "%d passed, %d failed\n", p - skips, f
        exit f > 0
    }'
