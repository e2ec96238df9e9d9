//! New UIDVALIDITYs for all mailboxes: after the store was put back to an earlier state.

use crate::Store;
use crate::accounts::{read_account, scan_accounts};
use crate::changes::Draft;
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{AccountId, UidValidity};
use crate::keys;
use crate::mailboxes::scan_mailboxes;
use crate::record::MailboxRecord;

impl Store {
    /// Gives every mailbox a new UIDVALIDITY; how many there are. UIDs that were given since the state that was brought
    /// back would be given again to other messages, and mod-sequences too: clients have to forget what they know
    /// (RFC 3501 §2.3.1.1).
    pub async fn renew_uid_validities(&self) -> Result<u64, StoreError> {
        let mut accounts = Vec::new();
        scan_accounts(&self.inner.storage.read()?, &mut |id, _| accounts.push(id))?;
        let mut renewed = 0;
        for account in accounts {
            renewed += self.renew_of(account).await?;
        }
        Ok(renewed)
    }

    async fn renew_of(&self, account: AccountId) -> Result<u64, StoreError> {
        let held = self.inner.locks.lock(account).await;
        let mut draft = Draft::new();
        let mut mailboxes = Vec::new();
        {
            let snapshot = self.inner.storage.read()?;
            let mut record = read_account(&snapshot, account)?;
            scan_mailboxes(&snapshot, account, &mut |id, record| mailboxes.push((id, record.clone())))?;
            let seconds = u32::try_from(self.inner.clock.now().as_seconds()).unwrap_or(u32::MAX);
            for (id, mailbox) in &mailboxes {
                let next = record.last_uid_validity.0.saturating_add(1).max(seconds);
                record.last_uid_validity = UidValidity(next);
                let mailbox = MailboxRecord { uid_validity: record.last_uid_validity, ..mailbox.clone() };
                draft.batch.put(keys::MAILBOXES, &keys::mailbox(*id), mailbox.to_octets());
                draft.touch(*id, MessageEvents::FLAGS);
            }
            draft.batch.put(keys::ACCOUNTS, &keys::account(account), record.to_octets());
        }
        self.commit(draft, held).await?;
        Ok(mailboxes.len() as u64)
    }
}
