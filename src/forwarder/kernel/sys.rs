//! System calls: the only file of the kernel forwarder with unsafe code.
//!
//! Thin wrappers: arguments in, a value or the error number out. Interrupted calls are repeated,
//! every descriptor is close-on-exec. The constants and structures of `<linux/mroute.h>` are
//! declared here because no crate has them; their layout is asserted.

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::mem::{offset_of, size_of};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// An error number.
pub type Errno = i32;

/// The number of virtual interfaces (VIFs) in a table: MAXVIFS.
pub const MAX_VIFS: usize = 32;

/// The table that packets are routed with where no rule says otherwise: RT_TABLE_DEFAULT.
pub const DEFAULT_TABLE: u32 = 253;

const MRT_INIT: c_int = 200;
const MRT_DONE: c_int = 201;
const MRT_ADD_VIF: c_int = 202;
const MRT_DEL_VIF: c_int = 203;
const MRT_ADD_MFC: c_int = 204;
const MRT_DEL_MFC: c_int = 205;
const MRT_ASSERT: c_int = 207;
const MRT_TABLE: c_int = 209;
const SIOCGETVIFCNT: c_ulong = 0x89e0;
const SIOCGETSGCNT: c_ulong = 0x89e1;
const VIFF_USE_IFINDEX: u8 = 8;
const SO_MEMINFO: c_int = 55;
const SK_MEMINFO_DROPS: usize = 8;

/// `struct vifctl`, with its union read as an interface index.
#[repr(C)]
#[derive(Clone, Copy)]
struct VifCtl {
    vif: u16,
    flags: u8,
    threshold: u8,
    rate_limit: u32,
    local_ifindex: i32,
    remote: [u8; 4],
}

/// `struct mfcctl`.
#[repr(C)]
#[derive(Clone, Copy)]
struct MfcCtl {
    origin: [u8; 4],
    group: [u8; 4],
    parent: u16,
    ttls: [u8; MAX_VIFS],
    // The two octets the compiler would put here anyway, so that none is left uninitialised.
    padding: [u8; 2],
    pkt_cnt: u32,
    byte_cnt: u32,
    wrong_if: u32,
    expire: i32,
}

/// `struct sioc_sg_req`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SgReq {
    src: [u8; 4],
    grp: [u8; 4],
    pktcnt: c_ulong,
    bytecnt: c_ulong,
    wrong_if: c_ulong,
}

/// `struct sioc_vif_req`.
#[repr(C)]
#[derive(Clone, Copy)]
struct VifReq {
    vif: u16,
    counts: [c_ulong; 4],
}

const _: () = {
    assert!(size_of::<VifCtl>() == 16 && offset_of!(VifCtl, local_ifindex) == 8);
    assert!(size_of::<MfcCtl>() == 60 && offset_of!(MfcCtl, ttls) == 10);
    assert!(offset_of!(MfcCtl, pkt_cnt) == 44);
    assert!(size_of::<SgReq>() == 8 + 3 * size_of::<c_ulong>());
    assert!(size_of::<VifReq>() == 5 * size_of::<c_ulong>());
};

/// What the kernel counted for one (S,G).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgCount {
    /// Packets, those on a wrong interface included.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Packets on a wrong interface.
    pub wrong_interface: u64,
}

/// Turns -1 into the error number and repeats a call that a signal interrupted.
fn retry(mut call: impl FnMut() -> isize) -> Result<usize, Errno> {
    loop {
        if let Ok(n) = usize::try_from(call()) {
            return Ok(n);
        }
        match errno() {
            libc::EINTR => {}
            e => return Err(e),
        }
    }
}

fn errno() -> Errno {
    // SAFETY: points at this thread's errno, which lives as long as the thread.
    unsafe { *libc::__errno_location() }
}

fn owned(fd: usize) -> OwnedFd {
    // SAFETY: the callers pass a descriptor that a system call has just made for them.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

fn socket(family: c_int, kind: c_int, protocol: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) } as isize)
        .map(owned)
}

/// The kernel reads `value`, plain data of the type that this option takes.
fn set_option<T: Copy>(fd: &OwnedFd, level: c_int, name: c_int, value: &T) -> Result<(), Errno> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` octets from `value`, which is that large.
    retry(|| unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const *value).cast(), size)
    } as isize)
    .map(drop)
}

/// A raw IGMP socket: what the multicast routing options need.
pub fn igmp_socket() -> Result<OwnedFd, Errno> {
    socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP)
}

/// A duplicate of a descriptor that must be a raw IGMP socket.
pub fn take_igmp_socket(fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers; a number that is no descriptor of ours gives EBADF.
    let fd = retry(|| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } as isize).map(owned)?;
    let wanted = [
        (libc::SO_DOMAIN, libc::AF_INET),
        (libc::SO_TYPE, libc::SOCK_RAW),
        (libc::SO_PROTOCOL, libc::IPPROTO_IGMP),
    ];
    for (name, value) in wanted {
        let mut got = 0;
        let mut size = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` octets to `got`, which is that large.
        retry(|| unsafe {
            let (got, size) = ((&raw mut got).cast(), &raw mut size);
            libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, got, size)
        } as isize)?;
        if got != value {
            return Err(libc::EPROTOTYPE);
        }
    }
    Ok(fd)
}

/// MRT_TABLE: the table this socket is about; before [`mrt_init`].
pub fn mrt_table(fd: &OwnedFd, table: u32) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_TABLE, &table)
}

/// MRT_INIT: this socket becomes the owner of the table.
pub fn mrt_init(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_INIT, &1i32)
}

/// MRT_DONE: the owner's interfaces and entries go.
pub fn mrt_done(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_DONE, &1i32)
}

/// MRT_ASSERT: report packets that come in on a wrong interface.
pub fn mrt_assert(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_ASSERT, &1i32)
}

/// MRT_ADD_VIF by interface index.
pub fn add_vif(fd: &OwnedFd, vif: u8, ifindex: u32) -> Result<(), Errno> {
    let local_ifindex = i32::try_from(ifindex).map_err(|_| libc::ENODEV)?;
    let request = VifCtl {
        vif: vif.into(),
        flags: VIFF_USE_IFINDEX,
        threshold: 1,
        rate_limit: 0,
        local_ifindex,
        remote: [0; 4],
    };
    set_option(fd, libc::IPPROTO_IP, MRT_ADD_VIF, &request)
}

/// MRT_DEL_VIF.
pub fn del_vif(fd: &OwnedFd, vif: u8) -> Result<(), Errno> {
    let request = VifCtl {
        vif: vif.into(),
        flags: 0,
        threshold: 0,
        rate_limit: 0,
        local_ifindex: 0,
        remote: [0; 4],
    };
    set_option(fd, libc::IPPROTO_IP, MRT_DEL_VIF, &request)
}

/// Whether a VIF of this number exists: SIOCGETVIFCNT.
pub fn vif_exists(fd: &OwnedFd, vif: u8) -> Result<bool, Errno> {
    let mut request = VifReq { vif: vif.into(), counts: [0; 4] };
    match ioctl(fd, SIOCGETVIFCNT, &mut request) {
        Ok(()) => Ok(true),
        // EINVAL: greater than the number of any VIF that there is.
        Err(libc::EADDRNOTAVAIL | libc::EINVAL) => Ok(false),
        Err(e) => Err(e),
    }
}

fn mfc(source: Ipv4Addr, group: Ipv4Addr, parent: u8, oifs: u32) -> MfcCtl {
    let mut ttls = [0; MAX_VIFS];
    for (vif, ttl) in ttls.iter_mut().enumerate() {
        // A packet goes out where its TTL is greater than this; 0 means never.
        *ttl = (oifs >> vif & 1) as u8;
    }
    MfcCtl {
        origin: source.octets(),
        group: group.octets(),
        parent: parent.into(),
        ttls,
        padding: [0; 2],
        pkt_cnt: 0,
        byte_cnt: 0,
        wrong_if: 0,
        expire: 0,
    }
}

/// MRT_ADD_MFC: adds the entry or replaces it in place. Bit n of `oifs` is VIF n.
pub fn add_mfc(
    fd: &OwnedFd,
    source: Ipv4Addr,
    group: Ipv4Addr,
    parent: u8,
    oifs: u32,
) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_ADD_MFC, &mfc(source, group, parent, oifs))
}

/// MRT_DEL_MFC.
pub fn del_mfc(fd: &OwnedFd, source: Ipv4Addr, group: Ipv4Addr) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_DEL_MFC, &mfc(source, group, 0, 0))
}

fn ioctl<T>(fd: &OwnedFd, request: c_ulong, value: &mut T) -> Result<(), Errno> {
    // SAFETY: both requests used here read and write one structure of the type that the caller
    // passes, and the kernel keeps no reference to it.
    retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut *value) } as isize)
        .map(drop)
}

/// SIOCGETSGCNT: the counters of one (S,G); EADDRNOTAVAIL where there is none.
pub fn sg_count(fd: &OwnedFd, source: Ipv4Addr, group: Ipv4Addr) -> Result<SgCount, Errno> {
    let mut request =
        SgReq { src: source.octets(), grp: group.octets(), pktcnt: 0, bytecnt: 0, wrong_if: 0 };
    ioctl(fd, SIOCGETSGCNT, &mut request)?;
    #[cfg_attr(
        target_pointer_width = "64",
        expect(clippy::useless_conversion, reason = "an unsigned long has 32 bits elsewhere")
    )]
    Ok(SgCount {
        packets: request.pktcnt.into(),
        octets: request.bytecnt.into(),
        wrong_interface: request.wrong_if.into(),
    })
}

/// One instruction of a classic BPF program.
pub const fn bpf(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Attaches a classic BPF program: the socket receives only what it accepts.
pub fn attach_filter(fd: &OwnedFd, program: &[libc::sock_filter]) -> Result<(), Errno> {
    let program =
        libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // The kernel copies the program before the call returns and does not write to it.
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// How many datagrams the kernel could not put into the socket's receive buffer.
pub fn dropped(fd: &OwnedFd) -> Result<u32, Errno> {
    let mut info = [0u32; 16];
    let mut size = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `info`, which is that large.
    retry(|| unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    } as isize)?;
    Ok(info[SK_MEMINFO_DROPS])
}

/// A routing netlink socket. Acknowledgements do not repeat the request.
pub fn route_socket() -> Result<OwnedFd, Errno> {
    let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    set_option(&fd, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32)?;
    // An unbound socket has port 0 like the kernel, which sends its notifications to all others.
    // SAFETY: an all-zero sockaddr_nl is valid: the kernel chooses the port.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: `address` has that length.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) } as isize)?;
    Ok(fd)
}

/// Subscribes a netlink socket to a group of notifications.
pub fn join_group(fd: &OwnedFd, group: u32) -> Result<(), Errno> {
    set_option(fd, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &group)
}

/// Asks for a larger receive buffer: beyond the system's limit where that is allowed.
pub fn enlarge_buffer(fd: &OwnedFd, octets: u32) {
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &octets).is_err() {
        // Cut down to the limit by the kernel; it works with less.
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &octets);
    }
}

/// Sends to the kernel.
pub fn send(fd: &OwnedFd, message: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `message`.
    let sent =
        retry(|| unsafe { libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) })?;
    if sent == message.len() { Ok(()) } else { Err(libc::EMSGSIZE) }
}

/// Receives one datagram without waiting. Gives its true length, which is greater than the
/// buffer's where it was cut off. EAGAIN: there is none.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the kernel writes at most `buffer.len()` octets.
    retry(|| unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// The most datagrams that [`receive_many`] takes at once.
pub const BATCH: usize = 64;

/// Receives up to [`BATCH`] datagrams without waiting, each into its own buffer, and gives their
/// number. `lengths` are true lengths as with [`receive`].
pub fn receive_many<const N: usize>(
    fd: &OwnedFd,
    buffers: &mut [[u8; N]; BATCH],
    lengths: &mut [usize; BATCH],
) -> Result<usize, Errno> {
    // SAFETY: both structures are plain data for which all zeros is a value.
    let mut parts: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut messages: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for ((message, part), buffer) in messages.iter_mut().zip(&mut parts).zip(buffers.iter_mut()) {
        *part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: N };
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: each message points at one part and each part at a buffer of N octets; all of them
    // outlive the call.
    let n = retry(|| unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            BATCH as _,
            flags as _,
            std::ptr::null_mut(),
        )
    } as isize)?;
    for (length, message) in lengths.iter_mut().zip(&messages).take(n) {
        *length = message.msg_len as usize;
    }
    Ok(n)
}

/// An eventfd: readable from the first [`signal`] on.
pub fn event() -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } as isize)
        .map(owned)
}

/// Makes an eventfd readable. It cannot fail but for a full counter, and that is readable too.
pub fn signal(event: &OwnedFd) {
    let one = 1u64;
    // SAFETY: the kernel reads the eight octets of `one`.
    let _ = retry(|| unsafe { libc::write(event.as_raw_fd(), (&raw const one).cast(), 8) });
}

/// Makes an eventfd unreadable again.
pub fn clear(event: &OwnedFd) {
    let mut count = 0u64;
    // SAFETY: the kernel writes the eight octets of `count`.
    let _ = retry(|| unsafe { libc::read(event.as_raw_fd(), (&raw mut count).cast(), 8) });
}

/// Waits until one of the descriptors is readable, or has an error to be read, or for
/// `timeout_ms` (None: as long as it takes).
pub fn wait_readable<const N: usize>(
    fds: [&OwnedFd; N],
    timeout_ms: Option<u32>,
) -> Result<[bool; N], Errno> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = timeout_ms.map_or(-1, |ms| ms.min(i32::MAX as u32) as c_int);
    // SAFETY: `polled` has N elements.
    retry(|| unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout) } as isize)?;
    Ok(polled.map(|p| p.revents != 0))
}

/// What a [`Thread`] runs.
pub trait Body {
    /// What it works on, shared with its starter.
    type On: Send + Sync + 'static;

    /// The thread's life. A panic here ends the process, so it catches its own.
    fn run(on: Arc<Self::On>);
}

/// A thread of the forwarder's own. Made without Rust's allocator, whose failure would end the
/// process (rule A4): a spare thread may be wanted while memory is short.
pub struct Thread(usize);

impl Thread {
    /// Starts a thread that runs `B` with all signals blocked, so that the host's handlers never
    /// run on it.
    pub fn spawn<B: Body>(name: &CStr, on: Arc<B::On>) -> Result<Self, Errno> {
        extern "C" fn run<B: Body>(on: *mut c_void) -> *mut c_void {
            // SAFETY: the pointer is from Arc::into_raw below, which gave its count to us.
            B::run(unsafe { Arc::from_raw(on.cast::<B::On>().cast_const()) });
            std::ptr::null_mut()
        }
        let on = Arc::into_raw(on);
        // SAFETY: the sets are plain data that sigfillset and pthread_sigmask fill in; `on` stays
        // valid because its count goes to the new thread.
        let made = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            let mut thread: libc::pthread_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let error = libc::pthread_create(
                &raw mut thread,
                std::ptr::null(),
                run::<B>,
                on.cast_mut().cast(),
            );
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if error == 0 { Ok(thread) } else { Err(error) }
        };
        match made {
            Ok(thread) => {
                // SAFETY: the thread has been neither joined nor detached, and the name is a
                // string. One that is too long would be refused, which does no harm.
                unsafe { libc::pthread_setname_np(thread, name.as_ptr()) };
                // A number on glibc, a pointer elsewhere.
                Ok(Self(thread as usize))
            }
            Err(e) => {
                // SAFETY: no thread was made, so the count is still ours.
                drop(unsafe { Arc::from_raw(on) });
                Err(e)
            }
        }
    }

    /// Whether this is the calling thread.
    pub fn is_self(&self) -> bool {
        // SAFETY: only gives the calling thread's own handle.
        self.0 == unsafe { libc::pthread_self() } as usize
    }

    /// Waits for the thread's end.
    pub fn join(self) {
        // SAFETY: the thread was neither joined nor detached, and its handle is used up here.
        unsafe { libc::pthread_join(self.0 as libc::pthread_t, std::ptr::null_mut()) };
    }

    /// Lets the thread go on by itself.
    pub fn detach(self) {
        // SAFETY: the thread was neither joined nor detached, and its handle is used up here.
        unsafe { libc::pthread_detach(self.0 as libc::pthread_t) };
    }
}
