//! Results of searches that are kept up to date (RFC 5267 §4.3), each as the client knows it.

use std::collections::{BTreeSet, HashMap};

use imap_wire::{By, Esearch, Response, ResultUpdate, SearchKey, SequenceSet, SortCriterion, Tag};

use crate::io::{End, Io};
use crate::view::{Member, View};

/// Most results that a session has kept up to date.
const LIVE_MAX: usize = 16;
/// Most messages in all of them but the first, which may have as many as the mailbox: there is always room for one.
const LIVE_MESSAGES_MAX: usize = 200_000;
/// Most messages in one of SORT: each change sorts them anew.
pub(crate) const LIVE_SORTED_MAX: usize = 5_000;
/// Pairs of one response; more are told in several.
const PAIRS_MAX: usize = 500;

/// A search as it was asked, and what it finds.
pub(crate) struct Live {
    /// The tag of the command.
    pub(crate) tag: Tag,
    /// How messages are told.
    pub(crate) by: By,
    /// What is asked of messages, by UIDs alone: numbers hold for the moment of the command.
    pub(crate) keys: Vec<SearchKey>,
    pub(crate) charset: String,
    /// When it was asked, in seconds since 1970.
    pub(crate) asked: u64,
    /// The order, where it is not the mailbox's.
    pub(crate) criteria: Option<Vec<SortCriterion>>,
    /// UIDs, in order.
    pub(crate) found: Vec<u32>,
}

/// All of a session's, and the messages that have changed since they were looked at.
#[derive(Default)]
pub(crate) struct AllLive {
    all: Vec<Live>,
    /// UIDs of messages in the view: no more than that has, however often they change before it is looked.
    changed: BTreeSet<u32>,
}

impl AllLive {
    /// Whether a tag is in use (RFC 5267 §4.3).
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.all.iter().any(|live| live.tag.as_str() == tag)
    }

    /// Keeps results up to date from now on; `false` where there is no room (RFC 5267 §4.3.1).
    pub(crate) fn add(&mut self, live: Live) -> bool {
        let held: usize = self.all.iter().map(|live| live.found.len()).sum();
        let is_sorted = live.criteria.is_some();
        let fits = self.all.is_empty() || held + live.found.len() <= LIVE_MESSAGES_MAX;
        if self.all.len() >= LIVE_MAX || !fits || (is_sorted && live.found.len() > LIVE_SORTED_MAX) {
            return false;
        }
        self.all.push(live);
        true
    }

    /// Ends it; `false` where there is none of that tag.
    pub(crate) fn cancel(&mut self, tag: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|live| live.tag.as_str() != tag);
        self.all.len() < before
    }

    /// Where something has changed since results were looked at: a tag of these.
    pub(crate) fn due(&self) -> Option<&Tag> {
        self.all.first().filter(|_| !self.changed.is_empty()).map(|live| &live.tag)
    }

    /// Notes that a message has come, or has changed.
    pub(crate) fn note(&mut self, uid: u32) {
        if !self.all.is_empty() {
            self.changed.insert(uid);
        }
    }

    /// Takes out what is to be looked at: the results, and the messages; nothing where nothing has changed.
    pub(crate) fn take(&mut self) -> Option<(Vec<Live>, Vec<u32>)> {
        self.due()?;
        let changed = std::mem::take(&mut self.changed).into_iter().collect();
        Some((std::mem::take(&mut self.all), changed))
    }

    /// Puts results back.
    pub(crate) fn put_back(&mut self, all: Vec<Live>) {
        self.all = all;
    }

    /// Tells what goes out of results with messages that go; before they are told as gone, so that numbers hold (RFC 5267
    /// §4.3.4).
    pub(crate) async fn tell_gone(&mut self, io: &mut Io, gone: &[Member]) -> Result<(), End> {
        if self.all.is_empty() {
            return Ok(());
        }
        let numbers: HashMap<u32, u32> = gone.iter().map(|member| (member.uid, member.sequence)).collect();
        for live in &mut self.all {
            let number = |uid: u32| numbers.get(&uid).copied().unwrap_or(uid);
            let leaving = |uid: u32| numbers.contains_key(&uid);
            let updates = live.removed(&leaving, &number);
            live.tell(io, updates).await?;
        }
        self.changed.retain(|uid| !numbers.contains_key(uid));
        Ok(())
    }
}

impl Live {
    /// Takes messages out, and gives what is to be told of that.
    pub(crate) fn removed(
        &mut self,
        leaving: &dyn Fn(u32) -> bool,
        number: &dyn Fn(u32) -> u32,
    ) -> Vec<ResultUpdate> {
        let by = self.by;
        let shown = |uid: u32| if by == By::Uid { uid } else { number(uid) };
        let gone: Vec<(usize, u32)> = (1..)
            .zip(self.found.iter().copied())
            .filter(|(_, uid)| leaving(*uid))
            .map(|(place, uid)| (place, shown(uid)))
            .collect();
        self.found.retain(|uid| !leaving(*uid));
        let of = |place: usize, set: String| ResultUpdate { adds: false, place: place_of(place), set };
        if self.criteria.is_none() {
            let set = SequenceSet::from_rising(gone.into_iter().map(|(_, number)| number));
            return set.map(|set| of(0, set.to_string())).into_iter().collect();
        }
        // From the last to the first: none moves another.
        gone.into_iter().rev().map(|(place, number)| of(place, number.to_string())).collect()
    }

    /// Takes the order with new messages in it, which some of them are, and gives what is to be told of those.
    pub(crate) fn added(&mut self, order: Vec<u32>, new: &[u32], view: &View) -> Vec<ResultUpdate> {
        self.found = order;
        let by = self.by;
        let shown = |uid: &u32| if by == By::Uid { Some(*uid) } else { view.sequence_of(*uid) };
        let of = |place: usize, set: String| ResultUpdate { adds: true, place: place_of(place), set };
        if self.criteria.is_none() {
            let set = SequenceSet::from_rising(new.iter().filter_map(shown));
            return set.map(|set| of(0, set.to_string())).into_iter().collect();
        }
        // From the first to the last: each has its place when those before it are there.
        let placed = (1..).zip(&self.found).filter(|(_, uid)| new.binary_search(uid).is_ok());
        placed.filter_map(|(place, uid)| Some(of(place, shown(uid)?.to_string()))).collect()
    }

    /// Tells of changes.
    pub(crate) async fn tell(&self, io: &mut Io, updates: Vec<ResultUpdate>) -> Result<(), End> {
        for updates in updates.chunks(PAIRS_MAX) {
            io.say(&Response::Esearch(Esearch {
                tag: self.tag.as_str().to_owned(),
                uid: self.by == By::Uid,
                updates: updates.to_vec(),
                ..Esearch::default()
            }));
            io.flush_if_full().await?;
        }
        Ok(())
    }
}

fn place_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_wire::SortKey;
    use proptest::prelude::*;

    fn live(criteria: Option<Vec<SortCriterion>>, found: &[u32]) -> Live {
        Live {
            tag: Tag::new("a").unwrap(),
            by: By::Uid,
            keys: vec![SearchKey::All],
            charset: "UTF-8".to_owned(),
            asked: 0,
            criteria,
            found: found.to_vec(),
        }
    }

    /// What a client that follows RFC 5267 §4.3.3 and §4.3.4 makes of its list.
    fn follow(list: &mut Vec<u32>, updates: &[ResultUpdate]) {
        for update in updates {
            let uid: u32 = update.set.parse().unwrap();
            let at = update.place as usize - 1;
            if update.adds {
                list.insert(at, uid);
            } else {
                assert_eq!(list.remove(at), uid);
            }
        }
    }

    proptest! {
        #[test]
        fn a_client_that_follows_has_the_order(
            order in Just((1..40_u32).collect::<Vec<_>>()).prop_shuffle(),
            before: Vec<bool>, leaving: Vec<bool>,
        ) {
            let is = |set: &[bool], uid: u32| set.get(uid as usize).copied().unwrap_or(false);
            let known: Vec<u32> = order.iter().copied().filter(|uid| is(&before, *uid)).collect();
            let criteria = vec![SortCriterion { reverse: false, key: SortKey::Size }];
            let (mut live, mut client) = (live(Some(criteria), &known), known.clone());
            let view = View::new((1..40).collect::<Vec<u32>>(), 1);
            follow(&mut client, &live.removed(&|uid| is(&leaving, uid), &|uid| uid));
            prop_assert_eq!(&client, &live.found);
            let mut new: Vec<u32> = order.iter().copied().filter(|uid| !known.contains(uid)).collect();
            new.sort_unstable();
            let after: Vec<u32> = order.iter().copied()
                .filter(|uid| live.found.contains(uid) || new.contains(uid)).collect();
            follow(&mut client, &live.added(after.clone(), &new, &view));
            prop_assert_eq!(client, after);
        }
    }

    #[test]
    fn there_is_room_for_one_and_not_for_any_number() {
        let mut all = AllLive::default();
        assert!(all.add(live(None, &vec![1; LIVE_MESSAGES_MAX + 1])));
        assert!(!all.add(live(None, &[1])));
        assert!(all.cancel("a") && !all.cancel("a"));
        let sorted = || Some(vec![SortCriterion { reverse: false, key: SortKey::Size }]);
        assert!(!all.add(live(sorted(), &vec![1; LIVE_SORTED_MAX + 1])));
        for _ in 0..LIVE_MAX {
            assert!(all.add(live(sorted(), &[1])));
        }
        assert!(!all.add(live(None, &[1])));
    }
}
