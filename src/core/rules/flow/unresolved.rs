//! Flows that get a negative entry no matter who has receivers: there is no route or no owner toward their
//! source (rule E5), or a client refused them (rule E2).

use crate::core::state::flow::Reason;
use crate::core::state::mfe::set_route;
use crate::core::state::mfe::{Mfe, UNRESOLVED_LIFETIME};
use crate::core::state::outbox::LifetimeAsk;
use crate::core::state::plane::Stale;
use crate::core::state::{Core, Note};
use crate::error::Error;
use crate::types::{ClientId, IfKey, Millis, Route, SourceGroup};

/// The shortest time between two notes about such flows, in milliseconds (rule E5).
const NOTE_INTERVAL: u64 = 10_000;

/// Who is asked about a flow.
#[derive(Clone, Copy)]
pub(in crate::core) struct Asks {
    /// The number of the interface that is proposed as its iif.
    pub iif: u32,
    /// That interface's owner.
    pub owner: ClientId,
    /// It is the arrival interface, for want of an owner toward the source.
    pub routeless: bool,
}

/// What is known of a flow that gets such an entry.
pub(in crate::core) struct Unresolved {
    pub arrival: IfKey,
    pub route: Option<Route>,
    /// The interface that its RPF callback was asked about, and who refused.
    pub refused: Option<(IfKey, Asks)>,
}

impl Core {
    /// The owner of the interface toward the source, or of the arrival interface where there is none
    /// and that client asks for such flows.
    pub(in crate::core) fn asks_about(&self, route: Option<Route>, arrival: IfKey) -> Option<Asks> {
        let toward = route.and_then(|route| self.interfaces.resolve(route.interface));
        if let Some((iif, owner)) = toward.and_then(|iif| Some((iif, self.owner_of(iif)?))) {
            return Some(Asks { iif, owner, routeless: false });
        }
        let iif = self.interfaces.find_used(arrival)?;
        let owner = self.owner_of(iif)?;
        let takes = self.client_info(owner.slot).is_some_and(|info| info.takes_routeless);
        takes.then_some(Asks { iif, owner, routeless: true })
    }

    /// The same, where it most likely is the owner of this interface.
    pub(in crate::core) fn asks_still(
        &self,
        iif: u32,
        route: Option<Route>,
        arrival: IfKey,
    ) -> Option<Asks> {
        let interface = self.interfaces.get(iif);
        if let (Some(interface), Some(route)) = (interface, route)
            && interface.key == route.interface
            && let Some(owner) = self.owner_of(iif)
        {
            return Some(Asks { iif, owner, routeless: false });
        }
        self.asks_about(route, arrival)
    }

    /// Makes the negative entry, or turns the one in place into it.
    pub(in crate::core) fn make_unresolved(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        Unresolved { arrival, route, refused }: Unresolved,
    ) -> Result<(), Error> {
        let asked = refused.filter(|(_, asks)| !asks.routeless).map(|(asked, _)| asked);
        let iif = asked.or(route.map(|route| route.interface)).unwrap_or(arrival);
        self.outbox.reserve(1)?;
        self.reserve_arrival()?;
        let iif = self.interfaces.intern(iif)?;
        if let Err(error) = self.reserve_mfe(iif, true) {
            self.interfaces.forget_unused(iif);
            return Err(error);
        }
        let refused = refused.map(|(_, asks)| asks);
        let id = match self.mfes.find(flow) {
            Some(id) => {
                self.turn_unresolved(id, iif, refused.map(|asks| asks.owner.slot));
                id
            }
            None => {
                let mut mfe = Mfe::new(flow, iif, now);
                mfe.set(Mfe::UNRESOLVED, true);
                self.insert_mfe(mfe)
            }
        };
        self.wait_at(id, arrival);
        let mfe = &mut self.mfes[id];
        mfe.set(Mfe::REFUSED, refused.is_some());
        mfe.set(Mfe::ROUTELESS, refused.is_some_and(|asks| asks.routeless));
        mfe.set(Mfe::UPSTREAM_CHOSEN | Mfe::IIF_CHOSEN, false);
        if let Some(route) = route {
            set_route(mfe, &route);
            mfe.upstream = route.upstream;
        }
        self.plane.push(Stale::entry_at(flow, id));
        self.begin_lifetime(now, id, UNRESOLVED_LIFETIME);
        self.list_negative(id);
        self.note_unresolved(now, flow, arrival, route, refused);
        Ok(())
    }

    /// Makes an entry one without a route (decision 18), or one that a client refused. If there were
    /// oifs, the iif's owner gets a prune alert, unless it is the one that refused.
    fn turn_unresolved(&mut self, id: u32, iif: u32, cause: Option<u32>) {
        let owner = self.iif_owner(id).filter(|owner| Some(*owner) != cause);
        let (of, interface) = (self.mfes[id].flow(), self.interfaces[self.mfes[id].iif].key);
        if !self.mfes[id].is_negative()
            && let Some(owner) = owner
        {
            self.tell_prune(owner, of, interface);
        }
        self.set_iif(id, iif, true);
        self.mfes[id].set_asked(LifetimeAsk::NONE);
        self.for_each_oif(id, |core, interface| core.set_oif(id, interface, false));
    }

    /// Whether an entry of this kind stays as it is though routes or owners have changed: whoever
    /// would be asked about it has been.
    pub(in crate::core) fn stays_unresolved(&self, id: u32, route: Option<Route>) -> bool {
        let mfe = &self.mfes[id];
        let (refused, routeless) = (mfe.is(Mfe::REFUSED), mfe.is(Mfe::ROUTELESS));
        let leads_there = route.is_none_or(|route| route.interface == self.interfaces[mfe.iif].key);
        match self.asks_about(route, self.arrival_at(id)) {
            None => !refused && leads_there,
            Some(asks) if asks.routeless => refused && routeless && leads_there,
            Some(asks) => refused && !routeless && asks.iif == mfe.iif,
        }
    }

    /// Notes why nothing of a flow is forwarded, at most once in ten seconds.
    fn note_unresolved(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        route: Option<Route>,
        refused: Option<Asks>,
    ) {
        if self.noted.last.is_some_and(|last| now.since(last) < NOTE_INTERVAL && now >= last) {
            self.noted.others += 1;
            return;
        }
        let by = refused.and_then(|asks| self.client_info(asks.owner.slot));
        let reason = match (by, route) {
            (Some(info), _) => Reason::Refused(info.name()),
            (None, Some(route)) => Reason::NoOwner(route.interface),
            (None, None) => Reason::NoRoute,
        };
        let others = std::mem::take(&mut self.noted.others);
        self.noted.last = Some(now);
        self.note(Note::NotForwarded { flow, arrival, reason, others });
    }
}
