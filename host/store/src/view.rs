//! A session's view of a mailbox: what it lists, as small as it gets.

use std::sync::Arc;

use crate::Store;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId, ModSeq, Uid, UidValidity};
use crate::keys;
use crate::keywords::{KeywordTable, Keywords};
use crate::listings::SharedUids;
use crate::mailboxes::{read_mailbox, read_recent};
use crate::record::MessageRecord;
use crate::rights::Rights;
use crate::seen::Seen;

/// One message of a view, in 24 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its last change.
    pub modseq: ModSeq,
    /// Its keywords, as bits of the view's table.
    pub keywords: Keywords,
    /// Its number.
    pub uid: Uid,
    /// Its system flags.
    pub flags: Flags,
}

impl Listed {
    pub(crate) fn of(uid: Uid, record: &MessageRecord<'_>) -> Self {
        Self { modseq: record.modseq, keywords: record.keywords, uid, flags: record.flags }
    }

    /// As a reader sees it who has seen messages apart from others.
    pub(crate) fn seen_by(mut self, seen: &Seen) -> Self {
        seen.apply(self.uid, &mut self.flags, &mut self.modseq);
        self
    }
}

/// A mailbox at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Which.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID that the next message will have at least.
    pub uid_next: Uid,
    /// The mailbox's last change: ask [`Store::changes_since`] from here.
    pub highest_modseq: ModSeq,
    /// Messages from here on are recent (RFC 3501 §2.3.2).
    pub first_recent: Uid,
    /// The keywords' names.
    pub keywords: KeywordTable,
    /// All messages, rising by UID.
    pub messages: Arc<[Listed]>,
    /// The place of the first message without `\Seen`.
    pub first_unseen: Option<usize>,
    uids: SharedUids,
}

impl View {
    /// The UIDs of all messages, rising. Sessions that open a large mailbox which does not change share them.
    #[must_use]
    pub fn uids(&self) -> Arc<Vec<u32>> {
        let read = || Arc::new(self.messages.iter().map(|listed| listed.uid.0).collect());
        Arc::clone(self.uids.get_or_init(read))
    }
}

impl Store {
    /// Opens a mailbox for a session. Watch it before, so that no change falls between.
    pub fn view(&self, mailbox: MailboxId) -> Result<View, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let record = read_mailbox(&snapshot, mailbox)?;
        if !record.selectable {
            return Err(StoreError::NotSelectable);
        }
        self.allow(&snapshot, mailbox, Rights::READ)?;
        let mut listing = self.listing(&snapshot, mailbox)?;
        if let Some(seen) = self.seen_in(&snapshot, mailbox)? {
            listing = listing.seen_by(&seen);
        }
        let key = keys::mailbox(mailbox);
        let counter = |field| snapshot.counter(keys::COUNTERS, &key, field);
        let last_uid = u32::try_from(counter(keys::LAST_UID)?).unwrap_or(u32::MAX);
        Ok(View {
            mailbox,
            uid_validity: record.uid_validity,
            uid_next: Uid(last_uid).next(),
            highest_modseq: ModSeq(counter(keys::LAST_MODSEQ)?),
            first_recent: read_recent(&snapshot, mailbox)?,
            keywords: KeywordTable::read(&snapshot, mailbox)?,
            messages: listing.messages,
            first_unseen: listing.first_unseen,
            uids: listing.uids,
        })
    }
}
