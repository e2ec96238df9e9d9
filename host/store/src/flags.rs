//! Changing flags and keywords.

use std::ops::RangeBounds;

use storage::{Drawn, Patch, PatchInto, Snapshot};

use crate::changes::Draft;
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keywords::{KeywordTable, Keywords, names_added};
use crate::logs;
use crate::mailboxes::read_mailbox;
use crate::messages::{read_message, scan_messages};
use crate::record::{MessageRecord, RECORD_MODSEQ_AT};
use crate::rights::Rights;
use crate::seen::Seen;
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

/// As much of a change as somebody may do.
struct Permitted<'a> {
    change: &'a FlagChange<'a>,
    keywords: &'a [&'a str],
    rights: Rights,
}

impl<'a> Permitted<'a> {
    /// It fails only where none of the flags that are named may be changed (RFC 4314 §4, STORE).
    fn new(change: &'a FlagChange<'a>, rights: Rights) -> Result<Self, StoreError> {
        let touched = if change.mode == FlagMode::Replace { Flags::ALL } else { change.flags };
        let may_some = touched.within(rights.flags()) != Flags::NONE;
        let may_write = rights.contains(Rights::WRITE);
        let is_nothing = touched == Flags::NONE && change.keywords.is_empty();
        let may_label = may_write && !change.keywords.is_empty();
        if !(may_some || may_label || is_nothing) {
            let needed = match touched {
                Flags::SEEN => Rights::SEEN,
                Flags::DELETED => Rights::DELETE_MESSAGES,
                _ => Rights::WRITE,
            };
            return Err(StoreError::NotPermitted(needed.letter()));
        }
        Ok(Self { change, keywords: if may_write { change.keywords } else { &[] }, rights })
    }

    fn applied(&self, flags: Flags, keywords: Keywords, named: Keywords) -> (Flags, Keywords) {
        let may = self.rights.flags();
        let (wished, labelled) = match self.change.mode {
            FlagMode::Add => (flags.with(self.change.flags), keywords.with(named)),
            FlagMode::Remove => (flags.without(self.change.flags), keywords.without(named)),
            FlagMode::Replace => (self.change.flags, named),
        };
        let may_write = self.rights.contains(Rights::WRITE);
        (flags.without(may).with(wished.within(may)), if may_write { labelled } else { keywords })
    }
}

/// What a commit changes: records that all share, and what one reader has seen.
#[derive(Default)]
struct Rewrites {
    /// UID, flags before, and the new record.
    records: Vec<(Uid, Flags, Vec<u8>)>,
    seen: Vec<Uid>,
    unseen: Vec<Uid>,
}

impl Rewrites {
    /// Takes in that the message gets these flags and keywords.
    fn add(
        &mut self,
        uid: Uid,
        record: &MessageRecord<'_>,
        own: Option<&Seen>,
        flags: Flags,
        keywords: Keywords,
    ) {
        let mut shared = flags;
        if let Some(own) = own {
            let (mut before, mut modseq) = (record.flags, record.modseq);
            own.apply(uid, &mut before, &mut modseq);
            match (before.contains(Flags::SEEN), flags.contains(Flags::SEEN)) {
                (false, true) => self.seen.push(uid),
                (true, false) => self.unseen.push(uid),
                _ => {}
            }
            shared = flags.without(Flags::SEEN).with(record.flags.within(Flags::SEEN));
        }
        if (shared, keywords) != (record.flags, record.keywords) {
            let octets = MessageRecord { flags: shared, keywords, ..*record }.to_octets();
            self.records.push((uid, record.flags, octets));
        }
    }

    fn draft(
        self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        drawn: Drawn,
    ) -> Result<(), StoreError> {
        if self.records.is_empty() {
            return Ok(());
        }
        logs::FLAGGED.write(snapshot, draft, mailbox, drawn, self.records.iter().map(|(uid, ..)| *uid))?;
        let (mut unseen, mut deleted) = (0, 0);
        for (uid, before, octets) in self.records {
            let after = Flags::from_bits(octets[1]);
            unseen += i64::from(before.contains(Flags::SEEN)) - i64::from(after.contains(Flags::SEEN));
            deleted += i64::from(after.contains(Flags::DELETED)) - i64::from(before.contains(Flags::DELETED));
            let patch = Patch { into: PatchInto::Value, at: RECORD_MODSEQ_AT, width: 8, drawn };
            draft.batch.put_drawn(keys::MESSAGES, &keys::message(mailbox, uid), octets, &[patch]);
        }
        let counts = [(keys::UNSEEN, unseen), (keys::DELETED, deleted)];
        draft.batch.add(keys::COUNTERS, &keys::mailbox(mailbox), &counts);
        Ok(())
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
    ) -> Result<(Draft, usize, Option<(Drawn, Vec<usize>)>), StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        let permitted = Permitted::new(change, self.allow(&snapshot, mailbox, Rights::READ)?)?;
        let own = self.seen_in(&snapshot, mailbox)?;
        let mut draft = Draft::new();
        stored.keywords = match change.mode {
            // What no message can have need not get a bit.
            FlagMode::Remove => KeywordTable::read(&snapshot, mailbox)?,
            _ => names_added(&snapshot, &mut draft, mailbox, permitted.keywords)?,
        };
        let named = stored.keywords.find_all(permitted.keywords);
        let (mut places, mut rewrites) = (Vec::new(), Rewrites::default());
        for found in find(&snapshot, mailbox, uids)? {
            let record = MessageRecord::parse(&found.octets)?;
            let mut listed = Listed::of(found.uid, &record);
            if let Some(own) = &own {
                listed = listed.seen_by(own);
            }
            if change.unchanged_since.is_some_and(|since| listed.modseq > since) {
                stored.modified.push(found.uid);
                continue;
            }
            let (flags, keywords) = permitted.applied(listed.flags, listed.keywords, named);
            if (flags, keywords) != (listed.flags, listed.keywords) {
                places.push(stored.messages.len());
                rewrites.add(found.uid, &record, own.as_ref(), flags, keywords);
            }
            stored.messages.push(Listed { flags, keywords, ..listed });
        }
        if places.is_empty() {
            // The draft is dropped, and new names with it.
            stored.keywords = KeywordTable::read(&snapshot, mailbox)?;
            return Ok((draft, 0, None));
        }
        let drawn = draft.touch(mailbox, MessageEvents::FLAGS);
        if let (Some(own), Some(guest)) = (own, self.guest_of(mailbox.account))
            && !(rewrites.seen.is_empty() && rewrites.unseen.is_empty())
        {
            let changed = (&rewrites.seen[..], &rewrites.unseen[..]);
            own.draft(&snapshot, &mut draft, (mailbox, guest.id), changed, drawn)?;
        }
        rewrites.draft(&snapshot, &mut draft, mailbox, drawn)?;
        Ok((draft, places.len(), Some((drawn, places))))
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
