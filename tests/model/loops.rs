//! Model: clients that call their callbacks themselves (rules H1 to H8).

use super::deliver::{Ahead, Item, Queued};
use super::state::{Id, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};

/// How many callbacks one dispatch makes (rule H3).
const MOST: usize = 256;

/// A dispatch that goes on.
#[derive(Clone, Copy)]
pub struct Dispatching {
    /// The call that it is.
    pub call: usize,
    /// How many callbacks it may still make.
    pub left: usize,
    /// It is passing so many packets on, one inside the other; it makes no callback meanwhile.
    pub passes: usize,
}

/// What two alerts that merge are both about (rule H8).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Membership(SourceGroup),
    Entry(SourceGroup),
    Local(SourceGroup, IfKey),
    WrongIf(SourceGroup),
    Owner(IfKey),
}

/// None: it is always delivered.
fn topic(item: &Item) -> Option<Topic> {
    Some(match item {
        Item::Prune { flow, .. } => Topic::Entry(*flow),
        Item::Disable { on, .. } | Item::Enable { on } => Topic::Owner(*on),
        Item::Rpf { .. } | Item::Creation { .. } => return None,
        Item::Alert(callback) => match callback {
            Callback::Join { of, member: true } | Callback::Prune { of, member: true, .. } => {
                Topic::Membership(*of)
            }
            Callback::Join { of, .. } | Callback::Prune { of, .. } => Topic::Entry(*of),
            Callback::LocalJoin { of, on } | Callback::LocalLeave { of, on } => {
                Topic::Local(*of, *on)
            }
            Callback::WrongIf { flow, .. } => Topic::WrongIf(*flow),
            other => unreachable!("not an alert: {other:?}"),
        },
    })
}

/// Whether they cancel each other out, so that things are as they were before the earlier one.
fn cancel(earlier: &Item, later: &Item) -> bool {
    let begins = |item: &Item| match item {
        Item::Alert(callback) => matches!(callback.kind(), Kind::Join | Kind::LocalJoin),
        item => matches!(item, Item::Enable { .. }),
    };
    let state = !matches!(topic(later), Some(Topic::Entry(_) | Topic::WrongIf(_)));
    state && begins(earlier) != begins(later)
}

impl Model {
    /// Rule H8: alerts about one thing that cancel each other out while they wait are not delivered.
    /// Of an entry, and of packets on the wrong interface, the last one is. An alert that the client's process
    /// was sent ahead is delivered (decision 91).
    pub fn enqueue_for_dispatch(&mut self, id: Id, what: Item) {
        let about = topic(&what);
        let same = |q: &Queued| about.is_some() && topic(&q.what) == about;
        // DISABLE_IGMP is told in any case: IGMP does not know yet that its memberships have gone.
        let gives_way = |q: &Queued| {
            same(q) && !matches!(q.what, Item::Disable { .. }) && q.ahead != Ahead::Yes
        };
        if let Some(at) = self.clients[id].queue.iter().position(gives_way) {
            if self.clients[id].queue[at].ahead == Ahead::Maybe && self.choice(2) == 0 {
                self.clients[id].queue[at].ahead = Ahead::Yes;
            } else {
                let earlier = self.clients[id].queue.remove(at).expect("it is there");
                if cancel(&earlier.what, &what) {
                    return;
                }
            }
        }
        let cause = self.cause;
        self.clients[id].queue.push_back(Queued { cause, what, ahead: Ahead::No });
    }

    /// Whether its descriptor is readable (rule H2).
    pub fn has_to_dispatch(&self, id: Id) -> bool {
        let client = &self.clients[id];
        client.alive && self.is_dispatched(id) && !client.queue.is_empty()
    }

    /// MgmHostDispatch: what waits, and what that causes.
    pub fn dispatch(&mut self, handle: Handle, call: usize) -> u32 {
        let Some(id) = self.client(handle).filter(|id| self.is_dispatched(*id)) else {
            return code::INVALID_PARAMETER;
        };
        if self.clients[id].dispatching.is_some() {
            return code::CAN_NOT_COMPLETE; // rule H7
        }
        if !self.clients[id].queue.is_empty() {
            self.clients[id].dispatching = Some(Dispatching { call, left: MOST, passes: 0 });
            self.inside += usize::from(self.world.remote);
            self.deliver_for(call);
            self.inside -= usize::from(self.world.remote);
            self.clients[id].dispatching = None;
        }
        code::NO_ERROR
    }
}
