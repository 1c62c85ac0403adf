//! The functions of mgm.h, except the six that read forwarding entries ([`super::reads`]).
//!
//! Their documentation is written for the C header, which is generated from it.
#![expect(non_snake_case, reason = "the names of mgm.h")]

use super::buffer::OutBuffer;
use super::callbacks::CClient;
use super::convert::{self, required};
use super::manager::manager;
use super::records;
use super::types::{
    DWORD, HANDLE, MGM_ENUM_TYPES, PBYTE, PDWORD, PMIB_IPMCAST_MFE, PROUTING_PROTOCOL_CONFIG,
};
use super::{fork, guard};
use crate::handle;

/// Registers a client: a routing protocol, or IGMP.
///
/// IGMP is recognised by its protocol id: MS_IP_IGMP, the same of another vendor, or plain
/// PROTO_IP_IGMP. The pair (dwProtocolId, dwComponentId) must be new; the same protocol id with another
/// component id is another client. Where no host runs yet, one is started from the environment
/// (MGM_FORWARDER and its like, see mgm_host.h).
///
/// @param prpiInfo the client's callbacks, and flags for them; copied.
/// @param dwProtocolId PROTOCOL_ID(type, vendor, number), in host order.
/// @param dwComponentId tells clients with the same protocol id apart, in host order.
/// @param phProtocol receives the client's handle.
///
/// @par Callbacks and threads
/// Makes no callback. From here on the client's callbacks may run, some of them before this has
/// returned. Alerts of what happened before are not given: a client that registers late enumerates the
/// groups.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: prpiInfo or phProtocol is NULL.
/// - ERROR_ALREADY_EXISTS: the pair is registered.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: the library could not start (an environment variable makes no sense, the
///   kernel refused), or nothing runs and the call is made inside a callback or a function of the
///   host's while another thread is starting or stopping; the log says why.
///
/// # Safety
/// prpiInfo points at a ROUTING_PROTOCOL_CONFIG whose functions are of the declared types and stay
/// callable until the client is deregistered; phProtocol points at a HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmRegisterMProtocol(
    prpiInfo: PROUTING_PROTOCOL_CONFIG,
    dwProtocolId: DWORD,
    dwComponentId: DWORD,
    phProtocol: *mut HANDLE,
) -> DWORD {
    guard::call("MgmRegisterMProtocol", || {
        let config = required(prpiInfo, "prpiInfo")?;
        let out = required(phProtocol, "phProtocol")?;
        fork::watch()?;
        // SAFETY: the caller's promise about prpiInfo.
        let client = CClient::new(unsafe { config.read_unaligned() });
        let id = manager()?.register(client.into(), (dwProtocolId, dwComponentId))?;
        // SAFETY: the caller's promise about phProtocol.
        unsafe { out.write_unaligned(convert::handle_of(handle::from_client(id))) };
        Ok(())
    })
}

/// Ends a registration. The client must have released its interfaces. Its open enumerations end with
/// it.
///
/// @param hProtocol the client's handle.
///
/// @par Callbacks and threads
/// When this has returned NO_ERROR, no callback of the client is running or will ever run again: its
/// code may be unloaded. So it waits for the client's running callback, without a limit. Where it is
/// called inside the client's own callback, none starts after that callback has returned.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client.
/// - ERROR_CAN_NOT_COMPLETE: the client still owns an interface, or (called from inside a callback)
///   waiting for the client's running callback would never end.
#[unsafe(no_mangle)]
pub extern "C" fn MgmDeRegisterMProtocol(hProtocol: HANDLE) -> DWORD {
    guard::call_of("MgmDeRegisterMProtocol", hProtocol, || {
        manager()?.deregister(convert::client(hProtocol)?)
    })
}

/// Takes an interface: the client will run multicast routing on it.
///
/// One routing protocol owns an interface at a time; IGMP may be on it too, taken before or after.
///
/// @param hProtocol the client's handle.
/// @param dwIfIndex the interface's index, in host order; the one that if_nametoindex() gives for the
///        kernel forwarder.
/// @param dwIfNextHopAddr the next hop on a point-to-multipoint interface, network byte order; 0
///        elsewhere. Two next hops on one index are two interfaces.
///
/// @par Callbacks and threads
/// Where IGMP is on the interface already, it gets its disable callback; then the ownership changes,
/// and IGMP's memberships there are dropped; then it gets its enable callback and adds them again,
/// inside the callback or later. All of this has happened when the call returns, unless it is made
/// inside a callback and IGMP is inside one too. There is no alert about what other clients have said
/// before: the client enumerates the groups.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client.
/// - ERROR_ALREADY_EXISTS: another routing protocol owns the interface (to IGMP: another IGMP client is
///   on it), or the client is on it already.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: the forwarder refused the interface (there is no such device, or no room
///   for another); the log says why.
#[unsafe(no_mangle)]
pub extern "C" fn MgmTakeInterfaceOwnership(
    hProtocol: HANDLE,
    dwIfIndex: DWORD,
    dwIfNextHopAddr: DWORD,
) -> DWORD {
    guard::call_of("MgmTakeInterfaceOwnership", hProtocol, || {
        let client = convert::client(hProtocol)?;
        manager()?.take_interface(client, convert::interface(dwIfIndex, dwIfNextHopAddr))
    })
}

/// Releases an interface. The client's memberships on it go; forwarding entries whose incoming
/// interface it is are deleted, and it leaves the others' lists.
///
/// @param hProtocol the client's handle.
/// @param dwIfIndex,dwIfNextHopAddr the interface, as it was taken: its index in host order, its next
///        hop in network byte order.
///
/// @par Callbacks and threads
/// Other clients hear the alerts that deleting the memberships one by one would cause. IGMP, where it
/// stays behind, gets its disable and enable callbacks as with MgmTakeInterfaceOwnership. All of them
/// have been delivered when a call made outside any callback returns.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or the client is not
///   on that interface.
/// - ERROR_CAN_NOT_COMPLETE
#[unsafe(no_mangle)]
pub extern "C" fn MgmReleaseInterfaceOwnership(
    hProtocol: HANDLE,
    dwIfIndex: DWORD,
    dwIfNextHopAddr: DWORD,
) -> DWORD {
    guard::call_of("MgmReleaseInterfaceOwnership", hProtocol, || {
        let client = convert::client(hProtocol)?;
        manager()?.release_interface(client, convert::interface(dwIfIndex, dwIfNextHopAddr))
    })
}

/// Gives the client that owns an interface: the routing protocol, or IGMP where it is alone. Needs no
/// registration.
///
/// @param dwIfIndex,dwIfNextHopAddr the interface: its index in host order, its next hop in network
///        byte order.
/// @param pdwIfProtocolId receives the owner's protocol id.
/// @param pdwIfComponentId receives the owner's component id.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: pdwIfProtocolId or pdwIfComponentId is NULL.
/// - ERROR_NOT_FOUND: nobody is on that interface.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// Both pointers point at DWORDs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetProtocolOnInterface(
    dwIfIndex: DWORD,
    dwIfNextHopAddr: DWORD,
    pdwIfProtocolId: PDWORD,
    pdwIfComponentId: PDWORD,
) -> DWORD {
    guard::read("MgmGetProtocolOnInterface", || {
        let protocol_out = required(pdwIfProtocolId, "pdwIfProtocolId")?;
        let component_out = required(pdwIfComponentId, "pdwIfComponentId")?;
        let interface = convert::interface(dwIfIndex, dwIfNextHopAddr);
        let (protocol, component) = manager()?.protocol_on_interface(interface)?;
        // SAFETY: the caller's promise about both pointers.
        unsafe {
            protocol_out.write_unaligned(protocol);
            component_out.write_unaligned(component);
        }
        Ok(())
    })
}

/// Adds a group membership on an interface, or adds the interface to forwarding entries.
///
/// A membership is for one source and group (S,G), for any source of a group (*,G: source 0), or for
/// everything (*,*: source and group 0). Each mask is 255.255.255.255, or 0 where its address is 0;
/// ranges are not supported. Groups in 224.0.0.0/24 may be joined; they are never forwarded.
///
/// MGM_JOIN_STATE_FLAG adds the membership, brings every matching forwarding entry up to date and
/// alerts other clients. Adding what is there gives NO_ERROR and no alert. MGM_FORWARD_STATE_FLAG
/// changes existing entries only: the interface becomes an outgoing one of each that matches. It is for
/// the interface's owner; from IGMP, where a routing protocol owns the interface, it is ignored, and
/// the log says so.
///
/// @param hProtocol the client's handle.
/// @param dwSourceAddr,dwSourceMask,dwGroupAddr,dwGroupMask in network byte order.
/// @param dwIfIndex,dwIfNextHopIPAddr an interface that the client has taken: its index in host order,
///        its next hop in network byte order.
/// @param dwFlags MGM_JOIN_STATE_FLAG, MGM_FORWARD_STATE_FLAG or both.
///
/// @par Callbacks and threads
/// Other clients hear of the first membership of each kind. (*,*), each (*,G) and each (S,G) stand
/// alone: a client that has (*,*) counts for no (*,G). The first client that has (*,G), or (*,*),
/// causes a join alert to all others, and a second one causes one to the first. For (S,G) the owner of
/// the interface toward S alone is alerted, of the first client other than itself. Where IGMP adds on
/// an interface that a routing protocol owns, the owner gets its local-join callback instead, and
/// causes the alerts when it adds the membership too; an owner without that callback has IGMP's
/// membership counted like any other. Alerts caused by a call made outside any callback have been
/// delivered when it returns.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; a mask is a range;
///   the group is not in 224.0.0.0/4; the source is multicast, 255.255.255.255 or in 127.0.0.0/8; a
///   source without a group; dwFlags has no flag or an unknown one; the client is not on that
///   interface.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE: to IGMP, between its disable and enable callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn MgmAddGroupMembershipEntry(
    hProtocol: HANDLE,
    dwSourceAddr: DWORD,
    dwSourceMask: DWORD,
    dwGroupAddr: DWORD,
    dwGroupMask: DWORD,
    dwIfIndex: DWORD,
    dwIfNextHopIPAddr: DWORD,
    dwFlags: DWORD,
) -> DWORD {
    guard::call_of("MgmAddGroupMembershipEntry", hProtocol, || {
        let client = convert::client(hProtocol)?;
        let of = convert::membership(dwSourceAddr, dwSourceMask, dwGroupAddr, dwGroupMask)?;
        let flags = convert::membership_flags(dwFlags)?;
        manager()?.add_membership(
            client,
            of,
            convert::interface(dwIfIndex, dwIfNextHopIPAddr),
            flags,
        )
    })
}

/// Deletes a group membership on an interface, or takes the interface out of forwarding entries.
///
/// MGM_JOIN_STATE_FLAG deletes the membership and brings the entries up to date; deleting one that is
/// not there gives NO_ERROR and no alert. With MGM_FORWARD_STATE_FLAG the interface leaves each
/// matching entry, even where a membership would keep it there (a prune), until the client adds a
/// membership that covers the entry. Addresses and masks are as in MgmAddGroupMembershipEntry.
///
/// @param hProtocol the client's handle.
/// @param dwSourceAddr,dwSourceMask,dwGroupAddr,dwGroupMask in network byte order.
/// @param dwIfIndex,dwIfNextHopIPAddr an interface that the client has taken: its index in host order,
///        its next hop in network byte order.
/// @param dwFlags MGM_JOIN_STATE_FLAG, MGM_FORWARD_STATE_FLAG or both.
///
/// @par Callbacks and threads
/// The last clients to leave cause prune alerts, as the first ones cause join alerts
/// (MgmAddGroupMembershipEntry). Where IGMP deletes on an interface that a routing protocol owns, the
/// owner gets its local-leave callback instead. Alerts caused by a call made outside any callback have
/// been delivered when it returns.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; a mask is a range;
///   the group is not in 224.0.0.0/4; the source is multicast, 255.255.255.255 or in 127.0.0.0/8; a
///   source without a group; dwFlags has no flag or an unknown one; only other clients are on that
///   interface.
/// - ERROR_NOT_FOUND: no client is on that interface.
/// - ERROR_CAN_NOT_COMPLETE: to IGMP, between its disable and enable callbacks; or memory ran out.
#[unsafe(no_mangle)]
pub extern "C" fn MgmDeleteGroupMembershipEntry(
    hProtocol: HANDLE,
    dwSourceAddr: DWORD,
    dwSourceMask: DWORD,
    dwGroupAddr: DWORD,
    dwGroupMask: DWORD,
    dwIfIndex: DWORD,
    dwIfNextHopIPAddr: DWORD,
    dwFlags: DWORD,
) -> DWORD {
    guard::call_of("MgmDeleteGroupMembershipEntry", hProtocol, || {
        let client = convert::client(hProtocol)?;
        let of = convert::membership(dwSourceAddr, dwSourceMask, dwGroupAddr, dwGroupMask)?;
        let flags = convert::membership_flags(dwFlags)?;
        manager()?.delete_membership(
            client,
            of,
            convert::interface(dwIfIndex, dwIfNextHopIPAddr),
            flags,
        )
    })
}

/// Changes the upstream neighbour of a forwarding entry.
///
/// @param hProtocol the handle of the client that owns the entry's incoming interface.
/// @param pmimm names the entry by dwSource and dwGroup and gives dwUpStrmNgbr, all in network byte
///        order; nothing else of it is read.
///
/// @par Callbacks and threads
/// Makes no callback.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client, or the client does
///   not own the entry's incoming interface; pmimm is NULL.
/// - ERROR_NOT_FOUND: there is no such entry.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// pmimm points at a MIB_IPMCAST_MFE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmSetMfe(hProtocol: HANDLE, pmimm: PMIB_IPMCAST_MFE) -> DWORD {
    guard::call_of("MgmSetMfe", hProtocol, || {
        let client = convert::client(hProtocol)?;
        // SAFETY: the caller's promise about pmimm.
        let (flow, upstream) =
            unsafe { (convert::flow(pmimm, "pmimm")?, convert::upstream(pmimm, "pmimm")?) };
        manager()?.set_upstream(client, flow, upstream)
    })
}

/// Begins an enumeration of the groups that have members.
///
/// A membership that is there throughout the enumeration appears exactly once; one that comes or goes
/// meanwhile appears at most once. The client must end the enumeration with MgmGroupEnumerationEnd;
/// MgmDeRegisterMProtocol ends it too.
///
/// @param hProtocol the client's handle.
/// @param metEnumType ANY_SOURCE: one row for each group, with source 0. ALL_SOURCES: one row for each
///        (*,G), with source 0, and each (S,G). (*,*) is one all-zero row in both.
/// @param phEnumHandle receives the enumeration's handle.
///
/// @par Callbacks and threads
/// Makes no callback. A client that registers, and enumerates the groups then, misses no change.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hProtocol is not the handle of a registered client; metEnumType is
///   neither ANY_SOURCE nor ALL_SOURCES; phEnumHandle is NULL.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// phEnumHandle points at a HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGroupEnumerationStart(
    hProtocol: HANDLE,
    metEnumType: MGM_ENUM_TYPES,
    phEnumHandle: *mut HANDLE,
) -> DWORD {
    guard::call_of("MgmGroupEnumerationStart", hProtocol, || {
        let client = convert::client(hProtocol)?;
        let all_sources = convert::enum_type(metEnumType)?;
        let out = required(phEnumHandle, "phEnumHandle")?;
        let id = manager()?.start_enumeration(client, all_sources)?;
        // SAFETY: the caller's promise about phEnumHandle.
        unsafe { out.write_unaligned(convert::handle_of(handle::from_enumeration(id))) };
        Ok(())
    })
}

/// Reads the next rows of an enumeration: as many SOURCE_GROUP_ENTRY as fit.
///
/// Addresses and masks in a row are in network byte order; a mask is all ones, or 0 where its address
/// is 0.
///
/// @param hEnum the enumeration's handle.
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the rows; may be NULL where *pdwBufferSize is 0.
/// @param pdwNumEntries receives their number.
///
/// @par Callbacks and threads
/// Makes no callback.
///
/// @return
/// - ERROR_MORE_DATA: there are more rows; those in the buffer are valid.
/// - ERROR_NO_MORE_ITEMS: there are no more; those in the buffer, if any, are valid.
/// - ERROR_INSUFFICIENT_BUFFER: not even one row fits; *pdwBufferSize now holds its size and
///   *pdwNumEntries 0.
/// - ERROR_INVALID_PARAMETER: hEnum is not the handle of an open enumeration; a required pointer is
///   NULL.
/// - ERROR_NOT_ENOUGH_MEMORY
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// pdwBufferSize and pdwNumEntries point at DWORDs, pbBuffer at *pdwBufferSize octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGroupEnumerationGetNext(
    hEnum: HANDLE,
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    pdwNumEntries: PDWORD,
) -> DWORD {
    guard::call("MgmGroupEnumerationGetNext", || {
        let id = convert::enumeration(hEnum)?;
        // SAFETY: the caller's promise about the three pointers.
        let out = unsafe { OutBuffer::new(pdwBufferSize, pbBuffer, Some(pdwNumEntries))? };
        records::next_groups(id, out)
    })
}

/// Ends an enumeration; its handle is no longer valid.
///
/// @param hEnum the enumeration's handle.
///
/// @par Callbacks and threads
/// Makes no callback.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: hEnum is not the handle of an open enumeration.
/// - ERROR_CAN_NOT_COMPLETE
#[unsafe(no_mangle)]
pub extern "C" fn MgmGroupEnumerationEnd(hEnum: HANDLE) -> DWORD {
    guard::call("MgmGroupEnumerationEnd", || {
        manager()?.end_enumeration(convert::enumeration(hEnum)?)
    })
}
