//! Messages of the past, found by what is known of them: over the trails, newest first.

use std::ops::ControlFlow;

use mail_types::{QueueId, Timestamp};
use serde::{Deserialize, Serialize};
use storage::StorageError;

use crate::listing::{Listing, fits};
use crate::records::{TRAIL, from_value};
use crate::trail::TrailHead;

/// Most trails that one search looks at.
pub const HISTORY_LOOKED_AT_MAX: usize = 2_000_000;

/// Which messages are meant: all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The reverse path, as in [`crate::Filter::sender`].
    pub sender: Option<String>,
    /// A recipient, as the client gave it or as it was decided.
    pub recipient: Option<String>,
    /// The Message-ID field, with or without angle brackets.
    pub message_id: Option<String>,
    /// Accepted at this moment or later.
    pub since: Option<Timestamp>,
    /// Accepted before this moment.
    pub until: Option<Timestamp>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The newest first.
    pub messages: Vec<PastMessage>,
    /// Whether there are, or may be, more.
    pub more: bool,
}

/// A message of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastMessage {
    /// Its id.
    pub id: QueueId,
    /// What was known and decided when it was accepted.
    pub head: TrailHead,
}

impl History {
    fn means(&self, head: &TrailHead) -> bool {
        let bare = |text: &str| text.trim_matches(['<', '>']).to_owned();
        let sender = |wanted: &String| fits(wanted, &head.reverse_path.to_string());
        let message_id = |wanted: &String| head.message_id.as_deref().map(bare) == Some(bare(wanted));
        let recipient = |wanted: &String| {
            head.recipients
                .iter()
                .any(|one| fits(wanted, &one.original.to_string()) || fits(wanted, &one.address.to_string()))
        };
        self.sender.as_ref().is_none_or(sender)
            && self.message_id.as_ref().is_none_or(message_id)
            && self.recipient.as_ref().is_none_or(recipient)
    }
}

impl Listing<'_> {
    /// The newest messages that are meant, at most so many, for as long as their trails are kept.
    pub fn past(&self, wanted: &History, most: usize) -> Result<Past, StorageError> {
        let edge = |at: Timestamp| QueueId::first_of_millisecond(at.0).to_key();
        let from = wanted.since.map_or([0; 8], edge);
        let until = wanted.until.map_or([0xff; 8], edge);
        let (mut past, mut looked_at, mut broken) = (Past::default(), 0, None);
        let view = self.storage.read()?;
        view.scan_back(TRAIL, &from, &until, &mut |key, value| {
            let Ok(id) = <[u8; 8]>::try_from(key) else { return ControlFlow::Continue(()) };
            if looked_at == HISTORY_LOOKED_AT_MAX {
                past.more = true;
                return ControlFlow::Break(());
            }
            looked_at += 1;
            match from_value::<TrailHead>("trail", value) {
                Ok(head) if wanted.means(&head) => {
                    if past.messages.len() == most {
                        past.more = true;
                        return ControlFlow::Break(());
                    }
                    let id = QueueId::from_u64(u64::from_be_bytes(id));
                    past.messages.push(PastMessage { id, head });
                }
                Ok(_) => {}
                Err(error) => broken = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        broken.map_or(Ok(past), Err)
    }
}
