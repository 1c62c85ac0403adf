//! A descriptor that is readable while a condition holds, for a program's poll(2).

use crate::sys::{Errno, owned, retry};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A pipe with an octet in it while the condition holds. Whoever polls its end for reading in another
/// process sees POLLHUP when this one has gone, which no eventfd tells.
pub struct Readiness {
    read: OwnedFd,
    write: OwnedFd,
    ready: bool,
}

impl Readiness {
    /// Not readable.
    pub fn new() -> Result<Self, Errno> {
        let mut ends = [-1; 2];
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: the kernel writes two descriptors.
        retry(|| unsafe { libc::pipe2(ends.as_mut_ptr(), flags) } as isize)?;
        let [read, write] = ends.map(|end| owned(end as usize));
        Ok(Self { read, write, ready: false })
    }

    /// Makes it readable, or not.
    pub fn set(&mut self, ready: bool) {
        if std::mem::replace(&mut self.ready, ready) == ready {
            return;
        }
        let mut octet = [1u8];
        let (from, to, at) = (self.read.as_raw_fd(), self.write.as_raw_fd(), octet.as_mut_ptr());
        // Another process that has the descriptor may have read the octet, and then misses the event.
        let _ = if ready {
            // SAFETY: the kernel reads one octet.
            retry(|| unsafe { libc::write(to, at.cast(), 1) })
        } else {
            // SAFETY: the kernel writes one octet.
            retry(|| unsafe { libc::read(from, at.cast(), 1) })
        };
    }

    /// What a program polls.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// The same, for one that may live longer.
    pub fn duplicate(&self) -> Result<OwnedFd, Errno> {
        self.read.try_clone().map_err(|error| error.raw_os_error().unwrap_or(libc::EMFILE))
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::sys::wait_readable;

    #[test]
    fn h2_readable_exactly_while_it_is_set() {
        let mut readiness = Readiness::new().unwrap();
        let other = readiness.duplicate().unwrap();
        for ready in [false, true, true, false, false, true] {
            readiness.set(ready);
            assert_eq!(wait_readable([&other], Some(0)), Ok([ready]));
        }
        // Somebody else has taken the octet.
        let mut octet = 0u8;
        // SAFETY: the kernel writes one octet.
        unsafe { libc::read(other.as_raw_fd(), (&raw mut octet).cast(), 1) };
        readiness.set(false);
        readiness.set(true);
        assert_eq!(wait_readable([&other], Some(0)), Ok([true]));
        // The end of the one that sets it is an error to be read.
        readiness.set(false);
        drop(readiness);
        assert_eq!(wait_readable([&other], Some(0)), Ok([true]));
    }
}
