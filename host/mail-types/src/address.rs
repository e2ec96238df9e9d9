//! Addresses and the paths of MAIL FROM and RCPT TO (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest local part in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// Longest domain in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_MAX: usize = 255;
/// Longest path in octets, angle brackets included (RFC 5321 §4.5.3.1.3).
pub const PATH_MAX: usize = 256;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing stands where an address should.
    #[error("the address is empty")]
    Empty,
    /// No `@` separates local part and domain.
    #[error("the address {0:?} has no \"@\" and domain")]
    NoDomain(String),
    /// The local part breaks RFC 5321 §4.1.2.
    #[error("the local part {0:?} is not valid: quote it, or take out the odd character")]
    LocalPart(String),
    /// The domain breaks RFC 5321 §4.1.2, or IDNA refuses it.
    #[error("the domain {0:?} is not valid")]
    Domain(String),
    /// A part is longer than RFC 5321 §4.5.3.1 allows.
    #[error("the {what} is longer than {max} octets")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The maximum, in octets.
        max: usize,
    },
    /// The path lacks its angle brackets, or carries text after them.
    #[error("the path is not of the form <address>")]
    Path,
}

/// A domain in canonical form: lower case, A-labels (RFC 5890), or an address literal in brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// Reads a domain or an address literal, and brings it to canonical form.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > DOMAIN_MAX {
            return Err(AddressError::TooLong { what: "domain", max: DOMAIN_MAX });
        }
        if text.starts_with('[') {
            return Self::literal(text);
        }
        if text.is_ascii() {
            return if is_ascii_domain(text) {
                Ok(Self(text.to_ascii_lowercase()))
            } else {
                Err(AddressError::Domain(text.to_owned()))
            };
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| AddressError::Domain(text.to_owned()))?;
        if ascii.len() > DOMAIN_MAX || !is_ascii_domain(&ascii) {
            return Err(AddressError::Domain(text.to_owned()));
        }
        Ok(Self(ascii))
    }

    fn literal(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Domain(text.to_owned());
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(error)?;
        let lower = inner.to_ascii_lowercase();
        if let Some(v6) = lower.strip_prefix("ipv6:") {
            let ip: std::net::Ipv6Addr = v6.parse().map_err(|_| error())?;
            return Ok(Self(format!("[ipv6:{ip}]")));
        }
        let ip: std::net::Ipv4Addr = inner.parse().map_err(|_| error())?;
        Ok(Self(format!("[{ip}]")))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The IP address, where this is an address literal.
    #[must_use]
    pub fn as_ip(&self) -> Option<std::net::IpAddr> {
        let inner = self.0.strip_prefix('[')?.strip_suffix(']')?;
        inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
    }

    /// The form for people, with U-labels where the domain has them.
    #[must_use]
    pub fn to_unicode(&self) -> String {
        idna::domain_to_unicode(&self.0).0
    }

    /// The domain above this one: `example.org` for `mail.example.org`.
    #[must_use]
    pub fn parent(&self) -> Option<Domain> {
        if self.0.starts_with('[') {
            return None;
        }
        self.0.split_once('.').map(|(_, rest)| Self(rest.to_owned()))
    }
}

/// Letters, digits, hyphens and (as the field's practice is) underscores, in labels of 1 to 63; no final dot, which
/// is the DNS's own (RFC 5321 §4.1.2).
fn is_ascii_domain(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|label| {
            let bytes = label.as_bytes();
            !bytes.is_empty()
                && bytes.len() <= 63
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
        })
}

impl TryFrom<String> for Domain {
    type Error = AddressError;
    /// What was kept while a final dot was taken stays readable.
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(text.strip_suffix('.').unwrap_or(&text))
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

impl FromStr for Domain {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A local part without its quoting: the text that identifies the recipient.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LocalPart(String);

impl LocalPart {
    /// Takes a local part whose quoting is already removed. Refuses controls, and what is too long.
    pub fn new(text: impl Into<String>) -> Result<Self, AddressError> {
        let text = text.into();
        if text.len() > LOCAL_PART_MAX {
            return Err(AddressError::TooLong { what: "local part", max: LOCAL_PART_MAX });
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::LocalPart(text));
        }
        Ok(Self(text))
    }

    /// Reads a `Dot-string` or `Quoted-string` (RFC 5321 §4.1.2).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError::LocalPart(text.to_owned());
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let Some(quoted) = text.strip_prefix('"') else {
            return if is_dot_string(text) { Self::new(text) } else { Err(error()) };
        };
        let inner = quoted.strip_suffix('"').ok_or_else(error)?;
        let mut plain = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => return Err(error()),
                '\\' => plain.push(chars.next().filter(|c| (' '..='~').contains(c)).ok_or_else(error)?),
                c => plain.push(c),
            }
        }
        Self::new(plain)
    }

    /// The text without quoting.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `Dot-string` of RFC 5321 §4.1.2, with `UTF8-non-ascii` as RFC 6531 §3.3 extends `atext`.
fn is_dot_string(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// `atext` of RFC 5322 §3.2.3 plus octets of UTF-8 (RFC 6531 §3.3).
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || byte >= 0x80
}

impl TryFrom<String> for LocalPart {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::new(text)
    }
}

impl From<LocalPart> for String {
    fn from(part: LocalPart) -> Self {
        part.0
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `local-part@domain` (RFC 5321 §4.1.2 calls it Mailbox; here that word is IMAP's).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Left of the `@`, without quoting.
    pub local: LocalPart,
    /// Right of the `@`, canonical.
    pub domain: Domain,
}

impl Address {
    /// Joins the two parts.
    #[must_use]
    pub fn new(local: LocalPart, domain: Domain) -> Self {
        Self { local, domain }
    }

    /// Reads `local-part@domain`; the local part may be quoted.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let at = at_sign(text).ok_or_else(|| AddressError::NoDomain(text.to_owned()))?;
        Ok(Self { local: LocalPart::parse(&text[..at])?, domain: Domain::parse(&text[at + 1..])? })
    }

    /// Whether SMTPUTF8 is needed to carry it (RFC 6531 §3.3). Domains are A-labels already.
    #[must_use]
    pub fn needs_utf8(&self) -> bool {
        !self.local.as_str().is_ascii()
    }

    /// The key under which tables hold it: lower case throughout. Local parts are compared
    /// without regard to case, as every deployed store does (RFC 5321 §2.4 discourages more).
    #[must_use]
    pub fn to_key(&self) -> String {
        let mut key = self.local.as_str().to_lowercase();
        key.push('@');
        key.push_str(self.domain.as_str());
        key
    }

    /// The address of a key: its local part has no quotes there, whatever stands in it. `None` where it is none, as that of
    /// all other addresses of a domain.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let (local, domain) = key.rsplit_once('@').filter(|(local, _)| !local.is_empty())?;
        Some(Self::new(LocalPart::new(local).ok()?, Domain::parse(domain).ok()?))
    }
}

/// Where the separating `@` stands: the last one outside quotes.
fn at_sign(text: &str) -> Option<usize> {
    if !text.starts_with('"') {
        return text.rfind('@');
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return (text.as_bytes().get(at + 1) == Some(&b'@')).then_some(at + 1),
            _ => {}
        }
    }
    None
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(text.strip_suffix('.').unwrap_or(&text))
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// The argument of MAIL FROM (RFC 5321 §4.1.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: a report, to which no report may ever be sent (RFC 5321 §4.5.5).
    Null,
    /// Where reports go.
    Address(Address),
}

impl ReversePath {
    /// Reads `<>` or `<address>`. A source route is accepted and dropped (RFC 5321 Appendix C).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        let (_, address) = split_path(text)?;
        Ok(Self::Address(Address::parse(address)?))
    }

    /// The address, unless null.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Whether this is `<>`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Display for ReversePath {
    /// With angle brackets, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// The argument of RCPT TO (RFC 5321 §4.1.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain (RFC 5321 §4.5.1).
    Postmaster,
    /// `<address>`, or `<@a,@b:address>` with its source route.
    Address {
        /// Domains of an (obsolete) source route; empty as a rule.
        source_route: Vec<Domain>,
        /// The recipient.
        address: Address,
    },
}

impl ForwardPath {
    /// Reads `<address>`, `<Postmaster>` or a source-routed path.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case("<postmaster>") {
            return Ok(Self::Postmaster);
        }
        let (source_route, address) = split_path(text)?;
        Ok(Self::Address { source_route, address: Address::parse(address)? })
    }
}

impl From<Address> for ForwardPath {
    fn from(address: Address) -> Self {
        Self::Address { source_route: Vec::new(), address }
    }
}

impl fmt::Display for ForwardPath {
    /// With angle brackets, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Address { source_route, address } if source_route.is_empty() => write!(f, "<{address}>"),
            Self::Address { source_route, address } => {
                let route: Vec<String> = source_route.iter().map(|domain| format!("@{domain}")).collect();
                write!(f, "<{}:{address}>", route.join(","))
            }
        }
    }
}

/// Takes `<…>` apart into the domains of a source route and the address.
fn split_path(text: &str) -> Result<(Vec<Domain>, &str), AddressError> {
    if text.len() > PATH_MAX + LOCAL_PART_MAX {
        return Err(AddressError::TooLong { what: "path", max: PATH_MAX });
    }
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(AddressError::Path)?;
    if !inner.starts_with('@') {
        return Ok((Vec::new(), inner));
    }
    let (route, address) = inner.split_once(':').ok_or(AddressError::Path)?;
    let hops = route
        .split(',')
        .map(|hop| Domain::parse(hop.strip_prefix('@').ok_or(AddressError::Path)?))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((hops, address))
}

#[cfg(test)]
mod tests;
