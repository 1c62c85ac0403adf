//! No lock is held for more than a portion of a change, however much that concerns.

use super::*;
use crate::core::PORTION;
use crate::core::state::unfinished::ALERT;

/// A portion's steps are at the most this many for each of the things in it.
const EACH: u64 = 60;

/// Makes a change and carries it out. No step of that may cost more than a portion does.
fn stays_within_portions(
    name: &str,
    prepare: impl Fn(&mut World),
    change: impl Fn(&mut World) -> Result<(), Error>,
) {
    let mut world = World::new();
    prepare(&mut world);
    let mut most = counted(|| change(&mut world).unwrap()).1;
    let mut portions = 0;
    let carrier = world.core.new_carrier();
    while world.core.take_begun(carrier).is_some() {
        while let Some(id) = world.core.carried_by(carrier, false) {
            most = most.max(counted(|| world.core.portion(id).unwrap()).1);
            portions += 1;
        }
    }
    assert!(portions > 4, "{name}: {portions} portions");
    assert!(most <= EACH * PORTION as u64, "{name}: {most} steps under one lock");
}

/// A flow of its own for each of many groups, and one member for all.
fn flows_of_all(world: &mut World) {
    for group in 1..=MANY {
        world.packet(flow(SOURCE + 1, GROUP + (group << 4)));
    }
}

/// Flows that come in on interface 1, with nobody toward their source.
fn without_owner(world: &mut World, route: Option<Route>) {
    for group in 1..=MANY {
        world.packet_by(flow(SOURCE + 1, GROUP + (group << 4)), interface(1), route);
    }
}

fn release(world: &mut World) -> Result<(), Error> {
    world.core.release(world.now, world.members, interface(3)).map(drop)
}

#[test]
fn a_release_goes_in_portions() {
    stays_within_portions("memberships", |w| w.own_sources(w.members, 3, MANY), release);
    let prepare = |world: &mut World| {
        flows_of_all(world);
        world.member(true, SourceGroup::ALL, 3, JOIN).unwrap();
    };
    stays_within_portions("entries", prepare, release);
    let prepare = |world: &mut World| {
        flows_of_all(world);
        world.member(true, SourceGroup::ALL, 3, FORWARD).unwrap();
    };
    stays_within_portions("marks", prepare, release);
    let goes =
        |world: &mut World| world.core.release(world.now, world.owner, interface(1)).map(drop);
    stays_within_portions("incoming", flows_of_all, goes);
    stays_within_portions("waiting", |world| without_owner(world, None), goes);
    // Their iif is another one; here they come in.
    let toward = Route { interface: interface(9), ..route(ANY) };
    stays_within_portions("arriving", |world| without_owner(world, Some(toward)), goes);
}

#[test]
fn an_interface_goes_down_and_comes_up_in_portions() {
    let prepare = |world: &mut World| {
        flows_of_all(world);
        world.member(true, SourceGroup::ALL, 3, JOIN).unwrap();
    };
    let up =
        |world: &mut World, index, up| world.core.interface_up(world.now, interface(index), up);
    stays_within_portions("oif down", prepare, |world| up(world, 3, false));
    stays_within_portions("iif down", prepare, |world| up(world, 1, false));
    let down = |world: &mut World| {
        prepare(world);
        up(world, 3, false).unwrap();
        world.settle();
    };
    stays_within_portions("oif up", down, |world| up(world, 3, true));
}

#[test]
fn a_membership_of_everything_goes_in_portions() {
    let all = SourceGroup::ALL;
    let add = |world: &mut World, flags| {
        world
            .core
            .add_membership(world.now, world.members, all, interface(3), flags, None)
            .map(drop)
    };
    let delete = |world: &mut World, flags| {
        world.core.delete_membership(world.now, world.members, all, interface(3), flags)
    };
    stays_within_portions("add", flows_of_all, |world| add(world, JOIN));
    stays_within_portions("force", flows_of_all, |world| add(world, FORWARD));
    let joined = |world: &mut World| {
        flows_of_all(world);
        world.member(true, all, 3, JOIN).unwrap();
    };
    stays_within_portions("delete", joined, |world| delete(world, JOIN));
    stays_within_portions("prune", joined, |world| delete(world, FORWARD));
}

/// What a portion causes is delivered before others' alerts to the same clients (decision 88).
#[test]
fn a_portion_of_a_release_causes_few_alerts() {
    let mut world = World::new();
    world.own_sources(world.members, 3, MANY);
    release(&mut world).unwrap();
    let carrier = world.core.new_carrier();
    assert!(world.core.take_begun(carrier).is_some());
    // The first one comes with the release itself.
    let mut before = world.core.outbox.queued();
    let mut most = before;
    while let Some(id) = world.core.carried_by(carrier, false) {
        world.core.portion(id).unwrap();
        let queued = world.core.outbox.queued();
        (before, most) = (queued, most.max(queued - before));
    }
    assert_eq!(before, MANY as usize, "each membership has an alert");
    assert!(most <= PORTION / ALERT, "{most} alerts at a time");
}
