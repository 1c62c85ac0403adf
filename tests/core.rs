//! What the core holds by itself, though the C border or the planes look at it before.

#[path = "core/devices.rs"]
mod devices;
#[path = "core/found.rs"]
mod found;
#[path = "core/lifetimes.rs"]
mod lifetimes;
#[path = "core/ownership.rs"]
mod ownership;
#[path = "core/packets.rs"]
mod packets;
#[path = "core/portions.rs"]
mod portions;
#[path = "core/questions.rs"]
mod questions;
#[path = "core/routes.rs"]
mod routes;
#[path = "core/statistics.rs"]
mod statistics;
#[path = "core/waiting.rs"]
mod waiting;

use mgm::core::state::outbox::Action;
use mgm::core::state::record::Counted;
use mgm::core::{Admission, ClientInfo, Core, Limits, Looked, MAX_ROWS, OwnerChange};
use mgm::error::Error;
use mgm::types::{ClientId, Counters, IfKey, MembershipFlags, Millis, SourceGroup};
use std::net::Ipv4Addr;

const JOIN: MembershipFlags = MembershipFlags::JOIN;
const INTERFACE: IfKey = IfKey::new(1, Ipv4Addr::UNSPECIFIED);

/// A core with one client, which owns an interface.
fn core() -> (Core, ClientId) {
    let mut core = Core::new(Limits::default(), 1, u32::MAX);
    let info =
        ClientInfo { protocol: 1, component: 1, has_local_join: false, takes_routeless: false };
    let client = core.register(info).unwrap();
    core.take(Millis(1), client, INTERFACE).unwrap();
    (core, client)
}

/// Carries out everything that is unfinished.
fn finish(core: &mut Core) {
    let carrier = core.new_carrier();
    while core.take_begun(carrier).is_some() {
        while let Some(id) = core.carried_by(carrier, false) {
            core.portion(id).unwrap();
        }
    }
}

/// Answers what clients are asked, with no wish of their own; alerts are passed over.
fn answer(core: &mut Core) {
    let now = Millis(1);
    while let Some(id) = core.outbox.take_fresh() {
        let node = core.outbox.discard(id).unwrap();
        match node.action {
            Action::Rpf { flow } => core.rpf_answered(now, flow, node.client, None),
            Action::Creation { flow } => core.creation_answered(now, flow, node.client, &[]),
            _ => {}
        }
    }
}

/// A packet of a flow to whose source there is no route.
fn packet(core: &mut Core, flow: SourceGroup) -> Admission {
    let looked = Looked { route: None, as_of: core.routes_as_of() };
    core.packet(Millis(1), flow, INTERFACE, &[0x45; 20], Some(looked)).unwrap()
}

#[test]
fn d2_no_flag_is_refused() {
    let (mut core, client) = core();
    let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, 1));
    let none = MembershipFlags { join: false, forward: false };
    let add = core.add_membership(Millis(1), client, of, INTERFACE, none, None);
    assert!(matches!(add, Err(Error::BadValue { name: "dwFlags", .. })), "{add:?}");
    let delete = core.delete_membership(Millis(1), client, of, INTERFACE, none);
    assert!(matches!(delete, Err(Error::BadValue { name: "dwFlags", .. })), "{delete:?}");
}

/// There are 65,536 places for open enumerations; ended ones give theirs back.
#[test]
fn f4_the_place_of_an_ended_enumeration_is_used_again() {
    let (mut core, client) = core();
    for _ in 0..70_000 {
        let id = core.start_enumeration(client, true).unwrap();
        core.end_enumeration(id).unwrap();
        assert!(core.end_enumeration(id).is_err());
    }
    for _ in 0..65_536 {
        core.start_enumeration(client, true).unwrap();
    }
    let one_more = core.start_enumeration(client, true);
    assert!(matches!(one_more, Err(Error::TooMany(65_536))), "{one_more:?}");
}

/// The planes report no packet for 224.0.0.0/24; a host's own may.
#[test]
fn e1_a_link_local_flow_gets_no_entry() {
    let (mut core, _) = core();
    let source = Ipv4Addr::new(10, 0, 0, 1);
    let admit = |core: &mut Core, group| {
        let flow = SourceGroup::new(source, group);
        packet(core, flow)
    };
    assert_eq!(admit(&mut core, Ipv4Addr::new(224, 0, 0, 5)), Admission::Refused);
    assert_eq!(core.totals().mfes, 0);
    assert_eq!(admit(&mut core, Ipv4Addr::new(224, 0, 1, 5)), Admission::Made);
    assert_eq!(core.totals().mfes, 1);
}

/// Counters are asked for of the entries that find room and of the first that does not.
#[test]
fn e13_only_what_finds_room_is_counted() {
    let (mut core, _) = core();
    let flow = |n| SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, n));
    for n in 1..=100 {
        packet(&mut core, flow(n));
    }
    let rows = |from, mut room: usize| {
        let has_room = |oifs| {
            assert_eq!(oifs, 0);
            let some = room > 0;
            room = room.saturating_sub(1);
            some
        };
        let rows = core.rows_from(flow(from), has_room);
        rows.into_iter().map(|(flow, _)| flow).collect::<Vec<_>>()
    };
    assert_eq!(rows(2, 3), [flow(2), flow(3), flow(4), flow(5)]);
    assert_eq!(rows(2, 0), [flow(2)], "its size is to be told");
    let all = |from, count| (from..from + count).map(flow).collect::<Vec<_>>();
    for room in [15, 16, 30, 31, 32, 33, 62] {
        assert_eq!(rows(2, room), all(2, room as u8 + 1));
    }
    assert_eq!(rows(2, 1000), all(2, MAX_ROWS as u8));
    assert_eq!(rows(93, 1000), all(93, 8), "there are no more");
    assert_eq!(rows(85, 1000), all(85, 16), "there are no more");
    assert_eq!(rows(101, 1000), []);
}

/// What was chosen is read as it is then: with the counters that were asked for, under its new
/// number where it went and came back, and not at all where it went.
#[test]
fn e13_rows_that_changed_meanwhile() {
    let (mut core, _) = core();
    let flow = |n| SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, n));
    for n in 1..=4 {
        packet(&mut core, flow(n));
    }
    let rows = core.rows_from(flow(1), |_| true);
    // 2 goes, and 9 gets its number; 3 goes, 8 gets its number, and it comes back with another.
    let number_of = |core: &Core, n| core.rows_from(flow(n), |_| false)[0];
    let (second, third) = (number_of(&core, 2), number_of(&core, 3));
    for n in [3, 2] {
        core.expire(Millis(100_000), flow(n), Counters::default()).unwrap();
    }
    for n in [9, 8, 3] {
        packet(&mut core, flow(n));
    }
    assert_eq!(number_of(&core, 9), (flow(9), second.1));
    assert_ne!(number_of(&core, 3), third);
    let counters = |n| Counted::Entry(Counters { packets: n, ..Counters::default() });
    let counted = [1, 2, 3, 4].map(counters);
    let mut read = Vec::new();
    let all = core.read_rows(Millis(1), &rows, &counted, |record| {
        read.push((record.flow, record.counters.packets));
        true
    });
    assert_eq!(all, Ok(true));
    assert_eq!(read, [(flow(1), 1), (flow(3), 3), (flow(4), 4)]);
    let mut first = 0;
    let all = core.read_rows(Millis(1), &rows, &counted, |_| {
        first += 1;
        first < 2
    });
    assert_eq!((all, first), (Ok(false), 2));
}

/// The owner's memberships go first, so that IGMP's are the last ones and everybody hears of them:
/// room for all those alerts was not made, and the core came to grief.
#[test]
fn c4_there_is_room_for_the_alerts_of_an_owner_and_igmp() {
    let (mut core, owner) = core();
    let mut register = |protocol, component| {
        core.register(ClientInfo {
            protocol,
            component,
            has_local_join: false,
            takes_routeless: false,
        })
        .unwrap()
    };
    let igmp = register(10, 0);
    for component in 0..15 {
        register(2, component);
    }
    let now = Millis(1);
    core.take(now, igmp, INTERFACE).unwrap();
    for n in 0..200 {
        let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, n));
        for client in [owner, igmp] {
            core.add_membership(now, client, of, INTERFACE, JOIN, None).unwrap();
        }
    }
    let before = core.outbox.queued();
    let Ok(OwnerChange::Waits(change)) = core.release(now, owner, INTERFACE) else {
        panic!("IGMP is to be told first")
    };
    core.disable_answered(now, change).unwrap();
    finish(&mut core);
    // DISABLE_IGMP and ENABLE_IGMP; of each group a prune alert to IGMP, and one to all others.
    assert_eq!(core.outbox.queued() - before, 2 + 200 * (1 + 16));
}
