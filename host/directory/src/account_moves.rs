//! Users whose account has another name: it is called by the primary address, and that has changed.
//!
//! Whoever keeps accounts hears of it here. A move is noted in the batch that changes the entry, and stays until it is said to be
//! done: so it is neither missed over a crash, nor made for an entry that was not written.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use mail_types::{AccountName, Lookup};
use storage::Batch;

use crate::directory::Directory;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::layout::{ACCOUNT_MOVES, ACCOUNTS_ASIDE, ADDRESSES, NAME_KEY_MAX, read_u64};
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

impl AccountMoves {
    /// What tells them from those of any other change, also where a directory was restored and counts its changes again: the number
    /// of the change, and a digest of the names (FNV-1a, 64 bits).
    #[must_use]
    pub fn mark(&self) -> [u8; 16] {
        let octets = self.names.iter().flat_map(|(from, to)| {
            from.as_str().bytes().chain([0]).chain(to.as_str().bytes()).chain([0]).map(u64::from)
        });
        let digest = octets.fold(0xcbf2_9ce4_8422_2325_u64, |digest, octet| {
            (digest ^ octet).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut mark = [0; 16];
        mark[..8].copy_from_slice(&self.csn.to_be_bytes());
        mark[8..].copy_from_slice(&digest.to_be_bytes());
        mark
    }
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
        // Of new entries there is nothing to say, and there may be very many of them.
        if self.0.is_empty() {
            return Ok(());
        }
        let now: HashMap<u64, Option<AccountName>> =
            now.map(|(id, entry)| (*id, account(entry, view.schema))).collect();
        let taken: HashSet<&AccountName> = now.values().flatten().collect();
        // Numbers of entries that go on under other ones.
        let goes_on = |(id, was): (&u64, &Was)| was.id.filter(|was| was != id);
        let going_on: HashSet<u64> = self.0.iter().filter_map(goes_on).collect();
        let (mut moved, mut standing_aside) = (Vec::new(), Vec::new());
        for (id, was) in &self.0 {
            let aside = Aside::of(view, was.id)?;
            if let Some(aside) = &aside {
                aside.forget(batch);
            }
            let reserved = aside.as_ref().map(|aside| aside.reserved.clone());
            match (was.account.clone().or(reserved), now.get(id)) {
                (Some(from), Some(Some(to))) if from != *to => moved.push((from, to.clone())),
                (Some(from), Some(None)) => {
                    let next =
                        aside.map_or_else(|| Aside::new(*id, csn, from.clone()), |aside| aside.at(*id));
                    let reserved = next.as_ref().map(|next| next.reserved.clone());
                    moved.extend(
                        reserved.filter(|reserved| *reserved != from).map(|reserved| (from, reserved)),
                    );
                    standing_aside.extend(next);
                }
                // The entry is gone: what is left stands under its last address, as it does of others; not where somebody has that.
                (Some(from), None) if !going_on.contains(id) => {
                    if let Some(last) = aside.map(|aside| aside.last).filter(|last| !taken.contains(last))
                        && view.indexed(ADDRESSES, last.as_str())?.is_empty()
                    {
                        moved.push((from, last));
                    }
                }
                _ => {}
            }
        }
        // After all that is forgotten: an entry may go on under another number.
        standing_aside.iter().for_each(|aside| aside.keep(batch));
        moved.sort_unstable();
        for (nth, (from, to)) in (0_u32..).zip(moved) {
            let key = [&csn.to_be_bytes()[..], &nth.to_be_bytes()].concat();
            batch.put(ACCOUNT_MOVES, &key, format!("{from}\0{to}"));
        }
        Ok(())
    }
}

/// The account of a user who has no address for a while, as between two steps of whoever changes it. It stands aside, under a name
/// that is nobody's address, until there is another one: whoever takes the old address meanwhile must not find it there.
struct Aside {
    /// The number of the entry.
    id: u64,
    /// What the account is called meanwhile.
    reserved: AccountName,
    /// What it was called before.
    last: AccountName,
}

impl Aside {
    /// Of an entry that loses its address by this change.
    fn new(id: u64, csn: u64, last: AccountName) -> Option<Self> {
        // No address: it has no @.
        let reserved = AccountName::new(&format!("entry-{id}-{csn}"))?;
        Some(Self { id, reserved, last })
    }

    fn of(view: &View<'_>, id: Option<u64>) -> Result<Option<Self>, DirectoryError> {
        let Some(id) = id else { return Ok(None) };
        let Some(row) = view.snapshot.get(ACCOUNTS_ASIDE, &Self::id_key(id))? else { return Ok(None) };
        let names = std::str::from_utf8(&row).ok().and_then(|text| text.split_once('\0'));
        Ok(names.and_then(|(reserved, last)| {
            Some(Self { id, reserved: AccountName::new(reserved)?, last: AccountName::new(last)? })
        }))
    }

    /// The same, of the entry under another number.
    fn at(self, id: u64) -> Option<Self> {
        Some(Self { id, ..self })
    }

    fn keep(&self, batch: &mut Batch) {
        batch.put(ACCOUNTS_ASIDE, &Self::id_key(self.id), format!("{}\0{}", self.reserved, self.last));
        batch.put(ACCOUNTS_ASIDE, &Self::name_key(&self.reserved), self.id.to_be_bytes().to_vec());
    }

    fn forget(&self, batch: &mut Batch) {
        batch.delete(ACCOUNTS_ASIDE, &Self::id_key(self.id));
        batch.delete(ACCOUNTS_ASIDE, &Self::name_key(&self.reserved));
    }

    fn id_key(id: u64) -> [u8; 9] {
        let mut key = *b"i........";
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    fn name_key(reserved: &AccountName) -> Vec<u8> {
        [b"n", reserved.as_str().as_bytes()].concat()
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

    /// The entry whose account stands aside under this name, because it has no address now.
    pub fn without_address(&self, account: &AccountName) -> Lookup<Dn> {
        let found = self.view().and_then(|view| {
            // Longer ones are none of these names.
            let key = Aside::name_key(account);
            let id = if key.len() > NAME_KEY_MAX { None } else { view.snapshot.get(ACCOUNTS_ASIDE, &key)? };
            Ok(id.map(|id| view.entry_by_id(read_u64(&id))).transpose()?.flatten().map(|entry| entry.dn))
        });
        match found {
            Ok(found) => found.into(),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
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
