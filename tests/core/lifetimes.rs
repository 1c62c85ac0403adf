//! Which packets count when a lifetime ends (rule E8).

use crate::{INTERFACE, JOIN, core};
use mgm::core::state::outbox::{Action, LifetimeAsk};
use mgm::core::{Core, Looked, NONE, Relook};
use mgm::types::{ClientId, Counters, IfKey, MOST_WAITING, Millis, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;

const FLOW: SourceGroup = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 1, 1, 1));

/// A core whose client owns interfaces 1 and 2, with an entry from 1.
struct World {
    core: Core,
    client: ClientId,
    now: Millis,
}

impl World {
    fn new() -> Self {
        let (mut core, client) = core();
        core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED)).unwrap();
        let mut world = Self { core, client, now: Millis(1) };
        let looked = world.look();
        world.core.packet(world.now, FLOW, INTERFACE, &[0x45; 20], Some(looked)).unwrap();
        world.answer(Seconds(0));
        world
    }

    fn look(&self) -> Looked {
        let source = FLOW.source();
        let route = Route {
            interface: INTERFACE,
            upstream: source,
            protocol: 0,
            network: source,
            prefix_len: 32,
        };
        Looked { route: Some(route), as_of: self.core.routes_as_of() }
    }

    /// Answers all questions, the prune alerts with this timeout.
    fn answer(&mut self, timeout: Seconds) {
        while let Some(id) = self.core.outbox.take_fresh() {
            let node = self.core.outbox.discard(id).unwrap();
            match node.action {
                Action::Rpf { flow } => {
                    self.core.rpf_answered(self.now, flow, node.client, None);
                }
                Action::Creation { flow } => {
                    self.core.creation_answered(self.now, flow, node.client, &[]);
                }
                Action::Prune { asks, of, .. } if asks != LifetimeAsk::NONE => {
                    self.core.prune_answered(self.now, of, asks, timeout);
                }
                _ => {}
            }
        }
    }

    /// The entry is programmed, and the plane had counted this before. Gives whether it was asked.
    fn programmed(&mut self, before: Counters) -> bool {
        let entry = self.core.entry_state(FLOW, NONE, &mut Vec::new()).unwrap().unwrap();
        let before = if entry.counts { before } else { Counters::default() };
        self.core.entry_programmed(FLOW, entry.id, before);
        entry.counts
    }

    /// The lifetime ends with this count. Gives whether the entry is built anew.
    fn ends(&mut self, counted: Counters) -> bool {
        self.now = self.now.plus(Seconds(900));
        self.core.expire(self.now, FLOW, counted).unwrap();
        let due = self
            .core
            .relook
            .drain(..)
            .any(|due| due.relook == Relook::Flow { flow: FLOW, rebuild: true });
        assert_eq!(self.core.iif_of(FLOW).is_some(), due);
        if due {
            let looked = self.look();
            self.core.rerouted(self.now, FLOW, looked, true).unwrap();
            self.answer(Seconds(0));
        }
        due
    }
}

fn counted(packets: u32, waited: Option<u32>) -> Counters {
    Counters { packets, waited, ..Counters::default() }
}

/// A plane that cannot tell which packets waited.
#[test]
fn e8_up_to_four_packets_may_have_waited() {
    for (packets, anew) in [(0, false), (1, false), (MOST_WAITING, false), (MOST_WAITING + 1, true)]
    {
        let mut world = World::new();
        assert!(world.programmed(Counters::default()));
        assert_eq!(world.ends(counted(packets, None)), anew, "{packets} packets");
    }
    // A count that was there before it was programmed is nothing that waited.
    let mut world = World::new();
    world.programmed(counted(u32::MAX, None));
    assert!(!world.ends(counted(3, None)), "it wraps");
    let mut world = World::new();
    world.programmed(counted(u32::MAX, None));
    assert!(world.ends(counted(4, None)));
    world.programmed(counted(7, None));
    assert!(world.ends(counted(8, None)), "later lifetimes know what came before");
    world.programmed(counted(8, None));
    assert!(!world.ends(counted(8, None)));
}

/// A plane that can.
#[test]
fn e8_what_waited_is_known() {
    for (packets, waited, anew) in [(1, 1, false), (4, 4, false), (2, 1, true), (1, 0, true)] {
        let mut world = World::new();
        world.programmed(Counters::default());
        assert_eq!(world.ends(counted(packets, Some(waited))), anew, "{packets}, {waited} waited");
    }
}

/// What was counted before the last interface left does not count for the lifetime that the prune
/// alert's answer sets, whether the plane can tell what waited or not.
#[test]
fn e8_a_prune_begins_a_new_count() {
    for waited in [None, Some(1)] {
        let mut world = World::new();
        world.programmed(Counters::default());
        let (now, client) = (world.now, world.client);
        let on = IfKey::new(2, Ipv4Addr::UNSPECIFIED);
        world.core.add_membership(now, client, FLOW.any_source(), on, JOIN, None).unwrap();
        assert!(world.programmed(counted(10, waited)), "it turned positive");
        // It goes down, which is nobody's doing.
        world.core.interface_up(now, on, false).unwrap();
        world.answer(Seconds(900));
        assert!(world.programmed(counted(20, waited)));
        assert!(!world.programmed(counted(21, waited)), "nothing has begun since");
        let mut other = Counters { packets: 21, waited, ..Counters::default() };
        assert!(world.ends(other), "a packet came after the prune");
        world.programmed(other);
        other.packets += 1;
        assert!(world.ends(other));
    }
}
