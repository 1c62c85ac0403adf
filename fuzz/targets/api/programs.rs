//! Octets as programs for the model test: a few octets make an operation, so that what the fuzzer
//! changes, inserts or leaves out is an operation or one of its arguments.

use crate::model::net::*;
use crate::model::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// A world and what is done in it.
#[derive(Clone, Debug)]
pub struct Program {
    pub world: World,
    pub ops: Vec<Op>,
}

/// The most operations of a program: a long one tells no more than a short one and takes longer.
const MOST_OPS: usize = 60;
/// The most calls that one client makes from inside its callbacks.
const MOST_NESTED: usize = 3;

/// Protocol and component ids: three routing protocols, two of which share an id; three that are
/// IGMP by the three ways of recognising it; one that looks a little like IGMP.
const CLIENTS: [(u32, u32); 7] =
    [(100, 1), (100, 2), (200, 1), (0x4137_000A, 0), (10, 0), (0x4BAD_000A, 7), (0x8137_000A, 0)];

const FLOWS: [SourceGroup; 8] = [
    sg(S1, G1),
    sg(S2, G1),
    sg(S1B, G1),
    sg(S1, G2),
    sg(S2, G2),
    sg(S1B, G2),
    sg(S1, LINK_LOCAL),
    sg(S2, LINK_LOCAL),
];

/// What memberships are about, refused ones among them.
const MEMBERSHIPS: [SourceGroup; 16] = [
    any(G1),
    any(G2),
    any(LINK_LOCAL),
    ALL,
    sg(S1, G1),
    sg(S2, G1),
    sg(S1B, G1),
    sg(S1, G2),
    sg(S2, G2),
    sg(S1B, G2),
    sg(S1, LINK_LOCAL),
    sg(S1, Ipv4Addr::new(10, 1, 1, 1)),
    sg(S1, Ipv4Addr::UNSPECIFIED),
    sg(Ipv4Addr::new(224, 1, 1, 1), G1),
    sg(Ipv4Addr::new(127, 0, 0, 1), G1),
    sg(Ipv4Addr::BROADCAST, G1),
];

const PREFIXES: [(Ipv4Addr, u8); 8] = [
    (NET1, 24),
    (NET2, 24),
    (S1, 32),
    (S2, 32),
    (S1B, 32),
    (Ipv4Addr::new(10, 0, 0, 0), 16),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::UNSPECIFIED, 0),
];

const FLAGS: [u32; 4] = [JOIN, FORWARD, JOIN | FORWARD, JOIN];
const TTLS: [u8; 4] = [64, 2, 1, 255];
const SECONDS: [u32; 8] = [1, 2, 3, 59, 60, 300, 900, 1000];
const TIMEOUTS: [u32; 8] = [0, 1, 7, 120, 900, 86_400, 90_000, u32::MAX];

/// Reads octets; where they have ended it reads zeros.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn ended(&self) -> bool {
        self.0.is_empty()
    }

    /// One octet for a handle and an interface.
    fn handle_and_interface(&mut self) -> (Handle, IfKey) {
        let octet = self.next();
        (handle(octet & 15), interface(octet >> 4))
    }

    /// One octet for a membership and its flags.
    fn membership(&mut self) -> (SourceGroup, u32) {
        let octet = self.next();
        (MEMBERSHIPS[octet & 15], FLAGS[octet >> 4 & 3])
    }

    fn prefix(&mut self) -> (Ipv4Addr, u8, usize) {
        let octet = self.next();
        let (network, len) = PREFIXES[octet & 7];
        (network, len, octet >> 3)
    }

    /// An operation; `Advance` is for the program itself only.
    fn op(&mut self, inside: bool) -> Op {
        match self.next() % if inside { 21 } else { 22 } {
            0 => Op::Register(self.next() % CLIENTS.len()),
            1 => Op::Deregister(handle(self.next() & 15)),
            2 | 3 => {
                let (h, on) = self.handle_and_interface();
                Op::Take(h, on)
            }
            4 => {
                let (h, on) = self.handle_and_interface();
                Op::Release(h, on)
            }
            5 => Op::Owner(interface(self.next())),
            6..=8 => {
                let (h, on) = self.handle_and_interface();
                let (of, flags) = self.membership();
                Op::Add(h, of, on, flags)
            }
            9 | 10 => {
                let (h, on) = self.handle_and_interface();
                let (of, flags) = self.membership();
                Op::Delete(h, of, on, flags)
            }
            11 => {
                let octet = self.next();
                let to = Ipv4Addr::new(10, 7, 7, self.next() as u8);
                Op::SetUpstream(handle(octet & 15), FLOWS[octet >> 4 & 7], to)
            }
            12 => Op::ReadMfe(FLOWS[self.next() & 7]),
            13 => {
                let octet = self.next();
                Op::StartEnum(handle(octet & 15), octet & 16 != 0)
            }
            14 => {
                let octet = self.next();
                Op::NextGroups(handle(octet & 15), octet >> 4 & 7)
            }
            15 => Op::EndEnum(handle(self.next() & 15)),
            16 | 17 => {
                let octet = self.next();
                let (ttl, on) = (TTLS[octet >> 3 & 3], interface(octet >> 5));
                let more = self.next();
                let (options, octets) = ((more % 11) as u8, 64 + more as u16);
                Op::Packet(on, Packet { flow: FLOWS[octet & 7], ttl, options, octets })
            }
            18 => {
                let (network, len, to) = self.prefix();
                let to = INTERFACES.get(to % (INTERFACES.len() + 1)).copied();
                Op::Route { network, len, to }
            }
            19 => {
                let octet = self.next();
                if octet & 128 != 0 {
                    let (network, len) = PREFIXES[octet & 7];
                    Op::RouteChanged { network, len }
                } else {
                    Op::Down(interface(octet))
                }
            }
            20 => Op::Dispatch(handle(self.next() & 15)),
            _ => {
                let octet = self.next();
                Op::Advance(SECONDS[octet & 7] + (octet >> 3) as u32 % 2)
            }
        }
    }

    fn script(&mut self) -> Script {
        let nulls = self.next() | (self.next() & 1) << 8;
        let (veto, what, given) = (self.next(), self.next(), self.next());
        let nested = (0..what >> 6 & 3).take(MOST_NESTED);
        Script {
            nulls: picked(&Kind::EVERY, nulls),
            veto: picked(&INTERFACES, veto),
            rpf_iif: (what & 1 != 0).then(|| interface(given)),
            rpf_upstream: (what & 2 != 0).then(|| Ipv4Addr::new(10, 8, 8, given as u8)),
            prune_timeout: (what & 4 != 0).then(|| TIMEOUTS[given & 7]),
            nested: nested
                .map(|_| (Kind::EVERY[self.next() % Kind::EVERY.len()], self.op(true)))
                .collect(),
        }
    }
}

fn handle(nibble: usize) -> Handle {
    if nibble == 15 { Handle::Forged } else { Handle::Nth(nibble) }
}

fn interface(number: usize) -> IfKey {
    INTERFACES[number % INTERFACES.len()]
}

fn picked<T: Copy>(list: &[T], bits: usize) -> Vec<T> {
    list.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, item)| *item).collect()
}

/// The program that these octets are.
pub fn decode(octets: &[u8]) -> Program {
    let mut octets = Octets(octets);
    let (limits, registered, scripted) = (octets.next(), octets.next(), octets.next());
    let profile = |(n, (protocol, component)): (usize, &(u32, u32))| Profile {
        protocol: *protocol,
        component: *component,
        script: if scripted >> n & 1 == 1 { octets.script() } else { Script::default() },
        routeless: (scripted ^ registered) >> n & 1 == 1,
        // Of those that register and have a script every other one.
        dispatched: n % 2 == 1 && (scripted & registered) >> n & 1 == 1,
    };
    let mut world = World {
        profiles: CLIENTS.iter().enumerate().map(profile).collect(),
        max_mfes: [0, 0, 4, 8][limits & 3],
        max_new: [0, 0, 0, 3][limits >> 2 & 3],
        max_new_of_source: [0, 0, 0, 1][limits >> 4 & 3],
        null_route: limits >> 6 == 3,
        seen_from_c: false,
        remote: false,
        portion: mgm::core::PORTION,
    };
    let clients: Vec<usize> = (0..CLIENTS.len()).collect();
    let mut ops: Vec<Op> = picked(&clients, registered).into_iter().map(Op::Register).collect();
    while !octets.ended() && ops.len() < MOST_OPS {
        ops.push(octets.op(false));
    }
    world.portion = [1, 2, 3, mgm::core::PORTION][ops.len() % 4];
    Program { world, ops }
}
