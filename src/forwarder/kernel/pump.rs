//! Threads that read items and hand them on, where handing one on may never return.
//!
//! One thread reads and hands on what it has read; another stands by. Callbacks of clients run
//! inside, and may take seconds or never return. When for a while no item was finished and no
//! thread reads, the thread that stands by takes over, with the items that were read already, and a
//! new thread stands by. So in the common case no thread waits for another, and up to 31 callbacks
//! can hang before the rest waits.
//!
//! The items are a stack: the newest is handed on first. Items that came meanwhile are put on top
//! or below from time to time.

#![forbid(unsafe_code)]

use super::Plane;
use crate::log::Level;
use crate::sys::sync::unscheduled::{Condvar, Mutex, MutexGuard};
use crate::sys::{Body, Errno, Thread};
use smallvec::SmallVec;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many items are prepared at a time.
pub const PREPARED: usize = 32;
/// The greatest number of threads of one kind.
const MAX_THREADS: usize = 32;
/// How long [`Pump::wait`] waits for callbacks that do not return.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Where new items go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the items that wait.
    Top,
    /// Behind them.
    Below,
}

/// A kind of work.
pub trait Work: Sized + 'static {
    /// What is read and handed on.
    type Item: Copy + Send + 'static;
    /// The name of the threads.
    const NAME: &'static CStr;
    /// For how many items there is room from the start.
    const ITEMS: usize;
    /// After this many items were handed on, items that came meanwhile are read.
    const TURN: usize;
    /// After this time without progress the thread that stands by takes over.
    const PATIENCE: Duration;

    /// What the threads of this kind share.
    fn pump(plane: &Plane) -> &Pump<Self>;

    /// Reads items into the empty list, in the reverse of the order in which they are handed on.
    /// Waits only where nothing is `pending`; returns at once when the plane is to end. Never
    /// called by two threads at a time. Gives the place where the list goes.
    fn read(plane: &Plane, list: &mut Vec<Self::Item>, pending: usize) -> Place;

    /// Prepares several items that will be handed on soon, which is cheaper than one by one.
    fn prepare(plane: &Plane, items: &[Self::Item]);

    /// Hands on an item. Callbacks of clients run inside.
    fn hand_on(plane: &Plane, item: &Self::Item);
}

/// What the threads of a kind share.
pub struct Pump<W: Work> {
    state: Mutex<State<W::Item>>,
    changed: Condvar,
}

struct State<T> {
    /// The items that were read, the next one last.
    queue: Vec<T>,
    /// How many of these, counted from the last, were prepared.
    prepared: usize,
    /// How many were handed on since something was read.
    handed_on: usize,
    /// The thread that reads fills this.
    read: Vec<T>,
    /// A thread reads, or waits for something to read.
    reading: bool,
    /// How often a thread began or finished to hand on an item.
    progress: u64,
    /// A thread watches the progress, or one that stands by has been told to.
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
                prepared: 0,
                handed_on: 0,
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

    /// Tells the threads to end. One that reads ends once [`Work::read`] has returned.
    pub fn end(plane: &Plane) {
        let pump = W::pump(plane);
        let mut state = pump.state.lock();
        state.stopping = true;
        state.queue.clear();
        pump.changed.notify_all();
    }

    /// Waits for the threads, which have been told to end, except for the caller's own. For a
    /// callback that does not return it waits [`LAST_WAIT`].
    pub fn wait(plane: &Plane) {
        let pump = W::pump(plane);
        let mut state = pump.state.lock();
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
        // All but the first begin by standing by, so that one always does.
        if std::mem::replace(&mut state.begun, true) {
            stand_by::<W>(&plane, &mut state);
        }
        while !state.stopping {
            let due = state.queue.is_empty() || state.handed_on >= W::TURN;
            if due && !state.reading {
                read::<W>(&plane, &mut state);
            } else if state.queue.is_empty() {
                stand_by::<W>(&plane, &mut state);
            } else {
                hand_on::<W>(&plane, &mut state);
            }
        }
        state.alive -= 1;
        pump.changed.notify_all();
    }
}

/// Reads items, and waits for some where nothing else is to be done.
fn read<W: Work>(plane: &Plane, state: &mut MutexGuard<'_, State<W::Item>>) {
    (state.reading, state.handed_on) = (true, 0);
    let (mut list, pending) = (std::mem::take(&mut state.read), state.queue.len());
    let mut place = Place::Top;
    MutexGuard::unlocked(state, || {
        guarded(plane, || place = W::read(plane, &mut list, pending));
    });
    state.reading = false;
    let queue = &mut state.queue;
    if place == Place::Below {
        // The list becomes the queue; what waited comes after what came now.
        std::mem::swap(queue, &mut list);
    } else if !list.is_empty() {
        state.prepared = 0;
    }
    // Where memory runs out, new items that were to go first are dropped: they will be reported
    // again.
    if state.queue.try_reserve(list.len()).is_err() {
        list.clear();
        state.prepared = 0;
    }
    state.queue.append(&mut list);
    state.read = list;
}

/// Takes the next item and hands it on.
fn hand_on<W: Work>(plane: &Plane, state: &mut MutexGuard<'_, State<W::Item>>) {
    if state.prepared == 0 && state.queue.len() > 1 {
        let next = state.queue.len().saturating_sub(PREPARED);
        let items = SmallVec::<[W::Item; PREPARED]>::from_slice(&state.queue[next..]);
        state.prepared = items.len();
        MutexGuard::unlocked(state, || guarded(plane, || W::prepare(plane, &items)));
    }
    let Some(item) = state.queue.pop() else { return };
    state.prepared = state.prepared.saturating_sub(1);
    state.handed_on += 1;
    state.progress += 1;
    if !state.watched {
        state.watched = true;
        W::pump(plane).changed.notify_one();
    }
    MutexGuard::unlocked(state, || guarded(plane, || W::hand_on(plane, &item)));
    state.progress += 1;
}

/// Logs a fault (a panic), which ends neither the thread nor the process.
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
        if !waited.timed_out() || state.progress != before {
            continue;
        }
        if state.reading {
            // Nothing has come for a while, or another thread has taken over. There is no need to
            // watch until an item is handed on again.
            state.watched = false;
        } else {
            break;
        }
    }
    state.standing_by -= 1;
    if state.stopping {
        return;
    }
    // This thread takes over, and another has to stand by.
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
