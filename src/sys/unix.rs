//! UNIX sockets with a path.

use crate::sys::{Errno, retry, set_option, socket};
use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// What goes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A stream of octets.
    Stream,
    /// Whole messages.
    Seqpacket,
}

impl SocketKind {
    const fn number(self) -> c_int {
        match self {
            Self::Stream => libc::SOCK_STREAM,
            Self::Seqpacket => libc::SOCK_SEQPACKET,
        }
    }
}

/// ENAMETOOLONG: bind(2) takes all of sun_path, without a closing NUL where there is no room for one.
fn address(path: &Path) -> Result<(libc::sockaddr_un, libc::socklen_t), Errno> {
    // SAFETY: plain data for which all zeros is a value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let octets = path.as_os_str().as_bytes();
    if octets.len() > address.sun_path.len() {
        return Err(libc::ENAMETOOLONG);
    }
    if octets.is_empty() || octets.contains(&0) {
        return Err(libc::EINVAL);
    }
    for (to, from) in address.sun_path.iter_mut().zip(octets) {
        *to = *from as libc::c_char;
    }
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + octets.len();
    Ok((address, length as libc::socklen_t))
}

/// A socket at a path that nothing is at yet. Nobody has more rights on its file, at any moment, than
/// the mode gives.
pub fn listen(path: &Path, kind: SocketKind, mode: u32) -> Result<OwnedFd, Errno> {
    let (address, length) = address(path)?;
    let fd = socket(libc::AF_UNIX, kind.number(), 0)?;
    // The file is made with the socket's own mode, less the umask.
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::fchmod(fd.as_raw_fd(), mode as libc::mode_t) } as isize)?;
    // SAFETY: `address` has that length.
    retry(|| unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) } as isize)?;
    // SAFETY: takes no pointers.
    retry(|| unsafe { libc::listen(fd.as_raw_fd(), 128) } as isize)?;
    Ok(fd)
}

fn connect_to(path: &Path, kind: c_int, patience: Duration) -> Result<OwnedFd, Errno> {
    let (address, length) = address(path)?;
    let fd = socket(libc::AF_UNIX, kind, 0)?;
    let time = libc::timeval {
        tv_sec: patience.as_secs() as libc::time_t,
        tv_usec: patience.subsec_micros() as libc::suseconds_t,
    };
    set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time)?;
    // SAFETY: `address` has that length.
    let connect =
        || unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) } as isize;
    retry(connect)?;
    Ok(fd)
}

/// A connection to the socket at a path; `patience` is how long to wait while too many others wait
/// to be accepted.
pub fn connect(path: &Path, kind: SocketKind, patience: Duration) -> Result<OwnedFd, Errno> {
    connect_to(path, kind.number(), patience)
}

/// Ends a socket for both sides; threads that wait on it come out, those that accept as well.
pub fn shut_down(socket: BorrowedFd<'_>) {
    // SAFETY: takes no pointers. The other side may have ended it already.
    let _ = retry(|| unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) } as isize);
}

/// Whether a process has the socket at a path. Nobody accepts anything: a datagram socket fits no other
/// kind, which the kernel says where there is one.
pub fn is_live(path: &Path) -> Result<bool, Errno> {
    match connect_to(path, libc::SOCK_DGRAM, Duration::ZERO) {
        Ok(_) | Err(libc::EPROTOTYPE) => Ok(true),
        Err(libc::ECONNREFUSED | libc::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
