//! Counts steps, by which tests see that an operation touches only what it concerns (`growth`).
//!
//! A step is one value looked at in a container. Nothing is counted outside of tests.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Counts one step.
#[inline]
pub fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// The steps that something takes on this thread.
#[cfg(test)]
pub fn counted<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = STEPS.get();
    let result = run();
    (result, STEPS.get() - before)
}
