//! The two logs of a mailbox: whose flags changed, and which messages went. Both are bounded; their
//! floor says from where on they tell all.

use std::ops::ControlFlow;

use storage::{Drawn, Patch, PatchInto, Snapshot, Space};

use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{MailboxId, ModSeq, Uid};
use crate::keys::{self, u32_at};
use crate::ranges::{Range, united, write_ranges};

/// Most entries (one a commit) of a mailbox's log of flag changes. It serves sessions that are
/// open now, and reading all messages serves instead.
pub const FLAGGED_MAX: u64 = 1_000;
/// Most entries (one a commit) of a mailbox's log of expunges. It serves clients that come back
/// (RFC 7162 §3.2), for whom nothing else can.
pub const EXPUNGED_MAX: u64 = 10_000;

/// The first octet of an entry of ranges; all others are UIDs, and a multiple of four octets long.
const RANGES: u8 = 1;

/// One of the two.
#[derive(Clone, Copy)]
pub(crate) struct Log {
    space: Space,
    counter: u8,
    max: u64,
}

pub(crate) const FLAGGED: Log =
    Log { space: keys::FLAGGED, counter: keys::FLAGGED_ENTRIES, max: FLAGGED_MAX };
pub(crate) const EXPUNGED: Log =
    Log { space: keys::EXPUNGED, counter: keys::EXPUNGED_ENTRIES, max: EXPUNGED_MAX };

impl Log {
    /// Writes an entry under the mod-sequence that is drawn, and cuts the log where it is full.
    /// The account's lock must be held.
    pub(crate) fn write(
        self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        modseq: Drawn,
        uids: impl Iterator<Item = Uid>,
    ) -> Result<(), StoreError> {
        self.write_entry(snapshot, draft, mailbox, modseq, uids.flat_map(|uid| uid.0.to_be_bytes()).collect())
    }

    /// The same of ranges of UIDs.
    pub(crate) fn write_ranges(
        self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        modseq: Drawn,
        ranges: &[Range],
    ) -> Result<(), StoreError> {
        let mut value = vec![RANGES];
        write_ranges(&mut value, ranges);
        self.write_entry(snapshot, draft, mailbox, modseq, value)
    }

    fn write_entry(
        self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mailbox: MailboxId,
        modseq: Drawn,
        value: Vec<u8>,
    ) -> Result<(), StoreError> {
        let patch = Patch { into: PatchInto::Key, at: keys::MODSEQ_AT, width: 8, drawn: modseq };
        draft.batch.put_drawn(self.space, &keys::log(mailbox, ModSeq(0)), value, &[patch]);
        let key = keys::mailbox(mailbox);
        let mut change = 1;
        if snapshot.counter(keys::COUNTERS, &key, self.counter)? >= self.max {
            change -= self.cut(snapshot, draft, mailbox)?;
        }
        draft.batch.add(keys::COUNTERS, &key, &[(self.counter, change)]);
        Ok(())
    }

    /// Removes the oldest quarter; how many that are.
    fn cut(self, snapshot: &Snapshot, draft: &mut Draft, mailbox: MailboxId) -> Result<i64, StoreError> {
        let most = self.max / 4;
        let (mut floor, mut removed) = (ModSeq(0), 0);
        self.scan(snapshot, mailbox, ModSeq(0), &mut |modseq, _| {
            draft.batch.delete(self.space, &keys::log(mailbox, modseq));
            floor = modseq;
            removed += 1;
            if removed < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if removed > 0 {
            draft.batch.put(self.space, &keys::log(mailbox, ModSeq(0)), floor.0.to_be_bytes());
        }
        Ok(i64::try_from(removed).unwrap_or(i64::MAX))
    }

    /// Visits the entries above a mod-sequence, oldest first.
    fn scan(
        self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        above: ModSeq,
        visit: &mut dyn FnMut(ModSeq, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let from = keys::log(mailbox, ModSeq(above.0.saturating_add(1)));
        let until = keys::after(keys::mailbox(mailbox));
        snapshot.scan(
            self.space,
            &from,
            &until,
            &mut |key, value| match keys::u64_at(key, keys::MODSEQ_AT) {
                Some(modseq) => visit(ModSeq(modseq), value),
                None => ControlFlow::Continue(()),
            },
        )?;
        Ok(())
    }

    /// The UIDs of all entries above a mod-sequence. `None` where the log does not reach back so far.
    pub(crate) fn since(
        self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        above: ModSeq,
    ) -> Result<Option<Vec<Range>>, StoreError> {
        let floor = snapshot.get(self.space, &keys::log(mailbox, ModSeq(0)))?;
        let floor = floor.and_then(|octets| keys::u64_at(&octets, 0)).unwrap_or(0);
        if above.0 < floor {
            return Ok(None);
        }
        self.above(snapshot, mailbox, above).map(Some)
    }

    /// All that the log still tells, also where it was cut.
    pub(crate) fn known(self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<Vec<Range>, StoreError> {
        self.above(snapshot, mailbox, ModSeq(0))
    }

    fn above(self, snapshot: &Snapshot, mailbox: MailboxId, above: ModSeq) -> Result<Vec<Range>, StoreError> {
        let mut ranges = Vec::new();
        self.scan(snapshot, mailbox, above, &mut |_, value| {
            add_entry(&mut ranges, value);
            ControlFlow::Continue(())
        })?;
        Ok(united(&ranges, &[]))
    }
}

/// Adds the UIDs of an entry.
fn add_entry(ranges: &mut Vec<Range>, value: &[u8]) {
    if let Some((&RANGES, octets)) = value.split_first()
        && octets.len().is_multiple_of(8)
    {
        ranges
            .extend(octets.chunks_exact(8).filter_map(|range| Some((u32_at(range, 0)?, u32_at(range, 4)?))));
        return;
    }
    ranges.extend(value.chunks_exact(4).filter_map(|uid| u32_at(uid, 0)).map(|uid| (uid, uid)));
}

/// All UIDs of ranges.
pub(crate) fn uids(ranges: &[Range]) -> Vec<Uid> {
    ranges.iter().flat_map(|(first, last)| *first..=*last).map(Uid).collect()
}
