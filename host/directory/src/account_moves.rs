//! Users whose account has another name: it is called by the primary address, and that has changed.
//!
//! Whoever keeps accounts hears of it here. A move is noted in the batch that changes the entry, and stays until it is said to be
//! done: so it is neither missed over a crash, nor made for an entry that was not written.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use mail_types::AccountName;
use storage::Batch;

use crate::directory::Directory;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::layout::{ACCOUNT_MOVES, ACCOUNTS_LEFT, NAME_KEY_MAX, read_u64};
use crate::schema::Schema;
use crate::user_entry::UserEntry;
use crate::view::View;

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

/// What an entry was before the batch.
#[derive(Debug, Clone, Default)]
struct Was {
    account: Option<AccountName>,
    /// Its number then; none for somebody new.
    id: Option<u64>,
}

/// The accounts of users that a batch touches, as they were before it: by the number of the entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before(HashMap<u64, Was>);

impl Before {
    /// An entry is about to be changed or removed for the first time; later calls change nothing.
    pub(crate) fn note(&mut self, id: u64, entry: &Entry, schema: &Schema) {
        self.0.entry(id).or_insert_with(|| Was { account: account(entry, schema), id: Some(id) });
    }

    /// Whose an entry was before, whatever stood in its place: `None` for somebody new.
    pub(crate) fn set(&mut self, id: u64, before: Option<(u64, &Entry)>, schema: &Schema) {
        let was = before.map(|(was, entry)| Was { account: account(entry, schema), id: Some(was) });
        self.0.insert(id, was.unwrap_or_default());
    }

    /// Writes down whose account has another name now.
    ///
    /// # Errors
    /// What is kept of users without an address cannot be read.
    pub(crate) fn draft<'e>(
        &self,
        batch: &mut Batch,
        csn: u64,
        now: impl Iterator<Item = &'e (u64, Entry)>,
        view: &View<'_>,
    ) -> Result<(), DirectoryError> {
        let now: HashMap<u64, Option<AccountName>> =
            now.map(|(id, entry)| (*id, account(entry, view.schema))).collect();
        let taken: HashSet<&AccountName> = now.values().flatten().collect();
        let mut moved = Vec::new();
        for (id, was) in &self.0 {
            let left = Left::of(view, was.id)?;
            if let Some(left) = &left {
                left.forget(batch);
            }
            let from = was.account.clone().or(left.map(|left| left.account));
            match (from, now.get(id)) {
                (Some(from), Some(Some(to))) if from != *to => moved.push((from, to.clone())),
                (Some(account), Some(None)) if !taken.contains(&account) => {
                    Left { id: *id, account }.keep(batch)
                }
                _ => {}
            }
        }
        // Whoever has the address now has what is there.
        for account in taken {
            if let Some(left) = Left::by_name(view, account)?
                && !self.0.values().any(|was| was.id == Some(left.id))
            {
                left.forget(batch);
            }
        }
        moved.sort_unstable();
        for (nth, (from, to)) in (0_u32..).zip(moved) {
            let key = [&csn.to_be_bytes()[..], &nth.to_be_bytes()].concat();
            batch.put(ACCOUNT_MOVES, &key, format!("{from}\0{to}"));
        }
        Ok(())
    }
}

/// A user who has no address for a while, as between two steps of whoever changes it, and the account until then: it goes by the
/// next one, unless somebody else has had the address since.
struct Left {
    id: u64,
    account: AccountName,
}

impl Left {
    fn of(view: &View<'_>, id: Option<u64>) -> Result<Option<Self>, DirectoryError> {
        let Some(id) = id else { return Ok(None) };
        let account = view.snapshot.get(ACCOUNTS_LEFT, &Self::id_key(id))?;
        let account = account.and_then(|name| AccountName::new(std::str::from_utf8(&name).ok()?));
        Ok(account.map(|account| Self { id, account }))
    }

    fn by_name(view: &View<'_>, account: &AccountName) -> Result<Option<Self>, DirectoryError> {
        let Some(key) = Self::name_key(account) else { return Ok(None) };
        let id = view.snapshot.get(ACCOUNTS_LEFT, &key)?;
        Ok(id.map(|id| Self { id: read_u64(&id), account: account.clone() }))
    }

    fn keep(&self, batch: &mut Batch) {
        // A name that is too long to be found again is not kept.
        let Some(key) = Self::name_key(&self.account) else { return };
        batch.put(ACCOUNTS_LEFT, &Self::id_key(self.id), self.account.as_str().as_bytes().to_vec());
        batch.put(ACCOUNTS_LEFT, &key, self.id.to_be_bytes().to_vec());
    }

    fn forget(&self, batch: &mut Batch) {
        batch.delete(ACCOUNTS_LEFT, &Self::id_key(self.id));
        if let Some(key) = Self::name_key(&self.account) {
            batch.delete(ACCOUNTS_LEFT, &key);
        }
    }

    fn id_key(id: u64) -> [u8; 9] {
        let mut key = *b"i........";
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    fn name_key(account: &AccountName) -> Option<Vec<u8>> {
        let key = [b"n", account.as_str().as_bytes()].concat();
        (key.len() <= NAME_KEY_MAX).then_some(key)
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
