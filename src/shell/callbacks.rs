//! The nine callbacks of mgm.h as a safe trait.

pub use crate::types::{OutInterface, RpfAnswer};

use crate::error::Error;
pub use crate::shell::tally::CallbackKind;
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use serde::{Deserialize, Serialize};

/// Which threads a client's callbacks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackThread {
    /// On whichever thread comes first.
    Anywhere,
    /// Inside its own dispatch alone, which a thread of the library makes. Calls wait for it as for
    /// any client (rule A7).
    OwnThread,
    /// Inside its own dispatch alone, which the client's program makes. No call waits for it (rules H).
    Dispatched,
}

/// Which callbacks a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackSet(u16);

impl CallbackSet {
    /// All of them.
    pub const ALL: Self = Self(u16::MAX);

    /// Those of a client.
    pub fn of(client: &impl Callbacks) -> Self {
        let bits = CallbackKind::ALL.map(|(kind, _)| match client.has(kind) {
            true => Self::bit(kind),
            false => 0,
        });
        Self(bits.into_iter().fold(0, |all, bit| all | bit))
    }

    /// The same without one.
    #[must_use]
    pub const fn without(self, kind: CallbackKind) -> Self {
        Self(self.0 & !Self::bit(kind))
    }

    /// Whether it has this one.
    pub const fn has(self, kind: CallbackKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    const fn bit(kind: CallbackKind) -> u16 {
        1 << kind as u16
    }
}

/// A callback that will be called, with what that is about; the methods of [`Callbacks`] explain it.
#[derive(Clone, Copy, Debug)]
pub enum Coming<'a> {
    /// [`Callbacks::rpf`]
    Rpf(SourceGroup, RpfAnswer, &'a [u8], Option<&'a Route>),
    /// [`Callbacks::creation`]
    Creation(SourceGroup, IfKey, &'a [OutInterface]),
    /// [`Callbacks::prune`]
    Prune(SourceGroup, IfKey, bool, Seconds),
    /// [`Callbacks::join`]
    Join(SourceGroup, bool),
    /// [`Callbacks::local_join`]
    LocalJoin(SourceGroup, IfKey),
    /// [`Callbacks::local_leave`]
    LocalLeave(SourceGroup, IfKey),
}

/// A client's callbacks. They are called one at a time for one client, on any thread, with no
/// lock held; they may call any function of the library (rules A6 to A8). A missing callback is
/// a method that does nothing (rule A9).
pub trait Callbacks: Clone + Send + Sync + 'static {
    /// Whether the client has a local-join callback; without one, IGMP's memberships on the
    /// client's interfaces count as any client's (rule D9).
    fn has_local_join(&self) -> bool;

    /// Whether the client has a callback. One that it has not need not be called.
    fn has(&self, _kind: CallbackKind) -> bool {
        true
    }

    /// Which threads its callbacks run on.
    fn callback_thread(&self) -> CallbackThread {
        CallbackThread::Anywhere
    }

    /// Whether the client asks for flows that come in on its interfaces without a route or an owner
    /// toward their source (rule E5).
    fn takes_routeless(&self) -> bool {
        false
    }

    /// The id of the process that the client lives in, where that is another one and is there.
    fn process(&self) -> Option<u32> {
        None
    }

    /// How many of the client's next callbacks it has been told of with [`Self::ahead`]. None: it is told
    /// of each when that is to be called.
    fn known_ahead(&self) -> Option<usize> {
        None
    }

    /// Tells the client of a callback that will be called after those that it knows. False: it takes
    /// no more.
    fn ahead(&self, _coming: Coming<'_>) -> bool {
        false
    }

    /// A packet of a new source came in. `packet` is its IP header, at least 20 octets, and as much
    /// of its data as the plane has. No route: nobody owns the interface toward the source, and the
    /// packet came in on the one proposed (rule E5).
    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, packet: &[u8], route: Option<&Route>);

    /// An entry is about to be made whose outgoing interfaces include these of the client's. An error:
    /// there was no memory to call the client, and the entry is not made.
    fn creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error>;

    /// Receivers are gone. `member`: a membership ended. Otherwise the entry has no outgoing
    /// interface any more, and `timeout` becomes its lifetime (rules D7, D8, E4).
    fn prune(&self, of: SourceGroup, interface: IfKey, member: bool, timeout: &mut Seconds);

    /// Receivers are there. `member`: a membership began. Otherwise the entry got its first
    /// outgoing interface (rules D7, E4).
    fn join(&self, of: SourceGroup, member: bool);

    /// A packet came in on an interface other than its entry's iif (rule E7). `packet` is as for
    /// [`Self::rpf`].
    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]);

    /// IGMP has a receiver on an interface of the client's (rule D9).
    fn local_join(&self, of: SourceGroup, interface: IfKey);

    /// IGMP has no receiver there any more (rule D9).
    fn local_leave(&self, of: SourceGroup, interface: IfKey);

    /// To IGMP: the interface's owner is about to change (rule C3).
    fn disable_igmp(&self, interface: IfKey);

    /// To IGMP: the owner has changed, and IGMP is to add its memberships again (rule C3).
    fn enable_igmp(&self, interface: IfKey);
}
