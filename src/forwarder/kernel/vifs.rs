//! The table of virtual interfaces (VIFs): which number stands for which device, and which of
//! our interfaces are on it.
//!
//! This is only bookkeeping; `interfaces.rs` talks to the kernel. All next hops on one device share
//! its VIF, because a packet's arrival does not tell them apart.

#![forbid(unsafe_code)]

use crate::forwarder::{EntryState, ForwarderError};
use crate::sys::MAX_VIFS;
use crate::types::IfKey;

/// An entry as it is in the kernel: the VIF that packets must come in on, and one bit for each VIF
/// that they go out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programmed {
    /// The VIF of the iif, or [`NO_PARENT`].
    pub parent: u8,
    /// Bit n is set where VIF n is an oif.
    pub oifs: u32,
}

impl Programmed {
    /// One bit for each VIF that it names. An entry without a VIF for its iif names none for it.
    pub fn vifs(self) -> u32 {
        self.oifs | 1u32.checked_shl(self.parent.into()).unwrap_or(0)
    }
}

/// The iif has no VIF. Then the entry has no oifs, and it does not matter which VIF the kernel has
/// as its parent.
pub const NO_PARENT: u8 = u8::MAX;

/// Stands in place of the number of entries that name a VIF number, where somebody else's VIF has
/// it.
pub const TAKEN: u32 = u32::MAX;

/// Every VIF of a table.
#[derive(Default)]
pub struct Vifs {
    /// The device of each number. When nobody wants it any more, it is kept until the number is
    /// used again.
    devices: [u32; MAX_VIFS],
    /// The interfaces, sorted: at least one on each wanted number.
    keys: Vec<IfKey>,
    /// Numbers with an interface on them.
    pub wanted: u32,
    /// Numbers that the kernel has as VIFs.
    pub in_kernel: u32,
    /// Numbers whose device works, as last reported.
    pub up: u32,
    /// Numbers that the netlink thread is to look at.
    pub recheck: u32,
    /// So are the devices that have lost their number to another.
    pub recheck_unnumbered: bool,
    /// Numbers whose VIF was made again while entries named it. These entries must be written
    /// again.
    pub remade: u32,
}

impl Vifs {
    /// The number that stands for a device, wanted or not.
    pub fn number(&self, ifindex: u32) -> Option<u8> {
        if ifindex == 0 {
            return None;
        }
        self.devices.iter().position(|&d| d == ifindex).map(|n| n as u8)
    }

    /// The device behind a number.
    pub fn device(&self, vif: u8) -> u32 {
        self.devices.get(usize::from(vif)).copied().unwrap_or(0)
    }

    /// Whether a device works, as last reported; None: nobody is on it.
    pub fn works(&self, ifindex: u32) -> Option<bool> {
        self.next_on(ifindex, None)?;
        Some(self.number(ifindex).is_some_and(|vif| self.up >> vif & 1 == 1))
    }

    /// Takes the number of a device that has gone away from it: another may have the number. The
    /// interfaces on the device stay.
    pub fn take_away(&mut self, vif: u8) {
        self.devices[usize::from(vif)] = 0;
        let others = !(1 << vif);
        for numbers in [&mut self.wanted, &mut self.in_kernel, &mut self.recheck, &mut self.remade]
        {
            *numbers &= others;
        }
        self.recheck_unnumbered = true;
    }

    /// Whether a device has interfaces on it and no number.
    pub fn is_unnumbered(&self, ifindex: u32) -> bool {
        self.next_on(ifindex, None).is_some() && self.number(ifindex).is_none()
    }

    /// The next such device after one.
    pub fn unnumbered(&self, after: u32) -> Option<u32> {
        let from = self.keys.partition_point(|key| key.index <= after);
        let mut devices = self.keys[from..].iter().map(|key| key.index);
        devices.find(|ifindex| self.number(*ifindex).is_none())
    }

    /// The number to use for a device: the one it has, else one that no entry names. `named`
    /// tells for each number how many entries name it, or that it is [`TAKEN`].
    pub fn choose(&self, ifindex: u32, named: &[u32; MAX_VIFS]) -> Option<u8> {
        self.number(ifindex).filter(|n| named[usize::from(*n)] != TAKEN).or_else(|| {
            // MFCs outlive a VIF in the kernel. With a number that is still named, old flows would
            // leave through the new device.
            (0..MAX_VIFS).find(|&n| self.wanted >> n & 1 == 0 && named[n] == 0).map(|n| n as u8)
        })
    }

    /// Assigns a number that [`Self::choose`] gave to a device, which loses the number that it had.
    pub fn assign(&mut self, vif: u8, ifindex: u32) {
        if let Some(old) = self.number(ifindex) {
            self.devices[usize::from(old)] = 0;
        }
        self.devices[usize::from(vif)] = ifindex;
    }

    /// Makes room for one interface more.
    pub fn reserve(&mut self) -> Result<(), ForwarderError> {
        self.keys.try_reserve(1).map_err(|_| ForwarderError::OutOfMemory)
    }

    /// Adds an interface on VIF `vif`. Room must have been reserved.
    pub fn insert(&mut self, key: IfKey, vif: u8) {
        if let Err(at) = self.keys.binary_search(&key) {
            self.keys.insert(at, key);
        }
        self.wanted |= 1 << vif;
    }

    /// Removes an interface. Gives the number of its VIF where it was the last on it.
    pub fn remove(&mut self, key: IfKey) -> Option<u8> {
        let at = self.keys.binary_search(&key).ok()?;
        self.keys.remove(at);
        if self.next_on(key.index, None).is_some() {
            return None;
        }
        let vif = self.number(key.index)?;
        self.wanted &= !(1 << vif);
        Some(vif)
    }

    /// The interface on a device that follows `after`.
    pub fn next_on(&self, ifindex: u32, after: Option<IfKey>) -> Option<IfKey> {
        let from = match after {
            Some(key) => self.keys.partition_point(|k| *k <= key),
            None => self.keys.partition_point(|k| k.index < ifindex),
        };
        self.keys.get(from).copied().filter(|k| k.index == ifindex)
    }

    /// The interface that a packet on this VIF came in on. With several next hops it is the lowest,
    /// which is 0.0.0.0 where the device itself was taken.
    pub fn arrival(&self, vif: u16) -> Option<IfKey> {
        let vif = u8::try_from(vif).ok().filter(|v| usize::from(*v) < MAX_VIFS)?;
        if self.wanted >> vif & 1 == 0 {
            return None;
        }
        self.next_on(self.device(vif), None)
    }

    /// An entry in the kernel's terms. Interfaces without a VIF are left out, and so is every next
    /// hop on the iif's own device, since the kernel would send the packets back out of it.
    pub fn resolve(&self, state: &EntryState<'_>) -> Programmed {
        let usable = self.wanted & self.in_kernel;
        let vif_of = |key: &IfKey| self.number(key.index).filter(|v| usable >> *v & 1 == 1);
        let Some(parent) = vif_of(&state.iif) else {
            return Programmed { parent: NO_PARENT, oifs: 0 };
        };
        let oifs = state.oifs.iter().filter_map(vif_of).fold(0, |oifs, vif| oifs | 1 << vif);
        Programmed { parent, oifs: oifs & !(1 << parent) }
    }

    /// Whether the kernel's entry is what we programmed. The kernel does not show a VIF that is
    /// gone, although the entry still names it.
    pub fn agree(&self, ours: Programmed, kernel: Programmed) -> bool {
        let parent_known = ours.parent != NO_PARENT && self.in_kernel >> ours.parent & 1 == 1;
        (ours.oifs ^ kernel.oifs) & self.in_kernel == 0
            && (!parent_known || ours.parent == kernel.parent)
    }

    /// The numbers among those given whose device is one of ours, with their devices.
    pub fn each(&self, numbers: u32) -> impl Iterator<Item = (u8, u32)> + use<> {
        let devices = self.devices;
        (0..MAX_VIFS as u8)
            .filter(move |n| numbers >> n & 1 == 1)
            .map(move |n| (n, devices[usize::from(n)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NONE_NAMED: [u32; MAX_VIFS] = [0; MAX_VIFS];

    fn key(index: u32, hop: u8) -> IfKey {
        IfKey::new(index, Ipv4Addr::new(0, 0, 0, hop))
    }

    fn with(keys: &[IfKey]) -> Vifs {
        let mut vifs = Vifs::default();
        for &k in keys {
            let vif = vifs.choose(k.index, &NONE_NAMED).unwrap();
            vifs.assign(vif, k.index);
            vifs.insert(k, vif);
            vifs.in_kernel |= 1 << vif;
        }
        vifs
    }

    #[test]
    fn next_hops_share_a_vif() {
        let mut vifs = with(&[key(7, 9), key(7, 2), key(8, 0)]);
        assert_eq!((vifs.number(7), vifs.number(8)), (Some(0), Some(1)));
        assert_eq!(vifs.arrival(0), Some(key(7, 2)));
        assert_eq!(vifs.next_on(7, Some(key(7, 2))), Some(key(7, 9)));
        assert_eq!(vifs.next_on(7, Some(key(7, 9))), None);
        assert_eq!(vifs.remove(key(7, 2)), None);
        assert_eq!(vifs.remove(key(7, 2)), None);
        assert_eq!(vifs.remove(key(7, 9)), Some(0));
        assert_eq!(vifs.arrival(0), None);
        assert_eq!(vifs.arrival(300), None);
    }

    #[test]
    fn a_number_is_not_used_again_while_an_entry_names_it() {
        let mut vifs = with(&[key(7, 0)]);
        vifs.remove(key(7, 0));
        let mut named = NONE_NAMED;
        named[0] = 1;
        assert_eq!(vifs.choose(8, &named), Some(1));
        assert_eq!(vifs.choose(7, &named), Some(0), "the same device may have it back");
        assert_eq!(vifs.choose(8, &NONE_NAMED), Some(0));
        named[0] = TAKEN;
        let other = vifs.choose(7, &named);
        assert_eq!(other, Some(1), "unless it is somebody else's now");
        vifs.assign(1, 7);
        assert_eq!((vifs.number(7), vifs.device(0)), (Some(1), 0));
    }

    #[test]
    fn a_device_may_lose_its_number() {
        let mut vifs = with(&[key(5, 0), key(7, 2), key(7, 9), key(8, 0)]);
        vifs.up = 0b111;
        assert_eq!(vifs.unnumbered(0), None);
        vifs.take_away(1);
        assert_eq!((vifs.number(7), vifs.works(7), vifs.works(9)), (None, Some(false), None));
        assert_eq!((vifs.unnumbered(0), vifs.unnumbered(7)), (Some(7), None));
        assert_eq!((vifs.wanted, vifs.in_kernel), (0b101, 0b101));
        assert_eq!(vifs.choose(9, &NONE_NAMED), Some(1));
        vifs.assign(1, 9);
        vifs.insert(key(9, 0), 1);
        // What is left of the old device goes without the number.
        assert_eq!((vifs.remove(key(7, 2)), vifs.remove(key(7, 9))), (None, None));
        assert_eq!((vifs.works(7), vifs.arrival(1)), (None, Some(key(9, 0))));
    }

    #[test]
    fn there_are_32() {
        let keys: Vec<_> = (1..=32).map(|i| key(i, 0)).collect();
        let vifs = with(&keys);
        assert_eq!(vifs.choose(33, &NONE_NAMED), None);
        assert_eq!(vifs.choose(32, &NONE_NAMED), Some(31));
        assert_eq!(vifs.each(1 << 31 | 1).collect::<Vec<_>>(), [(0, 1), (31, 32)]);
    }

    #[test]
    fn entries_leave_out_their_own_device() {
        let vifs = with(&[key(1, 0), key(2, 0), key(3, 0)]);
        let state = |iif, oifs| vifs.resolve(&EntryState { iif, oifs });
        let all = [key(1, 0), key(1, 5), key(2, 0), key(9, 0)];
        assert_eq!(state(key(1, 0), &all), Programmed { parent: 0, oifs: 0b10 });
        assert_eq!(state(key(9, 0), &all), Programmed { parent: NO_PARENT, oifs: 0 });
    }

    #[test]
    fn vifs_that_are_gone_do_not_count_in_comparisons() {
        let mut vifs = with(&[key(1, 0), key(2, 0), key(3, 0)]);
        let ours = Programmed { parent: 0, oifs: 0b110 };
        assert!(vifs.agree(ours, ours));
        assert!(!vifs.agree(ours, Programmed { parent: 0, oifs: 0b010 }));
        assert!(!vifs.agree(ours, Programmed { parent: 1, oifs: 0b110 }));
        vifs.in_kernel &= !0b101;
        assert!(vifs.agree(ours, Programmed { parent: NO_PARENT, oifs: 0b010 }));
        assert!(!vifs.agree(ours, Programmed { parent: NO_PARENT, oifs: 0 }));
    }
}
