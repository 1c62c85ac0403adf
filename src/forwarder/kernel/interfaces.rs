//! Devices as virtual interfaces (VIFs): makes them, gives them up, and corrects them when devices
//! go and come.

#![forbid(unsafe_code)]

use super::messages::News;
use super::netlink::{Attributes, IFINFOMSG, Message, NETCONFA_IFINDEX, read_u32};
use super::{Plane, messages};
use crate::forwarder::ForwarderError;
use crate::log::Level;
use crate::sys::{self, Errno};
use crate::types::IfKey;
use std::fmt::Arguments;
use std::sync::atomic::Ordering::Relaxed;

/// A device works where it is set up and has a carrier.
pub const WORKS: u32 = (libc::IFF_UP | libc::IFF_RUNNING) as u32;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_VRF_TABLE: u16 = 1;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const NETCONFA_RP_FILTER: u16 = 3;
const NETCONFA_IFINDEX_ALL: u32 = u32::MAX;

/// What the kernel says about a device.
#[derive(Clone, Copy)]
pub struct Link {
    /// Its flags (IFF_…).
    pub flags: u32,
    /// The device that this one is a part of.
    master: Option<u32>,
    /// The routing table, where the device is a VRF.
    vrf_table: Option<u32>,
}

/// What the kernel has as the VIF with a certain number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum There {
    No,
    Ours,
    /// A VIF of another device than ours.
    Strange,
}

impl Link {
    fn read(message: &Message<'_>) -> Self {
        let mut link = Self { flags: read_u32(message.payload, 8), master: None, vrf_table: None };
        for (kind, value) in message.attributes(IFINFOMSG) {
            match kind {
                libc::IFLA_MASTER => link.master = Some(read_u32(value, 0)),
                libc::IFLA_LINKINFO => link.vrf_table = vrf_table(value),
                _ => {}
            }
        }
        link
    }
}

/// The table of a VRF, from the attribute that describes a device's kind.
fn vrf_table(info: &[u8]) -> Option<u32> {
    let find = |within, kind| Attributes(within).find(|a| a.0 == kind).map(|a| a.1);
    if find(info, libc::IFLA_INFO_KIND)? != b"vrf\0" {
        return None;
    }
    find(find(info, libc::IFLA_INFO_DATA)?, IFLA_VRF_TABLE).map(|table| read_u32(table, 0))
}

impl Plane {
    /// See [`Forwarder::add_interface`](crate::forwarder::Forwarder::add_interface).
    pub(super) fn add_interface(&self, key: IfKey) -> Result<(), ForwarderError> {
        let mut entries = self.entries.lock();
        if entries.stopped {
            return Err(ForwarderError::Refused("the forwarder has been stopped"));
        }
        let os =
            |errno| ForwarderError::Os { operation: "asking for the device (RTM_GETLINK)", errno };
        let Some(link) = self.link(key.index).map_err(os)? else {
            return Err(ForwarderError::Os {
                operation: "no device has this index",
                errno: libc::ENODEV,
            });
        };
        if link.flags & libc::IFF_LOOPBACK as u32 != 0 {
            return Err(ForwarderError::Refused(
                "it is the loopback device: Linux would forward each of its packets twice, and \
                 those from 127.0.0.0/8 to the wire",
            ));
        }
        self.note_vrf(Some(link)).map_err(os)?;
        self.vifs.write().reserve()?;
        // With interfaces on it that have been down since another device got its number.
        let was_lost = self.vifs.read().is_unnumbered(key.index);
        let vif = self.make_vif(&mut entries, key.index)?;
        let mut vifs = self.vifs.write();
        let (bit, works) = (1 << vif, link.flags & WORKS == WORKS);
        // The core believes that an interface works when a client takes it. Where it does not, or
        // where the core believes that other interfaces on the device do not, the netlink thread
        // reports the truth.
        if was_lost {
            vifs.up &= !bit;
        }
        if !was_lost && vifs.wanted & bit == 0 || !works {
            vifs.up |= bit;
        }
        if (vifs.up & bit != 0) != works {
            vifs.recheck |= bit;
            sys::signal(&self.wake);
        }
        vifs.insert(key, vif);
        drop(vifs);
        if self.own_sources.load(Relaxed) {
            // Own flows may leave by it too.
            sys::signal(&self.wake);
        }
        self.end_all_refused(&mut entries);
        self.tell_left_again(&mut entries);
        drop(entries);
        self.warn_of_reverse_path_filter(key);
        Ok(())
    }

    /// See [`Forwarder::remove_interface`](crate::forwarder::Forwarder::remove_interface).
    pub(super) fn remove_interface(&self, key: IfKey) {
        let entries = self.entries.lock();
        let mut vifs = self.vifs.write();
        let Some(vif) = vifs.remove(key) else { return };
        if vifs.unnumbered(0).is_some() {
            // One of these may be back, and find a number now.
            vifs.recheck_unnumbered = true;
            sys::signal(&self.wake);
        }
        if entries.takeover.needs(vif) {
            return;
        }
        let delete = vifs.in_kernel >> vif & 1 == 1 && !entries.stopped;
        vifs.in_kernel &= !(1 << vif);
        drop(vifs);
        let deleted = if delete { sys::del_vif(&self.socket, vif) } else { Ok(()) };
        drop(entries);
        match deleted {
            // EADDRNOTAVAIL: gone with its device a moment ago.
            Ok(()) | Err(libc::EADDRNOTAVAIL) => {}
            Err(e) => self
                .upcalls
                .log(Level::Error, format_args!("{key}: MRT_DEL_VIF {vif} failed: errno {e}")),
        }
    }

    /// Compares the VIFs that are to be rechecked with the devices that exist. It makes missing
    /// VIFs again, with the entries that name them, and reports interfaces that stopped or began to
    /// work. It looks at the present state only, so that notifications may be lost or come
    /// together. False: it must be tried again.
    pub(super) fn reconcile(&self, queue: &mut Vec<News>) -> bool {
        let vifs = self.vifs.read();
        let each = vifs.each(vifs.recheck);
        drop(vifs);
        let mut all = self.number_again(queue);
        for (vif, ifindex) in each {
            match self.reconcile_one(vif, ifindex) {
                Ok(true) => queue.push(News::Device { ifindex }),
                Ok(false) => {}
                Err(_) => all = false,
            }
        }
        self.write_again() && all
    }

    /// Whether the device began or stopped to work.
    fn reconcile_one(&self, vif: u8, ifindex: u32) -> Result<bool, Errno> {
        let bit = 1u32 << vif;
        let entries = self.entries.lock();
        let vifs = self.vifs.read();
        let known = vifs.wanted & bit != 0 && vifs.device(vif) == ifindex && !entries.stopped;
        drop(vifs);
        let link = if known { self.link(ifindex)? } else { None };
        if known {
            self.note_vrf(link)?;
        }
        let there = match known.then(|| self.vif_there(vif, ifindex)) {
            None => There::No,
            // A device that has gone is reported, whatever else fails.
            Some(Err(_)) if link.is_none() => There::No,
            Some(there) => there?,
        };
        if there == There::Strange {
            // Otherwise our entries would send packets out of a device that no client named.
            let _ = sys::del_vif(&self.socket, vif);
        }
        let ours = link.is_some() && there == There::Ours;
        // The VIF went with its device, or somebody else deleted it.
        let again = (link.is_some() && !ours).then(|| sys::add_vif(&self.socket, vif, ifindex));
        let made = ours || again == Some(Ok(()));
        let up = made && link.is_some_and(|link| link.flags & WORKS == WORKS);
        let mut vifs = self.vifs.write();
        vifs.recheck &= !bit;
        if !known {
            return Ok(false);
        }
        let changed = (vifs.up & bit != 0) != up;
        vifs.in_kernel = vifs.in_kernel & !bit | if made { bit } else { 0 };
        vifs.up = vifs.up & !bit | if up { bit } else { 0 };
        if again == Some(Ok(())) && entries.named[usize::from(vif)] > 0 {
            vifs.remade |= bit;
        }
        drop((vifs, entries));
        self.log_vif(vif, ifindex, there, again);
        Ok(changed)
    }

    fn log_vif(&self, vif: u8, ifindex: u32, there: There, again: Option<Result<(), Errno>>) {
        let log = |level, what: Arguments<'_>| {
            self.upcalls.log(level, format_args!("interface {ifindex}: {what}"));
        };
        match (there, again) {
            (There::Strange, _) => log(
                Level::Warn,
                format_args!("somebody else gave its VIF {vif} to another device; taken back"),
            ),
            (_, Some(Ok(()))) => {
                log(Level::Warn, format_args!("its VIF {vif} had gone; made again"));
            }
            _ => {}
        }
        if let Some(Err(e)) = again {
            log(Level::Error, format_args!("MRT_ADD_VIF {vif} failed: errno {e}"));
        }
    }

    /// What the kernel has as the VIF with a number of ours.
    pub(super) fn vif_there(&self, vif: u8, ifindex: u32) -> Result<There, Errno> {
        if !sys::vif_exists(&self.socket, vif)? {
            return Ok(There::No);
        }
        // Old kernels do not tell the device; it is 0 then.
        let devices = messages::read_vifs(&mut self.asker.lock(), self.table)?;
        let strange = devices.get(usize::from(vif)).is_some_and(|d| *d != 0 && *d != ifindex);
        Ok(if strange { There::Strange } else { There::Ours })
    }

    /// Reports whether a device works, for all interfaces on it. It looks at the present state,
    /// which may have changed while this waited; interfaces may have been released and taken.
    pub(super) fn tell_of_device(&self, ifindex: u32) {
        let works = || self.vifs.read().works(ifindex);
        while let Some(up) = works() {
            let mut last = None;
            loop {
                let next = self.vifs.read().next_on(ifindex, last);
                let Some(key) = next else { break };
                self.upcalls.interface_up(key, up);
                last = next;
            }
            if works() == Some(up) {
                break;
            }
        }
    }

    /// Reads a device; None: there is none with this index.
    pub(super) fn link(&self, ifindex: u32) -> Result<Option<Link>, Errno> {
        let mut header = [0; IFINFOMSG];
        header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let mask = RTEXT_FILTER_SKIP_STATS.to_ne_bytes();
        let answer = self.asker.lock().ask(
            libc::RTM_GETLINK,
            &header,
            &[(IFLA_EXT_MASK, &mask)],
            Link::read,
        );
        match answer {
            Ok(link) => Ok(Some(link)),
            Err(libc::ENODEV | libc::EINVAL) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Notes the VRF that a device is in, if its routing table has our table's number: the kernel
    /// sends its packets to the multicast table with the same number. A VRF that was noted counts
    /// as long as it exists.
    pub(super) fn note_vrf(&self, device: Option<Link>) -> Result<(), Errno> {
        let mut vrf = 0;
        for ifindex in [self.vrf.load(Relaxed), device.and_then(|d| d.master).unwrap_or(0)] {
            if ifindex != 0 && self.link(ifindex)?.and_then(|l| l.vrf_table) == Some(self.table) {
                vrf = ifindex;
            }
        }
        if self.vrf.swap(vrf, Relaxed) != vrf {
            self.routes.lock().forget();
        }
        Ok(())
    }

    /// Warns of strict reverse path filtering. It drops packets from a source that is routed
    /// elsewhere before multicast routing sees them, so that they cause no wrong-interface report.
    fn warn_of_reverse_path_filter(&self, key: IfKey) {
        let strict = [key.index, NETCONFA_IFINDEX_ALL].map(|index| self.rp_filter(index));
        if strict.into_iter().max() == Some(1) {
            self.upcalls.log(
                Level::Warn,
                format_args!(
                    "{key}: rp_filter is 1 (strict): packets from sources that are routed \
                     elsewhere vanish unreported; set net.ipv4.conf.*.rp_filter to 0 or 2"
                ),
            );
        }
    }

    /// The rp_filter setting of a device or, for NETCONFA_IFINDEX_ALL, of all. Asked by netlink,
    /// since /proc shows the network namespace of the thread that reads it.
    fn rp_filter(&self, ifindex: u32) -> u32 {
        let family = [libc::AF_INET as u8, 0, 0, 0];
        let attributes: [(u16, &[u8]); 1] = [(NETCONFA_IFINDEX, &ifindex.to_ne_bytes())];
        let answer = self.asker.lock().ask(libc::RTM_GETNETCONF, &family, &attributes, |message| {
            let mut all = message.attributes(family.len());
            all.find(|a| a.0 == NETCONFA_RP_FILTER).map(|a| read_u32(a.1, 0))
        });
        // A failure here only means that there is no warning.
        answer.ok().flatten().unwrap_or(0)
    }
}
