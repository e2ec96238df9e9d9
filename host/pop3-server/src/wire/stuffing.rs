//! The body of a multi-line response: byte-stuffed, and ended by a line with one dot (RFC 1939 §3).

/// Byte-stuffs content that comes in pieces.
///
/// Every LF is taken for the end of a line, also a bare one, which the store may hold: a client that counts bare LFs
/// as line ends must not find an early end in the middle of a message, and one that does not sees a second dot there.
#[derive(Debug, Clone)]
pub struct Stuffer {
    /// The last two octets that went out.
    last: [u8; 2],
}

impl Default for Stuffer {
    fn default() -> Self {
        Self { last: *b"\r\n" }
    }
}

impl Stuffer {
    /// Appends a piece.
    pub fn push(&mut self, piece: &[u8], output: &mut Vec<u8>) {
        let mut from = 0;
        for (at, octet) in piece.iter().enumerate() {
            let before = if at == 0 { self.last[1] } else { piece[at - 1] };
            if *octet == b'.' && before == b'\n' {
                output.extend_from_slice(&piece[from..at]);
                output.push(b'.');
                from = at;
            }
        }
        output.extend_from_slice(&piece[from..]);
        for octet in &piece[piece.len().saturating_sub(2)..] {
            self.last = [self.last[1], *octet];
        }
    }

    /// Appends the end, on a line of its own also where the content does not end with CRLF.
    pub fn finish(self, output: &mut Vec<u8>) {
        if self.last != *b"\r\n" {
            output.extend_from_slice(b"\r\n");
        }
        output.extend_from_slice(b".\r\n");
    }
}

/// Cuts content that comes in pieces after the header and some lines of the body (RFC 1939 §7, TOP).
#[derive(Debug, Clone)]
pub struct Top {
    lines: u64,
    in_body: bool,
    /// Whether the line so far is empty, CR apart.
    line_is_empty: bool,
}

impl Top {
    /// The header, the empty line, and so many lines of the body.
    #[must_use]
    pub fn new(lines: u64) -> Self {
        Self { lines, in_body: false, line_is_empty: true }
    }

    /// How much of the piece belongs to it; less than its length means: that was all.
    pub fn cut(&mut self, piece: &[u8]) -> usize {
        for (at, octet) in piece.iter().enumerate() {
            if self.in_body && self.lines == 0 {
                return at;
            }
            match octet {
                b'\n' if self.in_body => self.lines -= 1,
                b'\n' => {
                    self.in_body = self.line_is_empty;
                    self.line_is_empty = true;
                }
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        piece.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stuffed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut stuffer, mut output) = (Stuffer::default(), Vec::new());
        for piece in pieces {
            stuffer.push(piece, &mut output);
        }
        stuffer.finish(&mut output);
        output
    }

    /// As a client that takes every LF for the end of a line reads it.
    fn unstuffed(response: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut lines = response.split_inclusive(|octet| *octet == b'\n');
        loop {
            let line = lines.next()?;
            if line == b".\r\n" {
                return lines.next().is_none().then_some(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
    }

    #[test]
    fn dots_at_the_beginning_of_lines_are_doubled() {
        let table: &[(&[u8], &[u8])] = &[
            (b"a\r\n.b\r\n", b"a\r\n..b\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"", b".\r\n"),
            (b"no end", b"no end\r\n.\r\n"),
            (b"bare\n.\r\n", b"bare\n..\r\n.\r\n"),
            (b"half\r", b"half\r\r\n.\r\n"),
        ];
        for (content, expected) in table {
            assert_eq!(stuffed([*content]), *expected);
        }
    }

    #[test]
    fn top_cuts_after_the_lines() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\n".as_slice();
        let cut = |lines| &message[..Top::new(lines).cut(message)];
        assert_eq!(cut(0), b"A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(cut(1), b"A: 1\r\nB: 2\r\n\r\none\r\n");
        assert_eq!(cut(2), message);
        assert_eq!(cut(u64::MAX), message);
        assert_eq!(Top::new(0).cut(b"only: header\r\n"), 14);
    }

    proptest! {
        #[test]
        fn unstuffing_inverts_stuffing(
            lines in proptest::collection::vec("[.a\\r]{0,4}", 0..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let content = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
            at.extend([0, content.len()]);
            at.sort_unstable();
            let response = stuffed(at.windows(2).map(|window| &content[window[0]..window[1]]));
            prop_assert_eq!(unstuffed(&response), Some(content));
        }

        #[test]
        fn top_does_not_depend_on_the_pieces(
            content in "[a.\\r\\n]{0,40}", lines in 0u64..5, cut in any::<prop::sample::Index>(),
        ) {
            let content = content.as_bytes();
            let whole = Top::new(lines).cut(content);
            let at = cut.index(content.len() + 1);
            let mut top = Top::new(lines);
            let first = top.cut(&content[..at]);
            let both = if first < at { first } else { first + top.cut(&content[at..]) };
            prop_assert_eq!(both, whole);
        }
    }
}
