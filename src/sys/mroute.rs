//! The multicast routing socket's options. The constants and structures of `<linux/mroute.h>` are
//! declared here because no crate has them; their layout is asserted.

use crate::sys::{Errno, owned, retry, set_option, socket};
use std::ffi::{c_int, c_ulong};
use std::mem::{offset_of, size_of};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

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
const MRT_PIM: c_int = 208;
const MRT_TABLE: c_int = 209;
const MRT_FLUSH: c_int = 212;
/// MRT_FLUSH_MFC, MRT_FLUSH_MFC_STATIC, MRT_FLUSH_VIFS, MRT_FLUSH_VIFS_STATIC.
const EVERYTHING: c_int = 15;
/// The descriptor of a socket's network namespace.
const SIOCGSKNS: c_ulong = 0x894c;
const SIOCGETVIFCNT: c_ulong = 0x89e0;
const SIOCGETSGCNT: c_ulong = 0x89e1;
const VIFF_USE_IFINDEX: u8 = 8;

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
    // The compiler would put two octets here anyway; as a field they are initialised.
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

/// The kernel's counts for one (S,G). Each of them wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SgCount {
    /// Packets, those on a wrong interface included.
    pub packets: c_ulong,
    /// Their octets.
    pub octets: c_ulong,
    /// Packets on a wrong interface.
    pub wrong_interface: c_ulong,
}

/// A raw IGMP socket, which the multicast routing options need.
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

/// Whether two sockets belong to the same network namespace; None: the kernel does not tell. `own`
/// is one of this thread's namespace.
pub fn same_namespace(own: &OwnedFd, other: &OwnedFd) -> Option<bool> {
    match (namespace_cookie(own), namespace_cookie(other)) {
        (Ok(own), Ok(other)) => Some(own == other),
        // Kernels before 5.14.
        _ => same_namespace_by_inode(own, other),
    }
}

fn namespace_cookie(fd: &OwnedFd) -> Result<u64, Errno> {
    let mut cookie = 0u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to `cookie`, which is that large.
    retry(|| unsafe {
        let (cookie, size) = ((&raw mut cookie).cast(), &raw mut size);
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, cookie, size)
    } as isize)?;
    Ok(cookie)
}

fn same_namespace_by_inode(own: &OwnedFd, other: &OwnedFd) -> Option<bool> {
    let own = namespace_inode(own).ok()?;
    match namespace_inode(other) {
        Ok(other) => Some(own == other),
        // It belongs to a user namespace that gives us less than our own does.
        Err(libc::EPERM) => Some(false),
        Err(_) => None,
    }
}

/// What names the namespace of a socket; EPERM without CAP_NET_ADMIN in it.
fn namespace_inode(fd: &OwnedFd) -> Result<(libc::dev_t, libc::ino_t), Errno> {
    // SAFETY: the request reads and writes nothing of ours; it gives a new descriptor.
    let namespace =
        retry(|| unsafe { libc::ioctl(fd.as_raw_fd(), SIOCGSKNS as _) } as isize).map(owned)?;
    // SAFETY: plain data for which all zeros is a value.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `stat`.
    retry(|| unsafe { libc::fstat(namespace.as_raw_fd(), &raw mut status) } as isize)?;
    Ok((status.st_dev, status.st_ino))
}

/// MRT_TABLE: chooses the socket's table; must come before [`mrt_init`].
pub fn mrt_table(fd: &OwnedFd, table: u32) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_TABLE, &table)
}

/// MRT_INIT: this socket becomes the owner of the table.
pub fn mrt_init(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_INIT, &1i32)
}

/// MRT_DONE: the kernel removes the owner's interfaces and entries.
pub fn mrt_done(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_DONE, &1i32)
}

/// MRT_FLUSH of all entries and interfaces, whoever made them. Kernels before 5.1 do not know it.
pub fn mrt_flush(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_FLUSH, &EVERYTHING)
}

/// MRT_ASSERT: report packets that come in on a wrong interface.
pub fn mrt_assert(fd: &OwnedFd) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_ASSERT, &1i32)
}

/// MRT_PIM: reports of packets on a wrong interface come whether or not that is an oif. It sets
/// what [`mrt_assert`] sets, too.
pub fn mrt_pim(fd: &OwnedFd, on: bool) -> Result<(), Errno> {
    set_option(fd, libc::IPPROTO_IP, MRT_PIM, &i32::from(on))
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
        // EINVAL: the number is greater than that of any VIF.
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
    Ok(SgCount {
        packets: request.pktcnt,
        octets: request.bytecnt,
        wrong_interface: request.wrong_if,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_tell_namespaces_apart_too() {
        let udp = || socket(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap();
        let (one, two) = (udp(), udp());
        assert_eq!(same_namespace(&one, &two), Some(true));
        // Without CAP_NET_ADMIN the kernel does not say even for our own.
        let by_inode = same_namespace_by_inode(&one, &two);
        assert!(matches!(by_inode, Some(true) | None), "{by_inode:?}");
        let elsewhere = std::thread::spawn(|| {
            // SAFETY: takes no pointers, and concerns this thread alone.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            moved.then(|| socket(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap())
        });
        // An ordinary user cannot; tests/kernel_plane does it in a user namespace.
        if let Some(other) = elsewhere.join().unwrap() {
            assert_eq!(same_namespace(&one, &other), Some(false));
            assert_eq!(same_namespace_by_inode(&one, &other), Some(false));
        }
    }
}
