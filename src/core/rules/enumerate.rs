//! Group enumerations (rules F1 to F4).
//!
//! An enumeration remembers the last row that it gave. Rows are in the order of group and source,
//! so that memberships that come and go can neither repeat a row nor hide one (rule F3).

use crate::core::state::Core;
use crate::core::state::client::Enumeration;
use crate::core::state::client::MAX_SLOTS;
use crate::core::state::record::{GroupRow, Rest};
use crate::error::Error;
use crate::types::{ClientId, EnumId, SourceGroup};

impl Core {
    /// Opens an enumeration (rule F1).
    pub fn start_enumeration(
        &mut self,
        client: ClientId,
        all_sources: bool,
    ) -> Result<EnumId, Error> {
        self.slot_of(client)?;
        self.enumerations.reserve_one(MAX_SLOTS)?;
        self.enumerations_of.reserve_one()?;
        let next = Some(SourceGroup::ALL);
        let (slot, generation) =
            self.enumerations.insert(Enumeration { client, all_sources, next });
        self.enumerations_of.insert((client.slot, slot), ());
        Ok(EnumId { slot, generation })
    }

    /// Gives up to `max` rows (rule F2). With `max` 0 nothing is given, and the result says
    /// whether there is a row.
    pub fn next_groups(
        &mut self,
        id: EnumId,
        max: usize,
        give: &mut dyn FnMut(GroupRow),
    ) -> Result<Rest, Error> {
        let groups = &self.groups;
        let Some(enumeration) = self.enumerations.get_mut(id.slot, id.generation) else {
            return Err(Error::no_enumeration(id));
        };
        let mut given = 0;
        while let Some(from) = enumeration.next {
            let Some((found, _)) = groups.next_from(from) else {
                break;
            };
            if given == max {
                return Ok(Rest::More);
            }
            let (row, last) = if enumeration.all_sources {
                (found, found)
            } else {
                (found.any_source(), if found.is_all() { found } else { found.last_of_group() })
            };
            give(row);
            given += 1;
            enumeration.next = last.next();
        }
        // An enumeration that reached its end stays there, whatever is added later (rule F2).
        enumeration.next = None;
        Ok(Rest::End)
    }

    /// Ends an enumeration (rule F4).
    pub fn end_enumeration(&mut self, id: EnumId) -> Result<(), Error> {
        match self.enumerations.remove(id.slot, id.generation) {
            Some(enumeration) => {
                self.enumerations_of.remove((enumeration.client.slot, id.slot));
                self.enumerations.free_slot(id.slot);
                Ok(())
            }
            None => Err(Error::no_enumeration(id)),
        }
    }

    /// Ends the enumerations of a client that deregisters (rule B2).
    pub(in crate::core) fn end_enumerations_of(&mut self, client: ClientId) {
        while let Some((place @ (owner, slot), ())) =
            self.enumerations_of.next_from((client.slot, 0))
            && owner == client.slot
        {
            self.enumerations_of.remove(place);
            self.enumerations.remove_in_slot(slot);
            self.enumerations.free_slot(slot);
        }
    }
}
