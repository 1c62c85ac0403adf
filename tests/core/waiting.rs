//! Flows that wait for an owner of the interface toward their source.

use mgm::core::state::outbox::Action;
use mgm::core::{ClientInfo, Core, Limits, Looked, Relook};
use mgm::types::{IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

const NOW: Millis = Millis(1_000);

const fn flow(n: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::new(10, 0, 0, n), Ipv4Addr::new(239, 1, 1, 1))
}

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

/// Flow n comes from next hop n of interface 3.
const fn hop(n: u8) -> IfKey {
    IfKey::new(3, Ipv4Addr::new(10, 9, 0, n))
}

fn look(core: &Core, of: SourceGroup, toward: IfKey) -> Looked {
    let source = of.source();
    let route =
        Route { interface: toward, upstream: source, protocol: 1, network: source, prefix_len: 32 };
    Looked { route: Some(route), as_of: core.routes_as_of() }
}

/// Flows 1 and 2 wait, each with an iif of its own, when a client takes interface 3.
fn two_wait() -> Core {
    let mut core = Core::new(Limits::default(), 1, u32::MAX);
    let info =
        ClientInfo { protocol: 100, component: 1, has_local_join: false, takes_routeless: false };
    let client = core.register(info).unwrap();
    for n in [1, 2] {
        let looked = look(&core, flow(n), hop(n));
        core.packet(NOW, flow(n), interface(3), &[0x45; 20], Some(looked)).unwrap();
        assert!(!is_resolved(&core, n));
    }
    core.take(NOW, client, interface(3)).unwrap();
    let due = core.relook.pop_front().unwrap().relook;
    assert_eq!(due, Relook::Interface { index: 3 });
    core
}

fn answer_questions(core: &mut Core) {
    while let Some(id) = core.outbox.take_fresh() {
        let node = core.outbox.discard(id).unwrap();
        if let Action::Rpf { flow } = node.action {
            core.rpf_answered(NOW, flow, node.client, None);
        }
    }
}

fn is_resolved(core: &Core, n: u8) -> bool {
    let mut resolved = false;
    core.read_mfe(NOW, flow(n), None.into(), &mut |record| resolved = record.resolved).unwrap();
    resolved
}

/// Another thread answers the first flow's question before the second flow is looked at: with
/// that nothing names the interface any more in whose place the walk stands.
#[test]
fn e5_all_are_taken_up_though_their_interfaces_are_forgotten() {
    let mut core = two_wait();
    let mut at = None;
    while let Some((of, place)) = core.next_waiting(3, at) {
        let toward = hop(of.source().octets()[3]);
        let looked = look(&core, of, toward);
        core.rerouted(NOW, of, looked, false).unwrap();
        answer_questions(&mut core);
        at = Some(place);
    }
    assert!(is_resolved(&core, 1) && is_resolved(&core, 2));
}

/// The first flow's route has moved to an interface without an owner, unbeknownst so far.
#[test]
fn e5_all_are_taken_up_though_the_first_moves_elsewhere() {
    let mut core = two_wait();
    let mut at = None;
    while let Some((of, place)) = core.next_waiting(3, at) {
        let toward = if of == flow(1) { interface(7) } else { hop(2) };
        let looked = look(&core, of, toward);
        core.rerouted(NOW, of, looked, false).unwrap();
        at = Some(place);
    }
    answer_questions(&mut core);
    assert!(!is_resolved(&core, 1) && is_resolved(&core, 2));
}
