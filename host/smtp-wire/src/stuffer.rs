//! The client's side of DATA: dots doubled, the end written (RFC 5321 §4.5.2).

use memchr::memchr3;

use crate::data::LineFault;

/// The content holds an octet that must not leave by DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content holds {0}, which must not be sent by DATA")]
pub struct LooseLineEnding(pub LineFault);

/// Doubles the dot at the head of each line, in pieces of any size, and refuses what could smuggle.
#[derive(Debug, Clone)]
pub struct DotStuffer {
    /// The last octets written: CRLF (or nothing yet), or a CR whose LF must follow.
    line_start: bool,
    pending_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DotStuffer {
    /// At the beginning of content.
    #[must_use]
    pub fn new() -> Self {
        Self { line_start: true, pending_cr: false }
    }

    /// Appends the next piece of content to `wire`. After an error the transaction has to be dropped
    /// by closing the connection: the end must not be written.
    pub fn stuff(&mut self, content: &[u8], wire: &mut Vec<u8>) -> Result<(), LooseLineEnding> {
        let mut rest = content;
        if self.pending_cr && !rest.is_empty() {
            if rest[0] != b'\n' {
                return Err(LooseLineEnding(LineFault::BareCr));
            }
            wire.push(b'\n');
            rest = &rest[1..];
            (self.pending_cr, self.line_start) = (false, true);
        }
        while !rest.is_empty() {
            if self.line_start && rest[0] == b'.' {
                wire.push(b'.');
            }
            self.line_start = false;
            let end = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            match rest[end..] {
                [] => {
                    wire.extend_from_slice(rest);
                    return Ok(());
                }
                [b'\r'] => {
                    wire.extend_from_slice(rest);
                    self.pending_cr = true;
                    return Ok(());
                }
                [b'\r', b'\n', ..] => {
                    wire.extend_from_slice(&rest[..end + 2]);
                    rest = &rest[end + 2..];
                    self.line_start = true;
                }
                [b'\r', ..] => return Err(LooseLineEnding(LineFault::BareCr)),
                [b'\n', ..] => return Err(LooseLineEnding(LineFault::BareLf)),
                _ => return Err(LooseLineEnding(LineFault::Nul)),
            }
        }
        Ok(())
    }

    /// Writes the end: `.CRLF`, after a CRLF where the last line lacks its own.
    pub fn finish(self, wire: &mut Vec<u8>) -> Result<(), LooseLineEnding> {
        if self.pending_cr {
            return Err(LooseLineEnding(LineFault::BareCr));
        }
        wire.extend_from_slice(if self.line_start { b".\r\n" } else { b"\r\n.\r\n" });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuff(content: &[u8], size: usize) -> Result<Vec<u8>, LooseLineEnding> {
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        for piece in content.chunks(size) {
            stuffer.stuff(piece, &mut wire)?;
        }
        stuffer.finish(&mut wire)?;
        Ok(wire)
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_written() {
        for (content, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a.\r\n.b\r\n", b"a.\r\n..b\r\n.\r\n"),
            (b"no ending", b"no ending\r\n.\r\n"),
        ] {
            for size in 1..=content.len().max(1) {
                assert_eq!(stuff(content, size).unwrap(), wire, "{content:?} by {size}");
            }
        }
    }

    #[test]
    fn what_could_smuggle_does_not_leave() {
        for content in [&b"\n.\n"[..], b"a\rb", b"a\r", b"\r\n\0.\r\n", b"\r\n.\r\r\n"] {
            for size in 1..=content.len() {
                assert!(stuff(content, size).is_err(), "{content:?} by {size}");
            }
        }
    }
}
