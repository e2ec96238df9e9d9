//! LDAP filters (RFC 4515), matched against entries here: for groups whose members are found by a search.

use std::fmt;

use crate::entry::{Entry, is_hidden};

/// Longest filter, in octets (requirements §2.3).
pub const FILTER_OCTETS_MAX: usize = 1024;
/// Deepest nesting of a filter.
const NESTING_MAX: usize = 32;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryFilter {
    /// All of them.
    And(Vec<EntryFilter>),
    /// Any of them.
    Or(Vec<EntryFilter>),
    /// Not this one.
    Not(Box<EntryFilter>),
    /// The attribute is there.
    Present(String),
    /// A value is this, without case.
    Equal(String, Vec<u8>),
    /// A value is this or greater: as numbers where both are, else as texts.
    AtLeast(String, Vec<u8>),
    /// A value is this or less.
    AtMost(String, Vec<u8>),
    /// A value begins, goes on and ends so; each part but those between may be empty.
    Substrings(String, Vec<Vec<u8>>),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFilterError {
    /// It is longer than it may be.
    #[error("the filter is longer than {FILTER_OCTETS_MAX} octets")]
    TooLong,
    /// It is nested too deeply.
    #[error("the filter is nested more than {NESTING_MAX} deep")]
    TooDeep,
    /// Something else stands where a certain sign should.
    #[error("the filter has no {0} at octet {1}")]
    Missing(&'static str, usize),
    /// `:=` is not served.
    #[error("the filter has an extensible match at octet {0}, which is not served here")]
    Extensible(usize),
}

impl EntryFilter {
    /// Reads a filter. Blanks around its parts are let pass.
    ///
    /// # Errors
    /// What is wrong, and at which octet.
    pub fn parse(text: &str) -> Result<Self, EntryFilterError> {
        if text.len() > FILTER_OCTETS_MAX {
            return Err(EntryFilterError::TooLong);
        }
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let filter = reader.filter(0)?;
        reader.blanks();
        if reader.at < reader.text.len() {
            return Err(EntryFilterError::Missing("end", reader.at));
        }
        Ok(filter)
    }

    /// Whether an entry matches. An attribute that is absent matches nothing but its negation.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        // What nobody may read, nobody may find out by asking.
        let any = |name: &str, fits: &dyn Fn(&[u8]) -> bool| !is_hidden(name) && entry.values(name).any(fits);
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(entry)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(entry)),
            Self::Not(part) => !part.matches(entry),
            Self::Present(name) if is_hidden(name) => false,
            Self::Present(name) => name.eq_ignore_ascii_case("objectClass") || !entry.values(name).is_empty(),
            Self::Equal(name, wanted) => any(name, &|value| folded(value) == folded(wanted)),
            Self::AtLeast(name, wanted) => any(name, &|value| compared(value, wanted).is_ge()),
            Self::AtMost(name, wanted) => any(name, &|value| compared(value, wanted).is_le()),
            Self::Substrings(name, parts) => any(name, &|value| contains(&folded(value), parts)),
        }
    }
}

/// Values are compared without case, and without blanks around them.
fn folded(value: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(value) {
        Ok(text) => text.trim().to_lowercase().into_bytes(),
        Err(_) => value.to_vec(),
    }
}

fn compared(value: &[u8], wanted: &[u8]) -> std::cmp::Ordering {
    let number = |octets: &[u8]| std::str::from_utf8(octets).ok()?.trim().parse::<i128>().ok();
    match (number(value), number(wanted)) {
        (Some(value), Some(wanted)) => value.cmp(&wanted),
        _ => folded(value).cmp(&folded(wanted)),
    }
}

fn contains(value: &[u8], parts: &[Vec<u8>]) -> bool {
    let [first, between @ .., last] = parts else { return false };
    let Some(mut rest) = value.strip_prefix(folded(first).as_slice()) else { return false };
    for part in between {
        let part = folded(part);
        let Some(at) = rest.windows(part.len().max(1)).position(|window| window == part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(&folded(last))
}

impl fmt::Display for EntryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |value: &[u8]| {
            let sign = |byte: &u8| match byte {
                b'*' | b'(' | b')' | b'\\' | 0 => format!("\\{byte:02x}"),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\{byte:02x}"),
            };
            value.iter().map(sign).collect::<String>()
        };
        match self {
            Self::And(parts) | Self::Or(parts) => {
                f.write_str(if matches!(self, Self::And(_)) { "(&" } else { "(|" })?;
                parts.iter().try_for_each(|part| write!(f, "{part}"))?;
                f.write_str(")")
            }
            Self::Not(part) => write!(f, "(!{part})"),
            Self::Present(name) => write!(f, "({name}=*)"),
            Self::Equal(name, value) => write!(f, "({name}={})", escaped(value)),
            Self::AtLeast(name, value) => write!(f, "({name}>={})", escaped(value)),
            Self::AtMost(name, value) => write!(f, "({name}<={})", escaped(value)),
            Self::Substrings(name, parts) => {
                let parts: Vec<String> = parts.iter().map(|part| escaped(part)).collect();
                write!(f, "({name}={})", parts.join("*"))
            }
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    fn expect(&mut self, sign: u8, name: &'static str) -> Result<(), EntryFilterError> {
        self.blanks();
        if self.text.get(self.at) != Some(&sign) {
            return Err(EntryFilterError::Missing(name, self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn filter(&mut self, depth: usize) -> Result<EntryFilter, EntryFilterError> {
        if depth >= NESTING_MAX {
            return Err(EntryFilterError::TooDeep);
        }
        self.expect(b'(', "\"(\"")?;
        self.blanks();
        let filter = match self.text.get(self.at) {
            Some(b'&') => EntryFilter::And(self.list(depth)?),
            Some(b'|') => EntryFilter::Or(self.list(depth)?),
            Some(b'!') => {
                self.at += 1;
                EntryFilter::Not(Box::new(self.filter(depth + 1)?))
            }
            _ => self.item()?,
        };
        self.expect(b')', "\")\"")?;
        Ok(filter)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<EntryFilter>, EntryFilterError> {
        self.at += 1;
        let mut parts = Vec::new();
        loop {
            self.blanks();
            if self.text.get(self.at) != Some(&b'(') {
                return Ok(parts);
            }
            parts.push(self.filter(depth + 1)?);
        }
    }

    fn item(&mut self) -> Result<EntryFilter, EntryFilterError> {
        let start = self.at;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-;._".contains(byte);
        while self.text.get(self.at).is_some_and(is_name) {
            self.at += 1;
        }
        let name = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        if name.is_empty() {
            return Err(EntryFilterError::Missing("name of an attribute", start));
        }
        let rest = &self.text[self.at..];
        let (kind, len) = match rest {
            [b':', ..] => return Err(EntryFilterError::Extensible(self.at)),
            [b'>', b'=', ..] => (b'>', 2),
            [b'<', b'=', ..] => (b'<', 2),
            [b'~', b'=', ..] => (b'=', 2),
            [b'=', ..] => (b'=', 1),
            _ => return Err(EntryFilterError::Missing("\"=\"", self.at)),
        };
        self.at += len;
        let mut parts = self.value()?;
        let whole = parts.len() == 1;
        Ok(match kind {
            b'>' if whole => EntryFilter::AtLeast(name, parts.remove(0)),
            b'<' if whole => EntryFilter::AtMost(name, parts.remove(0)),
            b'=' if whole => EntryFilter::Equal(name, parts.remove(0)),
            b'=' if parts.len() == 2 && parts.iter().all(Vec::is_empty) => EntryFilter::Present(name),
            b'=' => EntryFilter::Substrings(name, parts),
            _ => return Err(EntryFilterError::Missing("value without \"*\"", self.at)),
        })
    }

    /// A value, split at its asterisks; `\XX` is an octet (RFC 4515 §3).
    fn value(&mut self) -> Result<Vec<Vec<u8>>, EntryFilterError> {
        let mut parts = vec![Vec::new()];
        loop {
            let octet = match self.text.get(self.at) {
                None | Some(b')') => return Ok(parts),
                Some(b'(') => return Err(EntryFilterError::Missing("\"\\28\" for \"(\"", self.at)),
                Some(b'*') => {
                    self.at += 1;
                    parts.push(Vec::new());
                    continue;
                }
                Some(b'\\') => {
                    let hex =
                        self.text.get(self.at + 1..self.at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
                    let octet = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    self.at += 2;
                    octet.ok_or(EntryFilterError::Missing(
                        "two hexadecimal digits after \"\\\"",
                        self.at - 1,
                    ))?
                }
                Some(octet) => *octet,
            };
            self.at += 1;
            if let Some(last) = parts.last_mut() {
                last.push(octet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dn::Dn;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry::new(Dn::root())
            .with("objectClass", "inetMailUser")
            .with("uid", "u12")
            .with("cn", "Anna Ahl (Köln)")
            .with("l", "Berlin")
            .with("employeeNumber", "17")
    }

    #[test]
    fn filters_match_as_rfc_4515_says() {
        for (filter, expected) in [
            ("(uid=u12)", true),
            ("(UID=U12)", true),
            ("(uid=u1*)", true),
            ("(uid=*2)", true),
            ("(uid=u*2)", true),
            ("(uid=u*3)", false),
            ("(cn=*ah*köln*)", true),
            ("(cn=Anna Ahl \\28K\\c3\\b6ln\\29)", true),
            ("(uid=*)", true),
            ("(mail=*)", false),
            ("(objectClass=*)", true),
            ("(&(l=berlin)(uid=u1*))", true),
            ("(|(l=rom)(uid=u12))", true),
            ("(!(l=rom))", true),
            ("(&)", true),
            ("(|)", false),
            ("(employeeNumber>=9)", true),
            ("(employeeNumber<=9)", false),
            (" ( & ( l=Berlin ) (!(uid=x)) ) ", true),
        ] {
            assert_eq!(EntryFilter::parse(filter).unwrap().matches(&entry()), expected, "{filter}");
        }
    }

    #[test]
    fn nobody_finds_out_a_password_by_asking_for_it() {
        let entry = entry().with("userPassword", "secret").with("authPassword;x-y", "secret");
        for filter in [
            "(userPassword=secret)",
            "(USERPASSWORD=s*)",
            "(userPassword=*)",
            "(userPassword>=a)",
            "(userPassword<=z)",
            "(authPassword;x-y=secret)",
        ] {
            assert!(!EntryFilter::parse(filter).unwrap().matches(&entry), "{filter}");
        }
        // Its negation says as little: it matches whatever the password is.
        assert!(EntryFilter::parse("(!(userPassword=secret))").unwrap().matches(&entry));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for (filter, expected) in [
            ("uid=x", "the filter has no \"(\" at octet 0"),
            ("(uid=x", "the filter has no \")\" at octet 6"),
            ("(uid)", "the filter has no \"=\" at octet 4"),
            ("(=x)", "the filter has no name of an attribute at octet 1"),
            ("(uid=\\zz)", "the filter has no two hexadecimal digits after \"\\\" at octet 6"),
            ("(cn:=x)", "the filter has an extensible match at octet 3, which is not served here"),
            ("(a=b)(c=d)", "the filter has no end at octet 5"),
        ] {
            assert_eq!(EntryFilter::parse(filter).unwrap_err().to_string(), expected, "{filter}");
        }
        assert_eq!(EntryFilter::parse(&"(!".repeat(40)), Err(EntryFilterError::TooDeep));
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_what_is_shown_is_read_back(text in "[(&|!)a-c=*<>\\\\0-9 ]{0,40}") {
            if let Ok(filter) = EntryFilter::parse(&text) {
                let _ = filter.matches(&entry());
                prop_assert_eq!(EntryFilter::parse(&filter.to_string()), Ok(filter));
            }
        }
    }
}
