//! What the queue holds and cannot read: told by its number, passed over by whatever means others, and taken out by order, with
//! all that is there of it kept before.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use events::{Event, Events};
use mail_types::QueueId;
use serde::{Deserialize, Serialize};
use storage::{Batch, ContentId, Snapshot, StorageError};

use crate::copies::Remembering;
use crate::operate::{Alone, OperateError};
use crate::queue::{Inner, Queue};
use crate::records::{self, MESSAGES, RECIPIENTS, Record, StoredMessage};
use crate::submit::Effects;
use crate::trail::{TrailLine, add_line};

/// Messages that are told at a time.
pub(crate) const UNREADABLE_MAX: usize = 1000;

/// A message with records that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Which.
    pub id: QueueId,
    /// How many of its recipients; none where the record that they share is meant.
    pub recipients: Option<usize>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.recipients {
            None => write!(f, "the record of message {} in the queue cannot be read", self.id),
            Some(count) => {
                let s = if count == 1 { "" } else { "s" };
                write!(f, "{count} recipient{s} of message {} in the queue cannot be read", self.id)
            }
        }
    }
}

/// What the queue says of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A message has one, of so many octets.
    Content(QueueId, ContentId, u64),
    /// Something cannot be read. Where it is the record that names the content, a reference may be missing.
    Unreadable(Unreadable),
}

/// Visits each reference to content that the queue holds at one moment, with the message that has it and the content's octets as
/// that says: for the check that compares content with its references.
pub fn content_references(view: &Snapshot, visit: &mut dyn FnMut(Reference)) -> Result<(), StorageError> {
    view.scan(MESSAGES, &[], &[0xff; 9], &mut |key, value| {
        let Ok(key) = <[u8; 8]>::try_from(key) else { return ControlFlow::Continue(()) };
        let id = QueueId::from_u64(u64::from_be_bytes(key));
        let is_readable = StoredMessage::read(id, value).is_ok();
        if let Some((content, size)) = StoredMessage::read_content(value) {
            visit(Reference::Content(id, content, size));
        }
        if !is_readable {
            visit(Reference::Unreadable(Unreadable { id, recipients: None }));
        }
        ControlFlow::Continue(())
    })?;
    for (id, count) in unreadable_recipients(view)? {
        visit(Reference::Unreadable(Unreadable { id, recipients: Some(count) }));
    }
    Ok(())
}

/// Everything that cannot be read, as far as it is told.
pub(crate) fn all(view: &Snapshot) -> Result<Vec<Unreadable>, StorageError> {
    let mut found = Vec::new();
    content_references(view, &mut |reference| {
        if let Reference::Unreadable(unreadable) = reference
            && found.len() < UNREADABLE_MAX
        {
            found.push(unreadable);
        }
    })?;
    Ok(found)
}

/// Tells the log of a recipient that stays in the queue.
pub(crate) fn tell(events: &Events, id: QueueId, index: u32, error: &StorageError) {
    let cause = format!("recipient {index} of message {id} stays in the queue: {error}");
    events.emit(&Event::InternalError { place: "reading the queue", cause: &cause });
}

fn unreadable_recipients(view: &Snapshot) -> Result<BTreeMap<QueueId, usize>, StorageError> {
    let mut found = BTreeMap::new();
    view.scan(RECIPIENTS, &[], &[0xff; 13], &mut |key, value| {
        if Record::read(value).is_err()
            && let Some((id, _)) = records::read_recipient_key(key)
            && (found.len() < UNREADABLE_MAX || found.contains_key(&id))
        {
            *found.entry(id).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Keeps octets under a name, on stable storage, and says where; why not, where it cannot.
pub type Keep<'k> = &'k (dyn Fn(&str, &[u8]) -> Result<String, String> + Send + Sync);

/// What is there of a message that cannot be read, or of those of its recipients that cannot.
struct Remains {
    /// Its record, where it goes, too: nobody is left.
    message: Option<Vec<u8>>,
    /// The message, where that can be read.
    readable: Option<StoredMessage>,
    /// Keys and records of recipients.
    recipients: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its content, where it is known beyond doubt.
    content: Option<ContentId>,
}

impl Queue {
    /// Takes out of a message what cannot be read: of its recipients those, or all with the message, where that cannot be read
    /// itself or nobody is left. Records and content are kept before, and what is taken is written in the trail. Gives where
    /// they are; nothing, where all can be read.
    pub async fn take_out(
        &self,
        id: QueueId,
        by: &str,
        keep: Keep<'_>,
    ) -> Result<Option<Vec<String>>, OperateError> {
        let inner = &self.inner;
        let _alone = Alone::with(inner, id).ok_or(OperateError::Active(id))?;
        let found = inner.remains(id)?.ok_or(OperateError::NotFound(id))?;
        if found.message.is_none() && found.recipients.is_empty() {
            return Ok(None);
        }
        let first = found.readable.as_ref().map_or(id, StoredMessage::first_posting);
        let _serial = inner.stripe(first).lock().await;
        // Looked at again where nobody else can write.
        let found = inner.remains(id)?.ok_or(OperateError::NotFound(id))?;
        let kept = inner.keep_remains(id, &found, keep)?;
        let (mut batch, mut effects) = (Batch::new(), Effects::default());
        for (key, value) in &found.recipients {
            batch.assert_equals(RECIPIENTS, key, value);
            batch.delete(RECIPIENTS, key);
        }
        if let Some(value) = &found.message {
            batch.assert_equals(MESSAGES, &id.to_key(), value);
            batch.delete(MESSAGES, &id.to_key());
            if let Some(content) = found.content {
                batch.release_content(content, 1);
            }
            match &found.readable {
                Some(message) => inner.forget_copies(&mut batch, message, &Remembering::default())?,
                None => inner.forget_own_copies(&mut batch, id)?,
            }
            effects.messages -= 1;
        }
        // They lie beside each other.
        let first = kept.first().map_or("nothing", String::as_str);
        let text =
            format!("by {by}, for it could not be read; kept as {first} and {} more", kept.len().max(1) - 1);
        let (at, what) = (inner.clock.now(), "taken out".to_owned());
        add_line(&mut batch, id, &TrailLine { at, recipient: None, what, text: text.clone() });
        let committed = inner.commit(batch).await?;
        inner.take_effect(effects, Some(&committed));
        inner.events.emit(&Event::QueueChanged { id, change: &format!("taken out, {text}"), by });
        Ok(Some(kept))
    }
}

impl Inner {
    /// What of a message cannot be read, with all that goes along with it.
    fn remains(&self, id: QueueId) -> Result<Option<Remains>, StorageError> {
        let view = self.storage.read()?;
        let Some(value) = view.get(MESSAGES, &id.to_key())? else { return Ok(None) };
        let readable = StoredMessage::read(id, &value).ok();
        let (mut recipients, mut stay) = (Vec::new(), false);
        view.scan(RECIPIENTS, &id.to_key(), &records::after(id), &mut |key, value| {
            if readable.is_none() || Record::read(value).is_err() {
                recipients.push((key.to_vec(), value.to_vec()));
            } else {
                stay = true;
            }
            ControlFlow::Continue(())
        })?;
        let goes = readable.is_none() || (!stay && !recipients.is_empty());
        let mut content = None;
        if goes && let Some((named, size)) = StoredMessage::read_content(&value) {
            // A record that is wrong elsewhere may be wrong here: what it names must fit, for it is somebody's mail.
            let fits = matches!(view.content_len(named), Ok(Some(len)) if len == size);
            content = (readable.is_some() || fits).then_some(named);
        }
        let message = goes.then(|| value.into_owned());
        Ok(Some(Remains { message, readable, recipients, content }))
    }

    fn keep_remains(
        &self,
        id: QueueId,
        found: &Remains,
        keep: Keep<'_>,
    ) -> Result<Vec<String>, StorageError> {
        let keep = |name: String, octets: &[u8]| {
            keep(&name, octets).map_err(|why| StorageError::unavailable("keeping what cannot be read", why))
        };
        let mut kept = Vec::new();
        if let Some(value) = &found.message {
            kept.push(keep(format!("queue-{id}-message"), value)?);
        }
        for (key, value) in &found.recipients {
            let index = records::read_recipient_key(key).map_or(0, |(_, index)| index);
            kept.push(keep(format!("queue-{id}-recipient-{index}"), value)?);
        }
        let content = match (found.content, &found.readable) {
            (None, Some(message)) => Some(message.content),
            (known, _) => known,
        };
        if let Some(content) = content {
            // Content that is damaged is told and kept by the check and repair of content.
            match self
                .storage
                .read()?
                .content(content)
                .and_then(|loaded| loaded.map(|it| it.to_bytes()).transpose())
            {
                Ok(Some(octets)) => kept.push(keep(format!("queue-{id}.eml"), &octets)?),
                Ok(None) | Err(StorageError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }
}
