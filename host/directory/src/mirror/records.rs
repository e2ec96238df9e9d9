//! What the mirror keeps beside the tree, in the same storage, so that both change in one batch. Just the tables:
//!
//! | space | key | value |
//! |---|---|---|
//! | `directory_mirror` | key of an entry's name | [`Record`] in postcard: where it came from |
//! | `directory_mirror_ids` | entryUUID, 16 octets; before it the name of a source that is not the general one | the entry's name, as text |
//! | `directory_lists` | key of a list's name | empty |
//! | `directory_seen` | number of the source, u8, and key of a name | what a full sync that is under way knows of it: [`Seen`] in postcard |
//! | `directory_refused` | name as text, cut and with its hash where long | [`Refused`] in postcard |
//! | `directory_sync` | `state`, `state/` and a source's name | [`SyncState`] in postcard |
//! | | `places`, in the same way | subtrees on other servers: [`super::places`] |
//! | | `cookie/` and the key of a base | the cookie of its live sync (RFC 4533), octets |
//! | | `followed/` and the key of a base | the server whose cookie that is: [`super::followed`], text |
//! | | `written/` and the key of a base | what was written elsewhere on our behalf: [`super::written`], as a cookie |
//! | | `watermark/` and the key of a base | the greatest `modifyTimestamp` seen there (R45), text |
//! | | `wanted`, in the same way | that a full sync has to be made: [`super::wanted`], u64 big-endian |
//! | | `history/` or `past/NAME/`, and a number, u64 big-endian | [`super::history::SyncRecord`] in JSON |
//!
//! Every record begins with [`FORMAT`], or [`RECORD_FORMAT`]; one of another format counts as absent, and the next full sync writes it anew.

use std::fmt;

use serde::{Deserialize, Serialize};
use storage::Space;

use super::found::{Found, Uuid, digest};
use crate::directory::Directory;
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::layout::{decode_entry, encode_entry};
use crate::schema::{Class, Schema};
use crate::view::View;

pub(crate) const MIRROR: Space = Space::new("directory_mirror");
pub(crate) const MIRROR_IDS: Space = Space::new("directory_mirror_ids");
pub(crate) const LISTS: Space = Space::new("directory_lists");
pub(crate) const SEEN: Space = Space::new("directory_seen");
pub(crate) const REFUSED: Space = Space::new("directory_refused");
pub(crate) const SYNC: Space = Space::new("directory_sync");

/// The format of these records.
pub(crate) const FORMAT: u8 = 1;
/// The format of [`Refused`], which has changed once.
pub(crate) const REFUSED_FORMAT: u8 = 2;
/// The source that every directory had before there were several: its keys have no name.
pub const GENERAL_SOURCE: &str = "ldap";
/// Octets of a refused entry's name in its key; longer ones are cut, and end in a hash.
const NAME_TEXT_MAX: usize = 400;

/// The format of [`Record`], which has changed once.
const RECORD_FORMAT: u8 = 2;

/// By which way of the sync an entry got its present form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// A full sync.
    Full,
    /// An incremental one.
    Incremental,
    /// A live one.
    Live,
    /// A look-up of an address or a domain that was not here.
    LookUp,
    /// An edit of ours, read back from the source.
    Edit,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full sync",
            Self::Incremental => "incremental sync",
            Self::Live => "live sync",
            Self::LookUp => "look-up",
            Self::Edit => "edit",
        })
    }
}

/// What brought an entry in its present form, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// How.
    pub way: Way,
    /// When it was written here, in milliseconds since 1970.
    pub at: u64,
}

impl Directory {
    /// What brought an entry in its present form; `None` for one that no source has: it was made here.
    pub fn brought(&self, dn: &Dn) -> Result<Option<Brought>, DirectoryError> {
        Ok(self.raw_view()?.record(dn)?.map(|record| record.brought))
    }
}

/// Where a mirrored entry came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u8,
    /// Its lasting name.
    pub(crate) uuid: Option<Uuid>,
    /// Its version at the source.
    pub(crate) version: String,
    /// What it says, digested: the tree need not be read to see that nothing differs.
    pub(crate) content: u64,
    /// Whether it is a list: those that the source no longer has are asked for at each incremental sync.
    pub(crate) list: bool,
    /// Whether the source never showed it: it stands only because others are below it.
    pub(crate) glue: bool,
    /// What brought it.
    pub(crate) brought: Brought,
}

impl Record {
    pub(crate) fn of(found: &Found, schema: &Schema, brought: Brought) -> Self {
        Self {
            format: RECORD_FORMAT,
            uuid: found.uuid,
            version: found.version.clone(),
            content: found.content,
            list: schema.is(&found.entry, Class::InetMailGroup),
            glue: false,
            brought,
        }
    }

    pub(crate) fn glue(brought: Brought) -> Self {
        Self {
            format: RECORD_FORMAT,
            uuid: None,
            version: String::new(),
            content: 0,
            list: false,
            glue: true,
            brought,
        }
    }

    /// Whether it says the same of the entry, whatever brought it.
    pub(crate) fn is_of_same(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.version, &other.version);
        self.content == other.content && self.uuid == other.uuid && mine == theirs && self.glue == other.glue
    }
}

/// An entry that waits: staged by a full sync, or refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredFound {
    #[serde(with = "octets")]
    entry: Vec<u8>,
    uuid: Option<Uuid>,
    modified: Option<String>,
    version: String,
}

impl StoredFound {
    pub(crate) fn of(found: &Found) -> Self {
        Self {
            entry: encode_entry(&found.entry),
            uuid: found.uuid,
            modified: found.modified.clone(),
            version: found.version.clone(),
        }
    }

    /// Its lasting name.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.uuid
    }

    pub(crate) fn found(self) -> Result<Found, DirectoryError> {
        let Self { entry, uuid, modified, version } = self;
        StoredFoundRef { entry: &entry, uuid, modified, version }.found()
    }
}

/// Octets as one value: the same as a list of them in postcard, without a step for each.
mod octets {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(octets)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Octets;
        impl Visitor<'_> for Octets {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("octets")
            }

            fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Vec<u8>, E> {
                Ok(octets.to_vec())
            }
        }
        deserializer.deserialize_bytes(Octets)
    }
}

/// What a full sync knows of a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// The source has it, and so has the tree.
    Same,
    /// The source has it, and the tree has it otherwise or not.
    Differs(StoredFound),
    /// It was removed by a newer answer while the full sync was under way.
    Gone,
}

/// [`StoredFound`], where it lies.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredFoundRef<'a> {
    entry: &'a [u8],
    uuid: Option<Uuid>,
    modified: Option<String>,
    version: String,
}

impl StoredFoundRef<'_> {
    pub(crate) fn found(self) -> Result<Found, DirectoryError> {
        let Self { entry, uuid, modified, version } = self;
        let entry = decode_entry(entry)?;
        Ok(Found { content: digest(&entry), entry, uuid, modified, version })
    }
}

/// [`Seen`], where it lies.
#[derive(Debug, Deserialize)]
pub(crate) enum SeenRef<'a> {
    Same,
    #[serde(borrow)]
    Differs(StoredFoundRef<'a>),
    Gone,
}

impl Seen {
    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Differs(stored) => encode_with_room(self, stored.entry.len() + RECORD_ROOM),
            Self::Same | Self::Gone => encode_with_room(self, 1),
        }
    }

    /// The first octet of [`Seen::Differs`] as it is stored (postcard: the number of the variant).
    pub(crate) const DIFFERS: u8 = 1;
}

/// An entry that breaks a rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) format: u8,
    /// The source that shows it.
    pub(crate) source: String,
    /// Its name, as far as it can be read.
    pub(crate) name: String,
    /// The attribute in which the fault lies.
    pub(crate) attribute: String,
    /// The fault.
    pub(crate) why: String,
    /// When it was met first, in milliseconds since 1970.
    pub(crate) at: u64,
    /// The entry that has what this one wants, where that is the fault.
    pub(crate) holder: Option<String>,
    /// The entry itself, to be tried again.
    pub(crate) found: Option<StoredFound>,
}

/// What is known of the source as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SyncState {
    pub(crate) format: u8,
    /// When the last full sync ended well, in milliseconds since 1970; 0: never.
    pub(crate) full_at: u64,
    /// When anything was last heard of the source that is now in the tree.
    pub(crate) heard_at: u64,
}

/// Octets that are set aside for a record: most need no more.
const RECORD_ROOM: usize = 128;

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_with_room(value, RECORD_ROOM)
}

fn encode_with_room<T: Serialize>(value: &T, room: usize) -> Vec<u8> {
    postcard::to_extend(value, Vec::with_capacity(room)).expect("strings and numbers always encode")
}

/// Reads a record; one that cannot be read counts as absent.
pub(crate) fn decode<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Option<T> {
    postcard::from_bytes(octets).ok()
}

/// The key of a refused entry, as the tree compares names, so that one entry has one record.
pub(crate) fn refused_key(name: &str) -> Vec<u8> {
    match Dn::parse(name) {
        Ok(dn) => cut(dn.key()),
        Err(_) => cut(name.as_bytes()),
    }
}

/// A key that is short enough to be one.
pub(crate) fn cut(normal: &[u8]) -> Vec<u8> {
    if normal.len() <= NAME_TEXT_MAX {
        return normal.to_vec();
    }
    // FNV-1a, 64 bits.
    let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = normal.iter().fold(0xcbf2_9ce4_8422_2325, step);
    [&normal[..NAME_TEXT_MAX], &hash.to_be_bytes()].concat()
}

/// A key of the sync's own space that belongs to a source.
pub(crate) fn source_key(what: &str, source: &str) -> Vec<u8> {
    if source == GENERAL_SOURCE { what.into() } else { format!("{what}/{source}").into() }
}

/// The key of a lasting name: no source can say that another one's entry is its own.
pub(crate) fn id_key(source: &str, uuid: &Uuid) -> Vec<u8> {
    let source = if source == GENERAL_SOURCE { "" } else { source };
    [source.as_bytes(), uuid].concat()
}

/// The key of a name in what the full sync of a source knows.
pub(crate) fn seen_key(source: u8, key: &[u8]) -> Vec<u8> {
    [&[source], key].concat()
}

/// A key of the sync's own space that belongs to a base.
pub(crate) fn base_key(what: &str, base: &Dn) -> Vec<u8> {
    [what.as_bytes(), b"/", base.key()].concat()
}

impl View<'_> {
    pub(crate) fn record(&self, dn: &Dn) -> Result<Option<Record>, DirectoryError> {
        let octets = self.snapshot.get(MIRROR, dn.key())?;
        Ok(octets
            .and_then(|octets| decode::<Record>(&octets))
            .filter(|record| record.format == RECORD_FORMAT))
    }

    /// The name of what a source calls so for good.
    pub(crate) fn name_of(&self, source: &str, uuid: &Uuid) -> Result<Option<Dn>, DirectoryError> {
        let octets = self.snapshot.get(MIRROR_IDS, &id_key(source, uuid))?;
        Ok(octets.and_then(|octets| Dn::parse(std::str::from_utf8(&octets).ok()?).ok()))
    }

    pub(crate) fn refused(&self, name: &str) -> Result<Option<Refused>, DirectoryError> {
        let octets = self.snapshot.get(REFUSED, &refused_key(name))?;
        Ok(octets
            .and_then(|octets| decode::<Refused>(&octets))
            .filter(|refused| refused.format == REFUSED_FORMAT))
    }

    pub(crate) fn sync_state(&self, source: &str) -> Result<SyncState, DirectoryError> {
        let octets = self.snapshot.get(SYNC, &source_key("state", source))?;
        Ok(octets.and_then(|octets| decode::<SyncState>(&octets)).unwrap_or_default())
    }
}
