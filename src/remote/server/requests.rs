//! Doing what a client process asks: each request is one call of the group manager.

use super::connection::{Connection, MAX_ENUMERATIONS};
use super::hold::Held;
use super::proxy::Proxy;
use crate::core::state::record::Rest;
use crate::error::Error;
use crate::log::{Level, Line};
use crate::remote::channel::{Buffer, Ended, ReplyRoom, room_for_list, send, send_with_list};
use crate::remote::records::{self, Writer};
use crate::remote::wire::{ListPart, Reply, Request, ToClient};
use crate::shell::callbacks::Callbacks;
use crate::shell::context;
use crate::sys::seqpacket;
use crate::types::{ClientId, EnumId, SourceGroup};
use std::fmt::Arguments;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// The octets of a forwarding entry's fixed part and of one of its interfaces in a C record, at
/// least: what does not fit the caller's buffer need not be sent.
const LEAST_RECORD: usize = 60;
const LEAST_OIF: usize = 16;

/// The most rows of a group enumeration in one reply.
const MOST_ROWS: usize = 8192;

/// After so many octets of entries they are sent: those that the group manager reads under one lock.
const PART: usize = 15 * 1024;

/// A piece of the state's text.
const PIECE: usize = 32 * 1024;

impl<C: Callbacks + From<Proxy>> Connection<C> {
    /// Does a request and replies.
    pub(super) fn perform(
        self: &Arc<Self>,
        on: &OwnedFd,
        work: &mut ReplyRoom,
        request: Request,
    ) -> Result<(), Ended> {
        let done = match request {
            Request::Register { protocol, component, kind, callbacks } => {
                match self.register((protocol, component), kind, callbacks) {
                    Ok((id, channel)) => {
                        let reply = ToClient::Reply(Reply::Client(id));
                        return send(on, work.output.room()?, &reply, Some(channel.as_fd()));
                    }
                    Err(error) => Err(error),
                }
            }
            Request::Event(id) => match self.own(id).and_then(|_| self.shared.mgm.client_event(id))
            {
                Ok(event) => {
                    let reply = ToClient::Reply(Reply::Channel);
                    return send(on, work.output.room()?, &reply, Some(event.as_fd()));
                }
                Err(error) => Err(error),
            },
            Request::ReadMfe(..) | Request::ReadMfes(..) | Request::NextGroups(..) => {
                return self.read(on, work, request);
            }
            Request::State => return self.write_state(on, work),
            Request::Channel | Request::Dispatch(_) => {
                return Err(Ended::OutOfTurn("a request that does not belong on this channel"));
            }
            request => self.change(on, request),
        };
        self.reply(on, work, done)
    }

    fn reply(
        &self,
        on: &OwnedFd,
        work: &mut ReplyRoom,
        reply: Result<Reply<'_>, Error>,
    ) -> Result<(), Ended> {
        if let Err(error) = &reply {
            self.log(Level::Debug, format_args!("a call failed: {error}"));
        }
        send_reply(|failure| self.shared.mgm.line(failure), on, &mut work.output, reply)
    }

    /// The requests that change something and have a short reply.
    fn change(self: &Arc<Self>, on: &OwnedFd, request: Request) -> Result<Reply<'static>, Error> {
        let mgm = self.shared.mgm;
        match request {
            Request::Deregister(id) => self.deregister(on, id)?,
            Request::Take(id, interface) => {
                let held = self.own(id)?;
                match (mgm.take_interface(id, interface), held) {
                    (Ok(()), Some(held)) => held.note_taken(interface)?,
                    (Err(Error::AlreadyOwned(..)), Some(held))
                        if held.waits_for(interface) && mgm.is_on(held.pair, interface) =>
                    {
                        held.note_taken(interface)?;
                        mgm.retell_members(id, interface)?;
                    }
                    (taken, _) => taken?,
                }
                return Ok(self.changed());
            }
            Request::Release(id, interface) => {
                self.own(id)?;
                mgm.release_interface(id, interface)?;
                return Ok(self.changed());
            }
            Request::ProtocolOn(interface) => {
                let (protocol, component) = mgm.protocol_on_interface(interface)?;
                return Ok(Reply::Protocol(protocol, component));
            }
            Request::Add(id, of, interface, flags) => {
                if let Some(held) = self.own(id)?.filter(|_| flags.join) {
                    held.note_added(of, interface)?;
                }
                mgm.add_membership(id, of, interface, flags)?;
            }
            Request::Delete(id, of, interface, flags) => {
                self.own(id)?;
                mgm.delete_membership(id, of, interface, flags)?;
            }
            Request::SetUpstream(id, flow, upstream) => {
                self.own(id)?;
                mgm.set_upstream(id, flow, upstream)?;
            }
            Request::StartEnumeration(id, all_sources) => {
                return Ok(Reply::Enumeration(self.start_enumeration(id, all_sources)?));
            }
            Request::EndEnumeration(id) => {
                self.own_enumeration(id)?;
                self.state.lock().enumerations.retain(|(other, _)| *other != id);
                mgm.end_enumeration(id)?;
            }
            _ => return Err(Error::NotRunning),
        }
        Ok(Reply::Done)
    }

    /// An interface has another owner now.
    fn changed(&self) -> Reply<'static> {
        Reply::Changed(self.changes.fetch_add(1, SeqCst) + 1)
    }

    /// A handle is valid on the connection that got it (rule P6). Gives what the client's process
    /// before left behind.
    fn own(&self, id: ClientId) -> Result<Option<Arc<Held>>, Error> {
        if let Some(client) = self.state.lock().clients.iter().find(|client| client.id == id) {
            return Ok(client.held.clone());
        }
        Err(Error::no_client(id))
    }

    fn own_enumeration(&self, id: EnumId) -> Result<(), Error> {
        if self.state.lock().enumerations.iter().any(|(other, _)| *other == id) {
            return Ok(());
        }
        Err(Error::no_enumeration(id))
    }

    fn deregister(&self, on: &OwnedFd, id: ClientId) -> Result<(), Error> {
        self.own(id)?;
        let proxy = {
            let state = self.state.lock();
            state.clients.iter().find(|client| client.id == id).map(|client| client.proxy.clone())
        };
        // This thread waits for the client's callback, which waits for what is asked here: see `drain`.
        if let Some(proxy) = &proxy
            && proxy.asked_by() == Some(context::token())
            && !proxy.is_on(on)
        {
            return Err(Error::WouldDeadlock);
        }
        self.shared.mgm.deregister(id)?;
        // A callback that it was sent ahead may be running (rule A8).
        if let Some(proxy) = proxy {
            proxy.drain(on);
        }
        let gone = {
            let mut state = self.state.lock();
            state.enumerations.retain(|(_, client)| *client != id);
            let at = state.clients.iter().position(|client| client.id == id);
            at.map(|at| state.clients.swap_remove(at))
        };
        if let Some(client) = gone {
            client.end_hold();
            client.proxy.end(Some(on));
        }
        Ok(())
    }

    fn start_enumeration(&self, id: ClientId, all_sources: bool) -> Result<EnumId, Error> {
        self.own(id)?;
        {
            let mut state = self.state.lock();
            if state.enumerations.len() >= MAX_ENUMERATIONS {
                return Err(Error::TooMany(MAX_ENUMERATIONS as u32));
            }
            state.enumerations.try_reserve(1)?;
        }
        let started = self.shared.mgm.start_enumeration(id, all_sources)?;
        let mut state = self.state.lock();
        // Another thread of the process may have used the room that was there.
        if state.enumerations.try_reserve(1).is_err() {
            drop(state);
            self.shared.mgm.end_enumeration(started)?;
            return Err(Error::OutOfMemory);
        }
        state.enumerations.push((started, id));
        Ok(started)
    }

    /// The requests whose reply is a list.
    fn read(&self, on: &OwnedFd, work: &mut ReplyRoom, request: Request) -> Result<(), Ended> {
        let mgm = self.shared.mgm;
        let output = work.output.room()?;
        let mut list = Writer::new(room_for_list(output));
        let read = match request {
            Request::ReadMfe(flow, stats) => {
                let mut fits = true;
                let read = mgm.read_mfe(flow, stats, &mut |record| {
                    fits = list.add_mfe(record, stats);
                });
                // An entry that no message holds.
                if fits { read.map(|()| Rest::End) } else { Err(Error::OutOfMemory) }
            }
            Request::ReadMfes(from, stats, room) => {
                return self.read_mfes(on, work, from, (stats, room as usize));
            }
            Request::NextGroups(id, most) => self.own_enumeration(id).and_then(|()| {
                mgm.next_groups(id, (most as usize).min(MOST_ROWS), &mut |row| {
                    list.add_row(row);
                })
            }),
            _ => return Err(Ended::OutOfTurn("a request that reads nothing")),
        };
        let used = list.used();
        match read {
            Ok(rest) => send_list(on, output, ListPart::Last(rest), used),
            Err(error) => self.reply(on, work, Err(error)),
        }
    }

    /// Sends entries while it reads the next ones, so that the process reads them meanwhile.
    fn read_mfes(
        &self,
        on: &OwnedFd,
        work: &mut ReplyRoom,
        from: SourceGroup,
        (stats, room): (bool, usize),
    ) -> Result<(), Ended> {
        let (mut after, mut left) = (before(from), room);
        loop {
            let (mut last, begun) = (None, left < room);
            let output = work.output.room()?;
            let mut list = Writer::new(room_for_list(output));
            // An entry that does not fit the caller's buffer is sent as well if it is the first: the caller
            // is told its size.
            let fits = |left: usize, oifs: usize| left >= least(oifs) || left == room;
            let (mut wanted, mut used) = (left, 0);
            let mut has_room = |oifs: usize| {
                let fits = fits(wanted, oifs) && used < PART;
                wanted = wanted.saturating_sub(least(oifs));
                used += records::size(oifs, stats);
                fits
            };
            let mut is_full = false;
            let read = self.shared.mgm.read_mfes(after, stats, &mut has_room, &mut |record| {
                let oifs = record.oifs.len();
                if !fits(left, oifs) {
                    return ControlFlow::Break(());
                }
                is_full = list.used() >= PART || !list.add_mfe(record, stats);
                if is_full {
                    return ControlFlow::Break(());
                }
                (last, left) = (Some(record.flow), left.saturating_sub(least(oifs)));
                ControlFlow::Continue(())
            });
            let used = list.used();
            match (read, last) {
                (Ok(Rest::More), Some(flow)) if is_full => {
                    send_list(on, output, ListPart::Some, used)?;
                    after = Some(flow);
                }
                // An entry that no message holds.
                (Ok(Rest::More), None) if is_full && !begun => {
                    return self.reply(on, work, Err(Error::OutOfMemory));
                }
                (Err(error), None) if !begun => return self.reply(on, work, Err(error)),
                // What was read before memory ran out is good (rules A2, A4).
                (Err(_), _) => return send_list(on, output, ListPart::Last(Rest::More), used),
                (Ok(rest), _) => return send_list(on, output, ListPart::Last(rest), used),
            }
        }
    }

    fn write_state(&self, on: &OwnedFd, work: &mut ReplyRoom) -> Result<(), Ended> {
        let ReplyRoom { output, list } = work;
        let room = list.room()?;
        let mut pieces = Pieces { on, output: output.room()?, text: &mut room[..PIECE], used: 0 };
        let written = self.shared.mgm.write_state(&mut pieces);
        let ended = pieces.flush_out().and_then(|()| match written {
            Ok(()) => send(on, pieces.output, &ToClient::Reply(Reply::Text(&[])), None),
            Err(_) => Ok(()),
        });
        ended?;
        written.or_else(|error| self.reply(on, work, Err(error)))
    }
}

/// Sends a reply, or why there is none. `line` makes that a line as the host's log has it.
pub(super) fn send_reply(
    line: impl FnOnce(Arguments<'_>) -> Line,
    on: &OwnedFd,
    output: &mut Buffer,
    reply: Result<Reply<'_>, Error>,
) -> Result<(), Ended> {
    match reply {
        Ok(reply) => send(on, output.room()?, &ToClient::Reply(reply), None),
        Err(error) => {
            let line = line(format_args!("{error}"));
            let failed = Reply::Failed(error.code(), error.level() as u8, line.as_str());
            send(on, output.room()?, &ToClient::Reply(failed), None)
        }
    }
}

/// The flow before one, for reads that begin after a flow.
fn before(from: SourceGroup) -> Option<SourceGroup> {
    from.to_bits().checked_sub(1).map(SourceGroup::from_bits)
}

/// The octets that an entry takes in the caller's buffer, at least.
const fn least(oifs: usize) -> usize {
    LEAST_RECORD + LEAST_OIF * oifs
}

fn send_list(on: &OwnedFd, output: &mut [u8], part: ListPart, used: usize) -> Result<(), Ended> {
    send_with_list(on, output, &ToClient::Reply(Reply::List(part)), used)?;
    if part == ListPart::Last(Rest::More) {
        // The process asks for the rest as soon as it has read this.
        seqpacket::stay_awake(on);
    }
    Ok(())
}

/// The state's text in pieces.
struct Pieces<'a> {
    on: &'a OwnedFd,
    output: &'a mut [u8],
    text: &'a mut [u8],
    used: usize,
}

impl Pieces<'_> {
    fn flush_out(&mut self) -> Result<(), Ended> {
        if self.used > 0 {
            let piece = Reply::Text(&self.text[..self.used]);
            send(self.on, self.output, &ToClient::Reply(piece), None)?;
            self.used = 0;
        }
        Ok(())
    }
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.used == self.text.len() {
            self.flush_out().map_err(io::Error::other)?;
        }
        let size = text.len().min(self.text.len() - self.used);
        self.text[self.used..self.used + size].copy_from_slice(&text[..size]);
        self.used += size;
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
