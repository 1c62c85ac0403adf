//! What the library's own threads do: the duties that [`Pool`](crate::sys::pool::Pool) keeps going
//! though clients hang.

#![forbid(unsafe_code)]

use crate::forwarder::{Duty, Forwarder, Next, Turn, calling};
use crate::log::Level;
use crate::shell::callbacks::Callbacks;
use crate::shell::context::{JobOf, Performing};
use crate::shell::manager::Mgm;
use crate::sys::Errno;
use crate::sys::sync::Instant;
use std::sync::Arc;
use std::time::Duration;

/// How often lifetimes are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The numbers of the manager's own duties in the pool; the forwarder's follow.
pub(crate) const TICKING: usize = 0;
pub(crate) const WALKING: usize = 1;

/// Once a second what time brings, and what other threads left. With the host's clock the host's calls
/// see to that.
struct Ticking<C: 'static> {
    mgm: &'static Mgm<C>,
    host_clock: bool,
}

impl<C: Callbacks> Duty for Ticking<C> {
    fn first(&self) -> Next {
        if self.host_clock { Next::Woken } else { Next::At(Instant::now() + TICK) }
    }

    fn turn(&self, turn: &Turn<'_>) -> Next {
        match self.host_clock {
            true => Next::Woken,
            false if self.mgm.tick(Some(turn)) => Next::Now,
            false => Next::At(Instant::now() + TICK),
        }
    }
}

/// Looks at the routes that have changed.
struct Walking<C: 'static>(&'static Mgm<C>);

impl<C: Callbacks> Duty for Walking<C> {
    fn first(&self) -> Next {
        Next::Woken
    }

    fn turn(&self, turn: &Turn<'_>) -> Next {
        self.0.walk_on(turn)
    }
}

impl<C: Callbacks> Mgm<C> {
    /// Starts the threads of a run: none where there is nothing that they could do.
    pub(crate) fn start_threads(
        &'static self,
        host_clock: bool,
        forwarder: &dyn Forwarder,
    ) -> Result<(), Errno> {
        let of_forwarder = forwarder.duties();
        if host_clock && of_forwarder.is_empty() {
            return self.pool.start(&[]);
        }
        let mut duties: Vec<Arc<dyn Duty>> = Vec::new();
        duties.try_reserve(2 + of_forwarder.len()).map_err(|_| libc::ENOMEM)?;
        duties.push(Arc::new(Ticking { mgm: self, host_clock }));
        duties.push(Arc::new(Walking(self)));
        duties.extend(of_forwarder);
        self.pool.start(&duties)
    }

    /// Calls a client; another thread takes over what only this one would see to if the client does
    /// not return.
    pub(crate) fn call_client(&self, this: &Performing<'_>, job: JobOf, put: impl FnOnce()) {
        let short = |why| self.log(Level::Error, format_args!("{why}"));
        calling(short, || this.callback(job, put));
    }
}
