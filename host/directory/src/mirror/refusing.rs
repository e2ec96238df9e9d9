//! Entries that break a rule: each fails alone, is noted with its reason, and tried again when that may be gone.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::apply::{Applying, REFUSED_MAX};
use super::found::{Found, Uuid};
use super::records::{REFUSED, REFUSED_FORMAT, Refused, Seen, StoredFound, cut, decode, encode, refused_key};
use crate::dn::Dn;
use crate::error::{DirectoryError, EditError};
use crate::view::View;

impl Applying<'_, '_> {
    /// Notes an entry that breaks a rule. What the tree has of it stays.
    pub(super) fn refuse(
        &mut self,
        name: &str,
        attribute: &str,
        why: String,
        holder: Option<Dn>,
        found: Option<&Found>,
    ) -> Result<(), EditError> {
        let view = self.composing.view;
        let known = view.refused(name)?;
        if known.as_ref().is_none_or(|known| known.why != why) {
            self.applied.refusals += 1;
            self.applied.refused.push((name.to_owned(), attribute.to_owned(), why.clone()));
        }
        if let Some(dn) = found.map(Found::dn) {
            self.mark(&dn.clone(), &Seen::Same);
        }
        if known.is_none() && count_refused(view, &self.origin.source)? >= REFUSED_MAX {
            return Ok(());
        }
        let refused = Refused {
            format: REFUSED_FORMAT,
            source: self.origin.source.clone(),
            name: name.to_owned(),
            attribute: attribute.to_owned(),
            why,
            at: known.map_or(self.now.0, |known| known.at),
            holder: holder.map(|dn| dn.to_string()),
            found: found.map(StoredFound::of),
        };
        self.writes = true;
        let key = refused_key(name);
        if let Some(uuid) = found.and_then(|found| found.uuid) {
            self.no_longer_refused(&uuid, Some(&key))?;
            self.refused_ids()?.entry(uuid).or_default().push(key.clone());
        }
        self.composing.batch.put(REFUSED, &key, encode(&refused));
        Ok(())
    }

    /// What was refused of an entry by its lasting name, but for what stands under one key: it was renamed since, or is gone, and
    /// must not come back when what it wanted becomes free.
    pub(super) fn no_longer_refused(&mut self, uuid: &Uuid, but: Option<&[u8]>) -> Result<(), EditError> {
        if !self.any_refused && self.refused_ids.is_none() {
            return Ok(());
        }
        // They stay known: a batch may go back to where it was, and to delete twice does no harm.
        let keys = self.refused_ids()?.get(uuid).cloned().unwrap_or_default();
        for key in keys.iter().filter(|key| Some(key.as_slice()) != but) {
            self.writes = true;
            self.composing.batch.delete(REFUSED, key);
        }
        Ok(())
    }

    fn refused_ids(&mut self) -> Result<&mut RefusedIds, DirectoryError> {
        if self.refused_ids.is_none() {
            let mut ids = RefusedIds::new();
            for (uuid, key, _) in refused_by_id(self.composing.view, &self.origin.source)? {
                ids.entry(uuid).or_default().push(key);
            }
            self.refused_ids = Some(ids);
        }
        Ok(self.refused_ids.get_or_insert_default())
    }

    /// An entry is no longer refused.
    pub(super) fn accepted(&mut self, dn: &Dn) -> Result<(), EditError> {
        if !self.any_refused {
            return Ok(());
        }
        let key = cut(dn.key());
        let known = self.composing.view.snapshot.get(REFUSED, &key).map_err(DirectoryError::from)?;
        if known.is_some() {
            self.writes = true;
            self.composing.batch.delete(REFUSED, &key);
        }
        Ok(())
    }
}

/// The keys under which entries stand refused, by their lasting names.
pub(super) type RefusedIds = HashMap<Uuid, Vec<Vec<u8>>>;

/// What is refused of a source, of entries with lasting names: these, keys and names; [`REFUSED_MAX`] bounds them.
pub(super) fn refused_by_id(
    view: &View<'_>,
    source: &str,
) -> Result<Vec<(Uuid, Vec<u8>, String)>, DirectoryError> {
    let mut rows = Vec::new();
    view.snapshot.scan(REFUSED, &[], &[0xff; 9], &mut |key, value| {
        if let Some(refused) = decode::<Refused>(value).filter(|refused| refused.source == source)
            && let Some(uuid) = refused.found.as_ref().and_then(StoredFound::uuid)
        {
            rows.push((uuid, key.to_vec(), refused.name));
        }
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// How many of a source's entries are refused.
fn count_refused(view: &View<'_>, source: &str) -> Result<usize, DirectoryError> {
    let mut count = 0;
    view.snapshot.scan(REFUSED, &[], &[0xff; 9], &mut |_, value| {
        count += usize::from(decode::<Refused>(value).is_some_and(|refused| refused.source == source));
        if count < REFUSED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(count)
}

/// A rule that an entry breaks; anything else ends the whole.
pub(super) fn passing(why: EditError) -> Result<EditError, EditError> {
    match why {
        EditError::Directory(_) | EditError::Busy(_) => Err(why),
        rule => Ok(rule),
    }
}

/// In which attribute a broken rule lies, and who stands against it.
pub(super) fn fault(why: &EditError) -> (&'static str, Option<Dn>) {
    match why {
        EditError::AddressUsed { by, .. } => ("mail", Some(by.clone())),
        EditError::DomainUsed { by, .. } => ("associatedDomain", Some(by.clone())),
        EditError::ClearPassword(_) => ("userPassword", None),
        _ => ("dn", None),
    }
}
