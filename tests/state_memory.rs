//! Rule A4 for the state: memory that runs out while it is written is an error and no abort.

#[allow(dead_code, reason = "shared with other tests; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, packet, started};
use mgm::error::Error;
use mgm::shell::manager::Settings;
use mgm::types::{Millis, SourceGroup};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Write};

thread_local! {
    /// How many more allocations succeed on this thread; None: all.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

struct Failing;

impl Failing {
    fn fails() -> bool {
        match LEFT.get() {
            None => false,
            Some(0) => true,
            Some(left) => {
                LEFT.set(Some(left - 1));
                false
            }
        }
    }
}

// SAFETY: every call goes to the system's allocator or gives null, which says that it failed.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        if Self::fails() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::fails() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise; `old` came from the system's allocator.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; `old` came from the system's allocator.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Takes everything and keeps nothing.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0 += text.len();
        Ok(text.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a4_memory_may_run_out_at_any_allocation() {
    let mgm = started(Settings {
        // Stands still, so that the text is the same each time.
        clock: Some(std::sync::Arc::new(|| Millis(0))),
        ..host()
    });
    let client = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    for hop in 0..30 {
        mgm.take_interface(client, interface(1, hop)).unwrap();
        join(mgm, client, SourceGroup::ALL, interface(1, hop));
    }
    for n in 0..30 {
        mgm.receive(interface(1, 0), &packet([10, 0, 0, 1].into(), group(n))).unwrap();
    }
    let mut whole = Count(0);
    mgm.write_state(&mut whole).unwrap();
    let mut failures = 0;
    loop {
        let mut out = Count(0);
        LEFT.set(Some(failures));
        let result = mgm.write_state(&mut out);
        LEFT.set(None);
        match result {
            Err(error) => assert_eq!(error, Error::OutOfMemory),
            Ok(()) => {
                assert_eq!(out.0, whole.0);
                break;
            }
        }
        failures += 1;
    }
    assert!(failures > 5, "a chunk grows and entries have long lists: {failures}");
    mgm.stop().unwrap();
}
