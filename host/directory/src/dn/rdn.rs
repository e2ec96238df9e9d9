//! The levels of a name (RFC 4514 §2, §3), escapes and all.

use std::fmt::{self, Write as _};

use super::DnError;

/// The value in a relative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RdnValue {
    /// A string.
    Text(String),
    /// BER octets, written `#04024869` (RFC 4514 §2.4).
    Ber(Vec<u8>),
}

/// One level of a name: one attribute and value as a rule, several joined by `+` at times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rdn(pub(super) Vec<(String, RdnValue)>);

/// Reads the levels of a name, leaf first.
pub(super) fn read_levels(text: &str) -> Result<Vec<Rdn>, DnError> {
    split(text, |c| c == ',' || c == ';').into_iter().map(Rdn::parse).collect()
}

/// The octets of the first level of a name as it is written here: what stands before the comma.
pub(super) fn first_level(text: &str) -> &str {
    split(text, |c| c == ',').first().copied().unwrap_or_default()
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
    pub(super) fn single(&self, attribute: &str) -> Option<&str> {
        match self.0.as_slice() {
            [(name, RdnValue::Text(value))] if normal_type(name) == attribute => Some(value),
            _ => None,
        }
    }

    pub(super) fn to_normal(&self) -> String {
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

impl fmt::Display for Rdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, (name, value)) in self.0.iter().enumerate() {
            let plus = if part > 0 { "+" } else { "" };
            write!(f, "{plus}{name}={value}")?;
        }
        Ok(())
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
pub(super) fn normal_type(name: &str) -> String {
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
