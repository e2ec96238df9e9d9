//! Accounts: made when they are first needed, known by name, counted by number.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use events::Event;
use mail_types::{AccountName, Timestamp};
use parking_lot::RwLock;
use storage::Snapshot;

use crate::acl::Acl;
use crate::changes::Draft;
use crate::domain_usage::{domain_of, doomed_value};
use crate::error::StoreError;
use crate::feed::Happened;
use crate::ids::{AccountId, MailboxId, UidValidity};
use crate::locks::Held;
use crate::mailboxes::{SpecialUse, scan_mailboxes};
use crate::making::draft_mailbox;
use crate::names::MailboxName;
use crate::namespace::SHARED_ACCOUNT;
use crate::record::AccountRecord;
use crate::renaming::{assert_same_counters, is_unused};
use crate::{Store, keys};

/// Most accounts whose number is kept in memory; when there are more, all are read anew.
pub const ACCOUNTS_CACHED_MAX: usize = 100_000;

/// Most accounts that are made in one commit.
const ACCOUNTS_MADE_MAX: usize = 200;

/// The mailboxes that an account has from the beginning, besides the INBOX (RFC 6154 §2).
pub(crate) const FIRST_MAILBOXES: [(&str, SpecialUse); 5] = [
    ("Drafts", SpecialUse::Drafts),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
    ("Junk", SpecialUse::Junk),
    ("Archive", SpecialUse::Archive),
];

/// Numbers of accounts by name, and their domains by number.
#[derive(Default)]
pub(crate) struct Cache {
    ids: RwLock<HashMap<AccountName, AccountId>>,
    domains: RwLock<HashMap<AccountId, Belonging>>,
}

/// Whose domain the messages of an account count for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Belonging {
    /// Its domain; `None` for an account without one.
    pub(crate) domain: Option<Arc<str>>,
    /// What stands of it in `store_moved`.
    pub(crate) moved: Option<Vec<u8>>,
}

impl Cache {
    /// The domain of an account, if it is in memory.
    pub(crate) fn domain(&self, account: AccountId) -> Option<Belonging> {
        self.domains.read().get(&account).cloned()
    }

    /// Forgets names and numbers of accounts.
    pub(crate) fn forget<'a>(
        &self,
        names: impl Iterator<Item = &'a AccountName>,
        ids: impl Iterator<Item = AccountId>,
    ) {
        let (mut by_name, mut domains) = (self.ids.write(), self.domains.write());
        for name in names {
            by_name.remove(name);
        }
        for id in ids {
            domains.remove(&id);
        }
    }

    pub(crate) fn remember_domain(&self, account: AccountId, domain: Belonging) {
        let mut domains = self.domains.write();
        if domains.len() >= ACCOUNTS_CACHED_MAX {
            domains.clear();
        }
        domains.insert(account, domain);
    }
}

/// What an account takes up, for quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Its messages.
    pub messages: u64,
    /// Their octets. Content that several messages share counts for each.
    pub octets: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            octets: self.octets.saturating_add(other.octets),
        }
    }

    /// What is left without the other.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            octets: self.octets.saturating_sub(other.octets),
        }
    }

    /// As messages and octets for counters.
    pub(crate) fn as_changes(self) -> (i64, i64) {
        let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
        (number(self.messages), number(self.octets))
    }
}

impl Store {
    /// The number of an account, if it is in memory: what a delivery needs, without reading.
    #[must_use]
    pub fn cached_account(&self, name: &AccountName) -> Option<AccountId> {
        self.inner.accounts.ids.read().get(name).copied()
    }

    /// The number of an account; `None` where there is none yet.
    pub fn find_account(&self, name: &AccountName) -> Result<Option<AccountId>, StoreError> {
        if let Some(id) = self.cached_account(name) {
            return Ok(Some(id));
        }
        let snapshot = self.inner.storage.read()?;
        let id = read_account_id(&snapshot, name)?;
        if let Some(id) = id {
            self.remember_account(name, id);
        }
        Ok(id)
    }

    /// The number of an account, which is made with its first mailboxes where there is none.
    pub async fn ensure_account(&self, name: &AccountName) -> Result<AccountId, StoreError> {
        if let Some(id) = self.find_account(name)? {
            return Ok(id);
        }
        self.make_accounts(&[name]).await?;
        self.find_account(name)?.ok_or(StoreError::NotFound("account"))
    }

    /// Makes those of some accounts that are not there, many in one commit.
    pub async fn ensure_accounts(&self, names: &[&AccountName]) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        for name in names {
            if self.find_account(name)?.is_none() {
                missing.push(*name);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for some in missing.chunks(ACCOUNTS_MADE_MAX) {
            self.make_accounts(some).await?;
        }
        Ok(())
    }

    /// Makes accounts in one commit, each name once; those that are there meanwhile stay as they are.
    async fn make_accounts(&self, names: &[&AccountName]) -> Result<(), StoreError> {
        let held = self.inner.locks.lock_making().await;
        let (mut draft, mut made) = (Draft::new(), Vec::with_capacity(names.len()));
        {
            let snapshot = self.inner.storage.read()?;
            let now = self.inner.clock.now();
            for name in names {
                if read_account_id(&snapshot, name)?.is_none() {
                    made.push((*name, draft_account(&snapshot, &mut draft, name, made.len(), now)?));
                }
            }
        }
        if made.is_empty() {
            return Ok(());
        }
        self.commit(draft, held).await?;
        for (account, id) in made {
            self.remember_account(account, id);
            self.inner.events.emit(&Event::AccountCreated { account });
        }
        Ok(())
    }

    /// Removes an account with all its mailboxes and messages; whether there was one. Deliveries
    /// that run meanwhile fail as conflicts.
    pub async fn remove_account(&self, name: &AccountName) -> Result<bool, StoreError> {
        let making = self.inner.locks.lock_making().await;
        // Who never logged in may have been given rights all the same.
        self.forget_grantee(name).await?;
        self.remove_named(name, making, false).await
    }

    /// Removes an account, if nothing was ever in it; whether it was. Rights that others gave to one of that name stay.
    pub(crate) async fn remove_unused_account(&self, name: &AccountName) -> Result<bool, StoreError> {
        let making = self.inner.locks.lock_making().await;
        self.remove_named(name, making, true).await
    }

    async fn remove_named(
        &self,
        name: &AccountName,
        making: Held,
        if_unused: bool,
    ) -> Result<bool, StoreError> {
        let Some(id) = read_account_id(&self.inner.storage.read()?, name)? else { return Ok(false) };
        let held = self.inner.locks.lock(id).await;
        let mut draft = Draft::new();
        let mut mailboxes = Vec::new();
        {
            let snapshot = self.inner.storage.read()?;
            if if_unused {
                if !is_unused(&snapshot, id)? {
                    return Ok(false);
                }
                assert_same_counters(&snapshot, &mut draft, id)?;
            }
            scan_mailboxes(&snapshot, id, &mut |mailbox, record| {
                mailboxes.push((mailbox, record.name.clone()))
            })?;
            let account = name.as_str();
            for (mailbox, name) in &mailboxes {
                draft.batch.delete(keys::MAILBOXES, &keys::mailbox(*mailbox));
                draft.batch.delete(keys::MAILBOX_NAMES, &keys::named(id, name));
                draft.batch.put(keys::DOOMED, &keys::mailbox(*mailbox), doomed_value(domain_of(account)));
                draft.touch_gone(*mailbox);
                if let Ok(name) = MailboxName::new(name) {
                    draft.note(Happened::Named { account: id, name });
                }
                Acl::draft_gone(&snapshot, &mut draft, *mailbox)?;
            }
            let (from, until) = (keys::account(id), keys::after(keys::account(id)));
            snapshot.scan(keys::SUBSCRIPTIONS, &from, &until, &mut |key, _| {
                draft.batch.delete(keys::SUBSCRIPTIONS, key);
                ControlFlow::Continue(())
            })?;
        }
        let traces = keys::mailbox(MailboxId { account: id, number: 0 });
        draft.batch.put(keys::DOOMED, &traces, name.as_str().as_bytes());
        self.keep_uid_validity(&mut draft, id)?;
        draft.batch.delete(keys::ACCOUNTS, &keys::account(id));
        draft.batch.delete(keys::ACCOUNT_NAMES, name.as_str().as_bytes());
        draft.batch.delete(keys::COUNTERS, &keys::account(id));
        draft.batch.delete(keys::WARNED, &keys::account(id));
        draft.batch.delete(keys::MOVED, &keys::account(id));
        self.inner.accounts.ids.write().remove(name);
        let (_, making, held) = self.commit_both(draft, making, Some(held)).await?;
        // A look-up that ran meanwhile may have read the old state.
        self.inner.accounts.ids.write().remove(name);
        drop((making, held));
        self.remove_traces(id).await?;
        for (mailbox, _) in mailboxes {
            self.remove_remains(mailbox).await?;
        }
        self.forget_imports(id).await?;
        Ok(true)
    }

    /// Remembers the highest UIDVALIDITY of an account that goes. One of the same name that comes
    /// later begins above it, whatever the clock says by then: a client that kept messages of the
    /// old one must not take the new ones for them (RFC 3501 §2.3.1.1).
    fn keep_uid_validity(&self, draft: &mut Draft, id: AccountId) -> Result<(), StoreError> {
        let snapshot = self.inner.storage.read()?;
        let gone = u64::from(read_account(&snapshot, id)?.last_uid_validity.0);
        let last = snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::LAST_UID_VALIDITY)?;
        let more = i64::try_from(gone.saturating_sub(last)).unwrap_or(0);
        draft.batch.add(keys::COUNTERS, keys::STORE_COUNTERS, &[(keys::LAST_UID_VALIDITY, more)]);
        Ok(())
    }

    /// Visits all accounts, rising by number.
    pub fn accounts(&self, mut visit: impl FnMut(AccountId, &str)) -> Result<(), StoreError> {
        let snapshot = self.inner.storage.read()?;
        scan_accounts(&snapshot, &mut |id, record| visit(id, &record.name))
    }

    /// What an account takes up.
    pub fn usage(&self, account: AccountId) -> Result<Usage, StoreError> {
        let snapshot = self.inner.storage.read()?;
        usage_in(&snapshot, account)
    }

    fn remember_account(&self, name: &AccountName, id: AccountId) {
        let mut ids = self.inner.accounts.ids.write();
        if ids.len() >= ACCOUNTS_CACHED_MAX {
            ids.clear();
        }
        ids.insert(name.clone(), id);
    }
}

/// What an account takes up: the sum of its mailboxes' counters, which stand side by side. Those of mailboxes that are
/// being removed do not count.
pub(crate) fn usage_in(snapshot: &Snapshot, account: AccountId) -> Result<Usage, StoreError> {
    let (of_account, until) = (keys::account(account), keys::after(keys::account(account)));
    let mut doomed = HashSet::new();
    snapshot.scan(keys::DOOMED, &of_account, &until, &mut |key, _| {
        doomed.insert(key.to_vec());
        ControlFlow::Continue(())
    })?;
    let mut usage = Usage::default();
    snapshot.scan(keys::COUNTERS, &of_account, &until, &mut |key, counters| {
        let counter = |field| storage::counter_in(counters, field);
        // The account itself has counters, too.
        if keys::mailbox_of(key).is_some() && !doomed.contains(key) {
            usage = usage.plus(Usage { messages: counter(keys::COUNT), octets: counter(keys::OCTETS) });
        }
        ControlFlow::Continue(())
    })?;
    Ok(usage)
}

pub(crate) fn read_account_id(
    snapshot: &Snapshot,
    name: &AccountName,
) -> Result<Option<AccountId>, StoreError> {
    match snapshot.get(keys::ACCOUNT_NAMES, name.as_str().as_bytes())? {
        Some(id) => match keys::u32_at(&id, 0) {
            Some(id) => Ok(Some(AccountId(id))),
            None => Err(StoreError::corrupt(format!("the number of account {name} is unreadable"))),
        },
        None => Ok(None),
    }
}

pub(crate) fn read_account(snapshot: &Snapshot, id: AccountId) -> Result<AccountRecord, StoreError> {
    let octets = snapshot.get(keys::ACCOUNTS, &keys::account(id))?;
    AccountRecord::parse(&octets.ok_or(StoreError::NotFound("account"))?)
}

/// Visits the records of all accounts, rising by number.
pub(crate) fn scan_accounts(
    snapshot: &Snapshot,
    visit: &mut dyn FnMut(AccountId, &AccountRecord),
) -> Result<(), StoreError> {
    let mut failed = None;
    snapshot.scan(keys::ACCOUNTS, &[], &keys::END, &mut |key, value| match (
        keys::u32_at(key, 0),
        AccountRecord::parse(value),
    ) {
        (Some(id), Ok(record)) => {
            visit(AccountId(id), &record);
            ControlFlow::Continue(())
        }
        (_, outcome) => {
            let unreadable = || StoreError::corrupt("an account's key is unreadable");
            failed = Some(outcome.err().unwrap_or_else(unreadable));
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Drafts an account; `before` others are in the same draft.
fn draft_account(
    snapshot: &Snapshot,
    draft: &mut Draft,
    name: &AccountName,
    before: usize,
    now: Timestamp,
) -> Result<AccountId, StoreError> {
    let last = snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::LAST_ACCOUNT)?;
    let id = u32::try_from(last + before as u64 + 1)
        .map_err(|_| StoreError::TooMany { what: "accounts", max: u32::MAX as usize })?;
    let id = AccountId(id);
    draft.batch.assert_absent(keys::ACCOUNT_NAMES, name.as_str().as_bytes());
    draft.batch.assert_absent(keys::ACCOUNTS, &keys::account(id));
    draft.batch.add(keys::COUNTERS, keys::STORE_COUNTERS, &[(keys::LAST_ACCOUNT, 1)]);
    draft.batch.put(keys::ACCOUNT_NAMES, name.as_str().as_bytes(), keys::account(id));
    let last = snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::LAST_UID_VALIDITY)?;
    let last_uid_validity = UidValidity(u32::try_from(last).unwrap_or(u32::MAX));
    let mut record = AccountRecord { last_uid_validity, created: now, name: name.as_str().to_owned() };
    let inbox = MailboxId::inbox(id);
    draft_mailbox(draft, inbox, &mut record, &MailboxName::inbox(), None, now);
    // What nobody reads needs no place for drafts.
    let first = if name.as_str() == SHARED_ACCOUNT { &[][..] } else { &FIRST_MAILBOXES };
    for (number, (name, special_use)) in (2..).zip(first) {
        let name = MailboxName::new(name)?;
        let mailbox = MailboxId { account: id, number };
        draft_mailbox(draft, mailbox, &mut record, &name, Some(*special_use), now);
        draft.batch.put(keys::SUBSCRIPTIONS, &keys::named(id, name.as_str()), [0]);
    }
    draft.batch.put(keys::SUBSCRIPTIONS, &keys::named(id, crate::INBOX), [0]);
    let count = 1 + i64::try_from(first.len()).unwrap_or(0);
    draft.batch.add(keys::COUNTERS, &keys::account(id), &[(keys::LAST_MAILBOX, count)]);
    draft.batch.put(keys::ACCOUNTS, &keys::account(id), record.to_octets());
    Ok(id)
}
