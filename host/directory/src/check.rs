//! The rules that the embedded tree keeps, checked from outside.

use std::collections::HashMap;
use std::ops::ControlFlow;

use storage::Space;

use crate::change::CHANGES_KEPT_MAX;
use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::layout::{ADDRESSES, CHANGES, DOMAINS, Head, LOGINS, MEMBERS, NAMES, index_rows, read_u64};
use crate::view::View;

/// Most violations that are listed.
pub const VIOLATIONS_MAX: usize = 1_000;

/// The index spaces whose rows end in an entry id.
const INDEXES: [Space; 4] = [ADDRESSES, LOGINS, DOMAINS, MEMBERS];

impl Directory {
    /// Checks what is stored against its rules; what breaks them, in words, none when all is well:
    /// every entry is found by its name, every index row leads to an entry that has it, every entry
    /// has all its rows, no address belongs to two entries, the counts are right, the change log has
    /// no gap. Reads everything once: not for a hot path.
    pub fn check(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<String>, DirectoryError> {
        let view = self.raw_view()?;
        let head = view.head()?;
        if head.loading != 0 {
            return Ok(vec!["a load broke off: load the LDIF again".to_owned()]);
        }
        let mut check =
            Check { view: &view, counted: Head::default(), rows: HashMap::new(), found: Vec::new() };
        let (mut entries, mut failure) = (0, None);
        view.scan(&mut |id, entry| {
            entries += 1;
            progress(entries);
            match check.entry(id, &entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        check.indexes()?;
        check.head(&head)?;
        Ok(check.found)
    }
}

struct Check<'v, 's> {
    view: &'v View<'s>,
    counted: Head,
    /// Rows that the entries ought to have, by space.
    rows: HashMap<Space, u64>,
    found: Vec<String>,
}

impl Check<'_, '_> {
    fn violation(&mut self, text: String) {
        if self.found.len() < VIOLATIONS_MAX {
            self.found.push(text);
        }
    }

    fn entry(&mut self, id: u64, entry: &Entry) -> Result<(), DirectoryError> {
        let kind = self.view.kind(entry);
        self.counted.count(kind, 1);
        self.counted.next_id = self.counted.next_id.max(id + 1);
        if self.view.id_of(&entry.dn)? != Some(id) {
            self.violation(format!("{}: the name does not lead to the entry {id}", entry.dn));
        }
        let mut keys = Vec::new();
        for (space, mut key, value) in index_rows(entry, kind, self.view.schema) {
            if space == ADDRESSES {
                self.only_owner(id, entry, &key)?;
            }
            key.extend_from_slice(&id.to_be_bytes());
            if keys.contains(&(space, key.clone())) {
                continue;
            }
            if self.view.snapshot.get(space, &key)?.as_deref() != Some(value.as_slice()) {
                self.violation(format!("{}: a row is missing in {}", entry.dn, space.name()));
            }
            *self.rows.entry(space).or_default() += 1;
            keys.push((space, key));
        }
        Ok(())
    }

    fn only_owner(&mut self, id: u64, entry: &Entry, key: &[u8]) -> Result<(), DirectoryError> {
        let address = String::from_utf8_lossy(key.strip_suffix(b"\0").unwrap_or(key)).into_owned();
        let others =
            self.view.indexed(ADDRESSES, &address)?.into_iter().filter(|(_, other)| *other != id).count();
        if others > 0 {
            self.violation(format!("{}: the address {address} belongs to another entry too", entry.dn));
        }
        Ok(())
    }

    /// As every entry has its rows, more rows than those are rows without an entry.
    fn indexes(&mut self) -> Result<(), DirectoryError> {
        for space in INDEXES.into_iter().chain([NAMES]) {
            let mut rows = 0_u64;
            self.view.snapshot.scan(space, &[], &[0xff; 512], &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            })?;
            let expected = match space {
                NAMES => self.counted.entries,
                space => self.rows.get(&space).copied().unwrap_or(0),
            };
            if rows != expected {
                self.violation(format!("{} has {rows} rows where {expected} belong", space.name()));
            }
        }
        Ok(())
    }

    fn head(&mut self, head: &Head) -> Result<(), DirectoryError> {
        let counts = |head: &Head| [head.entries, head.domains, head.users, head.groups];
        if counts(head) != counts(&self.counted) {
            let (said, counted) = (counts(head), counts(&self.counted));
            self.violation(format!(
                "entries, domains, users, groups: recorded {said:?}, counted {counted:?}"
            ));
        }
        if head.next_id < self.counted.next_id {
            self.violation(format!("the next entry id {} is in use", head.next_id));
        }
        let mut next = head.floor + 1;
        let mut gap = None;
        self.view.snapshot.scan(CHANGES, &[], &[0xff; 9], &mut |key, _| {
            if read_u64(key) != next {
                gap.get_or_insert(next);
            }
            next += 1;
            ControlFlow::Continue(())
        })?;
        if let Some(csn) = gap.or((next != head.csn + 1).then_some(next)) {
            self.violation(format!("the change log is broken at {csn}"));
        }
        if head.csn - head.floor.min(head.csn) > CHANGES_KEPT_MAX {
            self.violation("the change log is longer than it may be".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
