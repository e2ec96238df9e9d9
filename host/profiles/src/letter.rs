//! The message as a disposition sees it: read as far as it is asked for.

use std::sync::OnceLock;

use bytes::Bytes;
use hooks::MessageView;
use message::{Fields, decode_header, header_len, unfold};
use storage::LoadedContent;

/// Most octets of header that are shown.
const HEADER_MAX: usize = 256 << 10;

/// A message's content.
pub struct Letter {
    content: LoadedContent,
    /// The header, read when it is first asked for; empty where the content cannot be read.
    header: OnceLock<Bytes>,
}

impl Letter {
    /// Over stored content.
    #[must_use]
    pub fn new(content: LoadedContent) -> Self {
        Self { content, header: OnceLock::new() }
    }

    fn header(&self) -> &[u8] {
        self.header.get_or_init(|| {
            let head = self.content.range(0, HEADER_MAX).unwrap_or_default();
            let end = header_len(&head).min(head.len());
            head.slice(..end)
        })
    }
}

impl MessageView for Letter {
    fn text(&self, name: &str, nth: usize) -> Option<String> {
        let mut fields = Fields::of(self.header()).filter(|field| field.is(name));
        // What is no text shows as U+FFFD, as the contract says, and leaves what is beside it alone.
        let text = |field: message::Field<'_>| {
            let unfolded = field.unfolded();
            decode_header(String::from_utf8_lossy(&unfolded).as_bytes()).trim().to_owned()
        };
        fields.nth(nth).map(text)
    }

    fn page(&self, first: usize, max: usize) -> Vec<(String, Vec<u8>)> {
        let fields = Fields::of(self.header()).skip(first).take(max);
        let shown = |field: message::Field<'_>| {
            (String::from_utf8_lossy(field.name).into_owned(), unfold(field.value).into_owned())
        };
        fields.map(shown).collect()
    }

    fn size(&self) -> u64 {
        self.content.len()
    }

    fn body(&self, offset: u64, max: usize) -> Vec<u8> {
        let start = self.header().len() as u64;
        self.content
            .range(start.saturating_add(offset), max)
            .map(|octets| octets.to_vec())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_the_body_begins_after_the_empty_line() {
        let octets = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-A: one\r\nx-a: two\r\n more\r\n\r\nbody\r\n";
        let letter = Letter::new(LoadedContent::Memory(Bytes::from_static(octets)));
        assert_eq!(letter.text("subject", 0).as_deref(), Some("Grüße"));
        assert_eq!(letter.text("X-A", 1).as_deref(), Some("two more"));
        assert_eq!(letter.text("X-A", 2), None);
        let raw =
            Letter::new(LoadedContent::Memory(Bytes::from_static(b"Subject: caf\xc3\xa9 \xff\r\n\r\n")));
        assert_eq!(raw.text("subject", 0).as_deref(), Some("café \u{fffd}"));
        let page = letter.page(1, 1);
        assert_eq!((page.len(), page[0].0.as_str()), (1, "X-A"));
        assert_eq!(letter.body(0, 100), b"body\r\n");
        assert_eq!(letter.body(2, 2), b"dy");
        assert_eq!(letter.body(100, 2), b"");
        assert_eq!(letter.size(), octets.len() as u64);
    }

    #[test]
    fn a_message_without_a_body_has_none() {
        let letter = Letter::new(LoadedContent::Memory(Bytes::from_static(b"A: b\r\n")));
        assert_eq!((letter.text("a", 0).as_deref(), letter.body(0, 10).len()), (Some("b"), 0));
    }
}
