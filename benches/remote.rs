//! What a process border costs (rules P): calls and alerts beside a bare ping-pong over the same kind of
//! socket, new flows and a sweep beside the same in one process.
//!
//!     remote [PART...]        everything, or messages, flows, sweeps; prints
//!                             `what<TAB>entries<TAB>who<TAB>value` lines
//!     remote pong FD          the other end of the bare ping-pong
//!     remote serve PATH       a host that serves at PATH, or a client of one, that does what lines on its
//!                             input say
//!     remote calls PATH       a client that calls a host
//!
//! `ROUNDS` times each, by turns with its reference.

use ::mgm::ffi::entry::*;
use ::mgm::ffi::host::*;
use ::mgm::ffi::reads::*;
use ::mgm::ffi::types::*;
use std::ffi::CString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

const CALLS: usize = 20_000;
const FLOWS: u32 = 10_000;
const RECORDS: u32 = 1_000_000;

fn report(what: &str, entries: u32, who: &str, value: f64) {
    println!("{what}\t{entries}\t{who}\t{value:.3}");
}

fn at(sorted: &[u64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64
}

/// The median and the 99th percentile in ns.
fn percentiles(what: &str, who: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    report(&format!("{what}: p50 ns"), 1, who, at(&times, 0.5));
    report(&format!("{what}: p99 ns"), 1, who, at(&times, 0.99));
}

fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

// ---- the bare ping-pong ----

fn pong(fd: i32) {
    let mut octets = [0u8; 64];
    loop {
        // SAFETY: the kernel writes and reads within the array.
        unsafe {
            let size = libc::recv(fd, octets.as_mut_ptr().cast(), octets.len(), 0);
            if size <= 0 || libc::send(fd, octets.as_ptr().cast(), size as usize, 0) <= 0 {
                return;
            }
        }
    }
}

fn ping_pong() -> Vec<u64> {
    let mut fds = [-1; 2];
    // SAFETY: the kernel writes two descriptors, which are ours; the other one is for the child.
    let (ours, _theirs) = unsafe {
        assert_eq!(libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, fds.as_mut_ptr()), 0);
        (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
    };
    // SAFETY: takes no pointers.
    unsafe { libc::fcntl(fds[0], libc::F_SETFD, libc::FD_CLOEXEC) };
    let mut child = this(&["pong", &fds[1].to_string()], &[]).spawn().unwrap();
    drop(_theirs);
    let mut octets = [1u8; 24];
    let times = (0..CALLS)
        .map(|_| {
            let begun = now();
            // SAFETY: the kernel reads and writes within the array.
            unsafe {
                libc::send(ours.as_raw_fd(), octets.as_ptr().cast(), octets.len(), 0);
                libc::recv(ours.as_raw_fd(), octets.as_mut_ptr().cast(), octets.len(), 0);
            }
            now() - begun
        })
        .collect();
    drop(ours);
    child.wait().unwrap();
    times
}

fn this(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).envs(variables.iter().copied()).stderr(Stdio::inherit());
    command
}

// ---- other processes ----

/// A host or a client, told what to do by lines; each is answered by one.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = this(arguments, variables);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "{line}: the process has ended");
        answer.trim_end().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static HEARD: AtomicU64 = AtomicU64::new(0);

unsafe extern "C-unwind" fn join(_: DWORD, _: DWORD, _: DWORD, _: DWORD, _: BOOL) -> DWORD {
    HEARD.store(now(), SeqCst);
    0
}

unsafe extern "C-unwind" fn rpf(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: PDWORD,
    _: PDWORD,
    _: PDWORD,
    _: DWORD,
    _: PBYTE,
    _: PBYTE,
) -> DWORD {
    0
}

unsafe extern "C-unwind" fn creation(
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: DWORD,
    _: PMGM_IF_ENTRY,
) -> DWORD {
    0
}

fn check(code: DWORD) {
    assert_eq!(code, 0);
}

/// Registers a client that owns an interface.
fn register(protocol: DWORD, interface: DWORD) -> HANDLE {
    // SAFETY: all its functions may be null.
    let mut config: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
    config.pfnJoinAlertCallback = Some(join);
    config.pfnRpfCallback = Some(rpf);
    config.pfnCreationAlertCallback = Some(creation);
    let mut handle = null_mut();
    // SAFETY: both outlive the call.
    check(unsafe { MgmRegisterMProtocol(&raw mut config, protocol, 1, &raw mut handle) });
    check(MgmTakeInterfaceOwnership(handle, interface, 0));
    handle
}

fn group(n: u32) -> DWORD {
    DWORD::from_ne_bytes((0xe100_0000 + n).to_be_bytes())
}

fn packet(n: u32) -> [u8; 28] {
    let mut packet = [0u8; 28];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 16, 17);
    packet[12..16].copy_from_slice(&(0x0a00_0001 + n).to_be_bytes());
    packet[16..20].copy_from_slice(&0xe100_0000u32.to_be_bytes());
    let mut sum: u32 =
        packet[..20].chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

fn start_host(path: &str) {
    let path = CString::new(path).unwrap();
    // SAFETY: numbers and nullable pointers only, for which all zeros is a value.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
    config.dwMaxMfes = 2_000_000;
    config.pszServePath = path.as_ptr();
    // SAFETY: the configuration outlives the call.
    check(unsafe { MgmHostStart(&raw const config) });
}

/// New flows, each with an RPF and a creation callback: how many a second.
fn flows(from: u32, count: u32) -> f64 {
    let begun = Instant::now();
    for n in from..from + count {
        let packet = packet(n);
        // SAFETY: the packet outlives the call.
        check(unsafe { MgmHostReceive(1, 0, packet.as_ptr(), packet.len() as DWORD) });
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// All entries in buffers of 64 KiB: ns each.
fn sweep() -> f64 {
    let mut buffer = vec![0u32; 16 * 1024];
    let mut start: _MIB_IPMCAST_MFE = Default::default();
    let (mut records, mut first) = (0u32, true);
    let begun = Instant::now();
    loop {
        let (mut size, mut count) = (65_536, 0);
        let room = buffer.as_mut_ptr().cast();
        // SAFETY: all outlive the call.
        let code = unsafe {
            if std::mem::take(&mut first) {
                MgmGetFirstMfe(&raw mut size, room, &raw mut count)
            } else {
                MgmGetNextMfe(&raw mut start, &raw mut size, room, &raw mut count)
            }
        };
        records += count;
        // The last record of the buffer.
        let mut at = 0;
        for _ in 1..count {
            at += 15 + 4 * buffer[at + 12] as usize;
        }
        (start.dwGroup, start.dwSource, start.dwSrcMask) = (buffer[at], buffer[at + 1], DWORD::MAX);
        if code != 234 {
            assert_eq!(code, 259);
            return begun.elapsed().as_nanos() as f64 / f64::from(records);
        }
    }
}

/// A process that does what lines say.
fn serve(path: &str) {
    let mut clients = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<u32>().unwrap();
        let answer = match words[0] {
            "host" => {
                start_host(path);
                0.0
            }
            "register" => {
                clients.push(register(number(1), number(2)));
                0.0
            }
            "add" | "add1" => {
                let client = clients[usize::from(words[0] == "add1")];
                let sent = now();
                check(MgmAddGroupMembershipEntry(
                    client,
                    0,
                    0,
                    group(number(1)),
                    DWORD::MAX,
                    number(2),
                    0,
                    1,
                ));
                sent as f64
            }
            "heard" => HEARD.swap(0, SeqCst) as f64,
            "flows" => flows(number(1), number(2)),
            "sweep" => sweep(),
            other => panic!("{other}?"),
        };
        println!("{answer}");
    }
}

fn calls(path: &str) {
    let (mut protocol, mut component) = (0, 0);
    let mut one = || {
        let begun = now();
        // SAFETY: both outlive the call.
        check(unsafe { MgmGetProtocolOnInterface(1, 0, &raw mut protocol, &raw mut component) });
        now() - begun
    };
    (0..CALLS / 10).for_each(|_| {
        one();
    });
    let times = (0..CALLS).map(|_| one()).collect();
    let _ = path;
    percentiles("a call and its answer", "mgm", times);
}

/// A call and an alert.
fn messages(path: &str) {
    let pings = ping_pong();
    percentiles("a call and its answer", "bare", pings.clone());
    percentiles("an alert in another process", "bare", pings);
    let mut host = Process::start(&["serve", path], &[]);
    host.ask("host");
    let remote = [("MGM_HOST", path)];
    let mut a = Process::start(&["serve", path], &remote);
    let mut b = Process::start(&["serve", path], &remote);
    a.ask("register 1 1");
    b.ask("register 2 2");
    let status = this(&["calls", path], &remote).status().unwrap();
    assert!(status.success());
    // From the call in one process to the callback in another.
    let alerts = (1..=2000)
        .map(|n| {
            let sent: f64 = b.ask(&format!("add {n} 2")).parse().unwrap();
            let heard: f64 = a.ask("heard").parse().unwrap();
            (heard - sent) as u64
        })
        .collect();
    percentiles("an alert in another process", "mgm", alerts);
}

/// Packets of new flows, each of which waits for all that it causes.
fn one_flow_after_another(path: &str) {
    let mut host = Process::start(&["serve", path], &[]);
    host.ask("host");
    let remote = [("MGM_HOST", path)];
    let mut a = Process::start(&["serve", path], &remote);
    let mut b = Process::start(&["serve", path], &remote);
    a.ask("register 1 1");
    b.ask("register 2 2");
    b.ask("add 0 2");
    let apart: f64 = host.ask(&format!("flows 0 {FLOWS}")).parse().unwrap();
    drop((host, a, b));
    let mut both = Process::start(&["serve", path], &[]);
    both.ask("host");
    both.ask("register 1 1");
    both.ask("register 2 2");
    // The second client of that process has the second interface.
    both.ask("add1 0 2");
    let together: f64 = both.ask(&format!("flows 0 {FLOWS}")).parse().unwrap();
    let what = "one new flow after the other, both clients elsewhere, per s";
    report(what, FLOWS, "mgm", apart);
    report(what, FLOWS, "bare", together);
}

fn sweeps(path: &str) {
    let mut host = Process::start(&["serve", path], &[]);
    host.ask("host");
    host.ask("register 1 1");
    host.ask("register 2 2");
    host.ask("add1 0 2");
    let mut reader = Process::start(&["serve", path], &[("MGM_HOST", path)]);
    host.ask(&format!("flows 0 {RECORDS}"));
    for _ in 0..3 {
        let local: f64 = host.ask("sweep").parse().unwrap();
        let remote: f64 = reader.ask("sweep").parse().unwrap();
        report("a sweep from another process, ns each", RECORDS, "mgm", remote);
        report("a sweep from another process, ns each", RECORDS, "bare", local);
    }
}

/// A part of the measurements, with the path where a host serves.
type Part = fn(&str);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pong", fd] => pong(fd.parse().unwrap()),
        ["serve", path] => serve(path),
        ["calls", path] => calls(path),
        _ => {
            let parts: [(&str, Part); 3] =
                [("messages", messages), ("flows", one_flow_after_another), ("sweeps", sweeps)];
            let rounds = std::env::var("ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
            let path = std::env::temp_dir().join(format!("mgm-bench-{}", std::process::id()));
            let path = path.to_str().unwrap();
            let wanted = |part| words.is_empty() || words.iter().any(|word| word == part);
            for _ in 0..rounds {
                for (part, run) in parts {
                    if wanted(part) {
                        run(path);
                    }
                }
            }
        }
    }
}
