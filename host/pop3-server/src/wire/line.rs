//! Where a line ends.

/// Octets of a command line, its end included: RFC 2449 §4 wants 255, passwords may be longer.
pub const COMMAND_OCTETS_MAX: usize = 1024;
/// Octets of a line of a SASL exchange (RFC 5034 §4: as long as the mechanism makes them).
pub const SASL_OCTETS_MAX: usize = 12 * 1024;

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A whole line without its end, and how many octets it takes with it.
    Whole {
        /// The text of the line.
        text: &'a [u8],
        /// What to take off the input.
        consumed: usize,
    },
    /// The end has not come yet.
    Partial,
    /// More than `max` octets and no end in sight: the line cannot be served.
    TooLong,
}

/// The next line of at most `max` octets. It ends with CRLF; a bare LF is taken for one, because nothing hangs
/// on the difference here: no octets of a third party pass through POP3 commands.
#[must_use]
pub fn next_line(input: &[u8], max: usize) -> Line<'_> {
    let within = &input[..input.len().min(max)];
    match within.iter().position(|octet| *octet == b'\n') {
        Some(end) => {
            let text = within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]);
            Line::Whole { text, consumed: end + 1 }
        }
        None if input.len() >= max => Line::TooLong,
        None => Line::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_crlf_or_lf_and_have_a_maximum() {
        let whole = |text: &'static [u8], consumed| Line::Whole { text, consumed };
        assert_eq!(next_line(b"NOOP\r\nQUIT\r\n", 64), whole(b"NOOP", 6));
        assert_eq!(next_line(b"NOOP\n", 64), whole(b"NOOP", 5));
        assert_eq!(next_line(b"\r\n", 64), whole(b"", 2));
        assert_eq!(next_line(b"NOOP\r", 64), Line::Partial);
        assert_eq!(next_line(b"", 64), Line::Partial);
        assert_eq!(next_line(b"12345678\r\n", 8), Line::TooLong);
        assert_eq!(next_line(b"123456\r\n", 8), whole(b"123456", 8));
    }
}
