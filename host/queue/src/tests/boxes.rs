//! A store of the simplest kind: each copy under a key of its own, and accounts that may be full.

use std::collections::HashSet;

use mail_types::{AccountName, Filing};
use parking_lot::Mutex;
use storage::{Batch, Space, StorageError};

use crate::{Appended, BoxFuture, CopyOf, LocalCopy, LocalDelivery, Room};

pub(super) const BOXES: Space = Space::new("boxes");

#[derive(Default)]
pub(super) struct Boxes {
    full: Mutex<HashSet<String>>,
}

impl Boxes {
    /// Whether an account has no room, from now on.
    pub(super) fn set_full(&self, account: &str, is_full: bool) {
        let mut full = self.full.lock();
        if is_full {
            full.insert(account.to_owned())
        } else {
            full.remove(account)
        };
    }

    fn is_full(&self, account: &AccountName) -> bool {
        self.full.lock().contains(account.as_str())
    }
}

impl LocalDelivery for Boxes {
    fn prepare<'a>(
        &'a self,
        _: &'a AccountName,
        _: Option<&'a Filing>,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }

    fn find_full(&self, account: &AccountName) -> Result<Option<String>, StorageError> {
        Ok(self.is_full(account).then(|| account.to_string()))
    }

    fn take_room(&self, account: &AccountName, _: u64) -> Result<Room, StorageError> {
        Ok(if self.is_full(account) { Room::Full(account.to_string()) } else { Room::Free(None) })
    }

    fn append(&self, batch: &mut Batch, copy: &LocalCopy<'_>) -> Result<Appended, StorageError> {
        if let CopyOf::Stored(id) = copy.content {
            batch.retain_content(id, 1);
        }
        let number = batch.draw(BOXES, b"number", 0);
        let key = [copy.account.as_str().as_bytes(), &[0; 8]].concat();
        let at = copy.account.as_str().len();
        let patch = storage::Patch { into: storage::PatchInto::Key, at, width: 8, drawn: number };
        batch.put_drawn(BOXES, &key, copy.prefix, &[patch]);
        Ok(Appended { mailbox: "INBOX".to_owned(), instead_of: None, publish: Box::new(|_| ()) })
    }
}
