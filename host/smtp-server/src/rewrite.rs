//! Addresses in the header of our own users' mail, as rules and directory want them.

use mail_types::Address;
use message::header_addresses;
use routing::HeaderPlace;
use routing::rewrite::control::Direction;

use crate::session::Session;

/// Fields whose addresses stand for the sender; all others stand for receivers.
const BACKWARD: &[&[u8]] =
    &[b"From", b"Sender", b"Reply-To", b"Resent-From", b"Resent-Sender", b"Resent-Reply-To"];

/// The header with its addresses rewritten; `None` where all stay as they are. Everything but the
/// addresses themselves keeps its octets.
pub(crate) fn header(session: &Session, header: &[u8]) -> Option<Vec<u8>> {
    let mut rewritten: Option<Vec<u8>> = None;
    let mut copied = 0;
    for found in header_addresses(header) {
        let Some(address) = std::str::from_utf8(found.text).ok().and_then(|text| Address::parse(text).ok())
        else {
            continue;
        };
        let backward = BACKWARD.iter().any(|name| name.eq_ignore_ascii_case(found.field));
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let place = HeaderPlace { direction, source: session.options.kind.source(), destination: None };
        let Some(new) = session.server.routing.rewrite_header(&address, place) else { continue };
        let out = rewritten.get_or_insert_with(|| Vec::with_capacity(header.len() + 64));
        out.extend_from_slice(&header[copied..found.range.start]);
        out.extend_from_slice(new.to_string().as_bytes());
        copied = found.range.end;
    }
    let mut out = rewritten?;
    out.extend_from_slice(&header[copied..]);
    Some(out)
}
