//! What a thread remembers while client callbacks are on its stack.

#![forbid(unsafe_code)]

use crate::deliver::{Claims, Token};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How deep callbacks may call into the library and cause callbacks of other clients in turn.
/// Beyond that, alerts wait until the callback has returned.
const MAX_DEPTH: u32 = 8;

/// The innermost callback on the stack.
#[derive(Clone, Copy)]
struct Frame {
    /// Which manager called it, by address; 0: none is on the stack.
    manager: usize,
    depth: u32,
    job: u32,
}

thread_local! {
    static FRAME: Cell<Frame> = const { Cell::new(Frame { manager: 0, depth: 0, job: 0 }) };
    static TOKEN: Cell<u64> = const { Cell::new(0) };
    static DEFERRED: Cell<(u64, Claims)> = const { Cell::new((0, Claims::NONE)) };
    static PROGRAMMING: Cell<bool> = const { Cell::new(false) };
}

/// A name for this thread that no other thread has or had.
pub fn token() -> Token {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TOKEN.with(|token| {
        if token.get() == 0 {
            token.set(NEXT.fetch_add(1, Relaxed));
        }
        Token(token.get())
    })
}

/// The job of the callback that this thread is inside of, if it is one of this manager's.
pub fn current_job(manager: usize) -> Option<u32> {
    let frame = FRAME.get();
    (frame.manager == manager && frame.depth > 0).then_some(frame.job)
}

/// Whether callbacks are nested so deep that further ones must wait.
pub fn too_deep() -> bool {
    FRAME.get().depth >= MAX_DEPTH
}

/// Runs a callback that belongs to a job.
pub fn inside_callback<R>(manager: usize, job: u32, callback: impl FnOnce() -> R) -> R {
    let outer = FRAME.get();
    let _restore = Restore { cell: &FRAME, value: outer };
    FRAME.set(Frame { manager, depth: outer.depth + 1, job });
    callback()
}

/// Runs the forwarder's programming functions, which may call back into the library.
pub fn inside_forwarder<R>(program: impl FnOnce() -> R) -> R {
    let _restore = Restore { cell: &PROGRAMMING, value: PROGRAMMING.get() };
    PROGRAMMING.set(true);
    program()
}

/// Whether this thread is inside the forwarder's programming functions.
pub fn is_inside_forwarder() -> bool {
    PROGRAMMING.get()
}

/// Leaves lanes of a run to the thread's outer calls.
pub fn defer(epoch: u64, claims: Claims) {
    DEFERRED.set((epoch, claims));
}

/// Takes the lanes that inner calls left. Those of a run that has ended are forgotten.
pub fn take_deferred(epoch: u64) -> Claims {
    let (left_in, claims) = DEFERRED.replace((0, Claims::NONE));
    if left_in == epoch { claims } else { Claims::NONE }
}

/// Puts a thread-local value back, whether the code between returns or panics.
struct Restore<T: Copy + 'static> {
    cell: &'static std::thread::LocalKey<Cell<T>>,
    value: T,
}

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.cell.set(self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_nest_and_unwind() {
        assert_eq!(current_job(1), None);
        inside_callback(1, 7, || {
            assert_eq!((current_job(1), current_job(2)), (Some(7), None));
            let panicked =
                std::panic::catch_unwind(|| inside_callback(1, 8, || panic!("on purpose")));
            assert!(panicked.is_err());
            assert_eq!(current_job(1), Some(7));
        });
        assert_eq!(current_job(1), None);
        assert_eq!(token(), token());
        assert_ne!(std::thread::spawn(token).join().unwrap(), token());
    }
}
