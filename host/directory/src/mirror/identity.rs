//! Who an entry is: names are used again, lasting names (entryUUID) are not.

use super::apply::Applying;
use super::found::Found;
use super::records::Record;
use crate::dn::Dn;
use crate::error::EditError;

impl Applying<'_, '_> {
    /// Where the same entry stands under another name.
    pub(super) fn moved_from(&self, found: &Found) -> Result<Option<Dn>, EditError> {
        let Some(uuid) = found.uuid else { return Ok(None) };
        let known = match self.names.get(&uuid) {
            Some(dn) => Some(dn.clone()),
            None => self.composing.view.name_of(&self.origin.source, &uuid)?,
        };
        let Some(known) = known.filter(|known| known != found.dn()) else { return Ok(None) };
        // Another one has been put there meanwhile: it must not go in this one's place.
        let is_taken = self.names.iter().any(|(other, name)| *other != uuid && *name == known);
        Ok(Some(known).filter(|_| !is_taken))
    }

    /// Names of entries are used again: whose account it is goes by the lasting name.
    pub(super) fn goes_on(&mut self, found: &Found, record: Option<&Record>) -> Result<(), EditError> {
        let Some(uuid) = found.uuid else { return Ok(()) };
        let view = self.composing.view;
        match view.name_of(&self.origin.source, &uuid)? {
            Some(was) if was == *found.dn() => {}
            Some(was) => {
                let id = view.id_of(&was)?;
                let entry = id.map(|id| view.entry_by_id(id)).transpose()?.flatten();
                self.composing.goes_on(found.dn(), id.zip(entry.as_ref()));
            }
            None => {
                let is_others = record.and_then(|record| record.uuid).is_some_and(|other| other != uuid);
                if is_others {
                    self.composing.goes_on(found.dn(), None);
                }
            }
        }
        Ok(())
    }
}
