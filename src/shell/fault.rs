//! Faults on purpose, for the tests of rule A5. They are only in a library that is built with the
//! feature `fault-injection`, which is never installed.

#![forbid(unsafe_code)]

use crate::sys::sync::Mutex;

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

/// Where MGM_FAULT is "lock-order": takes two locks in one order and then in the other, which shows
/// that a tool that looks for this sees the library's locks. Only for a program with one thread,
/// because two threads would wait for each other.
pub(crate) fn lock_order() {
    static ONE: Mutex<()> = Mutex::new(());
    static OTHER: Mutex<()> = Mutex::new(());
    if is_at("lock-order") {
        drop((ONE.lock(), OTHER.lock()));
        drop((OTHER.lock(), ONE.lock()));
    }
}
