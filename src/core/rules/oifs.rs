//! The oif lists of forwarding entries (rule D6), and what happens when a list becomes empty or
//! non-empty (rules E4, E6).

use crate::core::state::members::Holder;
use crate::core::state::mfe::{LIFETIME, MAX_LIFETIME, Mfe, Oif, set_active};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::plane::Stale;
use crate::core::state::{Core, Note};
use crate::error::Error;
use crate::types::{IfKey, Millis, Seconds, SourceGroup};
use smallvec::SmallVec;

/// An interface that will be in a flow's list unless it is vetoed. They are ordered by owner, then
/// name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) struct WouldBe {
    pub owner: Option<u32>,
    pub key: IfKey,
    pub id: u32,
}

impl Core {
    /// Makes room for bringing one interface of these entries up to date, and for `alerts` other
    /// alerts.
    pub(in crate::core) fn reserve_refresh(
        &mut self,
        entries: &[u32],
        interface: u32,
        alerts: usize,
    ) -> Result<(), Error> {
        self.outbox.reserve(alerts + entries.len())?;
        if entries.is_empty() {
            return Ok(());
        }
        for id in entries {
            if self.mfes[*id].place_of(interface).is_err() {
                self.mfes[*id].oifs.try_reserve(1)?;
            }
        }
        // An entry that turns negative may push out an older one.
        self.plane.reserve(2 * entries.len())
    }

    /// Puts an interface into the entry's list or takes it out, as rule D6 says, with E4's
    /// alerts. `cause` is the client that causes the change, if a client does.
    pub(in crate::core) fn refresh(
        &mut self,
        now: Millis,
        id: u32,
        interface: u32,
        cause: Option<u32>,
    ) {
        let wanted = self.is_wanted(id, interface);
        if wanted == self.mfes[id].has_mark(interface, Oif::ACTIVE) {
            if self.is_barred(self.mfes[id].iif, interface) && self.is_asked_for(id, interface) {
                let flow = self.mfes[id].flow();
                self.note(Note::SameDevice(flow, self.interfaces[interface].key));
            }
            return;
        }
        let was_negative = self.mfes[id].is_negative();
        self.set_oif(id, interface, wanted);
        let is_negative = self.mfes[id].is_negative();
        self.plane.push(Stale::entry_at(self.mfes[id].flow(), id));
        match (was_negative, is_negative) {
            (true, false) => self.turn_positive(now, id, cause),
            (false, true) => self.turn_negative(now, id, cause, self.interfaces[interface].key),
            _ => {}
        }
    }

    /// Puts an interface into an entry's list or takes it out, if it is not so already. Room must have
    /// been reserved.
    pub(in crate::core) fn set_oif(&mut self, id: u32, interface: u32, active: bool) {
        let mfe = &mut self.mfes[id];
        if mfe.has_mark(interface, Oif::ACTIVE) == active {
            return;
        }
        set_active(mfe, interface, active);
        self.oif_happened(id, interface, active);
    }

    /// Whether an interface belongs into an entry's list (rule D6; rule D1 for link-local groups).
    pub(in crate::core) fn is_wanted(&self, id: u32, interface: u32) -> bool {
        let mfe = &self.mfes[id];
        interface != mfe.iif
            && !mfe.is(Mfe::UNRESOLVED)
            && self.can_send(interface)
            && !self.is_barred(mfe.iif, interface)
            && self.is_asked_for(id, interface)
    }

    /// The formula of rule D6.
    fn is_asked_for(&self, id: u32, interface: u32) -> bool {
        let mfe = &self.mfes[id];
        mfe.has_mark(interface, Oif::FORCED)
            || (!mfe.has_mark(interface, Oif::VETOED) && self.is_member(mfe.flow(), interface))
    }

    /// Whether an interface cannot be an oif because it shares its device with the iif.
    fn is_barred(&self, iif: u32, interface: u32) -> bool {
        let device = |id: u32| self.interfaces[id].key.index;
        self.incoming_devices_barred && iif != interface && device(iif) == device(interface)
    }

    /// The interfaces with a membership that covers a flow; one may come more than once.
    fn members_of(&self, flow: SourceGroup) -> impl Iterator<Item = u32> + '_ {
        let ends = !self.unfinished.is_empty();
        let stays = move |holder: &&Holder| {
            !ends || holder.stays(self.interfaces[holder.interface()].ending)
        };
        let holders = self.entries_over(flow).flat_map(|id| self.groups[id].holders.iter());
        holders.filter(stays).map(|holder| holder.interface())
    }

    /// Notes for the log that a new flow is wanted on an interface that cannot be an oif.
    pub(in crate::core) fn note_barred(&mut self, flow: SourceGroup, iif: u32) {
        if !self.incoming_devices_barred || flow.is_link_local() {
            return;
        }
        let barred = self.members_of(flow).find(|member| self.is_barred(iif, *member));
        if let Some(barred) = barred.map(|id| self.interfaces[id].key) {
            self.note(Note::SameDevice(flow, barred));
        }
    }

    /// Whether packets can leave an interface at all.
    pub(in crate::core) fn can_send(&self, interface: u32) -> bool {
        self.interfaces.get(interface).is_some_and(|interface| interface.can_send())
    }

    fn turn_positive(&mut self, now: Millis, id: u32, cause: Option<u32>) {
        self.negatives.remove(&mut self.mfes, id);
        self.begin_lifetime(now, id, LIFETIME);
        self.mfes[id].set_asked(LifetimeAsk::NONE);
        let of = self.mfes[id].flow();
        if let Some(owner) = self.iif_owner(id).filter(|owner| Some(*owner) != cause) {
            self.outbox.push(owner, Action::Join { of, member: false });
        }
    }

    fn turn_negative(&mut self, now: Millis, id: u32, cause: Option<u32>, interface: IfKey) {
        let owner = self.iif_owner(id).filter(|owner| Some(*owner) != cause);
        if let Some(owner) = owner {
            self.ask_lifetime(now, id, owner, interface);
        }
        self.list_negative(id);
    }

    /// Rule E4: the prune alert that sets the entry's lifetime; 900 s until it is answered.
    pub(in crate::core) fn ask_lifetime(
        &mut self,
        now: Millis,
        id: u32,
        owner: u32,
        interface: IfKey,
    ) {
        let of = self.mfes[id].flow();
        self.begin_lifetime(now, id, LIFETIME);
        let asks = self.last_ask.next();
        self.last_ask = asks;
        self.mfes[id].set_asked(asks);
        self.outbox.push(owner, Action::Prune { of, interface, member: false, asks });
    }

    /// A prune alert that asks for no lifetime.
    pub(in crate::core) fn tell_prune(&mut self, owner: u32, of: SourceGroup, interface: IfKey) {
        let asks = LifetimeAsk::NONE;
        self.outbox.push(owner, Action::Prune { of, interface, member: false, asks });
    }

    /// The answer to a prune alert with bMemberDelete FALSE: 0 means 900 s, and more than a day
    /// means a day (rule E4).
    pub fn prune_answered(
        &mut self,
        now: Millis,
        of: SourceGroup,
        asked: LifetimeAsk,
        timeout: Seconds,
    ) {
        let Some(id) = self.mfes.find(of) else { return };
        if self.mfes[id].has_asked(asked) {
            let lifetime = if timeout.0 == 0 { LIFETIME } else { timeout.min(MAX_LIFETIME) };
            self.set_lifetime(now, id, lifetime);
        }
    }

    /// Puts an entry among the negative ones, and pushes the oldest out where there are too many
    /// (rule G1). Room for one more change of the plane must have been reserved.
    pub(in crate::core) fn list_negative(&mut self, id: u32) {
        self.negatives.append(&mut self.mfes, id);
        if self.negatives.len() > self.admissions.max_negative()
            && let Some(oldest) = self.negatives.oldest()
        {
            self.delete_mfe(oldest);
        }
    }

    pub(in crate::core) fn unlist_negative(&mut self, id: u32) {
        self.negatives.remove(&mut self.mfes, id);
    }

    /// An entry that is about to be programmed begins a lifetime, and with it a new count of packets
    /// (rule E8).
    pub(in crate::core) fn begin_lifetime(&mut self, now: Millis, id: u32, lifetime: Seconds) {
        self.set_lifetime(now, id, lifetime);
        self.mfes[id].set(Mfe::COUNT_BEGINS, true);
    }

    pub(in crate::core) fn set_lifetime(&mut self, now: Millis, id: u32, lifetime: Seconds) {
        self.mfes[id].set_lifetime(lifetime);
        self.lifetimes.set(&mut self.mfes, id, now.plus(lifetime));
    }

    /// Sets both marks of an interface of an entry. Room must have been reserved in the entry and
    /// in the interface's set.
    pub(in crate::core) fn mark(&mut self, id: u32, interface: u32, forced: bool, vetoed: bool) {
        let mfe = &mut self.mfes[id];
        mfe.set_mark(interface, Oif::FORCED, forced);
        mfe.set_mark(interface, Oif::VETOED, vetoed);
        if forced || vetoed {
            self.interfaces[interface].marked.insert(id);
        } else {
            self.interfaces[interface].marked.remove(id);
        }
    }

    /// Finds the interfaces that will be in a flow's list unless they are vetoed, in order: those
    /// with members, and those that are forced in `entry`. The list is empty before.
    pub(in crate::core) fn would_be_oifs(
        &self,
        flow: SourceGroup,
        iif: u32,
        entry: Option<u32>,
        list: &mut SmallVec<[WouldBe; 8]>,
    ) -> Result<(), Error> {
        if flow.is_link_local() {
            return Ok(());
        }
        let usable = |id: u32| {
            let interface = &self.interfaces[id];
            let usable = id != iif && interface.can_send() && !self.is_barred(iif, id);
            usable.then(|| WouldBe { owner: interface.owner(), key: interface.key, id })
        };
        let ends = !self.unfinished.is_empty();
        for members in self.entries_over(flow) {
            let holders = self.groups[members].holders.as_slice();
            list.try_reserve(holders.len())?;
            for member in holders {
                let id = member.interface();
                if (!ends || member.stays(self.interfaces[id].ending))
                    && let Some(usable) = usable(id)
                {
                    list.push(usable);
                }
            }
        }
        if let Some(entry) = entry {
            let oifs = self.mfes[entry].oifs.as_slice();
            list.try_reserve(oifs.len())?;
            let forced = oifs.iter().filter(|oif| oif.is(Oif::FORCED));
            forced.filter_map(|oif| usable(oif.interface())).for_each(|forced| list.push(forced));
        }
        if !list.is_sorted_by(|one, next| one < next) {
            list.sort_unstable();
            list.dedup();
        }
        Ok(())
    }

    /// Whether a client other than the iif's owner owns one of the entry's oifs (rule E4).
    pub(in crate::core) fn serves_others(&self, id: u32) -> bool {
        let owner = self.iif_owner(id);
        self.mfes[id].active().any(|oif| self.interfaces[oif.interface()].owner() != owner)
    }
}
