//! The thread of one client that delivers its callbacks.

use super::hold::Registered;
use super::proxy::{ProcessLine, Proxy};
use super::requests::send_reply;
use super::{Shared, Task, spawn};
use crate::error::{Error, StartError};
use crate::remote::channel::{Buffer, Ended, receive};
use crate::remote::wire::{Reply, Request, ToHost};
use crate::shell::callbacks::Callbacks;
use crate::sys::{clear, wait_readable};
use crate::types::ClientId;
use std::fmt::Arguments;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Delivers to one client from its registration to its end, whichever process it is in.
struct Delivering<C: 'static> {
    shared: Arc<Shared<C>>,
    proxy: Proxy,
    id: ClientId,
    /// Readable while callbacks wait.
    waiting: OwnedFd,
}

impl<C: Callbacks + From<Proxy>> Shared<C> {
    /// Starts the thread of a client.
    pub(super) fn deliver_to(self: &Arc<Self>, client: &Registered) -> Result<(), Error> {
        let delivering = Delivering {
            shared: Arc::clone(self),
            proxy: client.proxy.clone(),
            id: client.id,
            waiting: self.mgm.client_event(client.id)?,
        };
        let os = |errno| Error::Start(StartError::Os { what: "a client's thread", errno });
        spawn(self, c"mgm-client", delivering).map_err(os)
    }
}

impl<C: Callbacks + From<Proxy>> Delivering<C> {
    /// The client says itself when its callbacks are to be called (rules H).
    fn obey(&self, line: &ProcessLine) -> Result<(), Ended> {
        let (mut input, mut output) = (Buffer::EMPTY, Buffer::EMPTY);
        loop {
            match receive(&line.socket, input.room()?)? {
                ToHost::Request(Request::Dispatch(id)) if id == self.id => {
                    let turn = self.shared.turn_of_dispatch();
                    let dispatched = self.shared.mgm.dispatch(id).map(|()| Reply::Done);
                    // Where it was deregistered meanwhile, what it was sent ahead is not answered yet.
                    line.drain();
                    drop(turn);
                    let text = |failure: Arguments<'_>| self.shared.mgm.line(failure);
                    send_reply(text, &line.socket, &mut output, dispatched)?;
                }
                _ => return Err(Ended::OutOfTurn("something else than a request to dispatch")),
            }
        }
    }
}

impl<C: Callbacks + From<Proxy>> Task for Delivering<C> {
    fn run(&self) {
        while !self.proxy.has_ended() {
            clear(self.proxy.changed());
            match self.proxy.line() {
                Some(line) if self.proxy.kind().dispatched => {
                    // One that is deregistered has no use for its channel.
                    if let Err(reason) = self.obey(&line)
                        && !self.proxy.has_ended()
                    {
                        line.end(reason);
                    }
                    self.proxy.leave_line(&line);
                }
                // While its process is away the callbacks of either kind do nothing.
                _ => {
                    let turn = self.shared.turn();
                    let dispatch = || self.shared.mgm.dispatch(self.id);
                    let done = match self.proxy.kind().dispatched {
                        true => self.proxy.while_away(dispatch),
                        false => Some(dispatch()),
                    };
                    drop(turn);
                    match done {
                        Some(Err(_)) => return,
                        Some(Ok(())) => {}
                        None => continue, // the process has come back
                    }
                    // A failed wait is tried again; it has paused.
                    let _ = wait_readable([&self.waiting, self.proxy.changed()], None);
                }
            }
        }
    }
}
