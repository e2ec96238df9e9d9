//! Reading what a server sends, without trust: `ldap3` gives trees of BER elements, and its own readers panic at what
//! they do not expect.

use ldap3::asn1::{PL, StructureTag, parse_tag};

/// Largest entry that is taken, in octets of all its values.
pub(crate) const ENTRY_OCTETS_MAX: usize = 8 << 20;

/// An attribute as it came: name and values.
pub(crate) type RawAttribute = (String, Vec<Vec<u8>>);

/// An entry as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    /// Its name.
    pub(crate) dn: String,
    /// Its attributes.
    pub(crate) attributes: Vec<RawAttribute>,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Its name, as far as it can be read; else what is wrong.
    pub(crate) name: String,
    /// Where it is wrong: an attribute, or `dn`.
    pub(crate) attribute: String,
    /// What is wrong.
    pub(crate) why: String,
}

impl Unreadable {
    fn nameless(why: impl Into<String>) -> Self {
        let why = why.into();
        Self { name: why.clone(), attribute: "dn".to_owned(), why }
    }
}

/// `SearchResultEntry ::= [APPLICATION 4] SEQUENCE { objectName, attributes }` (RFC 4511 §4.5.2). A name that is no
/// UTF-8 comes back as what can be read of it: the entry cannot be used, and can be told of.
pub(crate) fn read_entry(tag: StructureTag) -> Result<RawEntry, Unreadable> {
    let mut parts = constructed(tag).map_err(Unreadable::nameless)?.into_iter();
    let dn = parts.next().ok_or("an entry without a name".to_owned()).and_then(primitive);
    let dn = String::from_utf8(dn.map_err(Unreadable::nameless)?).map_err(|why| {
        Unreadable::nameless(format!("the name {:?} is no UTF-8", String::from_utf8_lossy(why.as_bytes())))
    })?;
    let mut at = "dn".to_owned();
    match read_attributes(parts.next(), &mut at) {
        Ok(attributes) => Ok(RawEntry { dn, attributes }),
        Err(why) => Err(Unreadable { name: dn, attribute: at, why }),
    }
}

/// `PartialAttributeList`; `at` says which attribute is read.
fn read_attributes(list: Option<StructureTag>, at: &mut String) -> Result<Vec<RawAttribute>, String> {
    let (mut attributes, mut octets) = (Vec::new(), 0_usize);
    for attribute in constructed(list.ok_or("an entry without attributes")?)? {
        let mut parts = constructed(attribute)?.into_iter();
        let name = primitive(parts.next().ok_or("an attribute without a name")?)?;
        let name = String::from_utf8(name).map_err(|_| "an attribute's name is no UTF-8")?;
        at.clone_from(&name);
        let values = constructed(parts.next().ok_or("an attribute without values")?)?;
        let values = values.into_iter().map(primitive).collect::<Result<Vec<_>, _>>()?;
        octets += values.iter().map(Vec::len).sum::<usize>();
        if octets > ENTRY_OCTETS_MAX {
            return Err(format!("the entry is larger than {ENTRY_OCTETS_MAX} octets"));
        }
        if !values.is_empty() {
            attributes.push((name, values));
        }
    }
    Ok(attributes)
}

/// The addresses of a search continuation (RFC 4511 §4.5.3).
pub(crate) fn read_reference(tag: StructureTag) -> Vec<String> {
    let parts = constructed(tag).unwrap_or_default();
    parts.into_iter().filter_map(|part| String::from_utf8(primitive(part).ok()?).ok()).collect()
}

/// The cookie of `realSearchControlValue ::= SEQUENCE { size INTEGER, cookie OCTET STRING }` (RFC 2696 §2).
pub(crate) fn read_page_cookie(value: &[u8]) -> Result<Vec<u8>, String> {
    let parts = constructed(element(value)?)?;
    primitive(parts.into_iter().nth(1).ok_or("a page without a cookie")?)
}

/// What has become of an entry (RFC 4533 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryState {
    Present,
    Add,
    Modify,
    Delete,
}

/// The Sync State control (RFC 4533 §2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncState {
    pub(crate) state: EntryState,
    pub(crate) uuid: [u8; 16],
    pub(crate) cookie: Option<Vec<u8>>,
}

/// The Sync Info message (RFC 4533 §2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyncInfo {
    NewCookie(Vec<u8>),
    RefreshDelete { cookie: Option<Vec<u8>>, done: bool },
    RefreshPresent { cookie: Option<Vec<u8>>, done: bool },
    IdSet { cookie: Option<Vec<u8>>, deletes: bool, uuids: Vec<[u8; 16]> },
}

const BOOLEAN: u64 = 1;
const OCTET_STRING: u64 = 4;
const SET: u64 = 17;

pub(crate) fn read_sync_state(value: &[u8]) -> Result<SyncState, String> {
    let mut parts = constructed(element(value)?)?.into_iter();
    let state = primitive(parts.next().ok_or("a sync state without a state")?)?;
    let state = match state.as_slice() {
        [0] => EntryState::Present,
        [1] => EntryState::Add,
        [2] => EntryState::Modify,
        [3] => EntryState::Delete,
        other => return Err(format!("the sync state {other:?}")),
    };
    let uuid = uuid(primitive(parts.next().ok_or("a sync state without an entryUUID")?)?)?;
    Ok(SyncState { state, uuid, cookie: parts.next().map(primitive).transpose()? })
}

/// The value of an intermediate response (RFC 4511 §4.13) that is a Sync Info message; `None` where it is another one.
pub(crate) fn read_sync_info(tag: StructureTag) -> Result<Option<SyncInfo>, String> {
    let (mut name, mut value) = (Vec::new(), None);
    for part in constructed(tag)? {
        match part.id {
            0 => name = primitive(part)?,
            1 => value = Some(primitive(part)?),
            _ => {}
        }
    }
    if name != SYNC_INFO.as_bytes() {
        return Ok(None);
    }
    let info = element(&value.ok_or("a sync info without a value")?)?;
    if info.id == 0 {
        return primitive(info).map(|cookie| Some(SyncInfo::NewCookie(cookie)));
    }
    let kind = info.id;
    let (mut cookie, mut flag, mut uuids) = (None, None, Vec::new());
    for part in constructed(info)? {
        match part.id {
            OCTET_STRING => cookie = Some(primitive(part)?),
            BOOLEAN => flag = Some(primitive(part)?.iter().any(|octet| *octet != 0)),
            SET => {
                for one in constructed(part)? {
                    uuids.push(uuid(primitive(one)?)?);
                }
            }
            other => return Err(format!("a sync info with an element {other}")),
        }
    }
    Ok(Some(match kind {
        1 => SyncInfo::RefreshDelete { cookie, done: flag.unwrap_or(true) },
        2 => SyncInfo::RefreshPresent { cookie, done: flag.unwrap_or(true) },
        3 => SyncInfo::IdSet { cookie, deletes: flag.unwrap_or(false), uuids },
        other => return Err(format!("a sync info of kind {other}")),
    }))
}

/// The Sync Info message's name (RFC 4533 §2.5).
const SYNC_INFO: &str = "1.3.6.1.4.1.4203.1.9.1.4";

fn uuid(octets: Vec<u8>) -> Result<[u8; 16], String> {
    <[u8; 16]>::try_from(octets).map_err(|octets| format!("an entryUUID of {} octets", octets.len()))
}

fn element(octets: &[u8]) -> Result<StructureTag, String> {
    parse_tag(octets).map(|(_, tag)| tag).map_err(|_| "an element that is no BER".to_owned())
}

fn constructed(tag: StructureTag) -> Result<Vec<StructureTag>, String> {
    match tag.payload {
        PL::C(parts) => Ok(parts),
        PL::P(_) => Err("an element that has no parts".to_owned()),
    }
}

fn primitive(tag: StructureTag) -> Result<Vec<u8>, String> {
    match tag.payload {
        PL::P(octets) => Ok(octets),
        PL::C(_) => Err("an element that is no octets".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sync_states_are_read() {
        let mut octets = vec![0x30, 0x17, 0x0a, 1, 3, 0x04, 16];
        octets.extend(1..=16);
        octets.extend([0x04, 0]);
        let state = read_sync_state(&octets).unwrap();
        assert_eq!(state.state, EntryState::Delete);
        assert_eq!((state.uuid[0], state.uuid[15]), (1, 16));
        assert_eq!(state.cookie, Some(Vec::new()));
        assert!(read_sync_state(&[0x30, 3, 0x0a, 1, 9]).is_err());
    }

    #[test]
    fn a_page_has_a_cookie() {
        assert_eq!(read_page_cookie(&[0x30, 7, 2, 1, 0, 4, 2, b'a', b'b']).unwrap(), b"ab");
        assert!(read_page_cookie(&[0x30, 3, 2, 1, 0]).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_sync_state(&octets);
            let _ = read_page_cookie(&octets);
            if let Ok(tag) = element(&octets) {
                let _ = (read_entry(tag.clone()), read_sync_info(tag.clone()), read_reference(tag));
            }
        }
    }
}
