//! The six functions of mgm.h that read forwarding entries.
//!
//! Their documentation is written for the C header, which is generated from it.
#![expect(non_snake_case, reason = "the names of mgm.h")]

use super::buffer::OutBuffer;
use super::records::{MfeKind, mfes_after, one_mfe};
use super::types::{DWORD, PBYTE, PDWORD, PMIB_IPMCAST_MFE};
use super::{convert, guard};

/// Reads one forwarding entry as a MIB_IPMCAST_MFE. Needs no registration.
///
/// The record is SIZEOF_MIB_MFE(ulNumOutIf) octets long.
///
/// @param pimm names the entry by dwSource and dwGroup, in network byte order; nothing else of it is
///        read.
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the record; may be NULL where *pdwBufferSize is 0.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL.
/// - ERROR_NOT_FOUND: there is no such entry.
/// - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// pimm points at a MIB_IPMCAST_MFE, pdwBufferSize at a DWORD, pbBuffer at *pdwBufferSize octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetMfe(
    pimm: PMIB_IPMCAST_MFE,
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
) -> DWORD {
    guard::read("MgmGetMfe", || {
        // SAFETY: the caller's promise about the three pointers.
        let (flow, out) = unsafe {
            (convert::flow(pimm, "pimm")?, OutBuffer::new(pdwBufferSize, pbBuffer, None)?)
        };
        one_mfe(MfeKind::Plain, out, flow)
    })
}

/// Reads forwarding entries from the first, by group, then source. Needs no registration.
///
/// The order is that of the addresses' values as numbers. The buffer receives as many whole
/// MIB_IPMCAST_MFE records as fit, one behind the other; each is SIZEOF_MIB_MFE(ulNumOutIf) octets
/// long.
///
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
/// @param pdwNumEntries receives their number.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
/// - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
/// - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
///   *pdwNumEntries 0.
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// pdwBufferSize and pdwNumEntries point at DWORDs, pbBuffer at *pdwBufferSize octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetFirstMfe(
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    pdwNumEntries: PDWORD,
) -> DWORD {
    guard::read("MgmGetFirstMfe", || {
        // SAFETY: the caller's promise about the three pointers.
        let out = unsafe { OutBuffer::new(pdwBufferSize, pbBuffer, Some(pdwNumEntries))? };
        mfes_after(MfeKind::Plain, out, None)
    })
}

/// Reads the forwarding entries that follow a given one, as MgmGetFirstMfe does. Needs no registration.
///
/// @param pimmStart names the entry to go on after by dwSource and dwGroup, in network byte order,
///        normally the last record of the call before; it need not exist any more.
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
/// @param pdwNumEntries receives their number.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
/// - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
/// - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
///   *pdwNumEntries 0.
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// As MgmGetFirstMfe; pimmStart points at a MIB_IPMCAST_MFE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetNextMfe(
    pimmStart: PMIB_IPMCAST_MFE,
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    pdwNumEntries: PDWORD,
) -> DWORD {
    guard::read("MgmGetNextMfe", || {
        // SAFETY: the caller's promise about the four pointers.
        let (start, out) = unsafe {
            let start = convert::flow(pimmStart, "pimmStart")?;
            (start, OutBuffer::new(pdwBufferSize, pbBuffer, Some(pdwNumEntries))?)
        };
        mfes_after(MfeKind::Plain, out, Some(start))
    })
}

/// Reads one forwarding entry with its statistics. Needs no registration.
///
/// ulInPkts and ulInOctets count what was forwarded, and what came in for an entry without outgoing
/// interfaces. ulPktsDifferentIf counts what came in on another interface than the entry's and was
/// dropped. Counters wrap; those that no forwarder has are 0.
///
/// The memory forwarder counts for each outgoing interface: ulOutPackets is what left it since it
/// joined the entry, ulTtlTooLow what did not leave it because its TTL was 1 or 0. Linux and a custom
/// forwarder count for an entry alone: with them ulOutPackets is what came in for the entry since the
/// interface joined, also where it then did not leave (its TTL was 1, it was too long for the
/// interface, a firewall dropped it), and ulTtlTooLow is 0. What really left through an interface, for
/// all entries together, Linux tells in /proc/net/ip_mr_vif.
///
/// @param pimm names the entry by dwSource and dwGroup, in network byte order; nothing else of it is
///        read.
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the record; may be NULL where *pdwBufferSize is 0.
/// @param dwFlags MGM_MFE_STATS_0: the record is a MIB_IPMCAST_MFE_STATS; MGM_MFE_STATS_1: a
///        MIB_IPMCAST_MFE_STATS_EX.
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - NO_ERROR
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
/// - ERROR_NOT_FOUND: there is no such entry.
/// - ERROR_INSUFFICIENT_BUFFER: *pdwBufferSize now holds the size needed.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// As MgmGetMfe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetMfeStats(
    pimm: PMIB_IPMCAST_MFE,
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    dwFlags: DWORD,
) -> DWORD {
    guard::read("MgmGetMfeStats", || {
        let kind = MfeKind::of_stats(dwFlags)?;
        // SAFETY: the caller's promise about the three pointers.
        let (flow, out) = unsafe {
            (convert::flow(pimm, "pimm")?, OutBuffer::new(pdwBufferSize, pbBuffer, None)?)
        };
        one_mfe(kind, out, flow)
    })
}

/// Reads forwarding entries with their statistics from the first, by group, then source. Needs no
/// registration.
///
/// Otherwise as MgmGetFirstMfe; MgmGetMfeStats tells what is counted.
///
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
/// @param pdwNumEntries receives their number.
/// @param dwFlags MGM_MFE_STATS_0: records are MIB_IPMCAST_MFE_STATS, each
///        SIZEOF_MIB_MFE_STATS(ulNumOutIf) octets long; MGM_MFE_STATS_1: MIB_IPMCAST_MFE_STATS_EX,
///        SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
/// - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
/// - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
///   *pdwNumEntries 0.
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// As MgmGetFirstMfe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetFirstMfeStats(
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    pdwNumEntries: PDWORD,
    dwFlags: DWORD,
) -> DWORD {
    guard::read("MgmGetFirstMfeStats", || {
        let kind = MfeKind::of_stats(dwFlags)?;
        // SAFETY: the caller's promise about the three pointers.
        let out = unsafe { OutBuffer::new(pdwBufferSize, pbBuffer, Some(pdwNumEntries))? };
        mfes_after(kind, out, None)
    })
}

/// Reads the forwarding entries that follow a given one with their statistics. Needs no registration.
///
/// Otherwise as MgmGetFirstMfeStats.
///
/// @param pimmStart names the entry to go on after by dwSource and dwGroup, in network byte order,
///        normally the last record of the call before; it need not exist any more.
/// @param pdwBufferSize the size of pbBuffer in octets.
/// @param pbBuffer receives the records; may be NULL where *pdwBufferSize is 0.
/// @param pdwNumEntries receives their number.
/// @param dwFlags MGM_MFE_STATS_0: records are MIB_IPMCAST_MFE_STATS, each
///        SIZEOF_MIB_MFE_STATS(ulNumOutIf) octets long; MGM_MFE_STATS_1: MIB_IPMCAST_MFE_STATS_EX,
///        SIZEOF_MIB_MFE_STATS_EX(ulNumOutIf).
///
/// @par Callbacks and threads
/// Makes no callback, and waits for none.
///
/// @return
/// - ERROR_MORE_DATA: there are more entries; the records and *pdwNumEntries are valid.
/// - ERROR_NO_MORE_ITEMS: there are no more; the records, if any, and *pdwNumEntries are valid.
/// - ERROR_INSUFFICIENT_BUFFER: not even one record fits; *pdwBufferSize now holds its size and
///   *pdwNumEntries 0.
/// - ERROR_INVALID_PARAMETER: a required pointer is NULL; dwFlags is neither of its values.
/// - ERROR_CAN_NOT_COMPLETE
///
/// # Safety
/// As MgmGetNextMfe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MgmGetNextMfeStats(
    pimmStart: PMIB_IPMCAST_MFE,
    pdwBufferSize: PDWORD,
    pbBuffer: PBYTE,
    pdwNumEntries: PDWORD,
    dwFlags: DWORD,
) -> DWORD {
    guard::read("MgmGetNextMfeStats", || {
        let kind = MfeKind::of_stats(dwFlags)?;
        // SAFETY: the caller's promise about the four pointers.
        let (start, out) = unsafe {
            let start = convert::flow(pimmStart, "pimmStart")?;
            (start, OutBuffer::new(pdwBufferSize, pbBuffer, Some(pdwNumEntries))?)
        };
        mfes_after(kind, out, Some(start))
    })
}
