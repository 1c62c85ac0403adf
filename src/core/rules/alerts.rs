//! Who is told of memberships (rules D7, D9, D10).

use crate::core::state::members::{CountedClient, MemberSet, Role};
use crate::core::state::outbox::{Action, LifetimeAsk};
use crate::core::state::route_changes::Looked;
use crate::core::state::{Core, Relook};
use crate::error::Error;
use crate::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// Who hears that a client begins or ceases to hold a key (rule D7).
pub(in crate::core) enum Audience {
    Everybody,
    One(u32),
    Nobody,
}

impl Audience {
    /// How many alerts that is at most.
    pub(in crate::core) const fn size(&self, clients: usize) -> usize {
        match self {
            Self::Everybody => clients,
            Self::One(_) | Self::Nobody => 1,
        }
    }
}

impl Core {
    /// Who hears that this client begins or ceases to hold `of`. `entry` is what there is of it;
    /// whether the client itself is still in it, or already, makes no difference.
    pub(in crate::core) fn audience(
        &self,
        of: SourceGroup,
        entry: Option<u32>,
        slot: u32,
    ) -> Audience {
        if !of.has_source() {
            return self.audience_among(entry, |_, counted| counted.client != slot);
        }
        let owner = self.owner_toward(of.source()).filter(|owner| *owner != slot);
        let entry = entry.map(|id| &self.groups[id]);
        let is_held = |owner| entry.is_some_and(|entry| entry.is_held_beside(&[owner, slot]));
        owner.filter(|owner| !is_held(*owner)).map_or(Audience::Nobody, Audience::One)
    }

    /// The same for (*,G) and (*,*), where `stays` tells who holds the key besides.
    pub(in crate::core) fn audience_among(
        &self,
        entry: Option<u32>,
        stays: impl Fn(&MemberSet, CountedClient) -> bool,
    ) -> Audience {
        let Some(entry) = entry.map(|id| &self.groups[id]) else { return Audience::Everybody };
        let mut others = entry.counted.iter().filter(|counted| stays(entry, **counted));
        match (others.next(), others.next()) {
            (None, _) => Audience::Everybody,
            (Some(one), None) => Audience::One(one.client),
            (Some(_), Some(_)) => Audience::Nobody,
        }
    }

    /// The owner of the interface toward a source that (S,G) memberships name.
    fn owner_toward(&self, source: Ipv4Addr) -> Option<u32> {
        self.owner_by_route(self.sources.toward(source))
    }

    fn owner_by_route(&self, interface: Option<IfKey>) -> Option<u32> {
        let toward = self.interfaces.resolve(interface?)?;
        self.interfaces[toward].owner()
    }

    /// Tells those who hear of it; never the client that causes it.
    pub(in crate::core) fn tell(&mut self, audience: Audience, cause: u32, action: Action) {
        match audience {
            Audience::Everybody => {
                for (slot, _, _) in self.clients.iter() {
                    if slot != cause {
                        self.outbox.push(slot, action);
                    }
                }
            }
            Audience::One(slot) => self.outbox.push(slot, action),
            Audience::Nobody => {}
        }
    }

    /// Tells the routing protocol that owns the interface what IGMP did (rule D9).
    pub(in crate::core) fn tell_local(
        &mut self,
        interface: u32,
        role: Role,
        action: impl FnOnce(IfKey) -> Action,
    ) {
        let Some(protocol) = self.interfaces[interface].protocol else { return };
        if role == Role::Igmp {
            self.outbox.push(protocol, action(self.interfaces[interface].key));
        }
    }

    /// Whether a membership in this role counts for D7: all do but IGMP's beside an owner that
    /// has a local-join callback (rule D9).
    pub(in crate::core) fn counts_for_d7(&self, interface: u32, role: Role) -> bool {
        let owner = self.interfaces[interface].protocol.and_then(|slot| self.clients.in_slot(slot));
        role == Role::Protocol || !owner.is_some_and(|owner| owner.info.has_local_join)
    }

    /// The route toward a source, looked up anew because routes have changed (rule D10). An answer
    /// that does not hold any more is not taken: another look follows the change that came since, or
    /// is asked for here where there were more changes than are remembered.
    pub fn source_rerouted(&mut self, source: Ipv4Addr, looked: Looked) -> Result<(), Error> {
        let Looked { route, as_of } = looked;
        if self.has_route_changed(source, as_of) || !self.sources.knows(source) {
            return Ok(());
        }
        if self.route_changes.concern(source, as_of) {
            return self.look_at_source_later(source);
        }
        self.move_source(source, route.map(|route| route.interface))
    }

    /// Asks for another look at the route toward a source.
    pub fn look_at_source_later(&mut self, source: Ipv4Addr) -> Result<(), Error> {
        self.relook.try_reserve(1)?;
        self.look_later(Relook::Source { source });
        Ok(())
    }

    /// A packet has shown where a source lies: news where no owner was known toward it (decision
    /// 75).
    pub(in crate::core) fn source_seen(
        &mut self,
        source: Ipv4Addr,
        toward: Option<IfKey>,
    ) -> Result<(), Error> {
        if toward.is_some() && self.sources.knows(source) && self.owner_toward(source).is_none() {
            return self.move_source(source, toward);
        }
        Ok(())
    }

    /// The route toward a source moves: its memberships are the new owner's business.
    fn move_source(&mut self, source: Ipv4Addr, to: Option<IfKey>) -> Result<(), Error> {
        self.catch_up_source(source)?;
        let before = self.sources.toward(source);
        let (old, new) = (self.owner_by_route(before), self.owner_by_route(to));
        if old != new {
            self.outbox.reserve(2 * self.sources.entries_of(source).count())?;
            let left = before.and_then(|key| self.interfaces.resolve(key));
            let left = left.map(|id| self.interfaces[id].key);
            for id in self.sources.entries_of(source) {
                let entry = &self.groups[id];
                let (of, held) = (entry.of(), |owner: &u32| entry.is_held_beside(&[*owner]));
                if let (Some(old), Some(interface)) = (old.filter(held), left) {
                    let asks = LifetimeAsk::NONE;
                    self.outbox.push(old, Action::Prune { of, interface, member: true, asks });
                }
                if let Some(new) = new.filter(held) {
                    self.outbox.push(new, Action::Join { of, member: true });
                }
            }
        }
        self.sources.set_toward(source, to);
        Ok(())
    }

    /// The route toward a new source may have changed while it was looked up. Room must have been
    /// reserved.
    pub(in crate::core) fn look_if_outdated(&mut self, source: Ipv4Addr, looked: Looked) {
        if self.route_changes.concern(source, looked.as_of) {
            self.look_later(Relook::Source { source });
        }
    }
}
