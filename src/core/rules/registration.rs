//! Registration (rules B1, B2).

use crate::core::state::Core;
use crate::core::state::client::{Client, ClientInfo, MAX_SLOTS};
use crate::core::state::history::Happening;
use crate::error::Error;
use crate::types::{ClientId, ClientName, IfKey};

impl Core {
    /// Registers a client (rule B1).
    pub fn register(&mut self, info: ClientInfo) -> Result<ClientId, Error> {
        let pair = (info.protocol, info.component);
        if self.client_slots.contains_key(&pair) {
            return Err(Error::AlreadyRegistered(pair.into()));
        }
        self.clients.reserve_one(MAX_SLOTS)?;
        self.client_slots.try_reserve(1)?;
        let (slot, generation) = self.clients.insert(Client { info, interfaces: 0, questions: 0 });
        self.client_slots.insert(pair, slot);
        self.happened(|_| Happening::Client { who: info.name(), came: true });
        Ok(ClientId { slot, generation })
    }

    /// Makes room for one more client, and gives the slot that it will have.
    pub fn next_client_slot(&mut self) -> Result<u32, Error> {
        self.clients.reserve_one(MAX_SLOTS)
    }

    /// Whether a client may deregister (rule B2).
    pub fn may_deregister(&mut self, id: ClientId) -> Result<(), Error> {
        self.slot_of(id)?;
        self.finish_what_caused(id.slot)?;
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
            self.happened(|_| Happening::Client { who: client.info.name(), came: false });
        }
        self.end_enumerations_of(id);
        Ok(())
    }

    /// Whether a handle is a registered client's (rule A3).
    pub fn is_registered(&self, id: ClientId) -> Result<(), Error> {
        self.slot_of(id).map(|_| ())
    }

    /// The name of a registered client.
    pub fn client_name(&self, id: ClientId) -> Option<ClientName> {
        self.clients.get(id.slot, id.generation).map(|client| client.info.name())
    }

    /// Lets the slot of a client that deregistered be used again.
    pub fn free_client_slot(&mut self, slot: u32) {
        self.clients.free_slot(slot);
    }

    /// The slot of a registered client; every other id is refused (rule A3).
    pub(in crate::core) fn slot_of(&self, id: ClientId) -> Result<u32, Error> {
        match self.clients.get(id.slot, id.generation) {
            Some(_) => Ok(id.slot),
            None => Err(Error::no_client(id)),
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
