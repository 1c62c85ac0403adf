//! Callbacks that a process is told of before it is their turn (decision 91): they are what they would be
//! if it were told then.

use crate::peer::Peer;
use crate::peers::goes_on;
use crate::stage::{Puppet, path, until};
use mgm::remote::wire::{
    Answer, MAX_MESSAGE, Question, Reply, Request, ToClient, ToHost, Unpacker,
};
use mgm::types::{ClientId, IfKey, SourceGroup};
use std::net::Ipv4Addr;

const A: &str = "2147418113 1";
const B: &str = "2147418114 1";

/// A has interface 1, and B those from 2 to 4 with members on each.
fn flows() -> (Puppet, Puppet, Puppet) {
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
    a.callbacks();
    (host, a, b)
}

/// Has A answer about so many flows, whose creation alerts wait for B, who is inside the first.
fn waiting(host: &Puppet, a: &Puppet, b: &Puppet, count: usize) {
    b.ask("hold");
    host.tell(&format!("flows {count}"));
    b.wait_for("creation");
    let mut asked = 0;
    until(
        || {
            asked += a.callbacks().iter().filter(|line| line.starts_with("rpf")).count();
            asked == count
        },
        "A is not asked about all",
    );
    // A has answered everything before this.
    assert_eq!(b.ask("poll 0"), "87");
    until(|| host_has_queued(a, count - 1), "the alerts do not wait");
}

/// Whether so many callbacks wait.
fn host_has_queued(a: &Puppet, count: usize) -> bool {
    a.ask("state").contains(&format!("\"queued_alerts\":{count},"))
}

#[test]
fn p1_flows_are_asked_about_in_order_and_once_each() {
    let (host, a, b) = flows();
    waiting(&host, &a, &b, 60);
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 60].join(" "));
    let first = b.callbacks();
    let mut sources: Vec<_> = first.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert!(first.iter().all(|line| line.ends_with(" 1 2,3,4")), "{first:?}");
    sources.sort_unstable();
    sources.dedup();
    // The first one was read while the others were waited for.
    assert_eq!((first.len(), sources.len()), (59, 59));
}

/// Rule C4, decision 35: what a client is told after it has released an interface has that no more.
#[test]
fn p1_c4_what_came_ahead_is_told_anew_after_a_release() {
    let (host, a, b) = flows();
    waiting(&host, &a, &b, 40);
    // The first callback that others come with.
    b.ask("go");
    b.wait_for("creation");
    b.ask("nested release 0 3");
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    let told = b.callbacks();
    let at = told.iter().position(|line| line == "nested 0").unwrap();
    let lists = |lines: &[String], list: &str| lines.iter().all(|line| line.ends_with(list));
    assert!(lists(&told[..at], " 1 2,3,4") && lists(&told[at + 1..], " 1 2,4"), "{told:?}");
    assert_eq!(told.len() - at - 1, 38, "each of the others once");
}

/// Rule A8.
#[test]
fn p1_a8_what_came_ahead_is_not_called_after_a_deregistration() {
    let (host, a, b) = flows();
    waiting(&host, &a, &b, 40);
    b.ask("go");
    b.wait_for("creation");
    for interface in 2..5 {
        assert_eq!(b.ask(&format!("release 0 {interface}")), "0");
    }
    b.ask("nested deregister 0");
    b.ask("free");
    assert_eq!(host.answer(), ["0"; 40].join(" "));
    assert_eq!(b.callbacks(), ["nested 0"]);
    assert_eq!(b.ask(&format!("register {B}")), "0 1");
}

/// A process that the test plays, with a client that has heard one alert and not answered it, while two
/// more wait.
struct Played {
    host: Puppet,
    client: Puppet,
    others: Vec<Puppet>,
    peer: Peer,
    channel: Peer,
    callbacks: Peer,
    id: ClientId,
}

fn played() -> Played {
    let path = path();
    let host = Puppet::host(&path, 0);
    let client = Puppet::client(&path);
    client.ask(&format!("register {A}"));
    assert_eq!(client.ask("take 0 1"), "0");
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    let (id, callbacks) = channel.register(77);
    client.tell("add 0 0.0.0.0 239.5.5.1 1");
    assert_eq!(questions(&callbacks), [1]);
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
    callbacks.send(&ToHost::Answer(Answer::Returned));
    Played { host, client, others, peer, channel, callbacks, id }
}

/// The last octets of the groups of the questions in the next message.
fn questions(on: &Peer) -> Vec<u8> {
    let mut room = vec![0; MAX_MESSAGE];
    let (message, list) = on.receive_with_list::<ToClient<'_>>(&mut room).unwrap();
    assert!(matches!(message, ToClient::Questions(_)), "{message:?}");
    let mut list = Unpacker::new(list);
    let mut groups = Vec::new();
    while !list.is_at_end() {
        let Some(Question::Join(of, true)) = list.take() else { panic!("no join alert") };
        let of: SourceGroup = of;
        groups.push(of.group().octets()[3]);
    }
    groups
}

#[test]
fn p1_alerts_that_wait_come_in_one_message_and_again_where_they_were_not_called() {
    let played = played();
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
    let bad = played();
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
    let played = played();
    assert_eq!(questions(&played.callbacks).len(), 2);
    assert!(played.channel.request(Request::Deregister(played.id)));
    // The first has returned, and the second is inside its callback by now.
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    let interface = IfKey::new(1, Ipv4Addr::UNSPECIFIED);
    assert_eq!(played.callbacks.code(Request::ProtocolOn(interface)), Some(0));
    assert!(!played.channel.is_readable(), "the callback has not returned");
    played.callbacks.send(&ToHost::Answer(Answer::Returned));
    let mut room = vec![0; MAX_MESSAGE];
    let reply: ToClient<'_> = played.channel.receive(&mut room).unwrap();
    assert_eq!(reply, ToClient::Reply(Reply::Done));
}
