//! A child of fork(2) has the library's memory and descriptors and none of its threads. The multicast
//! routing socket is the parent's too, so that ending it would end the parent's forwarding, and a lock
//! that another thread held is never released. So in a child that was made while the library ran, no
//! function does anything (decision 68).

use super::MGM;
use super::manager::is_connected;
use crate::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

/// This process is such a child.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// The handler is in place.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Whether the library ran when this process was forked.
#[inline]
pub(super) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Makes the process set the flag in its children. Must be called before anything is started.
pub(super) fn watch() -> Result<(), Error> {
    if WATCHED.load(Ordering::Acquire) {
        return Ok(());
    }
    // Two threads that come here at once do no harm: the handler may run twice.
    // SAFETY: the handler touches atomics only, so it may run in a signal handler that forks. It is
    // taken away with the object that holds it: pthread_atfork is linked into that object.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => {
            WATCHED.store(true, Ordering::Release);
            Ok(())
        }
        // ENOMEM is its only failure.
        _ => Err(Error::OutOfMemory),
    }
}

unsafe extern "C" fn in_child() {
    if MGM.is_active() || is_connected() {
        IS_CHILD.store(true, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use crate::ffi::callbacks::CClient;
    use crate::shell::manager::Mgm;

    /// A child that is forked meanwhile has a lock that nobody will give back.
    #[test]
    fn it_is_active_while_it_starts_or_stops() {
        let mgm = Mgm::<CClient>::new();
        assert!(!mgm.is_active());
        let starting = mgm.starting.lock();
        assert!(mgm.is_active());
        drop(starting);
        assert!(!mgm.is_active());
    }
}
