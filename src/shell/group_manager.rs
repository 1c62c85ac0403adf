//! The functions of mgm.h as one trait. A group manager of this process implements it, and so does the
//! connection to one in another process.

use crate::core::state::record::{GroupRow, MfeRecord, Rest};
use crate::error::Error;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
use crate::types::{ClientId, ClientName, EnumId, IfKey, MembershipFlags, SourceGroup};
use std::io::Write;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::os::fd::RawFd;

/// What a client, or a reader, can ask for. The methods are those of [`Mgm`].
#[expect(missing_docs, reason = "see the methods of the same names of Mgm")]
pub trait GroupManager<C>: Sync {
    fn register(&'static self, callbacks: C, pair: (u32, u32)) -> Result<ClientId, Error>;
    fn deregister(&'static self, client: ClientId) -> Result<(), Error>;
    fn client_name(&self, client: ClientId) -> Option<ClientName>;
    fn take_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error>;
    fn release_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error>;
    fn protocol_on_interface(&self, interface: IfKey) -> Result<(u32, u32), Error>;
    fn add_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error>;
    fn delete_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error>;
    fn set_upstream(
        &'static self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error>;
    fn start_enumeration(&self, client: ClientId, all_sources: bool) -> Result<EnumId, Error>;
    fn next_groups(
        &self,
        id: EnumId,
        max: usize,
        give: &mut dyn FnMut(GroupRow),
    ) -> Result<Rest, Error>;
    fn end_enumeration(&self, id: EnumId) -> Result<(), Error>;
    fn read_mfe(
        &self,
        flow: SourceGroup,
        stats: bool,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error>;
    /// `room` is the octets of the caller's buffer.
    fn read_mfes(
        &self,
        after: Option<SourceGroup>,
        stats: bool,
        room: usize,
        has_room: &mut dyn FnMut(usize) -> bool,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Rest, Error>;
    fn write_state(&self, out: &mut dyn Write) -> Result<(), Error>;
    fn client_descriptor(&self, client: ClientId) -> Result<RawFd, Error>;
    fn dispatch(&'static self, client: ClientId) -> Result<(), Error>;
}

impl<C: Callbacks> GroupManager<C> for Mgm<C> {
    fn register(
        &'static self,
        callbacks: C,
        (protocol, component): (u32, u32),
    ) -> Result<ClientId, Error> {
        self.register(callbacks, protocol, component)
    }

    fn deregister(&'static self, client: ClientId) -> Result<(), Error> {
        self.deregister(client)
    }

    fn client_name(&self, client: ClientId) -> Option<ClientName> {
        self.client_name(client)
    }

    fn take_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        self.take_interface(client, interface)
    }

    fn release_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        self.release_interface(client, interface)
    }

    fn protocol_on_interface(&self, interface: IfKey) -> Result<(u32, u32), Error> {
        self.protocol_on_interface(interface)
    }

    fn add_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        self.add_membership(client, of, interface, flags)
    }

    fn delete_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        self.delete_membership(client, of, interface, flags)
    }

    fn set_upstream(
        &'static self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        self.set_upstream(client, flow, upstream)
    }

    fn start_enumeration(&self, client: ClientId, all_sources: bool) -> Result<EnumId, Error> {
        self.start_enumeration(client, all_sources)
    }

    fn next_groups(
        &self,
        id: EnumId,
        max: usize,
        give: &mut dyn FnMut(GroupRow),
    ) -> Result<Rest, Error> {
        self.next_groups(id, max, give)
    }

    fn end_enumeration(&self, id: EnumId) -> Result<(), Error> {
        self.end_enumeration(id)
    }

    fn read_mfe(
        &self,
        flow: SourceGroup,
        stats: bool,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        self.read_mfe(flow, stats, give)
    }

    fn read_mfes(
        &self,
        after: Option<SourceGroup>,
        stats: bool,
        _room: usize,
        has_room: &mut dyn FnMut(usize) -> bool,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Rest, Error> {
        self.read_mfes(after, stats, has_room, give)
    }

    fn write_state(&self, out: &mut dyn Write) -> Result<(), Error> {
        self.write_state(out)
    }

    fn client_descriptor(&self, client: ClientId) -> Result<RawFd, Error> {
        self.client_descriptor(client)
    }

    fn dispatch(&'static self, client: ClientId) -> Result<(), Error> {
        self.dispatch(client)
    }
}
