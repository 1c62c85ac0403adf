//! Rule A5: a fault inside the library gives ERROR_CAN_NOT_COMPLETE, and every later call too;
//! nothing unwinds into C and no thread waits for ever.
//!
//! Needs a library that can be made to fail: `cargo test --features fault-injection --test panic`.

#[path = "capi/mod.rs"]
mod capi;
mod netns;

use capi::clients::{CALLS, register, set_hook};
use capi::process::{in_a_process, in_processes};
use capi::{ANY, CAN_NOT_COMPLETE, INVALID_PARAMETER, JOIN, NO_ERROR, add, group, receive, source};
use mgm::ffi::entry::*;
use mgm::ffi::host::*;
use mgm::ffi::reads::*;
use mgm::ffi::types::{_MIB_IPMCAST_MFE, HANDLE};
use netns::Cable;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// What is the test's own business is nothing special here.
fn aside<R>(body: impl FnOnce() -> R) -> R {
    body()
}

const FUNCTIONS: [&str; 25] = [
    "MgmRegisterMProtocol",
    "MgmDeRegisterMProtocol",
    "MgmTakeInterfaceOwnership",
    "MgmReleaseInterfaceOwnership",
    "MgmGetProtocolOnInterface",
    "MgmAddGroupMembershipEntry",
    "MgmDeleteGroupMembershipEntry",
    "MgmGetMfe",
    "MgmGetFirstMfe",
    "MgmGetNextMfe",
    "MgmGetMfeStats",
    "MgmGetFirstMfeStats",
    "MgmGetNextMfeStats",
    "MgmSetMfe",
    "MgmGroupEnumerationStart",
    "MgmGroupEnumerationGetNext",
    "MgmGroupEnumerationEnd",
    "MgmHostStart",
    "MgmHostStop",
    "MgmHostReceive",
    "MgmHostRouteChanged",
    "MgmHostInterfaceDown",
    "MgmHostGetState",
    "MgmHostGetClientFd",
    "MgmHostDispatch",
];

/// The list above, and the one of c-tests/faults.c, are those of the headers.
#[test]
fn a5_no_function_is_left_out() {
    let read = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(path).unwrap()
    };
    let headers = read("include/mgm.h") + &read("include/mgm_host.h");
    let mut declared: Vec<&str> = headers
        .lines()
        .filter_map(|line| line.strip_prefix("DWORD Mgm")?.split('(').next())
        .collect();
    let mut listed = FUNCTIONS.map(|name| name.strip_prefix("Mgm").unwrap());
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
    let in_c = read("c-tests/faults.c");
    assert!(FUNCTIONS.iter().all(|name| in_c.contains(&format!("{{\"{name}\", c_"))));
}

/// Makes the library panic at a point; "" for nowhere.
fn fault_at(point: &str) {
    // SAFETY: only Rust reads and writes the environment of this process, under std's lock.
    unsafe { std::env::set_var("MGM_FAULT", point) };
}

/// A in slot 0 on interface 1, B in slot 1 on 2 with a membership, an entry, an enumeration.
struct Stage {
    a: HANDLE,
    b: HANDLE,
    rows: HANDLE,
}

impl Stage {
    fn new() -> Self {
        capi::reset();
        assert_eq!(capi::start(&capi::config()), NO_ERROR);
        let (mut a, mut b, mut rows) = (null_mut(), null_mut(), null_mut());
        assert_eq!(register(0, 1, 1, &mut a), NO_ERROR);
        assert_eq!(register(1, 2, 1, &mut b), NO_ERROR);
        assert_eq!(MgmTakeInterfaceOwnership(a, 1, 0), NO_ERROR);
        assert_eq!(MgmTakeInterfaceOwnership(b, 2, 0), NO_ERROR);
        assert_eq!(add(b, ANY, group(1), 2, JOIN), NO_ERROR);
        assert_eq!(receive(1, source(1, 2), group(1)), NO_ERROR);
        // SAFETY: a HANDLE.
        assert_eq!(unsafe { MgmGroupEnumerationStart(a, 1, &raw mut rows) }, NO_ERROR);
        Self { a, b, rows }
    }

    /// A call of a function that would succeed, but gives ERROR_CAN_NOT_COMPLETE and writes
    /// nothing. (The two for MGM_DISPATCHED, which no client here has, would refuse the handle.)
    fn call_in_vain(&self, function: &str) {
        const UNTOUCHED: u32 = 0xa5a5_a5a5;
        let mut key = _MIB_IPMCAST_MFE {
            dwSource: capi::net(source(1, 2)),
            dwGroup: capi::net(group(1)),
            ..Default::default()
        };
        let (key, mut out) = (&raw mut key, [UNTOUCHED; 64]);
        let (mut size, mut entries, mut handle) = (256, UNTOUCHED, null_mut());
        let mut descriptor = -1;
        let (n, e, h, b) =
            (&raw mut size, &raw mut entries, &raw mut handle, out.as_mut_ptr().cast());
        let (s, g) = (source(1, 2), group(1));
        // SAFETY: each pointer is to a variable above, and the buffer as long as its size says.
        let code = unsafe {
            match function {
                "MgmRegisterMProtocol" => register(2, 3, 1, &mut *h),
                "MgmDeRegisterMProtocol" => MgmDeRegisterMProtocol(self.a),
                "MgmTakeInterfaceOwnership" => MgmTakeInterfaceOwnership(self.a, 3, 0),
                "MgmReleaseInterfaceOwnership" => MgmReleaseInterfaceOwnership(self.a, 1, 0),
                "MgmGetProtocolOnInterface" => MgmGetProtocolOnInterface(1, 0, e, e),
                "MgmAddGroupMembershipEntry" => add(self.a, ANY, group(2), 1, JOIN),
                "MgmDeleteGroupMembershipEntry" => capi::delete(self.b, ANY, group(1), 2, JOIN),
                "MgmGetMfe" => MgmGetMfe(key, n, b),
                "MgmGetFirstMfe" => MgmGetFirstMfe(n, b, e),
                "MgmGetNextMfe" => MgmGetNextMfe(key, n, b, e),
                "MgmGetMfeStats" => MgmGetMfeStats(key, n, b, 1),
                "MgmGetFirstMfeStats" => MgmGetFirstMfeStats(n, b, e, 1),
                "MgmGetNextMfeStats" => MgmGetNextMfeStats(key, n, b, e, 1),
                "MgmSetMfe" => MgmSetMfe(self.a, key),
                "MgmGroupEnumerationStart" => MgmGroupEnumerationStart(self.a, 0, h),
                "MgmGroupEnumerationGetNext" => MgmGroupEnumerationGetNext(self.rows, n, b, e),
                "MgmGroupEnumerationEnd" => MgmGroupEnumerationEnd(self.rows),
                "MgmHostStart" => capi::start(&capi::config()),
                "MgmHostStop" => MgmHostStop(),
                "MgmHostReceive" => receive(1, s, g),
                "MgmHostRouteChanged" => capi::tick(),
                "MgmHostInterfaceDown" => MgmHostInterfaceDown(1, 0),
                "MgmHostGetState" => MgmHostGetState(n, b),
                "MgmHostGetClientFd" => MgmHostGetClientFd(self.a, &raw mut descriptor),
                "MgmHostDispatch" => MgmHostDispatch(self.a),
                other => panic!("{other} is not a function"),
            }
        };
        assert_eq!(code, CAN_NOT_COMPLETE, "{function}");
        assert_eq!((size, entries, handle), (256, UNTOUCHED, null_mut()), "{function}");
        assert_eq!((out, descriptor), ([UNTOUCHED; 64], -1), "{function}");
    }

    fn everything_is_in_vain(&self) {
        fault_at("");
        let before = CALLS.load(SeqCst);
        FUNCTIONS.iter().for_each(|function| self.call_in_vain(function));
        assert_eq!(CALLS.load(SeqCst), before, "no client is called any more");
    }
}

#[test]
fn a5_a_fault_in_each_function() {
    in_processes("a5_a_fault_in_each_function", &FUNCTIONS, |function| {
        let stage = Stage::new();
        fault_at(function);
        stage.call_in_vain(function);
        stage.everything_is_in_vain();
    });
}

/// Faults with locks held, after a client was called, and while the plane is programmed.
#[test]
fn a5_a_fault_deep_inside() {
    in_processes("a5_a_fault_deep_inside", &["core", "answer", "program"], |point| {
        let stage = Stage::new();
        fault_at(point);
        assert_eq!(capi::delete(stage.b, ANY, group(1), 2, JOIN), CAN_NOT_COMPLETE);
        stage.everything_is_in_vain();
    });
}

/// Waits for a thread that must come to an end.
fn join_soon<R>(what: &str, thread: std::thread::JoinHandle<R>) -> R {
    let begun = Instant::now();
    while !thread.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} waits for ever");
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.join().unwrap_or_else(|_| panic!("{what} panicked"))
}

/// Waits until a call that is otherwise harmless gives a code.
fn wait_for_code(code: u32, mut call: impl FnMut() -> u32) {
    let begun = Instant::now();
    while call() != code {
        assert!(begun.elapsed() < Duration::from_secs(20), "code {code} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn owner_of_1() -> u32 {
    let (mut protocol, mut component) = (0, 0);
    // SAFETY: two DWORDs.
    unsafe { MgmGetProtocolOnInterface(1, 0, &raw mut protocol, &raw mut component) }
}

#[test]
fn a5_a_fault_on_the_timer_thread() {
    in_a_process("a5_a_fault_on_the_timer_thread", || {
        let mut config = capi::config();
        config.pfnClock = None;
        fault_at("lifetimes");
        assert_eq!(capi::start(&config), NO_ERROR);
        wait_for_code(CAN_NOT_COMPLETE, owner_of_1);
    });
}

/// A thread waits for a client's callback to end whose thread then meets a fault: it does not wait
/// for ever, and is not told that the client's code may be unloaded.
#[test]
fn a5_who_waits_is_woken() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static GO_ON: AtomicBool = AtomicBool::new(false);
    in_a_process("a5_who_waits_is_woken", || {
        let stage = Stage::new();
        // The addresses of handles are numbers; they may be used on any thread.
        let (b, mut c) = (stage.b.addr(), null_mut());
        assert_eq!(register(2, 3, 1, &mut c), NO_ERROR);
        set_hook(Some(|client, _| {
            if client == 2 {
                INSIDE.store(true, SeqCst);
                while !GO_ON.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }));
        let handle = |word: usize| std::ptr::without_provenance_mut(word);
        let adds = std::thread::spawn(move || add(handle(b), ANY, group(9), 2, JOIN));
        wait_for_code(1, || INSIDE.load(SeqCst).into());
        let word = c.addr();
        let leaves = std::thread::spawn(move || MgmDeRegisterMProtocol(handle(word)));
        let mut rows = null_mut();
        // SAFETY: a HANDLE.
        wait_for_code(INVALID_PARAMETER, || unsafe {
            MgmGroupEnumerationStart(c, 0, &raw mut rows)
        });
        fault_at("answer");
        GO_ON.store(true, SeqCst);
        assert_eq!(join_soon("the call with the fault", adds), CAN_NOT_COMPLETE);
        assert_eq!(join_soon("the call that waited", leaves), CAN_NOT_COMPLETE);
        set_hook(None);
        stage.everything_is_in_vain();
    });
}

netns_tests! {
    /// A report of the kernel's that meets a fault, on a thread of the library's own.
    fn a5_a_fault_on_an_upcall_thread() {
        let cable = Cable::new("a", Some("10.1.0.1/16"));
        let mut config = capi::config();
        (config.dwForwarder, config.pfnRoute, config.pfnTransmit) = (1, None, None);
        config.pfnClock = None;
        assert_eq!(capi::start(&config), NO_ERROR);
        let mut a = null_mut();
        assert_eq!(register(0, 1, 1, &mut a), NO_ERROR);
        assert_eq!(MgmTakeInterfaceOwnership(a, cable.key().index, 0), NO_ERROR);
        fault_at("new flow");
        wait_for_code(CAN_NOT_COMPLETE, || {
            cable.send(&netns::udp(source(1, 2), group(1), b"x"));
            owner_of_1()
        });
        fault_at("");
        assert_eq!(MgmHostStop(), CAN_NOT_COMPLETE);
    }
}
