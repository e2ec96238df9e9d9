//! An entry as a source has it, in the form in which it is kept.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::dn::Dn;
use crate::entry::{Attribute, Entry};
use crate::ldap::answer::{RawAttribute, RawEntry};
use crate::schema::{Field, Schema};
use crate::user_entry::PasswordHash;

/// The lasting name of an entry (RFC 4530).
pub(crate) type Uuid = [u8; 16];

/// An entry with what its source says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The entry, attributes and values sorted: a source gives them no order (RFC 4512 §2.2).
    pub(crate) entry: Entry,
    /// `entryUUID`, where the source has such names.
    pub(crate) uuid: Option<Uuid>,
    /// `modifyTimestamp` (RFC 4512 §3.4.4), by the source's clock.
    pub(crate) modified: Option<String>,
    /// `entryCSN`, or what there is in its place: of two versions of an entry the greater one is the newer one.
    pub(crate) version: String,
    /// [`digest`] of the entry.
    pub(crate) content: u64,
}

/// An entry that cannot be kept at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Its name, as far as it can be read.
    pub(crate) name: String,
    /// Where it is broken.
    pub(crate) attribute: Cow<'static, str>,
    /// What is wrong.
    pub(crate) why: String,
}

impl Found {
    /// Takes an entry as a server sent it. What the server itself keeps about it is set apart; a clear-text password is
    /// left out, and with it goes what no text is: mail can use neither.
    pub(crate) fn read(raw: RawEntry, schema: &Schema) -> Result<Self, Broken> {
        let dn = Dn::parse(&raw.dn).map_err(|why| Broken {
            name: raw.dn.clone(),
            attribute: "dn".into(),
            why: why.to_string(),
        })?;
        let (mut uuid, mut modified, mut csn) = (None, None, None);
        let mut kept: Vec<RawAttribute> = Vec::with_capacity(raw.attributes.len());
        for (name, values) in raw.attributes {
            let text = || values.first().and_then(|value| String::from_utf8(value.clone()).ok());
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("entryUUID") {
                uuid = text().as_deref().and_then(read_uuid);
            } else if is("modifyTimestamp") {
                modified = text();
            } else if is("entryCSN") {
                csn = text();
            } else {
                kept.push((name, values));
            }
        }
        let octets = |(name, values): &RawAttribute| name.len() + values.iter().map(Vec::len).sum::<usize>();
        let values = kept.iter().map(|(_, values)| values.len()).sum();
        let mut entry = Entry::with_room(dn, kept.iter().map(octets).sum(), kept.len(), values);
        kept.sort_by(|(one, _), (other, _)| in_order(one, other));
        for (name, mut values) in kept {
            let is_password = schema.is_named(&name, Field::UserPassword);
            values.retain(|value| {
                std::str::from_utf8(value)
                    .is_ok_and(|text| !is_password || !PasswordHash::new(text).is_clear())
            });
            values.sort_unstable();
            values.dedup();
            if !values.is_empty() {
                entry.push(&name, values.iter().map(Vec::as_slice));
            }
        }
        let version = csn.or_else(|| modified.clone()).unwrap_or_default();
        Ok(Self { content: digest(&entry), entry, uuid, modified, version })
    }

    /// Its name.
    pub(crate) fn dn(&self) -> &Dn {
        &self.entry.dn
    }
}

/// How two names stand to each other, without case.
fn in_order(one: &str, other: &str) -> Ordering {
    let mut orders = one.bytes().zip(other.bytes()).map(|(one, other)| {
        let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
        one.cmp(&other)
    });
    orders.find(|order| order.is_ne()).unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// A digest of what an entry says, of one that was read by [`Found::read`]. It is kept, and only ever held against another one of
/// the same entry: where the library's function changes, entries are compared as a whole once more, and no more than that.
pub(crate) fn digest(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut lower = Vec::new();
    for (name, values) in entry.octet_attributes() {
        lower.clear();
        lower.extend(name.iter().map(u8::to_ascii_lowercase));
        // The lengths too: two values are not one.
        (lower.as_slice(), values.len()).hash(&mut hasher);
        values.for_each(|value| value.hash(&mut hasher));
    }
    hasher.finish()
}

/// Whether two entries say the same. The order of values has no meaning, nor has that of attributes.
pub(crate) fn same_content(a: &Entry, b: &Entry) -> bool {
    if a.has_same_attributes(b) {
        return true;
    }
    let sorted = |entry: &Entry| {
        let pair = |attribute: Attribute<'_>| {
            let mut values: Vec<Vec<u8>> = attribute.values.map(<[u8]>::to_vec).collect();
            values.sort_unstable();
            (attribute.name.to_ascii_lowercase(), values)
        };
        let mut attributes: Vec<_> = entry.attributes().map(pair).collect();
        attributes.sort_unstable();
        attributes
    };
    sorted(a) == sorted(b)
}

/// `8-4-4-4-12` hexadecimal digits (RFC 4530 §2.1).
fn read_uuid(text: &str) -> Option<Uuid> {
    let mut uuid = [0; 16];
    let mut digits = text.bytes().filter(|octet| *octet != b'-');
    for octet in &mut uuid {
        let mut digit = || char::from(digits.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        *octet = u8::try_from(16 * high + low).ok()?;
    }
    digits.next().is_none().then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(dn: &str, attributes: &[(&str, &[&[u8]])]) -> RawEntry {
        let attributes = attributes
            .iter()
            .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| value.to_vec()).collect()));
        RawEntry { dn: dn.to_owned(), attributes: attributes.collect() }
    }

    #[test]
    fn what_the_server_keeps_is_set_apart() {
        let found = Found::read(
            raw(
                "uid=a,o=isp",
                &[
                    ("mail", &[b"a@d.test"]),
                    ("entryUUID", &[b"550e8400-e29b-41d4-a716-446655440000"]),
                    ("modifyTimestamp", &[b"20261127040000Z"]),
                    ("entryCSN", &[b"20261127040000.000001Z#000000#000#000000"]),
                ],
            ),
            &Schema::product(),
        )
        .unwrap();
        assert_eq!(found.uuid.unwrap()[..2], [0x55, 0x0e]);
        assert_eq!(found.modified.as_deref(), Some("20261127040000Z"));
        assert!(found.version.starts_with("20261127040000.000001Z"));
        assert_eq!(found.entry.attributes().len(), 1);
    }

    #[test]
    fn a_lasting_name_has_32_digits() {
        for (text, first) in [
            ("550e8400-e29b-41d4-a716-446655440000", Some(0x55)),
            ("AB0E8400E29B41D4A716446655440000", Some(0xab)),
            ("550e8400-e29b-41d4-a716-44665544000", None),
            ("550e8400-e29b-41d4-a716-4466554400001", None),
            ("+50e8400-e29b-41d4-a716-446655440000", None),
            ("", None),
        ] {
            assert_eq!(read_uuid(text).map(|uuid| uuid[0]), first, "{text}");
        }
    }

    #[test]
    fn clear_text_passwords_and_what_is_no_text_are_left_out() {
        let found = Found::read(
            raw(
                "uid=a,o=isp",
                &[
                    ("userPassword", &[b"secret", b"{SSHA}abc"]),
                    ("jpegPhoto", &[b"\xff\xd8"]),
                    ("cn", &[b"b", b"a"]),
                ],
            ),
            &Schema::product(),
        )
        .unwrap();
        assert!(found.entry.values("userPassword").eq([b"{SSHA}abc"]));
        assert!(found.entry.values("cn").eq([b"a", b"b"]));
        assert!(found.entry.values("jpegPhoto").is_empty());
    }

    #[test]
    fn a_name_that_is_none_is_told() {
        let broken = Found::read(raw("nonsense", &[]), &Schema::product()).unwrap_err();
        assert_eq!((broken.name.as_str(), &*broken.attribute), ("nonsense", "dn"));
    }

    #[test]
    fn order_is_no_content() {
        let a = Entry::new(Dn::root()).with("cn", "x").with("mail", "1").with("mail", "2");
        let b = Entry::new(Dn::root()).with("Mail", "2").with("mail", "1").with("CN", "x");
        assert!(same_content(&a, &b));
        assert!(!same_content(&a, &b.with("cn", "y")));
    }
}
