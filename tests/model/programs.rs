//! Random programs for the property test.

use crate::model::net::*;
use crate::model::words::*;
use mgm::types::{IfKey, SourceGroup};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use proptest::sample::{select, subsequence};
use std::net::Ipv4Addr;

/// A world and what is done in it.
#[derive(Clone, Debug)]
pub struct Program {
    pub world: World,
    pub ops: Vec<Op>,
}

/// Which arguments can be expressed: the Rust API has no flag words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Rust,
    C,
    /// As Rust; and the host's functions are another process's.
    Remote,
}

/// Protocol id, component id: three routing protocols (two of them share an id), three that are
/// IGMP by the three ways of recognising it, and one more routing protocol that only looks a
/// little like it.
const CLIENTS: [(u32, u32); 7] =
    [(100, 1), (100, 2), (200, 1), (0x4137_000A, 0), (10, 0), (0x4BAD_000A, 7), (0x8137_000A, 0)];

const INVALID: [SourceGroup; 4] = [
    SourceGroup::new(S1, Ipv4Addr::new(10, 1, 1, 1)),
    SourceGroup::new(S1, Ipv4Addr::UNSPECIFIED),
    SourceGroup::new(Ipv4Addr::new(224, 1, 1, 1), G1),
    SourceGroup::new(Ipv4Addr::new(127, 0, 0, 1), G1),
];

fn interfaces() -> impl Strategy<Value = IfKey> {
    select(&INTERFACES[..])
}

fn handle() -> impl Strategy<Value = Handle> {
    prop_oneof![40 => (0..8usize).prop_map(Handle::Nth), 1 => Just(Handle::Forged)]
}

fn flow() -> impl Strategy<Value = SourceGroup> {
    let flows = vec![
        sg(S1, G1),
        sg(S1, G1),
        sg(S2, G1),
        sg(S1B, G1),
        sg(S1, G2),
        sg(S2, G2),
        sg(S1, LINK_LOCAL),
    ];
    select(flows)
}

fn membership() -> impl Strategy<Value = SourceGroup> {
    prop_oneof![
        6 => select(vec![any(G1), any(G1), any(G2), any(LINK_LOCAL)]),
        4 => flow(),
        2 => Just(ALL),
        1 => select(&INVALID[..]),
    ]
}

fn flags(level: Level) -> BoxedStrategy<u32> {
    let good = select(vec![JOIN, JOIN, JOIN, FORWARD, JOIN | FORWARD]);
    match level {
        Level::Rust | Level::Remote => good.boxed(),
        Level::C => prop_oneof![20 => good, 1 => select(vec![0, 4, 7])].boxed(),
    }
}

/// What a client may do.
fn call(level: Level) -> BoxedStrategy<Op> {
    let argument = || (handle(), membership(), interfaces(), flags(level));
    let record = select(vec![Record::Plain, Record::Stats, Record::StatsEx]);
    prop_oneof![
        2 => (0..CLIENTS.len()).prop_map(Op::Register),
        2 => handle().prop_map(Op::Deregister),
        7 => (handle(), interfaces()).prop_map(|(h, i)| Op::Take(h, i)),
        5 => (handle(), interfaces()).prop_map(|(h, i)| Op::Release(h, i)),
        1 => interfaces().prop_map(Op::Owner),
        22 => argument().prop_map(|(h, of, on, f)| Op::Add(h, of, on, f)),
        12 => argument().prop_map(|(h, of, on, f)| Op::Delete(h, of, on, f)),
        2 => (handle(), flow()).prop_map(|(h, f)| {
            Op::SetUpstream(h, f, Ipv4Addr::new(10, 7, 7, 7))
        }),
        1 => flow().prop_map(Op::ReadMfe),
        2 => (option::of(flow()), record, 0..400usize).prop_map(|(after, record, room)| {
            Op::ReadMfes { after, record, room }
        }),
        1 => (handle(), proptest::bool::ANY).prop_map(|(h, all)| Op::StartEnum(h, all)),
        3 => (handle(), 0..4usize).prop_map(|(e, max)| Op::NextGroups(e, max)),
        1 => handle().prop_map(Op::EndEnum),
        6 => handle().prop_map(Op::Dispatch),
    ]
    .boxed()
}

fn prefix() -> impl Strategy<Value = (Ipv4Addr, u8)> {
    select(vec![(NET1, 24), (NET1, 24), (NET2, 24), (S1, 32), (Ipv4Addr::UNSPECIFIED, 0)])
}

fn packet() -> impl Strategy<Value = Packet> {
    let ttl = select(vec![64, 64, 64, 64, 64, 2, 1]);
    let options = select(vec![0, 0, 0, 1, 10]);
    (flow(), ttl, options, 68..99u16).prop_map(|(flow, ttl, options, octets)| Packet {
        flow,
        ttl,
        options,
        octets,
    })
}

/// Whatever a client may do from inside a callback too.
fn inside(level: Level) -> BoxedStrategy<Op> {
    if level == Level::Remote { call(level) } else { anybodys(level) }
}

/// Whatever a client or the host may do.
fn anybodys(level: Level) -> BoxedStrategy<Op> {
    let to = prop_oneof![5 => interfaces().prop_map(Some), 1 => Just(None)];
    prop_oneof![
        60 => call(level),
        20 => (interfaces(), packet()).prop_map(|(on, packet)| Op::Packet(on, packet)),
        4 => (prefix(), to).prop_map(|((network, len), to)| Op::Route { network, len, to }),
        1 => prefix().prop_map(|(network, len)| Op::RouteChanged { network, len }),
        2 => interfaces().prop_map(Op::Down),
    ]
    .boxed()
}

fn op(level: Level) -> impl Strategy<Value = Op> {
    let seconds = select(vec![1, 2, 3, 30, 60, 300, 900, 1000]);
    prop_oneof![18 => anybodys(level), 1 => seconds.prop_map(Op::Advance)]
}

fn script(level: Level) -> impl Strategy<Value = Script> {
    let nulls = prop_oneof![
        3 => Just(Vec::new()),
        2 => subsequence(Kind::EVERY.to_vec(), 1..4),
    ];
    let veto = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(INTERFACES.to_vec(), 1..3)];
    let iif = prop_oneof![
        10 => Just(None),
        2 => interfaces().prop_map(Some),
        1 => Just(Some(REFUSED)),
    ];
    let upstream = prop_oneof![5 => Just(None), 1 => Just(Some(Ipv4Addr::new(10, 8, 8, 8)))];
    let timeout = select(vec![None, None, Some(0), Some(7), Some(120), Some(90_000)]);
    let nested = prop_oneof![
        2 => Just(Vec::new()),
        2 => vec((select(&Kind::EVERY[..]), inside(level)), 1..8),
    ];
    (nulls, veto, iif, upstream, timeout, nested).prop_map(
        |(nulls, veto, rpf_iif, rpf_upstream, prune_timeout, nested)| Script {
            nulls,
            veto,
            rpf_iif,
            rpf_upstream,
            prune_timeout,
            nested,
        },
    )
}

/// Most of the clients register, routes are set and interfaces taken: without that little would
/// happen. All of it can be shrunk away.
fn beginning() -> impl Strategy<Value = Vec<Op>> {
    let clients = subsequence((0..CLIENTS.len()).collect::<Vec<_>>(), 3..=CLIENTS.len());
    let routes = (interfaces(), interfaces());
    let takes = vec((0..6usize, interfaces()), 3..9);
    (clients, routes, takes).prop_map(|(clients, (to1, to2), takes)| {
        let mut ops: Vec<Op> = clients.into_iter().map(Op::Register).collect();
        ops.push(Op::Route { network: NET1, len: 24, to: Some(to1) });
        ops.push(Op::Route { network: NET2, len: 24, to: Some(to2) });
        ops.extend(takes.into_iter().map(|(h, on)| Op::Take(Handle::Nth(h), on)));
        ops
    })
}

/// One of each function, by and about several clients.
pub fn every_call(level: Level) -> Vec<Op> {
    let h = Handle::Nth;
    let flow = sg(S1, G1);
    let packet = Packet { flow: sg(S2, G1), ttl: 64, options: 0, octets: 80 };
    let of_client = |client: usize| {
        let on = INTERFACES[client];
        vec![
            Op::Register(client),
            Op::Deregister(h(client)),
            Op::Take(h(client), on),
            Op::Take(h(client), IF4),
            Op::Take(h(client), IF5),
            Op::Release(h(client), on),
            Op::Add(h(client), any(G1), on, JOIN),
            Op::Add(h(client), flow, on, JOIN | FORWARD),
            Op::Add(h(client), ALL, on, JOIN),
            Op::Delete(h(client), any(G1), on, JOIN),
            Op::Delete(h(client), flow, on, FORWARD),
            Op::SetUpstream(h(client), flow, S2),
            Op::StartEnum(h(client), true),
            Op::Dispatch(h(client)),
        ]
    };
    let mut ops: Vec<Op> = (0..4).flat_map(of_client).collect();
    ops.extend([
        Op::Owner(IF4),
        Op::ReadMfe(flow),
        Op::ReadMfes { after: None, record: Record::StatsEx, room: 200 },
        Op::ReadMfes { after: Some(flow), record: Record::Plain, room: 0 },
        Op::NextGroups(h(0), 4),
        Op::EndEnum(h(0)),
        Op::Packet(IF2, packet),
        Op::Packet(IF3, Packet { flow, ..packet }),
        Op::Route { network: NET1, len: 24, to: Some(IF3) },
        Op::Route { network: NET1, len: 24, to: None },
        Op::RouteChanged { network: NET1, len: 24 },
        Op::Down(IF2),
        Op::Down(IF1),
    ]);
    if level == Level::Remote {
        ops.retain(|op| !op.is_the_hosts());
    }
    ops
}

/// A world without limits, whose clients do nothing when they are called back.
pub fn world(level: Level) -> World {
    let profile = |(protocol, component): &(u32, u32)| Profile {
        protocol: *protocol,
        component: *component,
        routeless: false,
        dispatched: false,
        script: Script::default(),
    };
    World {
        profiles: CLIENTS.iter().map(profile).collect(),
        max_mfes: 0,
        max_new: 0,
        max_new_of_source: 0,
        null_route: false,
        portion: mgm::core::PORTION,
        seen_from_c: level == Level::C,
        remote: level == Level::Remote,
    }
}

/// A program in which every kind of callback comes; every client answers the first one of this
/// kind with this call.
pub fn all_callbacks(level: Level, kind: Kind, op: &Op) -> Program {
    let h = Handle::Nth;
    let (flow, igmp) = (sg(S1, G1), h(3));
    let packet = Packet { flow, ttl: 64, options: 0, octets: 80 };
    let mut ops: Vec<Op> = (0..4).map(Op::Register).collect();
    ops.extend([
        Op::StartEnum(h(0), true),
        Op::Route { network: NET1, len: 24, to: Some(IF1) },
        Op::Route { network: NET2, len: 24, to: Some(IF2) },
        Op::Take(h(0), IF1),
        Op::Take(h(1), IF2),
        Op::Take(h(2), IF3),
        Op::Take(igmp, IF4),
        Op::Take(igmp, IF2),
        Op::Add(h(1), any(G1), IF2, JOIN),    // JOIN to all
        Op::Packet(IF1, packet),              // RPF, creation, JOIN
        Op::Packet(IF3, packet),              // WRONG_IF
        Op::Add(igmp, any(G2), IF2, JOIN),    // LOCAL_JOIN
        Op::Delete(igmp, any(G2), IF2, JOIN), // LOCAL_LEAVE
        Op::Take(h(2), IF4),                  // DISABLE, ENABLE
        Op::Release(h(2), IF4),
        Op::Delete(h(1), any(G1), IF2, JOIN), // PRUNE to all
        Op::Packet(IF1, packet),
        Op::Advance(900), // RPF, PRUNE
        Op::Route { network: NET1, len: 24, to: Some(IF2) },
    ]);
    let mut world = world(level);
    for profile in &mut world.profiles {
        profile.script.nested.push((kind, op.clone()));
    }
    Program { world, ops }
}

/// Everything that the property test may do to a subject.
pub fn program(level: Level) -> impl Strategy<Value = Program> {
    let scripts = vec(script(level), CLIENTS.len());
    // Some clients have loops of their own (rules H), in every other program.
    let some = vec(select(vec![false, false, true]), CLIENTS.len());
    let loops = prop_oneof![Just(vec![false; CLIENTS.len()]), some];
    let rates = select(vec![(0, 0), (0, 0), (0, 0), (3, 0), (0, 1)]);
    let null_route = select(vec![false, false, false, false, false, false, true]);
    let settings = (select(vec![0, 0, 0, 0, 4, 8]), rates, null_route);
    let routeless = vec(select(vec![false, false, true]), CLIENTS.len());
    let kinds = (routeless, loops);
    let all = (settings, (scripts, kinds), beginning(), vec(op(level), 1..40));
    all.prop_map(move |(settings, (scripts, (routeless, loops)), mut ops, more)| {
        let (max_mfes, (max_new, max_new_of_source), null_route) = settings;
        ops.extend(more);
        let portion = [1, 2, 3, mgm::core::PORTION][ops.len() % 4];
        let kinds = routeless.into_iter().zip(loops);
        let profiles = CLIENTS.into_iter().zip(scripts.into_iter().zip(kinds));
        let profile = |((protocol, component), (script, (routeless, dispatched)))| Profile {
            protocol,
            component,
            routeless,
            dispatched,
            script,
        };
        let profiles = profiles.map(profile).collect();
        Program {
            world: World {
                profiles,
                max_mfes,
                max_new,
                max_new_of_source,
                null_route,
                portion,
                seen_from_c: level == Level::C,
                remote: level == Level::Remote,
            },
            ops,
        }
    })
}
