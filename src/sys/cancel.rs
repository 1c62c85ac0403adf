//! Cancellation of threads (pthread_cancel): none acts inside the library, whose locks would stay held
//! and whose frames cannot be unwound.

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

thread_local! {
    /// The state that the program's code on this thread had when it made the innermost call.
    static CALLERS: Cell<Option<c_int>> = const { Cell::new(None) };
}

/// Runs a call of the library, inside which the thread cannot be cancelled. `call` must not panic.
#[inline]
pub fn in_library<R>(call: impl FnOnce() -> R) -> R {
    CALLERS.with(|callers| {
        let state = set(DISABLE);
        let outer = callers.replace(Some(state));
        let result = call();
        callers.set(outer);
        set(state);
        result
    })
}

/// The program's code, called from inside a call: until this is dropped the state is as the caller had
/// it. On threads of the library nothing changes.
pub struct InProgram(Option<c_int>);

impl InProgram {
    /// The program's code begins.
    pub fn enter() -> Self {
        Self(CALLERS.get().map(set))
    }
}

impl Drop for InProgram {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            set(state);
        }
    }
}
