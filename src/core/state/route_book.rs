//! Routes that the core may need during a call, looked up before it.

use crate::error::Error;
use crate::types::IfKey;
use std::net::Ipv4Addr;

/// The interfaces toward sources that a call may need (rule D7), looked up before it.
#[derive(Default)]
pub struct RouteBook {
    known: Vec<(Ipv4Addr, Option<IfKey>)>,
    /// A source that was asked for and was not there.
    missing: Option<Ipv4Addr>,
    gave_up: bool,
}

impl RouteBook {
    /// An empty book.
    pub const fn new() -> Self {
        Self { known: Vec::new(), missing: None, gave_up: false }
    }

    /// The source for which a call failed with [`Error::RouteNeeded`].
    pub const fn take_missing(&mut self) -> Option<Ipv4Addr> {
        self.missing.take()
    }

    /// Adds the interface toward a source; None where there is no route.
    pub fn add(&mut self, source: Ipv4Addr, interface: Option<IfKey>) -> Result<(), Error> {
        self.known.try_reserve(1)?;
        let at = self.known.partition_point(|(known, _)| *known < source);
        self.known.insert(at, (source, interface));
        Ok(())
    }

    /// Memory ran out: the missing route cannot be added.
    pub const fn give_up(&mut self) {
        self.gave_up = true;
    }

    pub(in crate::core) fn require(&mut self, source: Ipv4Addr) -> Result<(), Error> {
        if self.known.binary_search_by_key(&source, |(known, _)| *known).is_ok() {
            return Ok(());
        }
        if self.gave_up {
            return Err(Error::OutOfMemory);
        }
        self.missing = Some(source);
        Err(Error::RouteNeeded)
    }

    pub(in crate::core) fn get(&self, source: Ipv4Addr) -> Option<IfKey> {
        let at = self.known.binary_search_by_key(&source, |(known, _)| *known).ok()?;
        self.known[at].1
    }
}
