//! Telling a client of another process of the callbacks that stand next in its queue (decision 91).

#![forbid(unsafe_code)]

use super::invocation::{Invocation, TIMEOUT};
use crate::core::Core;
use crate::core::state::outbox::Action;
use crate::shell::callbacks::{CallbackKind, Callbacks, Coming};
use crate::shell::manager::Running;
use smallvec::SmallVec;

/// The most callbacks that a client is told of ahead. (The scheduler's tests are to come to the end of
/// them.)
const MOST_AHEAD: usize = if cfg!(all(test, feature = "shuttle")) { 2 } else { 32 };

impl<C: Callbacks> Running<C> {
    /// Tells the client of a lane of some of what stands in it, behind what the thread is about to ask.
    /// `most`: so many of them it is sure to come to.
    pub(super) fn tell_ahead(&mut self, asked: &Invocation, client: &C, slot: u32, most: u32) {
        if !asked.calls() || !client.has(asked.kind()) || client.known_ahead() != Some(0) {
            return;
        }
        let mut next = self.delivery.first(slot);
        for _ in 0..MOST_AHEAD.min(most as usize) {
            let Some(id) = next else { return };
            let action = self.core.outbox.node(id).action;
            next = self.core.outbox.after(id);
            if !tell(&mut self.core, client, slot, action) {
                return;
            }
            self.delivery.told(slot, id, &action);
        }
    }
}

/// Tells the client of an action that waits for it, if that may be.
fn tell<C: Callbacks>(core: &mut Core, client: &C, slot: u32, action: Action) -> bool {
    match action {
        // Nobody is called.
        Action::Rpf { .. } if !client.has(CallbackKind::Rpf) => true,
        Action::Creation { .. } if !client.has(CallbackKind::Creation) => true,
        Action::Prune { .. } if !client.has(CallbackKind::Prune) => true,
        Action::Join { .. } if !client.has(CallbackKind::Join) => true,
        Action::LocalJoin { .. } if !client.has(CallbackKind::LocalJoin) => true,
        Action::LocalLeave { .. } if !client.has(CallbackKind::LocalLeave) => true,
        Action::Rpf { flow } => core.rpf_ahead(flow, |of, answer, head, route| {
            client.ahead(Coming::Rpf(of, answer, head.as_bytes(), route))
        }),
        // What IGMP alone has may become another client's before IGMP is told (rule H4, decision 3).
        Action::Creation { .. } if core.is_igmp(slot) => false,
        Action::Creation { flow } => {
            let mut out = SmallVec::new();
            let (of, iif) = core.creation_question(flow, slot, &mut out);
            !out.is_empty() && client.ahead(Coming::Creation(of, iif, &out))
        }
        Action::Prune { of, interface, member, .. } => {
            client.ahead(Coming::Prune(of, interface, member, TIMEOUT))
        }
        Action::Join { of, member } => client.ahead(Coming::Join(of, member)),
        Action::LocalJoin { of, interface } => client.ahead(Coming::LocalJoin(of, interface)),
        Action::LocalLeave { of, interface } => client.ahead(Coming::LocalLeave(of, interface)),
        // What IGMP is told changes the owner; a packet on a wrong interface is rare.
        Action::WrongIf { .. } | Action::DisableIgmp { .. } | Action::EnableIgmp { .. } => false,
    }
}
