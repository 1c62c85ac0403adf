//! Which number a device has as a VIF. There are 32; a device that goes keeps its number until
//! another one needs it.

#![forbid(unsafe_code)]

use super::Plane;
use super::entries::Entries;
use super::interfaces::{There, WORKS};
use super::messages::News;
use super::vifs::TAKEN;
use crate::forwarder::ForwarderError;
use crate::log::Level;
use crate::sys::{self, Errno};

/// What asking for a device may end with.
fn asking(errno: Errno) -> ForwarderError {
    ForwarderError::Os { operation: "asking for the device (RTM_GETLINK)", errno }
}

impl Plane {
    /// Finds a number for a device and makes it a VIF in the kernel, unless it is one.
    pub(super) fn make_vif(
        &self,
        entries: &mut Entries,
        ifindex: u32,
    ) -> Result<u8, ForwarderError> {
        let mut named = entries.named;
        loop {
            let vifs = self.vifs.read();
            let Some(vif) = vifs.choose(ifindex, &named) else {
                drop(vifs);
                if let Some(free) = self.free_a_number(entries)? {
                    named[usize::from(free)] = 0;
                    continue;
                }
                return Err(ForwarderError::Refused(
                    "the kernel's limit of 32 multicast interfaces in a table is reached",
                ));
            };
            let known = vifs.wanted >> vif & 1 == 1 && vifs.device(vif) == ifindex;
            let there = vifs.in_kernel >> vif & 1 == 1 && vifs.device(vif) == ifindex;
            drop(vifs);
            // A VIF that was taken over may have gone with its device, or been replaced, meanwhile.
            let operation = "asking for a multicast interface";
            let os = |errno| ForwarderError::Os { operation, errno };
            if there && (known || self.vif_there(vif, ifindex).map_err(os)? == There::Ours) {
                return Ok(vif);
            }
            match sys::add_vif(&self.socket, vif, ifindex) {
                Ok(()) => {
                    let mut vifs = self.vifs.write();
                    if vifs.device(vif) != ifindex {
                        entries.takeover.forget(vif);
                    }
                    vifs.assign(vif, ifindex);
                    vifs.in_kernel |= 1 << vif;
                    if entries.named[usize::from(vif)] > 0 {
                        vifs.remade |= 1 << vif;
                        sys::signal(&self.wake);
                    }
                    return Ok(vif);
                }
                // Somebody else made a VIF with this number, so it cannot be used.
                Err(libc::EADDRINUSE) if !known => named[usize::from(vif)] = TAKEN,
                Err(errno) => {
                    return Err(ForwarderError::Os { operation: "MRT_ADD_VIF", errno });
                }
            }
        }
    }

    /// Takes the number of a device that has gone away from it, and out of all entries. None: all
    /// devices are there.
    fn free_a_number(&self, entries: &mut Entries) -> Result<Option<u8>, ForwarderError> {
        let numbered = self.vifs.read().each(u32::MAX);
        for (vif, ifindex) in numbered.filter(|(_, ifindex)| *ifindex != 0) {
            if self.link(ifindex).map_err(asking)?.is_none() {
                self.strip(entries, vif)?;
                entries.takeover.forget(vif);
                self.vifs.write().take_away(vif);
                // The netlink thread reports that its interfaces do not work.
                sys::signal(&self.wake);
                return Ok(Some(vif));
            }
        }
        Ok(None)
    }

    /// Takes a VIF out of all entries. An entry that has it as its iif goes.
    fn strip(&self, entries: &mut Entries, vif: u8) -> Result<(), ForwarderError> {
        let bit = 1 << vif;
        let mut naming = Vec::new();
        naming
            .try_reserve_exact(entries.named[usize::from(vif)] as usize)
            .map_err(|_| ForwarderError::OutOfMemory)?;
        let all = entries.programmed.iter();
        naming.extend(all.filter(|(_, state)| state.vifs() & bit != 0).map(|(f, s)| (*f, *s)));
        for (flow, mut state) in naming {
            if state.parent == vif {
                // At worst somebody else has deleted it meanwhile.
                let _ = sys::del_mfc(&self.socket, flow.source(), flow.group());
                entries.note(flow, None);
            } else {
                state.oifs &= !bit;
                self.write(flow, state)
                    .map_err(|errno| ForwarderError::Os { operation: "MRT_ADD_MFC", errno })?;
                entries.note(flow, Some(state));
            }
        }
        self.drain_own(entries);
        Ok(())
    }

    /// Looks at the devices that have lost their number: one that is back gets another. False: it
    /// must be tried again.
    pub(super) fn number_again(&self, queue: &mut Vec<News>) -> bool {
        if !std::mem::take(&mut self.vifs.write().recheck_unnumbered) {
            return true;
        }
        let mut all = true;
        let mut next = self.vifs.read().unnumbered(0);
        while let Some(ifindex) = next {
            if self.number_one_again(ifindex).is_ok() && queue.try_reserve(1).is_ok() {
                queue.push(News::Device { ifindex });
            } else {
                all = false;
            }
            next = self.vifs.read().unnumbered(ifindex);
        }
        self.vifs.write().recheck_unnumbered |= !all;
        all
    }

    fn number_one_again(&self, ifindex: u32) -> Result<(), ForwarderError> {
        let mut entries = self.entries.lock();
        let Some(link) = self.link(ifindex).map_err(asking)? else { return Ok(()) };
        if entries.stopped || self.vifs.read().next_on(ifindex, None).is_none() {
            return Ok(());
        }
        let made = self.note_vrf(Some(link)).map_err(asking).and_then(|()| {
            let vif = self.make_vif(&mut entries, ifindex)?;
            let mut vifs = self.vifs.write();
            vifs.wanted |= 1 << vif;
            let works = u32::from(link.flags & WORKS == WORKS);
            vifs.up = vifs.up & !(1 << vif) | works << vif;
            Ok(())
        });
        drop(entries);
        if let Err(reason) = made {
            self.upcalls.log(
                Level::Error,
                format_args!("interface {ifindex}: its device is back, but: {reason}"),
            );
        }
        Ok(())
    }
}
