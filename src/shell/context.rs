//! What a thread remembers while callbacks and functions of the host are on its stack.

#![forbid(unsafe_code)]

use crate::shell::deliver::Token;
use crate::sys::sync::thread_local;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How deep callbacks may be nested: a callback calls the library, which calls another client, and
/// so on. Beyond that, alerts wait until the callback has returned.
const MAX_DEPTH: u32 = 8;

/// The innermost job that the thread works for.
#[derive(Clone, Copy)]
struct Frame {
    /// The address of the manager whose job it is; 0: there is no job.
    manager: usize,
    job: JobOf,
    /// How many callbacks are on the stack.
    depth: u32,
}

/// A job and the run that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobOf {
    pub epoch: u64,
    pub job: u32,
}

/// The run whose host functions are on the thread's stack, by the address of what counts them, and
/// how many. They are of two runs at the most: inside a function of one run, a start of another may
/// be tried, whose clock is asked.
#[derive(Clone, Copy)]
struct HostFrame {
    inner: InRun,
    outer: InRun,
}

#[derive(Clone, Copy)]
struct InRun {
    run: usize,
    times: usize,
}

impl HostFrame {
    const fn none() -> Self {
        const NONE: InRun = InRun { run: 0, times: 0 };
        Self { inner: NONE, outer: NONE }
    }

    fn times(self, run: usize) -> usize {
        let of = [self.inner, self.outer].into_iter().find(|of| of.run == run);
        of.map_or(0, |of| of.times)
    }

    fn entering(self, run: usize) -> Self {
        let inner = InRun { run, times: self.times(run) + 1 };
        Self { inner, outer: if self.inner.run == run { self.outer } else { self.inner } }
    }
}

/// All of it is in one thread-local value, because each access to one costs a call in a shared
/// library.
struct Context {
    frame: Cell<Frame>,
    token: Cell<u64>,
    programming: Cell<bool>,
    host: Cell<HostFrame>,
    /// A call inside the forwarder's functions has left something to do to the calls around it.
    left_over: Cell<bool>,
}

thread_local! {
    static HERE: Context = const {
        Context {
            frame: Cell::new(Frame { manager: 0, job: JobOf { epoch: 0, job: 0 }, depth: 0 }),
            token: Cell::new(0),
            programming: Cell::new(false),
            host: Cell::new(HostFrame::none()),
            left_over: Cell::new(false),
        }
    };
}

/// Where on this thread's stack a call is made. It is the same from the call's beginning to its
/// end.
#[derive(Clone, Copy)]
pub struct Here {
    /// The thread.
    pub token: Token,
    /// The job of this manager inside which it is made: inside a callback, or inside a function of
    /// the host's while this thread may be the one that calls some client.
    pub around: Option<JobOf>,
    /// It is made inside the forwarder's programming functions.
    pub inside_forwarder: bool,
    /// Callbacks are nested so deeply that further ones must wait.
    pub too_deep: bool,
}

/// Where on its stack this thread is.
pub fn here(manager: usize) -> Here {
    HERE.with(|here| {
        let frame = here.frame.get();
        Here {
            token: here.token(),
            around: (frame.manager == manager).then_some(frame.job),
            inside_forwarder: here.programming.get(),
            too_deep: frame.manager == manager && frame.depth >= MAX_DEPTH,
        }
    })
}

impl Context {
    fn token(&self) -> Token {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if self.token.get() == 0 {
            self.token.set(NEXT.fetch_add(1, Relaxed));
        }
        Token(self.token.get())
    }
}

/// A name for this thread that no other thread has or had.
pub fn token() -> Token {
    HERE.with(Context::token)
}

/// This thread while it performs what a job caused.
pub struct Performing<'a>(&'a Context);

impl Performing<'_> {
    /// Runs a callback that belongs to a job of the same manager.
    pub fn callback(&self, job: JobOf, callback: impl FnOnce()) {
        self.inside(|outer| Frame { job, depth: outer.depth + 1, ..outer }, callback);
    }

    fn inside(&self, frame: impl FnOnce(Frame) -> Frame, run: impl FnOnce()) {
        let outer = self.0.frame.get();
        let _restore = Restore(|| self.0.frame.set(outer));
        self.0.frame.set(frame(outer));
        run();
    }
}

/// Performs what a job caused. It calls the host's functions too, and this thread may be the one
/// that calls some client; so calls that these functions make may not wait either.
pub fn performing(manager: usize, job: JobOf, perform: impl FnOnce(&Performing<'_>)) {
    HERE.with(|here| {
        let this = Performing(here);
        this.inside(|outer| Frame { manager, job, ..outer }, || perform(&this));
    });
}

/// Runs the forwarder's programming functions, which may call back into the library.
pub fn inside_forwarder<R>(program: impl FnOnce() -> R) -> R {
    HERE.with(|here| {
        let outer = here.programming.replace(true);
        let _restore = Restore(|| here.programming.set(outer));
        program()
    })
}

/// Whether this thread is inside the forwarder's programming functions.
pub fn is_inside_forwarder() -> bool {
    HERE.with(|here| here.programming.get())
}

/// Runs a function that the host gave for a run.
pub fn inside_host<R>(run: usize, function: impl FnOnce() -> R) -> R {
    HERE.with(|here| {
        let outer = here.host.get();
        let _restore = Restore(|| here.host.set(outer));
        here.host.set(outer.entering(run));
        function()
    })
}

/// How many functions of a run's host are on this thread's stack.
pub fn times_inside_host(run: usize) -> usize {
    HERE.with(|here| here.host.get().times(run))
}

/// Whether this thread is inside a function that a host gave.
pub fn is_inside_host() -> bool {
    HERE.with(|here| here.host.get().inner.times > 0)
}

/// Leaves what is to be done to the call around the forwarder's function.
pub fn leave_over() {
    HERE.with(|here| here.left_over.set(true));
}

/// Whether something was left to this call.
pub fn take_left_over() -> bool {
    HERE.with(|here| here.left_over.replace(false))
}

/// Puts a thread-local value back, whether the code between returns or panics.
pub(crate) struct Restore<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Restore<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_nest_and_unwind() {
        let job = |job| JobOf { epoch: 1, job };
        assert_eq!(here(1).around, None);
        performing(1, job(6), |this| {
            this.callback(job(7), || {
                assert_eq!((here(1).around, here(2).around), (Some(job(7)), None));
                let panics = || performing(1, job(8), |_| panic!("on purpose"));
                assert!(std::panic::catch_unwind(panics).is_err());
                performing(1, job(9), |_| assert_eq!(here(1).around, Some(job(9))));
                assert_eq!(here(1).around, Some(job(7)));
            });
            assert_eq!(here(1).around, Some(job(6)));
        });
        assert_eq!(here(1).around, None);
        assert_eq!(token(), token());
        assert_ne!(std::thread::spawn(token).join().unwrap(), token());
    }
}
