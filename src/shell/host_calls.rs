//! Counts the threads inside the functions that a host gave for a run. When MgmHostStop has
//! returned, none of them is running and none will be called, so that the host may free its context
//! and unload its code (decision 70).

#![forbid(unsafe_code)]

use crate::shell::context;
use crate::sys::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::sys::sync::{Condvar, Instant, Mutex};
use std::time::Duration;

/// Threads that are inside the functions of one run.
pub struct HostCalls {
    /// How many functions are running; they may be nested on one thread.
    inside: AtomicUsize,
    closed: AtomicBool,
    lock: Mutex<()>,
    left: Condvar,
}

impl HostCalls {
    /// No thread is inside.
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
        Some(context::inside_host(self.address(), function))
    }

    /// Whether the run is over.
    pub fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    // Out of line, as `leave` is, because there are many callers.
    #[inline(never)]
    fn enter(&self) -> Option<Inside<'_>> {
        // It counts first, so that either `close` sees this call, or this call sees that it is
        // closed.
        self.inside.fetch_add(1, SeqCst);
        if self.closed.load(SeqCst) {
            self.leave();
            return None;
        }
        Some(Inside(self))
    }

    #[inline(never)]
    fn leave(&self) {
        self.inside.fetch_sub(1, SeqCst);
        if self.closed.load(SeqCst) {
            // With the lock, so that a waiting thread either has seen the new number or is woken.
            let _lock = self.lock.lock();
            self.left.notify_all();
        }
    }

    /// From now on no function is called. Waits until those that are running have returned, except
    /// for those on this thread's own stack, but no longer than `patience`. False: some have not
    /// returned.
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
struct Inside<'a>(&'a HostCalls);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.leave();
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
        // It does so whatever other functions, of this run or another, are on the stack.
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
