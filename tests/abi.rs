//! The ABI held against two independent witnesses. windows-sys, which Microsoft generates from the
//! Windows SDK: its structures must have our layout, its constants our values, and its declarations
//! of the functions must link to ours and work. And mingw-w64's headers, where they are installed.

// windows-sys has the types of machines that Windows runs on. On others the sizes that src/ffi/types.rs states, which
// are checked while it is compiled, and c-tests/abi.c have to do.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")
))]

#[path = "common/run.rs"]
mod running;

use mgm::ffi::types as ours;
use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};
use windows_sys::Win32::Foundation as win;
use windows_sys::Win32::NetworkManagement::IpHelper as iphlp;
use windows_sys::Win32::NetworkManagement::NetManagement as netman;
use windows_sys::Win32::NetworkManagement::Rras as rras;
use windows_sys::Win32::Networking::WinSock as winsock;

/// Asserts that two structures have the same size and the same offsets of the named fields.
macro_rules! same_layout {
    ($ours:ty, $theirs:ty, [$($field:ident),* $(,)?]) => {{
        assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), stringify!($ours));
        $(assert_eq!(
            offset_of!($ours, $field),
            offset_of!($theirs, $field),
            concat!(stringify!($ours), ".", stringify!($field)),
        );)*
    }};
}

#[test]
fn structures_of_mgm_h() {
    same_layout!(
        ours::MGM_IF_ENTRY,
        rras::MGM_IF_ENTRY,
        [dwIfIndex, dwIfNextHopAddr, bIGMP, bIsEnabled,]
    );
    same_layout!(
        ours::SOURCE_GROUP_ENTRY,
        rras::SOURCE_GROUP_ENTRY,
        [dwSourceAddr, dwSourceMask, dwGroupAddr, dwGroupMask,]
    );
    same_layout!(
        ours::ROUTING_PROTOCOL_CONFIG,
        rras::ROUTING_PROTOCOL_CONFIG,
        [
            dwCallbackFlags,
            pfnRpfCallback,
            pfnCreationAlertCallback,
            pfnPruneAlertCallback,
            pfnJoinAlertCallback,
            pfnWrongIfCallback,
            pfnLocalJoinCallback,
            pfnLocalLeaveCallback,
            pfnDisableIgmpCallback,
            pfnEnableIgmpCallback,
        ]
    );
}

#[test]
fn structures_of_ipmib_h() {
    same_layout!(
        ours::MIB_IPMCAST_OIF,
        iphlp::MIB_IPMCAST_OIF_XP,
        [dwOutIfIndex, dwNextHopAddr, dwReserved, dwReserved1,]
    );
    same_layout!(
        ours::MIB_IPMCAST_MFE,
        iphlp::MIB_IPMCAST_MFE,
        [
            dwGroup,
            dwSource,
            dwSrcMask,
            dwUpStrmNgbr,
            dwInIfIndex,
            dwInIfProtocol,
            dwRouteProtocol,
            dwRouteNetwork,
            dwRouteMask,
            ulUpTime,
            ulExpiryTime,
            ulTimeOut,
            ulNumOutIf,
            fFlags,
            dwReserved,
            rgmioOutInfo,
        ]
    );
    same_layout!(ours::MIB_MFE_TABLE, iphlp::MIB_MFE_TABLE, [dwNumEntries, table]);
    same_layout!(
        ours::MIB_IPMCAST_OIF_STATS,
        iphlp::MIB_IPMCAST_OIF_STATS_LH,
        [
            dwOutIfIndex,
            dwNextHopAddr,
            dwDialContext,
            ulTtlTooLow,
            ulFragNeeded,
            ulOutPackets,
            ulOutDiscards,
        ]
    );
    same_layout!(
        ours::MIB_IPMCAST_MFE_STATS,
        iphlp::MIB_IPMCAST_MFE_STATS,
        [
            dwGroup,
            dwSource,
            dwSrcMask,
            dwUpStrmNgbr,
            dwInIfIndex,
            dwInIfProtocol,
            dwRouteProtocol,
            dwRouteNetwork,
            dwRouteMask,
            ulUpTime,
            ulExpiryTime,
            ulNumOutIf,
            ulInPkts,
            ulInOctets,
            ulPktsDifferentIf,
            ulQueueOverflow,
            rgmiosOutStats,
        ]
    );
    same_layout!(ours::MIB_MFE_STATS_TABLE, iphlp::MIB_MFE_STATS_TABLE, [dwNumEntries, table]);
    same_layout!(
        ours::MIB_IPMCAST_MFE_STATS_EX,
        iphlp::MIB_IPMCAST_MFE_STATS_EX_XP,
        [
            dwGroup,
            dwSource,
            dwSrcMask,
            dwUpStrmNgbr,
            dwInIfIndex,
            dwInIfProtocol,
            dwRouteProtocol,
            dwRouteNetwork,
            dwRouteMask,
            ulUpTime,
            ulExpiryTime,
            ulNumOutIf,
            ulInPkts,
            ulInOctets,
            ulPktsDifferentIf,
            ulQueueOverflow,
            ulUninitMfe,
            ulNegativeMfe,
            ulInDiscards,
            ulInHdrErrors,
            ulTotalOutPackets,
            rgmiosOutStats,
        ]
    );
}

#[test]
fn structures_of_rtmv2_h() {
    same_layout!(ours::RTM_NET_ADDRESS, rras::RTM_NET_ADDRESS, [AddressFamily, NumBits, AddrBits]);
    same_layout!(
        ours::_RTM_DEST_VIEW_INFO,
        rras::RTM_DEST_INFO_0,
        [ViewId, NumRoutes, Route, Owner, DestFlags, HoldRoute,]
    );
    same_layout!(
        ours::RTM_DEST_INFO,
        rras::RTM_DEST_INFO,
        [DestHandle, DestAddress, LastChanged, BelongsToViews, NumberOfViews, ViewInfo,]
    );
    same_layout!(ours::FILETIME, win::FILETIME, [dwLowDateTime, dwHighDateTime]);
}

#[test]
fn constants() {
    use mgm::error::code;
    assert_eq!(code::NO_ERROR, win::NO_ERROR);
    assert_eq!(code::ERROR_NOT_ENOUGH_MEMORY, win::ERROR_NOT_ENOUGH_MEMORY);
    assert_eq!(code::ERROR_INVALID_PARAMETER, win::ERROR_INVALID_PARAMETER);
    assert_eq!(code::ERROR_INSUFFICIENT_BUFFER, win::ERROR_INSUFFICIENT_BUFFER);
    assert_eq!(code::ERROR_ALREADY_EXISTS, win::ERROR_ALREADY_EXISTS);
    assert_eq!(code::ERROR_MORE_DATA, win::ERROR_MORE_DATA);
    assert_eq!(code::ERROR_NO_MORE_ITEMS, win::ERROR_NO_MORE_ITEMS);
    assert_eq!(code::ERROR_CAN_NOT_COMPLETE, win::ERROR_CAN_NOT_COMPLETE);
    assert_eq!(code::ERROR_NOT_FOUND, win::ERROR_NOT_FOUND);
    assert_eq!(ours::MGM_JOIN_STATE_FLAG, rras::MGM_JOIN_STATE_FLAG);
    assert_eq!(ours::MGM_FORWARD_STATE_FLAG, rras::MGM_FORWARD_STATE_FLAG);
    assert_eq!(ours::MGM_MFE_STATS_0, rras::MGM_MFE_STATS_0);
    assert_eq!(ours::MGM_MFE_STATS_1, rras::MGM_MFE_STATS_1);
    assert_eq!(ours::RTM_MAX_ADDRESS_SIZE as u32, rras::RTM_MAX_ADDRESS_SIZE);
    assert_eq!((rras::ANY_SOURCE, rras::ALL_SOURCES), (0, 1));
}

/// The numbers that mgm.h gives the names which begin so.
fn numbers_in_mgm_h(beginnings: &[&str]) -> BTreeMap<String, i64> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/mgm.h");
    let header = std::fs::read_to_string(header).unwrap();
    let define = |line: &str| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        let value = match value.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16),
            None => value.parse(),
        };
        beginnings
            .iter()
            .any(|start| name.starts_with(start))
            .then_some((name.to_owned(), value.ok()?))
    };
    header.lines().filter_map(define).collect()
}

#[test]
fn protocol_ids() {
    let mut theirs = BTreeMap::new();
    macro_rules! of {
        ($module:ident: $($name:ident),* $(,)?) => {
            $(theirs.insert(stringify!($name).to_owned(), i64::from($module::$name));)*
        };
    }
    of!(
        winsock:
            MIB_IPPROTO_BBN, MIB_IPPROTO_BGP, MIB_IPPROTO_CISCO, MIB_IPPROTO_DHCP,
            MIB_IPPROTO_DVMRP, MIB_IPPROTO_EGP, MIB_IPPROTO_EIGRP, MIB_IPPROTO_ES_IS,
            MIB_IPPROTO_GGP, MIB_IPPROTO_HELLO, MIB_IPPROTO_ICMP, MIB_IPPROTO_IDPR,
            MIB_IPPROTO_IS_IS, MIB_IPPROTO_LOCAL, MIB_IPPROTO_NETMGMT,
            MIB_IPPROTO_NT_AUTOSTATIC, MIB_IPPROTO_NT_STATIC,
            MIB_IPPROTO_NT_STATIC_NON_DOD, MIB_IPPROTO_OSPF, MIB_IPPROTO_OTHER,
            MIB_IPPROTO_RIP, MIB_IPPROTO_RPL, PROTO_IP_BBN, PROTO_IP_BGP,
            PROTO_IP_CISCO, PROTO_IP_DHCP, PROTO_IP_DVMRP, PROTO_IP_EGP, PROTO_IP_EIGRP,
            PROTO_IP_ES_IS, PROTO_IP_GGP, PROTO_IP_HELLO, PROTO_IP_ICMP, PROTO_IP_IDPR,
            PROTO_IP_IS_IS, PROTO_IP_LOCAL, PROTO_IP_NETMGMT, PROTO_IP_NT_AUTOSTATIC,
            PROTO_IP_NT_STATIC, PROTO_IP_NT_STATIC_NON_DOD, PROTO_IP_OSPF,
            PROTO_IP_OTHER, PROTO_IP_RIP, PROTO_IP_RPL,
    );
    of!(
        netman:
            PROTO_IP_ALG, PROTO_IP_BGMP, PROTO_IP_BOOTP, PROTO_IP_DHCP_ALLOCATOR,
            PROTO_IP_DIFFSERV, PROTO_IP_DNS_PROXY, PROTO_IP_DTP, PROTO_IP_FTP,
            PROTO_IP_H323, PROTO_IP_IGMP, PROTO_IP_MGM, PROTO_IP_MSDP, PROTO_IP_NAT,
            PROTO_IP_VRRP, PROTO_TYPE_MCAST, PROTO_TYPE_MS0, PROTO_TYPE_MS1,
            PROTO_TYPE_UCAST, PROTO_VENDOR_MS0, PROTO_VENDOR_MS1, PROTO_VENDOR_MS2,
    );
    let ours = numbers_in_mgm_h(&["MIB_IPPROTO_", "PROTO_IP_", "PROTO_TYPE_", "PROTO_VENDOR_"]);
    assert_eq!(ours, theirs);
}

/// c-tests/abi.c, whose numbers are checked while it is compiled, with mingw-w64's headers instead of
/// ours: every structure, constant, function type and macro in it.
#[test]
#[ignore = "needs clang and mingw-w64's headers: make test-all"]
fn mingw_s_headers_say_the_same() {
    const HEADERS: &str = "/usr/share/mingw-w64/include";
    if !Path::new(HEADERS).join("rtmv2.h").exists() {
        let reason = format!("{HEADERS} is not there (Debian's package mingw-w64-common)");
        return running::skipped("mingw-w64's headers", &reason);
    }
    for target in ["x86_64-w64-mingw32", "i686-w64-mingw32"] {
        let done = Command::new("clang")
            .args(["-std=c11", "-Wall", "-Werror", "-DWITNESS", "-fsyntax-only"])
            .args(["-target", target, "-isystem", HEADERS, "c-tests/abi.c"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap_or_else(|error| panic!("clang is needed: {error}"));
        assert!(done.status.success(), "{target}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

static JOINS: AtomicU32 = AtomicU32::new(0);

unsafe extern "system" fn on_join(_: u32, _: u32, group: u32, mask: u32, member: i32) -> u32 {
    if (group, mask, member) == (GROUP, u32::MAX, 1) {
        JOINS.fetch_add(1, Ordering::SeqCst);
    }
    0
}

const GROUP: u32 = u32::from_ne_bytes([239, 1, 2, 3]);

/// A whole session through windows-sys' declarations: 16 of the 17 functions, for it has no
/// MgmSetMfe.
#[test]
fn functions_link_and_work() {
    let mut config =
        rras::ROUTING_PROTOCOL_CONFIG { pfnJoinAlertCallback: Some(on_join), ..Default::default() };
    let (mut first, mut second, mut rows) = (null_mut(), null_mut(), null_mut());
    let (mut count, mut protocol, mut component) = (99, 0, 0);
    let mut entries = [rras::SOURCE_GROUP_ENTRY::default(); 2];
    // SAFETY: every pointer is to a local variable of the declared type that outlives the call.
    unsafe {
        let mut mfe: iphlp::MIB_IPMCAST_MFE = std::mem::zeroed();
        assert_eq!(rras::MgmRegisterMProtocol(&mut config, 0x21, 1, &mut first), 0);
        assert_eq!(rras::MgmRegisterMProtocol(&mut config, 0x22, 1, &mut second), 0);
        assert!(!first.is_null() && !second.is_null() && first != second);
        assert_eq!(rras::MgmTakeInterfaceOwnership(first, 1, 0), 0);
        assert_eq!(rras::MgmGetProtocolOnInterface(1, 0, &mut protocol, &mut component), 0);
        assert_eq!((protocol, component), (0x21, 1));
        let add = rras::MgmAddGroupMembershipEntry;
        assert_eq!(add(first, 0, 0, GROUP, u32::MAX, 1, 0, rras::MGM_JOIN_STATE_FLAG), 0);
        assert_eq!(JOINS.load(Ordering::SeqCst), 1, "the other client was alerted");

        assert_eq!(rras::MgmGroupEnumerationStart(second, rras::ALL_SOURCES, &mut rows), 0);
        let mut size = size_of_val(&entries) as u32;
        let next = rras::MgmGroupEnumerationGetNext;
        let end_of_rows = next(rows, &mut size, entries.as_mut_ptr().cast(), &mut count);
        assert_eq!((end_of_rows, count), (win::ERROR_NO_MORE_ITEMS, 1));
        assert_eq!((entries[0].dwGroupAddr, entries[0].dwGroupMask), (GROUP, u32::MAX));
        assert_eq!((entries[0].dwSourceAddr, entries[0].dwSourceMask), (0, 0));
        assert_eq!(rras::MgmGroupEnumerationEnd(rows), 0);

        let (size, count) = (&mut size, &mut count);
        let end = win::ERROR_NO_MORE_ITEMS;
        assert_eq!(
            rras::MgmGetFirstMfe(
                {
                    *size = 0;
                    size
                },
                null_mut(),
                count
            ),
            end
        );
        assert_eq!(rras::MgmGetNextMfe(&mut mfe, size, null_mut(), count), end);
        assert_eq!(rras::MgmGetMfe(&mut mfe, size, null_mut()), win::ERROR_NOT_FOUND);
        assert_eq!(rras::MgmGetFirstMfeStats(size, null_mut(), count, 1), end);
        assert_eq!(rras::MgmGetNextMfeStats(&mut mfe, size, null_mut(), count, 2), end);
        assert_eq!(rras::MgmGetMfeStats(&mut mfe, size, null_mut(), 1), win::ERROR_NOT_FOUND);

        let delete = rras::MgmDeleteGroupMembershipEntry;
        assert_eq!(delete(first, 0, 0, GROUP, u32::MAX, 1, 0, rras::MGM_JOIN_STATE_FLAG), 0);
        assert_eq!(rras::MgmReleaseInterfaceOwnership(first, 1, 0), 0);
        assert_eq!(rras::MgmDeRegisterMProtocol(first), 0);
        assert_eq!(rras::MgmDeRegisterMProtocol(second), 0);
        assert_eq!(rras::MgmDeRegisterMProtocol(second), win::ERROR_INVALID_PARAMETER);
        let not_a_config = null::<rras::ROUTING_PROTOCOL_CONFIG>().cast_mut();
        let refused = rras::MgmRegisterMProtocol(not_a_config, 0x21, 1, &mut first);
        assert_eq!(refused, win::ERROR_INVALID_PARAMETER);
    }
}
