//! Callbacks that a process is told of before it is their turn (decision 91): they are what they would be
//! if it were told then. Here the host is the library's, and in `told` the client process.

use crate::peer::Peer;
use crate::peers::goes_on;
use crate::stage::{Puppet, path, until};
use mgm::remote::wire::{
    Answer, Callback, MAX_MESSAGE, Reply, Request, ToClient, ToHost, Unpacker,
};
use mgm::shell::callbacks::{CallbackKind, CallbackSet};
use mgm::types::{ClientId, IfKey, MembershipFlags, Seconds, SourceGroup};
use std::net::Ipv4Addr;
use std::path::PathBuf;

const A: &str = "2147418113 1";
const B: &str = "2147418114 1";
const C: &str = "2147418115 1";

/// A has interface 1, B those from 2 to 4 with members on each, and C one of its own.
fn flows() -> (Puppet, Puppet, Puppet, Puppet) {
    let path = path();
    let host = Puppet::host(&path, 0);
    let [a, b, c] = [A, B, C].map(|name| {
        let client = Puppet::client(&path);
        client.ask(&format!("register {name}"));
        client
    });
    assert_eq!((a.ask("take 0 1"), c.ask("take 0 9")), ("0".into(), "0".into()));
    for interface in 2..5 {
        assert_eq!(b.ask(&format!("take 0 {interface}")), "0");
        assert_eq!(b.ask(&format!("add 0 0.0.0.0 239.1.1.1 {interface}")), "0");
    }
    a.callbacks();
    (host, a, b, c)
}

/// Has A answer about so many flows, whose creation alerts wait for B, who is inside an alert that C
/// caused. Gives the order in which A was asked.
fn waiting((host, a, b, c): &(Puppet, Puppet, Puppet, Puppet), count: usize) -> Vec<String> {
    b.ask("hold");
    c.tell("add 0 0.0.0.0 239.9.9.9 9");
    b.wait_for("join 0.0.0.0 239.9.9.9 1");
    host.tell(&format!("flows {count}"));
    let mut asked = Vec::new();
    until(
        || {
            let callbacks = a.callbacks();
            asked.extend(callbacks.iter().filter(|line| line.starts_with("rpf")).map(source));
            asked.len() == count
        },
        "A is not asked about all",
    );
    until(|| host_has_queued(a, count), "the alerts do not wait");
    asked
}

/// The source in a callback's line.
fn source(line: impl AsRef<str>) -> String {
    line.as_ref().split(' ').nth(1).unwrap().to_string()
}

/// Whether so many callbacks wait.
fn host_has_queued(a: &Puppet, count: usize) -> bool {
    a.ask("state").contains(&format!("\"queued_alerts\":{count},"))
}

/// B goes on to the next callbacks, the first of which is the host's, and the second came with it: the
/// host is stopped when it is called. B is inside it then. Gives both.
fn one_and_one_that_came_ahead(host: &Puppet, b: &Puppet) -> [String; 2] {
    b.ask("go");
    let first = b.wait_for("creation");
    host.stop();
    b.ask("go");
    let second = b.wait_for("creation");
    host.signal(libc::SIGCONT);
    [first, second]
}

#[test]
fn p1_flows_are_asked_about_in_order_and_once_each() {
    let all = flows();
    let (host, _, b, _) = &all;
    let asked = waiting(&all, 60);
    let mut told = Vec::from(one_and_one_that_came_ahead(host, b));
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 60].join(" "));
    told.extend(b.callbacks());
    assert!(told.iter().all(|line| line.ends_with(" 1 2,3,4")), "{told:?}");
    assert_eq!(told.iter().map(source).collect::<Vec<_>>(), asked);
}

/// Rule C4, decision 35: what a client is told after it has released an interface has that no more.
#[test]
fn p1_c4_what_came_ahead_is_told_anew_after_a_release() {
    let all = flows();
    let (host, _, b, _) = &all;
    let asked = waiting(&all, 40);
    let before = one_and_one_that_came_ahead(host, b);
    assert!(before.iter().all(|line| line.ends_with(" 1 2,3,4")), "{before:?}");
    b.ask("nested release 0 3");
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    let told = b.callbacks();
    assert_eq!(told[0], "nested 0");
    assert!(told[1..].iter().all(|line| line.ends_with(" 1 2,4")), "{told:?}");
    assert_eq!(told[1..].iter().map(source).collect::<Vec<_>>(), asked[2..]);
}

/// With no interface left there is nothing to ask, as where the alert did not go ahead.
#[test]
fn p1_c4_what_came_ahead_is_not_called_once_all_interfaces_are_released() {
    let all = flows();
    let (host, _, b, _) = &all;
    waiting(&all, 40);
    one_and_one_that_came_ahead(host, b);
    for interface in 2..5 {
        assert_eq!(b.ask(&format!("release 0 {interface}")), "0");
    }
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    assert_eq!(b.callbacks(), [""; 0]);
}

/// Rule A8.
#[test]
fn p1_a8_what_came_ahead_is_not_called_after_a_deregistration() {
    let all = flows();
    let (host, _, b, _) = &all;
    waiting(&all, 40);
    one_and_one_that_came_ahead(host, b);
    for interface in 2..5 {
        assert_eq!(b.ask(&format!("release 0 {interface}")), "0");
    }
    b.ask("nested deregister 0");
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    assert_eq!(b.callbacks(), ["nested 0"]);
    assert_eq!(b.ask(&format!("register {B}")), "0 1");
}

/// Rule P2: the flows that it had been told of go on without it.
#[test]
fn p2_a_process_that_is_killed_inside_what_came_ahead() {
    let mut all = flows();
    waiting(&all, 40);
    one_and_one_that_came_ahead(&all.0, &all.2);
    all.2.kill();
    let (host, a, ..) = &all;
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    until(|| a.ask("owner 2").starts_with("1168"), "the interface is still owned");
    until(|| host_has_queued(a, 0), "alerts are left");
    // Its interfaces go one after the other.
    until(|| a.ask("mfe 10.0.0.40 239.1.1.1") == "0 1 0", "the entry goes to somebody");
}

/// A process that the test plays, with a client for which three alerts are there.
struct Played {
    path: PathBuf,
    host: Puppet,
    client: Puppet,
    others: Vec<Puppet>,
    peer: Peer,
    channel: Peer,
    callbacks: Peer,
    id: ClientId,
}

/// The client has MGM_DISPATCHED, or has answered the first of the alerts while the others waited.
fn played(dispatched: bool) -> Played {
    let path = path();
    let host = Puppet::host(&path, 0);
    let client = Puppet::client(&path);
    client.ask(&format!("register {A}"));
    assert_eq!(client.ask("take 0 1"), "0");
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    let (id, callbacks) = channel.register_as(77, dispatched);
    client.tell("add 0 0.0.0.0 239.5.5.1 1");
    // The others come behind it.
    if dispatched {
        let waits = || host.ask("state").contains("\"queued_alerts\":1,");
        until(waits, "the first alert does not wait");
    } else {
        assert_eq!(questions(&callbacks), [1]);
    }
    let others: Vec<_> = (2..4)
        .map(|n| {
            let other = Puppet::client(&path);
            other.ask(&format!("register {} 1", 100 + n));
            assert_eq!(other.ask(&format!("take 0 {n}")), "0");
            other.tell(&format!("add 0 0.0.0.0 239.5.5.{n} {n}"));
            // The other clients hear of it, and the peer will.
            let heard = format!("join 0.0.0.0 239.5.5.{n} 1");
            client.wait_for(&heard);
            other
        })
        .collect();
    if !dispatched {
        callbacks.send(&ToHost::Answer(Answer::Returned));
    }
    Played { path, host, client, others, peer, channel, callbacks, id }
}

impl Played {
    /// Asks for something, and waits until so many clients are left.
    fn begin(&self, on: &Peer, request: Request, clients: usize) {
        assert!(on.request(request));
        let left = format!("\"clients\":{clients},");
        until(|| self.host.ask("state").contains(&left), "it is still registered");
    }
}

/// A call inside a callback is done.
fn calls_inside(callbacks: &Peer) {
    callbacks.request(Request::ProtocolOn(IfKey::new(1, Ipv4Addr::UNSPECIFIED)));
    let mut room = vec![0; MAX_MESSAGE];
    let reply: ToClient<'_> = callbacks.receive(&mut room).unwrap();
    assert!(matches!(reply, ToClient::Reply(Reply::Protocol(..))), "{reply:?}");
}

fn is_done(on: &Peer) {
    let mut room = vec![0; MAX_MESSAGE];
    let reply: ToClient<'_> = on.receive(&mut room).expect("a reply");
    assert_eq!(reply, ToClient::Reply(Reply::Done));
}

/// The last octets of the groups of the questions in the next message.
fn questions(on: &Peer) -> Vec<u8> {
    let mut room = vec![0; MAX_MESSAGE];
    let (message, list) = on.receive_with_list::<ToClient<'_>>(&mut room).unwrap();
    assert!(matches!(message, ToClient::Callbacks(_)), "{message:?}");
    let mut list = Unpacker::new(list);
    let mut groups = Vec::new();
    while !list.is_at_end() {
        let Some(Callback::Join(of, true)) = list.take() else { panic!("no join alert") };
        let of: SourceGroup = of;
        groups.push(of.group().octets()[3]);
    }
    groups
}

#[test]
fn p1_alerts_that_wait_come_in_one_message_and_again_where_they_were_not_called() {
    let played = played(false);
    let [two, three] = questions(&played.callbacks)[..] else { panic!("not both at once") };
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    played.callbacks.send(&ToHost::Answer(Answer::Again));
    assert_eq!(questions(&played.callbacks), [three]);
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    assert_eq!([two, three], [2, 3]);
    for other in &played.others {
        assert_eq!(other.answer(), "0");
    }
    assert_eq!(played.client.answer(), "0");
}

#[test]
fn p6_an_answer_that_says_again_where_it_may_not() {
    // To the one whose turn it is.
    let bad = played(false);
    questions(&bad.callbacks);
    bad.callbacks.send(&ToHost::Answer(Answer::Again));
    bad.peer.wait_for_end();
    for other in &bad.others {
        assert_eq!(other.answer(), "0");
    }
    drop(bad.others);
    assert_eq!(bad.client.answer(), "0");
    goes_on(&bad.host, &bad.client);
}

/// Rule A8: a callback that came ahead, and that the host has not come to, may call as any other.
#[test]
fn p1_a8_a_deregistration_waits_for_what_came_ahead() {
    let played = played(false);
    assert_eq!(questions(&played.callbacks).len(), 2);
    played.begin(&played.channel, Request::Deregister(played.id), 3);
    // The first has returned, and the second is inside its callback by now.
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    calls_inside(&played.callbacks);
    assert!(!played.channel.is_readable(), "the callback has not returned");
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    is_done(&played.channel);
}

/// The same while a thread of the process is in MgmHostDispatch, which returns as well (rule H6).
#[test]
fn p1_a8_h6_a_loop_is_deregistered_while_it_dispatches() {
    let played = played(true);
    played.callbacks.request(Request::Dispatch(played.id));
    assert_eq!(questions(&played.callbacks), [1, 2, 3]);
    played.begin(&played.channel, Request::Deregister(played.id), 3);
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    calls_inside(&played.callbacks);
    assert!(!played.channel.is_readable(), "the callback has not returned");
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    played.callbacks.send(&ToHost::Answer(Answer::Again));
    is_done(&played.channel);
    is_done(&played.callbacks);
    // The rest of the process goes on.
    played.channel.register(78);
}

/// Rule H8: an alert that a loop has been told of does not merge with a later one that takes it back.
#[test]
fn p1_h8_what_came_ahead_merges_with_nothing() {
    let played = played(true);
    played.callbacks.request(Request::Dispatch(played.id));
    assert_eq!(questions(&played.callbacks), [1, 2, 3]);
    assert_eq!(played.others[0].answer(), "0");
    assert_eq!(played.others[0].ask("delete 0 0.0.0.0 239.5.5.2 2"), "0");
    for _ in 0..3 {
        played.callbacks.send(&ToHost::Answer(Answer::Returned));
    }
    let mut room = vec![0; MAX_MESSAGE];
    let (_, list) = played.callbacks.receive_with_list::<ToClient<'_>>(&mut room).unwrap();
    let prune: Callback<'_> = Unpacker::new(list).take().unwrap();
    let Callback::Prune(of, _, true, _) = prune else { panic!("{prune:?}") };
    assert_eq!(of.group(), Ipv4Addr::new(239, 5, 5, 2));
    played.callbacks.send(&ToHost::Answer(Answer::Prune(Seconds(900))));
    is_done(&played.callbacks);
}

/// Of the callbacks that a client has not, its process hears nothing, neither when their turn comes nor
/// ahead (rule A9, decision 91).
#[test]
fn p1_a9_a_process_is_not_asked_for_callbacks_that_it_has_not() {
    for dispatched in [false, true] {
        let path = path();
        let host = Puppet::host(&path, 0);
        let client = Puppet::client(&path);
        client.ask(&format!("register {A}"));
        assert_eq!(client.ask("take 0 1"), "0");
        let changes = |what: &str, group: u8| {
            client.tell(&format!("{what} 0 0.0.0.0 239.5.5.{group} 1"));
        };
        for group in [2, 4] {
            changes("add", group);
            assert_eq!(client.answer(), "0");
        }
        let peer = Peer::greeted(&path);
        let without_join = CallbackSet::ALL.without(CallbackKind::Join);
        let (id, callbacks) = peer.channel().register_with(77, dispatched, without_join);
        let is_prune = |callback: Callback<'_>, group: u8| {
            let Callback::Prune(of, _, true, _) = callback else { panic!("{callback:?}") };
            assert_eq!(of.group(), Ipv4Addr::new(239, 5, 5, group));
            callbacks.send(&ToHost::Answer(Answer::Prune(Seconds(900))));
        };
        let mut room = vec![0; MAX_MESSAGE];
        let told = |room: &mut [u8], groups: &[u8]| {
            let (message, list) = callbacks.receive_with_list::<ToClient<'_>>(room).unwrap();
            assert!(matches!(message, ToClient::Callbacks(_)), "{message:?}");
            let mut list = Unpacker::new(list);
            groups.iter().for_each(|group| is_prune(list.take().unwrap(), *group));
            assert!(list.is_at_end());
        };
        // The alerts of the first and the third are nobody's to be told of.
        for (what, group) in [("add", 1), ("delete", 2), ("add", 3), ("delete", 4)] {
            changes(what, group);
            if !dispatched && what == "delete" {
                told(&mut room, &[group]);
            }
            assert_eq!(client.answer(), "0");
            assert!(dispatched || !callbacks.is_readable(), "{what} {group}");
        }
        if dispatched {
            callbacks.request(Request::Dispatch(id));
            told(&mut room, &[2, 4]);
            is_done(&callbacks);
        }
        drop((peer, callbacks));
        goes_on(&host, &client);
    }
}

/// Two callbacks, each of which would wait for the other one to end: the second call is refused, as it
/// is where nothing went ahead.
#[test]
fn p1_a8_callbacks_that_deregister_each_other() {
    let played = played(false);
    assert_eq!(questions(&played.callbacks), [2, 3]);
    let (other, inside_other) = played.channel.register(78);
    let adds = Puppet::client(&played.path);
    adds.ask("register 200 1");
    assert_eq!(adds.ask("take 0 9"), "0");
    adds.tell("add 0 0.0.0.0 239.5.5.9 9");
    assert_eq!(questions(&inside_other), [9]);
    played.begin(&inside_other, Request::Deregister(played.id), 5);
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    assert_eq!(played.callbacks.code(Request::Deregister(other)), Some(1003));
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    is_done(&inside_other);
    inside_other.send(&ToHost::Answer(Answer::Returned));
    assert_eq!(adds.answer(), "0");
    assert_eq!(played.channel.code(Request::Deregister(other)), Some(0));
}

/// Rule H4, decision 35: IGMP with a loop loses an interface that it has alone as soon as another client
/// takes it, and is asked about it no more.
#[test]
fn p1_h4_what_igmp_alone_has_is_not_asked_about_ahead() {
    let path = path();
    let host = Puppet::host(&path, 0);
    let (a, b) = (Puppet::client(&path), Puppet::client(&path));
    a.ask(&format!("register {A}"));
    b.ask(&format!("register {B}"));
    assert_eq!(a.ask("take 0 1"), "0");
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    let (igmp, callbacks) = channel.register_as(10, true);
    let interface = IfKey::new(3, Ipv4Addr::UNSPECIFIED);
    assert_eq!(channel.code(Request::Take(igmp, interface)), Some(0));
    let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, 1));
    let join = MembershipFlags::JOIN;
    assert_eq!(channel.code(Request::Add(igmp, of, interface, join)), Some(0));
    host.tell("flows 3");
    (0..3).for_each(|_| drop(a.wait_for("rpf")));
    until(|| host_has_queued(&a, 3), "the alerts do not wait");
    callbacks.request(Request::Dispatch(igmp));
    let only = |fits: fn(&Callback<'_>) -> bool| {
        let mut room = vec![0; MAX_MESSAGE];
        let (_, list) = callbacks.receive_with_list::<ToClient<'_>>(&mut room).unwrap();
        let mut list = Unpacker::new(list);
        let question: Callback<'_> = list.take().unwrap();
        assert!(fits(&question) && list.is_at_end(), "{question:?}");
    };
    only(|question| matches!(question, Callback::Creation(..)));
    assert_eq!(b.ask("take 0 3"), "0");
    callbacks.send(&ToHost::Answer(Answer::Creation(&[])));
    only(|question| matches!(question, Callback::DisableIgmp(_)));
    callbacks.send(&ToHost::Answer(Answer::Returned));
    only(|question| matches!(question, Callback::EnableIgmp(_)));
    callbacks.send(&ToHost::Answer(Answer::Returned));
    is_done(&callbacks);
    assert_eq!(host.answer(), "0 0 0");
}
