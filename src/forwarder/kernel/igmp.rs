//! IGMP packets that the kernel takes for a flow.
//!
//! The kernel hands IGMP packets to IGMP sockets and to nobody else, except where the router
//! itself is a member of the group, on the device that the packet comes in by: there it looks for
//! an entry too, and reports the host that sent the packet (or the router, whose own reports come
//! back to it) as a new source. Such a report does not show the packet's protocol. But the packet was
//! delivered to raw sockets before: one of ours gets it, and nothing else.

#![forbid(unsafe_code)]

use super::Plane;
use super::report::{Report, ReportKind};
use crate::sys::{self, BATCH, Errno};
use crate::types::SourceGroup;
use hashbrown::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The part of an IP header that is read.
const HEADER: usize = 20;
/// After so long the kernel has forgotten a flow that waits for its entry.
const KEPT: Duration = Duration::from_secs(10);
/// How many flows are remembered; beyond it the kernel's reports come faster than they are read.
const MOST: usize = 8192;

/// A socket that receives the IGMP packets which the kernel could take for a flow: those to groups
/// that it forwards. Reports of version 3 go to 224.0.0.22.
pub fn open() -> Result<OwnedFd, Errno> {
    let group_at = 16;
    let filter = [
        sys::bpf(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, group_at),
        sys::bpf(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0xf000_0000),
        sys::bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, 0xe000_0000),
        sys::bpf(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, group_at),
        sys::bpf(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0xffff_ff00),
        sys::bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, 0xe000_0000),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, HEADER as u32),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let fd = sys::igmp_socket()?;
    sys::attach_filter(&fd, &filter)?;
    // What came in before the filter was there.
    while sys::receive(&fd, &mut [0; HEADER]).is_ok() {}
    Ok(fd)
}

/// The IGMP packets that came in lately, by sender and group.
pub struct Heard(HashMap<SourceGroup, Instant>);

impl Heard {
    /// None.
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    fn note(&mut self, flow: SourceGroup, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, since| now < *since + KEPT);
        }
        if self.0.len() < MOST && self.0.try_reserve(1).is_ok() {
            self.0.insert(flow, now);
        }
    }

    /// Whether an IGMP packet of this flow has come in. It counts once.
    fn was(&mut self, flow: SourceGroup, now: Instant) -> bool {
        !self.0.is_empty() && self.0.remove(&flow).is_some_and(|since| now < since + KEPT)
    }
}

impl Plane {
    /// Reads the IGMP packets that have come in.
    pub(super) fn hear_igmp(&self, heard: &mut Heard) {
        let Some(socket) = &self.igmp else { return };
        let (mut buffers, mut lengths) = ([[0; HEADER]; BATCH], [0; BATCH]);
        while let Ok(n) = sys::receive_many(socket, &mut buffers, &mut lengths) {
            let now = Instant::now();
            for (header, length) in buffers.iter().zip(lengths).take(n) {
                if length >= HEADER {
                    let [.., a, b, c, d, e, f, g, h] = *header;
                    let (source, group) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
                    heard.note(SourceGroup::new(source, group), now);
                }
            }
            if n < BATCH {
                break;
            }
        }
    }

    /// Takes the reports out of a list that IGMP packets have caused. To be called when the list
    /// has been read: each packet was delivered before its report.
    pub(super) fn leave_igmp_out(&self, heard: &mut Heard, list: &mut Vec<Report>) {
        if !list.iter().any(|report| report.kind == ReportKind::NoCache) {
            return;
        }
        self.hear_igmp(heard);
        let now = Instant::now();
        list.retain(|report| {
            let is_igmp = report.kind == ReportKind::NoCache && heard.was(report.flow, now);
            if is_igmp {
                self.forget_waiting(report.flow);
            }
            !is_igmp
        });
    }

    /// The kernel forgets a flow that waits for its entry, so that the flow's next packet is
    /// reported: it does so when it gets an entry, if only for a moment.
    fn forget_waiting(&self, flow: SourceGroup) {
        let mut entries = self.entries.lock();
        if self.check(&entries, flow).is_err() || entries.programmed.contains_key(&flow) {
            return;
        }
        let (source, group) = (flow.source(), flow.group());
        if sys::add_mfc(&self.socket, source, group, super::entries::HARMLESS_PARENT, 0).is_ok() {
            let _ = sys::del_mfc(&self.socket, source, group);
            entries.note(flow, None);
            self.drain_own(&mut entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_counts_once_and_not_for_long() {
        let (mut heard, now) = (Heard::new(), Instant::now());
        let flow = |n| SourceGroup::from_bits(0xe800_0000_0000_0000 | n);
        heard.note(flow(1), now);
        heard.note(flow(2), now);
        assert!(heard.was(flow(1), now) && !heard.was(flow(1), now));
        assert!(!heard.was(flow(2), now + KEPT));
        // Memory is bounded, and what is old makes room.
        for n in 0..=MOST as u64 {
            heard.note(flow(n), now);
        }
        assert!(heard.0.len() == MOST && !heard.was(flow(MOST as u64), now));
        heard.note(flow(MOST as u64), now + KEPT);
        assert_eq!(heard.0.len(), 1);
    }
}
