//! The multicast routing socket and the entries programmed through it.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::{Entries, HARMLESS_PARENT};
use super::vifs::{NO_PARENT, Programmed};
use crate::forwarder::{EntryChange, ForwarderError};
use crate::sys::sync::unscheduled::MutexGuard;
use crate::sys::{self, Errno};
use crate::types::{Counters, SourceGroup};
use std::ffi::c_ulong;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// This many changes, or more, are sent as netlink batches.
const BATCH_FROM: usize = 8;

/// How many entries are written again while the lock is held.
const AT_ONCE: usize = 32;

/// A socket that owns a table.
pub struct Opened {
    /// The socket.
    pub socket: OwnedFd,
    /// It was handed over and owned the table already: the table keeps what it has.
    pub owned: bool,
    /// The kernel reports packets on a wrong interface that is no oif, too.
    pub reports_all: bool,
}

/// Makes a socket the owner of `table`: a new one, or one that was handed over. `own` is a socket of
/// this network namespace.
pub fn open(table: u32, given: Option<i32>, own: &OwnedFd) -> Result<Opened, ForwarderError> {
    let fd = match given {
        Some(fd) => sys::take_igmp_socket(fd).map_err(|e| match e {
            libc::EMFILE => ForwarderError::Os {
                operation: "duplicating the descriptor handed over",
                errno: libc::EMFILE,
            },
            _ => ForwarderError::Refused("the descriptor handed over is not a raw IGMP socket"),
        })?,
        None => sys::igmp_socket().map_err(|e| match e {
            libc::EPERM | libc::EACCES => ForwarderError::Refused(NO_CAPABILITY),
            errno => ForwarderError::Os { operation: "opening a raw IGMP socket", errno },
        })?,
    };
    // Its interfaces and reports would be those of one namespace, devices and routes those of another.
    if given.is_some() && sys::same_namespace(own, &fd) == Some(false) {
        return Err(ForwarderError::Refused(
            "the socket handed over belongs to another network namespace",
        ));
    }
    // IGMP packets would displace the kernel's reports in the receive buffer. Reports have protocol
    // 0 in their IP header, and packets never have.
    let accept_reports = [
        sys::bpf(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 9),
        sys::bpf(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 0),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        sys::bpf(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    sys::attach_filter(&fd, &accept_reports)
        .map_err(|errno| ForwarderError::Os { operation: "filtering IGMP packets out", errno })?;
    // MRT_INIT fails alike on the owner's socket and on any other. MRT_TABLE gives EBUSY on the
    // owner's only.
    if given.is_some() && sys::mrt_table(&fd, table) == Err(libc::EBUSY) {
        let reports_all = ask_for_reports(&fd)?;
        return Ok(Opened { socket: fd, owned: true, reports_all });
    }
    // Drops what came in before the filter was there.
    while sys::receive(&fd, &mut [0; 64]).is_ok() {}
    if table != sys::DEFAULT_TABLE {
        sys::mrt_table(&fd, table).map_err(|e| match e {
            libc::EINVAL => ForwarderError::Refused(
                "no such multicast routing table number; allowed: 1 to 999999999",
            ),
            libc::ENOPROTOOPT => ForwarderError::Refused(
                "the kernel has one multicast routing table only (CONFIG_IP_MROUTE_MULTIPLE_TABLES)",
            ),
            e => refused("choosing the multicast routing table (MRT_TABLE)", e),
        })?;
    }
    sys::mrt_init(&fd).map_err(|e| match e {
        libc::EADDRINUSE => ForwarderError::Refused(
            "another multicast router runs on this table in this network namespace",
        ),
        libc::ENOPROTOOPT => {
            ForwarderError::Refused("the kernel has no IPv4 multicast routing (CONFIG_IP_MROUTE)")
        }
        e => refused("becoming the multicast router of the table (MRT_INIT)", e),
    })?;
    // Otherwise what others wrote into a table without an owner would stay unnoticed.
    let _ = sys::mrt_flush(&fd);
    match ask_for_reports(&fd) {
        Ok(reports_all) => Ok(Opened { socket: fd, owned: false, reports_all }),
        Err(reason) => {
            // Closing it is not enough: a socket that was handed over is open elsewhere.
            let _ = sys::mrt_done(&fd);
            Err(reason)
        }
    }
}

/// Asks for reports of packets on a wrong interface: on any (rule E7), or, where the kernel was
/// built without PIM, on those that are oifs. Gives whether it is on any.
fn ask_for_reports(fd: &OwnedFd) -> Result<bool, ForwarderError> {
    // Off first: the owner before may have asked for the whole packets besides, and the kernel
    // takes that back only where the option changes.
    let all = match sys::mrt_pim(fd, false).and_then(|()| sys::mrt_pim(fd, true)) {
        Ok(()) => true,
        Err(libc::ENOPROTOOPT) => false,
        Err(e) => return Err(refused("asking for wrong-interface reports (MRT_PIM)", e)),
    };
    sys::mrt_assert(fd)
        .map_err(|e| refused("asking for wrong-interface reports (MRT_ASSERT)", e))?;
    Ok(all)
}

const NO_CAPABILITY: &str = "multicast forwarding needs the capabilities CAP_NET_ADMIN and \
    CAP_NET_RAW in this network namespace (as an ordinary user: unshare -Urn)";

fn refused(operation: &'static str, errno: Errno) -> ForwarderError {
    match errno {
        libc::EPERM | libc::EACCES => ForwarderError::Refused(NO_CAPABILITY),
        errno => ForwarderError::Os { operation, errno },
    }
}

impl Plane {
    /// See [`Forwarder::program`](crate::forwarder::Forwarder::program).
    pub(super) fn program(
        &self,
        changes: &[EntryChange<'_>],
        failed: &mut dyn FnMut(usize, ForwarderError),
    ) {
        let mut entries = self.entries.lock();
        let batches = !entries.no_batches && !entries.takeover.is_under_way();
        if changes.len() >= BATCH_FROM && batches && !entries.stopped {
            self.program_in_batches(&mut entries, changes, failed);
        } else {
            for (position, change) in changes.iter().enumerate() {
                self.program_reporting(&mut entries, position, change, failed);
            }
        }
        self.drain_own(&mut entries);
        self.watch_soon(&entries);
    }

    /// Makes one change through the socket and reports a failure with no lock held.
    pub(super) fn program_reporting(
        &self,
        entries: &mut MutexGuard<'_, Entries>,
        position: usize,
        change: &EntryChange<'_>,
        failed: &mut dyn FnMut(usize, ForwarderError),
    ) {
        if let Err(reason) = self.program_one(entries, change) {
            MutexGuard::unlocked(entries, || failed(position, reason));
        }
    }

    fn program_one(
        &self,
        entries: &mut Entries,
        change: &EntryChange<'_>,
    ) -> Result<(), ForwarderError> {
        let flow = change.flow;
        self.check(entries, flow)?;
        let (source, group) = (flow.source(), flow.group());
        let Some(state) = &change.state else {
            if entries.takeover.left.keeps(flow, Instant::now()) {
                sys::signal(&self.wake);
                return Ok(());
            }
            // A deletion does not remove a flow that waits for its entry, and the kernel reports no
            // more of its packets. An entry removes it, even one that is there only for a moment.
            if !entries.programmed.contains_key(&flow) {
                sys::add_mfc(&self.socket, source, group, HARMLESS_PARENT, 0)
                    .map_err(|errno| ForwarderError::Os { operation: "MRT_ADD_MFC", errno })?;
            }
            return match sys::del_mfc(&self.socket, source, group) {
                Ok(()) | Err(libc::ENOENT) => {
                    entries.note(flow, None);
                    Ok(())
                }
                Err(errno) => Err(ForwarderError::Os { operation: "MRT_DEL_MFC", errno }),
            };
        };
        entries.programmed.try_reserve(1).map_err(|_| ForwarderError::OutOfMemory)?;
        let state = entries.takeover.merge(flow, self.vifs.read().resolve(state));
        self.write(flow, state)
            .map_err(|errno| ForwarderError::Os { operation: "MRT_ADD_MFC", errno })?;
        entries.note(flow, Some(state));
        Ok(())
    }

    /// Adds an entry in the kernel, or replaces the one that is there, which keeps its counts.
    pub(super) fn write(&self, flow: SourceGroup, state: Programmed) -> Result<(), Errno> {
        let parent = if state.parent == NO_PARENT { HARMLESS_PARENT } else { state.parent };
        sys::add_mfc(&self.socket, flow.source(), flow.group(), parent, state.oifs)
    }

    /// Writes the entries again that name a VIF which was made again. The kernel left the VIF out
    /// of entries that were written while it was gone. False: it must be tried again.
    pub(super) fn write_again(&self) -> bool {
        if self.vifs.read().remade == 0 {
            return true;
        }
        let mut flows = Vec::new();
        let entries = self.entries.lock();
        if flows.try_reserve_exact(entries.programmed.len()).is_err() {
            return false;
        }
        let remade = std::mem::take(&mut self.vifs.write().remade);
        let naming = entries.programmed.iter().filter(|(_, state)| state.vifs() & remade != 0);
        flows.extend(naming.map(|(flow, _)| *flow));
        drop(entries);
        // There may be very many, and other threads need the lock.
        for some in flows.chunks(AT_ONCE) {
            let mut entries = self.entries.lock();
            if entries.stopped {
                break;
            }
            for &flow in some {
                let Some(&state) = entries.programmed.get(&flow) else { continue };
                // Somebody else deleted an entry that is not there, which must be reported.
                let there = sys::sg_count(&self.socket, flow.source(), flow.group()).is_ok();
                if !there || self.write(flow, state).is_err() {
                    entries.foreign.suspect(flow);
                }
            }
        }
        true
    }

    pub(super) fn check(&self, entries: &Entries, flow: SourceGroup) -> Result<(), ForwarderError> {
        if entries.stopped {
            return Err(ForwarderError::Refused("the forwarder has been stopped"));
        }
        // The kernel's (*,G) and (*,*) entries would suppress the reports of new flows.
        if !flow.has_source() || !flow.group().is_multicast() {
            return Err(ForwarderError::Refused("only (S,G) entries can be programmed"));
        }
        Ok(())
    }

    /// See [`Forwarder::counters`](crate::forwarder::Forwarder::counters).
    pub(super) fn counters(&self, flow: SourceGroup) -> Option<Counters> {
        let count = sys::sg_count(&self.socket, flow.source(), flow.group()).ok()?;
        // The kernel includes packets on a wrong interface in its count of packets, which rule E13
        // wants without them. It does not count their octets separately, so they are taken to be of
        // average length.
        let packets = without(count.packets, count.wrong_interface);
        let octets = if count.wrong_interface == 0 {
            u128::from(count.octets)
        } else {
            u128::from(count.octets) * u128::from(packets) / u128::from(count.packets.max(1))
        };
        Some(Counters {
            packets: packets as u32,
            octets: octets as u32,
            wrong_interface: count.wrong_interface as u32,
            waited: None,
        })
    }
}

/// A count of packets without those on a wrong interface. Where an unsigned long has 32 bits, both
/// counts wrap around at different times, so the first may be the smaller one. It may also be
/// smaller where a few packets came in on a wrong interface while the kernel read one count after
/// the other.
fn without(packets: c_ulong, wrong: c_ulong) -> c_ulong {
    const FEW: c_ulong = 1024;
    let rest = packets.wrapping_sub(wrong);
    if rest > c_ulong::MAX - FEW { 0 } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_wrap_around() {
        assert_eq!(without(10, 3), 7);
        assert_eq!(without(4, c_ulong::MAX - 2), 7);
        assert_eq!(without(10, 11), 0, "one more came in between");
    }
}
