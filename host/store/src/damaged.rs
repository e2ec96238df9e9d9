//! Content that is damaged, and whose messages it hurts.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use mail_types::QueueId;
use storage::{ContentId, Damage, Snapshot, Storage, Verdict};

use crate::accounts::read_account;
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId, Uid};
use crate::keys;
use crate::mailboxes::read_mailbox;
use crate::record::MessageRecord;

/// Contents that are read in one view: a view that lives long keeps replaced pages from being used again.
const READ_IN_ONE_VIEW: usize = 100;
/// Most damaged contents that are told at a time.
const DAMAGED_MAX: usize = 10_000;

/// A damaged content, and who has it.
pub(crate) struct Hurt {
    pub(crate) id: ContentId,
    pub(crate) damage: Damage,
    /// Messages in mailboxes, whoever's.
    pub(crate) messages: Vec<(MailboxId, Uid)>,
    /// Messages of the queue.
    pub(crate) queued: Vec<QueueId>,
    /// Whether there is nothing of it.
    pub(crate) is_missing: bool,
}

/// What others than the store say of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// A message of the queue has some.
    Content(QueuedContent),
    /// They have something that cannot be read.
    Unreadable {
        /// What.
        what: String,
        /// What can be done about it.
        remedy: String,
        /// Whether it may have content that is not told.
        may_have_content: bool,
    },
}

/// Content that a message of the queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedContent {
    /// The message.
    pub message: QueueId,
    /// Its content.
    pub content: ContentId,
    /// The content's octets, as the message's record says.
    pub len: u64,
}

impl Hurt {
    /// Each message that it hurts, for people, with what is wrong.
    pub(crate) fn told(&self, snapshot: &Snapshot) -> Vec<String> {
        let what = format!("content {}: {}", self.id.0, self.damage);
        let mut told: Vec<String> = self
            .messages
            .iter()
            .map(|(id, uid)| format!("message {id}/{uid} ({}): {what}", whose(snapshot, *id, *uid)))
            .collect();
        told.extend(self.queued.iter().map(|id| format!("message {id} of the queue: {what}")));
        told
    }
}

/// A message, as its owner knows it.
fn whose(snapshot: &Snapshot, id: MailboxId, uid: Uid) -> String {
    let mailbox = read_mailbox(snapshot, id).map_or_else(|_| format!("mailbox {id}"), |record| record.name);
    let account = read_account(snapshot, id.account)
        .map_or_else(|_| format!("account {}", id.account), |record| record.name);
    format!("UID {uid} of {mailbox} of {account}")
}

/// Reads all content, of one account or of everybody and of `foreign`, while others commit. `progress` is told how many
/// contents are read, of how many.
pub(crate) fn find(
    storage: &Storage,
    only: Option<AccountId>,
    foreign: &mut [QueuedContent],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Hurt>, StoreError> {
    foreign.sort_unstable_by_key(|queued| (queued.content, queued.message));
    let foreign = &*foreign;
    let wanted = wanted(&storage.read()?, only, foreign)?;
    let (total, mut done) = (wanted.len() as u64, 0);
    let mut hurt = Vec::new();
    for chunk in wanted.into_iter().collect::<Vec<_>>().chunks(READ_IN_ONE_VIEW) {
        progress(done, total);
        let snapshot = storage.read()?;
        for (id, len) in chunk {
            done += 1;
            let queued: Vec<QueueId> = queued_with(foreign, *id).map(|queued| queued.message).collect();
            let (damage, is_missing) = match snapshot.verify_content(*id, len.len())? {
                Verdict::Damaged(damage) => (damage, false),
                // Messages of mailboxes without content are told as such.
                Verdict::Missing if !queued.is_empty() => (missing(len.len()), true),
                _ => continue,
            };
            if hurt.len() < DAMAGED_MAX {
                hurt.push(Hurt { id: *id, damage, messages: Vec::new(), queued, is_missing });
            }
        }
    }
    if !hurt.is_empty() {
        add_messages(&storage.read()?, &mut hurt)?;
    }
    Ok(hurt)
}

/// Content of the queue that is not there.
fn missing(len: Option<u64>) -> Damage {
    let len = len.unwrap_or(0);
    Damage { why: "it is not there".to_owned(), len, lost: std::iter::once(0..len).collect() }
}

/// Who of the queue has a content; they are sorted by it.
fn queued_with(queued: &[QueuedContent], id: ContentId) -> impl Iterator<Item = &QueuedContent> {
    let first = queued.partition_point(|queued| queued.content < id);
    queued[first..].iter().take_while(move |queued| queued.content == id)
}

/// A content's length, as those who have it say.
#[derive(Clone, Copy, Default)]
enum Said {
    #[default]
    Nothing,
    Len(u64),
    /// They do not agree: a record is wrong, and none is believed.
    Disputed,
}

impl Said {
    fn add(&mut self, len: Option<u64>) {
        *self = match (*self, len) {
            (Self::Nothing, Some(len)) => Self::Len(len),
            (Self::Len(known), Some(len)) if known == len => return,
            _ => Self::Disputed,
        };
    }

    fn len(self) -> Option<u64> {
        if let Self::Len(len) = self { Some(len) } else { None }
    }
}

/// What is to be read, with its length as those who have it say.
fn wanted(
    snapshot: &Snapshot,
    only: Option<AccountId>,
    foreign: &[QueuedContent],
) -> Result<BTreeMap<ContentId, Said>, StoreError> {
    let mut wanted: BTreeMap<ContentId, Said> = BTreeMap::new();
    for queued in foreign {
        wanted.entry(queued.content).or_default().add(Some(queued.len));
    }
    let (from, until) = match only {
        Some(account) => (keys::account(account).to_vec(), keys::after(keys::account(account))),
        None => (Vec::new(), keys::END.to_vec()),
    };
    snapshot.scan(keys::MESSAGES, &from, &until, &mut |_, value| {
        if let Ok(record) = MessageRecord::parse(value) {
            let len = record.size.checked_sub(record.prefix.len() as u64);
            wanted.entry(record.content).or_default().add(len);
        }
        ControlFlow::Continue(())
    })?;
    Ok(wanted)
}

fn add_messages(snapshot: &Snapshot, hurt: &mut [Hurt]) -> Result<(), StoreError> {
    let mut by_id: HashMap<ContentId, &mut Hurt> = hurt.iter_mut().map(|hurt| (hurt.id, hurt)).collect();
    snapshot.scan(keys::MESSAGES, &[], &keys::END, &mut |key, value| {
        if let (Some(mailbox), Some(uid), Ok(record)) =
            (keys::mailbox_of(key), keys::uid_of(key), MessageRecord::parse(value))
            && let Some(hurt) = by_id.get_mut(&record.content).filter(|hurt| !hurt.is_missing)
        {
            hurt.messages.push((mailbox, uid));
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
