//! Threads of the library's own.

use crate::sys::Errno;
use std::ffi::{CStr, c_void};
use std::sync::Arc;

/// The stack of a thread, in octets: as much as Windows gives a thread, where clients' callbacks come
/// from, and an eighth of what Linux gives.
const STACK: usize = 1 << 20;

/// Lets all threads of the process share one arena of glibc's malloc, unless the user has said how many
/// there may be or the program has threads of its own. Otherwise each thread that allocates reserves 64 MiB
/// of address space for an arena.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    {
        let said = |name, what: &str| {
            std::env::var_os(name).is_some_and(|value| value.to_string_lossy().contains(what))
        };
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        if threads == 1 && !said("MALLOC_ARENA_MAX", "") && !said("GLIBC_TUNABLES", "arena_max") {
            // SAFETY: it takes no pointers.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        }
    }
}

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
        // SAFETY: the sets are plain data that sigfillset and pthread_sigmask fill in, and the
        // attributes are used between their init and destroy only; `on` stays valid because its
        // count goes to the new thread.
        let made = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            let mut thread: libc::pthread_t = std::mem::zeroed();
            let mut how: libc::pthread_attr_t = std::mem::zeroed();
            let attributes = libc::pthread_attr_init(&raw mut how);
            if attributes == 0 {
                // A size that is refused leaves the system's default.
                libc::pthread_attr_setstacksize(&raw mut how, STACK);
            }
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let error = match attributes {
                0 => libc::pthread_create(
                    &raw mut thread,
                    &raw const how,
                    run::<B>,
                    on.cast_mut().cast(),
                ),
                error => error,
            };
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if attributes == 0 {
                libc::pthread_attr_destroy(&raw mut how);
            }
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
