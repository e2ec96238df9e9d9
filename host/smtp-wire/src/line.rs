//! Framing of command lines (RFC 5321 §2.3.8: CRLF, and nothing else, ends a line).

use memchr::{memchr, memchr2};

/// Longest command line in octets, CRLF included: 512 of RFC 5321 §4.5.3.1.4, and what SIZE, DSN,
/// SMTPUTF8, BINARYMIME and AUTH add to MAIL and RCPT, with room to spare.
pub const COMMAND_LINE_MAX: usize = 2048;
/// Longest line of a SASL exchange in octets, CRLF included (RFC 4954 §4).
pub const AUTH_LINE_MAX: usize = 12_288;

/// What stands at the head of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its CRLF, and the octets that it took, CRLF included.
    Complete(&'a [u8], usize),
    /// No line end so far.
    Incomplete,
    /// More octets than the maximum without a line end, or with it; so many can be dropped.
    TooLong(usize),
    /// A line ended by a bare LF, or with a CR inside, and the octets that it took.
    Loose(usize),
}

/// Finds the next line, of at most `max` octets with its CRLF.
#[must_use]
pub fn next_line(buffer: &[u8], max: usize) -> Line<'_> {
    let Some(end) = memchr(b'\n', buffer) else {
        return if buffer.len() > max { Line::TooLong(buffer.len()) } else { Line::Incomplete };
    };
    let consumed = end + 1;
    if consumed > max {
        return Line::TooLong(consumed);
    }
    match buffer[..end].strip_suffix(b"\r") {
        Some(line) if memchr2(b'\r', 0, line).is_none() => Line::Complete(line, consumed),
        _ => Line::Loose(consumed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_crlf_alone() {
        assert_eq!(next_line(b"NOOP\r\nQUIT\r\n", 512), Line::Complete(b"NOOP", 6));
        assert_eq!(next_line(b"\r\n", 512), Line::Complete(b"", 2));
        assert_eq!(next_line(b"NOOP\r", 512), Line::Incomplete);
        assert_eq!(next_line(b"NOOP\n", 512), Line::Loose(5));
        assert_eq!(next_line(b"NO\rOP\r\n", 512), Line::Loose(7));
        assert_eq!(next_line(b"NOOP\r\r\n", 512), Line::Loose(7));
        assert_eq!(next_line(b"NO\0P\r\n", 512), Line::Loose(6));
    }

    #[test]
    fn long_lines_are_seen_before_they_end() {
        assert_eq!(next_line(b"123456\r\n", 8), Line::Complete(b"123456", 8));
        assert_eq!(next_line(b"1234567\r\n", 8), Line::TooLong(9));
        assert_eq!(next_line(b"123456789", 8), Line::TooLong(9));
        assert_eq!(next_line(b"12345678", 8), Line::Incomplete);
    }
}
