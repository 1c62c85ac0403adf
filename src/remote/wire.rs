//! The messages between a host and a client process. Both are on one machine: words have its byte
//! order, which postcard's own encoding hides in any case.
//!
//! Nothing that is read here is trusted: a message that does not fit is an error for whoever reads it,
//! lists are read element by element, and nothing is allocated for what a message claims.

use crate::core::state::record::Rest;
use crate::log::Level;
use crate::shell::callbacks::{CallbackKind, CallbackSet, RpfAnswer};
use crate::types::{ClientId, EnumId, IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The first word of a connection. Another program's socket does not begin with it.
pub const MAGIC: u32 = 0x6d67_6d31;

/// The versions of these messages that this library speaks, from the oldest to the newest.
pub const VERSIONS: (u16, u16) = (3, 3);

/// The most octets of one message. A packet of 65,535 octets fits with everything around it.
pub const MAX_MESSAGE: usize = 80 * 1024;

/// The most octets of a packet that go to a callback.
pub const MAX_PACKET: usize = 65_535;

/// The first message of a client process. It never changes, so that every version can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`MAGIC`].
    pub magic: u32,
    /// The oldest version that the process speaks.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
    /// The sizes of the ABI's records there: [`crate::remote::wire::RecordSizes`].
    pub sizes: RecordSizes,
}

/// The sizes in octets of mgm.h's fixed records, as one library was built. Two libraries that differ in
/// one of them do not have the same mgm.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSizes {
    /// SIZEOF_BASIC_MIB_MFE.
    pub mfe: u16,
    /// SIZEOF_BASIC_MIB_MFE_STATS.
    pub mfe_stats: u16,
    /// SIZEOF_BASIC_MIB_MFE_STATS_EX.
    pub mfe_stats_ex: u16,
    /// sizeof(SOURCE_GROUP_ENTRY).
    pub source_group: u16,
}

/// The host's answer to [`Hello`]. It never changes either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`MAGIC`].
    pub magic: u32,
    /// The oldest version that the host speaks.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
    /// The version that both speak from now on; 0: there is none, and the connection ends.
    pub chosen: u16,
    /// The sizes of the ABI's records in the host.
    pub sizes: RecordSizes,
}

/// The newest version that both sides speak.
pub fn common_version(one: (u16, u16), other: (u16, u16)) -> Option<u16> {
    let (oldest, newest) = (one.0.max(other.0), one.1.min(other.1));
    (oldest <= newest && newest > 0).then_some(newest)
}

/// What a client process asks. `room` is always the octets of the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A call channel more.
    Channel,
    /// MgmRegisterMProtocol.
    Register {
        /// dwProtocolId.
        protocol: u32,
        /// dwComponentId.
        component: u32,
        /// What the host must know of the callbacks.
        kind: ClientKind,
        /// Those that there are: of the others the host asks nothing.
        callbacks: CallbackSet,
    },
    /// MgmDeRegisterMProtocol.
    Deregister(ClientId),
    /// MgmTakeInterfaceOwnership.
    Take(ClientId, IfKey),
    /// MgmReleaseInterfaceOwnership.
    Release(ClientId, IfKey),
    /// MgmGetProtocolOnInterface.
    ProtocolOn(IfKey),
    /// MgmAddGroupMembershipEntry.
    Add(ClientId, SourceGroup, IfKey, MembershipFlags),
    /// MgmDeleteGroupMembershipEntry.
    Delete(ClientId, SourceGroup, IfKey, MembershipFlags),
    /// MgmSetMfe.
    SetUpstream(ClientId, SourceGroup, Ipv4Addr),
    /// MgmGroupEnumerationStart; true: ALL_SOURCES.
    StartEnumeration(ClientId, bool),
    /// MgmGroupEnumerationGetNext, at most so many rows.
    NextGroups(EnumId, u32),
    /// MgmGroupEnumerationEnd.
    EndEnumeration(EnumId),
    /// MgmGetMfe and MgmGetMfeStats; true: with counters.
    ReadMfe(SourceGroup, bool),
    /// The functions that read many entries: the first flow that may be given, whether counters are
    /// wanted, the octets of the caller's buffer.
    ReadMfes(SourceGroup, bool, u32),
    /// MgmHostGetState: answered by as many [`Reply::Text`] as it takes.
    State,
    /// MgmHostGetClientFd: replied to by [`Reply::Channel`] with the descriptor.
    Event(ClientId),
    /// MgmHostDispatch, on the client's callback channel.
    Dispatch(ClientId),
}

/// What a host must know of a client's callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientKind {
    /// It has a local-join callback (rule D9).
    pub has_local_join: bool,
    /// MGM_DISPATCHED (rules H).
    pub dispatched: bool,
    /// MGM_ROUTELESS_FLOWS (rule E5).
    pub takes_routeless: bool,
}

/// What the host replies. Each request has one reply, but for [`Request::State`] and those that read
/// records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// It is done.
    Done,
    /// It is done, and the owner of an interface has changed: how often that was so for this process.
    Changed(u64),
    /// A channel; its socket is attached.
    Channel,
    /// A client; its callback channel is attached.
    Client(ClientId),
    /// An enumeration.
    Enumeration(EnumId),
    /// The protocol and component ids of an owner.
    Protocol(u32, u32),
    /// Some of the records that were asked for. They are behind this in the same message
    /// ([`records`](super::records)).
    List(ListPart),
    /// A piece of the state; an empty one is the last.
    Text(&'a [u8]),
    /// It failed: the code for C, how important the host's line about it is, and that line.
    Failed(u32, u8, &'a str),
}

/// Which of the records that a request has asked for a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListPart {
    /// Some of them; another message follows.
    Some,
    /// The last ones, and whether there are more than were asked for.
    Last(Rest),
}

/// What the host asks or tells a client: one callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Callback<'a> {
    /// The RPF callback: the flow, the answer that stands without it, the packet, the route.
    Rpf(SourceGroup, RpfAnswer, #[serde(borrow)] &'a [u8], Option<Route>),
    /// The creation alert: the flow, its incoming interface, the outgoing ones.
    Creation(SourceGroup, IfKey, #[serde(borrow)] Packed<'a>),
    /// The prune alert.
    Prune(SourceGroup, IfKey, bool, Seconds),
    /// The join alert.
    Join(SourceGroup, bool),
    /// The wrong-interface callback.
    WrongInterface(SourceGroup, IfKey, #[serde(borrow)] &'a [u8]),
    /// The local-join callback.
    LocalJoin(SourceGroup, IfKey),
    /// The local-leave callback.
    LocalLeave(SourceGroup, IfKey),
    /// The disable-IGMP callback.
    DisableIgmp(IfKey),
    /// The enable-IGMP callback.
    EnableIgmp(IfKey),
}

impl Callback<'_> {
    /// Which of the client's callbacks it is.
    pub const fn kind(&self) -> CallbackKind {
        match self {
            Self::Rpf(..) => CallbackKind::Rpf,
            Self::Creation(..) => CallbackKind::Creation,
            Self::Prune(..) => CallbackKind::Prune,
            Self::Join(..) => CallbackKind::Join,
            Self::WrongInterface(..) => CallbackKind::WrongInterface,
            Self::LocalJoin(..) => CallbackKind::LocalJoin,
            Self::LocalLeave(..) => CallbackKind::LocalLeave,
            Self::DisableIgmp(..) => CallbackKind::DisableIgmp,
            Self::EnableIgmp(..) => CallbackKind::EnableIgmp,
        }
    }
}

/// What a client answers when its callback has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// The callback has returned, and its answer does not matter.
    Returned,
    /// To [`Callback::Rpf`].
    Rpf(RpfAnswer),
    /// To [`Callback::Creation`]: the interfaces that are not enabled any more
    /// ([`records`](super::records)).
    Creation(#[serde(borrow)] &'a [u8]),
    /// To [`Callback::Prune`]: the timeout.
    Prune(Seconds),
    /// To a callback that came ahead: it was not called, since things may have changed. All further
    /// callbacks of the same message have this answer too.
    Again,
}

/// What goes from a client process to the host on a callback channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost<'a> {
    /// A call.
    Request(Request),
    /// The callback that was asked for has returned.
    #[serde(borrow)]
    Answer(Answer<'a>),
}

/// What goes from the host to a client process on a callback channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToClient<'a> {
    /// The reply to a call.
    #[serde(borrow)]
    Reply(Reply<'a>),
    /// Callbacks, which follow in the same message as so many [`Callback`]s: the one whose turn it is,
    /// and those that come next, as they are when [`Reply::Changed`] has told this number.
    Callbacks(u64),
}

/// Several values, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed<'a> {
    /// How many.
    pub count: u32,
    /// Themselves, encoded.
    pub octets: &'a [u8],
}

/// Writes values for a [`Packed`].
pub struct Packer<'a> {
    room: &'a mut [u8],
    used: usize,
    count: u32,
}

impl<'a> Packer<'a> {
    /// Writes into this room.
    pub const fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0, count: 0 }
    }

    /// Adds a value; false: there was no room, and nothing has changed.
    pub fn add<T: Serialize>(&mut self, value: &T) -> bool {
        let written = postcard::to_slice(value, &mut self.room[self.used..]);
        if let Ok(written) = &written {
            (self.used, self.count) = (self.used + written.len(), self.count + 1);
        }
        written.is_ok()
    }

    /// What was added.
    pub fn packed(&self) -> Packed<'_> {
        Packed { count: self.count, octets: &self.room[..self.used] }
    }
}

/// Reads encoded values one by one.
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// Reads these.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Whether all has been read.
    pub const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value; none: there is none, or it makes no sense.
    pub fn take<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }
}

/// A level as [`Reply::Failed`] carries it.
pub const fn level(number: u8) -> Level {
    match number {
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        5 => Level::Trace,
        _ => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: SourceGroup =
        SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(239, 1, 1, 1));

    #[test]
    fn p7_the_newest_version_that_both_speak() {
        assert_eq!(common_version((1, 1), (1, 1)), Some(1));
        assert_eq!(common_version((1, 3), (2, 5)), Some(3));
        assert_eq!(common_version((4, 5), (2, 4)), Some(4));
        assert_eq!(common_version((1, 2), (3, 4)), None);
        assert_eq!(common_version((0, 0), (0, 0)), None);
    }

    #[test]
    fn what_is_packed_is_unpacked_and_what_has_no_room_is_left_out() {
        let mut room = [0; 20];
        let mut packer = Packer::new(&mut room);
        assert!(packer.add(&FLOW));
        let used = packer.packed().octets.len();
        assert!(!packer.add(&[FLOW; 4]));
        let packed = packer.packed();
        assert_eq!((packed.count, packed.octets.len()), (1, used));
        let mut unpacker = Unpacker::new(packed.octets);
        assert_eq!(unpacker.take(), Some(FLOW));
        assert_eq!(unpacker.take::<SourceGroup>(), None);
    }

    #[test]
    fn p6_a_message_that_claims_more_than_it_has_is_refused() {
        let mut buffer = [0; 256];
        let callback = Callback::WrongInterface(FLOW, IfKey::new(1, Ipv4Addr::LOCALHOST), &[7; 20]);
        let size = postcard::to_slice(&callback, &mut buffer).unwrap().len();
        assert_eq!(postcard::from_bytes::<Callback<'_>>(&buffer[..size]).unwrap(), callback);
        for cut in 0..size {
            assert!(postcard::from_bytes::<Callback<'_>>(&buffer[..cut]).is_err(), "{cut}");
        }
    }
}
