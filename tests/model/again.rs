//! Model: what time, routes and interfaces do to entries (E5, E8, E9), lifetimes (E4).

use super::flows::{Entry, State, header_made};
use super::members::PRUNE_TIMEOUT;
use super::net::{RouteEntry, prefix_holds};
use super::state::{Id, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// Rule E4: the longest lifetime that a prune callback can ask for.
const LONGEST_LIFETIME: u32 = 86_400;

/// Why an entry is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    LifetimeEnds,
    RouteChanged,
    OwnerCame,
    /// Its route may have changed while its questions were open.
    Outdated,
}

/// A change of routes on its way through the entries it concerns.
#[derive(Clone, Copy)]
pub struct Walk {
    /// The call that is the cause.
    cause: usize,
    network: Ipv4Addr,
    len: u8,
    /// What it looked at last.
    last: Option<Concerned>,
}

/// What a change of routes concerns, in order: the sources of memberships (rule D10), then entries
/// by source, then group (decision 41).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Concerned {
    Source(Ipv4Addr),
    Flow(Ipv4Addr, Ipv4Addr),
}

impl Why {
    /// These are looked at at once, the others one after the other.
    pub fn at_once(self) -> bool {
        matches!(self, Self::OwnerCame | Self::Outdated)
    }
}

impl Model {
    /// Decision 12.
    pub fn turned_positive(&mut self, flow: SourceGroup) {
        let now = self.now;
        let stand = self.next_serial();
        if let Some(entry) = self.mfes.get_mut(&flow) {
            entry.stand = stand;
            entry.begin_lifetime(now, PRUNE_TIMEOUT);
            entry.packets_then = entry.packets;
        }
    }

    /// Rule E4: a prune callback has returned.
    pub fn set_lifetime(&mut self, flow: SourceGroup, stand: u64, timeout: Option<u32>) {
        let now = self.now;
        let Some(entry) = self.mfes.get_mut(&flow).filter(|e| e.stand == stand) else { return };
        let seconds = match timeout.unwrap_or(PRUNE_TIMEOUT) {
            0 => PRUNE_TIMEOUT,
            seconds => seconds.min(LONGEST_LIFETIME),
        };
        entry.lifetime_began = now;
        entry.lifetime = seconds;
    }

    /// Rule E8: what ends goes, or is built anew if packets came meanwhile.
    pub fn end_lifetimes(&mut self) {
        let ends = |e: &Entry| e.lifetime_began + u64::from(e.lifetime);
        let due = self.mfes.iter().filter(|(_, e)| ends(e) <= self.now);
        let mut due: Vec<(u64, SourceGroup)> = due.map(|(flow, e)| (ends(e), *flow)).collect();
        due.sort();
        self.look_again(due.into_iter().map(|(_, flow)| (flow, Why::LifetimeEnds)));
    }

    /// Rules E5 and E9.
    pub fn route_changed(&mut self, network: Ipv4Addr, len: u8) -> u32 {
        self.walks.push(Walk { cause: self.cause, network, len, last: None });
        code::NO_ERROR
    }

    /// The next that a change of routes concerns, if a change that this call caused is not through
    /// yet.
    fn next_of_walk(&mut self, call: usize) -> Option<(usize, Concerned)> {
        loop {
            let at = self.walks.iter().position(|walk| walk.cause >= call)?;
            let Walk { cause, network, len, last } = self.walks[at];
            let sources = self.toward.keys().map(|source| Concerned::Source(*source));
            let flows = self.mfes.keys().chain(self.pending.keys());
            let flows = flows.map(|flow| Concerned::Flow(flow.source(), flow.group()));
            let over = sources.chain(flows).filter(|concerned| {
                let (Concerned::Source(source) | Concerned::Flow(source, _)) = *concerned;
                prefix_holds(network, len, source)
            });
            let Some(next) = over.filter(|next| last.is_none_or(|last| *next > last)).min() else {
                self.walks.remove(at);
                continue;
            };
            self.walks[at].last = Some(next);
            return Some((cause, next));
        }
    }

    /// Rule E5: an ownership that concerns it.
    pub fn owner_came(&mut self, on: IfKey) {
        let here = |e: &Entry| e.iif.index == on.index || e.arrival.index == on.index;
        let waits = |e: &Entry| !e.is_normal() && here(e);
        let flows: Vec<SourceGroup> =
            self.mfes.iter().filter(|(_, e)| waits(e)).map(|(flow, _)| *flow).collect();
        self.look_again(flows.into_iter().map(|flow| (flow, Why::OwnerCame)));
    }

    /// Entries to be looked at again, in any order (decision 41): all that wait for an owner at
    /// once, those whose lifetime has ended one after the other, so that what one causes is
    /// delivered before the next is looked at.
    pub fn look_again(&mut self, entries: impl Iterator<Item = (SourceGroup, Why)>) {
        let cause = self.cause;
        self.again.extend(entries.map(|(flow, why)| (cause, flow, why)));
    }

    /// Where the library was seen to build an entry anew: at its RPF callback or, if that is null,
    /// when it had asked for creation, or said anything else of it.
    fn shown_being_built(&self, flow: SourceGroup) -> usize {
        let arrival = self.mfes.get(&flow).map(|e| e.iif);
        let toward = self.route_named(flow.source(), arrival).map(|r| self.meant(r.to));
        let asked = toward.and_then(|on| self.owner(on));
        let silent = asked.is_none_or(|id| self.is_null(id, Kind::Rpf));
        let ahead = self.shown.get(self.events.len()..).unwrap_or_default();
        let created = |e: &Event| match e {
            Event::Begin(_, c) => c.kind() == Kind::Creation && c.flow() == Some(flow),
            _ => false,
        };
        match ahead.iter().rposition(created) {
            Some(at) if silent => at,
            _ => self.shown_at(flow, if silent { None } else { Some(Kind::Rpf) }),
        }
    }

    /// Looks at the next one that is due to this call; false where there is none.
    pub fn look_at_next(&mut self, call: usize, fits: impl Fn(Why) -> bool) -> bool {
        let due = |e: &(usize, SourceGroup, Why)| e.0 >= call && fits(e.2);
        // Probably as shown.
        let candidates = self.again.iter().enumerate().filter(|(_, e)| due(e));
        let places = candidates.map(|(at, e)| (self.shown_being_built(e.1), at));
        let mut places: Vec<(usize, usize)> = places.collect();
        places.sort();
        let walks = fits(Why::RouteChanged);
        let (cause, flow, why) = match places.len() {
            0 if walks => match self.next_of_walk(call) {
                Some((cause, Concerned::Flow(source, group))) => {
                    (cause, SourceGroup::new(source, group), Why::RouteChanged)
                }
                Some((cause, Concerned::Source(source))) => {
                    let before = std::mem::replace(&mut self.cause, cause);
                    self.look_at_source(source);
                    self.cause = before;
                    return true;
                }
                None => return false,
            },
            0 => return false,
            of => {
                let (_, at) = places[self.choice(of)];
                self.again.remove(at).expect("an entry to look at")
            }
        };
        if let Some(pending) = self.pending.get_mut(&flow) {
            let now = self.now;
            let ends = |e: &&mut Entry| e.lifetime_began + u64::from(e.lifetime) <= now;
            let ended = self.mfes.get_mut(&flow).filter(ends);
            pending.outdated |= why != Why::LifetimeEnds || ended.is_some();
            if let Some(entry) = ended.filter(|_| why == Why::LifetimeEnds) {
                entry.packets_then = entry.packets;
                entry.begin_lifetime(now, PRUNE_TIMEOUT); // decision 41
            }
            return true;
        }
        let before = std::mem::replace(&mut self.cause, cause);
        let arrival = self.mfes.get(&flow).map(|e| e.iif); // decision 28
        let named = self.route_named(flow.source(), arrival);
        let route = named.map(|r| RouteEntry { to: self.meant(r.to), ..r });
        let now = self.now;
        let has_owner = route.is_some_and(|r| self.owner(r.to).is_some());
        let asks = self.arrival_of(flow).and_then(|arrival| self.asks(route, arrival));
        let comes_in = self.arrival_of(flow);
        if let Some(entry) = self.mfes.get_mut(&flow) {
            let ended = entry.lifetime_began + u64::from(entry.lifetime) <= now;
            let idle = entry.packets == entry.packets_then;
            let leads_elsewhere = named.is_some_and(|r| r.to != entry.iif);
            let moved = match entry.state {
                _ if entry.iif_chosen => true, // decision 34
                State::Normal if entry.routeless => has_owner,
                State::Normal => route.map(|r| r.to) != entry.route.map(|r| r.to),
                State::Unresolved => asks.is_some() || leads_elsewhere,
                // The same client is not asked again.
                State::Refused if entry.routeless => {
                    !asks.is_some_and(|(.., routeless)| routeless) || leads_elsewhere
                }
                State::Refused => !has_owner || route.map(|r| r.to) != Some(entry.iif),
            };
            match why {
                Why::LifetimeEnds if !ended => {}
                Why::LifetimeEnds if idle => _ = self.mfes.remove(&flow),
                Why::OwnerCame if !moved || entry.is_normal() => {}
                Why::RouteChanged | Why::Outdated if !moved => {
                    entry.route = route.or(entry.route);
                    let own = entry.upstream_chosen || (entry.is_normal() && entry.routeless);
                    if let Some(named) = named.filter(|_| !own) {
                        entry.upstream = named.upstream;
                    }
                }
                _ => {
                    if why == Why::LifetimeEnds {
                        entry.packets_then = entry.packets;
                        entry.begin_lifetime(now, PRUNE_TIMEOUT); // decision 41
                    }
                    let comes_in = comes_in.expect("there is an entry");
                    self.build(flow, comes_in, header_made(flow), named);
                }
            }
        }
        self.cause = before;
        true
    }

    /// Decision 22.
    pub fn interface_down(&mut self, on: IfKey) -> u32 {
        // Nothing is remembered of an interface that nobody is on.
        if self.owner(on).is_some() && !self.down.insert(on) {
            return code::NO_ERROR;
        }
        self.mfes.retain(|_, e| e.iif != on);
        self.update_all(None);
        code::NO_ERROR
    }

    pub fn came_up(&mut self, on: IfKey, by: Option<Id>) {
        if self.down.remove(&on) {
            self.update_all(by);
        }
    }
}
