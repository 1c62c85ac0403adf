//! A restart without a gap: an earlier program hands over the table's socket, and the kernel goes
//! on forwarding by the entries that this program left.
//!
//! Each entry that was found is told to the group manager once its incoming interface has been taken,
//! as fast as it takes them, and those that a call concerns within that call. It makes its own entry
//! for each. Clients take a while to add their memberships
//! again (IGMP hears of them within ten seconds of its query), so until [`GRACE`] is over an entry
//! keeps the outgoing interfaces that it was found with. Then every entry gets exactly the state
//! that the group manager wants, and entries that nobody claimed are deleted.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::{Entries, HARMLESS_PARENT, Takeover};
use super::left::{Fate, Left};
use super::messages::{self, FAMILY, News, read_vifs};
use super::netlink::{MANY, RTMSG, read_u32, rtmsg};
use super::vifs::{NO_PARENT, Programmed};
use crate::forwarder::ForwarderError;
use crate::log::Level;
use crate::sys::sync::unscheduled::MutexGuard;
use crate::sys::{self, Errno};
use crate::types::{IfKey, SourceGroup};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How long entries keep the outgoing interfaces that they were found with.
const GRACE: Duration = Duration::from_secs(20);
/// How many entries are told, or have their fate, in one step. Other news are told in between.
pub const STEP: usize = 64;

impl Plane {
    /// Finds what an earlier program left. Called at the start, before any thread runs.
    pub(super) fn find_left(&self) -> Result<(), ForwarderError> {
        let operation = "taking over what the table holds";
        let os = |errno| match errno {
            libc::ENOMEM => ForwarderError::OutOfMemory,
            errno => ForwarderError::Os { operation, errno },
        };
        if !self.owns_table().map_err(os)? {
            return Err(ForwarderError::Refused("the socket handed over owns another table"));
        }
        self.read_left().map_err(os)?;
        self.strip_left().map_err(os)?;
        let entries = self.entries.lock();
        let (count, devices) = (entries.takeover.left.len(), entries.takeover.vifs.count_ones());
        drop(entries);
        self.upcalls.log(
            Level::Info,
            format_args!(
                "taking over the table's socket with {count} entries on {devices} interfaces"
            ),
        );
        Ok(())
    }

    /// Whether the socket owns the table that was asked for. The kernel does not tell, so this
    /// makes an entry with an address that is reserved for documentation, and looks for it.
    fn owns_table(&self) -> Result<bool, Errno> {
        let (source, group) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(233, 252, 0, 1));
        let attributes: [(u16, &[u8]); 3] = [
            (libc::RTA_SRC, &source.octets()),
            (libc::RTA_DST, &group.octets()),
            (libc::RTA_TABLE, &self.table.to_ne_bytes()),
        ];
        sys::add_mfc(&self.socket, source, group, HARMLESS_PARENT, 0)?;
        let header = rtmsg(FAMILY, 32, 32, 0);
        let found = self.asker.lock().ask(libc::RTM_GETROUTE, &header, &attributes, |_| ()).is_ok();
        sys::del_mfc(&self.socket, source, group)?;
        Ok(found)
    }

    pub(super) fn read_left(&self) -> Result<(), Errno> {
        let mut entries = self.entries.lock();
        let mut vifs = self.vifs.write();
        let mut asker = self.asker.lock();
        for (vif, ifindex) in (0u8..).zip(read_vifs(&mut asker, self.table)?) {
            if ifindex != 0 {
                vifs.assign(vif, ifindex);
                vifs.in_kernel |= 1 << vif;
            }
        }
        let header = rtmsg(FAMILY, 0, 0, 0);
        let mut found: Vec<(SourceGroup, Programmed)> = Vec::new();
        let mut room = Ok(());
        asker.dump(libc::RTM_GETROUTE, &header, &mut |message| {
            let table = message.attributes(RTMSG).find(|a| a.0 == libc::RTA_TABLE);
            if table.is_none_or(|a| read_u32(a.1, 0) != self.table) {
                return;
            }
            let Some(entry) = messages::found(&vifs, message) else { return };
            match found.try_reserve(1) {
                Ok(()) => found.push(entry),
                full => room = full,
            }
        })?;
        if room.is_err() || entries.programmed.try_reserve(found.len()).is_err() {
            return Err(libc::ENOMEM);
        }
        entries.takeover.left = Left::new(&found)?;
        for (flow, state) in found {
            entries.note(flow, Some(state));
        }
        entries.takeover.vifs = vifs.in_kernel;
        entries.takeover.end = Some(Instant::now() + GRACE);
        Ok(())
    }

    /// Takes VIFs that went with their devices out of the entries that were found (decision 59).
    /// The kernel does not show them, but would use them again once their numbers stand for other
    /// devices.
    fn strip_left(&self) -> Result<(), Errno> {
        let mut entries = self.entries.lock();
        let mut left = std::mem::take(&mut entries.takeover.left);
        let mut result = Ok(());
        for (flow, &mut state) in left.states() {
            let (source, group) = (flow.source(), flow.group());
            if state.parent != NO_PARENT {
                let written = sys::add_mfc(&self.socket, source, group, state.parent, state.oifs);
                result = result.and(written);
                continue;
            }
            // The flow's next packet makes it anew.
            self.delete_foreign(flow);
            entries.note(flow, None);
            self.drain_own(&mut entries);
        }
        left.keep_those_with_iif();
        entries.takeover.left = left;
        result
    }

    /// Finds out which entries are to be told next, and in the end what becomes of each.
    pub(super) fn take_over(&self, queue: &mut Vec<News>) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let Some(end) = entries.takeover.end.filter(|_| !entries.stopped) else { return };
        let vifs = self.vifs.read();
        let due = |vif: u8| vifs.arrival(vif.into()).is_some();
        if now < end {
            let mut tell = |flow| queue.push(News::Found(flow));
            entries.takeover.left.next(now, due, STEP, &mut tell);
            return;
        }
        let mut fates = SmallVec::<[Fate; STEP]>::new();
        let more = entries.takeover.left.end(due, STEP, &mut |fate| fates.push(fate));
        drop(vifs);
        for fate in fates {
            match fate {
                Fate::Told(flow) => queue.push(News::Found(flow)),
                Fate::Claimed(flow) => {
                    entries.takeover.fates.1 += 1;
                    queue.push(News::TakenOver(flow));
                }
                Fate::Deleted(flow) => {
                    entries.takeover.fates.0 += 1;
                    let _ = sys::del_mfc(&self.socket, flow.source(), flow.group());
                    entries.note(flow, None);
                    self.drain_own(&mut entries);
                }
            }
        }
        if !more {
            self.end_takeover(entries);
        }
    }

    /// Each entry has had its fate.
    fn end_takeover(&self, mut entries: MutexGuard<'_, Entries>) {
        let mut vifs = self.vifs.write();
        let unused = entries.takeover.vifs & vifs.in_kernel & !vifs.wanted;
        for (vif, _) in vifs.each(unused) {
            let _ = sys::del_vif(&self.socket, vif);
        }
        vifs.in_kernel &= !unused;
        drop(vifs);
        let (deleted, claimed) = entries.takeover.fates;
        entries.takeover = Takeover::new();
        drop(entries);
        self.upcalls.log(
            Level::Info,
            format_args!(
                "the takeover is over: {claimed} entries were claimed, {deleted} were deleted"
            ),
        );
    }

    /// Tells the group manager of an entry that was found, unless it has been told meanwhile.
    pub(super) fn tell_found(&self, flow: SourceGroup) {
        let arrival = {
            let mut entries = self.entries.lock();
            let vifs = self.vifs.read();
            let arrival = |vif: u8| vifs.arrival(vif.into());
            entries.takeover.left.claim(flow, |vif| arrival(vif).is_some()).and_then(arrival)
        };
        if let Some(arrival) = arrival {
            let taken = self.upcalls.found(flow, arrival);
            self.claimed(flow, taken);
        }
    }

    /// See [`Forwarder::claim`](crate::forwarder::Forwarder::claim).
    pub(super) fn claim(
        &self,
        of: SourceGroup,
        after: Option<SourceGroup>,
        each: &mut dyn FnMut(SourceGroup, IfKey),
    ) {
        let mut entries = self.entries.lock();
        let vifs = self.vifs.read();
        let arrival = |vif: u8| vifs.arrival(vif.into());
        entries.takeover.left.claim_under(
            of,
            after,
            |vif| arrival(vif).is_some(),
            MANY,
            &mut |flow, vif| {
                if let Some(arrival) = arrival(vif) {
                    each(flow, arrival);
                }
            },
        );
    }

    /// See [`Forwarder::claimed`](crate::forwarder::Forwarder::claimed).
    pub(super) fn claimed(&self, flow: SourceGroup, taken: bool) {
        self.entries.lock().takeover.left.claimed(flow, taken, Instant::now());
        if !taken {
            sys::signal(&self.wake);
        }
    }

    /// An interface has been taken: the entries that came in on it are told.
    pub(super) fn tell_left_again(&self, entries: &mut Entries) {
        if entries.takeover.is_under_way() {
            entries.takeover.left.tell_again();
            sys::signal(&self.wake);
        }
    }
}
