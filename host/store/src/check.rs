//! The invariants of the store, and the check that they hold.
//!
//! 1. Every record is readable, and its version known.
//! 2. Accounts and their names point at each other; no account number is above the last one given.
//! 3. Every account has an INBOX under the number 1.
//! 4. Mailboxes and their names point at each other; names are valid; no number is above the last one given.
//! 5. Every mailbox belongs to an account; UIDVALIDITYs differ within it, and none is above its highest.
//! 6. Every message belongs to a mailbox, or to one that is being removed.
//! 7. UIDs are at least 1 and at most the last one given.
//! 8. Mod-sequences are at least 1 and at most the last one given.
//! 9. Counts of messages, unseen, deleted and octets equal what is there.
//! 10. Every keyword bit has a name.
//! 11. Every message has its content, all of which can be read, and whose length with the prefix is the message's size.
//! 12. No content has fewer references recorded than there are, nor more; none is without any.
//! 13. Logs: no entry is above the last mod-sequence, none names a message that is still there, and
//!     there are as many as counted.
//! 14. The first recent UID is at most the next UID.
//! 15. Every ACL belongs to a mailbox; `store_granted` has each of its entries, and no others.
//! 16. What somebody has seen apart belongs to a mailbox and an account that is not its owner;
//!     `store_readers` has each, and no others; ranges rise and do not overlap, none is above the last UID;
//!     changes rise, none is above the last mod-sequence.
//! 17. What a domain counts is the sum of what its accounts' mailboxes count, and of the messages of those that are
//!     being removed.
//! 18. Annotations belong to a mailbox or account, and are somebody's or shared; none is above its maxima;
//!     `store_annotation_payers` has the octets of each, and no others.
//! 19. Sweeps belong to a mailbox and are at most [`crate::SWEEPS_MAX`]; they rise, none is above the last mod-sequence; their
//!     ranges rise and do not overlap, none is above the last UID.

mod annotations;
mod contents;
mod sharing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;

use storage::{ContentId, Snapshot, Space};

use crate::accounts::{read_account, scan_accounts};
use crate::damaged::Foreign;
use crate::domain_usage::{right_sums, wrong_domains};
use crate::error::StoreError;
use crate::ids::{AccountId, Flags, MailboxId, Uid};
use crate::keywords::KeywordTable;
use crate::mailboxes::{read_recent, scan_mailboxes};
use crate::names::{INBOX, MailboxName};
use crate::record::{MailboxRecord, MessageRecord};
use crate::sweeps::Sweeps;
use crate::{Store, keys};

/// Most violations that one check collects.
const VIOLATIONS_MAX: usize = 10_000;
/// After how many messages progress is told.
const PROGRESS_EVERY: u64 = 1_000;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its number in the list above.
    pub invariant: u8,
    /// Where, and what is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.invariant, self.what)
    }
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckProgress {
    /// Messages looked at.
    pub messages: u64,
    /// Messages there are, by the counters.
    pub messages_total: u64,
    /// Contents that were read, after all messages were looked at.
    pub contents: u64,
    /// Contents there are to be read; none as long as messages are looked at.
    pub contents_total: u64,
}

impl Store {
    /// Checks all invariants at one moment; none broken gives an empty list. `foreign` calls back
    /// with each reference to content that others than the store hold (the queue), and what of theirs cannot be read. Blocks
    /// as long as it takes; keep it off the threads that serve.
    pub fn check(
        &self,
        foreign: impl FnOnce(&Snapshot, &mut dyn FnMut(Foreign)) -> Result<(), StoreError>,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<Vec<Violation>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut check = Check::new(&snapshot, progress);
        let mut others = Vec::new();
        foreign(&snapshot, &mut |said| match said {
            Foreign::Content(queued) => {
                *check.references.entry(queued.content).or_default() += 1;
                others.push(queued);
            }
            Foreign::Unreadable { what, remedy, .. } => check.violated(1, format!("{what}: {remedy}")),
        })?;
        check.run()?;
        let checked = check.ended();
        drop(snapshot);
        self.read_contents(checked, None, &mut others, progress)
    }

    /// The same for one account. References to content are not counted: others may share it.
    pub fn check_account(
        &self,
        account: AccountId,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<Vec<Violation>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut check = Check::new(&snapshot, progress);
        let record = read_account(&snapshot, account)?;
        let mut mailboxes = BTreeMap::new();
        check.mailboxes_of(account, record.last_uid_validity.0, &mut mailboxes)?;
        for id in mailboxes.keys() {
            let counter = snapshot.counter(keys::COUNTERS, &keys::mailbox(*id), keys::COUNT)?;
            check.done.messages_total += counter;
        }
        for id in mailboxes.keys() {
            check.messages(*id, true)?;
        }
        let checked = check.ended();
        drop(snapshot);
        self.read_contents(checked, Some(account), &mut [], progress)
    }
}

struct Check<'c> {
    snapshot: &'c Snapshot,
    progress: &'c mut dyn FnMut(CheckProgress),
    done: CheckProgress,
    references: HashMap<ContentId, u64>,
    violations: Vec<Violation>,
    /// Messages whose content has another length than they say: which, and what is told where it is not damaged.
    wrong_sizes: Vec<(ContentId, String)>,
}

/// What was counted in a mailbox.
#[derive(Default)]
struct Counted {
    messages: u64,
    unseen: u64,
    deleted: u64,
    octets: u64,
    keywords: u64,
}

impl<'c> Check<'c> {
    fn new(snapshot: &'c Snapshot, progress: &'c mut dyn FnMut(CheckProgress)) -> Self {
        let done = CheckProgress::default();
        let (references, violations, wrong_sizes) = (HashMap::new(), Vec::new(), Vec::new());
        Self { snapshot, progress, done, references, violations, wrong_sizes }
    }

    fn violated(&mut self, invariant: u8, what: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, what: what.into() });
        }
    }

    fn run(&mut self) -> Result<(), StoreError> {
        let mut accounts = Vec::new();
        let unreadable = scan_accounts(self.snapshot, &mut |id, record| accounts.push((id, record.clone())));
        if let Err(error) = unreadable {
            self.violated(1, error.to_string());
        }
        self.account_names(&accounts)?;
        let mut mailboxes = BTreeMap::new();
        for (id, record) in &accounts {
            self.mailboxes_of(*id, record.last_uid_validity.0, &mut mailboxes)?;
        }
        self.strangers(keys::MAILBOXES, 5, &mailboxes)?;
        self.mailbox_names(&mailboxes)?;
        for id in mailboxes.keys() {
            let counter = self.snapshot.counter(keys::COUNTERS, &keys::mailbox(*id), keys::COUNT)?;
            self.done.messages_total += counter;
        }
        self.doomed(&mut mailboxes)?;
        self.strangers(keys::MESSAGES, 6, &mailboxes)?;
        self.strangers(keys::SWEEPS, 19, &mailboxes)?;
        self.sharing(&mailboxes)?;
        self.annotations(&mailboxes)?;
        for (id, record) in &mailboxes {
            self.messages(*id, record.is_some())?;
        }
        self.domains()?;
        self.contents()
    }

    fn account_names(
        &mut self,
        accounts: &[(AccountId, crate::record::AccountRecord)],
    ) -> Result<(), StoreError> {
        let last = self.snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::LAST_ACCOUNT)?;
        for (id, record) in accounts {
            if u64::from(id.0) > last {
                self.violated(2, format!("account {id} is above the last number {last}"));
            }
            let named = self.snapshot.get(keys::ACCOUNT_NAMES, record.name.as_bytes())?;
            if named.as_deref() != Some(&keys::account(*id)[..]) {
                self.violated(2, format!("account {id} is not found by its name {:?}", record.name));
            }
        }
        let known: HashSet<&[u8]> = accounts.iter().map(|(_, record)| record.name.as_bytes()).collect();
        let mut lost = Vec::new();
        self.snapshot.scan(keys::ACCOUNT_NAMES, &[], &keys::END, &mut |name, _| {
            if !known.contains(name) {
                lost.push(String::from_utf8_lossy(name).into_owned());
            }
            ControlFlow::Continue(())
        })?;
        lost.into_iter().for_each(|name| self.violated(2, format!("the name {name:?} has no account")));
        Ok(())
    }

    fn mailboxes_of(
        &mut self,
        account: AccountId,
        last_uid_validity: u32,
        all: &mut BTreeMap<MailboxId, Option<MailboxRecord>>,
    ) -> Result<(), StoreError> {
        let last = self.snapshot.counter(keys::COUNTERS, &keys::account(account), keys::LAST_MAILBOX)?;
        let mut found = Vec::new();
        let scanned =
            scan_mailboxes(self.snapshot, account, &mut |id, record| found.push((id, record.clone())));
        if let Err(error) = scanned {
            self.violated(1, format!("account {account}: {error}"));
        }
        if !found.iter().any(|(id, record)| id.number == 1 && record.name == INBOX && record.selectable) {
            self.violated(3, format!("account {account} has no INBOX"));
        }
        let mut uid_validities = HashSet::new();
        for (id, record) in found {
            if u64::from(id.number) > last || id.number == 0 {
                self.violated(4, format!("mailbox {id} is above the last number {last}"));
            }
            if MailboxName::new(&record.name).map(|name| name.to_string()).ok().as_ref() != Some(&record.name)
            {
                self.violated(4, format!("mailbox {id} has the bad name {:?}", record.name));
            }
            let key = keys::named(account, &record.name);
            if self.snapshot.get(keys::MAILBOX_NAMES, &key)?.as_deref() != Some(&id.number.to_be_bytes()[..])
            {
                self.violated(4, format!("mailbox {id} is not found by its name {:?}", record.name));
            }
            let uid_validity = record.uid_validity.0;
            if !uid_validities.insert(uid_validity) || uid_validity > last_uid_validity || uid_validity == 0 {
                self.violated(5, format!("mailbox {id} has the bad UIDVALIDITY {uid_validity}"));
            }
            all.insert(id, Some(record));
        }
        Ok(())
    }

    fn mailbox_names(
        &mut self,
        known: &BTreeMap<MailboxId, Option<MailboxRecord>>,
    ) -> Result<(), StoreError> {
        let mut lost = Vec::new();
        self.snapshot.scan(keys::MAILBOX_NAMES, &[], &keys::END, &mut |key, value| {
            let id = keys::u32_at(key, 0).zip(keys::u32_at(value, 0));
            let id = id.map(|(account, number)| MailboxId { account: AccountId(account), number });
            let name = String::from_utf8_lossy(key.get(4..).unwrap_or_default()).into_owned();
            let record = id.and_then(|id| known.get(&id)).and_then(Option::as_ref);
            if record.is_none_or(|record| record.name != name) {
                lost.push(name);
            }
            ControlFlow::Continue(())
        })?;
        lost.into_iter().for_each(|name| self.violated(4, format!("the name {name:?} has no mailbox")));
        Ok(())
    }

    /// Mailboxes that are being removed: their messages still hold content.
    fn doomed(&mut self, all: &mut BTreeMap<MailboxId, Option<MailboxRecord>>) -> Result<(), StoreError> {
        let mut both = Vec::new();
        self.snapshot.scan(keys::DOOMED, &[], &keys::END, &mut |key, _| {
            if let Some(id) = keys::mailbox_of(key)
                && all.insert(id, None).is_some_and(|record| record.is_some())
            {
                both.push(id);
            }
            ControlFlow::Continue(())
        })?;
        both.into_iter().for_each(|id| self.violated(4, format!("mailbox {id} is there and being removed")));
        Ok(())
    }

    fn domains(&mut self) -> Result<(), StoreError> {
        // Where an account or a message is unreadable, that was told.
        let Ok(right) = right_sums(self.snapshot) else { return Ok(()) };
        for wrong in wrong_domains(self.snapshot, right)? {
            self.violated(17, wrong.to_string());
        }
        Ok(())
    }

    /// Keys of a space that belong to no known mailbox.
    fn strangers(
        &mut self,
        space: Space,
        invariant: u8,
        known: &BTreeMap<MailboxId, Option<MailboxRecord>>,
    ) -> Result<(), StoreError> {
        let mut last = None;
        let mut strange = Vec::new();
        self.snapshot.scan(space, &[], &keys::END, &mut |key, _| {
            let id = keys::mailbox_of(key);
            if id != last || id.is_none() {
                last = id;
                if id.is_none_or(|id| !known.contains_key(&id)) {
                    strange.push(format!("{} has {key:?}, of no known mailbox", space.name()));
                }
            }
            ControlFlow::Continue(())
        })?;
        strange.into_iter().for_each(|what| self.violated(invariant, what));
        Ok(())
    }

    fn messages(&mut self, id: MailboxId, is_counted: bool) -> Result<(), StoreError> {
        let key = keys::mailbox(id);
        let last_uid = self.snapshot.counter(keys::COUNTERS, &key, keys::LAST_UID)?;
        let last_modseq = self.snapshot.counter(keys::COUNTERS, &key, keys::LAST_MODSEQ)?;
        let mut counted = Counted::default();
        let mut uids = HashSet::new();
        let snapshot = self.snapshot;
        let sweeps = self.sweeps(id, last_uid, last_modseq)?;
        let mut failed = None;
        snapshot.scan(keys::MESSAGES, &key, &keys::after(key), &mut |key, value| {
            let (Some(uid), Ok(mut record)) = (keys::uid_of(key), MessageRecord::parse(value)) else {
                self.violated(1, format!("mailbox {id}: the message at {key:?} is unreadable"));
                return ControlFlow::Continue(());
            };
            uids.insert(uid);
            if uid.0 == 0 || u64::from(uid.0) > last_uid {
                self.violated(7, format!("message {id}/{uid} is above the last UID {last_uid}"));
            }
            if record.modseq.0 == 0 || record.modseq.0 > last_modseq {
                self.violated(8, format!("message {id}/{uid} is above the last change {last_modseq}"));
            }
            sweeps.lay_over(uid, &mut record);
            counted.count(&record);
            match self.content(id, uid, &record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        if is_counted {
            self.counters(id, &counted, last_uid)?;
            self.log(keys::FLAGGED, keys::FLAGGED_ENTRIES, id, last_modseq, &HashSet::new())?;
            self.log(keys::EXPUNGED, keys::EXPUNGED_ENTRIES, id, last_modseq, &uids)?;
        }
        Ok(())
    }

    /// What lies over the records; nothing, where it is not as it should be.
    fn sweeps(&mut self, id: MailboxId, last_uid: u64, last_modseq: u64) -> Result<Sweeps, StoreError> {
        let Some(octets) = self.snapshot.get(keys::SWEEPS, &keys::mailbox(id))? else {
            return Ok(Sweeps::default());
        };
        let why = match Sweeps::parse(&octets) {
            None => "are unreadable",
            Some(sweeps) => match sweeps.fault(last_uid, last_modseq) {
                None => return Ok(sweeps),
                Some(why) => why,
            },
        };
        self.violated(19, format!("the sweeps of mailbox {id} {why}"));
        Ok(Sweeps::default())
    }

    fn counters(&mut self, id: MailboxId, counted: &Counted, last_uid: u64) -> Result<(), StoreError> {
        let key = keys::mailbox(id);
        for (field, name, is) in [
            (keys::COUNT, "messages", counted.messages),
            (keys::UNSEEN, "unseen", counted.unseen),
            (keys::DELETED, "deleted", counted.deleted),
            (keys::OCTETS, "octets", counted.octets),
        ] {
            let says = self.snapshot.counter(keys::COUNTERS, &key, field)?;
            if says != is {
                self.violated(9, format!("mailbox {id} counts {says} {name}, but has {is}"));
            }
        }
        let names = KeywordTable::read(self.snapshot, id)?.len();
        let used = (u64::BITS - counted.keywords.leading_zeros()) as usize;
        if used > names {
            self.violated(10, format!("mailbox {id} names {names} keywords, but uses {used}"));
        }
        let recent = read_recent(self.snapshot, id)?;
        if u64::from(recent.0) > last_uid + 1 || recent.0 == 0 {
            self.violated(
                14,
                format!("mailbox {id}: the first recent UID {recent} is above the last {last_uid}"),
            );
        }
        Ok(())
    }

    fn log(
        &mut self,
        space: Space,
        counter: u8,
        id: MailboxId,
        last_modseq: u64,
        living: &HashSet<Uid>,
    ) -> Result<(), StoreError> {
        let key = keys::mailbox(id);
        let mut entries = 0;
        let snapshot = self.snapshot;
        snapshot.scan(space, &key, &keys::after(key), &mut |key, value| {
            let modseq = keys::u64_at(key, keys::MODSEQ_AT).unwrap_or(u64::MAX);
            if modseq == 0 {
                return ControlFlow::Continue(());
            }
            entries += 1;
            if modseq > last_modseq {
                self.violated(13, format!("{} of mailbox {id} is above its last change", space.name()));
            }
            for uid in value.chunks_exact(4).filter_map(|uid| keys::u32_at(uid, 0)) {
                if living.contains(&Uid(uid)) {
                    self.violated(13, format!("message {id}/{uid} is there, but logged as expunged"));
                }
            }
            ControlFlow::Continue(())
        })?;
        let says = self.snapshot.counter(keys::COUNTERS, &key, counter)?;
        if says != entries {
            self.violated(13, format!("{} of mailbox {id} counts {says}, but has {entries}", space.name()));
        }
        Ok(())
    }
}

impl Counted {
    fn count(&mut self, record: &MessageRecord<'_>) {
        self.messages += 1;
        self.unseen += u64::from(!record.flags.contains(Flags::SEEN));
        self.deleted += u64::from(record.flags.contains(Flags::DELETED));
        self.octets += record.size;
        self.keywords |= record.keywords.0;
    }
}
