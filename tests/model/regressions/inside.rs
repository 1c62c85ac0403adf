//! Those in which callbacks call the library.

use super::{FLOW, h, join, nest, packet, play, route};
use crate::model::net::*;
use crate::model::words::*;
use crate::programs::{Level, Program};
use std::net::Ipv4Addr;

/// All of them, by name.
pub fn all(level: Level) -> Vec<(&'static str, Program)> {
    let nested = |client, kind, op, ops| play(level, |w| nest(w, client, kind, op), ops);
    vec![
        (
            "an interface that changes hands inside the RPF callback asks its new owner",
            nested(
                3,
                Kind::Rpf,
                Op::Take(h(0), IF1),
                vec![route(IF1), Op::Take(h(3), IF1), packet(FLOW, IF1)],
            ),
        ),
        (
            "a take inside a callback waits for IGMP, whom an outer call left an alert for",
            nested(
                1,
                Kind::Join,
                Op::Take(h(0), IF3),
                vec![Op::Take(h(3), IF3), Op::Take(h(2), IF1), join(2, ALL, IF1)],
            ),
        ),
        (
            "a call inside WRONG_IF of a first packet delivers at once",
            nested(
                2,
                Kind::WrongIf,
                join(0, any(G1), IF1),
                vec![
                    route(IF1),
                    Op::Take(h(0), IF1),
                    Op::Take(h(1), IF2),
                    Op::Take(h(2), IF3),
                    join(1, ALL, IF2),
                    packet(FLOW, IF3),
                ],
            ),
        ),
        (
            "a route that moves while a new flow's questions are open rebuilds it",
            nested(
                1,
                Kind::Rpf,
                route(IF1),
                vec![route(IF3), Op::Take(h(1), IF3), Op::Take(h(0), IF1), packet(FLOW, IF1)],
            ),
        ),
        (
            "an interface taken inside the RPF callback that fits the route better is asked",
            nested(
                1,
                Kind::Rpf,
                Op::Take(h(2), IF4),
                vec![route(IF4), Op::Take(h(1), IF4_HOP), packet(FLOW, IF1)],
            ),
        ),
        (
            "packets that waited for an entry are reported before those that came after",
            play(
                level,
                |w| {
                    nest(w, 1, Kind::Rpf, packet(FLOW, IF4));
                    nest(w, 1, Kind::Prune, packet(FLOW, IF1));
                },
                vec![
                    route(IF3),
                    Op::Take(h(1), IF3),
                    Op::Take(h(2), IF4),
                    Op::Take(h(1), IF1),
                    packet(FLOW, IF4_HOP),
                ],
            ),
        ),
        (
            "an entry made while a change of routes goes through the others is looked at too",
            play(
                level,
                |w| {
                    nest(w, 0, Kind::Prune, packet(sg(S2, G2), IF1));
                    w.profiles[0].script.rpf_iif = Some(IF2);
                },
                vec![
                    Op::Route { network: NET2, len: 24, to: Some(IF3) },
                    Op::Take(h(0), IF2),
                    Op::Take(h(0), IF1),
                    packet(sg(S2, G1), IF1),
                    Op::Route { network: NET2, len: 24, to: Some(IF1) },
                ],
            ),
        ),
        (
            "an entry that is built anew at the end of a short lifetime shows a whole one meanwhile",
            play(
                level,
                |w| {
                    nest(w, 0, Kind::Rpf, Op::ReadMfe(FLOW));
                    nest(w, 0, Kind::Rpf, Op::ReadMfe(FLOW));
                    w.profiles[0].script.prune_timeout = Some(7);
                },
                vec![
                    route(IF1),
                    Op::Take(h(0), IF1),
                    packet(FLOW, IF1),
                    packet(FLOW, IF1),
                    Op::Advance(8),
                ],
            ),
        ),
        (
            "a packet inside a callback passes on what still waits for an entry that has come",
            play(
                level,
                |w| {
                    nest(w, 1, Kind::Rpf, packet(FLOW, IF3));
                    nest(w, 1, Kind::Prune, packet(sg(S2, G1), IF3));
                },
                vec![
                    route(IF5),
                    Op::Route { network: NET2, len: 24, to: Some(IF4) },
                    Op::Take(h(0), IF3),
                    Op::Take(h(1), IF5),
                    packet(FLOW, IF1),
                ],
            ),
        ),
        (
            "an interface that is released is not asked about any more",
            nested(
                2,
                Kind::Creation,
                Op::Release(h(0), IF1),
                vec![
                    route(IF4),
                    Op::Take(h(2), IF2),
                    Op::Take(h(0), IF1),
                    Op::Take(h(2), IF4),
                    join(2, any(G1), IF2),
                    join(0, any(G1), IF1),
                    packet(FLOW, IF1),
                ],
            ),
        ),
        (
            "an interface that changes hands is not asked about under its former owner",
            nested(
                2,
                Kind::Creation,
                Op::Release(h(0), IF1),
                vec![
                    route(IF4),
                    Op::Take(h(2), IF2),
                    Op::Take(h(0), IF1),
                    Op::Take(h(3), IF1),
                    Op::Take(h(2), IF4),
                    join(2, any(G1), IF2),
                    join(0, any(G1), IF1),
                    join(3, any(G1), IF1),
                    packet(FLOW, IF1),
                ],
            ),
        ),
        (
            "an owner that comes beside IGMP is asked once",
            play(
                level,
                |w| {
                    nest(w, 3, Kind::Rpf, Op::Take(h(0), IF1));
                    w.profiles[0].script.rpf_iif = Some(IF4);
                },
                vec![route(IF1), Op::Take(h(0), IF4), packet(FLOW, IF1), Op::Take(h(3), IF1)],
            ),
        ),
        (
            "a release inside the RPF callback leaves nothing of its answer",
            play(
                level,
                |w| {
                    nest(w, 0, Kind::Rpf, Op::Release(h(0), IF1));
                    w.profiles[0].script.rpf_upstream = Some(Ipv4Addr::new(10, 8, 8, 8));
                },
                vec![route(IF1), Op::Take(h(0), IF1), packet(FLOW, IF1)],
            ),
        ),
        (
            "a call inside a callback passes over a null one that the outer call left",
            play(
                level,
                |w| {
                    w.profiles[2].script.nulls = vec![Kind::Creation];
                    nest(w, 3, Kind::Rpf, Op::Owner(IF1));
                    nest(w, 3, Kind::Rpf, join(0, FLOW, IF1));
                },
                vec![
                    route(IF2),
                    Op::Take(h(0), IF1),
                    Op::Take(h(2), IF4_HOP),
                    packet(FLOW, IF1),
                    packet(sg(S1, G2), IF1),
                    join(2, any(G1), IF4_HOP),
                    Op::Take(h(3), IF2),
                ],
            ),
        ),
        (
            "alerts about entries come in any order, though another client hears of one before",
            nested(
                3,
                Kind::Join,
                route(IF3),
                vec![
                    route(IF1),
                    Op::Route { network: NET2, len: 24, to: Some(IF1) },
                    Op::Take(h(3), IF1),
                    Op::Take(h(0), IF2),
                    Op::Take(h(0), IF3),
                    packet(sg(S2, G1), IF1),
                    packet(sg(S1, G2), IF1),
                    join(0, ALL, IF2),
                ],
            ),
        ),
        (
            "the prune of a moved iif does not set the lifetime of an entry its owner empties",
            play(
                level,
                |w| {
                    w.profiles[0].script.prune_timeout = Some(7);
                    nest(w, 0, Kind::Prune, Op::Delete(h(0), any(G1), IF1, JOIN));
                },
                vec![
                    route(IF2),
                    Op::Take(h(0), IF1),
                    Op::Take(h(0), IF2),
                    Op::Take(h(0), IF4),
                    join(0, any(G1), IF1),
                    packet(FLOW, IF2),
                    route(IF4),
                ],
            ),
        ),
        (
            "the first of two prunes does not set the lifetime that the second asks for",
            play(
                level,
                |w| {
                    let read = Op::ReadMfes { after: None, record: Record::Plain, room: 60 };
                    w.profiles[0].script.prune_timeout = Some(7);
                    nest(w, 0, Kind::Prune, join(1, any(G2), IF2));
                    nest(w, 0, Kind::Prune, read);
                    nest(w, 2, Kind::Join, Op::Delete(h(1), any(G2), IF2, JOIN));
                },
                vec![
                    route(IF1),
                    Op::Take(h(0), IF1),
                    Op::Take(h(1), IF2),
                    Op::Take(h(2), IF4),
                    packet(sg(S1, G2), IF1),
                ],
            ),
        ),
        (
            "a packet from inside a callback comes after an entry whose route moved meanwhile",
            play(
                level,
                |w| {
                    nest(w, 0, Kind::Rpf, Op::Route { network: NET2, len: 24, to: Some(IF1) });
                    nest(w, 2, Kind::WrongIf, packet(sg(S1, G1), IF1));
                    nest(w, 3, Kind::Rpf, Op::Route { network: NET2, len: 24, to: Some(IF4) });
                },
                vec![
                    route(IF1),
                    Op::Route { network: NET2, len: 24, to: Some(IF4_HOP) },
                    Op::Take(h(3), IF4_HOP),
                    Op::Take(h(0), IF4),
                    Op::Take(h(2), IF3),
                    Op::Take(h(1), IF1),
                    packet(sg(S2, G1), IF3),
                ],
            ),
        ),
        (
            "alerts about entries come in any order, though one like it waits for the client",
            play(
                level,
                |w| {
                    nest(w, 2, Kind::Rpf, packet(sg(Ipv4Addr::new(10, 0, 1, 6), G1), IF1));
                    nest(w, 2, Kind::Prune, Op::Take(h(1), IF4_HOP));
                },
                vec![
                    route(IF1),
                    Op::Take(h(3), IF4_HOP),
                    Op::Take(h(2), IF1),
                    Op::Down(IF4_HOP),
                    join(3, ALL, IF4_HOP),
                    packet(FLOW, IF1),
                ],
            ),
        ),
        (
            "a packet comes for an entry that went while it was built anew, then its route moves",
            play(
                level,
                |w| {
                    nest(w, 1, Kind::Rpf, Op::Down(IF1));
                    nest(w, 2, Kind::Creation, Op::ReadMfe(FLOW));
                    nest(w, 2, Kind::Creation, packet(FLOW, IF2));
                    nest(w, 1, Kind::Rpf, route(IF4));
                },
                vec![
                    route(IF1),
                    Op::Take(h(0), IF1),
                    Op::Take(h(1), IF2),
                    Op::Take(h(2), IF3),
                    Op::Take(h(0), IF4),
                    join(2, any(G1), IF3),
                    packet(FLOW, IF1),
                    route(IF2),
                    packet(FLOW, IF4),
                ],
            ),
        ),
        (
            "a membership of a new source, added inside a callback, comes before alerts that wait",
            play(
                level,
                |w| {
                    nest(w, 2, Kind::Join, join(2, FLOW, IF4));
                    nest(w, 3, Kind::Join, packet(FLOW, IF1));
                },
                vec![route(IF3), Op::Take(h(2), IF4), Op::Take(h(0), IF3), join(0, any(G1), IF3)],
            ),
        ),
        (
            "D10: a prune waits for IGMP while IGMP comes to own the interface toward the source",
            nested(
                3,
                Kind::Disable,
                route(IF4_HOP),
                vec![
                    route(IF1),
                    Op::Take(h(0), IF5),
                    Op::Take(h(0), IF4_HOP),
                    Op::Take(h(3), IF1),
                    Op::Take(h(3), IF4_HOP),
                    join(0, FLOW, IF5),
                    Op::Release(h(0), IF4_HOP),
                ],
            ),
        ),
        (
            "a packet that waited is passed on in the midst of a release, before IGMP is enabled again",
            play(
                level,
                |w| {
                    w.portion = 1;
                    nest(w, 1, Kind::Rpf, packet(sg(S2, G1), IF1));
                    nest(w, 1, Kind::Rpf, Op::Release(h(2), IF5));
                    nest(w, 2, Kind::Rpf, packet(FLOW, IF5));
                    nest(w, 2, Kind::Prune, packet(sg(S1B, G1), IF1));
                },
                vec![
                    route(IF4),
                    Op::Route { network: NET2, len: 24, to: Some(IF5) },
                    Op::Take(h(1), IF1),
                    Op::Take(h(1), IF4),
                    Op::Take(h(3), IF5),
                    Op::Take(h(2), IF5),
                    packet(FLOW, IF2),
                ],
            ),
        ),
    ]
}
