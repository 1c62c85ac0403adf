//! Rule E9: routes that change while they are looked up.

#![forbid(unsafe_code)]

use crate::shell::schedules::{FLOW, G1, SOURCE, Stage, explore, interface, join_all};
use crate::types::{IfKey, Route};
use shuttle::thread;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// The index that the route toward the source leads to.
#[derive(Clone, Copy)]
struct Toward(&'static AtomicU32);

impl Toward {
    fn new(index: u32) -> Self {
        Self(Box::leak(Box::new(AtomicU32::new(index))))
    }

    fn route(self, source: Ipv4Addr, _: Option<IfKey>) -> Option<Route> {
        let interface = interface(self.0.load(SeqCst));
        Some(Route { interface, upstream: source, protocol: 0, network: source, prefix_len: 32 })
    }

    fn moves(self, stage: Stage, index: u32) {
        self.0.store(index, SeqCst);
        stage.mgm.routes_changed(SOURCE, 32).unwrap();
    }
}

fn iif(stage: Stage) -> Option<u32> {
    let mut iif = None;
    stage.mgm.read_mfe(FLOW, false, &mut |record| iif = Some(record.iif.index)).unwrap();
    iif
}

/// A route moves while it is looked up, for a new flow or again: the entry follows it in the end.
#[test]
fn e9_a_route_that_moves_while_it_is_looked_up() {
    for known in [false, true] {
        explore(move || {
            let toward = Toward::new(1);
            let stage =
                Stage::with_routes(Some(Box::new(move |source, on| toward.route(source, on))));
            let _owner = stage.client(1, &[1, 2, 3]);
            if known {
                stage.packet(FLOW, 1).unwrap();
            }
            let comes = thread::spawn(move || stage.packet(FLOW, 1).unwrap());
            let moves = [2, 3].map(|index| thread::spawn(move || toward.moves(stage, index)));
            join_all([comes]);
            join_all(moves);
            assert_eq!(iif(stage), Some(toward.0.load(SeqCst)));
            stage.mgm.stop().unwrap();
        });
    }
}

/// The same, just when a look-up has its answer: everything that the change causes comes before it.
#[test]
fn e9_a_change_that_overtakes_a_look() {
    for known in [false, true] {
        explore(move || {
            let toward = Toward::new(1);
            let (overtaken, place) =
                (Box::leak(Box::new(AtomicBool::new(false))), Box::leak(Box::new(OnceLock::new())));
            let (overtaken, place): (&AtomicBool, &OnceLock<Stage>) = (overtaken, place);
            let stage = Stage::with_routes(Some(Box::new(move |source, on| {
                let answer = toward.route(source, on);
                if overtaken.swap(false, SeqCst) {
                    let stage = *place.get().unwrap();
                    thread::spawn(move || toward.moves(stage, 2)).join().unwrap();
                }
                answer
            })));
            place.set(stage).unwrap_or_else(|_| panic!("it is set once"));
            let (_, owner) = stage.client(1, &[1, 2, 3]);
            let meanwhile = thread::spawn(move || stage.add(owner, G1, 3).unwrap());
            if known {
                stage.packet(FLOW, 1).unwrap();
                overtaken.store(true, SeqCst);
                toward.moves(stage, 3);
            } else {
                overtaken.store(true, SeqCst);
                stage.packet(FLOW, 1).unwrap();
            }
            join_all([meanwhile]);
            assert_eq!(iif(stage), Some(2));
            stage.mgm.stop().unwrap();
        });
    }
}
