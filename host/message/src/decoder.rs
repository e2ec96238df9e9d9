//! Transfer encodings taken off in pieces: of a part of any size, no more is held than a piece.

use base64::Engine as _;

use crate::decode::{BLANKS_MAX, LENIENT, TransferEncoding, decode_escapes, decode_line, gather_digits};

/// Octets of an unended line that are held before what cannot change any more is given.
const LINE_HELD_OCTETS: usize = 4096;

/// Takes a transfer encoding off octets that come in pieces; all it gives is what [`TransferEncoding::decode`] makes of the
/// whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoder {
    encoding: TransferEncoding,
    /// Digits short of a group of four; or the line that has not ended yet, as far as its meaning hangs on what follows.
    held: Vec<u8>,
    /// Base64 has ended with `=`.
    has_ended: bool,
    /// Within white space that is too long to have been added on the way.
    in_blanks: bool,
}

impl Decoder {
    /// Before the first piece.
    #[must_use]
    pub fn new(encoding: TransferEncoding) -> Self {
        Self { encoding, held: Vec::new(), has_ended: false, in_blanks: false }
    }

    /// Octets that it holds.
    #[must_use]
    pub fn octets_held(&self) -> usize {
        self.held.len()
    }

    /// Appends what the next piece comes to.
    pub fn push(&mut self, piece: &[u8], plain: &mut Vec<u8>) {
        match self.encoding {
            TransferEncoding::Identity => plain.extend_from_slice(piece),
            TransferEncoding::Base64 => self.push_base64(piece, plain),
            TransferEncoding::QuotedPrintable => self.push_quoted_printable(piece, plain),
        }
    }

    /// Appends what was held until now: no piece follows.
    pub fn finish(mut self, plain: &mut Vec<u8>) {
        match self.encoding {
            TransferEncoding::Identity => {}
            TransferEncoding::Base64 => {
                // A lone last digit says nothing.
                if self.held.len() == 1 {
                    self.held.clear();
                }
                append_groups(&self.held, plain);
            }
            TransferEncoding::QuotedPrintable => decode_line(&self.held, plain),
        }
    }

    fn push_base64(&mut self, piece: &[u8], plain: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        let end = memchr::memchr(b'=', piece);
        self.has_ended = end.is_some();
        let mut digits = std::mem::take(&mut self.held);
        gather_digits(&piece[..end.unwrap_or(piece.len())], &mut digits);
        let groups = digits.len() - digits.len() % 4;
        append_groups(&digits[..groups], plain);
        self.held = digits[groups..].to_vec();
    }

    fn push_quoted_printable(&mut self, piece: &[u8], plain: &mut Vec<u8>) {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let line = if self.in_blanks { self.pass_blanks(line, plain) } else { line };
            if !line.ends_with(b"\n") {
                self.held.extend_from_slice(line);
                self.give_certain(plain);
            } else if self.held.is_empty() {
                decode_line(line, plain);
            } else {
                self.held.extend_from_slice(line);
                decode_line(&self.held, plain);
                self.held.clear();
            }
        }
    }

    /// Gives the rest of long white space; what follows it of the line.
    fn pass_blanks<'a>(&mut self, line: &'a [u8], plain: &mut Vec<u8>) -> &'a [u8] {
        let len = line.iter().take_while(|byte| is_blank(byte)).count();
        let (blanks, rest) = line.split_at(len);
        plain.extend_from_slice(blanks);
        self.in_blanks = rest.is_empty();
        rest
    }

    /// Gives of a long line what means the same whatever follows.
    fn give_certain(&mut self, plain: &mut Vec<u8>) {
        if self.held.len() <= LINE_HELD_OCTETS {
            return;
        }
        let blanks = self.held.iter().rev().take(BLANKS_MAX + 1).take_while(|byte| is_blank(byte)).count();
        let text = self.held.len() - blanks;
        let certain = if blanks > BLANKS_MAX {
            self.in_blanks = true;
            self.held.len()
        } else if self.held[..text].ends_with(b"=") {
            text - 1
        } else if blanks == 0 && self.held[..text - 1].ends_with(b"=") {
            text - 2
        } else {
            text
        };
        decode_escapes(&self.held[..certain], false, plain);
        self.held.drain(..certain);
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Digits of whole groups, or of the last one.
fn append_groups(digits: &[u8], plain: &mut Vec<u8>) {
    // Nothing but digits: there is no other error.
    let _ = LENIENT.decode_vec(digits, plain);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces<'a>(encoding: TransferEncoding, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut decoder, mut plain) = (Decoder::new(encoding), Vec::new());
        for piece in pieces {
            decoder.push(piece, &mut plain);
            assert!(decoder.held.len() <= LINE_HELD_OCTETS);
        }
        decoder.finish(&mut plain);
        plain
    }

    #[test]
    fn long_lines_and_long_white_space_are_given_before_they_end() {
        let quoted = TransferEncoding::QuotedPrintable;
        for blanks in [0, 1, BLANKS_MAX - 1, BLANKS_MAX, BLANKS_MAX + 1, 3 * LINE_HELD_OCTETS] {
            for (before, after) in [
                ("", "\r\nx"),
                ("a", "b"),
                ("=", "\r\nx"),
                ("a=", "\nx"),
                ("=4", "1"),
                ("=\r", "\n"),
                ("==", ""),
            ] {
                let filler = "=41bcd".repeat(LINE_HELD_OCTETS);
                let octets = format!("{filler}{before}{}{after}", " \t".repeat(blanks.div_ceil(2)));
                let whole = quoted.decode(octets.as_bytes());
                for size in [1, 7, 1000, LINE_HELD_OCTETS + 1] {
                    let pieces = octets.as_bytes().chunks(size);
                    assert!(in_pieces(quoted, pieces) == *whole, "{before:?} {blanks} {after:?} by {size}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_come_to_what_the_whole_comes_to(
            lines in proptest::collection::vec("[=A-F0-9 \t\r+/a-]{0,80}|(=[0-9A-F]{2}){0,20}| {0,2000}|x{0,6000}", 0..8),
            end in prop_oneof!["\r\n", "\n", "", "=\r\n", "= \n"],
            size in 1..6000_usize,
        ) {
            let octets = lines.join(&end);
            for encoding in [TransferEncoding::Identity, TransferEncoding::Base64, TransferEncoding::QuotedPrintable] {
                let pieces = in_pieces(encoding, octets.as_bytes().chunks(size));
                prop_assert!(pieces == *encoding.decode(octets.as_bytes()));
            }
        }
    }
}
