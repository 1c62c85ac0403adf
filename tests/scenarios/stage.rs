//! What the scenarios are played on: a group manager with four registered clients, and short
//! words for given, when and then.

use crate::model::net::*;
use crate::model::remote::{self, Room};
use crate::model::state::Model;
use crate::model::subject::Driver;
use crate::model::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What is held against the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The model of the rules itself: the scenarios are its unit tests.
    Model,
    /// The safe Rust API.
    Rust,
    /// The C ABI of a libmgm.so.
    C,
    /// Clients whose host is another process.
    Remote,
}

/// Three routing protocols and IGMP. Registered in this order, so that each one's number is also
/// the number of its first handle.
pub const A: Client = 0;
pub const B: Client = 1;
pub const C: Client = 2;
pub const IGMP: Client = 3;
/// Another IGMP, not registered at the start.
pub const IGMP2: Client = 4;

/// Their protocol ids.
pub const IDS: [u32; 5] = [100, 200, 300, 0x4137_000A, 10];

/// Where a scenario is played.
pub struct Stage {
    drive: Box<dyn Drive>,
    on: On,
    /// Enumerations started.
    enumerations: usize,
}

/// What an operation brought about, to be looked at in the "then" part.
#[must_use]
pub struct Done(pub Outcome);

impl Stage {
    /// A manager without clients.
    pub fn empty(on: On, change: impl FnOnce(&mut World)) -> Self {
        let profile = |protocol: &u32| Profile {
            protocol: *protocol,
            component: 1,
            routeless: false,
            dispatched: false,
            script: Script::default(),
        };
        let profiles = IDS.iter().map(profile).collect();
        let mut world = World {
            profiles,
            max_mfes: 0,
            max_new: 0,
            max_new_of_source: 0,
            null_route: false,
            portion: 1,
            seen_from_c: on == On::C,
            remote: on == On::Remote,
        };
        change(&mut world);
        let drive: Box<dyn Drive> = match on {
            On::Model => Box::new(Model::new(&world)),
            On::Rust => Box::new(Driver::start(crate::model::rust_api::subject(), &world)),
            On::C => Box::new(Driver::start(crate::model::c_abi::subject(), &world)),
            On::Remote => Box::new(Driver::start(remote::subject(Room::Everywhere), &world)),
        };
        Self { drive, on, enumerations: 0 }
    }

    /// A, B, C and IGMP are registered; the scripts are as `change` sets them.
    pub fn new(on: On, change: impl FnOnce(&mut World)) -> Self {
        let mut stage = Self::empty(on, change);
        for client in [A, B, C, IGMP] {
            stage.run(Op::Register(client)).ok();
        }
        stage
    }

    pub fn run(&mut self, op: Op) -> Done {
        Done(self.drive.run(&op))
    }

    pub fn look(&mut self) -> Snapshot {
        self.drive.look()
    }

    pub fn take(&mut self, client: Client, on: IfKey) -> Done {
        self.run(Op::Take(Handle::Nth(client), on))
    }

    pub fn release(&mut self, client: Client, on: IfKey) -> Done {
        self.run(Op::Release(Handle::Nth(client), on))
    }

    pub fn join(&mut self, client: Client, of: SourceGroup, on: IfKey) -> Done {
        self.run(Op::Add(Handle::Nth(client), of, on, JOIN))
    }

    pub fn leave(&mut self, client: Client, of: SourceGroup, on: IfKey) -> Done {
        self.run(Op::Delete(Handle::Nth(client), of, on, JOIN))
    }

    pub fn forward(&mut self, client: Client, of: SourceGroup, on: IfKey) -> Done {
        self.run(Op::Add(Handle::Nth(client), of, on, FORWARD))
    }

    pub fn stop_forward(&mut self, client: Client, of: SourceGroup, on: IfKey) -> Done {
        self.run(Op::Delete(Handle::Nth(client), of, on, FORWARD))
    }

    /// A packet of 100 octets.
    pub fn packet(&mut self, flow: SourceGroup, on: IfKey) -> Done {
        let packet = Packet { flow, ttl: 64, options: 0, octets: 100 };
        self.run(Op::Packet(on, packet))
    }

    pub fn route(&mut self, network: Ipv4Addr, to: impl Into<Option<IfKey>>) -> Done {
        self.run(Op::Route { network, len: 24, to: to.into() })
    }

    pub fn dispatch(&mut self, client: Client) -> Done {
        self.run(Op::Dispatch(Handle::Nth(client)))
    }

    /// The clients for whose dispatch something waits, by their first handles.
    pub fn waiting(&mut self) -> Vec<Client> {
        self.look().waiting
    }

    pub fn advance(&mut self, seconds: u32) -> Done {
        self.run(Op::Advance(seconds))
    }

    /// Given: everybody takes one interface, A the one toward S1.
    pub fn one_each(&mut self) {
        for (client, on) in [(A, IF1), (B, IF2), (C, IF3), (IGMP, IF4)] {
            self.take(client, on).ok();
        }
        self.route(NET1, IF1).ok();
        self.route(NET2, IF2).ok();
    }

    /// The entry of a flow, which must be there.
    pub fn mfe(&mut self, flow: SourceGroup) -> Mfe {
        self.find(flow).unwrap_or_else(|| panic!("there is no entry for {flow}"))
    }

    pub fn find(&mut self, flow: SourceGroup) -> Option<Mfe> {
        self.look().mfes.into_iter().find(|m| m.flow == flow)
    }

    /// Then the flow's entry has this incoming interface.
    pub fn comes_from(&mut self, flow: SourceGroup, iif: IfKey) {
        let unseen = self.on == On::C;
        let hop = if unseen { Ipv4Addr::UNSPECIFIED } else { iif.next_hop };
        assert_eq!(self.mfe(flow).iif, IfKey::new(iif.index, hop));
    }

    /// The outgoing interfaces of a flow's entry.
    pub fn oifs(&mut self, flow: SourceGroup) -> Vec<IfKey> {
        self.mfe(flow).oifs.into_iter().map(|(on, _)| on).collect()
    }

    /// All rows of an enumeration that is started now, `max` at a time.
    pub fn groups(&mut self, client: Client, all_sources: bool, max: usize) -> Vec<SourceGroup> {
        self.run(Op::StartEnum(Handle::Nth(client), all_sources)).ok();
        let newest = Handle::Nth(self.enumerations);
        self.enumerations += 1;
        let mut rows = Vec::new();
        loop {
            let reply = self.run(Op::NextGroups(newest, max)).0.reply;
            let Data::Groups(some) = reply.data else { panic!("no rows: {reply:?}") };
            rows.extend(some);
            if reply.code == code::NO_MORE_ITEMS {
                self.run(Op::EndEnum(newest)).ok();
                return rows;
            }
            assert_eq!(reply.code, code::MORE_DATA);
        }
    }
}

impl Done {
    /// Then the call gives this code …
    pub fn gives(self, code: u32) -> Self {
        assert_eq!(self.0.reply.code, code, "{:?}", self.0);
        self
    }

    pub fn ok(self) {
        drop(self.gives(code::NO_ERROR));
    }

    pub fn fails(self, code: u32) {
        self.gives(code).calls(&[]);
    }

    /// … and these callbacks came, each client's in this order.
    pub fn calls(self, wanted: &[(Client, Callback)]) {
        let by_client = |calls: &[(Client, Callback)]| {
            let mut map: BTreeMap<Client, Vec<Callback>> = BTreeMap::new();
            calls.iter().for_each(|(c, call)| map.entry(*c).or_default().push(call.clone()));
            map
        };
        assert_eq!(by_client(&self.callbacks()), by_client(wanted), "{:?}", self.0);
    }

    /// … with NO_ERROR.
    pub fn ok_calls(self, wanted: &[(Client, Callback)]) {
        self.gives(code::NO_ERROR).calls(wanted);
    }

    pub fn callbacks(&self) -> Vec<(Client, Callback)> {
        let begun = self.0.events.iter().filter_map(|event| match event {
            Event::Begin(client, callback) => Some((*client, callback.clone())),
            _ => None,
        });
        begun.collect()
    }

    /// The callbacks of one kind.
    pub fn of_kind(&self, kind: Kind) -> Vec<(Client, Callback)> {
        self.callbacks().into_iter().filter(|(_, c)| c.kind() == kind).collect()
    }

    /// What the calls made from inside callbacks gave.
    pub fn nested(&self) -> Vec<u32> {
        let returned = self.0.events.iter().filter_map(|event| match event {
            Event::Return(reply) => Some(reply.code),
            _ => None,
        });
        returned.collect()
    }

    /// Then copies left by just these interfaces.
    pub fn sent(self, wanted: &[IfKey]) -> Self {
        let on: Vec<IfKey> = self.0.sent.iter().map(|s| s.on).collect();
        assert_eq!(on, wanted, "{:?}", self.0);
        self
    }
}

/// The packets that each outgoing interface of an entry sent.
pub fn sent(mfe: &Mfe) -> Vec<(IfKey, u32)> {
    mfe.oifs.iter().map(|(on, counts)| (*on, counts.packets)).collect()
}

/// A membership began.
pub fn join(of: SourceGroup) -> Callback {
    Callback::Join { of, member: true }
}

/// A membership ended.
pub fn prune(of: SourceGroup, on: IfKey) -> Callback {
    Callback::Prune { of, on, member: true, timeout: 900 }
}

/// The entry got its first outgoing interface.
pub fn flow_join(of: SourceGroup) -> Callback {
    Callback::Join { of, member: false }
}

/// The entry lost its last one.
pub fn flow_prune(of: SourceGroup, on: IfKey) -> Callback {
    Callback::Prune { of, on, member: false, timeout: 900 }
}

pub fn local_join(of: SourceGroup, on: IfKey) -> Callback {
    Callback::LocalJoin { of, on }
}

pub fn local_leave(of: SourceGroup, on: IfKey) -> Callback {
    Callback::LocalLeave { of, on }
}

/// The creation alert for interfaces that IGMP is not on.
pub fn creation(flow: SourceGroup, iif: IfKey, out: &[IfKey]) -> Callback {
    Callback::Creation { flow, iif, out: out.iter().map(|on| (*on, false, true)).collect() }
}

/// The header of a packet without options.
pub fn header(flow: SourceGroup) -> Header {
    Header { header: 20, octets: 100, source: flow.source(), group: flow.group() }
}

/// The RPF callback for the first packet of S1's, by the route to 10.0.1.0/24.
pub fn rpf(flow: SourceGroup, iif: IfKey) -> Callback {
    Callback::Rpf {
        flow,
        iif,
        upstream: upstream_of(iif),
        header: header(flow),
        route: Some((Ipv4Addr::from_bits(flow.source().to_bits() & 0xffff_ff00), 24)),
    }
}

/// The same where the entry is built anew without a packet (decision 16).
pub fn rpf_anew(flow: SourceGroup, iif: IfKey) -> Callback {
    let mut callback = rpf(flow, iif);
    if let Callback::Rpf { header, .. } = &mut callback {
        header.octets = 20;
    }
    callback
}

/// That for the first packet where the owner of the arrival interface is asked (rule E5).
pub fn rpf_at_arrival(flow: SourceGroup, iif: IfKey) -> Callback {
    let (upstream, route) = (flow.source(), None);
    Callback::Rpf { flow, iif, upstream, header: header(flow), route }
}

pub fn wrong_if(flow: SourceGroup, on: IfKey) -> Callback {
    Callback::WrongIf { flow, on, header: header(flow) }
}

/// Makes a test of each scenario for each of the four. What a host does inside callbacks of its own
/// clients is for one process alone.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        crate::scenarios!(@module on_the_model, Model, $($name),*);
        crate::scenarios!(@module through_rust, Rust, $($name),*);
        crate::scenarios!(@module through_c, C, $($name),*);
        crate::scenarios!(@module across_processes, Remote, $($name),*);
    };
    (in one process: $($name:ident),* $(,)?) => {
        crate::scenarios!(@module model_of_one_process, Model, $($name),*);
        crate::scenarios!(@module through_rust_in_one_process, Rust, $($name),*);
        crate::scenarios!(@module through_c_in_one_process, C, $($name),*);
    };
    (words of c: $($name:ident),* $(,)?) => {
        crate::scenarios!(@module words_on_the_model, Model, $($name),*);
        crate::scenarios!(@module words_through_c, C, $($name),*);
    };
    (@module $module:ident, $on:ident, $($name:ident),*) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name(crate::stage::On::$on);
            })*
        }
    };
}
pub(crate) use scenarios;
