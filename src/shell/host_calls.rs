//! The functions that a host gave for a run: none is called once MgmHostStop has returned, and none
//! is running then. Its context may be freed, and its code unloaded.

#![forbid(unsafe_code)]

use crate::shell::context::{self, HostFrame};
use crate::sys::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::sys::sync::{Condvar, Instant, Mutex};
use std::time::Duration;

/// Threads that are inside the functions of one run.
pub struct HostCalls {
    /// How many, a thread as often as they are on its stack.
    inside: AtomicUsize,
    closed: AtomicBool,
    lock: Mutex<()>,
    left: Condvar,
}

impl HostCalls {
    /// Nobody is inside.
    pub const fn new() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            lock: Mutex::new(()),
            left: Condvar::new(),
        }
    }

    /// Calls a function of the host's. None: the run is over.
    #[inline]
    pub fn call<R>(&self, function: impl FnOnce() -> R) -> Option<R> {
        let _inside = self.enter()?;
        Some(function())
    }

    // Out of line, as `leave`: there are many functions of the host's.
    #[inline(never)]
    fn enter(&self) -> Option<Inside<'_>> {
        // Counted first: either the end sees it, or it sees the end.
        self.inside.fetch_add(1, SeqCst);
        if self.closed.load(SeqCst) {
            self.leave();
            return None;
        }
        Some(Inside { calls: self, outer: context::enter_host(self.address()) })
    }

    #[inline(never)]
    fn leave(&self) {
        self.inside.fetch_sub(1, SeqCst);
        if self.closed.load(SeqCst) {
            // With the lock: whoever waits has either seen the new number or hears of it.
            let _lock = self.lock.lock();
            self.left.notify_all();
        }
    }

    /// From now on none is called. Waits, but for what is on this thread's own stack, until those that
    /// are running have returned, and for no longer than that. False: some have not.
    pub fn close(&self, patience: Duration) -> bool {
        self.closed.store(true, SeqCst);
        let own = context::times_inside_host(self.address());
        let begun = Instant::now();
        let mut lock = self.lock.lock();
        while self.inside.load(SeqCst) > own {
            let rest = patience.saturating_sub(begun.elapsed());
            if rest.is_zero() {
                return false;
            }
            self.left.wait_for(&mut lock, rest);
        }
        true
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// This thread is inside.
struct Inside<'a> {
    calls: &'a HostCalls,
    outer: HostFrame,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        context::leave_host(self.outer);
        self.calls.leave();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn none_is_called_after_the_end() {
        let calls = HostCalls::new();
        assert_eq!(calls.call(|| 7), Some(7));
        assert!(calls.close(LONG));
        assert_eq!(calls.call(|| unreachable!("called after the end")), None::<()>);
        assert!(calls.close(LONG), "whoever came too late is not inside");
    }

    #[test]
    fn the_end_does_not_wait_for_itself() {
        let (calls, others) = (HostCalls::new(), HostCalls::new());
        // Whatever it is called inside of, and whatever other run's functions are on the stack.
        let closed = calls.call(|| {
            calls.call(|| others.call(|| others.close(LONG))).flatten().expect("not closed");
            let others = HostCalls::new();
            calls.call(|| others.call(|| calls.close(LONG))).flatten().expect("not closed")
        });
        assert_eq!(closed, Some(true));
        assert_eq!(calls.inside.load(SeqCst), 0);
    }

    #[test]
    fn the_end_waits_for_others() {
        let calls = HostCalls::new();
        let (entered, has_entered) = channel();
        let (leave, may_leave) = channel::<()>();
        thread::scope(|scope| {
            let calls = &calls;
            scope.spawn(move || {
                calls.call(|| {
                    entered.send(()).unwrap();
                    may_leave.recv().unwrap();
                })
            });
            has_entered.recv().unwrap();
            assert!(!calls.close(Duration::from_millis(20)), "one is inside");
            leave.send(()).unwrap();
            assert!(calls.close(LONG));
        });
        assert_eq!(calls.inside.load(SeqCst), 0);
    }

    #[test]
    fn a_panic_leaves() {
        let calls = HostCalls::new();
        let call = || calls.call(|| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err());
        assert!(calls.close(LONG));
    }
}
