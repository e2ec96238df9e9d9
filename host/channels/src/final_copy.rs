//! The copy that leaves mail: with the fields of final delivery on top, in lines as programs and files have them.

use std::io;

use bytes::Bytes;
use mail_types::{Recipient, ReversePath, Timestamp};
use memchr::memchr;
use message::{Day, Fields};
use queue::Attempt;
use storage::LoadedContent;

/// Octets read at a time.
const PIECE: usize = 256 * 1024;
/// How far Delivered-To fields are looked for, in octets.
const HEADER_MAX: usize = 1 << 20;

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnds {
    /// By LF, as programs and files of this kind of system have it.
    #[default]
    Lf,
    /// By CRLF, as they do on the wire.
    Crlf,
}

/// A message as final delivery hands it to one recipient.
#[derive(Debug, Clone)]
pub(crate) struct FinalCopy {
    head: Bytes,
    content: LoadedContent,
}

impl FinalCopy {
    /// RFC 5321 §4.4: Return-Path on top; and Delivered-To, by which a loop is known.
    pub(crate) fn of(attempt: &Attempt, recipient: &Recipient) -> Self {
        let mut head = message::return_path_field(&attempt.reverse_path);
        head.extend_from_slice(format!("Delivered-To: {}\r\n", recipient.address).as_bytes());
        head.extend_from_slice(&attempt.prefix);
        Self { head: head.into(), content: attempt.content.clone() }
    }

    /// Octets, as they come, before lines are changed.
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + self.content.len()
    }

    /// The piece at an offset; empty at the end. Blocks where content is a file.
    pub(crate) fn piece(&self, offset: u64) -> io::Result<Bytes> {
        let head = self.head.len() as u64;
        if let Ok(start) = usize::try_from(offset)
            && start < self.head.len()
        {
            return Ok(self.head.slice(start..self.head.len().min(start + PIECE)));
        }
        self.content.range(offset - head, PIECE).map_err(io::Error::other)
    }

    /// Whether the whole is in memory: then a piece costs no wait.
    pub(crate) fn in_memory(&self) -> bool {
        matches!(self.content, LoadedContent::Memory(_))
    }

    /// Whether the message went to this recipient before: it has a Delivered-To that says so (R72).
    pub(crate) fn has_been_at(&self, recipient: &Recipient) -> io::Result<bool> {
        let header = self.content.range(0, HEADER_MAX).map_err(io::Error::other)?;
        let here = recipient.address.to_string();
        let is_here = |value: &[u8]| value.eq_ignore_ascii_case(here.as_bytes());
        Ok(Fields::of(&header).any(|field| field.is("Delivered-To") && is_here(&field.unfolded())))
    }
}

/// The line that begins a message in a mailbox file (RFC 4155 appendix A): who sent it, and when in UTC.
pub(crate) fn from_line(sender: &ReversePath, arrived: Timestamp) -> String {
    // A sender with a space would be read as sender and date.
    let sender = match sender.address() {
        Some(address) => address.to_string().replace(|c: char| c.is_whitespace() || c.is_control(), "_"),
        None => "MAILER-DAEMON".to_owned(),
    };
    let (day, seconds) = (Day::of(arrived), arrived.as_seconds() % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        [usize::try_from(arrived.as_seconds() / 86_400 % 7).unwrap_or_default()];
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        [usize::from(day.month.clamp(1, 12)) - 1];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "From {sender} {weekday} {month} {:>2} {hour:02}:{minute:02}:{second:02} {:04}\n",
        day.day, day.year
    )
}

/// Changes lines on their way, whatever the size of the pieces.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    ends: LineEnds,
    /// A CR that may belong to a LF.
    cr: bool,
    quoting: Option<Quoting>,
    between: Vec<u8>,
}

impl Lines {
    pub(crate) fn ending(ends: LineEnds) -> Self {
        Self { ends, cr: false, quoting: None, between: Vec::new() }
    }

    /// For a mailbox file: LF, and each line that begins with `From ` after any number of `>` gets one `>` more. That
    /// can be undone without loss (the format mboxrd).
    pub(crate) fn of_mbox() -> Self {
        Self { quoting: Some(Quoting::default()), ..Self::ending(LineEnds::Lf) }
    }

    /// Appends a changed piece.
    pub(crate) fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.ends == LineEnds::Crlf {
            out.extend_from_slice(piece);
            return;
        }
        let Some(quoting) = &mut self.quoting else {
            without_cr(&mut self.cr, piece, out);
            return;
        };
        self.between.clear();
        without_cr(&mut self.cr, piece, &mut self.between);
        quoting.take(&self.between, out);
    }

    /// Appends what was held back: nothing follows.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            out.push(b'\r');
        }
    }
}

/// CRLF becomes LF; a CR alone stays.
fn without_cr(held: &mut bool, mut piece: &[u8], out: &mut Vec<u8>) {
    if let (true, Some(first)) = (*held, piece.first()) {
        *held = false;
        if *first != b'\n' {
            out.push(b'\r');
        }
    }
    while let Some(at) = memchr(b'\r', piece) {
        out.extend_from_slice(&piece[..at]);
        piece = &piece[at + 1..];
        match piece.first() {
            None => *held = true,
            Some(b'\n') => {}
            Some(_) => out.push(b'\r'),
        }
    }
    out.extend_from_slice(piece);
}

/// Where in a line quoting stands. A `>` may be added anywhere in a run of them, so only a begun `From ` is held back in
/// mind, and nothing in memory.
#[derive(Debug, Clone, Copy, Default)]
enum Quoting {
    /// At the beginning.
    #[default]
    Open,
    /// After nothing but `>`.
    Marked,
    /// After so many octets of `From `, which are not yet written.
    Begun(usize),
    /// After anything else.
    Within,
}

/// What is quoted.
const FROM: &[u8] = b"From ";

impl Quoting {
    fn take(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some(first) = piece.first() {
            match *self {
                Self::Within => {
                    let end = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
                    out.extend_from_slice(&piece[..end]);
                    if piece[end - 1] == b'\n' {
                        *self = Self::Open;
                    }
                    piece = &piece[end..];
                    continue;
                }
                Self::Open | Self::Marked if *first == b'>' => {
                    out.push(b'>');
                    *self = Self::Marked;
                }
                Self::Open | Self::Marked if *first == FROM[0] => *self = Self::Begun(1),
                Self::Begun(len) if *first == FROM[len] => {
                    *self = Self::Begun(len + 1);
                    if len + 1 == FROM.len() {
                        out.push(b'>');
                        out.extend_from_slice(FROM);
                        *self = Self::Within;
                    }
                }
                Self::Open | Self::Marked | Self::Begun(_) => {
                    self.give_up(out);
                    continue;
                }
            }
            piece = &piece[1..];
        }
    }

    /// It was no `From `: what was held back is written as it was.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        if let Self::Begun(len) = *self {
            out.extend_from_slice(&FROM[..len]);
        }
        *self = Self::Within;
    }
}

impl Lines {
    /// Ends a message of a mailbox file: its last line, and the empty one that separates it from the next.
    pub(crate) fn end_mbox(&mut self, out: &mut Vec<u8>) {
        self.end(out);
        if let Some(quoting) = &mut self.quoting {
            let is_at_start = matches!(quoting, Quoting::Open);
            quoting.give_up(out);
            out.extend_from_slice(if is_at_start { b"\n" } else { b"\n\n" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(mut lines: Lines, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for piece in pieces {
            lines.take(piece, &mut out);
        }
        if lines.quoting.is_some() {
            lines.end_mbox(&mut out)
        } else {
            lines.end(&mut out)
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_end_as_they_are_to() {
        for (text, lf) in [("a\r\nb\r\n", "a\nb\n"), ("a\rb\r", "a\rb\r"), ("\r\r\n", "\r\n"), ("", "")] {
            assert_eq!(changed(Lines::ending(LineEnds::Lf), &[text.as_bytes()]), lf, "{text:?}");
            assert_eq!(changed(Lines::ending(LineEnds::Crlf), &[text.as_bytes()]), text);
        }
    }

    #[test]
    fn from_lines_are_quoted_and_messages_separated() {
        for (text, mbox) in [
            (
                "a: b\r\n\r\nFrom me\r\n>From you\r\n>>From all\r\nFrom",
                "a: b\n\n>From me\n>>From you\n>>>From all\nFrom\n\n",
            ),
            ("> From x\r\nFromage\r\n From y\r\nFrom \r\n", "> From x\nFromage\n From y\n>From \n\n"),
            ("end", "end\n\n"),
            (">>", ">>\n\n"),
            ("Fr", "Fr\n\n"),
        ] {
            assert_eq!(changed(Lines::of_mbox(), &[text.as_bytes()]), mbox, "{text:?}");
        }
    }

    #[test]
    fn the_first_line_names_sender_and_moment() {
        let sender = ReversePath::parse("<\"a b\"@there.test>").unwrap();
        let moment = Timestamp(1_700_000_000_000);
        assert_eq!(from_line(&sender, moment), "From \"a_b\"@there.test Tue Nov 14 22:13:20 2023\n");
        let first = from_line(&ReversePath::Null, Timestamp(86_400_000));
        assert_eq!(first, "From MAILER-DAEMON Fri Jan  2 00:00:00 1970\n");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[>From \r\n]{0,24}", a in 0_usize..24, b in 0_usize..24) {
            let octets = text.as_bytes();
            let (a, b) = (a.min(b).min(octets.len()), a.max(b).min(octets.len()));
            let pieces = [&octets[..a], &octets[a..b], &octets[b..]];
            for lines in [Lines::of_mbox(), Lines::ending(LineEnds::Lf)] {
                prop_assert_eq!(changed(lines.clone(), &[octets]), changed(lines, &pieces));
            }
        }

        #[test]
        fn quoting_can_be_undone(text in "[>From a\n]{0,24}") {
            let mbox = changed(Lines::of_mbox(), &[text.as_bytes()]);
            let undone: Vec<&str> = mbox
                .split('\n')
                .map(|line| match line.strip_prefix('>') {
                    Some(rest) if rest.trim_start_matches('>').starts_with("From ") => rest,
                    _ => line,
                })
                .collect();
            prop_assert!(undone.join("\n").starts_with(&text));
            prop_assert!(mbox.ends_with("\n"));
        }
    }
}
