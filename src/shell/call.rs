//! A call of the library from its beginning to its end: what it works for, and what it still has to do.

#![forbid(unsafe_code)]

use crate::core::Carrier;
use crate::shell::context::Here;

/// A call from outside, an upcall, or a call from inside a callback.
pub(crate) struct Call {
    /// The job that its actions belong to, and the run.
    pub job: u32,
    pub epoch: u64,
    /// The job is its own, and not that of a call around it.
    pub owns_job: bool,
    pub here: Here,
    /// It waits for what it caused (rule A7), because it was made outside of any callback, of the
    /// forwarder's functions, and of functions of the host that run during delivery. Other calls
    /// never wait (rule A6).
    pub waits: bool,
    /// It asks the core nothing more, and its job ends when everything was performed.
    pub last: bool,
    /// It does everything that is to be done, and not only what it caused itself.
    pub sees_to_all: bool,
    /// How much of the plane's list must have been programmed before it goes on, so that what it
    /// added itself has been.
    pub until: u64,
    /// How much was in that list before what it asks now.
    pub added_before: u64,
    /// The lane that it runs now.
    pub lane: Option<u32>,
    /// The lane that it keeps while it programs.
    pub kept: Option<u32>,
    /// Its name where it carries changes out in portions.
    pub carries: Option<Carrier>,
    /// How many actions of other jobs it has performed.
    pub favours: u32,
    /// It dispatches this lane, which nobody else runs, and so many actions of it more at most.
    pub dispatches: Option<(u32, u32)>,
    /// The job of another thread that what this one programs now belongs to: that thread waits for it.
    pub programs_for: Option<u32>,
    /// Everything it caused was performed, and its job is over.
    pub ended: bool,
}

/// What a call that begins works for; see the fields of the same names of [`Call`].
pub(crate) struct Begun {
    pub job: u32,
    pub epoch: u64,
    pub owns_job: bool,
}

impl Call {
    /// A call that is made here.
    pub fn new(here: Here, Begun { job, epoch, owns_job }: Begun) -> Self {
        Self {
            job,
            epoch,
            owns_job,
            here,
            waits: here.around.is_none() && !here.inside_forwarder,
            last: false,
            sees_to_all: false,
            until: 0,
            added_before: 0,
            lane: None,
            kept: None,
            carries: None,
            favours: 0,
            dispatches: None,
            programs_for: None,
            ended: false,
        }
    }

    /// Whether it was made outside of any callback and of any function that must not wait.
    pub const fn is_outermost(&self) -> bool {
        self.here.around.is_none() && !self.here.inside_forwarder
    }

    /// Whether it may wait until others have delivered some of what it caused. A thread that dispatches a
    /// client's callbacks is waited for itself.
    pub const fn may_wait_for_room(&self) -> bool {
        self.is_outermost() && self.dispatches.is_none()
    }
}
