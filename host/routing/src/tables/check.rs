//! The rules that the tables keep, looked at one by one.

use std::collections::HashSet;
use std::ops::ControlFlow;

use directory::Dn;

use super::listing::read_keys;
use super::rebuild::{SPACES, origin_of};
use super::row::{AliasRow, DomainRow, split};
use super::waiting::Mark;
use super::{DOMAINS, ORIGINS, TableError, Tables, WAITING, key, origin_key};

/// Most violations that one check lists.
pub const VIOLATIONS_MAX: usize = 1000;

impl Tables {
    /// Checks the generation in force, and calls `progress` with the number of keys seen. Gives what is wrong:
    ///
    /// 1. every value is a sequence of rows, of at least one;
    /// 2. every row names an entry, and that entry's list has the row's key;
    /// 3. every key in an entry's list exists.
    ///
    /// Long: call it where blocking is allowed.
    pub fn check(&self, progress: &mut dyn FnMut(u64)) -> Result<Vec<String>, TableError> {
        let snapshot = self.storage.read()?;
        let Some(state) = super::reader::state(&snapshot)? else { return Ok(Vec::new()) };
        let generation = state.generation;
        let until = generation.checked_add(1).map_or_else(|| vec![u8::MAX; 600], |next| vec![next]);
        let mut wrong = Vec::new();
        let mut seen = 0;
        for (number, space) in (0u8..).zip(SPACES) {
            let mut failure = None;
            snapshot.scan(space, &[generation], &until, &mut |stored, value| {
                seen += 1;
                if seen % 10_000 == 0 {
                    progress(seen);
                }
                let found = if space == ORIGINS {
                    dangling(&snapshot, generation, value)
                } else {
                    let name = String::from_utf8_lossy(&stored[1..]);
                    unlisted(&snapshot, generation, number, &name, value)
                };
                match found {
                    Ok(found) => wrong.extend(found),
                    Err(error) => failure = Some(error),
                }
                let end = failure.is_some() || wrong.len() >= VIOLATIONS_MAX;
                if end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(wrong)
    }
}

/// Rows of a key that their entry does not list.
fn unlisted(
    snapshot: &storage::Snapshot,
    generation: u8,
    space: u8,
    name: &str,
    value: &[u8],
) -> Result<Vec<String>, TableError> {
    let readable = match SPACES[usize::from(space)] {
        DOMAINS => DomainRow::read_all(value).is_some(),
        WAITING => Mark::read_all(value).is_some(),
        _ => AliasRow::read_all(value).is_some(),
    };
    let rows = split(value).filter(|rows| readable && !rows.is_empty());
    let Some(rows) = rows else { return Ok(vec![format!("the rows of {name} cannot be read")]) };
    let mut wrong = Vec::new();
    for row in rows {
        let origin = origin_of(space, row)?;
        let Ok(dn) = Dn::parse(&origin) else {
            wrong.push(format!("{name} has a row of {origin:?}, which is no name of an entry"));
            continue;
        };
        let list = snapshot.get(ORIGINS, &origin_key(generation, &dn))?.unwrap_or_default();
        let listed: HashSet<(u8, String)> = read_keys(&list).unwrap_or_default().into_iter().collect();
        if !listed.contains(&(space, name.to_owned())) {
            wrong.push(format!("{name} has a row of {origin}, whose list does not have it"));
        }
    }
    Ok(wrong)
}

/// Keys of an entry's list that do not exist.
fn dangling(snapshot: &storage::Snapshot, generation: u8, list: &[u8]) -> Result<Vec<String>, TableError> {
    let Some(keys) = read_keys(list) else {
        return Ok(vec!["the list of an entry cannot be read".to_owned()]);
    };
    let mut wrong = Vec::new();
    for (space, name) in keys {
        if snapshot.get(SPACES[usize::from(space)], &key(generation, &name))?.is_none() {
            wrong.push(format!("an entry lists {name}, which has no row"));
        }
    }
    Ok(wrong)
}
