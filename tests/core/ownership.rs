//! IGMP while the owner of its interface changes, and IGMP that leaves meanwhile (rule C3, decision 2).

use crate::{INTERFACE, JOIN, finish};
use mgm::core::state::outbox::Action;
use mgm::core::{ClientInfo, Core, Limits, OwnerChange};
use mgm::error::Error;
use mgm::types::{ClientId, IfKey, Millis, SourceGroup};
use std::net::Ipv4Addr;

const GROUP: SourceGroup = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, 1));

struct World {
    core: Core,
    igmp: ClientId,
    other: ClientId,
    change: u32,
}

impl World {
    /// A protocol takes the interface that `igmp` is on. DISABLE_IGMP has not started.
    fn new() -> Self {
        let mut core = Core::new(Limits::default(), 1, u32::MAX);
        let mut register = |protocol, component| {
            let info =
                ClientInfo { protocol, component, has_local_join: false, takes_routeless: false };
            core.register(info).unwrap()
        };
        let [igmp, other, owner] = [(10, 1), (10, 2), (1, 1)].map(|(p, c)| register(p, c));
        let mut take = |client| core.take(Millis(1), client, INTERFACE).unwrap();
        assert_eq!(take(igmp), OwnerChange::Done);
        let OwnerChange::Waits(change) = take(owner) else { panic!("it waits for IGMP") };
        Self { core, igmp, other, change }
    }

    fn release(&mut self, client: ClientId) {
        self.core.release(Millis(1), client, INTERFACE).unwrap();
    }

    fn take(&mut self, client: ClientId) {
        self.core.take(Millis(1), client, INTERFACE).unwrap();
    }

    /// The call that began the change waits no longer for IGMP.
    fn give_up_waiting(&mut self) {
        self.core.change_outcome(Millis(1), self.change).unwrap();
    }

    fn disable(&mut self, client: ClientId) {
        self.core.igmp_disabling(client.slot, INTERFACE, self.change);
    }

    fn enable(&mut self, client: ClientId) {
        self.core.igmp_enabling(client.slot, INTERFACE);
    }

    fn may_add(&mut self, client: ClientId) -> bool {
        match self.core.add_membership(Millis(1), client, GROUP, INTERFACE, JOIN, None) {
            Ok(_) => true,
            Err(Error::IgmpDisabled(IfKey { .. })) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn c3_the_alerts_of_one_igmp_are_not_anothers() {
    let mut world = World::new();
    let (igmp, other) = (world.igmp, world.other);
    world.disable(igmp);
    world.release(igmp);
    world.take(other);
    assert!(!world.may_add(other), "its turn comes with the change");
    world.enable(igmp);
    assert!(!world.may_add(other));
    world.give_up_waiting();
    world.disable(igmp);
    world.enable(other);
    assert!(world.may_add(other));
    world.disable(igmp);
    assert!(world.may_add(other));
}

/// DISABLE_IGMP of a change that was made after IGMP had left finds it there again.
#[test]
fn c3_a_late_disable_without_an_enable_disables_nothing() {
    let mut world = World::new();
    let igmp = world.igmp;
    world.release(igmp);
    world.give_up_waiting();
    world.take(igmp);
    world.disable(igmp);
    assert!(world.may_add(igmp));
    let mut world = World::new();
    world.give_up_waiting();
    world.disable(igmp);
    assert!(!world.may_add(igmp), "here one follows");
    world.enable(igmp);
    assert!(world.may_add(igmp));
}

/// Another call may carry a change out. The call that began it waits for ENABLE_IGMP, so that is its own
/// (rules A7, C3).
#[test]
fn a7_the_enable_belongs_to_the_call_that_began_the_change() {
    let mut world = World::new();
    let (core, change) = (&mut world.core, world.change);
    while core.outbox.take_fresh().is_some() {}
    core.set_portion(1);
    core.outbox.set_job(1);
    core.disable_answered(Millis(1), change).unwrap();
    assert!(!core.outbox.has_fresh(), "there is more than a portion to do");
    core.outbox.set_job(2);
    finish(core);
    let caused = core.outbox.take_fresh().map(|id| core.outbox.node(id));
    let caused = caused.map(|node| (node.action, node.job));
    assert_eq!(caused, Some((Action::EnableIgmp { interface: INTERFACE }, 1)));
    assert_eq!(core.outbox.job(), 2);
}
