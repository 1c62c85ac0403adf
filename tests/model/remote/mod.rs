//! Subject: clients in this process, their host in another one (rule P1).
//!
//! The host is this program again (`host`). It delivers to one client after the other, as one process
//! with one thread does, since the model has one order of what happens; but a call inside a callback
//! does not wait there until others have been told of what it causes.

pub mod host;

use super::net::INTERFACES;
use super::rust_api::{Hosting, RustApi, TestClient};
use super::subject::{Owner, Subject};
use super::words::*;
use mgm::remote::client::RemoteManager;
use mgm::remote::wire::RecordSizes;
use mgm::shell::group_manager::GroupManager;
use mgm::types::{IfKey, SourceGroup};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// Set in the host's process.
const VARIABLE: &str = "MGM_TEST_HOST";

const SIZES: RecordSizes =
    RecordSizes { mfe: 60, mfe_stats: 64, mfe_stats_ex: 84, source_group: 16 };

/// A client process's side, and the host.
struct Remote {
    client: RemoteManager<TestClient>,
    path: PathBuf,
    process: Mutex<Process>,
}

struct Process {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Those that no test uses now.
static FREE: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

/// One of them, for the caller alone until it is dropped.
pub fn subject() -> Arc<dyn Subject> {
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let remote = free.unwrap_or_else(|| Box::leak(Box::new(Remote::new())));
    Arc::new(RustApi { api: &remote.client, host: Box::new(Borrowed(remote)), elsewhere: true })
}

/// One in use. A test that fails keeps it: nobody knows what state it is in.
struct Borrowed(&'static Remote);

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
        }
    }
}

fn no_log(_: mgm::log::Level, _: std::fmt::Arguments<'_>) {}

impl Remote {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (this, number) = (std::process::id(), NEXT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(format!("mgm-model-{this}-{number}"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "host_process", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let client = RemoteManager::new(no_log, SIZES);
        client.set_path(path.clone());
        let process = Mutex::new(Process { _child: child, input, output });
        Self { client, path, process }
    }

    fn ask(&self, line: &str) -> String {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.input.write_all(format!("{line}\n").as_bytes()).unwrap();
        loop {
            let mut answer = String::new();
            assert!(process.output.read_line(&mut answer).unwrap() > 0, "{line}: the host ended");
            if let Some(answer) = answer.trim_end_matches('\n').strip_prefix("= ") {
                return answer.to_string();
            }
        }
    }

    fn code(&self, line: &str) -> u32 {
        self.ask(line).parse().unwrap()
    }
}

fn words(on: IfKey) -> String {
    format!("{} {}", on.index, on.next_hop)
}

impl Hosting for Borrowed {
    fn start(&self, world: &World) {
        let World { max_mfes, max_new, max_new_of_source, null_route, portion, .. } = *world;
        let limits = format!("{max_mfes} {max_new} {max_new_of_source}");
        let path = self.0.path.display();
        self.0.ask(&format!("start {path} {limits} {null_route} {portion}"));
        // That the host before has ended shows at a call.
        let api: &dyn GroupManager<TestClient> = &self.0.client;
        let is_there = || {
            api.protocol_on_interface(IfKey::new(1, Ipv4Addr::UNSPECIFIED))
                .is_err_and(|error| error.code() == code::NOT_FOUND)
        };
        assert!((0..3).any(|_| is_there()), "no connection to the host");
    }

    fn stop(&self) {
        assert_eq!(self.0.code("stop"), code::NO_ERROR);
    }

    fn receive(&self, on: IfKey, packet: &[u8]) -> u32 {
        let octets: String = packet.iter().map(|octet| format!("{octet:02x}")).collect();
        self.0.code(&format!("packet {} {octets}", words(on)))
    }

    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32 {
        self.0.code(&format!("changed {network} {len}"))
    }

    fn interface_down(&self, on: IfKey) -> u32 {
        self.0.code(&format!("down {}", words(on)))
    }

    fn set_route(&self, network: Ipv4Addr, len: u8, to: Option<IfKey>) {
        let to = to.map_or(String::new(), |to| format!(" {}", words(to)));
        self.0.ask(&format!("route {network} {len}{to}"));
    }

    fn set_clock(&self, now: u64) {
        self.0.ask(&format!("clock {now}"));
    }

    fn owners(&self) -> Option<Vec<Owner>> {
        let all: Vec<String> = INTERFACES.into_iter().map(words).collect();
        let owner = |text: &str| {
            let numbers: Vec<u32> = text.split(' ').map(|word| word.parse().unwrap()).collect();
            match numbers[..] {
                [protocol, component] => Ok((protocol, component)),
                _ => Err(numbers[0]),
            }
        };
        Some(self.0.ask(&format!("owners {}", all.join(" "))).split(',').map(owner).collect())
    }

    fn settle(&self) -> Vec<Sent> {
        let lines = self.0.ask("settle");
        let one = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let address = |at: usize| words[at].parse::<Ipv4Addr>().unwrap();
            Sent {
                on: IfKey::new(words[0].parse().unwrap(), address(1)),
                flow: SourceGroup::new(address(2), address(3)),
                ttl: words[4].parse().unwrap(),
                after: 0,
            }
        };
        lines.split(',').filter(|line| !line.is_empty()).map(one).collect()
    }
}
