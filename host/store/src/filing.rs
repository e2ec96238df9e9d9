//! Deliveries to other mailboxes than the INBOX, with flags and keywords: by profiles and plugins.

use storage::Batch;

use crate::Store;
use crate::append::{AppendRequest, Appended};
use crate::changes::{Changes, Draft};
use crate::error::StoreError;
use crate::ids::{AccountId, Flags, MailboxId};
use crate::keys;
use crate::keywords::{KeywordTable, WithoutBit, names_added};
use crate::mailboxes::{find_mailbox, read_mailbox};
use crate::names::MailboxName;

impl Store {
    /// Makes a mailbox where it is missing, with those above it, and gives these keywords their bits there.
    pub async fn ensure_place(
        &self,
        account: AccountId,
        name: &MailboxName,
        keywords: &[&str],
    ) -> Result<MailboxId, StoreError> {
        let found = find_mailbox(&self.inner.storage.read()?, account, name)?;
        let mailbox = match found {
            Some(mailbox) => mailbox,
            None => match self.create_mailbox(account, name, None).await {
                Ok(mailbox) => mailbox,
                // Another delivery made it meanwhile.
                Err(StoreError::Exists) => {
                    let again = find_mailbox(&self.inner.storage.read()?, account, name)?;
                    again.ok_or(StoreError::NotFound("mailbox"))?
                }
                Err(error) => return Err(error),
            },
        };
        if keywords.is_empty() {
            return Ok(mailbox);
        }
        let held = self.inner.locks.lock(account).await;
        let mut draft = Draft::new();
        {
            let snapshot = self.inner.storage.read()?;
            read_mailbox(&snapshot, mailbox)?;
            names_added(&snapshot, &mut draft, mailbox, keywords, WithoutBit::Refuse)?;
        }
        if !draft.batch.is_empty() {
            self.commit(draft, held).await?;
        }
        Ok(mailbox)
    }

    /// A mailbox that can hold messages, by its name.
    pub fn find_place(
        &self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<Option<MailboxId>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let Some(mailbox) = find_mailbox(&snapshot, account, name)? else { return Ok(None) };
        Ok(read_mailbox(&snapshot, mailbox)?.selectable.then_some(mailbox))
    }

    /// As [`Store::append_to_batch`], with keywords, as far as the mailbox knows them. The batch fails as a conflict
    /// where they have changed by then.
    pub fn append_labelled_to_batch(
        &self,
        batch: &mut Batch,
        request: &AppendRequest<'_>,
        keywords: &[&str],
    ) -> Result<Appended, StoreError> {
        if keywords.is_empty() {
            return self.append_to_batch(batch, request);
        }
        let table = {
            let snapshot = self.inner.storage.read()?;
            let key = keys::mailbox(request.mailbox);
            match snapshot.get(keys::KEYWORDS, &key)? {
                Some(octets) => batch.assert_equals(keys::KEYWORDS, &key, &octets),
                None => batch.assert_absent(keys::KEYWORDS, &key),
            }
            KeywordTable::read(&snapshot, request.mailbox)?
        };
        batch.assert_present(keys::MAILBOXES, &keys::mailbox(request.mailbox));
        let modseq = batch.draw(keys::COUNTERS, &keys::mailbox(request.mailbox), keys::LAST_MODSEQ);
        let uid = self.insert(batch, request, table.find_all(keywords), modseq)?;
        Ok(Appended::new(uid, Changes::of(request.mailbox, modseq)))
    }
}

/// The system flag of a label (RFC 9051 §2.3.2); `None` for keywords.
#[must_use]
pub fn flag_of(label: &str) -> Option<Flags> {
    Some(match label.to_ascii_lowercase().as_str() {
        "\\seen" => Flags::SEEN,
        "\\answered" => Flags::ANSWERED,
        "\\flagged" => Flags::FLAGGED,
        "\\deleted" => Flags::DELETED,
        "\\draft" => Flags::DRAFT,
        _ => return None,
    })
}
