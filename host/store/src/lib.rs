//! The message store: accounts, mailboxes, messages, flags, changes, and the check of its invariants.
//!
//! *What:* [`Store`] keeps messages in mailboxes of accounts, private or shared with others (R77, R78), over `storage` (R73, R76): content once for
//! all its recipients (R79), flags in each mailbox (R80). *Why:* whoever
//! delivers and whoever reads (IMAP, POP3) must agree on one set of rules for UIDs, mod-sequences
//! and counts. *Layer 3.* *Must not know* SMTP, IMAP, POP3, the queue or the directory.
//!
//! # Just show me the tables
//!
//! Numbers in keys and records are big-endian; counters are little-endian, as `storage` keeps them.
//! `a` is an account's number, `m` a mailbox's number within its account, each u32.
//!
//! | space | key | value |
//! |---|---|---|
//! | `store_accounts` | a | version u8, 3 × 0, last UIDVALIDITY u32, created u64 ms, name |
//! | `store_account_names` | name | a |
//! | `store_mailboxes` | a, m | version u8, bits u8, special use u8, 0, UIDVALIDITY u32, created u64 ms, name |
//! | `store_mailbox_names` | a, name | m |
//! | `store_subscriptions` | a, name | one 0 octet |
//! | `store_keywords` | a, m | names in the order of their bits, each followed by LF |
//! | `store_recent` | a, m | first UID that no session has been told of as recent, u32 |
//! | `store_messages` | a, m, UID u32 | version u8, flags u8, 2 × 0, prefix length u32, content id u64, mod-sequence u64, size u64, internal date u64 ms, save date u64 ms, keywords u64, prefix |
//! | `store_sweeps` | a, m | version u8, 3 × 0, count u32; each change of flags of very many messages, oldest first: mod-sequence u64, flags set u8, flags cleared u8, 2 × 0, ranges u32, keywords set u64, keywords cleared u64, first and last UID u32 of each range. It holds for messages there with a lower mod-sequence |
//! | `store_flagged` | a, m, mod-sequence u64 | UIDs whose flags that change set, u32 each, or u8 1 and first and last UID u32 of each range; at 0: the floor, u64 |
//! | `store_expunged` | a, m, mod-sequence u64 | UIDs that went with that change, u32 each; at 0: the floor, u64 |
//! | `store_acls` | a, m | version u8, 3 × 0, then for each entry: rights u16, length u16, identifier |
//! | `store_granted` | identifier, NUL, a, m | one 0 octet: that mailbox's ACL has an entry of that identifier |
//! | `store_seen` | a, m, reader's a | version u8, 3 × 0, ranges u32, floor u64, changes u32, 4 × 0; each change, newest first: mod-sequence u64, ranges u32, first and last UID u32 of each; first and last UID u32 of each range seen |
//! | `store_readers` | reader's a, a, m | one 0 octet: `store_seen` has what that reader has seen of that mailbox |
//! | `store_annotations` | a, m, whose a u32 (0: shared) | version u8, 3 × 0, then for each entry: name length u16, value length u32, name, value; with m 0 of the whole server |
//! | `store_annotation_payers` | payer's a, a, m, whose a | octets of that record of `store_annotations`, u32: whose they are pays, the owner for shared ones |
//! | `store_doomed` | a, m | a deleted mailbox whose messages are still being removed: the domain that they count for, or one 0 octet |
//! | `store_doomed` | a, 0 | name of a removed account whose traces at others' mailboxes are still being removed |
//! | `store_imports` | a, digest of 32 octets | how far an import is, as its source says |
//! | `store_warned` | a | when the owner was last told that the account is nearly full, u64 ms |
//! | `store_domains` | domain | messages and octets of its accounts: counters as in `store_counters` |
//! | `store_counters` | `store` | last account number, highest UIDVALIDITY of removed accounts, 1 once domains are counted |
//! | `store_counters` | a | last mailbox number |
//! | `store_counters` | a, m | last UID, last mod-sequence, messages, unseen, deleted, octets, entries of `store_flagged`, entries of `store_expunged` |
//!
//! A log's *floor* is the highest mod-sequence that was cut from it: it tells all changes above.
//! Records carry a version; code reads every version ever written, and writes the newest.
//!
//! # Who may change what
//!
//! - A delivery ([`Store::append_to_batch`]) only draws numbers and inserts: it takes no lock. It asserts that its mailbox exists, so that it fails as a conflict where the
//!   mailbox or its account is removed meanwhile.
//! - A person ([`Store::on_behalf_of`]) is asked for rights in each call, in the snapshot it works on.
//! - Everything else holds its account's lock from its snapshot to its commit.
//! - Every commit yields [`Changes`], which only publishing consumes: the sessions that watch a
//!   mailbox hear of each.

mod accounts;
mod acl;
mod annotations;
mod append;
mod changes;
mod check;
mod copy;
mod damaged;
mod derived;
mod domain_usage;
mod door;
mod error;
mod expunge;
mod feed;
mod filing;
mod flags;
mod former;
mod groups;
mod ids;
mod import;
mod keys;
mod keywords;
mod listings;
mod locks;
mod logs;
mod mailboxes;
mod making;
mod messages;
mod names;
mod namespace;
mod person;
mod posting;
mod quota;
mod ranges;
mod record;
mod renaming;
mod renewal;
mod repair;
mod replace;
mod rights;
mod seen;
mod sweeps;
mod totals;
mod view;
mod warning;
mod watches;

use std::sync::Arc;

use events::Events;
use runtime::Clock;
use storage::Storage;

pub use accounts::{ACCOUNTS_CACHED_MAX, Usage};
pub use acl::{ACL_ENTRIES_MAX, ANYONE, Acl, AclChange, Identifier};
pub use annotations::{
    ANNOTATED_OCTETS_MAX, ANNOTATION_NAME_MAX, ANNOTATION_OCTETS_MAX, ANNOTATION_VALUE_MAX, ANNOTATIONS_MAX,
    Annotated, AnnotationName, Annotations,
};
pub use append::{AppendRequest, AppendedContent, NewMessage};
pub use changes::{Changes, Delta};
pub use check::{CheckProgress, Violation};
pub use copy::Copied;
pub use damaged::{Foreign, QueuedContent};
pub use derived::{DERIVED_OCTETS_MAX, DERIVED_SPACES, Derived, DerivedReader};
pub use door::Doorkeeper;
pub use error::StoreError;
pub use expunge::Expunged;
pub use feed::{FEED_WAITING_MAX, Feed, Happened, Happenings, MessageEvents};
pub use filing::flag_of;
pub use flags::{FlagChange, FlagMode, FlagsStored};
pub use former::FORMER_NAMES_MAX;
pub use groups::{GROUP_PREFIX, Groups};
pub use ids::{AccountId, Flags, MailboxId, ModSeq, Uid, UidValidity};
pub use import::{IMPORT_MARK_MAX, ImportMark};
pub use keys::SPACES;
pub use keywords::{KEYWORD_OCTETS_MAX, KEYWORDS_MAX, KeywordTable, Keywords};
pub use listings::LISTED_MESSAGES_MAX;
pub use locks::PopLock;
pub use logs::{EXPUNGED_MAX, FLAGGED_MAX};
pub use mailboxes::{MAILBOXES_MAX, MailboxInfo, SpecialUse, Status};
pub use messages::{Head, MessageInfo, Octets, Reader};
pub use names::{INBOX, MAILBOX_DEPTH_MAX, MAILBOX_NAME_MAX, MailboxName};
pub use namespace::{Place, SHARED_ACCOUNT, SHARED_PREFIX, SharedMailbox, USER_PREFIX, shared_name};
pub use person::{GRANTED_MAX, Granted};
pub use quota::{Fit, Full, Limits, Quota, Quotas, Room, SharedQuota};
pub use renaming::NewName;
pub use repair::{AskForeign, Evidence, Remedy};
pub use rights::Rights;
pub use seen::{SEEN_CHANGES_MAX, SEEN_RANGES_MAX};
pub use sweeps::SWEEPS_MAX;
pub use totals::Totals;
pub use view::{Listed, View};
pub use watches::Watch;

/// Most messages that one commit changes where a change may be cut into several: other writers
/// wait no longer than that takes.
pub const COMMIT_MESSAGES_MAX: usize = 5_000;

/// The message store; clones are the same store, on behalf of the same person, if any.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    person: Option<Arc<person::Person>>,
    /// The feed that is not told of what is done by this one.
    deaf: Option<std::sync::Weak<feed::Ear>>,
}

struct Inner {
    storage: Storage,
    clock: Clock,
    events: Events,
    quotas: Arc<dyn Quotas>,
    groups: Arc<dyn Groups>,
    taken: Arc<parking_lot::Mutex<quota::Taken>>,
    accounts: accounts::Cache,
    former: former::Former,
    listings: listings::Listings,
    locks: locks::AccountLocks,
    pop_locks: Arc<locks::PopLocks>,
    watches: Arc<watches::Watches>,
    feeds: Arc<feed::Feeds>,
    doorkeeper: std::sync::OnceLock<std::sync::Weak<dyn Doorkeeper>>,
}

impl Store {
    /// Opens the store over a storage that was opened with [`SPACES`], and finishes the removal of
    /// mailboxes that an earlier run began.
    pub async fn open(storage: Storage, clock: Clock, events: Events) -> Result<Self, StoreError> {
        Self::open_with(storage, clock, events, (Arc::new(quota::Unlimited), Arc::new(groups::NoGroups)))
            .await
    }

    /// The same, with accounts that have limits, and groups that they are in.
    pub async fn open_with(
        storage: Storage,
        clock: Clock,
        events: Events,
        (quotas, groups): (Arc<dyn Quotas>, Arc<dyn Groups>),
    ) -> Result<Self, StoreError> {
        let store = Self {
            inner: Arc::new(Inner {
                storage,
                clock,
                events,
                quotas,
                groups,
                taken: Arc::default(),
                accounts: accounts::Cache::default(),
                former: former::Former::default(),
                listings: listings::Listings::default(),
                locks: locks::AccountLocks::default(),
                pop_locks: Arc::default(),
                watches: Arc::default(),
                feeds: Arc::default(),
                doorkeeper: std::sync::OnceLock::new(),
            }),
            person: None,
            deaf: None,
        };
        store.inner.former.read(&store.inner.storage.read()?)?;
        store.count_domains_once().await?;
        store.remove_doomed().await?;
        Ok(store)
    }

    /// The time by the clock that dates messages.
    #[must_use]
    pub fn now(&self) -> mail_types::Timestamp {
        self.inner.clock.now()
    }

    /// The storage below, for batches that hold more than the store's own changes.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }
}

#[cfg(test)]
mod tests;
