//! A mailbox as one session has been told of it: sequence numbers are places in this list, and only
//! change when the client is told (RFC 3501 §2.3.1.2).

use std::sync::Arc;

use imap_wire::{By, SequenceSet};

/// A message that a command names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its place, from 1.
    pub(crate) sequence: u32,
    /// Its unique identifier.
    pub(crate) uid: u32,
}

/// A sequence number beyond the mailbox was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchMessage;

/// UIDs in rising order; the place is the sequence number less one.
#[derive(Debug)]
pub(crate) struct View {
    /// Shared with others who opened the mailbox as it is, until something comes or goes.
    uids: Arc<Vec<u32>>,
    /// Messages from this UID on are `\Recent` in this session: whatever comes while it looks is so.
    first_recent: u32,
    /// Expunged by others, not told yet: they keep their sequence numbers until then.
    gone: Vec<u32>,
    /// `$`: what the last search saved, as rising UIDs (RFC 5182 §2.1).
    saved: Vec<u32>,
}

impl View {
    /// From rising UIDs, and the first that is `\Recent`.
    pub(crate) fn new(uids: impl Into<Arc<Vec<u32>>>, first_recent: u32) -> Self {
        let uids = uids.into();
        Self { uids, first_recent, gone: Vec::new(), saved: Vec::new() }
    }

    /// Number of messages, as the client has been told.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn last_uid(&self) -> u32 {
        self.uids.last().copied().unwrap_or(0)
    }

    /// All messages.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> + '_ {
        (1..).zip(&*self.uids).map(|(sequence, uid)| Member { sequence, uid: *uid })
    }

    /// The sequence number of a UID.
    pub(crate) fn sequence_of(&self, uid: u32) -> Option<u32> {
        self.uids.binary_search(&uid).ok().and_then(|place| u32::try_from(place + 1).ok())
    }

    /// Adds a new message at the end. A UID that is not above all others is none of a new message.
    pub(crate) fn add(&mut self, uid: u32) -> bool {
        let new = uid > self.last_uid();
        if new {
            Arc::make_mut(&mut self.uids).push(uid);
        }
        new
    }

    /// From now on nothing is `\Recent` here: IMAP4rev2 knows no such thing (RFC 9051 appendix E).
    pub(crate) fn forget_recent(&mut self) {
        self.first_recent = u32::MAX;
    }

    /// Whether a message is `\Recent` here.
    pub(crate) fn is_recent(&self, uid: u32) -> bool {
        uid >= self.first_recent
    }

    /// Number of messages that are `\Recent` here.
    pub(crate) fn recent(&self) -> u32 {
        let before = self.uids.partition_point(|uid| *uid < self.first_recent);
        u32::try_from(self.uids.len() - before).unwrap_or(u32::MAX)
    }

    /// Notes messages that others have expunged.
    pub(crate) fn note_gone(&mut self, uids: impl IntoIterator<Item = u32>) {
        self.gone.extend(uids);
    }

    /// Whether expunges wait to be told.
    pub(crate) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Takes out what has gone, and gives it to be told, in an order in which each sequence number is
    /// right when it is told: from the last to the first, none moves another.
    pub(crate) fn take_gone(&mut self) -> Vec<Member> {
        if self.gone.is_empty() {
            // What is shared with other sessions stays so.
            return Vec::new();
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_unstable();
        gone.dedup();
        let member = |uid: &u32| self.sequence_of(*uid).map(|sequence| Member { sequence, uid: *uid });
        let told = gone.iter().rev().filter_map(member).collect();
        Arc::make_mut(&mut self.uids).retain(|uid| gone.binary_search(uid).is_err());
        self.saved.retain(|uid| gone.binary_search(uid).is_err());
        told
    }

    /// Keeps what a search found as `$`.
    pub(crate) fn save(&mut self, mut uids: Vec<u32>) {
        uids.sort_unstable();
        self.saved = uids;
    }

    /// The messages of `$`.
    fn saved_members(&self) -> Vec<Member> {
        let member = |uid: &u32| self.sequence_of(*uid).map(|sequence| Member { sequence, uid: *uid });
        self.saved.iter().filter_map(member).collect()
    }

    /// What lies in these ranges of UIDs and is no message here.
    pub(crate) fn absent(&self, ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let mut absent = Vec::new();
        for &(from, to) in ranges {
            let mut next = from;
            let first = self.uids.partition_point(|uid| *uid < from);
            for &uid in self.uids[first..].iter().take_while(|uid| **uid <= to) {
                if next < uid {
                    absent.push((next, uid - 1));
                }
                next = uid.saturating_add(1);
            }
            if next <= to {
                absent.push((next, to));
            }
        }
        absent
    }

    /// The messages that a set names, in rising order.
    pub(crate) fn resolve(&self, by: By, set: &SequenceSet) -> Result<Vec<Member>, NoSuchMessage> {
        if set.is_saved() {
            return Ok(self.saved_members());
        }
        let count = self.len();
        let beyond = set.largest_number().is_some_and(|number| number > count);
        if by == By::SequenceNumber && (beyond || (count == 0 && set.has_largest())) {
            return Err(NoSuchMessage);
        }
        let largest = if by == By::Uid { self.last_uid() } else { count };
        let mut members = Vec::new();
        for (from, to) in set.resolve(largest) {
            let (from, until) = match by {
                By::SequenceNumber => (from.saturating_sub(1) as usize, (to as usize).min(self.uids.len())),
                By::Uid => (
                    self.uids.partition_point(|uid| *uid < from),
                    self.uids.partition_point(|uid| *uid <= to),
                ),
            };
            members.extend((from..until).map(|place| Member {
                sequence: u32::try_from(place + 1).unwrap_or(u32::MAX),
                uid: self.uids[place],
            }));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_wire::{Bound, SequenceRange};

    fn set(ranges: &[(u32, u32)]) -> SequenceSet {
        // 0 stands for `*`.
        let bound = |number| if number == 0 { Bound::Largest } else { Bound::Number(number) };
        SequenceSet::new(
            ranges.iter().map(|(a, b)| SequenceRange { from: bound(*a), to: bound(*b) }).collect(),
        )
        .unwrap()
    }

    fn uids(view: &View, by: By, ranges: &[(u32, u32)]) -> Result<Vec<u32>, NoSuchMessage> {
        Ok(view.resolve(by, &set(ranges))?.into_iter().map(|member| member.uid).collect())
    }

    #[test]
    fn sets_name_messages_by_place_and_by_uid() {
        let view = View::new(vec![3, 5, 9, 12], 13);
        assert_eq!(uids(&view, By::SequenceNumber, &[(1, 2), (0, 0)]), Ok(vec![3, 5, 12]));
        assert_eq!(uids(&view, By::SequenceNumber, &[(2, 0)]), Ok(vec![5, 9, 12]));
        assert_eq!(uids(&view, By::SequenceNumber, &[(5, 5)]), Err(NoSuchMessage));
        assert_eq!(uids(&view, By::Uid, &[(4, 9)]), Ok(vec![5, 9]));
        assert_eq!(uids(&view, By::Uid, &[(100, 0)]), Ok(vec![12]));
        assert_eq!(uids(&view, By::Uid, &[(100, 200)]), Ok(vec![]));
        let empty = View::new(vec![], 1);
        assert_eq!(uids(&empty, By::Uid, &[(1, 0)]), Ok(vec![]));
        assert_eq!(uids(&empty, By::SequenceNumber, &[(0, 0)]), Err(NoSuchMessage));
    }

    #[test]
    fn expunged_messages_keep_their_place_until_told() {
        let mut view = View::new(vec![3, 5, 9, 12], 13);
        view.note_gone([9, 3, 9]);
        assert_eq!((view.len(), view.sequence_of(12)), (4, Some(4)));
        let gone = view.take_gone();
        assert_eq!(gone.iter().map(|gone| (gone.sequence, gone.uid)).collect::<Vec<_>>(), [(3, 9), (1, 3)]);
        assert_eq!((view.len(), view.sequence_of(12), view.sequence_of(3)), (2, Some(2), None));
        assert!(view.add(13) && !view.add(13) && !view.has_gone());
    }

    #[test]
    fn what_was_saved_follows_the_expunges() {
        let mut view = View::new(vec![3, 5, 9, 12], 13);
        let saved = |view: &View| -> Vec<u32> {
            let members = view.resolve(By::SequenceNumber, &SequenceSet::saved()).unwrap();
            members.into_iter().map(|member| member.uid).collect()
        };
        assert!(saved(&view).is_empty());
        view.save(vec![12, 5, 9]);
        assert_eq!(saved(&view), [5, 9, 12]);
        view.note_gone([9]);
        view.take_gone();
        assert_eq!(saved(&view), [5, 12]);
    }

    #[test]
    fn what_is_absent_is_told_as_ranges() {
        let view = View::new(vec![3, 5, 9, 12], 13);
        assert_eq!(view.absent(&[(1, 5), (9, 9), (11, 20)]), [(1, 2), (4, 4), (11, 11), (13, 20)]);
        assert_eq!(view.absent(&[(3, 3), (4_294_967_290, u32::MAX)]), [(4_294_967_290, u32::MAX)]);
    }

    #[test]
    fn recent_is_counted_among_what_is_there() {
        let mut view = View::new(vec![3, 5, 9, 12], 5);
        assert_eq!((view.recent(), view.is_recent(3), view.is_recent(5)), (3, false, true));
        view.note_gone([5]);
        view.take_gone();
        assert_eq!(view.recent(), 2);
        // Whatever comes while the session looks, and however much: one number holds it.
        for uid in (20..2_000_000).step_by(2) {
            assert!(view.add(uid) && view.is_recent(uid));
        }
        assert_eq!(view.recent(), 2 + 999_990);
    }
}
