//! Those of clients with loops of their own.

use super::{FLOW, h, join, nest, packet, play, route};
use crate::model::net::*;
use crate::model::words::*;
use crate::programs::{Level, Program};

/// How often a program does what fails on some schedules of two processes only.
const ROUNDS: usize = 10;

/// All of them, by name.
pub fn all(level: Level) -> Vec<(&'static str, Program)> {
    let mut all = vec![
        (
            "A7: packets that waited for a loop's answer are judged before the loop is called again",
            play(
                level,
                |w| w.profiles[2].dispatched = true,
                vec![
                    route(IF4),
                    Op::Take(h(2), IF2),
                    Op::Take(h(2), IF4),
                    packet(FLOW, IF3),
                    route(IF2),
                    packet(FLOW, IF2),
                    Op::Dispatch(h(2)),
                ],
            ),
        ),
        (
            "A7: a loop hears of packets that waited before it is asked about the route that moved",
            play(
                level,
                |w| w.profiles[1].dispatched = true,
                vec![
                    route(IF4_HOP),
                    Op::Take(h(1), IF4),
                    Op::Take(h(0), IF4_HOP),
                    Op::Take(h(1), IF5),
                    join(1, any(G1), IF4),
                    packet(FLOW, IF1),
                    packet(FLOW, IF4),
                    route(IF5),
                    Op::Dispatch(h(1)),
                ],
            ),
        ),
        (
            "H1: a call inside a callback does not call the loop whose dispatch is around it",
            play(
                level,
                |w| {
                    w.profiles[0].dispatched = true;
                    nest(w, 1, Kind::Join, Op::Dispatch(h(0)));
                    nest(w, 3, Kind::Join, join(0, any(G1), IF1));
                },
                vec![
                    Op::Register(6),
                    route(IF3),
                    Op::Take(h(0), IF3),
                    Op::Take(h(4), IF1),
                    packet(FLOW, IF1),
                    join(4, ALL, IF1),
                ],
            ),
        ),
        (
            "E5: IGMP is taken over where its refused flow has its iif, while a loop is asked about it",
            play(
                level,
                |w| {
                    w.profiles[2].dispatched = true;
                    w.profiles[3].routeless = true;
                    w.profiles[3].script.rpf_iif = Some(REFUSED);
                },
                vec![
                    route(IF4_HOP),
                    Op::Take(h(3), IF5),
                    packet(FLOW, IF5),
                    Op::Take(h(2), IF4),
                    Op::Take(h(3), IF4_HOP),
                    Op::Take(h(0), IF4_HOP),
                ],
            ),
        ),
        (
            "A7: a take and a release in portions return when IGMP has been enabled again",
            play(
                level,
                |w| {
                    (w.portion, w.profiles[0].dispatched) = (1, true);
                    for _ in 0..2 * ROUNDS {
                        nest(w, 3, Kind::Enable, Op::Dispatch(h(0)));
                    }
                },
                [Op::Take(h(3), IF4)]
                    .into_iter()
                    .chain((0..ROUNDS).flat_map(|_| [Op::Take(h(0), IF4), Op::Release(h(0), IF4)]))
                    .collect(),
            ),
        ),
        (
            "H8: an alert that a loop's process was sent ahead of its turn is delivered (decision 91)",
            play(
                level,
                |w| {
                    w.profiles[2].dispatched = true;
                    nest(w, 2, Kind::Rpf, Op::Release(h(0), IF1));
                },
                vec![
                    route(IF2),
                    Op::Take(h(0), IF1),
                    Op::Take(h(2), IF2),
                    packet(FLOW, IF1),
                    join(0, any(G1), IF1),
                    Op::Dispatch(h(2)),
                ],
            ),
        ),
        (
            "H8: so is what it was sent ahead about an entry, though a later alert tells of it as well",
            play(
                level,
                |w| {
                    w.profiles[2].dispatched = true;
                    nest(w, 2, Kind::WrongIf, join(0, ALL, IF4_HOP));
                },
                vec![
                    route(IF4),
                    Op::Take(h(2), IF4),
                    Op::Take(h(2), IF2),
                    Op::Take(h(0), IF4_HOP),
                    packet(sg(S1B, G1), IF2),
                    packet(FLOW, IF1),
                    Op::Dispatch(h(2)),
                ],
            ),
        ),
    ];
    // Across processes the dispatch may have returned when the other client is told (decision 83).
    if level != Level::Remote {
        all.push((
            "H7: a dispatch inside a callback about a packet that the dispatch passes on is refused",
            play(
                level,
                |w| {
                    w.profiles[2].dispatched = true;
                    nest(w, 0, Kind::WrongIf, Op::Dispatch(h(2)));
                },
                vec![
                    route(IF4),
                    Op::Take(h(2), IF4),
                    Op::Take(h(0), IF1),
                    packet(FLOW, IF1),
                    Op::Dispatch(h(2)),
                ],
            ),
        ));
    }
    all
}
