//! Notices entries that somebody else changed or deleted, and tells the group manager.
//!
//! The kernel sends a notification of every change of an entry, ours included. Entries that
//! somebody else made or changed are marked (MFC_STATIC, shown as RTPROT_STATIC), so a filter in
//! the kernel can drop the notifications of our own additions. Notifications of deletions do not
//! tell whose they were; they are compared with what we programmed last. One that does not fit
//! makes the flow a suspect, and a suspect is looked up in the kernel before anybody is told.
//!
//! Our own deletions fill the socket's buffer quickly, so a thread that made many reads their
//! notifications. When the buffer overflows all the same, an audit makes up for the loss: it looks
//! up every entry of ours, a few at a time. The audit does not find entries for flows that we have
//! no entry for. The kernel shows its whole table only in a dump, whose cost grows with the square
//! of the table's size.

#![forbid(unsafe_code)]

use super::entries::Entries;
use super::messages::{FAMILY, News, RTPROT_MROUTED, UNRESOLVED, consistent, read_entry};
use super::netlink::{Messages, RTMSG, read_u32, rtmsg};
use super::{Plane, netlink};
use crate::log::Level;
use crate::sys::{self, Errno};
use crate::types::SourceGroup;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

/// After this many of our own deletions their notifications are read. The default receive buffer
/// holds about four times as many.
const DRAIN_AFTER: usize = 64;
/// How many of them are read while the lock is held.
const AT_ONCE: usize = 8;
/// How many entries are looked up in one step of an audit.
pub const STEP: usize = 64;
/// Subscribes to changes of the entries of one table. A filter in the kernel drops those of other
/// tables, of flows that wait for an entry, and of entries that the owner of the table made.
pub fn subscribe(table: u32) -> Result<OwnedFd, Errno> {
    const LOW_OCTET: u32 = if cfg!(target_endian = "little") { 0 } else { 3 };
    let protocol_at = (netlink::HEADER + 5) as u32;
    let flags_at = (netlink::HEADER + 8) as u32 + LOW_OCTET;
    let table_at = (netlink::HEADER + RTMSG + 4) as u32;
    let program = [
        sys::bpf(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, flags_at),
        sys::bpf(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 7, 0, UNRESOLVED),
        // The first attribute is RTA_TABLE. Loads are in network order.
        sys::bpf(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, table_at),
        sys::bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 5, table.to_be()),
        sys::bpf(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 4),
        sys::bpf(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            2,
            0,
            libc::RTM_DELROUTE.to_be().into(),
        ),
        sys::bpf(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, protocol_at),
        sys::bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, RTPROT_MROUTED.into()),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let fd = sys::route_socket()?;
    sys::attach_filter(&fd, &program)?;
    sys::join_group(&fd, libc::RTNLGRP_IPV4_MROUTE)?;
    Ok(fd)
}

impl Plane {
    /// Reads the notifications of our own deletions once there are enough of them.
    pub(super) fn drain_own(&self, entries: &mut Entries) {
        if entries.foreign.deletions >= DRAIN_AFTER {
            self.drain_notifications(entries);
            if entries.foreign.busy() {
                sys::signal(&self.wake);
            }
        }
    }

    /// Reads what notifications there are and finds suspects.
    pub(super) fn drain_notifications(&self, entries: &mut Entries) {
        entries.foreign.deletions = 0;
        let vifs = self.vifs.read();
        loop {
            let foreign = &mut entries.foreign;
            let n = match sys::receive_many(
                &self.watch,
                &mut foreign.buffers[..],
                &mut foreign.lengths,
            ) {
                Ok(n) => n,
                Err(libc::EAGAIN) => return,
                Err(_) => {
                    // ENOBUFS: some were lost. The socket is readable while there are others.
                    self.counters.notifications_lost.fetch_add(1, Relaxed);
                    foreign.audit_due = true;
                    return;
                }
            };
            for i in 0..n {
                let foreign = &entries.foreign;
                let Some(datagram) = foreign.buffers[i].get(..foreign.lengths[i]) else { continue };
                let told = Messages(datagram).next().and_then(|message| {
                    let entry = read_entry(&vifs, &message)?;
                    Some((entry.flow, (message.kind == libc::RTM_NEWROUTE).then_some(entry.state)))
                });
                let Some((flow, state)) = told else { continue };
                if !consistent(&vifs, entries.programmed.get(&flow).copied(), state) {
                    entries.foreign.suspect(flow);
                }
            }
        }
    }

    /// Looks up suspects, and the next entries of an audit. Must be called again soon while
    /// [`Foreign::busy`](super::entries::Foreign::busy).
    pub(super) fn look_up_suspects(&self, queue: &mut Vec<News>) {
        for _ in 0..STEP / AT_ONCE {
            let mut entries = self.entries.lock();
            if !self.next_suspects(&mut entries) {
                return;
            }
            let told = queue.len();
            for _ in 0..AT_ONCE {
                let Some(flow) = entries.foreign.suspects.pop() else { break };
                if self.look_up(&mut entries, flow) {
                    queue.push(News::Lost(flow));
                }
            }
            drop(entries);
            for news in &queue[told..] {
                let News::Lost(flow) = news else { continue };
                self.counters.entries_lost.fetch_add(1, Relaxed);
                self.lost_entries.log(
                    |line| self.upcalls.log(Level::Warn, line),
                    format_args!(
                        "{flow}: somebody else changed or deleted the kernel's forwarding entry; \
                         it is programmed again"
                    ),
                );
            }
        }
    }

    /// Makes entries of an audit suspects where there are no others. False: there are none.
    fn next_suspects(&self, entries: &mut Entries) -> bool {
        let foreign = &mut entries.foreign;
        if foreign.suspects.is_empty() && foreign.audit.is_empty() && foreign.audit_due {
            // Without memory for the list the audit stays due.
            if foreign.audit.try_reserve_exact(entries.programmed.len()).is_err() {
                return false;
            }
            foreign.audit.extend(entries.programmed.keys());
            foreign.audit_due = false;
        }
        if foreign.suspects.is_empty() {
            let from = foreign.audit.len().saturating_sub(AT_ONCE);
            foreign.suspects.extend(foreign.audit.drain(from..));
            if foreign.audit.is_empty() {
                foreign.audit = Vec::new();
            }
        }
        !foreign.suspects.is_empty()
    }

    /// Whether the kernel's entry for a flow is not what we programmed. If so it is deleted.
    fn look_up(&self, entries: &mut Entries, flow: SourceGroup) -> bool {
        if entries.stopped {
            return false;
        }
        let vifs = self.vifs.read();
        let attributes: [(u16, &[u8]); 3] = [
            (libc::RTA_SRC, &flow.source().octets()),
            (libc::RTA_DST, &flow.group().octets()),
            (libc::RTA_TABLE, &self.table.to_ne_bytes()),
        ];
        let header = rtmsg(FAMILY, 32, 32, 0);
        let answer = self.asker.lock().ask(libc::RTM_GETROUTE, &header, &attributes, |message| {
            let waits = read_u32(message.payload, 8) & UNRESOLVED != 0;
            read_entry(&vifs, message).filter(|e| !waits && e.flow == flow)
        });
        let kernel = match answer {
            Ok(entry) => entry.map(|e| e.state),
            Err(libc::ENOENT) => None,
            Err(_) => {
                entries.foreign.audit_due = true;
                return false;
            }
        };
        if consistent(&vifs, entries.programmed.get(&flow).copied(), kernel) {
            return false;
        }
        drop(vifs);
        // An entry that somebody else changed keeps its mark and would outlive the table's owner,
        // so it is deleted. The flow's packets wait until it is programmed again.
        if kernel.is_some() {
            self.delete_foreign(flow);
        }
        entries.note(flow, None);
        true
    }

    /// Deletes an entry that is not ours. There may be one (*,G) or (*,*) for each VIF; all of them
    /// are deleted.
    pub(super) fn delete_foreign(&self, flow: SourceGroup) {
        let most = if flow.has_source() { 1 } else { sys::MAX_VIFS };
        for _ in 0..most {
            // All of them are gone, or somebody else deleted it meanwhile.
            if sys::del_mfc(&self.socket, flow.source(), flow.group()).is_err() {
                return;
            }
        }
    }
}
