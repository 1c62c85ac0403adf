//! One call of a client: what the core asks, the call itself, and the answer for the core.

#![forbid(unsafe_code)]

use crate::core::state::outbox::{Action, LifetimeAsk, Node};
use crate::core::{Core, PacketHead};
use crate::error::Error;
use crate::shell::call::Call;
use crate::shell::callbacks::{Callbacks, OutInterface, RpfAnswer};
use crate::shell::manager::{Mgm, Running};
use crate::shell::tally::CallbackKind;
use crate::types::{ClientId, IfKey, Millis, Route, Seconds, SourceGroup};
use smallvec::SmallVec;
use std::fmt;

/// One call of a client: what it is told and asked, and room for its answer.
pub(super) enum Invocation {
    Rpf { id: u32, of: SourceGroup, answer: RpfAnswer, head: PacketHead, route: Option<Route> },
    // `starved`: there was no memory to call the client.
    Creation { id: u32, of: SourceGroup, iif: IfKey, out: OutInterfaces, starved: bool },
    Prune { of: SourceGroup, interface: IfKey, member: bool, asks: LifetimeAsk, timeout: Seconds },
    Join { of: SourceGroup, member: bool },
    WrongIf { of: SourceGroup, arrival: IfKey, head: Option<PacketHead> },
    LocalJoin { of: SourceGroup, interface: IfKey },
    LocalLeave { of: SourceGroup, interface: IfKey },
    DisableIgmp { interface: IfKey, change: u32 },
    EnableIgmp { interface: IfKey },
}

/// What a prune alert's timeout is before the callback.
pub(super) const TIMEOUT: Seconds = Seconds(900);

type OutInterfaces = SmallVec<[OutInterface; 8]>;

impl Invocation {
    /// Puts into `place` what an action is about, which it gets from the core.
    pub(super) fn prepare(place: &mut Option<Self>, core: &mut Core, client: u32, action: Action) {
        // Each is written where it stays: most of them are much smaller than the largest.
        match action {
            Action::Rpf { flow } => {
                let (of, answer, head, route) = core.rpf_question(flow);
                *place = Some(Self::Rpf { id: flow, of, answer, head, route });
            }
            Action::Creation { flow } => {
                let mut out = SmallVec::new();
                let (of, iif) = core.creation_question(flow, client, &mut out);
                *place = Some(Self::Creation { id: flow, of, iif, out, starved: false });
            }
            Action::Prune { of, interface, member, asks } => {
                *place = Some(Self::Prune { of, interface, member, asks, timeout: TIMEOUT });
            }
            Action::Join { of, member } => *place = Some(Self::Join { of, member }),
            Action::WrongIf { flow, arrival, header } => {
                let head = core.take_header(header);
                *place = Some(Self::WrongIf { of: flow, arrival, head });
            }
            Action::LocalJoin { of, interface } => *place = Some(Self::LocalJoin { of, interface }),
            Action::LocalLeave { of, interface } => {
                *place = Some(Self::LocalLeave { of, interface });
            }
            Action::DisableIgmp { interface, change } => {
                core.igmp_disabling(client, interface, change);
                *place = Some(Self::DisableIgmp { interface, change });
            }
            Action::EnableIgmp { interface } => {
                core.igmp_enabling(client, interface);
                *place = Some(Self::EnableIgmp { interface });
            }
        }
    }

    /// Which callback it is.
    pub(super) const fn kind(&self) -> CallbackKind {
        match self {
            Self::Rpf { .. } => CallbackKind::Rpf,
            Self::Creation { .. } => CallbackKind::Creation,
            Self::Prune { .. } => CallbackKind::Prune,
            Self::Join { .. } => CallbackKind::Join,
            Self::WrongIf { .. } => CallbackKind::WrongInterface,
            Self::LocalJoin { .. } => CallbackKind::LocalJoin,
            Self::LocalLeave { .. } => CallbackKind::LocalLeave,
            Self::DisableIgmp { .. } => CallbackKind::DisableIgmp,
            Self::EnableIgmp { .. } => CallbackKind::EnableIgmp,
        }
    }

    /// The flow that it is about, if others may be waiting for the answer.
    pub(super) const fn flow(&self) -> Option<SourceGroup> {
        match self {
            Self::Rpf { of, .. } | Self::Creation { of, .. } => Some(*of),
            _ => None,
        }
    }

    /// Whether the client is called, in a way that changes nothing of what it will be asked next.
    pub(super) fn calls(&self) -> bool {
        match self {
            Self::Creation { out, .. } => !out.is_empty(),
            Self::WrongIf { head, .. } => head.is_some(),
            Self::DisableIgmp { .. } | Self::EnableIgmp { .. } => false,
            _ => true,
        }
    }

    /// Calls the client.
    pub(super) fn put<C: Callbacks>(&mut self, client: &C) {
        match self {
            Self::Rpf { of, answer, head, route, .. } => {
                client.rpf(*of, answer, head.as_bytes(), route.as_ref())
            }
            Self::Creation { of, iif, out, starved, .. } => {
                // One that was told of it ahead answers, though all its interfaces have left since.
                if !out.is_empty() || client.known_ahead() > Some(0) {
                    *starved = client.creation(*of, *iif, out).is_err();
                }
            }
            Self::Prune { of, interface, member, timeout, .. } => {
                client.prune(*of, *interface, *member, timeout)
            }
            Self::Join { of, member } => client.join(*of, *member),
            Self::WrongIf { of, arrival, head } => {
                if let Some(head) = head {
                    client.wrong_interface(*of, *arrival, head.as_bytes());
                }
            }
            Self::LocalJoin { of, interface } => client.local_join(*of, *interface),
            Self::LocalLeave { of, interface } => client.local_leave(*of, *interface),
            Self::DisableIgmp { interface, .. } => client.disable_igmp(*interface),
            Self::EnableIgmp { interface } => client.enable_igmp(*interface),
        }
    }

    /// Whether the core needs the answer.
    pub(super) const fn wants_answer(&self) -> bool {
        match self {
            Self::Rpf { .. } | Self::Creation { .. } | Self::DisableIgmp { .. } => true,
            Self::Prune { asks, .. } => asks.number() != 0,
            _ => false,
        }
    }

    /// Gives the answer to the core. Gives [`Error::Again`], and is to be called again, where
    /// something else must be finished first.
    pub(super) fn answer(
        &mut self,
        core: &mut Core,
        now: Millis,
        client: u32,
    ) -> Result<(), Error> {
        match self {
            Self::Rpf { id, answer, head, .. } => {
                core.give_back_head(*id, std::mem::take(head));
                core.rpf_answered(now, *id, client, Some(*answer));
            }
            Self::Creation { id, out, starved, .. } => {
                if *starved {
                    core.creation_starved(*id);
                }
                core.creation_answered(now, *id, client, out);
            }
            Self::Prune { of, asks, timeout, .. } => core.prune_answered(now, *of, *asks, *timeout),
            Self::DisableIgmp { change, .. } => core.disable_answered(now, *change)?,
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = |member: &bool| if *member { "membership" } else { "entry" };
        match self {
            Self::Rpf { of, route: Some(route), .. } => {
                write!(f, "RPF {of}, route by {}", route.interface)
            }
            Self::Rpf { of, answer, .. } => write!(f, "RPF {of}, no route, from {}", answer.iif),
            Self::Creation { of, iif, out, .. } => {
                write!(f, "creation alert {of} from {iif} to {} of its interfaces", out.len())
            }
            Self::Prune { of, interface, member, .. } => {
                write!(f, "prune alert {of} {}, {interface}", about(member))
            }
            Self::Join { of, member } => write!(f, "join alert {of} {}", about(member)),
            Self::WrongIf { of, arrival, .. } => write!(f, "wrong interface {of}, {arrival}"),
            Self::LocalJoin { of, interface } => write!(f, "local join {of}, {interface}"),
            Self::LocalLeave { of, interface } => write!(f, "local leave {of}, {interface}"),
            Self::DisableIgmp { interface, .. } => write!(f, "disable IGMP, {interface}"),
            Self::EnableIgmp { interface } => write!(f, "enable IGMP, {interface}"),
        }
    }
}

impl<C: Callbacks> Mgm<C> {
    /// Answers the questions that wait for a client that goes, for the jobs that caused them.
    pub(crate) fn answer_orphans(&'static self, call: &mut Call, client: ClientId) {
        let (now, mut orphan) = (self.now(), None);
        let mut answer_next = |running: &mut Running<C>, call: &mut Call| {
            if orphan.is_none() {
                orphan = running.delivery.take_orphan(client.slot, &mut running.core.outbox);
            }
            let node = orphan.as_ref()?;
            running.begin_asking(call, node.job);
            let answered = answer_orphan(&mut running.core, now, node);
            running.post(call);
            if answered != Err(Error::Again) {
                running.delivery.done(node.job);
                orphan = None;
            }
            Some(())
        };
        while let Ok(Some(())) = self.with_in(call.epoch, |running| answer_next(running, call)) {
            self.carry_on_begun(call);
        }
    }
}

/// Answers for a client that has gone.
fn answer_orphan(core: &mut Core, now: Millis, node: &Node) -> Result<(), Error> {
    match node.action {
        Action::Rpf { flow } => core.rpf_answered(now, flow, node.client, None),
        Action::Creation { flow } => core.creation_answered(now, flow, node.client, &[]),
        Action::WrongIf { header, .. } => drop(core.take_header(header)),
        Action::DisableIgmp { change, .. } => core.disable_answered(now, change)?,
        _ => {}
    }
    Ok(())
}
