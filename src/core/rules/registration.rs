//! Registration (rules B1, B2).

use crate::core::Core;
use crate::error::Error;
use crate::types::{ClientId, IfKey};

/// MS_IP_IGMP.
const IGMP_ID: u32 = 0x4137_000a;
/// PROTO_IP_IGMP.
const IGMP_PROTOCOL: u32 = 10;
/// PROTO_TYPE_MCAST, as the upper two bits hold it.
const TYPE_MCAST: u32 = 1;

/// Who registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// dwProtocolId.
    pub protocol: u32,
    /// dwComponentId.
    pub component: u32,
    /// Whether it has a local-join callback (rule D9).
    pub has_local_join: bool,
    /// Whether it asks for flows without a route or an owner toward their source (rule E5).
    pub takes_routeless: bool,
}

impl ClientInfo {
    /// Whether this is IGMP: MS_IP_IGMP, a multicast protocol numbered PROTO_IP_IGMP, or plain
    /// PROTO_IP_IGMP.
    pub const fn is_igmp(&self) -> bool {
        self.protocol == IGMP_ID
            || self.protocol == IGMP_PROTOCOL
            || (self.protocol >> 30 == TYPE_MCAST && self.protocol & 0xffff == IGMP_PROTOCOL)
    }
}

/// A registered client.
pub(in crate::core) struct Client {
    pub info: ClientInfo,
    /// How many interfaces it is on or is about to own.
    pub interfaces: u32,
    /// Questions of new flows that it has not answered.
    pub questions: u32,
}

/// The greatest number of clients, and of enumerations, at one time. Handles on 32-bit machines
/// have 16 bits for the slot.
pub(in crate::core) const MAX_SLOTS: u32 = 1 << 16;

impl Core {
    /// Registers a client (rule B1).
    pub fn register(&mut self, info: ClientInfo) -> Result<ClientId, Error> {
        let pair = (info.protocol, info.component);
        if self.client_slots.contains_key(&pair) {
            return Err(Error::AlreadyRegistered { protocol: pair.0, component: pair.1 });
        }
        self.clients.reserve_one(MAX_SLOTS)?;
        self.client_slots.try_reserve(1)?;
        let (slot, generation) = self.clients.insert(Client { info, interfaces: 0, questions: 0 });
        self.client_slots.insert(pair, slot);
        Ok(ClientId { slot, generation })
    }

    /// Makes room for one more client, and gives the slot that it will have.
    pub fn next_client_slot(&mut self) -> Result<u32, Error> {
        self.clients.reserve_one(MAX_SLOTS)
    }

    /// Whether a client may deregister (rule B2).
    pub fn may_deregister(&self, id: ClientId) -> Result<(), Error> {
        self.slot_of(id)?;
        match self.some_interface_of(id.slot) {
            Some(interface) => Err(Error::StillOwns(interface)),
            None => Ok(()),
        }
    }

    /// Ends a registration and the client's enumerations. The slot is used again only after
    /// [`Self::free_client_slot`], so that nothing meant for this client reaches the next one.
    pub fn deregister(&mut self, id: ClientId) -> Result<(), Error> {
        self.may_deregister(id)?;
        if let Some(client) = self.clients.remove(id.slot, id.generation) {
            self.client_slots.remove(&(client.info.protocol, client.info.component));
        }
        self.end_enumerations_of(id);
        Ok(())
    }

    /// Whether a handle is a registered client's (rule A3).
    pub fn is_registered(&self, id: ClientId) -> Result<(), Error> {
        self.slot_of(id).map(|_| ())
    }

    /// Lets the slot of a client that deregistered be used again.
    pub fn free_client_slot(&mut self, slot: u32) {
        self.clients.free_slot(slot);
    }

    /// The slot of a registered client; every other id is refused (rule A3).
    pub(in crate::core) fn slot_of(&self, id: ClientId) -> Result<u32, Error> {
        match self.clients.get(id.slot, id.generation) {
            Some(_) => Ok(id.slot),
            None => Err(Error::BadHandle {
                name: "hProtocol",
                value: crate::handle::from_client(id),
                kind: "registered client",
            }),
        }
    }

    /// The client that is registered in a slot.
    pub(in crate::core) fn client_in(&self, slot: u32) -> Option<ClientId> {
        Some(ClientId { slot, generation: self.clients.generation(slot)? })
    }

    /// Counts a question to a client, or its answer. Nothing is counted for a client that has gone.
    pub(in crate::core) fn count_question(&mut self, slot: u32, asked: bool) {
        if let Some(client) = self.clients.in_slot_mut(slot) {
            let count = client.questions;
            client.questions = if asked { count + 1 } else { count.saturating_sub(1) };
        }
    }

    /// Whether so many flows wait for this client that the next one is refused (rule G1).
    pub(in crate::core) fn has_many_questions(&self, slot: u32) -> bool {
        let most = self.admissions.max_questions();
        self.clients.in_slot(slot).is_some_and(|client| client.questions as usize >= most)
    }

    /// How many clients are registered.
    pub(in crate::core) const fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// A generation no handle of this core has had.
    pub fn next_generation(&self) -> u32 {
        self.clients.next_generation().max(self.enumerations.next_generation())
    }

    fn some_interface_of(&self, slot: u32) -> Option<IfKey> {
        let first = IfKey::new(0, std::net::Ipv4Addr::UNSPECIFIED);
        let ((client, interface), ()) = self.interfaces_of.next_from((slot, first))?;
        (client == slot).then_some(interface)
    }

    /// A client is on an interface or about to own it. Room must have been reserved.
    pub(in crate::core) fn enter_interface(&mut self, slot: u32, interface: IfKey) {
        let place = (slot, interface);
        if self.interfaces_of.get(place).is_none()
            && let Some(client) = self.clients.in_slot_mut(slot)
        {
            client.interfaces += 1;
            self.interfaces_of.insert(place, ());
        }
    }

    /// A client is not on an interface any more.
    pub(in crate::core) fn leave_interface(&mut self, slot: u32, interface: IfKey) {
        if self.interfaces_of.remove((slot, interface)).is_some()
            && let Some(client) = self.clients.in_slot_mut(slot)
        {
            client.interfaces -= 1;
        }
    }
}
