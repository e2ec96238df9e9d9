//! Putting a message in another's place (RFC 8508): both at one moment, or neither.

use crate::Store;
use crate::accounts::Usage;
use crate::append::NewMessage;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::expunge::{Doomed, Reference};
use crate::ids::{MailboxId, Uid, UidValidity};
use crate::mailboxes::read_mailbox;
use crate::messages::read_message;
use crate::rights::Rights;

impl Store {
    /// Puts a message into `to` and removes one of `from`, in one commit; the new one's UID. `NotFound` where the old one
    /// is gone: then nothing is put in. Of the quota only what there is more afterwards counts (RFC 8508 §3.4).
    pub async fn replace(
        &self,
        (from, old): (MailboxId, Uid),
        to: MailboxId,
        message: NewMessage,
    ) -> Result<(UidValidity, Uid), StoreError> {
        let (held, other) = self.inner.locks.lock_both(from.account, to.account).await;
        let mut draft = Draft::new();
        let drafted = {
            let snapshot = self.inner.storage.read()?;
            read_mailbox(&snapshot, from)?;
            // RFC 8508 §4.1.
            self.allow(&snapshot, from, Rights::DELETE_MESSAGES.with(Rights::EXPUNGE))?;
            let doomed = read_message(&snapshot, from, old, |record| Doomed::of(old, record))?;
            let doomed = doomed.ok_or(StoreError::NotFound("message"))?;
            let more = more_by((from, doomed.size), (to, message.content.len()));
            let drafted = self.draft_append(&snapshot, &mut draft, to, vec![message], Some(more))?;
            self.draft_removal(&snapshot, &mut draft, from, &[doomed], Reference::Released)?;
            drafted
        };
        let (committed, ..) = self.commit_both(draft, held, other).await?;
        let (uid_validity, uids) = drafted.settled(&committed);
        let uid = uids.first().copied().ok_or(StoreError::NotFound("message"))?;
        Ok((uid_validity, uid))
    }

    /// What an account takes up more, where a message of so many octets goes for this one.
    pub fn more_by_replacing(
        &self,
        (from, old): (MailboxId, Uid),
        to: MailboxId,
        octets: u64,
    ) -> Result<Usage, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let size = read_message(&snapshot, from, old, |record| record.size)?;
        Ok(more_by((from, size.ok_or(StoreError::NotFound("message"))?), (to, octets)))
    }
}

fn more_by((from, old): (MailboxId, u64), (to, new): (MailboxId, u64)) -> Usage {
    if from.account == to.account {
        return Usage { messages: 0, octets: new.saturating_sub(old) };
    }
    Usage { messages: 1, octets: new }
}
