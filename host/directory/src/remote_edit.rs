//! Edits as a source takes that holds the tree: of a modification what is added and taken away, value by value, so that what
//! others wrote there since we last saw it stays (RFC 4511 §4.6).

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use crate::amend::Amendment;
use crate::dn::Dn;
use crate::edit::Edit;
use crate::entry::{Entry, Values};
use crate::error::{DirectoryError, EditError};
use crate::schema::Schema;
use crate::view::View;

/// What becomes of one attribute at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeEdit {
    /// By its name there.
    pub(crate) attribute: String,
    /// What is asked for.
    pub(crate) amendment: Amendment,
    /// The values that it has then, as far as we know: for a source that cannot compare values of this attribute.
    pub(crate) becomes: Vec<Vec<u8>>,
}

/// An edit, as a source that holds the tree takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemoteEdit {
    /// A new entry.
    Add(Entry),
    /// Attributes of one that is there, in this order, as one.
    Modify(Dn, Vec<AttributeEdit>),
    /// An entry that goes.
    Remove(Dn),
}

impl RemoteEdit {
    /// The name that it concerns.
    pub(crate) fn dn(&self) -> &Dn {
        match self {
            Self::Add(entry) => &entry.dn,
            Self::Modify(dn, _) | Self::Remove(dn) => dn,
        }
    }
}

/// Edits that were not all made: those before one that failed were.
#[derive(Debug)]
pub(crate) struct Unmade {
    /// How many were made, from the first one on.
    pub(crate) made: usize,
    /// Why the next one was not.
    pub(crate) error: EditError,
}

impl Unmade {
    /// Of edits that are one to whoever asked for them.
    pub(crate) fn into_error(self) -> EditError {
        match (self.made, self.error) {
            (0, error) => error,
            (made, EditError::Source(why)) => EditError::Source(format!(
                "{why}; of its entries {made} were written before and stay so: the next try goes on from there"
            )),
            (_, error) => error,
        }
    }
}

/// What a port gives that may take its time.
pub(crate) type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The right to write: one at a time plans an edit by what is known and writes it, so that no two give one address away.
#[derive(Clone)]
pub(crate) struct Turn {
    /// Given back when the last who holds the turn is done.
    _held: Arc<Vec<OwnedMutexGuard<()>>>,
}

impl Turn {
    pub(crate) fn new(held: Vec<OwnedMutexGuard<()>>) -> Self {
        Self { _held: Arc::new(held) }
    }
}

/// The source of the tree, where it is not the tree itself: edits are written there, and come back from there.
pub(crate) trait WriteThrough: Send + Sync {
    /// Whether an entry of that name could be written there.
    ///
    /// # Errors
    /// Why not: no source has it, or we only read there.
    fn check(&self, dn: &Dn) -> Result<(), EditError>;

    /// Waits until whoever writes where these edits belong is done. What was planned before may be wrong by then.
    fn turn<'a>(&'a self, edits: &'a [RemoteEdit]) -> BoxFuture<'a, Turn>;

    /// Whether an entry would be taken over again as it is to be written there.
    ///
    /// # Errors
    /// What it says that is another source's to say.
    fn check_entry(&self, entry: &Entry, schema: &Schema) -> Result<(), EditError>;

    /// Makes the edits there and takes over what came of them; the number of the newest change. The turn is held as long as
    /// that lasts, also where nobody waits for it any more.
    fn write(&self, edits: Vec<RemoteEdit>, turn: Turn) -> BoxFuture<'_, Result<u64, Unmade>>;
}

/// The edits as a source takes them, each against what those before it leave.
pub(crate) fn remote_edits(view: &View<'_>, edits: &[Edit]) -> Result<Vec<RemoteEdit>, DirectoryError> {
    let mut last: HashMap<&Dn, Option<&Entry>> = HashMap::new();
    let mut remote = Vec::with_capacity(edits.len());
    for edit in edits {
        remote.push(match edit {
            Edit::Add(entry) => RemoteEdit::Add(entry.clone()),
            Edit::Remove(dn) => RemoteEdit::Remove(dn.clone()),
            Edit::Modify(entry) => {
                let stored = match last.get(&entry.dn) {
                    Some(known) => known.cloned(),
                    None => view.entry(&entry.dn)?,
                };
                let old = stored.unwrap_or_else(|| Entry::new(entry.dn.clone()));
                RemoteEdit::Modify(entry.dn.clone(), differences(&old, entry))
            }
        });
        let now = match edit {
            Edit::Add(entry) | Edit::Modify(entry) => Some(entry),
            Edit::Remove(_) => None,
        };
        last.insert(edit.dn(), now);
    }
    Ok(remote)
}

/// What leads from one state of an entry to the other.
fn differences(old: &Entry, new: &Entry) -> Vec<AttributeEdit> {
    let lost = old.attributes().filter(|one| new.values(one.name).is_empty());
    let names = new.attributes().chain(lost).map(|one| one.name);
    names.flat_map(|name| difference(name, old.values(name), new.values(name))).collect()
}

fn difference(name: &str, old: Values<'_>, new: Values<'_>) -> Vec<AttributeEdit> {
    let without = |all: Values<'_>, others: Values<'_>| -> Vec<Vec<u8>> {
        all.filter(|value| !others.into_iter().any(|other| other == *value)).map(<[u8]>::to_vec).collect()
    };
    let (gone, come) = (without(old, new), without(new, old));
    let becomes: Vec<Vec<u8>> = new.map(<[u8]>::to_vec).collect();
    let edit = |amendment| AttributeEdit { attribute: name.to_owned(), amendment, becomes: becomes.clone() };
    // Nothing stays: that is another value in the place of one, as of a password, and no list that others write to.
    if !old.is_empty() && gone.len() == old.len() && !come.is_empty() {
        return vec![edit(Amendment::Replace(come))];
    }
    let gone = (!gone.is_empty()).then(|| edit(Amendment::Delete(gone)));
    let come = (!come.is_empty()).then(|| edit(Amendment::Add(come)));
    gone.into_iter().chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_not_sent() {
        let values = |all: &[&str]| all.iter().map(|one| one.as_bytes().to_vec()).collect::<Vec<_>>();
        let entry = |all: &[(&str, &[&str])]| {
            let mut entry = Entry::new(Dn::parse("cn=a,o=b").unwrap());
            all.iter().for_each(|(name, all)| entry.replace(name, values(all)));
            entry
        };
        let old = entry(&[("member", &["1", "2"]), ("status", &["on"]), ("last", &["1"]), ("same", &["x"])]);
        let new = entry(&[("member", &["2", "3"]), ("status", &["off"]), ("same", &["x"]), ("new", &["n"])]);
        let edits = differences(&old, &new);
        let edit = |name: &str, amendment, becomes: &[&str]| AttributeEdit {
            attribute: name.to_owned(),
            amendment,
            becomes: values(becomes),
        };
        let expected = [
            edit("member", Amendment::Delete(values(&["1"])), &["2", "3"]),
            edit("member", Amendment::Add(values(&["3"])), &["2", "3"]),
            edit("status", Amendment::Replace(values(&["off"])), &["off"]),
            edit("new", Amendment::Add(values(&["n"])), &["n"]),
            // By its value: another one that came there stays.
            edit("last", Amendment::Delete(values(&["1"])), &[]),
        ];
        assert_eq!(edits, expected);
    }
}
