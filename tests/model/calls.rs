//! Model: registration (B), interfaces (C), MgmSetMfe (E10).

use super::deliver::Item;
use super::flows::{Entry, State};
use super::state::{Id, Interface, Model, Registration};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// A take or release that IGMP is told of (rule C3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Take(Id),
    Release(Id),
}

impl Model {
    pub fn register(&mut self, client: Client) -> u32 {
        let wanted = &self.world.profiles[client];
        let pair = (wanted.protocol, wanted.component);
        let taken = (0..self.clients.len()).filter(|id| self.clients[*id].alive).any(|id| {
            let p = self.profile(id);
            (p.protocol, p.component) == pair
        });
        if taken {
            return code::ALREADY_EXISTS;
        }
        let queue = VecDeque::new();
        let (alive, busy, dispatching) = (true, false, None);
        self.clients.push(Registration { client, alive, busy, dispatching, queue });
        code::NO_ERROR
    }

    pub fn deregister(&mut self, handle: Handle) -> u32 {
        let Some(id) = self.client(handle) else { return code::INVALID_PARAMETER };
        let on_one = self.interfaces.keys().any(|on| self.is_on(id, *on));
        let taking = self.interfaces.values().any(|i| i.change == Some(Change::Take(id)));
        if on_one || taking {
            return code::CAN_NOT_COMPLETE;
        }
        self.clients[id].alive = false;
        self.enumerations.iter_mut().filter(|e| e.of == id).for_each(|e| e.open = false);
        self.forget_queue(id); // rule A8
        code::NO_ERROR
    }

    pub fn owner_query(&self, on: IfKey) -> Reply {
        match self.owner(on) {
            Some(id) => {
                let Profile { protocol, component, .. } = *self.profile(id);
                Reply { code: code::NO_ERROR, data: Data::Owner(protocol, component) }
            }
            None => Reply::code(code::NOT_FOUND),
        }
    }

    pub fn take(&mut self, handle: Handle, on: IfKey) -> u32 {
        let Some(id) = self.client(handle) else { return code::INVALID_PARAMETER };
        let now = self.interfaces.entry(on).or_default();
        let igmp_there = now.igmp;
        let change = now.change.is_some();
        let place_taken = if self.is_igmp(id) {
            igmp_there.is_some()
        } else {
            self.routing_on(on).is_some() || change
        };
        if place_taken {
            return code::ALREADY_EXISTS; // rule C1, decisions 1 and 2
        }
        if self.is_igmp(id) {
            self.came_up(on, Some(id)); // decision 22
            let was_owned = self.routing_on(on).is_some();
            // Decision 2.
            self.change_owner(on, |i| (i.igmp, i.igmp_off) = (Some(id), change));
            if !was_owned {
                self.owner_came(on);
            }
        } else if let Some(igmp) = igmp_there {
            self.begin_change(on, igmp, Change::Take(id));
        } else {
            self.change_owner(on, |i| i.routing = Some(id));
            self.came_up(on, Some(id));
            self.owner_came(on);
        }
        code::NO_ERROR
    }

    pub fn release(&mut self, handle: Handle, on: IfKey) -> u32 {
        let Some(id) = self.client(handle) else { return code::INVALID_PARAMETER };
        if !self.is_on(id, on) {
            return code::INVALID_PARAMETER; // rule C4
        }
        let Interface { routing, igmp, change, .. } = *self.interface_mut(on);
        if change == Some(Change::Release(id)) {
            return code::INVALID_PARAMETER; // decision 2
        }
        if igmp == Some(id) {
            self.drop_memberships(id, on, true);
            if routing.is_none() {
                self.owner_goes(on, true);
            }
            self.change_owner(on, |i| (i.igmp, i.igmp_off) = (None, false));
            self.update_all(Some(id));
        } else if let Some(igmp) = igmp {
            self.begin_change(on, igmp, Change::Release(id));
        } else {
            self.drop_memberships(id, on, true);
            self.owner_goes(on, true);
            self.change_owner(on, |i| i.routing = None);
            self.update_all(Some(id));
        }
        self.forget_unused(on);
        code::NO_ERROR
    }

    /// An interface that nobody is on is not known to be down.
    fn forget_unused(&mut self, on: IfKey) {
        if self.owner(on).is_none() {
            self.down.remove(&on);
        }
    }

    fn routing_on(&self, on: IfKey) -> Option<Id> {
        self.interfaces.get(&on).and_then(|i| i.routing)
    }

    fn interface_mut(&mut self, on: IfKey) -> &mut Interface {
        self.interfaces.entry(on).or_default()
    }

    /// Rule C3 with decisions 2 and 3.
    fn begin_change(&mut self, on: IfKey, igmp: Id, change: Change) {
        self.interface_mut(on).change = Some(change);
        // Rule H4: one that dispatches its callbacks cannot be called now either.
        // Nor can one of another process from inside a callback.
        let can_be_called = !self.is_dispatched(igmp) && self.inside == 0;
        let completes = !self.clients[igmp].busy && can_be_called;
        self.enqueue(igmp, Item::Disable { on, completes });
        if completes {
            // The caller waits until IGMP has been disabled.
            while self.interfaces[&on].change.is_some() {
                let next = self.choose(self.cause).unwrap_or(igmp);
                self.deliver_one(next);
            }
        } else {
            // Decision 3: it does not wait for IGMP.
            self.deliver_for(self.cause);
            self.complete_change(on);
        }
    }

    /// The ownership changes; then IGMP is enabled.
    pub fn complete_change(&mut self, on: IfKey) {
        let Some(change) = self.interface_mut(on).change.take() else { return };
        let igmp = self.interface_mut(on).igmp;
        let (Change::Take(id) | Change::Release(id)) = change;
        if let Change::Release(id) = change {
            self.drop_memberships(id, on, true);
        }
        if let Some(igmp) = igmp {
            self.drop_memberships(igmp, on, false); // decision 4: no LOCAL_LEAVE
        }
        self.owner_goes(on, matches!(change, Change::Release(_)));
        match change {
            Change::Take(id) => {
                self.change_owner(on, |i| i.routing = Some(id));
                self.down.remove(&on); // decision 22
            }
            Change::Release(_) => self.change_owner(on, |i| i.routing = None),
        }
        self.update_all(Some(id));
        if let Some(igmp) = igmp {
            // Between the portions of what follows the thread may pass packets on (decision 88).
            if !self.ready.is_empty() && self.choice(2) == 1 {
                self.pass_ready();
            }
            self.enqueue(igmp, Item::Enable { on });
        }
        if igmp.is_some() || matches!(change, Change::Take(_)) {
            self.owner_came(on);
        }
        self.forget_unused(on);
    }

    /// Rule C4: its memberships on the interface go, with the alerts of deleting them one by
    /// one. In order of group, then source; (*,*) comes first.
    fn drop_memberships(&mut self, id: Id, on: IfKey, tell_owner: bool) {
        let its: Vec<SourceGroup> =
            self.members.iter().filter(|m| (m.1, m.2) == (on, id)).map(|m| m.0).collect();
        for of in its {
            self.leave(id, of, on, tell_owner);
        }
    }

    /// Rule C4, decisions 5 and 6: entries with this iif go, marks of the owner end.
    /// With a take over IGMP those stay about which it was not asked as the owner of this interface
    /// (decision 37). What was refused goes with the one who refused it.
    fn owner_goes(&mut self, on: IfKey, all: bool) {
        let refused_at_arrival = |e: &Entry| e.state == State::Refused && e.routeless;
        let asked_here = |e: &Entry| e.state != State::Unresolved && !refused_at_arrival(e);
        self.mfes.retain(|_, e| e.iif != on || !(all || asked_here(e)));
        self.mfes.retain(|_, e| e.arrival != on || !refused_at_arrival(e));
        for entry in self.mfes.values_mut() {
            entry.vetoed.remove(&on);
            entry.forced.remove(&on);
        }
        for flow in self.pending.values_mut() {
            flow.vetoed.remove(&on);
        }
    }

    pub fn set_upstream(&mut self, handle: Handle, flow: SourceGroup, to: Ipv4Addr) -> u32 {
        let Some(id) = self.client(handle) else { return code::INVALID_PARAMETER };
        let Some(entry) = self.mfes.get(&flow) else { return code::NOT_FOUND };
        if self.owner(entry.iif) != Some(id) {
            return code::INVALID_PARAMETER;
        }
        let iif = entry.iif;
        if let Some(entry) = self.mfes.get_mut(&flow) {
            entry.upstream = to;
            entry.upstream_chosen = true;
        }
        // Decision 20.
        if let Some(pending) = self.pending.get_mut(&flow).filter(|p| p.iif == iif) {
            pending.upstream = to;
            pending.upstream_chosen = true;
        }
        code::NO_ERROR
    }
}
