//! Routes that the core may need during a call, looked up before it.

use crate::core::containers::steps::step;
use crate::error::Error;
use crate::types::IfKey;
use std::net::Ipv4Addr;

/// The interfaces toward sources that a call may need (rule D7), looked up before it.
///
/// A call that lacks some fails with [`Error::RouteNeeded`], with nothing changed. It names all
/// that it lacks, so that the second attempt finds them all.
#[derive(Default)]
pub struct RouteBook {
    /// Ordered by source.
    known: Vec<(Ipv4Addr, Option<IfKey>)>,
    /// Sources that were asked for and were not there.
    missing: Vec<Ipv4Addr>,
    gave_up: bool,
}

impl RouteBook {
    /// An empty book.
    pub const fn new() -> Self {
        Self { known: Vec::new(), missing: Vec::new(), gave_up: false }
    }

    /// Looks up the sources that a call lacked, each once. `look_up` gives the interface toward a
    /// source, None where there is no route.
    pub fn fill(
        &mut self,
        mut look_up: impl FnMut(Ipv4Addr) -> Option<IfKey>,
    ) -> Result<(), Error> {
        let mut missing = std::mem::take(&mut self.missing);
        missing.sort_unstable();
        missing.dedup();
        self.known.try_reserve(missing.len())?;
        for source in missing {
            step();
            self.known.push((source, look_up(source)));
        }
        self.known.sort_unstable_by_key(|(source, _)| *source);
        Ok(())
    }

    /// Memory ran out: what is missing cannot be added.
    pub fn give_up(&mut self) {
        self.missing.clear();
        self.gave_up = true;
    }

    /// Gives [`Error::RouteNeeded`], and notes the source, where it has not been looked up.
    pub(in crate::core) fn require(&mut self, source: Ipv4Addr) -> Result<(), Error> {
        if self.place_of(source).is_ok() {
            return Ok(());
        }
        if self.gave_up {
            return Err(Error::OutOfMemory);
        }
        self.missing.try_reserve(1)?;
        self.missing.push(source);
        Err(Error::RouteNeeded)
    }

    pub(in crate::core) fn get(&self, source: Ipv4Addr) -> Option<IfKey> {
        let at = self.place_of(source).ok()?;
        self.known[at].1
    }

    fn place_of(&self, source: Ipv4Addr) -> Result<usize, usize> {
        step();
        self.known.binary_search_by_key(&source, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_source_is_looked_up_once() {
        let mut book = RouteBook::new();
        let ip = Ipv4Addr::from_bits;
        for source in [7, 3, 7, 5, 3] {
            assert_eq!(book.require(ip(source)), Err(Error::RouteNeeded));
        }
        let interface = |source: Ipv4Addr| Some(IfKey::new(source.to_bits(), ip(0)));
        let mut asked = Vec::new();
        let look_up = |source| {
            asked.push(source);
            interface(source)
        };
        book.fill(look_up).unwrap();
        assert_eq!(asked, [ip(3), ip(5), ip(7)]);
        assert_eq!(book.require(ip(4)), Err(Error::RouteNeeded));
        book.fill(|_| None).unwrap();
        for source in [3, 5, 7] {
            assert_eq!(book.require(ip(source)), Ok(()));
            assert_eq!(book.get(ip(source)), interface(ip(source)));
        }
        assert_eq!((book.require(ip(4)), book.get(ip(4))), (Ok(()), None));
        assert_eq!(book.require(ip(6)), Err(Error::RouteNeeded));
        book.give_up();
        book.fill(|_| unreachable!("nothing is asked for any more")).unwrap();
        assert_eq!(book.require(ip(6)), Err(Error::OutOfMemory));
    }
}
