//! The decision trail: why a message went where it went. Kept beyond the message, bounded.

use std::ops::ControlFlow;

use mail_types::{Address, QueueId, ReversePath, Route, Timestamp};
use serde::{Deserialize, Serialize};
use storage::{Batch, Patch, PatchInto, StorageError};

use crate::queue::Inner;
use crate::records::{COUNTERS, TRAIL, to_value};
use crate::submission::{Accepted, Source, Step, Submission};

/// The counter of trail heads.
pub(crate) const TRAILS: &[u8] = b"trails";
/// The counter of trail lines.
const LINES: &[u8] = b"lines";
/// Trails that one batch of pruning removes.
const PRUNE_BATCH: u64 = 1000;
/// Records that one batch of pruning removes; a trail has a line for each thing that happened.
const PRUNE_RECORDS_MAX: usize = 20_000;
/// Batches of one round of pruning: a minute brings fewer trails than they remove.
const PRUNE_BATCHES_MAX: usize = 500;

/// How one recipient was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailRecipient {
    /// As the client gave it.
    pub original: Address,
    /// As it was decided.
    pub address: Address,
    /// Where it went first.
    pub route: Route,
    /// By which steps.
    pub steps: Vec<Step>,
}

/// What was known and decided when a message was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailHead {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub source: Source,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Its Message-ID field.
    pub message_id: Option<String>,
    /// Octets of its content.
    pub size: u64,
    /// The message that it reports about.
    pub about: Option<QueueId>,
    /// To whom.
    pub recipients: Vec<TrailRecipient>,
}

/// Something that happened to a recipient later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailLine {
    /// When.
    pub at: Timestamp,
    /// To whom; absent means the whole message.
    pub recipient: Option<Address>,
    /// What: delivered, deferred, failed, rerouted, held…
    pub what: String,
    /// In full.
    pub text: String,
}

/// All that is known about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The message.
    pub id: QueueId,
    /// Its beginning; absent when it was pruned.
    pub head: Option<TrailHead>,
    /// What followed, in order.
    pub lines: Vec<TrailLine>,
}

/// Most recipients whose steps a trail holds; of more, only the first are told.
pub(crate) const TRAIL_RECIPIENTS_MAX: usize = 1000;

pub(crate) fn add_head(batch: &mut Batch, submission: &Submission, about: Option<QueueId>, now: Timestamp) {
    let head = TrailHead {
        at: now,
        source: submission.source.clone(),
        reverse_path: submission.reverse_path.clone(),
        message_id: submission.message_id.clone(),
        size: submission.content.len(),
        about,
        recipients: told(&submission.recipients),
    };
    put_head(batch, submission.id, &head);
}

pub(crate) fn put_head(batch: &mut Batch, id: QueueId, head: &TrailHead) {
    batch.put(TRAIL, &id.to_key(), to_value(head));
    batch.add(COUNTERS, TRAILS, &[(0, 1)]);
}

/// The recipients whose steps are told.
pub(crate) fn told(recipients: &[Accepted]) -> Vec<TrailRecipient> {
    recipients.iter().take(TRAIL_RECIPIENTS_MAX).map(trail_recipient).collect()
}

fn trail_recipient(accepted: &Accepted) -> TrailRecipient {
    TrailRecipient {
        original: accepted.recipient.original.clone(),
        address: accepted.recipient.address.clone(),
        route: accepted.route.clone(),
        steps: accepted.steps.clone(),
    }
}

/// Adds a line. Its number is drawn, so that lines of one moment stay apart and in order.
pub(crate) fn add_line(batch: &mut Batch, id: QueueId, line: &TrailLine) {
    let number = batch.draw(COUNTERS, LINES, 0);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&id.to_key());
    let patch = Patch { into: PatchInto::Key, at: 8, width: 8, drawn: number };
    batch.put_drawn(TRAIL, &key, to_value(line), &[patch]);
}

impl Inner {
    /// Removes the oldest trails beyond the maximum.
    pub(crate) async fn prune_trails(&self) -> Result<(), StorageError> {
        for _ in 0..PRUNE_BATCHES_MAX {
            if !self.prune_some_trails().await? {
                break;
            }
        }
        Ok(())
    }

    /// One batch; whether there was a surplus.
    async fn prune_some_trails(&self) -> Result<bool, StorageError> {
        let most = self.options().trails_max;
        let view = self.storage.read()?;
        let surplus = view.counter(COUNTERS, TRAILS, 0)?.saturating_sub(most).min(PRUNE_BATCH);
        if surplus == 0 {
            return Ok(false);
        }
        let (mut batch, mut heads, mut records) = (Batch::new(), 0, 0);
        view.scan(TRAIL, &[], &[0xff; 21], &mut |key, _| {
            let is_head = key.len() == 8;
            if (is_head && heads == surplus) || records == PRUNE_RECORDS_MAX {
                return ControlFlow::Break(());
            }
            heads += u64::from(is_head);
            records += 1;
            batch.delete(TRAIL, key);
            ControlFlow::Continue(())
        })?;
        drop(view);
        batch.add(COUNTERS, TRAILS, &[(0, -i64::try_from(heads).unwrap_or(0))]);
        self.commit(batch).await?;
        // Without a record to remove the count itself is wrong, and asking again does not help.
        Ok(records > 0)
    }
}
