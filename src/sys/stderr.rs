//! Standard error as a log: writing to it never ends the process and never waits for a reader.

use crate::sys::{Errno, retry};
use std::ffi::c_int;
use std::mem::MaybeUninit;

const STDERR: c_int = 2;

/// Writes a line. EAGAIN: nobody reads, and it was not written. A reader that has gone is EPIPE, and
/// raises no SIGPIPE.
pub fn write(line: &[u8]) -> Result<(), Errno> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // A service manager's standard error is a socket.
    // SAFETY: the kernel reads the line.
    match retry(|| unsafe { libc::send(STDERR, line.as_ptr().cast(), line.len(), flags) }) {
        Err(libc::ENOTSOCK) => {}
        sent => return sent.map(drop),
    }
    let mut polled = libc::pollfd { fd: STDERR, events: libc::POLLOUT, revents: 0 };
    // A pipe is ready for writing when a line of ours fits.
    // SAFETY: one structure.
    let ready = retry(|| unsafe { libc::poll(&raw mut polled, 1, 0) } as isize)?;
    if ready == 0 {
        return Err(libc::EAGAIN);
    }
    without_sigpipe(|| {
        // SAFETY: the kernel reads the line.
        retry(|| unsafe { libc::write(STDERR, line.as_ptr().cast(), line.len()) }).map(drop)
    })
}

/// Lets a write fail with EPIPE and takes the signal that comes with it back.
fn without_sigpipe(write: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let mut sigpipe = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the functions fill in the sets that they are given first.
    let was_pending = unsafe {
        libc::sigemptyset(sigpipe.as_mut_ptr());
        libc::sigaddset(sigpipe.as_mut_ptr(), libc::SIGPIPE);
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, sigpipe.as_ptr(), before.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let written = write();
    // SAFETY: the sets were filled in above; a pending signal that is this write's is taken.
    unsafe {
        if written == Err(libc::EPIPE) && !was_pending {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(sigpipe.as_ptr(), std::ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    written
}
