//! Users whose account has another name: it is called by the primary address, and that has changed.
//!
//! Whoever keeps accounts hears of it here. A move is noted in the batch that changes the entry, and stays until it is said to be
//! done: so it is neither missed over a crash, nor made for an entry that was not written.

use std::collections::HashMap;
use std::ops::ControlFlow;

use mail_types::AccountName;
use storage::Batch;

use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::layout::ACCOUNT_MOVES;
use crate::schema::Schema;
use crate::user_entry::UserEntry;

/// Most moves in one answer, whole changes: there may be more after them.
pub const ACCOUNT_MOVES_LISTED_MAX: usize = 1_000;

/// Moves of one change of the directory: they belong together, for users may take each other's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountMoves {
    /// The number of the change.
    pub csn: u64,
    /// The names before, and those from then on.
    pub names: Vec<(AccountName, AccountName)>,
}

/// The accounts of users that a batch touches, as they were before it: by the number of the entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before(HashMap<u64, Option<AccountName>>);

impl Before {
    /// An entry is about to be changed or removed for the first time; later calls change nothing.
    pub(crate) fn note(&mut self, id: u64, entry: &Entry, schema: &Schema) {
        self.0.entry(id).or_insert_with(|| account(entry, schema));
    }

    /// Whose an entry was before, whatever stood in its place: `None` for somebody new.
    pub(crate) fn set(&mut self, id: u64, before: Option<&Entry>, schema: &Schema) {
        self.0.insert(id, before.and_then(|entry| account(entry, schema)));
    }

    /// Writes down whose account has another name now.
    pub(crate) fn draft<'e>(
        &self,
        batch: &mut Batch,
        csn: u64,
        now: impl Iterator<Item = &'e (u64, Entry)>,
        schema: &Schema,
    ) {
        let moved = now.filter_map(|(id, entry)| {
            let from = self.0.get(id)?.clone()?;
            let to = account(entry, schema)?;
            (from != to).then_some((from, to))
        });
        let mut moved: Vec<(AccountName, AccountName)> = moved.collect();
        moved.sort_unstable();
        for (nth, (from, to)) in (0_u32..).zip(moved) {
            let key = [&csn.to_be_bytes()[..], &nth.to_be_bytes()].concat();
            batch.put(ACCOUNT_MOVES, &key, format!("{from}\0{to}"));
        }
    }
}

fn account(entry: &Entry, schema: &Schema) -> Option<AccountName> {
    UserEntry::read(entry, schema)?.account()
}

impl Directory {
    /// Moves that nobody has said are done, by their changes.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn account_moves(&self) -> Result<Vec<AccountMoves>, DirectoryError> {
        let view = self.raw_view()?;
        let mut moves: Vec<AccountMoves> = Vec::new();
        let mut count = 0;
        view.snapshot.scan(ACCOUNT_MOVES, &[], &[0xff; 13], &mut |key, value| {
            let csn = key.first_chunk().map_or(0, |csn| u64::from_be_bytes(*csn));
            let text = std::str::from_utf8(value).unwrap_or_default();
            let names = text
                .split_once('\0')
                .and_then(|(from, to)| Some((AccountName::new(from)?, AccountName::new(to)?)));
            count += 1;
            match moves.last_mut() {
                Some(last) if last.csn == csn => last.names.extend(names),
                _ if count > ACCOUNT_MOVES_LISTED_MAX => return ControlFlow::Break(()),
                _ => moves.push(AccountMoves { csn, names: names.into_iter().collect() }),
            }
            ControlFlow::Continue(())
        })?;
        Ok(moves)
    }

    /// The moves of a change are done.
    ///
    /// # Errors
    /// Storage.
    pub async fn account_moves_done(&self, moves: &AccountMoves) -> Result<(), DirectoryError> {
        let mut batch = Batch::new();
        {
            let view = self.raw_view()?;
            let (from, until) = (moves.csn.to_be_bytes(), (moves.csn + 1).to_be_bytes());
            view.snapshot.scan(ACCOUNT_MOVES, &from, &until, &mut |key, _| {
                batch.delete(ACCOUNT_MOVES, key);
                ControlFlow::Continue(())
            })?;
        }
        Ok(self.commit(batch).await?)
    }
}
