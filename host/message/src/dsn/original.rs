//! The part that gives back the message, or its header (RFC 3461 §6.2, RFC 6522 §3).

use mail_types::RetentionOfContent;

use super::{Action, Dsn, RETURNED_HEADER_OCTETS_MAX, RETURNED_OCTETS_MAX};
use crate::header::{Fields, header_len};

/// Longest line that 8bit and 7bit allow, line end excluded (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// What is returned, and as what.
pub(super) struct Returned<'a> {
    media_type: &'static str,
    /// The octets, as they stand.
    pub(super) octets: &'a [u8],
    /// Whether these are all that the message has.
    pub(super) is_whole: bool,
}

impl<'a> Returned<'a> {
    /// The whole, where the sender asked for it, delivery failed, and it is neither too long nor binary.
    pub(super) fn of(dsn: &Dsn<'a>) -> Self {
        let asked = dsn.ret == Some(RetentionOfContent::Full)
            && dsn.recipients.iter().any(|recipient| recipient.action == Action::Failed);
        let all_there = usize::try_from(dsn.original_len).is_ok_and(|len| len == dsn.original.len());
        let short = dsn.original.len() <= RETURNED_OCTETS_MAX;
        let header = &dsn.original[..header_len(dsn.original)];
        if asked && all_there && short && may_stand_in(dsn, dsn.original, header) {
            let media_type = if header.is_ascii() { "message/rfc822" } else { "message/global" };
            return Self { media_type, octets: dsn.original, is_whole: true };
        }
        let header = cut_header(header);
        if !may_stand_in(dsn, header, header) {
            return Self { media_type: "text/rfc822-headers", octets: b"", is_whole: false };
        }
        let media_type = if header.is_ascii() { "text/rfc822-headers" } else { "message/global-headers" };
        Self { media_type, octets: header, is_whole: false }
    }

    pub(super) fn has_utf8_header(&self) -> bool {
        self.media_type.starts_with("message/global")
    }

    pub(super) fn append_part(&self, boundary: &str, octets: &mut Vec<u8>) {
        let encoding = if self.octets.is_ascii() { "7bit" } else { "8bit" };
        octets.extend_from_slice(
            format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n",
                self.media_type
            )
            .as_bytes(),
        );
        octets.extend_from_slice(self.octets);
    }
}

/// Whether octets can be a part of the report: lines with proper ends and of legal length, no NUL,
/// and a UTF-8 header only for a sender who uses SMTPUTF8 (RFC 6533 §4).
fn may_stand_in(dsn: &Dsn<'_>, octets: &[u8], header: &[u8]) -> bool {
    let utf8_fits = header.is_ascii() || (dsn.smtputf8 && std::str::from_utf8(header).is_ok());
    let mut rest = octets;
    while utf8_fits && !rest.is_empty() {
        let end = memchr::memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
        if end > LINE_MAX || (end < rest.len() && !rest[end..].starts_with(b"\r\n")) {
            return false;
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    utf8_fits
}

/// The header without its empty line, cut at the end of a field where it is too long.
fn cut_header(header: &[u8]) -> &[u8] {
    let end = Fields::of(header)
        .map(|field| field.end)
        .take_while(|end| *end <= RETURNED_HEADER_OCTETS_MAX)
        .last()
        .unwrap_or(0);
    &header[..end]
}
