//! Reading: entries, their statistics, group enumeration.

#![forbid(unsafe_code)]

use crate::core::state::record::{Counted, GroupRow, MfeRecord, OifRecord, Rest};
use crate::core::{MAX_ROWS, MemberPlace};
use crate::error::Error;
use crate::forwarder::Forwarder;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::{Mgm, Moment};
use crate::types::{ClientId, Counters, EnumId, IfKey, SourceGroup};
use smallvec::SmallVec;
use std::ops::ControlFlow;

/// How many entries a reader reads before it releases the lock, so that it does not hold up a
/// membership change or a new flow.
const READ_CHUNK: usize = 256;

impl<C: Callbacks> Mgm<C> {
    /// MgmGetMfe and MgmGetMfeStats (rule E11).
    pub fn read_mfe(
        &self,
        flow: SourceGroup,
        stats: bool,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        let moment = self.moment();
        let (mut forwarder, mut epoch) = (None, None);
        if stats {
            let counts = self.state.read().shared().map(|run| (run.epoch, run.forwarder.clone()));
            (epoch, forwarder) = counts.unzip();
        }
        let each = &|flow, oifs: &mut [OifRecord]| count_each(forwarder.as_deref(), flow, oifs);
        let counted = match forwarder.as_deref() {
            None => Counted::Nothing,
            Some(plane) if plane.counts_each().is_some() => Counted::Each(each),
            Some(plane) => plane.counters(flow).into(),
        };
        let state = self.state.read();
        let running = state.shared_at(moment).filter(|run| is_same(run.epoch, &mut epoch));
        running.ok_or(Error::NoSuchMfe(flow))?.core.read_mfe(moment.now, flow, counted, give)
    }

    /// MgmGetFirstMfe, MgmGetNextMfe and their statistics (rule E11): entries in order, from the
    /// one after `after` on, until `give` breaks, which means that it did not take the record.
    /// `has_room` is asked for one record after the other, with the number of its oifs, whether
    /// `give` will take it, so that no counters of other entries are read.
    pub fn read_mfes(
        &self,
        after: Option<SourceGroup>,
        stats: bool,
        has_room: &mut dyn FnMut(usize) -> bool,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Rest, Error> {
        let Some(mut from) = after.map_or(Some(SourceGroup::ALL), SourceGroup::next) else {
            return Ok(Rest::End);
        };
        let (moment, mut epoch) = (self.moment(), None);
        if stats {
            return self.read_counted(moment, epoch, from, has_room, give);
        }
        loop {
            let state = self.state.read();
            let running = state.shared_at(moment).filter(|run| is_same(run.epoch, &mut epoch));
            let Some(running) = running else { return Ok(Rest::End) };
            let taken = |record: &MfeRecord<'_>| give(record).is_continue();
            match running.core.read_mfes(moment.now, from, READ_CHUNK, taken)? {
                (Some(next), true) => from = next,
                (Some(_), false) => return Ok(Rest::More),
                (None, _) => return Ok(Rest::End),
            }
        }
    }

    /// The same with counters, which are read with nothing locked. With `epoch`, only in the run
    /// with this number.
    pub(crate) fn read_counted(
        &self,
        moment: Moment,
        mut epoch: Option<u64>,
        mut from: SourceGroup,
        has_room: &mut dyn FnMut(usize) -> bool,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Rest, Error> {
        loop {
            let (rows, forwarder) = {
                let state = self.state.read();
                let running = state.shared_at(moment).filter(|run| is_same(run.epoch, &mut epoch));
                let Some(running) = running else { return Ok(Rest::End) };
                (running.core.rows_from(from, &mut *has_room), running.forwarder.clone())
            };
            let Some((last, _)) = rows.last().copied() else { return Ok(Rest::End) };
            let each = &|flow, oifs: &mut [OifRecord]| count_each(Some(&*forwarder), flow, oifs);
            let counts_each = forwarder.counts_each().is_some();
            let mut counted = SmallVec::<[Counted<'_>; MAX_ROWS]>::new();
            counted.extend(rows.iter().map(|(flow, _)| match counts_each {
                true => Counted::Each(each),
                false => forwarder.counters(*flow).into(),
            }));
            let state = self.state.read();
            let running = state.shared_at(moment).filter(|run| is_same(run.epoch, &mut epoch));
            let Some(running) = running else { return Ok(Rest::End) };
            let taken = |record: &MfeRecord<'_>| give(record).is_continue();
            if !running.core.read_rows(moment.now, &rows, &counted, taken)? {
                return Ok(Rest::More);
            }
            match last.next() {
                Some(next) => from = next,
                None => return Ok(Rest::End),
            }
        }
    }

    /// MgmGroupEnumerationStart (rule F1).
    pub fn start_enumeration(&self, client: ClientId, all_sources: bool) -> Result<EnumId, Error> {
        let mut state = self.state.write();
        state
            .running()
            .ok_or_else(|| Error::no_client(client))?
            .core
            .start_enumeration(client, all_sources)
    }

    /// MgmGroupEnumerationGetNext (rule F2): at most `max` rows. With 0 it only tells whether there
    /// are any.
    pub fn next_groups(
        &self,
        id: EnumId,
        max: usize,
        give: &mut dyn FnMut(GroupRow),
    ) -> Result<Rest, Error> {
        let mut left = max;
        loop {
            let mut state = self.state.write();
            let Some(running) = state.running() else { return Err(Error::no_enumeration(id)) };
            let chunk = left.min(READ_CHUNK);
            let rest = running.core.next_groups(id, chunk, give)?;
            left -= chunk;
            if left == 0 || rest == Rest::End {
                return Ok(rest);
            }
        }
    }

    /// MgmGroupEnumerationEnd (rule F4).
    pub fn end_enumeration(&self, id: EnumId) -> Result<(), Error> {
        let mut state = self.state.write();
        let Some(running) = state.running() else { return Err(Error::no_enumeration(id)) };
        running.core.end_enumeration(id)
    }
}

/// What a plane that counts for each outgoing interface counted for an entry.
fn count_each(
    forwarder: Option<&dyn Forwarder>,
    flow: SourceGroup,
    oifs: &mut [OifRecord],
) -> Counters {
    let plane = forwarder.and_then(|forwarder| forwarder.counts_each());
    plane.map_or_else(Counters::default, |plane| plane.count_each(flow, oifs))
}

/// Whether a run is the one that was looked at first.
fn is_same(epoch: u64, first: &mut Option<u64>) -> bool {
    *first.get_or_insert(epoch) == epoch
}

impl<C: Callbacks> Mgm<C> {
    /// Some of the interfaces that a client is on, by its protocol and component ids, and where to go
    /// on after them.
    pub(crate) fn interfaces_of(
        &self,
        pair: (u32, u32),
        after: Option<IfKey>,
    ) -> (SmallVec<[IfKey; READ_CHUNK]>, Option<IfKey>) {
        let (mut found, mut next) = (SmallVec::new(), None);
        let state = self.state.read();
        if let Some(running) = state.shared() {
            for (key, row) in running.core.interface_rows(after).take(READ_CHUNK) {
                next = Some(key);
                if row.protocol == Some(pair) || row.igmp == Some(pair) {
                    found.push(key);
                }
            }
        }
        (found, next)
    }

    /// Whether a client is on an interface.
    pub(crate) fn is_on(&self, pair: (u32, u32), interface: IfKey) -> bool {
        let state = self.state.read();
        let row = state.shared().and_then(|running| running.core.interface_row(interface));
        row.is_some_and(|row| row.protocol == Some(pair) || row.igmp == Some(pair))
    }

    /// Some of the memberships of a client, likewise.
    pub(crate) fn memberships_of(
        &self,
        pair: (u32, u32),
        after: Option<MemberPlace>,
    ) -> (SmallVec<[(SourceGroup, IfKey); READ_CHUNK]>, Option<MemberPlace>) {
        let (mut found, mut next) = (SmallVec::new(), None);
        let state = self.state.read();
        if let Some(running) = state.shared() {
            for (place, member) in running.core.membership_rows(after).take(READ_CHUNK) {
                next = Some(place);
                if member.client == Some(pair) {
                    found.push((member.of, member.interface));
                }
            }
        }
        (found, next)
    }
}
