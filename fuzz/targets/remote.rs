//! Messages of another process, both ways (rules P6): a peer that sends what it likes to a host, and
//! a host that sends what it likes to a client.
//!
//! The octets become messages on the connection itself, on a call channel and on a client's callback
//! channel. Whatever they are: nothing panics, nothing is read or written beside its memory, the
//! connection ends or goes on, and a host has no client of it when it has ended.
//!
//! The first octet says which way; FUZZ_REMOTE=host or FUZZ_REMOTE=client has all inputs go to the one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mgm::error::Error;
use mgm::log::Level;
use mgm::remote::client::RemoteManager;
use mgm::remote::seqpacket;
use mgm::remote::server::{Proxy, Server};
use mgm::remote::unix::{self, SocketKind};
use mgm::remote::wire::{
    ClientKind, Hello, MAGIC, MAX_MESSAGE, RecordSizes, Reply, Request, ToClient, ToHost, VERSIONS,
    Welcome,
};
use mgm::shell::group_manager::GroupManager;
use mgm::shell::manager::{Mgm, Settings};
use mgm::shell::service::Service;
use mgm::types::{IfKey, MembershipFlags, SourceGroup};
use serde::Serialize;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SIZES: RecordSizes =
    RecordSizes { mfe: 60, mfe_stats: 64, mfe_stats_ex: 84, source_group: 16 };
const WAIT: Duration = Duration::from_secs(10);
const INTERFACE: IfKey = IfKey::new(1, Ipv4Addr::UNSPECIFIED);
const GROUP: SourceGroup = SourceGroup::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(239, 1, 1, 1));

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mgm-fuzz-{name}-{}", std::process::id()))
}

fn send<T: Serialize>(socket: &OwnedFd, message: &T, attached: Option<&OwnedFd>) -> bool {
    let mut room = vec![0; MAX_MESSAGE];
    let octets = postcard::to_slice(message, &mut room).unwrap();
    seqpacket::send(socket, octets, attached.map(AsFd::as_fd)).is_ok()
}

/// The next message's place and octets: one octet says where it goes, one how long it is.
fn message<'a>(data: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let [place, length, rest @ ..] = *data else { return None };
    let (octets, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    *data = rest;
    Some((*place, octets))
}

/// The host that peers connect to, with a client of its own.
fn host() -> &'static Mgm<Proxy> {
    static HOST: OnceLock<&'static Mgm<Proxy>> = OnceLock::new();
    HOST.get_or_init(|| {
        let host: &'static Mgm<Proxy> =
            Box::leak(Box::new(Mgm::with_service(Some(|mgm, settings| {
                Ok(Box::new(Server::start(mgm, settings, SIZES)?) as Box<dyn Service>)
            }))));
        let serve = path("host");
        let settings =
            Settings { serve: Some(serve), log_level: Level::Off, ..Settings::default() };
        host.start(settings).unwrap();
        host
    })
}

fn state(host: &Mgm<Proxy>) -> String {
    let mut text = Vec::new();
    host.write_state(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn receive(socket: &OwnedFd, room: &mut [u8]) -> Option<(usize, Option<OwnedFd>)> {
    receive_unless(socket, room, || false)
}

/// What comes within 20 ms, unless by then nothing can come any more.
fn receive_unless(
    socket: &OwnedFd,
    room: &mut [u8],
    over: impl Fn() -> bool,
) -> Option<(usize, Option<OwnedFd>)> {
    seqpacket::set_receive_timeout(socket, Duration::from_millis(1)).unwrap();
    for _ in 0..20 {
        let last = over();
        match seqpacket::receive_attached(socket, room) {
            Err(libc::EAGAIN) if !last => {}
            received => return received.ok().filter(|(size, _)| *size > 0),
        }
    }
    None
}

fn to_a_host(mut data: &[u8]) {
    let host = host();
    let main = seqpacket::connect(&path("host"), WAIT).unwrap();
    let mut room = vec![0; MAX_MESSAGE];
    let first = message(&mut data);
    match first {
        Some((place, octets)) if place % 8 == 0 => drop(seqpacket::send(&main, octets, None)),
        _ => {
            let (oldest, newest) = VERSIONS;
            send(&main, &Hello { magic: MAGIC, oldest, newest, sizes: SIZES }, None);
        }
    }
    let _ = receive(&main, &mut room);
    send(&main, &ToHost::Request(Request::Channel), None);
    let channel = receive(&main, &mut room).and_then(|(_, attached)| attached);
    let mut callbacks = None;
    while let Some((place, octets)) = message(&mut data) {
        let socket = match (place % 4, &channel, &callbacks) {
            (0, ..) => &main,
            (1, _, Some(callbacks)) => callbacks,
            (_, Some(channel), _) => channel,
            _ => break,
        };
        if seqpacket::send(socket, octets, None).is_err() {
            break;
        }
        if place % 4 > 1
            && let Some((_, Some(attached))) = receive(socket, &mut room)
        {
            callbacks = Some(attached);
        }
    }
    drop((main, channel, callbacks));
    let deadline = Instant::now() + WAIT;
    while !state(host).contains("\"clients\":0") {
        assert!(Instant::now() < deadline, "clients are left: {}", state(host));
        std::thread::yield_now();
    }
}

fn no_log(_: Level, _: std::fmt::Arguments<'_>) {}

/// The client. It lives as long as its process, and finds a new host for each input.
fn client() -> &'static RemoteManager<Proxy> {
    static CLIENT: OnceLock<&'static RemoteManager<Proxy>> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let client: &'static RemoteManager<Proxy> =
            Box::leak(Box::new(RemoteManager::new(no_log, SIZES)));
        client.set_path(path("client"));
        client
    })
}

/// What a program does, whatever its host answers.
fn ask(dispatched: bool) {
    let client = client();
    let _ = client.protocol_on_interface(INTERFACE);
    let _ = client.read_mfes(None, true, 4096, &mut |_| true, &mut |_| ControlFlow::Continue(()));
    let _ = client.read_mfe(GROUP, false, &mut |_| {});
    let _ = client.write_state(&mut Vec::new());
    let kind = ClientKind { has_local_join: true, dispatched, takes_routeless: false };
    let Ok(id) = client.register(Proxy::new(kind).unwrap(), (1, 1)) else { return };
    let _ = client.take_interface(id, INTERFACE);
    let flags = MembershipFlags { join: true, forward: false };
    let _ = client.add_membership(id, GROUP, INTERFACE, flags);
    let _ = client.client_descriptor(id);
    let _ = client.dispatch(id);
    if let Ok(all) = client.start_enumeration(id, true) {
        let _ = client.next_groups(all, 100, &mut |_| {});
        let _ = client.end_enumeration(all);
    }
    let _ = client.deregister(id);
}

/// A client of a host that sends these messages, whatever it is asked.
fn from_a_host(dispatched: bool, mut data: &[u8]) {
    let path = path("client");
    let _ = std::fs::remove_file(&path);
    let listener = unix::listen(&path, SocketKind::Seqpacket, 0o600).unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(dispatched));
        let main = seqpacket::accept(&listener).unwrap();
        // It connects once: without a host each further call fails at once.
        drop(listener);
        let mut room = vec![0; MAX_MESSAGE];
        let _ = receive(&main, &mut room);
        let (oldest, newest) = VERSIONS;
        send(&main, &Welcome { magic: MAGIC, oldest, newest, chosen: newest, sizes: SIZES }, None);
        let _ = receive(&main, &mut room);
        let (ours, theirs) = seqpacket::pair().unwrap();
        let (callbacks, their_callbacks) = seqpacket::pair().unwrap();
        send(&main, &ToClient::Reply(Reply::Channel), Some(&theirs));
        while let Some((place, octets)) = message(&mut data) {
            let sent = match place % 4 {
                0 => seqpacket::send(&callbacks, octets, None),
                1 => seqpacket::send(&ours, octets, Some(their_callbacks.as_fd())),
                _ => seqpacket::send(&ours, octets, None),
            };
            let mut answered = || receive_unless(&ours, &mut room, || asking.is_finished());
            if sent.is_err() || answered().is_none() {
                break;
            }
        }
        for socket in [&ours, &callbacks, &main] {
            seqpacket::shut_down(socket);
        }
        drop((theirs, their_callbacks));
        asking.join().unwrap();
    });
    // It notices that its host has gone, if it did not yet.
    let gone =
        (0..3).any(|_| matches!(client().protocol_on_interface(INTERFACE), Err(Error::NoHost(_))));
    assert!(gone, "a client of a host that has gone");
}

/// Waits until the threads of this input's connections have ended: what they have would be taken for a
/// leak.
fn quiet() {
    let deadline = Instant::now() + WAIT;
    let of_a_connection = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        ["mgm-process", "mgm-calls", "mgm-client", "mgm-callbacks"].contains(&name.trim_end())
    };
    while std::fs::read_dir("/proc/self/task").unwrap().flatten().any(of_a_connection) {
        assert!(Instant::now() < deadline, "a thread of a connection that has ended goes on");
        std::thread::yield_now();
    }
}

/// Whether all inputs go to a host (true) or to a client (false).
fn one_way() -> Option<bool> {
    static ONE: OnceLock<Option<bool>> = OnceLock::new();
    *ONE.get_or_init(|| match std::env::var("FUZZ_REMOTE").as_deref() {
        Ok("host") => Some(true),
        Ok("client") => Some(false),
        Ok(other) => panic!("FUZZ_REMOTE={other}: host or client"),
        Err(_) => None,
    })
}

fuzz_target!(|data: &[u8]| {
    let [first, data @ ..] = data else { return };
    if one_way().unwrap_or(first % 2 == 0) {
        to_a_host(data);
    } else {
        from_a_host(first & 2 != 0, data);
    }
    quiet();
});
