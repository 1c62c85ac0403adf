//! The small network of the tests: its interfaces, groups, sources, routes and packets.

use super::words::Packet;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// Interface 1 to 5, the next hop unspecified.
pub const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

pub const IF1: IfKey = interface(1);
pub const IF2: IfKey = interface(2);
pub const IF3: IfKey = interface(3);
pub const IF4: IfKey = interface(4);
/// A second interface on index 4: a point-to-multipoint device has one for each next hop.
pub const IF4_HOP: IfKey = IfKey::new(4, Ipv4Addr::new(10, 0, 4, 9));
pub const IF5: IfKey = interface(5);

/// What an RPF callback names to refuse a flow.
pub const REFUSED: IfKey = interface(0);

/// All of them, in order.
pub const INTERFACES: [IfKey; 6] = [IF1, IF2, IF3, IF4, IF4_HOP, IF5];

pub const G1: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
pub const G2: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 2);
/// May be joined and is never forwarded (rule D1).
pub const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 9);

/// Two hosts of 10.0.1.0/24 and one of 10.0.2.0/24.
pub const S1: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);
pub const S1B: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 6);
pub const S2: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 5);

pub const NET1: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 0);
pub const NET2: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 0);

/// (S,G).
pub const fn sg(source: Ipv4Addr, group: Ipv4Addr) -> SourceGroup {
    SourceGroup::new(source, group)
}

/// (*,G).
pub const fn any(group: Ipv4Addr) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::UNSPECIFIED, group)
}

/// (*,*).
pub const ALL: SourceGroup = SourceGroup::ALL;

/// The protocol that every route of the tests comes from.
pub const ROUTE_PROTOCOL: u32 = 13;

/// A route: a prefix, the interface it leads to, the upstream neighbour, and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    pub network: Ipv4Addr,
    pub len: u8,
    pub to: IfKey,
    pub upstream: Ipv4Addr,
    pub protocol: u32,
}

/// The neighbour that routes over this interface have.
pub fn upstream_of(interface: IfKey) -> Ipv4Addr {
    let last = if interface.next_hop.is_unspecified() { 1 } else { 2 };
    Ipv4Addr::new(10, 9, interface.index as u8, last)
}

/// Whether a prefix holds an address.
pub fn prefix_holds(network: Ipv4Addr, len: u8, address: Ipv4Addr) -> bool {
    (0..len).all(|bit| {
        let mask = 1 << (31 - bit);
        network.to_bits() & mask == address.to_bits() & mask
    })
}

/// The table that pfnRoute answers from.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<RouteEntry>);

impl Routes {
    /// Sets or removes the route of one prefix.
    pub fn set(&mut self, network: Ipv4Addr, len: u8, to: Option<IfKey>) {
        self.0.retain(|r| (r.network, r.len) != (network, len));
        let entry = |to| RouteEntry {
            network,
            len,
            to,
            upstream: upstream_of(to),
            protocol: ROUTE_PROTOCOL,
        };
        self.0.extend(to.map(entry));
    }

    /// The longest prefix that holds the address.
    pub fn find(&self, source: Ipv4Addr) -> Option<RouteEntry> {
        let fits = |r: &&RouteEntry| prefix_holds(r.network, r.len, source);
        self.0.iter().filter(fits).max_by_key(|r| r.len).copied()
    }
}

/// The data of a packet from the end of its header on.
pub fn data_of(header: usize, octets: usize) -> Vec<u8> {
    (header..octets).map(|at| at as u8).collect()
}

/// An IPv4 packet with a right checksum in its header.
pub fn bytes_of(packet: &Packet) -> Vec<u8> {
    let Packet { flow, ttl, options, octets } = *packet;
    let mut p = vec![0; usize::from(octets)];
    p[0] = 0x45 + options;
    p[2..4].copy_from_slice(&octets.to_be_bytes());
    p[8] = ttl;
    p[9] = 17;
    p[12..16].copy_from_slice(&flow.source().octets());
    p[16..20].copy_from_slice(&flow.group().octets());
    let header = 20 + 4 * usize::from(options);
    p[20..header].fill(1); // "no operation"
    let sum = checksum(&p[..header]);
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p[header..].copy_from_slice(&data_of(header, usize::from(octets)));
    p
}

/// The Internet checksum (RFC 1071): 0 over a header that holds a right one.
pub fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
