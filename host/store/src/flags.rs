//! Changing flags and keywords.

use std::ops::RangeBounds;

use storage::{Patch, PatchInto, Snapshot};

use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keywords::{KeywordTable, Keywords, names_added};
use crate::logs;
use crate::mailboxes::read_mailbox;
use crate::messages::{read_message, scan_messages};
use crate::record::{MessageRecord, RECORD_MODSEQ_AT};
use crate::view::Listed;
use crate::{COMMIT_MESSAGES_MAX, Store, keys};

/// What is done with the flags that are named (RFC 3501 §6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`: these and no others.
    Replace,
}

/// A change of flags.
#[derive(Debug, Clone, Copy)]
pub struct FlagChange<'a> {
    /// What is done.
    pub mode: FlagMode,
    /// With these system flags.
    pub flags: Flags,
    /// And these keywords.
    pub keywords: &'a [&'a str],
    /// Messages that changed after this stay as they are (`UNCHANGEDSINCE`, RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

impl FlagChange<'_> {
    fn applied(&self, flags: Flags, keywords: Keywords, named: Keywords) -> (Flags, Keywords) {
        match self.mode {
            FlagMode::Add => (flags.with(self.flags), keywords.with(named)),
            FlagMode::Remove => (flags.without(self.flags), keywords.without(named)),
            FlagMode::Replace => (self.flags, named),
        }
    }
}

/// What a change of flags came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagsStored {
    /// Every message that was named and exists, as it is now, also where nothing changed; rising by UID.
    pub messages: Vec<Listed>,
    /// Messages left as they are because they changed after `unchanged_since`.
    pub modified: Vec<Uid>,
    /// The keywords' names now.
    pub keywords: KeywordTable,
}

/// A message's record, kept beyond its snapshot.
struct Found {
    uid: Uid,
    octets: Vec<u8>,
}

impl Store {
    /// Changes the flags of messages. UIDs that do not exist are passed over. Very many messages
    /// are changed in several commits of [`COMMIT_MESSAGES_MAX`] each.
    pub async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        change: &FlagChange<'_>,
    ) -> Result<FlagsStored, StoreError> {
        let mut held = self.inner.locks.lock(mailbox.account).await;
        let mut stored = FlagsStored::default();
        // A message given twice is changed, and counted, once.
        let mut uids = uids.to_vec();
        uids.sort_unstable();
        uids.dedup();
        let mut chunks = uids.chunks(COMMIT_MESSAGES_MAX);
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let (draft, changed, at) = self.draft_flags(mailbox, chunk, change, &mut stored)?;
            if changed > 0 {
                let (committed, still_held) = self.commit(draft, held).await?;
                held = still_held;
                if let Some((drawn, places)) = at {
                    let modseq = ModSeq(committed.value(drawn));
                    places.into_iter().for_each(|place| stored.messages[place].modseq = modseq);
                }
            }
            if chunks.len() == 0 {
                return Ok(stored);
            }
        }
    }

    /// Drafts one commit; how many messages it changes, and where in `stored` they are.
    #[allow(clippy::type_complexity, reason = "a private triple, taken apart at its only call")]
    fn draft_flags(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        change: &FlagChange<'_>,
        stored: &mut FlagsStored,
    ) -> Result<(Draft, usize, Option<(storage::Drawn, Vec<usize>)>), StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        let mut draft = Draft::new();
        stored.keywords = match change.mode {
            // What no message can have need not get a bit.
            FlagMode::Remove => KeywordTable::read(&snapshot, mailbox)?,
            _ => names_added(&snapshot, &mut draft, mailbox, change.keywords)?,
        };
        let named = stored.keywords.find_all(change.keywords);
        let mut places = Vec::new();
        let mut rewritten = Vec::new();
        for found in find(&snapshot, mailbox, uids)? {
            let record = MessageRecord::parse(&found.octets)?;
            if change.unchanged_since.is_some_and(|since| record.modseq > since) {
                stored.modified.push(found.uid);
                continue;
            }
            let (flags, keywords) = change.applied(record.flags, record.keywords, named);
            if (flags, keywords) != (record.flags, record.keywords) {
                places.push(stored.messages.len());
                rewritten.push((
                    found.uid,
                    record.flags,
                    MessageRecord { flags, keywords, ..record }.to_octets(),
                ));
            }
            let listed = Listed { modseq: record.modseq, keywords, uid: found.uid, flags };
            stored.messages.push(listed);
        }
        if rewritten.is_empty() {
            // The draft is dropped, and new names with it.
            stored.keywords = KeywordTable::read(&snapshot, mailbox)?;
            return Ok((draft, 0, None));
        }
        let drawn = draft.touch(mailbox);
        logs::FLAGGED.write(&snapshot, &mut draft, mailbox, drawn, rewritten.iter().map(|(uid, ..)| *uid))?;
        let (mut unseen, mut deleted) = (0, 0);
        let changed = rewritten.len();
        for (uid, before, octets) in rewritten {
            let after = Flags::from_bits(octets[1]);
            unseen += i64::from(before.contains(Flags::SEEN)) - i64::from(after.contains(Flags::SEEN));
            deleted += i64::from(after.contains(Flags::DELETED)) - i64::from(before.contains(Flags::DELETED));
            let patch = Patch { into: PatchInto::Value, at: RECORD_MODSEQ_AT, width: 8, drawn };
            draft.batch.put_drawn(keys::MESSAGES, &keys::message(mailbox, uid), octets, &[patch]);
        }
        let counts = [(keys::UNSEEN, unseen), (keys::DELETED, deleted)];
        draft.batch.add(keys::COUNTERS, &keys::mailbox(mailbox), &counts);
        Ok((draft, changed, Some((drawn, places))))
    }
}

/// The records of messages, of UIDs that rise.
fn find(snapshot: &Snapshot, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::with_capacity(uids.len());
    if let Some(range) = dense(uids) {
        scan_messages(snapshot, mailbox, range, &mut |uid, record| {
            found.push(Found { uid, octets: record.to_octets() });
        })?;
        return Ok(found);
    }
    for uid in uids {
        found.extend(read_message(snapshot, mailbox, *uid, |record| Found {
            uid: *uid,
            octets: record.to_octets(),
        })?);
    }
    Ok(found)
}

/// The range of UIDs, where they are a run without gaps: one scan then serves better than a look-up each.
fn dense(uids: &[Uid]) -> Option<impl RangeBounds<Uid> + use<>> {
    let (first, last) = (*uids.first()?, *uids.last()?);
    let is_run = uids.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1) && pair[0] < pair[1]);
    is_run.then_some(first..=last)
}
