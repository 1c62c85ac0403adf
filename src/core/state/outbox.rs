//! The callbacks that the core wants to be made: alerts and questions, each for one client, in
//! order.
//!
//! They are in one pool, so that room for all alerts of a change can be made before anything is
//! changed (rule A4), whoever they go to. The shell links them into one queue per client; the
//! links are in the pool and need no memory of their own.

use crate::core::containers::list::{Links, List};
use crate::core::containers::slab::{NONE, Slab};
use crate::error::Error;
use crate::types::{IfKey, SourceGroup};

/// One call of a client's callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The RPF question of a pending flow.
    Rpf {
        /// Its number.
        flow: u32,
    },
    /// The creation alert of a pending flow, which is a question too.
    Creation {
        /// Its number.
        flow: u32,
    },
    /// A prune alert, which may ask for the entry's lifetime.
    Prune {
        /// What was pruned.
        of: SourceGroup,
        /// The interface that was removed.
        interface: IfKey,
        /// bMemberDelete.
        member: bool,
        /// What its answer is for.
        asks: LifetimeAsk,
    },
    /// A join alert.
    Join {
        /// What was joined.
        of: SourceGroup,
        /// bMemberUpdate.
        member: bool,
    },
    /// A packet came in on the wrong interface.
    WrongIf {
        /// Its source and group.
        flow: SourceGroup,
        /// Where it came in.
        arrival: IfKey,
        /// Where its header is kept.
        header: u32,
    },
    /// IGMP has a receiver.
    LocalJoin {
        /// What was joined.
        of: SourceGroup,
        /// Where.
        interface: IfKey,
    },
    /// IGMP has a receiver no more.
    LocalLeave {
        /// What was left.
        of: SourceGroup,
        /// Where.
        interface: IfKey,
    },
    /// The owner of an interface is about to change; the answer lets it.
    DisableIgmp {
        /// The interface.
        interface: IfKey,
        /// The change that waits.
        change: u32,
    },
    /// The owner has changed.
    EnableIgmp {
        /// The interface.
        interface: IfKey,
    },
}

/// What alerts are about that need not all be delivered while they wait (rule H8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The memberships of others (bMemberUpdate, bMemberDelete).
    Membership(SourceGroup),
    /// An entry whose iif is the client's.
    Entry(SourceGroup),
    /// What IGMP has on an interface of the client's.
    Local(SourceGroup, IfKey),
    /// Packets on the wrong interface.
    WrongIf(SourceGroup),
    /// To IGMP: changes of an interface's owner.
    Owner(IfKey),
}

/// What becomes of an alert that waits, and of a later one about the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Neither is delivered: things are again as the client knows them.
    Neither,
    /// The later one alone tells how things are.
    Later,
}

impl Action {
    /// What it is about, if it can merge with others.
    pub const fn topic(&self) -> Option<Topic> {
        Some(match *self {
            Self::Join { of, member: true } | Self::Prune { of, member: true, .. } => {
                Topic::Membership(of)
            }
            Self::Join { of, member: false } | Self::Prune { of, member: false, .. } => {
                Topic::Entry(of)
            }
            Self::LocalJoin { of, interface } | Self::LocalLeave { of, interface } => {
                Topic::Local(of, interface)
            }
            Self::WrongIf { flow, .. } => Topic::WrongIf(flow),
            Self::DisableIgmp { interface, .. } | Self::EnableIgmp { interface } => {
                Topic::Owner(interface)
            }
            // Each of these is delivered: an answer is waited for.
            Self::Rpf { .. } | Self::Creation { .. } => return None,
        })
    }

    /// Whether a later alert about the same may take its place. DISABLE_IGMP is delivered in any case:
    /// IGMP does not know yet that its memberships have gone.
    pub const fn may_merge(&self) -> bool {
        !matches!(self, Self::DisableIgmp { .. })
    }

    /// What becomes of this alert, which waits, and of a later one about the same.
    pub const fn merge(&self, later: &Self) -> Merge {
        match (self, later) {
            (Self::Join { member: true, .. }, Self::Prune { .. })
            | (Self::Prune { member: true, .. }, Self::Join { .. })
            | (Self::LocalJoin { .. }, Self::LocalLeave { .. })
            | (Self::LocalLeave { .. }, Self::LocalJoin { .. })
            // IGMP has not been enabled yet after an earlier change, and will be after this one.
            | (Self::EnableIgmp { .. }, Self::DisableIgmp { .. }) => Merge::Neither,
            // The client may never have heard of the entry, so the last alert is always delivered.
            _ => Merge::Later,
        }
    }
}

/// Names the prune alert that sets an entry's lifetime (rule E4): the last one that asked, and none
/// once the entry has changed. A later answer does not count. The numbers repeat after 32,767, as
/// an entry has room for no more. Only an answer that is so late, about the same entry, could be
/// taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeAsk(u16);

impl LifetimeAsk {
    /// It asks for nothing.
    pub const NONE: Self = Self(0);
    /// How many bits its number has.
    pub const BITS: u32 = 15;

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The one after this.
    pub const fn next(self) -> Self {
        Self(self.0 % ((1 << Self::BITS) - 1) + 1)
    }
}

/// An action on its way.
pub struct Node {
    /// The slot of the client it goes to.
    pub client: u32,
    /// What to call.
    pub action: Action,
    /// The call that caused it, in the shell's numbering.
    pub job: u32,
    /// Its place in the list that it is in.
    links: Links,
}

fn in_list(nodes: &mut Slab<Node>, id: u32) -> &mut Links {
    &mut nodes[id].links
}

/// The pool of actions.
pub struct Outbox {
    nodes: Slab<Node>,
    /// Actions that the shell has not taken over yet.
    fresh: List,
    /// Room set aside for actions that must not fail later.
    held: usize,
    /// The job new actions belong to; the shell sets it.
    job: u32,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty pool.
    pub const fn new() -> Self {
        Self { nodes: Slab::new(), fresh: List::EMPTY, held: 0, job: NONE }
    }

    /// Sets the job that new actions belong to.
    pub const fn set_job(&mut self, job: u32) {
        self.job = job;
    }

    /// The job that new actions belong to.
    pub const fn job(&self) -> u32 {
        self.job
    }

    /// Makes room for the next `n` pushes.
    pub fn reserve(&mut self, n: usize) -> Result<(), Error> {
        self.nodes.reserve(n + self.held)
    }

    /// Sets room for one action aside until [`Self::release`].
    pub fn hold(&mut self) -> Result<(), Error> {
        self.nodes.reserve(self.held + 1)?;
        self.held += 1;
        Ok(())
    }

    /// Releases room that was set aside, for the push that follows.
    pub const fn release(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Adds an action. Room must have been reserved.
    pub fn push(&mut self, client: u32, action: Action) {
        let id = self.nodes.insert(Node { client, action, job: self.job, links: Links::default() });
        self.fresh.append(&mut self.nodes, id, in_list);
    }

    /// Whether there are actions that the shell has not taken over yet.
    pub const fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Takes the next action that the shell has not taken over yet.
    pub fn take_fresh(&mut self) -> Option<u32> {
        let id = self.fresh.first()?;
        self.fresh.remove(&mut self.nodes, id, in_list);
        Some(id)
    }

    /// The action that the shell has not taken over yet, where it is the only one.
    pub fn only_fresh(&self) -> Option<&Node> {
        self.fresh.only().map(|id| &self.nodes[id])
    }

    /// Takes it out of the pool.
    pub fn take_only_fresh(&mut self) -> Option<Node> {
        let id = self.fresh.only()?;
        self.fresh = List::EMPTY;
        self.nodes.remove(id)
    }

    /// Puts a node at the end of a list.
    pub fn append(&mut self, list: &mut List, id: u32) {
        list.append(&mut self.nodes, id, in_list);
    }

    /// Takes a node out of its list, wherever it stands, and out of the pool.
    pub fn remove(&mut self, list: &mut List, id: u32) -> Option<Node> {
        list.remove(&mut self.nodes, id, in_list);
        self.nodes.remove(id)
    }

    /// Takes a node that is in no list out of the pool.
    pub fn discard(&mut self, id: u32) -> Option<Node> {
        self.nodes.remove(id)
    }

    /// The first node of a list.
    pub fn first(&self, list: &List) -> Option<&Node> {
        list.first().map(|id| &self.nodes[id])
    }

    /// The jobs of a list's nodes.
    pub fn jobs(&self, list: &List) -> impl Iterator<Item = u32> {
        let node = |id: u32| &self.nodes[id];
        let nodes = std::iter::successors(list.first().map(node), move |of| {
            List::after(of.links).map(node)
        });
        nodes.map(|node| node.job)
    }

    /// The same from the last one to the first.
    pub fn jobs_from_last(&self, list: &List) -> impl Iterator<Item = u32> {
        let node = |id: u32| &self.nodes[id];
        let nodes = std::iter::successors(list.last().map(node), move |of| {
            List::before(of.links).map(node)
        });
        nodes.map(|node| node.job)
    }

    /// The number of the node behind this one in its list.
    pub fn after(&self, id: u32) -> Option<u32> {
        List::after(self.nodes[id].links)
    }

    /// The node with this number.
    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id]
    }

    /// Takes the first node of a list out of the list and the pool.
    pub fn pop(&mut self, list: &mut List) -> Option<Node> {
        let id = list.first()?;
        self.remove(list, id)
    }

    /// How many actions are on their way.
    pub const fn queued(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_first_in_first_out() {
        let mut outbox = Outbox::new();
        outbox.reserve(3).unwrap();
        for member in [true, false, true] {
            outbox.push(1, Action::Join { of: SourceGroup::ALL, member });
        }
        let mut lane = List::EMPTY;
        while let Some(id) = outbox.take_fresh() {
            assert_eq!(outbox.node(id).client, 1);
            outbox.append(&mut lane, id);
        }
        let members: Vec<bool> = std::iter::from_fn(|| outbox.pop(&mut lane))
            .map(|node| matches!(node.action, Action::Join { member: true, .. }))
            .collect();
        assert_eq!(members, [true, false, true]);
        assert!(lane.is_empty() && outbox.queued() == 0);
    }

    #[test]
    fn held_room_stays() {
        let mut outbox = Outbox::new();
        outbox.hold().unwrap();
        outbox.reserve(1).unwrap();
        outbox.push(0, Action::Join { of: SourceGroup::ALL, member: true });
        outbox.release();
        outbox.push(0, Action::Join { of: SourceGroup::ALL, member: true });
        assert_eq!(outbox.queued(), 2);
    }

    #[test]
    fn h8_what_becomes_of_two() {
        let (of, interface) = (SourceGroup::ALL, IfKey::new(1, std::net::Ipv4Addr::UNSPECIFIED));
        let join = |member| Action::Join { of, member };
        let prune = |member| Action::Prune { of, interface, member, asks: LifetimeAsk::NONE };
        assert_eq!(join(true).topic(), prune(true).topic());
        assert_eq!(join(false).topic(), prune(false).topic());
        assert_ne!(join(false).topic(), join(true).topic());
        assert_eq!(join(true).merge(&prune(true)), Merge::Neither);
        assert_eq!(prune(true).merge(&join(true)), Merge::Neither);
        assert_eq!(prune(true).merge(&prune(true)), Merge::Later);
        assert_eq!(join(false).merge(&prune(false)), Merge::Later);
        assert_eq!(prune(false).merge(&join(false)), Merge::Later);
        let disable = Action::DisableIgmp { interface, change: 1 };
        assert_eq!(Action::EnableIgmp { interface }.merge(&disable), Merge::Neither);
        assert!(!disable.may_merge());
        assert!(Action::Rpf { flow: 1 }.topic().is_none());
    }
}
