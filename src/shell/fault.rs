//! Faults on purpose, for the tests of rule A5. They are only in a library that is built with the
//! feature `fault-injection`, which is never installed.

#![forbid(unsafe_code)]

/// Whether the environment variable MGM_FAULT names this point.
pub(crate) fn is_at(name: &str) -> bool {
    std::env::var_os("MGM_FAULT").is_some_and(|fault| fault == name)
}

/// Panics where the environment variable MGM_FAULT names this point.
pub(crate) fn point(name: &str) {
    if is_at(name) {
        panic!("a fault on purpose at {name}");
    }
}
