//! Rules A6 to A8 under a scheduler that decides, at each lock and atomic, which thread goes on.
//! Each test runs under thousands of its schedules. A schedule that fails is printed and can be
//! replayed with `shuttle::replay`. Where all threads wait, because of a lost wake-up for example,
//! the scheduler finds a deadlock.
//!
//! `cargo test --features shuttle --lib schedules`; the schedules are the same each time.
//! MGM_SCHEDULES=N tries N of each kind, MGM_SCHEDULES_SEED=N others.

#![forbid(unsafe_code)]

mod aside;
mod client;
mod delivery;
mod ends;
mod loops;
mod packets;
mod portions;
mod routes;

use crate::core::state::record::Rest;
use crate::error::Error;
use crate::forwarder::memory::{MemoryConfig, RouteFn};
use crate::log::Level;
use crate::shell::deliver::NOBODY;
use crate::shell::manager::{ForwarderChoice, Mgm, Running, Settings};
use crate::shell::tally::CallbackKind;
use crate::types::{ClientId, IfKey, MembershipFlags, Millis, SourceGroup};
use client::Client;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
// The tests' own notes must be no points at which the scheduler may change threads.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Tries a test under many schedules: random ones, and schedules with a few switches of threads at
/// chosen moments (PCT), which find other bugs.
fn explore(test: impl Fn() + Clone + Send + Sync + 'static) {
    explore_some(400, test);
}

/// The same under so many schedules of each kind, unless MGM_SCHEDULES says otherwise.
fn explore_some(count: u64, test: impl Fn() + Clone + Send + Sync + 'static) {
    let number = |name, default| {
        std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
    };
    let (count, seed) = (number("MGM_SCHEDULES", count), number("MGM_SCHEDULES_SEED", 1));
    let mut config = Config::new();
    config.stack_size = 256 * 1024;
    let random = RandomScheduler::new_from_seed(seed, count as usize);
    Runner::new(random, config.clone()).run(test.clone());
    for switches in [2, 4] {
        let pct = PctScheduler::new_from_seed(seed, switches, count as usize);
        Runner::new(pct, config.clone()).run(test.clone());
    }
}

const JOIN: MembershipFlags = MembershipFlags::JOIN;
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const G1: SourceGroup = group(1);
const G2: SourceGroup = group(2);
const FLOW: SourceGroup = SourceGroup::new(SOURCE, G1.group());
const IGMP: u32 = 10;

const fn group(last: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, last))
}

const fn interface(index: u32) -> IfKey {
    IfKey::new(index, Ipv4Addr::UNSPECIFIED)
}

/// A manager, and the number of packet copies that it sent. It is never freed, because a manager's
/// threads may outlive everything.
#[derive(Clone, Copy)]
struct Stage {
    mgm: &'static Mgm<Client>,
    sent: &'static AtomicUsize,
}

/// A client, and the word for it.
type Registered = (Client, ClientId);

impl Stage {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with_routes(route: Option<RouteFn>) -> Self {
        Self::with(|settings| {
            if let ForwarderChoice::Memory(config) = &mut settings.forwarder {
                config.route = route;
            }
        })
    }

    /// One whose settings are changed before it starts.
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let (mgm, sent): (&Mgm<Client>, _) =
            (Box::leak(Box::default()), Box::leak(Box::<AtomicUsize>::default()));
        let counted: &'static AtomicUsize = sent;
        let config = MemoryConfig {
            route: None,
            transmit: Some(Box::new(|interfaces, _| {
                counted.fetch_add(interfaces.len(), SeqCst);
            })),
        };
        let mut settings = Settings {
            log_level: Level::Off,
            clock: Some(Arc::new(|| Millis(1))),
            forwarder: ForwarderChoice::Memory(config),
            ..Settings::default()
        };
        change(&mut settings);
        mgm.start(settings).unwrap();
        Self { mgm, sent }
    }

    fn client(self, protocol: u32, interfaces: &[u32]) -> Registered {
        self.register(Client::default(), protocol, interfaces)
    }

    /// One that dispatches its callbacks itself.
    fn looping(self, protocol: u32, interfaces: &[u32]) -> Registered {
        self.register(Client::looping(), protocol, interfaces)
    }

    fn register(self, client: Client, protocol: u32, interfaces: &[u32]) -> Registered {
        let id = self.mgm.register(client.clone(), protocol, 1).unwrap();
        for index in interfaces {
            self.mgm.take_interface(id, interface(*index)).unwrap();
        }
        (client, id)
    }

    fn add(self, id: ClientId, of: SourceGroup, index: u32) -> Result<(), Error> {
        self.mgm.add_membership(id, of, interface(index), JOIN)
    }

    fn delete(self, id: ClientId, of: SourceGroup, index: u32) -> Result<(), Error> {
        self.mgm.delete_membership(id, of, interface(index), JOIN)
    }

    fn packet(self, flow: SourceGroup, index: u32) -> Result<(), Error> {
        let mut packet = [0; 28];
        packet[0] = 0x45;
        packet[3] = 28;
        packet[8] = 64;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&flow.source().octets());
        packet[16..20].copy_from_slice(&flow.group().octets());
        self.mgm.receive(interface(index), &packet)
    }

    /// The indexes of an entry's outgoing interfaces, if there is one.
    fn oifs(self, flow: SourceGroup) -> Option<Vec<u32>> {
        let mut oifs = Vec::new();
        let mut note = |record: &crate::core::state::record::MfeRecord<'_>| {
            oifs.extend(record.oifs.iter().map(|oif| oif.interface.index));
        };
        self.mgm.read_mfe(flow, false, &mut note).ok().map(|()| oifs)
    }
}

fn join_all<const N: usize>(threads: [JoinHandle<()>; N]) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Two clients join and leave one group; each of the others, and each of the two about the other,
/// hears every change, in order.
#[test]
fn a7_one_at_a_time_and_in_order() {
    explore(|| {
        let stage = Stage::new();
        let ((a, a_id), (c, c_id)) = (stage.client(1, &[1]), stage.client(3, &[3]));
        let ((b, _), (d, _)) = (stage.client(2, &[]), stage.client(4, &[]));
        let first = thread::spawn(move || {
            stage.add(a_id, G1, 1).unwrap();
            stage.delete(a_id, G1, 1).unwrap();
            stage.add(a_id, G1, 1).unwrap();
        });
        let second = thread::spawn(move || {
            stage.add(c_id, G1, 3).unwrap();
            stage.delete(c_id, G1, 3).unwrap();
        });
        join_all([first, second]);
        assert!(b.believes(G1) && d.believes(G1) && c.believes(G1) && !a.believes(G1));
        stage.mgm.stop().unwrap();
    });
}

/// Whichever thread comes first calls the observer; each call waits for its own alerts.
#[test]
fn a7_delivered_when_the_call_returns() {
    explore(|| {
        let stage = Stage::new();
        let (b, _) = stage.client(9, &[]);
        let threads = [1, 2, 3].map(|index| {
            let ((_, id), b) = (stage.client(index, &[index]), b.clone());
            let mine = group(index as u8);
            thread::spawn(move || {
                stage.add(id, mine, index).unwrap();
                assert!(b.believes(mine), "A7: the call returned before its alert");
                stage.delete(id, mine, index).unwrap();
                assert!(!b.believes(mine), "A7: the call returned before its alert");
            })
        });
        join_all(threads);
        stage.mgm.stop().unwrap();
    });
}

/// Alerts go to and fro between two clients, each of which calls inside its callbacks.
#[test]
fn a6_calls_inside_callbacks() {
    explore(|| {
        let stage = Stage::new();
        let ((a, a_id), (b, b_id)) = (stage.client(1, &[1]), stage.client(2, &[2]));
        let (_, c_id) = stage.client(3, &[3]);
        let watcher = stage.client(4, &[]).0;
        // G1 makes A join group 11, which makes B join group 12; and so with 2.
        a.on_callback(move |kind, of| match kind {
            CallbackKind::Join if of == G1 => stage.add(a_id, group(11), 1).unwrap(),
            CallbackKind::Join if of == G2 => stage.add(a_id, group(21), 1).unwrap(),
            _ => {}
        });
        b.on_callback(move |kind, of| match kind {
            CallbackKind::Join if of == group(11) => stage.add(b_id, group(12), 2).unwrap(),
            CallbackKind::Join if of == group(21) => stage.add(b_id, group(22), 2).unwrap(),
            _ => {}
        });
        let threads = [(G1, [11, 12]), (G2, [21, 22])].map(|(of, caused)| {
            let watcher = watcher.clone();
            thread::spawn(move || {
                stage.add(c_id, of, 3).unwrap();
                for last in caused {
                    assert!(watcher.believes(group(last)), "A7: caused by the call, and not come");
                }
            })
        });
        join_all(threads);
        stage.mgm.stop().unwrap();
    });
}

/// Two packets of one new flow come in on two threads, while the owner of an outgoing interface
/// goes. Nothing is forwarded before its questions were answered.
#[test]
fn a7_packets_wait_for_the_questions_of_their_flow() {
    explore(|| {
        let stage = Stage::new();
        let ((a, _), (b, b_id), (c, c_id)) =
            (stage.client(1, &[1]), stage.client(2, &[2]), stage.client(3, &[3]));
        stage.add(b_id, G1, 2).unwrap();
        stage.add(c_id, G1, 3).unwrap();
        c.on_callback(move |kind, _| {
            if kind == CallbackKind::Creation {
                assert_eq!(stage.sent.load(SeqCst), 0, "E1: forwarded before it was asked");
            }
        });
        let goes = thread::spawn(move || {
            stage.mgm.release_interface(b_id, interface(2)).unwrap();
            stage.mgm.deregister(b_id).unwrap();
            b.unload();
        });
        let packets = [0, 1].map(|_| {
            thread::spawn(move || {
                stage.packet(FLOW, 1).unwrap();
                let oifs = stage.oifs(FLOW).expect("the entry is there when the call returns");
                assert!(oifs == [2, 3] || oifs == [3], "{oifs:?}");
            })
        });
        join_all(packets);
        join_all([goes]);
        assert_eq!(stage.oifs(FLOW), Some(vec![3]));
        assert_eq!(
            (a.count(CallbackKind::Rpf, FLOW), c.count(CallbackKind::Creation, FLOW)),
            (1, 1)
        );
        assert!((2..=4).contains(&stage.sent.load(SeqCst)), "both packets went to 3");
        stage.mgm.stop().unwrap();
    });
}

/// Two routing protocols want the interface that IGMP is on; IGMP adds its membership again
/// whenever it is enabled (rule C3).
#[test]
fn a6_igmp_is_told_of_each_change_of_owners() {
    explore(|| {
        let stage = Stage::new();
        let (igmp, igmp_id) = stage.client(IGMP, &[1]);
        let ((_, a_id), (_, b_id)) = (stage.client(1, &[]), stage.client(2, &[]));
        stage.add(igmp_id, G1, 1).unwrap();
        igmp.on_callback(move |kind, _| {
            if kind == CallbackKind::EnableIgmp {
                stage.add(igmp_id, G1, 1).unwrap();
            }
        });
        let threads = [a_id, b_id].map(|id| {
            thread::spawn(move || match stage.mgm.take_interface(id, interface(1)) {
                Ok(()) => stage.mgm.release_interface(id, interface(1)).unwrap(),
                Err(Error::AlreadyOwned(..)) => {}
                Err(error) => panic!("{error}"),
            })
        });
        join_all(threads);
        let seen = igmp.seen();
        let about = |(kind, _): &(CallbackKind, SourceGroup)| {
            matches!(kind, CallbackKind::DisableIgmp | CallbackKind::EnableIgmp)
        };
        let seen: Vec<CallbackKind> =
            seen.into_iter().filter(about).map(|(kind, _)| kind).collect();
        assert!(seen.len() == 4 || seen.len() == 8, "{seen:?}");
        assert!(
            seen.chunks(2)
                .all(|pair| pair == [CallbackKind::DisableIgmp, CallbackKind::EnableIgmp]),
            "{seen:?}"
        );
        let owner = stage.mgm.protocol_on_interface(interface(1)).unwrap();
        assert_eq!(owner, (IGMP, 1));
        stage.mgm.stop().unwrap();
    });
}

/// Lifetimes end though a slow client and one that hangs keep the threads that call them; every
/// entry is built anew once, and no more threads than needed are there (rules A7, E8).
#[test]
fn e8_clients_that_hang_the_timer() {
    explore(|| {
        let (stage, now) = (Stage::new(), Arc::new(AtomicU64::new(1000)));
        let clock = now.clone();
        stage.mgm.with(|running| {
            running.clock = Some(Arc::new(move || Millis(clock.load(SeqCst))));
        });
        let flow = |index: u32| SourceGroup::new(Ipv4Addr::new(10, index as u8, 0, 2), G1.group());
        let clients = [1, 2, 3].map(|index| {
            let (client, _) = stage.client(index, &[index]);
            stage.packet(flow(index), index).unwrap();
            client
        });
        let asked = |at: usize| clients[at].count(CallbackKind::Rpf, flow(at as u32 + 1));
        // The first client returns once the second one hangs, and the second when it is released.
        let (first, second) = (clients[0].clone(), clients[1].clone());
        let (rpf, hangs) = (CallbackKind::Rpf, clients[1].clone());
        let released = Arc::new(AtomicUsize::new(1));
        let until = released.clone();
        clients[0].on_callback(move |kind, _| {
            while kind == rpf && second.count(rpf, flow(2)) < first.count(rpf, flow(1)) {
                thread::yield_now();
            }
        });
        clients[1].on_callback(move |kind, _| {
            while kind == rpf && hangs.count(rpf, flow(2)) > until.load(SeqCst) {
                thread::yield_now();
            }
        });
        let forwarder = stage.mgm.with(|running| running.forwarder.clone()).unwrap();
        stage.mgm.start_threads(false, &*forwarder).unwrap();
        stage.mgm.pool.go();
        for round in 2..=4 {
            (1..=3).for_each(|index| stage.packet(flow(index), index).unwrap());
            now.fetch_add(901_000, SeqCst);
            while asked(2) < round {
                thread::yield_now();
            }
            let threads = stage.mgm.pool.threads();
            // One for each client, one that works, and one that stands by. Another may just be
            // returning from a callback.
            assert!(threads <= 6, "{threads} threads in round {round}");
            released.store(round, SeqCst);
            let pruned = |at: usize| clients[at].count(CallbackKind::Prune, flow(at as u32 + 1));
            let over = |running: &mut Running<Client>| {
                running.delivery.others_running(NOBODY) == (false, false)
                    && (0..3).all(|at| pruned(at) == round)
            };
            while stage.mgm.with(over) == Some(false) {
                thread::yield_now();
            }
        }
        stage.mgm.stop().unwrap();
        assert_eq!([0, 1, 2].map(asked), [4, 4, 4]);
    });
}

/// A thread that reads meanwhile sees whole entries, in order (rule E11).
#[test]
fn a6_reading_while_others_change() {
    explore(|| {
        let stage = Stage::new();
        let ((_, b_id), (_, c_id)) = (stage.client(2, &[2]), stage.client(3, &[3]));
        let _owner = stage.client(1, &[1]);
        let flow = |last| SourceGroup::new(SOURCE, group(last).group());
        stage.add(b_id, SourceGroup::ALL, 2).unwrap();
        stage.packet(flow(5), 1).unwrap();
        let changes = thread::spawn(move || {
            stage.add(c_id, group(5), 3).unwrap();
            stage.packet(flow(4), 1).unwrap();
            stage.packet(flow(6), 1).unwrap();
            stage.delete(c_id, group(5), 3).unwrap();
        });
        for _ in 0..2 {
            let mut rows = Vec::new();
            let read = stage.mgm.read_mfes(None, false, &mut |_| true, &mut |record| {
                assert!(matches!(record.oifs.len(), 1 | 2) && record.oifs[0].interface.index == 2);
                rows.push(record.flow);
                ControlFlow::Continue(())
            });
            assert_eq!(read, Ok(Rest::End));
            assert!(rows.is_sorted() && rows.contains(&flow(5)), "{rows:?}");
        }
        join_all([changes]);
        assert_eq!(stage.oifs(flow(5)), Some(vec![2]));
        stage.mgm.stop().unwrap();
    });
}
