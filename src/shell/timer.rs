//! The timer's threads, which do what is due as time passes.
//!
//! One thread, whose *turn* it is, looks at lifetimes once a second, tries again what could not be
//! programmed, and does what other threads left. It calls clients, which may never return. So a
//! second thread *stands by* from the first callback on. When a callback takes longer than a
//! second, the thread that stands by takes the turn over, and the one inside the callback stands by
//! once it has returned. So there is at most one thread for each client that hangs, and two more
//! (decision 53).

#![forbid(unsafe_code)]

use crate::log::Level;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{self, JobOf};
use crate::shell::deliver::{NOBODY, Token};
use crate::shell::manager::Mgm;
use crate::shell::perform::Call;
use crate::sys::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::sync::{Alarm, Condvar, Instant, Mutex, Thread};
use crate::sys::{Body, Errno};
use std::sync::Arc;
use std::time::Duration;

/// How long the thread whose turn it is sleeps.
const TICK: Duration = Duration::from_secs(1);
/// How long a callback may take before another thread takes the turn over.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the threads share with those that start and stop them.
pub(crate) struct Timers<C: 'static> {
    state: Mutex<State<C>>,
    changed: Alarm,
    /// A thread has ended.
    ended: Condvar,
}

struct State<C: 'static> {
    /// The run that the threads belong to.
    run: Option<Arc<Run<C>>>,
    threads: Vec<Thread>,
    /// There is something to do that no other thread will do.
    wanted: bool,
    /// The thread whose turn it is.
    turn: Token,
    /// It is inside a callback.
    calling: bool,
    /// How often it has begun or finished a callback.
    progress: u64,
    /// A thread that stands by has been told to watch the progress.
    watched: bool,
    /// How many threads stand by, or will once they have begun.
    standing_by: usize,
    /// It was logged that no thread could be started.
    short: bool,
}

/// What the threads of a run share.
struct Run<C: 'static> {
    mgm: &'static Mgm<C>,
    epoch: u64,
    /// How many have not ended; changes under the lock.
    alive: AtomicUsize,
}

impl<C> State<C> {
    fn is(&self, epoch: u64) -> bool {
        self.run.as_ref().is_some_and(|run| run.epoch == epoch)
    }
}

impl<C: Callbacks> State<C> {
    /// Adds a thread that stands by.
    fn add_thread(&mut self) -> Result<(), Errno> {
        let Some(run) = self.run.clone() else { return Ok(()) };
        self.threads.try_reserve(1).map_err(|_| libc::ENOMEM)?;
        self.threads.push(Thread::spawn::<Worker<C>>(c"mgm-timer", Arc::clone(&run))?);
        self.standing_by += 1;
        run.alive.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl<C: Callbacks> Timers<C> {
    pub(crate) const fn new() -> Self {
        let state = State {
            run: None,
            threads: Vec::new(),
            wanted: false,
            turn: NOBODY,
            calling: false,
            progress: 0,
            watched: false,
            standing_by: 0,
            short: false,
        };
        Self { state: Mutex::new(state), changed: Alarm::new(), ended: Condvar::new() }
    }

    /// Starts the first thread of a run.
    pub(crate) fn start(&self, mgm: &'static Mgm<C>, epoch: u64) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.run = Some(Arc::new(Run { mgm, epoch, alive: AtomicUsize::new(0) }));
        (state.turn, state.calling, state.watched) = (NOBODY, false, false);
        (state.standing_by, state.short) = (0, false);
        state.add_thread()
    }

    /// Ends the threads and waits for them, but no longer than `patience`, because one may be
    /// inside C code that does not return. False: threads are left behind.
    pub(crate) fn stop(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        let mut state = self.state.lock();
        state.turn = NOBODY;
        let (run, threads) = (state.run.take(), std::mem::take(&mut state.threads));
        self.changed.notify_all();
        let own = usize::from(threads.iter().any(Thread::is_self));
        let alive = || run.as_ref().map_or(0, |run| run.alive.load(Relaxed));
        let mut all_are_out = true;
        while all_are_out && alive() > own {
            let rest = patience.saturating_sub(begun.elapsed());
            all_are_out = !rest.is_zero();
            if all_are_out {
                self.ended.wait_for(&mut state, rest);
            }
        }
        drop(state);
        for thread in threads {
            if all_are_out && !thread.is_self() { thread.join() } else { thread.detach() }
        }
        all_are_out
    }

    /// There is something to do that no other thread will do.
    pub(crate) fn wake(&self) {
        self.state.lock().wanted = true;
        self.changed.notify_all();
    }

    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn threads(&self) -> usize {
        self.state.lock().threads.len()
    }

    /// Whether it is this thread's turn.
    pub(crate) fn is_turn_of(&self, me: Token) -> bool {
        self.state.lock().turn == me
    }

    /// Waits until the thread has something to do. False: the run has ended.
    fn next_turn(&self, epoch: u64, me: Token) -> bool {
        let mut state = self.state.lock();
        if state.turn == NOBODY && state.is(epoch) {
            // It is the first thread.
            state.turn = me;
            state.standing_by -= 1;
        }
        if state.turn == me {
            let due = Instant::now() + TICK;
            while state.is(epoch)
                && !std::mem::take(&mut state.wanted)
                && !self.changed.wait_until(&mut state, due).timed_out()
            {}
            return state.is(epoch);
        }
        while state.is(epoch) {
            let (progress, due) = (state.progress, Instant::now() + PATIENCE);
            let stays = |state: &State<C>| state.calling && state.progress == progress;
            if !state.watched {
                self.changed.wait(&mut state);
                continue;
            }
            while state.is(epoch)
                && stays(&state)
                && !self.changed.wait_until(&mut state, due).timed_out()
            {}
            if state.is(epoch) && stays(&state) {
                state.standing_by -= 1;
                (state.turn, state.calling, state.watched) = (me, false, false);
                return true;
            }
            // There is no need to watch until a client is called again.
            state.watched = state.calling;
        }
        false
    }

    /// Notes that the thread has done its work, or lost its turn while it was inside a callback.
    fn turn_done(&self, epoch: u64, me: Token) {
        let mut state = self.state.lock();
        if state.is(epoch) && state.turn != me {
            state.standing_by += 1;
        }
    }

    /// Notes that a thread calls a client. If it is this thread's turn, another one is made to
    /// stand by. Gives an error number if no thread could be started, for the first time.
    fn begin_call(&self, me: Token) -> (Option<Calling>, Option<Errno>) {
        let mut state = self.state.lock();
        if state.turn != me {
            return (None, None);
        }
        let mut failed = None;
        if state.standing_by == 0 {
            let added = state.add_thread();
            failed = added.err().filter(|_| !state.short);
            state.short = added.is_err();
        }
        state.progress += 1;
        let around = std::mem::replace(&mut state.calling, true);
        if !std::mem::replace(&mut state.watched, true) {
            self.changed.notify_all();
        }
        (Some(Calling { around }), failed)
    }

    fn end_call(&self, me: Token, calling: Calling) {
        let mut state = self.state.lock();
        if state.turn == me {
            state.progress += 1;
            state.calling = calling.around;
        }
    }
}

/// A call that may hang.
struct Calling {
    /// It is made inside another call of a client.
    around: bool,
}

impl<C: Callbacks> Mgm<C> {
    /// Calls a client. If the client does not return, another thread takes over what only this one
    /// would do.
    pub(crate) fn call_client(&'static self, call: &Call, job: u32, put: impl FnOnce()) {
        let here = call.here();
        let mut calling = None;
        if here.timer {
            let (begun, failed) = self.timers.begin_call(here.token);
            calling = begun;
            if let Some(errno) = failed {
                self.log(
                    Level::Error,
                    format_args!(
                        "no thread to stand by for the timer, errno {errno}: \
                         a client that hangs would keep lifetimes from ending"
                    ),
                );
            }
        }
        let job = JobOf { epoch: call.epoch, job };
        context::inside_callback(self.address(), job, put);
        if let Some(calling) = calling {
            self.timers.end_call(here.token, calling);
        }
    }
}

struct Worker<C>(std::marker::PhantomData<C>);

impl<C: Callbacks> Body for Worker<C> {
    type On = Run<C>;

    fn run(on: Arc<Run<C>>) {
        let (mgm, epoch, me) = (on.mgm, on.epoch, context::token());
        context::is_timer_of(mgm.address());
        while mgm.timers.next_turn(epoch, me) {
            mgm.tick(Some(me));
            mgm.timers.turn_done(epoch, me);
        }
        let _state = mgm.timers.state.lock();
        on.alive.fetch_sub(1, Relaxed);
        mgm.timers.ended.notify_all();
    }
}
