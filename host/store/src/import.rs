//! Taking over mail from elsewhere: what came is remembered in the batch that brings it, so that an import that was
//! interrupted goes on where it stopped, and no message is missed or comes twice.

use std::ops::ControlFlow;

use storage::Batch;

use crate::append::{Beside, NewMessage};
use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId, Uid};
use crate::{COMMIT_MESSAGES_MAX, Store, keys};

/// Longest value of a mark, in octets.
pub const IMPORT_MARK_MAX: usize = 256;

/// How far an import is: a mark of the importer's own making, moved from one value to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportMark {
    /// Which: a digest of the source, or of one message there.
    pub key: [u8; 32],
    /// What it was when the importer read it; the import fails as a conflict where it is another one by then.
    pub before: Option<Vec<u8>>,
    /// What it is from now on.
    pub after: Vec<u8>,
}

impl Store {
    /// Puts messages into a mailbox and moves marks, all or nothing; the UIDs, rising.
    pub async fn import(
        &self,
        mailbox: MailboxId,
        messages: Vec<NewMessage>,
        marks: &[ImportMark],
    ) -> Result<Vec<Uid>, StoreError> {
        if marks.iter().any(|mark| mark.after.len() > IMPORT_MARK_MAX) {
            return Err(StoreError::TooMany { what: "octets in a mark", max: IMPORT_MARK_MAX });
        }
        let beside = Beside { marks, ..Beside::default() };
        self.append_with(mailbox, messages, &beside).await.map(|(_, uids)| uids)
    }

    /// A mark's value; `None` where there is none.
    pub fn import_mark(&self, account: AccountId, key: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        Ok(snapshot.get(keys::IMPORTS, &mark_key(account, key))?.map(|value| value.into_owned()))
    }

    /// Forgets these marks of an account, where they are there.
    pub async fn forget_import_marks(
        &self,
        account: AccountId,
        marks: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        for some in marks.chunks(COMMIT_MESSAGES_MAX) {
            let held = self.inner.locks.lock(account).await;
            let mut draft = Draft::new();
            some.iter().for_each(|key| draft.batch.delete(keys::IMPORTS, &mark_key(account, key)));
            self.commit(draft, held).await?;
        }
        Ok(())
    }

    /// Forgets all marks of an account; how many there were.
    pub async fn forget_imports(&self, account: AccountId) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        loop {
            let held = self.inner.locks.lock(account).await;
            let mut draft = Draft::new();
            let (from, until) = (keys::account(account), keys::after(keys::account(account)));
            let mut count = 0;
            self.inner.storage.read()?.scan(keys::IMPORTS, &from, &until, &mut |key, _| {
                draft.batch.delete(keys::IMPORTS, key);
                count += 1;
                if count < COMMIT_MESSAGES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if count == 0 {
                return Ok(forgotten);
            }
            self.commit(draft, held).await?;
            forgotten += count as u64;
        }
    }
}

/// Moves marks in a batch.
pub(crate) fn draft_marks(batch: &mut Batch, account: AccountId, marks: &[ImportMark]) {
    for mark in marks {
        let key = mark_key(account, &mark.key);
        match &mark.before {
            Some(before) => batch.assert_equals(keys::IMPORTS, &key, before),
            None => batch.assert_absent(keys::IMPORTS, &key),
        }
        batch.put(keys::IMPORTS, &key, mark.after.clone());
    }
}

fn mark_key(account: AccountId, key: &[u8; 32]) -> [u8; 36] {
    let mut whole = [0; 36];
    whole[..4].copy_from_slice(&keys::account(account));
    whole[4..].copy_from_slice(key);
    whole
}
