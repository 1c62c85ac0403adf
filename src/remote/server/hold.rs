//! What a process leaves behind when it ends (rules P2, P3).

use super::proxy::Proxy;
use super::{Shared, Task, spawn};
use crate::error::Error;
use crate::log::Level;
use crate::remote::wire::ClientKind;
use crate::shell::callbacks::Callbacks;
use crate::sys::sync::unscheduled::Mutex;
use crate::types::{ClientId, ClientName, IfKey, MembershipFlags, SourceGroup};
use hashbrown::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A client of the process.
pub(super) struct Registered {
    pub id: ClientId,
    pub pair: (u32, u32),
    pub proxy: Proxy,
    /// What the process before left behind, until its time is over (rule P3).
    pub held: Option<Arc<Held>>,
}

impl Registered {
    /// It has nothing more to do with what the process before left behind.
    pub(super) fn end_hold(&self) {
        if let Some(held) = &self.held {
            held.end();
        }
    }
}

/// A client whose process has ended and which goes on for a while.
pub(super) struct Held {
    pub id: ClientId,
    pub pair: (u32, u32),
    pub proxy: Proxy,
    again: Mutex<Again>,
    /// The client that took its place has gone as well: another hold takes care of what follows.
    over: AtomicBool,
}

/// What the process that took its place has taken and added again.
#[derive(Default)]
struct Again {
    interfaces: HashSet<IfKey>,
    memberships: HashSet<(SourceGroup, IfKey)>,
}

impl Held {
    /// An interface has been taken, again or for the first time.
    pub(super) fn note_taken(&self, interface: IfKey) -> Result<(), Error> {
        let mut again = self.again.lock();
        again.interfaces.try_reserve(1)?;
        again.interfaces.insert(interface);
        Ok(())
    }

    /// Whether the interface is there and has not been taken again yet.
    pub(super) fn waits_for(&self, interface: IfKey) -> bool {
        !self.over.load(Relaxed) && !self.again.lock().interfaces.contains(&interface)
    }

    /// A membership is about to be added, again or for the first time.
    pub(super) fn note_added(&self, of: SourceGroup, interface: IfKey) -> Result<(), Error> {
        let mut again = self.again.lock();
        again.memberships.try_reserve(1)?;
        again.memberships.insert((of, interface));
        Ok(())
    }

    fn has_added(&self, of: SourceGroup, interface: IfKey) -> bool {
        self.again.lock().memberships.contains(&(of, interface))
    }

    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
    }
}

impl<C: Callbacks + From<Proxy>> Shared<C> {
    /// The process of a client has ended: it leaves now, or after the hold time.
    pub(super) fn leave_or_hold(self: &Arc<Self>, client: Registered) {
        client.proxy.go();
        client.end_hold();
        let Registered { id, pair, proxy, .. } = client;
        if self.hold.is_zero() {
            self.leave(id, pair, &proxy);
            return;
        }
        let again = Mutex::new(Again::default());
        let held =
            Arc::new(Held { id, pair, proxy: proxy.clone(), again, over: AtomicBool::new(false) });
        let kept = {
            let mut now = self.now.lock();
            let kept = !now.stopping && now.held.try_reserve(1).is_ok();
            if kept {
                now.held.push(Arc::clone(&held));
            }
            kept
        };
        let holding = Holding { shared: Arc::clone(self), held: Arc::clone(&held) };
        if !kept || spawn(self, c"mgm-hold", holding).is_err() {
            self.now.lock().held.retain(|other| !Arc::ptr_eq(other, &held));
            self.leave(id, pair, &proxy);
            return;
        }
        let name = ClientName::from(pair);
        self.mgm.log(Level::Info, format_args!("{name} is held for {} s", self.hold.as_secs()));
    }

    /// Releases a client's interfaces and deregisters it.
    pub(super) fn leave(&self, id: ClientId, pair: (u32, u32), proxy: &Proxy) {
        self.for_interfaces(pair, |interface| {
            // Another thread may have been faster.
            let _ = self.mgm.release_interface(id, interface);
        });
        let mut left = self.mgm.deregister(id);
        while let Err(Error::StillOwns(interface)) = left {
            // Taken meanwhile by a call that was under way.
            let _ = self.mgm.release_interface(id, interface);
            left = self.mgm.deregister(id);
        }
        if let Err(error) = left {
            let name = ClientName::from(pair);
            self.mgm.log(Level::Debug, format_args!("{name}, whose process has gone: {error}"));
        }
        proxy.end(None);
    }

    /// A held client whose place a new one with the same ids takes. One with other callbacks is
    /// another client: what was held goes.
    pub(super) fn take_up(&self, pair: (u32, u32), kind: ClientKind) -> Option<Arc<Held>> {
        let held = {
            let mut now = self.now.lock();
            let at = now.held.iter().position(|held| held.pair == pair)?;
            now.held.swap_remove(at)
        };
        if held.proxy.kind() == kind {
            return Some(held);
        }
        held.end();
        self.leave(held.id, pair, &held.proxy);
        None
    }

    /// The hold time is over: what was not taken and added again goes.
    fn sweep(&self, held: &Held) {
        let mut interfaces = 0;
        self.for_interfaces(held.pair, |interface| {
            if held.waits_for(interface) {
                interfaces += u32::from(self.mgm.release_interface(held.id, interface).is_ok());
            }
        });
        let mut memberships = 0;
        self.for_memberships(held.pair, |of, interface| {
            if held.over.load(Relaxed) || held.has_added(of, interface) {
                return;
            }
            let gone =
                self.mgm.delete_membership(held.id, of, interface, MembershipFlags::JOIN).is_ok();
            memberships += u32::from(gone);
            if gone && held.has_added(of, interface) {
                // It was added again just now, when there still was one.
                let _ = self.mgm.add_membership(held.id, of, interface, MembershipFlags::JOIN);
            }
        });
        let name = ClientName::from(held.pair);
        self.mgm.log(
            Level::Info,
            format_args!(
                "{name} is back; {interfaces} interfaces and {memberships} memberships that it did \
                 not ask for again have gone"
            ),
        );
    }

    fn for_interfaces(&self, pair: (u32, u32), mut with: impl FnMut(IfKey)) {
        let mut after = None;
        loop {
            let (found, next) = self.mgm.interfaces_of(pair, after);
            found.into_iter().for_each(&mut with);
            after = next;
            if next.is_none() {
                return;
            }
        }
    }

    fn for_memberships(&self, pair: (u32, u32), mut with: impl FnMut(SourceGroup, IfKey)) {
        let mut after = None;
        loop {
            let (found, next) = self.mgm.memberships_of(pair, after);
            found.into_iter().for_each(|(of, interface)| with(of, interface));
            after = next;
            if next.is_none() {
                return;
            }
        }
    }
}

/// Waits until the time of a held client is over.
struct Holding<C: 'static> {
    shared: Arc<Shared<C>>,
    held: Arc<Held>,
}

impl<C: Callbacks + From<Proxy>> Task for Holding<C> {
    fn run(&self) {
        let Self { shared, held } = self;
        if shared.stopping_within(shared.hold) {
            return;
        }
        let is_left = {
            let mut now = shared.now.lock();
            let before = now.held.len();
            now.held.retain(|other| !Arc::ptr_eq(other, held));
            now.held.len() < before
        };
        if is_left {
            shared.leave(held.id, held.pair, &held.proxy);
        } else if !held.over.load(Relaxed) {
            shared.sweep(held);
            held.end();
        }
    }
}
