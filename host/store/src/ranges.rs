//! Sets of UIDs, as ranges: rising, none overlapping another.

use crate::ids::Uid;
use crate::keys::u32_at;

/// First and last UID.
pub(crate) type Range = (u32, u32);

/// Whether a UID is in one of them.
pub(crate) fn is_in(ranges: &[Range], uid: Uid) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= uid.0);
    after > 0 && uid.0 <= ranges[after - 1].1
}

/// The ranges of rising UIDs.
pub(crate) fn ranges_of(uids: &[Uid]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for uid in uids {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid.0) => *last = uid.0,
            _ => ranges.push((uid.0, uid.0)),
        }
    }
    ranges
}

/// Those of both; ranges that touch become one.
pub(crate) fn united(one: &[Range], other: &[Range]) -> Vec<Range> {
    let mut all: Vec<Range> = [one, other].concat();
    all.sort_unstable();
    let mut ranges: Vec<Range> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match ranges.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

/// Those that are not among the removed.
pub(crate) fn without(ranges: &[Range], removed: &[Range]) -> Vec<Range> {
    let mut left = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.iter().copied() {
        let mut from = first;
        let begin = removed.partition_point(|(_, end)| *end < first);
        for (gap, end) in removed[begin..].iter().copied().take_while(|(gap, _)| *gap <= last) {
            if from < gap {
                left.push((from, gap - 1));
            }
            from = end.saturating_add(1);
        }
        if from <= last {
            left.push((from, last));
        }
    }
    left
}

/// Appends first and last UID of each, u32 big-endian.
pub(crate) fn write_ranges(octets: &mut Vec<u8>, ranges: &[Range]) {
    for (first, last) in ranges {
        octets.extend_from_slice(&first.to_be_bytes());
        octets.extend_from_slice(&last.to_be_bytes());
    }
}

/// Reads so many of them; `None` where the octets end before.
pub(crate) fn read_ranges(octets: &[u8], at: usize, count: u32) -> Option<Vec<Range>> {
    let len = usize::try_from(count).ok()?.checked_mul(8)?;
    let octets = octets.get(at..at.checked_add(len)?)?;
    octets.chunks_exact(8).map(|range| Some((u32_at(range, 0)?, u32_at(range, 4)?))).collect()
}

/// Whether they are a set of UIDs from 1 up to this one.
pub(crate) fn are_right(ranges: &[Range], last_uid: u64) -> bool {
    ranges.iter().all(|(first, last)| (1..=*last).contains(first) && u64::from(*last) <= last_uid)
        && ranges.windows(2).all(|pair| pair[0].1 < pair[1].0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn uids(ranges: &[Range]) -> BTreeSet<u32> {
        ranges.iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    fn ranges(set: &BTreeSet<u32>) -> Vec<Range> {
        ranges_of(&set.iter().copied().map(Uid).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn ranges_are_sets(one: BTreeSet<u8>, other: BTreeSet<u8>) {
            let [one, other] = [one, other].map(|set| set.into_iter().map(|uid| u32::from(uid) + 1).collect::<BTreeSet<_>>());
            let (a, b) = (ranges(&one), ranges(&other));
            prop_assert_eq!(united(&a, &b), ranges(&one.union(&other).copied().collect()));
            prop_assert_eq!(without(&a, &b), ranges(&one.difference(&other).copied().collect()));
            prop_assert_eq!(uids(&a), one.clone());
            prop_assert!((1..=256).all(|uid| is_in(&a, Uid(uid)) == one.contains(&uid)));
            prop_assert!(are_right(&a, 256) && are_right(&b, 256));
        }

        #[test]
        fn octets_are_inverse(set: BTreeSet<u8>) {
            let set = ranges(&set.into_iter().map(|uid| u32::from(uid) + 1).collect());
            let mut octets = vec![7];
            write_ranges(&mut octets, &set);
            let count = u32::try_from(set.len()).unwrap();
            prop_assert_eq!(read_ranges(&octets, 1, count), Some(set));
            prop_assert_eq!(read_ranges(&octets, 1, count + 1), None);
        }
    }
}
