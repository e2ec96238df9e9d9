//! Changes of any entries, as LDAP knows them (RFC 4511 §4.6 to §4.8): all or none, and as a trial.

use mail_types::Lookup;
use storage::StorageError;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::edit::{Composing, EDIT_TRIES_MAX, Edit};
use crate::entry::Entry;
use crate::error::{DirectoryError, EditError};
use crate::group_entry::GroupEntry;
use crate::ldif::is_description;
use crate::reading::Defect;
use crate::remote_edit::{AttributeEdit, RemoteEdit, Unmade};
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
        let is_password = |name: &str| schema.is_named(name, Field::UserPassword);
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
                let names = entry.attributes().map(|one| one.name.to_owned());
                for name in names.filter(|name| is_password(name)).collect::<Vec<_>>() {
                    let values: Vec<Vec<u8>> = entry.values(&name).map(<[u8]>::to_vec).collect();
                    entry.replace(&name, hashed(&values)?);
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

/// Why changes were not made.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RefusedChange {
    /// Which of them was refused, from 0; none where it is no fault of one.
    pub at: Option<usize>,
    /// How many were made all the same, from the first one on: a source that holds the tree takes them entry by entry.
    pub made: usize,
    /// Why.
    pub error: EditError,
}

impl RefusedChange {
    fn whole(error: impl Into<EditError>) -> Self {
        Self { at: None, made: 0, error: error.into() }
    }

    fn one(at: usize, error: EditError) -> Self {
        Self { at: Some(at), made: 0, error }
    }
}

/// Changes, as they are made: in the tree, or at the source that holds it.
#[derive(Default)]
struct Planned {
    edits: Vec<Edit>,
    /// With the number of the change each begins with.
    remote: Vec<(usize, RemoteEdit)>,
    amended: Amended,
}

/// What is to be said of changes that were made, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amended {
    /// Values that they bring and that mail cannot use: they are kept.
    pub defects: Vec<ChangeDefect>,
    /// The changes that give a user's account another name: its mailboxes stay with the old one.
    pub renamed: Vec<usize>,
}

/// A value that mail cannot use, and that was not there before: which change brings it, and what.
pub type ChangeDefect = (usize, Defect);

impl Directory {
    /// Makes changes in order, all or none, in one durable batch; each sees those before it. Gives what is to be
    /// said of them.
    ///
    /// # Errors
    /// The first change that is refused.
    pub async fn amend(&self, changes: &[EntryChange], making: Making) -> Result<Amended, RefusedChange> {
        let mut turn = None;
        for _ in 0..EDIT_TRIES_MAX {
            let (batch, csn, planned) = {
                let view = self.raw_view().map_err(RefusedChange::whole)?;
                let head = view.head().map_err(RefusedChange::whole)?;
                if head.loading != 0 {
                    return Err(RefusedChange::whole(DirectoryError::Loading));
                }
                let mut composing = Composing::new(&view, head);
                let planned = self.compose_changes(&mut composing, changes)?;
                if making == Making::Trial || planned.edits.is_empty() {
                    return Ok(planned.amended);
                }
                let (batch, csn) = composing.finish().map_err(RefusedChange::whole)?;
                (batch, csn, planned)
            };
            if let Some(source) = self.source() {
                let (firsts, edits): (Vec<usize>, Vec<RemoteEdit>) = planned.remote.into_iter().unzip();
                let Some(turn) = turn.clone() else {
                    turn = Some(source.turn(&edits).await);
                    continue;
                };
                let first = |edit: usize| firsts.get(edit).copied();
                return match source.write(edits, turn).await {
                    Ok(_) => Ok(planned.amended),
                    Err(Unmade { made, error }) => {
                        let at = first(made);
                        Err(RefusedChange { at, made: at.unwrap_or(changes.len()), error })
                    }
                };
            }
            match self.commit(batch).await {
                Ok(()) => {
                    self.publish(csn);
                    return Ok(planned.amended);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(RefusedChange::whole(error)),
            }
        }
        Err(RefusedChange::whole(EditError::Busy(EDIT_TRIES_MAX)))
    }

    fn compose_changes(
        &self,
        composing: &mut Composing<'_, '_>,
        changes: &[EntryChange],
    ) -> Result<Planned, RefusedChange> {
        let mut planned = Planned::default();
        for (at, change) in changes.iter().enumerate() {
            let refused = |error| RefusedChange::one(at, error);
            self.source().map_or(Ok(()), |source| source.check(change.dn())).map_err(refused)?;
            check_descriptions(change).map_err(refused)?;
            let Composed { edit, remote, defects, is_renamed } =
                composed(composing, change).map_err(refused)?;
            check_plugins(change.dn(), &defects, self.schema()).map_err(refused)?;
            composing.take(&edit, self.now()).map_err(refused)?;
            self.check_at_source(&edit).map_err(refused)?;
            planned.amended.defects.extend(defects.into_iter().map(|defect| (at, defect)));
            planned.amended.renamed.extend(is_renamed.then_some(at));
            planned.edits.push(edit);
            match (planned.remote.last_mut(), remote) {
                // One operation: all or none of it.
                (Some((_, RemoteEdit::Modify(last, edits))), RemoteEdit::Modify(dn, more)) if *last == dn => {
                    edits.extend(more);
                }
                (_, remote) => planned.remote.push((at, remote)),
            }
        }
        Ok(planned)
    }

    /// The entry that a name means: a distinguished name, an address, or a login.
    pub fn named(&self, name: &str) -> Lookup<Entry> {
        if name.contains('=')
            && let Ok(dn) = Dn::parse(name)
        {
            match self.entry(&dn) {
                // It may be an address: "=" is one of the letters of a local part (RFC 5321 §4.1.2).
                Lookup::NotFound => {}
                found => return found,
            }
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

/// A change as an edit of the tree and one of its source; what it brings that mail cannot use, and whether it gives an account
/// another name.
struct Composed {
    edit: Edit,
    remote: RemoteEdit,
    defects: Vec<Defect>,
    is_renamed: bool,
}

fn composed(composing: &Composing<'_, '_>, change: &EntryChange) -> Result<Composed, EditError> {
    let (view, schema) = (composing.view, composing.view.schema);
    match change {
        EntryChange::Add(entry) => {
            let mut entry = entry.clone();
            entry.complete_name();
            let defects = defects_of(&entry, view);
            let remote = RemoteEdit::Add(entry.clone());
            Ok(Composed { edit: Edit::Add(entry), remote, defects, is_renamed: false })
        }
        EntryChange::Remove(dn) => {
            let (edit, remote) = (Edit::Remove(dn.clone()), RemoteEdit::Remove(dn.clone()));
            Ok(Composed { edit, remote, defects: Vec::new(), is_renamed: false })
        }
        EntryChange::Modify(dn, changes) => {
            let (_, old) = composing.current(dn)?.ok_or_else(|| EditError::NoEntry(dn.clone()))?;
            let mut entry = old.clone();
            let mut edits = Vec::with_capacity(changes.len());
            for change in changes {
                let amendment = alter(&mut entry, change, schema)?;
                let becomes = entry.values(&change.attribute).map(<[u8]>::to_vec).collect();
                edits.push(AttributeEdit { attribute: change.attribute.clone(), amendment, becomes });
            }
            keeps_name(&old, &entry)?;
            // What was of no use before keeps nobody from changing what is beside it.
            let known = defects_of(&old, view);
            let mut defects = defects_of(&entry, view);
            defects.retain(|defect| !known.contains(defect));
            let account = |entry: &Entry| UserEntry::read(entry, schema).and_then(|user| user.account());
            let is_renamed = account(&old).is_some_and(|name| account(&entry) != Some(name));
            let remote = RemoteEdit::Modify(dn.clone(), edits);
            Ok(Composed { edit: Edit::Modify(entry), remote, defects, is_renamed })
        }
    }
}

/// What cannot be read as a plugin's name would be no policy, and nothing would show it.
fn check_plugins(dn: &Dn, defects: &[Defect], schema: &Schema) -> Result<(), EditError> {
    match defects.iter().find(|defect| defect.attribute == schema.name(Field::WasmtaPlugin)) {
        Some(defect) => Err(EditError::Value { dn: dn.clone(), what: defect.to_string() }),
        None => Ok(()),
    }
}

/// Attributes have names that LDIF and LDAP servers take (RFC 4512 §2.5).
fn check_descriptions(change: &EntryChange) -> Result<(), EditError> {
    let check = |name: &str| {
        if is_description(name) {
            return Ok(());
        }
        let what = format!("{name:?} is no attribute name: letters, digits and hyphens, options after \";\"");
        Err(EditError::Value { dn: change.dn().clone(), what })
    };
    match change {
        EntryChange::Add(entry) => entry.attributes().try_for_each(|one| check(one.name)),
        EntryChange::Modify(_, changes) => changes.iter().try_for_each(|one| check(&one.attribute)),
        EntryChange::Remove(_) => Ok(()),
    }
}

/// RFC 4511 §4.6: what is added must not be there, what is deleted must. Gives the change with what is deleted as it is
/// written there: a source may know letters of one case from those of the other.
fn alter(entry: &mut Entry, change: &AttributeChange, schema: &Schema) -> Result<Amendment, EditError> {
    let AttributeChange { attribute, amendment } = change;
    let refuse = |what: String| Err(EditError::Value { dn: entry.dn.clone(), what });
    let same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other);
    let is_secret = schema.is_secret(attribute);
    let shown = |value: &[u8]| match is_secret {
        true => "(hidden)".to_owned(),
        false => format!("{:?}", String::from_utf8_lossy(value).chars().take(100).collect::<String>()),
    };
    let mut values: Vec<Vec<u8>> = entry.values(attribute).map(<[u8]>::to_vec).collect();
    let made = match amendment {
        Amendment::Add(new) => {
            for value in new {
                if values.iter().any(|known| same(known, value)) {
                    return refuse(format!("{attribute} has the value {} already", shown(value)));
                }
                values.push(value.clone());
            }
            amendment.clone()
        }
        Amendment::Delete(gone) if gone.is_empty() => {
            if values.is_empty() {
                return refuse(format!("there is no {attribute}"));
            }
            values.clear();
            amendment.clone()
        }
        Amendment::Delete(gone) => {
            let mut written = Vec::with_capacity(gone.len());
            for value in gone {
                let Some(at) = values.iter().position(|known| same(known, value)) else {
                    return refuse(format!("{attribute} has no value {}", shown(value)));
                };
                written.push(values.remove(at));
            }
            Amendment::Delete(written)
        }
        Amendment::Replace(new) => {
            values.clone_from(new);
            amendment.clone()
        }
    };
    entry.replace(attribute, values);
    Ok(made)
}

/// The values that an entry is named by stay (RFC 4511 §4.6); one that it never had is nobody's doing.
fn keeps_name(old: &Entry, new: &Entry) -> Result<(), EditError> {
    for (attribute, value) in new.dn.leaf_values() {
        if !new.has_named(&attribute, &value) && old.has_named(&attribute, &value) {
            let what = format!("it is named by {attribute}={value}, which stays as long as it does");
            return Err(EditError::Value { dn: new.dn.clone(), what });
        }
    }
    Ok(())
}
