//! Replies: values to lines for the server, lines to values for the client (RFC 5321 §4.2).

use memchr::memchr;

use mail_types::{EnhancedStatus, Reply};

/// Longest reply line in octets, CRLF included (RFC 5321 §4.5.3.1.5). We write none that is longer.
pub const REPLY_LINE_MAX: usize = 512;
/// Most lines of one reply that the client reads.
pub const REPLY_LINES_MAX: usize = 128;
/// Most octets of one reply that the client reads.
pub const REPLY_OCTETS_MAX: usize = 32 * 1024;

/// Appends a reply to `wire`: each line with code and enhanced status (RFC 2034 §4). CR, LF and other
/// controls in a text become spaces, so that no text can forge a line; longer lines are cut. A text is ASCII (RFC 5321 §4.2,
/// `textstring`), also where the message uses SMTPUTF8 (RFC 6531 §3.7.4): any other character becomes a `?`.
pub fn encode_reply(reply: &Reply, wire: &mut Vec<u8>) {
    if reply.lines.iter().all(|line| line.is_ascii()) {
        return encode_reply_utf8(reply, wire);
    }
    let ascii = |line: &String| line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    let lines = reply.lines.iter().map(ascii).collect();
    encode_reply_utf8(&Reply { lines, ..reply.clone() }, wire);
}

/// The same with UTF-8 left as it is: for VRFY and EXPN with SMTPUTF8, and nobody else (RFC 6531 §3.7.4.2).
pub fn encode_reply_utf8(reply: &Reply, wire: &mut Vec<u8>) {
    let head = match reply.status {
        Some(status) => format!("{status} "),
        None => String::new(),
    };
    let code = [
        b'0' + (reply.code / 100 % 10) as u8,
        b'0' + (reply.code / 10 % 10) as u8,
        b'0' + (reply.code % 10) as u8,
    ];
    let mut lines = reply.lines.iter().map(String::as_str).peekable();
    let mut line = lines.next().unwrap_or_default();
    loop {
        wire.extend_from_slice(&code);
        wire.push(if lines.peek().is_some() { b'-' } else { b' ' });
        wire.extend_from_slice(head.as_bytes());
        let room = REPLY_LINE_MAX - 6 - head.len();
        let cut = line.floor_char_boundary(room);
        wire.extend(line[..cut].bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
        wire.extend_from_slice(b"\r\n");
        match lines.next() {
            Some(next) => line = next,
            None => return,
        }
    }
}

/// Why a server's octets are no reply. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with a code from 200 to 599 and a space or hyphen.
    #[error("the server's reply is malformed")]
    Malformed,
    /// The lines of one reply have different codes.
    #[error("the server's reply changes its code between lines")]
    CodesDiffer,
    /// More than [`REPLY_LINES_MAX`] lines or [`REPLY_OCTETS_MAX`] octets.
    #[error("the server's reply is too long")]
    TooLong,
}

/// What [`ReplyParser::parse`] made of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyStep {
    /// Octets of the input that are done with.
    pub consumed: usize,
    /// The reply, once it is whole.
    pub reply: Option<Reply>,
}

/// Reads replies line by line from a growing buffer; memory is bounded by the maxima above.
#[derive(Debug, Clone, Default)]
pub struct ReplyParser {
    code: u16,
    status: Option<EnhancedStatus>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyParser {
    /// Before the first line of a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes whole lines from the head of `input`, up to the end of one reply. A line may end with a bare
    /// LF: it is only read, and never handed on.
    pub fn parse(&mut self, input: &[u8]) -> Result<ReplyStep, ReplyError> {
        let mut consumed = 0;
        while let Some(end) = memchr(b'\n', &input[consumed..]) {
            let line = &input[consumed..consumed + end];
            consumed += end + 1;
            self.octets += end + 1;
            let last = self.line(line.strip_suffix(b"\r").unwrap_or(line))?;
            if last {
                let done = std::mem::take(self);
                let reply = Reply { code: done.code, status: done.status, lines: done.lines };
                return Ok(ReplyStep { consumed, reply: Some(reply) });
            }
        }
        if self.octets + (input.len() - consumed) > REPLY_OCTETS_MAX {
            return Err(ReplyError::TooLong);
        }
        Ok(ReplyStep { consumed, reply: None })
    }

    /// One line; whether it is the last.
    fn line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let [c @ b'2'..=b'5', d @ b'0'..=b'9', u @ b'0'..=b'9', rest @ ..] = line else {
            return Err(ReplyError::Malformed);
        };
        let code = [c, d, u].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err(ReplyError::Malformed),
        };
        if self.lines.len() == REPLY_LINES_MAX || self.octets > REPLY_OCTETS_MAX {
            return Err(ReplyError::TooLong);
        }
        let text = String::from_utf8_lossy(text).replace(|c: char| c.is_control(), " ");
        if self.lines.is_empty() {
            self.code = code;
            // RFC 2034 §4: the class has to be the code's own.
            self.status =
                EnhancedStatus::parse(&text).filter(|s| u16::from(s.persistence.digit()) == code / 100);
        } else if self.code != code {
            return Err(ReplyError::CodesDiffer);
        }
        self.lines.push(self.without_status(text));
        Ok(last)
    }

    fn without_status(&self, text: String) -> String {
        match self.status {
            Some(status) if EnhancedStatus::parse(&text) == Some(status) => {
                text.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
            }
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(wire: &[u8], size: usize) -> Result<(Vec<Reply>, usize), ReplyError> {
        let (mut parser, mut replies, mut buffer) = (ReplyParser::new(), Vec::new(), Vec::new());
        for piece in wire.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                let step = parser.parse(&buffer)?;
                buffer.drain(..step.consumed);
                match step.reply {
                    Some(reply) => replies.push(reply),
                    None => break,
                }
            }
        }
        Ok((replies, buffer.len()))
    }

    #[test]
    fn replies_are_read_line_by_line() {
        let wire = b"250-mx.example\r\n250-SIZE 10\r\n250 DSN\r\n550-5.1.1 No such\r\n550 5.1.1 user\r\n354 Go\n221\r\n";
        for size in 1..=wire.len() {
            let (replies, rest) = read(wire, size).unwrap();
            assert_eq!((replies.len(), rest), (4, 0));
            assert_eq!(replies[0].lines, ["mx.example", "SIZE 10", "DSN"]);
            assert_eq!(replies[1].to_string(), "550 5.1.1 No such / user");
            assert_eq!(replies[2], Reply::plain(354, "Go"));
            assert_eq!(replies[3], Reply::plain(221, ""));
        }
    }

    #[test]
    fn a_status_of_another_class_is_text() {
        let (replies, _) = read(b"450 5.1.1 odd\r\n", 99).unwrap();
        assert_eq!((replies[0].status, replies[0].lines[0].as_str()), (None, "5.1.1 odd"));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert_eq!(read(b"hello\r\n", 9), Err(ReplyError::Malformed));
        assert_eq!(read(b"199 x\r\n", 9), Err(ReplyError::Malformed));
        assert_eq!(read(b"2500 x\r\n", 9), Err(ReplyError::Malformed));
        assert_eq!(read(b"250-a\r\n550 b\r\n", 99), Err(ReplyError::CodesDiffer));
        assert_eq!(read(&b"250-a\r\n".repeat(REPLY_LINES_MAX + 1), 4096), Err(ReplyError::TooLong));
        assert_eq!(read(&[b'2'; REPLY_OCTETS_MAX + 1], 4096), Err(ReplyError::TooLong));
    }

    #[test]
    fn no_text_forges_a_line() {
        let mut wire = Vec::new();
        encode_reply(&Reply::plain(550, "K\u{e4}se, \u{7981}\u{6b62}"), &mut wire);
        assert_eq!(wire, b"550 K?se, ??\r\n");
        wire.clear();
        encode_reply_utf8(&Reply::plain(250, "<k\u{e4}se@b.example>"), &mut wire);
        assert_eq!(wire, "250 <k\u{e4}se@b.example>\r\n".as_bytes());
        wire.clear();
        encode_reply(&Reply::plain(550, "a\r\n250 b"), &mut wire);
        assert_eq!(wire, b"550 a  250 b\r\n");
        wire.clear();
        encode_reply(&Reply::plain(250, "x".repeat(2000)), &mut wire);
        assert_eq!(wire.len(), REPLY_LINE_MAX);
    }

    proptest! {
        #[test]
        fn encoding_and_parsing_are_inverse(
            code in 400_u16..600, subject in 0_u16..9, detail in 0_u16..99,
            lines in proptest::collection::vec("[ -~é]{0,60}", 1..5), size in 1_usize..20,
        ) {
            let status = if code < 500 { EnhancedStatus::transient(subject, detail) } else { EnhancedStatus::permanent(subject, detail) };
            let reply = Reply { code, status: Some(status), lines };
            let mut wire = Vec::new();
            encode_reply_utf8(&reply, &mut wire);
            prop_assert_eq!(read(&wire, size).unwrap(), (vec![reply], 0));
        }

        #[test]
        fn parsing_never_panics(wire: Vec<u8>, size in 1_usize..20) {
            let _ = read(&wire, size);
        }
    }
}
