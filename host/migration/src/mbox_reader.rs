//! Reading mbox files (RFC 4155 Appendix A), as `mboxrd` writes them: a line `From `, an empty line before it, begins a
//! message, and a line of the message that looks like one has a `>` more in front.

use mail_types::Timestamp;
use store::Flags;

use crate::calendar;

/// Longest piece of a line that is looked at as a whole, in octets; longer lines come in several pieces.
pub(crate) const PIECE_MAX: usize = 64 * 1024;

/// The fields in which an mbox keeps what it knows of a message. The first of each is taken, and is no part of it.
const OWN_FIELDS: [&str; 6] = ["status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase"];
/// Those that our own export writes, in this order, before all others and always: whatever follows them is the message's.
const EXPORTED_FIELDS: usize = 3;

/// What a piece of a line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It begins a message.
    Begins(Option<Timestamp>),
    /// These octets of the message, with LF; perhaps none.
    Octets(Vec<u8>),
}

/// What stands in a message's own fields.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) flags: Flags,
    pub(crate) keywords: Vec<String>,
}

/// Takes lines, gives messages. Pure: whoever reads the file feeds it.
#[derive(Debug)]
pub(crate) struct MboxReader {
    /// At the beginning of a line; else in the middle of a long one.
    at_start: bool,
    /// The line before was empty.
    after_empty: bool,
    /// It is not given yet: before the next message it is none of this one's.
    empty_held: bool,
    in_header: bool,
    /// Which of the own fields were seen.
    seen: [bool; OWN_FIELDS.len()],
    /// The own field that the next folded line belongs to.
    folding: Option<usize>,
    /// How many fields the header has so far, as long as they are those of our own export; none once another one came.
    exported: Option<usize>,
    pub(crate) noted: Noted,
    begun: bool,
}

impl MboxReader {
    pub(crate) fn new() -> Self {
        Self {
            at_start: true,
            after_empty: false,
            empty_held: false,
            in_header: false,
            seen: [false; OWN_FIELDS.len()],
            folding: None,
            exported: Some(0),
            noted: Noted::default(),
            begun: false,
        }
    }

    /// Whether this piece would begin a message, if it is fed next.
    pub(crate) fn begins(&self, piece: &[u8]) -> Option<Option<Timestamp>> {
        let may = self.at_start && (self.after_empty || !self.begun);
        let line = piece.strip_prefix(b"From ").filter(|_| may)?;
        let line = String::from_utf8_lossy(line.strip_suffix(b"\n")?).into_owned();
        match calendar::parse(&line) {
            Some(date) => Some(Some(date)),
            // The first line of a file is one in any case: there is nothing else that it could be.
            None if !self.begun => Some(None),
            None => None,
        }
    }

    /// The next piece: a line with its LF, or [`PIECE_MAX`] octets of a longer one, or the end of the file.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Step {
        if let Some(date) = self.begins(piece) {
            *self = Self { in_header: true, begun: true, ..Self::new() };
            return Step::Begins(date);
        }
        let mut out = Vec::with_capacity(piece.len() + 1);
        if std::mem::take(&mut self.empty_held) {
            out.push(b'\n');
        }
        let (was_start, ends) = (self.at_start, piece.ends_with(b"\n"));
        self.at_start = ends;
        self.after_empty = was_start && matches!(piece, b"\n" | b"\r\n");
        if !was_start {
            if self.folding.is_none() {
                out.extend_from_slice(piece);
            }
            return Step::Octets(out);
        }
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if self.in_header && self.own_field(text) {
            return Step::Octets(out);
        }
        if text.is_empty() && ends {
            if std::mem::take(&mut self.in_header) {
                out.extend_from_slice(piece);
            } else {
                self.empty_held = true;
            }
            return Step::Octets(out);
        }
        out.extend_from_slice(unquoted(piece));
        Step::Octets(out)
    }

    /// Whether a line of the header belongs to an own field; takes what it says.
    fn own_field(&mut self, line: &[u8]) -> bool {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let Some(field) = self.folding {
                self.note(field, &String::from_utf8_lossy(line));
            }
            return self.folding.is_some();
        }
        self.folding = None;
        if self.exported == Some(EXPORTED_FIELDS) {
            return false;
        }
        let before = self.exported.take();
        let Some(at) = memchr::memchr(b':', line) else { return false };
        let name = String::from_utf8_lossy(&line[..at]);
        let Some(field) = OWN_FIELDS.iter().position(|own| name.trim_end().eq_ignore_ascii_case(own)) else {
            return false;
        };
        self.exported = before.filter(|count| *count == field).map(|count| count + 1);
        if std::mem::replace(&mut self.seen[field], true) {
            return false;
        }
        self.folding = Some(field);
        self.note(field, &String::from_utf8_lossy(&line[at + 1..]));
        true
    }

    fn note(&mut self, field: usize, value: &str) {
        let flag = |letter: char| match letter {
            'R' => Flags::SEEN,
            'A' => Flags::ANSWERED,
            'F' => Flags::FLAGGED,
            'D' => Flags::DELETED,
            // Pine's and Dovecot's letter for drafts.
            'T' => Flags::DRAFT,
            _ => Flags::NONE,
        };
        match OWN_FIELDS[field] {
            "status" | "x-status" => {
                self.noted.flags =
                    value.chars().fold(self.noted.flags, |flags, letter| flags.with(flag(letter)));
            }
            "x-keywords" => {
                self.noted.keywords.extend(value.split_ascii_whitespace().map(str::to_owned));
            }
            _ => {}
        }
    }
}

/// A line without the `>` that quotes a `From `.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|octet| **octet == b'>').count();
    if quotes > 0 && line[quotes..].starts_with(b"From ") { &line[1..] } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Noted)> {
        let mut reader = MboxReader::new();
        let mut messages: Vec<(String, Noted)> = Vec::new();
        for line in text.split_inclusive('\n') {
            match reader.feed(line.as_bytes()) {
                Step::Begins(_) => messages.push((String::new(), Noted::default())),
                Step::Octets(octets) => {
                    let last = messages.last_mut().unwrap();
                    last.0.push_str(std::str::from_utf8(&octets).unwrap());
                    last.1 = reader.noted.clone();
                }
            }
        }
        messages
    }

    #[test]
    fn messages_are_cut_and_unquoted() {
        let found = read(
            "From a@b Fri Nov 27 10:52:43 2026\nSubject: 1\n\nbody\n\nFrom here on it is text\n>From x\n>>From y\n\n\
             From c@d Fri Nov 27 10:52:44 2026\n\nlast\n",
        );
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["Subject: 1\n\nbody\n\nFrom here on it is text\nFrom x\n>From y\n", "\nlast\n"]);
    }

    #[test]
    fn a_message_without_a_body_ends_with_its_header() {
        let from = "From a@b Fri Nov 27 10:52:43 2026\n";
        let texts = |text: &str| read(text).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        assert_eq!(
            texts(&format!("{from}A: 1\n\n{from}A: 2\n\n\n{from}A: 3\n")),
            ["A: 1\n\n", "A: 2\n\n", "A: 3\n"]
        );
    }

    #[test]
    fn own_fields_are_taken_once() {
        let found = read(
            "From - Fri Nov 27 10:52:43 2026\nStatus: RO\nX-Status: AFT\nX-Keywords: $Junk later\n  more\nSubject: x\n\
             Status: the sender's\n\nStatus: body\n",
        );
        let (text, noted) = &found[0];
        assert_eq!(text, "Subject: x\nStatus: the sender's\n\nStatus: body\n");
        let flags = Flags::SEEN.with(Flags::ANSWERED).with(Flags::FLAGGED).with(Flags::DRAFT);
        assert_eq!(
            (noted.flags, &noted.keywords[..]),
            (flags, &["$Junk", "later", "more"].map(str::to_owned)[..])
        );
    }

    #[test]
    fn behind_the_fields_of_our_export_all_is_the_messages() {
        let head = "From - Fri Nov 27 10:52:43 2026\nStatus: RO\nX-Status: F\nX-Keywords: later\n";
        let message = "X-UID: 7\nX-IMAP: 1 2\nX-IMAPbase: 3 4\nStatus: mine\nX-Keywords: mine\n\nbody\n";
        let (text, noted) = read(&format!("{head}{message}")).remove(0);
        assert_eq!(text, message);
        assert_eq!((noted.flags, noted.keywords.len()), (Flags::SEEN.with(Flags::FLAGGED), 1));
        // Others write them where they like, and more of them.
        let (text, _) =
            read("From - Fri Nov 27 10:52:43 2026\nX-UID: 7\nStatus: RO\nX-Keywords:\nA: b\nX-IMAP: 1\n\n")
                .remove(0);
        assert_eq!(text, "A: b\n\n");
    }

    #[test]
    fn a_line_in_pieces_stays_whole() {
        let mut reader = MboxReader::new();
        reader.feed(b"From a Fri Nov 27 10:52:43 2026\n");
        assert_eq!(reader.feed(b"X: long"), Step::Octets(b"X: long".to_vec()));
        assert_eq!(reader.feed(b">From \n"), Step::Octets(b">From \n".to_vec()));
    }
}
