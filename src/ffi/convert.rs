//! Checks C's arguments and converts them to the core's types: byte order, masks, handles.

use super::types::{
    DWORD, HANDLE, MGM_ENUM_TYPES, MGM_FORWARD_STATE_FLAG, MGM_JOIN_STATE_FLAG, PMIB_IPMCAST_MFE,
};
use crate::error::Error;
use crate::handle;
use crate::types::{ClientId, EnumId, IfKey, MembershipFlags, SourceGroup};
use std::net::Ipv4Addr;
use std::ptr::NonNull;

/// The mask of one address.
pub(super) const ONE_ADDRESS: DWORD = DWORD::MAX;

/// An address out of a DWORD in network byte order.
pub(super) fn address(dword: DWORD) -> Ipv4Addr {
    Ipv4Addr::from(dword.to_ne_bytes())
}

/// An address as a DWORD in network byte order.
pub(super) fn dword(address: Ipv4Addr) -> DWORD {
    DWORD::from_ne_bytes(address.octets())
}

/// The mask that rows and callbacks give with an address: all ones, or 0 for 0 (rule F1).
pub(super) fn mask_with(address: Ipv4Addr) -> DWORD {
    if address.is_unspecified() { 0 } else { ONE_ADDRESS }
}

pub(super) fn interface(index: DWORD, next_hop: DWORD) -> IfKey {
    IfKey::new(index, address(next_hop))
}

/// A pointer that must not be null.
pub(super) fn required<T>(pointer: *mut T, name: &'static str) -> Result<NonNull<T>, Error> {
    NonNull::new(pointer).ok_or(Error::NullPointer(name))
}

/// A handle's number as C holds it.
pub(super) fn handle_of(word: usize) -> HANDLE {
    std::ptr::without_provenance_mut(word)
}

/// The client that a handle may stand for (rule A3); the core knows whether it is registered.
pub(super) fn client(handle: HANDLE) -> Result<ClientId, Error> {
    let word = handle.addr();
    handle::to_client(word).ok_or(Error::NotAClient(word))
}

/// The enumeration that a handle may stand for (rule A3).
pub(super) fn enumeration(handle: HANDLE) -> Result<EnumId, Error> {
    let word = handle.addr();
    handle::to_enumeration(word).ok_or(Error::NotAnEnumeration(word))
}

/// What a membership is about, where its masks are those of no range (rule D1). The core checks the
/// addresses.
pub(super) fn membership(
    source: DWORD,
    source_mask: DWORD,
    group: DWORD,
    group_mask: DWORD,
) -> Result<SourceGroup, Error> {
    let (source, group) = (address(source), address(group));
    // A zero address takes mask 0, any other address all ones; anything else is a range.
    let bad = |name, mask| Err(Error::BadMask { name, mask: address(mask) });
    if source_mask != mask_with(source) {
        return bad("dwSourceMask", source_mask);
    }
    if group_mask != mask_with(group) {
        return bad("dwGroupMask", group_mask);
    }
    Ok(SourceGroup::new(source, group))
}

/// Checks dwFlags of the membership functions (rule D2).
pub(super) fn membership_flags(value: DWORD) -> Result<MembershipFlags, Error> {
    if value == 0 || value & !(MGM_JOIN_STATE_FLAG | MGM_FORWARD_STATE_FLAG) != 0 {
        let allowed = "MGM_JOIN_STATE_FLAG (1), MGM_FORWARD_STATE_FLAG (2) or both";
        return Err(Error::BadValue { name: "dwFlags", value, allowed });
    }
    Ok(MembershipFlags {
        join: value & MGM_JOIN_STATE_FLAG != 0,
        forward: value & MGM_FORWARD_STATE_FLAG != 0,
    })
}

/// Checks metEnumType: true for ALL_SOURCES.
pub(super) fn enum_type(value: MGM_ENUM_TYPES) -> Result<bool, Error> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => {
            let allowed = "ANY_SOURCE (0), ALL_SOURCES (1)";
            Err(Error::BadValue { name: "metEnumType", value, allowed })
        }
    }
}

/// The source and group that an entry given as an argument names.
///
/// # Safety
/// `mfe` is null or points at a MIB_IPMCAST_MFE.
pub(super) unsafe fn flow(mfe: PMIB_IPMCAST_MFE, name: &'static str) -> Result<SourceGroup, Error> {
    let mfe = required(mfe, name)?.as_ptr();
    // SAFETY: the caller's promise; only these two fields are read, at any alignment.
    let (source, group) = unsafe {
        (
            (&raw const (*mfe).dwSource).read_unaligned(),
            (&raw const (*mfe).dwGroup).read_unaligned(),
        )
    };
    Ok(SourceGroup::new(address(source), address(group)))
}

/// The upstream neighbour in an entry given as an argument.
///
/// # Safety
/// `mfe` is null or points at a MIB_IPMCAST_MFE.
pub(super) unsafe fn upstream(
    mfe: PMIB_IPMCAST_MFE,
    name: &'static str,
) -> Result<Ipv4Addr, Error> {
    let mfe = required(mfe, name)?.as_ptr();
    // SAFETY: the caller's promise.
    Ok(address(unsafe { (&raw const (*mfe).dwUpStrmNgbr).read_unaligned() }))
}

/// The prefix length of a mask. Err: the mask has a zero before a one.
pub(super) fn prefix_len(mask: DWORD, name: &'static str) -> Result<u8, Error> {
    let bits = address(mask).to_bits();
    if bits.leading_ones() + bits.trailing_zeros() < 32 {
        let allowed = "a mask in network byte order, ones first";
        return Err(Error::BadValue { name, value: mask, allowed });
    }
    // At most 32.
    Ok(bits.leading_ones() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(a: u8, b: u8, c: u8, d: u8) -> DWORD {
        dword(Ipv4Addr::new(a, b, c, d))
    }

    #[test]
    fn addresses_keep_the_order_of_octets_in_memory() {
        assert_eq!(net(10, 0, 0, 1).to_ne_bytes(), [10, 0, 0, 1]);
        assert_eq!(address(net(239, 1, 2, 3)), Ipv4Addr::new(239, 1, 2, 3));
    }

    #[test]
    fn d1_masks_are_those_of_one_address_or_all() {
        let (s, g, all) = (net(10, 0, 0, 1), net(239, 0, 0, 1), DWORD::MAX);
        let of = |s, g| Ok(SourceGroup::new(address(s), address(g)));
        assert_eq!(membership(s, all, g, all), of(s, g));
        assert_eq!(membership(0, 0, g, all), of(0, g));
        assert_eq!(membership(0, 0, 0, 0), Ok(SourceGroup::ALL));
        for mask in [0, 1, net(255, 255, 255, 0)] {
            assert!(membership(s, mask, g, all).is_err());
            assert!(membership(s, all, g, mask).is_err());
        }
        for mask in [1, net(255, 0, 0, 0), all] {
            assert!(membership(0, mask, g, all).is_err());
            assert!(membership(0, 0, 0, mask).is_err());
        }
    }

    #[test]
    fn d2_flags() {
        for value in [0, 4, 5, 8, DWORD::MAX] {
            assert!(membership_flags(value).is_err(), "{value}");
        }
        assert_eq!(membership_flags(3), Ok(MembershipFlags { join: true, forward: true }));
        assert_eq!(membership_flags(2), Ok(MembershipFlags::FORWARD));
    }

    #[test]
    fn masks_that_are_prefixes() {
        assert_eq!(prefix_len(net(0, 0, 0, 0), "m"), Ok(0));
        assert_eq!(prefix_len(net(255, 255, 240, 0), "m"), Ok(20));
        assert_eq!(prefix_len(net(255, 255, 255, 255), "m"), Ok(32));
        assert!(prefix_len(net(255, 0, 255, 0), "m").is_err());
        assert!(prefix_len(net(0, 0, 0, 255), "m").is_err());
    }
}
