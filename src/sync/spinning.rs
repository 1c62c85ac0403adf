//! parking_lot's read-write lock, tried a hundred times before a thread goes to sleep for it.
//!
//! The library holds its lock for some hundred nanoseconds, a tenth of what falling asleep and being
//! woken cost. parking_lot tries three times and then gives up the processor: a reader beside a
//! busy writer took four times as long that way. std's lock spins as well, but lets a sweep that
//! takes the lock again and again keep a writer out for milliseconds.

#![forbid(unsafe_code)]

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use std::hint::spin_loop;

/// Some 2 to 4 µs.
const TRIES: u32 = 100;

pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        match self.0.try_read() {
            Some(guard) => guard,
            None => spin(|| self.0.try_read()).unwrap_or_else(|| self.0.read()),
        }
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        match self.0.try_write() {
            Some(guard) => guard,
            None => spin(|| self.0.try_write()).unwrap_or_else(|| self.0.write()),
        }
    }
}

#[cold]
fn spin<G>(mut attempt: impl FnMut() -> Option<G>) -> Option<G> {
    (0..TRIES).find_map(|_| {
        spin_loop();
        attempt()
    })
}
