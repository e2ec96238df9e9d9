//! The key spaces, and their keys.

use storage::Space;

use crate::ids::{AccountId, MailboxId, ModSeq, Uid};

pub(crate) const ACCOUNTS: Space = Space::new("store_accounts");
pub(crate) const ACCOUNT_NAMES: Space = Space::new("store_account_names");
pub(crate) const MAILBOXES: Space = Space::new("store_mailboxes");
pub(crate) const MAILBOX_NAMES: Space = Space::new("store_mailbox_names");
pub(crate) const SUBSCRIPTIONS: Space = Space::new("store_subscriptions");
pub(crate) const KEYWORDS: Space = Space::new("store_keywords");
pub(crate) const RECENT: Space = Space::new("store_recent");
pub(crate) const MESSAGES: Space = Space::new("store_messages");
pub(crate) const SWEEPS: Space = Space::new("store_sweeps").added_in(4);
pub(crate) const FLAGGED: Space = Space::new("store_flagged");
pub(crate) const EXPUNGED: Space = Space::new("store_expunged");
pub(crate) const ACLS: Space = Space::new("store_acls");
pub(crate) const GRANTED: Space = Space::new("store_granted");
pub(crate) const SEEN: Space = Space::new("store_seen");
pub(crate) const READERS: Space = Space::new("store_readers");
pub(crate) const ANNOTATIONS: Space = Space::new("store_annotations");
pub(crate) const ANNOTATION_PAYERS: Space = Space::new("store_annotation_payers");
pub(crate) const DOOMED: Space = Space::new("store_doomed");
pub(crate) const COUNTERS: Space = Space::new("store_counters");
pub(crate) const IMPORTS: Space = Space::new("store_imports");
pub(crate) const DOMAINS: Space = Space::new("store_domains");
pub(crate) const WARNED: Space = Space::new("store_warned");
/// The domain of an account that has come from another one.
pub(crate) const MOVED: Space = Space::new("store_moved");
/// The key in [`MOVED`] of the mark of the last renaming; those of accounts are shorter.
pub(crate) const LAST_RENAMING: &[u8] = b"renaming";
/// Names that accounts had, each with the account's number and until when it may have been meant.
pub(crate) const FORMER: Space = Space::new("store_former_names");

/// The spaces of the store, for [`storage::Storage::open`].
pub const SPACES: &[Space] = &[
    ACCOUNTS,
    ACCOUNT_NAMES,
    MAILBOXES,
    MAILBOX_NAMES,
    SUBSCRIPTIONS,
    KEYWORDS,
    RECENT,
    MESSAGES,
    SWEEPS,
    FLAGGED,
    EXPUNGED,
    ACLS,
    GRANTED,
    SEEN,
    READERS,
    ANNOTATIONS,
    ANNOTATION_PAYERS,
    DOOMED,
    COUNTERS,
    IMPORTS,
    DOMAINS,
    WARNED,
    MOVED,
    FORMER,
];

/// The counters of the whole store.
pub(crate) const STORE_COUNTERS: &[u8] = b"store";
/// Of the store: the last account number.
pub(crate) const LAST_ACCOUNT: u8 = 0;
/// Of the store: the highest UIDVALIDITY of all accounts that were removed.
pub(crate) const LAST_UID_VALIDITY: u8 = 1;
/// Of the store: 1 once the domains have counters.
pub(crate) const DOMAINS_COUNTED: u8 = 2;
/// Of an account: the last mailbox number.
pub(crate) const LAST_MAILBOX: u8 = 0;

/// Of a mailbox: the last UID that was given.
pub(crate) const LAST_UID: u8 = 0;
/// Of a mailbox: the last mod-sequence that was given.
pub(crate) const LAST_MODSEQ: u8 = 1;
/// Of a mailbox: how many messages it has.
pub(crate) const COUNT: u8 = 2;
/// Of a mailbox: how many of them are without `\Seen`.
pub(crate) const UNSEEN: u8 = 3;
/// Of a mailbox: how many of them have `\Deleted`.
pub(crate) const DELETED: u8 = 4;
/// Of a mailbox: the sum of their sizes, in octets.
pub(crate) const OCTETS: u8 = 5;
/// Of a mailbox: how many entries its log of flag changes has.
pub(crate) const FLAGGED_ENTRIES: u8 = 6;
/// Of a mailbox: how many entries its log of expunges has.
pub(crate) const EXPUNGED_ENTRIES: u8 = 7;

/// Of a domain: the messages of its accounts.
pub(crate) const DOMAIN_COUNT: u8 = 0;
/// Of a domain: the sum of their sizes, in octets.
pub(crate) const DOMAIN_OCTETS: u8 = 1;

/// Beyond every key of the store: their first octets are numbers or text, never 0xff twice four.
pub(crate) const END: [u8; 16] = [0xff; 16];

pub(crate) fn account(id: AccountId) -> [u8; 4] {
    id.0.to_be_bytes()
}

pub(crate) fn mailbox(id: MailboxId) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&id.account.0.to_be_bytes());
    key[4..].copy_from_slice(&id.number.to_be_bytes());
    key
}

pub(crate) fn message(id: MailboxId, uid: Uid) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&mailbox(id));
    key[8..].copy_from_slice(&uid.0.to_be_bytes());
    key
}

/// The octet of a message key where its UID is.
pub(crate) const UID_AT: usize = 8;

pub(crate) fn log(id: MailboxId, modseq: ModSeq) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mailbox(id));
    key[8..].copy_from_slice(&modseq.0.to_be_bytes());
    key
}

/// The octet of a log key where its mod-sequence is.
pub(crate) const MODSEQ_AT: usize = 8;

/// A key of an account's number, then a name.
pub(crate) fn named(account: AccountId, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + name.len());
    key.extend_from_slice(&account.0.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// A key of an identifier and a mailbox; no identifier has a NUL in it.
pub(crate) fn granted(identifier: &str, id: MailboxId) -> Vec<u8> {
    let mut key = granted_bounds(identifier).0;
    key.extend_from_slice(&mailbox(id));
    key
}

/// The keys of an identifier, and the first one after them.
pub(crate) fn granted_bounds(identifier: &str) -> (Vec<u8>, Vec<u8>) {
    let with = |last: u8| identifier.bytes().chain([last]).collect();
    (with(0), with(1))
}

/// A key of a mailbox and one of its readers.
pub(crate) fn seen(id: MailboxId, reader: AccountId) -> [u8; 12] {
    message(id, Uid(reader.0))
}

/// A key of a reader and a mailbox.
pub(crate) fn reader(reader: AccountId, id: MailboxId) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&account(reader));
    key[4..].copy_from_slice(&mailbox(id));
    key
}

/// A key of a mailbox and whose annotations of it.
pub(crate) fn annotation(id: MailboxId, whose: AccountId) -> [u8; 12] {
    message(id, Uid(whose.0))
}

/// A key of who pays for annotations, the mailbox that they are of, and whose they are.
pub(crate) fn annotation_payer(payer: AccountId, id: MailboxId, whose: AccountId) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&account(payer));
    key[4..].copy_from_slice(&annotation(id, whose));
    key
}

/// The first key after all that begin with these octets.
pub(crate) fn after<const N: usize>(prefix: [u8; N]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    END.to_vec()
}

/// Reads a u32 at a place of a key or record; `None` beyond its end.
pub(crate) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

/// Reads a u64 at a place of a key or record; `None` beyond its end.
pub(crate) fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(octets.get(at..at + 8)?.try_into().ok()?))
}

/// The mailbox that a key begins with.
pub(crate) fn mailbox_of(key: &[u8]) -> Option<MailboxId> {
    Some(MailboxId { account: AccountId(u32_at(key, 0)?), number: u32_at(key, 4)? })
}

/// The UID of a message key.
pub(crate) fn uid_of(key: &[u8]) -> Option<Uid> {
    u32_at(key, UID_AT).map(Uid)
}
