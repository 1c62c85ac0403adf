//! What is known of flows that this machine sends itself; `sight` watches them.

#![forbid(unsafe_code)]

use super::vifs::{NO_PARENT, Programmed};
use crate::sys::MAX_VIFS;
use crate::types::SourceGroup;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::ffi::c_ulong;
use std::net::Ipv4Addr;
use std::time::Instant;

/// The longest filter, in instructions; the kernel's own limit is 4,096. Less where the kernel has no
/// room for it (net.core.optmem_max).
pub const MAX_FILTER: usize = 4000;

/// A flow that is watched.
#[derive(Clone, Copy, Default)]
pub struct Watched {
    /// The kernel's count of its packets when it was looked at last.
    pub packets: c_ulong,
    /// All its packets are looked at. So many were seen on this oif.
    pub check: Option<(u8, u8)>,
    /// It is not watched until then.
    pub held: Option<Instant>,
}

/// This machine's own flows.
pub struct OwnFlows {
    /// Addresses of this machine that were seen as sources.
    pub sources: SmallVec<[Ipv4Addr; 4]>,
    /// Their flows that are forwarded.
    pub flows: HashMap<SourceGroup, Watched>,
    /// The filter is out of date.
    pub changed: bool,
}

/// What the thread that watches has to know.
pub struct Sight {
    /// The filter, with room for the longest one.
    pub filter: Vec<libc::sock_filter>,
    pub most: usize,
    /// The devices that it knows, by the numbers of their VIFs.
    pub devices: [u32; MAX_VIFS],
    /// The socket gets packets.
    pub watching: bool,
    pub next_check: Option<Instant>,
}

impl OwnFlows {
    /// None are known.
    pub fn new() -> Self {
        Self { sources: SmallVec::new(), flows: HashMap::new(), changed: false }
    }

    /// Notes what an entry is now.
    pub fn note(&mut self, flow: SourceGroup, now: Option<Programmed>) {
        if self.sources.is_empty() {
            return;
        }
        // What is not forwarded need not be followed.
        let forwarded = now.is_some_and(|now| now.oifs != 0 && now.parent != NO_PARENT);
        if forwarded && self.sources.contains(&flow.source()) {
            // Without memory it is not watched.
            if self.flows.try_reserve(1).is_ok() {
                self.flows.entry(flow).or_default().check = None;
                self.changed = true;
            }
        } else if self.flows.remove(&flow).is_some() {
            self.changed = true;
        }
    }
}

impl Sight {
    /// Nothing is watched.
    pub fn new() -> Self {
        let filter = Vec::with_capacity(MAX_FILTER);
        Self { filter, most: MAX_FILTER, devices: [0; MAX_VIFS], watching: false, next_check: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_flows_that_are_forwarded_are_watched() {
        let mut own = OwnFlows::new();
        let mine = SourceGroup::new([10, 0, 0, 1].into(), [232, 1, 1, 1].into());
        let other = SourceGroup::new([10, 0, 0, 2].into(), [232, 1, 1, 1].into());
        let forwarded = Some(Programmed { parent: 0, oifs: 2 });
        own.note(mine, forwarded);
        assert!(own.flows.is_empty() && !own.changed, "no source is known");
        own.sources.push(mine.source());
        own.note(other, forwarded);
        assert!(own.flows.is_empty() && !own.changed);
        own.note(mine, forwarded);
        assert!(own.flows.contains_key(&mine) && std::mem::take(&mut own.changed));
        let not = [
            None,
            Some(Programmed { parent: 0, oifs: 0 }),
            Some(Programmed { parent: NO_PARENT, oifs: 0 }),
        ];
        for state in not {
            own.note(mine, state);
            assert!(own.flows.is_empty() && std::mem::take(&mut own.changed));
            own.note(mine, forwarded);
        }
    }
}
