//! Entries on their way into the forwarding plane, many at a time.

#![forbid(unsafe_code)]

use crate::core::Core;
use crate::core::state::plane::PlaneEntry;
use crate::error::Error;
use crate::forwarder::Forwarder;
use crate::sys::sync::Mutex;
use crate::types::{Counters, IfKey, SourceGroup};
use std::sync::Arc;

/// How many entries are programmed at a time.
pub(crate) const BATCH: usize = 128;

/// What programming the plane takes.
pub(crate) struct PlaneAccess {
    pub forwarder: Arc<dyn Forwarder>,
    pub programming: Arc<Mutex<Batch>>,
}

/// An entry that is being programmed.
pub(crate) struct BatchEntry {
    pub flow: SourceGroup,
    /// The state that it is to have; its oifs are among those of the batch. None: it is deleted.
    pub now: Option<PlaneEntry>,
    pub refused: bool,
    /// What the plane had counted for it before.
    pub before: Counters,
    /// How many of the batch's joined interfaces are its own.
    pub joined: usize,
}

/// The entries that are being programmed. It is kept so that its memory is reused.
pub(crate) struct Batch {
    pub entries: Vec<BatchEntry>,
    pub oifs: Vec<IfKey>,
    /// Those that are being added, for a plane that counts for each.
    pub joined: Vec<IfKey>,
    pub unused: Option<IfKey>,
}

impl Batch {
    /// An empty batch with room for [`BATCH`] entries, so that there is always room for an entry
    /// that is to be deleted.
    pub(crate) fn new() -> Self {
        let entries = Vec::with_capacity(BATCH);
        Self { entries, oifs: Vec::new(), joined: Vec::new(), unused: None }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.oifs.clear();
        self.joined.clear();
        self.unused = None;
    }

    /// Adds an entry, as the core has it now.
    pub(crate) fn add(
        &mut self,
        core: &mut Core,
        flow: SourceGroup,
        id: u32,
        refused: bool,
        counts_each: bool,
    ) -> Result<(), Error> {
        self.entries.try_reserve(1)?;
        let now = core.entry_state(flow, id, &mut self.oifs)?;
        let before = self.joined.len();
        if let Some(now) = now.filter(|now| counts_each && now.joined && now.installed) {
            self.joined.try_reserve(now.oifs)?;
            self.joined.extend(core.being_added(now.id));
        }
        let joined = self.joined.len() - before;
        self.entries.push(BatchEntry { flow, now, refused, before: Counters::default(), joined });
        Ok(())
    }
}
