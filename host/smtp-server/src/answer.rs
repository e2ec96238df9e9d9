//! What a session says back.

use mail_types::{Refusal, Reply};
use smtp_wire::{encode_reply, encode_reply_utf8};

/// A reply on its way out. The common ones are literals, so that a message costs no allocation for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One line, whole but for its CRLF.
    Line(&'static str),
    /// The same line so many times.
    Lines(&'static str, usize),
    /// Anything else.
    Reply(Reply),
    /// To VRFY and EXPN with SMTPUTF8: may have UTF-8 in it.
    Utf8(Reply),
    /// LMTP's, one for each recipient (RFC 2033 §4.2).
    Each(Vec<Reply>),
}

impl Answer {
    /// Appends it to what is to be sent.
    pub(crate) fn write(&self, wire: &mut Vec<u8>) {
        match self {
            Self::Line(line) => Self::Lines(line, 1).write(wire),
            Self::Lines(line, count) => (0..*count).for_each(|_| {
                wire.extend_from_slice(line.as_bytes());
                wire.extend_from_slice(b"\r\n");
            }),
            Self::Reply(reply) => encode_reply(reply, wire),
            Self::Utf8(reply) => encode_reply_utf8(reply, wire),
            Self::Each(replies) => replies.iter().for_each(|reply| encode_reply(reply, wire)),
        }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Reply(refusal.reply)
    }
}

/// A reply of one line.
pub(crate) fn reply(code: u16, subject: u16, detail: u16, text: impl Into<String>) -> Reply {
    use mail_types::{EnhancedStatus, Persistence};
    let persistence = match code / 100 {
        4 => Persistence::Transient,
        5 => Persistence::Permanent,
        _ => Persistence::Success,
    };
    Reply::new(code, EnhancedStatus { persistence, subject, detail }, text)
}
