//! Search filters (RFC 4515), built and never pasted: what a value holds can only be a value.

use std::fmt;

use crate::dn::{DnError, is_type};

/// Longest filter of others that is taken, in octets.
const FILTER_OCTETS_MAX: usize = 4096;

/// A filter. Its text is valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// Every entry: `(objectClass=*)`.
    #[must_use]
    pub fn everything() -> Self {
        Self("(objectClass=*)".to_owned())
    }

    /// `(attribute=value)`; the value is escaped, an asterisk is an asterisk.
    pub fn equals(attribute: &str, value: impl AsRef<[u8]>) -> Result<Self, DnError> {
        Self::compared(attribute, "=", value.as_ref())
    }

    /// `(attribute>=value)`, by the attribute's own order.
    pub fn at_least(attribute: &str, value: impl AsRef<[u8]>) -> Result<Self, DnError> {
        Self::compared(attribute, ">=", value.as_ref())
    }

    /// A filter that somebody else wrote; `None` where it is none.
    pub(crate) fn parsed(text: &str) -> Option<Self> {
        let fits = text.len() <= FILTER_OCTETS_MAX && ldap3::parse_filter(text).is_ok();
        fits.then(|| Self(text.to_owned()))
    }

    fn compared(attribute: &str, operator: &str, value: &[u8]) -> Result<Self, DnError> {
        if !is_type(attribute) {
            return Err(DnError::Type(attribute.to_owned()));
        }
        Ok(Self(format!("({attribute}{operator}{})", escaped(value))))
    }

    /// One of them, at least. Of none: nothing (RFC 4526 §2).
    #[must_use]
    pub fn any(filters: Vec<Filter>) -> Self {
        Self::joined('|', filters)
    }

    /// All of them.
    #[must_use]
    pub fn all(filters: Vec<Filter>) -> Self {
        Self::joined('&', filters)
    }

    fn joined(operator: char, mut filters: Vec<Filter>) -> Self {
        if filters.len() == 1 {
            return filters.swap_remove(0);
        }
        let inner: String = filters.into_iter().map(|filter| filter.0).collect();
        Self(format!("({operator}{inner})"))
    }

    /// The text of RFC 4515 §3.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `valueencoding` of RFC 4515 §3: what must be escaped is, and with it everything that is no printable ASCII.
fn escaped(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value {
        match octet {
            b'(' | b')' | b'*' | b'\\' => text.push_str(&format!("\\{octet:02x}")),
            b' '..=b'~' => text.push(char::from(*octet)),
            _ => text.push_str(&format!("\\{octet:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn filters_are_written_as_rfc_4515_shows() {
        let value = Filter::equals("o", "Parens R Us (for all your parenthetical needs)").unwrap();
        assert_eq!(value.as_str(), r"(o=Parens R Us \28for all your parenthetical needs\29)");
        assert_eq!(Filter::equals("cn", "*").unwrap().as_str(), r"(cn=\2a)");
        assert_eq!(Filter::equals("filename", r"C:\MyFile").unwrap().as_str(), r"(filename=C:\5cMyFile)");
        assert_eq!(Filter::equals("bin", [0, 0, 0, 4]).unwrap().as_str(), r"(bin=\00\00\00\04)");
        assert_eq!(Filter::equals("sn", "Lučić").unwrap().as_str(), r"(sn=Lu\c4\8di\c4\87)");
        let (a, b) = (Filter::equals("a", "1").unwrap(), Filter::at_least("b", "2").unwrap());
        assert_eq!(Filter::any(vec![a.clone(), b.clone()]).as_str(), "(|(a=1)(b>=2))");
        assert_eq!(Filter::all(vec![a.clone(), b]).as_str(), "(&(a=1)(b>=2))");
        assert_eq!(Filter::any(vec![a.clone()]), a);
        assert!(Filter::equals("mail)(uid=*", "x").is_err() && Filter::equals("", "x").is_err());
    }

    proptest! {
        /// No value ends its assertion, begins another one, or becomes a pattern.
        #[test]
        fn no_value_breaks_out(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let filter = Filter::equals("mail", &value).unwrap();
            let inner = filter.as_str().strip_prefix("(mail=").unwrap().strip_suffix(')').unwrap();
            prop_assert!(inner.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert!(!inner.contains(['(', ')', '*']));
            let mut octets = Vec::new();
            let mut rest = inner.bytes();
            while let Some(octet) = rest.next() {
                octets.push(if octet == b'\\' {
                    let pair = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap()
                } else {
                    octet
                });
            }
            prop_assert_eq!(octets, value);
            prop_assert!(ldap3::parse_filter(filter.as_str()).is_ok());
        }
    }
}
