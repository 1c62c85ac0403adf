//! Makes the entry of a flow whose questions were answered, or gives the answers to the entry that
//! is built anew (rules E4 to E6, E8, E9).

use crate::core::rules::flow::unresolved::Unresolved;
use crate::core::rules::oifs::WouldBe;
use crate::core::state::Core;
use crate::core::state::Relook;
use crate::core::state::flow::{Asked, Came, Flow};
use crate::core::state::interfaces::Interfaces;
use crate::core::state::mfe::set_active;
use crate::core::state::mfe::{LIFETIME, Mfe, Oif, set_route};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::plane::Stale;
use crate::error::Error;
use crate::types::{IfKey, Millis, SourceGroup};
use smallvec::SmallVec;

impl Core {
    /// All questions are answered: the entry is made or built anew.
    pub(in crate::core) fn install(&mut self, now: Millis, id: u32) {
        let flow = self.flows[id].flow;
        let caught_up = self.catch_up_entry_of(flow).and_then(|()| self.catch_up_pending(id));
        if caught_up.is_err() {
            return self.drop_flow(now, id);
        }
        let Flow { iif, rebuild, .. } = self.flows[id];
        let entry = if rebuild { self.mfes.find(flow) } else { None };
        if rebuild && entry.is_none() {
            return self.begin_after(now, id);
        }
        let mut would_be = SmallVec::new();
        let room = self.reserve_install(flow, iif, entry, id, &mut would_be);
        if room.is_err() || self.flows[id].starved {
            return self.drop_flow(now, id);
        }
        let asked_about = self.interfaces[iif].key;
        // Its place in the order stays, for the entry.
        let Some(pending) = self.take_flow_for_entry(id) else { return };
        if pending.outdated {
            self.look_later(Relook::Flow { flow, rebuild: false });
        }
        let Flow { arrival, route, owner, routeless, .. } = pending;
        let asks = self.asks_still(iif, route, arrival);
        let same = asks.filter(|asks| (asks.owner, asks.routeless) == (owner, routeless));
        let Some(asks) = same.filter(|_| self.owner_of(iif) == Some(owner)) else {
            // The interface has another owner now, who must be asked (decision 35).
            let Flow { head, rebuild, .. } = pending;
            if self.begin(now, flow, arrival, head, route, rebuild).is_err() {
                self.give_up(now, flow);
            }
            return;
        };
        if pending.refused {
            let refused = Some((asked_about, asks));
            let unresolved = Unresolved { arrival, route, refused };
            if self.make_unresolved(now, flow, unresolved).is_err() {
                self.give_up(now, flow);
            }
            return;
        }
        match entry {
            None => self.install_new(now, &pending, &would_be),
            Some(id) => self.install_rebuilt(now, &pending, id, &would_be),
        }
    }

    /// The entry was deleted while its questions were open. If a packet has come since, its flow
    /// begins now (rule E1); else the next packet begins it.
    fn begin_after(&mut self, now: Millis, id: u32) {
        if self.relook.try_reserve(1).is_err() {
            return self.drop_flow(now, id);
        }
        let Some(Flow { flow, head, outdated, came, .. }) = self.take_flow(id) else { return };
        let Some(Came { arrival, route, .. }) = came else { return };
        if outdated {
            self.look_later(Relook::Flow { flow, rebuild: false });
        }
        if self.begin(now, flow, arrival, head, route, false).is_err() {
            self.give_up(now, flow);
        }
    }

    /// Makes room for the whole change, and finds the interfaces that will be in the list unless
    /// they are vetoed.
    fn reserve_install(
        &mut self,
        flow: SourceGroup,
        iif: u32,
        entry: Option<u32>,
        id: u32,
        would_be: &mut SmallVec<[WouldBe; 8]>,
    ) -> Result<(), Error> {
        self.relook.try_reserve(1)?;
        self.reserve_mfe(iif, false)?;
        self.outbox.reserve(2)?;
        self.would_be_oifs(flow, iif, entry, would_be)?;
        let asked = &self.flows[id].asked;
        if let Some(entry) = entry {
            self.mfes[entry].oifs.try_reserve(would_be.len() + asked.len())?;
        }
        for asked in asked {
            if let Some(interface) = vetoed(&self.interfaces, asked) {
                self.interfaces[interface].marked.reserve(1)?;
            }
        }
        Ok(())
    }

    fn install_new(&mut self, now: Millis, pending: &Flow, would_be: &[WouldBe]) {
        let mut mfe = Mfe::new(pending.flow, pending.iif, now);
        // A vetoed interface that would not be an oif any more needs a place in the entry too.
        let vetoed = pending.asked.iter().filter_map(|asked| vetoed(&self.interfaces, asked));
        let is_beside = |id: &u32| would_be.iter().all(|would_be| would_be.id != *id);
        let beside = vetoed.filter(is_beside).count();
        if mfe.oifs.try_reserve_exact(would_be.len() + beside).is_err() {
            return self.give_up(now, pending.flow);
        }
        take_route(&mut mfe, pending);
        let id = self.insert_mfe(mfe);
        self.take_vetoes(id, pending);
        let mfe = &mut self.mfes[id];
        for WouldBe { id, .. } in would_be {
            if !mfe.has_mark(*id, Oif::VETOED) {
                set_active(mfe, *id, true);
            }
        }
        self.oifs_happened(id, true);
        self.plane.push(Stale::entry_at(pending.flow, id));
        self.begin_lifetime(now, id, LIFETIME);
        self.announce_new(now, id);
    }

    /// E4's alerts for an entry that is new, or had no route or owner until now (rule E5).
    fn announce_new(&mut self, now: Millis, id: u32) {
        let Some(owner) = self.iif_owner(id) else { return };
        let of = self.mfes[id].flow();
        if self.mfes[id].is_negative() {
            self.ask_lifetime(now, id, owner, self.interfaces[self.mfes[id].iif].key);
            self.list_negative(id);
        } else if self.serves_others(id) {
            self.outbox.push(owner, Action::Join { of, member: false });
        }
    }

    /// The entry in place gets the answers of its rebuild (rules E8, E9).
    fn install_rebuilt(&mut self, now: Millis, pending: &Flow, id: u32, would_be: &[WouldBe]) {
        let old_owner = self.iif_owner(id);
        let old_iif = self.mfes[id].iif;
        let was_unresolved = self.mfes[id].is(Mfe::UNRESOLVED);
        let was_negative = self.mfes[id].is_negative();
        let old_key = self.interfaces[old_iif].key;
        // The interface that the prune alert names (decision 39): the first of the old list by
        // name, or the old iif.
        let left = self.mfes[id].active().map(|oif| self.interfaces[oif.interface()].key).min();
        let left = left.unwrap_or(old_key);

        self.set_iif(id, pending.iif, false);
        take_route(&mut self.mfes[id], pending);
        self.forget_vetoes(id);
        self.take_vetoes(id, pending);
        self.for_each_oif(id, |core, interface| core.recompute(id, interface));
        for interface in would_be {
            self.recompute(id, interface.id);
        }
        self.plane.push(Stale::entry_at(pending.flow, id));
        self.unlist_negative(id);
        self.begin_lifetime(now, id, LIFETIME);
        self.mfes[id].set_asked(LifetimeAsk::NONE);

        if was_unresolved {
            return self.announce_new(now, id);
        }
        let of = pending.flow;
        let is_negative = self.mfes[id].is_negative();
        let moved = old_iif != pending.iif;
        if moved
            && !was_negative
            && let Some(owner) = old_owner
        {
            self.tell_prune(owner, of, old_key);
        }
        let Some(owner) = self.iif_owner(id) else { return };
        if is_negative {
            let interface =
                if moved || was_negative { self.interfaces[self.mfes[id].iif].key } else { left };
            self.ask_lifetime(now, id, owner, interface);
            self.list_negative(id);
        } else if moved || (was_negative && self.serves_others(id)) {
            self.outbox.push(owner, Action::Join { of, member: false });
        }
    }

    fn forget_vetoes(&mut self, id: u32) {
        self.for_each_oif(id, |core, interface| {
            if core.mfes[id].has_mark(interface, Oif::VETOED) {
                core.mark(id, interface, core.mfes[id].has_mark(interface, Oif::FORCED), false);
            }
        });
    }

    fn recompute(&mut self, id: u32, interface: u32) {
        let wanted = self.is_wanted(id, interface);
        self.set_oif(id, interface, wanted);
    }

    /// Visits the interfaces that an entry has marks for; the visit may clear them.
    pub(super) fn for_each_oif(&mut self, id: u32, mut visit: impl FnMut(&mut Self, u32)) {
        let mut at = 0;
        while let Some(interface) = self.mfes[id].oifs.get(at).map(|oif| oif.interface()) {
            visit(self, interface);
            if self.mfes[id].oifs.get(at).is_some_and(|oif| oif.interface() == interface) {
                at += 1;
            }
        }
    }

    fn take_vetoes(&mut self, id: u32, pending: &Flow) {
        for asked in &pending.asked {
            if let Some(interface) = vetoed(&self.interfaces, asked) {
                let forced = self.mfes[id].has_mark(interface, Oif::FORCED);
                self.mark(id, interface, forced, true);
            }
        }
    }
}

/// The number of an interface, if its owner vetoed it and is still the owner (rule D6).
#[inline]
fn vetoed(interfaces: &Interfaces, asked: &Asked) -> Option<u32> {
    asked.vetoed.and_then(|tenure| in_tenure(interfaces, asked.interface, tenure))
}

/// The number of an interface whose owner is the one of this tenure.
#[cold]
fn in_tenure(interfaces: &Interfaces, key: IfKey, tenure: u64) -> Option<u32> {
    let interface = interfaces.find(key)?;
    (interfaces[interface].tenure == tenure).then_some(interface)
}

fn take_route(mfe: &mut Mfe, pending: &Flow) {
    mfe.set(Mfe::REFUSED, false);
    mfe.set(Mfe::ROUTELESS, pending.routeless);
    if let Some(route) = &pending.route {
        set_route(mfe, route);
    }
    mfe.upstream = pending.upstream;
    mfe.set(Mfe::UPSTREAM_CHOSEN, pending.upstream_chosen);
    mfe.set(Mfe::IIF_CHOSEN, pending.iif_chosen);
}
