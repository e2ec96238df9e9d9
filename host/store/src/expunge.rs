//! Removing messages, and what is left of deleted mailboxes.

use std::ops::ControlFlow;

use mail_types::AccountName;
use storage::{ContentId, Snapshot, Space};

use crate::accounts::Usage;
use crate::annotations;
use crate::changes::Draft;
use crate::domain_usage::{count_for_domain, doomed_domain};
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{AccountId, Flags, MailboxId, ModSeq, Uid};
use crate::locks::Held;
use crate::logs;
use crate::mailboxes::read_mailbox;
use crate::messages::{Records, scan_messages};
use crate::record::MessageRecord;
use crate::rights::Rights;
use crate::seen::{draft_reader_gone, draft_unread};
use crate::{COMMIT_MESSAGES_MAX, Store, keys};

/// What an expunge removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expunged {
    /// The messages that went, in the order of the UIDs given, or rising.
    pub uids: Vec<Uid>,
    /// The mailbox's last change by it; `None` where nothing went.
    pub modseq: Option<ModSeq>,
}

/// What removing a message needs to know of it.
#[derive(Clone, Copy)]
pub(crate) struct Doomed {
    pub(crate) uid: Uid,
    pub(crate) flags: Flags,
    pub(crate) size: u64,
    pub(crate) content: ContentId,
}

impl Doomed {
    pub(crate) fn of(uid: Uid, record: &MessageRecord<'_>) -> Self {
        Self { uid, flags: record.flags, size: record.size, content: record.content }
    }
}

/// Whether the content of removed messages loses their references.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    /// It does; the last one takes the content along.
    Released,
    /// It does not: other records hold them now.
    HandedOn,
}

impl Store {
    /// Removes the messages that have `\Deleted`: all of them, or those among the UIDs
    /// (RFC 3501 §6.4.3, RFC 4315 §2.1). Very many go in several commits.
    pub async fn expunge(&self, mailbox: MailboxId, uids: Option<&[Uid]>) -> Result<Expunged, StoreError> {
        let is_deleted = |doomed: &Doomed| doomed.flags.contains(Flags::DELETED);
        self.remove_where(mailbox, uids, is_deleted).await
    }

    /// Removes messages whatever their flags are.
    pub async fn remove(&self, mailbox: MailboxId, uids: &[Uid]) -> Result<Expunged, StoreError> {
        self.remove_where(mailbox, Some(uids), |_| true).await
    }

    async fn remove_where(
        &self,
        mailbox: MailboxId,
        uids: Option<&[Uid]>,
        goes: impl Fn(&Doomed) -> bool,
    ) -> Result<Expunged, StoreError> {
        let mut held = self.inner.locks.lock(mailbox.account).await;
        let mut all = {
            let snapshot = self.inner.storage.read()?;
            read_mailbox(&snapshot, mailbox)?;
            self.allow(&snapshot, mailbox, Rights::EXPUNGE)?;
            find(&snapshot, mailbox, uids)?
        };
        all.retain(goes);
        let mut expunged = Expunged::default();
        for chunk in all.chunks(COMMIT_MESSAGES_MAX) {
            let mut draft = Draft::new();
            let modseq = {
                let snapshot = self.inner.storage.read()?;
                self.draft_removal(&snapshot, &mut draft, mailbox, chunk, Reference::Released)?
            };
            let (committed, still_held) = self.commit(draft, held).await?;
            held = still_held;
            expunged.uids.extend(chunk.iter().map(|doomed| doomed.uid));
            expunged.modseq = Some(ModSeq(committed.value(modseq)));
        }
        Ok(expunged)
    }

    /// Removes what is left of deleted mailboxes.
    pub(crate) async fn remove_doomed(&self) -> Result<(), StoreError> {
        let mut doomed = Vec::new();
        self.inner.storage.read()?.scan(keys::DOOMED, &[], &keys::END, &mut |key, _| {
            doomed.extend(keys::mailbox_of(key));
            ControlFlow::Continue(())
        })?;
        for mailbox in doomed {
            if mailbox.number == 0 {
                self.remove_traces(mailbox.account).await?;
            } else {
                self.remove_remains(mailbox).await?;
            }
        }
        Ok(())
    }

    /// Removes what a removed account leaves at mailboxes of others: rights, annotations, and what it has seen.
    pub(crate) async fn remove_traces(&self, account: AccountId) -> Result<(), StoreError> {
        let key = keys::mailbox(MailboxId { account, number: 0 });
        let name = self.inner.storage.read()?.get(keys::DOOMED, &key)?.map(|name| name.into_owned());
        let Some(name) = name else { return Ok(()) };
        if let Some(name) = std::str::from_utf8(&name).ok().and_then(AccountName::new) {
            self.forget_grantee(&name).await?;
        }
        loop {
            let held: Held = self.inner.locks.lock(account).await;
            let mut draft = Draft::new();
            let count = {
                let snapshot = self.inner.storage.read()?;
                let count = draft_reader_gone(&snapshot, &mut draft, account, COMMIT_MESSAGES_MAX)?;
                let left = COMMIT_MESSAGES_MAX - count;
                count + annotations::draft_payer_gone(&snapshot, &mut draft, account, left)?
            };
            let done = count < COMMIT_MESSAGES_MAX;
            if done {
                draft.batch.delete(keys::DOOMED, &key);
            }
            self.commit(draft, held).await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Removes the messages of a deleted mailbox, then the rest of it. Begins again where an
    /// earlier run was interrupted.
    pub(crate) async fn remove_remains(&self, mailbox: MailboxId) -> Result<(), StoreError> {
        loop {
            let held: Held = self.inner.locks.lock(mailbox.account).await;
            let mut draft = Draft::new();
            let done = {
                let snapshot = self.inner.storage.read()?;
                if snapshot.get(keys::DOOMED, &keys::mailbox(mailbox))?.is_none() {
                    return Ok(());
                }
                draft_remains(&snapshot, &mut draft, mailbox)?
            };
            self.commit(draft, held).await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Drafts the removal of messages, with counts and log; the mod-sequence that it draws.
    pub(crate) fn draft_removal(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        doomed: &[Doomed],
        reference: Reference,
    ) -> Result<storage::Drawn, StoreError> {
        let modseq = draft.touch(mailbox, MessageEvents::EXPUNGED);
        logs::EXPUNGED.write(snapshot, draft, mailbox, modseq, doomed.iter().map(|doomed| doomed.uid))?;
        let (mut unseen, mut deleted, mut octets) = (0, 0, 0_u64);
        for message in doomed {
            unseen += i64::from(!message.flags.contains(Flags::SEEN));
            deleted += i64::from(message.flags.contains(Flags::DELETED));
            octets += message.size;
            draft.batch.delete(keys::MESSAGES, &keys::message(mailbox, message.uid));
            if reference == Reference::Released {
                draft.batch.release_content(message.content, 1);
            }
        }
        let count = i64::try_from(doomed.len()).unwrap_or(i64::MAX);
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        self.count(
            &mut draft.batch,
            mailbox,
            &[
                (keys::COUNT, -count),
                (keys::UNSEEN, -unseen),
                (keys::DELETED, -deleted),
                (keys::OCTETS, -octets),
            ],
        )?;
        Ok(modseq)
    }
}

/// Drafts a commit's worth of a deleted mailbox; whether nothing is left after it.
fn draft_remains(snapshot: &Snapshot, draft: &mut Draft, mailbox: MailboxId) -> Result<bool, StoreError> {
    let (from, until) = (keys::mailbox(mailbox), keys::after(keys::mailbox(mailbox)));
    let value = snapshot.get(keys::DOOMED, &from)?.unwrap_or_default();
    let mut left = COMMIT_MESSAGES_MAX;
    let (mut failed, mut removed) = (None, Usage::default());
    for space in [keys::MESSAGES, keys::FLAGGED, keys::EXPUNGED] {
        snapshot.scan(space, &from, &until, &mut |key, value| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            if space == keys::MESSAGES {
                match MessageRecord::parse(value) {
                    Ok(record) => {
                        draft.batch.release_content(record.content, 1);
                        removed = removed.plus(Usage { messages: 1, octets: record.size });
                    }
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            draft.batch.delete(space, key);
            ControlFlow::Continue(())
        })?;
    }
    failed.map_or(Ok(()), Err)?;
    if removed.messages > 0 {
        let (messages, octets) = removed.as_changes();
        count_for_domain(&mut draft.batch, doomed_domain(&value), -messages, -octets);
    }
    left -= draft_unread(snapshot, draft, mailbox, left)?;
    left -= annotations::draft_mailbox_gone(snapshot, draft, mailbox, left)?;
    if left == 0 {
        return Ok(false);
    }
    for space in [keys::KEYWORDS, keys::RECENT, keys::SWEEPS, keys::COUNTERS, keys::DOOMED] {
        draft.batch.delete(space, &from);
    }
    Ok(true)
}

/// Drafts the removal of so many records of a space at most, and of what `beside` names for the key of each: the other
/// half of a record that two spaces hold. How many there were.
pub(crate) fn draft_both_gone(
    snapshot: &Snapshot,
    draft: &mut Draft,
    (space, from, until): (Space, &[u8], &[u8]),
    max: usize,
    beside: impl Fn(&[u8]) -> Option<(Space, Vec<u8>)>,
) -> Result<usize, StoreError> {
    let mut count = 0;
    snapshot.scan(space, from, until, &mut |key, _| {
        if count == max {
            return ControlFlow::Break(());
        }
        count += 1;
        draft.batch.delete(space, key);
        if let Some((space, key)) = beside(key) {
            draft.batch.delete(space, &key);
        }
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

fn find(snapshot: &Snapshot, mailbox: MailboxId, uids: Option<&[Uid]>) -> Result<Vec<Doomed>, StoreError> {
    let mut found = Vec::new();
    match uids {
        Some(uids) => {
            let records = Records::of(snapshot, mailbox)?;
            for uid in uids {
                found.extend(records.get(*uid, |record| Doomed::of(*uid, record))?);
            }
            // Given twice, it goes once.
            found.sort_unstable_by_key(|doomed| doomed.uid);
            found.dedup_by_key(|doomed| doomed.uid);
        }
        None if snapshot.counter(keys::COUNTERS, &keys::mailbox(mailbox), keys::DELETED)? == 0 => {}
        None => scan_messages(snapshot, mailbox, .., &mut |uid, record| {
            if record.flags.contains(Flags::DELETED) {
                found.push(Doomed::of(uid, record));
            }
        })?,
    }
    Ok(found)
}
