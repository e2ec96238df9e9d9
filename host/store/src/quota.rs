//! What an account may take up (R83): asked of whoever knows the users, held against the counters.

use mail_types::AccountName;
use storage::Snapshot;

use crate::Store;
use crate::accounts::{Usage, read_account, usage_in};
use crate::error::StoreError;
use crate::ids::{AccountId, Flags, MailboxId};
use crate::messages::scan_messages;

/// What an account may take up; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of its messages.
    pub octets: Option<u64>,
    /// Its messages.
    pub messages: Option<u64>,
}

impl Quota {
    fn is_unlimited(self) -> bool {
        self == Self::default()
    }

    /// Whether something may still come: the message that passes the limit is the last one.
    fn has_room(self, usage: Usage) -> bool {
        let below = |limit: Option<u64>, used| limit.is_none_or(|limit| used < limit);
        below(self.octets, usage.octets) && below(self.messages, usage.messages)
    }

    /// Whether all of this may come.
    fn has_room_for(self, usage: Usage, more: Usage) -> bool {
        let within = |limit: Option<u64>, used: u64, more| {
            limit.is_none_or(|limit| used.saturating_add(more) <= limit)
        };
        within(self.octets, usage.octets, more.octets) && within(self.messages, usage.messages, more.messages)
    }
}

/// Knows what accounts may take up. Asked for every delivery: it answers from memory as a rule.
pub trait Quotas: Send + Sync + 'static {
    /// The quota of an account. Whoever cannot find out says that there is none: mail is not refused
    /// because a directory does not answer.
    fn of(&self, account: &AccountName) -> Quota;
}

/// No account has a limit.
pub(crate) struct Unlimited;

impl Quotas for Unlimited {
    fn of(&self, _: &AccountName) -> Quota {
        Quota::default()
    }
}

impl Store {
    /// What an account may take up.
    pub fn quota(&self, account: AccountId) -> Result<Quota, StoreError> {
        let name = read_account(&self.inner.storage.read()?, account)?.name;
        Ok(AccountName::new(&name).map_or_else(Quota::default, |name| self.inner.quotas.of(&name)))
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

    /// Whether a delivery may go to an account: it may as long as the account is below its quota.
    /// Costs nothing to speak of where there is none.
    pub fn has_room(&self, account: &AccountName) -> Result<bool, StoreError> {
        let quota = self.inner.quotas.of(account);
        if quota.is_unlimited() {
            return Ok(true);
        }
        let usage = match self.find_account(account)? {
            Some(id) => self.usage(id)?,
            None => Usage::default(),
        };
        Ok(quota.has_room(usage))
    }

    /// Whether the owner may put so much more into the account: `OverQuota` where it would pass the
    /// quota.
    pub fn check_room(&self, account: AccountId, more: Usage) -> Result<(), StoreError> {
        self.check_room_in(&self.inner.storage.read()?, account, more)
    }

    pub(crate) fn check_room_in(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        more: Usage,
    ) -> Result<(), StoreError> {
        let name = read_account(snapshot, account)?.name;
        let Some(name) = AccountName::new(&name) else { return Ok(()) };
        let quota = self.inner.quotas.of(&name);
        if quota.is_unlimited() || quota.has_room_for(usage_in(snapshot, account)?, more) {
            return Ok(());
        }
        Err(StoreError::OverQuota)
    }
}
