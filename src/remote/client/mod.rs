//! The client process's side: the functions of mgm.h, done by the host that serves at MGM_HOST.
//!
//! | file | what it is |
//! |---|---|
//! | here | the functions |
//! | `session` | one connection to a host, its call channels, its end |
//! | `inside` | what a thread is inside of: calls made there go over that callback's channel |
//! | `callbacks` | calling the program's callbacks, by a thread of the library or by its own |

mod callbacks;
mod inside;
mod session;

use crate::core::containers::registry::Registry;
use crate::core::state::record::{GroupRow, MfeRecord, Rest};
use crate::error::Error;
use crate::handle;
use crate::log::Level;
use crate::remote::channel::Ended;
use crate::remote::records::{Reader, rows};
use crate::remote::wire::{ClientKind, RecordSizes, Reply, Request};
use crate::shell::callbacks::{CallbackSet, CallbackThread, Callbacks};
use crate::shell::group_manager::GroupManager;
use crate::sys::sync::unscheduled::Mutex;
use crate::types::{ClientId, ClientName, EnumId, IfKey, MembershipFlags, SourceGroup};
use callbacks::OwnClient;
use session::Session;
use std::fmt::Arguments;
use std::io::Write;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The most clients, and the most enumerations, of this process.
const MAX_SLOTS: u32 = 1 << 12;

/// A group manager in another process. It must live for ever, as threads of its own refer to it.
pub struct RemoteManager<C: 'static> {
    log: fn(Level, Arguments<'_>),
    sizes: RecordSizes,
    path: OnceLock<PathBuf>,
    known: Mutex<HostHandles<C>>,
}

/// What this process has got from its host.
struct HostHandles<C: 'static> {
    session: Option<Arc<Session>>,
    /// By our own handles: those of a host that has ended are not those of the next (rule A3).
    clients: Registry<Arc<OwnClient<C>>>,
    enumerations: Registry<OpenEnumeration>,
}

/// An enumeration that is open.
#[derive(Clone)]
struct OpenEnumeration {
    session: Arc<Session>,
    id: EnumId,
    of: ClientId,
}

impl<C: Callbacks> RemoteManager<C> {
    /// No connection yet.
    pub const fn new(log: fn(Level, Arguments<'_>), sizes: RecordSizes) -> Self {
        let last = handle::MAX_GENERATION;
        let known = HostHandles {
            session: None,
            clients: Registry::new(1, last),
            enumerations: Registry::new(1, last),
        };
        Self { log, sizes, path: OnceLock::new(), known: Mutex::new(known) }
    }

    /// Says where the host serves. Only the first call counts.
    pub fn set_path(&self, path: PathBuf) {
        let _ = self.path.set(path);
    }

    /// Whether there is, or was, a connection.
    pub fn is_connected(&self) -> bool {
        self.known.try_lock().is_none_or(|known| known.session.is_some())
    }

    /// The connection to the host, made where there is none that works.
    fn session(&self) -> Result<Arc<Session>, Error> {
        let path = self.path.get().ok_or(Error::NotRunning)?;
        let mut known = self.known.lock();
        if let Some(session) = known.session.as_ref().filter(|session| !session.is_dead()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::connect(path, self.sizes, self.log)?);
        known.forget();
        known.session = Some(Arc::clone(&session));
        drop(known);
        (self.log)(Level::Info, format_args!("connected to the host at {}", path.display()));
        Ok(session)
    }

    /// The connection that there is. A read needs no client, so it may be the first call.
    fn for_reading(&self) -> Result<Arc<Session>, Error> {
        self.session()
    }

    fn client(&self, id: ClientId) -> Result<Arc<OwnClient<C>>, Error> {
        let known = self.known.lock();
        let entry =
            known.clients.get(id.slot, id.generation).ok_or_else(|| Error::no_client(id))?;
        Ok(Arc::clone(entry))
    }

    /// A call of a client whose reply says that it is done.
    fn done(&self, id: ClientId, request: impl FnOnce(ClientId) -> Request) -> Result<(), Error> {
        let entry = self.client(id)?;
        entry.session.call(request(entry.id), done)
    }

    /// A call that gives an interface another owner.
    fn changed(
        &self,
        id: ClientId,
        request: impl FnOnce(ClientId) -> Request,
    ) -> Result<(), Error> {
        let entry = self.client(id)?;
        entry.session.call(request(entry.id), |reply, _| {
            let Reply::Changed(times) = reply else { return None };
            entry.session.note_changed(times);
            Some(Ok(()))
        })
    }

    fn enumeration(&self, id: EnumId) -> Result<OpenEnumeration, Error> {
        let known = self.known.lock();
        let open = known.enumerations.get(id.slot, id.generation).cloned();
        open.ok_or_else(|| Error::no_enumeration(id))
    }
}

fn done(reply: Reply<'_>, _: Option<OwnedFd>) -> Option<Result<(), Error>> {
    (reply == Reply::Done).then_some(Ok(()))
}

impl<C> HostHandles<C> {
    /// The handles of a host that has ended are stale.
    fn forget(&mut self) {
        for slot in 0..self.clients.slots() {
            if self.clients.remove_in_slot(slot).is_some() {
                self.clients.free_slot(slot);
            }
        }
        self.end_enumerations(|_| true);
    }

    fn end_enumerations(&mut self, which: impl Fn(&OpenEnumeration) -> bool) {
        for slot in 0..self.enumerations.slots() {
            if self.enumerations.in_slot(slot).is_some_and(&which) {
                self.enumerations.remove_in_slot(slot);
                self.enumerations.free_slot(slot);
            }
        }
    }
}

impl<C: Callbacks> GroupManager<C> for RemoteManager<C> {
    fn register(&'static self, callbacks: C, pair: (u32, u32)) -> Result<ClientId, Error> {
        self.known.lock().clients.reserve_one(MAX_SLOTS)?;
        let kind = ClientKind {
            has_local_join: callbacks.has_local_join(),
            dispatched: callbacks.callback_thread() == CallbackThread::Dispatched,
            takes_routeless: callbacks.takes_routeless(),
        };
        let (protocol, component) = pair;
        let called = CallbackSet::of(&callbacks);
        let request = Request::Register { protocol, component, kind, callbacks: called };
        let ask = |session: Arc<Session>| {
            let registered = session.call(request, |reply, attached| match (reply, attached) {
                (Reply::Client(id), Some(channel)) => Some(Ok((id, channel))),
                _ => None,
            });
            registered.map(|(id, channel)| (session, id, channel))
        };
        // That a host has gone may show only now, when another one is there already.
        let registered = match ask(self.session()?) {
            Err(Error::HostGone) => ask(self.session()?),
            registered => registered,
        };
        let (session, id, channel) = registered?;
        let entry = match OwnClient::begin(
            &session,
            (id, pair.into()),
            callbacks,
            channel,
            kind.dispatched,
        ) {
            Ok(entry) => entry,
            Err(error) => {
                let _ = session.call(Request::Deregister(id), done);
                return Err(error);
            }
        };
        let mut known = self.known.lock();
        if known.clients.reserve_one(MAX_SLOTS).is_err() {
            drop(known);
            let _ = session.call(Request::Deregister(id), done);
            return Err(Error::OutOfMemory);
        }
        let (slot, generation) = known.clients.insert(entry);
        Ok(ClientId { slot, generation })
    }

    fn deregister(&'static self, client: ClientId) -> Result<(), Error> {
        let entry = self.client(client)?;
        entry.leaves();
        if let Err(error) = entry.session.call(Request::Deregister(entry.id), done) {
            entry.stays();
            return Err(error);
        }
        {
            let mut known = self.known.lock();
            known.end_enumerations(|open| {
                open.of == entry.id && Arc::ptr_eq(&open.session, &entry.session)
            });
            if known.clients.remove(client.slot, client.generation).is_some() {
                known.clients.free_slot(client.slot);
            }
        }
        // The host has waited for the last callback to return (rule A8). Its thread ends here.
        entry.end();
        Ok(())
    }

    fn client_name(&self, client: ClientId) -> Option<ClientName> {
        Some(self.client(client).ok()?.name)
    }

    fn take_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        self.changed(client, |id| Request::Take(id, interface))
    }

    fn release_interface(&'static self, client: ClientId, interface: IfKey) -> Result<(), Error> {
        self.changed(client, |id| Request::Release(id, interface))
    }

    fn protocol_on_interface(&self, interface: IfKey) -> Result<(u32, u32), Error> {
        let request = Request::ProtocolOn(interface);
        self.for_reading()?.call(request, |reply, _| match reply {
            Reply::Protocol(protocol, component) => Some(Ok((protocol, component))),
            _ => None,
        })
    }

    fn add_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        self.done(client, |id| Request::Add(id, of, interface, flags))
    }

    fn delete_membership(
        &'static self,
        client: ClientId,
        of: SourceGroup,
        interface: IfKey,
        flags: MembershipFlags,
    ) -> Result<(), Error> {
        self.done(client, |id| Request::Delete(id, of, interface, flags))
    }

    fn set_upstream(
        &'static self,
        client: ClientId,
        flow: SourceGroup,
        upstream: Ipv4Addr,
    ) -> Result<(), Error> {
        self.done(client, |id| Request::SetUpstream(id, flow, upstream))
    }

    fn start_enumeration(&self, client: ClientId, all_sources: bool) -> Result<EnumId, Error> {
        let entry = self.client(client)?;
        self.known.lock().enumerations.reserve_one(MAX_SLOTS)?;
        let request = Request::StartEnumeration(entry.id, all_sources);
        let id = entry.session.call(request, |reply, _| match reply {
            Reply::Enumeration(id) => Some(Ok(id)),
            _ => None,
        })?;
        let session = Arc::clone(&entry.session);
        let mut known = self.known.lock();
        if known.enumerations.reserve_one(MAX_SLOTS).is_err() {
            drop(known);
            let _ = session.call(Request::EndEnumeration(id), done);
            return Err(Error::OutOfMemory);
        }
        let open = OpenEnumeration { session, id, of: entry.id };
        let (slot, generation) = known.enumerations.insert(open);
        Ok(EnumId { slot, generation })
    }

    fn next_groups(
        &self,
        id: EnumId,
        max: usize,
        give: &mut dyn FnMut(GroupRow),
    ) -> Result<Rest, Error> {
        let OpenEnumeration { session, id, .. } = self.enumeration(id)?;
        let mut left = max;
        loop {
            let request = Request::NextGroups(id, left.try_into().unwrap_or(u32::MAX));
            let before = left;
            let rest = session.call_list(request, |octets| {
                let rows = rows(octets)?;
                left = left.checked_sub(rows.len())?;
                rows.for_each(&mut *give);
                Some(())
            })?;
            if rest == Rest::End || left == 0 || left == before {
                return Ok(rest);
            }
        }
    }

    fn end_enumeration(&self, id: EnumId) -> Result<(), Error> {
        let open = self.enumeration(id)?;
        open.session.call(Request::EndEnumeration(open.id), done)?;
        let mut known = self.known.lock();
        if known.enumerations.remove(id.slot, id.generation).is_some() {
            known.enumerations.free_slot(id.slot);
        }
        Ok(())
    }

    fn read_mfe(
        &self,
        flow: SourceGroup,
        stats: bool,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        let (mut oifs, mut failed) = (Vec::new(), None);
        let mut given = false;
        let session = self.for_reading()?;
        session.call_list(Request::ReadMfe(flow, stats), |octets| {
            let mut records = Reader::new(octets, stats);
            loop {
                match records.next(&mut oifs) {
                    Err(error) => failed = Some(error),
                    Ok(None) => return Some(()),
                    // One was asked for.
                    Ok(Some(Ok(record))) if record.flow == flow && !given => give(&record),
                    Ok(Some(_)) => return None,
                }
                given = true;
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None if given => Ok(()),
            None => Err(session.end(Ended::OutOfTurn("nothing instead of an entry"))),
        }
    }

    fn read_mfes(
        &self,
        after: Option<SourceGroup>,
        stats: bool,
        room: usize,
        _has_room: &mut dyn FnMut(usize) -> bool,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> ControlFlow<()>,
    ) -> Result<Rest, Error> {
        let session = self.for_reading()?;
        let room = room.try_into().unwrap_or(u32::MAX);
        let Some(from) = after.map_or(Some(SourceGroup::ALL), SourceGroup::next) else {
            return Ok(Rest::End);
        };
        let (mut next, mut oifs) = (Some(from), Vec::new());
        let (mut full, mut failed) = (false, None);
        let rest = session.call_list(Request::ReadMfes(from, stats, room), |octets| {
            let mut records = Reader::new(octets, stats);
            // What comes after the end is read all the same, so that the channel is free again.
            while !full && failed.is_none() {
                match records.next(&mut oifs) {
                    Ok(None) => break,
                    // Whatever the host sends, a sweep goes on and comes to an end.
                    Ok(Some(Ok(record))) if next.is_some_and(|least| record.flow >= least) => {
                        next = record.flow.next();
                        full = give(&record).is_break();
                    }
                    Ok(Some(_)) => return None,
                    Err(error) => failed = Some(error),
                }
            }
            Some(())
        })?;
        match failed {
            Some(error) => Err(error),
            None if full => Ok(Rest::More),
            None if rest == Rest::More && next == Some(from) => {
                Err(session.end(Ended::OutOfTurn("nothing instead of more entries")))
            }
            // The host has sent all that there is room for.
            None => Ok(rest),
        }
    }

    fn write_state(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut written = Ok(());
        self.for_reading()?.call_pieces(Request::State, |text| {
            // What comes after a failure is read all the same, so that the channel is free again.
            if written.is_ok() {
                written = out.write_all(text);
            }
        })?;
        written.map_err(|error| Error::NotWritten(error.kind()))
    }

    fn client_descriptor(&self, client: ClientId) -> Result<RawFd, Error> {
        self.client(client)?.descriptor()
    }

    fn dispatch(&'static self, client: ClientId) -> Result<(), Error> {
        self.client(client)?.dispatch()
    }
}
