//! What waits for a plugin, and what it failed on: for whoever has to mend it. While an entry waits, unknown addresses of
//! its domain are put off, so one that always fails must not go unseen.

use std::ops::ControlFlow;

use serde::Serialize;

use super::reader::Reader;
use super::waiting::{Mark, behind, marks_of};
use super::{TableError, WAITING, key};

/// Most failing entries that are named at a time.
pub const FAILING_MAX: usize = 20;

/// The entries that wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Waiting {
    /// How many wait for their rows, failing or not.
    pub waiting: u64,
    /// How many a plugin failed on, alone.
    pub failing: u64,
    /// The first [`FAILING_MAX`] of these.
    pub entries: Vec<FailingEntry>,
}

/// An entry that a plugin failed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailingEntry {
    /// The entry (RFC 4514 string).
    pub entry: String,
    /// The domain whose rows it is to have.
    pub domain: String,
    /// The plugin.
    pub plugin: String,
    /// How often it failed.
    pub failures: u32,
    /// When it is asked about again, in seconds since 1970; at once, where it changes.
    pub again: u64,
    /// Why it failed last.
    pub cause: String,
}

/// Whose entries are looked at.
#[derive(Debug, Clone, Copy)]
pub enum WaitingOf<'a> {
    /// Those of a domain, by its canonical name.
    Domain(&'a str),
    /// Those that a plugin failed on.
    Plugin(&'a str),
}

impl Reader {
    /// What waits of a domain or for a plugin, and why.
    pub fn waiting(&self, of: WaitingOf<'_>) -> Result<Waiting, TableError> {
        let mut found = Waiting::default();
        if !self.state().has_builders() {
            return Ok(found);
        }
        let generation = self.state().generation;
        let (from, until) = match of {
            WaitingOf::Domain(domain) => {
                let first = marks_of(domain);
                (key(generation, &first), key(generation, &behind(&first)))
            }
            WaitingOf::Plugin(_) => {
                let until = generation.checked_add(1).map_or_else(|| vec![u8::MAX; 600], |next| vec![next]);
                (vec![generation], until)
            }
        };
        self.snapshot().scan(WAITING, &from, &until, &mut |stored, value| {
            let name = String::from_utf8_lossy(&stored[1..]);
            let domain = name.split('/').next().unwrap_or_default();
            for mark in Mark::read_all(value).unwrap_or_default() {
                if let WaitingOf::Plugin(plugin) = of
                    && plugin != mark.plugin
                {
                    continue;
                }
                found.waiting += 1;
                if mark.failures == 0 {
                    continue;
                }
                found.failing += 1;
                if found.entries.len() < FAILING_MAX {
                    let Mark { dn: entry, plugin, failures, again, cause, .. } = mark;
                    let domain = domain.to_owned();
                    found.entries.push(FailingEntry { entry, domain, plugin, failures, again, cause });
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }
}
