//! The two records of rtmv2.h that an RPF callback needs to read its pbRoute.
#![expect(non_camel_case_types, reason = "the names of rtmv2.h")]
#![expect(non_snake_case, reason = "the names of rtmv2.h")]

use super::{BYTE, DWORD, FILETIME, HANDLE, INT, UINT, USHORT, layout};

/// The octets of the longest address.
pub const RTM_MAX_ADDRESS_SIZE: usize = 16;
/// The view for unicast routing.
pub const RTM_VIEW_ID_UCAST: INT = 0;
/// The view for multicast routing.
pub const RTM_VIEW_ID_MCAST: INT = 1;
/// RTM_VIEW_ID_UCAST as a bit of RTM_VIEW_SET.
pub const RTM_VIEW_MASK_UCAST: DWORD = 0x0000_0001;
/// RTM_VIEW_ID_MCAST as a bit of RTM_VIEW_SET.
pub const RTM_VIEW_MASK_MCAST: DWORD = 0x0000_0002;

/// A view: RTM_VIEW_ID_UCAST or RTM_VIEW_ID_MCAST.
pub type RTM_VIEW_ID = INT;
/// A set of views: RTM_VIEW_MASK_*.
pub type RTM_VIEW_SET = DWORD;
/// A destination in a routing table; here always NULL.
pub type RTM_DEST_HANDLE = HANDLE;
/// A route in a routing table; here always NULL.
pub type RTM_ROUTE_HANDLE = HANDLE;
/// Who put a route there; here always NULL.
pub type RTM_ENTITY_HANDLE = HANDLE;

/// An address prefix.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct _RTM_NET_ADDRESS {
    /// AF_INET.
    pub AddressFamily: USHORT,
    /// The prefix's length in bits: 0 to 32.
    pub NumBits: USHORT,
    /// The address in network byte order, in the first four octets.
    pub AddrBits: [BYTE; 16],
}
/// An address prefix.
pub type RTM_NET_ADDRESS = _RTM_NET_ADDRESS;
/// A pointer to RTM_NET_ADDRESS.
pub type PRTM_NET_ADDRESS = *mut _RTM_NET_ADDRESS;

/// A destination in one view.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _RTM_DEST_VIEW_INFO {
    /// RTM_VIEW_ID_MCAST.
    pub ViewId: RTM_VIEW_ID,
    /// 1.
    pub NumRoutes: UINT,
    /// NULL.
    pub Route: RTM_ROUTE_HANDLE,
    /// NULL.
    pub Owner: RTM_ENTITY_HANDLE,
    /// 0.
    pub DestFlags: DWORD,
    /// NULL.
    pub HoldRoute: RTM_ROUTE_HANDLE,
}

/// The unicast destination that a source falls under: what pbRoute of an RPF callback points at.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct _RTM_DEST_INFO {
    /// NULL: there is no routing table manager to ask.
    pub DestHandle: RTM_DEST_HANDLE,
    /// The prefix that matched.
    pub DestAddress: RTM_NET_ADDRESS,
    /// 0.
    pub LastChanged: FILETIME,
    /// RTM_VIEW_MASK_MCAST.
    pub BelongsToViews: RTM_VIEW_SET,
    /// 1.
    pub NumberOfViews: UINT,
    /// The one view.
    pub ViewInfo: [_RTM_DEST_VIEW_INFO; 1],
}
/// The unicast destination that a source falls under.
pub type RTM_DEST_INFO = _RTM_DEST_INFO;
/// A pointer to RTM_DEST_INFO.
pub type PRTM_DEST_INFO = *mut _RTM_DEST_INFO;

layout!(_RTM_NET_ADDRESS, 20, { AddressFamily 0, NumBits 2, AddrBits 4 });
layout!(_RTM_DEST_INFO, (88 / 64), {
    DestHandle 0, DestAddress (8 / 4), LastChanged (28 / 24), BelongsToViews (36 / 32),
    NumberOfViews (40 / 36), ViewInfo (48 / 40),
});
// Offsets from the start of the view; in RTM_DEST_INFO the first view is at 48/40.
layout!(_RTM_DEST_VIEW_INFO, (40 / 24), {
    ViewId 0, NumRoutes 4, Route 8, Owner (16 / 12), DestFlags (24 / 16), HoldRoute (32 / 20),
});
