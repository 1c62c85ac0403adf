//! The words of the rules as types: addresses, interfaces, flows, routes, time.
//!
//! Addresses are [`Ipv4Addr`] everywhere inside the library; network byte order exists only at
//! the C border (`ffi/convert.rs`).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long anything waits for code of a client's or the host's that does not return (rule A7).
pub const PATIENCE: Duration = Duration::from_secs(5);

/// An interface as clients name it: an index and, on a multi-access or point-to-multipoint
/// device, a next hop. Two next hops on one index are two interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IfKey {
    /// The interface index; on the kernel forwarder the Linux ifindex.
    pub index: u32,
    /// The next hop's address, 0.0.0.0 where the device needs none.
    pub next_hop: Ipv4Addr,
}

impl Ord for IfKey {
    /// By index, then by next hop, with one comparison.
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for IfKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl IfKey {
    /// The interface `index` with next hop `next_hop`.
    pub const fn new(index: u32, next_hop: Ipv4Addr) -> Self {
        Self { index, next_hop }
    }

    /// Its place in the order.
    const fn place(self) -> u64 {
        (self.index as u64) << 32 | self.next_hop.to_bits() as u64
    }
}

impl fmt::Debug for IfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for IfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.next_hop.is_unspecified() {
            write!(f, "interface {}", self.index)
        } else {
            write!(f, "interface {} next hop {}", self.index, self.next_hop)
        }
    }
}

/// What a membership or a forwarding entry is about: (S,G), (*,G) or (*,*).
///
/// The group stands in the upper half and the source in the lower, so that the natural order is
/// the order of rule E11: by group, then by source, by numeric value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceGroup(u64);

impl SourceGroup {
    /// (*,*): every group.
    pub const ALL: Self = Self(0);
    /// The greatest value there is, for ranges.
    pub const MAX: Self = Self(u64::MAX);

    /// (S,G); with a source of 0.0.0.0, (*,G).
    pub const fn new(source: Ipv4Addr, group: Ipv4Addr) -> Self {
        Self(((group.to_bits() as u64) << 32) | source.to_bits() as u64)
    }

    /// The source, 0.0.0.0 for (*,G) and (*,*).
    pub const fn source(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0 as u32)
    }

    /// The group, 0.0.0.0 for (*,*).
    pub const fn group(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 >> 32) as u32)
    }

    /// The same group for any source.
    pub const fn any_source(self) -> Self {
        Self(self.0 & !0xffff_ffff)
    }

    /// True for (S,G): a source and a group.
    pub const fn has_source(self) -> bool {
        self.0 as u32 != 0
    }

    /// True for (*,*).
    pub const fn is_all(self) -> bool {
        self.0 == 0
    }

    /// The last value of this group: the end of its range.
    pub const fn last_of_group(self) -> Self {
        Self(self.0 | 0xffff_ffff)
    }

    /// The value that follows in order, if there is one.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// Whether the entry (S,G) `flow` falls under this membership.
    pub const fn covers(self, flow: Self) -> bool {
        self.is_all() || self.0 == flow.0 || self.0 == flow.any_source().0
    }

    /// Group in the upper 32 bits, source in the lower.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// 224.0.0.0/24 stays on its link: it may be joined and is never forwarded (rule D1).
    pub const fn is_link_local(self) -> bool {
        (self.0 >> 40) as u32 == 0x00e0_0000
    }
}

impl fmt::Debug for SourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.has_source(), self.is_all()) {
            (_, true) => f.write_str("(*,*)"),
            (true, _) => write!(f, "({},{})", self.source(), self.group()),
            (false, _) => write!(f, "(*,{})", self.group()),
        }
    }
}

/// The unicast route toward a source, as the forwarder found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The interface toward the source. The forwarder may leave the next hop as the route gives
    /// it; the core picks the registered interface that fits best.
    pub interface: IfKey,
    /// The neighbour packets of this source come from: the route's gateway, or the source itself
    /// where it is directly connected.
    pub upstream: Ipv4Addr,
    /// The protocol the route came from, in Windows' numbering (dwRouteProtocol).
    pub protocol: u32,
    /// The prefix that matched. Entries tell of its length only: it covers their source.
    pub network: Ipv4Addr,
    /// The length of that prefix in bits, 0 to 32.
    pub prefix_len: u8,
}

/// Milliseconds since some fixed moment: the clock's reading, given to the core as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Milliseconds from `earlier` to `self`, 0 if that lies ahead.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `seconds` later.
    pub const fn plus(self, seconds: Seconds) -> Self {
        Self(self.0.saturating_add(seconds.0 as u64 * 1000))
    }
}

/// A moment in six octets, for records of which there are many. That is room for 8,900 years
/// (decision 55); all later moments count as the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u16; 3]);

impl Stamp {
    const BEYOND: u64 = (1 << 48) - 1;

    /// Packs a moment.
    pub const fn new(at: Millis) -> Self {
        let bits = if at.0 < Self::BEYOND { at.0 } else { Self::BEYOND };
        Self([bits as u16, (bits >> 16) as u16, (bits >> 32) as u16])
    }

    /// The moment again.
    pub const fn get(self) -> Millis {
        let [low, middle, high] = self.0;
        match low as u64 | (middle as u64) << 16 | (high as u64) << 32 {
            Self::BEYOND => Millis(u64::MAX),
            bits => Millis(bits),
        }
    }
}

/// A length of time in whole seconds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Seconds(pub u32);

/// Names a registered client. A slot that was used again has another generation, so an old id finds
/// nothing (rule A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId {
    /// The place in the table of clients.
    pub slot: u32,
    /// How often that place has been used, this time included; never 0.
    pub generation: u32,
}

/// A client as the log names it: by its protocol id and its component id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientName {
    /// dwProtocolId.
    pub protocol: u32,
    /// dwComponentId.
    pub component: u32,
}

impl From<(u32, u32)> for ClientName {
    fn from((protocol, component): (u32, u32)) -> Self {
        Self { protocol, component }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "protocol {:#x} component {:#x}", self.protocol, self.component)
    }
}

/// Names an open group enumeration, as [`ClientId`] names a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnumId {
    /// The place in the table of enumerations.
    pub slot: u32,
    /// How often that place has been used, this time included; never 0.
    pub generation: u32,
}

/// dwFlags of the membership functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipFlags {
    /// MGM_JOIN_STATE_FLAG: the membership as such (rule D4).
    pub join: bool,
    /// MGM_FORWARD_STATE_FLAG: existing forwarding entries only (rule D5).
    pub forward: bool,
}

impl MembershipFlags {
    /// The membership alone.
    pub const JOIN: Self = Self { join: true, forward: false };
    /// Existing entries alone.
    pub const FORWARD: Self = Self { join: false, forward: true };
}

/// How many packets of a flow wait for its entry at the most, in Linux and here.
pub const MOST_WAITING: u32 = 4;

/// What the forwarding plane counted for one entry. 32-bit counters wrap (rule E13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Packets that arrived on the iif and were handed to the oifs, if any.
    pub packets: u32,
    /// The octets of those packets, IP headers included.
    pub octets: u32,
    /// Packets that arrived on another interface and were dropped.
    pub wrong_interface: u32,
    /// How many of `packets` waited for the entry; wraps. None: the plane cannot tell, and it may be
    /// up to [`MOST_WAITING`] (rule E8).
    pub waited: Option<u32>,
}

impl Counters {
    /// The packets that the entry carried, without those that waited for it as far as the plane can
    /// tell (rule E8).
    pub const fn carried(self) -> u32 {
        match self.waited {
            Some(waited) => self.packets.wrapping_sub(waited),
            None => self.packets,
        }
    }
}

/// The mask that goes with a prefix length.
pub const fn mask_of(prefix_len: u8) -> Ipv4Addr {
    let bits = if prefix_len == 0 { 0 } else { u32::MAX << (32 - prefix_len as u32) };
    Ipv4Addr::from_bits(bits)
}

/// An RPF callback's proposal on entry, the client's answer on return (rule E2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpfAnswer {
    /// The incoming interface. The client may name another one that it owns, or one with the index
    /// 0 to refuse the flow.
    pub iif: IfKey,
    /// The upstream neighbour. The client may name another.
    pub upstream: Ipv4Addr,
}

impl RpfAnswer {
    /// Whether it refuses the flow: there is no interface 0.
    pub const fn refuses(self) -> bool {
        self.iif.index == 0
    }
}

/// One outgoing interface in a creation alert (rule E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutInterface {
    /// The interface, one that the client owns.
    pub interface: IfKey,
    /// Whether IGMP is on it too.
    pub igmp: bool,
    /// True on entry; false on return keeps the interface out of the entry.
    pub enabled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
        Ipv4Addr::new(a, b, c, d)
    }

    #[test]
    fn order_is_group_then_source_by_value() {
        let a = SourceGroup::new(ip(10, 0, 0, 9), ip(232, 0, 0, 1));
        let b = SourceGroup::new(ip(10, 0, 0, 1), ip(232, 0, 0, 2));
        let c = SourceGroup::new(ip(192, 0, 0, 1), ip(232, 0, 0, 1));
        assert!(a < c && c < b);
        assert_eq!(a.any_source().last_of_group().next().unwrap().group(), ip(232, 0, 0, 2));
    }

    #[test]
    fn covering_and_link_local() {
        let flow = SourceGroup::new(ip(10, 0, 0, 1), ip(224, 0, 1, 0));
        assert!(SourceGroup::ALL.covers(flow));
        assert!(flow.any_source().covers(flow));
        assert!(flow.covers(flow));
        assert!(!SourceGroup::new(ip(10, 0, 0, 2), ip(224, 0, 1, 0)).covers(flow));
        assert!(!flow.is_link_local());
        assert!(SourceGroup::new(ip(10, 0, 0, 1), ip(224, 0, 0, 255)).is_link_local());
    }

    #[test]
    fn stamps() {
        for at in [0, 1, 0xffff, 0x1_0000, 1 << 47, (1 << 48) - 2] {
            assert_eq!(Stamp::new(Millis(at)).get(), Millis(at));
        }
        for at in [(1 << 48) - 1, 1 << 48, u64::MAX] {
            assert_eq!(Stamp::new(Millis(at)).get(), Millis(u64::MAX), "beyond everything");
        }
    }

    #[test]
    fn masks() {
        assert_eq!(mask_of(0), ip(0, 0, 0, 0));
        assert_eq!(mask_of(24), ip(255, 255, 255, 0));
        assert_eq!(mask_of(32), ip(255, 255, 255, 255));
    }
}
