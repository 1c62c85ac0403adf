//! No operation looks at what it does not concern. The tests count steps, not time.
//!
//! Each operation runs among few and among many others of its kind. Its steps must not depend on
//! how many those are, and must be proportional to what the operation is about.

mod portions;

use crate::core::containers::steps::counted;
use crate::core::state::outbox::Action;
use crate::core::{ClientInfo, Concerned, Core, Limits, Looked, Taking};
use crate::error::Error;
use crate::types::{
    ClientId, Counters, IfKey, MembershipFlags, Millis, Route, Seconds, SourceGroup,
};
use std::net::Ipv4Addr;

const JOIN: MembershipFlags = MembershipFlags { join: true, forward: false };
const FORWARD: MembershipFlags = MembershipFlags { join: false, forward: true };
const FEW: u32 = 500;
const MANY: u32 = 4_000;
/// The group whose members and flows are changed, and a source of it.
const GROUP: u32 = 0xef00_0000;
const SOURCE: u32 = 0x0a00_0000;

struct World {
    core: Core,
    owner: ClientId,
    members: ClientId,
    now: Millis,
}

fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

const ANY: SourceGroup = flow(0, GROUP);

const fn flow(source: u32, group: u32) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::from_bits(source), Ipv4Addr::from_bits(group))
}

/// The route toward a source: over interface 1.
fn route(of: SourceGroup) -> Route {
    Route {
        interface: interface(1),
        upstream: of.source(),
        protocol: 0,
        network: of.source(),
        prefix_len: 32,
    }
}

impl World {
    /// One client owns interface 1, where packets come in; another 2, 3 and 4.
    fn new() -> Self {
        let mut core = Core::new(Limits::default(), 1, u32::MAX);
        let mut register = |protocol| {
            core.register(ClientInfo {
                protocol,
                component: 0,
                has_local_join: false,
                takes_routeless: false,
            })
            .unwrap()
        };
        let (owner, members) = (register(1), register(2));
        let mut world = Self { core, owner, members, now: Millis(1_000) };
        for (client, index) in [(owner, 1), (members, 2), (members, 3), (members, 4)] {
            world.core.take(world.now, client, interface(index)).unwrap();
        }
        world.settle();
        world
    }

    /// Answers what clients are asked, and forgets what the plane and the shell are told.
    fn settle(&mut self) {
        let carrier = self.core.new_carrier();
        while self.core.take_begun(carrier).is_some() {
            while let Some(id) = self.core.carried_by(carrier, false) {
                self.core.portion(id).unwrap();
            }
        }
        while let Some(id) = self.core.outbox.take_fresh() {
            let node = self.core.outbox.discard(id).unwrap();
            match node.action {
                Action::Rpf { flow } => {
                    let (_, answer, ..) = self.core.rpf_question(flow);
                    self.core.rpf_answered(self.now, flow, node.client, Some(answer));
                }
                Action::Creation { flow } => {
                    self.core.creation_answered(self.now, flow, node.client, &[]);
                }
                _ => {}
            }
        }
        while self.core.plane.pop().is_some() {}
        self.core.relook.clear();
    }

    fn looked(&self, of: SourceGroup) -> Looked {
        Looked { route: Some(route(of)), as_of: self.core.routes_as_of() }
    }

    fn member(
        &mut self,
        add: bool,
        of: SourceGroup,
        index: u32,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        let (now, client) = (self.now, self.members);
        if add {
            let looked = Some(self.looked(of));
            self.core.add_membership(now, client, of, interface(index), flags, looked)?;
        } else {
            self.core.delete_membership(now, client, of, interface(index), flags)?;
        }
        self.settle();
        Ok(())
    }

    fn release(&mut self, client: ClientId, index: u32) {
        if let Taking::Waits(change) =
            self.core.release(self.now, client, interface(index)).unwrap()
        {
            self.change(change);
        }
    }

    fn take(&mut self, client: ClientId, index: u32) {
        if let Taking::Waits(change) = self.core.take(self.now, client, interface(index)).unwrap() {
            self.change(change);
        }
    }

    /// IGMP has been told of a change of ownership.
    fn change(&mut self, change: u32) {
        self.core.disable_answered(self.now, change).unwrap();
        self.settle();
    }

    /// IGMP registers.
    fn igmp(&mut self) -> ClientId {
        let info = ClientInfo {
            protocol: 10,
            component: 0,
            has_local_join: false,
            takes_routeless: false,
        };
        self.core.register(info).unwrap()
    }

    /// Memberships on an interface, each with a source of its own.
    fn own_sources(&mut self, client: ClientId, index: u32, concerned: u32) {
        for n in 1..=concerned {
            let of = flow(SOURCE + n, GROUP + (n << 4) + 1);
            let (now, on, looked) = (self.now, interface(index), Some(self.looked(of)));
            self.core.add_membership(now, client, of, on, JOIN, looked).unwrap();
        }
        self.settle();
    }

    fn packet(&mut self, of: SourceGroup) {
        self.packet_by(of, interface(1), Some(route(of)));
    }

    fn packet_by(&mut self, of: SourceGroup, arrival: IfKey, route: Option<Route>) {
        let looked = Looked { route, as_of: self.core.routes_as_of() };
        self.core.packet(self.now, of, arrival, &[0x45; 20], Some(looked)).unwrap();
        self.settle();
    }

    /// Takes a next hop of interface 5.
    fn take_hop(&mut self, hop: u32) {
        let (now, client) = (self.now, self.members);
        let key = IfKey::new(5, Ipv4Addr::from_bits(hop));
        self.core.take(now, client, key).unwrap();
    }

    /// Groups with a member on interface 2, every other one for its source alone, and one flow each,
    /// none of them `GROUP`; and as many next hops of interface 5 that somebody is on.
    fn fill(&mut self, others: u32) {
        for other in 1..=others {
            let of = flow(0x1400_0000 + other, GROUP + (other << 4));
            let member = if other % 2 == 0 { of } else { of.any_source() };
            self.member(true, member, 2, JOIN).unwrap();
            self.packet(of);
            self.take_hop(other);
            self.core.relook.clear();
        }
    }

    /// Flows of `GROUP`.
    fn flows(&mut self, concerned: u32) {
        for source in 1..=concerned {
            self.packet(flow(SOURCE + source, GROUP));
        }
    }
}

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
