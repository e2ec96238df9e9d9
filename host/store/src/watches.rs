//! Who wants to hear of changes to which mailbox.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Store;
use crate::ids::{MailboxId, ModSeq};

/// The mailboxes that are watched. Its size is the number of living [`Watch`]es at most.
#[derive(Default)]
pub(crate) struct Watches {
    senders: Mutex<HashMap<MailboxId, Weak<Sender>>>,
}

/// The sending end, shared by the watches of one mailbox; takes itself off the list with the last.
struct Sender {
    value: watch::Sender<ModSeq>,
    mailbox: MailboxId,
    watches: Weak<Watches>,
}

impl Drop for Sender {
    fn drop(&mut self) {
        let Some(watches) = self.watches.upgrade() else { return };
        let mut senders = watches.senders.lock();
        // A new watch may have come between the last one's end and now.
        if senders.get(&self.mailbox).is_some_and(|weak| weak.strong_count() == 0) {
            senders.remove(&self.mailbox);
        }
    }
}

/// Tells of changes to one mailbox. Nothing is queued: a slow reader finds the newest state.
pub struct Watch {
    receiver: watch::Receiver<ModSeq>,
    /// Keeps the mailbox on the list.
    _sender: Arc<Sender>,
}

impl Watch {
    /// Waits until the mailbox changed since this was asked last, then marks it as seen.
    /// May be dropped and asked again at any time.
    pub async fn changed(&mut self) {
        // The sender lives as long as this watch, so there is always one.
        let _ = self.receiver.changed().await;
    }

    /// Whether the mailbox changed since the last [`Watch::changed`] or [`Watch::mark_seen`].
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.receiver.has_changed().unwrap_or(false)
    }

    /// Takes all that happened so far as seen; call it before reading the changes.
    pub fn mark_seen(&mut self) {
        self.receiver.borrow_and_update();
    }
}

impl Watches {
    /// Tells the watches of a mailbox that its last change is this one.
    pub(crate) fn bump(&self, mailbox: MailboxId, modseq: ModSeq) {
        let sender = self.senders.lock().get(&mailbox).and_then(Weak::upgrade);
        if let Some(sender) = sender {
            sender.value.send_modify(|last| *last = modseq.max(*last));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.senders.lock().len()
    }
}

impl Store {
    /// Watches a mailbox. After its deletion, too, the watch tells of a change; reading the changes
    /// then says that it is gone.
    #[must_use]
    pub fn watch(&self, mailbox: MailboxId) -> Watch {
        let watches = &self.inner.watches;
        let mut senders = watches.senders.lock();
        let sender = senders.get(&mailbox).and_then(Weak::upgrade).unwrap_or_else(|| {
            let sender = Arc::new(Sender {
                value: watch::Sender::new(ModSeq(0)),
                mailbox,
                watches: Arc::downgrade(watches),
            });
            senders.insert(mailbox, Arc::downgrade(&sender));
            sender
        });
        Watch { receiver: sender.value.subscribe(), _sender: sender }
    }
}
