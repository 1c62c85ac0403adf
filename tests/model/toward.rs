//! Model: the sources that (S,G) memberships name (rules D7, D10), and what clients were told.

use super::members::PRUNE_TIMEOUT;
use super::state::{Id, Interface, Model};
use super::words::*;
use mgm::types::{IfKey, SourceGroup};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

impl Model {
    /// The owner of the interface toward a source, as its route was last looked at.
    pub fn owner_toward(&self, source: Ipv4Addr) -> Option<Id> {
        let named = *self.toward.get(&source)?;
        self.owner(self.meant(named?))
    }

    /// The (S,G) of a source that somebody holds.
    fn keys_of(&self, source: Ipv4Addr) -> BTreeSet<SourceGroup> {
        self.members.iter().map(|m| m.0).filter(|of| of.source() == source).collect()
    }

    /// A membership is about to come: its route is looked up where its source is new.
    pub fn know_source(&mut self, of: SourceGroup) {
        if of.has_source() && !self.toward.contains_key(&of.source()) {
            let route = self.route_named(of.source(), None);
            self.toward.insert(of.source(), route.map(|r| r.to));
        }
    }

    /// A membership has gone, perhaps the last one of its source.
    pub fn forget_source(&mut self, of: SourceGroup) {
        if self.keys_of(of.source()).is_empty() {
            self.toward.remove(&of.source());
        }
    }

    /// Rule D10.
    pub fn look_at_source(&mut self, source: Ipv4Addr) {
        if self.toward.contains_key(&source) {
            let to = self.route_named(source, None).map(|r| r.to);
            self.move_source(source, to);
        }
    }

    /// Decision 75: a packet shows where a source lies to which no owner was known.
    pub fn source_seen(&mut self, source: Ipv4Addr, to: Option<IfKey>) {
        if to.is_some() && self.toward.contains_key(&source) && self.owner_toward(source).is_none()
        {
            self.move_source(source, to);
        }
    }

    fn move_source(&mut self, source: Ipv4Addr, to: Option<IfKey>) {
        let (old, left) = (self.owner_toward(source), self.toward[&source]);
        self.toward.insert(source, to);
        let new = self.owner_toward(source);
        if old == new {
            return;
        }
        for of in self.keys_of(source) {
            let on = left.map(|named| self.meant(named));
            if let (Some(old), Some(on)) = (old.filter(|old| self.others_hold(*old, of)), on) {
                let timeout = PRUNE_TIMEOUT;
                self.alert(old, Callback::Prune { of, on, member: true, timeout });
            }
            if let Some(new) = new.filter(|new| self.others_hold(*new, of)) {
                self.alert(new, Callback::Join { of, member: true });
            }
        }
    }

    pub fn others_hold(&self, id: Id, of: SourceGroup) -> bool {
        self.holders(of).iter().any(|holder| *holder != id)
    }

    /// Who is on an interface changes. Nobody is told (rule D10), so what the old and the new owner
    /// toward a source were told of its memberships need not be so any more.
    pub fn change_owner(&mut self, on: IfKey, change: impl FnOnce(&mut Interface)) {
        let owners = |model: &Self| -> BTreeMap<Ipv4Addr, Option<Id>> {
            model.toward.keys().map(|source| (*source, model.owner_toward(*source))).collect()
        };
        let before = owners(self);
        change(self.interfaces.entry(on).or_default());
        for (source, after) in owners(self) {
            if before[&source] != after {
                let owners = [before[&source], after];
                for of in self.keys_of(source) {
                    self.untold.extend(owners.iter().flatten().map(|id| (*id, of)));
                }
            }
        }
    }

    /// A client is being told of a membership.
    pub fn note_told(&mut self, id: Id, callback: &Callback) {
        let (of, held) = match *callback {
            Callback::Join { of, member: true } => (of, true),
            Callback::Prune { of, member: true, .. } => (of, false),
            _ => return,
        };
        self.told.insert((id, of), held);
        // It may have waited while another came to own the interface toward the source, or the client
        // itself did.
        let owns = || self.owner_toward(of.source()) == Some(id);
        let late = of.has_source() && held != (owns() && self.others_hold(id, of));
        if !late {
            self.untold.remove(&(id, of));
        }
    }
}
