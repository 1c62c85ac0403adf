//! No operation looks at what it does not concern. The tests count steps, not time.
//!
//! Each operation runs among few and among many others of its kind. Its steps must not depend on
//! how many those are, and must be proportional to what the operation is about.

mod portions;
mod world;

use crate::core::containers::steps::counted;
use crate::core::{Concerned, Looked};
use crate::error::Error;
use crate::types::{ClientId, Counters, IfKey, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use world::{ANY, FEW, FORWARD, GROUP, JOIN, MANY, SOURCE, World, flow, interface, route};

/// The steps of `run`, for which `prepare` makes `concerned` things ready, among `others`. It is
/// the least of a few runs, because it depends on the keys' hashes when a table is next enlarged.
fn steps(
    others: u32,
    concerned: u32,
    prepare: &dyn Fn(&mut World, u32),
    run: &dyn Fn(&mut World),
) -> u64 {
    let once = || {
        let mut world = World::new();
        world.fill(others);
        prepare(&mut world, concerned);
        counted(|| run(&mut world)).1
    };
    (0..4).map(|_| once()).min().unwrap_or(0)
}

/// Checks that an operation takes no more steps among many others than among few, and that its
/// steps are proportional to what it concerns.
fn holds(name: &str, prepare: impl Fn(&mut World, u32), run: impl Fn(&mut World)) {
    let steps = |others, concerned| steps(others, concerned, &prepare, &run);
    let (few, many) = (steps(FEW, 20), steps(MANY, 20));
    // Where a block of the ordered map ends, a step or two more are taken.
    assert!(many <= few + few / 20 + 4, "{name}: {few} steps among {FEW}, {many} among {MANY}");
    let (one, ten) = (steps(FEW, 20), steps(FEW, 200));
    assert!(ten <= 10 * one + 50, "{name}: {one} steps for 20, {ten} for 200");
}

#[test]
fn the_count_sees_a_scan() {
    let scan = |world: &mut World| assert!(world.core.flows_from(SourceGroup::ALL).count() > 0);
    let nothing = |_: &mut World, _| {};
    assert!(steps(FEW, 0, &nothing, &scan) >= u64::from(FEW));
    assert!(steps(MANY, 0, &nothing, &scan) >= u64::from(MANY));
}

#[test]
fn a_membership_costs_as_much_as_its_groups_flows() {
    holds("join", World::flows, |world| world.member(true, ANY, 3, JOIN).unwrap());
    holds(
        "leave",
        |world, concerned| {
            world.flows(concerned);
            world.member(true, ANY, 3, JOIN).unwrap();
        },
        |world| world.member(false, ANY, 3, JOIN).unwrap(),
    );
    holds("prune", World::flows, |world| world.member(false, ANY, 3, FORWARD).unwrap());
    // A change of one thing takes as few steps after a change of everything as before it.
    holds(
        "join after (*,*)",
        |world, concerned| {
            world.member(true, SourceGroup::ALL, 4, JOIN).unwrap();
            world.member(false, SourceGroup::ALL, 4, JOIN).unwrap();
            world.flows(concerned);
        },
        |world| world.member(true, ANY, 3, JOIN).unwrap(),
    );
}

#[test]
fn a_release_costs_as_much_as_the_interfaces_own() {
    let release = |world: &mut World| {
        world.release(world.members, 3);
        world.settle();
    };
    holds(
        "release with memberships of sources",
        |world, concerned| world.own_sources(world.members, 3, concerned),
        release,
    );
    holds(
        "release with memberships",
        |world, concerned| {
            for group in 1..=concerned {
                world.member(true, flow(0, GROUP + (group << 4) + 1), 3, JOIN).unwrap();
            }
        },
        release,
    );
    holds(
        "release with vetoes",
        |world, concerned| {
            world.flows(concerned);
            world.member(true, ANY, 3, FORWARD).unwrap();
        },
        release,
    );
}

/// Interface 2 has as many memberships of the routing protocol's as there are others.
#[test]
fn igmps_memberships_cost_as_much_as_they_are() {
    let on = |world: &mut World, index, concerned| {
        let igmp = world.igmp();
        world.take(igmp, index);
        world.own_sources(igmp, index, concerned);
    };
    let igmp = |world: &World| ClientId { slot: world.members.slot + 1, ..world.members };
    holds(
        "IGMP's release beside a protocol",
        |world, concerned| on(world, 2, concerned),
        |world| {
            world.release(igmp(world), 2);
            world.settle();
        },
    );
    holds(
        "take over IGMP",
        |world, concerned| on(world, 6, concerned),
        |world| {
            world.take(world.owner, 6);
        },
    );
    holds(
        "release with IGMP",
        |world, concerned| on(world, 3, concerned),
        |world| {
            world.release(world.members, 3);
        },
    );
}

#[test]
fn deregistering_costs_as_much_as_the_clients_own() {
    let open = |world: &mut World, client, count| {
        for _ in 0..count {
            world.core.start_enumeration(client, true).unwrap();
        }
    };
    // As many enumerations of others as there are next hops that another client is on.
    let beside = |world: &mut World| {
        let others = world.core.interface_rows(None).count() as u32;
        open(world, world.members, others);
        world.igmp()
    };
    holds(
        "deregister",
        |world, concerned| {
            let client = beside(world);
            open(world, client, concerned);
        },
        |world| {
            let client = ClientId { slot: world.members.slot + 1, ..world.members };
            world.core.deregister(client).unwrap();
        },
    );
    holds(
        "deregister in vain",
        |world, _| {
            let client = beside(world);
            world.take(client, 7);
        },
        |world| {
            let client = ClientId { slot: world.members.slot + 1, ..world.members };
            assert!(matches!(world.core.deregister(client), Err(Error::StillOwns(_))));
        },
    );
}

#[test]
fn a_take_costs_as_much_as_what_waits_for_an_owner() {
    holds(
        "take",
        |world, concerned| {
            for source in 1..=concerned {
                world.packet_by(flow(SOURCE + source, GROUP), interface(5), None);
            }
        },
        |world| {
            world.take_hop(SOURCE);
            let (mut at, mut found) = (None, 0);
            while let Some((_, place)) = world.core.next_waiting(5, at) {
                at = Some(place);
                found += 1;
            }
            assert!(found >= 20);
        },
    );
}

#[test]
fn an_expiry_costs_as_much_as_what_expires() {
    holds(
        "tick",
        |world, concerned| {
            // The entries that end are five seconds older than the others.
            let created = world.now;
            let others: Vec<_> = world.core.flows_from(SourceGroup::ALL).collect();
            world.now = created.plus(Seconds(5));
            for of in others {
                let id = world.core.mfes.find(of).unwrap();
                world.core.set_lifetime(world.now, id, crate::core::state::mfe::LIFETIME);
            }
            world.now = created;
            world.flows(concerned);
            world.now = created.plus(Seconds(901));
            // The wheel has turned up to the second before.
            assert!(world.core.ended(created.plus(Seconds(899))).is_none());
        },
        |world| {
            let mut expired = 0;
            while let Some(of) = world.core.ended(world.now) {
                world.core.expire(world.now, of, Counters::default()).unwrap();
                expired += 1;
            }
            assert!(expired >= 20);
            world.settle();
        },
    );
}

#[test]
fn a_route_change_costs_as_much_as_what_lies_under_it() {
    holds("routes", World::flows, |world| {
        let (mut after, mut found) = (None, 0);
        while let Some(of) = world.core.next_under(Ipv4Addr::from_bits(SOURCE), 8, after) {
            after = Some(of);
            found += 1;
        }
        assert!(found >= 20);
    });
    let members = |world: &mut World, concerned| {
        for group in 1..=concerned {
            world.member(true, flow(SOURCE, GROUP + (group << 4) + 1), 3, JOIN).unwrap();
            world.member(true, flow(SOURCE + group, GROUP), 3, JOIN).unwrap();
        }
    };
    holds("routes of memberships", members, |world| {
        let (mut after, mut found) = (None, 0);
        while let Some(next) = world.core.next_concerned(Ipv4Addr::from_bits(SOURCE), 8, after) {
            assert!(matches!(next, Concerned::Source(_)), "there are no flows under it");
            after = Some(next);
            found += 1;
        }
        assert!(found >= 20);
    });
    // From interface 1's owner to that of 2 to 4, which holds them all.
    holds("a source moves", members, |world| {
        let (source, as_of) = (Ipv4Addr::from_bits(SOURCE), world.core.routes_as_of());
        let moved = Route { interface: interface(4), ..route(flow(SOURCE, 0)) };
        world.core.source_rerouted(source, Looked { route: Some(moved), as_of }).unwrap();
        assert!(world.core.outbox.queued() >= 20);
        world.settle();
    });
}

#[test]
fn an_interface_that_goes_down_costs_as_much_as_what_used_it() {
    holds(
        "down",
        |world, concerned| {
            world.flows(concerned);
            world.member(true, ANY, 3, JOIN).unwrap();
        },
        |world| {
            world.core.interface_up(world.now, interface(3), false).unwrap();
            world.settle();
        },
    );
}

#[test]
fn packets_and_single_reads_cost_the_same_everywhere() {
    let one = flow(SOURCE + 1, GROUP);
    holds("new flow", |_, _| {}, |world| world.packet(one));
    holds("wrong interface", World::flows, |world| {
        world.core.wrong_interface(world.now, one, interface(2), &[0x45; 20]).unwrap();
    });
    holds("read", World::flows, |world| {
        world.core.read_mfe(world.now, one, Some(Counters::default()).into(), &mut |_| ()).unwrap();
    });
    holds("upstream", World::flows, |world| {
        let owner = world.owner;
        world.core.set_upstream(owner, one, Ipv4Addr::LOCALHOST).unwrap();
    });
}

/// The next hops of interface 5 all have a member of one group.
#[test]
fn memberships_are_listed_in_proportion() {
    holds(
        "membership rows",
        |world, concerned| {
            for hop in 1..=concerned {
                let key = IfKey::new(5, Ipv4Addr::from_bits(hop));
                let (now, client) = (world.now, world.members);
                world.core.add_membership(now, client, ANY, key, JOIN, None).unwrap();
            }
            world.settle();
        },
        |world| {
            let mut after = None;
            let next = |world: &World, after| {
                let mut rows = world.core.membership_rows(after).map(|(place, _)| place);
                rows.find(|(of, ..)| *of >= ANY).filter(|(of, ..)| *of == ANY)
            };
            let mut found = 0;
            while let Some(place) = next(world, after) {
                after = Some(place);
                found += 1;
            }
            assert!(found >= 20);
        },
    );
}

#[test]
fn a_page_costs_as_much_as_its_rows() {
    holds("page", World::flows, |world| {
        let mut left = 20;
        let mut give = |_: &crate::core::state::record::MfeRecord<'_>| {
            left -= 1;
            left > 0
        };
        let middle = flow(0, GROUP + (FEW << 3));
        world.core.read_mfes(world.now, middle, 1000, &mut give).unwrap();
    });
    holds("rows", World::flows, |world| {
        let members = world.members;
        let id = world.core.start_enumeration(members, true).unwrap();
        world.core.next_groups(id, 20, &mut |_| ()).unwrap();
    });
}
