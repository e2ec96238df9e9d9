//! Entries: a name and its attributes (RFC 4512 §2.2).

use std::fmt;
use std::sync::Arc;

use crate::dn::Dn;

/// An attribute: its description as written (type, and options like `;lang-fr`) and its values.
#[derive(Clone, Copy)]
pub struct Attribute<'a> {
    /// The description. Compared without case.
    pub name: &'a str,
    /// The values, at least one, in the order given.
    pub values: Values<'a>,
}

/// The values of one attribute, in the order given.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    octets: &'a [u8],
    places: &'a [Place],
}

impl<'a> Values<'a> {
    /// Whether there are none: the attribute is absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let (first, rest) = self.places.split_first()?;
        self.places = rest;
        Some(&self.octets[first.start..first.end])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.places.len(), Some(self.places.len()))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Where something stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
}

/// An attribute in [`Attributes`].
#[derive(Debug, Clone, Copy)]
struct Named {
    name: Place,
    /// Number of the first value after its own; its own begin where those of the attribute before it end.
    values_end: usize,
}

/// All attributes of an entry, in few pieces of memory: a directory of a million entries is read several times over.
#[derive(Clone, Default)]
struct Attributes {
    /// Names and values, and what else may stand between them.
    octets: Vec<u8>,
    named: Vec<Named>,
    values: Vec<Place>,
    /// A bit for each length that a name has: most of what is asked for is not there.
    lengths: u64,
}

/// The bit of a length, which longer ones share.
fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}

impl Attributes {
    fn iter(&self) -> impl ExactSizeIterator<Item = Attribute<'_>> + Clone {
        (0..self.named.len()).map(|at| Attribute { name: self.name(at), values: self.values(at) })
    }

    fn name(&self, at: usize) -> &str {
        // Only text is put there.
        std::str::from_utf8(self.name_octets(at)).unwrap_or_default()
    }

    fn name_octets(&self, at: usize) -> &[u8] {
        let Place { start, end } = self.named[at].name;
        &self.octets[start..end]
    }

    fn values(&self, at: usize) -> Values<'_> {
        let first = if at == 0 { 0 } else { self.named[at - 1].values_end };
        Values { octets: &self.octets, places: &self.values[first..self.named[at].values_end] }
    }

    fn position(&self, name: &str) -> Option<usize> {
        if self.lengths & length_bit(name.len()) == 0 {
            return None;
        }
        (0..self.named.len()).find(|at| self.name_octets(*at).eq_ignore_ascii_case(name.as_bytes()))
    }

    fn put(&mut self, octets: &[u8]) -> Place {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        Place { start, end: self.octets.len() }
    }

    fn push<'v>(&mut self, name: &str, values: impl IntoIterator<Item = &'v [u8]>) {
        let name = self.put(name.as_bytes());
        for value in values {
            let place = self.put(value);
            self.values.push(place);
        }
        self.lengths |= length_bit(name.end - name.start);
        self.named.push(Named { name, values_end: self.values.len() });
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        let Some(at) = self.position(name) else { return self.push(name, [value]) };
        if self.values(at).any(|known| known == value) {
            return;
        }
        let place = self.put(value);
        self.values.insert(self.named[at].values_end, place);
        self.named[at..].iter_mut().for_each(|named| named.values_end += 1);
    }

    /// As they are stored ([`Entry::write_attributes`]). The octets are taken over in one piece.
    fn read(stored: &[u8]) -> Option<Self> {
        let mut reading = Stored { octets: stored, at: 0 };
        let count = reading.number()?;
        // Each takes two octets at least.
        let mut named = Vec::with_capacity(count.min(stored.len() / 2));
        let mut values = Vec::with_capacity(2 * named.capacity());
        let mut lengths = 0;
        for _ in 0..count {
            let name = reading.octets()?;
            std::str::from_utf8(&stored[name.start..name.end]).ok()?;
            for _ in 0..reading.number()? {
                values.push(reading.octets()?);
            }
            lengths |= length_bit(name.end - name.start);
            named.push(Named { name, values_end: values.len() });
        }
        (reading.at == stored.len()).then(|| Self { octets: stored.to_vec(), named, values, lengths })
    }
}

/// Stored attributes that are being read: numbers and lengths as postcard writes them.
struct Stored<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Stored<'_> {
    fn number(&mut self) -> Option<usize> {
        let rest = self.octets.get(self.at..)?;
        // Nearly all are short: one octet.
        if let Some(number) = rest.first().filter(|first| **first < 0x80) {
            self.at += 1;
            return Some(usize::from(*number));
        }
        let (number, left) = postcard::take_from_bytes::<usize>(rest).ok()?;
        self.at += rest.len() - left.len();
        Some(number)
    }

    fn octets(&mut self) -> Option<Place> {
        let length = self.number()?;
        let start = self.at;
        self.at = start.checked_add(length).filter(|end| *end <= self.octets.len())?;
        Some(Place { start, end: self.at })
    }
}

/// An entry, as its source has it. A clone shares the attributes until one of both is changed.
#[derive(Clone)]
pub struct Entry {
    /// Its name.
    pub dn: Dn,
    attributes: Arc<Attributes>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.dn == other.dn && self.has_same_attributes(other)
    }
}

impl Eq for Entry {}

impl Entry {
    /// An entry without attributes.
    #[must_use]
    pub fn new(dn: Dn) -> Self {
        Self { dn, attributes: Arc::default() }
    }

    /// The same, with room for so many octets, attributes and values.
    pub(crate) fn with_room(dn: Dn, octets: usize, attributes: usize, values: usize) -> Self {
        let attributes = Attributes {
            octets: Vec::with_capacity(octets),
            named: Vec::with_capacity(attributes),
            values: Vec::with_capacity(values),
            lengths: 0,
        };
        Self { dn, attributes: Arc::new(attributes) }
    }

    /// The attributes, in the order in which they were first given.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = Attribute<'_>> + Clone {
        self.attributes.iter()
    }

    /// The same, names as octets: who goes through many entries need not have them looked at each time.
    pub(crate) fn octet_attributes(&self) -> impl ExactSizeIterator<Item = (&[u8], Values<'_>)> {
        let attributes = &*self.attributes;
        (0..attributes.named.len()).map(|at| (attributes.name_octets(at), attributes.values(at)))
    }

    /// The values of an attribute under a name, with options (`;lang-en`) or without.
    pub(crate) fn values_with_options(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is = |given: &[u8]| {
            let (start, rest) = given.split_at_checked(name.len()).unwrap_or_default();
            !start.is_empty()
                && start.eq_ignore_ascii_case(name.as_bytes())
                && rest.first().is_none_or(|next| *next == b';')
        };
        self.octet_attributes().filter(move |(given, _)| is(given)).flat_map(|(_, values)| values)
    }

    /// Whether another one has the same attributes and values, in the same order, letter by letter.
    pub(crate) fn has_same_attributes(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.octet_attributes(), other.octet_attributes());
        mine.len() == theirs.len()
            && mine.zip(theirs).all(|(mine, theirs)| mine.0 == theirs.0 && mine.1.eq(theirs.1))
    }

    /// The values of an attribute; empty where it is absent.
    #[must_use]
    pub fn values(&self, name: &str) -> Values<'_> {
        match self.attributes.position(name) {
            Some(at) => self.attributes.values(at),
            None => Values { octets: &[], places: &[] },
        }
    }

    /// The values that are UTF-8, without the blanks around them.
    pub fn texts<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values(name).filter_map(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// The first value that is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// Whether the attribute has that value, without case.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.texts(name).any(|text| text.eq_ignore_ascii_case(value))
    }

    /// Whether the attribute has that value as names compare both: without case, and with other names of the type.
    pub(crate) fn has_named(&self, name: &str, value: &str) -> bool {
        let as_name = |name: &str, value: &str| Dn::root().child(name, value).ok();
        let wanted = as_name(name, value);
        let is_it = |one: Attribute<'_>| {
            let mut texts = one.values.filter_map(|value| std::str::from_utf8(value).ok());
            texts.any(|text| as_name(one.name, text).is_some_and(|found| Some(found) == wanted))
        };
        self.has(name, value) || self.attributes().any(is_it)
    }

    /// Adds the values that it is named by and lacks: who adds an entry need not give them (RFC 4511 §4.7), and it has them
    /// (RFC 4512 §2.3.2).
    pub(crate) fn complete_name(&mut self) {
        for (name, value) in self.dn.leaf_values() {
            if !self.has_named(&name, &value) {
                self.add(&name, value);
            }
        }
    }

    /// Adds a value; one that is there already is not added again.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        Arc::make_mut(&mut self.attributes).add(name, value.as_ref());
    }

    /// The entry as plugins see it: one pair a value, in order; without secrets, and without what is no text.
    #[must_use]
    pub fn shown(&self) -> hooks::Attributes {
        let shown = self.attributes().filter(|attribute| !is_hidden(attribute.name));
        shown
            .flat_map(|attribute| {
                let texts = attribute.values.filter_map(|value| std::str::from_utf8(value).ok());
                texts.map(move |text| (attribute.name.to_owned(), text.to_owned()))
            })
            .collect()
    }

    /// Octets of all values.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.attributes.values.iter().map(|place| place.end - place.start).sum()
    }

    /// Takes an attribute as it came, without looking for doubles.
    pub(crate) fn push<'v>(&mut self, name: &str, values: impl IntoIterator<Item = &'v [u8]>) {
        Arc::make_mut(&mut self.attributes).push(name, values);
    }

    /// Appends the attributes in the form in which they are stored: what postcard makes of pairs of a name and a list of
    /// values.
    pub(crate) fn write_attributes(&self, stored: &mut Vec<u8>) {
        write_number(stored, self.attributes.named.len());
        for (name, values) in self.octet_attributes() {
            write_octets(stored, name);
            write_number(stored, values.len());
            values.for_each(|value| write_octets(stored, value));
        }
    }

    /// About how many octets that takes, most of the time not less.
    pub(crate) fn stored_octets(&self) -> usize {
        let Attributes { octets, named, values, .. } = &*self.attributes;
        octets.len() + 2 * (named.len() + values.len())
    }

    /// An entry with attributes that were stored so; `None` where they cannot be read.
    pub(crate) fn with_stored(dn: Dn, stored: &[u8]) -> Option<Self> {
        Some(Self { dn, attributes: Arc::new(Attributes::read(stored)?) })
    }

    /// The entry with one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value);
        self
    }

    /// Replaces all values; none removes the attribute.
    pub fn replace(&mut self, name: &str, values: Vec<Vec<u8>>) {
        let mut replaced = Attributes::default();
        for attribute in self.attributes().filter(|one| !one.name.eq_ignore_ascii_case(name)) {
            replaced.push(attribute.name, attribute.values);
        }
        values.iter().for_each(|value| replaced.add(name, value));
        self.attributes = Arc::new(replaced);
    }
}

/// Appends octets with their length before them, as postcard does.
pub(crate) fn write_octets(stored: &mut Vec<u8>, octets: &[u8]) {
    write_number(stored, octets.len());
    stored.extend_from_slice(octets);
}

/// Appends a number as postcard does: seven bits an octet, the lowest first, the eighth where more follow.
fn write_number(stored: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        stored.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    stored.push(number.to_le_bytes()[0]);
}

/// Attributes whose values no log and no listing may show.
fn is_secret(name: &str) -> bool {
    let name = name.split(';').next().unwrap_or(name);
    ["userPassword", "mgrpAuthPassword", "mgrpApprovePassword"].iter().any(|s| s.eq_ignore_ascii_case(name))
}

/// Attributes that no plugin may see, whatever a schema calls them.
pub(crate) fn is_hidden(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.contains("password") || lower.starts_with("scram") || lower.contains("secret")
}

impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_secret(self.name) {
            return write!(f, "{}: [{} hidden]", self.name, self.values.len());
        }
        let values: Vec<_> = self.values.map(String::from_utf8_lossy).collect();
        write!(f, "{}: {values:?}", self.name)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} {:?})", self.dn, self.attributes().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_without_case_and_values_are_a_set() {
        let mut entry = Entry::new(Dn::parse("uid=a,o=b").unwrap()).with("Mail", "a@b").with("mail", "a@b");
        entry.add("MAIL", " c@d ");
        assert_eq!(entry.texts("mail").collect::<Vec<_>>(), ["a@b", "c@d"]);
        assert!(entry.has("mail", "A@B"));
        entry.replace("mail", vec![]);
        assert!(entry.values("mail").is_empty() && entry.attributes().len() == 0);
    }

    #[test]
    fn values_stay_with_their_attributes() {
        let mut entry = Entry::new(Dn::root()).with("a", "1").with("b", "2").with("a", "3").with("c", "4");
        entry.replace("b", ["5", "6", "5"].map(|value| value.as_bytes().to_vec()).to_vec());
        let read = |entry: &Entry| -> Vec<(String, Vec<Vec<u8>>)> {
            let pair = |one: Attribute<'_>| (one.name.to_owned(), one.values.map(<[u8]>::to_vec).collect());
            entry.attributes().map(pair).collect()
        };
        let values = |all: &[&str]| all.iter().map(|one| one.as_bytes().to_vec()).collect::<Vec<_>>();
        let expected = [("a", values(&["1", "3"])), ("c", values(&["4"])), ("b", values(&["5", "6"]))];
        assert_eq!(read(&entry), expected.map(|(name, values)| (name.to_owned(), values)));
        assert_eq!(entry.octets(), 5);
    }

    /// Entries are stored as postcard stores pairs: what older ones wrote is read, and the other way round.
    #[test]
    fn stored_attributes_are_those_of_postcard() {
        let long = "x".repeat(300);
        let entry = Entry::new(Dn::root()).with("mail", "a@b").with("mail", [0xff_u8]).with("cn", &long);
        let mut stored = Vec::new();
        entry.write_attributes(&mut stored);
        let pairs: Vec<(String, Vec<Vec<u8>>)> = vec![
            ("mail".to_owned(), vec![b"a@b".to_vec(), vec![0xff]]),
            ("cn".to_owned(), vec![long.into_bytes()]),
        ];
        assert_eq!(stored, postcard::to_stdvec(&pairs).unwrap());
        assert_eq!(Entry::with_stored(Dn::root(), &stored).unwrap(), entry);
        for end in 0..stored.len() {
            assert!(Entry::with_stored(Dn::root(), &stored[..end]).is_none());
        }
        assert!(Entry::with_stored(Dn::root(), &[stored, vec![0]].concat()).is_none());
    }

    #[test]
    fn passwords_are_nobodys_to_see() {
        for (name, hidden) in [("userPassword", true), ("scramKey", true), ("mail", false)] {
            assert_eq!(is_hidden(name), hidden, "{name}");
        }
        let entry =
            Entry::new(Dn::root()).with("mail", "a@b").with("userPassword", "x").with("mail", [0xff_u8]);
        assert_eq!(entry.shown(), [("mail".to_owned(), "a@b".to_owned())]);
    }

    #[test]
    fn passwords_are_never_shown() {
        let entry = Entry::new(Dn::root()).with("userPassword", "{SSHA}secret");
        assert!(!format!("{entry:?}").contains("secret"));
    }
}
