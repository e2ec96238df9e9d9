//! What an account may take up, by itself and together with others (R83): asked of whoever knows the users, held against
//! the counters.
//!
//! Room is taken before what needs it is committed, and held until then: of many that come at one moment, each counts the
//! others, so that no limit is passed by more than the one delivery that crosses it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mail_types::AccountName;
use parking_lot::Mutex;
use storage::Snapshot;

use crate::Store;
use crate::accounts::{Usage, read_account, read_account_id, usage_in};
use crate::domain_usage::{domain_of, domain_usage_in};
use crate::error::StoreError;
use crate::ids::{AccountId, Flags, MailboxId};
use crate::messages::scan_messages;

/// A limit; `None` is without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of messages.
    pub octets: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

impl Quota {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_unlimited(self) -> bool {
        self == Self::default()
    }

    fn has_room(self, usage: Usage, more: Usage, fit: Fit) -> bool {
        let fits = |limit: Option<u64>, used: u64, more: u64| {
            limit.is_none_or(|limit| match fit {
                Fit::Below => used < limit,
                // RFC 8508 §3.4: what takes no more than before fits whatever there is.
                Fit::Within => more == 0 || used.saturating_add(more) <= limit,
            })
        };
        fits(self.octets, usage.octets, more.octets) && fits(self.messages, usage.messages, more.messages)
    }
}

/// A limit that accounts have together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedQuota {
    /// Whose it is, for people: "domain example.org", "tenant acme".
    pub name: String,
    /// How much.
    pub quota: Quota,
    /// The domains whose accounts count: what stands behind the `@` of their names.
    pub domains: Vec<String>,
}

/// All limits of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Its own.
    pub own: Quota,
    /// Those that it has together with others.
    pub shared: Vec<Arc<SharedQuota>>,
}

impl Limits {
    fn is_unlimited(&self) -> bool {
        self.own.is_unlimited() && self.shared.is_empty()
    }
}

impl From<Quota> for Limits {
    fn from(own: Quota) -> Self {
        Self { own, shared: Vec::new() }
    }
}

/// Knows what accounts may take up. Asked for every delivery: it answers from memory as a rule.
pub trait Quotas: Send + Sync + 'static {
    /// The limits of an account. Whoever cannot find out says that there are none: mail is not refused
    /// because a directory does not answer.
    fn of(&self, account: &AccountName) -> Limits;

    /// Hears how full an account with a limit of its own, and one that it shares, will be once what was let in just now
    /// is there. Must not wait.
    fn hear(&self, account: &AccountName, usage: Usage, shared: &[(Arc<SharedQuota>, Usage)]) {
        let _ = (account, usage, shared);
    }
}

/// No account has a limit.
pub(crate) struct Unlimited;

impl Quotas for Unlimited {
    fn of(&self, _: &AccountName) -> Limits {
        Limits::default()
    }
}

/// What has no room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Full {
    /// The account.
    Account,
    /// The limit that it shares, by its name.
    Shared(String),
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "the account",
            Self::Shared(name) => name,
        })
    }
}

/// When there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// For deliveries: as long as the limit is not reached. What passes it is the last one.
    Below,
    /// For what owners put in: where all of it is within the limit.
    Within,
}

/// Room that is taken in accounts and domains, and not yet counted there.
#[derive(Default)]
pub(crate) struct Taken {
    accounts: HashMap<AccountName, Usage>,
    domains: HashMap<String, Usage>,
}

impl Taken {
    fn add(&mut self, account: &AccountName, usage: Usage) {
        let sum = self.accounts.entry(account.clone()).or_default();
        *sum = sum.plus(usage);
        if let Some(domain) = domain_of(account.as_str()) {
            let sum = self.domains.entry(domain.to_owned()).or_default();
            *sum = sum.plus(usage);
        }
    }

    fn remove(&mut self, account: &AccountName, usage: Usage) {
        release(&mut self.accounts, account, usage);
        if let Some(domain) = domain_of(account.as_str()) {
            release(&mut self.domains, domain, usage);
        }
    }
}

fn release<K, Q>(taken: &mut HashMap<K, Usage>, key: &Q, usage: Usage)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(sum) = taken.get_mut(key) {
        *sum = sum.minus(usage);
        if *sum == Usage::default() {
            taken.remove(key);
        }
    }
}

/// Room for something that is about to be committed. Keep it until that is done: dropping it gives the room back, and by
/// then the counters have it.
#[must_use = "room that is dropped is free again"]
pub struct Room(Option<(Arc<Mutex<Taken>>, AccountName, Usage)>);

impl Room {
    /// Whether it holds anything: not where there is no limit.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((taken, account, usage)) = self.0.take() {
            taken.lock().remove(&account, usage);
        }
    }
}

impl Store {
    /// What an account may take up by itself.
    pub fn quota(&self, account: AccountId) -> Result<Quota, StoreError> {
        let name = read_account(&self.inner.storage.read()?, account)?.name;
        Ok(AccountName::new(&name).map_or_else(Quota::default, |name| self.inner.quotas.of(&name).own))
    }

    /// All limits of an account, which need not be there.
    #[must_use]
    pub fn limits(&self, account: &AccountName) -> Limits {
        self.inner.quotas.of(account)
    }

    /// Octets of a mailbox's messages with `\Deleted` (RFC 9208 §4.1.4): all messages are looked at.
    pub fn deleted_octets(&self, mailbox: MailboxId) -> Result<u64, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut octets: u64 = 0;
        scan_messages(&snapshot, mailbox, .., &mut |_, record| {
            if record.flags.contains(Flags::DELETED) {
                octets = octets.saturating_add(record.size);
            }
        })?;
        Ok(octets)
    }

    /// Takes room in an account and in what it shares with others; `OverQuota` says what has none. Costs nothing to
    /// speak of where there is no limit.
    pub fn take_room(&self, account: &AccountName, more: Usage, fit: Fit) -> Result<Room, StoreError> {
        let limits = self.inner.quotas.of(account);
        if limits.is_unlimited() {
            return Ok(Room(None));
        }
        let mut taken = self.inner.taken.lock();
        let (own, shared) = self.find_room(&taken, account, limits, more, fit)?;
        if more == Usage::default() {
            return Ok(Room(None));
        }
        taken.add(account, more);
        drop(taken);
        self.inner.quotas.hear(account, own, &shared);
        Ok(Room(Some((Arc::clone(&self.inner.taken), account.clone(), more))))
    }

    /// Whether there is room; what the account and those with whom it shares limits would take up then. It is read while
    /// nobody can give room back: what is not taken any more is counted in here.
    #[allow(clippy::type_complexity, reason = "what is taken, and by whom")]
    fn find_room(
        &self,
        taken: &Taken,
        account: &AccountName,
        limits: Limits,
        more: Usage,
        fit: Fit,
    ) -> Result<(Usage, Vec<(Arc<SharedQuota>, Usage)>), StoreError> {
        let snapshot = self.inner.storage.read()?;
        let own = match read_account_id(&snapshot, account)? {
            Some(id) if !limits.own.is_unlimited() => usage_in(&snapshot, id)?,
            _ => Usage::default(),
        };
        let own = own.plus(taken.accounts.get(account).copied().unwrap_or_default());
        if !limits.own.has_room(own, more, fit) {
            return Err(StoreError::OverQuota(Full::Account));
        }
        let mut shared = Vec::with_capacity(limits.shared.len());
        for limit in limits.shared {
            let usage = shared_usage(&snapshot, taken, &limit)?;
            if !limit.quota.has_room(usage, more, fit) {
                return Err(StoreError::OverQuota(Full::Shared(limit.name.clone())));
            }
            shared.push((limit, usage.plus(more)));
        }
        Ok((own.plus(more), shared))
    }

    /// The same for what an owner puts into an account. An account that has gone has room: what is put there fails.
    pub(crate) fn take_owners_room(&self, account: AccountId, more: Usage) -> Result<Room, StoreError> {
        let name = read_account(&self.inner.storage.read()?, account)?.name;
        match AccountName::new(&name) {
            Some(name) => self.take_room(&name, more, Fit::Within),
            None => Ok(Room(None)),
        }
    }

    /// Whether the owner may put so much more into the account now. Takes nothing, and nobody is warned for it.
    pub fn check_room(&self, account: AccountId, more: Usage) -> Result<(), StoreError> {
        let name = read_account(&self.inner.storage.read()?, account)?.name;
        let Some(name) = AccountName::new(&name) else { return Ok(()) };
        let limits = self.inner.quotas.of(&name);
        if limits.is_unlimited() {
            return Ok(());
        }
        self.find_room(&self.inner.taken.lock(), &name, limits, more, Fit::Within).map(drop)
    }

    /// What those who share a limit take up together.
    pub fn shared_usage(&self, limit: &SharedQuota) -> Result<Usage, StoreError> {
        let taken = self.inner.taken.lock();
        shared_usage(&self.inner.storage.read()?, &taken, limit)
    }
}

fn shared_usage(snapshot: &Snapshot, taken: &Taken, limit: &SharedQuota) -> Result<Usage, StoreError> {
    let mut usage = Usage::default();
    for domain in &limit.domains {
        usage = usage.plus(domain_usage_in(snapshot, domain)?);
        usage = usage.plus(taken.domains.get(domain.as_str()).copied().unwrap_or_default());
    }
    Ok(usage)
}
