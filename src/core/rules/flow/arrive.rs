//! Packets for which the plane has no entry (rule E1).

use crate::core::state::flow::Came;
use crate::core::state::mfe::by_source;
use crate::core::state::packet::PacketHead;
use crate::core::state::plane::Stale;
use crate::core::state::route_changes::Looked;
use crate::core::state::{Core, Relook};
use crate::error::Error;
use crate::types::{IfKey, Millis, SourceGroup};

/// What happened to a packet's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is an entry; it is programmed again.
    Known,
    /// Questions are open; its packets wait.
    Pending,
    /// The entry is made.
    Made,
    /// A limit of rule G1 refuses it.
    Refused,
    /// Nothing was done: the flow is new, and its route was not looked up.
    RouteNeeded,
}

impl Core {
    /// Whether a packet of this flow needs a route look-up.
    pub fn is_new(&self, flow: SourceGroup) -> bool {
        self.mfes.find(flow).is_none()
            && self.flows.find(flow).is_none_or(|id| self.flows[id].awaits_packet())
    }

    /// A packet for which the plane has no entry (rule E1). The route that was looked up is used
    /// for a new flow only.
    pub fn packet(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        packet: &[u8],
        looked: Option<Looked>,
    ) -> Result<Admission, Error> {
        self.arrive(now, flow, arrival, Some(packet), looked)
    }

    /// An entry for the flow, which an earlier program left, is there in the plane. It is like a packet
    /// of a new flow. But since the flow is established, it counts for no rate; and one that nobody has
    /// joined takes the place of no other flow (rule G1).
    pub fn found(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        looked: Option<Looked>,
    ) -> Result<Admission, Error> {
        let is_full = self.by_source.len() >= self.admissions.limits().max_mfes as usize
            || self.negatives.len() >= self.admissions.max_negative();
        if is_full && self.is_new(flow) && self.entries_over(flow).next().is_none() {
            return Ok(Admission::Refused);
        }
        self.arrive(now, flow, arrival, None, looked)
    }

    /// The entry of a flow is programmed again as it is to be. A flow whose questions are open is left
    /// alone: it will be programmed when they are answered.
    pub fn program_again(&mut self, flow: SourceGroup) -> Result<(), Error> {
        if self.mfes.find(flow).is_some() || self.flows.find(flow).is_none() {
            self.plane.reserve(1)?;
            self.plane.push(Stale::entry(flow));
        }
        Ok(())
    }

    /// Without a packet the flow was found.
    fn arrive(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        arrival: IfKey,
        packet: Option<&[u8]>,
        looked: Option<Looked>,
    ) -> Result<Admission, Error> {
        self.catch_up_entry_of(flow)?;
        if self.mfes.find(flow).is_some() {
            self.plane.reserve(1)?;
            self.plane.push(Stale::entry(flow));
            return Ok(Admission::Known);
        }
        let pending = self.flows.find(flow);
        if pending.is_some_and(|id| !self.flows[id].awaits_packet()) {
            return Ok(Admission::Pending);
        }
        let Some(Looked { route, as_of }) = looked else { return Ok(Admission::RouteNeeded) };
        let outdated = self.route_changes.concern(flow.source(), as_of);
        if !outdated {
            self.source_seen(flow.source(), route.map(|route| route.interface))?;
        }
        let head = match packet {
            Some(packet) => self.kept.head_of(packet),
            None => PacketHead::of_flow(flow),
        };
        let came = Came { arrival, route, new: packet.is_some() };
        match pending {
            Some(id) => self.packet_meanwhile(now, id, head, came, outdated),
            None => self.packet_of_new(now, flow, head, came, outdated),
        }
    }

    fn packet_of_new(
        &mut self,
        now: Millis,
        flow: SourceGroup,
        head: PacketHead,
        Came { arrival, route, new }: Came,
        outdated: bool,
    ) -> Result<Admission, Error> {
        self.plane.reserve(2)?;
        self.relook.try_reserve(1)?;
        let asks = self.asks_about(route, arrival);
        if asks.is_some_and(|asks| self.has_many_questions(asks.owner.slot)) {
            self.admissions.refused += 1;
            return Ok(Admission::Refused);
        }
        if flow.is_link_local() || !self.admit(now, flow.source(), new) {
            return Ok(Admission::Refused);
        }
        self.begin_with(now, flow, arrival, head, route, false, asks)?;
        match self.flows.find(flow) {
            Some(id) => {
                self.flows[id].outdated = outdated;
                Ok(Admission::Pending)
            }
            None => {
                if outdated {
                    self.look_later(Relook::Flow { flow, rebuild: false });
                }
                Ok(Admission::Made)
            }
        }
    }

    /// A packet of a flow whose entry was deleted while it was being built anew. The questions
    /// about this packet follow when the open ones are answered (decision 60).
    fn packet_meanwhile(
        &mut self,
        now: Millis,
        id: u32,
        head: PacketHead,
        came: Came,
        outdated: bool,
    ) -> Result<Admission, Error> {
        let flow = self.flows[id].flow;
        // So that a change of routes finds the flow; deleting the entry took it out.
        self.by_source.reserve_one()?;
        self.plane.reserve(1)?;
        // Other flows may have taken its place under the cap.
        if !self.admit(now, flow.source(), came.new) {
            return Ok(Admission::Refused);
        }
        self.by_source.insert(by_source(flow), ());
        let pending = &mut self.flows[id];
        self.kept.take(&pending.head);
        self.kept.store(&head);
        (pending.head, pending.came, pending.outdated) = (head, Some(came), outdated);
        Ok(Admission::Pending)
    }
}
