//! Model: reading entries (E11 to E13), enumerating groups (F), the cap (G1).

use super::state::{Id, Model};
use super::words::*;
use mgm::types::SourceGroup;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Rule G1: the default.
const DEFAULT_MAX_MFES: usize = 1_048_576;

/// An open or ended enumeration.
#[derive(Clone)]
pub struct Enumeration {
    pub of: Id,
    pub open: bool,
    all_sources: bool,
    finished: bool,
    given: BTreeSet<SourceGroup>,
    /// Rule F3: what has been there all the time, and what was there at some time.
    throughout: BTreeSet<SourceGroup>,
    ever: BTreeSet<SourceGroup>,
}

impl Model {
    pub fn row(&self, flow: SourceGroup) -> Mfe {
        let e = &self.mfes[&flow];
        let up = (self.now - e.made) as u32;
        let ends = e.lifetime_began + u64::from(e.lifetime);
        Mfe {
            flow,
            iif: self.world.seen_iif(e.iif),
            iif_protocol: self.owner(e.iif).map_or(0, |id| self.profile(id).protocol),
            upstream: e.upstream,
            route_protocol: e.route.map_or(0, |r| r.protocol),
            route_network: e.route.map_or(Ipv4Addr::UNSPECIFIED, |r| r.network),
            route_len: e.route.map_or(0, |r| r.len),
            up,
            expiry: ends.saturating_sub(self.now) as u32,
            lifetime: e.lifetime,
            packets: e.packets,
            octets: e.octets,
            wrong_if: e.wrong_if,
            oifs: e.oifs.iter().map(|(i, n)| (*i, *n)).collect(),
        }
    }

    pub fn read_mfe(&self, flow: SourceGroup) -> Reply {
        if self.mfes.contains_key(&flow) {
            Reply { code: code::NO_ERROR, data: Data::Mfe(Box::new(self.row(flow))) }
        } else {
            Reply::code(code::NOT_FOUND)
        }
    }

    /// Rule E11.
    pub fn read_mfes(&self, after: Option<SourceGroup>, record: Record, room: usize) -> Reply {
        let flows = self.mfes.keys().filter(|flow| after.is_none_or(|after| **flow > after));
        let mut left = room;
        let mut rows = Vec::new();
        for flow in flows {
            let row = self.row(*flow);
            let size = record.size(row.oifs.len());
            if size > left {
                let (code, needed) = match rows.len() {
                    0 => (code::INSUFFICIENT_BUFFER, size),
                    _ => (code::MORE_DATA, 0),
                };
                return Reply { code, data: Data::Mfes(rows, needed) };
            }
            left -= size;
            rows.push(record.shows(row));
        }
        Reply { code: code::NO_MORE_ITEMS, data: Data::Mfes(rows, 0) }
    }

    /// Rule F1.
    fn groups(&self, all_sources: bool) -> BTreeSet<SourceGroup> {
        let every = self.members.iter().map(|m| m.0);
        every.map(|of| if all_sources { of } else { of.any_source() }).collect()
    }

    pub fn start_enum(&mut self, handle: Handle, all_sources: bool) -> u32 {
        let Some(of) = self.client(handle) else { return code::INVALID_PARAMETER };
        let throughout = self.groups(all_sources);
        let ever = throughout.clone();
        let (finished, given) = (false, BTreeSet::new());
        let e = Enumeration { of, open: true, all_sources, finished, given, throughout, ever };
        self.enumerations.push(e);
        code::NO_ERROR
    }

    /// Notes what enumerations must and may give. After every change of the memberships.
    pub fn note_groups(&mut self) {
        let both = [self.groups(false), self.groups(true)];
        for e in &mut self.enumerations {
            let now = &both[usize::from(e.all_sources)];
            e.throughout.retain(|row| now.contains(row));
            e.ever.extend(now.iter().copied());
        }
    }

    fn enumeration(&self, handle: Handle) -> Option<usize> {
        match handle {
            Handle::Nth(n) if !self.enumerations.is_empty() => {
                let at = n % self.enumerations.len();
                self.enumerations[at].open.then_some(at)
            }
            _ => None,
        }
    }

    pub fn end_enum(&mut self, handle: Handle) -> u32 {
        let Some(at) = self.enumeration(handle) else { return code::INVALID_PARAMETER };
        self.enumerations[at].open = false;
        code::NO_ERROR
    }

    /// Rules F2 and F3. Which rows come is open within F3, so what was shown is taken over where
    /// it keeps the rule.
    pub fn next_groups(&mut self, handle: Handle, max: usize) -> Reply {
        let Some(at) = self.enumeration(handle) else {
            return Reply::code(code::INVALID_PARAMETER);
        };
        let now = self.groups(self.enumerations[at].all_sources);
        let shown = match self.shown_next() {
            Some(Event::Return(reply)) => Some(reply.clone()),
            _ => None,
        };
        let e = &mut self.enumerations[at];
        let reply = shown.filter(|reply| e.may_give(reply, max, &now)).unwrap_or_else(|| {
            let left: Vec<SourceGroup> = now.iter().filter(|r| e.left(r)).copied().collect();
            let more = left.len() > max;
            let code = match (more, max) {
                (true, 0) => code::INSUFFICIENT_BUFFER,
                (true, _) => code::MORE_DATA,
                (false, _) => code::NO_MORE_ITEMS,
            };
            Reply { code, data: Data::Groups(left.into_iter().take(max).collect()) }
        });
        if let Data::Groups(rows) = &reply.data {
            e.given.extend(rows.iter().copied());
        }
        e.finished |= reply.code == code::NO_MORE_ITEMS;
        reply
    }

    /// Rule G1: whether one more flow fits, after the oldest negative entry made way if need be.
    pub fn room_for_one(&mut self, source: Ipv4Addr) -> bool {
        if !self.rates_allow(source) {
            return false;
        }
        // An entry that is being built anew counts once; if it went, it comes back with a packet.
        while self.mfes.len() + self.pending.values().filter(|p| p.makes_entry()).count()
            >= self.max_mfes()
        {
            if !self.drop_oldest_negative() {
                return false;
            }
        }
        self.count_new(source);
        true
    }

    pub fn count_new(&mut self, source: Ipv4Addr) {
        self.new_flows.1 += 1;
        *self.new_flows.2.entry(source).or_insert(0) += 1;
    }

    /// Rule G1: new entries in one second.
    pub fn rates_allow(&mut self, source: Ipv4Addr) -> bool {
        let (max, of_source) = (self.world.max_new, self.world.max_new_of_source);
        if self.new_flows.0 != self.now {
            self.new_flows = (self.now, 0, BTreeMap::new());
        }
        let its = self.new_flows.2.entry(source).or_insert(0);
        (max == 0 || self.new_flows.1 < max) && (of_source == 0 || *its < of_source)
    }

    /// Rule G1: at most a quarter are negative.
    pub fn keep_limits(&mut self) {
        let most = (self.max_mfes() / 4).max(1);
        while self.mfes.values().filter(|e| e.oifs.is_empty()).count() > most {
            if !self.drop_oldest_negative() {
                return;
            }
        }
    }

    fn max_mfes(&self) -> usize {
        match self.world.max_mfes {
            0 => DEFAULT_MAX_MFES,
            n => n as usize,
        }
    }

    fn drop_oldest_negative(&mut self) -> bool {
        let negative = || self.mfes.iter().filter(|(_, e)| e.oifs.is_empty());
        let Some(since) = negative().map(|(_, e)| e.negative_since).min() else { return false };
        // Of those that one change made negative any may go: one that is seen to have gone.
        let oldest = negative().filter(|(_, e)| e.negative_since == since).map(|(flow, _)| *flow);
        let mut oldest: Vec<SourceGroup> = oldest.collect();
        oldest.sort_by_key(|flow| self.shown_flows.contains(flow));
        let chosen = self.choice(oldest.len());
        self.mfes.remove(&oldest[chosen]).is_some()
    }
}

impl Enumeration {
    fn left(&self, row: &SourceGroup) -> bool {
        !self.finished && !self.given.contains(row)
    }

    /// Whether rule F3 allows this reply.
    fn may_give(&self, reply: &Reply, max: usize, now: &BTreeSet<SourceGroup>) -> bool {
        let Data::Groups(rows) = &reply.data else { return false };
        let distinct: BTreeSet<SourceGroup> = rows.iter().copied().collect();
        let fresh = rows.iter().all(|r| self.left(r) && self.ever.contains(r));
        let after = |r: &&SourceGroup| self.left(r) && !distinct.contains(r);
        let owed = self.throughout.iter().any(|r| after(&r));
        let could = now.iter().any(|r| after(&r));
        let code_fits = match reply.code {
            code::MORE_DATA => could && max > 0 && rows.len() == max,
            code::INSUFFICIENT_BUFFER => could && max == 0 && rows.is_empty(),
            code::NO_MORE_ITEMS => !owed && rows.len() <= max,
            _ => false,
        };
        distinct.len() == rows.len() && fresh && code_fits
    }
}
