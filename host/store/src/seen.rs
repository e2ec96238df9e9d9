//! What somebody has read of a mailbox that is not their own (R78, R80): `\Seen` for that reader alone
//! (RFC 4314 §4, RFC 9051 §2.3.2), other flags being everybody's.
//!
//! One record for each reader and mailbox, made with the first message that is read. It holds ranges
//! of UIDs, which may span UIDs that are gone: those never come again. Its changes draw from the
//! mailbox's mod-sequences; the newest are kept with their UIDs, and when older ones are dropped,
//! all messages count as changed at the last of these for that reader. So a message's mod-sequence
//! never falls, and at worst a client is told the same flags twice.

use storage::{Drawn, Patch, PatchInto, Snapshot};

use crate::Store;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::expunge::draft_both_gone;
use crate::feed::MessageEvents;
use crate::ids::{AccountId, Flags, MailboxId, ModSeq, Uid};
use crate::keys::{self, u32_at, u64_at};
use crate::messages::scan_messages;
use crate::ranges::{Range, are_right, is_in, ranges_of, read_ranges, united, without, write_ranges};

/// Most ranges of a record.
pub const SEEN_RANGES_MAX: usize = 50_000;
/// Most changes that a record keeps with their UIDs.
pub const SEEN_CHANGES_MAX: usize = 64;
/// A change of more ranges than this is kept as one, from its first UID to its last.
const CHANGE_RANGES_MAX: usize = 100;
/// At every so many ranges, those that only gaps divide are joined.
const COMPACT_EVERY: usize = 64;
/// The version of every record that is written.
const VERSION: u8 = 1;
/// The octets before changes and ranges.
const HEAD: usize = 24;
/// Where the floor is.
const FLOOR_AT: usize = 8;

/// First and last UID of messages that a batch puts in one after the other.
type Run = (Drawn, Drawn);

/// Which messages of a batch the person who puts them in has seen.
#[derive(Default)]
pub(crate) struct NewlySeen {
    runs: Vec<Run>,
    /// Whether the message before is in the last run.
    is_open: bool,
}

impl NewlySeen {
    /// Takes in the next message of the batch. UIDs that one batch draws for a mailbox follow each other.
    pub(crate) fn add(&mut self, uid: Drawn, is_seen: bool) {
        match self.runs.last_mut().filter(|_| self.is_open) {
            Some((_, last)) if is_seen => *last = uid,
            _ if is_seen => self.runs.push((uid, uid)),
            _ => {}
        }
        self.is_open = is_seen;
    }
}

/// What a reader has seen of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Rising; some may touch.
    ranges: Vec<Range>,
    /// The newest changes, newest first.
    changes: Vec<(ModSeq, Vec<Range>)>,
    /// The newest change that was dropped.
    floor: ModSeq,
}

impl Seen {
    pub(crate) fn read(
        snapshot: &Snapshot,
        mailbox: MailboxId,
        reader: AccountId,
    ) -> Result<Self, StoreError> {
        match snapshot.get(keys::SEEN, &keys::seen(mailbox, reader))? {
            Some(octets) => Self::parse(&octets).ok_or_else(|| {
                StoreError::corrupt(format!(
                    "what account {reader} has seen of mailbox {mailbox} is unreadable"
                ))
            }),
            None => Ok(Self::default()),
        }
    }

    fn contains(&self, uid: Uid) -> bool {
        is_in(&self.ranges, uid)
    }

    /// A message's flags, and its last change, for the reader.
    pub(crate) fn apply(&self, uid: Uid, flags: &mut Flags, modseq: &mut ModSeq) {
        *flags = if self.contains(uid) { flags.with(Flags::SEEN) } else { flags.without(Flags::SEEN) };
        let change = self.changes.iter().find(|(_, ranges)| is_in(ranges, uid)).map(|(modseq, _)| *modseq);
        *modseq = change.unwrap_or(self.floor).max(*modseq);
    }

    /// The UIDs of the reader's own changes above a mod-sequence; `None` where they are not known any more.
    pub(crate) fn since(&self, since: ModSeq) -> Option<impl Iterator<Item = Range> + '_> {
        let newer = self.changes.iter().take_while(move |(modseq, _)| *modseq > since);
        (since >= self.floor).then(|| newer.flat_map(|(_, ranges)| ranges.iter().copied()))
    }

    /// How many messages the reader has not seen: those between the ranges, and after the last.
    pub(crate) fn unseen(&self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<u64, StoreError> {
        let (mut unseen, mut from) = (0, 1);
        for (first, last) in self.ranges.iter().copied().chain([(u32::MAX, u32::MAX)]) {
            if from < first {
                scan_messages(snapshot, mailbox, Uid(from)..Uid(first), &mut |_, _| unseen += 1)?;
            }
            from = last.saturating_add(1);
        }
        Ok(unseen)
    }

    /// Drafts that the reader has seen these messages, or that they are new again. UIDs rise.
    pub(crate) fn draft(
        mut self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        (mailbox, reader): (MailboxId, AccountId),
        (seen, unseen): (&[Uid], &[Uid]),
        modseq: Drawn,
    ) -> Result<(), StoreError> {
        let (added, removed) = (ranges_of(seen), ranges_of(unseen));
        self.ranges = without(&united(&self.ranges, &added), &removed);
        if !self.ranges.is_empty() && self.ranges.len().is_multiple_of(COMPACT_EVERY) {
            self.compact(snapshot, mailbox)?;
        }
        let mut change = united(&added, &removed);
        if let [first, .., last] = change[..]
            && change.len() > CHANGE_RANGES_MAX
        {
            change = vec![(first.0, last.1)];
        }
        self.put(draft, (mailbox, reader), change, modseq, (&[], &[]))
    }

    /// Drafts that the reader has seen messages which the same batch puts in: their UIDs are not known yet.
    pub(crate) fn draft_new(
        mut self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        (mailbox, reader): (MailboxId, AccountId),
        new: &NewlySeen,
        modseq: Drawn,
    ) -> Result<(), StoreError> {
        let runs = &new.runs[..];
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        let whole = [(first.0, last.1)];
        let change = if runs.len() > CHANGE_RANGES_MAX { &whole[..] } else { runs };
        // What was put in so before may have come to lie next to another range.
        self.ranges = united(&self.ranges, &[]);
        let (before, after) = (self.ranges.len(), self.ranges.len() + runs.len());
        if before / COMPACT_EVERY < after / COMPACT_EVERY {
            self.compact(snapshot, mailbox)?;
        }
        let not_yet = |runs: &[Run]| vec![(u32::MAX, u32::MAX); runs.len()];
        self.ranges.extend(not_yet(runs));
        self.put(draft, (mailbox, reader), not_yet(change), modseq, (change, runs))
    }

    /// Drafts the record with one change more. What is drawn overwrites the first ranges of that change, and the last
    /// of all.
    fn put(
        mut self,
        draft: &mut Draft,
        (mailbox, reader): (MailboxId, AccountId),
        change: Vec<Range>,
        modseq: Drawn,
        (drawn_change, drawn_ranges): (&[Run], &[Run]),
    ) -> Result<(), StoreError> {
        if self.ranges.len() > SEEN_RANGES_MAX {
            return Err(StoreError::TooMany { what: "ranges of seen messages", max: SEEN_RANGES_MAX });
        }
        self.changes.insert(0, (ModSeq(0), change));
        if self.changes.len() > SEEN_CHANGES_MAX
            && let Some((dropped, _)) = self.changes.pop()
        {
            self.floor = dropped;
        }
        draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(mailbox));
        // A reader who has gone meanwhile leaves nothing behind.
        draft.batch.assert_present(keys::ACCOUNTS, &keys::account(reader));
        draft.batch.put(keys::READERS, &keys::reader(reader, mailbox), [0]);
        let octets = self.to_octets();
        // The newest change is the first thing after the head: its mod-sequence, how many ranges, these.
        let mut patches = vec![Patch { into: PatchInto::Value, at: HEAD, width: 8, drawn: modseq }];
        let ranges_at = octets.len() - 8 * drawn_ranges.len();
        for (at, runs) in [(HEAD + 12, drawn_change), (ranges_at, drawn_ranges)] {
            let uids = runs.iter().flat_map(|(first, last)| [*first, *last]).enumerate();
            patches.extend(uids.map(|(number, drawn)| Patch {
                into: PatchInto::Value,
                at: at + 4 * number,
                width: 4,
                drawn,
            }));
        }
        draft.batch.put_drawn(keys::SEEN, &keys::seen(mailbox, reader), octets, &patches);
        Ok(())
    }

    /// Drafts a record that [`Seen::fault`] finds faults with anew: as much of it as can be right. All messages count as
    /// changed for the reader.
    pub(crate) fn draft_mended(
        &self,
        draft: &mut Draft,
        (mailbox, reader): (MailboxId, AccountId),
        last_uid: u64,
    ) {
        let last_uid = u32::try_from(last_uid).unwrap_or(u32::MAX);
        let ranges: Vec<Range> =
            self.ranges.iter().map(|(first, last)| (*first, (*last).min(last_uid))).collect();
        let is_range = |(first, last): &&Range| (1..=*last).contains(first);
        let ranges = united(&ranges.iter().filter(is_range).copied().collect::<Vec<_>>(), &[]);
        let octets = Self { ranges, changes: Vec::new(), floor: ModSeq(0) }.to_octets();
        let drawn = draft.touch(mailbox, MessageEvents::FLAGS);
        let patch = Patch { into: PatchInto::Value, at: FLOOR_AT, width: 8, drawn };
        draft.batch.put_drawn(keys::SEEN, &keys::seen(mailbox, reader), octets, &[patch]);
    }

    /// Joins ranges between which no message is that the reader has not seen.
    fn compact(&mut self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<(), StoreError> {
        let (mut ranges, mut open) = (Vec::new(), None);
        scan_messages(snapshot, mailbox, .., &mut |uid, _| {
            if self.contains(uid) {
                open = Some((open.map_or(uid.0, |(first, _)| first), uid.0));
            } else {
                ranges.extend(open.take());
            }
        })?;
        ranges.extend(open);
        self.ranges = ranges;
        Ok(())
    }

    fn to_octets(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
        let mut octets = vec![VERSION, 0, 0, 0];
        octets.extend_from_slice(&count(self.ranges.len()));
        octets.extend_from_slice(&self.floor.0.to_be_bytes());
        octets.extend_from_slice(&count(self.changes.len()));
        octets.extend_from_slice(&[0; 4]);
        for (modseq, ranges) in &self.changes {
            octets.extend_from_slice(&modseq.0.to_be_bytes());
            octets.extend_from_slice(&count(ranges.len()));
            write_ranges(&mut octets, ranges);
        }
        write_ranges(&mut octets, &self.ranges);
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
        if octets.first() != Some(&VERSION) {
            return None;
        }
        let (mut at, mut changes) = (HEAD, Vec::new());
        for _ in 0..u32_at(octets, 16)? {
            let modseq = ModSeq(u64_at(octets, at)?);
            let ranges = read_ranges(octets, at + 12, u32_at(octets, at + 8)?)?;
            at += 12 + 8 * ranges.len();
            changes.push((modseq, ranges));
        }
        let ranges = read_ranges(octets, at, u32_at(octets, 4)?)?;
        let is_whole = octets.len() == at + 8 * ranges.len();
        is_whole.then_some(Self { ranges, changes, floor: ModSeq(u64_at(octets, FLOOR_AT)?) })
    }

    /// What is wrong with a record of a mailbox with this last UID and mod-sequence.
    pub(crate) fn fault(&self, last_uid: u64, last_modseq: u64) -> Option<&'static str> {
        let rises = |ranges: &[Range]| are_right(ranges, last_uid);
        if !rises(&self.ranges) || !self.changes.iter().all(|(_, ranges)| rises(ranges)) {
            return Some("has ranges that overlap, fall or are above the last UID");
        }
        let modseqs: Vec<u64> =
            self.changes.iter().map(|(modseq, _)| modseq.0).chain([self.floor.0]).collect();
        if modseqs.first().is_some_and(|newest| *newest > last_modseq)
            || modseqs.windows(2).any(|pair| pair[0] <= pair[1])
        {
            return Some("has changes that do not rise, or above the last one");
        }
        None
    }
}

impl Store {
    /// The reader's own state of a mailbox; `None` where the shared one is theirs.
    pub(crate) fn seen_in(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
    ) -> Result<Option<Seen>, StoreError> {
        self.guest_of(mailbox.account).map(|guest| Seen::read(snapshot, mailbox, guest.id)).transpose()
    }

    /// Drafts which of the messages that the draft puts into a mailbox of somebody else the person has seen. The lock of
    /// the mailbox's account must be held.
    pub(crate) fn draft_newly_seen(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        new: &NewlySeen,
        modseq: Drawn,
    ) -> Result<(), StoreError> {
        let Some(guest) = self.guest_of(mailbox.account).filter(|_| !new.runs.is_empty()) else {
            return Ok(());
        };
        let seen = Seen::read(snapshot, mailbox, guest.id)?;
        seen.draft_new(snapshot, draft, (mailbox, guest.id), new, modseq)
    }
}

/// Drafts the removal of so many records of a mailbox at most; how many there were.
pub(crate) fn draft_unread(
    snapshot: &Snapshot,
    draft: &mut Draft,
    mailbox: MailboxId,
    max: usize,
) -> Result<usize, StoreError> {
    let (from, until) = (keys::mailbox(mailbox), keys::after(keys::mailbox(mailbox)));
    draft_both_gone(snapshot, draft, (keys::SEEN, &from, &until), max, |key| {
        u32_at(key, 8).map(|reader| (keys::READERS, keys::reader(AccountId(reader), mailbox).to_vec()))
    })
}

/// Drafts the removal of so many records of a reader at most; how many there were.
pub(crate) fn draft_reader_gone(
    snapshot: &Snapshot,
    draft: &mut Draft,
    reader: AccountId,
    max: usize,
) -> Result<usize, StoreError> {
    let (from, until) = (keys::account(reader), keys::after(keys::account(reader)));
    draft_both_gone(snapshot, draft, (keys::READERS, &from, &until), max, |key| {
        let mailbox = key.get(4..).and_then(keys::mailbox_of);
        mailbox.map(|mailbox| (keys::SEEN, keys::seen(mailbox, reader).to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn ranges(set: &BTreeSet<u32>) -> Vec<Range> {
        ranges_of(&set.iter().copied().map(Uid).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn records_are_inverse(set: BTreeSet<u8>, floor: u64, changes: Vec<(u64, BTreeSet<u8>)>) {
            let ranges = |set: &BTreeSet<u8>| ranges(&set.iter().map(|uid| u32::from(*uid) + 1).collect());
            let changes = changes.iter().map(|(modseq, set)| (ModSeq(*modseq), ranges(set))).collect();
            let seen = Seen { ranges: ranges(&set), changes, floor: ModSeq(floor) };
            prop_assert_eq!(Seen::parse(&seen.to_octets()), Some(seen));
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..60), version: bool) {
            let mut octets = octets;
            if let (true, Some(first)) = (version, octets.first_mut()) {
                *first = VERSION;
            }
            let _ = Seen::parse(&octets);
        }
    }
}
