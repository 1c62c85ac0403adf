//! The entries that an earlier program left, and which of them the group manager has heard of.

#![forbid(unsafe_code)]

use super::vifs::{NO_PARENT, Programmed};
use crate::sys::Errno;
use crate::types::SourceGroup;
use std::time::{Duration, Instant};

/// How long entries that were refused or deleted are left alone.
const RETRY: Duration = Duration::from_secs(1);

/// What the group manager has heard of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nothing, or it has refused the flow.
    Free,
    /// It is being told.
    InHand,
    /// It has an entry of its own.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct LeftEntry {
    flow: SourceGroup,
    /// What it was found with.
    state: Programmed,
    claim: Claim,
    /// The grace period is over, and it was told for the last time.
    last: bool,
}

/// What becomes of an entry at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is told for the last time.
    Told(SourceGroup),
    /// The group manager programs it as it wants it.
    Claimed(SourceGroup),
    /// Nobody wants it.
    Deleted(SourceGroup),
}

/// The entries, by flow.
#[derive(Default)]
pub struct Left {
    list: Vec<LeftEntry>,
    /// Up to here entries have been told.
    told: usize,
    /// When those that were refused or deleted are told again.
    retry: Option<Instant>,
}

impl Left {
    /// Entries as they were found, in any order. None of them has been told.
    pub fn new(found: &[(SourceGroup, Programmed)]) -> Result<Self, Errno> {
        let mut list = Vec::new();
        list.try_reserve_exact(found.len()).map_err(|_| libc::ENOMEM)?;
        let entry = |&(flow, state): &(SourceGroup, Programmed)| LeftEntry {
            flow,
            state,
            claim: Claim::Free,
            last: false,
        };
        list.extend(found.iter().map(entry));
        list.sort_unstable_by_key(|entry| entry.flow);
        // A list that the kernel tells while it changes may have one twice.
        list.dedup_by_key(|entry| entry.flow);
        Ok(Self { list, told: 0, retry: None })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// What an entry was found with, if it was.
    pub fn state(&self, flow: SourceGroup) -> Option<Programmed> {
        self.place(flow).map(|at| self.list[at].state)
    }

    /// All entries with their states, to be changed.
    pub fn states(&mut self) -> impl Iterator<Item = (SourceGroup, &mut Programmed)> {
        self.list.iter_mut().map(|entry| (entry.flow, &mut entry.state))
    }

    /// Takes out the entries without an iif.
    pub fn keep_those_with_iif(&mut self) {
        self.list.retain(|entry| entry.state.parent != NO_PARENT);
    }

    fn place(&self, flow: SourceGroup) -> Option<usize> {
        if self.list.is_empty() {
            return None;
        }
        self.list.binary_search_by_key(&flow, |entry| entry.flow).ok()
    }

    /// Interfaces have been taken: entries may be told that could not be before.
    pub const fn tell_again(&mut self) {
        self.told = 0;
    }

    /// Whether there are entries that may be to be told.
    pub const fn is_busy(&self) -> bool {
        self.told < self.list.len()
    }

    /// When those that were refused or deleted are told again.
    pub const fn next_retry(&self) -> Option<Instant> {
        self.retry
    }

    /// The next entries that are to be told, `most` at the most; `due` says of which iif.
    pub fn next(
        &mut self,
        now: Instant,
        due: impl Fn(u8) -> bool,
        most: usize,
        tell: &mut impl FnMut(SourceGroup),
    ) {
        if self.retry.is_some_and(|retry| retry <= now) {
            (self.retry, self.told) = (None, 0);
        }
        let mut left = most;
        while left > 0 && self.is_busy() {
            let entry = self.list[self.told];
            if entry.claim == Claim::Free && due(entry.state.parent) {
                tell(entry.flow);
                left -= 1;
            }
            self.told += 1;
        }
    }

    /// The group manager is told of an entry. Gives the iif that it was found with, unless another
    /// thread tells it or has told it.
    pub fn claim(&mut self, flow: SourceGroup, due: impl Fn(u8) -> bool) -> Option<u8> {
        let entry = self.place(flow).map(|at| &mut self.list[at])?;
        if entry.claim != Claim::Free || !due(entry.state.parent) {
            return None;
        }
        entry.claim = Claim::InHand;
        Some(entry.state.parent)
    }

    /// The same for the next entries that a membership covers, after one if given: those as well that
    /// another thread is telling at this moment.
    pub fn claim_under(
        &mut self,
        of: SourceGroup,
        after: Option<SourceGroup>,
        due: impl Fn(u8) -> bool,
        most: usize,
        tell: &mut dyn FnMut(SourceGroup, u8),
    ) {
        let first = match after {
            Some(flow) => self.list.partition_point(|entry| entry.flow <= flow),
            None => self.list.partition_point(|entry| entry.flow < of),
        };
        let covered = self.list[first..].iter_mut().take_while(|entry| of.covers(entry.flow));
        let told = covered.filter(|entry| entry.claim != Claim::Done && due(entry.state.parent));
        for entry in told.take(most) {
            entry.claim = Claim::InHand;
            tell(entry.flow, entry.state.parent);
        }
    }

    /// The group manager was told of an entry, and has one of its own or has refused the flow.
    pub fn claimed(&mut self, flow: SourceGroup, taken: bool, now: Instant) {
        let Some(at) = self.place(flow) else { return };
        if self.list[at].claim == Claim::InHand {
            self.list[at].claim = if taken { Claim::Done } else { Claim::Free };
        }
        if !taken {
            self.retry_after(now);
        }
    }

    /// The group manager wants an entry gone. False: it was not found. It stays for now and is told
    /// again after a while, since it may go only because its iif changes hands or is down.
    pub fn keeps(&mut self, flow: SourceGroup, now: Instant) -> bool {
        let Some(at) = self.place(flow) else { return false };
        self.list[at].claim = Claim::Free;
        self.retry_after(now);
        true
    }

    fn retry_after(&mut self, now: Instant) {
        self.retry.get_or_insert(now + RETRY);
    }

    /// The grace period is over: the fates of the next entries, `most` at the most. Those that were
    /// never told are told first, and have another fate the next time. False: none are left.
    pub fn end(
        &mut self,
        due: impl Fn(u8) -> bool,
        most: usize,
        each: &mut impl FnMut(Fate),
    ) -> bool {
        let first = self.list.len().saturating_sub(most);
        let mut told = false;
        for entry in &mut self.list[first..] {
            if entry.claim == Claim::Free && !entry.last && due(entry.state.parent) {
                (entry.last, told) = (true, true);
                each(Fate::Told(entry.flow));
            }
        }
        if !told {
            for LeftEntry { flow, claim, .. } in self.list.drain(first..) {
                let fate = if claim == Claim::Free { Fate::Deleted } else { Fate::Claimed };
                each(fate(flow));
            }
        }
        !self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn flow(group: u8, source: u8) -> SourceGroup {
        let group = Ipv4Addr::new(232, 1, 1, group);
        SourceGroup::new(Ipv4Addr::new(10, 0, 0, source), group)
    }

    /// Flows of two groups, which came in on VIF 0 and 1 in turns.
    fn left() -> Left {
        let found: Vec<_> = (0..20)
            .rev()
            .map(|n| (flow(n / 10, n), Programmed { parent: n % 2, oifs: 0b100 }))
            .collect();
        Left::new(&found).unwrap()
    }

    fn next(left: &mut Left, due: impl Fn(u8) -> bool, most: usize) -> Vec<SourceGroup> {
        let mut told = Vec::new();
        left.next(Instant::now(), due, most, &mut |flow| told.push(flow));
        told
    }

    fn under(
        left: &mut Left,
        of: SourceGroup,
        after: Option<SourceGroup>,
        most: usize,
    ) -> Vec<SourceGroup> {
        let mut told = Vec::new();
        left.claim_under(of, after, |_| true, most, &mut |flow, _| told.push(flow));
        told
    }

    fn end(left: &mut Left, due: impl Fn(u8) -> bool, most: usize) -> (Vec<Fate>, bool) {
        let mut fates = Vec::new();
        let more = left.end(due, most, &mut |fate| fates.push(fate));
        (fates, more)
    }

    #[test]
    fn each_is_told_once_as_its_interface_is_taken() {
        let mut left = left();
        assert_eq!(next(&mut left, |_| false, 100), []);
        assert!(!left.is_busy());
        left.tell_again();
        let even = |vif| vif == 0;
        assert_eq!(next(&mut left, even, 3), [flow(0, 0), flow(0, 2), flow(0, 4)]);
        assert!(left.is_busy());
        assert_eq!(next(&mut left, even, 100).len(), 7);
        assert_eq!(left.claim(flow(0, 0), even), Some(0));
        assert_eq!(left.claim(flow(0, 0), even), None, "it is in hand");
        assert_eq!(left.claim(flow(0, 1), even), None, "its interface was given up meanwhile");
        left.claimed(flow(0, 0), true, Instant::now());
        left.tell_again();
        assert_eq!(next(&mut left, |_| true, 100).len(), 19);
    }

    #[test]
    fn what_a_membership_covers_is_told_before_its_turn() {
        let mut left = left();
        let group = flow(1, 0).any_source();
        assert_eq!(left.claim(flow(1, 10), |_| true), Some(0));
        left.claimed(flow(1, 10), true, Instant::now());
        assert_eq!(left.claim(flow(1, 11), |_| true), Some(1), "another thread tells it now");
        let first = under(&mut left, group, None, 4);
        assert_eq!(first, [11, 12, 13, 14].map(|source| flow(1, source)));
        first.iter().for_each(|flow| left.claimed(*flow, true, Instant::now()));
        let rest = under(&mut left, group, first.last().copied(), 100);
        assert_eq!(rest, [15, 16, 17, 18, 19].map(|source| flow(1, source)));
        rest.iter().for_each(|flow| left.claimed(*flow, true, Instant::now()));
        assert_eq!(next(&mut left, |_| true, 100).len(), 10, "those of the other group");
        assert_eq!(under(&mut left, flow(0, 3), None, 100), [flow(0, 3)]);
        assert_eq!(under(&mut left, flow(2, 0).any_source(), None, 100), []);
        left.claimed(flow(0, 3), true, Instant::now());
        assert_eq!(under(&mut left, SourceGroup::ALL, None, 100).len(), 9);
    }

    #[test]
    fn what_was_refused_is_told_again_after_a_while() {
        let (mut left, now) = (left(), Instant::now());
        assert_eq!(next(&mut left, |_| true, 100).len(), 20);
        assert_eq!(left.claim(flow(0, 5), |_| true), Some(1));
        left.claimed(flow(0, 5), false, now);
        assert_eq!(next(&mut left, |_| true, 100), []);
        let retry = left.next_retry().unwrap();
        assert_eq!(retry, now + RETRY);
        let mut told = Vec::new();
        left.next(retry, |_| true, 100, &mut |flow| told.push(flow));
        assert!(told.contains(&flow(0, 5)) && left.next_retry().is_none());
    }

    #[test]
    fn what_the_group_manager_deletes_stays_and_is_told_again() {
        let mut left = left();
        assert_eq!(next(&mut left, |_| true, 100).len(), 20);
        left.claim(flow(0, 7), |_| true).unwrap();
        left.claimed(flow(0, 7), true, Instant::now());
        let now = Instant::now();
        assert!(left.keeps(flow(0, 7), now) && !left.keeps(flow(5, 7), now));
        assert_eq!(
            (next(&mut left, |_| true, 100), left.next_retry()),
            (vec![], Some(now + RETRY))
        );
        // At once where an interface is taken.
        left.tell_again();
        assert!(next(&mut left, |_| true, 100).contains(&flow(0, 7)));
    }

    #[test]
    fn in_the_end_each_has_its_fate_and_what_could_be_claimed_is_told_before() {
        let mut left = left();
        left.claim(flow(1, 19), |_| true).unwrap();
        left.claimed(flow(1, 19), true, Instant::now());
        left.claim(flow(1, 17), |_| true).unwrap();
        let odd = |vif| vif == 1;
        assert_eq!(end(&mut left, odd, 5), (vec![Fate::Told(flow(1, 15))], true));
        left.claim(flow(1, 15), odd).unwrap();
        left.claimed(flow(1, 15), true, Instant::now());
        let (fates, more) = end(&mut left, odd, 5);
        assert_eq!(
            fates,
            [
                Fate::Claimed(flow(1, 15)),
                Fate::Deleted(flow(1, 16)),
                // It may never be known: a client hangs.
                Fate::Claimed(flow(1, 17)),
                Fate::Deleted(flow(1, 18)),
                Fate::Claimed(flow(1, 19)),
            ]
        );
        assert!(more && left.len() == 15);
        // One that is refused once more goes.
        assert_eq!(end(&mut left, |vif| vif == 0, 1), (vec![Fate::Told(flow(1, 14))], true));
        left.claim(flow(1, 14), |_| true).unwrap();
        left.claimed(flow(1, 14), false, Instant::now());
        assert_eq!(end(&mut left, |_| true, 1), (vec![Fate::Deleted(flow(1, 14))], true));
        while end(&mut left, |_| false, 4).1 {}
        assert_eq!(left.len(), 0);
    }
}
