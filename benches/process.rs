//! What shows in a whole process and not in one call: memory, threads beside each other, start.
//!
//!     process start           dlopen and the first registration
//!     process ENTRIES         filling, memory, threads
//!     process beside ENTRIES  calls beside large ones; with read, change or 'new flow', only these
//!
//! `MGM_LIBRARY` names the library. Prints one line for each measurement:
//! `what<TAB>entries<TAB>who<TAB>value`. Each process is one run.

#[path = "process/beside.rs"]
mod beside;
mod shared;

use ::mgm::ffi::types::ROUTING_PROTOCOL_CONFIG;
use shared::bare::{Entries, Memberships, key};
use shared::library::{Library, Numbers, Register, World, check, group, mfe_of, source};
use std::hint::black_box;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn report(what: &str, entries: u32, who: &str, value: f64) {
    println!("{what}\t{entries}\t{who}\t{value:.3}");
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

fn start() {
    let path = Library::path();
    let begun = Instant::now();
    let library = Library::open(&path);
    let register: Register = library.function("MgmRegisterMProtocol");
    let (mut callbacks, mut handle) = (empty(), null_mut());
    check(register(&raw mut callbacks, 1, 1, &raw mut handle));
    report("start", 1, "mgm", begun.elapsed().as_nanos() as f64 / 1e6);
    let size = std::fs::metadata(path).unwrap().len();
    report("size", 1, "mgm", size as f64 / 1000.0);
}

fn empty() -> ROUTING_PROTOCOL_CONFIG {
    // SAFETY: all its functions may be null.
    unsafe { std::mem::zeroed() }
}

/// Does something `n` times and reports the time and the memory that each took.
fn fill(what: &str, memory: &str, n: u32, mut each: impl FnMut(u32)) {
    let (resident_before, allocated_before, begun) = (resident(), allocated(), Instant::now());
    (0..n).for_each(&mut each);
    report(what, n, "mgm", per(begun.elapsed(), n));
    let each = |now: f64, before: f64| (now - before) / f64::from(n);
    report(&format!("{memory}, RSS"), n, "mgm", each(resident(), resident_before));
    report(&format!("{memory}, malloc"), n, "mgm", each(allocated(), allocated_before));
}

/// So many reads of random entries, begun at `seed`: ns each.
fn read_mgm(world: &World, n: u32, seed: u64, times: u32) -> f64 {
    let (mut numbers, mut buffer) = (Numbers(seed), [0u8; 256]);
    let begun = Instant::now();
    for _ in 0..times {
        check(world.get(mfe_of(numbers.below(n)), &mut buffer));
    }
    black_box(buffer);
    per(begun.elapsed(), times)
}

/// The same from a map that nobody locks: what the machine itself makes of two threads.
fn read_bare(entries: &Entries, n: u32, seed: u64, times: u32) -> f64 {
    let (mut numbers, mut buffer) = (Numbers(seed), [0u8; 128]);
    // SAFETY: nothing writes to the map after it was filled.
    let hashed = unsafe { &*entries.hashed.data_ptr() };
    let begun = Instant::now();
    for _ in 0..times {
        buffer.copy_from_slice(&hashed[&key(numbers.below(n))]);
        black_box(&buffer);
    }
    per(begun.elapsed(), times)
}

/// One reader alone and two beside each other: reads per second of both ÷ of one.
fn two_readers(who: &str, n: u32, read: impl Fn(u64) -> f64 + Sync) {
    read(6); // the caches are as warm for the first as for the others
    let alone = read(7);
    let both: f64 = std::thread::scope(|scope| {
        let other = scope.spawn(|| read(8));
        let here = read(9);
        1.0 / here + 1.0 / other.join().unwrap()
    });
    report("reader alone, /s", n, who, 1e9 / alone);
    report("two readers ÷ one", n, who, both * alone);
}

/// Reads alone, then with a writer beside: how many times slower.
fn beside_a_writer(who: &str, n: u32, read: impl Fn() -> f64, write: impl FnMut() + Send) {
    read();
    let alone = read();
    let (beside, _) = while_writing(&read, write);
    report("reader beside a writer ÷ alone", n, who, beside / alone);
}

/// Runs something while another thread writes, and gives how long each writing took, in order.
fn while_writing<R>(run: impl FnOnce() -> R, mut write: impl FnMut() + Send) -> (R, Vec<Duration>) {
    let (begun, ends) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut took = Vec::new();
            while !ends.load(Relaxed) {
                let begin = Instant::now();
                write();
                took.push(begin.elapsed());
                begun.store(true, Relaxed);
            }
            took.sort_unstable();
            took
        });
        while !begun.load(Relaxed) {
            std::thread::yield_now();
        }
        let result = run();
        ends.store(true, Relaxed);
        (result, writer.join().unwrap())
    })
}

/// The 999th of a thousand, in µs.
fn p999(sorted: &[Duration]) -> f64 {
    sorted[sorted.len() - 1 - sorted.len() / 1000].as_nanos() as f64 / 1e3
}

/// How long changes and new flows take while another thread sweeps through everything.
fn waits(world: &World, n: u32) {
    let mut page = vec![0; 65_536];
    let mut while_sweeping = |what: &str, statistics: bool, write: &mut (dyn FnMut() + Send)| {
        let begun = Instant::now();
        let sweeps = || {
            while begun.elapsed() < Duration::from_millis(300) {
                // New flows come in between.
                let seen =
                    if statistics { world.sweep_stats(&mut page) } else { world.sweep(&mut page) };
                assert!(seen >= n);
            }
        };
        let ((), took) = while_writing(sweeps, write);
        report(what, n, "mgm", p999(&took));
    };
    let (mut numbers, mut fresh) = (Numbers(3), 0);
    let mut change = || world.pair(group(numbers.below(n)), 3);
    while_sweeping("change beside a sweep, p99.9 µs", false, &mut change);
    while_sweeping("change beside statistics, p99.9 µs", true, &mut change);
    let mut flow = || {
        fresh += 1;
        world.packet(0x0c00_0000 + fresh, group(fresh % n));
    };
    while_sweeping("new flow beside a sweep, p99.9 µs", false, &mut flow);
    while_sweeping("new flow beside statistics, p99.9 µs", true, &mut flow);
    assert_eq!(world.sweep(&mut page), n + fresh, "each new flow has an entry");
}

fn main() {
    // cargo bench gives an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let what = arguments.next();
    match what.as_deref() {
        Some("start") => return start(),
        Some("beside") => {
            let n = arguments.next().unwrap().parse().expect("a number of entries");
            return beside::run(n, arguments.next().as_deref());
        }
        None => {
            println!("usage: MGM_LIBRARY=... process start|[beside] ENTRIES (see benches/run.sh)");
            return;
        }
        _ => {}
    }
    let n = what.unwrap().parse().expect("a number of entries");
    let world = World::new(&Library::open(&Library::path()));
    fill("add", "bytes per (*,G)", n, |i| world.add(group(i), 2));
    (0..n).for_each(|i| world.add(group(i), 3));
    fill("new flow", "bytes per MFE", n, |i| world.packet(source(i), group(i)));
    let begun = Instant::now();
    let mut memberships = Memberships::new(n);
    report("add", n, "bare", per(begun.elapsed(), n));

    let entries = Entries::new(n);
    // Long enough for what the scheduler does to matter little.
    let (times, bare_times) = (300_000, 2_000_000);
    two_readers("mgm", n, |seed| read_mgm(&world, n, seed, times));
    two_readers("bare", n, |seed| read_bare(&entries, n, seed, bare_times));
    let mut numbers = Numbers(4);
    beside_a_writer(
        "mgm",
        n,
        || read_mgm(&world, n, 7, times),
        || world.pair(group(numbers.below(n)), 3),
    );
    let mut numbers = Numbers(4);
    beside_a_writer(
        "bare",
        n,
        || read_bare(&entries, n, 7, bare_times),
        || {
            let group = group(numbers.below(n));
            let value = memberships.delete(group);
            memberships.add(group, value);
        },
    );
    waits(&world, n);
}
