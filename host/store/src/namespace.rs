//! What mailboxes of others are called: `user/OWNER/NAME`, and `shared/NAME` for those that belong
//! to nobody in particular (R77, RFC 2342).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use mail_types::AccountName;

use crate::accounts::{read_account, read_account_id};
use crate::acl::Acl;
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::mailboxes::{MailboxInfo, find_mailbox, read_mailbox, scan_mailboxes};
use crate::names::{INBOX, MailboxName};
use crate::{Store, keys};

/// What names of other people's mailboxes begin with.
pub const USER_PREFIX: &str = "user/";
/// What names of shared mailboxes begin with.
pub const SHARED_PREFIX: &str = "shared/";
/// The account that owns them. Accounts of people are addresses, and never have this name.
pub const SHARED_ACCOUNT: &str = "shared";

/// Where a mailbox is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: MailboxName,
}

/// A mailbox that others may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMailbox {
    /// What everybody calls it.
    pub name: String,
    /// Who may do what.
    pub acl: Acl,
}

/// What others call a mailbox of this owner.
#[must_use]
pub fn shared_name(owner: &str, name: &MailboxName) -> String {
    if owner == SHARED_ACCOUNT {
        return format!("{SHARED_PREFIX}{name}");
    }
    format!("{USER_PREFIX}{owner}/{name}")
}

impl Store {
    /// Where the mailbox is that an account calls so. A mailbox of one's own goes first, should one
    /// have such a name from earlier times. `NotFound` where nobody has that account.
    pub fn place(&self, account: AccountId, name: &str) -> Result<Place, StoreError> {
        let own = || MailboxName::new(name).map(|name| Place { account, name });
        if !name.starts_with(USER_PREFIX) && !name.starts_with(SHARED_PREFIX) {
            return own();
        }
        if let Ok(place) = own()
            && find_mailbox(&self.inner.storage.read()?, account, &place.name)?.is_some()
        {
            return Ok(place);
        }
        self.shared_place(name)?.ok_or(StoreError::NotFound("mailbox"))
    }

    /// Where the mailbox of a name is that everybody uses; `None` where nobody has that account.
    pub(crate) fn shared_place(&self, name: &str) -> Result<Option<Place>, StoreError> {
        if let Some(name) = name.strip_prefix(SHARED_PREFIX) {
            return self.place_of(SHARED_ACCOUNT, name);
        }
        match name.strip_prefix(USER_PREFIX) {
            Some(rest) => self.place_of_user(rest),
            None => Ok(None),
        }
    }

    /// What the person calls a mailbox that they may know of.
    pub fn called(&self, mailbox: MailboxId) -> Result<String, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let name = MailboxName::new(&read_mailbox(&snapshot, mailbox)?.name)?;
        self.rights_in(&snapshot, mailbox)?;
        self.called_in(mailbox.account, &name)
    }

    /// What the person calls what its owner calls so.
    pub fn called_in(&self, account: AccountId, name: &MailboxName) -> Result<String, StoreError> {
        if self.guest_of(account).is_none() {
            return Ok(name.to_string());
        }
        Ok(shared_name(&read_account(&self.inner.storage.read()?, account)?.name, name))
    }

    /// The mailbox that an account calls so, as far as it may know of it.
    pub fn find_shared(&self, account: AccountId, name: &str) -> Result<MailboxInfo, StoreError> {
        let place = self.place(account, name)?;
        self.mailbox(place.account, &place.name)
    }

    /// The mailbox of a name that everybody uses: for whoever runs the server.
    pub fn find_by_shared_name(&self, name: &str) -> Result<MailboxInfo, StoreError> {
        let place = self.shared_place(name)?.ok_or(StoreError::NotFound("mailbox"))?;
        self.mailbox(place.account, &place.name)
    }

    /// All mailboxes below `shared/`, and those of users that others may use, by name: for whoever runs the server.
    pub fn all_shared(&self) -> Result<Vec<SharedMailbox>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut found = BTreeSet::new();
        snapshot.scan(keys::ACLS, &[], &keys::END, &mut |key, _| {
            found.extend(keys::mailbox_of(key));
            ControlFlow::Continue(())
        })?;
        if let Some(shared) = AccountName::new(SHARED_ACCOUNT)
            && let Some(account) = read_account_id(&snapshot, &shared)?
        {
            scan_mailboxes(&snapshot, account, &mut |id, record| {
                if record.name != INBOX {
                    found.insert(id);
                }
            })?;
        }
        let mut all = Vec::with_capacity(found.len());
        for id in found {
            let owner = read_account(&snapshot, id.account)?.name;
            let name = MailboxName::new(&read_mailbox(&snapshot, id)?.name)?;
            all.push(SharedMailbox { name: shared_name(&owner, &name), acl: Acl::read(&snapshot, id)? });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// An owner's name may have the delimiter in it: the shortest that is one counts.
    fn place_of_user(&self, rest: &str) -> Result<Option<Place>, StoreError> {
        for (at, _) in rest.match_indices('/').take(crate::MAILBOX_DEPTH_MAX) {
            let place = self.place_of(&rest[..at], &rest[at + 1..])?;
            if place.is_some() {
                return Ok(place);
            }
        }
        Ok(None)
    }

    fn place_of(&self, owner: &str, name: &str) -> Result<Option<Place>, StoreError> {
        let Some(owner) = AccountName::new(owner) else { return Ok(None) };
        let account = match self.find_account(&owner)? {
            Some(account) => Some(account),
            // As entries of others, and clients, go on calling it.
            None => self.formerly(&owner)?,
        };
        let Some(account) = account else { return Ok(None) };
        // What is wrong with a name tells no more than that there is no mailbox of it: else whoever asks would learn by it that
        // there is such an owner (RFC 4314 §6).
        let Ok(name) = MailboxName::new(name) else { return Ok(None) };
        Ok(Some(Place { account, name }))
    }
}
