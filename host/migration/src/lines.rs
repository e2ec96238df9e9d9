//! Ends of lines: files of the system end lines with LF, messages in the store with CRLF (RFC 5322 §2.1).

/// LF to CRLF, piece by piece; CRLF stays.
#[derive(Debug, Default)]
pub(crate) struct ToCrlf {
    after_cr: bool,
}

impl ToCrlf {
    /// The next piece, in place of what `out` held.
    pub(crate) fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let line = &rest[..at];
            out.extend_from_slice(line);
            let has_cr = if line.is_empty() { self.after_cr } else { line.ends_with(b"\r") };
            out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
            self.after_cr = false;
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        if let Some(last) = rest.last() {
            self.after_cr = *last == b'\r';
        }
    }
}

/// A whole message with the ends of lines that it has on the wire.
#[must_use]
pub fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ToCrlf::default().convert(message, &mut out);
    out
}

/// CRLF to LF, piece by piece; a CR without LF stays.
#[derive(Debug, Default)]
pub(crate) struct ToLf {
    /// A CR at the end of the last piece, not written yet.
    cr_held: bool,
}

impl ToLf {
    /// The next piece, in place of what `out` held.
    pub(crate) fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let mut rest = piece;
        if std::mem::take(&mut self.cr_held) {
            match rest.first() {
                Some(b'\n') => {}
                Some(_) => out.push(b'\r'),
                None => self.cr_held = true,
            }
        }
        while let Some(at) = memchr::memchr(b'\r', rest) {
            out.extend_from_slice(&rest[..at]);
            match rest.get(at + 1) {
                Some(b'\n') => {}
                Some(_) => out.push(b'\r'),
                None => self.cr_held = true,
            }
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }

    /// What was held back at the end of the message.
    pub(crate) fn end(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.cr_held) { b"\r" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to_crlf(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut lines, mut out, mut all) = (ToCrlf::default(), Vec::new(), Vec::new());
        for piece in pieces {
            lines.convert(piece, &mut out);
            all.extend_from_slice(&out);
        }
        all
    }

    fn to_lf(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut lines, mut out, mut all) = (ToLf::default(), Vec::new(), Vec::new());
        for piece in pieces {
            lines.convert(piece, &mut out);
            all.extend_from_slice(&out);
        }
        all.extend_from_slice(lines.end());
        all
    }

    #[test]
    fn each_line_end_is_converted_once() {
        assert_eq!(to_crlf(&[b"a\nb\r\nc\rd\n"]), b"a\r\nb\r\nc\rd\r\n");
        assert_eq!(to_crlf(&[b"a\r", b"\nb\r", b"", b"\n\n"]), b"a\r\nb\r\n\r\n");
        assert_eq!(to_lf(&[b"a\r\nb\rc\r", b"\n\r", b"d\r"]), b"a\nb\rc\n\rd\r");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(octets in "[a\\r\\n]{0,30}", at in 0_usize..30) {
            let octets = octets.as_bytes();
            let (head, tail) = octets.split_at(at.min(octets.len()));
            prop_assert_eq!(to_crlf(&[head, tail]), to_crlf(&[octets]));
            prop_assert_eq!(to_lf(&[head, tail]), to_lf(&[octets]));
        }

        #[test]
        fn whole_lines_come_back(lines in proptest::collection::vec("[a-c]{0,3}", 0..8)) {
            let text = lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let lf = to_lf(&[text.as_bytes()]);
            prop_assert_eq!(to_crlf(&[&lf]), text.as_bytes());
        }
    }
}
