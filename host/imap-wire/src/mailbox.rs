//! Mailbox names, and modified UTF-7 (RFC 3501 §5.1.3).

use std::fmt;

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::cursor::{Cursor, ParseError};
use crate::limits::Limits;

/// Longest mailbox name, in octets of UTF-8.
const NAME_OCTETS_MAX: usize = 1000;

/// Why a text is no mailbox name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid modified UTF-7")]
pub struct MailboxError;

/// A mailbox's name as the client gave it, in UTF-8: hierarchy and all. `INBOX` in any case is
/// `INBOX`, also as the first part of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// The mailbox that every account has (RFC 3501 §5.1).
    pub const INBOX: &str = "INBOX";

    /// A name from UTF-8.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let head = name.split('/').next().unwrap_or(name);
        if head.eq_ignore_ascii_case(Self::INBOX) {
            return Self(format!("{}{}", Self::INBOX, &name[head.len()..]));
        }
        Self(name.to_owned())
    }

    /// The name in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `INBOX` itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == Self::INBOX
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// ```text
/// mailbox         = "INBOX" / astring
/// ```
pub(crate) fn mailbox(cursor: &mut Cursor<'_>) -> Result<MailboxName, ParseError> {
    let octets = cursor.astring("a mailbox name")?;
    if octets.len() > NAME_OCTETS_MAX {
        return Err(ParseError::MailboxName);
    }
    decode_name(&octets, cursor.limits).map(|name| MailboxName::new(&name))
}

/// A name or pattern from the wire. UTF-8 beyond ASCII is taken as it stands: RFC 3501 §5.1 forbids
/// clients to send it, RFC 6855 and RFC 9051 let them, and it cannot be mistaken.
pub(crate) fn decode_name(octets: &[u8], limits: &Limits) -> Result<String, ParseError> {
    let text = std::str::from_utf8(octets).map_err(|_| ParseError::MailboxName)?;
    if text.chars().any(char::is_control) {
        return Err(ParseError::MailboxName);
    }
    if limits.utf8_names || !text.is_ascii() {
        return Ok(text.to_owned());
    }
    decode_utf7(text).map_err(|_| ParseError::MailboxName)
}

/// Base64 with `,` for `/` and no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// UTF-8 to modified UTF-7.
#[must_use]
pub fn encode_utf7(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            BASE64.encode_string(&*shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// Modified UTF-7 to UTF-8.
///
/// # Errors
/// Wrong base64, half a character, a superfluous shift, or ASCII in base64: there is one way to
/// write each name, so that a name cannot pass for another.
pub fn decode_utf7(text: &str) -> Result<String, MailboxError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (shifted, after) = rest[at + 1..].split_once('-').ok_or(MailboxError)?;
        if shifted.is_empty() {
            out.push('&');
        } else {
            let octets = BASE64.decode(shifted).map_err(|_| MailboxError)?;
            let (pairs, odd) = octets.as_chunks::<2>();
            if !odd.is_empty() {
                return Err(MailboxError);
            }
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            for character in char::decode_utf16(units) {
                out.push(character.map_err(|_| MailboxError)?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    if encode_utf7(&out) == text { Ok(out) } else { Err(MailboxError) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc_3501_examples() {
        assert_eq!(decode_utf7("~peter/mail/&U,BTFw-/&ZeVnLIqe-").unwrap(), "~peter/mail/台北/日本語");
        assert_eq!(encode_utf7("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(decode_utf7("&U,BTF2XlZyyKng-").unwrap(), "台北日本語");
        assert_eq!(encode_utf7("R&D"), "R&-D");
        for wrong in ["&Jjo!", "&U,BTFw-&ZeVnLIqe-", "&AGE-", "R&D", "&", "&-&", "&U,B-", "&2D0-", "a\u{7f}"]
        {
            assert!(decode_utf7(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn inbox_has_one_name() {
        assert_eq!(MailboxName::new("iNbOx").as_str(), "INBOX");
        assert_eq!(MailboxName::new("inbox/a").as_str(), "INBOX/a");
        assert_eq!(MailboxName::new("inboxes").as_str(), "inboxes");
        assert!(!MailboxName::new("x/inbox").is_inbox());
    }

    proptest! {
        #[test]
        fn utf7_is_inverse(text in ".*") {
            let encoded = encode_utf7(&text);
            prop_assert!(encoded.bytes().all(|octet| (0x20..0x7f).contains(&octet)));
            prop_assert_eq!(decode_utf7(&encoded).unwrap(), text);
        }

        #[test]
        fn decoding_never_panics(text in "[ -~&,+-]*") {
            let _ = decode_utf7(&text);
        }
    }
}
