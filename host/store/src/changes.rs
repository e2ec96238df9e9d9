//! What a commit changed, on its way to those who watch; and what changed since they looked last.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use smallvec::SmallVec;
use storage::{Batch, Committed, Drawn, Snapshot};

use crate::Store;
use crate::error::StoreError;
use crate::feed::{Happened, MessageEvents};
use crate::ids::{MailboxId, ModSeq, Uid};
use crate::keys;
use crate::keywords::KeywordTable;
use crate::locks::Held;
use crate::logs;
use crate::mailboxes::read_mailbox;
use crate::messages::{Records, scan_messages};
use crate::record::MessageRecord;
use crate::rights::Rights;
use crate::seen::Seen;
use crate::view::Listed;

/// The mailboxes that a batch changes. Once it is committed, publishing consumes this, and nothing
/// else does: so that no session misses a change.
#[derive(Debug)]
#[must_use = "publish it once the batch is committed"]
pub struct Changes {
    touched: SmallVec<[(MailboxId, Touch); 2]>,
    happened: Vec<Happened>,
}

#[derive(Debug, Clone, Copy)]
enum Touch {
    /// It got this mod-sequence.
    Changed(Drawn, MessageEvents),
    /// It was deleted.
    Gone,
    /// Somebody may do more with it, or less.
    Rights,
}

impl Changes {
    /// Of a message that comes.
    pub(crate) fn of(mailbox: MailboxId, modseq: Drawn) -> Self {
        let touched = SmallVec::from_iter([(mailbox, Touch::Changed(modseq, MessageEvents::NEW))]);
        Self { touched, happened: Vec::new() }
    }
}

/// A batch of the store's own, with what it changes.
pub(crate) struct Draft {
    pub(crate) batch: Batch,
    changes: Changes,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self { batch: Batch::new(), changes: Changes { touched: SmallVec::new(), happened: Vec::new() } }
    }

    /// Draws a mailbox's next mod-sequence: those who watch it hear of this change.
    pub(crate) fn touch(&mut self, mailbox: MailboxId, events: MessageEvents) -> Drawn {
        let drawn = self.batch.draw(keys::COUNTERS, &keys::mailbox(mailbox), keys::LAST_MODSEQ);
        self.changes.touched.push((mailbox, Touch::Changed(drawn, events)));
        drawn
    }

    /// Remembers that rights to a mailbox have changed: who has it open looks again.
    pub(crate) fn touch_rights(&mut self, mailbox: MailboxId) {
        self.changes.touched.push((mailbox, Touch::Rights));
    }

    /// Remembers something else, for those who listen.
    pub(crate) fn note(&mut self, happened: Happened) {
        self.changes.happened.push(happened);
    }

    /// Remembers that a mailbox is deleted.
    pub(crate) fn touch_gone(&mut self, mailbox: MailboxId) {
        self.changes.touched.push((mailbox, Touch::Gone));
    }
}

impl Store {
    /// Commits a draft, and keeps the lock until that is done, even where the caller goes away
    /// meanwhile: the next holder must read what this one wrote.
    pub(crate) async fn commit(&self, draft: Draft, held: Held) -> Result<(Committed, Held), StoreError> {
        let (committed, held, _) = self.commit_both(draft, held, None).await?;
        Ok((committed, held))
    }

    /// The same under the locks of two accounts.
    pub(crate) async fn commit_both(
        &self,
        draft: Draft,
        held: Held,
        other: Option<Held>,
    ) -> Result<(Committed, Held, Option<Held>), StoreError> {
        let (store, Draft { batch, changes }) = (self.clone(), draft);
        let publish = move |committed: Committed| {
            store.publish(changes, &committed);
            (committed, held, other)
        };
        Ok(self.inner.storage.commit_then(batch, publish).await?)
    }

    /// Tells those who watch or listen of a committed batch's changes.
    pub fn publish(&self, changes: Changes, committed: &Committed) {
        let (feeds, deaf) = (&self.inner.feeds, self.deaf.as_ref());
        feeds.others(deaf, &changes.happened);
        for (mailbox, touch) in changes.touched {
            let modseq = match touch {
                Touch::Changed(drawn, events) => {
                    feeds.messages(deaf, mailbox, events);
                    ModSeq(committed.value(drawn))
                }
                Touch::Gone => ModSeq(u64::MAX),
                Touch::Rights => ModSeq(0),
            };
            self.inner.watches.bump(mailbox, modseq);
        }
    }

    /// What changed in a mailbox above a mod-sequence. `NotFound` where it is gone.
    pub fn changes_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Delta, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        self.allow(&snapshot, mailbox, Rights::READ)?;
        let seen = self.seen_in(&snapshot, mailbox)?;
        let key = keys::mailbox(mailbox);
        let counter = |field| snapshot.counter(keys::COUNTERS, &key, field);
        let highest_modseq = ModSeq(counter(keys::LAST_MODSEQ)?);
        let last_uid = u32::try_from(counter(keys::LAST_UID)?).unwrap_or(u32::MAX);
        let (expunged, complete) = match logs::EXPUNGED.since(&snapshot, mailbox, since)? {
            Some(expunged) => (logs::uids(&expunged), true),
            None => (logs::uids(&logs::EXPUNGED.known(&snapshot, mailbox)?), false),
        };
        Ok(Delta {
            uid_next: Uid(last_uid).next(),
            highest_modseq,
            changed: match seen {
                Some(seen) => changed_for(&seen, &snapshot, mailbox, since)?,
                None => self.changed_since(&snapshot, mailbox, since)?,
            },
            expunged,
            complete,
            keywords: KeywordTable::read(&snapshot, mailbox)?,
        })
    }
}

/// What has changed as a reader sees it who has seen messages apart from others.
fn changed_for(
    seen: &Seen,
    snapshot: &Snapshot,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Vec<Listed>, StoreError> {
    let mut changed = BTreeMap::new();
    let Some(own) = seen.since(since) else {
        scan_messages(snapshot, mailbox, .., &mut |uid, record| {
            changed.insert(uid, Listed::of(uid, record).seen_by(seen));
        })?;
        return Ok(changed.into_values().filter(|listed| listed.modseq > since).collect());
    };
    for (first, last) in own {
        scan_messages(snapshot, mailbox, Uid(first)..=Uid(last), &mut |uid, record| {
            changed.insert(uid, Listed::of(uid, record).seen_by(seen));
        })?;
    }
    for listed in changed_since(snapshot, mailbox, since)? {
        changed.insert(listed.uid, listed.seen_by(seen));
    }
    Ok(changed.into_values().collect())
}

/// New messages, and those with new flags, rising by UID.
pub(crate) fn changed_since(
    snapshot: &Snapshot,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Vec<Listed>, StoreError> {
    let Some(flagged) = logs::FLAGGED.since(snapshot, mailbox, since)? else {
        let mut changed = Vec::new();
        scan_messages(snapshot, mailbox, .., &mut |uid, record| {
            if record.modseq > since {
                changed.push(Listed::of(uid, record));
            }
        })?;
        return Ok(changed);
    };
    let records = Records::of(snapshot, mailbox)?;
    let mut changed = Vec::new();
    for (first, last) in flagged {
        records.scan(Uid(first)..=Uid(last), &mut |uid, record| changed.push(Listed::of(uid, record)))?;
    }
    // UIDs and mod-sequences are drawn together: below the first message that is not newer, none is new.
    let from = keys::mailbox(mailbox);
    let until = keys::after(from);
    let mut failed = None;
    snapshot.scan_back(keys::MESSAGES, &from, &until, &mut |key, value| {
        match (keys::uid_of(key), MessageRecord::parse(value)) {
            (Some(uid), Ok(stored)) if stored.modseq > since => {
                changed.push(Listed::of(uid, &records.laid_over(uid, stored)));
                return ControlFlow::Continue(());
            }
            (Some(_), Ok(_)) => {}
            (_, Err(error)) => failed = Some(error),
            (None, Ok(_)) => failed = Some(StoreError::corrupt("a message's key is unreadable")),
        }
        ControlFlow::Break(())
    })?;
    failed.map_or(Ok(()), Err)?;
    changed.sort_unstable_by_key(|listed| listed.uid);
    changed.dedup_by_key(|listed| listed.uid);
    Ok(changed)
}

/// What changed in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The UID that the next message will have at least.
    pub uid_next: Uid,
    /// The last change that is in here: ask from here next time.
    pub highest_modseq: ModSeq,
    /// New messages and those with new flags, rising by UID.
    pub changed: Vec<Listed>,
    /// Messages that went, rising. Some may have come and gone since.
    pub expunged: Vec<Uid>,
    /// Whether `expunged` tells all: else the log was cut, and the mailbox has to be opened anew.
    pub complete: bool,
    /// The keywords' names now.
    pub keywords: KeywordTable,
}
