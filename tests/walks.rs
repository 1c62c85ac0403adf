//! Changes of routes that the forwarding plane tells, over many entries (rule E9). What is walked is
//! counted, so that no clock decides.

use mgm::core::PacketHead;
use mgm::error::Error;
use mgm::forwarder::{
    Duties, Duty, EntryChange, Forwarder, ForwarderError, Next, Turn, Upcalls, calling,
};
use mgm::log::Level;
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{ForwarderChoice, LogSink, Mgm, Settings};
use mgm::types::{ClientId, Counters, IfKey, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How many flows there are, from sources 10.0.0.1 on.
const FLOWS: u8 = 100;
/// How many are looked at together.
const TOGETHER: usize = 32;

/// Hangs in each RPF callback while it is told to.
#[derive(Clone, Default)]
struct Client {
    hangs: Arc<AtomicBool>,
    hanging: Arc<AtomicU32>,
}

impl Callbacks for Client {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, _: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        self.hanging.fetch_add(1, SeqCst);
        while self.hangs.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        self.hanging.fetch_sub(1, SeqCst);
    }
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        Ok(())
    }
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {}
    fn join(&self, _: SourceGroup, _: bool) {}
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

/// Calls something again and again, as a thread that reports flows does.
struct Busy(Arc<AtomicBool>);

impl Duty for Busy {
    fn waits(&self) -> bool {
        true
    }
    fn turn(&self, turn: &Turn<'_>) -> Next {
        while turn.goes_on() && !self.0.load(SeqCst) {
            calling(|short| panic!("{short}"), || thread::sleep(Duration::from_millis(1)));
        }
        Next::Woken
    }
}

/// A plane that, like the kernel, reports flows and changes by itself.
#[derive(Default)]
struct Plane {
    upcalls: OnceLock<&'static dyn Upcalls>,
    stopped: Arc<AtomicBool>,
    /// The sources whose routes were asked for.
    asked: Mutex<Vec<u8>>,
    /// The source whose route is not told for the time being, by its last octet; 0: none.
    held: AtomicU32,
    /// A look-up takes so long, in milliseconds.
    takes: AtomicU64,
    /// The routes toward the sources up to this one lead to the interface of the next number.
    moved: AtomicU32,
}

impl Plane {
    fn asked(&self) -> Vec<u8> {
        self.asked.lock().unwrap().clone()
    }

    fn tell(&self, network: Ipv4Addr, len: u8) {
        self.upcalls.get().unwrap().routes_changed(network, len);
    }

    fn tell_everything(&self) {
        self.tell(Ipv4Addr::UNSPECIFIED, 0);
    }

    /// Sources up to half of all are behind interface 1 (or, when moved, 2), the others 3 (4).
    fn index(&self, source: u8) -> u32 {
        let side = if source <= FLOWS / 2 { 1 } else { 3 };
        side + u32::from(u32::from(source) <= self.moved.load(SeqCst))
    }
}

impl Forwarder for Plane {
    fn start(&self, upcalls: &'static dyn Upcalls) -> Result<(), ForwarderError> {
        assert!(self.upcalls.set(upcalls).is_ok());
        Ok(())
    }
    fn duties(&self) -> Duties {
        Duties::from_iter([Arc::new(Busy(Arc::clone(&self.stopped))) as Arc<dyn Duty>])
    }
    fn stop(&self) {
        self.stopped.store(true, SeqCst);
    }
    fn add_interface(&self, _: IfKey) -> Result<(), ForwarderError> {
        Ok(())
    }
    fn remove_interface(&self, _: IfKey) {}
    fn program(&self, _: &[EntryChange<'_>], _: &mut dyn FnMut(usize, ForwarderError)) {}
    fn takes_packets(&self) -> bool {
        false
    }
    fn counters(&self, _: SourceGroup) -> Option<Counters> {
        Some(Counters::default())
    }
    fn route(&self, source: Ipv4Addr, _: Option<IfKey>) -> Option<Route> {
        let last = source.octets()[3];
        self.asked.lock().unwrap().push(last);
        thread::sleep(Duration::from_millis(self.takes.load(SeqCst)));
        while self.held.load(SeqCst) == u32::from(last) {
            thread::sleep(Duration::from_millis(1));
        }
        let interface = interface(self.index(last));
        Some(Route { interface, upstream: source, protocol: 3, network: source, prefix_len: 32 })
    }
}

fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

fn source(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn flow(last: u8) -> SourceGroup {
    SourceGroup::new(source(last), Ipv4Addr::new(232, 1, 1, 1))
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

struct Stage {
    mgm: &'static Mgm<Client>,
    plane: Arc<Plane>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    /// A client on 1 and 2, another on 3 and 4, and all the flows; nothing was asked so far.
    fn new() -> (Self, [(Client, ClientId); 2]) {
        let (plane, lines) = (Arc::new(Plane::default()), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&lines);
        let mgm: &'static Mgm<Client> = Box::leak(Box::default());
        mgm.start(Settings {
            forwarder: ForwarderChoice::Custom(plane.clone()),
            log_level: Level::Warn,
            log: LogSink::Host(Arc::new(move |_, line| {
                kept.lock().unwrap().push(line.as_str().to_owned());
            })),
            ..Settings::default()
        })
        .unwrap();
        let clients = [1, 3].map(|index| {
            let client = Client::default();
            let id = mgm.register(client.clone(), index, 1).unwrap();
            mgm.take_interface(id, interface(index)).unwrap();
            mgm.take_interface(id, interface(index + 1)).unwrap();
            (client, id)
        });
        let upcalls = plane.upcalls.get().unwrap();
        for last in 1..=FLOWS {
            let (of, arrival) = (flow(last), interface(plane.index(last)));
            upcalls.no_cache(of, arrival, PacketHead::of_flow(of).as_bytes());
        }
        let stage = Self { mgm, plane, lines };
        assert!((1..=FLOWS).all(|last| stage.iif(last) == Some(stage.plane.index(last))));
        stage.plane.asked.lock().unwrap().clear();
        (stage, clients)
    }

    fn iif(&self, last: u8) -> Option<u32> {
        let mut index = None;
        self.mgm.read_mfe(flow(last), false, &mut |record| index = Some(record.iif.index)).ok()?;
        index
    }

    /// Threads that were added since others were inside calls.
    fn spare_threads(&self) -> u64 {
        let mut state = Vec::new();
        self.mgm.write_state(&mut state).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["counters"]["forwarder"]["spare_threads"].as_u64().unwrap()
    }

    /// Begins a walk through everything that stands still at a source.
    fn walk_up_to(&self, last: u8) {
        self.plane.held.store(last.into(), SeqCst);
        self.plane.tell_everything();
        wait_for("the walk", || self.plane.asked().last() == Some(&last));
    }
}

/// A hundred pieces of news during a walk ask for one more, and no thread waits for another.
#[test]
fn e9_news_that_ask_for_the_same_walk_merge() {
    let (stage, _) = Stage::new();
    let all = usize::from(FLOWS);
    stage.walk_up_to(5);
    for _ in 0..100 {
        stage.plane.tell_everything();
    }
    stage.plane.held.store(0, SeqCst);
    wait_for("two walks", || stage.plane.asked().len() >= 2 * all);
    // Were there a third one, it would be seen before this, which is told twice.
    for more in 1..=2 {
        stage.plane.tell(source(7), 32);
        wait_for("the look that was asked for last", || {
            stage.plane.asked().len() >= 2 * all + more
        });
    }
    let once: Vec<u8> = (1..=FLOWS).collect();
    assert_eq!(stage.plane.asked(), [&once[..], &once, &[7, 7]].concat());
    assert_eq!(stage.spare_threads(), 0);
    stage.mgm.stop().unwrap();
    assert_eq!(*stage.lines.lock().unwrap(), [""; 0]);
}

/// A change of one route is followed before a walk through everything goes on.
#[test]
fn e9_what_a_change_concerns_comes_first() {
    let (stage, _) = Stage::new();
    stage.walk_up_to(5);
    stage.plane.moved.store(FLOWS.into(), SeqCst);
    // A wide prefix, and a narrow one in it that is told after it.
    stage.plane.tell(source(64), 26);
    stage.plane.tell(source(80), 32);
    stage.plane.held.store(0, SeqCst);
    let wide: Vec<u8> = (64..=FLOWS).collect();
    let (walked, first) = (1..=TOGETHER as u8, [80]);
    let expected: Vec<u8> = walked.chain(first).chain(wide).collect();
    wait_for("the walks", || stage.plane.asked().len() > expected.len());
    assert_eq!(stage.plane.asked()[..expected.len()], expected);
    wait_for("what was told to follow", || {
        (64..=FLOWS).all(|last| stage.iif(last) == Some(stage.plane.index(last)))
    });
    stage.mgm.stop().unwrap();
}

/// An answer that a wider change has overtaken is asked for again at once, and not when the walk of that
/// change comes by: it may rest.
#[test]
fn e9_a_narrow_change_does_not_wait_for_a_wider_one() {
    let (stage, _) = Stage::new();
    stage.plane.held.store(80, SeqCst);
    stage.plane.tell(source(80), 32);
    wait_for("the look", || stage.plane.asked() == [80]);
    stage.plane.moved.store(FLOWS.into(), SeqCst);
    stage.plane.tell_everything();
    stage.plane.held.store(0, SeqCst);
    wait_for("what follows", || stage.plane.asked().len() > 3);
    assert_eq!(stage.plane.asked()[..3], [80, 80, 1]);
    stage.mgm.stop().unwrap();
}

/// A walk that takes long is not taken for a client that hangs, though a thread looks out for these.
#[test]
fn e9_a_walk_that_works_is_not_one_that_hangs() {
    let (stage, _) = Stage::new();
    // It calls a client about the first flow, so that a thread stands by.
    stage.plane.moved.store(1, SeqCst);
    stage.plane.takes.store(10, SeqCst);
    for _ in 0..10 {
        stage.plane.tell_everything();
    }
    wait_for("the walk", || stage.plane.asked().len() >= usize::from(FLOWS));
    let once: Vec<u8> = (1..=FLOWS).collect();
    assert_eq!(stage.plane.asked()[..once.len()], once, "by one thread");
    assert!(stage.spare_threads() <= 1, "the one that stands by");
    stage.mgm.stop().unwrap();
    assert_eq!(*stage.lines.lock().unwrap(), [""; 0]);
}

/// A client that hangs in a walk keeps no route of others, nor what is told later.
#[test]
fn e9_a_client_that_hangs_in_a_walk_keeps_no_route_of_others() {
    let (stage, [(hung, _), _]) = Stage::new();
    hung.hangs.store(true, SeqCst);
    stage.plane.moved.store(FLOWS.into(), SeqCst);
    stage.plane.tell_everything();
    wait_for("the client to hang", || hung.hanging.load(SeqCst) > 0);
    let follow = |all: bool| {
        let first = if all { 1 } else { FLOWS / 2 + 1 };
        (first..=FLOWS).all(|last| stage.iif(last) == Some(stage.plane.index(last)))
    };
    wait_for("the other's entries to follow", || follow(false));
    stage.plane.moved.store(0, SeqCst);
    stage.plane.tell_everything();
    wait_for("them to follow again", || follow(false));
    // One for the client that hangs, and one that stands by; where others wait for a processor inside a
    // callback a few more, but none for each flow.
    assert_eq!(hung.hanging.load(SeqCst), 1);
    assert!(stage.spare_threads() < 10, "{}", stage.spare_threads());
    hung.hangs.store(false, SeqCst);
    wait_for("all to follow", || follow(true));
    stage.mgm.stop().unwrap();
}
