//! What a client process does with callbacks that it is told of before it is their turn (decision 91), and
//! with records that make no sense (rule P6). The test plays the host.

use crate::peer::{Peer, SIZES, accept, listen};
use crate::stage::{Puppet, path};
use mgm::core::state::record::{MfeRecord, Rest};
use mgm::remote::records::Writer;
use mgm::remote::wire::{
    Answer, Callback, Hello, ListPart, MAGIC, MAX_MESSAGE, Reply, Request, ToClient, ToHost,
    Welcome,
};
use mgm::types::{ClientId, Counters, IfKey, Seconds, SourceGroup};
use std::net::Ipv4Addr;

const ID: ClientId = ClientId { slot: 4, generation: 7 };

const ENTRY: MfeRecord<'static> = MfeRecord {
    flow: SourceGroup::ALL,
    iif: IfKey::new(1, Ipv4Addr::UNSPECIFIED),
    iif_protocol: 11,
    upstream: Ipv4Addr::UNSPECIFIED,
    route_protocol: 13,
    route_network: Ipv4Addr::UNSPECIFIED,
    route_prefix_len: 0,
    up_time_ms: 1,
    expiry_ms: 2,
    lifetime: Seconds(900),
    counters: Counters { packets: 0, octets: 0, wrong_interface: 0, waited: None },
    resolved: true,
    oifs: &[],
};

/// A process with one client.
struct Told {
    client: Puppet,
    channel: Peer,
    callbacks: Peer,
    _main: Peer,
}

fn told() -> Told {
    let path = path();
    let listener = listen(&path);
    let client = Puppet::client(&path);
    client.tell("register 2147418113 1");
    let main = accept(&listener).patient();
    let hello: Hello = main.receive(&mut vec![0; MAX_MESSAGE]).unwrap();
    let Hello { oldest, newest, .. } = hello;
    main.send(&Welcome { magic: MAGIC, oldest, newest, chosen: newest, sizes: SIZES });
    assert_eq!(request(&main), Request::Channel);
    let channel = attach(&main, Reply::Channel);
    assert!(matches!(request(&channel), Request::Register { .. }));
    let callbacks = attach(&channel, Reply::Client(ID));
    assert_eq!(client.answer(), "0 0");
    std::fs::remove_file(path).unwrap();
    Told { client, channel, callbacks, _main: main }
}

fn request(on: &Peer) -> Request {
    let mut room = vec![0; MAX_MESSAGE];
    match on.receive(&mut room) {
        Some(ToHost::Request(request)) => request,
        other => panic!("no request but {other:?}"),
    }
}

/// Replies with one end of a new channel, and gives the other one.
fn attach(on: &Peer, reply: Reply<'_>) -> Peer {
    let [ours, theirs] = Peer::pair();
    on.send_attached(&ToClient::Reply(reply), &theirs);
    ours.patient()
}

impl Told {
    /// Tells of joins of these groups in one message, as of so many changes.
    fn tell(&self, as_of: u64, groups: &[u8]) {
        let mut room = vec![0; 1024];
        let mut used = postcard::to_slice(&ToClient::Callbacks(as_of), &mut room).unwrap().len();
        for group in groups {
            let group = Ipv4Addr::new(239, 5, 5, *group);
            let join = Callback::Join(SourceGroup::new(Ipv4Addr::UNSPECIFIED, group), true);
            used += postcard::to_slice(&join, &mut room[used..]).unwrap().len();
        }
        assert!(self.callbacks.send_octets(&room[..used]));
    }

    /// Which of the next questions were called.
    fn called<const N: usize>(&self) -> [bool; N] {
        std::array::from_fn(|_| {
            let mut room = vec![0; MAX_MESSAGE];
            match self.callbacks.receive(&mut room) {
                Some(ToHost::Answer(Answer::Returned)) => true,
                Some(ToHost::Answer(Answer::Again)) => false,
                other => panic!("no answer but {other:?}"),
            }
        })
    }

    /// Replies with entries of these sources.
    fn records(&self, sources: &[u8], rest: Rest) {
        let mut room = vec![0; 1024];
        let reply = ToClient::Reply(Reply::List(ListPart::Last(rest)));
        let head = postcard::to_slice(&reply, &mut room).unwrap().len();
        let mut list = Writer::new(&mut room[head..]);
        for source in sources {
            let source = Ipv4Addr::new(10, 0, 0, *source);
            let flow = SourceGroup::new(source, Ipv4Addr::new(239, 1, 1, 1));
            assert!(list.add_mfe(&MfeRecord { flow, ..ENTRY }, false));
        }
        let used = head + list.used();
        assert!(self.channel.send_octets(&room[..used]));
    }

    fn reply(&self, on: &Peer, reply: Reply<'_>) {
        on.send(&ToClient::Reply(reply));
    }
}

fn join(group: u8) -> String {
    format!("join 0.0.0.0 239.5.5.{group} 1")
}

#[test]
fn p1_c4_a_process_leaves_what_came_ahead_once_an_owner_has_changed() {
    let told = told();
    told.client.ask("hold");
    told.tell(0, &[1, 2, 3, 4]);
    told.client.wait_for(&join(1));
    told.client.ask("go");
    told.client.wait_for(&join(2));
    told.client.tell("release 0 1");
    assert!(matches!(request(&told.channel), Request::Release(ID, _)));
    told.reply(&told.channel, Reply::Changed(1));
    assert_eq!(told.client.answer(), "0");
    told.client.ask("free");
    assert_eq!(told.called(), [true, true, false, false]);
    // These are as of that change.
    told.tell(1, &[3, 4]);
    assert_eq!(told.called(), [true, true]);
    assert_eq!(told.client.callbacks(), [join(3), join(4)]);
}

#[test]
fn p1_a8_a_process_leaves_what_came_ahead_once_its_client_has_gone() {
    // The host refuses, and the client goes on.
    let stays = told();
    stays.client.ask("nested deregister 0");
    stays.tell(0, &[1, 2]);
    assert_eq!(request(&stays.callbacks), Request::Deregister(ID));
    stays.reply(&stays.callbacks, Reply::Failed(1003, 0, ""));
    assert_eq!(stays.called(), [true, true]);
    assert_eq!(stays.client.callbacks(), [join(1), "nested 1003".into(), join(2)]);
    // It does not.
    let leaves = told();
    leaves.client.ask("nested deregister 0");
    leaves.tell(0, &[1, 2]);
    assert_eq!(request(&leaves.callbacks), Request::Deregister(ID));
    leaves.reply(&leaves.callbacks, Reply::Done);
    assert_eq!(leaves.called(), [true, false]);
    assert_eq!(leaves.client.callbacks(), [join(1), "nested 0".into()]);
}

/// Another thread tries the same, too late.
#[test]
fn p1_a8_a_second_deregistration_that_fails_calls_nothing_back() {
    let told = told();
    told.client.ask("nested deregister 0");
    told.client.tell("deregister 0");
    assert_eq!(request(&told.channel), Request::Deregister(ID));
    told.tell(0, &[1, 2]);
    assert_eq!(request(&told.callbacks), Request::Deregister(ID));
    told.reply(&told.channel, Reply::Failed(87, 0, ""));
    assert_eq!(told.client.answer(), "87");
    told.reply(&told.callbacks, Reply::Done);
    assert_eq!(told.called(), [true, false]);
    assert_eq!(told.client.callbacks(), [join(1), "nested 0".into()]);
}

#[test]
fn p6_records_that_make_no_sense() {
    let told = told();
    told.client.tell("mfe 10.0.0.1 239.1.1.1");
    assert!(matches!(request(&told.channel), Request::ReadMfe(..)));
    let mut room = vec![0xff; 128];
    let reply = ToClient::Reply(Reply::List(ListPart::Last(Rest::End)));
    postcard::to_slice(&reply, &mut room).unwrap();
    assert!(told.channel.send_octets(&room));
    assert_eq!(told.client.answer(), "1003 0 0");
    told.client.says_once("records that make no sense");
}

/// A read is one request, though the host says that there is more.
#[test]
fn p1_e11_a_read_is_one_request() {
    let told = told();
    told.client.tell("call MgmGetFirstMfe");
    assert!(matches!(request(&told.channel), Request::ReadMfes(SourceGroup::ALL, false, 1024)));
    told.records(&[1, 2], Rest::More);
    assert_eq!(told.client.answer(), "234");
    told.client.tell("call MgmGetNextMfe");
    assert!(matches!(request(&told.channel), Request::ReadMfes(..)));
    told.records(&[], Rest::End);
    assert_eq!(told.client.answer(), "259");
    // More of nothing would never come to an end.
    told.client.tell("call MgmGetFirstMfe");
    assert!(matches!(request(&told.channel), Request::ReadMfes(..)));
    told.records(&[], Rest::More);
    assert_eq!(told.client.answer(), "1003");
    told.client.says_once("nothing instead of more entries");
}
