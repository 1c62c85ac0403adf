//! Another program at the kernel's multicast routing.

use super::Cable;
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Another process with CAP_NET_ADMIN: it may change what is not its own.
pub struct Meddler(OwnedFd);

impl Meddler {
    pub fn new() -> Self {
        // SAFETY: takes no pointers; the descriptor is new and ours.
        Self(unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        })
    }

    /// Such sockets in another network namespace, which lives as long as they do.
    pub fn elsewhere() -> [Self; 2] {
        let elsewhere = std::thread::spawn(|| {
            // SAFETY: takes no pointers, and concerns this thread alone.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(moved, 0, "{}", std::io::Error::last_os_error());
            [Self::new(), Self::new()]
        });
        elsewhere.join().unwrap()
    }

    /// Makes it the router of the default table of its namespace (MRT_INIT).
    pub fn init(&self) {
        self.set(200, &1i32.to_ne_bytes());
    }

    /// The table's router: it has the devices as VIFs, by number.
    pub fn as_router(cables: &[&Cable]) -> Self {
        let router = Self::new();
        router.init();
        for (vif, cable) in (0..).zip(cables) {
            router.add_vif(vif, cable.index);
        }
        router
    }

    /// MRT_PIM: whether and how the table's router asks for PIM.
    pub fn pim(&self) -> i32 {
        let (mut value, mut size) = (0, 4);
        // SAFETY: the kernel writes at most `size` octets to `value`, which is that large.
        let result = unsafe {
            let value = (&raw mut value).cast();
            libc::getsockopt(self.0.as_raw_fd(), libc::IPPROTO_IP, 208, value, &raw mut size)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        value
    }

    /// The table's router for a moment, as one that asks for whole packets (MRT_PIM with
    /// IGMPMSG_WRVIFWHOLE) and leaves that behind.
    pub fn as_router_of_pim() {
        let router = Self::new();
        router.init();
        router.set(208, &4i32.to_ne_bytes());
        assert_eq!(router.pim(), 1);
        // MRT_DONE.
        router.set(201, &1i32.to_ne_bytes());
    }

    fn set(&self, name: i32, value: &[u8]) {
        // SAFETY: the value is valid for its length.
        let result = unsafe {
            let length = value.len() as u32;
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::IPPROTO_IP,
                name,
                value.as_ptr().cast(),
                length,
            )
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// The socket, to be handed over.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// MRT_ADD_VIF with a struct vifctl: number, VIFF_USE_IFINDEX, threshold, device.
    pub fn add_vif(&self, vif: u16, ifindex: u32) {
        let mut request = [0; 16];
        request[..2].copy_from_slice(&vif.to_ne_bytes());
        request[2..4].copy_from_slice(&[8, 1]);
        request[8..12].copy_from_slice(&ifindex.to_ne_bytes());
        self.set(202, &request);
    }

    /// MRT_DEL_VIF with a struct vifctl.
    pub fn delete_vif(&self, vif: u16) {
        let mut request = [0; 16];
        request[..2].copy_from_slice(&vif.to_ne_bytes());
        self.set(203, &request);
    }

    /// A struct mfcctl: source, group, parent, 32 TTLs, counters.
    fn mfc(flow: SourceGroup, parent: u16, oifs: &[usize]) -> [u8; 60] {
        let mut request = [0; 60];
        request[..4].copy_from_slice(&flow.source().octets());
        request[4..8].copy_from_slice(&flow.group().octets());
        request[8..10].copy_from_slice(&parent.to_ne_bytes());
        for oif in oifs {
            request[10 + oif] = 1;
        }
        request
    }

    /// MRT_ADD_MFC.
    pub fn add(&self, flow: SourceGroup, parent: u16, oifs: &[usize]) {
        self.set(204, &Self::mfc(flow, parent, oifs));
    }

    /// MRT_ADD_MFC_PROXY: one for each parent of a (*,G) or (*,*).
    pub fn add_proxy(&self, group: Ipv4Addr, parent: u16, oifs: &[usize]) {
        let flow = SourceGroup::new(Ipv4Addr::UNSPECIFIED, group);
        self.set(210, &Self::mfc(flow, parent, oifs));
    }

    /// MRT_DEL_MFC.
    pub fn delete(&self, flow: SourceGroup) {
        self.set(205, &Self::mfc(flow, 0, &[]));
    }

    /// MRT_FLUSH of all entries.
    pub fn flush(&self) {
        self.set(212, &1i32.to_ne_bytes());
    }
}
