//! What is kept of packets while clients are asked about them (rules E2, E7).

use crate::{INTERFACE, core};
use mgm::core::state::outbox::Action;
use mgm::core::{Core, Looked};
use mgm::types::{IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

fn flow(n: u32) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::from_bits(0x0a00_0001), Ipv4Addr::from_bits(0xe800_0000 + n))
}

fn come(core: &mut Core, n: u32, packet: &[u8]) {
    let source = flow(n).source();
    let interface = INTERFACE;
    let route = Route { interface, upstream: source, protocol: 0, network: source, prefix_len: 32 };
    let looked = Looked { route: Some(route), as_of: core.routes_as_of() };
    core.packet(Millis(1), flow(n), INTERFACE, packet, Some(looked)).unwrap();
}

/// The next action: who it is for, and what it is.
fn next(core: &mut Core) -> Option<(u32, Action)> {
    let id = core.outbox.take_fresh()?;
    core.outbox.discard(id).map(|node| (node.client, node.action))
}

/// How much of its packet the next RPF question has. It is answered, or left open.
fn asked(core: &mut Core, answer: bool) -> usize {
    loop {
        if let Some((client, Action::Rpf { flow })) = next(core) {
            let (_, proposed, head, _) = core.rpf_question(flow);
            let octets = head.as_bytes().len();
            core.give_back_head(flow, head);
            if answer {
                core.rpf_answered(Millis(1), flow, client, Some(proposed));
            }
            return octets;
        }
    }
}

/// A client hangs while others send it flows of the greatest packets: 16 MiB of them are kept whole,
/// for all questions and alerts together, and of the others the headers. What is answered makes
/// room.
#[test]
fn e2_what_waits_takes_bounded_memory() {
    let (mut core, client) = core();
    core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED)).unwrap();
    let mut packet = vec![7; 65_535];
    packet[0] = 0x46;
    let whole = (16 << 20) / packet.len();
    for n in 0..whole as u32 + 100 {
        come(&mut core, n, &packet);
    }
    let given: Vec<usize> = (0..whole + 100).map(|_| asked(&mut core, false)).collect();
    assert_eq!(given[..whole], vec![packet.len(); whole]);
    assert_eq!(given[whole..], [24; 100]);

    let (mut core, client) = crate::core();
    core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED)).unwrap();
    for round in 0..4 {
        for n in 0..whole as u32 {
            come(&mut core, round * 1000 + n, &packet);
        }
        for _ in 0..whole {
            assert_eq!(asked(&mut core, true), packet.len(), "round {round}");
        }
    }
    // Alerts about wrong interfaces count too.
    for n in (0..whole as u32).chain([1000]) {
        let (now, arrival) = (Millis(1), IfKey::new(2, Ipv4Addr::UNSPECIFIED));
        core.wrong_interface(now, flow(n), arrival, &packet).unwrap();
    }
    let mut headers = Vec::new();
    while let Some((_, action)) = next(&mut core) {
        if let Action::WrongIf { header, .. } = action {
            headers.push(header);
        }
    }
    let mut octets = |header| core.take_header(header).unwrap().as_bytes().len();
    assert_eq!(octets(headers.pop().unwrap()), 24);
    assert!(headers.into_iter().all(|header| octets(header) == packet.len()));
}

/// The limit of three seconds is for an entry, and not for another one that takes its place.
#[test]
fn e7_an_entry_in_the_place_of_another_has_a_limit_of_its_own() {
    let (mut core, client) = core();
    let arrival = IfKey::new(2, Ipv4Addr::UNSPECIFIED);
    core.take(Millis(1), client, arrival).unwrap();
    let packet = [0x45; 20];
    for n in [1, 2] {
        come(&mut core, n, &packet);
        assert_eq!(asked(&mut core, true), packet.len());
        for expected in [1, 0] {
            core.wrong_interface(Millis(1), flow(n), arrival, &packet).unwrap();
            let actions = std::iter::from_fn(|| next(&mut core));
            let told = actions.filter(|(_, action)| matches!(action, Action::WrongIf { .. }));
            assert_eq!(told.count(), expected, "flow {n}");
        }
        for up in [false, true] {
            core.interface_up(Millis(1), INTERFACE, up).unwrap();
            crate::finish(&mut core);
        }
    }
}
