//! A forwarding entry as readers see it.

use crate::types::{Counters, IfKey, Seconds, SourceGroup};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// One outgoing interface of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OifRecord {
    /// The interface.
    pub interface: IfKey,
    /// Packets sent out of it since it joined the entry; wraps (rule E13).
    pub packets: u32,
    /// Packets not sent out of it since then, because their TTL was too low; wraps. 0 where the plane
    /// does not count them.
    pub ttl_too_low: u32,
}

/// What a plane counted for an entry.
#[derive(Clone, Copy)]
pub enum Counted<'a> {
    /// Nobody asked, or the plane has no such entry.
    Nothing,
    /// The plane counts for an entry alone: what came in since an interface joined stands for what
    /// left through it.
    Entry(Counters),
    /// The plane counts for each interface: writes the counts of a flow's outgoing interfaces beside
    /// their names, and gives the entry's.
    Each(&'a dyn Fn(SourceGroup, &mut [OifRecord]) -> Counters),
}

impl From<Option<Counters>> for Counted<'_> {
    fn from(counters: Option<Counters>) -> Self {
        counters.map_or(Self::Nothing, Self::Entry)
    }
}

/// A forwarding entry at one moment: everything the MIB records hold (rules E12, E13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MfeRecord<'a> {
    /// Source and group.
    pub flow: SourceGroup,
    /// The incoming interface.
    pub iif: IfKey,
    /// The protocol id of the iif's owner, 0 where it has none.
    pub iif_protocol: u32,
    /// The upstream neighbour.
    pub upstream: Ipv4Addr,
    /// The protocol the route toward the source came from.
    pub route_protocol: u32,
    /// The prefix of that route.
    pub route_network: Ipv4Addr,
    /// Its length in bits.
    pub route_prefix_len: u8,
    /// False: there is no route, or no owner of the interface, toward the source (rule E5).
    pub resolved: bool,
    /// Milliseconds since the entry was made.
    pub up_time_ms: u64,
    /// Milliseconds until its lifetime ends.
    pub expiry_ms: u64,
    /// The whole lifetime.
    pub lifetime: Seconds,
    /// Counters; all zero where the caller did not ask for statistics.
    pub counters: Counters,
    /// The outgoing interfaces, ordered by index, then next hop.
    pub oifs: &'a [OifRecord],
}

/// One row of a group enumeration (rule F1): a source of 0.0.0.0 with a group is (*,G) or, for
/// ANY_SOURCE, the group as such; the all-zero row is (*,*).
pub type GroupRow = SourceGroup;

/// Whether a read stopped because it reached the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// There are more rows.
    More,
    /// There are none.
    End,
}
