//! One line of a SASL exchange, from the buffer.

use smtp_wire::{AUTH_LINE_MAX, Line, SaslLine, decode_sasl_line, next_line};

use crate::answer::Answer;
use crate::auth;

/// What the client answered to a challenge.
pub(crate) enum Heard {
    /// Its response.
    Response(Vec<u8>),
    /// Something that ends the exchange; the reply.
    Refused(Answer),
    /// More than a line may hold.
    TooLong,
    /// No whole line yet.
    Nothing,
}

/// Reads the line at the head of the buffer; gives the octets that it took, too.
pub(crate) fn hear(buffered: &[u8]) -> (Heard, usize) {
    match next_line(buffered, AUTH_LINE_MAX) {
        Line::Incomplete => (Heard::Nothing, 0),
        Line::TooLong(_) => (Heard::TooLong, 0),
        Line::Loose(consumed) => (Heard::Refused(auth::NOT_BASE64), consumed),
        Line::Complete(line, consumed) => {
            let heard = match decode_sasl_line(line) {
                // `=` stands for the empty response only as an initial one (RFC 4954 §4).
                Ok(SaslLine::Response(_)) if line == b"=" => Heard::Refused(auth::NOT_BASE64),
                Ok(SaslLine::Response(octets)) => Heard::Response(octets),
                Ok(SaslLine::Cancel) => Heard::Refused(auth::CANCELLED),
                Err(_) => Heard::Refused(auth::NOT_BASE64),
            };
            (heard, consumed)
        }
    }
}
