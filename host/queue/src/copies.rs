//! Who has a copy of a posting to a list: its members are reached batch by batch, and one who is reached again, by another
//! group, gets no second one. A message of its own accepting remembers the accounts in its record
//! ([`crate::records::StoredMessage`]); a list has more than that could hold.
//!
//! A list below another list is a message of its own. Both remember in one place, that of the first posting, so that who is a
//! member of both gets one copy; it goes when the last of them is done. Their batches are written one after the other.

use std::ops::ControlFlow;

use mail_types::{ChannelName, QueueId, Route};
use sha2::{Digest, Sha256};
use storage::{Batch, Snapshot, StorageError};

use crate::queue::Inner;
use crate::records::{self, COPIES, Message, StoredMessage};
use crate::settle::Settlement;
use crate::submission::Accepted;

/// The source of postings to lists.
pub const LIST_SOURCE: &str = "list";

impl StoredMessage {
    /// The posting where it is remembered who has a copy: the first one of lists below each other, or the message itself.
    pub(crate) fn first_posting(&self) -> QueueId {
        self.message.first_posting.unwrap_or(self.id)
    }
}

/// What is remembered of one posting.
pub(crate) struct Remembered {
    id: QueueId,
    /// Whether other postings remember here, too.
    shares: bool,
    view: Snapshot,
}

impl Inner {
    /// What is remembered of a message; none where it is no posting to a list.
    pub(crate) fn remembered(&self, message: &StoredMessage) -> Result<Option<Remembered>, StorageError> {
        if message.message.source.channel != LIST_SOURCE {
            return Ok(None);
        }
        let (id, shares) = (message.first_posting(), message.message.first_posting.is_some());
        Ok(Some(Remembered { id, shares, view: self.storage.read()? }))
    }

    /// The posting that a message which is sent for another one shares its copies with: none, unless both are of lists.
    pub(crate) fn posting_above(of: &StoredMessage, source: &str) -> Option<QueueId> {
        let both = of.message.source.channel == LIST_SOURCE && source == LIST_SOURCE;
        both.then(|| of.first_posting())
    }

    /// Notes that a posting shares the copies of another one.
    pub(crate) fn join_postings(to: &mut Settlement<'_>, id: QueueId, message: &Message) {
        if let Some(first) = message.first_posting {
            to.batch.put(COPIES, &shared_key(first, id), Vec::new());
            to.remembering.is_shared = true;
        }
    }

    /// Forgets who has a copy, those of this batch too: the message is done, and so are all that share its copies. Called with
    /// the stripe of the first posting.
    pub(crate) fn forget_copies(
        &self,
        batch: &mut Batch,
        message: &StoredMessage,
        of_batch: &Remembering,
    ) -> Result<(), StorageError> {
        let Some(remembered) = self.remembered(message)? else { return Ok(()) };
        let first = remembered.id;
        if message.id != first {
            batch.delete(COPIES, &shared_key(first, message.id));
        }
        let is_first_there =
            message.id != first && remembered.view.get(records::MESSAGES, &first.to_key())?.is_some();
        if of_batch.is_shared || is_first_there || remembered.others_share(message.id)? {
            return Ok(());
        }
        of_batch.copies.iter().for_each(|key| batch.delete(COPIES, key));
        remembered.forget_all(batch)
    }

    /// The same for a message that cannot be read, of which is not known whether it is a posting: what is remembered under its
    /// own number.
    pub(crate) fn forget_own_copies(&self, batch: &mut Batch, id: QueueId) -> Result<(), StorageError> {
        let remembered = Remembered { id, shares: false, view: self.storage.read()? };
        if remembered.others_share(id)? { Ok(()) } else { remembered.forget_all(batch) }
    }
}

impl Remembered {
    /// Whether these are all copies that there will ever be of the posting: then nobody can be reached again, and nothing
    /// has to be remembered.
    pub(crate) fn are_all(&self, accepted: &[Accepted]) -> Result<bool, StorageError> {
        if self.shares {
            return Ok(false);
        }
        let later = [ChannelName::LIST, ChannelName::REPROCESS];
        if accepted.iter().any(|one| later.contains(&one.route.channel.as_str())) {
            return Ok(false);
        }
        let mut is_first = true;
        self.view.scan(COPIES, &self.id.to_key(), &records::after(self.id), &mut |_, _| {
            is_first = false;
            ControlFlow::Break(())
        })?;
        Ok(is_first)
    }

    fn forget_all(&self, batch: &mut Batch) -> Result<(), StorageError> {
        let (from, until) = (self.id.to_key(), records::after(self.id));
        self.view.scan(COPIES, &from, &until, &mut |key, _| {
            batch.delete(COPIES, key);
            ControlFlow::Continue(())
        })
    }

    /// Whether postings besides one share the copies. They stand before all copies.
    fn others_share(&self, besides: QueueId) -> Result<bool, StorageError> {
        let (from, until) = (self.id.to_key(), [&self.id.to_key()[..], &[0; 7], &[1]].concat());
        let mut others = false;
        self.view.scan(COPIES, &from, &until, &mut |key, _| {
            others = key != shared_key(self.id, besides);
            if others { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(others)
    }

    /// Forgets the copy of a recipient that goes, whatever takes its place.
    pub(crate) fn forget(&self, batch: &mut Batch, (who, route): &(String, Route)) {
        batch.delete(COPIES, &key(self.id, who, route));
    }

    /// Whether this copy is there or on its way; if not, it is remembered from now on. `own` is the copy of the recipient
    /// whose place it takes.
    pub(crate) fn has(
        &self,
        batch: &mut Batch,
        of_batch: &mut Remembering,
        accepted: &Accepted,
        own: &(String, Route),
    ) -> Result<bool, StorageError> {
        let copy = accepted.route.copy_key(&accepted.recipient.address);
        let key = key(self.id, &copy.0, &copy.1);
        if copy != *own && self.view.get(COPIES, &key)?.is_some() {
            return Ok(true);
        }
        batch.put(COPIES, &key, Vec::new());
        of_batch.copies.push(key);
        Ok(false)
    }
}

/// Where a copy is remembered.
type CopyKey = [u8; 24];

/// What a batch remembers, which no view shows yet.
#[derive(Debug, Default)]
pub(crate) struct Remembering {
    copies: Vec<CopyKey>,
    /// Whether a further posting shares the copies.
    is_shared: bool,
}

/// The first posting, and another one. No digest begins with so many zeros.
fn shared_key(first: QueueId, id: QueueId) -> CopyKey {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&first.to_key());
    key[16..].copy_from_slice(&id.to_key());
    key
}

/// The message, and a digest of whose copy and by which way.
fn key(id: QueueId, who: &str, route: &Route) -> CopyKey {
    let mut digest = Sha256::new();
    digest.update(who.as_bytes());
    digest.update([0]);
    digest.update(route.to_string().as_bytes());
    let mut key = [0; 24];
    key[..8].copy_from_slice(&id.to_key());
    key[8..].copy_from_slice(&digest.finalize()[..16]);
    key
}
