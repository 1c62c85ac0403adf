//! Flows whose entries an earlier program left in the plane (a restart without a gap). The plane tells of
//! them one after the other; a call that concerns some of them takes these first.

#![forbid(unsafe_code)]

use crate::core::Admission;
use crate::error::Error;
use crate::log::Level;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
use crate::sys::sync::atomic::Ordering::Relaxed;
use crate::types::{IfKey, SourceGroup};
use smallvec::SmallVec;
use std::net::Ipv4Addr;

/// As many as the kernel forwarder gives at a time.
type FoundFlows = SmallVec<[(SourceGroup, IfKey); 32]>;

impl<C: Callbacks> Mgm<C> {
    /// Makes an entry for a flow that was found. False: it is refused for now.
    pub(crate) fn found_flow(
        &'static self,
        call: &mut Call,
        flow: SourceGroup,
        arrival: IfKey,
    ) -> Result<bool, Error> {
        self.log(Level::Trace, format_args!("found {flow} on {arrival}"));
        let admitted = self
            .admit(call, flow, arrival, |core, now, looked| core.found(now, flow, arrival, looked));
        Ok(admitted?.0 != Admission::Refused)
    }

    /// Makes entries for all flows that were found and that a membership covers. A call does so before
    /// it goes on with what concerns them.
    #[inline]
    pub(crate) fn claim(&'static self, of: SourceGroup) {
        if self.takes_over.load(Relaxed) {
            self.claim_found(of);
        }
    }

    #[cold]
    fn claim_found(&'static self, of: SourceGroup) {
        let Ok(mut call) = self.enter() else { return };
        let epoch = call.epoch;
        if let Ok(forwarder) = self.with_in(epoch, |running| running.forwarder.clone()) {
            self.takes_over.store(forwarder.takes_over(), Relaxed);
            let mut last = None;
            loop {
                let mut batch = FoundFlows::new();
                forwarder.claim(of, last, &mut |flow, arrival| batch.push((flow, arrival)));
                let Some((flow, _)) = batch.last() else { break };
                last = Some(*flow);
                let sources = batch.iter().map(|(flow, _)| flow.source());
                forwarder.look_ahead(&sources.collect::<SmallVec<[Ipv4Addr; 32]>>());
                for &(flow, arrival) in &batch {
                    // Where memory is short, the plane tells of it again.
                    let taken = self.found_flow(&mut call, flow, arrival) == Ok(true);
                    self.settle(&mut call);
                    forwarder.claimed(flow, taken);
                }
                // Others may be asking about some of them, and have them to program.
                if call.waits {
                    batch.iter().for_each(|(flow, _)| self.wait_for_flow(&mut call, *flow));
                    self.program_all(&mut call);
                }
            }
        }
        self.leave(&mut call);
    }
}
