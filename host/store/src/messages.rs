//! Reading messages.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow, RangeBounds};

use bytes::{Bytes, BytesMut};
use mail_types::Timestamp;
use storage::{ContentId, LoadedContent, Snapshot};

use crate::Store;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keys;
use crate::keywords::{KeywordTable, Keywords};
use crate::mailboxes::read_mailbox;
use crate::record::MessageRecord;
use crate::rights::Rights;
use crate::seen::Seen;
use crate::sweeps::Sweeps;

/// All that is known of a message without its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageInfo {
    /// Its number.
    pub uid: Uid,
    /// Its last change.
    pub modseq: ModSeq,
    /// Its system flags.
    pub flags: Flags,
    /// Its keywords, as bits of the mailbox's table.
    pub keywords: Keywords,
    /// Its size in octets, as readers see it.
    pub size: u64,
    /// When it was delivered, or what APPEND said.
    pub internal_date: Timestamp,
    /// When it came into this mailbox.
    pub save_date: Timestamp,
    /// Its content: the same for all copies.
    pub content: ContentId,
    /// Whether fields stand on top of the content, which other copies need not have.
    pub has_prefix: bool,
}

impl MessageInfo {
    fn of(uid: Uid, record: &MessageRecord<'_>) -> Self {
        Self {
            uid,
            modseq: record.modseq,
            flags: record.flags,
            keywords: record.keywords,
            size: record.size,
            internal_date: record.internal_date,
            save_date: record.save_date,
            content: record.content,
            has_prefix: !record.prefix.is_empty(),
        }
    }
}

/// Octets of a content that are copied at a time.
const COPY_OCTETS: usize = 1 << 20;

/// Octets that are looked at at a time.
const LOOKED_AT_OCTETS: usize = 256 << 10;

/// A message's octets: the fields on top, then the content. Ranges are read without the rest.
#[derive(Debug, Clone)]
pub struct Octets {
    prefix: Bytes,
    content: LoadedContent,
}

impl Octets {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.prefix.len() as u64 + self.content.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets from an offset on, as many as there are up to `len`. Copies where the range spans
    /// prefix and content. May block on a file, where the content is large.
    pub fn range(&self, offset: u64, len: usize) -> Result<Bytes, StoreError> {
        let prefix_len = self.prefix.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(prefix_len);
        let end = start.saturating_add(len).min(prefix_len);
        let head = self.prefix.slice(start..end);
        let rest = len - head.len();
        let content_start = offset.saturating_sub(prefix_len as u64);
        if rest == 0 || content_start >= self.content.len() {
            return Ok(head);
        }
        if head.is_empty() {
            return Ok(self.content.range(content_start, rest)?);
        }
        // In pieces: a large content is not in memory twice.
        let left = usize::try_from(self.content.len() - content_start).unwrap_or(usize::MAX).min(rest);
        let mut both = BytesMut::with_capacity(head.len() + left);
        both.extend_from_slice(&head);
        let mut at = 0;
        while at < left {
            let piece = self.content.range(content_start + at as u64, COPY_OCTETS.min(left - at))?;
            if piece.is_empty() {
                break;
            }
            both.extend_from_slice(&piece);
            at += piece.len();
        }
        Ok(both.freeze())
    }

    /// Whether all are ASCII: read in pieces, as far as the first that is not.
    pub fn is_ascii(&self) -> Result<bool, StoreError> {
        let mut at = 0;
        while at < self.len() {
            let piece = self.range(at, LOOKED_AT_OCTETS)?;
            if piece.is_empty() || !piece.is_ascii() {
                return Ok(false);
            }
            at += piece.len() as u64;
        }
        Ok(true)
    }

    /// All of them; mind the size.
    pub fn to_bytes(&self) -> Result<Bytes, StoreError> {
        self.range(0, usize::try_from(self.len()).unwrap_or(usize::MAX))
    }
}

/// Reads messages of one mailbox at one moment. Drop it soon, and not after an `.await`.
pub struct Reader {
    snapshot: Snapshot,
    mailbox: MailboxId,
    sweeps: Sweeps,
    /// What the person has seen, where that is apart from others.
    seen: Option<Seen>,
}

impl Reader {
    fn records(&self) -> Records<'_> {
        Records { snapshot: &self.snapshot, mailbox: self.mailbox, sweeps: Cow::Borrowed(&self.sweeps) }
    }

    /// What is known of a message; `None` where it went.
    pub fn info(&self, uid: Uid) -> Result<Option<MessageInfo>, StoreError> {
        self.records().get(uid, |record| self.info_of(uid, record))
    }

    /// Visits the messages of a range, rising by UID.
    pub fn infos(
        &self,
        uids: impl RangeBounds<Uid>,
        mut visit: impl FnMut(MessageInfo),
    ) -> Result<(), StoreError> {
        self.records().scan(uids, &mut |uid, record| {
            visit(self.info_of(uid, record));
        })
    }

    fn info_of(&self, uid: Uid, record: &MessageRecord<'_>) -> MessageInfo {
        let mut info = MessageInfo::of(uid, record);
        if let Some(seen) = &self.seen {
            seen.apply(uid, &mut info.flags, &mut info.modseq);
        }
        info
    }

    /// A message's octets; `None` where it went.
    pub fn octets(&self, uid: Uid) -> Result<Option<Octets>, StoreError> {
        let found =
            self.records().get(uid, |record| (Bytes::copy_from_slice(record.prefix), record.content))?;
        let Some((prefix, id)) = found else { return Ok(None) };
        let content = self.snapshot.content(id)?.ok_or_else(|| lost(self.mailbox, uid, id))?;
        Ok(Some(Octets { prefix, content }))
    }

    /// The beginning of a message, without reading the rest: the fields on top, and as much of at most `octets_max` of
    /// its content as `wanted` says of them, enough for headers. `None` where the message went.
    pub fn head(
        &self,
        info: &MessageInfo,
        octets_max: usize,
        wanted: impl Fn(&[u8]) -> usize,
    ) -> Result<Option<Head>, StoreError> {
        let uid = info.uid;
        // What is known of the message says what its record would, unless it went meanwhile, and its content with it.
        if !info.has_prefix
            && let Some(content) = self.snapshot.inline_content(info.content)?
        {
            let seen = &content[..content.len().min(octets_max)];
            let count = wanted(seen).min(seen.len());
            let is_whole = count < seen.len() || seen.len() == content.len();
            return Ok(Some(Head { octets: seen[..count].to_vec(), is_whole }));
        }
        let found = self.records().get(uid, |record| (record.prefix.to_vec(), record.content))?;
        let Some((mut octets, id)) = found else { return Ok(None) };
        let mut take = |seen: &[u8], len: u64| {
            let count = wanted(seen).min(seen.len());
            octets.extend_from_slice(&seen[..count]);
            count < seen.len() || seen.len() as u64 == len
        };
        let is_whole = if let Some(content) = self.snapshot.inline_content(id)? {
            take(&content[..content.len().min(octets_max)], content.len() as u64)
        } else {
            let content = self.snapshot.content(id)?.ok_or_else(|| lost(self.mailbox, uid, id))?;
            take(&content.range(0, octets_max)?, content.len())
        };
        Ok(Some(Head { octets, is_whole }))
    }

    /// The fields on top of a message's content; `None` where the message went.
    pub fn prefix(&self, uid: Uid) -> Result<Option<Vec<u8>>, StoreError> {
        self.records().get(uid, |record| record.prefix.to_vec())
    }

    /// The names of the mailbox's keywords.
    pub fn keywords(&self) -> Result<KeywordTable, StoreError> {
        KeywordTable::read(&self.snapshot, self.mailbox)
    }
}

/// The beginning of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its octets.
    pub octets: Vec<u8>,
    /// What was wanted ends in there, or the message does.
    pub is_whole: bool,
}

fn lost(mailbox: MailboxId, uid: Uid, id: ContentId) -> StoreError {
    StoreError::corrupt(format!("message {mailbox}/{uid} has no content {}", id.0))
}

impl Store {
    /// A reader of a mailbox. `NotFound` where it is gone.
    pub fn reader(&self, mailbox: MailboxId) -> Result<Reader, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        self.allow(&snapshot, mailbox, Rights::READ)?;
        let seen = self.seen_in(&snapshot, mailbox)?;
        let sweeps = Sweeps::read(&snapshot, mailbox)?;
        Ok(Reader { snapshot, mailbox, sweeps, seen })
    }

    /// One message's octets; `None` where it went.
    pub fn read(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Octets>, StoreError> {
        self.reader(mailbox)?.octets(uid)
    }
}

/// The records of a mailbox's messages at one moment, as they hold: with the sweeps that lie over them.
pub(crate) struct Records<'s> {
    snapshot: &'s Snapshot,
    mailbox: MailboxId,
    sweeps: Cow<'s, Sweeps>,
}

impl<'s> Records<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, mailbox: MailboxId) -> Result<Self, StoreError> {
        Ok(Self { snapshot, mailbox, sweeps: Cow::Owned(Sweeps::read(snapshot, mailbox)?) })
    }

    pub(crate) fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    pub(crate) fn sweeps(&self) -> &Sweeps {
        &self.sweeps
    }

    /// A stored record as it holds.
    pub(crate) fn laid_over<'r>(&self, uid: Uid, mut stored: MessageRecord<'r>) -> MessageRecord<'r> {
        self.sweeps.lay_over(uid, &mut stored);
        stored
    }

    /// Reads something of one message's record; `None` where there is no such message.
    pub(crate) fn get<T>(
        &self,
        uid: Uid,
        read: impl FnOnce(&MessageRecord<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        match self.snapshot.get(keys::MESSAGES, &keys::message(self.mailbox, uid))? {
            Some(octets) => Ok(Some(read(&self.laid_over(uid, MessageRecord::parse(&octets)?)))),
            None => Ok(None),
        }
    }

    /// Visits a range of messages, rising by UID.
    pub(crate) fn scan(
        &self,
        uids: impl RangeBounds<Uid>,
        visit: &mut dyn FnMut(Uid, &MessageRecord<'_>),
    ) -> Result<(), StoreError> {
        self.scan_stored(uids, &mut |uid, stored| {
            visit(uid, &self.laid_over(uid, *stored));
            ControlFlow::Continue(())
        })
    }

    /// The same of the records as they are stored, without what lies over them.
    pub(crate) fn scan_stored(
        &self,
        uids: impl RangeBounds<Uid>,
        visit: &mut dyn FnMut(Uid, &MessageRecord<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let from = match uids.start_bound() {
            Bound::Included(uid) => *uid,
            Bound::Excluded(uid) => uid.next(),
            Bound::Unbounded => Uid(0),
        };
        let until = match uids.end_bound() {
            Bound::Excluded(uid) => keys::message(self.mailbox, *uid).to_vec(),
            Bound::Included(uid) if *uid < Uid::MAX => keys::message(self.mailbox, uid.next()).to_vec(),
            Bound::Included(_) | Bound::Unbounded => keys::after(keys::mailbox(self.mailbox)),
        };
        let from = keys::message(self.mailbox, from);
        let mut failed = None;
        self.snapshot.scan(keys::MESSAGES, &from, &until, &mut |key, value| {
            match (keys::uid_of(key), MessageRecord::parse(value)) {
                (Some(uid), Ok(record)) => return visit(uid, &record),
                (_, Err(error)) => failed = Some(error),
                (None, Ok(_)) => failed = Some(StoreError::corrupt("a message's key is unreadable")),
            }
            ControlFlow::Break(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// Reads something of one message's record, as it holds; `None` where there is no such message.
pub(crate) fn read_message<T>(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    uid: Uid,
    read: impl FnOnce(&MessageRecord<'_>) -> T,
) -> Result<Option<T>, StoreError> {
    Records::of(snapshot, mailbox)?.get(uid, read)
}

/// Visits the records of a range of messages, as they hold, rising by UID.
pub(crate) fn scan_messages(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    uids: impl RangeBounds<Uid>,
    visit: &mut dyn FnMut(Uid, &MessageRecord<'_>),
) -> Result<(), StoreError> {
    Records::of(snapshot, mailbox)?.scan(uids, visit)
}
