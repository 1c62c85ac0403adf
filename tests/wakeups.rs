//! Threads that wait for their alerts are woken when these have been delivered, and not at each step that
//! others make (rule A7): a call costs the same however many threads call.

use mgm::error::Error;
use mgm::log::Level;
use mgm::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use mgm::shell::manager::{Mgm, Settings};
use mgm::types::{IfKey, MembershipFlags, Route, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

const JOIN: MembershipFlags = MembershipFlags::JOIN;
const THREADS: u8 = 100;
const CALLS: u32 = 20;

/// Takes a while for each alert.
#[derive(Clone)]
struct Slow;

impl Slow {
    fn called() {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(50) {
            std::hint::spin_loop();
        }
    }
}

impl Callbacks for Slow {
    fn has_local_join(&self) -> bool {
        false
    }
    fn rpf(&self, _: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {}
    fn creation(&self, _: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        Ok(())
    }
    fn prune(&self, _: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {
        Self::called();
    }
    fn join(&self, _: SourceGroup, _: bool) {
        Self::called();
    }
    fn wrong_interface(&self, _: SourceGroup, _: IfKey, _: &[u8]) {}
    fn local_join(&self, _: SourceGroup, _: IfKey) {}
    fn local_leave(&self, _: SourceGroup, _: IfKey) {}
    fn disable_igmp(&self, _: IfKey) {}
    fn enable_igmp(&self, _: IfKey) {}
}

/// How often this thread has gone to sleep of itself.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn a7_a_call_is_woken_for_itself() {
    let mgm: &'static Mgm<Slow> = Box::leak(Box::default());
    mgm.start(Settings { log_level: Level::Off, ..Settings::default() }).unwrap();
    let (_hears, calls) = (mgm.register(Slow, 1, 1).unwrap(), mgm.register(Slow, 2, 1).unwrap());
    let interface = IfKey::new(1, Ipv4Addr::UNSPECIFIED);
    mgm.take_interface(calls, interface).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|last| {
            thread::spawn(move || {
                let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, last));
                let before = sleeps();
                for _ in 0..CALLS / 2 {
                    mgm.add_membership(calls, of, interface, JOIN).unwrap();
                    mgm.delete_membership(calls, of, interface, JOIN).unwrap();
                }
                sleeps() - before
            })
        })
        .collect();
    let slept: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let calls = u64::from(THREADS) * u64::from(CALLS);
    // Once for the alert, at the lock now and then, and ten times a second whatever happens.
    assert!(slept <= 8 * calls, "{slept} times asleep in {calls} calls");
    mgm.stop().unwrap();
}
