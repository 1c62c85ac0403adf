//! Threads that read something and hand it on, where handing on may take for ever.
//!
//! One thread reads and hands on what it has read; another stands by. Callbacks of clients run
//! inside, and may take seconds or never return: when for a while nothing has been finished and
//! nobody reads, the thread that stands by takes over, with what was read already, and a new one
//! stands by. So the common case costs no hand-over between threads, and up to 31 callbacks can
//! hang before the rest waits.

#![forbid(unsafe_code)]

use super::Plane;
use super::sys::{Body, Errno, Thread};
use crate::log::Level;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The most threads there are of a kind.
const MAX_THREADS: usize = 32;
/// How long the end waits for callbacks that do not return.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// A kind of work.
pub trait Work: Sized + 'static {
    /// What is read and handed on.
    type Item: Send + 'static;
    /// The name of the threads.
    const NAME: &'static CStr;
    /// The most items there are at a time.
    const ITEMS: usize;
    /// After how long without progress the thread that stands by takes over.
    const PATIENCE: Duration;

    /// Where the threads of this kind meet.
    fn pump(plane: &Plane) -> &Pump<Self>;

    /// Waits for something and reads it into the empty queue, what is to be handed on first last.
    /// Returns at once when the end has come. Never called by two threads at a time.
    fn read(plane: &Plane, queue: &mut Vec<Self::Item>);

    /// Hands on an item. Callbacks of clients run inside.
    fn hand_on(plane: &Plane, item: &Self::Item);
}

/// What the threads of a kind share.
pub struct Pump<W: Work> {
    state: Mutex<State<W::Item>>,
    changed: Condvar,
}

struct State<T> {
    /// What was read, the next one last.
    queue: Vec<T>,
    /// Whoever reads fills this.
    read: Vec<T>,
    /// A thread reads, or waits for something to read.
    reading: bool,
    /// How often a thread began or finished to hand on an item.
    progress: u64,
    /// The progress is watched, or a thread that stands by has been told to.
    watched: bool,
    /// A thread watches the progress.
    watching: bool,
    standing_by: usize,
    /// The first thread has begun.
    begun: bool,
    alive: usize,
    threads: Vec<Thread>,
    stopping: bool,
}

impl<W: Work> Pump<W> {
    /// No threads yet.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                queue: Vec::with_capacity(W::ITEMS),
                read: Vec::with_capacity(W::ITEMS),
                reading: false,
                progress: 0,
                watched: false,
                watching: false,
                standing_by: 0,
                begun: false,
                alive: 0,
                threads: Vec::with_capacity(MAX_THREADS),
                stopping: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Starts the first two threads: one to read, one to stand by.
    pub fn start(plane: &Arc<Plane>) -> Result<(), Errno> {
        let mut state = W::pump(plane).state.lock();
        add_thread::<W>(plane, &mut state)?;
        add_thread::<W>(plane, &mut state)
    }

    /// Tells the threads to end, and waits for them, but for the caller's own. A callback that
    /// does not return is not waited for without end. To be called once whatever [`Work::read`]
    /// waits for has been told.
    pub fn stop(plane: &Plane) {
        let pump = W::pump(plane);
        let mut state = pump.state.lock();
        state.stopping = true;
        state.queue.clear();
        pump.changed.notify_all();
        let threads = std::mem::take(&mut state.threads);
        let own = usize::from(threads.iter().any(Thread::is_self));
        let end = Instant::now() + LAST_WAIT;
        while state.alive > own && !pump.changed.wait_until(&mut state, end).timed_out() {}
        let hanging = state.alive > own;
        drop(state);
        if hanging {
            plane.upcalls.log(
                Level::Error,
                format_args!("a client's callback does not return: its thread is left behind"),
            );
        }
        for thread in threads {
            if hanging || thread.is_self() { thread.detach() } else { thread.join() }
        }
    }
}

fn add_thread<W: Work>(plane: &Arc<Plane>, state: &mut State<W::Item>) -> Result<(), Errno> {
    let thread = Thread::spawn::<Worker<W>>(W::NAME, Arc::clone(plane))?;
    state.threads.push(thread);
    state.alive += 1;
    Ok(())
}

/// One of the threads.
struct Worker<W>(PhantomData<W>);

impl<W: Work> Body for Worker<W> {
    type On = Plane;

    fn run(plane: Arc<Plane>) {
        let pump = W::pump(&plane);
        let mut state = pump.state.lock();
        // All but the first begin by standing by, so that somebody always does.
        if std::mem::replace(&mut state.begun, true) {
            stand_by::<W>(&plane, &mut state);
        }
        while !state.stopping {
            if let Some(item) = state.queue.pop() {
                state.progress += 1;
                if !state.watched {
                    state.watched = true;
                    pump.changed.notify_one();
                }
                MutexGuard::unlocked(&mut state, || {
                    guarded(&plane, || W::hand_on(&plane, &item));
                });
                state.progress += 1;
            } else if !state.reading {
                state.reading = true;
                let mut read = std::mem::take(&mut state.read);
                MutexGuard::unlocked(&mut state, || guarded(&plane, || W::read(&plane, &mut read)));
                state.reading = false;
                // The empty queue's memory is what is read into next.
                state.read = std::mem::replace(&mut state.queue, read);
            } else {
                stand_by::<W>(&plane, &mut state);
            }
        }
        state.alive -= 1;
        pump.changed.notify_all();
    }
}

/// A fault in here is told and ends neither the thread nor the process.
fn guarded(plane: &Plane, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        plane.upcalls.log(
            Level::Error,
            format_args!("internal fault while something the kernel told was handled"),
        );
    }
}

/// Waits until this thread is needed.
fn stand_by<W: Work>(plane: &Arc<Plane>, state: &mut MutexGuard<'_, State<W::Item>>) {
    let pump = W::pump(plane);
    state.standing_by += 1;
    while !state.stopping {
        if !state.watched || state.watching {
            pump.changed.wait(state);
            continue;
        }
        let before = state.progress;
        state.watching = true;
        let waited = pump.changed.wait_for(state, W::PATIENCE);
        state.watching = false;
        if state.reading {
            // Nothing hangs, or another thread has taken over: no need to watch until there is
            // something to hand on again.
            state.watched = false;
        } else if waited.timed_out() && state.progress == before {
            break;
        }
    }
    state.standing_by -= 1;
    if state.stopping {
        return;
    }
    // This one takes over; another has to stand by for it.
    if state.standing_by > 0 {
        pump.changed.notify_one();
        return;
    }
    let n = state.threads.len();
    if n == MAX_THREADS {
        MutexGuard::unlocked(state, || {
            plane.upcalls.log(
                Level::Error,
                format_args!("{} client callbacks hang: the rest waits until one returns", n - 1),
            );
        });
        return;
    }
    match add_thread::<W>(plane, state) {
        Ok(()) => _ = plane.counters.spare_threads.fetch_add(1, Relaxed),
        Err(e) => MutexGuard::unlocked(state, || {
            plane.upcalls.log(
                Level::Error,
                format_args!("no thread to stand by for slow client callbacks: errno {e}"),
            );
        }),
    }
}
