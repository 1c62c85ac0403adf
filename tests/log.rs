//! The log: what each level tells.

#[allow(dead_code, reason = "shared with other tests; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, packet, started};
use mgm::core::types::SourceGroup;
use mgm::log::{Level, Line};
use mgm::mgm::{LogSink, Settings};
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
        "interface 1: taken by the client in slot 0",
        "interface 2: taken by the client in slot 1",
        "interface 1: released by the client in slot 0",
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
            "client in slot 0: join alert (*,239.0.0.1) membership".to_owned(),
            format!("new flow {flow} on interface 1"),
            format!("client in slot 0: RPF {flow}, route by interface 1"),
            format!(
                "client in slot 1: creation alert {flow} from interface 1 to 1 of its interfaces"
            ),
            format!("client in slot 0: join alert {flow} entry"),
        ]
    );
    assert!(lines_at(Level::Debug).iter().all(|(level, _)| *level <= Level::Debug));
}
