//! Jobs: what calls wait for.

#![forbid(unsafe_code)]

use crate::core::NONE;
use crate::error::Error;

/// The thread that carries a large change out goes on only while no more than so many alerts of its job are on
/// their way: alerts of others to the same clients come behind them. (The scheduler's tests are to come
/// to it.)
pub const CROWD: u32 = if cfg!(all(test, feature = "shuttle")) { 3 } else { 32 };

/// A job, named by its place in the table.
pub(super) struct Jobs {
    jobs: Vec<Job>,
    free: u32,
    /// How many have a thread that waits.
    awaited: u32,
}

#[derive(Clone, Copy)]
struct Job {
    /// Actions on their way, without those that are counted in `apart`.
    open: u32,
    /// Actions on their way to clients that hang.
    apart: u32,
    /// The call that began it has not returned.
    alive: bool,
    /// The thread of that call waits for it now, and does nothing else.
    awaited: bool,
    /// In use at all.
    used: bool,
    /// How many have had this place before.
    serial: u32,
    next_free: u32,
}

impl Job {
    const UNUSED: Self = Self {
        open: 0,
        apart: 0,
        alive: false,
        awaited: false,
        used: false,
        serial: 0,
        next_free: NONE,
    };
}

impl Jobs {
    pub(super) const fn new() -> Self {
        Self { jobs: Vec::new(), free: NONE, awaited: 0 }
    }

    #[inline]
    pub(super) fn begin(&mut self) -> Result<u32, Error> {
        let id = match self.free {
            NONE => {
                self.jobs.try_reserve(1)?;
                self.jobs.push(Job::UNUSED);
                self.jobs.len() as u32 - 1
            }
            id => {
                self.free = self.jobs[id as usize].next_free;
                id
            }
        };
        let serial = self.jobs[id as usize].serial.wrapping_add(1);
        self.jobs[id as usize] = Job { alive: true, used: true, serial, ..Job::UNUSED };
        Ok(id)
    }

    /// Tells the job from others that had its number.
    pub(super) fn serial(&self, job: u32) -> u32 {
        self.jobs[job as usize].serial
    }

    pub(super) fn open(&self, job: u32) -> u32 {
        self.jobs[job as usize].open
    }

    /// Whether no call goes on that began a job, and nothing of any job is on its way, except to clients
    /// that hang.
    pub(super) fn are_over(&self) -> bool {
        self.jobs.iter().all(|job| !job.alive && job.open == 0)
    }

    #[inline]
    pub(super) fn end(&mut self, job: u32) {
        debug_assert!(
            self.jobs[job as usize].alive,
            "a job ends once: its number may be another's"
        );
        self.set_awaited(job, false);
        self.jobs[job as usize].alive = false;
        self.free_if_done(job);
    }

    fn free_if_done(&mut self, id: u32) {
        let free = self.free;
        let job = &mut self.jobs[id as usize];
        if job.used && !job.alive && job.open == 0 && job.apart == 0 {
            job.used = false;
            job.next_free = free;
            self.free = id;
        }
    }

    pub(super) fn count(&mut self, job: u32) {
        if let Some(known) = self.jobs.get_mut(job as usize) {
            known.open += 1;
        }
    }

    /// True: it was the last thing that a thread is waiting for, or the last one too many.
    pub(super) fn done(&mut self, job: u32) -> bool {
        let Some(known) = self.jobs.get_mut(job as usize) else { return false };
        known.open -= 1;
        let over = known.awaited && matches!(known.open, 0 | CROWD);
        self.free_if_done(job);
        over
    }

    pub(super) fn set_awaited(&mut self, job: u32, awaited: bool) {
        let before = std::mem::replace(&mut self.jobs[job as usize].awaited, awaited);
        self.awaited = self.awaited + u32::from(awaited) - u32::from(before);
    }

    /// Whether any thread waits for a job.
    pub(super) const fn any_awaited(&self) -> bool {
        self.awaited > 0
    }

    /// Whether the call that began a job has not returned.
    pub(super) fn is_under_way(&self, job: u32) -> bool {
        self.jobs.get(job as usize).is_some_and(|job| job.alive)
    }

    /// The same, where the number may be another job's by now.
    pub(super) fn is_still_under_way(&self, job: u32, serial: u32) -> bool {
        self.is_under_way(job) && self.serial(job) == serial
    }

    pub(super) fn is_awaited(&self, job: u32) -> bool {
        self.jobs.get(job as usize).is_some_and(|job| job.awaited)
    }

    /// Counts one open action of a job in `apart` from now on, or no longer.
    pub(super) fn set_apart(&mut self, job: u32, apart: bool) {
        if let Some(Job { open, apart: others, .. }) = self.jobs.get_mut(job as usize) {
            let (from, to) = if apart { (open, others) } else { (others, open) };
            (*from, *to) = (*from - 1, *to + 1);
        }
    }
}
