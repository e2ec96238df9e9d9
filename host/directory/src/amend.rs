//! Changes of any entries, as LDAP knows them (RFC 4511 §4.6 to §4.8): all or none, and as a trial.

use mail_types::Lookup;
use storage::StorageError;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::edit::{Composing, EDIT_TRIES_MAX, Edit, remote_edits};
use crate::entry::Entry;
use crate::error::{DirectoryError, EditError};
use crate::group_entry::GroupEntry;
use crate::reading::Defect;
use crate::schema::{Field, Schema};
use crate::user_entry::{PasswordHash, UserEntry};
use crate::view::View;

/// What becomes of the values of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// These join those that are there.
    Add(Vec<Vec<u8>>),
    /// These go; all, where none is named.
    Delete(Vec<Vec<u8>>),
    /// These take the place of all; none removes the attribute.
    Replace(Vec<Vec<u8>>),
}

impl Amendment {
    pub(crate) fn values_mut(&mut self) -> &mut Vec<Vec<u8>> {
        let (Self::Add(values) | Self::Delete(values) | Self::Replace(values)) = self;
        values
    }
}

/// A change of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// By its local name.
    pub attribute: String,
    /// What changes.
    pub amendment: Amendment,
}

/// A change of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryChange {
    /// A new entry; the one above it is there.
    Add(Entry),
    /// Attributes of one that is there.
    Modify(Dn, Vec<AttributeChange>),
    /// One that has none below it goes.
    Remove(Dn),
}

impl EntryChange {
    /// The name that it concerns.
    #[must_use]
    pub fn dn(&self) -> &Dn {
        match self {
            Self::Add(entry) => &entry.dn,
            Self::Modify(dn, _) | Self::Remove(dn) => dn,
        }
    }

    /// Puts hashes in the place of clear-text passwords.
    ///
    /// # Errors
    /// Why one cannot be hashed.
    pub fn hash_passwords(
        &mut self,
        schema: &Schema,
        hash: &dyn Fn(&str) -> Result<Vec<PasswordHash>, String>,
    ) -> Result<(), String> {
        let is_password = |name: &str| {
            schema.names(Field::UserPassword).iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let hashed = |values: &[Vec<u8>]| -> Result<Vec<Vec<u8>>, String> {
            let mut all = Vec::new();
            for value in values {
                let stored = PasswordHash::new(String::from_utf8_lossy(value));
                match stored.clear_text() {
                    Some(clear) => {
                        all.extend(hash(clear)?.iter().map(|one| one.reveal().as_bytes().to_vec()))
                    }
                    None => all.push(value.clone()),
                }
            }
            Ok(all)
        };
        match self {
            Self::Add(entry) => {
                for name in schema.names(Field::UserPassword) {
                    let values: Vec<Vec<u8>> = entry.values(name).map(<[u8]>::to_vec).collect();
                    if !values.is_empty() {
                        entry.replace(name, hashed(&values)?);
                    }
                }
            }
            Self::Modify(_, changes) => {
                for change in changes.iter_mut().filter(|change| is_password(&change.attribute)) {
                    if let Amendment::Add(values) | Amendment::Replace(values) = &mut change.amendment {
                        *values = hashed(values)?;
                    }
                }
            }
            Self::Remove(_) => {}
        }
        Ok(())
    }
}

/// Whether changes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// They are.
    Real,
    /// They are only planned and checked.
    Trial,
}

/// Why changes were not made: none of them, but where a source that holds the tree failed in the middle.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RefusedChange {
    /// Which of them was refused, from 0; none where it is no fault of one.
    pub at: Option<usize>,
    /// Why.
    pub error: EditError,
}

/// The first value that mail cannot use, of those that a change has touched: which change, and what.
pub type ChangeDefect = (usize, Defect);

impl Directory {
    /// Makes changes in order, all or none, in one durable batch; each sees those before it. Gives the touched values that
    /// mail cannot use: they are kept.
    ///
    /// # Errors
    /// The first change that is refused.
    pub async fn amend(
        &self,
        changes: &[EntryChange],
        making: Making,
    ) -> Result<Vec<ChangeDefect>, RefusedChange> {
        let whole = |error: EditError| RefusedChange { at: None, error };
        for _ in 0..EDIT_TRIES_MAX {
            let (batch, csn, remote, defects) = {
                let view = self.raw_view().map_err(|error| whole(error.into()))?;
                let head = view.head().map_err(|error| whole(error.into()))?;
                if head.loading != 0 {
                    return Err(whole(DirectoryError::Loading.into()));
                }
                let mut composing = Composing::new(&view, head);
                let (edits, defects) = self.compose_changes(&mut composing, changes)?;
                if making == Making::Trial || edits.is_empty() {
                    return Ok(defects);
                }
                let remote = self.source().map(|_| remote_edits(&view, &edits)).transpose();
                let (batch, csn) = composing.finish();
                (batch, csn, remote.map_err(|error| whole(error.into()))?, defects)
            };
            if let (Some(source), Some(remote)) = (self.source(), remote) {
                source.write(remote).await.map_err(whole)?;
                return Ok(defects);
            }
            match self.commit(batch).await {
                Ok(()) => {
                    self.publish(csn);
                    return Ok(defects);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(whole(error.into())),
            }
        }
        Err(whole(EditError::Busy(EDIT_TRIES_MAX)))
    }

    fn compose_changes(
        &self,
        composing: &mut Composing<'_, '_>,
        changes: &[EntryChange],
    ) -> Result<(Vec<Edit>, Vec<ChangeDefect>), RefusedChange> {
        let (mut edits, mut defects) = (Vec::with_capacity(changes.len()), Vec::new());
        for (at, change) in changes.iter().enumerate() {
            let refused = |error| RefusedChange { at: Some(at), error };
            let edit = match change {
                EntryChange::Add(entry) => Edit::Add(entry.clone()),
                EntryChange::Remove(dn) => Edit::Remove(dn.clone()),
                EntryChange::Modify(dn, changes) => {
                    let current = composing.current(dn).map_err(refused)?;
                    let (_, mut entry) = current.ok_or_else(|| refused(EditError::NoEntry(dn.clone())))?;
                    changes.iter().try_for_each(|change| alter(&mut entry, change)).map_err(refused)?;
                    keeps_name(&entry).map_err(refused)?;
                    Edit::Modify(entry)
                }
            };
            if let Edit::Add(entry) | Edit::Modify(entry) = &edit {
                let is_touched = |defect: &Defect| match change {
                    EntryChange::Modify(_, changes) => {
                        changes.iter().any(|change| change.attribute.eq_ignore_ascii_case(&defect.attribute))
                    }
                    _ => true,
                };
                let found = defects_of(entry, composing.view).into_iter().filter(is_touched);
                defects.extend(found.map(|defect| (at, defect)));
            }
            composing.take(&edit, self.now()).map_err(refused)?;
            edits.push(edit);
        }
        Ok((edits, defects))
    }

    /// The entry that a name means: a distinguished name, an address, or a login.
    pub fn named(&self, name: &str) -> Lookup<Entry> {
        if name.contains('=')
            && let Ok(dn) = Dn::parse(name)
        {
            return self.entry(&dn);
        }
        if let Ok(address) = mail_types::Address::parse(name) {
            match self.by_address(&address) {
                Lookup::NotFound => {}
                found => return found,
            }
        }
        match self.user_by_login(name) {
            Lookup::Found(user) => self.entry(&user.dn),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
        }
    }
}

fn defects_of(entry: &Entry, view: &View<'_>) -> Vec<Defect> {
    let schema = view.schema;
    UserEntry::read(entry, schema)
        .map(|user| user.defects)
        .or_else(|| GroupEntry::read(entry, schema).map(|group| group.defects))
        .or_else(|| DomainEntry::read(entry, schema).map(|domain| domain.defects))
        .unwrap_or_default()
}

/// RFC 4511 §4.6: what is added must not be there, what is deleted must.
fn alter(entry: &mut Entry, change: &AttributeChange) -> Result<(), EditError> {
    let AttributeChange { attribute, amendment } = change;
    let refuse = |what: String| Err(EditError::Value { dn: entry.dn.clone(), what });
    let same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other);
    let shown = |value: &[u8]| String::from_utf8_lossy(value).chars().take(100).collect::<String>();
    let mut values: Vec<Vec<u8>> = entry.values(attribute).map(<[u8]>::to_vec).collect();
    match amendment {
        Amendment::Add(new) => {
            for value in new {
                if values.iter().any(|known| same(known, value)) {
                    return refuse(format!("{attribute} has the value {:?} already", shown(value)));
                }
                values.push(value.clone());
            }
        }
        Amendment::Delete(gone) if gone.is_empty() => {
            if values.is_empty() {
                return refuse(format!("there is no {attribute}"));
            }
            values.clear();
        }
        Amendment::Delete(gone) => {
            for value in gone {
                let Some(at) = values.iter().position(|known| same(known, value)) else {
                    return refuse(format!("{attribute} has no value {:?}", shown(value)));
                };
                values.remove(at);
            }
        }
        Amendment::Replace(new) => values.clone_from(new),
    }
    entry.replace(attribute, values);
    Ok(())
}

/// The values that an entry is named by stay (RFC 4511 §4.6).
fn keeps_name(entry: &Entry) -> Result<(), EditError> {
    for (attribute, value) in entry.dn.leaf_values() {
        if !entry.has(&attribute, &value) {
            let what = format!("it is named by {attribute}={value}, which stays as long as it does");
            return Err(EditError::Value { dn: entry.dn.clone(), what });
        }
    }
    Ok(())
}
