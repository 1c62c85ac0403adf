//! UNIX sockets that carry whole messages (SOCK_SEQPACKET), with at most one descriptor attached.

use crate::sys::unix::{self, SocketKind};
use crate::sys::{Errno, owned, retry, set_option};
use std::ffi::c_int;
use std::hint::spin_loop;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How many octets of messages one side may have sent that the other has not read.
const BUFFER: u32 = 256 * 1024;

/// How long a thread stays awake for a message that is likely to come soon: as long as a wake-up on another
/// processor and one back take (docs/PERFORMANCE.md). So a thread that sleeps in the end has waited in
/// vain for no longer than its sleep costs.
const AWAKE: Duration = Duration::from_micros(50);

/// The control data of one descriptor.
#[repr(C, align(8))]
struct OneDescriptor([u8; 64]);

/// A connection to the socket at a path.
pub fn connect(path: &Path, patience: Duration) -> Result<OwnedFd, Errno> {
    let fd = unix::connect(path, SocketKind::Seqpacket, patience)?;
    widen(&fd);
    Ok(fd)
}

/// The next connection.
pub fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    // SAFETY: null pointers: nobody wants the peer's address.
    let fd = retry(|| unsafe {
        let (address, length) = (std::ptr::null_mut(), std::ptr::null_mut());
        libc::accept4(listener.as_raw_fd(), address, length, libc::SOCK_CLOEXEC)
    } as isize)
    .map(owned)?;
    widen(&fd);
    Ok(fd)
}

/// Two sockets that are connected with each other.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two descriptors.
    retry(|| unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } as isize)?;
    let [one, other] = fds.map(|fd| owned(fd as usize));
    widen(&one);
    widen(&other);
    Ok((one, other))
}

fn widen(fd: &OwnedFd) {
    // The kernel's limit may be lower; the default holds two of our longest messages as well.
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &BUFFER);
}

fn timeout(fd: &OwnedFd, option: c_int, time: Duration) -> Result<(), Errno> {
    let time = libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: time.subsec_micros() as libc::suseconds_t,
    };
    set_option(fd, libc::SOL_SOCKET, option, &time)
}

/// After this time a message that the other side has no room for fails with EAGAIN; zero: never.
pub fn set_send_timeout(fd: &OwnedFd, time: Duration) -> Result<(), Errno> {
    timeout(fd, libc::SO_SNDTIMEO, time)
}

/// After this time without a message receiving fails with EAGAIN; zero: never.
pub fn set_receive_timeout(fd: &OwnedFd, time: Duration) -> Result<(), Errno> {
    timeout(fd, libc::SO_RCVTIMEO, time)
}

/// Sends one message, with a descriptor if there is one.
pub fn send(fd: &OwnedFd, message: &[u8], attached: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let Some(attached) = attached else {
        let flags = libc::MSG_NOSIGNAL;
        // SAFETY: the kernel reads `message`.
        let sent = retry(|| unsafe {
            libc::send(fd.as_raw_fd(), message.as_ptr().cast(), message.len(), flags)
        })?;
        return if sent == message.len() { Ok(()) } else { Err(libc::EMSGSIZE) };
    };
    let mut part =
        libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    let mut control = OneDescriptor([0; 64]);
    // SAFETY: the header points at `part` and at `control`, which outlive the call and which the
    // kernel only reads; CMSG_* stay within the 64 octets, which hold one descriptor.
    let sent = retry(|| unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of::<c_int>() as u32) as _;
        let data = libc::CMSG_FIRSTHDR(&raw const header);
        (*data).cmsg_level = libc::SOL_SOCKET;
        (*data).cmsg_type = libc::SCM_RIGHTS;
        (*data).cmsg_len = libc::CMSG_LEN(size_of::<c_int>() as u32) as _;
        libc::CMSG_DATA(data).cast::<c_int>().write_unaligned(attached.as_raw_fd());
        libc::sendmsg(fd.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL)
    })?;
    if sent == message.len() { Ok(()) } else { Err(libc::EMSGSIZE) }
}

/// Receives one message; 0 octets: the other side has ended. Descriptors that come along are closed
/// by the kernel. A message that is too long is EMSGSIZE.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_TRUNC;
    // SAFETY: the kernel writes at most `buffer.len()` octets.
    let size = retry(|| unsafe {
        libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags)
    })?;
    if size > buffer.len() { Err(libc::EMSGSIZE) } else { Ok(size) }
}

/// Waits for a message without sleeping, for [`AWAKE`] at the most: whoever then receives is there at
/// once. It does nothing where the process has one processor, since the message comes from another thread.
pub fn stay_awake(fd: &OwnedFd) {
    if !has_processors() {
        return;
    }
    let begun = Instant::now();
    // SAFETY: the kernel writes nothing.
    let look = || unsafe {
        libc::recv(fd.as_raw_fd(), null_mut(), 0, libc::MSG_PEEK | libc::MSG_DONTWAIT)
    };
    while retry(look) == Err(libc::EAGAIN) && begun.elapsed() < AWAKE {
        spin_loop();
    }
}

/// Whether the process may use more than one processor.
fn has_processors() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| {
        // SAFETY: all zeros is the empty set; the kernel writes at most that many octets to it.
        unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed);
            libc::CPU_COUNT(&allowed) > 1
        }
    })
}

/// Receives one message and the descriptor that is attached to it, if there is one.
pub fn receive_attached(
    fd: &OwnedFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = OneDescriptor([0; 64]);
    let mut header = MaybeUninit::<libc::msghdr>::zeroed();
    // SAFETY: as in `send`; the kernel writes within both. What it says it wrote is within
    // `msg_controllen`, and a SCM_RIGHTS message of that length holds one descriptor, ours now.
    unsafe {
        let header = header.as_mut_ptr();
        (*header).msg_iov = &raw mut part;
        (*header).msg_iovlen = 1;
        (*header).msg_control = (&raw mut control).cast();
        let space = libc::CMSG_SPACE(size_of::<c_int>() as u32);
        (*header).msg_controllen = space as _;
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
        let size = retry(|| libc::recvmsg(fd.as_raw_fd(), header, flags))?;
        let data = libc::CMSG_FIRSTHDR(header.cast_const());
        let mut attached = None;
        if !data.is_null()
            && (*data).cmsg_level == libc::SOL_SOCKET
            && (*data).cmsg_type == libc::SCM_RIGHTS
            && (*data).cmsg_len as usize >= libc::CMSG_LEN(size_of::<c_int>() as u32) as usize
        {
            let number = libc::CMSG_DATA(data).cast::<c_int>().read_unaligned();
            attached = usize::try_from(number).ok().map(owned);
        }
        if size > buffer.len() { Err(libc::EMSGSIZE) } else { Ok((size, attached)) }
    }
}

/// Whether a connection has ended: the other side has closed it, or either has shut it down.
pub fn has_hung_up(fd: &OwnedFd) -> bool {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one structure.
    let found = retry(|| unsafe { libc::poll(&raw mut polled, 1, 0) } as isize);
    found.is_ok() && polled.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Ends a connection for both sides; threads that wait for messages on it come out.
pub fn shut_down(fd: &OwnedFd) {
    // SAFETY: takes no pointers. The other side may have ended it already.
    let _ = retry(|| unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) } as isize);
}

/// Ends what comes in; threads that wait for messages come out, and what was sent still arrives.
pub fn shut_down_input(fd: &OwnedFd) {
    // SAFETY: takes no pointers. The other side may have ended it already.
    let _ = retry(|| unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RD) } as isize);
}

/// The process that connected: its process id and user id, as it was then.
pub fn peer(fd: &OwnedFd) -> Result<(i32, u32), Errno> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `peer`, which is that large.
    retry(|| unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    } as isize)?;
    Ok((peer.pid, peer.uid))
}

/// A descriptor that is readable when the process has ended.
pub fn process(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as isize).map(owned)
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn messages_keep_their_borders_and_a_descriptor_comes_along() {
        let (one, other) = pair().unwrap();
        send(&one, b"first", None).unwrap();
        send(&one, b"second", Some(one.as_fd())).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(receive(&other, &mut buffer), Ok(5));
        let (size, attached) = receive_attached(&other, &mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"second");
        // It is the same socket: what is sent on it arrives here.
        send(&attached.unwrap(), b"third", None).unwrap();
        assert_eq!(receive(&other, &mut buffer), Ok(5));
        send(&one, &[0; 17], None).unwrap();
        assert_eq!(receive(&other, &mut buffer), Err(libc::EMSGSIZE));
        drop(one);
        assert_eq!(receive(&other, &mut buffer), Ok(0));
        assert_eq!(send(&other, b"x", None), Err(libc::EPIPE));
    }

    #[test]
    fn a_thread_stays_awake_until_a_message_comes_and_not_for_ever() {
        let (one, other) = pair().unwrap();
        let begun = Instant::now();
        stay_awake(&other);
        assert!(begun.elapsed() >= AWAKE || !has_processors());
        send(&one, b"first", None).unwrap();
        stay_awake(&other);
        assert_eq!(receive(&other, &mut [0; 16]), Ok(5), "it is still there");
        drop(one);
        stay_awake(&other);
        assert_eq!(receive(&other, &mut [0; 16]), Ok(0));
    }

    #[test]
    fn a_descriptor_that_nobody_asked_for_is_closed() {
        let (one, other) = pair().unwrap();
        let (watched, passed) = pair().unwrap();
        send(&one, b"x", Some(passed.as_fd())).unwrap();
        drop(passed);
        assert_eq!(receive(&other, &mut [0; 4]), Ok(1));
        // Nobody holds the other end any more.
        assert_eq!(receive(&watched, &mut [0; 4]), Ok(0));
    }
}
