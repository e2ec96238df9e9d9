//! Mail that is sent to a mailbox that others own (R68, RFC 4314 §2.1 `p`).

use mail_types::{AccountName, Timestamp};
use storage::{Batch, ContentId};

use crate::accounts::Usage;
use crate::append::{AppendRequest, AppendedContent};
use crate::error::StoreError;
use crate::ids::{Flags, Uid};
use crate::mailboxes::{find_mailbox, read_mailbox};
use crate::namespace::{SHARED_PREFIX, USER_PREFIX};
use crate::rights::Rights;
use crate::{Store, keys};

/// A message on its way into a mailbox of others. Its content is stored already, and is not copied (R79).
#[derive(Debug, Clone, Copy)]
pub struct Posting<'a> {
    /// The mailbox: `shared/NAME`, `user/OWNER/NAME`, or a name below `shared/`.
    pub mailbox: &'a str,
    /// On whose behalf: an account, or the address of a group.
    pub poster: &'a AccountName,
    /// The content.
    pub content: ContentId,
    /// How many octets it has.
    pub content_len: u64,
    /// Fields for the top.
    pub prefix: &'a [u8],
    /// When the message came.
    pub arrived: Timestamp,
}

impl Store {
    /// Puts a message into a mailbox of others, for everybody who reads there. `NotFound` where there is
    /// no such mailbox, `NotPermitted` where the poster may not.
    pub async fn post(&self, posting: &Posting<'_>) -> Result<Uid, StoreError> {
        let mut batch = Batch::new();
        let appended = {
            let name = posting.mailbox;
            let is_whole = name.starts_with(USER_PREFIX) || name.starts_with(SHARED_PREFIX);
            let below = format!("{SHARED_PREFIX}{name}");
            let place = self.shared_place(if is_whole { name } else { &below })?;
            let place = place.ok_or(StoreError::NotFound("mailbox"))?;
            let snapshot = self.inner.storage.read()?;
            let mailbox = find_mailbox(&snapshot, place.account, &place.name)?;
            let mailbox = mailbox.ok_or(StoreError::NotFound("mailbox"))?;
            if !self.may_post_in(&snapshot, mailbox, posting.poster)? {
                return Err(StoreError::NotPermitted(Rights::POST.letter()));
            }
            if !read_mailbox(&snapshot, mailbox)?.selectable {
                return Err(StoreError::NotSelectable);
            }
            let octets = posting.content_len + posting.prefix.len() as u64;
            self.check_room_in(&snapshot, mailbox.account, Usage { messages: 1, octets })?;
            // Rights that change meanwhile have the message looked at again.
            let key = keys::mailbox(mailbox);
            match snapshot.get(keys::ACLS, &key)? {
                Some(acl) => batch.assert_equals(keys::ACLS, &key, &acl),
                None => batch.assert_absent(keys::ACLS, &key),
            }
            let request = AppendRequest {
                mailbox,
                content: AppendedContent::Stored(posting.content),
                content_len: posting.content_len,
                prefix: posting.prefix,
                internal_date: posting.arrived,
                flags: Flags::NONE,
            };
            self.append_to_batch(&mut batch, &request)
        };
        let committed = self.inner.storage.commit(batch).await?;
        Ok(self.publish_appended(appended, &committed))
    }
}
