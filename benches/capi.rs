//! The C ABI, through dlopen as a C program has it, beside bare containers that do the same work.
//!
//!     capi LIBRARY start          dlopen and the first registration
//!     capi LIBRARY ENTRIES        memberships, reads, memory
//!
//! Prints one line for each measurement: `what<TAB>entries<TAB>who<TAB>value`. Each process is one
//! run; `benches/run.sh` makes several and `benches/report.py` takes the medians. Within a run,
//! library and reference take turns.

use ::mgm::ffi::types::*;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::mem::{size_of, transmute_copy, zeroed};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

type Register = extern "C" fn(*mut ROUTING_PROTOCOL_CONFIG, u32, u32, *mut HANDLE) -> u32;
type Take = extern "C" fn(HANDLE, u32, u32) -> u32;
type Change = extern "C" fn(HANDLE, u32, u32, u32, u32, u32, u32, u32) -> u32;
type Get = extern "C" fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8) -> u32;
type GetFirst = extern "C" fn(*mut u32, *mut u8, *mut u32) -> u32;
type GetNext = extern "C" fn(*mut MIB_IPMCAST_MFE, *mut u32, *mut u8, *mut u32) -> u32;
type EnumStart = extern "C" fn(HANDLE, u32, *mut HANDLE) -> u32;
type EnumNext = extern "C" fn(HANDLE, *mut u32, *mut u8, *mut u32) -> u32;
type EnumEnd = extern "C" fn(HANDLE) -> u32;
type HostStart = extern "C" fn(*const MGM_HOST_CONFIG) -> u32;
type Receive = extern "C" fn(u32, u32, *const u8, u32) -> u32;

const ALL: u32 = u32::MAX;
const JOIN: u32 = 1;
const MORE: u32 = 234;
const NO_MORE: u32 = 259;
const MIB_SIZE: usize = 60;

struct Library(*mut c_void);

impl Library {
    fn open(path: &str) -> Self {
        let path = CString::new(path).unwrap();
        // SAFETY: a C string; the library has no initialisers of its own.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "cannot open {path:?}");
        Self(handle)
    }

    fn function<F>(&self, name: &str) -> F {
        let name = CString::new(name).unwrap();
        // SAFETY: the handle is open, and each name is that of a function of type F.
        unsafe {
            let address = libc::dlsym(self.0, name.as_ptr());
            assert!(!address.is_null(), "no {name:?}");
            transmute_copy(&address)
        }
    }
}

fn report(what: &str, entries: u32, who: &str, value: f64) {
    println!("{what}\t{entries}\t{who}\t{value:.3}");
}

fn check(code: u32) {
    assert_eq!(code, 0);
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (((self.0 >> 33) * u64::from(limit)) >> 31) as u32
    }
}

/// The n-th group, spread over 225.0.0.0/8 to 238.0.0.0/8, and its flow's source.
fn group(n: u32) -> u32 {
    0xe100_0000 + n.wrapping_mul(2_654_435_761) % 0x0e00_0000
}

fn source(n: u32) -> u32 {
    0x0a00_0001 + n % 1000
}

fn key(n: u32) -> u64 {
    u64::from(group(n)) << 32 | u64::from(source(n))
}

fn per(time: Duration, times: u32) -> f64 {
    time.as_nanos() as f64 / f64::from(times)
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

fn allocated() -> f64 {
    // SAFETY: no arguments, no effects.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64
}

extern "C" fn add_interface(_: *mut c_void, _: u32, _: u32) -> u32 {
    0
}
extern "C" fn remove_interface(_: *mut c_void, _: u32, _: u32) {}
extern "C" fn join_alert(_: u32, _: u32, _: u32, _: u32, _: i32) -> u32 {
    0
}
extern "C" fn prune_alert(
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: i32,
    _: *mut u32,
) -> u32 {
    0
}
extern "C" fn route(_: *mut c_void, source: u32, route: *mut MGM_ROUTE) -> u32 {
    // SAFETY: the library gives a route to fill.
    unsafe {
        (*route).dwIfIndex = 1;
        (*route).dwUpStreamNbr = source;
    }
    0
}

/// The library with a plane that does nothing: what it costs itself, and no plane's copy.
struct World {
    library: Library,
    protocol: HANDLE,
    add: Change,
    delete: Change,
}

fn world(path: &str) -> World {
    let library = Library::open(path);
    // SAFETY: all of these may be zero.
    let (mut plane, mut config, mut callbacks): (
        MGM_HOST_FORWARDER,
        MGM_HOST_CONFIG,
        ROUTING_PROTOCOL_CONFIG,
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    plane.dwSize = size_of::<MGM_HOST_FORWARDER>() as u32;
    plane.pfnAddInterface = Some(add_interface);
    plane.pfnRemoveInterface = Some(remove_interface);
    plane.pfnSetMfe = Some(set_mfe);
    plane.pfnDeleteMfe = Some(delete_mfe);
    plane.pfnRoute = Some(route);
    config.dwSize = size_of::<MGM_HOST_CONFIG>() as u32;
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.pForwarder = &raw const plane;
    check(library.function::<HostStart>("MgmHostStart")(&raw const config));
    // Alerts are delivered to functions that return at once.
    callbacks.pfnJoinAlertCallback = Some(join_alert);
    callbacks.pfnPruneAlertCallback = Some(prune_alert);
    let register: Register = library.function("MgmRegisterMProtocol");
    let take: Take = library.function("MgmTakeInterfaceOwnership");
    let (mut owner, mut protocol) = (null_mut(), null_mut());
    check(register(&raw mut callbacks, 1, 1, &raw mut owner));
    check(register(&raw mut callbacks, 2, 1, &raw mut protocol));
    check(take(owner, 1, 0));
    check(take(protocol, 2, 0));
    check(take(protocol, 3, 0));
    let add = library.function("MgmAddGroupMembershipEntry");
    let delete = library.function("MgmDeleteGroupMembershipEntry");
    World { library, protocol, add, delete }
}

extern "C" fn set_mfe(
    _: *mut c_void,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: *const MIB_IPMCAST_OIF,
) -> u32 {
    0
}
extern "C" fn delete_mfe(_: *mut c_void, _: u32, _: u32) -> u32 {
    0
}

impl World {
    fn change(&self, change: Change, group: u32, interface: u32) {
        check(change(self.protocol, 0, 0, group.to_be(), ALL, interface, 0, JOIN));
    }
}

fn mfe_of(n: u32) -> MIB_IPMCAST_MFE {
    MIB_IPMCAST_MFE { dwGroup: group(n).to_be(), dwSource: source(n).to_be(), ..Default::default() }
}

fn start(path: &str) {
    let begun = Instant::now();
    let library = Library::open(path);
    let register: Register = library.function("MgmRegisterMProtocol");
    // SAFETY: all its functions may be null.
    let mut callbacks: ROUTING_PROTOCOL_CONFIG = unsafe { zeroed() };
    let mut handle = null_mut();
    check(register(&raw mut callbacks, 1, 1, &raw mut handle));
    report("start", 1, "mgm", begun.elapsed().as_nanos() as f64 / 1e6);
    let size = std::fs::metadata(path).unwrap().len();
    report("size", 1, "mgm", size as f64 / 1000.0);
}

fn memberships(world: &World, n: u32) {
    let (resident_before, allocated_before, begun) = (resident(), allocated(), Instant::now());
    for i in 0..n {
        world.change(world.add, group(i), 2);
    }
    report("add", n, "mgm", per(begun.elapsed(), n));
    report("bytes per (*,G), RSS", n, "mgm", (resident() - resident_before) / f64::from(n));
    report("bytes per (*,G), malloc", n, "mgm", (allocated() - allocated_before) / f64::from(n));

    let mut hashed = HashMap::<u64, u32>::new();
    let mut ordered = BTreeMap::<u64, u32>::new();
    let begun = Instant::now();
    for i in 0..n {
        hashed.insert(u64::from(group(i)) << 32, i);
        ordered.insert(u64::from(group(i)) << 32, i);
    }
    report("add", n, "bare", per(begun.elapsed(), n));
    let mut numbers = Numbers(1);
    let times = 50_000;
    let (mut ours, mut bare) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..10 {
        let picked: Vec<u32> = (0..times / 10).map(|_| group(numbers.below(n))).collect();
        let begun = Instant::now();
        for group in &picked {
            world.change(world.delete, *group, 2);
            world.change(world.add, *group, 2);
        }
        ours += begun.elapsed();
        let begun = Instant::now();
        for group in &picked {
            let key = u64::from(*group) << 32;
            let was = hashed.remove(&key);
            black_box(ordered.remove(&key));
            hashed.insert(key, was.unwrap());
            ordered.insert(key, was.unwrap());
        }
        bare += begun.elapsed();
    }
    report("delete and add", n, "mgm", per(ours, times));
    report("delete and add", n, "bare", per(bare, times));
}

fn flows(world: &World, n: u32) {
    for i in 0..n {
        world.change(world.add, group(i), 3);
    }
    let receive: Receive = world.library.function("MgmHostReceive");
    let (resident_before, allocated_before, begun) = (resident(), allocated(), Instant::now());
    let mut packet = [0u8; 28];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 64, 17);
    for i in 0..n {
        packet[12..16].copy_from_slice(&source(i).to_be_bytes());
        packet[16..20].copy_from_slice(&group(i).to_be_bytes());
        check(receive(1, 0, packet.as_ptr(), 28));
    }
    report("new flow", n, "mgm", per(begun.elapsed(), n));
    report("bytes per MFE, RSS", n, "mgm", (resident() - resident_before) / f64::from(n));
    report("bytes per MFE, malloc", n, "mgm", (allocated() - allocated_before) / f64::from(n));
}

/// The bare maps that reads are held against. The hashed one is behind a lock, as whatever several
/// threads use must be.
struct Bare {
    hashed: RwLock<HashMap<u64, [u8; 128]>>,
    ordered: BTreeMap<u64, [u8; 92]>,
}

fn bare(n: u32) -> Bare {
    let mut bare = Bare { hashed: RwLock::default(), ordered: BTreeMap::new() };
    for i in 0..n {
        bare.hashed.get_mut().insert(key(i), [i as u8; 128]);
        bare.ordered.insert(key(i), [i as u8; 92]);
    }
    bare
}

/// So many reads of random entries, begun at `seed`.
fn get_many(get: Get, n: u32, seed: u64, times: u32) -> Duration {
    let (mut numbers, mut buffer) = (Numbers(seed), [0u8; 256]);
    let begun = Instant::now();
    for _ in 0..times {
        let (mut wanted, mut size) = (mfe_of(numbers.below(n)), 256);
        check(get(&raw mut wanted, &raw mut size, buffer.as_mut_ptr()));
    }
    black_box(buffer);
    begun.elapsed()
}

fn gets(world: &World, bare: &Bare, n: u32) {
    let get: Get = world.library.function("MgmGetMfe");
    let times = 40_000;
    let mut spent = [Duration::ZERO; 4];
    for round in 0..10 {
        spent[0] += get_many(get, n, round, times / 10);
        let (mut numbers, mut buffer) = (Numbers(round), [0u8; 128]);
        let begun = Instant::now();
        for _ in 0..times / 10 {
            buffer.copy_from_slice(&bare.hashed.read()[&key(numbers.below(n))]);
            black_box(&buffer);
        }
        spent[1] += begun.elapsed();
        let mut buffer = [0u8; 256];
        let begun = Instant::now();
        for _ in 0..times / 10 {
            let mut wanted = mfe_of(numbers.below(n));
            wanted.dwSource = 0x0b00_0000u32.to_be();
            let mut size = 256;
            assert_ne!(get(&raw mut wanted, &raw mut size, buffer.as_mut_ptr()), 0);
        }
        spent[2] += begun.elapsed();
        let begun = Instant::now();
        for _ in 0..times / 10 {
            let wanted = u64::from(group(numbers.below(n))) << 32 | 0x0b00_0000;
            assert!(black_box(bare.hashed.read().get(&wanted)).is_none());
        }
        spent[3] += begun.elapsed();
    }
    for (what, at) in [("MgmGetMfe hit", 0), ("MgmGetMfe miss", 2)] {
        report(what, n, "mgm", per(spent[at], times));
        report(what, n, "bare", per(spent[at + 1], times));
    }
}

/// One sweep through all entries in pages of so many octets.
fn sweep(world: &World, page: u32) -> u32 {
    let first: GetFirst = world.library.function("MgmGetFirstMfe");
    let next: GetNext = world.library.function("MgmGetNextMfe");
    let (mut buffer, mut size, mut count, mut seen) = (vec![0u8; page as usize], page, 0, 0);
    let mut code = first(&raw mut size, buffer.as_mut_ptr(), &raw mut count);
    while code == MORE {
        seen += count;
        // Every record has two oifs, as main made them.
        let at = (count as usize - 1) * (MIB_SIZE + 32);
        // SAFETY: a record stands there; at least 60 octets follow.
        let mut last: MIB_IPMCAST_MFE = unsafe { zeroed() };
        last.dwGroup = u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
        last.dwSource = u32::from_ne_bytes(buffer[at + 4..at + 8].try_into().unwrap());
        size = page;
        code = next(&raw mut last, &raw mut size, buffer.as_mut_ptr(), &raw mut count);
    }
    assert_eq!(code, NO_MORE);
    seen + count
}

fn sweep_bare(bare: &Bare, page: usize) -> u32 {
    let (mut buffer, mut from, mut seen) = (vec![0u8; page], 0, 0);
    loop {
        let mut at = 0;
        for (key, value) in bare.ordered.range(from..) {
            if at + 92 > page {
                break;
            }
            buffer[at..at + 92].copy_from_slice(value);
            at += 92;
            from = key + 1;
            seen += 1;
        }
        black_box(&buffer);
        if at == 0 {
            return seen;
        }
    }
}

fn sweeps(world: &World, bare: &Bare, n: u32) {
    for (name, page) in [("sweep, 64 KiB", 65_536), ("sweep, 4 KiB", 4_096)] {
        let times = (200_000 / n).max(1);
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..times {
            let begun = Instant::now();
            assert_eq!(sweep(world, page), n);
            ours += begun.elapsed();
            let begun = Instant::now();
            assert_eq!(sweep_bare(bare, page as usize), n);
            theirs += begun.elapsed();
        }
        report(name, n, "mgm", per(ours, n * times));
        report(name, n, "bare", per(theirs, n * times));
    }
    let (start, next, end): (EnumStart, EnumNext, EnumEnd) = (
        world.library.function("MgmGroupEnumerationStart"),
        world.library.function("MgmGroupEnumerationGetNext"),
        world.library.function("MgmGroupEnumerationEnd"),
    );
    let (mut handle, mut buffer, mut seen) = (null_mut(), vec![0u8; 65_536], 0);
    let begun = Instant::now();
    check(start(world.protocol, 1, &raw mut handle));
    loop {
        let (mut size, mut count) = (65_536, 0);
        let code = next(handle, &raw mut size, buffer.as_mut_ptr(), &raw mut count);
        seen += count;
        if code != MORE {
            break;
        }
    }
    check(end(handle));
    assert_eq!(seen, n);
    report("group enumeration", n, "mgm", per(begun.elapsed(), n));
    let begun = Instant::now();
    let mut at = 0;
    for key in bare.ordered.keys() {
        buffer[at..at + 16].copy_from_slice(&(u128::from(*key)).to_ne_bytes());
        at = (at + 16) % 65_536;
    }
    black_box(&buffer);
    report("group enumeration", n, "bare", per(begun.elapsed(), n));
}

/// Readers beside readers and writers: what one does alone, and what each does in company.
fn company(world: &World, n: u32) {
    let get: Get = world.library.function("MgmGetMfe");
    let (add, delete, protocol) = (world.add, world.delete, world.protocol as usize);
    let times = 100_000;
    let alone = per(get_many(get, n, 7, times), times);
    report("reader alone, /s", n, "mgm", 1e9 / alone);
    let both: f64 = std::thread::scope(|scope| {
        let other = scope.spawn(move || per(get_many(get, n, 8, times), times));
        let here = per(get_many(get, n, 9, times), times);
        1e9 / here + 1e9 / other.join().unwrap()
    });
    report("two readers ÷ one", n, "mgm", both * alone / 1e9);

    // A writer, with and without a reader beside it.
    let ends = AtomicBool::new(false);
    let write = || {
        let (mut numbers, mut slowest) = (Numbers(3), Vec::new());
        while !ends.load(Relaxed) {
            let group = group(numbers.below(n)).to_be();
            let begun = Instant::now();
            check(delete(protocol as HANDLE, 0, 0, group, ALL, 3, 0, JOIN));
            check(add(protocol as HANDLE, 0, 0, group, ALL, 3, 0, JOIN));
            slowest.push(begun.elapsed());
        }
        slowest.sort_unstable();
        slowest
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(write);
        let beside = per(get_many(get, n, 7, times), times);
        ends.store(true, Relaxed);
        writer.join().unwrap();
        report("reader beside a writer ÷ alone", n, "mgm", beside / alone);
    });
    ends.store(false, Relaxed);
    let waits = std::thread::scope(|scope| {
        let writer = scope.spawn(write);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            sweep(world, 65_536);
        }
        ends.store(true, Relaxed);
        writer.join().unwrap()
    });
    let at = waits.len() - 1 - waits.len() / 1000;
    report("change beside a sweep, p99.9 µs", n, "mgm", waits[at].as_nanos() as f64 / 1e3);
}

fn main() {
    // cargo bench gives an argument of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [path, what] = &arguments[..] else {
        println!("usage: capi LIBRARY start|ENTRIES (see benches/run.sh)");
        return;
    };
    if what == "start" {
        return start(path);
    }
    let n = what.parse().expect("a number of entries");
    let world = world(path);
    memberships(&world, n);
    flows(&world, n);
    let bare = bare(n);
    gets(&world, &bare, n);
    sweeps(&world, &bare, n);
    company(&world, n);
}
