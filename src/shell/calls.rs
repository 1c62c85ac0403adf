//! The functions of mgm.h in safe Rust, except those that read (`reads`).

#![forbid(unsafe_code)]

use crate::core::{Adding, ClientInfo, Core, Looked, OwnerChange};
use crate::error::Error;
use crate::log::Level;
use crate::shell::bells::Event;
use crate::shell::call::Call;
use crate::shell::callbacks::Callbacks;
use crate::shell::context;
use crate::shell::deliver::OwnLane;
use crate::shell::manager::{Mgm, Running};
use crate::shell::settings::Settings;
use crate::shell::waits::Wait;
use crate::types::{ClientId, ClientName, IfKey, MembershipFlags, SourceGroup};
use std::net::Ipv4Addr;

impl<C: Callbacks> Mgm<C> {
    // ---- registration ----

    /// MgmRegisterMProtocol (rule B1). Starts the library from the environment where it does not
    /// run.
    pub fn register(
        &'static self,
        callbacks: C,
        protocol: u32,
        component: u32,
    ) -> Result<ClientId, Error> {
        if self.with(|_| ()).is_none() {
            match self.start(Settings::from_env()?) {
                Ok(()) | Err(Error::AlreadyRunning) => {}
                // Another thread may have started it.
                Err(Error::Changing) if self.with(|_| ()).is_some() => {}
                Err(error) => return Err(error),
            }
        }
        let own = OwnLane::of(callbacks.callback_thread())?;
        let now = self.now();
        let info = ClientInfo {
            protocol,
            component,
            has_local_join: callbacks.has_local_join(),
            takes_routeless: callbacks.takes_routeless(),
        };
        let mut state = self.lock();
        let running = state.running().ok_or(Error::NotRunning)?;
        let slot = running.core.next_client_slot()?;
        running.delivery.reserve_lane(slot)?;
        let id = running.core.register(info)?;
        running.delivery.open(id.slot, callbacks, own);
        running.delivery.registered(id.slot, now);
        drop(state);
        self.log(Level::Info, format_args!("{} registered", ClientName { protocol, component }));
        Ok(id)
    }

    /// MgmDeRegisterMProtocol (rules A8, B2).
    pub fn deregister(&'static self, client: ClientId) -> Result<(), Error> {
        let me = context::token();
        let mut call = self.enter_client(client)?;
        let epoch = call.epoch;
        let begun = self.begin_deregister(&mut call, client);
        self.settle(&mut call);
        self.leave(&mut call);
        // Rule A8: no callback of the client is running when this returns, except those that this
        // thread itself is inside of.
        let (waits, name) = begun?;
        self.wait_until(Event::Lane(client.slot), |state| {
            // This goes on during MgmHostStop too, which waits for the same callback; and where
            // MgmHostStop was called inside that callback, until the callback has returned.
            let (running, noted) = state.with_waits();
            let current = running.as_ref().map(|running| (running.epoch, &running.delivery));
            let over = !waits || noted.is_over((me, epoch, client.slot), current);
            if over && let Some(running) = running.filter(|running| running.epoch == epoch) {
                running.gone(client);
            }
            over
        });
        self.log(Level::Info, format_args!("{name} deregistered"));
        Ok(())
    }

    /// Deregisters the client. Gives whether its callback is running on another thread, and its name.
    fn begin_deregister(
        &'static self,
        call: &mut Call,
        client: ClientId,
    ) -> Result<(bool, ClientName), Error> {
        let epoch = call.epoch;
        let me = context::token();
        let begun = loop {
            let mut state = self.lock();
            let (running, waits) = state.with_waits();
            let running = running
                .filter(|running| running.epoch == epoch && !running.closed)
                .ok_or_else(|| Error::no_client(client))?;
            match running.core.may_deregister(client) {
                Err(Error::Again) => {
                    running.post(call);
                    continue;
                }
                result => result?,
            }
            let runner = running.delivery.runner(client.slot).filter(|runner| *runner != me);
            if let Some(runner) = runner {
                let inside = call.here.around.is_some() || context::is_inside_host();
                let wait = Wait { waiter: me, runner, epoch, slot: client.slot, inside };
                if !waits.begin(wait, (epoch, &running.delivery))? {
                    return Err(Error::WouldDeadlock);
                }
            }
            let name = running.core.client_name(client).ok_or_else(|| Error::no_client(client))?;
            running.core.deregister(client)?;
            running.delivery.close(client.slot);
            break (runner.is_some(), name);
        };
        self.answer_orphans(call, client);
        // Flows may have ended that others wait for.
        self.wake_all();
        Ok(begun)
    }

    /// The ids of a registered client.
    pub fn client_name(&self, client: ClientId) -> Option<ClientName> {
        self.state.read().shared()?.core.client_name(client)
    }

    // ---- interfaces ----

    /// MgmTakeInterfaceOwnership (rules C1, C3, C5).
    pub fn take_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        let mut call = self.enter_client(client)?;
        let taken = self.take_in_plane(&mut call, client, interface);
        let result = self.finish_change(&mut call, taken);
        self.leave(&mut call);
        if result.is_ok() {
            self.log(
                Level::Info,
                format_args!("{interface}: taken by {}", self.named(client.slot)),
            );
        }
        result
    }

    /// Changes the ownership. Where nobody is on the interface, the plane is asked first. No other
    /// thread can program the plane in between, so that the interface cannot be given up meanwhile.
    fn take_in_plane(
        &'static self,
        call: &mut Call,
        client: ClientId,
        interface: IfKey,
    ) -> Result<OwnerChange, Error> {
        let take = |core: &mut Core, now| core.take(now, client, interface);
        let take_used = |core: &mut Core, now| {
            let ask = core.may_take(client, interface)?;
            if ask { Ok(None) } else { take(core, now).map(Some) }
        };
        let plane = |run: &mut Running<C>, call: &mut Call| {
            run.post(call);
            (run.forwarder.clone(), run.programming.clone())
        };
        let (taken, (forwarder, programming)) =
            self.ask_with(call, self.now(), take_used, plane)?;
        if let Some(taken) = taken? {
            return Ok(taken);
        }
        if context::is_inside_forwarder() {
            return Err(Error::InsideForwarder);
        }
        // The clock may be the host's, so it is read before anything is locked.
        let now = self.now();
        let taken = {
            let _programming = programming.lock();
            context::inside_forwarder(|| {
                forwarder
                    .add_interface(interface)
                    .map_err(|reason| Error::Forwarder { interface, reason })?;
                let uses = |run: &mut Running<C>, call: &mut Call| {
                    run.post(call);
                    run.core.uses(interface)
                };
                let (taken, used) = self.ask_with(call, now, take, uses)?;
                if !used {
                    forwarder.remove_interface(interface);
                }
                taken
            })
        };
        call.sees_to_all |= context::take_left_over();
        self.give_kept_lines();
        taken
    }

    /// MgmReleaseInterfaceOwnership (rules C3, C4).
    pub fn release_interface(
        &'static self,
        client: ClientId,
        interface: IfKey,
    ) -> Result<(), Error> {
        let mut call = self.enter_client(client)?;
        let release = |core: &mut Core, now| core.release(now, client, interface);
        let released = self.ask_with(&mut call, self.now(), release, Running::post);
        let released = released.and_then(|(released, ())| released);
        let result = self.finish_change(&mut call, released);
        self.leave(&mut call);
        if result.is_ok() {
            let by = self.named(client.slot);
            self.log(Level::Info, format_args!("{interface}: released by {by}"));
        }
        result
    }

    /// Waits until IGMP was told of a change of ownership, where it must be told (rule C3).
    fn finish_change(
        &'static self,
        call: &mut Call,
        begun: Result<OwnerChange, Error>,
    ) -> Result<(), Error> {
        self.settle(call);
        let change = match begun? {
            OwnerChange::Done => return Ok(()),
            OwnerChange::Waits(change) => change,
        };
        if call.waits {
            self.wait_for_job(call, false);
        }
        self.ask_and_perform(call, |core, now| core.change_outcome(now, change))
    }

    /// MgmGetProtocolOnInterface (rule C2): the protocol and component ids of the owner.
    pub fn protocol_on_interface(&self, interface: IfKey) -> Result<(u32, u32), Error> {
        let state = self.state.read();
        state.shared().ok_or(Error::UnknownInterface(interface))?.core.protocol_on(interface)
    }

    // ---- memberships ----

    /// MgmAddGroupMembershipEntry (rules D1 to D9).
    pub fn add_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        if flags.forward {
            self.claim(of);
        }
        loop {
            let looked = match of.has_source() {
                true => self.look_if_needed(client, of, interface, flags)?,
                false => None,
            };
            let add = |core: &mut Core, now| {
                core.add_membership(now, client, of, interface, flags, looked)
            };
            // The last other membership of the source may have gone in between.
            if self.call(client, add)? == Adding::Done {
                break;
            }
        }
        // The entries that are made for flows that were found see the membership already, so each is
        // programmed once.
        if flags.join {
            self.claim(of);
        }
        Ok(())
    }

    /// The route toward the source of a membership, if adding that needs it. It is looked up before the
    /// call, which performs whatever is to be done by then.
    #[inline(never)]
    fn look_if_needed(
        &self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<Option<Looked>, Error> {
        let needs = |running: &Running<C>| running.core.needs_route(client, of, interface, flags);
        let needed = self.state.read().shared().is_some_and(needs);
        needed.then(|| self.look_toward(client, of.source())).transpose()
    }

    /// The owner of an interface hears of IGMP's memberships there again (rule P3).
    pub fn retell_members(&'static self, client: ClientId, key: IfKey) -> Result<(), Error> {
        self.call(client, |core, _| core.retell_members(client, key))
    }

    /// MgmDeleteGroupMembershipEntry (rules D1 to D9).
    pub fn delete_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        if flags.forward {
            self.claim(of);
        }
        self.call(client, |core, now| core.delete_membership(now, client, of, interface, flags))
    }

    /// MgmSetMfe (rule E10).
    pub fn set_upstream(
        &'static self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        self.claim(flow);
        self.call(client, |core, _| core.set_upstream(client, flow, upstream))
    }

    /// The route toward a source without a packet of it (rule D7).
    fn look_toward(&self, client: ClientId, source: Ipv4Addr) -> Result<Looked, Error> {
        let asked = self.with(|running| running.before_look_toward(source));
        let (forwarder, iif, as_of) = asked.ok_or_else(|| Error::no_client(client))?;
        Ok(Looked { route: forwarder.route(source, iif), as_of })
    }
}
