//! The state as JSON: what an administrator's tool reads.

#[allow(dead_code, reason = "shared with tests/control.rs; each uses its own part")]
mod common;

use common::{MULTICAST, NoCallbacks, group, host, interface, join, leak, packet, started};
use mgm::error::Error;
use mgm::forwarder::memory::MemoryConfig;
use mgm::shell::manager::{ForwarderChoice, Mgm, Settings};
use mgm::types::{MembershipFlags, SourceGroup};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

fn state(mgm: &Mgm<NoCallbacks>) -> Value {
    let mut text = Vec::new();
    mgm.write_state(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&text));
    })
}

#[test]
fn nothing_runs() {
    let mgm = leak();
    assert_eq!(mgm.write_state(&mut Vec::new()), Err(Error::NotRunning));
}

const BOUNDS: [u32; 8] = [10, 25, 50, 100, 250, 500, 1000, 5000];

/// The counters, with how often each callback was called instead of how long that took.
fn counters(state: &Value) -> Value {
    let mut counters = state["counters"].clone();
    let mut called = json!({});
    for row in counters["callbacks"].as_array().unwrap() {
        let within = row["within"].as_array().unwrap();
        assert!(
            within.iter().map(|range| &range["milliseconds"]).eq(BOUNDS.map(Value::from).iter())
        );
        assert_eq!(within.last().unwrap()["count"], row["count"], "none takes 5 s");
        assert!(row["milliseconds"].is_u64());
        called[row["callback"].as_str().unwrap()] = row["count"].clone();
    }
    counters["callbacks"] = called;
    counters
}

#[test]
fn an_empty_state() {
    let mgm = started(Settings { max_mfes: 40, max_new_mfes_per_source: 7, ..host() });
    let mut found = state(mgm);
    found["counters"] = counters(&found);
    assert_eq!(
        found,
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "forwarder": "memory",
            "uptime": 0,
            "limits": {
                "max_mfes": 40, "max_negative_mfes": 10,
                "max_new_mfes_per_second": 0, "max_new_mfes_per_source": 7,
            },
            "counters": {
                "clients": 0, "groups": 0, "memberships": 0, "mfes": 0, "negative_mfes": 0,
                "pending_flows": 0, "refused_flows": 0, "queued_alerts": 0, "new_flows": 0,
                "wrong_interface": 0, "refused_changes": 0,
                "callbacks": {
                    "rpf": 0, "creation": 0, "prune": 0, "join": 0, "wrong_interface": 0,
                    "local_join": 0, "local_leave": 0, "disable_igmp": 0, "enable_igmp": 0,
                },
                "forwarder": { "dropped_packets": 0 },
            },
            "clients": [], "interfaces": [], "groups": [], "mfes": [],
        })
    );
    mgm.stop().unwrap();
}

#[test]
fn every_kind_of_row() {
    let clock = Arc::new(AtomicU64::new(5_000));
    let mgm = started(Settings {
        clock: Some({
            let clock = clock.clone();
            Arc::new(move || mgm::types::Millis(clock.load(Relaxed)))
        }),
        forwarder: ForwarderChoice::Memory(MemoryConfig::default()),
        ..host()
    });
    let (one, two) = (interface(1, 0), interface(2, 9));
    let protocol = mgm.register(NoCallbacks, MULTICAST, 3).unwrap();
    clock.fetch_add(2_500, Relaxed);
    let igmp = mgm.register(NoCallbacks, 0x4137_000a, 0).unwrap();
    mgm.take_interface(protocol, one).unwrap();
    mgm.take_interface(protocol, two).unwrap();
    mgm.take_interface(igmp, two).unwrap();
    join(mgm, protocol, SourceGroup::new(host_address(), group(1)), two);
    join(mgm, igmp, SourceGroup::new([0, 0, 0, 0].into(), group(1)), two);
    // Two packets of a flow that has a receiver, one of it from elsewhere, one of a flow
    // without, one that is none.
    mgm.receive(one, &packet(host_address(), group(1))).unwrap();
    mgm.receive(one, &packet(host_address(), group(1))).unwrap();
    mgm.receive(two, &packet(host_address(), group(1))).unwrap();
    mgm.receive(interface(8, 0), &packet(host_address(), group(2))).unwrap();
    mgm.receive(one, &[0x45]).unwrap_err();
    clock.fetch_add(5_000, Relaxed);

    let protocol =
        json!({ "protocol": "0x41370064", "protocol_number": MULTICAST, "component": 3 });
    let igmp =
        json!({ "protocol": "0x4137000a", "protocol_number": 0x4137_000a_u32, "component": 0 });
    let (one, two) = (
        json!({ "index": 1, "next_hop": "0.0.0.0" }),
        json!({ "index": 2, "next_hop": "10.0.0.9" }),
    );
    let found = state(mgm);
    assert_eq!(found["uptime"], 7);
    assert_eq!(
        counters(&found),
        json!({
            "clients": 2, "groups": 2, "memberships": 2, "mfes": 2, "negative_mfes": 1,
            "pending_flows": 0, "refused_flows": 0, "queued_alerts": 0, "new_flows": 2,
            "wrong_interface": 1, "refused_changes": 0,
            "callbacks": {
                "rpf": 1, "creation": 1, "prune": 0, "join": 1, "wrong_interface": 1,
                "local_join": 1, "local_leave": 0, "disable_igmp": 0, "enable_igmp": 0,
            },
            "forwarder": { "dropped_packets": 1 },
        })
    );
    assert_eq!(
        found["clients"],
        json!([
            {
                "protocol": "0x41370064", "protocol_number": MULTICAST, "component": 3,
                "igmp": false, "interfaces": 2, "uptime": 7, "process": null,
            },
            {
                "protocol": "0x4137000a", "protocol_number": 0x4137_000a_u32, "component": 0,
                "igmp": true, "interfaces": 1, "uptime": 5, "process": null,
            },
        ])
    );
    assert_eq!(
        found["interfaces"],
        json!([
            { "interface": one, "owner": protocol, "igmp": null, "up": true, "memberships": 0 },
            { "interface": two, "owner": protocol, "igmp": igmp, "up": true, "memberships": 2 },
        ])
    );
    assert_eq!(
        found["groups"],
        json!([
            {
                "group": "239.0.0.1", "source": "0.0.0.0", "interface": two, "client": igmp,
                "igmp": true,
            },
            {
                "group": "239.0.0.1", "source": "10.0.0.1", "interface": two, "client": protocol,
                "igmp": false,
            },
        ])
    );
    let route = json!({ "network": "10.0.0.1", "prefix_len": 32, "protocol": 0 });
    assert_eq!(
        found["mfes"],
        json!([
            {
                "group": "239.0.0.1", "source": "10.0.0.1", "iif": one,
                "iif_protocol": "0x41370064", "iif_protocol_number": MULTICAST,
                "upstream": "10.0.0.1", "route": route, "resolved": true,
                "uptime": 5, "expires": 895, "lifetime": 900,
                "packets": 2, "octets": 56, "wrong_interface": 1,
                "oifs": [{ "interface": two, "packets": 2 }],
            },
            {
                "group": "239.0.0.2", "source": "10.0.0.1",
                "iif": { "index": 8, "next_hop": "0.0.0.0" },
                "iif_protocol": "0x00000000", "iif_protocol_number": 0,
                "upstream": "10.0.0.1", "route": route, "resolved": false,
                "uptime": 5, "expires": 55, "lifetime": 60,
                "packets": 1, "octets": 28, "wrong_interface": 0, "oifs": [],
            },
        ])
    );
    mgm.stop().unwrap();
}

fn host_address() -> std::net::Ipv4Addr {
    [10, 0, 0, 1].into()
}

/// Lists that are many chunks long: every row once, in order.
#[test]
fn long_lists_are_whole() {
    const MANY: u32 = 700;
    let mgm = started(host());
    let first = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    for component in 1..MANY {
        mgm.register(NoCallbacks, MULTICAST, component).unwrap();
    }
    for hop in 0..MANY {
        mgm.take_interface(first, interface(1 + hop / 100, hop % 100)).unwrap();
    }
    // One group on all interfaces, many groups on one.
    for hop in 0..MANY {
        let any = SourceGroup::new([0, 0, 0, 0].into(), group(1));
        join(mgm, first, any, interface(1 + hop / 100, hop % 100));
    }
    for n in 0..MANY {
        join(mgm, first, SourceGroup::new(host_address(), group(1000 + n)), interface(1, 1));
        mgm.receive(interface(1, 0), &packet(host_address(), group(1000 + n))).unwrap();
    }

    let found = state(mgm);
    let rows = |name: &str| found[name].as_array().unwrap().clone();
    let components: Vec<_> =
        rows("clients").iter().map(|row| row["component"].as_u64().unwrap()).collect();
    assert_eq!(components, (0..u64::from(MANY)).collect::<Vec<_>>());
    let interfaces: BTreeSet<_> =
        rows("interfaces").iter().map(|row| row["interface"].to_string()).collect();
    assert_eq!((rows("interfaces").len(), interfaces.len()), (MANY as usize, MANY as usize));
    let of_one: BTreeSet<_> = rows("groups")
        .iter()
        .filter(|row| row["group"] == "239.0.0.1")
        .map(|row| row["interface"].to_string())
        .collect();
    assert_eq!(of_one, interfaces);
    assert_eq!(rows("groups").len(), 2 * MANY as usize);
    assert_eq!(found["counters"]["memberships"], 2 * MANY);
    let flows: Vec<_> =
        rows("mfes").iter().map(|row| row["group"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<_> = (0..MANY).map(|n| group(1000 + n).to_string()).collect();
    assert_eq!(flows, expected);
    assert!(rows("mfes").iter().all(|row| row["packets"] == 1), "each row has its counters");
    mgm.stop().unwrap();
}

/// The reader may be slow, or call in: nothing is locked while it takes what is written.
#[test]
fn nothing_is_locked_while_the_reader_takes_it() {
    struct Reader(&'static Mgm<NoCallbacks>, mgm::types::ClientId, u32);
    impl Write for Reader {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.2 += 1;
            // Needs the lock for itself.
            join(self.0, self.1, SourceGroup::new(host_address(), group(self.2)), interface(1, 0));
            Ok(text.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mgm = started(host());
    let client = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    mgm.take_interface(client, interface(1, 0)).unwrap();
    let mut reader = Reader(mgm, client, 0);
    mgm.write_state(&mut reader).unwrap();
    assert!(reader.2 > 0);
    mgm.stop().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    struct Gone(usize);
    impl Write for Gone {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 1 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(text.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mgm = started(host());
    let client = mgm.register(NoCallbacks, MULTICAST, 0).unwrap();
    mgm.take_interface(client, interface(1, 0)).unwrap();
    let flags = MembershipFlags::JOIN;
    for n in 0..2000 {
        let of = SourceGroup::new(host_address(), group(n));
        mgm.add_membership(client, of, interface(1, 0), flags).unwrap();
    }
    let mut gone = Gone(0);
    assert_eq!(mgm.write_state(&mut gone), Err(Error::NotWritten(io::ErrorKind::BrokenPipe)));
    assert_eq!(gone.0, 2, "nothing is written after it went");
    mgm.stop().unwrap();
}
