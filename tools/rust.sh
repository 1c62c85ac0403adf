#!/usr/bin/env bash
# Finds a Rust that is new enough for Cargo.toml's rust-version, where cargo and rustc lie in one
# directory: on PATH, where rustup puts them, or where Ubuntu's packages with a version in their
# names do. `tools/rust.sh path` prints PATH with that directory in front, or PATH as it is where
# there is none; the Makefile takes it from there. install-deps.sh sources this file.

rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../Cargo.toml"; }

# at_least VERSION LEAST: compares numbers between dots; what follows the numbers does not count.
at_least() { printf '%s\n%s\n' "$2" "${1%%[!0-9.]*}" | sort -CV; }

# rust_in DIRECTORY: whether it has a cargo and a rustc that is new enough. rustup's rustc fails
# where no toolchain is chosen.
rust_in() {
    local version
    [ -x "$1/cargo" ] && [ -x "$1/rustc" ] || return 1
    version=$("$1/rustc" --version 2>/dev/null) || return 1
    version=${version#rustc }
    at_least "${version%% *}" "$(rust_wanted)"
}

# Prints the directory to use; gives 1 where there is none.
rust_directory() {
    local directory first
    first=$(command -v cargo) || first=
    for directory in "${first%/*}" "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/lib/rust-*/bin; do
        if rust_in "$directory"; then
            printf '%s\n' "$directory"
            return 0
        fi
    done
    return 1
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    if [ "${1:-}" != path ]; then
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
        exit 2
    fi
    directory=$(rust_directory) || directory=
    if [ -z "$directory" ] || [ "$directory/cargo" = "$(command -v cargo)" ]; then
        printf '%s\n' "$PATH"
    else
        printf '%s\n' "$directory:$PATH"
    fi
fi
