//! The decision trail: why a message went where it went. Kept beyond the message, bounded.

use mail_types::{Address, QueueId, ReversePath, Route, Timestamp};
use serde::{Deserialize, Serialize};
use storage::{Batch, Patch, PatchInto};

use crate::records::{COUNTERS, TRAIL, to_value};
use crate::submission::{Accepted, Source, Step, Submission};

/// The counter of trail heads.
pub(crate) const TRAILS: &[u8] = b"trails";
/// The counter of trail lines.
const LINES: &[u8] = b"lines";
/// Trails that one round of pruning removes.
pub(crate) const PRUNE_MAX: usize = 1000;

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
    let told = submission.recipients.iter().take(TRAIL_RECIPIENTS_MAX);
    let head = TrailHead {
        at: now,
        source: submission.source.clone(),
        reverse_path: submission.reverse_path.clone(),
        message_id: submission.message_id.clone(),
        size: submission.content.len(),
        about,
        recipients: told.map(trail_recipient).collect(),
    };
    batch.put(TRAIL, &submission.id.to_key(), to_value(&head));
    batch.add(COUNTERS, TRAILS, &[(0, 1)]);
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
