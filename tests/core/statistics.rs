//! From when on an interface of an entry counts (rule E13), while the plane is being programmed.

use crate::{INTERFACE, JOIN, core};
use mgm::core::state::outbox::Action;
use mgm::core::state::plane::PlaneEntry;
use mgm::core::state::record::{Counted, MfeRecord, OifRecord};
use mgm::core::{Core, Looked, NONE, Relook};
use mgm::types::{ClientId, Counters, IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

const FLOW: SourceGroup = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, 1));
const NOW: Millis = Millis(1);

struct World {
    core: Core,
    client: ClientId,
}

impl World {
    /// An entry without oifs that comes in on 1. Its only client is on 2 and 3 too.
    fn new() -> Self {
        let (mut core, client) = core();
        for index in [2, 3] {
            let interface = IfKey::new(index, Ipv4Addr::UNSPECIFIED);
            core.take(NOW, client, interface).unwrap();
        }
        let (source, interface) = (FLOW.source(), INTERFACE);
        let route =
            Route { interface, upstream: source, protocol: 0, network: source, prefix_len: 32 };
        let looked = Looked { route: Some(route), as_of: core.routes_as_of() };
        core.packet(NOW, FLOW, INTERFACE, &[0x45; 20], Some(looked)).unwrap();
        while let Some(id) = core.outbox.take_fresh() {
            let node = core.outbox.discard(id).unwrap();
            if let Action::Rpf { flow } = node.action {
                core.rpf_answered(NOW, flow, node.client, None);
            }
        }
        core.relook.clear();
        let mut world = Self { core, client };
        let first = world.begins();
        world.ends(first, 0);
        world
    }

    fn join(&mut self, index: u32) {
        let interface = IfKey::new(index, Ipv4Addr::UNSPECIFIED);
        let of = FLOW.any_source();
        self.core.add_membership(NOW, self.client, of, interface, JOIN, None).unwrap();
    }

    fn leave(&mut self, index: u32) {
        let interface = IfKey::new(index, Ipv4Addr::UNSPECIFIED);
        let of = FLOW.any_source();
        self.core.delete_membership(NOW, self.client, of, interface, JOIN).unwrap();
    }

    /// The plane begins to be programmed.
    fn begins(&mut self) -> PlaneEntry {
        self.core.entry_state(FLOW, NONE, &mut Vec::new()).unwrap().unwrap()
    }

    /// It is programmed, and had counted so much before.
    fn ends(&mut self, entry: PlaneEntry, before: u32) {
        let before = Counters { packets: before, ..Counters::default() };
        self.core.entry_programmed(FLOW, entry.id, before);
    }

    /// What is counted for the oifs when the plane has counted so much.
    fn out(&self, packets: u32) -> Vec<u32> {
        let counters = Some(Counters { packets, ..Counters::default() });
        let mut out = Vec::new();
        self.core
            .read_mfe(NOW, FLOW, counters.into(), &mut |record| {
                out = record.oifs.iter().map(|oif| oif.packets).collect();
            })
            .unwrap();
        out
    }
}

/// The packets that were counted before the plane heard of it are none of its own.
#[test]
fn e13_an_interface_that_joins_while_others_are_added() {
    let mut world = World::new();
    world.join(2);
    let with_2 = world.begins();
    world.join(3);
    world.ends(with_2, 10);
    assert_eq!(world.out(110), [100, 0]);
    let with_both = world.begins();
    assert!(with_both.joined);
    assert!(world.core.being_added(with_both.id).eq([IfKey::new(3, Ipv4Addr::UNSPECIFIED)]));
    assert_eq!(world.out(110), [100, 0]);
    // It leaves and joins while it is being added: what it had is over.
    world.leave(3);
    world.join(3);
    world.ends(with_both, 110);
    assert_eq!(world.out(120), [110, 0]);
    // The plane refuses, and takes it the next time.
    assert!(world.begins().joined);
    let again = world.begins();
    assert!(again.joined);
    world.ends(again, 130);
    assert_eq!(world.out(135), [125, 5]);
    assert!(!world.begins().joined);
}

/// What a plane that counts for each interface has of one from before it joined is none of its own.
#[test]
fn e13_an_interface_that_joins_counts_when_the_plane_has_it() {
    let mut world = World::new();
    world.join(2);
    let first = world.begins();
    world.ends(first, 0);
    world.join(3);
    let counts = |world: &World| {
        let plane = &|_, oifs: &mut [OifRecord]| {
            oifs.iter_mut().for_each(|oif| (oif.packets, oif.ttl_too_low) = (7, 8));
            Counters { packets: 9, ..Counters::default() }
        };
        let mut given = Vec::new();
        let give = &mut |record: &MfeRecord<'_>| {
            assert_eq!(record.counters.packets, 9);
            given = record.oifs.iter().map(|oif| (oif.packets, oif.ttl_too_low)).collect();
        };
        world.core.read_mfe(NOW, FLOW, Counted::Each(plane), give).unwrap();
        given
    };
    assert_eq!(counts(&world), [(7, 8), (0, 0)]);
    let second = world.begins();
    assert_eq!(counts(&world), [(7, 8), (0, 0)]);
    world.ends(second, 0);
    assert_eq!(counts(&world), [(7, 8), (7, 8)]);
}

/// What the plane had counted went with the entry: all that is counted for it begins anew, however
/// much it was, and it counts as one that carried packets (rule E8).
#[test]
fn e13_an_entry_that_the_plane_lost_counts_anew() {
    let mut world = World::new();
    world.join(2);
    let first = world.begins();
    world.ends(first, 0);
    world.join(3);
    let second = world.begins();
    // It is lost while 3 is being added: the count before is of no use any more.
    world.core.entry_lost(FLOW).unwrap();
    world.ends(second, 5);
    assert_eq!(world.out(0), [0, 0]);
    let again = world.begins();
    assert!(again.joined && again.installed);
    world.ends(again, 0);
    assert_eq!(world.out(4), [4, 4]);
    // The plane's counts wrap.
    world.join(2);
    world.leave(3);
    world.join(3);
    let third = world.begins();
    world.ends(third, u32::MAX);
    assert_eq!(world.out(2), [2, 3]);
    // Nothing is counted for a moment.
    let mut none = true;
    let give = &mut |record: &MfeRecord<'_>| {
        none = record.oifs.iter().all(|oif| oif.packets == 0);
    };
    world.core.read_mfe(NOW, FLOW, Counted::Nothing, give).unwrap();
    assert!(none);

    world.core.entry_lost(FLOW).unwrap();
    world.core.expire(Millis(900_001), FLOW, Counters::default()).unwrap();
    let due = world.core.relook.pop_front().unwrap();
    assert_eq!(due.relook, Relook::Flow { flow: FLOW, rebuild: true });
    world.core.expire(Millis(1_800_001), FLOW, Counters::default()).unwrap();
    assert_eq!(world.core.iif_of(FLOW), None, "it is idle");
    // There is no such entry: whoever has to do with the plane finds that out.
    world.core.entry_lost(FLOW).unwrap();
}
