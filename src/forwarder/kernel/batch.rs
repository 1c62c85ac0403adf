//! Makes many changes at once, with 128 netlink messages in one system call.
//!
//! A change that a batch could not make is tried again through the socket, whose answer counts. The
//! socket needs no capability after the start, and can program entries whose iif has no VIF.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::{CHUNK, Entries};
use super::messages::{FAMILY, RTPROT_MROUTED};
use super::netlink::{MessageWriter, Messages, rtmsg};
use super::vifs::{NO_PARENT, Programmed, Vifs};
use crate::forwarder::{EntryChange, ForwarderError};
use crate::sys::sync::unscheduled::MutexGuard;
use crate::sys::{self, MAX_VIFS};
use crate::types::SourceGroup;
use std::sync::atomic::Ordering::Relaxed;

impl Plane {
    pub(super) fn program_in_batches(
        &self,
        entries: &mut MutexGuard<'_, Entries>,
        changes: &[EntryChange<'_>],
        failed: &mut dyn FnMut(usize, ForwarderError),
    ) {
        for (n, chunk) in changes.chunks(CHUNK).enumerate() {
            let done = self.send_chunk(entries, chunk);
            for (i, change) in chunk.iter().enumerate() {
                let superseded = || chunk[i + 1..].iter().any(|later| later.flow == change.flow);
                if done >> i & 1 == 0 && !superseded() {
                    self.counters.unbatched_changes.fetch_add(1, Relaxed);
                    self.program_reporting(entries, n * CHUNK + i, change, failed);
                }
            }
            self.drain_own(entries);
        }
    }

    /// Sends one batch. Bit n of the result is set where change n took effect.
    fn send_chunk(&self, entries: &mut Entries, chunk: &[EntryChange<'_>]) -> u128 {
        if entries.no_batches || entries.programmed.try_reserve(chunk.len()).is_err() {
            return 0;
        }
        let mut states = [None; CHUNK];
        let mut sent = 0u128;
        let first = entries.batch_seq.wrapping_add(1);
        entries.batch.clear();
        let vifs = self.vifs.read();
        for (i, change) in chunk.iter().enumerate() {
            let state = change.state.map(|state| vifs.resolve(&state));
            if !change.flow.has_source() || state.is_some_and(|s| s.parent == NO_PARENT) {
                continue;
            }
            let seq = first.wrapping_add(i as u32);
            write(&mut entries.batch, seq, self.table, change.flow, state, &vifs);
            states[i] = state;
            sent |= 1 << i;
        }
        drop(vifs);
        // The kernel always answers errors, and successes only when asked to. A no-op at the end
        // asks for an answer, which comes after every error.
        let last = first.wrapping_add(CHUNK as u32);
        entries.batch.begin(libc::NLMSG_NOOP as u16, libc::NLM_F_ACK as u16, last, &[]);
        entries.batch_seq = last;
        let Some(bytes) = entries.batch.bytes() else { return 0 };
        if sys::send(&entries.batch_socket, bytes).is_err() {
            return 0;
        }
        let Some(refused) = self.read_answers(entries, first, last) else { return 0 };
        let done = sent & !refused;
        for (i, change) in chunk.iter().enumerate() {
            if done >> i & 1 == 1 {
                entries.note(change.flow, states[i]);
            }
        }
        done
    }

    /// Reads the answers up to that of message `last`. Gives the changes that were refused, or
    /// None where answers are missing (ENOBUFS) and nothing is certain.
    fn read_answers(&self, entries: &mut Entries, first: u32, last: u32) -> Option<u128> {
        let mut refused = 0u128;
        let mut buffer = [0; 4096];
        loop {
            let length = sys::receive(&entries.batch_socket, &mut buffer).ok()?;
            for message in Messages(buffer.get(..length)?) {
                let Some(error) = message.error() else { continue };
                let position = message.seq.wrapping_sub(first);
                if error != 0 && position < CHUNK as u32 {
                    refused |= 1 << position;
                    entries.no_batches |= matches!(error, libc::EPERM | libc::EOPNOTSUPP);
                }
                if message.seq == last {
                    return Some(refused);
                }
            }
        }
    }
}

/// Writes one change.
fn write(
    to: &mut MessageWriter,
    seq: u32,
    table: u32,
    flow: SourceGroup,
    state: Option<Programmed>,
    vifs: &Vifs,
) {
    let kind = if state.is_some() { libc::RTM_NEWROUTE } else { libc::RTM_DELROUTE };
    let mut header = rtmsg(FAMILY, 32, 32, 0);
    header[5] = RTPROT_MROUTED;
    header[7] = libc::RTN_MULTICAST;
    to.begin(kind, 0, seq, &header);
    to.attribute(libc::RTA_SRC, &flow.source().octets());
    to.attribute(libc::RTA_DST, &flow.group().octets());
    to.attribute_u32(libc::RTA_TABLE, table);
    if let Some(state) = state {
        to.attribute_u32(libc::RTA_IIF, vifs.device(state.parent));
        // One next hop for each VIF number, in order: rtnh_len, rtnh_flags, rtnh_hops = TTL
        // threshold, rtnh_ifindex (not read).
        let mut hops = [[8, 0, 0, 0, 0, 0, 0, 0u8]; MAX_VIFS];
        for (vif, hop) in hops.iter_mut().enumerate() {
            hop[..2].copy_from_slice(&8u16.to_ne_bytes());
            hop[3] = (state.oifs >> vif & 1) as u8;
        }
        let used = MAX_VIFS - state.oifs.leading_zeros() as usize;
        // The kernel refuses an empty list. Where the list is missing, there are no oifs.
        if used != 0 {
            to.attribute(libc::RTA_MULTIPATH, hops[..used].as_flattened());
        }
    }
}
