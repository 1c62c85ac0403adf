//! Nothing that comes over the socket is trusted (rule P6): peers that send what no library does.

use crate::peer::{Peer, SIZES, accept, listen};
use crate::running::amount;
use crate::stage::{Puppet, path, until};
use mgm::remote::wire::{
    Answer, ClientKind, Hello, MAGIC, MAX_MESSAGE, Request, ToClient, ToHost, VERSIONS,
};
use mgm::shell::callbacks::CallbackSet;
use mgm::types::{ClientId, EnumId, IfKey};
use std::net::Ipv4Addr;

const A: &str = "2147418113 1";

/// A host with a client that must not notice anything.
pub fn host() -> (std::path::PathBuf, Puppet, Puppet) {
    let path = path();
    let host = Puppet::host(&path, 0);
    let client = Puppet::client(&path);
    assert_eq!(client.ask(&format!("register {A}")), "0 0");
    assert_eq!(client.ask("take 0 1"), "0");
    (path, host, client)
}

/// The client goes on, and nobody else is left.
pub fn goes_on(host: &Puppet, client: &Puppet) {
    assert_eq!(client.ask("add 0 0.0.0.0 239.1.1.1 1"), "0");
    assert_eq!(client.ask("delete 0 0.0.0.0 239.1.1.1 1"), "0");
    until(|| host.ask("state").contains("\"clients\":1,"), "clients are left");
}

#[test]
fn p6_a_bad_message_ends_its_connection_and_nothing_else() {
    let (path, host, client) = host();
    let long = vec![0xff; MAX_MESSAGE + 1];
    let (oldest, newest) = VERSIONS;
    let mut hello = vec![0; 64];
    let fits = Hello { magic: MAGIC, oldest, newest, sizes: SIZES };
    let size = postcard::to_slice(&fits, &mut hello).unwrap().len();
    let bad_first: [&[u8]; 5] =
        [b"", b"GET / HTTP/1.0\r\n\r\n", &[0xff; 40], &long, &hello[..size - 1]];
    for octets in bad_first {
        let peer = Peer::connect(&path);
        peer.send_octets(octets);
        if octets.is_empty() {
            continue;
        }
        peer.wait_for_end();
        host.wait_for("its connection ends");
    }
    let bad_next: [&[u8]; 4] = [&[0xff; 40], &long, &[0, 3], &[1]];
    // The client of a connection may leave a moment after the line in the log (rule P2).
    for (protocol, octets) in (77..).zip(bad_next) {
        let peer = Peer::greeted(&path);
        peer.send_octets(octets);
        peer.wait_for_end();
        host.wait_for("its connection ends");
        let peer = Peer::greeted(&path);
        let channel = peer.channel();
        let (_, callbacks) = channel.register(protocol);
        channel.send_octets(octets);
        channel.wait_for_end();
        callbacks.wait_for_end();
        peer.wait_for_end();
        host.wait_for("its connection ends");
    }
    goes_on(&host, &client);
}

#[test]
fn p6_messages_where_they_do_not_belong() {
    let (path, host, client) = host();
    // An answer to a question that nobody asked.
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    channel.send(&ToHost::Answer(Answer::Returned));
    peer.wait_for_end();
    // A call on the connection itself, a request for a channel on a channel, a dispatch there.
    let peer = Peer::greeted(&path);
    peer.request(Request::State);
    peer.wait_for_end();
    for request in [Request::Channel, Request::Dispatch(ClientId { slot: 0, generation: 1 })] {
        let peer = Peer::greeted(&path);
        peer.channel().request(request);
        peer.wait_for_end();
    }
    // An answer of the wrong kind, and one that enables more interfaces than it was asked about.
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    let (id, callbacks) = channel.register(77);
    assert_eq!(channel.code(Request::Take(id, IfKey::new(9, Ipv4Addr::UNSPECIFIED))), Some(0));
    client.tell("add 0 0.0.0.0 239.5.5.5 1");
    let mut room = vec![0; MAX_MESSAGE];
    let (question, _) = callbacks.receive_with_list::<ToClient<'_>>(&mut room).unwrap();
    assert!(matches!(question, ToClient::Callbacks(_)), "{question:?}");
    callbacks.send(&ToHost::Answer(Answer::Creation(&[1, 1, 1])));
    peer.wait_for_end();
    assert_eq!(client.answer(), "0");
    client.ask("delete 0 0.0.0.0 239.5.5.5 1");
    goes_on(&host, &client);
}

#[test]
fn p6_handles_are_valid_on_the_connection_that_got_them() {
    let (path, host, client) = host();
    let (one, other) = (Peer::greeted(&path), Peer::greeted(&path));
    let (mine, theirs) = (one.channel(), other.channel());
    let (id, _callbacks) = mine.register(77);
    let interface = IfKey::new(9, Ipv4Addr::UNSPECIFIED);
    assert_eq!(theirs.code(Request::Take(id, interface)), Some(87));
    assert_eq!(theirs.code(Request::Deregister(id)), Some(87));
    assert_eq!(mine.code(Request::Take(id, interface)), Some(0));
    for slot in 0..20 {
        for generation in 0..5 {
            let guess = ClientId { slot, generation };
            assert_eq!(theirs.code(Request::Release(guess, interface)), Some(87), "{guess:?}");
            let guess = EnumId { slot, generation };
            assert_eq!(theirs.code(Request::EndEnumeration(guess)), Some(87), "{guess:?}");
        }
    }
    drop((mine, one));
    goes_on(&host, &client);
}

#[test]
fn p6_each_connection_has_its_bounds() {
    let (path, host, client) = host();
    let peer = Peer::greeted(&path);
    let mut channels: Vec<_> = (0..64).map(|_| peer.channel()).collect();
    let channel = channels.pop().unwrap();
    let clients: Vec<_> = (0..64).map(|n| channel.register(1000 + n)).collect();
    let kind = ClientKind { has_local_join: true, dispatched: false, takes_routeless: false };
    assert_eq!(
        channel.code(Request::Register {
            protocol: 99,
            component: 1,
            kind,
            callbacks: CallbackSet::ALL
        }),
        Some(8)
    );
    let (id, _) = clients[0];
    for _ in 0..1024 {
        assert_eq!(channel.code(Request::StartEnumeration(id, true)), Some(0));
    }
    assert_eq!(channel.code(Request::StartEnumeration(id, true)), Some(8));
    // One channel more is more than a process may have.
    peer.request(Request::Channel);
    peer.wait_for_end();
    host.wait_for("its connection ends");
    goes_on(&host, &client);
}

#[test]
fn p6_a_peer_that_reads_nothing() {
    let (path, host, client) = host();
    assert_eq!(client.ask("many 0 20000 1"), "0");
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    // Far more text than the socket has room for, and nobody reads it.
    for _ in 0..50 {
        channel.request(Request::State);
    }
    // Others are served meanwhile.
    assert_eq!(client.ask("owner 1"), "0 2147418113 1");
    host.wait_for("did not take or send a message in time");
    peer.wait_for_end();
    assert_eq!(client.ask("release 0 1"), "0");
    assert_eq!(client.ask("take 0 1"), "0");
    goes_on(&host, &client);
}

#[test]
fn p6_a_peer_that_floods() {
    let (path, host, client) = host();
    let peer = Peer::greeted(&path);
    let channel = peer.channel();
    let mut sent = 0;
    for _ in 0..200_000 {
        // Its own socket is full now and then.
        sent +=
            u32::from(channel.request(Request::ProtocolOn(IfKey::new(1, Ipv4Addr::UNSPECIFIED))));
    }
    assert!(sent > 100);
    assert_eq!(client.ask("owner 1"), "0 2147418113 1");
    drop((channel, peer));
    goes_on(&host, &client);
}

#[test]
fn a_thousand_connections() {
    let (path, host, client) = host();
    let peers: Vec<_> = (0..1000)
        .map(|n| {
            let peer = Peer::greeted(&path);
            let channel = peer.channel();
            let registered = channel.register(10_000 + n);
            (registered, channel, peer)
        })
        .collect();
    assert!(host.ask("state").contains("\"clients\":1001,"));
    for ((id, _), channel, _) in &peers {
        let interface = IfKey::new(100 + id.slot, Ipv4Addr::UNSPECIFIED);
        assert_eq!(channel.code(Request::Take(*id, interface)), Some(0));
    }
    drop(peers);
    goes_on(&host, &client);
}

#[test]
fn descriptors_and_threads_stay_as_they_are_over_many_connects() {
    let (path, host, client) = host();
    let (threads, descriptors) = (host.ask("threads"), host.ask("descriptors"));
    let connect = |times: u32| {
        for n in 0..times {
            let peer = Peer::greeted(&path);
            if n % 10 == 0 {
                peer.channel().register(77);
                drop(peer);
                until(|| !host.ask("state").contains("\"clients\":2,"), "it is still registered");
            }
        }
        until(|| host.ask("threads") == threads, "threads are left");
        until(|| host.ask("descriptors") == descriptors, "descriptors are left");
        memory(&host)
    };
    let before = connect(200);
    let connects = amount(10_000, 1000);
    let after = connect(connects);
    println!("{before} kB, after {connects} connects {after} kB");
    assert!(after < before + 2 * 1024, "{before} kB, then {after} kB");
    goes_on(&host, &client);
}

/// The resident memory of a process in kB.
fn memory(of: &Puppet) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", of.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_host_that_sends_nonsense_is_left() {
    // This end plays the host: a library that connects gets no welcome, or one that makes no sense.
    let answers: [&[u8]; 3] = [b"", &[0xff; 30], &[1, 2, 3]];
    for answer in answers {
        let path = path();
        let listener = listen(&path);
        let client = Puppet::client(&path);
        client.tell(&format!("register {A}"));
        let peer = accept(&listener);
        if !answer.is_empty() {
            peer.send_octets(answer);
        }
        drop(peer);
        assert_eq!(client.answer(), "1003 0");
        client.wait_for("MGM_HOST");
        std::fs::remove_file(path).unwrap();
    }
}
