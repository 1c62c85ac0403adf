//! Event loops (rules H) through the safe Rust API: clients whose callbacks run inside their own dispatch
//! alone.

use mgm::error::{Error, ForwarderError};
use mgm::forwarder::memory::{MemoryConfig, MemoryForwarder};
use mgm::forwarder::{Bringer, EntryChange, Forwarder, Received, Upcalls};
use mgm::log::Level;
use mgm::shell::callbacks::{CallbackThread, Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{ForwarderChoice, Mgm, Settings};
use mgm::types::{ClientId, Counters, IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const JOIN: MembershipFlags = MembershipFlags::JOIN;
const IGMP: u32 = 10;

/// Writes down what it is called for; a dispatch is tried inside each join.
#[derive(Clone)]
struct Client {
    name: &'static str,
    lane: CallbackThread,
    told: Arc<Mutex<Vec<String>>>,
}

impl Client {
    fn tell(&self, what: String) {
        self.told.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Callbacks for Client {
    fn has_local_join(&self) -> bool {
        true
    }
    fn callback_thread(&self) -> CallbackThread {
        self.lane
    }
    fn rpf(&self, _: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        self.tell("rpf".into());
    }
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        self.tell("creation".into());
        Ok(())
    }
    fn prune(&self, of: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {
        self.tell(format!("prune {of}"));
    }
    fn join(&self, of: SourceGroup, _: bool) {
        self.tell(format!("join {of}"));
    }
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {
        self.tell("disable".into());
    }
    fn enable_igmp(&self, _: IfKey) {
        self.tell("enable".into());
    }
}

struct Stage {
    mgm: &'static Mgm<Client>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new() -> Self {
        Self::on(ForwarderChoice::Memory(MemoryConfig::default()))
    }

    fn on(forwarder: ForwarderChoice) -> Self {
        let mgm: &'static Mgm<Client> = Box::leak(Box::new(Mgm::new()));
        mgm.start(Settings { forwarder, log_level: Level::Off, ..Settings::default() }).unwrap();
        Self { mgm, told: Arc::default() }
    }

    /// A client that owns an interface.
    fn client(&self, name: &'static str, protocol: u32, on: u32, lane: CallbackThread) -> ClientId {
        let client = Client { name, lane, told: Arc::clone(&self.told) };
        let id = self.mgm.register(client, protocol, 1).unwrap();
        self.mgm.take_interface(id, interface(on)).unwrap();
        id
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn receive(&self, source: u8, group: SourceGroup) {
        let mut packet = [0; 28];
        (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 16, 17);
        packet[12..16].copy_from_slice(&[10, 0, 0, source]);
        packet[16..20].copy_from_slice(&group.group().octets());
        self.mgm.receive(interface(1), &packet).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.mgm.stop().unwrap();
    }
}

fn is_waiting(mgm: &'static Mgm<Client>, client: ClientId) -> bool {
    is_readable(mgm.client_descriptor(client).unwrap())
}

fn is_readable(fd: i32) -> bool {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure.
    unsafe { libc::poll(&raw mut polled, 1, 0) == 1 }
}

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

const fn group(n: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, n))
}

#[test]
fn h4_calls_wait_for_other_clients_and_not_for_a_loop() {
    let stage = Stage::new();
    let looping = stage.client("loop", 1, 1, CallbackThread::Dispatched);
    let caller = stage.client("caller", 2, 2, CallbackThread::Anywhere);
    let _other = stage.client("other", 3, 3, CallbackThread::Anywhere);
    stage.mgm.add_membership(caller, group(1), interface(2), JOIN).unwrap();
    assert_eq!(stage.told(), ["other join (*,239.1.1.1)"]);
    stage.mgm.dispatch(looping).unwrap();
    assert_eq!(stage.told(), ["loop join (*,239.1.1.1)"]);
    // A take over IGMP with a loop: as where IGMP cannot be called.
    let igmp = stage.client("igmp", IGMP, 4, CallbackThread::Dispatched);
    stage.mgm.take_interface(caller, interface(4)).unwrap();
    assert_eq!(stage.mgm.protocol_on_interface(interface(4)), Ok((2, 1)));
    assert!(stage.told().is_empty());
    stage.mgm.dispatch(igmp).unwrap();
    assert_eq!(stage.told(), ["igmp join (*,239.1.1.1)", "igmp disable", "igmp enable"][1..]);
}

#[test]
fn h5_a_new_flow_waits_for_the_dispatch_and_others_do_not() {
    let stage = Stage::new();
    let looping = stage.client("loop", 1, 2, CallbackThread::Dispatched);
    let owner = stage.client("owner", 2, 1, CallbackThread::Anywhere);
    let other = stage.client("other", 3, 3, CallbackThread::Anywhere);
    stage.mgm.add_membership(looping, group(1), interface(2), JOIN).unwrap();
    stage.mgm.add_membership(other, group(2), interface(3), JOIN).unwrap();
    stage.told();
    stage.receive(1, group(1));
    assert_eq!(stage.told(), ["owner rpf"]);
    let flow = SourceGroup::new(Ipv4Addr::new(10, 0, 0, 1), group(1).group());
    let is_there = || stage.mgm.read_mfe(flow, false, &mut |_| {}).is_ok();
    assert!(!is_there());
    // Another flow, which asks no loop, is resolved meanwhile.
    stage.receive(1, group(2));
    assert!(stage.told().contains(&"other creation".to_string()));
    stage.mgm.dispatch(looping).unwrap();
    assert!(stage.told().contains(&"loop creation".to_string()));
    assert!(is_there());
    let _ = owner;
}

#[test]
fn h6_a_loop_that_deregisters_is_not_called_again() {
    let stage = Stage::new();
    let looping = stage.client("loop", 1, 1, CallbackThread::Dispatched);
    let caller = stage.client("caller", 2, 2, CallbackThread::Anywhere);
    stage.mgm.add_membership(caller, group(1), interface(2), JOIN).unwrap();
    stage.mgm.release_interface(looping, interface(1)).unwrap();
    stage.mgm.deregister(looping).unwrap();
    assert!(matches!(stage.mgm.dispatch(looping), Err(Error::NotAClient(_))));
    assert!(matches!(stage.mgm.client_descriptor(looping), Err(Error::NotAClient(_))));
    assert!(stage.told().is_empty());
}

#[test]
fn h7_a_client_without_a_loop_has_no_dispatch() {
    let stage = Stage::new();
    let caller = stage.client("caller", 2, 2, CallbackThread::Anywhere);
    assert_eq!(stage.mgm.dispatch(caller), Err(Error::NotDispatched));
    assert_eq!(stage.mgm.client_descriptor(caller), Err(Error::NotDispatched));
}

#[test]
fn h8_the_last_alert_tells_the_state() {
    let stage = Stage::new();
    let looping = stage.client("loop", 1, 1, CallbackThread::Dispatched);
    let caller = stage.client("caller", 2, 2, CallbackThread::Anywhere);
    for _ in 0..100 {
        stage.mgm.add_membership(caller, group(1), interface(2), JOIN).unwrap();
        stage.mgm.add_membership(caller, group(2), interface(2), JOIN).unwrap();
        stage.mgm.delete_membership(caller, group(1), interface(2), JOIN).unwrap();
        stage.mgm.delete_membership(caller, group(2), interface(2), JOIN).unwrap();
        stage.mgm.add_membership(caller, group(2), interface(2), JOIN).unwrap();
        stage.mgm.delete_membership(caller, group(2), interface(2), JOIN).unwrap();
    }
    stage.mgm.add_membership(caller, group(2), interface(2), JOIN).unwrap();
    // What cancelled itself out while it waited is not told.
    stage.mgm.dispatch(looping).unwrap();
    assert_eq!(stage.told(), [format!("loop join {}", group(2))]);
    // Nor is a prune of what is joined again.
    stage.mgm.delete_membership(caller, group(2), interface(2), JOIN).unwrap();
    stage.mgm.add_membership(caller, group(2), interface(2), JOIN).unwrap();
    stage.mgm.add_membership(caller, group(3), interface(2), JOIN).unwrap();
    stage.mgm.dispatch(looping).unwrap();
    assert_eq!(stage.told(), [format!("loop join {}", group(3))]);
    assert!(!is_waiting(stage.mgm, looping));
    stage.mgm.delete_membership(caller, group(3), interface(2), JOIN).unwrap();
    assert!(is_waiting(stage.mgm, looping));
    stage.mgm.add_membership(caller, group(3), interface(2), JOIN).unwrap();
    assert!(!is_waiting(stage.mgm, looping), "both have gone, and nothing waits");
}

#[test]
fn h3_a_dispatch_calls_what_it_causes_and_other_clients_do_not_count() {
    let stage = Stage::new();
    let looping = stage.client("loop", 1, 1, CallbackThread::Dispatched);
    let caller = stage.client("caller", 2, 2, CallbackThread::Anywhere);
    // Each is about a key of its own: none merges.
    for n in 0..=255 {
        stage.mgm.add_membership(caller, group(n), interface(2), JOIN).unwrap();
    }
    let other = stage.client("other", 3, 3, CallbackThread::Anywhere);
    let _ = other;
    stage.told();
    // 256 of the loop's own, and as many of the other's, which the same thread sees to.
    for n in 0..=255 {
        let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 2, 2, n));
        stage.mgm.add_membership(caller, of, interface(2), JOIN).unwrap();
    }
    stage.mgm.dispatch(looping).unwrap();
    assert_eq!(stage.told().iter().filter(|line| line.starts_with("loop")).count(), 256);
    assert!(is_waiting(stage.mgm, looping));
    stage.mgm.dispatch(looping).unwrap();
    stage.mgm.dispatch(looping).unwrap();
    assert!(!is_waiting(stage.mgm, looping));
}

/// A plane that looks at a loop's descriptor when it is programmed.
struct Looking {
    plane: MemoryForwarder,
    fd: AtomicI32,
    readable: Mutex<Vec<bool>>,
}

impl Forwarder for Looking {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        self.plane.start(upcalls)
    }
    fn stop(&self) {
        self.plane.stop();
    }
    fn add_interface(&self, interface: IfKey) -> Result<(), ForwarderError> {
        self.plane.add_interface(interface)
    }
    fn remove_interface(&self, interface: IfKey) {
        self.plane.remove_interface(interface);
    }
    fn program(&self, changes: &[EntryChange<'_>], failed: &mut dyn FnMut(usize, ForwarderError)) {
        let fd = self.fd.load(SeqCst);
        if fd >= 0 {
            self.readable.lock().unwrap().push(is_readable(fd));
        }
        self.plane.program(changes, failed);
    }
    fn flush(&self) {
        self.plane.flush();
    }
    fn receive<'a>(
        &self,
        arrival: IfKey,
        bytes: &'a [u8],
        by: Bringer,
    ) -> Result<Received<'a>, Error> {
        self.plane.receive(arrival, bytes, by)
    }
    fn counters(&self, flow: SourceGroup) -> Option<Counters> {
        self.plane.counters(flow)
    }
    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<Route> {
        self.plane.route(source, arrival)
    }
}

/// Another process would come between, and the first packets would wait for it.
#[test]
fn h2_a_loop_is_woken_when_the_plane_has_the_entry() {
    for lane in [CallbackThread::Dispatched, CallbackThread::OwnThread] {
        let plane = MemoryForwarder::new(MemoryConfig::default());
        let plane = Looking { plane, fd: AtomicI32::new(-1), readable: Mutex::default() };
        let plane = Arc::new(plane);
        let stage = Stage::on(ForwarderChoice::Custom(Arc::clone(&plane) as Arc<dyn Forwarder>));
        let _upstream = stage.client("upstream", 1, 1, CallbackThread::Anywhere);
        let owner = stage.client("owner", 2, 2, lane);
        let igmp = Client {
            name: "igmp",
            lane: CallbackThread::Dispatched,
            told: Arc::clone(&stage.told),
        };
        let igmp = stage.mgm.register(igmp, 0x4137_000a, 1).unwrap();
        stage.mgm.take_interface(igmp, interface(2)).unwrap();
        stage.mgm.dispatch(owner).unwrap();
        stage.receive(9, group(1));
        assert!(!is_waiting(stage.mgm, owner));
        plane.fd.store(stage.mgm.client_descriptor(owner).unwrap(), SeqCst);
        // No thread dispatches the owner's own lane, for which a call would wait.
        let mgm = stage.mgm;
        let join = move || mgm.add_membership(igmp, group(1), interface(2), JOIN).unwrap();
        let joining = std::thread::spawn(join);
        while !is_waiting(mgm, owner) {
            std::thread::yield_now();
        }
        assert_eq!(*plane.readable.lock().unwrap(), [false]);
        mgm.dispatch(owner).unwrap();
        joining.join().unwrap();
        assert!(!is_waiting(mgm, owner));
    }
}
