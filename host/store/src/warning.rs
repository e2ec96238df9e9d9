//! Telling owners that their account is nearly full (R83), once.

use std::time::Duration;

use mail_types::AccountName;
use storage::Content;

use crate::append::{Beside, NewMessage};
use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId};
use crate::{Store, keys};

impl Store {
    /// Puts a warning into an account's INBOX, whatever room there is, and remembers that in the same commit. Not where one
    /// was put there less than `again` ago, nor into an account that does not exist; whether it was.
    pub async fn warn(
        &self,
        account: &AccountName,
        warning: Content,
        again: Duration,
    ) -> Result<bool, StoreError> {
        let Some(id) = self.find_account(account)? else { return Ok(false) };
        let now = self.inner.clock.now();
        let snapshot = self.inner.storage.read()?;
        let last = snapshot.get(keys::WARNED, &keys::account(id))?;
        let last = last.and_then(|last| keys::u64_at(&last, 0)).map(mail_types::Timestamp);
        drop(snapshot);
        if last.is_some_and(|last| now.since(last) < again) {
            return Ok(false);
        }
        let message =
            NewMessage { content: warning, flags: Flags::NONE, keywords: Vec::new(), internal_date: None };
        let beside = Beside { warned: Some(now), ..Beside::default() };
        self.append_with(MailboxId::inbox(id), vec![message], &beside).await?;
        Ok(true)
    }

    /// Forgets that an owner was warned: the account has room again, and the next warning is a new one.
    pub async fn forget_warning(&self, account: &AccountName) -> Result<(), StoreError> {
        let Some(id) = self.find_account(account)? else { return Ok(()) };
        let held = self.inner.locks.lock(id).await;
        if self.inner.storage.read()?.get(keys::WARNED, &keys::account(id))?.is_none() {
            return Ok(());
        }
        let mut draft = Draft::new();
        draft.batch.delete(keys::WARNED, &keys::account(id));
        self.commit(draft, held).await?;
        Ok(())
    }

    /// The accounts whose owners were warned.
    pub fn warned(&self) -> Result<Vec<AccountName>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut ids = Vec::new();
        snapshot.scan(keys::WARNED, &[], &keys::END, &mut |key, _| {
            ids.extend(keys::u32_at(key, 0));
            std::ops::ControlFlow::Continue(())
        })?;
        let mut names = Vec::with_capacity(ids.len());
        for id in ids {
            match crate::accounts::read_account(&snapshot, crate::AccountId(id)) {
                Ok(record) => names.extend(AccountName::new(&record.name)),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(names)
    }
}
