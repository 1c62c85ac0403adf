//! Nothing that comes over the socket is trusted (rules P6, P7): peers that send what no library does.

use crate::stage::{Puppet, path, until};
use mgm::remote::wire::{
    Answer, ClientKind, Hello, MAGIC, MAX_MESSAGE, RecordSizes, Reply, Request, ToClient, ToHost,
    VERSIONS, Welcome,
};
use mgm::types::{ClientId, EnumId, IfKey};
use serde::{Deserialize, Serialize};
use std::io;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const A: &str = "2147418113 1";
const SIZES: RecordSizes =
    RecordSizes { mfe: 60, mfe_stats: 64, mfe_stats_ex: 84, source_group: 16 };

/// One end of a SOCK_SEQPACKET connection, made by hand.
struct Peer(OwnedFd);

impl Peer {
    fn connect(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        // SAFETY: plain system calls with a structure of the size that is said; the descriptor is new.
        unsafe {
            let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
            let socket = OwnedFd::from_raw_fd(fd);
            let mut address: libc::sockaddr_un = std::mem::zeroed();
            address.sun_family = libc::AF_UNIX as libc::sa_family_t;
            for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
                *to = *from as libc::c_char;
            }
            let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
            assert_eq!(
                libc::connect(fd, (&raw const address).cast(), size),
                0,
                "{}",
                io::Error::last_os_error()
            );
            let wait = libc::timeval { tv_sec: 30, tv_usec: 0 };
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const wait).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            );
            Self(socket)
        }
    }

    /// Connects and is welcome.
    fn greeted(path: &Path) -> Self {
        let peer = Self::connect(path);
        let (oldest, newest) = VERSIONS;
        peer.send(&Hello { magic: MAGIC, oldest, newest, sizes: SIZES });
        let mut room = vec![0; MAX_MESSAGE];
        let welcome: Welcome = peer.receive(&mut room).unwrap();
        assert_eq!((welcome.magic, welcome.chosen), (MAGIC, newest));
        peer
    }

    fn send_octets(&self, octets: &[u8]) -> bool {
        // SAFETY: the kernel reads the octets.
        let sent = unsafe {
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            libc::send(self.0.as_raw_fd(), octets.as_ptr().cast(), octets.len(), flags)
        };
        sent == octets.len() as isize
    }

    fn send<T: Serialize>(&self, message: &T) -> bool {
        let mut room = vec![0; MAX_MESSAGE];
        self.send_octets(postcard::to_slice(message, &mut room).unwrap())
    }

    fn request(&self, request: Request) -> bool {
        self.send(&ToHost::Request(request))
    }

    fn receive_attached<'a, T: Deserialize<'a>>(
        &self,
        room: &'a mut [u8],
    ) -> Option<(T, Option<Self>)> {
        let mut control = [0u64; 8];
        let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let mut header = MaybeUninit::<libc::msghdr>::zeroed();
        // SAFETY: the header points at both; what the kernel says it attached is ours.
        unsafe {
            let header = header.as_mut_ptr();
            ((*header).msg_iov, (*header).msg_iovlen) = (&raw mut part, 1);
            (*header).msg_control = control.as_mut_ptr().cast();
            (*header).msg_controllen = size_of_val(&control) as _;
            let size = libc::recvmsg(self.0.as_raw_fd(), header, libc::MSG_CMSG_CLOEXEC);
            if size <= 0 {
                return None;
            }
            let data = libc::CMSG_FIRSTHDR(header);
            let attached = (!data.is_null()).then(|| {
                let fd = libc::CMSG_DATA(data).cast::<i32>().read_unaligned();
                Self(OwnedFd::from_raw_fd(fd))
            });
            Some((postcard::from_bytes(&room[..size as usize]).unwrap(), attached))
        }
    }

    fn receive<'a, T: Deserialize<'a>>(&self, room: &'a mut [u8]) -> Option<T> {
        self.receive_attached(room).map(|(message, _)| message)
    }

    /// A call channel.
    fn channel(&self) -> Self {
        assert!(self.request(Request::Channel));
        let mut room = vec![0; MAX_MESSAGE];
        let (reply, channel) = self.receive_attached::<ToClient<'_>>(&mut room).unwrap();
        assert_eq!(reply, ToClient::Reply(Reply::Channel));
        let channel: Self = channel.unwrap();
        let wait = libc::timeval { tv_sec: 30, tv_usec: 0 };
        // SAFETY: the structure has that size.
        unsafe {
            libc::setsockopt(
                channel.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const wait).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            );
        }
        channel
    }

    /// A client, and its callback channel.
    fn register(&self, protocol: u32) -> (ClientId, Self) {
        let kind = ClientKind { has_local_join: true, dispatched: false, takes_routeless: false };
        self.request(Request::Register { protocol, component: 1, kind });
        let mut room = vec![0; MAX_MESSAGE];
        let (reply, channel) = self.receive_attached::<ToClient<'_>>(&mut room).unwrap();
        let ToClient::Reply(Reply::Client(id)) = reply else { panic!("{reply:?}") };
        (id, channel.unwrap())
    }

    /// The code that a request gives.
    fn code(&self, request: Request) -> Option<u32> {
        self.request(request);
        let mut room = vec![0; MAX_MESSAGE];
        match self.receive(&mut room)? {
            ToClient::Reply(Reply::Failed(code, ..)) => Some(code),
            ToClient::Reply(_) => Some(0),
            ToClient::Question(question) => panic!("{question:?}"),
        }
    }

    /// Waits until the host has ended the connection.
    fn wait_for_end(&self) {
        let mut room = vec![0u8; MAX_MESSAGE];
        loop {
            // SAFETY: the kernel writes within the room.
            let size =
                unsafe { libc::recv(self.0.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
            let error = io::Error::last_os_error();
            match size {
                0 => return,
                -1 if error.raw_os_error() == Some(libc::ECONNRESET) => return,
                -1 => panic!("the connection has not ended: {error}"),
                _ => {}
            }
        }
    }
}

/// A host with a client that must not notice anything.
fn host() -> (std::path::PathBuf, Puppet, Puppet) {
    let path = path();
    let host = Puppet::host(&path, 0);
    let client = Puppet::client(&path);
    assert_eq!(client.ask(&format!("register {A}")), "0 0");
    assert_eq!(client.ask("take 0 1"), "0");
    (path, host, client)
}

/// The client goes on, and nobody else is left.
fn goes_on(host: &Puppet, client: &Puppet) {
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
    for octets in bad_next {
        let peer = Peer::greeted(&path);
        peer.send_octets(octets);
        peer.wait_for_end();
        host.wait_for("its connection ends");
        let peer = Peer::greeted(&path);
        let channel = peer.channel();
        let (_, callbacks) = channel.register(77);
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
    let question: ToClient<'_> = callbacks.receive(&mut room).unwrap();
    assert!(matches!(question, ToClient::Question(_)), "{question:?}");
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
    assert_eq!(channel.code(Request::Register { protocol: 99, component: 1, kind }), Some(8));
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
    for (oldest, newest, sizes) in [(2, 7, SIZES), (0, 0, SIZES), (1, 1, other)] {
        let peer = Peer::connect(&path);
        peer.send(&Hello { magic: MAGIC, oldest, newest, sizes });
        let welcome: Welcome = peer.receive(&mut room).unwrap();
        assert_eq!((welcome.chosen, welcome.oldest, welcome.newest), (0, VERSIONS.0, VERSIONS.1));
        peer.wait_for_end();
        host.wait_for("do not fit together");
    }
    goes_on(&host, &client);
}

/// The client's side: a host that speaks none of its versions, or has other records.
#[test]
fn p7_a_host_of_another_version() {
    let (oldest, newest) = VERSIONS;
    let other = RecordSizes { mfe: 64, ..SIZES };
    let welcomes = [
        Welcome { magic: MAGIC, oldest: 8, newest: 9, chosen: 0, sizes: SIZES },
        Welcome { magic: MAGIC, oldest, newest, chosen: newest, sizes: other },
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
    let after = connect(std::env::var("MGM_CONNECTS").map_or(1000, |n| n.parse().unwrap()));
    assert!(after < before + 8 * 1024, "{before} kB, then {after} kB");
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

fn accept(listener: &OwnedFd) -> Peer {
    // SAFETY: null pointers: nobody wants the peer's address; the descriptor is new.
    unsafe {
        let fd = libc::accept(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut());
        Peer(OwnedFd::from_raw_fd(fd))
    }
}

fn listen(path: &Path) -> OwnedFd {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: plain system calls with a structure of the size that is said; the descriptor is new.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0);
        let socket = OwnedFd::from_raw_fd(fd);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
            *to = *from as libc::c_char;
        }
        let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        assert_eq!(libc::bind(fd, (&raw const address).cast(), size), 0);
        assert_eq!(libc::listen(fd, 5), 0);
        socket
    }
}
