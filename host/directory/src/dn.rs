//! Distinguished names (RFC 4514): reading, writing, and the normal form that compares them.

mod plain;
mod rdn;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use mail_types::Domain;

pub(crate) use self::rdn::is_type;
use self::rdn::{Rdn, RdnValue, first_level, read_levels};

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

/// A distinguished name, leaf first. Names are equal when their normal forms are: types without
/// case and OIDs by their short names, values without case and with runs of spaces as one
/// (caseIgnoreMatch, RFC 4518, for ASCII and the simple case folds of Unicode). A clone is the same name, and costs nothing
/// to speak of; so does the name above.
#[derive(Clone)]
pub struct Dn {
    /// The normal form, root first, each level ended by NUL: a prefix is an ancestor. Right behind it the string form,
    /// leaf first: a suffix is an ancestor. Both of the name that was read, and of those above it.
    octets: Arc<str>,
    /// Where the normal form ends.
    key_end: usize,
    /// Where the string form begins.
    text_start: usize,
    /// Whether nothing in the string form is escaped, and no level has several parts: commas and equals signs alone tell
    /// where what is.
    is_plain: bool,
}

impl Dn {
    /// The name of no levels, above every root.
    #[must_use]
    pub fn root() -> Self {
        Self { octets: Arc::from(""), key_end: 0, text_start: 0, is_plain: true }
    }

    /// Reads the string form of RFC 4514 §3. Spaces around separators are taken, as older
    /// writers leave them (RFC 4514 Appendix A, RFC 2253 §4).
    pub fn parse(text: &str) -> Result<Self, DnError> {
        if text.len() > DN_MAX {
            return Err(DnError::TooLong);
        }
        if let Some(dn) = plain::read(text) {
            return Ok(dn);
        }
        if text.trim().is_empty() {
            return Ok(Self::root());
        }
        Self::from_levels(&read_levels(text)?)
    }

    fn from_levels(levels: &[Rdn]) -> Result<Self, DnError> {
        if levels.len() > RDN_MAX {
            return Err(DnError::TooLong);
        }
        let mut octets =
            levels.iter().rev().fold(String::new(), |key, level| key + &level.to_normal() + "\0");
        let key_end = octets.len();
        for (at, level) in levels.iter().enumerate() {
            octets.push_str(if at > 0 { "," } else { "" });
            octets.push_str(&level.to_string());
        }
        let text = &octets[key_end..];
        let is_plain = levels.is_empty() || plain::read(text).is_some_and(|plain| plain.as_str() == text);
        Ok(Self { octets: octets.into(), key_end, text_start: key_end, is_plain })
    }

    /// The string form of RFC 4514 §2.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.octets[self.text_start..]
    }

    fn levels(&self) -> Vec<Rdn> {
        // It was written by `from_levels` or `plain`, and what they write can be read.
        if self.text_start == self.octets.len() {
            Vec::new()
        } else {
            read_levels(self.as_str()).unwrap_or_default()
        }
    }

    /// The name one level below this one.
    pub fn child(&self, attribute: &str, value: &str) -> Result<Self, DnError> {
        if !is_type(attribute) {
            return Err(DnError::Type(attribute.to_owned()));
        }
        if value.is_empty() || value.len() > DN_MAX {
            return Err(DnError::Value(value.to_owned()));
        }
        if let Some(child) = plain::child(self, attribute, value) {
            return Ok(child);
        }
        let leaf = Rdn(vec![(attribute.to_owned(), RdnValue::Text(value.to_owned()))]);
        let levels: Vec<Rdn> = std::iter::once(leaf).chain(self.levels()).collect();
        Self::from_levels(&levels)
    }

    /// The `dc=` levels that mirror a domain (RFC 2247 §2) below a suffix: `example.org` below
    /// `o=internet` is `dc=example,dc=org,o=internet`.
    pub fn from_domain(domain: &Domain, suffix: &Dn) -> Result<Self, DnError> {
        domain.as_str().rsplit('.').try_fold(suffix.clone(), |above, label| above.child("dc", label))
    }

    /// The domain that the leading `dc=` levels mirror (RFC 2247 §3), if the leaf is one.
    #[must_use]
    pub fn to_domain(&self) -> Option<Domain> {
        // Most names are no domain's: their last level says so.
        if self.is_plain && !plain::is_dc(self.as_str()) {
            return None;
        }
        let levels = self.levels();
        let labels: Vec<&str> = levels.iter().map_while(|level| level.single("dc")).collect();
        if labels.is_empty() {
            return None;
        }
        Domain::parse(&labels.join(".")).ok()
    }

    /// The name one level up; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let above = self.key().strip_suffix(b"\0")?;
        let key_end = above.iter().rposition(|octet| *octet == 0).map_or(0, |nul| nul + 1);
        let text = self.as_str();
        let leaf = if self.is_plain { text.find(',').unwrap_or(text.len()) } else { first_level(text).len() };
        // After the leaf comes the comma, unless it is all there is.
        let text_start = (self.text_start + leaf + 1).min(self.octets.len());
        Some(Self { octets: Arc::clone(&self.octets), key_end, text_start, is_plain: self.is_plain })
    }

    /// Whether this name is the other, or lies below it.
    #[must_use]
    pub fn is_within(&self, ancestor: &Dn) -> bool {
        self.key().starts_with(ancestor.key())
    }

    /// The first attribute and value of the leaf, where the value is a string.
    #[must_use]
    pub fn leaf(&self) -> Option<(String, String)> {
        match self.levels().into_iter().next()?.0.into_iter().next()? {
            (name, RdnValue::Text(value)) => Some((name, value)),
            (_, RdnValue::Ber(_)) => None,
        }
    }

    /// Every attribute and value of the leaf, string values only.
    #[must_use]
    pub fn leaf_values(&self) -> Vec<(String, String)> {
        let leaf = self.levels().into_iter().next();
        let values = leaf.into_iter().flat_map(|level| level.0).filter_map(|(name, value)| match value {
            RdnValue::Text(value) => Some((name, value)),
            RdnValue::Ber(_) => None,
        });
        values.collect()
    }

    /// Number of levels.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.key().iter().filter(|octet| **octet == 0).count()
    }

    /// Key bytes: the normal form, root first, each level ended by NUL. The entries of a
    /// subtree are those whose keys start with the key of its top.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.octets.as_bytes()[..self.key_end]
    }
}

impl PartialEq for Dn {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Dn {}

impl Hash for Dn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
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
        self.key().cmp(other.key())
    }
}

impl fmt::Display for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Dn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Dn {
    type Err = DnError;
    fn from_str(text: &str) -> Result<Self, DnError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
