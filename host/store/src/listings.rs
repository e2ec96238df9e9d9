//! What large mailboxes list, as it was read last: to open one again costs what has changed since.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use storage::Snapshot;

use crate::Store;
use crate::changes::changed_since;
use crate::error::StoreError;
use crate::ids::{Flags, MailboxId, ModSeq};
use crate::keys;
use crate::logs;
use crate::messages::scan_messages;
use crate::ranges::is_in;
use crate::seen::Seen;
use crate::view::Listed;

/// Most messages whose listings are kept, over all mailboxes: 28 octets each.
pub const LISTED_MESSAGES_MAX: usize = 1_000_000;
/// Smaller mailboxes are read as fast as they are looked up.
const LISTING_MESSAGES_MIN: usize = 1_000;

/// The UIDs of a listing, which all sessions that open it share.
pub(crate) type SharedUids = Arc<OnceLock<Arc<Vec<u32>>>>;

/// The messages of a mailbox at one moment, rising by UID.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    modseq: ModSeq,
    pub(crate) messages: Arc<[Listed]>,
    /// Their UIDs, once anybody has wanted them.
    pub(crate) uids: SharedUids,
    /// The place of the first message without `\Seen`.
    pub(crate) first_unseen: Option<usize>,
}

impl Listing {
    fn new(modseq: ModSeq, messages: Vec<Listed>) -> Self {
        let first_unseen = messages.iter().position(|listed| !listed.flags.contains(Flags::SEEN));
        Self { modseq, messages: messages.into(), uids: SharedUids::default(), first_unseen }
    }

    /// What has changed above a mod-sequence.
    pub(crate) fn since(&self, modseq: ModSeq) -> Vec<Listed> {
        self.messages.iter().filter(|listed| listed.modseq > modseq).copied().collect()
    }

    /// With these messages as they are after the change that came next; rising by UID.
    pub(crate) fn after(&self, modseq: ModSeq, changed: impl Iterator<Item = Listed>) -> Option<Self> {
        if modseq != ModSeq(self.modseq.0.saturating_add(1)) {
            // Something came between, and is not in here.
            return None;
        }
        let mut messages = self.messages.to_vec();
        let mut place = 0;
        for new in changed {
            place += messages[place..].iter().take_while(|listed| listed.uid < new.uid).count();
            if let Some(listed) = messages.get_mut(place).filter(|listed| listed.uid == new.uid) {
                *listed = new;
            }
        }
        // Messages are the same ones.
        Some(Self { uids: Arc::clone(&self.uids), ..Self::new(modseq, messages) })
    }

    /// As a reader sees it who has seen messages apart from others.
    pub(crate) fn seen_by(&self, seen: &Seen) -> Self {
        let messages = self.messages.iter().map(|listed| listed.seen_by(seen)).collect();
        Self { uids: Arc::clone(&self.uids), ..Self::new(self.modseq, messages) }
    }

    /// Reads all of it.
    fn read(
        snapshot: &Snapshot,
        mailbox: MailboxId,
        modseq: ModSeq,
        count: usize,
    ) -> Result<Self, StoreError> {
        let mut messages = Vec::with_capacity(count);
        scan_messages(snapshot, mailbox, .., &mut |uid, record| messages.push(Listed::of(uid, record)))?;
        Ok(Self::new(modseq, messages))
    }

    /// What it is now; `None` where the logs do not reach back to it.
    fn brought_up(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        modseq: ModSeq,
    ) -> Result<Option<Self>, StoreError> {
        let Some(expunged) = logs::EXPUNGED.since(snapshot, mailbox, self.modseq)? else { return Ok(None) };
        let changed = changed_since(snapshot, mailbox, self.modseq)?;
        let mut messages = Vec::with_capacity(self.messages.len() + changed.len());
        let mut changed = changed.into_iter().peekable();
        let old = self.messages.iter().filter(|listed| !is_in(&expunged, listed.uid));
        for listed in old {
            messages.extend(std::iter::from_fn(|| changed.next_if(|new| new.uid < listed.uid)));
            messages.push(changed.next_if(|new| new.uid == listed.uid).unwrap_or(*listed));
        }
        messages.extend(changed);
        Ok(Some(Self::new(modseq, messages)))
    }
}

/// The listings that are kept, those used longest ago go first.
#[derive(Default)]
pub(crate) struct Listings {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_mailbox: HashMap<MailboxId, (Listing, u64)>,
    messages: usize,
    uses: u64,
}

impl Kept {
    fn get(&mut self, mailbox: MailboxId) -> Option<Listing> {
        self.uses += 1;
        let (listing, used) = self.by_mailbox.get_mut(&mailbox)?;
        *used = self.uses;
        Some(listing.clone())
    }

    fn remove(&mut self, mailbox: MailboxId) {
        if let Some((listing, _)) = self.by_mailbox.remove(&mailbox) {
            self.messages -= listing.messages.len();
        }
    }

    fn put(&mut self, mailbox: MailboxId, listing: Listing, max: usize) {
        // An older one that was read at the same time must not take the place of a newer one.
        if self.by_mailbox.get(&mailbox).is_some_and(|(kept, _)| kept.modseq > listing.modseq) {
            return;
        }
        self.remove(mailbox);
        let count = listing.messages.len();
        if !(LISTING_MESSAGES_MIN..=max).contains(&count) {
            return;
        }
        while self.messages + count > max {
            let oldest =
                self.by_mailbox.iter().min_by_key(|(_, (_, used))| *used).map(|(mailbox, _)| *mailbox);
            let Some(oldest) = oldest else { break };
            self.remove(oldest);
        }
        self.messages += count;
        self.by_mailbox.insert(mailbox, (listing, self.uses));
    }
}

impl Store {
    /// New messages, and those with new flags, rising by UID.
    pub(crate) fn changed_since(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Vec<Listed>, StoreError> {
        let modseq = ModSeq(snapshot.counter(keys::COUNTERS, &keys::mailbox(mailbox), keys::LAST_MODSEQ)?);
        let known = self.inner.listings.kept.lock().get(mailbox).filter(|known| known.modseq == modseq);
        known.map_or_else(|| changed_since(snapshot, mailbox, since), |known| Ok(known.since(since)))
    }

    /// Keeps a listing.
    pub(crate) fn keep_listing(&self, mailbox: MailboxId, listing: Listing) {
        self.inner.listings.kept.lock().put(mailbox, listing, LISTED_MESSAGES_MAX);
    }

    /// The messages of a mailbox.
    pub(crate) fn listing(&self, snapshot: &Snapshot, mailbox: MailboxId) -> Result<Listing, StoreError> {
        let key = keys::mailbox(mailbox);
        let counter = |field| snapshot.counter(keys::COUNTERS, &key, field);
        let modseq = ModSeq(counter(keys::LAST_MODSEQ)?);
        let count = usize::try_from(counter(keys::COUNT)?).unwrap_or(0);
        let listings = &self.inner.listings;
        let known = if count >= LISTING_MESSAGES_MIN { listings.kept.lock().get(mailbox) } else { None };
        let listing = match known {
            Some(known) if known.modseq == modseq => return Ok(known),
            // A snapshot from before: what is kept is newer, and serves who comes later.
            Some(known) if known.modseq > modseq => None,
            Some(known) => known.brought_up(snapshot, mailbox, modseq)?,
            None => None,
        };
        let listing = match listing {
            Some(listing) => listing,
            None => Listing::read(snapshot, mailbox, modseq, count)?,
        };
        self.keep_listing(mailbox, listing.clone());
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, Uid};
    use crate::keywords::Keywords;

    fn listing(modseq: u64, count: u32) -> Listing {
        let listed = |uid| Listed {
            modseq: ModSeq(modseq),
            keywords: Keywords::NONE,
            uid: Uid(uid),
            flags: Flags::NONE,
        };
        Listing::new(ModSeq(modseq), (1..=count).map(listed).collect())
    }

    fn mailbox(number: u32) -> MailboxId {
        MailboxId { account: AccountId(1), number }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut kept = Kept::default();
        for number in 1..=3 {
            kept.put(mailbox(number), listing(1, 1_000), 3_000);
        }
        assert!(kept.get(mailbox(1)).is_some());
        kept.put(mailbox(4), listing(1, 1_500), 3_000);
        let there = [1, 2, 3, 4].map(|number| kept.get(mailbox(number)).is_some());
        assert_eq!((there, kept.messages), ([true, false, false, true], 2_500));
        kept.put(mailbox(5), listing(1, 3_001), 3_000);
        kept.put(mailbox(6), listing(1, 999), 3_000);
        assert!(kept.get(mailbox(5)).is_none() && kept.get(mailbox(6)).is_none());
    }

    #[test]
    fn an_older_listing_takes_no_newer_ones_place() {
        let mut kept = Kept::default();
        kept.put(mailbox(1), listing(7, 1_000), 3_000);
        kept.put(mailbox(1), listing(6, 1_100), 3_000);
        assert_eq!((kept.get(mailbox(1)).unwrap().modseq, kept.messages), (ModSeq(7), 1_000));
        kept.put(mailbox(1), listing(8, 1_200), 3_000);
        assert_eq!(kept.messages, 1_200);
    }
}
