//! What time, limits, routes and interfaces do to entries (rules E5, E7, E8, E9, G1).

use crate::core::state::members::Role;
use crate::core::state::mfe::set_route;
use crate::core::state::mfe::{LIFETIME, Mfe};
use crate::core::state::outbox::Action;
use crate::core::state::packet::PacketHead;
use crate::core::state::route_changes::Looked;
use crate::core::state::unfinished::{Stage, What};
use crate::core::state::{Core, Relook};
use crate::error::Error;
use crate::types::{Counters, IfKey, MOST_WAITING, Millis, Seconds, SourceGroup, mask_of};
use std::net::Ipv4Addr;

/// The shortest time between two WRONG_IF callbacks for one entry, in milliseconds (rule E7).
const WRONG_IF_INTERVAL: u64 = 3_000;

/// What a change of routes concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// A source that memberships name (rule D10).
    Source(Ipv4Addr),
    /// A flow (rules E5, E9).
    Flow(SourceGroup),
}

/// A place in a walk through waiting flows: first those that wait for an owner of their iif, then
/// those whose packets come in on another interface, for an owner of that.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    at_arrival: bool,
    interface: IfKey,
    id: u32,
}

impl Core {
    /// Whether a new flow may be resolved (rule G1). At the cap the oldest negative entry makes
    /// room. Room for one change of the plane must have been reserved.
    ///
    /// A flow that was found (not `new`) counts for no rate, since it is established.
    pub(in crate::core) fn admit(&mut self, now: Millis, source: Ipv4Addr, new: bool) -> bool {
        // An entry that is being built anew counts once.
        let known = self.by_source.len();
        let full = known >= self.admissions.limits().max_mfes as usize;
        let oldest = self.negatives.oldest();
        if (full && oldest.is_none()) || (new && !self.admissions.within_rates(now, source)) {
            self.admissions.refused += 1;
            return false;
        }
        if full && let Some(oldest) = oldest {
            self.delete_mfe(oldest);
        }
        true
    }

    /// A flow whose entry's lifetime has ended. It is to be handled with [`Self::expire`].
    pub fn ended(&mut self, now: Millis) -> Option<SourceGroup> {
        self.lifetimes.ended(&mut self.mfes, now).map(|id| self.mfes[id].flow())
    }

    /// Rule E8: an entry whose lifetime has ended and that carried packets meanwhile is built
    /// anew in place; an idle one is deleted. What was counted passed the check of the iif, at a
    /// negative entry too (decision 66).
    pub fn expire(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        counted: Counters,
    ) -> Result<(), Error> {
        self.catch_up_entry_of(flow)?;
        let Some(id) = self.mfes.find(flow).filter(|id| self.mfes[*id].deadline() <= now) else {
            return Ok(());
        };
        self.plane.reserve(1)?;
        self.relook.try_reserve(1)?;
        let retry = self.mfes[id].is(Mfe::RETRY);
        if !self.carried_packets(id, counted) && !retry && !self.is_pending(flow) {
            self.delete_mfe(id);
        } else {
            if !retry {
                self.mfes.beside_mut(id).seen_packets = counted.carried();
                self.mfes[id].set(Mfe::MAY_HAVE_WAITED, false);
            }
            self.mfes[id].set(Mfe::RETRY, false);
            // Until the answers come; the rebuild sets it again.
            self.set_lifetime(now, id, LIFETIME);
            self.look_later(Relook::Flow { flow, rebuild: true });
        }
        Ok(())
    }

    /// Whether an entry carried packets since its lifetime began; those that waited for it do not
    /// count (rule E8).
    fn carried_packets(&self, id: u32, counted: Counters) -> bool {
        let since = counted.carried().wrapping_sub(self.mfes.beside(id).seen_packets);
        let in_doubt = counted.waited.is_none() && self.mfes[id].is(Mfe::MAY_HAVE_WAITED);
        since > if in_doubt { MOST_WAITING } else { 0 }
    }

    /// Has an entry that could not be looked at now looked at again in a second.
    pub fn postpone(&mut self, now: Millis, flow: SourceGroup) {
        if let Some(id) = self.mfes.find(flow) {
            self.lifetimes.set(&mut self.mfes, id, now.plus(Seconds(1)));
        }
    }

    /// Has an entry that could not be built anew built anew in a second.
    pub fn rebuild_later(&mut self, now: Millis, flow: SourceGroup) {
        self.postpone(now, flow);
        if let Some(id) = self.mfes.find(flow) {
            self.mfes[id].set(Mfe::RETRY, true);
        }
    }

    /// Takes the route toward the source of an entry, looked up anew (rules E5, E8, E9). The entry
    /// is built anew where its iif moves, where it had no route or owner, and with `rebuild`. An
    /// answer from before the last change of routes is not used (decision 63).
    pub fn rerouted(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        Looked { route, as_of }: Looked,
        rebuild: bool,
    ) -> Result<(), Error> {
        if let Some(id) = self.flows.find(flow) {
            self.outdate(id);
            return Ok(());
        }
        if self.route_changes.concern(flow.source(), as_of) {
            self.relook.try_reserve(1)?;
            self.look_later(Relook::Flow { flow, rebuild });
            return Ok(());
        }
        self.catch_up_entry_of(flow)?;
        let Some(id) = self.mfes.find(flow) else { return Ok(()) };
        let toward = route.and_then(|route| self.interfaces.resolve(route.interface));
        let mfe = &self.mfes[id];
        let (unresolved, routeless) = (mfe.is(Mfe::UNRESOLVED), mfe.is(Mfe::ROUTELESS));
        let stays = match (unresolved, routeless) {
            (true, _) => self.stays_unresolved(id, route),
            (false, true) => toward.is_none() && !mfe.is(Mfe::IIF_CHOSEN),
            (false, false) => toward == Some(mfe.iif) && !mfe.is(Mfe::IIF_CHOSEN),
        };
        if !stays || rebuild {
            let (arrival, head) = (self.arrival_at(id), PacketHead::of_flow(flow));
            return self.begin(now, flow, arrival, head, route, true);
        }
        if let Some(route) = route {
            let mfe = &mut self.mfes[id];
            set_route(mfe, &route);
            if !mfe.is(Mfe::UPSTREAM_CHOSEN) && (unresolved || !routeless) {
                mfe.upstream = route.upstream;
            }
        }
        Ok(())
    }

    /// Whether a client chose the iif of a flow's entry (rule E2).
    pub fn is_iif_chosen(&self, flow: SourceGroup) -> bool {
        self.mfes.get(flow).is_some_and(|mfe| mfe.is(Mfe::IIF_CHOSEN))
    }

    /// The iif of an entry, which is taken for the arrival interface where there is no packet.
    pub fn iif_of(&self, flow: SourceGroup) -> Option<IfKey> {
        self.mfes.get(flow).map(|mfe| self.interfaces[mfe.iif].key)
    }

    /// The iif of an entry of this source, which is taken for the route toward it where the plane
    /// has no routes (decision 28).
    pub fn iif_of_source(&self, source: Ipv4Addr) -> Option<IfKey> {
        let mut flow = self.next_under(source, 32, None);
        // Flows whose questions are open have no entry yet.
        while flow.is_some_and(|flow| self.mfes.find(flow).is_none()) {
            flow = self.next_under(source, 32, flow);
        }
        flow.and_then(|flow| self.iif_of(flow))
    }

    /// The next thing, after one if given, that a change of routes under a prefix concerns. Sources
    /// come before flows, because the TRUE alerts of a call come before its FALSE ones (rule E4).
    pub fn next_concerned(
        &self,
        network: Ipv4Addr,
        prefix_len: u8,
        after: Option<Concerned>,
    ) -> Option<Concerned> {
        let (source, flow) = match after {
            None => (Some(None), None),
            Some(Concerned::Source(source)) => (Some(Some(source)), None),
            Some(Concerned::Flow(flow)) => (None, Some(flow)),
        };
        let source = source.and_then(|after| self.sources.next_under(network, prefix_len, after));
        let flow = || self.next_under(network, prefix_len, flow).map(Concerned::Flow);
        source.map(Concerned::Source).or_else(flow)
    }

    /// The next flow, after one if given, whose source is under a prefix. So a walk visits what a
    /// change of routes concerns, and nothing else.
    pub fn next_under(
        &self,
        network: Ipv4Addr,
        prefix_len: u8,
        after: Option<SourceGroup>,
    ) -> Option<SourceGroup> {
        let mask = mask_of(prefix_len).to_bits();
        let first = u64::from(network.to_bits() & mask) << 32;
        let last = first | (u64::from(!mask) << 32) | 0xffff_ffff;
        let from = match after {
            None => first,
            Some(flow) => flow.to_bits().rotate_left(32).checked_add(1)?,
        };
        let (place, ()) = self.by_source.next_from(from)?;
        (place <= last).then(|| SourceGroup::from_bits(place.rotate_left(32)))
    }

    /// The next flow that waits for an owner of an interface with this index, and where to go on
    /// looking.
    pub fn next_waiting(
        &self,
        index: u32,
        after: Option<Waiting>,
    ) -> Option<(SourceGroup, Waiting)> {
        // By its name, since the number of the last one's interface may be free by now.
        let first = (IfKey::new(index, Ipv4Addr::UNSPECIFIED), 0);
        let (at_arrival, from) = match after {
            Some(Waiting { at_arrival, interface, id }) => (at_arrival, (interface, id + 1)),
            None => (false, first),
        };
        let next = |at_arrival: bool, mut from| loop {
            let lists = if at_arrival { &self.waiting_at } else { &self.waiting };
            let ((interface, id), ()) = lists.next_from(from)?;
            if interface.index != index {
                return None;
            }
            // A flow whose iif has the same index was found by that.
            let mfe = &self.mfes[id];
            if at_arrival && self.interfaces[mfe.iif].key.index == index {
                from = (interface, id + 1);
                continue;
            }
            return Some((mfe.flow(), Waiting { at_arrival, interface, id }));
        };
        next(at_arrival, from).or_else(|| if at_arrival { None } else { next(true, first) })
    }

    /// A packet that came in on an interface other than its entry's iif (rule E7).
    pub fn wrong_interface(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        packet: &[u8],
    ) -> Result<(), Error> {
        self.catch_up_entry_of(flow)?;
        let Some(id) = self.mfes.find(flow).filter(|id| !self.mfes[*id].is(Mfe::UNRESOLVED)) else {
            return Ok(());
        };
        let owner = self.interfaces.find_used(arrival).filter(|at| *at != self.mfes[id].iif);
        let Some(owner) = owner.and_then(|at| self.interfaces[at].owner()) else { return Ok(()) };
        let last = self.wrong_ifs.get(&id);
        if last.is_some_and(|last| now.since(*last) < WRONG_IF_INTERVAL) {
            return Ok(());
        }
        self.wrong_ifs.try_reserve(1)?;
        self.headers.reserve(1)?;
        self.outbox.reserve(1)?;
        self.wrong_ifs.insert(id, now);
        let head = self.kept.head_of(packet);
        self.kept.store(&head);
        let header = self.headers.insert(head);
        self.outbox.push(owner, Action::WrongIf { flow, arrival, header });
        Ok(())
    }

    /// Takes the head of the packet of a WRONG_IF action.
    pub fn take_header(&mut self, header: u32) -> Option<PacketHead> {
        let head = self.headers.remove(header)?;
        self.kept.take(&head);
        Some(head)
    }

    /// Whether an interface is down.
    pub fn is_down(&self, key: IfKey) -> bool {
        self.interfaces.find(key).is_some_and(|id| !self.interfaces[id].up)
    }

    /// Notes that an interface is up or down. When it goes down, entries whose iif it is are
    /// deleted, and it leaves every list; memberships stay. An unknown interface is no error.
    pub fn interface_up(&mut self, now: Millis, key: IfKey, up: bool) -> Result<(), Error> {
        match self.interfaces.find(key) {
            Some(id) if self.interfaces[id].up != up => self.set_up(now, id, up, None),
            _ => Ok(()),
        }
    }

    /// The consequences begin at once.
    pub(in crate::core) fn set_up(
        &mut self,
        now: Millis,
        id: u32,
        up: bool,
        cause: Option<u32>,
    ) -> Result<(), Error> {
        self.finish_first(id, |_| true)?;
        self.unfinished.reserve_one()?;
        let most = self.portion;
        let mut entries = self.interfaces[id].marked.len().min(most);
        let held = Role::ALL.iter().flat_map(|role| self.held_keys(id, *role));
        for of in held.take(most) {
            if entries >= most {
                break;
            }
            entries += self.mfes.count_covered(of, most);
        }
        for role in Role::ALL {
            self.interfaces[id].held_mut(role).reserve_few(most)?;
        }
        let of_iif = (self.interfaces[id].iif_users as usize).min(most);
        self.outbox.reserve(entries)?;
        self.plane.reserve(2 * entries + of_iif)?;
        self.interfaces[id].up = up;
        self.up_happened(id);
        let begun = self.begin_unfinished(now, id, cause, What::Up(up), Stage::Incoming(0));
        // If memory runs out, the rest is done later.
        let _ = self.portion(begun);
        Ok(())
    }
}
