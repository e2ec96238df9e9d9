//! Ids: of queued messages, of messages as their authors name them, of accounts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a queue id: expected 13 letters and digits as in log and listing")]
pub struct IdError(String);

/// Crockford's base 32: no letter that reads as a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS_LEN: usize = 13;

/// Our id of an accepted message: rises with time, unique over restarts.
/// 42 bits of milliseconds since 1970, then 22 bits of a counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueId(u64);

impl QueueId {
    /// From its number.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The first id of a millisecond since 1970; the counter follows from there.
    #[must_use]
    pub fn first_of_millisecond(milliseconds: u64) -> Self {
        Self(milliseconds << 22)
    }

    /// Key bytes that sort as the ids do.
    #[must_use]
    pub fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; DIGITS_LEN];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS[(rest & 31) as usize];
            rest >>= 5;
        }
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError(text.to_owned());
        if text.len() != DIGITS_LEN {
            return Err(error());
        }
        let mut number: u64 = 0;
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_lowercase()).ok_or_else(error)?;
            number = number.checked_mul(32).and_then(|n| n.checked_add(digit as u64)).ok_or_else(error)?;
        }
        Ok(Self(number))
    }
}

impl TryFrom<String> for QueueId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<QueueId> for String {
    fn from(id: QueueId) -> Self {
        id.to_string()
    }
}

/// The Message-ID field, with its angle brackets (RFC 5322 §3.6.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageId(String);

impl MessageId {
    /// Takes the field's value as it stands.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, brackets included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an account: owner of mailboxes, as authenticated. By custom its primary address
/// in lower case (`user1@example.org`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountName(String);

impl AccountName {
    /// Longest name, in octets: it is part of keys.
    pub const MAX: usize = 320;

    /// Takes a name; names are compared in lower case. Longer ones are cut at no place: `None`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= Self::MAX && !name.chars().any(char::is_control);
        fits.then(|| Self(name.to_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn queue_ids_print_and_read_back_in_order(a: u64, b: u64) {
            let (first, second) = (QueueId::from_u64(a), QueueId::from_u64(b));
            prop_assert_eq!(first.to_string().parse::<QueueId>().unwrap(), first);
            prop_assert_eq!(first.cmp(&second), first.to_string().cmp(&second.to_string()));
        }
    }

    #[test]
    fn what_is_no_queue_id_is_refused() {
        for text in ["", "0", "00000000000000", "000000000000u", "zzzzzzzzzzzzz"] {
            assert!(text.parse::<QueueId>().is_err(), "{text}");
        }
    }
}
