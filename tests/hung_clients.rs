//! A client that does not come out of a callback holds up nobody else: other clients hear their
//! alerts, calls return, reads work (rules A6 and A7).

use mgm::error::Error;
use mgm::forwarder::memory::{MemoryConfig, MemoryForwarder};
use mgm::forwarder::{Bringer, EntryChange, Forwarder, ForwarderError, Received, Upcalls};
use mgm::log::Level;
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{ForwarderChoice, Mgm, Settings};
use mgm::types::{ClientId, Counters, IfKey, MembershipFlags, Millis, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const JOIN: MembershipFlags = MembershipFlags::JOIN;

/// Notes the joins and RPF callbacks it hears of; hangs in each while it is told to. Its flows'
/// entries live for a second without an outgoing interface.
#[derive(Clone, Default)]
struct Client {
    heard: Arc<Mutex<Vec<SourceGroup>>>,
    hangs: Arc<AtomicBool>,
    hanging: Arc<AtomicBool>,
}

impl Client {
    fn heard(&self, of: SourceGroup) -> bool {
        self.heard.lock().unwrap().contains(&of)
    }

    /// How often.
    fn times(&self, of: SourceGroup) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| **heard == of).count()
    }

    fn hears(&self, of: SourceGroup) {
        self.heard.lock().unwrap().push(of);
        while self.hangs.load(SeqCst) {
            self.hanging.store(true, SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
        self.hanging.store(false, SeqCst);
    }
}

impl Callbacks for Client {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, of: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        self.hears(of);
    }
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        Ok(())
    }
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, timeout: &mut Seconds) {
        *timeout = Seconds(1);
    }
    fn join(&self, of: SourceGroup, _: bool) {
        self.hears(of);
    }
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn group(last: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, last))
}

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

type Manager = &'static Mgm<Client>;

fn start() -> Manager {
    start_on(ForwarderChoice::Memory(MemoryConfig::default()))
}

fn start_on(forwarder: ForwarderChoice) -> Manager {
    let mgm: Manager = Box::leak(Box::default());
    mgm.start(Settings { log_level: Level::Off, forwarder, ..Settings::default() }).unwrap();
    mgm
}

fn client(mgm: Manager, protocol: u32) -> (Client, ClientId) {
    let client = Client::default();
    let id = mgm.register(client.clone(), protocol, 1).unwrap();
    mgm.take_interface(id, interface(protocol)).unwrap();
    (client, id)
}

/// The first to be alerted hangs, and with it the thread that made the call.
#[test]
fn a7_a_hanging_client_keeps_no_alert_from_others() {
    let mgm = start();
    let (hung, _) = client(mgm, 1);
    let (other, _) = client(mgm, 2);
    let (_, first) = client(mgm, 3);
    let (_, second) = client(mgm, 4);
    hung.hangs.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.add_membership(first, group(1), interface(3), JOIN));
    wait_for("the client to hang", || hung.hanging.load(SeqCst));
    // The same call's alert to the other one comes, though its thread is stuck.
    wait_for("the alert behind it", || other.heard(group(1)));
    // And so do those of other calls, which return.
    let begun = Instant::now();
    mgm.add_membership(second, group(2), interface(4), JOIN).unwrap();
    assert!(other.heard(group(2)), "rule A7: the call has returned");
    // It waits for the hanging client as long as it says, and no longer.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(!stuck.is_finished() && !hung.heard(group(2)));
    hung.hangs.store(false, SeqCst);
    stuck.join().unwrap().unwrap();
    wait_for("what waited for it", || hung.heard(group(2)));
    mgm.stop().unwrap();
}

/// A client that hangs is waited for once. Whatever comes after that goes on without it: calls, packets,
/// the end of the run. Once it has come out it is waited for again.
#[test]
fn a7_a_client_that_hangs_is_waited_for_once() {
    let mgm = start();
    let ((hung, hung_id), (other, _), (_, id)) = (client(mgm, 1), client(mgm, 2), client(mgm, 3));
    hung.hangs.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.add_membership(id, group(1), interface(3), JOIN));
    wait_for("the client to hang", || hung.hanging.load(SeqCst));
    // The one that waits.
    mgm.add_membership(id, group(2), interface(3), JOIN).unwrap();
    let begun = Instant::now();
    for last in 3..=9 {
        mgm.add_membership(id, group(last), interface(3), JOIN).unwrap();
        assert!(other.heard(group(last)), "rule A7: the call has returned");
        mgm.delete_membership(id, group(last), interface(3), JOIN).unwrap();
    }
    let flows = [2, 3, 4, 5].map(|last| {
        let (of, packet) = flow(1, last);
        mgm.receive(interface(1), &packet).unwrap();
        mgm.receive(interface(1), &packet).unwrap();
        of
    });
    mgm.take_interface(id, interface(4)).unwrap();
    mgm.release_interface(id, interface(4)).unwrap();
    // One wait more, of 5 s, would be too many.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(!stuck.is_finished() && !hung.heard(group(2)) && iif(mgm, flows[0]).is_none());

    hung.hangs.store(false, SeqCst);
    stuck.join().unwrap().unwrap();
    // Of each flow it is asked, and told that there are receivers.
    wait_for("what waited for it", || hung.times(flows[3]) == 2 && iif(mgm, flows[3]).is_some());
    let heard = hung.heard.lock().unwrap().clone();
    let expected: Vec<_> = (1..=9).map(group).chain(flows).chain(flows).collect();
    assert_eq!(heard, expected, "rule A7: in order");
    for last in 10..=30 {
        mgm.add_membership(id, group(last), interface(3), JOIN).unwrap();
        assert!(hung.heard(group(last)), "rule A7: it does not hang any more");
    }

    hung.hangs.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.add_membership(id, group(31), interface(3), JOIN));
    wait_for("the client to hang", || hung.hanging.load(SeqCst));
    mgm.add_membership(id, group(32), interface(3), JOIN).unwrap();
    let begun = Instant::now();
    mgm.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    hung.hangs.store(false, SeqCst);
    let _ = stuck.join().unwrap();
    assert!(mgm.deregister(hung_id).is_err() && !hung.heard(group(32)));
}

/// A thread that is stuck with one client has left alerts for another one. With a host's clock there is no
/// timer that sees to them: a call whose own alerts stand behind them does.
#[test]
fn a7_a_call_sees_to_what_stands_before_its_alerts() {
    let mgm: Manager = Box::leak(Box::default());
    let clock: Option<mgm::shell::settings::ClockFn> = Some(Arc::new(|| Millis(1)));
    mgm.start(Settings { log_level: Level::Off, clock, ..Settings::default() }).unwrap();
    let ((hung, _), (other, _)) = (client(mgm, 1), client(mgm, 2));
    let ((_, first), (_, second)) = (client(mgm, 3), client(mgm, 4));
    hung.hangs.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.add_membership(first, group(1), interface(3), JOIN));
    wait_for("the client to hang", || hung.hanging.load(SeqCst));
    assert!(!other.heard(group(1)), "nobody is there for it");
    mgm.add_membership(second, group(2), interface(4), JOIN).unwrap();
    assert!(other.heard(group(1)) && other.heard(group(2)), "rule A7: the call has returned");
    hung.hangs.store(false, SeqCst);
    stuck.join().unwrap().unwrap();
    mgm.stop().unwrap();
}

/// Others' alerts may go out with a call's own, but no stream of them keeps it.
#[test]
fn a7_a_stream_of_alerts_keeps_no_call() {
    let mgm = start();
    let (watcher, _) = client(mgm, 1);
    let over = Arc::new(AtomicBool::new(false));
    let streams = [2, 3].map(|protocol| {
        let ((_, id), over) = (client(mgm, protocol), over.clone());
        thread::spawn(move || {
            while !over.load(SeqCst) {
                let of = group(protocol as u8);
                mgm.add_membership(id, of, interface(protocol), JOIN).unwrap();
                mgm.delete_membership(id, of, interface(protocol), JOIN).unwrap();
            }
        })
    });
    let (_, id) = client(mgm, 9);
    for n in 0..200 {
        let of = group(10 + n);
        mgm.add_membership(id, of, interface(9), JOIN).unwrap();
        assert!(watcher.heard(of), "rule A7: the call has returned");
        watcher.heard.lock().unwrap().clear();
    }
    over.store(true, SeqCst);
    streams.into_iter().for_each(|stream| stream.join().unwrap());
    mgm.stop().unwrap();
}

/// A flow from the side of an interface, and a packet of it.
fn flow(index: u32, last: u8) -> (SourceGroup, Vec<u8>) {
    let of = SourceGroup::new(Ipv4Addr::new(10, index as u8, 0, last), group(1).group());
    (of, packet_of(of))
}

fn packet_of(flow: SourceGroup) -> Vec<u8> {
    let mut packet = vec![0; 28];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, 28, 64, 17);
    packet[12..16].copy_from_slice(&flow.source().octets());
    packet[16..20].copy_from_slice(&flow.group().octets());
    packet
}

fn iif(mgm: Manager, of: SourceGroup) -> Option<u32> {
    let mut index = None;
    mgm.read_mfe(of, false, &mut |record| index = Some(record.iif.index)).ok()?;
    index
}

/// Lets the thread whose turn it is be hung by a client: an entry of its own that carried packets
/// is built anew when its lifetime ends.
fn hang_the_timer(mgm: Manager, client: &Client, index: u32) {
    let (of, packet) = flow(index, 2);
    mgm.receive(interface(index), &packet).unwrap();
    assert_eq!(client.times(of), 1);
    client.hangs.store(true, SeqCst);
    // Before the answer to the one that is built anew the entry cannot go.
    wait_for("the client to hang the timer", || {
        if !client.hanging.load(SeqCst) && iif(mgm, of).is_some() {
            mgm.receive(interface(index), &packet).unwrap();
        }
        client.hanging.load(SeqCst)
    });
}

fn let_go(clients: &[&Client]) {
    for client in clients {
        client.hangs.store(false, SeqCst);
    }
    for client in clients {
        wait_for("the end of the callback", || !client.hanging.load(SeqCst));
    }
}

/// Clients that hang when the timer calls them keep no lifetime of the others from ending.
#[test]
fn e8_a_client_that_hangs_the_timer_keeps_no_lifetime() {
    let mgm = start();
    let ((first, _), (second, _), (other, _)) = (client(mgm, 1), client(mgm, 2), client(mgm, 3));
    // The one after the other, so that each hangs another thread.
    for (hung, index) in [(&first, 1), (&second, 2)] {
        hang_the_timer(mgm, hung, index);
        let (of, packet) = flow(3, index as u8);
        mgm.receive(interface(3), &packet).unwrap();
        mgm.receive(interface(3), &packet).unwrap();
        wait_for("the entry to be built anew", || other.times(of) == 2);
        wait_for("the entry, which is idle now, to go", || iif(mgm, of).is_none());
    }
    let_go(&[&first, &second]);
    wait_for("the entries that waited to go", || {
        [1, 2].iter().all(|index| iif(mgm, flow(*index, 2).0).is_none())
    });
    mgm.stop().unwrap();
}

/// MgmHostStop leaves a thread behind that a client hangs; when it returns in the next run it has
/// no turn there.
#[test]
fn a8_stopping_while_a_client_hangs_the_timer() {
    let mgm = start();
    let (hung, _) = client(mgm, 1);
    hang_the_timer(mgm, &hung, 1);
    mgm.stop().unwrap();
    mgm.start(Settings { log_level: Level::Off, ..Settings::default() }).unwrap();
    let (again, _) = client(mgm, 1);
    hang_the_timer(mgm, &again, 1);
    let_go(&[&hung]);
    let (other, _) = client(mgm, 3);
    let (of, packet) = flow(3, 2);
    mgm.receive(interface(3), &packet).unwrap();
    wait_for("the entry to go", || iif(mgm, of).is_none());
    assert!(other.heard(of) && hung.times(flow(1, 2).0) == 2);
    let_go(&[&again]);
    mgm.stop().unwrap();
}

/// The alerts that a hung thread left go out though the timer hangs too.
#[test]
fn a7_a_client_that_hangs_the_timer_keeps_no_alert_from_others() {
    let mgm = start();
    let ((first, _), (second, _), (other, _)) = (client(mgm, 1), client(mgm, 2), client(mgm, 3));
    let (_, id) = client(mgm, 4);
    hang_the_timer(mgm, &first, 1);
    second.hangs.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.add_membership(id, group(2), interface(4), JOIN));
    wait_for("the second client to hang", || second.hanging.load(SeqCst));
    wait_for("the alert behind it", || other.heard(group(2)));
    let_go(&[&first, &second]);
    stuck.join().unwrap().unwrap();
    mgm.stop().unwrap();
}

/// Entries beyond the one whose client hangs get their new route as well.
#[test]
fn e9_a_client_that_hangs_keeps_no_route_of_others() {
    let moved = Arc::new(AtomicBool::new(false));
    let is_moved = moved.clone();
    let route = move |source: Ipv4Addr, _: Option<IfKey>| {
        let index = u32::from(source.octets()[1]) + u32::from(is_moved.load(SeqCst));
        let (network, prefix_len) = (source, 32);
        Some(Route {
            interface: interface(index),
            upstream: source,
            protocol: 3,
            network,
            prefix_len,
        })
    };
    let config = MemoryConfig { route: Some(Box::new(route)), transmit: None };
    let mgm = start_on(ForwarderChoice::Memory(config));
    let clients = [1, 2, 3, 4, 5, 6, 7].map(|index| client(mgm, index));
    mgm.add_membership(clients[6].1, group(1), interface(7), JOIN).unwrap();
    let flows = [1, 3, 5].map(|index| {
        let (of, packet) = flow(index, 2);
        mgm.receive(interface(index), &packet).unwrap();
        assert_eq!(iif(mgm, of), Some(index));
        of
    });
    let [(first, _), (second, _)] = [&clients[1], &clients[3]];
    first.hangs.store(true, SeqCst);
    second.hangs.store(true, SeqCst);
    moved.store(true, SeqCst);
    let stuck = thread::spawn(move || mgm.routes_changed(Ipv4Addr::UNSPECIFIED, 0));
    wait_for("the call to hang", || first.hanging.load(SeqCst));
    wait_for("the thread that went on for it to hang", || second.hanging.load(SeqCst));
    assert!(!stuck.is_finished());
    let_go(&[first]);
    stuck.join().unwrap().unwrap();
    let leads_to = |at: usize| iif(mgm, flows[at]);
    assert_eq!((leads_to(0), leads_to(2)), (Some(2), Some(6)), "the call has returned");
    let_go(&[second]);
    wait_for("the entry whose client hung to move", || leads_to(1) == Some(4));
    assert_eq!(clients[5].0.times(flows[2]), 2, "asked and told once");
    mgm.stop().unwrap();
}

/// A plane that refuses entries while it is told to.
struct Refusing {
    plane: MemoryForwarder,
    refuses: AtomicBool,
}

impl Forwarder for Refusing {
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
        if self.refuses.load(SeqCst) {
            (0..changes.len()).for_each(|at| failed(at, ForwarderError::Refused("on purpose")));
        } else {
            self.plane.program(changes, failed);
        }
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

/// What the plane refused is programmed later though the timer hangs.
#[test]
fn e1_a_client_that_hangs_the_timer_keeps_no_entry_from_being_tried_again() {
    let plane = MemoryForwarder::new(MemoryConfig::default());
    let plane = Arc::new(Refusing { plane, refuses: AtomicBool::new(false) });
    let mgm = start_on(ForwarderChoice::Custom(plane.clone()));
    let ((hung, _), (_, id)) = (client(mgm, 1), client(mgm, 2));
    mgm.take_interface(id, interface(3)).unwrap();
    let (of, packet) = flow(2, 2);
    mgm.add_membership(id, of, interface(3), JOIN).unwrap();
    hang_the_timer(mgm, &hung, 1);
    plane.refuses.store(true, SeqCst);
    mgm.receive(interface(2), &packet).unwrap();
    assert!(iif(mgm, of).is_some() && plane.counters(of).is_none());
    plane.refuses.store(false, SeqCst);
    wait_for("the entry in the plane", || plane.counters(of).is_some());
    let_go(&[&hung]);
    mgm.stop().unwrap();
}

/// Very many alerts of one call do not all come before that of another one: while a client is kept in
/// the first of them, few others wait (decision 88).
#[test]
fn a7_a_large_change_lets_others_in_between() {
    const FLOWS: u32 = 6000;
    let mgm: Manager = Box::leak(Box::default());
    // No entry's lifetime ends.
    let mut settings = Settings { log_level: Level::Off, ..Settings::default() };
    settings.clock = Some(Arc::new(|| Millis(1)));
    mgm.start(settings).unwrap();
    let ((owner, _), (other, _)) = (client(mgm, 1), client(mgm, 2));
    let ((_, first), (_, second)) = (client(mgm, 3), client(mgm, 4));
    for n in 0..FLOWS {
        let of = SourceGroup::new(Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::from_bits(0xe901_0000 + n));
        mgm.receive(interface(1), &packet_of(of)).unwrap();
    }
    owner.heard.lock().unwrap().clear();
    owner.hangs.store(true, SeqCst);
    let all = SourceGroup::ALL;
    let large = thread::spawn(move || mgm.add_membership(first, all, interface(3), JOIN));
    wait_for("the first alert", || owner.hanging.load(SeqCst));
    let small = thread::spawn(move || mgm.add_membership(second, group(9), interface(4), JOIN));
    wait_for("the other call", || other.heard(group(9)));
    let_go(&[&owner]);
    large.join().unwrap().unwrap();
    small.join().unwrap().unwrap();
    let heard = owner.heard.lock().unwrap();
    assert_eq!(heard.len() as u32, FLOWS + 2, "of each entry, of (*,*), and of the group");
    let place = heard.iter().position(|of| *of == group(9)).unwrap();
    assert!(place < FLOWS as usize / 2, "it came behind {place} others");
}
