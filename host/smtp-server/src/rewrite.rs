//! Addresses in the header of our own users' mail, as rules and directory want them.

use mail_types::{Address, QueueId};
use message::header_addresses;
use profiles::Leaving;
use routing::HeaderPlace;
use routing::rewrite::control::Direction;

use crate::session::Session;

/// Fields whose addresses stand for the sender; all others stand for receivers.
const BACKWARD: &[&[u8]] =
    &[b"From", b"Sender", b"Reply-To", b"Resent-From", b"Resent-Sender", b"Resent-Reply-To"];

/// The header with its addresses rewritten; `None` where all stay as they are. Everything but the
/// addresses themselves keeps its octets. Plugins are asked about all of them at once, to rewrite them and then, those
/// of senders, as others shall see them.
pub(crate) async fn header(session: &Session, header: &[u8], id: QueueId) -> Option<Vec<u8>> {
    let mut addresses = Vec::new();
    let mut places = Vec::new();
    for found in header_addresses(header) {
        let Some(address) = std::str::from_utf8(found.text).ok().and_then(|text| Address::parse(text).ok())
        else {
            continue;
        };
        let backward = BACKWARD.iter().any(|name| name.eq_ignore_ascii_case(found.field));
        addresses.push((address, if backward { Direction::Backward } else { Direction::Forward }));
        places.push(found.range);
    }
    let place = HeaderPlace {
        source: session.options.kind.source(),
        destination: session.transaction.as_ref().and_then(|open| open.channel()),
        authenticated: session.client.account.as_ref(),
        id: &id.to_string(),
    };
    let mut changed = session.server.routing.rewrite_headers(&addresses, place).await;
    reverse(session, &addresses, &mut changed, place).await;
    keep(session, &addresses, &mut changed, id);
    let mut rewritten: Option<Vec<u8>> = None;
    let mut copied = 0;
    for (range, new) in places.into_iter().zip(changed) {
        let Some(new) = new else { continue };
        let out = rewritten.get_or_insert_with(|| Vec::with_capacity(header.len() + 64));
        out.extend_from_slice(&header[copied..range.start]);
        out.extend_from_slice(new.to_string().as_bytes());
        copied = range.end;
    }
    let mut out = rewritten?;
    out.extend_from_slice(&header[copied..]);
    Some(out)
}

/// Leaves as they are addresses that would need UTF-8 in a header that may have none: only a message that came with SMTPUTF8
/// may have such ones (RFC 6531 §3.2), and only such a one is not handed to hosts that do not know them (§3.6).
fn keep(session: &Session, addresses: &[(Address, Direction)], changed: &mut [Option<Address>], id: QueueId) {
    if session.transaction.as_ref().is_some_and(|open| open.mail.transport.smtputf8) {
        return;
    }
    let (mut first, mut count) = (None, 0);
    for ((address, _), new) in addresses.iter().zip(changed) {
        if let Some(new) = new.take_if(|new| new.needs_utf8()) {
            first.get_or_insert((address, new));
            count += 1;
        }
    }
    if let Some((address, new)) = first {
        session.kept(&id.to_string(), (address, &new), count);
    }
}

/// Senders as others shall see them, as plugins say (role `reverse`): on top of what the rules made of them.
async fn reverse(
    session: &Session,
    addresses: &[(Address, Direction)],
    changed: &mut [Option<Address>],
    place: HeaderPlace<'_>,
) {
    let senders: Vec<usize> =
        (0..addresses.len()).filter(|at| addresses[*at].1 == Direction::Backward).collect();
    let of = |at: usize| changed[at].as_ref().unwrap_or(&addresses[at].0);
    let now: Vec<Address> = senders.iter().map(|at| of(*at).clone()).collect();
    let leaving = Leaving {
        channel: place.source,
        destination: place.destination,
        authenticated: place.authenticated,
        id: place.id,
    };
    let seen = session.server.profiles.seen_in_header(leaving, now).await;
    for (at, seen) in senders.into_iter().zip(seen) {
        if seen != *changed[at].as_ref().unwrap_or(&addresses[at].0) {
            changed[at] = Some(seen);
        }
    }
}
