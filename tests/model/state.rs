//! a naive model of docs/RULES.md and of the decisions in docs/DESIGN.md.
//!
//! It is written apart from the library: sets and maps, everything worked out anew at each step,
//! one thread. Speed does not matter; being easy to hold against the text of the rules does.
//!
//! Where the rules leave something open, the order between different clients above all, the model
//! chooses ([`Model::choice`]), with what the library did ([`Model::shown`]) as a hint: of several
//! clients that may be called next it first tries the one that the library called. What the
//! library may not do, the model cannot choose.

use super::net::{INTERFACES, Routes};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

/// A registration: the n-th handle that was given out.
pub type Id = usize;

/// A client, alive or gone.
#[derive(Clone)]
pub struct Registration {
    pub client: Client,
    pub alive: bool,
    /// Inside one of its callbacks.
    pub busy: bool,
    /// Its own dispatch goes on (rule H7).
    pub dispatching: Option<super::loops::Dispatching>,
    /// What it is still to be told or asked (rule A7).
    pub queue: VecDeque<super::deliver::Queued>,
}

/// Who is on an interface (rules C1, C3).
#[derive(Clone, Default)]
pub struct Interface {
    /// The routing protocol.
    pub routing: Option<Id>,
    pub igmp: Option<Id>,
    /// A take or release that waits for IGMP's disable callback (decision 2).
    pub change: Option<super::calls::Change>,
    /// IGMP has been disabled and not enabled yet.
    pub igmp_off: bool,
}

/// The state of the group manager and of the plane below it.
#[derive(Clone)]
pub struct Model {
    pub world: World,
    pub scripts: Vec<Script>,
    /// Seconds.
    pub now: u64,
    pub clients: Vec<Registration>,
    pub interfaces: BTreeMap<IfKey, Interface>,
    pub down: BTreeSet<IfKey>,
    pub members: BTreeSet<(SourceGroup, IfKey, Id)>,
    /// The interface that the route toward each source of theirs names.
    pub toward: BTreeMap<Ipv4Addr, Option<IfKey>>,
    /// Of the keys that clients were told of: whether others hold it.
    pub told: BTreeMap<(Id, SourceGroup), bool>,
    /// Those that need not be so any more, nor known at all: an owner toward the source has
    /// changed without a word.
    pub untold: BTreeSet<(Id, SourceGroup)>,
    pub mfes: BTreeMap<SourceGroup, super::flows::Entry>,
    pub pending: BTreeMap<SourceGroup, super::flows::Pending>,
    /// The packets of flows without an entry, with their arrival interfaces.
    pub held: BTreeMap<SourceGroup, Vec<(IfKey, Packet)>>,
    /// Those that their entries have come for and that are not passed on yet.
    pub ready: VecDeque<(IfKey, Packet)>,
    /// Rule G1: the second it is, and the new flows in it: in all, and of each source.
    pub new_flows: (u64, u32, BTreeMap<Ipv4Addr, u32>),
    /// Entries to look at again, with the call that is the cause.
    pub again: VecDeque<(usize, SourceGroup, super::again::Why)>,
    pub walks: Vec<super::again::Walk>,
    pub enumerations: Vec<super::reads::Enumeration>,
    pub routes: Routes,
    /// The calls that have begun; what a call causes is marked with its number.
    pub calls: usize,
    /// The call on whose account things happen now.
    pub cause: usize,
    /// How many callbacks of other processes it is inside of: their threads see to one client each.
    pub inside: usize,
    /// Counts what must be told apart though it looks the same.
    pub serial: u64,
    pub events: Vec<Event>,
    pub sent: Vec<Sent>,
    pub choices: super::choices::Choices,
    /// What the library did, if there is one to follow.
    pub shown: Vec<Event>,
    /// The entries that it then had.
    pub shown_flows: BTreeSet<SourceGroup>,
}

impl Model {
    pub fn new(world: &World) -> Self {
        Self {
            scripts: world.profiles.iter().map(|p| p.script.clone()).collect(),
            world: world.clone(),
            now: 0,
            clients: Vec::new(),
            interfaces: BTreeMap::new(),
            down: BTreeSet::new(),
            members: BTreeSet::new(),
            toward: BTreeMap::new(),
            told: BTreeMap::new(),
            untold: BTreeSet::new(),
            mfes: BTreeMap::new(),
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            ready: VecDeque::new(),
            new_flows: (0, 0, BTreeMap::new()),
            again: VecDeque::new(),
            walks: Vec::new(),
            enumerations: Vec::new(),
            routes: Routes::default(),
            calls: 0,
            cause: 0,
            inside: 0,
            serial: 0,
            events: Vec::new(),
            sent: Vec::new(),
            choices: super::choices::Choices::default(),
            shown: Vec::new(),
            shown_flows: BTreeSet::new(),
        }
    }

    /// What the library did at this point, as long as the model agrees with it.
    pub fn shown_next(&self) -> Option<&Event> {
        let at = self.events.len();
        if self.shown.get(..at)? == self.events.as_slice() { self.shown.get(at) } else { None }
    }

    /// Where, from here on, the library began to speak of an entry: at all, or with such a
    /// callback. Far away if it did not.
    pub fn shown_at(&self, flow: SourceGroup, kind: Option<Kind>) -> usize {
        let such = |_, k| kind.is_none_or(|kind| k == kind);
        self.shown_about(flow, such).next().unwrap_or(usize::MAX)
    }

    /// Where the library gave a client an alert of this kind about an entry, beside those that wait
    /// in its queue already.
    pub fn shown_after_queued(&self, id: Id, flow: SourceGroup, kind: Kind) -> usize {
        let queued = self.queued(id).filter(|c| c.flow() == Some(flow) && c.kind() == kind).count();
        let such = |client, k| client == self.clients[id].client && k == kind;
        self.shown_about(flow, such).nth(queued).unwrap_or(usize::MAX)
    }

    fn shown_about(
        &self,
        flow: SourceGroup,
        such: impl Fn(Client, Kind) -> bool,
    ) -> impl Iterator<Item = usize> {
        let ahead = self.shown.get(self.events.len()..).unwrap_or_default();
        let about = move |e: &Event| match e {
            Event::Begin(client, c) => c.flow() == Some(flow) && such(*client, c.kind()),
            _ => false,
        };
        ahead.iter().enumerate().filter(move |(_, e)| about(e)).map(|(at, _)| at)
    }

    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The registration a handle stands for (rule A3).
    pub fn client(&self, handle: Handle) -> Option<Id> {
        match handle {
            Handle::Nth(n) if !self.clients.is_empty() => {
                let id = n % self.clients.len();
                self.clients[id].alive.then_some(id)
            }
            _ => None,
        }
    }

    pub fn profile(&self, id: Id) -> &Profile {
        &self.world.profiles[self.clients[id].client]
    }

    pub fn is_null(&self, id: Id, kind: Kind) -> bool {
        self.profile(id).script.nulls.contains(&kind)
    }

    /// Its callbacks are called by its own loop alone (rule H1).
    pub fn is_dispatched(&self, id: Id) -> bool {
        self.profile(id).dispatched
    }

    /// How IGMP is recognised ("Words" of docs/RULES.md).
    pub fn is_igmp(&self, id: Id) -> bool {
        let protocol = self.profile(id).protocol;
        let of_type_multicast = protocol >> 30 == 1;
        protocol == 0x4137_000A || protocol == 10 || (of_type_multicast && protocol & 0xffff == 10)
    }

    /// "Words": the routing protocol that took the interface, or IGMP where it is alone.
    pub fn owner(&self, on: IfKey) -> Option<Id> {
        let interface = self.interfaces.get(&on)?;
        interface.routing.or(interface.igmp)
    }

    pub fn is_on(&self, id: Id, on: IfKey) -> bool {
        self.interfaces.get(&on).is_some_and(|i| i.routing == Some(id) || i.igmp == Some(id))
    }

    /// One operation, from the program itself or from inside a callback.
    pub fn call(&mut self, op: &Op) -> Reply {
        self.calls += 1;
        let number = self.calls;
        let before = std::mem::replace(&mut self.cause, number);
        if let Op::Route { network, len, to } = *op {
            self.routes.set(network, len, to);
        }
        if matches!(op, Op::Packet(..) | Op::Route { .. } | Op::RouteChanged { .. } | Op::Down(_)) {
            self.do_what_is_due();
        }
        let reply = match *op {
            Op::Register(client) => Reply::code(self.register(client)),
            Op::Deregister(h) => Reply::code(self.deregister(h)),
            Op::Take(h, on) => Reply::code(self.take(h, on)),
            Op::Release(h, on) => Reply::code(self.release(h, on)),
            Op::Owner(on) => self.owner_query(on),
            Op::Add(h, of, on, flags) => Reply::code(self.add(h, of, on, flags)),
            Op::Delete(h, of, on, flags) => Reply::code(self.delete(h, of, on, flags)),
            Op::SetUpstream(h, flow, to) => Reply::code(self.set_upstream(h, flow, to)),
            Op::ReadMfe(flow) => self.read_mfe(flow),
            Op::ReadMfes { after, record, room } => self.read_mfes(after, record, room),
            Op::StartEnum(h, all_sources) => Reply::code(self.start_enum(h, all_sources)),
            Op::NextGroups(e, max) => self.next_groups(e, max),
            Op::EndEnum(e) => Reply::code(self.end_enum(e)),
            Op::Packet(on, packet) => Reply::code(self.packet(on, packet)),
            Op::Route { network, len, .. } | Op::RouteChanged { network, len } => {
                Reply::code(self.route_changed(network, len))
            }
            Op::Down(on) => Reply::code(self.interface_down(on)),
            Op::Advance(seconds) => {
                self.now += u64::from(seconds);
                self.end_lifetimes();
                Reply::code(code::NO_ERROR)
            }
            Op::Dispatch(h) => Reply::code(self.dispatch(h, number)),
        };
        self.deliver_for(number);
        self.cause = before;
        reply
    }
}

impl Drive for Model {
    fn run(&mut self, op: &Op) -> Outcome {
        self.events.clear();
        self.sent.clear();
        let reply = self.call(op);
        let mut sent = std::mem::take(&mut self.sent);
        sent.sort();
        Outcome { reply, events: std::mem::take(&mut self.events), sent }
    }

    fn look(&mut self) -> Snapshot {
        Snapshot {
            mfes: self.mfes.keys().map(|flow| self.row(*flow)).collect(),
            owners: INTERFACES.iter().map(|on| (*on, self.owner_query(*on))).collect(),
            waiting: (0..self.clients.len()).filter(|id| self.has_to_dispatch(*id)).collect(),
        }
    }
}
