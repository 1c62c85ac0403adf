//! System calls, threads and the lock. An installed library has unsafe code only here and in `ffi`.
//!
//! The wrappers are thin: they take arguments, and give a value or the error number. Interrupted
//! calls are repeated, and every descriptor is close-on-exec. This file has sockets, netlink and
//! waiting; `mroute` has the options of the multicast routing socket, `thread` the threads, `lock`
//! the lock.

pub(crate) mod border;
mod devices;
#[cfg(not(all(test, feature = "shuttle")))]
mod lock;
mod mroute;
pub(crate) mod pool;
mod readiness;
pub mod seqpacket;
pub(crate) mod stderr;
pub(crate) mod sync;
mod thread;
pub mod unix;

#[cfg(not(all(test, feature = "shuttle")))]
pub use lock::{ShardedRwLock, Writing};

pub use devices::DeviceNames;
pub use mroute::{
    DEFAULT_TABLE, MAX_VIFS, add_mfc, add_vif, del_mfc, del_vif, igmp_socket, mrt_assert, mrt_done,
    mrt_flush, mrt_init, mrt_pim, mrt_table, same_namespace, sg_count, take_igmp_socket,
    vif_exists,
};
pub use readiness::Readiness;
pub use thread::{Body, Thread, share_one_arena};

use std::ffi::c_int;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An error number.
pub type Errno = i32;

const SO_MEMINFO: c_int = 55;
const SK_MEMINFO_DROPS: usize = 8;

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

/// The monotonic clock as it was at the kernel's last tick, 1 to 10 ms ago at the most (decision
/// 57). It is read from memory. Reading the exact clock waits until the processor has finished all
/// earlier instructions.
#[cfg_attr(all(test, feature = "shuttle"), expect(dead_code, reason = "its time stands still"))]
pub fn coarse_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec. It knows the clock since 2.6.32; a refusal would
    // leave zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
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

/// The name of the device with an index, in the network namespace of this socket; it ends with a NUL
/// or with the field.
pub fn device_name(fd: &OwnedFd, ifindex: u32) -> Option<[u8; libc::IFNAMSIZ]> {
    // SAFETY: all zeros are a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = i32::try_from(ifindex).ok()?;
    // SAFETY: the kernel reads and writes one ifreq, in which it sets the name.
    retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFNAME as _, &raw mut request) }
        as isize)
    .ok()?;
    Some(request.ifr_name.map(|octet| octet as u8))
}

/// Subscribes a netlink socket to a group of notifications.
pub fn join_group(fd: &OwnedFd, group: u32) -> Result<(), Errno> {
    set_option(fd, libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, &group)
}

/// Sets the receive buffer to a size for which no permission is needed.
pub fn set_buffer(fd: &OwnedFd, octets: u32) {
    // If this fails, the buffer stays as it is, which works too.
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &octets);
}

/// Asks for a larger receive buffer, beyond the system's limit where that is allowed.
pub fn enlarge_buffer(fd: &OwnedFd, octets: u32) {
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &octets).is_err() {
        // The kernel cuts the size down to the limit, which works too.
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

/// Receives as many datagrams as there are buffers, [`BATCH`] at most, without waiting, each into
/// its own buffer, and gives their number. `lengths` are true lengths as with [`receive`].
pub fn receive_many<const N: usize>(
    fd: &OwnedFd,
    buffers: &mut [[u8; N]],
    lengths: &mut [usize],
) -> Result<usize, Errno> {
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let most = buffers.len().min(lengths.len()).min(BATCH);
    // It prepares only as many as are used, so that a single report does not pay for a full batch.
    for ((message, part), buffer) in messages.iter_mut().zip(&mut parts).zip(&mut buffers[..most]) {
        let part = part.write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: N });
        // SAFETY: plain data for which all zeros is a value.
        let message = message.write(unsafe { std::mem::zeroed() });
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the first `most` messages were written, each points at one part and each part at a
    // buffer of N octets; all of them outlive the call.
    let n = retry(|| unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr().cast(),
            most as _,
            flags as _,
            std::ptr::null_mut(),
        )
    } as isize)?;
    let n = n.min(most);
    for (length, message) in lengths.iter_mut().zip(&messages[..n]) {
        // SAFETY: written above, for n is at most `most`.
        *length = unsafe { message.assume_init_ref() }.msg_len as usize;
    }
    Ok(n)
}

/// A packet socket that cuts link headers off. It receives nothing until [`bind_packets`].
pub fn packet_socket() -> Result<OwnedFd, Errno> {
    socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)
}

/// The packet socket receives the packets of a protocol (ETH_P_…) from all devices, and no others.
pub fn bind_packets(fd: &OwnedFd, protocol: u16) -> Result<(), Errno> {
    // SAFETY: plain data for which all zeros is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` has that length.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) } as isize)
        .map(drop)
}

/// Receives one packet of a packet socket without waiting. Gives its length, as [`receive`] does, and
/// its device.
pub fn receive_packet(fd: &OwnedFd, buffer: &mut [u8]) -> Result<(usize, u32), Errno> {
    // SAFETY: plain data for which all zeros is a value.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the kernel writes at most `buffer.len()` octets, and an address of at most `size`.
    let length = retry(|| unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
            (&raw mut from).cast(),
            &raw mut size,
        )
    })?;
    Ok((length, from.sll_ifindex as u32))
}

/// An eventfd: readable from the first [`signal`] on.
pub fn event() -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } as isize)
        .map(owned)
}

/// Makes an eventfd readable. It can fail only where the counter is full, which is readable too.
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

/// The pause where waiting fails.
const FAILED_WAIT: Duration = Duration::from_millis(100);

/// Waits until one of the descriptors is readable, or has an error to be read, or until
/// `timeout_ms` is over (None: as long as it takes). Waiting fails where memory runs out, or where
/// the limit on descriptors was lowered below N. The error comes after a pause, because the caller
/// would otherwise try again and again and keep a processor busy.
pub fn wait_readable<const N: usize>(
    fds: [&OwnedFd; N],
    timeout_ms: Option<u32>,
) -> Result<[bool; N], Errno> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let timeout = timeout_ms.map_or(-1, |ms| ms.min(i32::MAX as u32) as c_int);
    // SAFETY: `polled` has N elements.
    retry(|| unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, timeout) } as isize)
        .inspect_err(|_| std::thread::sleep(FAILED_WAIT))?;
    Ok(polled.map(|p| p.revents != 0))
}
