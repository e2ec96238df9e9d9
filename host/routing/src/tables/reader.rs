//! Looking rows up, in one consistent view.

use std::borrow::Cow;
use std::ops::ControlFlow;

use directory::Dn;
use storage::{Snapshot, Space};

use super::listing::{MARKS, read_keys, read_maker};
use super::row::{AliasRow, DomainRow};
use super::waiting::{behind, marks_of};
use super::{
    ALIASES, DOMAINS, FORMAT, ORIGINS, STATE, STATE_KEY, State, TableError, WAITING, key, origin_key,
};

/// Longest key that is built without an allocation, in octets.
const KEY_INLINE: usize = 128;

/// A view of one generation. Drop it soon, and not after an `.await`.
pub struct Reader {
    snapshot: Snapshot,
    state: State,
}

/// The state in a view; `None` where there is none of this format.
pub(super) fn state(snapshot: &Snapshot) -> Result<Option<State>, TableError> {
    let Some(octets) = snapshot.get(STATE, STATE_KEY)? else { return Ok(None) };
    let state: Option<State> = postcard::from_bytes(&octets).ok();
    Ok(state.filter(|state| state.format == FORMAT))
}

impl Reader {
    pub(super) fn new(snapshot: Snapshot) -> Result<Self, TableError> {
        let state = state(&snapshot)?.ok_or(TableError::NotBuilt)?;
        Ok(Self { snapshot, state })
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Which rows it reads.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    fn value(&self, space: Space, name: &str) -> Result<Option<Cow<'_, [u8]>>, TableError> {
        if name.len() < KEY_INLINE {
            let mut inline = [0; KEY_INLINE];
            inline[0] = self.state.generation;
            inline[1..=name.len()].copy_from_slice(name.as_bytes());
            return Ok(self.snapshot.get(space, &inline[..=name.len()])?);
        }
        Ok(self.snapshot.get(space, &key(self.state.generation, name))?)
    }

    /// The row of an alias key, for the ordinary case of one; `Err` carries all where several entries claim it.
    pub fn alias(&self, name: &str) -> Result<Option<Claim<'_>>, TableError> {
        match self.value(ALIASES, name)? {
            None => Ok(None),
            Some(Cow::Borrowed(value)) => match AliasRow::read_only(value) {
                Some(row) => Ok(Some(Claim::One(row))),
                None => several(AliasRow::read_all(value)),
            },
            Some(Cow::Owned(value)) => {
                let rows = AliasRow::read_all(&value);
                several(rows.map(|rows| rows.into_iter().map(AliasRow::into_owned).collect()))
            }
        }
    }

    /// What the routing table says of a domain, several entries joined; its name is looked up as it stands.
    pub fn domain_row(&self, name: &str) -> Result<Option<DomainRow>, TableError> {
        let Some(value) = self.value(DOMAINS, name)? else { return Ok(None) };
        DomainRow::read_joined(&value).ok_or(TableError::Row("routing")).map(Some)
    }

    /// The domain that a name belongs to: its own row, or that of a parent which takes subdomains. What the DNS alone says
    /// of the name comes last.
    pub fn domain(&self, name: &str) -> Result<Option<DomainRow>, TableError> {
        let own = self.domain_row(name)?;
        if !self.state.uplevel || own.as_ref().is_some_and(|row| row.dns.is_none()) {
            return Ok(own);
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(mut row) = self.domain_row(parent)?.filter(|row| row.dns.is_none()) {
                if !row.uplevel {
                    return Ok(own);
                }
                row.canonical.get_or_insert_with(|| parent.to_owned());
                return Ok(Some(row));
            }
            rest = parent;
        }
        Ok(own)
    }

    /// Whether some entry of a domain, by its canonical name, waits for a plugin to build its rows.
    pub fn is_waiting(&self, domain: &str) -> Result<bool, TableError> {
        if !self.state.has_builders() {
            return Ok(false);
        }
        let first = marks_of(domain);
        let (from, until) = (key(self.state.generation, &first), key(self.state.generation, &behind(&first)));
        let mut found = false;
        self.snapshot.scan(WAITING, &from, &until, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// By which plugin the rows of an entry were built, and which component it was; none for the native builder.
    pub fn maker(&self, dn: &str) -> Result<Option<String>, TableError> {
        let Some(name) = Dn::parse(dn).ok().filter(|_| self.state.has_builders()) else { return Ok(None) };
        let value =
            self.snapshot.get(ORIGINS, &origin_key(self.state.generation, &name))?.unwrap_or_default();
        Ok(read_maker(&value))
    }

    /// The first key of an entry's rows: the primary address of a user or group, the name of a domain.
    pub fn key_of(&self, dn: &Dn) -> Result<Option<String>, TableError> {
        Ok(self.keys_of(dn)?.into_iter().find(|(space, _)| *space != MARKS).map(|(_, name)| name))
    }

    /// Whether an entry waits for a plugin to build its rows.
    pub fn is_entry_waiting(&self, dn: &Dn) -> Result<bool, TableError> {
        Ok(self.keys_of(dn)?.iter().any(|(space, _)| *space == MARKS))
    }

    fn keys_of(&self, dn: &Dn) -> Result<Vec<(u8, String)>, TableError> {
        let Some(value) = self.snapshot.get(ORIGINS, &origin_key(self.state.generation, dn))? else {
            return Ok(Vec::new());
        };
        read_keys(&value).ok_or(TableError::Row("origin"))
    }
}

/// Who claims an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim<'a> {
    /// One entry.
    One(AliasRow<'a>),
    /// Several entries; the directory is at odds with itself.
    Several(Vec<AliasRow<'a>>),
}

/// Of several claims the closest relation wins; only two of the same are at odds.
fn several(rows: Option<Vec<AliasRow<'_>>>) -> Result<Option<Claim<'_>>, TableError> {
    let mut rows = rows.ok_or(TableError::Row("alias"))?;
    rows.sort_by_key(|row| row.relation);
    let Some(closest) = rows.first().map(|row| row.relation) else { return Ok(None) };
    rows.retain(|row| row.relation == closest);
    if rows.len() == 1 { Ok(rows.pop().map(Claim::One)) } else { Ok(Some(Claim::Several(rows))) }
}
