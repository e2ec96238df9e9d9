//! A maildrop: the INBOX as it was at the log-in, held against other POP3 sessions (RFC 1939 §4).
//!
//! Deliveries and IMAP go on meanwhile. What comes is seen in the next session; what IMAP expunges is gone here too,
//! under its number, which nothing else takes.

use std::fmt;

use events::{Event, Events};
use mail_types::AccountName;
use store::{FlagChange, FlagMode, Flags, MailboxId, Octets, PopLock, Store, StoreError, Uid, UidValidity};

use crate::wire::command::MessageNumber;
use crate::wire::response::{Code, Response};

/// One message of the maildrop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) uid: Uid,
    pub(crate) size: u64,
    pub(crate) mark: Mark,
    /// Whether it was fetched whole.
    pub(crate) fetched: bool,
}

/// What DELE and RSET set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Kept,
    Deleted,
}

/// The open maildrop. Dropped without [`Maildrop::update`] it changes nothing.
pub(crate) struct Maildrop {
    mailbox: MailboxId,
    uid_validity: UidValidity,
    entries: Vec<Entry>,
    _lock: PopLock,
}

/// Why there is no maildrop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the maildrop is in use by another session")]
    InUse,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMessage {
    /// The maildrop has only so many.
    Beyond(usize),
    /// Marked as deleted.
    Deleted(MessageNumber),
}

impl fmt::Display for NoMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond(count) => write!(f, "no such message, only {count} messages in maildrop"),
            Self::Deleted(number) => write!(f, "message {number} is marked as deleted"),
        }
    }
}

impl Maildrop {
    /// Takes the lock and lists what is there.
    pub(crate) async fn open(store: &Store, account: &AccountName) -> Result<Self, OpenError> {
        let account = store.enter_account(account).await?;
        let lock = store.pop_lock(account).ok_or(OpenError::InUse)?;
        let mailbox = MailboxId::inbox(account);
        let uid_validity = store.status(mailbox)?.uid_validity;
        let mut entries = Vec::new();
        store.reader(mailbox)?.infos(.., |info| {
            entries.push(Entry { uid: info.uid, size: info.size, mark: Mark::Kept, fetched: false });
        })?;
        Ok(Self { mailbox, uid_validity, entries, _lock: lock })
    }

    /// Messages that are not marked, and their octets (RFC 1939 §5, STAT).
    pub(crate) fn totals(&self) -> (usize, u64) {
        self.kept().fold((0, 0), |(count, octets), (_, entry)| (count + 1, octets + entry.size))
    }

    /// The messages that are not marked, with their numbers.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter(|(_, entry)| entry.mark == Mark::Kept).map(|(at, entry)| (at + 1, entry))
    }

    /// A message that is not marked.
    pub(crate) fn entry(&mut self, number: MessageNumber) -> Result<&mut Entry, NoMessage> {
        let count = self.entries.len();
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        match self.entries.get_mut(at) {
            None => Err(NoMessage::Beyond(count)),
            Some(entry) if entry.mark == Mark::Deleted => Err(NoMessage::Deleted(number)),
            Some(entry) => Ok(entry),
        }
    }

    /// Takes all marks away.
    pub(crate) fn reset(&mut self) {
        for entry in &mut self.entries {
            entry.mark = Mark::Kept;
        }
    }

    /// The unique-id: of the mailbox, and of the message in it. Neither is ever given out again
    /// (RFC 3501 §2.3.1.1), so the pair is not either (RFC 1939 §7, UIDL).
    pub(crate) fn unique_id(&self, uid: Uid) -> String {
        format!("{}.{uid}", self.uid_validity)
    }

    /// A message's octets; `None` where another session has expunged it.
    pub(crate) fn octets(&self, store: &Store, uid: Uid) -> Result<Option<Octets>, StoreError> {
        store.read(self.mailbox, uid)
    }

    /// UPDATE: removes what is marked, and tells IMAP what was read. The lock goes with the maildrop.
    pub(crate) async fn update(self, store: &Store, events: &Events) -> Response {
        let failed = |error: &StoreError| {
            events.emit(&Event::InternalError { place: "pop3", cause: &error.to_string() });
        };
        let uids = |wanted: &dyn Fn(&Entry) -> bool| -> Vec<Uid> {
            self.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.uid).collect()
        };
        let read = uids(&|entry| entry.fetched && entry.mark == Mark::Kept);
        let deleted = uids(&|entry| entry.mark == Mark::Deleted);
        let left = self.entries.len() - deleted.len();
        if !deleted.is_empty()
            && let Err(error) = store.remove(self.mailbox, &deleted).await
        {
            failed(&error);
            // RFC 1939 §6: some or none of the marked messages may be gone.
            let text = "not all messages that are marked as deleted were removed";
            return Response::refused_with(Code::SysTemp, text);
        }
        if !read.is_empty() {
            let seen =
                FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: &[], unchanged_since: None };
            // It is nothing that POP3 knows of: what was deleted is gone, and the answer speaks of that.
            if let Err(error) = store.store_flags(self.mailbox, &read, &seen).await {
                failed(&error);
            }
        }
        Response::ok(format!("goodbye, {left} messages left"))
    }
}
