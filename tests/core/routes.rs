//! Routes that change while they are looked up.

use crate::{INTERFACE, JOIN, core};
use mgm::core::state::outbox::{Action, LifetimeAsk};
use mgm::core::{Adding, Admission, ClientInfo, Core, Looked, Relook};
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
    core.take(Millis(1), client, IfKey::new(2, Ipv4Addr::UNSPECIFIED)).unwrap();
    core.relook.clear();
    let flow = |n| SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(232, 0, 0, n));
    let elsewhere = Ipv4Addr::new(10, 0, 1, 0);
    let answers = |core: &mut Core| {
        while let Some(id) = core.outbox.take_fresh() {
            let node = core.outbox.discard(id).unwrap();
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

/// What the shell is to look at, and whom the alerts are for.
fn told(core: &mut Core) -> (Vec<Relook>, Vec<(u32, Action)>) {
    let mut told = Vec::new();
    while let Some(id) = core.outbox.take_fresh() {
        told.extend(core.outbox.discard(id).map(|node| (node.client, node.action)));
    }
    (core.relook.drain(..).map(|due| due.relook).collect(), told)
}

/// A membership that is added while the routes change goes by what was looked up, and its source
/// is looked at again. An answer that a change overtook does not count then.
#[test]
fn d10_a_membership_that_a_change_overtook() {
    let (mut core, first) = core();
    let info = |protocol| ClientInfo {
        protocol,
        component: 0,
        has_local_join: false,
        takes_routeless: false,
    };
    let (second, member) = (core.register(info(2)).unwrap(), core.register(info(3)).unwrap());
    let on = |index| IfKey::new(index, Ipv4Addr::UNSPECIFIED);
    core.take(Millis(1), second, on(2)).unwrap();
    core.take(Millis(1), member, on(3)).unwrap();
    told(&mut core);
    let source = Ipv4Addr::new(10, 0, 0, 1);
    let of = |n| SourceGroup::new(source, Ipv4Addr::new(232, 0, 0, n));
    let looked =
        |core: &Core, index| Looked { route: Some(route(index)), as_of: core.routes_as_of() };
    let add = |core: &mut Core, n, looked| {
        core.add_membership(Millis(1), member, of(n), on(3), JOIN, looked).unwrap()
    };
    let join = |n| Action::Join { of: of(n), member: true };
    let prune = |n, index| Action::Prune {
        of: of(n),
        interface: on(index),
        member: true,
        asks: LifetimeAsk::NONE,
    };

    assert_eq!(add(&mut core, 1, None), Adding::RouteNeeded);
    let old = looked(&core, 1);
    core.routes_changed(source, 24);
    assert_eq!(add(&mut core, 1, Some(old)), Adding::Done);
    assert_eq!(told(&mut core), (vec![Relook::Source { source }], vec![(first.slot, join(1))]));
    assert_eq!(add(&mut core, 2, None), Adding::Done, "its source is known");
    assert_eq!(told(&mut core), (vec![], vec![(first.slot, join(2))]));

    core.source_rerouted(source, old).unwrap();
    assert_eq!(told(&mut core), (vec![], vec![]));
    let new = looked(&core, 2);
    core.source_rerouted(source, new).unwrap();
    let moved = |n| [(first.slot, prune(n, 1)), (second.slot, join(n))];
    assert_eq!(told(&mut core).1, [moved(1), moved(2)].concat());
    core.source_rerouted(source, new).unwrap();
    assert_eq!(told(&mut core), (vec![], vec![]));

    // With its last membership the source is forgotten, and looked up anew.
    for n in [1, 2] {
        core.delete_membership(Millis(1), member, of(n), on(3), JOIN).unwrap();
        assert_eq!(told(&mut core).1, [(second.slot, prune(n, 3))]);
    }
    core.source_rerouted(source, looked(&core, 1)).unwrap();
    assert_eq!(add(&mut core, 1, None), Adding::RouteNeeded);
}
