//! What a process leaves behind goes on for a while (rule P3).

use crate::running::amount;
use crate::stage::{Puppet, path, until};
use mgm::types::PATIENCE;
use std::time::Instant;

const A: &str = "2147418113 1";
const B: &str = "2147418114 1";

fn two(hold: u32) -> (std::path::PathBuf, Puppet, Puppet, Puppet) {
    let path = path();
    let host = Puppet::host(&path, hold);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
    assert_eq!(b.ask(&format!("register {B}")), "0 0");
    assert_eq!((a.ask("take 0 1"), b.ask("take 0 2")), ("0".into(), "0".into()));
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.2 2"), "0");
    assert_eq!(host.ask("receive 1 10.0.0.1 239.1.1.1"), "0");
    host.wait_for("sent 2");
    a.callbacks();
    (path, host, a, b)
}

#[test]
fn p3_killed_and_started_again_a_client_loses_nothing() {
    let (path, host, a, mut b) = two(30);
    b.kill();
    // Its entries go on forwarding meanwhile, those of new sources as well.
    for n in 1..20 {
        assert_eq!(host.ask(&format!("receive 1 10.0.0.{n} 239.1.1.1")), "0");
        host.wait_for("sent 2");
    }
    let b = Puppet::client(&path);
    assert_eq!(b.ask(&format!("register {B}")), "0 0");
    assert_eq!(b.ask("take 0 2"), "0");
    assert_eq!(b.ask("take 0 2"), "183");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(host.ask("receive 1 10.0.0.1 239.1.1.1"), "0");
    host.wait_for("sent 2");
    // Nobody else has heard of it, but of the flows that came meanwhile.
    let alerts = a.callbacks();
    assert!(
        alerts.iter().all(|line| line.starts_with("rpf") || line.ends_with(" 0")),
        "{alerts:?}"
    );
    // It is asked again from now on.
    assert_eq!(host.ask("receive 1 10.0.0.77 239.1.1.1"), "0");
    b.wait_for("creation 10.0.0.77 239.1.1.1 1 2");
}

/// A new process knows none of IGMP's memberships, and IGMP has no reason to add them again.
#[test]
fn p3_an_owner_that_is_back_hears_of_local_members() {
    let (path, _host, a, mut b) = two(30);
    assert_eq!(a.ask("register 1094123530 1"), "0 1"); // MS_IP_IGMP
    assert_eq!(a.ask("take 1 2"), "0");
    assert_eq!(a.ask("add 1 0.0.0.0 239.4.4.4 2"), "0");
    assert_eq!(a.ask("add 1 10.0.0.9 239.4.4.5 2"), "0");
    b.wait_for("local_join 10.0.0.9 239.4.4.5 2");
    b.kill();
    assert_eq!(a.ask("delete 1 0.0.0.0 239.4.4.4 2"), "0");
    assert_eq!(a.ask("add 1 0.0.0.0 239.4.4.6 2"), "0");
    let b = Puppet::client(&path);
    assert_eq!(b.ask(&format!("register {B}")), "0 0");
    assert_eq!(b.ask("take 0 2"), "0");
    b.wait_for("local_join 0.0.0.0 239.4.4.6 2");
    b.wait_for("local_join 10.0.0.9 239.4.4.5 2");
    assert_eq!(b.ask("take 0 2"), "183");
    assert!(!b.callbacks().iter().any(|line| line.contains("239.4.4")));
}

#[test]
fn p3_what_is_not_asked_for_again_goes_when_the_time_is_over() {
    let (path, host, a, mut b) = two(8);
    assert_eq!(b.ask("take 0 3"), "0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.3.3.3 3"), "0");
    a.callbacks();
    b.kill();
    let b = Puppet::client(&path);
    assert_eq!(b.ask(&format!("register {B}")), "0 0");
    assert_eq!(b.ask("take 0 2"), "0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    a.wait_for("prune 0.0.0.0 239.1.1.2 2 1 900");
    a.wait_for("prune 0.0.0.0 239.3.3.3 3 1 900");
    until(|| a.ask("owner 3").starts_with("1168"), "interface 3 is still owned");
    assert_eq!(a.ask("owner 2"), "0 2147418114 1");
    assert_eq!(b.ask("groups 0"), "259 1");
    assert!(a.callbacks().iter().all(|line| !line.contains("239.1.1.1 2 1")));
    assert!(host.ask("state").contains("\"clients\":2"));
}

#[test]
fn p3_a_client_that_does_not_come_back_leaves_after_the_time() {
    let (_path, host, a, mut b) = two(1);
    b.kill();
    a.wait_for("prune 0.0.0.0 239.1.1.1 2 1 900");
    a.wait_for("prune 0.0.0.0 239.1.1.2 2 1 900");
    until(|| host.ask("state").contains("\"clients\":1"), "it is still registered");
}

#[test]
fn p3_killed_again_within_the_time() {
    let (path, host, a, mut b) = two(3);
    for _ in 0..3 {
        b.kill();
        b = Puppet::client(&path);
        assert_eq!(b.ask(&format!("register {B}")), "0 0");
        assert_eq!(b.ask("take 0 2"), "0");
        assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    }
    a.wait_for("prune 0.0.0.0 239.1.1.2 2 1 900");
    assert_eq!(host.ask("receive 1 10.0.0.1 239.1.1.1"), "0");
    host.wait_for("sent 2");
    assert_eq!(a.ask("owner 2"), "0 2147418114 1");
}

/// The new process is there before the old one is killed, and registers before the host has noticed.
#[test]
fn p2_p3_registered_again_at_once_after_the_kill() {
    for hold in [0, 30] {
        let (path, _host, a, mut b) = two(hold);
        for n in 0..amount(50, 10) {
            let number = u32::from(n > 0); // of the client among those of its process
            assert_eq!(b.ask(&format!("many {number} 300 2")), "0");
            let next = Puppet::client(&path);
            assert_eq!(next.ask(&format!("register {} 1", 500 + n)), "0 0", "another pair");
            b.kill();
            let again = next.ask(&format!("register {B}"));
            assert_eq!(again, "0 1", "time {n} with a hold of {hold} s");
            assert_eq!(next.ask("deregister 0"), "0");
            assert_eq!(next.ask("take 1 2"), "0");
            b = next;
            a.callbacks();
        }
    }
}

/// What a process that lives has registered is its own.
#[test]
fn p2_a_process_that_lives_is_not_waited_for() {
    let (path, _host, a, b) = two(0);
    let refused_at_once = |who: &Puppet| {
        let begun = Instant::now();
        assert!(who.ask(&format!("register {B}")).starts_with("183 "));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    };
    refused_at_once(&a);
    // Nor is one that stands still.
    b.stop();
    let other = Puppet::client(&path);
    assert_eq!(other.ask("owner 1"), "0 2147418113 1"); // it runs, and is connected
    refused_at_once(&other);
    b.signal(libc::SIGCONT);
}

#[test]
fn p3_another_kind_of_client_takes_no_place() {
    let (path, _host, a, mut b) = two(30);
    b.kill();
    let b = Puppet::client(&path);
    assert_eq!(b.ask(&format!("register {B} nolocal")), "0 0");
    a.wait_for("prune 0.0.0.0 239.1.1.1 2 1 900");
    assert_eq!(a.ask("owner 2"), "1168 0 0");
}
