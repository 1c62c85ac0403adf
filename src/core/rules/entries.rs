//! Forwarding entries: their tables, and how they are to be programmed.

use crate::core::state::Core;
use crate::core::state::mfe::{Mfe, Oif};
use crate::core::state::plane::{PlaneEntry, Stale};
use crate::error::Error;
use crate::types::{ClientId, Counters, IfKey, SourceGroup};
use std::net::Ipv4Addr;

impl Core {
    /// The owner of the entry's iif.
    pub(in crate::core) fn iif_owner(&self, id: u32) -> Option<u32> {
        self.interfaces.get(self.mfes[id].iif).and_then(|interface| interface.owner())
    }

    /// Adds an entry to the tables. Room must have been reserved with [`Self::reserve_mfe`].
    pub(in crate::core) fn insert_mfe(&mut self, mfe: Mfe) -> u32 {
        self.interfaces[mfe.iif].iif_users += 1;
        let id = self.mfes.insert(mfe);
        self.mfes.beside_mut(id).known = self.unfinished.latest();
        self.by_source.insert(self.mfes[id].source_place(), ());
        self.list_on_iif(id);
        self.entry_happened(id, true);
        id
    }

    fn list_on_iif(&mut self, id: u32) {
        let iif = &mut self.interfaces[self.mfes[id].iif];
        if self.mfes[id].is(Mfe::UNRESOLVED) {
            self.waiting.insert((iif.key, id), ());
        } else {
            iif.incoming.insert(id, ());
        }
    }

    fn unlist_on_iif(&mut self, id: u32) {
        let iif = &mut self.interfaces[self.mfes[id].iif];
        if self.mfes[id].is(Mfe::UNRESOLVED) {
            self.waiting.remove((iif.key, id));
            self.wait_nowhere_else(id);
        } else {
            iif.incoming.remove(id);
        }
    }

    /// Makes room for one more entry with this iif, resolved or not, and for the changes of the
    /// plane that go with it.
    pub(in crate::core) fn reserve_mfe(&mut self, iif: u32, unresolved: bool) -> Result<(), Error> {
        self.mfes.reserve_one()?;
        self.by_source.reserve_one()?;
        if unresolved {
            self.waiting.reserve_one()?;
        } else {
            self.interfaces[iif].incoming.reserve_one()?;
        }
        self.plane.reserve(4)
    }

    /// Makes room for [`Self::wait_at`].
    pub(in crate::core) fn reserve_arrival(&mut self) -> Result<(), Error> {
        self.waiting_at.reserve_one()?;
        Ok(self.arrivals.try_reserve(1)?)
    }

    /// Packets of an unresolved entry came in here: it waits for an owner of this interface too.
    /// Room must have been reserved.
    pub(in crate::core) fn wait_at(&mut self, id: u32, arrival: IfKey) {
        self.wait_nowhere_else(id);
        if arrival != self.interfaces[self.mfes[id].iif].key {
            self.arrivals.insert(id, arrival);
            self.waiting_at.insert((arrival, id), ());
        }
    }

    fn wait_nowhere_else(&mut self, id: u32) {
        if let Some(arrival) = self.arrivals.remove(&id) {
            self.waiting_at.remove((arrival, id));
        }
    }

    /// Where packets of an entry come in.
    pub(in crate::core) fn arrival_at(&self, id: u32) -> IfKey {
        let iif = self.interfaces[self.mfes[id].iif].key;
        self.arrivals.get(&id).copied().unwrap_or(iif)
    }

    /// Changes an entry's iif, and whether it is resolved. Room must have been reserved.
    pub(in crate::core) fn set_iif(&mut self, id: u32, iif: u32, unresolved: bool) {
        self.unlist_on_iif(id);
        let same = self.mfes[id].iif == iif && self.mfes[id].is(Mfe::UNRESOLVED) == unresolved;
        let old = std::mem::replace(&mut self.mfes[id].iif, iif);
        self.mfes[id].set(Mfe::UNRESOLVED, unresolved);
        self.interfaces[iif].iif_users += 1;
        self.interfaces[old].iif_users -= 1;
        self.interfaces.forget_unused(old);
        self.list_on_iif(id);
        if !same {
            self.iif_happened(id);
        }
    }

    /// Deletes an entry. Room for one change of the plane must have been reserved.
    pub(in crate::core) fn delete_mfe(&mut self, id: u32) {
        self.oifs_happened(id, false);
        self.entry_happened(id, false);
        self.lifetimes.clear(&mut self.mfes, id);
        self.negatives.remove(&mut self.mfes, id);
        self.wrong_ifs.remove(&id);
        self.unlist_on_iif(id);
        self.by_source.remove(self.mfes[id].source_place());
        let Some(mfe) = self.mfes.remove(id) else { return };
        for oif in mfe.oifs.iter().filter(|oif| oif.is(Oif::MARKS)) {
            self.interfaces[oif.interface()].marked.remove(id);
        }
        self.interfaces[mfe.iif].iif_users -= 1;
        self.interfaces.forget_unused(mfe.iif);
        self.plane.push(Stale::entry(mfe.flow()));
    }

    /// MgmSetMfe (rule E10).
    pub fn set_upstream(
        &mut self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        let slot = self.slot_of(client)?;
        self.catch_up_entry_of(flow)?;
        let id = self.mfes.find(flow).ok_or(Error::NoSuchMfe(flow))?;
        if self.iif_owner(id) != Some(slot) {
            return Err(Error::NotIifOwner(flow));
        }
        self.mfes[id].upstream = upstream;
        self.mfes[id].set(Mfe::UPSTREAM_CHOSEN, true);
        self.set_upstream_in_flow(flow, self.mfes[id].iif, upstream);
        Ok(())
    }

    /// The forwarding entries that `of` covers, from a flow on, `max` at the most, and the flow to
    /// go on with. Return the list with [`Self::give_back`].
    pub(in crate::core) fn covered(
        &mut self,
        of: SourceGroup,
        from: SourceGroup,
        max: usize,
    ) -> Result<(Vec<u32>, Option<SourceGroup>), Error> {
        if self.mfes.len() == 0 {
            return Ok((Vec::new(), None));
        }
        let mut list = std::mem::take(&mut self.scratch);
        let rest = self.mfes.each_covered(of, from, max, |id| {
            list.try_reserve(1)?;
            list.push(id);
            Ok(())
        });
        match rest {
            Ok(rest) => Ok((list, rest)),
            Err(error) => {
                self.give_back(list);
                Err(error)
            }
        }
    }

    pub(in crate::core) fn give_back(&mut self, mut list: Vec<u32>) {
        if list.capacity() == 0 {
            return;
        }
        list.clear();
        if list.capacity() > 4096 {
            // Freeing a part of it could fail.
            list = Vec::new();
        }
        self.scratch = list;
    }

    /// How the entry of a flow is to be programmed, which the caller does now: its iif, and its
    /// oifs ordered by name. `id` is the number that the entry had. None: there is no such entry.
    pub fn entry_state(
        &mut self,
        flow: SourceGroup,
        id: u32,
        oifs: &mut Vec<IfKey>,
    ) -> Result<Option<PlaneEntry>, Error> {
        let Some(id) = self.mfes.find_at(id, flow) else { return Ok(None) };
        let mfe = &self.mfes[id];
        let first = oifs.len();
        oifs.try_reserve(mfe.oifs.len())?;
        oifs.extend(mfe.active().map(|oif| self.interfaces[oif.interface()].key));
        oifs[first..].sort_unstable();
        let (iif, installed) = (self.interfaces[mfe.iif].key, mfe.is(Mfe::INSTALLED));
        let begins = mfe.is(Mfe::COUNT_BEGINS);
        let joined = self.mfes[id].begin_adding();
        let counts = joined || begins;
        Ok(Some(PlaneEntry { id, iif, oifs: oifs.len() - first, joined, counts, installed }))
    }

    /// The outgoing interfaces that are being added to an entry, or added again, in no order.
    pub fn being_added(&self, id: u32) -> impl Iterator<Item = IfKey> + '_ {
        let adding = self.mfes[id].active().filter(|oif| oif.is(Oif::ADDING));
        adding.map(|oif| self.interfaces[oif.interface()].key)
    }

    /// Notes that the plane has the entry of a flow, and what it had counted before, where that was
    /// asked for. `id` is the number that the entry had.
    pub fn entry_programmed(&mut self, flow: SourceGroup, id: u32, before: Counters) {
        let Some(id) = self.mfes.find_at(id, flow) else { return };
        let mfe = &mut self.mfes[id];
        mfe.set_bases(before.packets);
        if mfe.is(Mfe::COUNT_BEGINS) {
            mfe.set(Mfe::COUNT_BEGINS, false);
            // The packets that waited go through an entry when it is programmed first.
            if mfe.is(Mfe::INSTALLED) {
                mfe.set(Mfe::MAY_HAVE_WAITED, false);
            }
            self.mfes.beside_mut(id).seen_packets = before.carried();
        }
        self.mfes[id].set(Mfe::INSTALLED, true);
    }

    /// Notes that the plane lost the entry of a flow and its counts, so that it must be programmed
    /// again (decision 64).
    pub fn entry_lost(&mut self, flow: SourceGroup) -> Result<(), Error> {
        if let Some(id) = self.mfes.find(flow) {
            self.mfes[id].count_anew();
            // It is not known whether it carried packets before, so it counts as if it had.
            self.mfes.beside_mut(id).seen_packets = u32::MAX;
            self.mfes[id].set(Mfe::MAY_HAVE_WAITED, false);
        }
        self.plane.reserve(1)?;
        self.plane.push(Stale::entry(flow));
        Ok(())
    }

    /// The flows that have an entry, from one on.
    #[cfg(test)]
    pub fn flows_from(&self, from: SourceGroup) -> impl Iterator<Item = SourceGroup> + '_ {
        self.mfes.from(from).map(|(flow, _)| flow)
    }
}
