//! Model: callbacks, one at a time for each client, in the order of their causes (rule A7).

use super::again::Why;
use super::state::{Id, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// Something that a client is to be told or asked, and the call that caused it.
#[derive(Clone)]
pub struct Queued {
    pub cause: usize,
    pub what: Item,
    pub ahead: Ahead,
}

/// Whether the process of a client with a loop was sent an alert together with the callback before it
/// (decision 91).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    No,
    /// It may have been.
    Maybe,
    Yes,
}

/// How many callbacks behind the one whose turn it is a process is sent.
const MOST_AHEAD: usize = 32;

/// What happens when a callback returns, besides the call itself.
#[derive(Clone)]
pub enum Item {
    Alert(Callback),
    /// Prune(S,G,FALSE): what the timeout holds afterwards is the lifetime of the entry, if it
    /// still stands as it did (rule E4).
    Prune {
        alert: Callback,
        flow: SourceGroup,
        stand: u64,
    },
    /// The answer carries the flow on; `pending` tells this question from a later one.
    Rpf {
        question: Callback,
        flow: SourceGroup,
        pending: u64,
    },
    Creation {
        question: Callback,
        flow: SourceGroup,
        pending: u64,
    },
    /// `completes`: the ownership changes when the callback has returned (decision 2).
    Disable {
        on: IfKey,
        completes: bool,
    },
    Enable {
        on: IfKey,
    },
}

/// What a client's callback writes through its pointers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub iif: Option<IfKey>,
    pub upstream: Option<Ipv4Addr>,
    pub veto: Vec<IfKey>,
    pub timeout: Option<u32>,
}

impl Answer {
    /// What a script answers to any callback; where it does not apply it is not looked at.
    pub fn of(script: &Script) -> Self {
        Self {
            iif: script.rpf_iif,
            upstream: script.rpf_upstream,
            veto: script.veto.clone(),
            timeout: script.prune_timeout,
        }
    }
}

impl Model {
    pub fn enqueue(&mut self, id: Id, what: Item) {
        if self.is_dispatched(id) {
            return self.enqueue_for_dispatch(id, what);
        }
        let alert = matches!(what, Item::Alert(_) | Item::Prune { .. });
        if alert && self.is_null(id, callback_of(&what).kind()) {
            return; // rule A9; nothing comes of it
        }
        let cause = self.cause;
        self.clients[id].queue.push_back(Queued { cause, what, ahead: Ahead::No });
    }

    /// What waits for a client.
    pub fn queued(&self, id: Id) -> impl Iterator<Item = Callback> {
        self.clients[id].queue.iter().map(|q| callback_of(&q.what))
    }

    pub fn alert(&mut self, id: Id, callback: Callback) {
        self.enqueue(id, Item::Alert(callback));
    }

    /// Delivers what the call with this number has caused, to every client that is not inside a
    /// callback itself. What earlier calls left may come along: no rule says when, between
    /// different clients.
    pub fn deliver_for(&mut self, call: usize) {
        if !self.ready.is_empty() && self.choice(2) == 1 {
            self.pass_ready();
        }
        loop {
            while self.look_at_next(0, Why::at_once) {}
            if self.may_look_before() && self.look_at_next(call, |_| true) {
                continue;
            }
            if let Some(id) = self.choose(call) {
                self.deliver_one(id);
            } else if !self.look_at_next(call, |_| true) {
                return;
            }
        }
    }

    /// Whether the next is looked at before what is due has been delivered: threads of their own deliver
    /// to clients of other processes. Probably where the library called nobody whose turn it is.
    fn may_look_before(&mut self) -> bool {
        let due = !self.walks.is_empty() || !self.again.is_empty();
        if !self.world.remote || self.inside > 0 || !due || self.shown.is_empty() {
            return false;
        }
        let next = self.shown_next().cloned();
        let shown = |id: Id| match (&next, self.clients[id].queue.front()) {
            (Some(Event::Begin(client, callback)), Some(first)) => {
                self.clients[id].client == *client
                    && self.callback(id, &first.what).as_ref() == Some(callback)
            }
            _ => false,
        };
        let as_shown = (0..self.clients.len()).any(shown);
        (self.choice(2) == 0) != as_shown
    }

    pub fn choose(&mut self, call: usize) -> Option<Id> {
        let dispatches = |id: Id| {
            let dispatching = self.clients[id].dispatching;
            dispatching.is_some_and(|by| by.call == call && by.left > 0 && by.passes == 0)
        };
        let can = |id: &Id| {
            let c = &self.clients[*id];
            let may = !self.is_dispatched(*id) || dispatches(*id);
            c.alive && !c.busy && !c.queue.is_empty() && may
        };
        let must =
            |id: &Id| self.clients[*id].queue.iter().any(|q| q.cause >= call) || dispatches(*id);
        let ready: Vec<Id> = (0..self.clients.len()).filter(can).collect();
        if self.inside > 0 {
            return ready.into_iter().find(|id| dispatches(*id));
        }
        let next = match self.shown_next() {
            Some(Event::Begin(client, _)) => Some(*client),
            _ => None,
        };
        let (silent, loud): (Vec<Id>, Vec<Id>) =
            ready.iter().partition(|id| self.next_is_silent(**id));
        let shown = |id: &Id| Some(self.clients[*id].client) == next;
        let mut may: Vec<Option<Id>> = loud.into_iter().filter(shown).map(Some).collect();
        let due = ready.into_iter().find(must);
        if next.is_none() {
            may.push(due);
        }
        // Nobody sees when a null callback is passed over, though what waits for it goes on. A
        // call inside a callback may do so too for what outer calls left, before it returns.
        may.extend(silent.into_iter().map(Some).filter(|id| next.is_some() || *id != due));
        if may.is_empty() {
            may.push(due);
        }
        may[self.choice(may.len())]
    }

    fn next_is_silent(&self, id: Id) -> bool {
        let first = self.clients[id].queue.front();
        first.is_some_and(|q| self.callback(id, &q.what).is_none())
    }

    /// What is called, as things are now; None: nothing is.
    fn callback(&self, id: Id, what: &Item) -> Option<Callback> {
        let mut callback = callback_of(what);
        if let Callback::Creation { out, .. } = &mut callback {
            // Interfaces may have changed hands since the question was put (rule E3).
            out.retain(|(on, _, _)| self.owner(*on) == Some(id));
            for (on, igmp, _) in &mut *out {
                *igmp = self.interfaces.get(on).is_some_and(|i| i.igmp.is_some());
            }
            if out.is_empty() {
                return None;
            }
        }
        Some(callback).filter(|callback| !self.is_null(id, callback.kind()))
    }

    pub fn deliver_one(&mut self, id: Id) {
        let Some(Queued { mut cause, what, .. }) = self.clients[id].queue.pop_front() else {
            return;
        };
        if let Some(dispatching) = &mut self.clients[id].dispatching {
            // What comes of it is the dispatch's doing.
            cause = dispatching.call;
            dispatching.left -= 1;
        }
        let before = std::mem::replace(&mut self.cause, cause);
        match what {
            // Rule C3: IGMP's adds and deletes are refused between the two.
            Item::Disable { on, .. } => self.set_igmp_off(id, on, true),
            Item::Enable { on } => self.set_igmp_off(id, on, false),
            _ => {}
        }
        let answer = match self.callback(id, &what) {
            Some(callback) => self.run_callback(id, callback),
            None => Answer::default(),
        };
        self.returned(id, what, &answer);
        self.cause = before;
    }

    fn returned(&mut self, id: Id, what: Item, answer: &Answer) {
        match what {
            Item::Alert(_) | Item::Enable { .. } => {}
            Item::Prune { flow, stand, .. } => self.set_lifetime(flow, stand, answer.timeout),
            Item::Rpf { flow, pending, .. } => self.rpf_answered(id, flow, pending, answer),
            Item::Creation { flow, pending, .. } => {
                self.creation_answered(id, flow, pending, answer);
            }
            Item::Disable { on, completes } => {
                if completes {
                    self.complete_change(on);
                }
            }
        }
    }

    fn run_callback(&mut self, id: Id, callback: Callback) -> Answer {
        let client = self.clients[id].client;
        let kind = callback.kind();
        self.clients[id].busy = true;
        self.send_ahead(id);
        self.note_told(id, &callback);
        self.events.push(Event::Begin(client, callback));
        if let Some(op) = self.scripts[client].take_nested(kind) {
            self.events.push(Event::Call(op.clone()));
            self.inside += usize::from(self.world.remote);
            let reply = self.call(&op);
            self.inside -= usize::from(self.world.remote);
            self.events.push(Event::Return(reply));
        }
        let answer = Answer::of(&self.scripts[client]);
        self.events.push(Event::End(client));
        self.clients[id].busy = false;
        answer
    }

    /// What stands behind the callback whose turn it is goes to the client's process with it, up to what
    /// does not go ahead.
    fn send_ahead(&mut self, id: Id) {
        if !self.world.remote {
            return;
        }
        let igmp = self.is_igmp(id);
        let goes = |q: &Queued| match &q.what {
            Item::Creation { .. } => !igmp,
            Item::Alert(callback) => callback.kind() != Kind::WrongIf,
            Item::Disable { .. } | Item::Enable { .. } => false,
            Item::Prune { .. } | Item::Rpf { .. } => true,
        };
        let behind = self.clients[id].queue.iter_mut().take(MOST_AHEAD);
        let sent = behind.take_while(|q| goes(q)).filter(|q| q.ahead == Ahead::No);
        sent.for_each(|q| q.ahead = Ahead::Maybe);
    }

    /// The MgmHost* functions begin with what is due: what earlier calls left, and lifetimes.
    pub fn do_what_is_due(&mut self) {
        loop {
            // An outer call that waits looks at entries "at once"; this one may be before it.
            let at_once = self.again.iter().any(|(_, _, why)| why.at_once());
            if at_once && self.choice(2) == 1 {
                self.look_at_next(0, Why::at_once);
            } else if let Some(id) = self.choose(0) {
                self.deliver_one(id);
            } else if !self.look_at_next(0, |why| why == Why::LifetimeEnds) {
                return;
            }
        }
    }

    /// A client is gone before it could be told or asked: what waits for it goes on without.
    pub fn forget_queue(&mut self, id: Id) {
        for Queued { cause, what, .. } in std::mem::take(&mut self.clients[id].queue) {
            let before = std::mem::replace(&mut self.cause, cause);
            self.returned(id, what, &Answer::default());
            self.cause = before;
        }
    }

    fn set_igmp_off(&mut self, id: Id, on: IfKey, off: bool) {
        if let Some(interface) = self.interfaces.get_mut(&on).filter(|i| i.igmp == Some(id)) {
            interface.igmp_off = off;
        }
    }
}

fn callback_of(item: &Item) -> Callback {
    match item {
        Item::Alert(callback)
        | Item::Prune { alert: callback, .. }
        | Item::Rpf { question: callback, .. }
        | Item::Creation { question: callback, .. } => callback.clone(),
        Item::Disable { on, .. } => Callback::Disable(*on),
        Item::Enable { on } => Callback::Enable(*on),
    }
}
