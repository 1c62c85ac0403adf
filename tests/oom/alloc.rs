//! An allocator that fails one allocation of the calling thread, or all from it on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What the calling thread counts.
#[derive(Clone, Copy)]
struct Watch {
    on: bool,
    /// Allocations until one fails; none fails where it is `u64::MAX`.
    left: u64,
    /// All that follow fail too.
    for_good: bool,
    seen: u64,
    failed: bool,
}

const OFF: Watch = Watch { on: false, left: u64::MAX, for_good: false, seen: 0, failed: false };

thread_local! {
    // Without a destructor, so that reading it allocates nothing.
    static WATCH: Cell<Watch> = const { Cell::new(OFF) };
}

pub struct Failing;

/// Whether this allocation is to fail.
fn fails() -> bool {
    let mut watch = WATCH.get();
    if !watch.on {
        return false;
    }
    watch.seen += 1;
    let fail = watch.left == 0 || (watch.failed && watch.for_good);
    watch.left = watch.left.saturating_sub(u64::from(watch.left != u64::MAX && !watch.failed));
    if fail {
        watch.failed = true;
        watch.left = u64::MAX;
    }
    WATCH.set(watch);
    fail
}

// SAFETY: every request goes to the system's allocator as it came, or gives null.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Making a block smaller may fail as well: nothing says that it cannot.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What happened while [`armed`] ran.
pub struct Seen<R> {
    pub result: R,
    /// How often memory was asked for.
    pub allocations: u64,
}

/// Runs `body` with the allocation number `n` failing, and with `for_good` all after it.
pub fn armed<R>(n: u64, for_good: bool, body: impl FnOnce() -> R) -> Seen<R> {
    WATCH.set(Watch { on: true, left: n, for_good, ..OFF });
    let result = body();
    let watch = WATCH.replace(OFF);
    Seen { result, allocations: watch.seen }
}

/// Runs `body` and counts how often it asks for memory.
pub fn counted<R>(body: impl FnOnce() -> R) -> Seen<R> {
    armed(u64::MAX, false, body)
}

/// Runs what is the test's own business: it never fails and does not count.
pub fn aside<R>(body: impl FnOnce() -> R) -> R {
    let watch = WATCH.replace(OFF);
    let result = body();
    WATCH.set(watch);
    result
}
