//! Flows whose questions are open, and those of which nothing is forwarded.

use crate::core::containers::table::Keyed;
use crate::core::state::packet::PacketHead;
use crate::core::state::unfinished::Known;
use crate::types::{ClientId, ClientName, IfKey, Millis, Route, SourceGroup};
use smallvec::SmallVec;
use std::fmt;
use std::net::Ipv4Addr;

/// An interface that a creation alert asks about, or that its owner pruned meanwhile.
#[derive(Clone, Copy)]
pub(in crate::core) struct Asked {
    /// Its number, which may be another interface's when the questions are answered, and its name.
    pub(in crate::core) id: u32,
    pub(in crate::core) interface: IfKey,
    pub(in crate::core) owner: u32,
    /// The tenure of the interface in which its owner vetoed it.
    pub(in crate::core) vetoed: Option<u64>,
    /// A creation alert asks about it.
    pub(in crate::core) alerted: bool,
    /// It has been answered.
    pub(in crate::core) answered: bool,
}

/// A flow whose questions are open.
pub(in crate::core) struct Flow {
    pub(in crate::core) flow: SourceGroup,
    pub(in crate::core) head: PacketHead,
    /// Where it came in, or what stands for that where there is no packet.
    pub(in crate::core) arrival: IfKey,
    pub(in crate::core) route: Option<Route>,
    /// The neighbour that the RPF callback is told.
    pub(in crate::core) proposed: Ipv4Addr,
    /// Nobody owns an interface toward the source: the arrival interface's owner is asked (rule E5).
    pub(in crate::core) routeless: bool,
    pub(in crate::core) iif: u32,
    /// The client that owned the interface toward the source and was asked. (Another client may
    /// have its slot by now.)
    pub(in crate::core) owner: ClientId,
    pub(in crate::core) upstream: Ipv4Addr,
    pub(in crate::core) iif_chosen: bool,
    pub(in crate::core) upstream_chosen: bool,
    /// The RPF question is open.
    pub(in crate::core) asks_rpf: bool,
    /// The interfaces of creation questions, and those pruned without one; by owner, then
    /// interface.
    pub(in crate::core) asked: SmallVec<[Asked; 4]>,
    pub(in crate::core) open: u32,
    /// An entry exists, and stays in place while it is built anew.
    pub(in crate::core) rebuild: bool,
    /// The RPF callback refused it (rule E2).
    pub(in crate::core) refused: bool,
    /// The route changed meanwhile.
    pub(in crate::core) outdated: bool,
    /// Memory ran out for one of its questions.
    pub(in crate::core) starved: bool,
    /// The last unfinished change that it knows of.
    pub(in crate::core) known: Known,
    /// A packet that came after the entry that is built anew was deleted. Its flow begins when the
    /// open questions are answered. `head` is this packet's then.
    pub(in crate::core) came: Option<Came>,
}

/// Where a packet of a new flow came in, and the route toward its source.
#[derive(Clone, Copy)]
pub(in crate::core) struct Came {
    pub(in crate::core) arrival: IfKey,
    pub(in crate::core) route: Option<Route>,
    /// It counts for the limits on new flows.
    pub(in crate::core) new: bool,
}

impl Flow {
    pub(in crate::core) fn place_of(&self, owner: u32, interface: IfKey) -> Result<usize, usize> {
        let place = |asked: &Asked| (asked.owner, asked.interface);
        match self.asked.last() {
            // They are asked about in order.
            Some(last) if place(last) < (owner, interface) => Err(self.asked.len()),
            None => Err(0),
            _ => self.asked.binary_search_by_key(&(owner, interface), place),
        }
    }

    /// Notes that a creation alert asks about an interface. One that its owner has pruned already
    /// stays vetoed. Room must have been reserved.
    pub(in crate::core) fn ask_about(&mut self, id: u32, interface: IfKey, owner: u32) {
        match self.place_of(owner, interface) {
            Ok(at) => self.asked[at].alerted = true,
            Err(at) => {
                let (vetoed, alerted, answered) = (None, true, false);
                self.asked.insert(at, Asked { id, interface, owner, vetoed, alerted, answered });
            }
        }
    }

    /// Notes that the owner of an interface pruned it. Room must have been reserved.
    pub(in crate::core) fn prune(&mut self, id: u32, interface: IfKey, owner: u32, tenure: u64) {
        let vetoed = Some(tenure);
        match self.place_of(owner, interface) {
            Ok(at) => self.asked[at].vetoed = vetoed,
            Err(at) => {
                let (alerted, answered) = (false, false);
                self.asked.insert(at, Asked { id, interface, owner, vetoed, alerted, answered });
            }
        }
    }
}

impl Keyed for Flow {
    type Beside = ();

    fn key(&self) -> SourceGroup {
        self.flow
    }
}

impl Flow {
    /// It builds an entry anew, and no packet has come since the entry was deleted, if it was.
    pub(in crate::core) const fn awaits_packet(&self) -> bool {
        self.rebuild && self.came.is_none()
    }
}

/// Why nothing of a flow is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no route to its source.
    NoRoute,
    /// Its route leads to this interface.
    NoOwner(IfKey),
    /// The RPF callback of this client named interface 0.
    Refused(ClientName),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("there is no route to its source"),
            Self::NoOwner(interface) => {
                write!(f, "the route to its source leads to {interface}, which no client has taken")
            }
            Self::Refused(client) => write!(f, "{client} refused it in its RPF callback"),
        }
    }
}

/// When such a flow was noted last, and how many there were since.
#[derive(Default)]
pub(in crate::core) struct Noted {
    pub(in crate::core) last: Option<Millis>,
    pub(in crate::core) others: u64,
}
