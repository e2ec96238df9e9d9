//! Messages of our own that an outcome sends: they go into the queue in the batch that settles the recipient they are
//! sent for. So none is sent twice, and none is forgotten, whatever ends the process in between.

use std::time::Duration;

use bytes::Bytes;
use events::{Event, Events};
use mail_types::{AccountName, Address, QueueId, ReversePath, Timestamp, Transport};
use sha2::{Digest, Sha256};
use storage::{Batch, Content, ContentId, Drawn, StorageError};

use crate::queue::Inner;
use crate::records::{ANSWERED, Message, StoredMessage};
use crate::settle::Settlement;
use crate::submission::{Accepted, Source};
use crate::submit::{Effects, new_record, put_message, put_recipient};
use crate::trail::{self, TrailHead};

/// Entries of the memory of answers that one batch of maintenance removes, and batches of one round.
const FORGET_BATCH: usize = 1000;
const FORGET_BATCHES_MAX: usize = 100;

/// A message of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is, as the channel that it comes by: `autoreply`, `list`.
    pub source: &'static str,
    /// Where reports about it go.
    pub reverse_path: ReversePath,
    /// Parameters of MAIL.
    pub transport: Transport,
    /// To whom, with routes; at least one. Their copies are queued, local ones too.
    pub recipients: Vec<Accepted>,
    /// Header fields that stand above the content, each line ended by CRLF.
    pub prefix: Vec<u8>,
    /// The content.
    pub content: OutgoingContent,
    /// Its Message-ID field's value.
    pub message_id: Option<String>,
    /// Sent only where nothing was sent of late.
    pub once: Option<Once>,
}

/// What a message of our own says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingContent {
    /// These octets.
    Octets(Bytes),
    /// What the message says that it is sent for: the stored content gets one reference more.
    Same,
}

/// A promise to send once to the same address within a time (RFC 3834 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// On whose behalf.
    pub by: AccountName,
    /// To whom.
    pub to: Address,
    /// The time.
    pub within: Duration,
}

impl Once {
    /// Both names may be longer than a key: their digest stands for them. An account goes by the number that it keeps under
    /// another name, where it has one.
    fn key(&self, number: Option<u64>) -> [u8; 32] {
        let mut digest = Sha256::new();
        match number {
            // No name begins so.
            Some(number) => digest.update([&[0][..], &number.to_be_bytes()].concat()),
            None => digest.update(self.by.as_str().as_bytes()),
        }
        digest.update([0]);
        digest.update(self.to.to_key().as_bytes());
        digest.finalize().into()
    }
}

/// A message that was queued by us, as the log is told of it.
pub(crate) struct Sent {
    pub(crate) id: QueueId,
    pub(crate) about: QueueId,
    pub(crate) source: &'static str,
    pub(crate) to: Address,
}

impl Sent {
    pub(crate) fn emit(&self, events: &Events) {
        let Self { id, about, source, to } = self;
        events.emit(&Event::Sent { id: *id, about: *about, source, to });
    }
}

/// A message on its way into a batch.
pub(crate) struct Own<'a> {
    pub(crate) id: QueueId,
    pub(crate) about: QueueId,
    pub(crate) message: Message,
    pub(crate) recipients: &'a [Accepted],
}

/// The content of a message of ours.
pub(crate) enum OwnContent {
    New(Content),
    Kept(ContentId, u64),
}

impl Inner {
    /// Adds a message of ours to the batch: trail, content, message, recipients.
    pub(crate) fn queue_own(
        batch: &mut Batch,
        effects: &mut Effects,
        own: Own<'_>,
        content: OwnContent,
        now: Timestamp,
    ) {
        let Own { id, about, message, recipients } = own;
        let size = match &content {
            OwnContent::New(content) => content.len(),
            OwnContent::Kept(_, size) => *size,
        };
        trail::put_head(
            batch,
            id,
            &TrailHead {
                at: now,
                source: message.source.clone(),
                reverse_path: message.reverse_path.clone(),
                message_id: message.message_id.clone(),
                size,
                about: Some(about),
                recipients: trail::told(recipients),
            },
        );
        match content {
            OwnContent::New(content) => {
                let drawn: Drawn = batch.store_content(content, 1);
                put_message(batch, id, &message, &[], size, drawn);
            }
            OwnContent::Kept(content, size) => {
                batch.retain_content(content, 1);
                let stored = StoredMessage { id, content, size, message, delivered: Vec::new() };
                batch.put(crate::records::MESSAGES, &id.to_key(), stored.to_value());
            }
        }
        for (index, accepted) in (0_u32..).zip(recipients) {
            put_recipient(batch, effects, id, index, new_record(accepted.clone(), now));
        }
        effects.messages += 1;
    }

    /// Adds what an outcome sends. `false` where the same was sent to the same address of late.
    pub(crate) fn send(&self, to: &mut Settlement<'_>, outgoing: &Outgoing) -> Result<bool, StorageError> {
        if let Some(once) = &outgoing.once
            && !self.promise(to, once)?
        {
            return Ok(false);
        }
        let id = self.next_id();
        let source = Source { channel: outgoing.source.to_owned(), ..Source::default() };
        let message = Message {
            arrived: to.now,
            reverse_path: outgoing.reverse_path.clone(),
            transport: outgoing.transport.clone(),
            source,
            message_id: outgoing.message_id.clone(),
            prefix: outgoing.prefix.clone(),
            first_posting: Self::posting_above(to.message, outgoing.source),
        };
        Self::join_postings(to, id, &message);
        let content = match &outgoing.content {
            OutgoingContent::Octets(octets) => OwnContent::New(Content::Inline(octets.clone())),
            OutgoingContent::Same => OwnContent::Kept(to.message.content, to.message.size),
        };
        let about = to.message.id;
        let own = Own { id, about, message, recipients: &outgoing.recipients };
        Self::queue_own(&mut to.batch, &mut to.effects, own, content, to.now);
        if let Some(first) = outgoing.recipients.first() {
            let to_whom = first.recipient.address.clone();
            to.effects.sent.push(Sent { id, about, source: outgoing.source, to: to_whom });
        }
        Ok(true)
    }

    /// Remembers that something is sent; `false` where it was sent before. Two at a time cannot both believe that they
    /// are the first: the batch of the second is refused, and looked at again.
    fn promise(&self, to: &mut Settlement<'_>, once: &Once) -> Result<bool, StorageError> {
        let key = once.key(self.agents.local.number(&once.by)?);
        match self.storage.read()?.get(ANSWERED, &key)? {
            Some(value) if until(&value).is_some_and(|until| to.now < until) => return Ok(false),
            Some(value) => to.batch.assert_equals(ANSWERED, &key, &value),
            None => to.batch.assert_absent(ANSWERED, &key),
        }
        to.batch.put(ANSWERED, &key, to.now.plus(once.within).0.to_be_bytes());
        Ok(true)
    }

    /// Removes what need not be remembered any more, to whom was answered when.
    pub(crate) async fn forget_answers(&self) -> Result<(), StorageError> {
        let mut from = Vec::new();
        for _ in 0..FORGET_BATCHES_MAX {
            let (mut batch, mut seen, mut last) = (Batch::new(), 0, None);
            let now = self.clock.now();
            self.storage.read()?.scan(ANSWERED, &from, &[0xff; 33], &mut |key, value| {
                if until(value).is_none_or(|until| until <= now) {
                    batch.assert_equals(ANSWERED, key, value);
                    batch.delete(ANSWERED, key);
                }
                seen += 1;
                last = Some(key.to_vec());
                if seen < FORGET_BATCH {
                    std::ops::ControlFlow::Continue(())
                } else {
                    std::ops::ControlFlow::Break(())
                }
            })?;
            if !batch.is_empty() {
                match self.commit(batch).await {
                    // Somebody was answered just now: the next round looks again.
                    Ok(_) | Err(StorageError::Conflict(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match last {
                Some(mut key) if seen == FORGET_BATCH => {
                    key.push(0);
                    from = key;
                }
                _ => break,
            }
        }
        Ok(())
    }
}

fn until(value: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(u64::from_be_bytes(value.try_into().ok()?)))
}
