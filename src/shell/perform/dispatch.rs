//! Clients that dispatch their callbacks themselves (rules H1 to H8).

#![forbid(unsafe_code)]

use crate::error::Error;
use crate::shell::callbacks::Callbacks;
use crate::shell::manager::Mgm;
use crate::sys::Readiness;
use crate::types::ClientId;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The most callbacks of one dispatch (rule H3).
const MOST_DISPATCHED: u32 = 256;

impl<C: Callbacks> Mgm<C> {
    /// A duplicate of what is readable while callbacks wait for a client that dispatches them (rule H2).
    pub fn client_event(&self, client: ClientId) -> Result<OwnedFd, Error> {
        self.own_of(client, |own| own.duplicate().map_err(|_| Error::OutOfMemory))?
    }

    /// The number of the descriptor itself: it is the library's, and ends with the registration.
    pub fn client_descriptor(&self, client: ClientId) -> Result<RawFd, Error> {
        self.own_of(client, |own| own.descriptor().as_raw_fd())
    }

    fn own_of<R>(&self, client: ClientId, of: impl FnOnce(&Readiness) -> R) -> Result<R, Error> {
        let asked = self.with(|running| {
            running.core.is_registered(client)?;
            running.delivery.own(client.slot).map(of).ok_or(Error::NotDispatched)
        });
        asked.unwrap_or_else(|| Err(Error::no_client(client)))
    }

    /// Calls what waits for a client that dispatches its callbacks, on this thread (rules H1, H3, H7).
    pub fn dispatch(&'static self, client: ClientId) -> Result<(), Error> {
        let mut call = self.enter_client(client)?;
        // Its callbacks are calls from outside any callback to others, even inside one.
        call.waits = false;
        let me = call.here.token;
        let begun = self.with_in(call.epoch, |running| {
            running.core.is_registered(client)?;
            running.delivery.begin_dispatch(client.slot, me)
        });
        let begun = begun.and_then(|begun| begun);
        if begun == Ok(true) {
            (call.lane, call.dispatches) =
                (Some(client.slot), Some((client.slot, MOST_DISPATCHED)));
            self.settle(&mut call);
            let _ =
                self.with_in(call.epoch, |running| running.delivery.end_dispatch(client.slot, me));
        }
        self.leave(&mut call);
        begun.map(drop)
    }
}
