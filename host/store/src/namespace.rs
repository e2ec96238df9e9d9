//! What mailboxes of others are called: `user/OWNER/NAME`, and `shared/NAME` for those that belong
//! to nobody in particular (R77, RFC 2342).

use mail_types::AccountName;

use crate::Store;
use crate::error::StoreError;
use crate::ids::AccountId;
use crate::mailboxes::{MailboxInfo, find_mailbox};
use crate::names::MailboxName;

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
        let (is_user, is_shared) = (name.starts_with(USER_PREFIX), name.starts_with(SHARED_PREFIX));
        if !is_user && !is_shared {
            return own();
        }
        if let Ok(place) = own()
            && find_mailbox(&self.inner.storage.read()?, account, &place.name)?.is_some()
        {
            return Ok(place);
        }
        let found = if is_shared {
            self.place_of(SHARED_ACCOUNT, &name[SHARED_PREFIX.len()..])?
        } else {
            self.place_of_user(&name[USER_PREFIX.len()..])?
        };
        found.ok_or(StoreError::NotFound("mailbox"))
    }

    /// The mailbox that an account calls so, as far as it may know of it.
    pub fn find_shared(&self, account: AccountId, name: &str) -> Result<MailboxInfo, StoreError> {
        let place = self.place(account, name)?;
        self.mailbox(place.account, &place.name)
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
        let Some(account) = self.find_account(&owner)? else { return Ok(None) };
        Ok(Some(Place { account, name: MailboxName::new(name)? }))
    }
}
