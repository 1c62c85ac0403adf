//! The control socket: what an administrator's tool gets, and what it cannot break.

#[allow(dead_code, reason = "shared with tests/state.rs; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, leak, packet, started};
use mgm::error::{Error, StartError};
use mgm::shell::manager::{Mgm, Settings};
use mgm::types::SourceGroup;
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Far more than anything here takes, on a busy machine too.
const LONG: Duration = Duration::from_secs(30);

/// A directory of a test's own; goes with its files.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("mgmc-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("mgm")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn serving(path: &Path) -> Settings {
    Settings { control_path: Some(path.to_owned()), ..host() }
}

/// Sends octets and reads the answer to its end.
fn send(path: &Path, request: &[u8]) -> String {
    let mut client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(request).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer to a request, which must be one line of JSON.
fn ask(path: &Path, request: &str) -> Value {
    let answer = send(path, format!("{request}\n").as_bytes());
    let line = answer.strip_suffix('\n').unwrap_or_else(|| panic!("no whole line: {answer:?}"));
    assert!(!line.contains('\n'), "{line}");
    serde_json::from_str(line).unwrap()
}

fn write_state(mgm: &Mgm<NoCallbacks>) -> Value {
    let mut text = Vec::new();
    mgm.write_state(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A client with memberships on one interface: each is some 200 octets of the state.
fn with_memberships(mgm: &'static Mgm<NoCallbacks>, count: u32) {
    let client = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    mgm.take_interface(client, interface(1, 0)).unwrap();
    for n in 0..count {
        let of = SourceGroup::new([10, 0, 0, 1].into(), group(n));
        join(mgm, client, of, interface(1, 0));
    }
}

#[test]
fn each_request_gives_its_part_of_the_state() {
    let directory = Directory::new();
    let path = directory.socket();
    // The host's clock stands still, so that two answers are the same.
    let mgm = started(Settings {
        clock: Some(std::sync::Arc::new(|| mgm::types::Millis(0))),
        ..serving(&path)
    });
    with_memberships(mgm, 700);
    mgm.receive(interface(1, 0), &packet([10, 0, 0, 1].into(), group(1))).unwrap();

    let whole = ask(&path, "state");
    assert_eq!(whole, write_state(mgm));
    assert_eq!(whole["groups"].as_array().unwrap().len(), 700);
    for part in ["mfes", "groups", "interfaces", "clients", "counters"] {
        assert_eq!(ask(&path, part), json!({ part: whole[part] }), "{part}");
    }
    let mut summary = whole;
    for list in ["mfes", "groups", "interfaces", "clients"] {
        summary.as_object_mut().unwrap().remove(list);
    }
    assert_eq!(ask(&path, "summary"), summary);
    assert_eq!(send(&path, b"clients\r\n"), send(&path, b"clients\n"));
    mgm.stop().unwrap();
}

#[test]
fn the_end_of_input_ends_the_request() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"clients").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"clients\":[]}\n");
    mgm.stop().unwrap();
}

#[test]
fn other_requests_are_told_what_is_allowed() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    let refusal = "{\"error\":\"unknown request\",\"allowed\":[\"state\",\"summary\",\"mfes\",\
                   \"groups\",\"interfaces\",\"clients\",\"counters\",\"events\"]}\n";
    let long = [b'x'; 64];
    let unknown: [&[u8]; 12] = [
        b"\n",
        b"help\n",
        b"State\n",
        b" state\n",
        b"state mfes\n",
        b"\xff\xfe\n",
        b"events \n",
        b"events -1\n",
        b"events +1\n",
        b"events 1 2\n",
        b"events 18446744073709551616\n",
        &long,
    ];
    for request in unknown {
        assert_eq!(send(&path, request), refusal, "{request:?}");
    }
    mgm.stop().unwrap();
}

#[test]
fn the_file_is_its_owners_alone_and_goes_at_the_end() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    let file = fs::symlink_metadata(&path).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o600);
    assert_eq!(directory.names(), ["mgm"], "nothing else is left in the directory");
    mgm.stop().unwrap();
    assert!(directory.names().is_empty());

    // The same again, and a file that took its place stays.
    mgm.start(serving(&path)).unwrap();
    assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    mgm.stop().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
}

#[test]
fn a_dead_process_s_socket_is_replaced() {
    let directory = Directory::new();
    let path = directory.socket();
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let mgm = started(serving(&path));
    assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
    assert_eq!(directory.names(), ["mgm"]);
    mgm.stop().unwrap();
}

#[test]
fn a_live_one_is_left_alone() {
    let directory = Directory::new();
    let path = directory.socket();
    let first = started(serving(&path));
    let second = leak();
    let error = second.start(serving(&path)).unwrap_err();
    let reason = StartError::Socket { name: "control socket", reason: "another process serves it" };
    let reason = Box::new(reason);
    assert_eq!(error, Error::SocketNotServed { path: path.clone(), reason });
    assert_eq!(error.code(), 1003);
    assert_eq!(second.write_state(&mut Vec::new()), Err(Error::NotRunning));
    assert_eq!(ask(&path, "clients"), json!({ "clients": [] }), "the first still answers");
    assert_eq!(directory.names(), ["mgm"]);
    first.stop().unwrap();
    // What failed left nothing behind.
    second.start(serving(&path)).unwrap();
    assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
    second.stop().unwrap();
}

#[test]
fn files_that_are_no_sockets_stay() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = leak();
    let refused = |what: &str| {
        let error = mgm.start(serving(&path)).unwrap_err();
        let reason = "there is a file at its path that is no socket";
        let reason = Box::new(StartError::Socket { name: "control socket", reason });
        assert_eq!(error, Error::SocketNotServed { path: path.clone(), reason }, "{what}");
        assert_eq!(directory.names(), ["mgm"], "{what}");
    };
    fs::write(&path, "text").unwrap();
    refused("a file");
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("a directory");
    fs::remove_dir(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    refused("a link");
}

#[test]
fn places_where_no_socket_can_be() {
    let directory = Directory::new();
    let mgm = leak();
    for path in [directory.0.join("no/mgm"), directory.0.join("x".repeat(200)), "".into()] {
        let error = mgm.start(serving(&path)).unwrap_err();
        assert!(matches!(error, Error::SocketNotServed { .. }), "{error}");
        assert!(error.to_string().starts_with("control socket: "), "{error}");
    }
    let deep = directory.0.join("d".repeat(100));
    fs::create_dir(&deep).unwrap();
    let error = mgm.start(serving(&deep.join("mgm"))).unwrap_err();
    assert!(error.to_string().contains("the path is too long"), "{error}");
    assert!(fs::read_dir(&deep).unwrap().next().is_none());
}

/// Whether the other side has ended a connection, whatever is left to read.
fn is_ended(client: &UnixStream) -> bool {
    let mut polled = libc::pollfd { fd: client.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one structure.
    unsafe { libc::poll(&raw mut polled, 1, 10) };
    polled.revents & libc::POLLHUP != 0
}

/// Waits for the end of a connection that nothing is sent on; gives what came.
fn rest_of(mut client: UnixStream) -> Vec<u8> {
    client.set_read_timeout(Some(LONG)).unwrap();
    let mut rest = Vec::new();
    match client.read_to_end(&mut rest) {
        // Reset: it was closed with something unread.
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => rest,
    }
}

#[test]
fn nobody_waits_for_clients_that_are_silent() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    // Served one after the other, the answer would come when all that were silent have been cut off.
    // A machine that is as slow as that shows nothing, and is asked again.
    let answered_before = (0..5).any(|_| {
        let silent: Vec<_> = (0..10).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
        silent.iter().all(|client| {
            client.set_nonblocking(true).unwrap();
            let mut client = client;
            client.read(&mut [0]).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
        })
    });
    assert!(answered_before);
    // More of them than there are places for at one time: the answer comes all the same.
    let silent: Vec<_> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
    drop(silent);
    mgm.stop().unwrap();
}

#[test]
fn who_is_silent_is_cut_off() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    let begun = Instant::now();
    let silent = UnixStream::connect(&path).unwrap();
    let mut half = UnixStream::connect(&path).unwrap();
    half.write_all(b"sta").unwrap();
    assert!(rest_of(silent).is_empty() && rest_of(half).is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(900), "each had its second");
    mgm.stop().unwrap();
}

/// A request that comes octet by octet has its second, not a second for each octet.
#[test]
fn who_dribbles_is_cut_off() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    // Its second may begin before `connect` has returned.
    let begun = Instant::now();
    let mut client = UnixStream::connect(&path).unwrap();
    let mut sent = 0;
    // One octet each 200 ms, until the other side is closed; 63 take far longer than it waits.
    while client.write_all(b"x").is_ok() {
        sent += 1;
        assert!(sent < 64, "all of an endless request was waited for");
        client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        match client.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(900));
    mgm.stop().unwrap();
}

#[test]
fn who_does_not_read_holds_up_neither_the_library_nor_others_for_long() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    // Several times what a socket takes.
    with_memberships(mgm, 10_000);
    let mut lazy = UnixStream::connect(&path).unwrap();
    lazy.write_all(b"state\n").unwrap();
    lazy.set_read_timeout(Some(LONG)).unwrap();
    lazy.read_exact(&mut [0]).unwrap();
    // The answer is on its way and stuck: calls that need the lock for themselves go on.
    let other = mgm.register(NoCallbacks, MULTICAST, 1).unwrap();
    mgm.deregister(other).unwrap();
    let begun = Instant::now();
    assert_eq!(ask(&path, "clients")["clients"].as_array().unwrap().len(), 1);
    // It has a second without progress.
    while !is_ended(&lazy) {
        assert!(begun.elapsed() < LONG);
    }
    let rest = rest_of(lazy);
    assert!(!rest.ends_with(b"}\n"), "half an answer does not look like a whole one");
    mgm.stop().unwrap();
}

#[test]
fn the_end_does_not_wait_for_clients() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    with_memberships(mgm, 10_000);
    for request in ["", "state\n"] {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        if !request.is_empty() {
            client.read_exact(&mut [0]).unwrap();
        }
        mgm.stop().unwrap();
        rest_of(client);
        assert!(directory.names().is_empty());
        mgm.start(serving(&path)).unwrap();
        with_memberships(mgm, 10_000);
    }
    mgm.stop().unwrap();
}

#[test]
fn many_clients_and_many_starts() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = leak();
    for _ in 0..20 {
        mgm.start(serving(&path)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(ask(&path, "clients"), json!({ "clients": [] }));
                    }
                });
            }
        });
        mgm.stop().unwrap();
    }
    assert!(directory.names().is_empty());
}

/// What the host's children would inherit, and what runs on the thread.
#[test]
fn descriptors_close_on_exec_and_signals_stay_away() {
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    let _connected = UnixStream::connect(&path).unwrap();
    let mut sockets = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let Ok(info) = fs::read_to_string(Path::new("/proc/self/fdinfo").join(entry.file_name()))
        else {
            continue;
        };
        if is_socket {
            sockets += 1;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert!(flags & libc::O_CLOEXEC != 0, "{info}");
        }
    }
    assert!(sockets >= 2);

    let mut threads = 0;
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let task = entry.unwrap().path();
        let Ok(name) = fs::read_to_string(task.join("comm")) else { continue };
        if name == "mgm-control\n" {
            let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
            for signal in [libc::SIGPIPE, libc::SIGTERM, libc::SIGCHLD, libc::SIGUSR1] {
                assert!(blocked >> (signal - 1) & 1 == 1, "signal {signal}");
            }
            threads += 1;
        }
    }
    assert!(threads >= 1);
    mgm.stop().unwrap();
}

const CHILD: &str = "MGM_TEST_CHILD";

/// Whether this is the process that `run_child` has made.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test again, in a process of its own.
fn run_child(name: &str, directory: &Path) {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1"])
        .env(CHILD, "1")
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{:?} {text}", child.status);
}

/// The working directory is the process's, so it is a process of its own. The absolute path of its
/// socket is longer than a socket's can be.
#[test]
fn a_relative_path_is_found_again_from_another_directory() {
    if is_child() {
        return relative_path();
    }
    let directory = Directory::new();
    let deep = directory.0.join("d".repeat(100));
    fs::create_dir(&deep).unwrap();
    run_child("a_relative_path_is_found_again_from_another_directory", &deep);
    assert!(fs::read_dir(&deep).unwrap().next().is_none());
}

fn relative_path() {
    let path = Path::new("mgm");
    let mgm = started(serving(path));
    assert_eq!(ask(path, "clients"), json!({ "clients": [] }));
    std::env::set_current_dir("/").unwrap();
    mgm.stop().unwrap();
}

/// A client that goes away in the middle of its answer does not end the process, whose SIGPIPE
/// is the default: as it is in a C program, and not in a Rust one. So it is a process of its own.
#[test]
fn who_goes_away_does_not_kill_the_process() {
    if !is_child() {
        return run_child("who_goes_away_does_not_kill_the_process", Path::new("."));
    }
    // SAFETY: the default action is set for a signal that this process has no handler for.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let directory = Directory::new();
    let path = directory.socket();
    let mgm = started(serving(&path));
    with_memberships(mgm, 10_000);
    for _ in 0..5 {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"state\n").unwrap();
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        assert_eq!(ask(&path, "clients")["clients"].as_array().unwrap().len(), 1);
    }
    mgm.stop().unwrap();
}
