//! The two ends may be different versions of the library (rule P7).

use crate::peer::{Peer, SIZES, accept, listen};
use crate::peers::{goes_on, host};
use crate::stage::{Puppet, path};
use mgm::remote::wire::{
    Hello, MAGIC, MAX_MESSAGE, RecordSizes, Reply, Request, ToClient, ToHost, VERSIONS, Welcome,
};

const A: &str = "2147418113 1";

#[test]
fn p7_versions() {
    let (path, host, client) = host();
    let mut room = vec![0; MAX_MESSAGE];
    // A next version that speaks this one as well.
    let peer = Peer::connect(&path);
    peer.send(&Hello { magic: MAGIC, oldest: 1, newest: 7, sizes: SIZES });
    let welcome: Welcome = peer.receive(&mut room).unwrap();
    assert_eq!(welcome.chosen, VERSIONS.1);
    peer.channel().register(77);
    drop(peer);
    // One that does not, and one with other records.
    let other = RecordSizes { mfe: 64, ..SIZES };
    let (oldest, newest) = VERSIONS;
    for (oldest, newest, sizes) in
        [(newest + 1, 7, SIZES), (0, oldest - 1, SIZES), (oldest, newest, other)]
    {
        let peer = Peer::connect(&path);
        peer.send(&Hello { magic: MAGIC, oldest, newest, sizes });
        let welcome: Welcome = peer.receive(&mut room).unwrap();
        assert_eq!((welcome.chosen, welcome.oldest, welcome.newest), (0, VERSIONS.0, VERSIONS.1));
        peer.wait_for_end();
        host.wait_for("do not fit together");
    }
    goes_on(&host, &client);
}

/// The client's side: a host that speaks none of its versions, has other records, or chooses a version
/// that nobody offered.
#[test]
fn p7_a_host_of_another_version() {
    let (oldest, newest) = VERSIONS;
    let other = RecordSizes { mfe: 64, ..SIZES };
    let welcomes = [
        Welcome { magic: MAGIC, oldest: 8, newest: 9, chosen: 0, sizes: SIZES },
        Welcome { magic: MAGIC, oldest, newest, chosen: newest, sizes: other },
        Welcome { magic: MAGIC, oldest, newest: newest + 1, chosen: newest + 1, sizes: SIZES },
    ];
    for welcome in welcomes {
        let path = path();
        let listener = listen(&path);
        let client = Puppet::client(&path);
        client.tell(&format!("register {A}"));
        let peer = accept(&listener);
        let hello: Hello = peer.receive(&mut vec![0; MAX_MESSAGE]).unwrap();
        assert_eq!((hello.oldest, hello.newest, hello.sizes), (oldest, newest, SIZES));
        peer.send(&welcome);
        assert_eq!(client.answer(), "1003 0");
        client.wait_for("version");
        std::fs::remove_file(path).unwrap();
    }
}

/// A host of the next version that speaks this one as well: calls go on in this one.
#[test]
fn p7_a_next_host_that_speaks_this_version_too() {
    let path = path();
    let listener = listen(&path);
    let client = Puppet::client(&path);
    client.tell(&format!("register {A}"));
    let peer = accept(&listener);
    let mut room = vec![0; MAX_MESSAGE];
    let hello: Hello = peer.receive(&mut room).unwrap();
    let chosen = hello.newest;
    peer.send(&Welcome { magic: MAGIC, oldest: 1, newest: 7, chosen, sizes: SIZES });
    assert_eq!(peer.receive::<ToHost<'_>>(&mut room).unwrap(), ToHost::Request(Request::Channel));
    let [ours, theirs] = Peer::pair();
    peer.send_attached(&ToClient::Reply(Reply::Channel), &theirs);
    let request = ours.receive(&mut room).unwrap();
    assert!(matches!(request, ToHost::Request(Request::Register { component: 1, .. })));
    ours.send(&ToClient::Reply(Reply::Failed(183, 0, "")));
    assert_eq!(client.answer(), "183 0");
    std::fs::remove_file(path).unwrap();
}
