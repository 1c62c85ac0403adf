//! Calls and callbacks across processes are those of one process (rule P1).

use crate::stage::{Puppet, path, until};

const A: &str = "2147418113 1"; // PROTOCOL_ID(1, 0x3fff, 1)
const B: &str = "2147418114 1";
const OTHER: &str = "2147418115 1";
const IGMP: &str = "10 1";

#[test]
fn p1_codes_and_outputs() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let a = Puppet::client(&path);
    let b = Puppet::client(&path);
    assert_eq!(a.ask(&format!("register {A}")), "0 0");
    assert_eq!(b.ask(&format!("register {A}")), "183 0");
    assert_eq!(b.ask(&format!("register {B}")), "0 0");
    assert_eq!(a.ask("take 0 1"), "0");
    assert_eq!(b.ask("take 0 1"), "183");
    assert_eq!(b.ask("owner 1"), "0 2147418113 1");
    assert_eq!(b.ask("owner 2"), "1168 0 0");
    assert_eq!(b.ask("release 0 1"), "87");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 1"), "87");
    assert_eq!(a.ask("deregister 0"), "1003");
    assert_eq!(a.ask("many 0 1000 1"), "0");
    assert_eq!(b.ask("groups 0"), "259 1000");
    assert!(b.ask("state").contains("\"groups\":1000"));
    assert!(host.ask("state").contains("\"clients\":2"));
    assert_eq!(a.ask("release 0 1"), "0");
    assert_eq!(a.ask("deregister 0"), "0");
    assert_eq!(a.ask("deregister 0"), "87");
    assert_eq!(b.ask("groups 0"), "259 0");
    assert_eq!(a.ask("stop"), "1003");
    assert_eq!(a.ask("receive 1 10.0.0.1 239.1.1.1"), "1003");
}

#[test]
fn p1_a_flow_asks_its_owners_and_its_packet_goes_on() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    assert_eq!((a.ask("take 0 1"), b.ask("take 0 2")), ("0".into(), "0".into()));
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(host.ask("receive 1 10.0.0.1 239.1.1.1"), "0");
    assert_eq!(host.wait_for("sent"), "sent 2 28");
    assert_eq!(
        a.callbacks(),
        ["join 0.0.0.0 239.1.1.1 1", "rpf 10.0.0.1 239.1.1.1 1 28", "join 10.0.0.1 239.1.1.1 0"]
    );
    assert_eq!(b.callbacks(), ["creation 10.0.0.1 239.1.1.1 1 2"]);
    assert_eq!(b.ask("mfe 10.0.0.1 239.1.1.1"), "0 1 1");
    // Rule E4: B takes the last interface away, and A says for how long.
    assert_eq!(b.ask("delete 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(
        a.callbacks(),
        ["prune 0.0.0.0 239.1.1.1 2 1 900", "prune 10.0.0.1 239.1.1.1 2 0 900"]
    );
}

#[test]
fn p1_a_packet_has_gone_and_every_callback_has_run_when_mgmhostreceive_returns() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    assert_eq!((a.ask("take 0 1"), b.ask("take 0 2")), ("0".into(), "0".into()));
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    for n in 1..=200 {
        assert_eq!(host.ask(&format!("receive 1 10.0.0.{n} 239.1.1.1")), "0");
        assert!(host.has("sent 2 28"), "packet {n}");
        assert_eq!(b.callbacks(), [format!("creation 10.0.0.{n} 239.1.1.1 1 2")]);
    }
}

#[test]
fn p1_calls_inside_callbacks() {
    let path = path();
    let _host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    assert_eq!((a.ask("take 0 1"), b.ask("take 0 2")), ("0".into(), "0".into()));
    // A's join alert makes A add a group, of which B hears before its own call has returned.
    a.ask("nested add 0 0.0.0.0 239.9.9.9 1");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(b.callbacks(), ["join 0.0.0.0 239.9.9.9 1"]);
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.1 1", "nested 0"]);
    // Every function inside a callback.
    let inside = [
        ("owner 2", "nested 0 2147418114 1"),
        ("groups 0", "nested 259 4"),
        ("mfe 10.0.0.1 239.1.1.1", "nested 1168 0 0"),
        ("take 0 7", "nested 0"),
        ("release 0 7", "nested 0"),
        ("register 2147418199 1", "nested 0 1"),
        ("delete 0 0.0.0.0 239.9.9.9 1", "nested 0"),
        ("dispatch 0", "nested 87"),
    ];
    for (n, (call, answer)) in inside.into_iter().enumerate() {
        a.ask(&format!("nested {call}"));
        assert_eq!(b.ask(&format!("add 0 0.0.0.0 239.2.2.{n} 2")), "0");
        assert!(a.callbacks().contains(&answer.to_string()), "{call}: {answer}");
    }
}

#[test]
fn p1_a_client_deregisters_inside_its_callback() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    b.ask("take 0 2");
    a.ask("nested deregister 0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.1 1", "nested 0"]);
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.2 2"), "0");
    assert_eq!(a.callbacks(), [""; 0]);
    assert!(host.ask("state").contains("\"clients\":1"));
    // Its pair is free, and its process can register again.
    assert_eq!(a.ask(&format!("register {A}")), "0 1");
}

/// Its process goes on, and another client of it, from outside and from inside its callback (rule H6).
#[test]
fn p1_h6_a_client_with_a_loop_deregisters() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    assert_eq!(a.ask(&format!("register {OTHER}")), "0 0");
    b.ask(&format!("register {B}"));
    b.ask("take 0 2");
    // Often, since its thread in the host may be anywhere.
    for n in 1..=50 {
        assert_eq!(a.ask(&format!("register {A} dispatched")), format!("0 {n}"));
        assert_eq!(a.ask(&format!("dispatch {n}")), "0");
        assert_eq!(a.ask(&format!("deregister {n}")), "0");
    }
    assert_eq!(a.ask(&format!("register {A} dispatched")), "0 51");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.1 1"], "the other client is told");
    a.ask("nested deregister 51");
    assert_eq!(a.ask("dispatch 51"), "0");
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.1 1", "nested 0"]);
    until(|| host.ask("state").contains("\"clients\":2,"), "it is still registered");
    assert_eq!(a.ask("dispatch 51"), "87");
    assert_eq!(a.ask(&format!("register {A} dispatched")), "0 52");
    assert_eq!(a.ask("take 0 1"), "0");
    assert_eq!(a.ask("owner 2"), "0 2147418114 1");
}

#[test]
fn p1_igmp_is_told_across_processes() {
    let path = path();
    let _host = Puppet::host(&path, 0);
    let (igmp, a) = (Puppet::client(&path), Puppet::client(&path));
    igmp.ask(&format!("register {IGMP}"));
    a.ask(&format!("register {A}"));
    igmp.ask("take 0 1");
    assert_eq!(a.ask("take 0 1"), "0");
    assert_eq!(igmp.callbacks(), ["disable 1", "enable 1"]);
    assert_eq!(igmp.ask("add 0 0.0.0.0 239.1.1.1 1"), "0");
    assert_eq!(a.callbacks(), ["local_join 0.0.0.0 239.1.1.1 1"]);
    // C3: adding memberships inside the enable callback works.
    igmp.ask("nested add 0 0.0.0.0 239.1.1.2 1");
    assert_eq!(a.ask("release 0 1"), "0");
    let told = igmp.callbacks();
    assert_eq!(told[0], "disable 1");
    assert!(told.contains(&"enable 1".to_string()), "{told:?}");
}

#[test]
fn p1_many_threads_and_clients_of_one_process() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let a = Puppet::client(&path);
    for n in 1..=10 {
        assert_eq!(a.ask(&format!("register {} 1", 2147418112u32 + n)), format!("0 {}", n - 1));
        assert_eq!(a.ask(&format!("take {} {n}", n - 1)), "0");
    }
    // Each of the others hears, over a callback channel of its own.
    assert_eq!(a.ask("add 0 0.0.0.0 239.1.1.1 1"), "0");
    assert_eq!(a.callbacks().len(), 9);
    assert!(host.ask("state").contains("\"clients\":10"));
}

#[test]
fn h1_a_loop_that_just_came_is_called_in_its_dispatch_alone() {
    let path = path();
    let _host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    b.ask(&format!("register {B}"));
    b.ask("take 0 2");
    for n in 0..40 {
        // Alerts for it come about while it registers.
        b.tell("many 0 100 2");
        assert_eq!(a.ask(&format!("register {A} dispatched")), format!("0 {n}"));
        assert_eq!(a.ask(&format!("dispatch {n}")), "0");
        assert_eq!(b.answer(), "0");
        assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
        a.callbacks();
        assert_eq!(a.ask(&format!("poll {n}")), "0 in");
        assert_eq!(a.ask(&format!("dispatch {n}")), "0");
        assert_eq!(a.callbacks().last().unwrap(), "join 0.0.0.0 239.1.1.1 1");
        assert_eq!(a.ask(&format!("deregister {n}")), "0");
        assert_eq!(b.ask("release 0 2"), "0");
        assert_eq!(b.ask("take 0 2"), "0");
    }
}

#[test]
fn h1_h2_h3_a_client_with_a_loop_in_another_process() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    assert_eq!(a.ask(&format!("register {A} dispatched")), "0 0");
    b.ask(&format!("register {B}"));
    a.ask("take 0 1");
    b.ask("take 0 2");
    assert_eq!(a.ask("poll 0"), "0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.1 2"), "0");
    assert_eq!(b.ask("add 0 0.0.0.0 239.1.1.2 2"), "0");
    // It waits, and nothing has been called.
    assert_eq!(a.ask("poll 0"), "0 in");
    assert_eq!(a.callbacks(), [""; 0]);
    a.ask("nested add 0 0.0.0.0 239.9.9.9 1");
    assert_eq!(a.ask("dispatch 0"), "0");
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.1 1", "nested 0", "join 0.0.0.0 239.1.1.2 1"]);
    assert_eq!(a.ask("poll 0"), "0");
    assert_eq!(a.ask("dispatch 0"), "0");
    // Rule H7: not inside a callback of the same client.
    a.ask("nested dispatch 0");
    b.ask("add 0 0.0.0.0 239.1.1.3 2");
    assert_eq!(a.ask("dispatch 0"), "0");
    assert_eq!(a.callbacks(), ["join 0.0.0.0 239.1.1.3 1", "nested 1003"]);
    // Without the flag: rules H.
    assert_eq!((b.ask("poll 0"), b.ask("dispatch 0")), ("87".into(), "87".into()));
    // Rule P5: the descriptor tells that the host has gone.
    drop(host);
    until(|| a.ask("poll 0").ends_with("end"), "no error condition");
    assert_eq!(a.ask("dispatch 0"), "1003");
}

/// Many entries come in several messages, and are the same whatever the caller's buffer holds.
#[test]
fn p1_e11_all_entries_are_read_in_buffers_of_any_size() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    assert_eq!(a.ask("take 0 1"), "0");
    for interface in 2..5 {
        assert_eq!(b.ask(&format!("take 0 {interface}")), "0");
        assert_eq!(b.ask(&format!("add 0 0.0.0.0 239.1.1.1 {interface}")), "0");
    }
    assert_eq!(host.ask("new 1000"), "0");
    for kind in ["plain", "stats"] {
        let all = host.ask(&format!("sweep 1048576 {kind}"));
        assert!(all.starts_with("1000 ") && all.ends_with(" 259"), "{all}");
        for size in [148, 300, 15_000, 65_536, 1_048_576] {
            assert_eq!(a.ask(&format!("sweep {size} {kind}")), all, "{size} {kind}");
        }
        // Not even one record fits.
        assert!(a.ask(&format!("sweep 100 {kind}")).ends_with(" 122"));
    }
    assert_eq!(b.ask("many 0 20000 2"), "0");
    assert_eq!(b.ask("groups 0"), "259 20001");
}
