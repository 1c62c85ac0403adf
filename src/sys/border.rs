//! The border between the program's code and the library's, on each thread: cancellation
//! (pthread_cancel), and calls from inside the functions of a custom forwarder.
//!
//! No cancellation acts inside the library, whose locks would stay held and whose frames cannot be
//! unwound.

use std::cell::Cell;
use std::ffi::c_int;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

const ENABLE: c_int = 0;
const DISABLE: c_int = 1;

fn set(state: c_int) -> c_int {
    let mut old = ENABLE;
    // SAFETY: writes one int of ours; the two states are all there are.
    unsafe { pthread_setcancelstate(state, &raw mut old) };
    old
}

/// Both are in one thread-local value, because each access to one costs a call in a shared library.
struct Border {
    /// The state of cancellation that the program's code had when it made the innermost call.
    callers: Cell<Option<c_int>>,
    /// A function of a custom forwarder of the host's is on the stack.
    plane: Cell<bool>,
}

thread_local! {
    static HERE: Border = const { Border { callers: Cell::new(None), plane: Cell::new(false) } };
}

/// Runs a call of the library, inside which the thread cannot be cancelled. `call` must not panic; it
/// is told whether it is made inside a function of a custom forwarder.
#[inline]
pub fn in_library<R>(call: impl FnOnce(bool) -> R) -> R {
    HERE.with(|here| {
        let state = set(DISABLE);
        let outer = here.callers.replace(Some(state));
        let result = call(here.plane.get());
        here.callers.set(outer);
        set(state);
        result
    })
}

/// The program's code, called from inside a call: until this is dropped the state of cancellation is as
/// the caller had it. On threads of the library nothing changes.
pub struct InProgram(Option<c_int>);

impl InProgram {
    /// The program's code begins.
    pub fn enter() -> Self {
        Self(HERE.with(|here| here.callers.get()).map(set))
    }
}

impl Drop for InProgram {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            set(state);
        }
    }
}

/// A function of a custom forwarder of the host's: until this is dropped the program may only read.
pub struct InPlane(bool);

impl InPlane {
    /// The function begins.
    pub fn enter() -> Self {
        Self(HERE.with(|here| here.plane.replace(true)))
    }
}

impl Drop for InPlane {
    fn drop(&mut self) {
        HERE.with(|here| here.plane.set(self.0));
    }
}
