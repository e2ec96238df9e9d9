//! Mail that is sent to a mailbox that others own (R68, RFC 4314 §2.1 `p`).

use mail_types::AccountName;

use crate::Store;
use crate::accounts::read_account;
use crate::error::StoreError;
use crate::mailboxes::{find_mailbox, read_mailbox};
use crate::names::MailboxName;
use crate::namespace::{SHARED_PREFIX, USER_PREFIX};
use crate::rights::Rights;

impl Store {
    /// Whose mailbox it is that somebody posts to, and its name there: `mailbox` is `shared/NAME`,
    /// `user/OWNER/NAME`, or a name below `shared/`; the poster an account, or the address of a group. `NotFound` where
    /// there is no such mailbox, `NotPermitted` where the poster may not.
    pub fn posting_place(
        &self,
        mailbox: &str,
        poster: &AccountName,
    ) -> Result<(AccountName, MailboxName), StoreError> {
        let is_whole = mailbox.starts_with(USER_PREFIX) || mailbox.starts_with(SHARED_PREFIX);
        let below = format!("{SHARED_PREFIX}{mailbox}");
        let place = self.shared_place(if is_whole { mailbox } else { &below })?;
        let place = place.ok_or(StoreError::NotFound("mailbox"))?;
        let snapshot = self.inner.storage.read()?;
        let found =
            find_mailbox(&snapshot, place.account, &place.name)?.ok_or(StoreError::NotFound("mailbox"))?;
        if !self.may_post_in(&snapshot, found, poster)? {
            return Err(StoreError::NotPermitted(Rights::POST.letter()));
        }
        if !read_mailbox(&snapshot, found)?.selectable {
            return Err(StoreError::NotSelectable);
        }
        let owner = AccountName::new(&read_account(&snapshot, place.account)?.name);
        Ok((owner.ok_or(StoreError::NotFound("account"))?, place.name))
    }
}
