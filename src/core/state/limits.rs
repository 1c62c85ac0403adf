//! The limits on new flows (rule G1), and what was counted against them.

use crate::types::Millis;
use std::net::Ipv4Addr;

/// The settable limits of rule G1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of forwarding entries, flows that are being resolved included.
    pub max_mfes: u32,
    /// New flows per second; 0: no limit.
    pub new_per_second: u32,
    /// New flows per second from one source; 0: no limit.
    pub new_per_source: u32,
}

impl Limits {
    /// The default cap on forwarding entries.
    pub const DEFAULT_MAX_MFES: u32 = 1_048_576;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_mfes: Self::DEFAULT_MAX_MFES, new_per_second: 0, new_per_source: 0 }
    }
}

/// The limits, and what was counted against them in the present second.
pub(in crate::core) struct Admissions {
    limits: Limits,
    second: u64,
    new: u32,
    /// New flows of this second by source; empty where there is no such limit.
    by_source: hashbrown::HashMap<Ipv4Addr, u32>,
    /// Flows refused since the start.
    pub refused: u64,
}

/// How many flows may wait for a client, however low the cap is (decision 52).
const BURST: usize = 256;

impl Admissions {
    pub(in crate::core) fn new(limits: Limits) -> Self {
        Self { limits, second: 0, new: 0, by_source: hashbrown::HashMap::new(), refused: 0 }
    }

    /// The greatest number of negative entries: a quarter of the cap, and at least one.
    pub(in crate::core) const fn max_negative(&self) -> usize {
        let quarter = self.limits.max_mfes as usize / 4;
        if quarter == 0 { 1 } else { quarter }
    }

    /// The greatest number of flows that wait for the answers of one client: the greatest number
    /// of negative entries, so that a client that hangs leaves room for the others, but enough for
    /// a burst.
    pub(in crate::core) const fn max_questions(&self) -> usize {
        let quarter = self.max_negative();
        if quarter < BURST { BURST } else { quarter }
    }

    pub(in crate::core) const fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts one more flow of this second, unless a rate forbids it.
    pub(in crate::core) fn within_rates(&mut self, now: Millis, source: Ipv4Addr) -> bool {
        if now.0 / 1000 != self.second {
            self.second = now.0 / 1000;
            self.new = 0;
            self.by_source.clear();
        }
        let Limits { new_per_second, new_per_source, .. } = self.limits;
        if new_per_second != 0 && self.new >= new_per_second {
            return false;
        }
        if new_per_source != 0 {
            if self.by_source.try_reserve(1).is_err() {
                return false;
            }
            let count = self.by_source.entry(source).or_insert(0);
            if *count >= new_per_source {
                return false;
            }
            *count += 1;
        }
        self.new = self.new.saturating_add(1);
        true
    }
}
