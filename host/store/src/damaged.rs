//! Content that is damaged, and whose messages it hurts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

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
    /// Whether others than the store have it.
    pub(crate) is_foreign: bool,
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
        if self.is_foreign {
            told.push(format!("a message of the queue: {what}"));
        }
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
    foreign: &BTreeSet<ContentId>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Hurt>, StoreError> {
    let wanted = wanted(&storage.read()?, only, foreign)?;
    let (total, mut done) = (wanted.len() as u64, 0);
    let mut hurt = Vec::new();
    for chunk in wanted.into_iter().collect::<Vec<_>>().chunks(READ_IN_ONE_VIEW) {
        progress(done, total);
        let snapshot = storage.read()?;
        for (id, len) in chunk {
            done += 1;
            if let Verdict::Damaged(damage) = snapshot.verify_content(*id, *len)?
                && hurt.len() < DAMAGED_MAX
            {
                let is_foreign = foreign.contains(id);
                hurt.push(Hurt { id: *id, damage, messages: Vec::new(), is_foreign });
            }
        }
    }
    if !hurt.is_empty() {
        add_messages(&storage.read()?, &mut hurt)?;
    }
    Ok(hurt)
}

/// What is to be read, with its length as the messages that have it say.
fn wanted(
    snapshot: &Snapshot,
    only: Option<AccountId>,
    foreign: &BTreeSet<ContentId>,
) -> Result<BTreeMap<ContentId, Option<u64>>, StoreError> {
    let mut wanted: BTreeMap<ContentId, Option<u64>> = foreign.iter().map(|id| (*id, None)).collect();
    let (from, until) = match only {
        Some(account) => (keys::account(account).to_vec(), keys::after(keys::account(account))),
        None => (Vec::new(), keys::END.to_vec()),
    };
    snapshot.scan(keys::MESSAGES, &from, &until, &mut |_, value| {
        if let Ok(record) = MessageRecord::parse(value) {
            wanted.insert(record.content, record.size.checked_sub(record.prefix.len() as u64));
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
            && let Some(hurt) = by_id.get_mut(&record.content)
        {
            hurt.messages.push((mailbox, uid));
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
