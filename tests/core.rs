//! What the core holds by itself, though the C border or the planes look at it before.

use mgm::core::types::{ClientId, IfKey, MembershipFlags, Millis, SourceGroup};
use mgm::core::{Admission, ClientInfo, Core, Limits, RouteBook};
use mgm::error::Error;
use std::net::Ipv4Addr;

const INTERFACE: IfKey = IfKey::new(1, Ipv4Addr::UNSPECIFIED);

/// A core with one client, which owns an interface.
fn core() -> (Core, ClientId) {
    let mut core = Core::new(Limits::default(), 1, u32::MAX);
    let info = ClientInfo { protocol: 1, component: 1, has_local_join: false };
    let client = core.register(info).unwrap();
    core.take(Millis(1), client, INTERFACE, &mut RouteBook::new()).unwrap();
    (core, client)
}

#[test]
fn d2_no_flag_is_refused() {
    let (mut core, client) = core();
    let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, 1));
    let none = MembershipFlags { join: false, forward: false };
    let mut routes = RouteBook::new();
    let add = core.add_membership(Millis(1), client, of, INTERFACE, none, &mut routes);
    assert!(matches!(add, Err(Error::BadValue { name: "dwFlags", .. })), "{add:?}");
    let delete = core.delete_membership(Millis(1), client, of, INTERFACE, none, &mut routes);
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
}

/// The planes report no packet for 224.0.0.0/24; a host's own may.
#[test]
fn e1_a_link_local_flow_gets_no_entry() {
    let (mut core, _) = core();
    let source = Ipv4Addr::new(10, 0, 0, 1);
    let admit = |core: &mut Core, group| {
        let flow = SourceGroup::new(source, group);
        core.packet(Millis(1), flow, INTERFACE, &[0x45; 20], None).unwrap()
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
    for n in 1..=9 {
        core.packet(Millis(1), flow(n), INTERFACE, &[0x45; 20], None).unwrap();
    }
    let rows = |mut room: usize, max| {
        let mut rows = Vec::new();
        let mut has_room = |oifs| {
            assert_eq!(oifs, 0);
            let some = room > 0;
            room = room.saturating_sub(1);
            some
        };
        core.rows_from(flow(2), max, &mut has_room, &mut rows);
        rows.into_iter().map(|(flow, _)| flow).collect::<Vec<_>>()
    };
    assert_eq!(rows(3, 64), [flow(2), flow(3), flow(4), flow(5)]);
    assert_eq!(rows(0, 64), [flow(2)], "its size is to be told");
    assert_eq!(rows(64, 2), [flow(2), flow(3)]);
    assert_eq!(rows(64, 64).len(), 8);
}
