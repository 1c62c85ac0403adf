//! Model: memberships (D), and what is worked out from them: who is alerted (D7, D9) and which
//! interfaces an entry has (D6, E4).

use super::deliver::Item;
use super::state::{Id, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::BTreeSet;

/// Rule D8: what pdwTimeout points at before the call.
pub const PRUNE_TIMEOUT: u32 = 900;

impl Model {
    /// The checks that adding and deleting have in common (rules A3, D1, D2).
    fn arguments(&self, handle: Handle, of: SourceGroup, flags: u32) -> Option<Id> {
        let id = self.client(handle)?;
        let group_ok = of.is_all() || of.group().is_multicast();
        let source = of.source();
        let source_ok = !source.is_multicast() && !source.is_loopback() && !source.is_broadcast();
        let flags_ok = (1..=3).contains(&flags);
        (group_ok && source_ok && flags_ok).then_some(id)
    }

    pub fn add(&mut self, handle: Handle, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        let Some(id) = self.arguments(handle, of, flags) else { return code::INVALID_PARAMETER };
        if !self.is_on(id, on) {
            return code::INVALID_PARAMETER; // rule D3
        }
        if self.refused_to_igmp(id, on) {
            return code::CAN_NOT_COMPLETE;
        }
        let owns = self.owner(on) == Some(id);
        if flags & JOIN != 0 && !self.members.contains(&(of, on, id)) {
            self.know_source(of);
            let before = self.holders(of);
            self.members.insert((of, on, id));
            self.note_groups();
            if owns {
                self.each_matching(of, |entry| _ = entry.vetoed.remove(&on)); // rule D6
                self.each_pending(of, |flow| _ = flow.vetoed.remove(&on));
            }
            self.tell_local(id, of, on, true);
            self.tell_change(id, of, on, &before);
        }
        if flags & FORWARD != 0 && owns {
            self.each_matching(of, |entry| _ = entry.forced.insert(on));
            self.each_pending(of, |flow| _ = flow.vetoed.remove(&on)); // decision 38
        }
        self.update_all(Some(id));
        code::NO_ERROR
    }

    pub fn delete(&mut self, handle: Handle, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        let Some(id) = self.arguments(handle, of, flags) else { return code::INVALID_PARAMETER };
        if self.owner(on).is_none() {
            return code::NOT_FOUND; // rule D3
        }
        if !self.is_on(id, on) {
            return code::INVALID_PARAMETER;
        }
        if self.refused_to_igmp(id, on) {
            return code::CAN_NOT_COMPLETE;
        }
        if flags & JOIN != 0 && self.members.contains(&(of, on, id)) {
            self.leave(id, of, on, true);
        }
        if flags & FORWARD != 0 && self.owner(on) == Some(id) {
            self.each_matching(of, |entry| {
                entry.forced.remove(&on);
                entry.vetoed.insert(on);
            });
            self.each_pending(of, |flow| {
                flow.vetoed.insert(on); // decision 38
            });
        }
        self.update_all(Some(id));
        code::NO_ERROR
    }

    /// Rule C3: between DISABLE_IGMP and ENABLE_IGMP.
    fn refused_to_igmp(&self, id: Id, on: IfKey) -> bool {
        self.interfaces.get(&on).is_some_and(|i| i.igmp_off && i.igmp == Some(id))
    }

    /// One membership ends, with its alerts; the entries are brought up to date by the caller.
    pub fn leave(&mut self, id: Id, of: SourceGroup, on: IfKey, tell_owner: bool) {
        let before = self.holders(of);
        let counted = self.counts(id, on);
        self.members.remove(&(of, on, id));
        self.note_groups();
        if counted {
            self.tell_change(id, of, on, &before);
        }
        self.forget_source(of);
        if tell_owner {
            self.tell_local(id, of, on, false);
        }
    }

    /// Entries of rule E5 too: they take no oifs now, but keep what was forced until they are
    /// taken up.
    fn each_matching(&mut self, of: SourceGroup, change: impl Fn(&mut super::flows::Entry)) {
        let matching = self.mfes.iter_mut().filter(|(flow, _)| covers(of, **flow));
        matching.for_each(|(_, entry)| change(entry));
    }

    /// What comes while the questions of a flow are open counts as if it came just after
    /// (decision 10).
    fn each_pending(&mut self, of: SourceGroup, change: impl Fn(&mut super::flows::Pending)) {
        let matching = self.pending.iter_mut().filter(|(flow, _)| covers(of, **flow));
        matching.for_each(|(_, flow)| change(flow));
    }

    /// Rule D9: whether this client's memberships here count for D7.
    fn counts(&self, id: Id, on: IfKey) -> bool {
        let routing = self.interfaces.get(&on).and_then(|i| i.routing);
        match routing {
            Some(owner) if owner != id => self.is_null(owner, Kind::LocalJoin),
            _ => true,
        }
    }

    /// The clients that hold a key, on any interface, where it counts: N(k) of rule D7.
    pub fn holders(&self, key: SourceGroup) -> BTreeSet<Id> {
        let held = self.members.iter().filter(|(of, on, id)| *of == key && self.counts(*id, *on));
        held.map(|m| m.2).collect()
    }

    /// Rule D9.
    fn tell_local(&mut self, id: Id, of: SourceGroup, on: IfKey, join: bool) {
        let Some(owner) = self.interfaces.get(&on).and_then(|i| i.routing) else { return };
        if owner == id {
            return;
        }
        if join {
            self.alert(owner, Callback::LocalJoin { of, on });
        } else {
            self.alert(owner, Callback::LocalLeave { of, on });
        }
    }

    /// Rule D7, read off the table: who held it before, and who does now.
    fn tell_change(&mut self, by: Id, of: SourceGroup, on: IfKey, before: &BTreeSet<Id>) {
        let now = self.holders(of);
        let join = Callback::Join { of, member: true };
        let prune = Callback::Prune { of, on, member: true, timeout: PRUNE_TIMEOUT };
        if of.has_source() {
            let toward = self.owner_toward(of.source());
            let Some(owner) = toward.filter(|owner| *owner != by) else { return };
            let others = |set: &BTreeSet<Id>| set.iter().any(|id| *id != owner);
            match (others(before), others(&now)) {
                (false, true) => self.alert(owner, join),
                (true, false) => self.alert(owner, prune),
                _ => {}
            }
            return;
        }
        let others = |set: &BTreeSet<Id>| set.iter().copied().find(|id| *id != by);
        let everybody = (0..self.clients.len()).filter(|id| self.clients[*id].alive && *id != by);
        let everybody: Vec<Id> = everybody.collect();
        match (before.len(), now.len()) {
            (0, 1) => everybody.iter().for_each(|id| self.alert(*id, join.clone())),
            (1, 2) => others(&now).into_iter().for_each(|id| self.alert(id, join.clone())),
            (2, 1) => now.iter().for_each(|id| self.alert(*id, prune.clone())),
            (1, 0) => everybody.iter().for_each(|id| self.alert(*id, prune.clone())),
            _ => {}
        }
    }

    /// Rule D6 for one entry: the interfaces it is to have.
    pub fn wanted_oifs(&self, flow: SourceGroup) -> BTreeSet<IfKey> {
        let Some(entry) = self.mfes.get(&flow) else { return BTreeSet::new() };
        if !entry.is_normal() {
            return BTreeSet::new(); // decision 14
        }
        let wanted = self.member_interfaces(flow).into_iter().filter(|i| !entry.vetoed.contains(i));
        let mut all: BTreeSet<IfKey> = wanted.chain(entry.forced.iter().copied()).collect();
        all.retain(|i| *i != entry.iif && !self.down.contains(i));
        all
    }

    /// The interfaces with a membership that covers the flow.
    pub fn member_interfaces(&self, flow: SourceGroup) -> BTreeSet<IfKey> {
        self.members.iter().filter(|m| covers(m.0, flow)).map(|m| m.1).collect()
    }

    /// Brings every entry's list up to date and gives rule E4's alerts. `by`: whose doing it is.
    pub fn update_all(&mut self, by: Option<Id>) {
        let now_negative = self.next_serial();
        let mut flows: Vec<SourceGroup> = self.mfes.keys().copied().collect();
        // No rule orders the alerts about different entries: probably as shown.
        flows.sort_by_key(|flow| {
            let kind = if self.wanted_oifs(*flow).is_empty() { Kind::Prune } else { Kind::Join };
            match self.owner(self.mfes[flow].iif) {
                Some(owner) => self.shown_after_queued(owner, *flow, kind),
                None => usize::MAX,
            }
        });
        for flow in flows {
            let wanted = self.wanted_oifs(flow);
            let now = self.now;
            let Some(entry) = self.mfes.get_mut(&flow) else { continue };
            let had = entry.oif_set();
            entry.set_oifs(&wanted);
            if wanted.is_empty() && !had.is_empty() {
                entry.negative_since = now_negative;
            }
            let iif = entry.iif;
            let owner = self.owner(iif);
            let told = owner.filter(|_| owner != by);
            match (had.last(), wanted.is_empty()) {
                (None, false) => {
                    self.turned_positive(flow);
                    if let Some(owner) = told {
                        self.alert(owner, Callback::Join { of: flow, member: false });
                    }
                }
                (Some(last), true) => {
                    // Decision 12: its owner's own doing leaves the lifetime alone.
                    if let Some(owner) = told {
                        self.prune_flow(owner, flow, *last, now);
                    }
                    self.keep_limits();
                }
                _ => {}
            }
        }
    }

    /// Prune(S,G,FALSE), whose answer sets the lifetime.
    pub fn prune_flow(&mut self, owner: Id, flow: SourceGroup, on: IfKey, now: u64) {
        let stand = self.next_serial();
        if let Some(entry) = self.mfes.get_mut(&flow) {
            entry.stand = stand;
            entry.begin_lifetime(now, PRUNE_TIMEOUT);
            entry.packets_then = entry.packets;
        }
        let alert = Callback::Prune { of: flow, on, member: false, timeout: PRUNE_TIMEOUT };
        self.enqueue(owner, Item::Prune { alert, flow, stand });
    }
}

/// Whether a membership matches a flow (rule D6).
pub fn covers(of: SourceGroup, flow: SourceGroup) -> bool {
    of.is_all() || (of.group() == flow.group() && (!of.has_source() || of == flow))
}
