//! Changing flags and keywords.

use std::ops::RangeBounds;

use storage::{Drawn, Patch, PatchInto, Snapshot};

use crate::changes::Draft;
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keywords::{KeywordTable, Keywords, WithoutBit, names_added};
use crate::listings::Listing;
use crate::logs;
use crate::mailboxes::read_mailbox;
use crate::messages::Records;
use crate::record::{MessageRecord, RECORD_MODSEQ_AT};
use crate::rights::Rights;
use crate::seen::Seen;
use crate::sweeps::{SWEEP_RANGES_MAX, Sweep, Sweeps};
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

    /// What it sets and clears, whatever messages had before; of no messages yet.
    fn sweep(&self, named: Keywords) -> Sweep {
        let all = Keywords(u64::MAX);
        let (set, keywords_set) = self.applied(Flags::NONE, Keywords::NONE, named);
        let (left, keywords_left) = self.applied(Flags::ALL, all, named);
        Sweep {
            set,
            cleared: Flags::ALL.without(left),
            keywords_set,
            keywords_cleared: all.without(keywords_left),
            ..Sweep::default()
        }
    }
}

/// Fewer messages are changed each by itself: that is as fast, and costs readers nothing.
const SWEEP_MESSAGES_MIN: usize = 64;
/// So many messages at least in each range of a sweep, on the average.
const SWEEP_RANGE_MESSAGES_MIN: usize = 16;
/// One message in so many at least has to be named: all of the mailbox is looked through.
const SWEEP_PART_MIN: u64 = 8;

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
            unseen += less(before, after, Flags::SEEN);
            deleted += less(after, before, Flags::DELETED);
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

/// What is known before the messages are looked at.
struct Prepared<'a> {
    permitted: Permitted<'a>,
    draft: Draft,
    /// The keywords' names, and the bits of those that the change names.
    keywords: KeywordTable,
    named: Keywords,
}

/// One commit's worth of a change.
struct Drafted {
    draft: Draft,
    modseq: Drawn,
    /// Where the messages that it changes are in [`FlagsStored::messages`].
    places: Vec<usize>,
}

/// A message's record, kept beyond its snapshot.
struct Found {
    uid: Uid,
    octets: Vec<u8>,
}

impl Store {
    /// Changes the flags of messages. UIDs that do not exist are passed over. Very many messages are changed by one
    /// record for all (`sweeps.rs`), or else in several commits of [`COMMIT_MESSAGES_MAX`] each.
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
        if self.may_be_swept(mailbox, &uids)? {
            held = self.make_room_for_sweep(mailbox, held).await?;
            if let Some((drafted, listing)) = self.draft_sweep(mailbox, &uids, change, &mut stored)? {
                let (committed, _held) = self.commit(drafted.draft, held).await?;
                let modseq = ModSeq(committed.value(drafted.modseq));
                drafted.places.iter().for_each(|place| stored.messages[*place].modseq = modseq);
                let changed = drafted.places.iter().map(|place| stored.messages[*place]);
                if let Some(listing) = listing.after(modseq, changed) {
                    self.keep_listing(mailbox, listing);
                }
                return Ok(stored);
            }
            stored = FlagsStored::default();
        }
        let mut chunks = uids.chunks(COMMIT_MESSAGES_MAX);
        loop {
            let chunk = chunks.next().unwrap_or_default();
            if let Some(drafted) = self.draft_flags(mailbox, chunk, change, &mut stored)? {
                let (committed, still_held) = self.commit(drafted.draft, held).await?;
                held = still_held;
                let modseq = ModSeq(committed.value(drafted.modseq));
                drafted.places.iter().for_each(|place| stored.messages[*place].modseq = modseq);
            }
            if chunks.len() == 0 {
                return Ok(stored);
            }
        }
    }

    fn prepare<'a>(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        change: &'a FlagChange<'a>,
    ) -> Result<Prepared<'a>, StoreError> {
        read_mailbox(snapshot, mailbox)?;
        let permitted = Permitted::new(change, self.allow(snapshot, mailbox, Rights::READ)?)?;
        let mut draft = Draft::new();
        let keywords = match change.mode {
            // What no message can have need not get a bit.
            FlagMode::Remove => KeywordTable::read(snapshot, mailbox)?,
            _ => names_added(snapshot, &mut draft, mailbox, permitted.keywords, WithoutBit::Refuse)?,
        };
        let named = keywords.find_all(permitted.keywords);
        Ok(Prepared { permitted, draft, keywords, named })
    }

    /// Drafts one commit; `None` where it changes nothing.
    fn draft_flags(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        change: &FlagChange<'_>,
        stored: &mut FlagsStored,
    ) -> Result<Option<Drafted>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let Prepared { permitted, mut draft, keywords, named } = self.prepare(&snapshot, mailbox, change)?;
        stored.keywords = keywords;
        let own = self.seen_in(&snapshot, mailbox)?;
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
            return Ok(None);
        }
        let modseq = draft.touch(mailbox, MessageEvents::FLAGS);
        if let (Some(own), Some(guest)) = (own, self.guest_of(mailbox.account))
            && !(rewrites.seen.is_empty() && rewrites.unseen.is_empty())
        {
            let changed = (&rewrites.seen[..], &rewrites.unseen[..]);
            own.draft(&snapshot, &mut draft, (mailbox, guest.id), changed, modseq)?;
        }
        rewrites.draft(&snapshot, &mut draft, mailbox, modseq)?;
        Ok(Some(Drafted { draft, modseq, places }))
    }

    /// Whether one record may do for all of these messages: where they are many, and much of their mailbox.
    fn may_be_swept(&self, mailbox: MailboxId, uids: &[Uid]) -> Result<bool, StoreError> {
        if uids.len() < SWEEP_MESSAGES_MIN || self.guest_of(mailbox.account).is_some() {
            return Ok(false);
        }
        let snapshot = self.inner.storage.read()?;
        let count = snapshot.counter(keys::COUNTERS, &keys::mailbox(mailbox), keys::COUNT)?;
        Ok(uids.len() as u64 * SWEEP_PART_MIN >= count)
    }

    /// Drafts a change as one record for all messages, and gives what the mailbox lists before it; `None` where too few
    /// change, or in too many places.
    fn draft_sweep(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        change: &FlagChange<'_>,
        stored: &mut FlagsStored,
    ) -> Result<Option<(Drafted, Listing)>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let Prepared { permitted, mut draft, keywords, named } = self.prepare(&snapshot, mailbox, change)?;
        let listing = self.listing(&snapshot, mailbox)?;
        let (mut places, mut sweep) = (Vec::new(), permitted.sweep(named));
        let (mut unseen, mut deleted) = (0, 0);
        let (mut uids, mut is_open) = (uids.iter().peekable(), false);
        for listed in listing.messages.iter() {
            while uids.next_if(|uid| **uid < listed.uid).is_some() {}
            let is_named = uids.next_if(|uid| **uid == listed.uid).is_some();
            let is_newer = change.unchanged_since.is_some_and(|since| listed.modseq > since);
            if !is_named || is_newer {
                stored.modified.extend(is_named.then_some(listed.uid));
                is_open = false;
                continue;
            }
            let (flags, keywords) = permitted.applied(listed.flags, listed.keywords, named);
            let is_changed = (flags, keywords) != (listed.flags, listed.keywords);
            if is_changed {
                match sweep.ranges.last_mut().filter(|_| is_open) {
                    Some((_, last)) => *last = listed.uid.0,
                    None => sweep.ranges.push((listed.uid.0, listed.uid.0)),
                }
                unseen += less(listed.flags, flags, Flags::SEEN);
                deleted += less(flags, listed.flags, Flags::DELETED);
                places.push(stored.messages.len());
            }
            is_open = is_changed;
            stored.messages.push(Listed { flags, keywords, ..*listed });
        }
        let ranges = sweep.ranges.len();
        let is_worth = places.len() >= SWEEP_MESSAGES_MIN.max(ranges * SWEEP_RANGE_MESSAGES_MIN);
        if !is_worth || ranges > SWEEP_RANGES_MAX {
            return Ok(None);
        }
        // Programs that do not know of sweeps must not open what has one.
        self.inner.storage.admit(keys::SWEEPS)?;
        stored.keywords = keywords;
        let modseq = draft.touch(mailbox, MessageEvents::FLAGS);
        Sweeps::read(&snapshot, mailbox)?.draft_with(&mut draft, mailbox, &sweep, modseq);
        logs::FLAGGED.write_ranges(&snapshot, &mut draft, mailbox, modseq, &sweep.ranges)?;
        let counts = [(keys::UNSEEN, unseen), (keys::DELETED, deleted)];
        draft.batch.add(keys::COUNTERS, &keys::mailbox(mailbox), &counts);
        Ok(Some((Drafted { draft, modseq, places }, listing)))
    }
}

/// 1 where the first have the flag and the others do not, -1 the other way round.
fn less(first: Flags, others: Flags, flag: Flags) -> i64 {
    i64::from(first.contains(flag)) - i64::from(others.contains(flag))
}

/// The records of messages, of UIDs that rise.
fn find(snapshot: &Snapshot, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::with_capacity(uids.len());
    let records = Records::of(snapshot, mailbox)?;
    if let Some(range) = dense(uids) {
        records.scan(range, &mut |uid, record| {
            found.push(Found { uid, octets: record.to_octets() });
        })?;
        return Ok(found);
    }
    for uid in uids {
        found.extend(records.get(*uid, |record| Found { uid: *uid, octets: record.to_octets() })?);
    }
    Ok(found)
}

/// The range of UIDs, where they are a run without gaps: one scan then serves better than a look-up each.
fn dense(uids: &[Uid]) -> Option<impl RangeBounds<Uid> + use<>> {
    let (first, last) = (*uids.first()?, *uids.last()?);
    let is_run = uids.windows(2).all(|pair| pair[1].0 == pair[0].0.wrapping_add(1) && pair[0] < pair[1]);
    is_run.then_some(first..=last)
}
