//! Putting messages into mailboxes: in a batch of a delivery, or by themselves.

use mail_types::Timestamp;
use storage::{Batch, Committed, Content, ContentId, Drawn, Patch, PatchInto, Snapshot};

use crate::Store;
use crate::accounts::Usage;
use crate::changes::{Changes, Draft};
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{AccountId, Flags, MailboxId, ModSeq, Uid, UidValidity};
use crate::import::{ImportMark, draft_marks};
use crate::keys;
use crate::keywords::{Keywords, WithoutBit, names_added};
use crate::mailboxes::read_mailbox;
use crate::quota::Room;
use crate::record::{CONTENT_AT, MessageRecord, RECORD_MODSEQ_AT};
use crate::rights::Rights;
use crate::seen::NewlySeen;

/// Most messages of one append.
pub(crate) const APPEND_MESSAGES_MAX: usize = 10_000;

/// Where a message's content is.
#[derive(Debug, Clone, Copy)]
pub enum AppendedContent {
    /// Stored by the same batch, with a reference for this message counted in.
    Drawn(Drawn),
    /// Stored before: the append adds a reference.
    Stored(ContentId),
}

/// A message to be put into a mailbox by someone's batch.
#[derive(Debug, Clone, Copy)]
pub struct AppendRequest<'a> {
    /// Into which; as a rule [`MailboxId::inbox`].
    pub mailbox: MailboxId,
    /// Its content.
    pub content: AppendedContent,
    /// How many octets the content has.
    pub content_len: u64,
    /// Fields for the top: Return-Path, Received.
    pub prefix: &'a [u8],
    /// Its date for readers; for deliveries the time of arrival.
    pub internal_date: Timestamp,
    /// Its flags.
    pub flags: Flags,
}

/// A message in a batch that is not committed yet.
#[derive(Debug)]
#[must_use = "publish it once the batch is committed"]
pub struct Appended {
    uid: Drawn,
    changes: Changes,
}

impl Appended {
    pub(crate) fn new(uid: Drawn, changes: Changes) -> Self {
        Self { uid, changes }
    }
}

/// A message to be put into a mailbox by itself.
#[derive(Debug)]
pub struct NewMessage {
    /// Its octets.
    pub content: Content,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: Vec<String>,
    /// Its date; now, where none is given.
    pub internal_date: Option<Timestamp>,
}

impl NewMessage {
    /// Leaves out flags that may not be set (RFC 4314 §4, APPEND).
    fn permit(&mut self, rights: Rights) {
        self.flags = self.flags.within(rights.flags());
        if !rights.contains(Rights::WRITE) {
            self.keywords.clear();
        }
    }
}

/// What is written in the batch of an append.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// How far an import is.
    pub(crate) marks: &'a [ImportMark],
    /// The message is the warning that the account is nearly full, which needs no room.
    pub(crate) warned: Option<Timestamp>,
}

impl Beside<'_> {
    fn draft(&self, batch: &mut Batch, account: AccountId) {
        draft_marks(batch, account, self.marks);
        if let Some(now) = self.warned {
            batch.put(keys::WARNED, &keys::account(account), now.0.to_be_bytes());
        }
    }
}

/// Messages of a draft that is not committed yet.
pub(crate) struct Drafted {
    uid_validity: UidValidity,
    uids: Vec<Drawn>,
    /// Held until the commit.
    _room: Option<Room>,
}

impl Drafted {
    /// Once they are committed: the mailbox's UIDVALIDITY, and their UIDs.
    pub(crate) fn settled(self, committed: &Committed) -> (UidValidity, Vec<Uid>) {
        (self.uid_validity, self.uids.iter().map(|uid| uid_of(committed, *uid)).collect())
    }
}

impl Store {
    /// Adds a message to a batch: the hot path of delivery. Takes no lock, and reads nothing but, once, the account's
    /// name. The batch fails as a conflict where the mailbox is gone by then.
    pub fn append_to_batch(
        &self,
        batch: &mut Batch,
        request: &AppendRequest<'_>,
    ) -> Result<Appended, StoreError> {
        batch.assert_present(keys::MAILBOXES, &keys::mailbox(request.mailbox));
        let modseq = batch.draw(keys::COUNTERS, &keys::mailbox(request.mailbox), keys::LAST_MODSEQ);
        let uid = self.insert(batch, request, Keywords::NONE, modseq)?;
        Ok(Appended { uid, changes: Changes::of(request.mailbox, modseq) })
    }

    /// Publishes a message whose batch is committed; its UID.
    pub fn publish_appended(&self, appended: Appended, committed: &Committed) -> Uid {
        self.publish(appended.changes, committed);
        uid_of(committed, appended.uid)
    }

    /// Puts messages into a mailbox, all or none; their UIDs, rising.
    pub async fn append(
        &self,
        mailbox: MailboxId,
        messages: Vec<NewMessage>,
    ) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        self.append_with(mailbox, messages, &Beside::default()).await
    }

    /// The same, with what is written in the same batch.
    pub(crate) async fn append_with(
        &self,
        mailbox: MailboxId,
        messages: Vec<NewMessage>,
        beside: &Beside<'_>,
    ) -> Result<(UidValidity, Vec<Uid>), StoreError> {
        if messages.len() > APPEND_MESSAGES_MAX {
            return Err(StoreError::TooMany { what: "messages at once", max: APPEND_MESSAGES_MAX });
        }
        let held = self.inner.locks.lock(mailbox.account).await;
        let mut draft = Draft::new();
        let drafted = {
            let snapshot = self.inner.storage.read()?;
            let octets = messages.iter().map(|message| message.content.len()).sum();
            let more = Usage { messages: messages.len() as u64, octets };
            let more = beside.warned.is_none().then_some(more);
            self.draft_append(&snapshot, &mut draft, mailbox, messages, more)?
        };
        beside.draft(&mut draft.batch, mailbox.account);
        let (committed, _) = self.commit(draft, held).await?;
        Ok(drafted.settled(&committed))
    }

    /// Drafts messages for a mailbox, where the account has room for so much more, if that is asked. Its lock must be held.
    pub(crate) fn draft_append(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        mut messages: Vec<NewMessage>,
        more: Option<Usage>,
    ) -> Result<Drafted, StoreError> {
        let record = read_mailbox(snapshot, mailbox)?;
        let rights = self.allow(snapshot, mailbox, Rights::INSERT)?;
        messages.iter_mut().for_each(|message| message.permit(rights));
        if !record.selectable {
            return Err(StoreError::NotSelectable);
        }
        let room = more.map(|more| self.take_owners_room(mailbox.account, more)).transpose()?;
        let all: Vec<&str> =
            messages.iter().flat_map(|message| message.keywords.iter().map(String::as_str)).collect();
        let table = names_added(snapshot, draft, mailbox, &all, WithoutBit::LeaveOut)?;
        draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(mailbox));
        let modseq = draft.touch(mailbox, MessageEvents::NEW);
        let is_guest = self.guest_of(mailbox.account).is_some();
        let (mut uids, mut seen) = (Vec::with_capacity(messages.len()), NewlySeen::default());
        for message in messages {
            let names: Vec<&str> = message.keywords.iter().map(String::as_str).collect();
            let keywords = table.find_all(&names);
            let content_len = message.content.len();
            let request = AppendRequest {
                mailbox,
                content: AppendedContent::Drawn(draft.batch.store_content(message.content, 1)),
                content_len,
                prefix: b"",
                internal_date: message.internal_date.unwrap_or_else(|| self.inner.clock.now()),
                flags: if is_guest { message.flags.without(Flags::SEEN) } else { message.flags },
            };
            let uid = self.insert(&mut draft.batch, &request, keywords, modseq)?;
            seen.add(uid, is_guest && message.flags.contains(Flags::SEEN));
            uids.push(uid);
        }
        self.draft_newly_seen(snapshot, draft, mailbox, &seen, modseq)?;
        Ok(Drafted { uid_validity: record.uid_validity, uids, _room: room })
    }

    /// One message, with counts: a UID is drawn; its reference is added where it is not counted yet.
    pub(crate) fn insert(
        &self,
        batch: &mut Batch,
        request: &AppendRequest<'_>,
        keywords: Keywords,
        modseq: Drawn,
    ) -> Result<Drawn, StoreError> {
        let counters = keys::mailbox(request.mailbox);
        let size = request.content_len + request.prefix.len() as u64;
        let uid = batch.draw(keys::COUNTERS, &counters, keys::LAST_UID);
        self.count(
            batch,
            request.mailbox,
            &[
                (keys::COUNT, 1),
                (keys::UNSEEN, i64::from(!request.flags.contains(Flags::SEEN))),
                (keys::DELETED, i64::from(request.flags.contains(Flags::DELETED))),
                (keys::OCTETS, i64::try_from(size).unwrap_or(i64::MAX)),
            ],
        )?;
        let patch = |into, at, width, drawn| Patch { into, at, width, drawn };
        let mut patches = [
            patch(PatchInto::Key, keys::UID_AT, 4, uid),
            patch(PatchInto::Value, RECORD_MODSEQ_AT, 8, modseq),
            patch(PatchInto::Value, CONTENT_AT, 8, uid),
        ];
        let (content, patches) = match request.content {
            AppendedContent::Drawn(drawn) => {
                patches[2].drawn = drawn;
                (ContentId(0), &patches[..])
            }
            AppendedContent::Stored(id) => {
                batch.retain_content(id, 1);
                (id, &patches[..2])
            }
        };
        let record = MessageRecord {
            flags: request.flags,
            content,
            modseq: ModSeq(0),
            size,
            internal_date: request.internal_date,
            save_date: self.inner.clock.now(),
            keywords,
            prefix: request.prefix,
        };
        batch.put_drawn(keys::MESSAGES, &keys::message(request.mailbox, Uid(0)), record.to_octets(), patches);
        Ok(uid)
    }
}

/// The number that was drawn for a message. Numbers that pass 32 bits fail their batch.
pub(crate) fn uid_of(committed: &Committed, drawn: Drawn) -> Uid {
    Uid(u32::try_from(committed.value(drawn)).unwrap_or(u32::MAX))
}
