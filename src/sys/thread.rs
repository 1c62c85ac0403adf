//! Threads of the library's own.

use crate::sys::Errno;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

/// What a [`Thread`] runs.
pub trait Body {
    /// What it works on, shared with its starter.
    type On: Send + Sync + 'static;

    /// What the thread does. A panic that leaves this function ends the process, so it must catch
    /// its own.
    fn run(on: Arc<Self::On>);
}

/// A thread. It is made without Rust's allocator, whose failure would end the process (rule A4),
/// because a spare thread may be needed while memory is short.
pub struct Thread(usize);

impl Thread {
    /// Starts a thread that runs `B` with all signals blocked, so that the host's handlers never
    /// run on it.
    pub fn spawn<B: Body>(name: &CStr, on: Arc<B::On>) -> Result<Self, Errno> {
        extern "C" fn run<B: Body>(on: *mut c_void) -> *mut c_void {
            // SAFETY: the pointer is from Arc::into_raw below, which gave its count to us.
            B::run(unsafe { Arc::from_raw(on.cast::<B::On>().cast_const()) });
            std::ptr::null_mut()
        }
        let on = Arc::into_raw(on);
        // SAFETY: the sets are plain data that sigfillset and pthread_sigmask fill in; `on` stays
        // valid because its count goes to the new thread.
        let made = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            let mut thread: libc::pthread_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let error = libc::pthread_create(
                &raw mut thread,
                std::ptr::null(),
                run::<B>,
                on.cast_mut().cast(),
            );
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if error == 0 { Ok(thread) } else { Err(error) }
        };
        match made {
            Ok(thread) => {
                // SAFETY: the thread has been neither joined nor detached, and the name is a
                // string. One that is too long would be refused, which does no harm.
                unsafe { libc::pthread_setname_np(thread, name.as_ptr()) };
                // A number on glibc, a pointer elsewhere.
                Ok(Self(thread as usize))
            }
            Err(e) => {
                // SAFETY: no thread was made, so the count is still ours.
                drop(unsafe { Arc::from_raw(on) });
                Err(e)
            }
        }
    }

    /// Whether this is the calling thread.
    pub fn is_self(&self) -> bool {
        // SAFETY: only gives the calling thread's own handle.
        self.0 == unsafe { libc::pthread_self() } as usize
    }

    /// Waits for the thread's end.
    pub fn join(self) {
        // SAFETY: the thread was neither joined nor detached, and its handle is used up here.
        unsafe { libc::pthread_join(self.0 as libc::pthread_t, std::ptr::null_mut()) };
    }

    /// Lets the thread go on by itself.
    pub fn detach(self) {
        // SAFETY: the thread was neither joined nor detached, and its handle is used up here.
        unsafe { libc::pthread_detach(self.0 as libc::pthread_t) };
    }
}
