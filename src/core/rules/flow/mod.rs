//! New flows and rebuilds (rules E1 to E5, E8, E9): the questions that are put to clients before
//! an entry is installed.
//!
//! A flow is *pending* while its questions are open. For each flow at most one question is open per
//! client. A flow is removed only when no question is open, so that every answer finds its flow.

mod arrive;
mod install;
mod unresolved;

pub use arrive::Admission;
use unresolved::{Asks, Unresolved};

use crate::core::state::Core;
use crate::core::state::Note;
use crate::core::state::flow::Flow;
use crate::core::state::interfaces::Interface;
use crate::core::state::mfe::by_source;
use crate::core::state::outbox::Action;
use crate::core::state::packet::PacketHead;
use crate::core::state::plane::Stale;
use crate::core::state::unfinished::{Known, Update};
use crate::error::Error;
use crate::types::{IfKey, Millis, OutInterface, Route, RpfAnswer, SourceGroup};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

impl Core {
    /// Whether an entry is being made or built anew for the flow.
    pub fn is_pending(&self, flow: SourceGroup) -> bool {
        self.flows.find(flow).is_some()
    }

    /// The slots of the clients that have not answered yet what they are asked about a flow; one may
    /// come more than once.
    pub fn for_each_asked(&self, flow: SourceGroup, mut visit: impl FnMut(u32)) {
        let Some(id) = self.flows.find(flow) else { return };
        let pending = &self.flows[id];
        if pending.asks_rpf {
            visit(pending.owner.slot);
        }
        let open = pending.asked.iter().filter(|asked| asked.alerted && !asked.answered);
        open.for_each(|asked| visit(asked.owner));
    }

    /// How often memory ran out for a flow whose questions had begun.
    pub const fn flows_given_up(&self) -> u64 {
        self.flows_given_up
    }

    /// Puts the RPF question, or makes the entry of rule E5.
    pub(in crate::core) fn begin(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        head: PacketHead,
        route: Option<Route>,
        rebuild: bool,
    ) -> Result<(), Error> {
        let asks = self.asks_about(route, arrival);
        self.begin_with(now, flow, arrival, head, route, rebuild, asks)
    }

    /// The same, where it is known who is asked.
    #[expect(clippy::too_many_arguments, reason = "what is known of a flow")]
    fn begin_with(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        head: PacketHead,
        route: Option<Route>,
        rebuild: bool,
        asks: Option<Asks>,
    ) -> Result<(), Error> {
        let Some(Asks { iif, owner, routeless }) = asks else {
            let unresolved = Unresolved { arrival, route, refused: None };
            return self.make_unresolved(now, flow, unresolved);
        };
        let proposed = route.filter(|_| !routeless).map_or(flow.source(), |route| route.upstream);
        self.flows.reserve_one()?;
        self.outbox.reserve(1)?;
        if !rebuild {
            // So that a change of routes finds the pending flow.
            self.by_source.reserve_one()?;
            self.by_source.insert(by_source(flow), ());
        }
        self.interfaces[iif].iif_users += 1;
        self.kept.store(&head);
        let id = self.flows.insert(Flow {
            flow,
            head,
            arrival,
            route,
            proposed,
            routeless,
            iif,
            owner,
            upstream: proposed,
            iif_chosen: false,
            upstream_chosen: false,
            asks_rpf: true,
            asked: SmallVec::new(),
            open: 1,
            rebuild,
            refused: false,
            outdated: false,
            starved: false,
            known: self.unfinished.latest(),
            came: None,
        });
        self.count_question(owner.slot, true);
        self.outbox.push(owner.slot, Action::Rpf { flow: id });
        Ok(())
    }

    /// What the RPF callback is asked. The packet's head is given back with [`Self::give_back_head`].
    pub fn rpf_question(&mut self, id: u32) -> (SourceGroup, RpfAnswer, PacketHead, Option<Route>) {
        let pending = &mut self.flows[id];
        let iif = self.interfaces[pending.iif].key;
        let answer = RpfAnswer { iif, upstream: pending.proposed };
        let head = if pending.rebuild {
            PacketHead::of_flow(pending.flow)
        } else {
            std::mem::take(&mut pending.head)
        };
        (pending.flow, answer, head, pending.route.filter(|_| !pending.routeless))
    }

    /// What the RPF callback will be asked when it is the client's turn.
    pub fn rpf_ahead<R>(
        &self,
        id: u32,
        ask: impl FnOnce(SourceGroup, RpfAnswer, &PacketHead, Option<&Route>) -> R,
    ) -> R {
        let pending = &self.flows[id];
        let iif = self.interfaces[pending.iif].key;
        let answer = RpfAnswer { iif, upstream: pending.proposed };
        let route = pending.route.as_ref().filter(|_| !pending.routeless);
        if pending.rebuild {
            ask(pending.flow, answer, &PacketHead::of_flow(pending.flow), route)
        } else {
            ask(pending.flow, answer, &pending.head, route)
        }
    }

    /// Gives the head of a pending flow's packet back, before the RPF callback's answer.
    pub fn give_back_head(&mut self, id: u32, head: PacketHead) {
        let pending = &mut self.flows[id];
        if !pending.rebuild {
            pending.head = head;
        }
    }

    /// The RPF callback's answer (rule E2); None: the client has gone.
    pub fn rpf_answered(&mut self, now: Millis, id: u32, client: u32, answer: Option<RpfAnswer>) {
        self.count_question(client, false);
        if answer.is_some_and(RpfAnswer::refuses) {
            let pending = &mut self.flows[id];
            (pending.open, pending.asks_rpf, pending.refused) = (0, false, true);
            return self.install(now, id);
        }
        let pending = &self.flows[id];
        let (flow, proposed, mut iif) =
            (pending.flow, self.interfaces[pending.iif].key, pending.iif);
        if let Some(answer) = answer {
            let named = match answer.iif == proposed {
                true => Some(iif),
                false => self.interfaces.find_used(answer.iif),
            };
            match named.filter(|named| self.interfaces[*named].owner() == Some(client)) {
                Some(named) => iif = named,
                None if answer.iif != proposed => {
                    if let Some(by) = self.client_info(client).map(|info| info.name()) {
                        self.note(Note::ForeignRpfInterface { flow, named: answer.iif, by });
                    }
                }
                None => {}
            }
            let pending = &mut self.flows[id];
            let chosen = answer.upstream != pending.proposed;
            // A neighbour set by MgmSetMfe meanwhile stays unless the answer names another
            // (decision 20).
            if chosen || iif != pending.iif {
                (pending.upstream, pending.upstream_chosen) = (answer.upstream, chosen);
            }
        }
        let pending = &mut self.flows[id];
        pending.open -= 1;
        pending.asks_rpf = false;
        pending.iif_chosen = iif != pending.iif;
        let old = std::mem::replace(&mut pending.iif, iif);
        if iif != old {
            self.interfaces[iif].iif_users += 1;
            self.interfaces[old].iif_users -= 1;
            self.interfaces.forget_unused(old);
        }
        match self.ask_creation(id) {
            Ok(true) if self.flows[id].open == 0 => self.install(now, id),
            Ok(_) => {}
            Err(_) => self.drop_flow(now, id),
        }
    }

    /// Puts the creation questions (rule E3). False: the flow is refused.
    fn ask_creation(&mut self, id: u32) -> Result<bool, Error> {
        self.catch_up_entry_of(self.flows[id].flow)?;
        let pending = &self.flows[id];
        let entry = if pending.rebuild { self.mfes.find(pending.flow) } else { None };
        let (flow, rebuild) = (pending.flow, pending.rebuild);
        let iif = pending.iif;
        let mut would_be = SmallVec::new();
        self.would_be_oifs(flow, iif, entry, &mut would_be)?;
        self.note_barred(flow, iif);
        let mut owners = would_be.iter().filter_map(|interface| interface.owner);
        if !rebuild && owners.any(|owner| self.has_many_questions(owner)) {
            self.plane.reserve(1)?;
            self.refuse_pending(id);
            return Ok(false);
        }
        self.outbox.reserve(would_be.len())?;
        self.flows[id].asked.try_reserve(would_be.len())?;
        let mut last = None;
        for interface in &would_be {
            let Some(owner) = interface.owner else { continue };
            let pending = &mut self.flows[id];
            pending.ask_about(interface.id, interface.key, owner);
            if last.replace(owner) != Some(owner) {
                pending.open += 1;
                self.count_question(owner, true);
                self.outbox.push(owner, Action::Creation { flow: id });
            }
        }
        Ok(true)
    }

    /// Refuses a flow that needs a client for which too many flows wait. Room for one change of the
    /// plane must have been reserved.
    fn refuse_pending(&mut self, id: u32) {
        if let Some(pending) = self.take_flow(id) {
            self.admissions.refused += 1;
            self.plane.push(Stale::refused(pending.flow));
        }
    }

    /// What a creation callback is asked: the flow, its iif, and the client's interfaces. Where
    /// memory runs out the list is empty, and the flow will be given up.
    pub fn creation_question(
        &mut self,
        id: u32,
        client: u32,
        out: &mut SmallVec<[OutInterface; 8]>,
    ) -> (SourceGroup, IfKey) {
        let pending = &mut self.flows[id];
        let first = pending.asked.partition_point(|asked| asked.owner < client);
        let its = pending.asked[first..].iter().take_while(|asked| asked.owner == client);
        if out.try_reserve(its.clone().count()).is_err() {
            pending.starved = true;
            return (pending.flow, self.interfaces[pending.iif].key);
        }
        for asked in its.filter(|asked| asked.alerted) {
            // The interface may have changed hands while the question waited.
            let interface = self.interfaces.find_at(asked.id, asked.interface);
            let Some(interface) = interface.filter(|interface| interface.owner() == Some(client))
            else {
                continue;
            };
            out.push(OutInterface {
                interface: interface.key,
                igmp: interface.igmp.is_some(),
                enabled: true,
            });
        }
        (pending.flow, self.interfaces[pending.iif].key)
    }

    /// Memory ran out for a creation question: the flow will be given up.
    pub fn creation_starved(&mut self, id: u32) {
        self.flows[id].starved = true;
    }

    /// A creation callback's answer: the interfaces as it left them. Interfaces it does not
    /// mention stay enabled.
    pub fn creation_answered(
        &mut self,
        now: Millis,
        id: u32,
        client: u32,
        answer: &[OutInterface],
    ) {
        self.count_question(client, false);
        self.flows[id].starved |= self.catch_up_pending(id).is_err();
        let (interfaces, pending) = (&self.interfaces, &mut self.flows[id]);
        let first = pending.asked.partition_point(|asked| asked.owner < client);
        let its = pending.asked[first..].iter_mut().take_while(|asked| asked.owner == client);
        its.for_each(|asked| asked.answered = true);
        for out in answer.iter().filter(|out| !out.enabled) {
            if let Ok(at) = pending.place_of(client, out.interface) {
                let its = interfaces.of_owner(out.interface, client);
                pending.asked[at].vetoed = its.map(|interface| interface.tenure);
            }
        }
        pending.open -= 1;
        if pending.open == 0 {
            self.install(now, id);
        }
    }

    /// The number of the first pending flow under `of`, from one on.
    pub(in crate::core) fn pending_under(
        &self,
        of: SourceGroup,
        from: Option<SourceGroup>,
    ) -> Option<u32> {
        let (flow, id) = self.flows.next_from(from?)?;
        of.covers(flow).then_some(id)
    }

    /// Whose flow a pending one is.
    pub(in crate::core) fn pending_flow(&self, id: u32) -> SourceGroup {
        self.flows[id].flow
    }

    /// Whether an unfinished change is news to a pending flow.
    pub(in crate::core) fn pending_knows(&self, id: u32) -> Known {
        self.flows[id].known
    }

    pub(in crate::core) fn set_pending_knows(&mut self, id: u32, known: Known) {
        self.flows[id].known = known;
    }

    /// Carries out on the pending flows that a change covers what unfinished ones still have to do,
    /// and makes room for it. Gives the flow to go on with where there are many.
    pub(in crate::core) fn prepare_pending(
        &mut self,
        update: &Update,
    ) -> Result<Option<SourceGroup>, Error> {
        let (mut from, mut left) = (Some(update.of), self.portion);
        while let Some(id) = self.pending_under(update.of, from) {
            let flow = self.flows[id].flow;
            if left == 0 {
                return Ok(Some(flow));
            }
            left -= 1;
            self.catch_up_pending(id)?;
            self.reserve_pending(id)?;
            from = flow.next();
        }
        Ok(None)
    }

    pub(in crate::core) fn reserve_pending(&mut self, id: u32) -> Result<(), Error> {
        Ok(self.flows[id].asked.try_reserve(1)?)
    }

    /// Brings the pending flows that a change covers up to date. Room must have been reserved.
    pub(in crate::core) fn update_all_pending(
        &mut self,
        interface: u32,
        owner: u32,
        update: &Update,
    ) {
        let mut from = Some(update.of);
        while let Some(id) = self.pending_under(update.of, from) {
            self.update_pending(id, interface, owner, update);
            from = self.flows[id].flow.next();
        }
    }

    /// What the owner of an interface says about it counts for a pending flow. Deleting with FORWARD
    /// is a veto; adding with FORWARD, or a new covering membership, lifts it (rules D5, D6). Room
    /// must have been reserved.
    pub(in crate::core) fn update_pending(
        &mut self,
        id: u32,
        interface: u32,
        owner: u32,
        update: &Update,
    ) {
        let Interface { key, tenure, .. } = self.interfaces[interface];
        let pending = &mut self.flows[id];
        if update.forces == Some(false) {
            pending.prune(interface, key, owner, tenure);
        } else if let Ok(at) = pending.place_of(owner, key) {
            pending.asked[at].vetoed = None;
        }
    }

    /// MgmSetMfe while the entry is being built anew, where its iif stays.
    pub(in crate::core) fn set_upstream_in_flow(
        &mut self,
        flow: SourceGroup,
        iif: u32,
        to: Ipv4Addr,
    ) {
        if let Some(id) = self.flows.find(flow).filter(|id| self.flows[*id].iif == iif) {
            let pending = &mut self.flows[id];
            (pending.upstream, pending.upstream_chosen) = (to, true);
        }
    }

    /// The route of a pending flow may have changed.
    pub(in crate::core) fn outdate(&mut self, id: u32) {
        self.flows[id].outdated = true;
    }

    /// Gives a pending flow up because memory ran out.
    fn drop_flow(&mut self, now: Millis, id: u32) {
        if let Some(pending) = self.take_flow(id) {
            self.give_up(now, pending.flow);
        }
    }

    /// Memory ran out for a flow that is not pending any more: its next packet begins anew. An
    /// entry that was to be built anew is tried again in a second.
    fn give_up(&mut self, now: Millis, flow: SourceGroup) {
        self.flows_given_up += 1;
        self.note(Note::FlowGivenUp(flow));
        if self.mfes.find(flow).is_some() {
            self.rebuild_later(now, flow);
            return;
        }
        self.by_source.remove(by_source(flow));
        if self.plane.reserve(1).is_ok() {
            // The packets that wait for the entry are dropped.
            self.plane.push(Stale::entry(flow));
        }
    }

    fn take_flow(&mut self, id: u32) -> Option<Flow> {
        let pending = self.take_flow_for_entry(id)?;
        if !pending.rebuild || pending.came.is_some() {
            self.by_source.remove(by_source(pending.flow));
        }
        Some(pending)
    }

    /// The same, but its place in the order by source stays.
    #[inline]
    fn take_flow_for_entry(&mut self, id: u32) -> Option<Flow> {
        let pending = self.flows.remove(id)?;
        self.kept.take(&pending.head);
        self.interfaces[pending.iif].iif_users -= 1;
        self.interfaces.forget_unused(pending.iif);
        Some(pending)
    }
}
