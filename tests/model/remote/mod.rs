//! Subject: clients in this process, their host in another one (rule P1).
//!
//! The host is this program again (`host`). It delivers to one client after the other, as one process
//! with one thread does, since the model has one order of what happens; but a call inside a callback
//! does not wait there until others have been told of what it causes.

pub mod host;
mod processors;

use super::rust_api::{Hosting, RustApi, TestClient};
use super::subject::{Owner, Subject};
use super::words::*;
use mgm::remote::client::RemoteManager;
use mgm::remote::wire::RecordSizes;
use mgm::shell::group_manager::GroupManager;
use mgm::types::{IfKey, SourceGroup};
use processors::{Processors, Stay};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Set in the host's process.
const VARIABLE: &str = "MGM_TEST_HOST";

const SIZES: RecordSizes =
    RecordSizes { mfe: 60, mfe_stats: 64, mfe_stats_ex: 84, source_group: 16 };

/// Where the threads of a program run, those of its host too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// On all processors that there are.
    Everywhere,
    /// On one, where a message costs half as much and a thread that is woken comes at once, however
    /// busy the other processors are.
    OneProcessor,
}

/// A client process's side, and the host.
struct Remote {
    client: RemoteManager<TestClient>,
    path: PathBuf,
    process: Mutex<Process>,
    /// Where the host and its clients stay; none: anywhere.
    only: Option<Processors>,
}

struct Process {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Lines that go with the next question.
    untold: String,
}

/// Those that no test uses now.
static FREE: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

/// One of them, for the caller alone until it is dropped.
pub fn subject(room: Room) -> Arc<dyn Subject> {
    let free = {
        let mut free = lock(&FREE);
        let at = free.iter().position(|remote| remote.room() == room);
        at.map(|at| free.swap_remove(at))
    };
    let remote = free.unwrap_or_else(|| Box::leak(Box::new(Remote::new(room))));
    let host = Borrowed { remote, seen: Mutex::default(), stay: Mutex::new(None) };
    Arc::new(RustApi { api: &remote.client, host: Box::new(host), elsewhere: true })
}

/// One in use. A test that fails keeps it: nobody knows what state it is in.
struct Borrowed {
    remote: &'static Remote,
    seen: Mutex<Seen>,
    /// From start to stop the thread that runs the program stays where the host is.
    stay: Mutex<Option<Stay>>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            lock(&FREE).push(self.remote);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_log(_: mgm::log::Level, _: std::fmt::Arguments<'_>) {}

impl Remote {
    fn new(room: Room) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (this, number) = (std::process::id(), NEXT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(format!("mgm-model-{this}-{number}"));
        let only = (room == Room::OneProcessor).then(Processors::now);
        let stay = only.map(Processors::stay); // which the host's process inherits
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host_process", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(stay);
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let client = RemoteManager::new(no_log, SIZES);
        client.set_path(path.clone());
        let process = Process { _child: child, input, output, untold: String::new() };
        Self { client, path, process: Mutex::new(process), only }
    }

    fn room(&self) -> Room {
        if self.only.is_some() { Room::OneProcessor } else { Room::Everywhere }
    }

    /// A line that has no answer. The host reads it before the next question.
    fn tell(&self, line: &str) {
        let mut process = lock(&self.process);
        process.untold += line;
        process.untold.push('\n');
    }

    fn ask(&self, line: &str) -> String {
        let mut process = lock(&self.process);
        let told = std::mem::take(&mut process.untold);
        process.input.write_all(format!("{told}{line}\n").as_bytes()).unwrap();
        loop {
            let mut answer = String::new();
            assert!(process.output.read_line(&mut answer).unwrap() > 0, "{line}: the host ended");
            if let Some(answer) = answer.trim_end_matches('\n').strip_prefix("= ") {
                return answer.to_string();
            }
        }
    }
}

/// What the host has said with its answers.
#[derive(Default)]
struct Seen {
    /// Since then nothing has happened.
    is_now: bool,
    /// Nobody has been given these yet.
    sent: Vec<Sent>,
    owners: Vec<Owner>,
    /// The entries are others than at the last look at them.
    entries_changed: bool,
}

impl Borrowed {
    /// Something that the host does. Its answer tells of all that this has caused.
    fn act(&self, line: &str) -> u32 {
        let code = self.ask(line);
        lock(&self.seen).is_now = true;
        code
    }

    /// The code, where the host does something.
    fn ask(&self, line: &str) -> u32 {
        let answer = self.remote.ask(line);
        let parts: Vec<&str> = answer.split(';').collect();
        let [code, sent, owners, changed] = parts[..] else { panic!("{line}: {answer}") };
        let mut seen = lock(&self.seen);
        seen.sent.extend(packets_in(sent));
        seen.owners = owners_in(owners);
        seen.entries_changed |= changed == "true";
        code.parse().unwrap()
    }
}

fn packets_in(list: &str) -> Vec<Sent> {
    let one = |packet: &str| {
        let words: Vec<&str> = packet.split(' ').collect();
        let address = |at: usize| words[at].parse::<Ipv4Addr>().unwrap();
        Sent {
            on: IfKey::new(words[0].parse().unwrap(), address(1)),
            flow: SourceGroup::new(address(2), address(3)),
            ttl: words[4].parse().unwrap(),
            after: 0,
        }
    };
    list.split(',').filter(|packet| !packet.is_empty()).map(one).collect()
}

fn owners_in(list: &str) -> Vec<Owner> {
    let owner = |text: &str| {
        let numbers: Vec<u32> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        match numbers[..] {
            [protocol, component] => Ok((protocol, component)),
            _ => Err(numbers[0]),
        }
    };
    list.split(',').map(owner).collect()
}

fn words(on: IfKey) -> String {
    format!("{} {}", on.index, on.next_hop)
}

impl Hosting for Borrowed {
    fn start(&self, world: &World) {
        *lock(&self.stay) = self.remote.only.map(Processors::stay);
        let World { max_mfes, max_new, max_new_of_source, null_route, portion, .. } = *world;
        let limits = format!("{max_mfes} {max_new} {max_new_of_source}");
        let path = self.remote.path.display();
        self.ask(&format!("start {path} {limits} {null_route} {portion}"));
        // That the host before has ended shows at a call.
        let api: &dyn GroupManager<TestClient> = &self.remote.client;
        let is_there = || {
            api.protocol_on_interface(IfKey::new(1, Ipv4Addr::UNSPECIFIED))
                .is_err_and(|error| error.code() == code::NOT_FOUND)
        };
        assert!((0..3).any(|_| is_there()), "no connection to the host");
    }

    fn stop(&self) {
        assert_eq!(self.ask("stop"), code::NO_ERROR);
        *lock(&self.stay) = None;
    }

    fn receive(&self, on: IfKey, packet: &[u8]) -> u32 {
        let octets: String = packet.iter().map(|octet| format!("{octet:02x}")).collect();
        self.act(&format!("packet {} {octets}", words(on)))
    }

    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32 {
        self.act(&format!("changed {network} {len}"))
    }

    fn interface_down(&self, on: IfKey) -> u32 {
        self.act(&format!("down {}", words(on)))
    }

    fn set_route(&self, network: Ipv4Addr, len: u8, to: Option<IfKey>) {
        let to = to.map_or(String::new(), |to| format!(" {}", words(to)));
        self.remote.tell(&format!("route {network} {len}{to}"));
    }

    fn set_clock(&self, now: u64) {
        self.remote.tell(&format!("clock {now}"));
    }

    fn owners(&self) -> Option<Vec<Owner>> {
        Some(lock(&self.seen).owners.clone())
    }

    fn settle(&self) -> Vec<Sent> {
        let is_now = std::mem::take(&mut lock(&self.seen).is_now);
        if !is_now {
            self.ask("settle");
        }
        std::mem::take(&mut lock(&self.seen).sent)
    }

    fn entries_changed(&self) -> bool {
        std::mem::take(&mut lock(&self.seen).entries_changed)
    }
}
