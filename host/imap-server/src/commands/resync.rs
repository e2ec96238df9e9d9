//! What changed while a client was away: `SELECT … (QRESYNC …)` and `CHANGEDSINCE` (RFC 7162).

use imap_wire::{By, Qresync, Response, SequenceRange, SequenceSet};
use store::{Delta, Listed, ModSeq, Store, StoreError};

use crate::io::{End, Io};
use crate::selected::Selected;
use crate::view::Member;

/// Ranges of one VANISHED response: what tells more is told in several.
const VANISHED_RANGES_MAX: usize = 1_000;

/// What changed in the selected mailbox since a client looked last.
pub(super) struct Since {
    delta: Delta,
}

impl Since {
    pub(super) fn read(store: &Store, selected: &Selected, modseq: u64) -> Result<Self, StoreError> {
        Ok(Self { delta: store.changes_since(selected.mailbox, ModSeq(modseq))? })
    }

    /// A message that changed, as it is now.
    pub(super) fn changed(&self, uid: u32) -> Option<&Listed> {
        let found = self.delta.changed.binary_search_by_key(&uid, |listed| listed.uid.0);
        found.ok().map(|place| &self.delta.changed[place])
    }

    /// `VANISHED (EARLIER)` of these UIDs, as far as the client knows nothing of them yet: what it still has in its view
    /// is told as any other expunge. Where the log of expunges does not reach back so far, all that is not there is told
    /// (RFC 7162 §3.2.6).
    pub(super) async fn tell_vanished(
        &self,
        io: &mut Io,
        selected: &Selected,
        ranges: &[(u32, u32)],
    ) -> Result<(), End> {
        let last = self.delta.uid_next.0.saturating_sub(1);
        let known: Vec<(u32, u32)> = ranges
            .iter()
            .filter(|(from, _)| *from <= last)
            .map(|(from, to)| (*from, (*to).min(last)))
            .collect();
        let vanished = if self.delta.complete {
            let is_asked = |uid: &u32| {
                let place = known.partition_point(|(from, _)| from <= uid);
                place > 0 && *uid <= known[place - 1].1 && selected.view.sequence_of(*uid).is_none()
            };
            joined(self.delta.expunged.iter().map(|uid| uid.0).filter(is_asked))
        } else {
            selected.view.absent(&known)
        };
        for ranges in vanished.chunks(VANISHED_RANGES_MAX) {
            let ranges = ranges.iter().map(|(from, to)| SequenceRange::of_numbers(*from, *to)).collect();
            if let Some(uids) = SequenceSet::new(ranges) {
                io.say(&Response::Vanished { earlier: true, uids });
                io.flush_if_full().await?;
            }
        }
        Ok(())
    }
}

/// Rising numbers as ranges.
fn joined(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Tells a client that comes back what it missed (RFC 7162 §3.2.5). With another UIDVALIDITY than ours it
/// knows nothing of this mailbox.
pub(super) async fn resynchronize(
    store: &Store,
    io: &mut Io,
    selected: &Selected,
    (known, uid_validity): (&Qresync, u32),
) -> Result<Result<(), StoreError>, End> {
    if known.uid_validity != uid_validity {
        return Ok(Ok(()));
    }
    let since = match Since::read(store, selected, known.modseq) {
        Ok(since) => since,
        Err(error) => return Ok(Err(error)),
    };
    let asked = known.known_uids.as_ref().map_or_else(|| vec![(1, u32::MAX)], |uids| uids.resolve(0));
    let matched = last_match(selected, known);
    let unmatched: Vec<(u32, u32)> = asked
        .iter()
        .filter(|(_, to)| *to > matched)
        .map(|(from, to)| ((*from).max(matched.saturating_add(1)), *to))
        .collect();
    since.tell_vanished(io, selected, &unmatched).await?;
    for listed in &since.delta.changed {
        let place = asked.partition_point(|(from, _)| *from <= listed.uid.0);
        if place > 0 && listed.uid.0 <= asked[place - 1].1 {
            selected.write_flags(io, listed);
            io.flush_if_full().await?;
        }
    }
    Ok(Ok(()))
}

/// The highest UID that the client has at the place where it is: of all below, it knows what went
/// (RFC 7162 §3.2.5.2).
fn last_match(selected: &Selected, known: &Qresync) -> u32 {
    let Some((sequences, uids)) = &known.matches else { return 0 };
    let numbers = |set: &SequenceSet| {
        let ranges = set.resolve(0);
        ranges.into_iter().flat_map(|(from, to)| from..=to)
    };
    // Both rise: the mailbox's end is the end of what can match.
    let pairs = numbers(sequences).take_while(|sequence| *sequence <= selected.view.len()).zip(numbers(uids));
    let is_so = |(sequence, uid): &(u32, u32)| selected.view.sequence_of(*uid) == Some(*sequence);
    pairs.filter(is_so).last().map_or(0, |(_, uid)| uid)
}

/// The members of a FETCH with `CHANGEDSINCE`, and before them what vanished, where that is asked.
pub(super) async fn changed_members(
    store: &Store,
    io: &mut Io,
    selected: &Selected,
    (modseq, vanished): (u64, Option<&SequenceSet>),
    mut members: Vec<Member>,
) -> Result<Result<Vec<Member>, StoreError>, End> {
    let since = match Since::read(store, selected, modseq) {
        Ok(since) => since,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(set) = vanished.filter(|set| !set.is_saved()) {
        // Of what is gone, `*` is the last one that there ever was: the last one left says nothing of those behind it.
        let last = since.delta.uid_next.0.saturating_sub(1);
        since.tell_vanished(io, selected, &set.resolve(last)).await?;
    }
    members.retain(|member| since.changed(member.uid).is_some());
    Ok(Ok(members))
}

/// The messages of a set that a part of them is asked for.
pub(super) fn part(members: Vec<Member>, range: Option<imap_wire::PartialRange>) -> Vec<Member> {
    match range {
        Some(range) => members[range.of(members.len())].to_vec(),
        None => members,
    }
}

/// A set of messages as the command names them.
pub(super) fn named(by: By, members: impl Iterator<Item = Member>) -> Option<SequenceSet> {
    SequenceSet::from_rising(members.map(|member| if by == By::Uid { member.uid } else { member.sequence }))
}
