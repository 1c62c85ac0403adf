//! What the control socket tells of changes (decision 93): whoever applies them to the state that there
//! was has the state that there is.

#[allow(dead_code, reason = "shared with other tests; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, host, interface, packet, started};
use mgm::forwarder::memory::MemoryConfig;
use mgm::shell::manager::{ForwarderChoice, Mgm, Settings};
use mgm::types::{ClientId, MembershipFlags, Millis, Route, SourceGroup};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// IGMP's protocol id.
const IGMP: u32 = 10;

struct Host {
    mgm: &'static Mgm<NoCallbacks>,
    path: PathBuf,
    clock: Arc<AtomicU64>,
    /// The interface toward all sources; 0: that which a packet comes in on.
    toward: Arc<AtomicU32>,
}

impl Host {
    fn new(name: &str, portion: usize) -> Self {
        let path = std::env::temp_dir().join(format!("mgme-{}-{name}", std::process::id()));
        let (clock, toward) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(1)));
        let (time, to) = (clock.clone(), toward.clone());
        let route = move |source: Ipv4Addr, _| {
            let to = interface(to.load(Relaxed), 0);
            Some(Route {
                interface: to,
                upstream: source,
                protocol: 0,
                network: source,
                prefix_len: 32,
            })
        };
        let memory = MemoryConfig { route: Some(Box::new(route)), transmit: None };
        let mgm = started(Settings {
            control_path: Some(path.clone()),
            clock: Some(Arc::new(move || Millis(time.load(Relaxed)))),
            forwarder: ForwarderChoice::Memory(memory),
            portion,
            ..host()
        });
        Self { mgm, path, clock, toward }
    }

    fn ask(&self, request: &str) -> Value {
        ask(&self.path, request)
    }

    fn register(&self, protocol: u32, component: u32) -> ClientId {
        self.mgm.register(NoCallbacks, protocol, component).unwrap()
    }
}

fn ask(path: &Path, request: &str) -> Value {
    let mut socket = UnixStream::connect(path).unwrap();
    socket.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// What is known of the state: texts that name things, each as JSON has them.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    clients: BTreeSet<String>,
    /// Who is on each interface, and whether it is down.
    interfaces: BTreeMap<String, BTreeSet<String>>,
    down: BTreeSet<String>,
    members: BTreeSet<String>,
    /// The iif, whether it is resolved, and the oifs.
    entries: BTreeMap<String, (String, bool, BTreeSet<String>)>,
}

fn owner(client: &Value) -> String {
    format!("{}/{}", client["protocol_number"], client["component"])
}

fn place(interface: &Value) -> String {
    format!("{}@{}", interface["index"], interface["next_hop"])
}

fn flow(row: &Value) -> String {
    format!("{},{}", row["source"], row["group"])
}

fn member(row: &Value) -> String {
    format!("{} {} {} {}", flow(row), place(&row["interface"]), owner(&row["client"]), row["igmp"])
}

impl Mirror {
    /// The state as the host has it.
    fn of(state: &Value) -> Self {
        let mut mirror = Self::default();
        let rows = |list: &str| state[list].as_array().unwrap().clone();
        mirror.clients.extend(rows("clients").iter().map(owner));
        for row in rows("interfaces") {
            let who = [&row["owner"], &row["igmp"]].into_iter().filter(|who| !who.is_null());
            mirror.interfaces.insert(place(&row["interface"]), who.map(owner).collect());
            if row["up"] == false {
                mirror.down.insert(place(&row["interface"]));
            }
        }
        mirror.members.extend(rows("groups").iter().map(member));
        for row in rows("mfes") {
            let oifs = row["oifs"].as_array().unwrap();
            let oifs = oifs.iter().map(|oif| place(&oif["interface"])).collect();
            let resolved = row["resolved"].as_bool().unwrap();
            mirror.entries.insert(flow(&row), (place(&row["iif"]), resolved, oifs));
        }
        mirror
    }

    /// What comes was not there, and what goes was.
    fn apply(&mut self, event: &Value) {
        let (of, what) = (event["of"].as_str().unwrap(), event["what"].as_str().unwrap());
        let on = place(&event["interface"]);
        let fits = match (of, what) {
            ("client", "came") => self.clients.insert(owner(&event["client"])),
            ("client", "went") => self.clients.remove(&owner(&event["client"])),
            ("interface", "taken") => {
                self.interfaces.entry(on).or_default().insert(owner(&event["client"]))
            }
            ("interface", "released") => {
                let on_it = self.interfaces.get_mut(&on).unwrap();
                let was = on_it.remove(&owner(&event["client"]));
                if on_it.is_empty() {
                    self.interfaces.remove(&on);
                    self.down.remove(&on);
                }
                was
            }
            ("interface", "up") => self.down.remove(&on),
            ("interface", "down") => self.down.insert(on),
            ("member", "came") => self.members.insert(member(event)),
            ("member", "went") => self.members.remove(&member(event)),
            ("entry", "came") => {
                let entry = (on, event["resolved"].as_bool().unwrap(), BTreeSet::new());
                self.entries.insert(flow(event), entry).is_none()
            }
            ("entry", "went") => {
                let gone = self.entries.remove(&flow(event)).unwrap();
                gone == (on, event["resolved"].as_bool().unwrap(), BTreeSet::new())
            }
            ("entry", "moved") => {
                let entry = self.entries.get_mut(&flow(event)).unwrap();
                let to = (on, event["resolved"].as_bool().unwrap());
                let moved = (&entry.0, entry.1) != (&to.0, to.1);
                (entry.0, entry.1) = to;
                moved
            }
            ("oif", "came") => self.entries.get_mut(&flow(event)).unwrap().2.insert(on),
            ("oif", "went") => self.entries.get_mut(&flow(event)).unwrap().2.remove(&on),
            _ => false,
        };
        assert!(fits, "{event}\n{self:#?}");
    }
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % end
    }
}

/// Does something; what is refused is no matter.
fn do_something(host: &Host, numbers: &mut Numbers, clients: &mut [ClientId; 3]) {
    let mgm = host.mgm;
    let who = numbers.below(3) as usize;
    let client = clients[who];
    let on = interface(1 + numbers.below(4), numbers.below(2));
    let source = Ipv4Addr::from([10, 0, 0, 1 + numbers.below(3) as u8]);
    let group = Ipv4Addr::from([239, 1, 1, 1 + numbers.below(2) as u8]);
    let of = match numbers.below(4) {
        0 => SourceGroup::ALL,
        1 => SourceGroup::new(source, group),
        _ => SourceGroup::new(Ipv4Addr::UNSPECIFIED, group),
    };
    let flags = MembershipFlags { join: numbers.below(4) > 0, forward: numbers.below(4) == 0 };
    match numbers.below(24) {
        0..5 => drop(mgm.take_interface(client, on)),
        5 => drop(mgm.release_interface(client, on)),
        6..11 => drop(mgm.add_membership(client, of, on, flags)),
        11..14 => drop(mgm.delete_membership(client, of, on, flags)),
        14..19 => drop(mgm.receive(on, &packet(source, group))),
        19 => drop(mgm.interface_down(on)),
        20..22 => {
            host.toward.store(1 + numbers.below(5), Relaxed);
            mgm.routes_changed(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        }
        22 => drop(host.clock.fetch_add(20_000, Relaxed)),
        _ => {
            for index in 1..5 {
                for hop in 0..2 {
                    let _ = mgm.release_interface(client, interface(index, hop));
                }
            }
            mgm.deregister(client).unwrap();
            clients[who] = host.register([MULTICAST, MULTICAST, IGMP][who], who as u32);
        }
    }
}

fn the_changes_lead_to_the_state(seed: u64, portion: usize) {
    let host = Host::new(&format!("{seed}"), portion);
    let mut numbers = Numbers(seed);
    let mut clients = [(MULTICAST, 0), (MULTICAST, 1), (IGMP, 2)].map(|(p, c)| host.register(p, c));
    let mut next = host.ask("events")["next"].as_u64().unwrap();
    let mut mirror = Mirror::of(&host.ask("state"));
    let mut kinds = BTreeSet::new();
    for round in 0..150 {
        for _ in 0..1 + numbers.below(8) {
            do_something(&host, &mut numbers, &mut clients);
        }
        let changes = host.ask(&format!("events {next}"));
        assert_eq!(changes["missed"], 0);
        let events = changes["events"].as_array().unwrap();
        assert_eq!(changes["next"], next + events.len() as u64);
        next = changes["next"].as_u64().unwrap();
        for event in events {
            mirror.apply(event);
            kinds.insert(format!("{} {}", event["of"], event["what"]));
        }
        assert_eq!(
            mirror,
            Mirror::of(&host.ask("state")),
            "seed {seed}, round {round}: {events:#?}"
        );
    }
    assert_eq!(kinds.len(), 13, "all kinds: {kinds:?}");
    host.mgm.stop().unwrap();
}

#[test]
fn the_changes_lead_from_one_state_to_the_next() {
    for seed in 1..5 {
        the_changes_lead_to_the_state(seed, if seed % 2 == 0 { 1 } else { 256 });
    }
}

#[test]
fn what_comes_and_goes_between_two_questions_is_told() {
    let host = Host::new("between", 256);
    let next = host.ask("events")["next"].clone();
    let client = host.register(MULTICAST, 7);
    host.mgm.deregister(client).unwrap();
    let changes = host.ask(&format!("events {next}"));
    let told = changes["events"].as_array().unwrap();
    let told: Vec<_> = told.iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(told, ["came", "went"]);
    assert_eq!(changes["events"][0]["client"]["component"], 7);
    assert_eq!(changes["process"], std::process::id());
    // Asked again, they are told again; a number that has not come yet is that of the next one.
    assert_eq!(host.ask(&format!("events {next}")), changes);
    let later = host.ask(&format!("events {}", u64::MAX));
    assert_eq!((&later["next"], &later["missed"]), (&changes["next"], &Value::from(0)));
    host.mgm.stop().unwrap();
}

#[test]
fn what_was_not_kept_is_counted() {
    let host = Host::new("missed", 256);
    let first = host.ask("events")["next"].as_u64().unwrap();
    for component in 0..40_000 {
        let client = host.register(MULTICAST, component);
        host.mgm.deregister(client).unwrap();
    }
    let changes = host.ask(&format!("events {first}"));
    assert_eq!(changes["missed"], 80_000 - 65_536);
    let events = changes["events"].as_array().unwrap();
    assert_eq!(events.len(), 65_536);
    assert_eq!(events[65_535]["client"]["component"], 39_999);
    assert_eq!(changes["next"], first + 80_000);
    // Nobody asks for a minute: nothing is kept any more, and whoever asks then is told so.
    host.clock.fetch_add(61_000, Relaxed);
    host.mgm
        .receive(interface(1, 0), &packet([10, 0, 0, 1].into(), [239, 1, 1, 1].into()))
        .unwrap();
    let next = changes["next"].as_u64().unwrap();
    let changes = host.ask(&format!("events {next}"));
    assert_eq!(
        (&changes["missed"], changes["events"].as_array().unwrap().len()),
        (&Value::from(1), 0)
    );
    host.mgm.stop().unwrap();
}
