//! What the core knows: data without decisions.
//!
//! | file | what it holds |
//! |---|---|
//! | `client` | who is registered |
//! | `interfaces` | who is on which interface |
//! | `members` | who has a membership |
//! | `sources` | the sources that memberships name, and the routes toward them |
//! | `mfe` | forwarding entries and their tables |
//! | `wheel` | when lifetimes end |
//! | `flow`, `limits` | flows whose questions are open; how many there may be |
//! | `packet` | what is kept of packets while clients are asked about them |
//! | `outbox`, `plane` | what clients and the forwarding plane must do |
//! | `route_changes` | whether the answer to a look-up still holds |
//! | `unfinished` | changes of which not everything is carried out |
//! | `record` | what readers see |
//! | `history` | the last changes, while somebody follows them |

#![forbid(unsafe_code)]

pub(crate) mod client;
pub(crate) mod flow;
pub mod history;
pub(crate) mod interfaces;
pub(crate) mod limits;
pub(crate) mod members;
pub(crate) mod mfe;
pub mod outbox;
pub(crate) mod packet;
pub mod plane;
pub mod record;
pub(crate) mod route_changes;
pub(crate) mod sources;
pub(crate) mod unfinished;
pub(crate) mod wheel;

use crate::core::containers::ordered::OrderedMap;
use crate::core::containers::registry::Registry;
use crate::core::containers::slab::Slab;
use crate::core::containers::table::Table;
use crate::types::{ClientName, IfKey, Millis, SourceGroup};
use client::{Client, Enumeration};
use flow::{Flow, Noted, Reason};
use history::{Happening, History};
use interfaces::{Change, Interfaces};
use limits::{Admissions, Limits};
use members::MemberSet;
use mfe::Mfe;
use outbox::{LifetimeAsk, Outbox};
use packet::{Kept, PacketHead};
use plane::StaleList;
use sources::Sources;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use unfinished::{AllUnfinished, PORTION};
use wheel::Wheel;

/// Something that the core noticed and the log should tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// Rule E2.
    #[error("RPF callback for {flow} named {named}, which {by} does not own: ignored")]
    ForeignRpfInterface {
        /// The flow.
        flow: SourceGroup,
        /// What was named.
        named: IfKey,
        /// Whose callback.
        by: ClientName,
    },
    /// Rule D6.
    #[error("MGM_FORWARD_STATE_FLAG by IGMP on {0}, which a routing protocol owns: ignored")]
    ForwardByIgmp(IfKey),
    /// See [`Core::bar_incoming_devices`].
    #[error(
        "{1} wants {0}, but shares its device with the incoming interface: Linux sends nothing back"
    )]
    SameDevice(SourceGroup, IfKey),
    /// Rules E2, E5.
    #[error(
        "nothing of {flow}, which comes in on {arrival}, is forwarded: {reason} ({others} others \
         since the last such line)"
    )]
    NotForwarded {
        /// The flow.
        flow: SourceGroup,
        /// Where it came in.
        arrival: IfKey,
        /// Why.
        reason: Reason,
        /// How many flows it was so with and not noted.
        others: u64,
    },
    /// Rule A4.
    #[error("out of memory: the flow {0} is given up until its next packet")]
    FlowGivenUp(SourceGroup),
}

/// Something whose route must be looked up.
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
    /// That of a source which memberships name (rule D10).
    Source {
        /// The source.
        source: Ipv4Addr,
    },
}

/// A look-up that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What is looked up.
    pub relook: Relook,
    /// The job (the call or upcall) that caused it, and waits until its consequences are done (rule
    /// A7).
    pub job: u32,
    /// The shell has counted it among what its job waits for.
    pub counted: bool,
}

/// The state of the group manager.
pub struct Core {
    pub(in crate::core) clients: Registry<Client>,
    /// The slot of each registered (protocol, component).
    pub(in crate::core) client_slots: hashbrown::HashMap<(u32, u32), u32>,
    pub(in crate::core) interfaces: Interfaces,
    /// The interfaces that each client, by slot, is on or is about to own.
    pub(in crate::core) interfaces_of: OrderedMap<(u32, IfKey), ()>,
    pub(in crate::core) changes: Slab<Change>,
    /// Memberships by what they are for.
    pub(in crate::core) groups: Table<MemberSet>,
    /// The number of the entry for (*,*), if it has members.
    pub(in crate::core) everything: Option<u32>,
    /// How many memberships there are on all interfaces.
    pub(in crate::core) memberships: usize,
    pub(in crate::core) sources: Sources,
    pub(in crate::core) mfes: Table<Mfe>,
    /// The flows that have a forwarding entry or open questions, by source, then group. These
    /// count for the cap (rule G1).
    pub(in crate::core) by_source: OrderedMap<u64, ()>,
    /// The forwarding entries without a route or an owner toward their source (rule E5), by their
    /// iif, then by number.
    pub(in crate::core) waiting: OrderedMap<(IfKey, u32), ()>,
    /// Those of them whose packets came in on another interface, by the name of that one, and these
    /// names by number.
    pub(in crate::core) waiting_at: OrderedMap<(IfKey, u32), ()>,
    pub(in crate::core) arrivals: hashbrown::HashMap<u32, IfKey>,
    /// When a client was last told of a packet on a wrong interface, by the number of the entry, for
    /// the entries of which one was (rule E7).
    pub(in crate::core) wrong_ifs: hashbrown::HashMap<u32, Millis>,
    pub(in crate::core) noted: Noted,
    pub(in crate::core) lifetimes: Wheel,
    /// The last prune alert that asked for a lifetime.
    pub(in crate::core) last_ask: LifetimeAsk,
    /// The negative entries, oldest first.
    pub(in crate::core) negatives: mfe::NegativeList,
    pub(in crate::core) flows: Table<Flow>,
    pub(in crate::core) enumerations: Registry<Enumeration>,
    /// The slots of the enumerations that each client, by slot, has open.
    pub(in crate::core) enumerations_of: OrderedMap<(u32, u32), ()>,
    pub(in crate::core) headers: Slab<PacketHead>,
    pub(in crate::core) kept: Kept,
    pub(in crate::core) admissions: Admissions,
    /// See [`Core::bar_incoming_devices`].
    pub(in crate::core) incoming_devices_barred: bool,
    /// How often memory ran out for a flow whose questions had begun.
    pub(in crate::core) flows_given_up: u64,
    /// Callbacks that must be made.
    pub outbox: Outbox,
    /// Entries that must be programmed.
    pub plane: StaleList,
    /// Routes that must be looked up.
    pub relook: VecDeque<Due>,
    pub(in crate::core) route_changes: route_changes::RouteChanges,
    pub(in crate::core) notes: smallvec::SmallVec<[Note; 4]>,
    /// Changes of which not everything is carried out.
    pub(in crate::core) unfinished: AllUnfinished,
    /// How much of them is carried out at a time.
    pub(in crate::core) portion: usize,
    /// The last changes.
    pub history: History,
    /// A list of numbers that is empty between calls; it is kept so that its memory is reused.
    pub(in crate::core) scratch: Vec<u32>,
}

impl Core {
    /// A core with nothing in it. Handles begin at `first_generation` and slots are given up at
    /// `last_generation`.
    pub fn new(limits: Limits, first_generation: u32, last_generation: u32) -> Self {
        Self {
            clients: Registry::new(first_generation, last_generation),
            client_slots: hashbrown::HashMap::new(),
            interfaces: Interfaces::new(),
            interfaces_of: OrderedMap::new(),
            changes: Slab::new(),
            groups: Table::new(),
            everything: None,
            memberships: 0,
            sources: Sources::new(),
            mfes: Table::new(),
            by_source: OrderedMap::new(),
            waiting: OrderedMap::new(),
            waiting_at: OrderedMap::new(),
            arrivals: hashbrown::HashMap::new(),
            wrong_ifs: hashbrown::HashMap::new(),
            noted: Noted::default(),
            lifetimes: Wheel::new(),
            last_ask: LifetimeAsk::NONE,
            negatives: mfe::NegativeList::EMPTY,
            flows: Table::new(),
            enumerations: Registry::new(first_generation, last_generation),
            enumerations_of: OrderedMap::new(),
            headers: Slab::new(),
            kept: Kept::default(),
            admissions: Admissions::new(limits),
            incoming_devices_barred: false,
            flows_given_up: 0,
            outbox: Outbox::new(),
            plane: StaleList::new(),
            relook: VecDeque::new(),
            route_changes: route_changes::RouteChanges::new(),
            notes: smallvec::SmallVec::new(),
            unfinished: AllUnfinished::new(),
            portion: PORTION,
            history: History::new(),
            scratch: Vec::new(),
        }
    }

    /// The plane never sends a packet out of the device that the packet came in by, whichever next
    /// hops are behind that device. So no interface on the iif's device is an oif.
    pub const fn bar_incoming_devices(&mut self) {
        self.incoming_devices_barred = true;
    }

    /// Notes that a route is to be looked up, for the job that new actions belong to. Room must
    /// have been reserved.
    pub(in crate::core) fn look_later(&mut self, relook: Relook) {
        self.relook.push_back(Due { relook, job: self.outbox.job(), counted: false });
    }

    /// Keeps a change for whoever follows them.
    #[inline]
    pub(in crate::core) fn happened(&mut self, what: impl FnOnce(&Self) -> Happening) {
        if self.history.is_followed() {
            let happening = what(self);
            self.history.push(happening);
        }
    }

    /// Remembers something for the log; only the first few until they are taken.
    pub(in crate::core) fn note(&mut self, note: Note) {
        if self.notes.len() < self.notes.inline_size() {
            self.notes.push(note);
        }
    }

    /// Whether there is something that the log should tell.
    pub fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Takes what the log should tell.
    pub fn take_note(&mut self) -> Option<Note> {
        if self.notes.is_empty() { None } else { Some(self.notes.remove(0)) }
    }
}
