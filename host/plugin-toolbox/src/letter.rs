//! A message on trial, as `headers` and `body` show it.

use hooks::MessageView;
use message::{Fields, decode_header, header_len};

/// A message in memory.
pub(crate) struct Letter {
    octets: Vec<u8>,
    body: usize,
}

impl Letter {
    pub(crate) fn new(octets: Vec<u8>) -> Self {
        let body = header_len(&octets);
        Self { octets, body }
    }

    /// From a text: LF becomes CRLF.
    pub(crate) fn octets_of(text: &str) -> Vec<u8> {
        text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
    }
}

impl MessageView for Letter {
    fn text(&self, name: &str, nth: usize) -> Option<String> {
        let field = Fields::of(&self.octets).filter(|field| field.is(name)).nth(nth)?;
        Some(decode_header(field.value))
    }

    fn page(&self, first: usize, max: usize) -> Vec<(String, Vec<u8>)> {
        let fields = Fields::of(&self.octets).skip(first).take(max);
        let raw = |value: &[u8]| value.iter().copied().filter(|octet| !b"\r\n".contains(octet)).collect();
        fields.map(|field| (String::from_utf8_lossy(field.name).into_owned(), raw(field.value))).collect()
    }

    fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    fn body(&self, offset: u64, max: usize) -> Vec<u8> {
        let body = &self.octets[self.body..];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
        body[from..from.saturating_add(max).min(body.len())].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_seen_as_the_contract_says() {
        let text = "Subject: =?utf-8?q?Caf=C3=A9?=\n plans\nX: 1\nx: 2\n\nbody\n";
        let letter = Letter::new(Letter::octets_of(text));
        assert_eq!(letter.text("subject", 0).as_deref(), Some("Café plans"));
        assert_eq!((letter.text("X", 1).as_deref(), letter.text("X", 2)), (Some("2"), None));
        assert_eq!(letter.page(1, 1), [("X".to_owned(), b" 1".to_vec())]);
        assert_eq!(letter.body(2, 2), b"dy");
        assert_eq!(letter.body(99, 2), b"");
        assert_eq!(letter.size(), text.len() as u64 + 6);
    }
}
