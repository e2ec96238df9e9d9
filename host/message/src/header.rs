//! Where the header ends (R89), what fields it has, and the few facts that accepting a message needs.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memmem};

/// How many octets of a header [`Facts::scan`] looks at. What stands behind is not seen, and
/// [`Facts::complete`] says so.
pub const FACTS_OCTETS_MAX: usize = 1024 * 1024;

/// One header field, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, without the colon and without white space before it (RFC 5322 §4.5.8).
    /// The whole line, where it has no colon.
    pub name: &'a [u8],
    /// All after the colon, folds included, without the final line end. Empty where there is no colon.
    pub value: &'a [u8],
    /// Where the field begins in the octets that were scanned.
    pub start: usize,
    /// Where the next field begins.
    pub end: usize,
}

impl<'a> Field<'a> {
    /// Whether this is the field of a name, without regard to case (RFC 5322 §1.2.2).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The octets of the whole field in what was scanned, its line end included.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The value on one line, without white space around it.
    #[must_use]
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

/// Names of fields, among which one is found without going through all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldNames {
    /// In lower case, rising, each once.
    names: Vec<String>,
}

impl FieldNames {
    /// These names, without regard to case.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(str::to_ascii_lowercase).collect();
        names.sort_unstable();
        names.dedup();
        Self { names }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Where a name stands among them.
    pub(crate) fn place(&self, name: &[u8]) -> Option<usize> {
        let lower = || name.iter().map(u8::to_ascii_lowercase);
        self.names.binary_search_by(|known| known.bytes().cmp(lower())).ok()
    }
}

/// The fields of a header in their order. Ends at the empty line, or at the end of the octets.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
    ended: bool,
}

impl<'a> Fields<'a> {
    /// Fields of a message, or of a body part, from its first octet.
    #[must_use]
    pub fn of(octets: &'a [u8]) -> Self {
        Self { octets, at: 0, ended: false }
    }

    /// The first field of a name among those still ahead.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.clone().find(|field| field.is(name))
    }

    /// Where the iteration stands: after the empty line, once it has given the last field.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether the empty line after the header was met.
    #[must_use]
    pub fn ended_by_empty_line(&self) -> bool {
        self.ended
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.ended || self.at >= self.octets.len() {
            return None;
        }
        let (start, octets) = (self.at, self.octets);
        let (mut text_end, mut next) = line(octets, start);
        if text_end == start {
            (self.at, self.ended) = (next, true);
            return None;
        }
        // Folded lines begin with white space (RFC 5322 §2.2.3).
        while next < octets.len() && matches!(octets[next], b' ' | b'\t') {
            (text_end, next) = line(octets, next);
        }
        self.at = next;
        let text = &octets[start..text_end];
        let (name, value) = match memchr(b':', text) {
            Some(colon) => (text[..colon].trim_ascii_end(), &text[colon + 1..]),
            None => (text, &text[text.len()..]),
        };
        Some(Field { name, value, start, end: next })
    }
}

/// Of the line from `start`: where its text ends, and where the next line begins.
/// A line ends with CRLF or with LF alone.
fn line(octets: &[u8], start: usize) -> (usize, usize) {
    match memchr(b'\n', &octets[start..]) {
        Some(length) => {
            let newline = start + length;
            let has_cr = length > 0 && octets[newline - 1] == b'\r';
            (newline - usize::from(has_cr), newline + 1)
        }
        None => (octets.len(), octets.len()),
    }
}

/// How long the header is, the empty line included: where the body begins.
#[must_use]
pub fn header_len(octets: &[u8]) -> usize {
    match octets {
        [b'\n', ..] => return 1,
        [b'\r', b'\n', ..] => return 2,
        _ => {}
    }
    // Nearly always the empty line ends with CRLF; one that ends with LF alone may stand before it.
    let with_crlf = memmem::find(octets, b"\n\r\n").map(|at| at + 3);
    let before = &octets[..with_crlf.unwrap_or(octets.len())];
    memmem::find(before, b"\n\n").map(|at| at + 2).or(with_crlf).unwrap_or(octets.len())
}

/// Takes line ends out of a value (RFC 5322 §2.2.3) and white space off its ends.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect())
}

/// What accepting a message must know of its header, found in one pass without allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts<'a> {
    /// How long the header is, its empty line included.
    pub header_len: usize,
    /// The value of the first Message-ID field.
    pub message_id: Option<&'a [u8]>,
    /// Whether there is a Date field.
    pub has_date: bool,
    /// Whether there is a From field.
    pub has_from: bool,
    /// How many Received fields there are: a loop shows itself by their number (RFC 5321 §6.3).
    pub received: usize,
    /// In how many of them `by` names us.
    pub received_by_us: usize,
    /// Whether any octet of the header is above 127 (RFC 6532).
    pub has_utf8: bool,
    /// Whether the whole header was seen within [`FACTS_OCTETS_MAX`].
    pub complete: bool,
}

impl<'a> Facts<'a> {
    /// Scans the header of a message. `own_name` is the name that we write into `by`.
    #[must_use]
    pub fn scan(octets: &'a [u8], own_name: &str) -> Self {
        let seen = &octets[..octets.len().min(FACTS_OCTETS_MAX)];
        let mut facts = Self::default();
        let mut fields = Fields::of(seen);
        for field in &mut fields {
            match field.name.len() {
                4 if field.is("Date") => facts.has_date = true,
                4 if field.is("From") => facts.has_from = true,
                8 if field.is("Received") => {
                    facts.received += 1;
                    facts.received_by_us += usize::from(is_received_by(field.value, own_name));
                }
                10 if facts.message_id.is_none() && field.is("Message-ID") => {
                    facts.message_id = Some(field.value.trim_ascii());
                }
                _ => {}
            }
        }
        facts.header_len = fields.position();
        facts.has_utf8 = !seen[..facts.header_len].is_ascii();
        facts.complete = fields.ended_by_empty_line() || seen.len() == octets.len();
        facts
    }

    /// The Message-ID as text, if it is printable and of a sane length.
    #[must_use]
    pub fn message_id_text(&self) -> Option<&'a str> {
        const MESSAGE_ID_MAX: usize = 998;
        let text = std::str::from_utf8(self.message_id?).ok()?;
        let sane = !text.is_empty() && text.len() <= MESSAGE_ID_MAX && !text.chars().any(char::is_control);
        sane.then_some(text)
    }
}

/// Whether the `by` clause of a Received field names this host (RFC 5321 §4.4). Comments do not count.
fn is_received_by(value: &[u8], own_name: &str) -> bool {
    let mut depth = 0_usize;
    let mut after_by = false;
    let mut at = 0;
    while at < value.len() {
        match value[at] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return false,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ if depth > 0 => {}
            _ => {
                let rest = &value[at..];
                let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b')' | b';');
                let word = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
                if after_by {
                    return word.eq_ignore_ascii_case(own_name.as_bytes());
                }
                after_by = word.eq_ignore_ascii_case(b"by");
                at += word.len();
                continue;
            }
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &[u8] = b"Received: from a (by mx.example) by MX.example with ESMTP id 1;\r\n\
        \tTue, 1 Jan 2019 00:00:00 +0000\r\n\
        Received: from b by other.example; by mx.example\r\n\
        Subject : a\r\n  folded\r\n line\r\n\
        message-id: <1@x>\r\n\
        Date: now\r\n\
        no colon here\r\n\
        \r\n\
        Body: this is no field\r\n";

    #[test]
    fn one_pass_finds_what_accepting_needs() {
        let facts = Facts::scan(SAMPLE, "mx.example");
        assert_eq!(facts.message_id_text(), Some("<1@x>"));
        assert_eq!((facts.received, facts.received_by_us), (2, 1));
        assert!(facts.has_date && !facts.has_from && !facts.has_utf8 && facts.complete);
        assert_eq!(&SAMPLE[facts.header_len..], b"Body: this is no field\r\n");
        assert_eq!(facts.header_len, header_len(SAMPLE));
    }

    #[test]
    fn fields_keep_their_octets() {
        let fields: Vec<Field<'_>> = Fields::of(SAMPLE).collect();
        assert_eq!(fields.len(), 6);
        assert_eq!(fields[2].name, b"Subject");
        assert_eq!(fields[2].unfolded().as_ref(), b"a  folded line");
        assert_eq!(&SAMPLE[fields[2].range()], b"Subject : a\r\n  folded\r\n line\r\n");
        assert_eq!(fields[5].name, b"no colon here");
        assert!(fields.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn lone_line_feeds_end_lines_too() {
        let octets = b"A: 1\nB: 2\n\nbody";
        assert_eq!(Fields::of(octets).count(), 2);
        assert_eq!(&octets[header_len(octets)..], b"body");
    }

    #[test]
    fn a_header_without_end_is_all_header() {
        assert_eq!(header_len(b"A: 1\r\nB: 2"), 10);
        assert_eq!(header_len(b""), 0);
        assert_eq!(header_len(b"\r\nbody"), 2);
        assert!(Facts::scan(b"A: 1", "x").complete);
    }

    #[test]
    fn an_endless_header_is_scanned_up_to_the_maximum() {
        let octets = b"Received: by x\r\n".repeat(FACTS_OCTETS_MAX / 16 + 10);
        let facts = Facts::scan(&octets, "x");
        assert!(!facts.complete);
        assert_eq!(facts.received, FACTS_OCTETS_MAX / 16);
    }

    proptest! {
        #[test]
        fn scanning_never_panics_and_covers_the_header(
            octets in proptest::collection::vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'('), Just(b';'), any::<u8>()
            ], 0..300)
        ) {
            let facts = Facts::scan(&octets, "x");
            prop_assert_eq!(facts.header_len, header_len(&octets));
            let mut at = 0;
            for field in Fields::of(&octets) {
                prop_assert_eq!(field.start, at);
                prop_assert!(field.end > field.start);
                at = field.end;
            }
            prop_assert!(at <= facts.header_len);
        }
    }
}
