//! Who has a copy of a posting to a list: its members are reached batch by batch, and one who is reached again, by another
//! group, gets no second one. A message of its own accepting remembers the accounts in its record
//! ([`crate::records::StoredMessage`]); a list has more than that could hold.

use std::ops::ControlFlow;

use mail_types::{ChannelName, QueueId, Route};
use sha2::{Digest, Sha256};
use storage::{Batch, Snapshot, StorageError};

use crate::queue::Inner;
use crate::records::{self, COPIES, StoredMessage};
use crate::submission::Accepted;

/// The source of postings to lists.
pub const LIST_SOURCE: &str = "list";

/// What is remembered of one posting.
pub(crate) struct Remembered {
    id: QueueId,
    view: Snapshot,
}

impl Inner {
    /// What is remembered of a message; none where it is no posting to a list.
    pub(crate) fn remembered(&self, message: &StoredMessage) -> Result<Option<Remembered>, StorageError> {
        if message.message.source.channel != LIST_SOURCE {
            return Ok(None);
        }
        Ok(Some(Remembered { id: message.id, view: self.storage.read()? }))
    }

    /// Forgets who has a copy: the message is done.
    pub(crate) fn forget_copies(
        &self,
        batch: &mut Batch,
        message: &StoredMessage,
    ) -> Result<(), StorageError> {
        let Some(remembered) = self.remembered(message)? else { return Ok(()) };
        let (from, until) = (message.id.to_key(), records::after(message.id));
        remembered.view.scan(COPIES, &from, &until, &mut |key, _| {
            batch.delete(COPIES, key);
            ControlFlow::Continue(())
        })
    }
}

impl Remembered {
    /// Whether these are all copies that there will ever be of the posting: then nobody can be reached again, and nothing
    /// has to be remembered.
    pub(crate) fn are_all(&self, accepted: &[Accepted]) -> Result<bool, StorageError> {
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

    /// Whether this copy is there or on its way; if not, it is remembered from now on.
    pub(crate) fn has(&self, batch: &mut Batch, accepted: &Accepted) -> Result<bool, StorageError> {
        let (who, route) = accepted.route.copy_key(&accepted.recipient.address);
        let key = key(self.id, &who, &route);
        if self.view.get(COPIES, &key)?.is_some() {
            return Ok(true);
        }
        batch.put(COPIES, &key, Vec::new());
        Ok(false)
    }
}

/// The message, and a digest of whose copy and by which way.
fn key(id: QueueId, who: &str, route: &Route) -> [u8; 24] {
    let mut digest = Sha256::new();
    digest.update(who.as_bytes());
    digest.update([0]);
    digest.update(route.to_string().as_bytes());
    let mut key = [0; 24];
    key[..8].copy_from_slice(&id.to_key());
    key[8..].copy_from_slice(&digest.finalize()[..16]);
    key
}
