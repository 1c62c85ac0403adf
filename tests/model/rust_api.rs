//! Subject: the safe Rust API.

use super::deliver::Answer;
use super::net::INTERFACES;
use super::subject::{
    Home, Owner, Subject, Word, called_back, clock, home, is_readable, route, transmit,
};
use super::words::*;
use mgm::core::state::record::{MfeRecord, OifRecord, Rest};
use mgm::error::Error;
use mgm::forwarder::memory::MemoryConfig;
use mgm::shell::callbacks::{CallbackThread, Callbacks, OutInterface, RpfAnswer};
use mgm::shell::group_manager::GroupManager;
use mgm::shell::manager::Mgm;
use mgm::shell::settings::{ForwarderChoice, Settings};
use mgm::types::{ClientId, EnumId, IfKey, MembershipFlags, Millis, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::Arc;

fn send(out_of: &[IfKey], bytes: &[u8]) {
    out_of.iter().for_each(|interface| transmit(*interface, bytes));
}

/// A test client, by the number of its profile.
#[derive(Clone)]
pub struct TestClient {
    client: Client,
    routeless: bool,
    lane: CallbackThread,
    nulls: Vec<Kind>,
    /// Where its host is another process, and its callbacks come on other threads.
    home: Option<Home>,
}

impl TestClient {
    fn has(&self, kind: Kind) -> bool {
        !self.nulls.contains(&kind)
    }

    fn tell(&self, callback: Callback) {
        if self.has(callback.kind()) {
            self.call(callback);
        }
    }

    fn call(&self, callback: Callback) -> Answer {
        if let Some(home) = &self.home {
            home.enter();
        }
        called_back(self.client, callback)
    }
}

/// What callbacks are compared by, of a packet that they are given.
pub fn header_seen(bytes: &[u8]) -> Header {
    let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    assert_eq!(bytes[0] >> 4, 4, "an IPv4 header");
    let header = usize::from(bytes[0] & 15) * 4;
    assert_eq!(bytes[header..], super::net::data_of(header, bytes.len()), "the packet's data");
    Header { header, octets: bytes.len(), source: address(12), group: address(16) }
}

impl Callbacks for TestClient {
    fn has_local_join(&self) -> bool {
        self.has(Kind::LocalJoin)
    }

    fn takes_routeless(&self) -> bool {
        self.routeless
    }

    fn callback_thread(&self) -> CallbackThread {
        self.lane
    }

    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, header: &[u8], route: Option<&Route>) {
        if !self.has(Kind::Rpf) {
            return;
        }
        let RpfAnswer { iif, upstream } = *answer;
        let route = route.map(|route| (route.network, route.prefix_len));
        let header = header_seen(header);
        let given = self.call(Callback::Rpf { flow, iif, upstream, header, route });
        answer.iif = given.iif.unwrap_or(iif);
        answer.upstream = given.upstream.unwrap_or(upstream);
    }

    fn creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error> {
        if !self.has(Kind::Creation) {
            return Ok(());
        }
        let mut seen: Vec<_> = out.iter().map(|o| (o.interface, o.igmp, o.enabled)).collect();
        seen.sort();
        let given = self.call(Callback::Creation { flow, iif, out: seen });
        for o in out.iter_mut().filter(|o| given.veto.contains(&o.interface)) {
            o.enabled = false;
        }
        Ok(())
    }

    fn prune(&self, of: SourceGroup, on: IfKey, member: bool, timeout: &mut Seconds) {
        if !self.has(Kind::Prune) {
            return;
        }
        let callback = Callback::Prune { of, on, member, timeout: timeout.0 };
        let given = self.call(callback);
        timeout.0 = given.timeout.unwrap_or(timeout.0);
    }

    fn join(&self, of: SourceGroup, member: bool) {
        self.tell(Callback::Join { of, member });
    }

    fn wrong_interface(&self, flow: SourceGroup, on: IfKey, header: &[u8]) {
        self.tell(Callback::WrongIf { flow, on, header: header_seen(header) });
    }

    fn local_join(&self, of: SourceGroup, on: IfKey) {
        self.tell(Callback::LocalJoin { of, on });
    }

    fn local_leave(&self, of: SourceGroup, on: IfKey) {
        self.tell(Callback::LocalLeave { of, on });
    }

    fn disable_igmp(&self, on: IfKey) {
        self.tell(Callback::Disable(on));
    }

    fn enable_igmp(&self, on: IfKey) {
        self.tell(Callback::Enable(on));
    }
}

/// The safe Rust API of a group manager in this process, or of the connection to one.
pub struct RustApi {
    pub api: &'static dyn GroupManager<TestClient>,
    pub host: Box<dyn Hosting>,
    /// The host is another process.
    pub elsewhere: bool,
}

/// What a host does.
pub trait Hosting: Send + Sync {
    fn start(&self, world: &World);
    fn stop(&self);
    fn receive(&self, on: IfKey, packet: &[u8]) -> u32;
    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32;
    fn interface_down(&self, on: IfKey) -> u32;
    /// Where it is another process: see [`Subject`].
    fn settle(&self) -> Vec<Sent> {
        Vec::new()
    }
    /// The owners of all interfaces as of then, where each is a message.
    fn owners(&self) -> Option<Vec<Owner>> {
        None
    }
    /// Where it is another process: see [`Subject`].
    fn entries_changed(&self) -> bool {
        true
    }
    fn set_route(&self, _network: Ipv4Addr, _len: u8, _to: Option<IfKey>) {}
    fn set_clock(&self, _now: u64) {}
}

thread_local! {
    /// One for each thread of the test runner, started and stopped for each test.
    static MANAGER: &'static Mgm<TestClient> = Box::leak(Box::new(Mgm::new()));
}

/// The Rust API on this thread's own group manager.
pub fn subject() -> Arc<dyn Subject> {
    let mgm = MANAGER.with(|m| *m);
    Arc::new(RustApi { api: mgm, host: Box::new(Here(mgm)), elsewhere: false })
}

fn word(slot: u32, generation: u32) -> Word {
    u64::from(generation) << 32 | u64::from(slot)
}

fn client(word: Word) -> ClientId {
    ClientId { slot: word as u32, generation: (word >> 32) as u32 }
}

fn enumeration(word: Word) -> EnumId {
    EnumId { slot: word as u32, generation: (word >> 32) as u32 }
}

/// The code C would see.
fn code_of(result: Result<(), Error>) -> u32 {
    result.map_or_else(|error| error.code(), |()| code::NO_ERROR)
}

fn flags_of(flags: u32) -> MembershipFlags {
    assert!((1..=3).contains(&flags), "the Rust API has no other flags");
    MembershipFlags { join: flags & JOIN != 0, forward: flags & FORWARD != 0 }
}

fn counts(oif: &OifRecord) -> OifCounts {
    OifCounts { packets: oif.packets, ttl_too_low: oif.ttl_too_low }
}

fn mfe(r: &MfeRecord<'_>) -> Mfe {
    let seconds = |ms: u64| (ms / 1000) as u32;
    Mfe {
        flow: r.flow,
        iif: r.iif,
        iif_protocol: r.iif_protocol,
        upstream: r.upstream,
        route_protocol: r.route_protocol,
        route_network: r.route_network,
        route_len: r.route_prefix_len,
        up: seconds(r.up_time_ms),
        expiry: seconds(r.expiry_ms),
        lifetime: r.lifetime.0,
        packets: r.counters.packets,
        octets: r.counters.octets,
        wrong_if: r.counters.wrong_interface,
        oifs: r.oifs.iter().map(|o| (o.interface, counts(o))).collect(),
    }
}

/// A host in this process.
struct Here(&'static Mgm<TestClient>);

impl Hosting for Here {
    fn start(&self, world: &World) {
        let find = |source: Ipv4Addr, _: Option<IfKey>| {
            route(source).map(|r| Route {
                interface: r.to,
                upstream: r.upstream,
                protocol: r.protocol,
                network: r.network,
                prefix_len: r.len,
            })
        };
        let mut memory = MemoryConfig { route: None, transmit: Some(Box::new(send)) };
        if !world.null_route {
            memory.route = Some(Box::new(find));
        }
        let settings = Settings {
            max_mfes: world.max_mfes,
            max_new_mfes_per_second: world.max_new,
            max_new_mfes_per_source: world.max_new_of_source,
            portion: world.portion,
            log_level: mgm::log::Level::Off,
            clock: Some(Arc::new(|| Millis(clock()))),
            forwarder: ForwarderChoice::Memory(memory),
            ..Settings::default()
        };
        self.0.start(settings).unwrap();
    }

    fn stop(&self) {
        self.0.stop().unwrap();
    }

    fn receive(&self, on: IfKey, packet: &[u8]) -> u32 {
        code_of(self.0.receive(on, packet))
    }

    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32 {
        code_of(self.0.routes_changed(network, len))
    }

    fn interface_down(&self, on: IfKey) -> u32 {
        code_of(self.0.interface_down(on))
    }
}

impl Subject for RustApi {
    fn start(&self, world: &World) {
        self.host.start(world);
    }

    fn stop(&self) {
        self.host.stop();
    }

    fn register(&self, client: Client, profile: &Profile) -> Result<Word, u32> {
        let callbacks = TestClient {
            client,
            routeless: profile.routeless,
            lane: if profile.dispatched {
                CallbackThread::Dispatched
            } else {
                CallbackThread::Anywhere
            },
            nulls: profile.script.nulls.clone(),
            home: self.elsewhere.then(home),
        };
        let id = self.api.register(callbacks, (profile.protocol, profile.component));
        id.map(|id| word(id.slot, id.generation)).map_err(|error| error.code())
    }

    fn deregister(&self, handle: Word) -> u32 {
        code_of(self.api.deregister(client(handle)))
    }

    fn take(&self, handle: Word, on: IfKey) -> u32 {
        code_of(self.api.take_interface(client(handle), on))
    }

    fn release(&self, handle: Word, on: IfKey) -> u32 {
        code_of(self.api.release_interface(client(handle), on))
    }

    fn owner(&self, on: IfKey) -> Owner {
        self.api.protocol_on_interface(on).map_err(|error| error.code())
    }

    fn owners(&self) -> Vec<Owner> {
        let asked = self.host.owners();
        asked.unwrap_or_else(|| INTERFACES.iter().map(|on| self.owner(*on)).collect())
    }

    fn add(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        code_of(self.api.add_membership(client(handle), of, on, flags_of(flags)))
    }

    fn delete(&self, handle: Word, of: SourceGroup, on: IfKey, flags: u32) -> u32 {
        code_of(self.api.delete_membership(client(handle), of, on, flags_of(flags)))
    }

    fn set_upstream(&self, handle: Word, flow: SourceGroup, to: Ipv4Addr) -> u32 {
        code_of(self.api.set_upstream(client(handle), flow, to))
    }

    fn read_mfe(&self, flow: SourceGroup) -> Result<Mfe, u32> {
        let mut found = None;
        let result = self.api.read_mfe(flow, true, &mut |r| found = Some(mfe(r)));
        match code_of(result) {
            code::NO_ERROR => Ok(found.expect("the entry that was found")),
            code => Err(code),
        }
    }

    /// In steps of two, so that reading goes on from a key again and again (rule E11).
    fn read_all(&self) -> Vec<Mfe> {
        let mut all: Vec<Mfe> = Vec::new();
        loop {
            let after = all.last().map(|m| m.flow);
            let mut room = 2;
            let rest = self.api.read_mfes(after, true, 65_536, &mut |_| true, &mut |r| {
                if room == 0 {
                    return ControlFlow::Break(());
                }
                room -= 1;
                all.push(mfe(r));
                ControlFlow::Continue(())
            });
            match rest.unwrap() {
                Rest::More => assert_eq!(room, 0, "rule E11: as many as fit"),
                Rest::End => return all,
            }
        }
    }

    fn read_mfes(&self, after: Option<SourceGroup>, record: Record, room: usize) -> Reply {
        let (mut left, mut needed, mut rows) = (room, 0, Vec::new());
        let counted = record != Record::Plain;
        let rest = self.api.read_mfes(after, counted, room, &mut |_| true, &mut |r| {
            let size = record.size(r.oifs.len());
            if size > left {
                needed = if rows.is_empty() { size } else { 0 };
                return ControlFlow::Break(());
            }
            left -= size;
            rows.push(record.shows(mfe(r)));
            ControlFlow::Continue(())
        });
        // What the C border makes of it.
        let code = match rest.unwrap() {
            Rest::End => code::NO_MORE_ITEMS,
            Rest::More if rows.is_empty() => code::INSUFFICIENT_BUFFER,
            Rest::More => code::MORE_DATA,
        };
        Reply { code, data: Data::Mfes(rows, needed) }
    }

    fn start_enum(&self, handle: Word, all_sources: bool) -> Result<Word, u32> {
        let id = self.api.start_enumeration(client(handle), all_sources);
        id.map(|id| word(id.slot, id.generation)).map_err(|error| error.code())
    }

    fn next_groups(&self, handle: Word, max: usize) -> (u32, Vec<SourceGroup>) {
        let mut rows = Vec::new();
        let code = match self.api.next_groups(enumeration(handle), max, &mut |row| rows.push(row)) {
            Ok(Rest::End) => code::NO_MORE_ITEMS,
            // What the C border makes of it (rule F2).
            Ok(Rest::More) if max == 0 => code::INSUFFICIENT_BUFFER,
            Ok(Rest::More) => code::MORE_DATA,
            Err(error) => error.code(),
        };
        (code, rows)
    }

    fn end_enum(&self, handle: Word) -> u32 {
        code_of(self.api.end_enumeration(enumeration(handle)))
    }

    fn receive(&self, on: IfKey, packet: &[u8]) -> u32 {
        self.host.receive(on, packet)
    }

    fn route_changed(&self, network: Ipv4Addr, len: u8) -> u32 {
        self.host.route_changed(network, len)
    }

    fn interface_down(&self, on: IfKey) -> u32 {
        self.host.interface_down(on)
    }

    fn dispatch(&self, handle: Word) -> u32 {
        code_of(self.api.dispatch(client(handle)))
    }

    fn waits(&self, handle: Word) -> Option<bool> {
        self.api.client_descriptor(client(handle)).ok().map(is_readable)
    }

    fn tick(&self) -> u32 {
        // A prefix that no source lies in: nothing but the time has changed.
        self.host.route_changed(Ipv4Addr::BROADCAST, 32)
    }

    fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    fn settle(&self) -> Vec<Sent> {
        self.host.settle()
    }

    fn entries_changed(&self) -> bool {
        self.host.entries_changed()
    }

    fn set_route(&self, network: Ipv4Addr, len: u8, to: Option<IfKey>) {
        self.host.set_route(network, len, to);
    }

    fn set_clock(&self, now: u64) {
        self.host.set_clock(now);
    }
}
