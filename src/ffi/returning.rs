//! The program's own functions must return. One that is left in another way ends the process.

use crate::log::{Level, to_stderr};
use crate::sys::border::InProgram;

/// Calls a function of the program's. Inside it its thread can be cancelled as it can outside of the
/// library. Where something unwinds out of the function (a C++ exception, or the end of its thread),
/// the process ends here: the program would find the library half-way through a call. The function's
/// type must be `C-unwind`, so that unwinding is defined as far as this frame.
#[inline]
pub(super) fn must_return<R>(call: impl FnOnce() -> R) -> R {
    let end = EndOfTheProcess;
    let _in_program = InProgram::enter();
    let result = call();
    std::mem::forget(end);
    result
}

/// Ends the process when it is dropped.
struct EndOfTheProcess;

impl Drop for EndOfTheProcess {
    #[cold]
    fn drop(&mut self) {
        to_stderr(
            Level::Error,
            format_args!(
                "a callback was left by an exception or with its thread; it must return: the \
                 process ends"
            ),
        );
        std::process::abort();
    }
}
