//! Faults on purpose, for the tests of rule A5. Only in a library built with the feature
//! `fault-injection`, which is never the one that is installed.

#![forbid(unsafe_code)]

/// Panics where the environment variable MGM_FAULT names this point.
pub(crate) fn point(name: &str) {
    if std::env::var_os("MGM_FAULT").is_some_and(|fault| fault == name) {
        panic!("a fault on purpose at {name}");
    }
}
