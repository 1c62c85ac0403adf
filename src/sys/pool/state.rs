//! Who is on which duty, and who stands by. The pool's lock protects it.

#![forbid(unsafe_code)]

use super::{Duty, INSIDE, LINGER, MOST, Next, PLACES, Run, Short, TAKEN, UNKNOWN, Worker};
use crate::sys::Errno;
use crate::sys::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sys::sync::{Instant, Thread};
use std::sync::Arc;

pub(super) struct PoolState {
    pub(super) run: Option<Arc<Run>>,
    pub(super) threads: Vec<Thread>,
    pub(super) posts: Vec<Post>,
    /// A bit for each place of `words` that a thread has.
    pub(super) places: u64,
    /// How many threads stand by, or will once they have begun.
    pub(super) standing_by: usize,
    /// One of them waits for what is due next.
    pub(super) waiting: bool,
    /// When there was last a call that needed all that stood by.
    pub(super) needed: Option<Instant>,
    /// It was told that no thread could be had.
    pub(super) short: bool,
    /// How many threads were added since the start because others were inside calls.
    pub(super) added: u64,
    /// How many threads have not ended, those of earlier runs included.
    pub(super) total: usize,
}

/// A duty, and who is on it.
pub(super) struct Post {
    pub(super) duty: Arc<dyn Duty>,
    /// The place of a thread.
    pub(super) holder: Option<usize>,
    /// When there is something to do while nobody is on it; None: when it is woken.
    pub(super) due: Option<Instant>,
    /// It was woken while somebody was on it.
    pub(super) woken: bool,
    /// What its holder was doing when it was looked at, and since when.
    pub(super) seen: u64,
    pub(super) since: Instant,
}

impl Post {
    pub(super) fn due_after(&mut self, next: Next, now: Instant) {
        self.due = match next {
            Next::Now => Some(now),
            Next::At(time) => Some(time),
            Next::Woken => None,
        };
    }
}

impl PoolState {
    pub(super) fn is(&self, run: &Arc<Run>) -> bool {
        self.run.as_ref().is_some_and(|current| Arc::ptr_eq(current, run))
    }

    /// Adds a thread that stands by.
    pub(super) fn add_thread(&mut self) -> Result<(), Errno> {
        let Some(run) = self.run.clone() else { return Ok(()) };
        if self.total == PLACES {
            return Err(libc::EAGAIN);
        }
        self.threads.push(Thread::spawn::<Worker>(c"mgm-pool", Arc::clone(&run))?);
        run.alive.fetch_add(1, SeqCst);
        self.standing_by += 1;
        self.total += 1;
        Ok(())
    }

    /// Adds one because others are inside calls.
    pub(super) fn add_spare(&mut self, words: &[AtomicU64; PLACES]) -> Result<(), Short> {
        if self.threads.len() >= MOST {
            let inside = |word: &&AtomicU64| word.load(SeqCst) & (INSIDE | TAKEN) > TAKEN;
            return Err(Short::Many(words.iter().filter(inside).count()));
        }
        self.add_thread().map_err(Short::System)?;
        self.added += 1;
        Ok(())
    }

    /// The duty that nobody is on and that has something to do first, and when.
    pub(super) fn next_due(&self) -> Option<(Instant, usize)> {
        let free =
            |(at, post): (usize, &Post)| Some((post.due?, at)).filter(|_| post.holder.is_none());
        self.posts.iter().enumerate().filter_map(free).min()
    }

    /// The same where it has something to do now.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        self.next_due().filter(|(due, _)| *due <= now).map(|(_, post)| post)
    }

    /// A thread that stands by goes on duty.
    pub(super) fn take(&mut self, post: usize, place: usize) -> Arc<dyn Duty> {
        self.standing_by -= 1;
        let post = &mut self.posts[post];
        (post.holder, post.due, post.woken) = (Some(place), None, false);
        post.seen = UNKNOWN;
        Arc::clone(&post.duty)
    }

    /// A thread comes off a duty, unless that is another's by now. True: the duty is due some time.
    pub(super) fn leave(&mut self, post: usize, place: usize, next: Next, now: Instant) -> bool {
        let post = &mut self.posts[post];
        if post.holder != Some(place) {
            return false;
        }
        post.holder = None;
        post.due_after(if post.woken { Next::Now } else { next }, now);
        post.due.is_some()
    }

    /// Whether a thread beyond the one that stands by has been needed by nobody for long.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.standing_by > 1 && self.needed.is_some_and(|needed| needed + LINGER <= now)
    }

    /// The calling thread ends, and nobody waits for it.
    pub(super) fn dismiss(&mut self) {
        self.standing_by -= 1;
        if let Some(at) = self.threads.iter().position(Thread::is_self) {
            self.threads.swap_remove(at).detach();
        }
    }
}
