#!/usr/bin/env bash
# What must hold of the source itself: formatting, lints, headers, exports, documentation, scripts.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
# All for the whole workspace, also where only a part of it is of interest: others' crates are built with the
# features that all of it wants, so what the tests have had built serves here.
step() {
    printf '== %s\n' "$*"
    "$@"
}
lints() {
    step "$CARGO" clippy --workspace --all-targets -- -D warnings
    step "$CARGO" clippy --workspace --all-targets --all-features -- -D warnings
}
if [ "${1:-}" = lints ]; then # tools/test.sh has them built while its tests wait
    lints
    exit 0
fi
step "$CARGO" fmt --all --check
step "$CARGO" fmt --check --manifest-path fuzz/Cargo.toml
lints
step "$CARGO" test --quiet --workspace --test header --test exports
RUSTDOCFLAGS="-D warnings" step "$CARGO" doc --workspace --no-deps --document-private-items
if command -v mandoc >/dev/null; then
    step "$CARGO" test --quiet --workspace --test docs mandoc_finds
else
    echo "mandoc is not installed: the manual was not looked at"
    [ "${CI:-}" != true ] || exit 1
fi
if command -v abidiff >/dev/null; then
    step tools/abi.sh
else
    echo "abidiff (abigail-tools) is not installed: the interface was not held against the last release's"
    [ "${CI:-}" != true ] || exit 1
fi
if command -v shellcheck >/dev/null; then
    step shellcheck -x tools/*.sh c-tests/*.sh protocols/tests/*.sh fuzz/*.sh benches/*.sh benches/instructions/*.sh benches/protocols/*.sh .ci/run
else
    echo "shellcheck is not installed: the scripts were not looked at"
    [ "${CI:-}" != true ] || exit 1
fi
echo "All is in order."
