//! Distinguished names (RFC 4514): reading, writing, and the normal form that compares them.

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use mail_types::Domain;

/// Longest name, as text, in octets.
pub const DN_MAX: usize = 2048;
/// Most relative names in one name.
pub const RDN_MAX: usize = 64;

/// Why a text is no distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnError {
    /// Longer than [`DN_MAX`], or deeper than [`RDN_MAX`].
    #[error("the name is longer than {DN_MAX} octets or {RDN_MAX} levels")]
    TooLong,
    /// A relative name lacks its `=`.
    #[error("{0:?} is no relative name: write attribute=value")]
    NoEquals(String),
    /// The attribute type is no `descr` and no `numericoid` (RFC 4512 §1.4).
    #[error("{0:?} is no attribute type: letters, digits and hyphens, or a dotted number")]
    Type(String),
    /// The value breaks RFC 4514 §3.
    #[error("the value {0:?} is not valid: escape , + \" \\ < > ; with a backslash")]
    Value(String),
}

/// The value in a relative name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RdnValue {
    /// A string.
    Text(String),
    /// BER octets, written `#04024869` (RFC 4514 §2.4).
    Ber(Vec<u8>),
}

/// One level of a name: one attribute and value as a rule, several joined by `+` at times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rdn(Vec<(String, RdnValue)>);

/// A distinguished name, leaf first. Names are equal when their normal forms are: types without
/// case and OIDs by their short names, values without case and with runs of spaces as one
/// (caseIgnoreMatch, RFC 4518, for ASCII and the simple case folds of Unicode). A clone is the same name, and costs nothing
/// to speak of.
#[derive(Clone)]
pub struct Dn {
    /// The levels, leaf first; the first `skipped` ones are of names below this one.
    levels: Arc<[Rdn]>,
    skipped: usize,
    /// The normal form, root first, each level ended by NUL: a prefix is an ancestor.
    key: Arc<str>,
}

impl Dn {
    /// The name of no levels, above every root.
    #[must_use]
    pub fn root() -> Self {
        Self { levels: Arc::new([]), skipped: 0, key: Arc::from("") }
    }

    /// Reads the string form of RFC 4514 §3. Spaces around separators are taken, as older
    /// writers leave them (RFC 4514 Appendix A, RFC 2253 §4).
    pub fn parse(text: &str) -> Result<Self, DnError> {
        if text.len() > DN_MAX {
            return Err(DnError::TooLong);
        }
        if text.trim().is_empty() {
            return Ok(Self::root());
        }
        let rdns = split(text, |c| c == ',' || c == ';')
            .into_iter()
            .map(Rdn::parse)
            .collect::<Result<Vec<_>, _>>()?;
        Self::from_rdns(rdns)
    }

    fn from_rdns(rdns: Vec<Rdn>) -> Result<Self, DnError> {
        if rdns.len() > RDN_MAX {
            return Err(DnError::TooLong);
        }
        let key = rdns.iter().rev().fold(String::new(), |key, rdn| key + &rdn.to_normal() + "\0");
        Ok(Self { levels: rdns.into(), skipped: 0, key: key.into() })
    }

    fn rdns(&self) -> &[Rdn] {
        &self.levels[self.skipped..]
    }

    /// The name one level below this one.
    pub fn child(&self, attribute: &str, value: &str) -> Result<Self, DnError> {
        if !is_type(attribute) {
            return Err(DnError::Type(attribute.to_owned()));
        }
        if value.is_empty() || value.len() > DN_MAX {
            return Err(DnError::Value(value.to_owned()));
        }
        let leaf = Rdn(vec![(attribute.to_owned(), RdnValue::Text(value.to_owned()))]);
        Self::from_rdns(std::iter::once(leaf).chain(self.rdns().iter().cloned()).collect())
    }

    /// The `dc=` levels that mirror a domain (RFC 2247 §2) below a suffix: `example.org` below
    /// `o=internet` is `dc=example,dc=org,o=internet`.
    pub fn from_domain(domain: &Domain, suffix: &Dn) -> Result<Self, DnError> {
        domain.as_str().rsplit('.').try_fold(suffix.clone(), |above, label| above.child("dc", label))
    }

    /// The domain that the leading `dc=` levels mirror (RFC 2247 §3), if the leaf is one.
    #[must_use]
    pub fn to_domain(&self) -> Option<Domain> {
        let labels: Vec<&str> = self.rdns().iter().map_while(|rdn| rdn.single("dc")).collect();
        if labels.is_empty() {
            return None;
        }
        Domain::parse(&labels.join(".")).ok()
    }

    /// The name one level up; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let leaf = self.rdns().first()?;
        let above = self.key.len() - leaf.to_normal().len() - 1;
        let (levels, skipped) = (Arc::clone(&self.levels), self.skipped + 1);
        Some(Self { levels, skipped, key: Arc::from(&self.key[..above]) })
    }

    /// Whether this name is the other, or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Dn) -> bool {
        self.key.starts_with(&*ancestor.key)
    }

    /// The first attribute and value of the leaf, where the value is a string.
    #[must_use]
    pub fn leaf(&self) -> Option<(&str, &str)> {
        match self.rdns().first()?.0.first()? {
            (name, RdnValue::Text(value)) => Some((name, value)),
            (_, RdnValue::Ber(_)) => None,
        }
    }

    /// Every attribute and value of the leaf, string values only.
    pub fn leaf_values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rdns().first().into_iter().flat_map(|rdn| &rdn.0).filter_map(|(name, value)| match value {
            RdnValue::Text(value) => Some((name.as_str(), value.as_str())),
            RdnValue::Ber(_) => None,
        })
    }

    /// Number of levels.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.rdns().len()
    }

    /// Key bytes: the normal form, root first, each level ended by NUL. The entries of a
    /// subtree are those whose keys start with the key of its top.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.as_bytes()
    }
}

impl Rdn {
    fn parse(text: &str) -> Result<Self, DnError> {
        let parts = split(text, |c| c == '+').into_iter().map(|part| {
            let (name, value) =
                part.split_once('=').ok_or_else(|| DnError::NoEquals(part.trim().to_owned()))?;
            let name = name.trim();
            if !is_type(name) {
                return Err(DnError::Type(name.to_owned()));
            }
            Ok((name.to_owned(), RdnValue::parse(value)?))
        });
        parts.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// The value, where this level has one attribute, of that type.
    fn single(&self, attribute: &str) -> Option<&str> {
        match self.0.as_slice() {
            [(name, RdnValue::Text(value))] if normal_type(name) == attribute => Some(value),
            _ => None,
        }
    }

    fn to_normal(&self) -> String {
        let mut parts: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}={}", normal_type(name), value.to_normal()))
            .collect();
        // The order of the parts has no meaning (RFC 4514 §2.2).
        parts.sort_unstable();
        parts.join("+")
    }
}

impl RdnValue {
    fn parse(text: &str) -> Result<Self, DnError> {
        let error = || DnError::Value(text.to_owned());
        let text = trim_unescaped(text);
        if let Some(hex) = text.strip_prefix('#') {
            return decode_hex(hex).map(Self::Ber).ok_or_else(error);
        }
        if let Some(quoted) = text.strip_prefix('"') {
            // RFC 2253 §4 asks readers to take the quoted form of RFC 1779.
            let inner = quoted.strip_suffix('"').ok_or_else(error)?;
            return unescape(inner, "\"").map(Self::Text).ok_or_else(error);
        }
        unescape(text, "\"+,;<>").map(Self::Text).ok_or_else(error)
    }

    fn to_normal(&self) -> String {
        match self {
            Self::Ber(_) => self.to_string(),
            Self::Text(text) => {
                let folded = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
                Self::Text(folded).to_string()
            }
        }
    }
}

impl fmt::Display for RdnValue {
    /// Escaped by RFC 4514 §2.4.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Text(text) => text,
            Self::Ber(octets) => {
                f.write_char('#')?;
                return octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"));
            }
        };
        let last = text.len().saturating_sub(1);
        for (at, c) in text.char_indices() {
            match c {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
                '#' | ' ' if at == 0 => write!(f, "\\{c}")?,
                ' ' if at == last => f.write_str("\\ ")?,
                c if c.is_ascii_control() => write!(f, "\\{:02X}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Cuts at separators that are neither escaped nor in quotes.
fn split(text: &str, is_separator: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut parts, mut start, mut escaped, mut quoted) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && is_separator(c) => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Takes spaces off both ends, but leaves a last one that is escaped.
fn trim_unescaped(text: &str) -> &str {
    let text = text.trim_start_matches(' ');
    let trimmed = text.trim_end_matches(' ');
    let backslashes = trimmed.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if backslashes % 2 == 1 && trimmed.len() < text.len() { &text[..=trimmed.len()] } else { trimmed }
}

/// Resolves `\,` and `\2C` (RFC 4514 §3). `None` for a bare special, or what is no UTF-8.
fn unescape(text: &str, specials: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            if c == '\0' || specials.contains(c) {
                return None;
            }
            octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let first = rest.next()?;
        if "\\ \"#+,;<=>".contains(first) {
            octets.push(first as u8);
            continue;
        }
        let pair = [first, rest.next()?];
        let octet = pair.iter().try_fold(0, |octet, digit| Some(octet * 16 + digit.to_digit(16)?))?;
        octets.push(u8::try_from(octet).ok()?);
    }
    String::from_utf8(octets).ok()
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// `descr` or `numericoid` (RFC 4512 §1.4).
pub(crate) fn is_type(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(first) if first.is_ascii_alphabetic() => bytes.all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        Some(first) if first.is_ascii_digit() => {
            text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()))
        }
        _ => false,
    }
}

/// Lower case, short names for the OIDs of RFC 4514 §3.
fn normal_type(name: &str) -> String {
    match name {
        "2.5.4.3" => "cn".to_owned(),
        "2.5.4.6" => "c".to_owned(),
        "2.5.4.7" => "l".to_owned(),
        "2.5.4.8" => "st".to_owned(),
        "2.5.4.9" => "street".to_owned(),
        "2.5.4.10" => "o".to_owned(),
        "2.5.4.11" => "ou".to_owned(),
        "0.9.2342.19200300.100.1.25" => "dc".to_owned(),
        "0.9.2342.19200300.100.1.1" => "uid".to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Dn {}

impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialOrd for Dn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Dn {
    /// Ancestors before what lies below them.
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, rdn) in self.rdns().iter().enumerate() {
            if level > 0 {
                f.write_char(',')?;
            }
            for (part, (name, value)) in rdn.0.iter().enumerate() {
                let plus = if part > 0 { "+" } else { "" };
                write!(f, "{plus}{name}={value}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Dn {
    type Err = DnError;
    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_rfc_4514_are_read_and_written() {
        for text in [
            "UID=jsmith,DC=example,DC=net",
            "OU=Sales+CN=J.  Smith,DC=example,DC=net",
            r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#,
            r"CN=Before\0DAfter,DC=example,DC=net",
            "1.3.6.1.4.1.1466.0=#04024869",
        ] {
            assert_eq!(Dn::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Dn::parse(r"CN=Lu\C4\8Di\C4\87").unwrap().to_string(), "CN=Lučić");
    }

    #[test]
    fn names_compare_by_their_normal_form() {
        for (a, b) in [
            ("UID=JSmith, DC=Example ,DC=net", "uid=jsmith,dc=example,dc=net"),
            ("OU=Sales+CN=J.  Smith,DC=net", "cn=j. smith+ou=sales,dc=net"),
            ("2.5.4.10=isp", "o=ISP"),
            (r"cn=a\2Cb", r"cn=a\,b"),
            (r#"cn="a,b";o=x"#, r"cn=a\,b,o=x"),
        ] {
            assert_eq!(Dn::parse(a).unwrap(), Dn::parse(b).unwrap(), "{a} {b}");
        }
        assert_ne!(Dn::parse(r"cn=a\,b").unwrap(), Dn::parse("cn=a,cn=b").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["jsmith", "=x", "1a=x", "cn=a,", "cn=a<b", r"cn=a\", r"cn=\zz", r"cn=\ff", "cn=#0", "cn=\"a"]
        {
            assert!(Dn::parse(text).is_err(), "{text}");
        }
        assert_eq!(Dn::parse(&"o=a,".repeat(600)), Err(DnError::TooLong));
    }

    #[test]
    fn a_subtree_is_a_prefix_of_keys() {
        let top = Dn::parse("o=example.org,o=isp").unwrap();
        let user = top.child("ou", "People").unwrap().child("uid", "user1").unwrap();
        assert!(user.is_within(&top) && user.key().starts_with(top.key()) && user.depth() == 4);
        assert!(!Dn::parse("o=example.organic,o=isp").unwrap().is_within(&top));
        assert_eq!(user.parent().unwrap().parent().unwrap(), top);
        assert_eq!(user.leaf(), Some(("uid", "user1")));
        assert!(user.is_within(&Dn::root()) && Dn::root().parent().is_none());
    }

    #[test]
    fn domains_and_dc_levels_mirror_each_other() {
        let suffix = Dn::parse("o=internet").unwrap();
        let domain = Domain::parse("branch.example.org").unwrap();
        let dn = Dn::from_domain(&domain, &suffix).unwrap();
        assert_eq!(dn.to_string(), "dc=branch,dc=example,dc=org,o=internet");
        assert_eq!(dn.to_domain(), Some(domain));
        assert_eq!(suffix.to_domain(), None);
    }

    proptest! {
        #[test]
        fn any_value_survives_writing_and_reading(values in prop::collection::vec("[^\0]{1,12}", 1..5)) {
            let dn = values.iter().try_fold(Dn::root(), |above, value| above.child("cn", value)).unwrap();
            let read = Dn::parse(&dn.to_string()).unwrap();
            prop_assert_eq!(&read, &dn);
            prop_assert_eq!(read.leaf().map(|(_, v)| v.to_owned()), values.last().cloned());
        }

        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = Dn::parse(&text);
        }
    }
}
