//! The kernel's messages about the multicast routing table, and what they tell.

#![forbid(unsafe_code)]

use super::netlink::{
    Asker, Attributes, IFINFOMSG, Message, NextHops, RTMSG, read_address, read_u32,
};
use super::vifs::{NO_PARENT, Programmed, Vifs};
use crate::sys::{Errno, MAX_VIFS};
use crate::types::SourceGroup;
use std::net::Ipv4Addr;

/// `RTNL_FAMILY_IPMR`.
pub const FAMILY: u8 = 128;
/// Marks entries as a routing daemon's, so that they are removed when the table's owner goes.
pub const RTPROT_MROUTED: u8 = 17;
/// `RTNH_F_UNRESOLVED`: a flow that waits for its entry.
pub const UNRESOLVED: u32 = 32;

const IFLA_AF_SPEC: u16 = 26;
const IPMRA_TABLE_ID: u16 = 1;
const IPMRA_TABLE_VIFS: u16 = 6;
const IPMRA_VIF: u16 = 1;
const IPMRA_VIFA_IFINDEX: u16 = 1;
const IPMRA_VIFA_VIF_ID: u16 = 2;

/// Something to be passed on.
#[derive(Clone, Copy)]
pub enum News {
    /// A device began or stopped to work.
    Device { ifindex: u32 },
    /// Routes under a prefix may have changed.
    Routes { network: u32, len: u8 },
    /// An entry is not what it should be.
    Lost(SourceGroup),
    /// This machine sends the flow by this VIF now.
    Moved { flow: SourceGroup, vif: u8 },
    /// An earlier program left an entry.
    Found(SourceGroup),
    /// One that the group manager has heard of, and that is to be as it wants it from now on.
    TakenOver(SourceGroup),
}

/// Reads the VIFs that a table has: for each number its device, 0 for none.
pub fn read_vifs(asker: &mut Asker, table: u32) -> Result<[u32; MAX_VIFS], Errno> {
    let mut devices = [0; MAX_VIFS];
    let mut header = [0; IFINFOMSG];
    header[0] = FAMILY;
    asker.dump(libc::RTM_GETLINK, &header, &mut |message| {
        let spec = message.attributes(IFINFOMSG).find(|a| a.0 == IFLA_AF_SPEC);
        let Some((_, spec)) = spec else { return };
        let of_table = Attributes(spec).any(|a| a == (IPMRA_TABLE_ID, &table.to_ne_bytes()[..]));
        if !of_table {
            return;
        }
        for (_, vifs) in Attributes(spec).filter(|a| a.0 == IPMRA_TABLE_VIFS) {
            for (_, vif) in Attributes(vifs).filter(|a| a.0 == IPMRA_VIF) {
                let number = |kind| Attributes(vif).find(|a| a.0 == kind).map(|a| read_u32(a.1, 0));
                if let (Some(id), Some(ifindex)) =
                    (number(IPMRA_VIFA_VIF_ID), number(IPMRA_VIFA_IFINDEX))
                    && let Some(device) = devices.get_mut(id as usize)
                {
                    *device = ifindex;
                }
            }
        }
    })?;
    Ok(devices)
}

/// Whether the kernel has the entry of a flow as we programmed it.
pub fn consistent(vifs: &Vifs, ours: Option<Programmed>, kernel: Option<Programmed>) -> bool {
    match (ours, kernel) {
        (Some(ours), Some(kernel)) => vifs.agree(ours, kernel),
        (ours, kernel) => ours.is_none() && kernel.is_none(),
    }
}

/// An entry that an earlier program left (see `takeover`). One with somebody else's mark, one
/// without a source and one from 127.0.0.0/8 come without a VIF, and are not kept.
pub fn found(vifs: &Vifs, message: &Message<'_>) -> Option<(SourceGroup, Programmed)> {
    if read_u32(message.payload, 8) & UNRESOLVED != 0 {
        return None;
    }
    let KernelEntry { flow, mut state } = read_entry(vifs, message)?;
    if state.oifs & !vifs.in_kernel != 0 || !flow.has_source() || flow.source().is_loopback() {
        state = Programmed { parent: NO_PARENT, oifs: 0 };
    }
    Some((flow, state))
}

/// An entry of the kernel.
pub struct KernelEntry {
    /// Its source and group.
    pub flow: SourceGroup,
    /// Its interfaces.
    pub state: Programmed,
}

/// Reads an entry from a message of the kernel. An entry with somebody else's mark, or with a VIF
/// that is not ours, is read as one that goes out of all VIFs, that of the iif included, which
/// differs from anything that we program. So is one of (*,G) or (*,*), which would suppress the
/// reports of new flows.
pub fn read_entry(vifs: &Vifs, message: &Message<'_>) -> Option<KernelEntry> {
    let (mut source, mut group) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
    let mut state = Programmed { parent: NO_PARENT, oifs: 0 };
    if message.payload.get(5) != Some(&RTPROT_MROUTED) {
        state.oifs = u32::MAX;
    }
    for (kind, value) in message.attributes(RTMSG) {
        match kind {
            libc::RTA_SRC => source = read_address(value)?,
            libc::RTA_DST => group = read_address(value)?,
            libc::RTA_IIF => state.parent = vifs.number(read_u32(value, 0)).unwrap_or(NO_PARENT),
            libc::RTA_MULTIPATH => {
                for (_, ifindex) in NextHops(value) {
                    state.oifs |= vifs.number(ifindex).map_or(u32::MAX, |vif| 1 << vif);
                }
            }
            _ => {}
        }
    }
    Some(KernelEntry { flow: SourceGroup::new(source, group), state })
}
