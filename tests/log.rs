//! The log: what each level tells.

#[allow(dead_code, reason = "shared with other tests; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, packet, started};
use mgm::error::Error;
use mgm::forwarder::{DeviceName, EntryChange, Forwarder, ForwarderError, Upcalls};
use mgm::log::{Level, Line};
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{ForwarderChoice, LogSink, Mgm, Settings};
use mgm::types::{Counters, IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

/// What is logged at a level when two clients make one flow and end it.
fn lines_at(log_level: Level) -> Vec<(Level, String)> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let lines = lines.clone();
        move |level: Level, line: &Line| {
            lines.lock().unwrap().push((level, line.as_str().to_owned()));
        }
    };
    let mgm = started(Settings { log_level, log: LogSink::Host(Arc::new(sink)), ..host() });
    let (one, two) = (interface(1, 0), interface(2, 0));
    let source = mgm.register(NoCallbacks, MULTICAST, 1).unwrap();
    let receiver = mgm.register(NoCallbacks, MULTICAST, 2).unwrap();
    mgm.take_interface(source, one).unwrap();
    mgm.take_interface(receiver, two).unwrap();
    join(mgm, receiver, SourceGroup::new([0, 0, 0, 0].into(), group(1)), two);
    mgm.receive(one, &packet([10, 0, 0, 1].into(), group(1))).unwrap();
    mgm.release_interface(source, one).unwrap();
    mgm.stop().unwrap();
    std::mem::take(&mut *lines.lock().unwrap())
}

#[test]
fn info_tells_starts_stops_and_ownership() {
    let expected = [
        "started with the memory forwarder",
        "protocol 0x41370064 component 0x1 registered",
        "protocol 0x41370064 component 0x2 registered",
        "interface 1: taken by protocol 0x41370064 component 0x1",
        "interface 2: taken by protocol 0x41370064 component 0x2",
        "interface 1: released by protocol 0x41370064 component 0x1",
        "stopped",
    ];
    let lines = lines_at(Level::Info);
    assert_eq!(lines, expected.map(|line| (Level::Info, line.to_owned())));
    assert!(lines_at(Level::Warn).is_empty() && lines_at(Level::Off).is_empty());
}

#[test]
fn debug_tells_entries_and_trace_tells_callbacks() {
    let of = |wanted: Level| {
        let lines = lines_at(Level::Trace).into_iter();
        lines.filter(move |(level, _)| *level == wanted).map(|(_, line)| line).collect::<Vec<_>>()
    };
    let flow = "(10.0.0.1,239.0.0.1)";
    let [one, two] = [1, 2].map(|n| format!("protocol 0x41370064 component {n:#x}"));
    assert_eq!(
        of(Level::Debug),
        [
            format!("entry {flow}: from interface 1 to 1 interfaces"),
            format!("entry {flow}: removed")
        ]
    );
    assert_eq!(
        of(Level::Trace),
        [
            format!("{one}: join alert (*,239.0.0.1) membership"),
            format!("new flow {flow} on interface 1"),
            format!("{one}: RPF {flow}, route by interface 1"),
            format!("{two}: creation alert {flow} from interface 1 to 1 of its interfaces"),
            format!("{one}: join alert {flow} entry"),
        ]
    );
    assert!(lines_at(Level::Debug).iter().all(|(level, _)| *level <= Level::Debug));
}

/// A plane with devices, which takes everything.
struct Devices;

impl Forwarder for Devices {
    fn start(&self, _: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        Ok(())
    }
    fn stop(&self) {}
    fn add_interface(&self, interface: IfKey) -> Result<(), ForwarderError> {
        if interface.index < 9 { Ok(()) } else { Err(ForwarderError::Refused("no room")) }
    }
    fn remove_interface(&self, _: IfKey) {}
    fn program(&self, _: &[EntryChange<'_>], _: &mut dyn FnMut(usize, ForwarderError)) {}
    fn device_name(&self, index: u32) -> Option<DeviceName> {
        let mut name = *b"eth0\x1b[31m\xff\0\0\0\0\0\0";
        name[3] += index as u8;
        Some(DeviceName((index < 9).then_some(name)))
    }
    fn counters(&self, _: SourceGroup) -> Option<Counters> {
        None
    }
    fn route(&self, source: Ipv4Addr, _: Option<IfKey>) -> Option<Route> {
        Refusing.route(source, None)
    }
}

/// Every line, whoever wrote it, names clients by their ids and interfaces with their devices.
#[test]
fn lines_name_clients_and_devices() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let lines = lines.clone();
        move |_: Level, line: &Line| lines.lock().unwrap().push(line.as_str().to_owned())
    };
    let mgm: &'static Mgm<Foreign> = Box::leak(Box::default());
    let settings = Settings {
        log_level: Level::Trace,
        log: LogSink::Host(Arc::new(sink)),
        forwarder: ForwarderChoice::Custom(Arc::new(Devices)),
        ..Settings::default()
    };
    mgm.start(settings).unwrap();
    let [a, b] = [1, 2].map(|n| mgm.register(Foreign, MULTICAST, n).unwrap());
    let igmp = mgm.register(Foreign, 10, 0).unwrap();
    let all = SourceGroup::new([0, 0, 0, 0].into(), group(1));
    let (one, two) = (interface(1, 0), interface(2, 7));
    let join = MembershipFlags { join: true, forward: true };
    mgm.take_interface(igmp, two).unwrap();
    mgm.take_interface(a, one).unwrap();
    mgm.take_interface(b, two).unwrap();
    mgm.add_membership(b, all, two, join).unwrap();
    mgm.add_membership(igmp, all, two, join).unwrap();
    mgm.receive(one, &packet([10, 0, 0, 1].into(), group(1))).unwrap();
    mgm.receive(two, &packet([10, 0, 0, 1].into(), group(1))).unwrap();
    let refused = mgm.take_interface(a, interface(9, 0)).unwrap_err();
    mgm.log(Level::Error, format_args!("{refused}"));
    mgm.release_interface(a, one).unwrap();
    mgm.receive(one, &packet([10, 0, 0, 2].into(), group(1))).unwrap();
    mgm.release_interface(b, two).unwrap();
    mgm.deregister(b).unwrap();
    mgm.stop().unwrap();
    let lines = std::mem::take(&mut *lines.lock().unwrap());
    let mut interfaces = 0;
    for line in &lines {
        assert!(!line.contains("slot") && !line.contains("has gone"), "{line}");
        for after in line.split("interface ").skip(1) {
            let named = ["1 (eth1?[31m?)", "2 (eth2?[31m?)", "9 (no such device)"];
            let is_index = after.starts_with(|c: char| c.is_ascii_digit());
            assert!(!is_index || named.iter().any(|name| after.starts_with(name)), "{line}");
            interfaces += usize::from(is_index);
        }
    }
    let clients = lines.iter().filter(|line| line.contains("protocol 0x")).count();
    assert!(interfaces > 25 && clients > 15, "{interfaces} {clients} {lines:#?}");
    for line in [
        "protocol 0x41370064 component 0x2 deregistered",
        "interface 9 (no such device): no room",
        "interface 2 (eth2?[31m?) next hop 10.0.0.7: taken by protocol 0x41370064 component 0x2",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} is not among {lines:#?}");
    }
}

/// Names an interface that it does not own in each RPF callback.
#[derive(Clone)]
struct Foreign;

impl Callbacks for Foreign {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, _: SourceGroup, answer: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        answer.iif = interface(2, 0);
    }
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        Ok(())
    }
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {}
    fn join(&self, _: SourceGroup, _: bool) {}
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

/// A plane that refuses each entry.
struct Refusing;

impl Forwarder for Refusing {
    fn start(&self, _: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        Ok(())
    }
    fn stop(&self) {}
    fn add_interface(&self, _: IfKey) -> Result<(), ForwarderError> {
        Ok(())
    }
    fn remove_interface(&self, _: IfKey) {}
    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError)) {
        (0..changes.len()).for_each(|at| failed(at, ForwarderError::Host(5)));
    }
    fn counters(&self, _: SourceGroup) -> Option<Counters> {
        None
    }
    fn route(&self, source: Ipv4Addr, _: Option<IfKey>) -> Option<Route> {
        Some(Route {
            interface: interface(1, 0),
            upstream: source,
            protocol: 0,
            network: source,
            prefix_len: 32,
        })
    }
}

/// Senders decide how many flows there are, and each of these lines is about one: a line of each
/// kind comes at once, others of it only later, and in the next run one at once again.
#[test]
fn a10_g1_lines_about_flows_come_at_a_limited_rate() {
    let mgm: &'static Mgm<Foreign> = Box::leak(Box::default());
    for _ in 0..2 {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let lines = lines.clone();
            move |_: Level, line: &Line| lines.lock().unwrap().push(line.as_str().to_owned())
        };
        let settings = Settings {
            log_level: Level::Warn,
            log: LogSink::Host(Arc::new(sink)),
            forwarder: ForwarderChoice::Custom(Arc::new(Refusing)),
            ..Settings::default()
        };
        mgm.start(settings).unwrap();
        let client = mgm.register(Foreign, MULTICAST, 1).unwrap();
        mgm.take_interface(client, interface(1, 0)).unwrap();
        for n in 1..=50 {
            mgm.receive(interface(1, 0), &packet([10, 0, 0, n].into(), group(1))).unwrap();
        }
        mgm.stop().unwrap();
        let lines = std::mem::take(&mut *lines.lock().unwrap());
        let flow = "(10.0.0.1,239.0.0.1)";
        let foreign = format!(
            "RPF callback for {flow} named interface 2, which protocol 0x41370064 component 0x1 does \
             not own: ignored"
        );
        let failed = format!("entry {flow}: the host's forwarder gave code 5; it is tried again");
        assert_eq!(lines, [foreign, failed]);
    }
}
