//! How much of the tests runs, and who hears of what cannot run here.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write as _;
use std::process::Command;

/// Whether everything is wanted, however long it takes (`make test-all`), and not only as much as
/// everybody has the time for (`make test`).
pub fn all() -> bool {
    std::env::var_os("MGM_TESTS").is_some_and(|tests| tests == "all")
}

/// The one amount where everything is wanted, else the other.
pub fn amount<T>(all: T, quick: T) -> T {
    if self::all() { all } else { quick }
}

/// Those of the compilers that a test is to use: gcc's, which must be there, and clang's where it is
/// installed. Where everything is wanted, clang's absence is reported.
pub fn compilers<const N: usize>(names: [&'static str; N]) -> Vec<&'static str> {
    let is_there = |name: &str| Command::new(name).arg("--version").output().is_ok();
    let (used, missing): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| !name.starts_with("clang") || is_there(name));
    if all() {
        missing.iter().for_each(|name| skipped(name, "it is not installed"));
    }
    used
}

/// Reports that a test cannot run here. The harness knows no such outcome and keeps what a test
/// prints to itself, so tools/test.sh names a file for it, and counts what stands there.
/// With CI=true nothing may be skipped.
pub fn skipped(what: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{what}, in CI: {reason}");
    println!("skipped: {what}: {reason}");
    if let Some(path) = std::env::var_os("MGM_SKIPPED") {
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        writeln!(file, "{what}: {reason}").unwrap();
    }
}
