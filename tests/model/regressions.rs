//! Programs that once parted from the model, shrunk: each ran into what its name says.

#[path = "regressions/inside.rs"]
mod inside;
#[path = "regressions/loops.rs"]
mod loops;

use crate::model::net::*;
use crate::model::words::*;
use crate::programs::{Level, Program, world};
use mgm::types::{IfKey, SourceGroup};

const FLOW: SourceGroup = sg(S1, G1);

fn h(n: usize) -> Handle {
    Handle::Nth(n)
}

fn packet(flow: SourceGroup, on: IfKey) -> Op {
    Op::Packet(on, Packet { flow, ttl: 64, options: 0, octets: 80 })
}

fn route(to: impl Into<Option<IfKey>>) -> Op {
    Op::Route { network: NET1, len: 24, to: to.into() }
}

fn join(n: usize, of: SourceGroup, on: IfKey) -> Op {
    Op::Add(h(n), of, on, JOIN)
}

/// Clients 0, 1, 2 (routing protocols) and 3 (IGMP) are registered, with these handles.
fn play(level: Level, script: impl FnOnce(&mut World), ops: Vec<Op>) -> Program {
    let mut world = world(level);
    script(&mut world);
    let mut all: Vec<Op> = (0..4).map(Op::Register).collect();
    all.extend(ops);
    Program { world, ops: all }
}

fn nest(world: &mut World, client: Client, kind: Kind, op: Op) {
    world.profiles[client].script.nested.push((kind, op));
}

/// All of them, by name.
pub fn all(level: Level) -> Vec<(&'static str, Program)> {
    let plain = |ops| play(level, |_| {}, ops);
    let mut all = vec![
        (
            "a route that moves between unowned interfaces takes the entry along",
            plain(vec![
                route(IF2),
                packet(FLOW, IF1),
                route(IF3),
                Op::Take(h(0), IF3),
                packet(FLOW, IF3),
            ]),
        ),
        (
            "a flow without a route is taken up when the interface of its new route is",
            plain(vec![packet(FLOW, IF1), route(IF3), Op::Take(h(0), IF3)]),
        ),
        (
            "an interface that goes down takes entries along that nobody owns",
            plain(vec![route(IF5), packet(FLOW, IF1), Op::Down(IF5)]),
        ),
        (
            "a packet on the wrong interface brings that interface up",
            plain(vec![
                route(IF1),
                Op::Take(h(0), IF1),
                Op::Take(h(1), IF4),
                Op::Down(IF4),
                join(1, any(G1), IF4),
                packet(FLOW, IF1),
                packet(FLOW, IF4),
            ]),
        ),
        (
            "what a release does to IGMP's memberships is the releasing client's own doing",
            plain(vec![
                route(IF1),
                Op::Take(h(0), IF1),
                Op::Take(h(0), IF4),
                Op::Take(h(3), IF4),
                join(3, any(G1), IF4),
                packet(FLOW, IF1),
                Op::Release(h(0), IF4),
            ]),
        ),
        (
            "a take that brings an interface up is the taker's doing",
            plain(vec![
                route(IF1),
                Op::Take(h(3), IF1),
                Op::Take(h(0), IF4),
                Op::Down(IF4),
                join(0, any(G1), IF4),
                packet(FLOW, IF1),
                Op::Advance(1),
                Op::Take(h(3), IF4),
            ]),
        ),
        (
            "dwRoute* follow the route of an entry without an owner",
            plain(vec![
                route(IF1),
                packet(FLOW, IF1),
                Op::Route { network: S1, len: 32, to: Some(IF1) },
            ]),
        ),
        (
            "the end of an enumeration stays the end",
            plain(vec![
                Op::Take(h(0), IF2),
                Op::StartEnum(h(0), false),
                Op::NextGroups(h(0), 0),
                join(0, any(G1), IF2),
                Op::NextGroups(h(0), 0),
            ]),
        ),
        (
            "what goes with an interface does not count against the quarter",
            play(
                level,
                |w| w.max_mfes = 8,
                vec![
                    route(IF3),
                    Op::Route { network: NET2, len: 24, to: Some(IF2) },
                    Op::Take(h(1), IF2),
                    Op::Take(h(0), IF3),
                    packet(FLOW, IF1),
                    packet(sg(S1, G2), IF1),
                    join(1, any(G1), IF2),
                    packet(sg(S2, G1), IF1),
                    Op::Down(IF2),
                ],
            ),
        ),
        (
            "of interfaces that leave at once the first by name is named",
            play(
                level,
                |w| w.profiles[0].script.veto = vec![IF1, IF2],
                vec![
                    route(IF3),
                    Op::Take(h(0), IF3),
                    Op::Take(h(0), IF2),
                    Op::Take(h(0), IF1),
                    packet(FLOW, IF3),
                    join(0, any(G1), IF2),
                    join(0, any(G1), IF1),
                    Op::Advance(900),
                ],
            ),
        ),
        (
            "a flow's arrival interface and the one toward its source share their index",
            play(
                level,
                |w| w.profiles[0].script.rpf_iif = Some(IF3),
                vec![route(IF4_HOP), Op::Take(h(0), IF3), packet(FLOW, IF4), Op::Take(h(0), IF4)],
            ),
        ),
        (
            "the interface toward the source of a refused flow is taken",
            play(
                level,
                |w| {
                    w.profiles[1].routeless = true;
                    w.profiles[1].script.rpf_iif = Some(REFUSED);
                },
                vec![
                    route(IF3),
                    Op::Take(h(0), IF1),
                    Op::Take(h(1), IF4),
                    packet(FLOW, IF4),
                    Op::Take(h(0), IF3),
                ],
            ),
        ),
        (
            "the arrival interface of a flow that IGMP refused is taken by a routing protocol",
            play(
                level,
                |w| {
                    w.portion = 3;
                    w.profiles[5].routeless = true;
                    w.profiles[5].script.rpf_iif = Some(REFUSED);
                },
                vec![
                    Op::Register(4),
                    Op::Register(5),
                    route(IF1),
                    Op::Take(h(5), IF4),
                    Op::Take(h(0), IF1),
                    route(None),
                    packet(FLOW, IF4),
                    Op::Take(h(0), IF4),
                ],
            ),
        ),
    ];
    all.extend(inside::all(level));
    all.extend(loops::all(level));
    all
}
