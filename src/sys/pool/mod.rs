//! Threads that stand by for each other.
//!
//! Some work must go on whatever clients do: lifetimes, the kernel's reports, changes of routes. It
//! calls clients, and a client may keep a thread for ever. So this work is cut into *duties*. At most
//! one thread is on a duty at a time, and one more thread *stands by*. A thread says when it calls
//! code that may not return ([`calling`]). When it has been inside the same call for [`SLOW`], the
//! thread that stands by takes its duty over and goes on with what comes next; another one is made
//! to stand by, if there is none. The late thread finds out that its duty is another's once it
//! returns, and stands by itself. Of several threads that stand by for [`LINGER`] without being needed
//! all but one end.
//!
//! A thread that works, however long, is not taken for one that hangs: only calls count. So there are
//! at most as many threads beyond the first ones as clients that hang, and one.

#![forbid(unsafe_code)]

mod state;

use crate::sys::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use crate::sys::sync::{Alarm, Condvar, Instant, Mutex, MutexGuard, Thread, thread_local};
use crate::sys::{Body, Errno};
use crate::types::PATIENCE;
use state::{PoolState, Post};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// How long a thread may be inside one call before another one takes its duty over.
pub const SLOW: Duration = Duration::from_millis(20);
/// How long a thread that nobody needs stays.
pub const LINGER: Duration = Duration::from_secs(2);
/// After how long a thread looks what else is due.
const SLICE: Duration = Duration::from_millis(10);
/// The most threads of one run.
pub const MOST: usize = 32;
/// The most threads at a time, those that earlier runs left behind included.
const PLACES: usize = 64;

/// Work that must go on.
pub trait Duty: Send + Sync {
    /// Whether [`Self::turn`] waits for something itself, so that a thread is always on it.
    fn waits(&self) -> bool {
        false
    }

    /// When it is called first.
    fn first(&self) -> Next {
        Next::Now
    }

    /// Does what there is to do, a piece after the other, for as long as `turn` goes on: it ends
    /// while a call of [`calling`] takes too long. Gives when it is to be called again. Called by
    /// one thread at a time, but for those that it has ended for. Catches its own panics.
    fn turn(&self, turn: &Turn<'_>) -> Next;
}

/// When a duty has something to do again, unless it is woken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: others may have been due meanwhile.
    Now,
    /// At that time.
    At(Instant),
    /// When it is woken.
    Woken,
}

/// A thread's time on a duty.
pub struct Turn<'a> {
    word: &'a AtomicU64,
    begun: Instant,
}

impl Turn<'_> {
    /// Whether the thread is still on the duty.
    pub fn goes_on(&self) -> bool {
        self.word.load(SeqCst) & TAKEN == 0
    }

    /// Whether it has been so long that other duties may be due.
    pub fn is_long(&self) -> bool {
        self.begun.elapsed() > SLICE
    }
}

/// Why no thread stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Short {
    /// There are too many.
    #[error("{0} client callbacks hang: the rest waits until one returns")]
    Many(usize),
    /// The system gave none.
    #[error("no thread to stand by, errno {0}: a client that hangs would hold up all others")]
    System(Errno),
}

/// What a thread is doing, in a word: how deep it is inside calls, whether its duty has been taken
/// over, whether it has called nobody in this turn, and how often it has begun or ended a call.
const INSIDE: u64 = 0xff;
const TAKEN: u64 = 0x100;
const FRESH: u64 = 0x200;
const STEP: u64 = 0x400;
/// No thread's.
const UNKNOWN: u64 = u64::MAX;

/// The threads.
pub struct Pool {
    state: Mutex<PoolState>,
    /// Something is to be done, or the end has come.
    changed: Alarm,
    /// A thread has ended.
    ended: Condvar,
    /// What each thread is doing.
    words: [AtomicU64; PLACES],
    /// The thread that stands by looks whether others hang.
    watched: AtomicBool,
}

/// What the threads of a run share.
struct Run {
    pool: &'static Pool,
    /// How many have not ended; changes under the lock.
    alive: AtomicUsize,
}

thread_local! {
    /// The pool that this thread is of, and its place there.
    static HERE: Cell<Option<(&'static Pool, usize)>> = const { Cell::new(None) };
}

/// Calls code that may not return, inside which nothing is locked. Where this thread is on a duty,
/// another one takes that over when it takes long. `short` is told, once, that none could be had.
pub fn calling<R>(short: impl FnOnce(Short), call: impl FnOnce() -> R) -> R {
    let Some((pool, place)) = HERE.with(Cell::get) else { return call() };
    let word = &pool.words[place];
    let before = word.fetch_add(STEP + 1, SeqCst);
    let _out = Out(word);
    if (before & FRESH != 0 || !pool.watched.load(SeqCst))
        && let Some(why) = pool.watch(word)
    {
        short(why);
    }
    call()
}

/// Ends a call, also where it panics.
struct Out(&'static AtomicU64);

impl Drop for Out {
    fn drop(&mut self) {
        self.0.fetch_add(STEP - 1, SeqCst);
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// No threads.
    pub const fn new() -> Self {
        let state = PoolState {
            run: None,
            threads: Vec::new(),
            posts: Vec::new(),
            places: 0,
            standing_by: 0,
            waiting: false,
            needed: None,
            short: false,
            added: 0,
            total: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Alarm::new(),
            ended: Condvar::new(),
            words: [const { AtomicU64::new(0) }; PLACES],
            watched: AtomicBool::new(false),
        }
    }
    /// Starts the threads of a run: one for each duty that waits for something itself, and one that
    /// stands by. They do nothing before [`Self::go`]. Without duties there are none.
    pub fn start(&'static self, duties: &[Arc<dyn Duty>]) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let room = state.posts.try_reserve_exact(duties.len());
        if room.is_err() || state.threads.try_reserve_exact(MOST).is_err() {
            return Err(libc::ENOMEM);
        }
        let now = Instant::now();
        let post = |duty: &Arc<dyn Duty>| Post {
            duty: Arc::clone(duty),
            holder: None,
            due: None,
            woken: false,
            seen: UNKNOWN,
            since: now,
        };
        state.posts.extend(duties.iter().map(post));
        state.run = Some(Arc::new(Run { pool: self, alive: AtomicUsize::new(0) }));
        (state.waiting, state.needed, state.short, state.added) = (false, None, false, 0);
        self.watched.store(false, SeqCst);
        let first = duties.iter().filter(|duty| duty.waits()).count() + 1;
        let mut started = Ok(());
        for _ in 0..if duties.is_empty() { 0 } else { first } {
            started = started.and_then(|()| state.add_thread());
        }
        drop(state);
        if started.is_err() {
            self.end(PATIENCE);
        }
        started
    }

    /// The duties begin.
    pub fn go(&self) {
        let (mut state, now) = (self.state.lock(), Instant::now());
        state.posts.iter_mut().for_each(|post| post.due_after(post.duty.first(), now));
        self.changed.notify_all();
    }

    /// Whether there is a duty with this number.
    pub fn has(&self, duty: usize) -> bool {
        self.state.lock().posts.len() > duty
    }

    /// A duty, by its number, has something to do.
    pub fn wake(&self, duty: usize) {
        let mut state = self.state.lock();
        if let Some(post) = state.posts.get_mut(duty) {
            (post.due, post.woken) = (Some(Instant::now()), true);
            self.changed.notify_all();
        }
    }

    /// Ends the threads of the run and waits for them, but for the caller's own, and no longer than
    /// that: one may be inside code that does not return. Duties that wait for something must have been told.
    /// False: threads are left behind.
    pub fn end(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        let mut state = self.state.lock();
        let (run, threads) = (state.run.take(), std::mem::take(&mut state.threads));
        let posts = std::mem::take(&mut state.posts);
        state.standing_by = 0;
        self.words.iter().for_each(|word| _ = word.fetch_or(TAKEN, SeqCst));
        self.changed.notify_all();
        let own = usize::from(threads.iter().any(Thread::is_self));
        let alive = || run.as_ref().map_or(0, |run| run.alive.load(SeqCst));
        let mut all_are_out = true;
        while all_are_out && alive() > own {
            let rest = patience.saturating_sub(begun.elapsed());
            all_are_out = !rest.is_zero();
            if all_are_out {
                self.ended.wait_for(&mut state, rest);
            }
        }
        drop((state, posts));
        for thread in threads {
            if all_are_out && !thread.is_self() { thread.join() } else { thread.detach() }
        }
        all_are_out
    }

    /// How many threads were added in this run because others were inside calls.
    pub fn added(&self) -> u64 {
        self.state.lock().added
    }

    /// How many threads there are in this run.
    pub fn threads(&self) -> usize {
        self.state.lock().threads.len()
    }

    /// Sees to it that a thread stands by and looks at the calls. Gives why none does, once.
    #[cold]
    fn watch(&self, word: &AtomicU64) -> Option<Short> {
        word.fetch_and(!FRESH, SeqCst);
        let mut state = self.state.lock();
        state.run.as_ref()?;
        let added = if state.standing_by == 0 { state.add_spare(&self.words) } else { Ok(()) };
        if state.standing_by <= 1 {
            state.needed = Some(Instant::now());
        }
        self.watched.store(true, SeqCst);
        self.changed.notify_all();
        let told = std::mem::replace(&mut state.short, added.is_err());
        added.err().filter(|_| !told)
    }

    /// A thread's life.
    fn work(&'static self, run: &Arc<Run>) {
        let mut state = self.state.lock();
        let place = state.places.trailing_ones() as usize;
        state.places |= 1 << place;
        self.words[place].store(0, SeqCst);
        HERE.with(|here| here.set(Some((self, place))));
        let mut now = Instant::now();
        while state.is(run) {
            let Some(post) = self.overdue(&mut state, now).or_else(|| state.due(now)) else {
                let more = state.waiting;
                if more && state.is_over(now) {
                    state.dismiss();
                    break;
                }
                now = self.stand_by(&mut state, run, more, now);
                continue;
            };
            let (duty, word) = (state.take(post, place), &self.words[place]);
            if state.standing_by > 0 {
                // Another one looks what is due now.
                self.changed.notify_all();
            }
            drop(state);
            word.fetch_or(FRESH, SeqCst);
            let next = duty.turn(&Turn { word, begun: now });
            drop(duty);
            state = self.state.lock();
            now = Instant::now();
            word.fetch_and(!(TAKEN | FRESH), SeqCst);
            if state.is(run) {
                state.standing_by += 1;
                if state.leave(post, place, next, now) && state.waiting {
                    self.changed.notify_all();
                }
            }
        }
        state.places &= !(1 << place);
        state.total -= 1;
        run.alive.fetch_sub(1, SeqCst);
        self.ended.notify_all();
    }

    /// Waits: until something is due, or, where one `more` thread does so already, until it is needed.
    /// Gives the time.
    fn stand_by(
        &self,
        state: &mut MutexGuard<'_, PoolState>,
        run: &Arc<Run>,
        more: bool,
        now: Instant,
    ) -> Instant {
        let until = if more {
            state.needed.map(|needed| needed + LINGER)
        } else {
            state.waiting = true;
            let look = self.watched.load(SeqCst).then(|| now + SLOW);
            state.next_due().map(|(due, _)| due).into_iter().chain(look).min()
        };
        let over = match until {
            Some(until) => self.changed.wait_until(state, until).timed_out(),
            None => {
                self.changed.wait(state);
                false
            }
        };
        if !more && state.is(run) {
            state.waiting = false;
        }
        until.filter(|_| over).unwrap_or_else(Instant::now)
    }

    /// A duty whose holder has been inside one call for too long, and which was taken from it.
    fn overdue(&self, state: &mut PoolState, now: Instant) -> Option<usize> {
        let mut busy = false;
        for (at, post) in state.posts.iter_mut().enumerate() {
            let Some(holder) = post.holder else { continue };
            let word = self.words[holder].load(SeqCst);
            if word != post.seen {
                (post.seen, post.since, busy) = (word, Instant::now(), true);
            } else if word & INSIDE != 0 {
                busy = true;
                // Unless it comes out at this very moment.
                let take = |word: u64| {
                    self.words[holder].compare_exchange(word, word | TAKEN, SeqCst, SeqCst)
                };
                if post.since + SLOW <= now && take(word).is_ok() {
                    return Some(at);
                }
            }
        }
        self.watched.store(busy, SeqCst);
        // One that begins a call now either finds that nobody looks, or is found here.
        let word_of = |post: &Post| post.holder.map(|holder| self.words[holder].load(SeqCst));
        if !busy && state.posts.iter().any(|post| word_of(post).is_some_and(|w| w != post.seen)) {
            self.watched.store(true, SeqCst);
        }
        None
    }
}

struct Worker;

impl Body for Worker {
    type On = Run;

    fn run(on: Arc<Run>) {
        on.pool.work(&on);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests;
