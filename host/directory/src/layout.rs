//! The embedded tree on disk. Just the tables:
//!
//! | space | key | value |
//! |---|---|---|
//! | `directory_entries` | entry id, u64 big-endian | name as text, then pairs of attribute and values, in postcard |
//! | `directory_names` | key of the name (root first) | entry id |
//! | `directory_addresses` | address in lower case (or `@domain`), NUL, entry id | [`Role`], one octet |
//! | `directory_logins` | uid in lower case, NUL, entry id | key of the name |
//! | `directory_domains` | domain, NUL, entry id | [`Role`], one octet |
//! | `directory_members` | key of a member's name, entry id of the group | empty |
//! | `directory_changes` | CSN, u64 big-endian | [`StoredChange`] in postcard |
//! | `directory_published` | domain | records published of it, in postcard |
//! | `directory_account_moves` | CSN, u64 big-endian; place, u32 big-endian | the account's names, old and new, NUL between |
//! | `directory_dns_…` | | domains by the DNS: see `domain_tables/records.rs` |
//! | `directory_state` | `head` | [`Head`]: eight u64 big-endian |
//!
//! An index row never outlives its entry, because both change in one batch. The domain types
//! are not serialised; the records here are.

use std::collections::HashSet;

use mail_types::{Address, Timestamp};
use serde::{Deserialize, Serialize};
use storage::{Batch, Space};

use crate::change::{Change, Operation};
use crate::dn::Dn;
use crate::domain_entry::DomainNode;
use crate::domain_tables::records::{DNS_DOMAINS, DNS_RECORDS, DNS_TABLES};
use crate::entry::{Entry, write_octets};
use crate::error::DirectoryError;
use crate::kind::Kind;
use crate::mirror::records::{LISTS, MIRROR, MIRROR_IDS, REFUSED, SEEN, SYNC};
use crate::schema::{Field, Schema};

pub(crate) const ENTRIES: Space = Space::new("directory_entries");
pub(crate) const NAMES: Space = Space::new("directory_names");
pub(crate) const ADDRESSES: Space = Space::new("directory_addresses");
pub(crate) const LOGINS: Space = Space::new("directory_logins");
pub(crate) const DOMAINS: Space = Space::new("directory_domains");
pub(crate) const MEMBERS: Space = Space::new("directory_members");
pub(crate) const CHANGES: Space = Space::new("directory_changes");
pub(crate) const STATE: Space = Space::new("directory_state");
pub(crate) const ACCOUNT_MOVES: Space = Space::new("directory_account_moves");
pub(crate) const ACCOUNTS_ASIDE: Space = Space::new("directory_accounts_aside");
pub(crate) const PUBLISHED: Space = Space::new("directory_published");

/// The spaces that the directory needs in its storage.
pub const SPACES: &[Space] = &[
    ENTRIES,
    NAMES,
    ADDRESSES,
    LOGINS,
    DOMAINS,
    MEMBERS,
    CHANGES,
    STATE,
    MIRROR,
    MIRROR_IDS,
    LISTS,
    SEEN,
    REFUSED,
    SYNC,
    PUBLISHED,
    ACCOUNT_MOVES,
    ACCOUNTS_ASIDE,
    DNS_TABLES,
    DNS_RECORDS,
    DNS_DOMAINS,
];

/// Key of the [`Head`].
pub(crate) const HEAD: &[u8] = b"head";
/// Longest key of a name, in octets: what the engine's keys allow.
pub const NAME_KEY_MAX: usize = 500;
/// Longest login or address in an index; longer ones are not indexed (no address is).
const INDEX_TEXT_MAX: usize = 400;

/// By which of its names an index row leads to an entry. Sorted by precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// `mail`, or the canonical name of a domain.
    Primary = 0,
    /// `mailAlternateAddress`, or a further name of a domain.
    Alternate = 1,
    /// `mailEquivalentAddress`.
    Equivalent = 2,
    /// A pure alias of a domain.
    Alias = 3,
}

impl Role {
    pub(crate) fn read(value: &[u8]) -> Self {
        match value.first() {
            Some(0) => Self::Primary,
            Some(1) => Self::Alternate,
            Some(2) => Self::Equivalent,
            _ => Self::Alias,
        }
    }
}

/// A change as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredChange<'a> {
    at: u64,
    dn: &'a str,
    kind: u8,
    operation: u8,
}

/// The directory's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Number of the newest change.
    pub(crate) csn: u64,
    /// Changes up to this one are no longer listed.
    pub(crate) floor: u64,
    /// The next entry's id.
    pub(crate) next_id: u64,
    /// 1 while a load is under way, or was when the process ended.
    pub(crate) loading: u64,
    pub(crate) entries: u64,
    pub(crate) domains: u64,
    pub(crate) users: u64,
    pub(crate) groups: u64,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let fields = [
            self.csn,
            self.floor,
            self.next_id,
            self.loading,
            self.entries,
            self.domains,
            self.users,
            self.groups,
        ];
        fields.iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self, DirectoryError> {
        if octets.len() != 64 {
            return Err(DirectoryError::Damaged("the head record has an odd length".to_owned()));
        }
        let field = |at: usize| read_u64(&octets[at * 8..]);
        Ok(Self {
            csn: field(0),
            floor: field(1),
            next_id: field(2),
            loading: field(3),
            entries: field(4),
            domains: field(5),
            users: field(6),
            groups: field(7),
        })
    }

    /// Counts an entry in (`+1`) or out (`-1`).
    pub(crate) fn count(&mut self, kind: Kind, by: i64) {
        let add = |number: &mut u64| *number = number.saturating_add_signed(by);
        add(&mut self.entries);
        match kind {
            Kind::Domain => add(&mut self.domains),
            Kind::User => add(&mut self.users),
            Kind::Group => add(&mut self.groups),
            Kind::Other => {}
        }
    }
}

/// The first eight octets as a big-endian number; zero where there are fewer.
pub(crate) fn read_u64(octets: &[u8]) -> u64 {
    octets.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Name and attributes.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut stored = Vec::with_capacity(entry.dn.as_str().len() + entry.stored_octets() + 8);
    write_octets(&mut stored, entry.dn.as_str().as_bytes());
    entry.write_attributes(&mut stored);
    stored
}

pub(crate) fn decode_entry(octets: &[u8]) -> Result<Entry, DirectoryError> {
    let damaged = |why: String| DirectoryError::Damaged(format!("an entry cannot be read: {why}"));
    let (dn, attributes) =
        postcard::take_from_bytes::<&str>(octets).map_err(|error| damaged(error.to_string()))?;
    let dn = Dn::parse(dn).map_err(|error| damaged(error.to_string()))?;
    Entry::with_stored(dn, attributes).ok_or_else(|| damaged("its attributes are cut off".to_owned()))
}

pub(crate) fn encode_change(change: &Change) -> Vec<u8> {
    let stored = StoredChange {
        at: change.at.0,
        dn: change.dn.as_str(),
        kind: match change.kind {
            Kind::Domain => 0,
            Kind::User => 1,
            Kind::Group => 2,
            Kind::Other => 3,
        },
        operation: match change.operation {
            Operation::Put => 0,
            Operation::Removed => 1,
        },
    };
    postcard::to_stdvec(&stored).expect("strings and numbers always encode")
}

pub(crate) fn decode_change(csn: u64, octets: &[u8]) -> Result<Change, DirectoryError> {
    let damaged = |why: String| DirectoryError::Damaged(format!("change {csn} cannot be read: {why}"));
    let stored: StoredChange = postcard::from_bytes(octets).map_err(|e| damaged(e.to_string()))?;
    Ok(Change {
        csn,
        at: Timestamp(stored.at),
        dn: Dn::parse(stored.dn).map_err(|e| damaged(e.to_string()))?,
        kind: match stored.kind {
            0 => Kind::Domain,
            1 => Kind::User,
            2 => Kind::Group,
            _ => Kind::Other,
        },
        operation: if stored.operation == 0 { Operation::Put } else { Operation::Removed },
    })
}

/// `text NUL`: where the rows of an index text begin; `None` where it is too long to be one.
pub(crate) fn index_prefix(text: &str) -> Option<Vec<u8>> {
    if text.len() > INDEX_TEXT_MAX || text.contains('\0') {
        return None;
    }
    let mut key = text.to_lowercase().into_bytes();
    key.push(0);
    Some(key)
}

/// Every index row that an entry has: space, key without the id, value.
pub(crate) fn index_rows(entry: &Entry, kind: Kind, schema: &Schema) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    match kind {
        Kind::User | Kind::Group => {
            for (text, role) in address_keys(entry, schema) {
                rows.extend(index_prefix(&text).map(|key| (ADDRESSES, key, vec![role as u8])));
            }
            if kind == Kind::User {
                for uid in schema.texts(entry, Field::Uid).filter(|uid| !uid.is_empty()) {
                    rows.extend(index_prefix(uid).map(|key| (LOGINS, key, entry.dn.key().to_vec())));
                }
            } else {
                rows.extend(
                    members(entry, schema).map(|member| (MEMBERS, member.key().to_vec(), Vec::new())),
                );
            }
        }
        Kind::Domain => {
            for (domain, role) in domain_keys(entry, schema) {
                rows.extend(index_prefix(domain.as_str()).map(|key| (DOMAINS, key, vec![role as u8])));
            }
        }
        Kind::Other => {}
    }
    rows
}

/// The names of a group's members, as far as the store can index them.
fn members<'a>(entry: &'a Entry, schema: &'a Schema) -> impl Iterator<Item = Dn> + 'a {
    let texts =
        [Field::UniqueMember, Field::Member].into_iter().flat_map(move |field| schema.texts(entry, field));
    texts
        .filter_map(|text| Dn::parse(text).ok())
        .filter(|dn| dn.depth() > 0 && dn.key().len() <= NAME_KEY_MAX)
}

/// The addresses of an entry in lower case, each once, by its strongest role.
pub(crate) fn address_keys(entry: &Entry, schema: &Schema) -> Vec<(String, Role)> {
    let mut keys: Vec<(String, Role)> = Vec::new();
    for (field, role) in [
        (Field::Mail, Role::Primary),
        (Field::MailAlternateAddress, Role::Alternate),
        (Field::MailEquivalentAddress, Role::Equivalent),
    ] {
        for text in schema.texts(entry, field) {
            let text = crate::reading::strip_mailto(text);
            let key = match (text.strip_prefix('@'), Address::parse(text)) {
                (Some(domain), _) => mail_types::Domain::parse(domain).map(|domain| format!("@{domain}")),
                (None, address) => address.map(|address| address.to_key()),
            };
            if let Ok(key) = key
                && !keys.iter().any(|(known, _)| *known == key)
            {
                keys.push((key, role));
            }
        }
    }
    keys
}

/// The domains that an entry names.
pub(crate) fn domain_keys(entry: &Entry, schema: &Schema) -> Vec<(mail_types::Domain, Role)> {
    match DomainNode::of(entry, schema) {
        None => Vec::new(),
        Some(DomainNode::Alias { domain, .. }) => vec![(domain, Role::Alias)],
        Some(DomainNode::Domain(names)) => {
            let roles = std::iter::once(Role::Primary).chain(std::iter::repeat(Role::Alternate));
            names.into_iter().zip(roles).collect()
        }
    }
}

/// Adds an entry with its index rows to a batch.
pub(crate) fn put_entry(batch: &mut Batch, id: u64, entry: &Entry, kind: Kind, schema: &Schema) {
    let id = id.to_be_bytes();
    batch.put(ENTRIES, &id, encode_entry(entry));
    batch.put(NAMES, entry.dn.key(), id);
    for (space, mut key, value) in index_rows(entry, kind, schema) {
        key.extend_from_slice(&id);
        batch.put(space, &key, value);
    }
}

/// Takes an entry and its index rows out.
pub(crate) fn delete_entry(batch: &mut Batch, id: u64, entry: &Entry, kind: Kind, schema: &Schema) {
    let id = id.to_be_bytes();
    batch.delete(ENTRIES, &id);
    batch.delete(NAMES, entry.dn.key());
    for (space, mut key, _) in index_rows(entry, kind, schema) {
        key.extend_from_slice(&id);
        batch.delete(space, &key);
    }
}

/// Puts another entry in the place of one of the same name. Index rows that stay are left alone: a
/// group of many members does not cost their number when one of them goes.
pub(crate) fn replace_entry(
    batch: &mut Batch,
    id: u64,
    (old, old_kind): (&Entry, Kind),
    (new, new_kind): (&Entry, Kind),
    schema: &Schema,
) {
    let id = id.to_be_bytes();
    batch.put(ENTRIES, &id, encode_entry(new));
    let old_rows: HashSet<_> = index_rows(old, old_kind, schema).into_iter().collect();
    let new_rows: HashSet<_> = index_rows(new, new_kind, schema).into_iter().collect();
    for (space, key, _) in old_rows.difference(&new_rows) {
        batch.delete(*space, &[key, id.as_slice()].concat());
    }
    for (space, key, value) in new_rows.difference(&old_rows) {
        batch.put(*space, &[key, id.as_slice()].concat(), value.clone());
    }
}
