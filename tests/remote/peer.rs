//! A peer on the socket, host or client process, that a test plays itself.

use mgm::remote::wire::{
    ClientKind, Hello, MAGIC, MAX_MESSAGE, RecordSizes, Reply, Request, ToClient, ToHost, VERSIONS,
    Welcome,
};
use mgm::shell::callbacks::CallbackSet;
use mgm::types::ClientId;
use serde::{Deserialize, Serialize};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

pub const SIZES: RecordSizes =
    RecordSizes { mfe: 60, mfe_stats: 64, mfe_stats_ex: 84, source_group: 16 };

/// One end of a SOCK_SEQPACKET connection, made by hand.
pub struct Peer(OwnedFd);

impl Peer {
    pub fn connect(path: &Path) -> Self {
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
            Self(socket).patient()
        }
    }

    /// Waits for half a minute for what must come.
    pub fn patient(self) -> Self {
        let wait = libc::timeval { tv_sec: 30, tv_usec: 0 };
        // SAFETY: the structure has that size.
        unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const wait).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            );
        }
        self
    }

    /// Connects and is welcome.
    pub fn greeted(path: &Path) -> Self {
        let peer = Self::connect(path);
        let (oldest, newest) = VERSIONS;
        peer.send(&Hello { magic: MAGIC, oldest, newest, sizes: SIZES });
        let mut room = vec![0; MAX_MESSAGE];
        let welcome: Welcome = peer.receive(&mut room).unwrap();
        assert_eq!((welcome.magic, welcome.chosen), (MAGIC, newest));
        peer
    }

    /// Two ends of a connection.
    pub fn pair() -> [Self; 2] {
        let mut fds = [-1; 2];
        // SAFETY: the kernel writes both; they are new.
        unsafe {
            let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
            assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()), 0);
            fds.map(|fd| Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub fn send_octets(&self, octets: &[u8]) -> bool {
        // SAFETY: the kernel reads the octets.
        let sent = unsafe {
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            libc::send(self.0.as_raw_fd(), octets.as_ptr().cast(), octets.len(), flags)
        };
        sent == octets.len() as isize
    }

    /// The same with a descriptor attached.
    pub fn send_attached<T: Serialize>(&self, message: &T, attached: &Self) {
        let mut room = vec![0; MAX_MESSAGE];
        let octets = postcard::to_slice(message, &mut room).unwrap();
        let mut control = [0u64; 8];
        let mut part = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        let mut header = MaybeUninit::<libc::msghdr>::zeroed();
        // SAFETY: the header points at both; the control message fits, and holds one descriptor.
        unsafe {
            let header = header.as_mut_ptr();
            ((*header).msg_iov, (*header).msg_iovlen) = (&raw mut part, 1);
            (*header).msg_control = control.as_mut_ptr().cast();
            (*header).msg_controllen = libc::CMSG_SPACE(size_of::<i32>() as u32) as _;
            let data = libc::CMSG_FIRSTHDR(header);
            ((*data).cmsg_level, (*data).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
            (*data).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
            libc::CMSG_DATA(data).cast::<i32>().write_unaligned(attached.0.as_raw_fd());
            let sent = libc::sendmsg(self.0.as_raw_fd(), header, libc::MSG_NOSIGNAL);
            assert_eq!(sent, octets.len() as isize, "{}", io::Error::last_os_error());
        }
    }

    pub fn send<T: Serialize>(&self, message: &T) -> bool {
        let mut room = vec![0; MAX_MESSAGE];
        self.send_octets(postcard::to_slice(message, &mut room).unwrap())
    }

    pub fn request(&self, request: Request) -> bool {
        self.send(&ToHost::Request(request))
    }

    pub fn receive_attached<'a, T: Deserialize<'a>>(
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

    pub fn receive<'a, T: Deserialize<'a>>(&self, room: &'a mut [u8]) -> Option<T> {
        self.receive_attached(room).map(|(message, _)| message)
    }

    /// A message and what is behind it.
    pub fn receive_with_list<'a, T: Deserialize<'a>>(
        &self,
        room: &'a mut [u8],
    ) -> Option<(T, &'a [u8])> {
        // SAFETY: the kernel writes within the room.
        let size =
            unsafe { libc::recv(self.0.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
        let octets = room.get(..usize::try_from(size).ok().filter(|size| *size > 0)?)?;
        Some(postcard::take_from_bytes(octets).unwrap())
    }

    /// Whether there is a message.
    pub fn is_readable(&self) -> bool {
        let mut polled = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure.
        unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
    }

    /// A call channel.
    pub fn channel(&self) -> Self {
        assert!(self.request(Request::Channel));
        let mut room = vec![0; MAX_MESSAGE];
        let (reply, channel) = self.receive_attached::<ToClient<'_>>(&mut room).unwrap();
        assert_eq!(reply, ToClient::Reply(Reply::Channel));
        channel.unwrap().patient()
    }

    /// A client, and its callback channel.
    pub fn register(&self, protocol: u32) -> (ClientId, Self) {
        self.register_as(protocol, false)
    }

    /// The same, with MGM_DISPATCHED if wanted.
    pub fn register_as(&self, protocol: u32, dispatched: bool) -> (ClientId, Self) {
        self.register_with(protocol, dispatched, CallbackSet::ALL)
    }

    /// The same, with these callbacks.
    pub fn register_with(
        &self,
        protocol: u32,
        dispatched: bool,
        callbacks: CallbackSet,
    ) -> (ClientId, Self) {
        let kind = ClientKind { has_local_join: true, dispatched, takes_routeless: false };
        self.request(Request::Register { protocol, component: 1, kind, callbacks });
        let mut room = vec![0; MAX_MESSAGE];
        let (reply, channel) = self.receive_attached::<ToClient<'_>>(&mut room).unwrap();
        let ToClient::Reply(Reply::Client(id)) = reply else { panic!("{reply:?}") };
        (id, channel.unwrap().patient())
    }

    /// The code that a request gives.
    pub fn code(&self, request: Request) -> Option<u32> {
        self.request(request);
        let mut room = vec![0; MAX_MESSAGE];
        match self.receive(&mut room)? {
            ToClient::Reply(Reply::Failed(code, ..)) => Some(code),
            ToClient::Reply(_) => Some(0),
            ToClient::Callbacks(as_of) => panic!("questions as of {as_of}"),
        }
    }

    /// Waits until the host has ended the connection.
    pub fn wait_for_end(&self) {
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

pub fn accept(listener: &OwnedFd) -> Peer {
    // SAFETY: null pointers: nobody wants the peer's address; the descriptor is new.
    unsafe {
        let fd = libc::accept(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut());
        Peer(OwnedFd::from_raw_fd(fd))
    }
}

pub fn listen(path: &Path) -> OwnedFd {
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
