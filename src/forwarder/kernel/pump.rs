//! What is read from the kernel and handed on, where handing on may take for ever.
//!
//! Each kind of work is a duty of the pool's (`sys::pool`): one thread reads and hands on what it has
//! read. Callbacks of clients run inside, and may take seconds or never return: then the thread that
//! stands by goes on with what was read already. So the common case costs no hand-over between
//! threads.
//!
//! What was read is a stack: the newest is handed on first, and what came meanwhile is put on top
//! of it or below it now and then.

#![forbid(unsafe_code)]

use super::Plane;
use crate::log::Level;
use crate::sys::pool::{Duty, Next, Turn};
use crate::sys::sync::unscheduled::{Mutex, MutexGuard};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How many items are prepared at a time.
pub const PREPARED: usize = 32;

/// Where what was read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePlace {
    /// Before what waits.
    Top,
    /// Behind it.
    Below,
}

/// A kind of work.
pub trait PumpWork: Send + Sync + Sized + 'static {
    /// What is read and handed on.
    type Item: Copy + Send + 'static;
    /// How many items there is room for from the start.
    const ITEMS: usize;
    /// How many items are handed on before what came meanwhile is read too.
    const TURN: usize;

    /// Where the threads of this kind meet.
    fn pump(plane: &Plane) -> &Pump<Self>;

    /// Reads into the empty list; what is to be handed on first stands last. Waits for something only
    /// where nothing is `pending`; returns at once when the end has come. Gives where the list goes.
    fn read(plane: &Plane, list: &mut Vec<Self::Item>, pending: usize) -> QueuePlace;

    /// Does what is cheaper for several items at once. They will be handed on soon.
    fn prepare(plane: &Plane, items: &[Self::Item]);

    /// Hands on an item. Callbacks of clients run inside.
    fn hand_on(plane: &Plane, item: &Self::Item);
}

/// What has been read of a kind.
pub struct Pump<W: PumpWork>(Mutex<PumpState<W::Item>>);

struct PumpState<T> {
    /// What was read, the next one last.
    queue: Vec<T>,
    /// How many of these, from the last on, were prepared.
    prepared: usize,
    /// How many were handed on since something was read.
    handed_on: usize,
    /// Whoever reads fills this.
    read: Vec<T>,
    stopping: bool,
}

impl<W: PumpWork> Pump<W> {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self(Mutex::new(PumpState {
            queue: Vec::with_capacity(W::ITEMS),
            prepared: 0,
            handed_on: 0,
            read: Vec::with_capacity(W::ITEMS),
            stopping: false,
        }))
    }

    /// Nothing more is handed on. A thread that reads comes off the duty once [`PumpWork::read`] has
    /// returned.
    pub fn end(plane: &Plane) {
        let mut state = W::pump(plane).0.lock();
        state.stopping = true;
        state.queue.clear();
    }
}

/// Reading and handing on, as a duty.
pub struct Pumping<W>(Arc<Plane>, PhantomData<W>);

impl<W: PumpWork> Pumping<W> {
    /// On what a plane's sockets say.
    pub fn of(plane: &Arc<Plane>) -> Arc<dyn Duty> {
        Arc::new(Self(Arc::clone(plane), PhantomData))
    }
}

impl<W: PumpWork> Duty for Pumping<W> {
    fn waits(&self) -> bool {
        true
    }

    fn turn(&self, turn: &Turn<'_>) -> Next {
        let plane = &*self.0;
        let mut state = W::pump(plane).0.lock();
        while turn.goes_on() && !state.stopping {
            if state.queue.is_empty() || state.handed_on >= W::TURN {
                read::<W>(plane, &mut state);
            } else {
                hand_on::<W>(plane, &mut state);
            }
        }
        Next::Woken
    }
}

/// Reads what there is, and waits for it where nothing else is to be done.
fn read<W: PumpWork>(plane: &Plane, state: &mut MutexGuard<'_, PumpState<W::Item>>) {
    state.handed_on = 0;
    let (mut list, pending) = (std::mem::take(&mut state.read), state.queue.len());
    let mut place = QueuePlace::Top;
    MutexGuard::unlocked(state, || {
        guarded(plane, || place = W::read(plane, &mut list, pending));
    });
    let queue = &mut state.queue;
    if place == QueuePlace::Below {
        // The list becomes the queue, with what waits behind what came.
        std::mem::swap(queue, &mut list);
    } else if !list.is_empty() {
        state.prepared = 0;
    }
    // Without memory those that were to go first are given up: they will be told again.
    if state.queue.try_reserve(list.len()).is_err() {
        list.clear();
        state.prepared = 0;
    }
    state.queue.append(&mut list);
    state.read = list;
}

/// Takes the next item and hands it on.
fn hand_on<W: PumpWork>(plane: &Plane, state: &mut MutexGuard<'_, PumpState<W::Item>>) {
    if state.prepared == 0 && state.queue.len() > 1 {
        let next = state.queue.len().saturating_sub(PREPARED);
        let items = SmallVec::<[W::Item; PREPARED]>::from_slice(&state.queue[next..]);
        state.prepared = items.len();
        MutexGuard::unlocked(state, || guarded(plane, || W::prepare(plane, &items)));
    }
    let Some(item) = state.queue.pop() else { return };
    state.prepared = state.prepared.saturating_sub(1);
    state.handed_on += 1;
    MutexGuard::unlocked(state, || guarded(plane, || W::hand_on(plane, &item)));
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
