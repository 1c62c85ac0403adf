//! A process that uses the C functions as lines on its standard input say. Each line is answered with
//! one that begins with `=`; each callback writes a line of its own. What takes long says `busy` meanwhile.
//!
//! | line | answer |
//! |---|---|
//! | `start FORWARDER PATH HOLD` | MgmHostStart's code |
//! | `stop` | MgmHostStop's code |
//! | `receive IF SOURCE GROUP` | MgmHostReceive's code; a copy that leaves an interface is a line `sent IF` |
//! | `register PROTOCOL COMPONENT [nolocal] [dispatched]` | code and the client's number here |
//! | `deregister CLIENT`, `take CLIENT IF`, `release CLIENT IF` | the code |
//! | `add CLIENT SOURCE GROUP IF`, `delete CLIENT SOURCE GROUP IF` | the code |
//! | `many CLIENT COUNT IF` | adds (*,G) for as many groups; the code of the last |
//! | `owner IF` | code, protocol and component |
//! | `mfe SOURCE GROUP` | code, iif, number of oifs |
//! | `new COUNT` | MgmHostReceive on interface 1 for as many sources of 239.1.1.1, one after the other; the last code |
//! | `sweep SIZE plain/stats` | reads all entries in buffers of that size: how many, a sum over what they hold, the last code |
//! | `groups CLIENT` | code of the last MgmGroupEnumerationGetNext, number of rows |
//! | `state` | the state's text |
//! | `enumerate CLIENT` | MgmGroupEnumerationStart's code; the enumeration stays open |
//! | `call FUNCTION` | the code of a function that the others leave out, for the first client |
//! | `flows COUNT` | MgmHostReceive on interface 1 for as many sources of 239.1.1.1, on a thread each |
//! | `hold`, `go`, `free` | callbacks wait; one goes on; they wait no more |
//! | `hang` | the next callback waits until the process ends |
//! | `nested TEXT` | the next callback does this line, and writes its answer |
//! | `dispatch CLIENT` | the code |
//! | `poll CLIENT` | what poll(2) gives for its descriptor, at once |
//! | `fork` | what MgmRegisterMProtocol gives in a child of this process; the child stays |
//! | `descriptors`, `threads` | how many this process has |

use crate::stage::BUSY;
use ::mgm::ffi::entry::*;
use ::mgm::ffi::host::*;
use ::mgm::ffi::reads::*;
use ::mgm::ffi::types::*;
use std::ffi::CString;
use std::io::{BufRead, Write};
use std::net::Ipv4Addr;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};

/// How many callbacks may go on; none: they do not wait.
static HELD: Mutex<Option<usize>> = Mutex::new(None);
static RELEASED: Condvar = Condvar::new();
static HANG: AtomicBool = AtomicBool::new(false);
static NESTED: Mutex<Option<String>> = Mutex::new(None);
static CLIENTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// The enumeration that is open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    // The test may have gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Says of the n-th of many things that it has come.
fn count(n: u32) {
    if n % 200 == 199 {
        say(format_args!("{BUSY}"));
    }
}

fn text(address: DWORD) -> Ipv4Addr {
    Ipv4Addr::from(address.to_ne_bytes())
}

fn address(text: &str) -> DWORD {
    DWORD::from_ne_bytes(text.parse::<Ipv4Addr>().unwrap().octets())
}

fn mask(address: DWORD) -> DWORD {
    if address == 0 { 0 } else { DWORD::MAX }
}

fn called(line: std::fmt::Arguments<'_>) {
    say(line);
    let mut held = HELD.lock().unwrap();
    while *held == Some(0) {
        held = RELEASED.wait(held).unwrap();
    }
    *held = held.map(|go| go - 1);
    drop(held);
    let nested = NESTED.lock().unwrap().take();
    if let Some(nested) = nested {
        say(format_args!("nested {}", perform(&nested)));
    }
    while HANG.load(SeqCst) {
        std::thread::park();
    }
}

unsafe extern "C-unwind" fn rpf(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    index: PDWORD,
    _: PDWORD,
    _: PDWORD,
    size: DWORD,
    _: PBYTE,
    _: PBYTE,
) -> DWORD {
    // SAFETY: the library's pointer.
    let index = unsafe { *index };
    called(format_args!("rpf {} {} {index} {size}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn creation(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    iif: DWORD,
    _: DWORD,
    count: DWORD,
    out: PMGM_IF_ENTRY,
) -> DWORD {
    // SAFETY: `count` entries.
    let out = unsafe { std::slice::from_raw_parts(out, count as usize) };
    let list: Vec<_> = out.iter().map(|out| out.dwIfIndex.to_string()).collect();
    called(format_args!("creation {} {} {iif} {}", text(source), text(group), list.join(",")));
    0
}

unsafe extern "C-unwind" fn prune(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    index: DWORD,
    _: DWORD,
    member: BOOL,
    timeout: PDWORD,
) -> DWORD {
    // SAFETY: the library's pointer.
    let timeout = unsafe { *timeout };
    called(format_args!("prune {} {} {index} {member} {timeout}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn join(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    member: BOOL,
) -> DWORD {
    called(format_args!("join {} {} {member}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn wrong(
    source: DWORD,
    group: DWORD,
    index: DWORD,
    _: DWORD,
    _: DWORD,
    _: PBYTE,
) -> DWORD {
    called(format_args!("wrong {} {} {index}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn local_join(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    index: DWORD,
    _: DWORD,
) -> DWORD {
    called(format_args!("local_join {} {} {index}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn local_leave(
    source: DWORD,
    _: DWORD,
    group: DWORD,
    _: DWORD,
    index: DWORD,
    _: DWORD,
) -> DWORD {
    called(format_args!("local_leave {} {} {index}", text(source), text(group)));
    0
}

unsafe extern "C-unwind" fn disable(index: DWORD, _: DWORD) -> DWORD {
    called(format_args!("disable {index}"));
    0
}

unsafe extern "C-unwind" fn enable(index: DWORD, _: DWORD) -> DWORD {
    called(format_args!("enable {index}"));
    0
}

unsafe extern "C-unwind" fn sent(_: PVOID, index: DWORD, _: DWORD, _: *const BYTE, size: DWORD) {
    say(format_args!("sent {index} {size}"));
}

/// Does lines until there are no more.
pub fn run() {
    // The test runner has begun a line.
    say(format_args!(""));
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        say(format_args!("= {}", perform(&line)));
    }
    std::process::exit(0);
}

fn perform(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<DWORD>().unwrap();
    let handle = |at: usize| -> HANDLE {
        std::ptr::without_provenance_mut(CLIENTS.lock().unwrap()[number(at) as usize])
    };
    match words[0] {
        "start" => start(&words),
        "stop" => MgmHostStop().to_string(),
        "receive" => receive(number(1), words[2], words[3]).to_string(),
        "register" => register(&words),
        "deregister" => MgmDeRegisterMProtocol(handle(1)).to_string(),
        "take" => MgmTakeInterfaceOwnership(handle(1), number(2), 0).to_string(),
        "release" => MgmReleaseInterfaceOwnership(handle(1), number(2), 0).to_string(),
        "add" | "delete" => {
            let (s, g) = (address(words[2]), address(words[3]));
            let change = if words[0] == "add" {
                MgmAddGroupMembershipEntry
            } else {
                MgmDeleteGroupMembershipEntry
            };
            change(handle(1), s, mask(s), g, mask(g), number(4), 0, 1).to_string()
        }
        "many" => {
            let (client, interface, mut code) = (handle(1), number(3), 0);
            for n in 0..number(2) {
                let g = DWORD::from_ne_bytes((0xe100_0000 + n).to_be_bytes());
                code = MgmAddGroupMembershipEntry(client, 0, 0, g, DWORD::MAX, interface, 0, 1);
                count(n);
            }
            code.to_string()
        }
        "owner" => {
            let (mut protocol, mut component) = (0, 0);
            // SAFETY: both outlive the call.
            let code = unsafe {
                MgmGetProtocolOnInterface(number(1), 0, &raw mut protocol, &raw mut component)
            };
            format!("{code} {protocol} {component}")
        }
        "mfe" => mfe(address(words[1]), address(words[2])),
        "new" => {
            let mut code = 0;
            for n in 1..=number(1) {
                let source = Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
                code = receive(1, &source, "239.1.1.1");
                count(n);
            }
            code.to_string()
        }
        "sweep" => sweep(number(1), words[2] == "stats"),
        "groups" => groups(handle(1)),
        "state" => state(),
        "enumerate" => {
            let mut open = null_mut();
            // SAFETY: the handle outlives the call.
            let code = unsafe { MgmGroupEnumerationStart(handle(1), 0, &raw mut open) };
            OPEN.store(open.addr(), SeqCst);
            code.to_string()
        }
        "call" => {
            call(words[1], std::ptr::without_provenance_mut(CLIENTS.lock().unwrap()[0])).to_string()
        }
        "flows" => {
            let source = |n| format!("10.0.0.{}", n + 1);
            let receive = |n| move || receive(1, &source(n), "239.1.1.1").to_string();
            let threads = (0..number(1)).map(|n| std::thread::spawn(receive(n)));
            let threads: Vec<_> = threads.collect();
            let codes = threads.into_iter().map(|thread| thread.join().unwrap());
            codes.collect::<Vec<_>>().join(" ")
        }
        "hold" | "go" | "free" => {
            let mut held = HELD.lock().unwrap();
            *held = match words[0] {
                "hold" => Some(0),
                "go" => held.map(|go| go + 1),
                _ => None,
            };
            RELEASED.notify_all();
            "0".into()
        }
        "hang" => {
            HANG.store(true, SeqCst);
            "0".into()
        }
        "nested" => {
            *NESTED.lock().unwrap() = Some(words[1..].join(" "));
            "0".into()
        }
        "fork" => fork(),
        "dispatch" => MgmHostDispatch(handle(1)).to_string(),
        "poll" => poll(handle(1)),
        "descriptors" => std::fs::read_dir("/proc/self/fd").unwrap().count().to_string(),
        "threads" => std::fs::read_dir("/proc/self/task").unwrap().count().to_string(),
        other => panic!("{other}?"),
    }
}

fn start(words: &[&str]) -> String {
    let path = CString::new(words[2]).unwrap();
    // SAFETY: numbers and nullable pointers only, for which all zeros is a value.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
    config.dwForwarder = if words[1] == "kernel" { MGM_FORWARDER_KERNEL } else { 0 };
    config.pfnTransmit = (words[1] == "memory").then_some(sent as _);
    config.pszServePath = path.as_ptr();
    config.dwHoldSeconds = words[3].parse().unwrap();
    config.dwLogLevel = MGM_LOG_INFO;
    // SAFETY: the configuration outlives the call.
    unsafe { MgmHostStart(&raw const config) }.to_string()
}

fn receive(index: DWORD, source: &str, group: &str) -> DWORD {
    let mut packet = [0u8; 28];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 16, 17);
    packet[12..16].copy_from_slice(&source.parse::<Ipv4Addr>().unwrap().octets());
    packet[16..20].copy_from_slice(&group.parse::<Ipv4Addr>().unwrap().octets());
    let mut sum: u32 =
        packet[..20].chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    // SAFETY: the packet outlives the call.
    unsafe { MgmHostReceive(index, 0, packet.as_ptr(), packet.len() as DWORD) }
}

fn register(words: &[&str]) -> String {
    let has = |word| words.contains(&word);
    let mut config = _ROUTING_PROTOCOL_CONFIG {
        dwCallbackFlags: if has("dispatched") { MGM_DISPATCHED } else { 0 },
        pfnRpfCallback: Some(rpf),
        pfnCreationAlertCallback: Some(creation),
        pfnPruneAlertCallback: Some(prune),
        pfnJoinAlertCallback: Some(join),
        pfnWrongIfCallback: Some(wrong),
        pfnLocalJoinCallback: (!has("nolocal")).then_some(local_join as _),
        pfnLocalLeaveCallback: Some(local_leave),
        pfnDisableIgmpCallback: Some(disable),
        pfnEnableIgmpCallback: Some(enable),
    };
    let mut handle: HANDLE = null_mut();
    let (protocol, component) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    // SAFETY: both outlive the call.
    let code =
        unsafe { MgmRegisterMProtocol(&raw mut config, protocol, component, &raw mut handle) };
    let mut clients = CLIENTS.lock().unwrap();
    if code == 0 {
        clients.push(handle.addr());
    }
    format!("{code} {}", clients.len().saturating_sub(1))
}

fn mfe(source: DWORD, group: DWORD) -> String {
    let mut record: _MIB_IPMCAST_MFE = Default::default();
    (record.dwSource, record.dwGroup, record.dwSrcMask) = (source, group, DWORD::MAX);
    let mut buffer = [0u32; 256];
    let mut size = size_of_val(&buffer) as DWORD;
    // SAFETY: all three outlive the call.
    let code = unsafe { MgmGetMfe(&raw mut record, &raw mut size, buffer.as_mut_ptr().cast()) };
    format!("{code} {} {}", buffer[4], buffer[12])
}

fn sweep(size: DWORD, stats: bool) -> String {
    let mut buffer = vec![0u32; size as usize / 4];
    let mut last = _MIB_IPMCAST_MFE { dwSrcMask: DWORD::MAX, ..Default::default() };
    let (mut records, mut sum, mut code) = (0, 0u64, 234);
    while code == 234 {
        let (mut size, mut count) = (size, 0);
        let into = buffer.as_mut_ptr().cast();
        let (key, size, count_to) = (&raw mut last, &raw mut size, &raw mut count);
        // SAFETY: all of these outlive the call.
        code = unsafe {
            match (stats, records) {
                (false, 0) => MgmGetFirstMfe(size, into, count_to),
                (false, _) => MgmGetNextMfe(key, size, into, count_to),
                (true, 0) => MgmGetFirstMfeStats(size, into, count_to, MGM_MFE_STATS_0),
                (true, _) => MgmGetNextMfeStats(key, size, into, count_to, MGM_MFE_STATS_0),
            }
        };
        let mut at = 0;
        for _ in 0..count {
            let length = if stats { 16 + 7 * buffer[at + 11] } else { 15 + 4 * buffer[at + 12] };
            let record = &buffer[at..at + length as usize];
            // All but the times since it was made and until its end.
            let words = record.iter().enumerate().filter(|(n, _)| *n != 9 && *n != 10);
            sum = words.fold(sum, |sum, (_, word)| {
                (sum ^ u64::from(*word)).wrapping_mul(0x0100_0000_01b3)
            });
            (last.dwGroup, last.dwSource) = (record[0], record[1]);
            at += length as usize;
        }
        records += count;
    }
    format!("{records} {sum:x} {code}")
}

/// A call whose code is all that matters.
fn call(function: &str, client: HANDLE) -> DWORD {
    let mut record = _MIB_IPMCAST_MFE { dwSrcMask: DWORD::MAX, ..Default::default() };
    (record.dwSource, record.dwGroup) = (address("10.0.0.1"), address("239.1.1.1"));
    let mut buffer = [0u32; 256];
    let (mut size, mut count) = (size_of_val(&buffer) as DWORD, 0);
    let (key, size, count) = (&raw mut record, &raw mut size, &raw mut count);
    let into = buffer.as_mut_ptr().cast();
    let open = std::ptr::without_provenance_mut(OPEN.load(SeqCst));
    // SAFETY: all of these outlive the call.
    unsafe {
        match function {
            "MgmGetMfe" => MgmGetMfe(key, size, into),
            "MgmGetFirstMfe" => MgmGetFirstMfe(size, into, count),
            "MgmGetNextMfe" => MgmGetNextMfe(key, size, into, count),
            "MgmGetMfeStats" => MgmGetMfeStats(key, size, into, MGM_MFE_STATS_0),
            "MgmGetFirstMfeStats" => MgmGetFirstMfeStats(size, into, count, MGM_MFE_STATS_0),
            "MgmGetNextMfeStats" => MgmGetNextMfeStats(key, size, into, count, MGM_MFE_STATS_0),
            "MgmSetMfe" => MgmSetMfe(client, key),
            "MgmGroupEnumerationGetNext" => MgmGroupEnumerationGetNext(open, size, into, count),
            "MgmGroupEnumerationEnd" => MgmGroupEnumerationEnd(open),
            "MgmHostGetState" => MgmHostGetState(size, into),
            "MgmHostDispatch" => MgmHostDispatch(client),
            other => panic!("{other}?"),
        }
    }
}

fn groups(client: HANDLE) -> String {
    let mut all = null_mut();
    // SAFETY: the handle outlives the call.
    let mut code = unsafe { MgmGroupEnumerationStart(client, 0, &raw mut all) };
    let mut rows = 0;
    while code == 0 || code == 234 {
        let mut buffer = [0u32; 4 * 100];
        let (mut size, mut count) = (size_of_val(&buffer) as DWORD, 0);
        // SAFETY: all outlive the call.
        code = unsafe {
            MgmGroupEnumerationGetNext(
                all,
                &raw mut size,
                buffer.as_mut_ptr().cast(),
                &raw mut count,
            )
        };
        rows += count;
    }
    MgmGroupEnumerationEnd(all);
    format!("{code} {rows}")
}

fn state() -> String {
    let mut size = 0;
    // SAFETY: the size outlives the call; no octet is written.
    unsafe { MgmHostGetState(&raw mut size, null_mut()) };
    let mut text = vec![0u8; size as usize + 4096];
    size = text.len() as DWORD;
    // SAFETY: both outlive the call.
    let code = unsafe { MgmHostGetState(&raw mut size, text.as_mut_ptr()) };
    let end = text.iter().position(|octet| *octet == 0).unwrap_or(0);
    format!("{code} {}", String::from_utf8_lossy(&text[..end]))
}

fn poll(client: HANDLE) -> String {
    let mut fd = -1;
    // SAFETY: the number outlives the call.
    let code = unsafe { MgmHostGetClientFd(client, &raw mut fd) };
    if code != 0 {
        return code.to_string();
    }
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure.
    unsafe { libc::poll(&raw mut polled, 1, 0) };
    let has = |flag: i16, name: &str| {
        if polled.revents & flag != 0 { format!(" {name}") } else { String::new() }
    };
    format!("0{}{}", has(libc::POLLIN, "in"), has(libc::POLLHUP | libc::POLLERR, "end"))
}

fn fork() -> String {
    let (mut told, mut tells) = std::io::pipe().unwrap();
    // SAFETY: the child makes calls of the library, which it must survive, and system calls.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = MgmTakeInterfaceOwnership(null_mut(), 1, 0);
        let _ = tells.write_all(&code.to_ne_bytes());
        // It goes when the test's process has gone, or after a minute.
        // SAFETY: takes no pointers.
        unsafe {
            libc::sleep(60);
            libc::_exit(0);
        }
    }
    let mut code = [0; 4];
    std::io::Read::read_exact(&mut told, &mut code).unwrap();
    u32::from_ne_bytes(code).to_string()
}
