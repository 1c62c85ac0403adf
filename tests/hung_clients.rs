//! A client that does not come out of a callback holds up nobody else: other clients hear their
//! alerts, calls return, reads work (rules A6 and A7).

use mgm::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::core::types::{ClientId, IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use mgm::forwarder::memory::MemoryConfig;
use mgm::log::Level;
use mgm::mgm::{ForwarderChoice, Mgm, Settings};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const JOIN: MembershipFlags = MembershipFlags { join: true, forward: false };

/// Notes the joins it hears of; hangs in each while it is told to.
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
}

impl Callbacks for Client {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, _: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: &Route) {}
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) {}
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {}
    fn join(&self, of: SourceGroup, _: bool) {
        self.heard.lock().unwrap().push(of);
        while self.hangs.load(SeqCst) {
            self.hanging.store(true, SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
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
    let mgm: Manager = Box::leak(Box::default());
    let config = MemoryConfig { route: None, transmit: None };
    let forwarder = ForwarderChoice::Memory(config);
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
