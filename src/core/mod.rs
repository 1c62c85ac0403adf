//! The functional core: the rules of the multicast group manager, and nothing else.
//!
//! A method takes an event (a client's call, an answer, a packet, the time), changes the state,
//! and leaves what must happen in [`Core::outbox`] (calls of clients), [`Core::plane`] (entries
//! whose state in the forwarding plane is out of date) and [`Core::relook`] (flows whose route
//! must be looked up). There is no I/O here, no clock, no lock and no unsafe code.
//!
//! Every method that can grow the state reserves all the room it may need first, and changes
//! something only then: where memory runs out it gives
//! [`OutOfMemory`](crate::error::Error::OutOfMemory) with nothing changed (rule A4).
//!
//! | file | what it knows |
//! |---|---|
//! | `client` | registration |
//! | `ownership` | who is on which interface, and IGMP's disable and enable |
//! | `membership` | joins and leaves, and the alerts of rules D7 and D9 |
//! | `members` | who has a membership |
//! | `route_book` | routes looked up before a call |
//! | `route_changes` | whether the answer to a look-up still holds |
//! | `mfe` | forwarding entries and their tables |
//! | `oifs` | their oif lists and the alerts of rule E4 |
//! | `flow` | new flows and rebuilds: RPF and creation questions |
//! | `flow::arrive` | packets of flows without an entry |
//! | `flow::install` | what comes of the answers |
//! | `lifetime` | expiry, limits, wrong interfaces, route changes |
//! | `read` | what readers see |
//! | `enumerate` | group enumerations |
//! | `outbox`, `plane` | what must be done |
//! | `slab`, `ordered`, `table`, `registry`, `interfaces`, `wheel` | the containers |
//! | `steps`, `growth` | tests: no operation looks at what it does not concern |

#![forbid(unsafe_code)]

mod client;
mod enumerate;
mod flow;
#[cfg(test)]
mod growth;
mod interfaces;
mod lifetime;
mod members;
mod membership;
mod mfe;
mod oifs;
mod ordered;
pub mod outbox;
mod ownership;
pub mod plane;
mod read;
pub mod record;
mod registry;
mod route_book;
mod route_changes;
mod slab;
mod steps;
mod table;
pub mod types;
mod wheel;

pub use client::ClientInfo;
pub use flow::{Admission, Header};
pub use lifetime::{Limits, Waiting};
pub use ownership::Taking;
pub use read::{ClientRow, GroupMember, InterfaceRow, MAX_ROWS, MemberPlace, Row, Rows, Totals};
pub use route_book::RouteBook;
pub use route_changes::{Looked, RoutesAsOf};
pub use slab::NONE;

use client::Client;
use enumerate::Enumeration;
use flow::Flow;
use interfaces::Interfaces;
use lifetime::Admissions;
use members::Entry;
use mfe::Mfe;
use ordered::OrderedMap;
use outbox::{LifetimeAsk, Outbox};
use ownership::Change;
use plane::Plane;
use registry::Registry;
use slab::Slab;
use std::collections::VecDeque;
use table::Table;
use types::{IfKey, SourceGroup};
use wheel::Wheel;

/// Things the log should tell, found by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Rule E2.
    #[error("RPF callback for {0} named {1}, which its client does not own: ignored")]
    ForeignRpfInterface(SourceGroup, types::IfKey),
    /// Rule D6.
    #[error("MGM_FORWARD_STATE_FLAG by IGMP on {0}, which a routing protocol owns: ignored")]
    ForwardByIgmp(types::IfKey),
    /// Rule A4.
    #[error("out of memory: the flow {0} is given up until its next packet")]
    FlowGivenUp(SourceGroup),
}

/// A flow whose route must be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relook {
    /// This one; with `rebuild` it is built anew even when the route is as before (rule E8).
    Flow {
        /// The flow.
        flow: SourceGroup,
        /// Whether to build anew in any case.
        rebuild: bool,
    },
    /// All that wait for an owner of an interface with this index (rule E5).
    Interface {
        /// The index.
        index: u32,
    },
}

/// A look-up that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What is looked up.
    pub relook: Relook,
    /// The job that caused it, and waits for what comes of it (rule A7).
    pub job: u32,
    /// The shell has counted it among what its job waits for.
    pub counted: bool,
}

/// The state of the group manager.
pub struct Core {
    clients: Registry<Client>,
    /// The slot of each registered (protocol, component).
    client_slots: hashbrown::HashMap<(u32, u32), u32>,
    interfaces: Interfaces,
    changes: Slab<Change>,
    /// Memberships by what they are for.
    groups: Table<Entry>,
    /// The number of the one for everything, (*,*), if it has members.
    everything: Option<u32>,
    mfes: Table<Mfe>,
    /// Forwarding entries, and new flows whose questions are open, by source, then group: what
    /// counts for the cap (rule G1).
    by_source: OrderedMap<u64, ()>,
    /// The forwarding entries without a route or an owner toward their source (rule E5), by the
    /// name of their iif, then number.
    waiting: OrderedMap<(IfKey, u32), ()>,
    lifetimes: Wheel,
    /// The last prune alert that asked for a lifetime.
    last_ask: LifetimeAsk,
    /// The negative entries, oldest first.
    negatives: mfe::NegativeList,
    flows: Table<Flow>,
    enumerations: Registry<Enumeration>,
    headers: Slab<Header>,
    admissions: Admissions,
    /// How often memory ran out for a flow whose questions had begun.
    flows_given_up: u64,
    /// Calls of clients that must be made.
    pub outbox: Outbox,
    /// Entries that must be programmed.
    pub plane: Plane,
    /// Routes that must be looked up.
    pub relook: VecDeque<Due>,
    route_changes: route_changes::RouteChanges,
    notes: smallvec::SmallVec<[Note; 4]>,
    /// A list of numbers that is empty between calls; kept for its memory.
    scratch: Vec<u32>,
}

impl Core {
    /// A core with nothing in it. Handles begin at `first_generation` and slots are given up at
    /// `last_generation`.
    pub fn new(limits: Limits, first_generation: u32, last_generation: u32) -> Self {
        Self {
            clients: Registry::new(first_generation, last_generation),
            client_slots: hashbrown::HashMap::new(),
            interfaces: Interfaces::new(),
            changes: Slab::new(),
            groups: Table::new(),
            everything: None,
            mfes: Table::new(),
            by_source: OrderedMap::new(),
            waiting: OrderedMap::new(),
            lifetimes: Wheel::new(),
            last_ask: LifetimeAsk::NONE,
            negatives: mfe::NegativeList::EMPTY,
            flows: Table::new(),
            enumerations: Registry::new(first_generation, last_generation),
            headers: Slab::new(),
            admissions: Admissions::new(limits),
            flows_given_up: 0,
            outbox: Outbox::new(),
            plane: Plane::new(),
            relook: VecDeque::new(),
            route_changes: route_changes::RouteChanges::new(),
            notes: smallvec::SmallVec::new(),
            scratch: Vec::new(),
        }
    }

    /// A route is to be looked up, in the name of the job that new actions belong to. Room must
    /// have been reserved.
    fn look_later(&mut self, relook: Relook) {
        self.relook.push_back(Due { relook, job: self.outbox.job(), counted: false });
    }

    /// Remembers something for the log; where there is much to tell, only the first is kept.
    fn note(&mut self, note: Note) {
        if self.notes.len() < self.notes.inline_size() {
            self.notes.push(note);
        }
    }

    /// Takes what the log should tell.
    pub fn take_note(&mut self) -> Option<Note> {
        if self.notes.is_empty() { None } else { Some(self.notes.remove(0)) }
    }
}
