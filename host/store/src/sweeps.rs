//! Changes of flags of very many messages: one record for all of them, a *sweep*, in the place of one for each.
//!
//! A sweep says what it sets and clears, in which ranges of UIDs, and its mod-sequence. It lies over the records of
//! messages that were written before it; one that is written later has all of it in it already, and a higher
//! mod-sequence. So the mod-sequences alone say what holds, and folding sweeps into records may stop anywhere. A
//! mailbox has at most [`SWEEPS_MAX`]: before the next, those are folded.

use std::ops::{Bound, ControlFlow};

use storage::{Drawn, Patch, PatchInto, Snapshot};

use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keys::{self, u32_at, u64_at};
use crate::keywords::Keywords;
use crate::locks::Held;
use crate::messages::Records;
use crate::ranges::{Range, are_right, is_in, read_ranges, write_ranges};
use crate::record::MessageRecord;
use crate::{COMMIT_MESSAGES_MAX, Store};

/// Most sweeps of a mailbox.
pub const SWEEPS_MAX: usize = 16;
/// Most ranges of a sweep.
pub(crate) const SWEEP_RANGES_MAX: usize = 64;
/// The version of every record that is written.
const VERSION: u8 = 1;
/// The octets before the first sweep.
const HEAD: usize = 8;
/// The octets of a sweep before its ranges.
const SWEEP_HEAD: usize = 32;

/// One change of flags of many messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sweep {
    pub(crate) modseq: ModSeq,
    pub(crate) set: Flags,
    pub(crate) cleared: Flags,
    pub(crate) keywords_set: Keywords,
    pub(crate) keywords_cleared: Keywords,
    /// The messages; what else lies in there is gone, and does not come again.
    pub(crate) ranges: Vec<Range>,
}

impl Sweep {
    fn to_octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(SWEEP_HEAD + 8 * self.ranges.len());
        octets.extend_from_slice(&self.modseq.0.to_be_bytes());
        octets.extend_from_slice(&[self.set.bits(), self.cleared.bits(), 0, 0]);
        let count = u32::try_from(self.ranges.len()).unwrap_or(u32::MAX);
        octets.extend_from_slice(&count.to_be_bytes());
        octets.extend_from_slice(&self.keywords_set.0.to_be_bytes());
        octets.extend_from_slice(&self.keywords_cleared.0.to_be_bytes());
        write_ranges(&mut octets, &self.ranges);
        octets
    }

    fn parse(octets: &[u8], at: usize) -> Option<Self> {
        let ranges = read_ranges(octets, at + SWEEP_HEAD, u32_at(octets, at + 12)?)?;
        Some(Self {
            modseq: ModSeq(u64_at(octets, at)?),
            set: Flags::from_bits(*octets.get(at + 8)?),
            cleared: Flags::from_bits(*octets.get(at + 9)?),
            keywords_set: Keywords(u64_at(octets, at + 16)?),
            keywords_cleared: Keywords(u64_at(octets, at + 24)?),
            ranges,
        })
    }
}

/// The sweeps of a mailbox, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sweeps(Vec<Sweep>);

impl Sweeps {
    pub(crate) fn read(snapshot: &Snapshot, mailbox: MailboxId) -> Result<Self, StoreError> {
        match snapshot.get(keys::SWEEPS, &keys::mailbox(mailbox))? {
            Some(octets) => Self::parse(&octets).ok_or_else(|| {
                StoreError::corrupt(format!("the changes of flags of mailbox {mailbox} are unreadable"))
            }),
            None => Ok(Self::default()),
        }
    }

    /// Lays them over a message's record: its flags, keywords and last change.
    pub(crate) fn lay_over(&self, uid: Uid, record: &mut MessageRecord<'_>) {
        for sweep in &self.0 {
            if sweep.modseq > record.modseq && is_in(&sweep.ranges, uid) {
                record.flags = record.flags.without(sweep.cleared).with(sweep.set);
                record.keywords = record.keywords.without(sweep.keywords_cleared).with(sweep.keywords_set);
                record.modseq = sweep.modseq;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drafts the record with one more, whose mod-sequence is drawn.
    pub(crate) fn draft_with(&self, draft: &mut Draft, mailbox: MailboxId, sweep: &Sweep, drawn: Drawn) {
        let mut octets = self.to_octets();
        octets[4..HEAD].copy_from_slice(&u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX).to_be_bytes());
        let patch = Patch { into: PatchInto::Value, at: octets.len(), width: 8, drawn };
        octets.extend_from_slice(&sweep.to_octets());
        draft.batch.put_drawn(keys::SWEEPS, &keys::mailbox(mailbox), octets, &[patch]);
    }

    fn to_octets(&self) -> Vec<u8> {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut octets = vec![VERSION, 0, 0, 0];
        octets.extend_from_slice(&count.to_be_bytes());
        self.0.iter().for_each(|sweep| octets.extend_from_slice(&sweep.to_octets()));
        octets
    }

    pub(crate) fn parse(octets: &[u8]) -> Option<Self> {
        if octets.first() != Some(&VERSION) {
            return None;
        }
        let (mut at, mut sweeps) = (HEAD, Vec::new());
        for _ in 0..u32_at(octets, 4)? {
            let sweep = Sweep::parse(octets, at)?;
            at += SWEEP_HEAD + 8 * sweep.ranges.len();
            sweeps.push(sweep);
        }
        (octets.len() == at).then_some(Self(sweeps))
    }

    /// The highest UID and mod-sequence that they name; zero where they name none.
    pub(crate) fn last(&self) -> (u64, u64) {
        let uids = self.0.iter().filter_map(|sweep| sweep.ranges.last()).map(|(_, last)| u64::from(*last));
        (uids.max().unwrap_or(0), self.0.last().map_or(0, |sweep| sweep.modseq.0))
    }

    /// What is wrong with them, in a mailbox with this last UID and mod-sequence.
    pub(crate) fn fault(&self, last_uid: u64, last_modseq: u64) -> Option<&'static str> {
        let are_in_order = self.0.windows(2).all(|pair| pair[0].modseq < pair[1].modseq);
        let are_known = self.0.iter().all(|sweep| (1..=last_modseq).contains(&sweep.modseq.0));
        if self.0.len() > SWEEPS_MAX {
            Some("are too many")
        } else if !are_in_order || !are_known {
            Some("do not rise, or are above the last change")
        } else if !self.0.iter().all(|sweep| are_right(&sweep.ranges, last_uid)) {
            Some("have ranges that overlap, fall or are above the last UID")
        } else {
            None
        }
    }
}

impl Store {
    /// Writes all sweeps of a mailbox into the records that they lie over, where there is no room for one more. Readers
    /// see no difference.
    pub(crate) async fn make_room_for_sweep(
        &self,
        mailbox: MailboxId,
        mut held: Held,
    ) -> Result<Held, StoreError> {
        let mut from = Bound::Unbounded;
        loop {
            let mut draft = Draft::new();
            {
                let snapshot = self.inner.storage.read()?;
                let records = Records::of(&snapshot, mailbox)?;
                if records.sweeps().len() < SWEEPS_MAX {
                    return Ok(held);
                }
                match draft_folded(&records, &mut draft, from)? {
                    Some(last) => from = Bound::Excluded(last),
                    None => draft.batch.delete(keys::SWEEPS, &keys::mailbox(mailbox)),
                }
            }
            (_, held) = self.commit(draft, held).await?;
        }
    }
}

/// Drafts a commit's worth of records as they hold now; the last of them, where there may be more.
fn draft_folded(
    records: &Records<'_>,
    draft: &mut Draft,
    from: Bound<Uid>,
) -> Result<Option<Uid>, StoreError> {
    let (mut left, mut last) = (COMMIT_MESSAGES_MAX, None);
    records.scan_stored((from, Bound::Unbounded), &mut |uid, stored| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        let record = records.laid_over(uid, *stored);
        if record.modseq > stored.modseq {
            left -= 1;
            last = Some(uid);
            draft.batch.put(keys::MESSAGES, &keys::message(records.mailbox(), uid), record.to_octets());
        }
        ControlFlow::Continue(())
    })?;
    Ok(last.filter(|_| left == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sweep(modseq: u64, bits: (u8, u8), keywords: (u64, u64), ranges: &[Range]) -> Sweep {
        Sweep {
            modseq: ModSeq(modseq),
            set: Flags::from_bits(bits.0),
            cleared: Flags::from_bits(bits.1),
            keywords_set: Keywords(keywords.0),
            keywords_cleared: Keywords(keywords.1),
            ranges: ranges.to_vec(),
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let of = |sweeps: &[(u64, &[Range])]| {
            Sweeps(sweeps.iter().map(|(modseq, ranges)| sweep(*modseq, (1, 2), (0, 0), ranges)).collect())
        };
        let fault = |sweeps: &[(u64, &[Range])]| of(sweeps).fault(9, 5);
        assert_eq!(fault(&[(3, &[(1, 4), (6, 9)]), (5, &[(1, 9)])]), None);
        assert!(fault(&[(3, &[(1, 4)]), (3, &[(1, 4)])]).unwrap().contains("do not rise"));
        assert!(fault(&[(6, &[(1, 4)])]).unwrap().contains("above the last change"));
        assert!(fault(&[(5, &[(1, 10)])]).unwrap().contains("above the last UID"));
        assert!(fault(&[(5, &[(3, 4), (4, 5)])]).unwrap().contains("overlap"));
        let many: Vec<(u64, &[Range])> = (1..=17).map(|modseq| (modseq, &[(1, 1)][..])).collect();
        assert_eq!(of(&many).fault(9, 100), Some("are too many"));
    }

    proptest! {
        #[test]
        fn records_are_inverse(sweeps: Vec<(u64, (u8, u8), (u64, u64), Vec<Range>)>) {
            let sweeps: Vec<_> = sweeps.iter().map(|(modseq, bits, keywords, ranges)| sweep(*modseq, *bits, *keywords, ranges)).collect();
            let sweeps = Sweeps(sweeps);
            prop_assert_eq!(Sweeps::parse(&sweeps.to_octets()), Some(sweeps));
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..80), version: bool) {
            let mut octets = octets;
            if let (true, Some(first)) = (version, octets.first_mut()) {
                *first = VERSION;
            }
            let _ = Sweeps::parse(&octets);
        }
    }
}
