//! Looks at the routes toward all sources under a prefix, which may have changed (rules D10, E5, E9).

#![forbid(unsafe_code)]

use crate::core::{Concerned, Looked, RoutesAsOf};
use crate::error::Error;
use crate::forwarder::{Forwarder, Next, Turn};
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::duties::WALKING;
use crate::shell::manager::{Mgm, Running};
use crate::shell::walks::{EVERYTHING, More, Prefix, Whose};
use crate::sys::sync::Instant;
use crate::types::{IfKey, Millis};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// How many flows are looked at together.
const TOGETHER: usize = 32;

/// What comes next in a walk: each with the source, and what stands for the arrival interface of its
/// packets.
struct Places {
    places: SmallVec<[(Concerned, Ipv4Addr, Option<IfKey>); TOGETHER]>,
    forwarder: Arc<dyn Forwarder>,
    as_of: RoutesAsOf,
}

impl<C: Clone> Running<C> {
    /// What is under a prefix, some of it, after a place.
    fn places_under(&self, prefix: Prefix, after: Option<Concerned>) -> Option<Places> {
        // The host is asked and told about one before it is about the next.
        let most = if self.forwarder.takes_packets() { 1 } else { TOGETHER };
        let core = &self.core;
        let mut places = SmallVec::new();
        let mut next = core.next_concerned(prefix.0, prefix.1, after);
        while let Some(place) = next.filter(|_| places.len() < most) {
            places.push(match place {
                Concerned::Source(source) => (place, source, core.iif_of_source(source)),
                Concerned::Flow(flow) => (place, flow.source(), core.iif_of(flow)),
            });
            next = core.next_concerned(prefix.0, prefix.1, Some(place));
        }
        let (forwarder, as_of) = (self.forwarder.clone(), core.routes_as_of());
        (!places.is_empty()).then_some(Places { places, forwarder, as_of })
    }

    /// What the pool is to look at next.
    fn next_places(&mut self) -> More<(Prefix, Places)> {
        let now = Instant::now();
        loop {
            let at = match self.walks.next(now) {
                More::Now(at) => at,
                More::At(until) => return More::At(until),
                More::Nothing => return More::Nothing,
            };
            let (prefix, after) = self.walks.go_on(at, now);
            match self.places_under(prefix, after) {
                Some(places) => return More::Now((prefix, places)),
                None => self.walks.ended(at, now),
            }
        }
    }
}

impl<C: Callbacks> Mgm<C> {
    /// Routes under a prefix may have changed, as the host says. What this causes has happened when
    /// this returns, if the call waits at all.
    pub(crate) fn look_under(&'static self, call: &mut Call, network: Ipv4Addr, len: u8) {
        let (prefix, epoch) = ((network, len), call.epoch);
        let begun = self.with_in(epoch, |running| {
            // This is noted before the walk begins, since look-ups that are under way now may end
            // after it.
            running.core.routes_changed(network, len);
            running.walks.begin(prefix)
        });
        let Ok(id) = begun else { return };
        let mut after = None;
        let next = |after| {
            self.with_in(epoch, |running| {
                let places = running.places_under(prefix, after);
                let at = running.walks.place_of_hosts(id);
                if let (None, Some(at)) = (&places, at) {
                    running.walks.end_hosts(at);
                }
                // Nobody has taken the walk over where it is still noted.
                Some((places?, at.is_some() || id == 0))
            })
        };
        while let Ok(Some((places, own))) = next(after) {
            if !own && !call.waits {
                return;
            }
            after = places.places.last().map(|(place, ..)| *place);
            self.look_at(call, Whose::Host(id), &places, &|| true);
        }
    }

    /// Routes under a prefix may have changed, as the plane says. The pool looks at them, or this
    /// thread where there is no pool.
    pub(crate) fn look_later(
        &'static self,
        call: &mut Call,
        network: Ipv4Addr,
        len: u8,
    ) -> Result<(), Error> {
        if !self.pool.has(WALKING) {
            self.look_under(call, network, len);
            return Ok(());
        }
        self.with_in(call.epoch, |running| {
            running.core.routes_changed(network, len);
            // Most prefixes of a table hold no source.
            if running.core.next_concerned(network, len, None).is_some() {
                running.walks.add((network, len));
            }
        })?;
        self.pool.wake(WALKING);
        Ok(())
    }

    /// Goes on with the pool's walks for a while. Gives when there is more to do.
    pub(crate) fn walk_on(&'static self, turn: &Turn<'_>) -> Next {
        let mut next = Next::Woken;
        self.unattended("route change", |call| {
            next = Next::Now;
            while next == Next::Now && turn.goes_on() && !turn.is_long() {
                next = self.look_at_some(call, &|| turn.goes_on());
            }
            Ok(())
        });
        if self.is_broken() { Next::Woken } else { next }
    }

    /// Lets the pool go on with walks of the host's that have stood still since the last tick.
    pub(crate) fn take_walks_over(&'static self, call: &Call) {
        if self.with_in(call.epoch, |running| running.walks.take_idle()) == Ok(true) {
            self.pool.wake(WALKING);
        }
    }

    fn look_at_some(&'static self, call: &mut Call, goes_on: &impl Fn() -> bool) -> Next {
        match self.with_in(call.epoch, Running::next_places) {
            Ok(More::Now((prefix, places))) => {
                self.look_at(call, Whose::Pool(prefix), &places, goes_on);
                Next::Now
            }
            Ok(More::At(until)) => Next::At(until),
            Ok(More::Nothing) | Err(_) => Next::Woken,
        }
    }

    /// Looks up the routes toward some sources and tells the core, one after the other, each with all
    /// that it causes.
    fn look_at(
        &'static self,
        call: &mut Call,
        whose: Whose,
        Places { places, forwarder, as_of }: &Places,
        goes_on: &impl Fn() -> bool,
    ) {
        let sources = places.iter().map(|(_, source, _)| *source);
        forwarder.look_ahead(&sources.collect::<SmallVec<[Ipv4Addr; TOGETHER]>>());
        let route = |&(place, source, iif): &(Concerned, Ipv4Addr, Option<IfKey>)| {
            (place, Looked { route: forwarder.route(source, iif), as_of: *as_of })
        };
        let mut looked = places.iter().map(route).collect::<SmallVec<[_; TOGETHER]>>().into_iter();
        let mut work = true;
        while work && goes_on() {
            let now = self.now();
            let told = self.with_in(call.epoch, |running| {
                running.begin_asking(call, call.job);
                work = false;
                for (place, looked) in looked.by_ref() {
                    running.walks.come_to(whose, place);
                    // For want of memory it stays as it is and is looked at again.
                    running.look_all |= running.rerouted(now, whose, place, looked).is_err();
                    work = running.has_more_to_do(call);
                    if work {
                        break;
                    }
                }
                running.post(call);
            });
            if told.is_err() {
                return;
            }
            if work {
                self.settle(call);
            }
        }
    }
}

impl<C> Running<C> {
    fn rerouted(
        &mut self,
        now: Millis,
        whose: Whose,
        place: Concerned,
        looked: Looked,
    ) -> Result<(), Error> {
        let outdated = |source| self.core.has_route_changed(source, looked.as_of);
        match (place, whose) {
            // The walk will come by again because of the change that came meanwhile. A narrower one
            // does not wait for that.
            (Concerned::Source(source), Whose::Pool(EVERYTHING)) if outdated(source) => Ok(()),
            (Concerned::Flow(flow), Whose::Pool(EVERYTHING)) if outdated(flow.source()) => Ok(()),
            (Concerned::Source(source), Whose::Pool(_)) if outdated(source) => {
                self.core.look_at_source_later(source)
            }
            (Concerned::Source(source), _) => self.core.source_rerouted(source, looked),
            (Concerned::Flow(flow), _) => self.core.rerouted(now, flow, looked, false),
        }
    }
}
