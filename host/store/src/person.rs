//! On whose behalf the store is used: the one place where rights are asked for (RFC 4314 §4).
//!
//! A [`Store`] as it is opened serves whoever runs the server: deliveries, POP3, operators. One that
//! [`Store::on_behalf_of`] gives serves a person. In mailboxes of others it does what their lists
//! allow, as they are at that moment, and keeps `\Seen` for that person alone (R78). What the person
//! may not even know of is `NotFound`.

use std::sync::Arc;

use mail_types::AccountName;
use storage::Snapshot;

use crate::Store;
use crate::accounts::read_account;
use crate::acl::{Identifier, anyone, granted_to};
use crate::error::StoreError;
use crate::groups::have_grants;
use crate::ids::{AccountId, MailboxId};
use crate::mailboxes::{MailboxInfo, find_mailbox, info, read_mailbox};
use crate::names::MailboxName;
use crate::namespace::SHARED_ACCOUNT;
use crate::rights::Rights;

/// Most mailboxes of others that one person is shown.
pub const GRANTED_MAX: usize = 10_000;

/// Somebody who has logged in.
pub(crate) struct Person {
    pub(crate) id: AccountId,
    name: AccountName,
}

/// A mailbox of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Whose it is.
    pub owner: String,
    /// The mailbox.
    pub info: MailboxInfo,
    /// What the person may do with it.
    pub rights: Rights,
}

impl Store {
    /// The same store, as this account may use it.
    #[must_use]
    pub fn on_behalf_of(&self, id: AccountId, name: &AccountName) -> Self {
        let person = Person { id, name: name.clone() };
        Self { inner: Arc::clone(&self.inner), person: Some(Arc::new(person)), deaf: None }
    }

    /// The person, where the account is somebody else's.
    pub(crate) fn guest_of(&self, account: AccountId) -> Option<&Person> {
        self.person.as_deref().filter(|person| person.id != account)
    }

    /// What may be done with a mailbox (RFC 4314 §3.5). `NotFound` where that is nothing.
    pub fn rights(&self, mailbox: MailboxId) -> Result<Rights, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        self.rights_in(&snapshot, mailbox)
    }

    pub(crate) fn rights_in(&self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<Rights, StoreError> {
        let Some(guest) = self.guest_of(mailbox.account) else { return Ok(Rights::ALL) };
        let rights = self.rights_by(snapshot, mailbox, &guest.name)?;
        if rights.has_any(Rights::KNOWING) { Ok(rights) } else { Err(StoreError::NotFound("mailbox")) }
    }

    /// Whose a mailbox is; `None` where it belongs to nobody in particular.
    pub fn owner(&self, mailbox: MailboxId) -> Result<Option<AccountName>, StoreError> {
        let name = read_account(&self.inner.storage.read()?, mailbox.account)?.name;
        Ok(AccountName::new(&name).filter(|name| name.as_str() != SHARED_ACCOUNT))
    }

    /// Whether something may be done, before anything is prepared for it.
    pub fn require(&self, mailbox: MailboxId, needed: Rights) -> Result<(), StoreError> {
        self.allow(&self.inner.storage.read()?, mailbox, needed).map(drop)
    }

    /// The rights to a mailbox, where these are among them. Who may not look it up learns nothing
    /// of it (RFC 4314 §6).
    pub(crate) fn allow(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        needed: Rights,
    ) -> Result<Rights, StoreError> {
        let rights = self.rights_in(snapshot, mailbox)?;
        if rights.contains(needed) {
            return Ok(rights);
        }
        if rights.contains(Rights::LOOKUP) {
            return Err(StoreError::NotPermitted(needed.without(rights).letter()));
        }
        Err(StoreError::NotFound("mailbox"))
    }

    /// Whether a mailbox of this name may be made: by right of the nearest one above that is there
    /// (RFC 4314 §4, CREATE). Nobody makes one in the first level of somebody else's.
    pub(crate) fn allow_below(
        &self,
        snapshot: &Snapshot,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<(), StoreError> {
        if self.guest_of(account).is_none() {
            return Ok(());
        }
        let mut above = name.parent();
        while let Some(parent) = above {
            if let Some(mailbox) = find_mailbox(snapshot, account, &parent)? {
                return self.allow(snapshot, mailbox, Rights::CREATE).map(drop);
            }
            above = parent.parent();
        }
        // As where there is no such owner, or nothing that may be known of: who guesses learns nothing.
        Err(StoreError::NotFound("mailbox"))
    }

    /// The mailboxes of others that the person may look up, by owner and number.
    pub fn granted(&self) -> Result<Vec<Granted>, StoreError> {
        let Some(person) = &self.person else { return Ok(Vec::new()) };
        let snapshot = self.inner.storage.read()?;
        let mut mailboxes = granted_to(&snapshot, &Identifier::of(&person.name), GRANTED_MAX)?;
        mailboxes.extend(granted_to(&snapshot, &anyone(), GRANTED_MAX)?);
        if have_grants(&snapshot)? {
            for group in self.groups_of(&person.name)?.iter() {
                mailboxes.extend(granted_to(&snapshot, &Identifier::of_group(group), GRANTED_MAX)?);
            }
        }
        let mut granted = Vec::new();
        for mailbox in mailboxes.into_iter().filter(|mailbox| mailbox.account != person.id).take(GRANTED_MAX)
        {
            let rights = self.rights_by(&snapshot, mailbox, &person.name)?;
            if rights.contains(Rights::LOOKUP) {
                let owner = read_account(&snapshot, mailbox.account)?.name;
                let info = info(mailbox, read_mailbox(&snapshot, mailbox)?, |_| false)?;
                granted.push(Granted { owner, info, rights });
            }
        }
        Ok(granted)
    }

    /// Whether an account may have mail put into a mailbox (RFC 4314 §2.1, `p`): its owner, and who
    /// has the right to post.
    pub(crate) fn may_post_in(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        account: &AccountName,
    ) -> Result<bool, StoreError> {
        let is_owner = read_account(snapshot, mailbox.account)?.name == account.as_str();
        Ok(is_owner || self.rights_by(snapshot, mailbox, account)?.contains(Rights::POST))
    }
}
