//! The envelope: what MAIL and RCPT said, after acceptance.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{Address, ReversePath};

/// BODY= of MAIL (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum BodyType {
    /// Only 7-bit octets in lines.
    #[default]
    SevenBit,
    /// 8-bit octets in lines (RFC 6152).
    EightBitMime,
    /// Any octets; only by BDAT (RFC 3030 §3).
    BinaryMime,
}

/// RET= of MAIL: how much a failure DSN returns (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RetentionOfContent {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

/// NOTIFY= of RCPT (RFC 3461 §4.1). Absent means failure and, by our choice, delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notify {
    /// No parameter was given.
    Unspecified,
    /// NEVER.
    Never,
    /// Any of the three words.
    On {
        /// SUCCESS was named.
        success: bool,
        /// FAILURE was named.
        failure: bool,
        /// DELAY was named.
        delay: bool,
    },
}

impl Notify {
    /// Whether a failure is to be reported.
    #[must_use]
    pub fn on_failure(self) -> bool {
        matches!(self, Self::Unspecified | Self::On { failure: true, .. })
    }

    /// Whether a delay is to be reported.
    #[must_use]
    pub fn on_delay(self) -> bool {
        matches!(self, Self::Unspecified | Self::On { delay: true, .. })
    }

    /// Whether success is to be reported.
    #[must_use]
    pub fn on_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }

    /// The same without SUCCESS, as those get it who take the place of an address that stands for several
    /// (RFC 3461 §5.2.7.3 (c)). Where no other word is left, that is NEVER.
    #[must_use]
    pub fn without_success(self) -> Self {
        match self {
            Self::On { failure: false, delay: false, .. } => Self::Never,
            Self::On { failure, delay, .. } => Self::On { success: false, failure, delay },
            other => other,
        }
    }

    /// Whatever either asks for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, one) | (one, Self::Never) => one,
            (one, two) if one == two => one,
            (one, two) => Self::On {
                success: one.on_success() || two.on_success(),
                failure: one.on_failure() || two.on_failure(),
                delay: one.on_delay() || two.on_delay(),
            },
        }
    }
}

impl fmt::Display for Notify {
    /// The parameter's value; empty where none was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unspecified => Ok(()),
            Self::Never => f.write_str("NEVER"),
            Self::On { success, failure, delay } => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let named: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
                f.write_str(&named.join(","))
            }
        }
    }
}

/// ORCPT= of RCPT: the recipient as the sender named it (RFC 3461 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// The address type: `rfc822` or `utf-8`.
    pub kind: String,
    /// The address, xtext decoded.
    pub address: String,
}

/// Parameters of MAIL that travel with the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transport {
    /// BODY=.
    pub body: BodyType,
    /// SMTPUTF8 was given (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// RET=.
    pub ret: Option<RetentionOfContent>,
    /// ENVID=, xtext decoded.
    pub envid: Option<String>,
}

/// One recipient of an accepted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The final address, after rewriting and expansion.
    pub address: Address,
    /// The address as the client gave it in RCPT TO.
    pub original: Address,
    /// ORCPT=, where the client gave one.
    pub orcpt: Option<OriginalRecipient>,
    /// NOTIFY=.
    pub notify: Notify,
    /// The users whose forwards led here, the last one last: what their mail names in Delivered-To once it leaves. (Records
    /// of before have none: who writes records keeps them apart.)
    #[serde(skip)]
    pub forwarders: Vec<Address>,
    /// Why it was parked, each time that an operator has let it go on since, in the words that it was parked with: for these
    /// grounds it is not parked again. (Kept apart in records, as the forwarders are.)
    #[serde(skip)]
    pub released: Vec<String>,
}

impl Recipient {
    /// Most forwarders of one recipient.
    pub const FORWARDERS_MAX: usize = 50;
    /// Most grounds that one recipient is let past; of more, the last.
    pub const RELEASED_MAX: usize = 16;

    /// A recipient without DSN parameters.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            original: address.clone(),
            address,
            orcpt: None,
            notify: Notify::Unspecified,
            forwarders: Vec::new(),
            released: Vec::new(),
        }
    }

    /// Lets it past what it was parked for.
    pub fn release(&mut self, ground: String) {
        if !self.released.contains(&ground) {
            let more = (self.released.len() + 1).saturating_sub(Self::RELEASED_MAX);
            self.released.drain(..more);
            self.released.push(ground);
        }
    }
}

/// Reverse path, recipients and transport parameters of an accepted message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// To whom.
    pub recipients: Vec<Recipient>,
    /// Parameters of MAIL.
    pub transport: Transport,
}

/// Decodes `xtext` (RFC 3461 §4); `None` where it is malformed.
#[must_use]
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => {
                let hex = text.get(at + 1..at + 3)?;
                if !hex.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)) {
                    return None;
                }
                octets.push(u8::from_str_radix(hex, 16).ok()?);
                at += 3;
            }
            byte @ b'!'..=b'~' if byte != b'=' => {
                octets.push(byte);
                at += 1;
            }
            _ => return None,
        }
    }
    String::from_utf8(octets).ok().filter(|plain| !plain.chars().any(char::is_control))
}

/// Encodes `xtext` (RFC 3461 §4).
#[must_use]
pub fn encode_xtext(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len());
    for byte in plain.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => text.push(char::from(byte)),
            _ => text.push_str(&format!("+{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn xtext_is_inverse(plain in "\\PC{0,40}") {
            prop_assert_eq!(decode_xtext(&encode_xtext(&plain)), Some(plain));
        }
    }

    #[test]
    fn of_more_grounds_than_are_kept_the_last_count() {
        let mut recipient = Recipient::new(Address::parse("a@b.test").unwrap());
        let grounds: Vec<String> = (0..=Recipient::RELEASED_MAX).map(|number| number.to_string()).collect();
        for ground in grounds.iter().chain(grounds.last()) {
            recipient.release(ground.clone());
        }
        assert_eq!(recipient.released, grounds[1..]);
    }

    #[test]
    fn malformed_xtext_is_refused() {
        for text in ["+", "+4", "+4g", "+4a", "a=b", "a b", "+0D", "\u{fc}"] {
            assert_eq!(decode_xtext(text), None, "{text}");
        }
    }
}
