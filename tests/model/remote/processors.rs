//! On which processors a thread may run, and what it starts.

use std::mem::{size_of, zeroed};

/// Some of the processors.
#[derive(Clone, Copy)]
pub struct Processors(libc::cpu_set_t);

impl Processors {
    /// Those that this thread may run on.
    fn of_this_thread() -> Self {
        // SAFETY: a set of processors is plain numbers, of which zeros are the empty one; the kernel writes as
        // much as the set is large.
        unsafe {
            let mut set = zeroed();
            let got = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            assert_eq!(got, 0, "sched_getaffinity");
            Self(set)
        }
    }

    /// The one that this thread is running on.
    pub fn now() -> Self {
        // SAFETY: as above; the kernel's number of a processor has its place in a set.
        unsafe {
            let mut set = zeroed();
            let this = usize::try_from(libc::sched_getcpu()).expect("sched_getcpu");
            libc::CPU_SET(this, &mut set);
            Self(set)
        }
    }

    /// This thread, and what it starts, runs nowhere else until the end of what this gives.
    pub fn stay(self) -> Stay {
        let before = Self::of_this_thread();
        self.keep_this_thread();
        Stay(before)
    }

    fn keep_this_thread(&self) {
        // SAFETY: the kernel reads the set.
        let set =
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
        assert_eq!(set, 0, "sched_setaffinity");
    }
}

/// The thread that made it stays on some of the processors, and ends it.
pub struct Stay(Processors);

impl Drop for Stay {
    fn drop(&mut self) {
        self.0.keep_this_thread();
    }
}
