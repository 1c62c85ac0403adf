//! Model: forwarding entries and their lifetimes (E), limits (G1).

use super::again::Why;
use super::deliver::{Answer, Item};
use super::members::PRUNE_TIMEOUT;
use super::net::RouteEntry;
use super::state::{Id, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Rule E5, in seconds.
const UNROUTED_LIFETIME: u32 = 60;

/// Why an entry is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Rules E1 to E4.
    Normal,
    /// Rule E5.
    Unresolved,
    /// Rule E2: the owner of the interface toward the source refused it.
    Refused,
}

/// A forwarding entry.
#[derive(Clone)]
pub struct Entry {
    pub state: State,
    /// The owner of the arrival interface was asked (rule E5).
    pub routeless: bool,
    /// Where its packets come in, if it is not a normal one.
    pub arrival: IfKey,
    pub iif: IfKey,
    /// A client chose it.
    pub iif_chosen: bool,
    pub upstream: Ipv4Addr,
    /// A client named it, in its RPF callback or with MgmSetMfe: a route does not change it.
    pub upstream_chosen: bool,
    pub route: Option<RouteEntry>,
    pub vetoed: BTreeSet<IfKey>,
    pub forced: BTreeSet<IfKey>,
    pub made: u64,
    pub lifetime_began: u64,
    pub lifetime: u32,
    /// The packet count when its lifetime began, packets that waited then included: what came since
    /// then came "meanwhile" (rule E8).
    pub packets_then: u32,
    /// When it became negative, if it is: the lower, the older (rule G1). The same for all that
    /// one change made so.
    pub negative_since: u64,
    /// Changes whenever an earlier prune's answer no longer applies.
    pub stand: u64,
    pub packets: u32,
    pub octets: u32,
    pub wrong_if: u32,
    /// Each with what it counted.
    pub oifs: BTreeMap<IfKey, OifCounts>,
    pub last_wrong_if: Option<u64>,
}

impl Entry {
    pub fn is_normal(&self) -> bool {
        self.state == State::Normal
    }

    pub fn oif_set(&self) -> BTreeSet<IfKey> {
        self.oifs.keys().copied().collect()
    }

    /// Rule E13: a count lasts as long as its interface stays.
    pub fn set_oifs(&mut self, wanted: &BTreeSet<IfKey>) {
        self.oifs.retain(|i, _| wanted.contains(i));
        for i in wanted {
            self.oifs.entry(*i).or_default();
        }
    }

    pub fn begin_lifetime(&mut self, now: u64, seconds: u32) {
        self.lifetime_began = now;
        self.lifetime = seconds;
    }
}

/// A flow whose RPF or creation questions are open.
#[derive(Clone)]
pub struct Pending {
    pub serial: u64,
    /// In place of an entry.
    pub rebuild: bool,
    pub arrival: IfKey,
    pub header: Header,
    /// As looked up, and leading to the interface it means.
    pub named: Option<RouteEntry>,
    pub route: Option<RouteEntry>,
    /// Who is asked; for want of an owner toward the source, that of the arrival interface.
    pub owner: Option<Id>,
    pub routeless: bool,
    /// What the RPF callback is told.
    pub proposed: (IfKey, Ipv4Addr),
    pub iif: IfKey,
    pub upstream: Ipv4Addr,
    pub upstream_chosen: bool,
    /// The RPF callback named interface 0 (rule E2).
    pub refused: bool,
    /// The entry is to be looked at again when the questions are answered.
    pub outdated: bool,
    /// Creation alerts not answered yet.
    pub open: usize,
    /// Interfaces that creation alerts are about, and those vetoed.
    pub asked: BTreeSet<IfKey>,
    pub vetoed: BTreeSet<IfKey>,
    /// It was to build an entry anew that has gone, and this packet has come since: where, what
    /// its header was, and its route then.
    pub came: Option<(IfKey, Header, Option<RouteEntry>)>,
}

impl Pending {
    /// An entry comes of it beside those that are there.
    pub fn makes_entry(&self) -> bool {
        !self.rebuild || self.came.is_some()
    }
}

impl Model {
    /// Decision 31: the interface that a route means by naming one.
    pub fn meant(&self, named: IfKey) -> IfKey {
        let fits = |on: &&IfKey| self.owner(**on).is_some();
        if fits(&&named) {
            return named;
        }
        let mut same_index = self.interfaces.keys().filter(|on| on.index == named.index);
        same_index.find(fits).copied().unwrap_or(named)
    }

    /// The route as such (decision 28 where there is no pfnRoute).
    pub fn route_named(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Option<RouteEntry> {
        if !self.world.null_route {
            return self.routes.find(source);
        }
        let of_source = self.mfes.iter().find(|(flow, _)| flow.source() == source);
        let to = arrival.or(of_source.map(|(_, e)| e.iif))?;
        Some(RouteEntry { network: source, len: 32, to, upstream: source, protocol: 0 })
    }

    /// Who is asked about a flow, with what as its iif: the owner of the interface toward the source,
    /// or that of the arrival interface, if it asks for such flows (rule E5).
    pub fn asks(&self, route: Option<RouteEntry>, arrival: IfKey) -> Option<(Id, IfKey, bool)> {
        let toward = route.and_then(|r| Some((self.owner(r.to)?, r.to, false)));
        let here = self.owner(arrival).filter(|id| self.profile(*id).routeless);
        toward.or(here.map(|id| (id, arrival, true)))
    }

    /// Where the packets of an entry come in.
    pub fn arrival_of(&self, flow: SourceGroup) -> Option<IfKey> {
        self.mfes.get(&flow).map(|e| if e.is_normal() { e.iif } else { e.arrival })
    }

    /// Rule E1 from its start, for a new flow or in place of an entry (rules E5, E8, E9).
    pub fn build(
        &mut self,
        flow: SourceGroup,
        arrival: IfKey,
        header: Header,
        named: Option<RouteEntry>,
    ) {
        let route = named.map(|r| RouteEntry { to: self.meant(r.to), ..r });
        let serial = self.next_serial();
        let there = self.mfes.get(&flow);
        let asks = self.asks(route, arrival);
        let routeless = asks.is_some_and(|(_, _, routeless)| routeless);
        let upstream = match (route, there) {
            _ if routeless => flow.source(),
            (Some(route), _) => route.upstream,
            // Where a route went away the record shows the last one there was.
            (None, Some(entry)) => entry.upstream,
            (None, None) => flow.source(),
        };
        let iif = asks.map(|(_, iif, _)| iif).or(route.map(|r| r.to)).unwrap_or(arrival);
        let pending = Pending {
            serial,
            rebuild: there.is_some(),
            arrival,
            header,
            named,
            route: route.or(there.and_then(|entry| entry.route)),
            owner: asks.map(|(id, ..)| id),
            routeless,
            proposed: (iif, upstream),
            iif,
            upstream,
            upstream_chosen: false,
            refused: false,
            outdated: false,
            open: 0,
            asked: BTreeSet::new(),
            vetoed: BTreeSet::new(),
            came: None,
        };
        self.pending.insert(flow, pending);
        let Some((owner, ..)) = asks else { return self.install(flow, State::Unresolved) };
        let route = route.filter(|_| !routeless).map(|r| (r.network, r.len));
        let question = Callback::Rpf { flow, iif, upstream, header, route };
        self.enqueue(owner, Item::Rpf { question, flow, pending: serial });
    }

    /// Asks again (decision 35), because what was answered is no longer true.
    fn build_again(&mut self, flow: SourceGroup) {
        if let Some(Pending { arrival, header, named, .. }) = self.pending.remove(&flow) {
            self.build(flow, arrival, header, named);
        }
    }

    /// Rule E2.
    pub fn rpf_answered(&mut self, id: Id, flow: SourceGroup, serial: u64, answer: &Answer) {
        if self.pending.get(&flow).is_none_or(|p| p.serial != serial) {
            return;
        }
        let its = answer.iif.filter(|i| self.owner(*i) == Some(id));
        let Some(pending) = self.pending.get_mut(&flow) else { return };
        if answer.iif.is_some_and(|iif| iif.index == 0) {
            pending.refused = true;
            return self.all_answered(flow);
        }
        let iif = its.unwrap_or(pending.iif);
        let proposed = pending.proposed.1;
        if let Some(named) = answer.upstream.filter(|named| *named != proposed) {
            pending.upstream = named;
            pending.upstream_chosen = true;
        } else if iif != pending.iif {
            pending.upstream = proposed;
            pending.upstream_chosen = false;
        }
        pending.iif = iif;
        self.ask_creation(flow, iif, serial);
    }

    /// Rule E3, with the forced interfaces of an entry that is built anew (decision 16).
    fn ask_creation(&mut self, flow: SourceGroup, iif: IfKey, serial: u64) {
        let mut would_be = self.member_interfaces(flow);
        would_be.extend(self.mfes.get(&flow).iter().flat_map(|e| e.forced.iter().copied()));
        would_be.retain(|i| *i != iif && !self.down.contains(i));
        let mut asked: BTreeMap<Id, Vec<(IfKey, bool, bool)>> = BTreeMap::new();
        for on in would_be {
            let igmp = self.interfaces.get(&on).is_some_and(|i| i.igmp.is_some());
            if let Some(pending) = self.pending.get_mut(&flow) {
                pending.asked.insert(on);
            }
            if let Some(owner) = self.owner(on) {
                asked.entry(owner).or_default().push((on, igmp, true));
            }
        }
        if let Some(pending) = self.pending.get_mut(&flow) {
            pending.open = asked.len();
        }
        if asked.is_empty() {
            return self.all_answered(flow);
        }
        for (owner, out) in asked {
            let question = Callback::Creation { flow, iif, out };
            self.enqueue(owner, Item::Creation { question, flow, pending: serial });
        }
    }

    pub fn creation_answered(&mut self, id: Id, flow: SourceGroup, serial: u64, answer: &Answer) {
        let Some(asked) = self.pending.get(&flow).map(|p| &p.asked) else { return };
        let its = |i: &IfKey| self.owner(*i) == Some(id) && asked.contains(i);
        let vetoes: Vec<IfKey> = answer.veto.iter().copied().filter(its).collect();
        let Some(pending) = self.pending.get_mut(&flow) else { return };
        if pending.serial != serial {
            return;
        }
        pending.vetoed.extend(vetoes);
        pending.open -= 1;
        if pending.open > 0 {
            return;
        }
        self.all_answered(flow);
    }

    fn all_answered(&mut self, flow: SourceGroup) {
        let Some(p) = self.pending.get(&flow) else { return };
        if p.outdated {
            self.look_again([(flow, Why::Outdated)].into_iter());
        }
        let Some(p) = self.pending.get(&flow) else { return };
        let route = p.named.map(|r| RouteEntry { to: self.meant(r.to), ..r });
        let asks = self.asks(route, p.arrival).map(|(id, _, routeless)| (id, routeless));
        let same = asks == p.owner.map(|id| (id, p.routeless));
        if p.rebuild && !self.mfes.contains_key(&flow) {
            // It was deleted meanwhile: the packet that has come since makes it anew, or the next.
            let came = self.pending.remove(&flow).and_then(|p| p.came);
            if let Some((on, header, route)) = came {
                self.build(flow, on, header, route);
            }
        } else if same && self.owner(p.iif) == p.owner {
            self.install(flow, if p.refused { State::Refused } else { State::Normal });
        } else {
            self.build_again(flow);
        }
    }

    /// The entry is made, or made anew in place, and the packets that waited go through it.
    fn install(&mut self, flow: SourceGroup, state: State) {
        let Some(p) = self.pending.remove(&flow) else { return };
        let now = self.now;
        let old = self.mfes.remove(&flow);
        let lifetime = if state == State::Normal { PRUNE_TIMEOUT } else { UNROUTED_LIFETIME };
        // One that stays negative for want of a route or an owner, or that is refused, keeps its
        // place.
        let stays = old.as_ref().filter(|e| state != State::Normal && e.oifs.is_empty());
        let negative_since = stays.map(|e| e.negative_since);
        let negative_since = negative_since.unwrap_or_else(|| self.next_serial());
        // What a refusal says besides counts for nothing.
        let refused = state == State::Refused;
        let last = old.as_ref().map_or(flow.source(), |e| e.upstream);
        let named = p.named.map(|r| RouteEntry { to: self.meant(r.to), ..r });
        let iif = match named {
            _ if !refused => p.iif,
            Some(route) if p.routeless => route.to,
            _ => p.proposed.0,
        };
        let entry = Entry {
            state,
            routeless: p.routeless,
            arrival: p.arrival,
            iif,
            iif_chosen: state == State::Normal && p.iif != p.proposed.0,
            upstream: if refused { named.map_or(last, |r| r.upstream) } else { p.upstream },
            upstream_chosen: p.upstream_chosen && !refused,
            route: p.route,
            vetoed: p.vetoed,
            forced: old.iter().flat_map(|e| e.forced.iter().copied()).collect(),
            made: old.as_ref().map_or(now, |e| e.made),
            lifetime_began: now,
            lifetime,
            packets_then: old.as_ref().map_or(0, |e| e.packets),
            negative_since,
            stand: self.next_serial(),
            packets: old.as_ref().map_or(0, |e| e.packets),
            octets: old.as_ref().map_or(0, |e| e.octets),
            wrong_if: old.as_ref().map_or(0, |e| e.wrong_if),
            oifs: old.as_ref().map_or_else(BTreeMap::new, |e| e.oifs.clone()),
            last_wrong_if: old.as_ref().and_then(|e| e.last_wrong_if),
        };
        self.mfes.insert(flow, entry);
        let wanted = self.wanted_oifs(flow);
        if let Some(entry) = self.mfes.get_mut(&flow) {
            entry.set_oifs(&wanted);
        }
        self.tell_built(flow, old.as_ref(), &wanted, p.owner.filter(|_| refused));
        self.keep_limits();
        self.ready.extend(self.held.remove(&flow).unwrap_or_default());
        self.pass_ready();
    }

    /// Rule E4 for a new entry, decisions 16 to 18 for one made anew.
    /// What the client that refused a flow brings about is its own doing.
    fn tell_built(
        &mut self,
        flow: SourceGroup,
        old: Option<&Entry>,
        wanted: &BTreeSet<IfKey>,
        refused_by: Option<Id>,
    ) {
        let (iif, state) = (self.mfes[&flow].iif, self.mfes[&flow].state);
        let owner = self.owner(iif).filter(|_| state == State::Normal);
        let old = old.filter(|e| e.is_normal());
        let had = old.map(Entry::oif_set).unwrap_or_default();
        let join = Callback::Join { of: flow, member: false };
        let now = self.now;
        if let Some(old) = old {
            let moved = old.iif != iif || state != State::Normal;
            let told = |id: &Id| !had.is_empty() && refused_by != Some(*id);
            let before = self.owner(old.iif).filter(told);
            if moved && let Some(before) = before {
                let (of, on) = (flow, old.iif);
                let prune = Callback::Prune { of, on, member: false, timeout: PRUNE_TIMEOUT };
                self.alert(before, prune);
            }
            let Some(owner) = owner else { return };
            let of_others = wanted.iter().any(|oif| self.owner(*oif) != Some(owner));
            if wanted.is_empty() {
                // Of several interfaces that left at once the first is named.
                let left = had.first().copied().filter(|_| !moved);
                self.prune_flow(owner, flow, left.unwrap_or(iif), now);
            } else if moved || (had.is_empty() && of_others) {
                self.alert(owner, join);
            }
            return;
        }
        let Some(owner) = owner else { return };
        if wanted.is_empty() {
            self.prune_flow(owner, flow, iif, now);
        } else if wanted.iter().any(|oif| self.owner(*oif) != Some(owner)) {
            self.alert(owner, join);
        }
    }
}

/// Decision 16: the header that stands for one where there is no packet.
pub fn header_made(flow: SourceGroup) -> Header {
    Header { header: 20, octets: 20, source: flow.source(), group: flow.group() }
}
