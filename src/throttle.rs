//! Log lines that outsiders can cause: at most one of a kind in ten seconds.

#![forbid(unsafe_code)]

use crate::forwarder::Upcalls;
use crate::log::Level;
use crate::sys::sync::coarse_time;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const EVERY_MS: u64 = 10_000;

/// Limits lines of one kind.
pub(crate) struct Throttle {
    /// The time when the next line may come, in milliseconds.
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    /// The first line may come at once.
    pub(crate) const fn new() -> Self {
        Self { next: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Forgets what was logged.
    fn reset(&self) {
        self.next.store(0, Relaxed);
        self.held_back.store(0, Relaxed);
    }

    /// Logs the line if its time has come, with the number of those left out before it.
    pub(crate) fn log(&self, upcalls: &dyn Upcalls, level: Level, message: fmt::Arguments<'_>) {
        match self.admit(coarse_time().as_millis() as u64) {
            Some(0) => upcalls.log(level, message),
            Some(held_back) => {
                upcalls.log(level, format_args!("{message} ({held_back} such lines held back)"));
            }
            None => {}
        }
    }

    /// The number of lines left out, if a line may come now.
    fn admit(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Relaxed);
        let taken = now >= next
            && self.next.compare_exchange(next, now + EVERY_MS, Relaxed, Relaxed).is_ok();
        if taken {
            Some(self.held_back.swap(0, Relaxed))
        } else {
            self.held_back.fetch_add(1, Relaxed);
            None
        }
    }
}

/// The group manager's own lines of this kind: each is about one flow.
pub(crate) struct FlowLines {
    /// Entries that could not be programmed.
    pub failed: Throttle,
    /// RPF callbacks that named somebody else's interface.
    pub foreign_iif: Throttle,
    /// Flows that are wanted on their iif's device.
    pub same_device: Throttle,
    /// Flows that were given up because memory ran out.
    pub given_up: Throttle,
}

impl FlowLines {
    /// The first line of each may come at once.
    pub(crate) const fn new() -> Self {
        Self {
            failed: Throttle::new(),
            foreign_iif: Throttle::new(),
            same_device: Throttle::new(),
            given_up: Throttle::new(),
        }
    }

    /// A new run begins.
    pub(crate) fn reset(&self) {
        for lines in [&self.failed, &self.foreign_iif, &self.same_device, &self.given_up] {
            lines.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds() {
        let throttle = Throttle::new();
        assert_eq!(throttle.admit(0), Some(0));
        assert_eq!(throttle.admit(1), None);
        assert_eq!(throttle.admit(EVERY_MS - 1), None);
        assert_eq!(throttle.admit(EVERY_MS), Some(2));
        assert_eq!(throttle.admit(EVERY_MS + 1), None);
    }
}
