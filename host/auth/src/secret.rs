//! Secrets in memory: wiped when dropped, never printed, compared in constant time.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Longest password, in octets. Longer ones are refused before any work is done with them.
pub const PASSWORD_MAX: usize = 1024;

/// A password as the client gave it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password; `None` where it is empty, too long, or holds a NUL, at which older hash
    /// functions would end it.
    #[must_use]
    pub fn new(mut text: String) -> Option<Self> {
        if text.is_empty() || text.len() > PASSWORD_MAX || text.contains('\0') {
            text.zeroize();
            return None;
        }
        Some(Self(Zeroizing::new(text)))
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The text prepared as SCRAM asks (RFC 5802 §5.1, SASLprep): compatibility forms composed
    /// (NFKC), odd spaces made plain ones, invisible characters taken out. `None` for controls.
    #[must_use]
    pub fn prepared(&self) -> Option<Self> {
        let mut text = prepare(&self.0)?;
        let secret = Self::new(text.clone());
        text.zeroize();
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// SASLprep (RFC 4013) of a name or password. Plain ASCII stays as it is.
pub(crate) fn prepare(text: &str) -> Option<String> {
    if text.is_ascii() {
        return (!text.bytes().any(|byte| byte.is_ascii_control())).then(|| text.to_owned());
    }
    let mapped: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|c| {
                !matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
            })
            .map(|c| if c.is_whitespace() && !c.is_control() { ' ' } else { c })
            .collect(),
    );
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&mapped).into_owned();
    (!composed.is_empty() && !composed.chars().any(char::is_control)).then_some(composed)
}

/// Whether two octet strings are the same, in a time that depends on their lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_bounded_hidden_and_prepared() {
        for text in ["", "a\0b", &"x".repeat(PASSWORD_MAX + 1)] {
            assert!(Secret::new(text.to_owned()).is_none());
        }
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "Some([secret])");
        // The examples of RFC 4013 §3.
        for (text, prepared) in [
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("a\u{a0}b", Some("a b")),
        ] {
            assert_eq!(prepare(text).as_deref(), prepared, "{text:?}");
        }
    }
}
