//! Routes that change while they are looked up.

use crate::{INTERFACE, core};
use mgm::core::state::outbox::{Action, Chain};
use mgm::core::{Admission, Core, Looked, Relook, RouteBook};
use mgm::types::{IfKey, Millis, Route, SourceGroup};
use std::net::Ipv4Addr;

fn route(index: u32) -> Route {
    Route {
        interface: IfKey::new(index, Ipv4Addr::UNSPECIFIED),
        upstream: Ipv4Addr::new(10, 0, 0, 1),
        protocol: 0,
        network: Ipv4Addr::new(10, 0, 0, 0),
        prefix_len: 24,
    }
}

/// A route that changes after it was looked up is looked up again, an older answer does not count,
/// and changes elsewhere cost nothing.
#[test]
fn e9_an_answer_that_a_change_overtook_does_not_count() {
    let (mut core, client) = core();
    core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED), &mut RouteBook::new())
        .unwrap();
    core.relook.clear();
    let flow = |n| SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, n));
    let elsewhere = Ipv4Addr::new(10, 0, 1, 0);
    let answers = |core: &mut Core| {
        while let Some(id) = core.outbox.take_fresh() {
            let mut one = Chain::EMPTY;
            core.outbox.append(&mut one, id);
            let node = core.outbox.pop(&mut one).unwrap();
            if let Action::Rpf { flow } = node.action {
                core.rpf_answered(Millis(1), flow, node.client, None);
            }
        }
        core.relook.drain(..).map(|due| due.relook).collect::<Vec<_>>()
    };
    let look = |flow| [Relook::Flow { flow, rebuild: false }];

    let looked = |core: &Core, index: Option<u32>| Looked {
        route: index.map(route),
        as_of: core.routes_as_of(),
    };
    let [old, none] = [looked(&core, Some(1)), looked(&core, None)];
    core.routes_changed(elsewhere, 24);
    let come = |core: &mut Core, n, looked| {
        core.packet(Millis(1), flow(n), INTERFACE, &[0x45; 20], looked).unwrap()
    };
    assert_eq!(come(&mut core, 1, None), Admission::RouteNeeded);
    assert_eq!(come(&mut core, 1, Some(old)), Admission::Pending);
    assert_eq!(answers(&mut core), []);
    core.routes_changed(Ipv4Addr::new(10, 0, 0, 0), 24);
    assert_eq!(come(&mut core, 2, Some(old)), Admission::Pending);
    assert_eq!(answers(&mut core), look(flow(2)));
    assert_eq!(come(&mut core, 3, Some(none)), Admission::Made);
    assert_eq!(answers(&mut core), look(flow(3)));

    let new = looked(&core, Some(2));
    core.rerouted(Millis(1), flow(1), new, false).unwrap();
    assert_eq!(answers(&mut core), []);
    assert_eq!(core.iif_of(flow(1)), Some(route(2).interface));
    core.rerouted(Millis(1), flow(1), old, true).unwrap();
    assert_eq!(answers(&mut core), [Relook::Flow { flow: flow(1), rebuild: true }]);
    assert_eq!(core.iif_of(flow(1)), Some(route(2).interface));
}
