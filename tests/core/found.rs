//! Flows whose entries an earlier program left in the plane.

use crate::{INTERFACE, JOIN, answer};
use mgm::core::state::plane::Stale;
use mgm::core::{Admission, ClientInfo, Core, Limits, Looked};
use mgm::types::{ClientId, IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

fn flow(last: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::new(10, 0, 0, last), Ipv4Addr::new(232, 0, 0, last))
}

/// A core with such limits and a client on interfaces 1 and 2.
fn with(limits: Limits) -> (Core, ClientId) {
    let mut core = Core::new(limits, 1, u32::MAX);
    let info =
        ClientInfo { protocol: 1, component: 1, has_local_join: false, takes_routeless: false };
    let client = core.register(info).unwrap();
    core.take(Millis(1), client, INTERFACE).unwrap();
    core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED)).unwrap();
    core.relook.clear();
    (core, client)
}

fn looked(core: &Core, of: SourceGroup) -> Option<Looked> {
    let (upstream, network) = (of.source(), of.source());
    let route = Route { interface: INTERFACE, upstream, protocol: 0, network, prefix_len: 32 };
    Some(Looked { route: Some(route), as_of: core.routes_as_of() })
}

fn found(core: &mut Core, last: u8) -> Admission {
    let looked = looked(core, flow(last));
    core.found(Millis(1), flow(last), INTERFACE, looked).unwrap()
}

fn packet(core: &mut Core, last: u8) -> Admission {
    let looked = looked(core, flow(last));
    core.packet(Millis(1), flow(last), INTERFACE, &[0x45; 20], looked).unwrap()
}

/// What is to be programmed.
fn stale(core: &mut Core) -> Vec<SourceGroup> {
    let stale = std::iter::from_fn(|| core.plane.pop());
    stale
        .filter_map(|stale| match stale {
            Stale::Entry { flow, .. } => Some(flow),
            Stale::Interface(_) => None,
        })
        .collect()
}

/// Flows that were found are established: no rate holds for them, and they leave that of new flows
/// alone.
#[test]
fn g1_a_flow_that_was_found_counts_for_no_rate() {
    let limits = Limits { new_per_second: 2, new_per_source: 1, ..Limits::default() };
    let (mut core, _) = with(limits);
    for last in 1..=20 {
        assert_eq!(found(&mut core, last), Admission::Pending);
        answer(&mut core);
    }
    assert_eq!(packet(&mut core, 21), Admission::Pending);
    assert_eq!(packet(&mut core, 22), Admission::Pending);
    assert_eq!(packet(&mut core, 23), Admission::Refused);
    assert_eq!(found(&mut core, 24), Admission::Pending);
}

/// One that nobody has joined waits where there is no room for it; one that somebody has joined finds
/// room, as any new flow.
#[test]
fn g1_a_flow_that_was_found_and_nobody_joined_takes_no_other_flows_place() {
    let (mut core, client) = with(Limits { max_mfes: 16, ..Limits::default() });
    for last in 1..=4 {
        assert_eq!(found(&mut core, last), Admission::Pending);
        answer(&mut core);
    }
    assert_eq!(core.totals().negative, 4, "a quarter of the cap");
    stale(&mut core);
    assert_eq!(found(&mut core, 5), Admission::Refused);
    assert_eq!((stale(&mut core), core.totals().mfes), (vec![], 4), "and nothing has changed");
    assert_eq!(found(&mut core, 1), Admission::Known, "as before");
    stale(&mut core);
    let joined = flow(6).any_source();
    let on = IfKey::new(2, Ipv4Addr::UNSPECIFIED);
    core.add_membership(Millis(1), client, joined, on, JOIN, None).unwrap();
    assert_eq!(found(&mut core, 6), Admission::Pending);
    answer(&mut core);
    assert_eq!((core.totals().mfes, core.totals().negative), (5, 4));
}

/// When it no longer keeps what it was found with, it is programmed, unless its questions are open.
#[test]
fn e1_a_flow_that_is_asked_about_is_not_programmed_yet() {
    let (mut core, _) = with(Limits::default());
    assert_eq!(found(&mut core, 1), Admission::Pending);
    stale(&mut core);
    core.program_again(flow(1)).unwrap();
    assert_eq!(stale(&mut core), []);
    answer(&mut core);
    assert_eq!(stale(&mut core), [flow(1)]);
    core.program_again(flow(1)).unwrap();
    // One of which nothing is known goes.
    core.program_again(flow(2)).unwrap();
    assert_eq!(stale(&mut core), [flow(1), flow(2)]);
}
