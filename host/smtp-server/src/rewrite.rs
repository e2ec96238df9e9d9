//! Addresses in the header of our own users' mail, as rules and directory want them.

use std::ops::Range;

use mail_types::{Address, QueueId};
use message::header_addresses;
use profiles::{Hearing, Leaving};
use routing::HeaderPlace;
use routing::rewrite::control::Direction;

use crate::session::Session;

/// Fields whose addresses stand for the sender; all others stand for receivers.
const BACKWARD: &[&[u8]] =
    &[b"From", b"Sender", b"Reply-To", b"Resent-From", b"Resent-Sender", b"Resent-Reply-To"];

/// The addresses of a header that can be rewritten.
#[derive(Debug, Default)]
pub struct HeaderAddresses {
    addresses: Vec<(Address, Direction)>,
    places: Vec<Range<usize>>,
}

impl HeaderAddresses {
    /// Those of a header; what is no address is left out.
    #[must_use]
    pub fn of(header: &[u8]) -> Self {
        let mut all = Self::default();
        for found in header_addresses(header) {
            let Some(address) =
                std::str::from_utf8(found.text).ok().and_then(|text| Address::parse(text).ok())
            else {
                continue;
            };
            let backward = BACKWARD.iter().any(|name| name.eq_ignore_ascii_case(found.field));
            all.addresses.push((address, if backward { Direction::Backward } else { Direction::Forward }));
            all.places.push(found.range);
        }
        all
    }

    /// In their order, with whom they stand for.
    #[must_use]
    pub fn addresses(&self) -> &[(Address, Direction)] {
        &self.addresses
    }

    /// The places of those that stand for senders, and the addresses as they are with what was changed so far.
    #[must_use]
    pub fn senders(&self, changed: &[Option<Address>]) -> (Vec<usize>, Vec<Address>) {
        let of = |(at, (address, direction)): (usize, &(Address, Direction))| {
            let now = || changed.get(at).and_then(Option::as_ref).unwrap_or(address).clone();
            (*direction == Direction::Backward).then(|| (at, now()))
        };
        self.addresses.iter().enumerate().filter_map(of).unzip()
    }

    /// Leaves as they are addresses that would need UTF-8 in a header that may have none: only a message that came with SMTPUTF8
    /// may have such ones (RFC 6531 §3.2), and only such a one is not handed to hosts that do not know them (§3.6). Gives the
    /// first of them, what it does not become, and how many there are.
    pub fn keep_ascii(&self, changed: &mut [Option<Address>]) -> Option<(&Address, Address, u64)> {
        let (mut first, mut count) = (None, 0);
        for ((address, _), new) in self.addresses.iter().zip(changed) {
            if let Some(new) = new.take_if(|new| new.needs_utf8()) {
                first.get_or_insert((address, new));
                count += 1;
            }
        }
        first.map(|(address, new)| (address, new, count))
    }

    /// The header with others in their places; `None` where all stay as they are. Everything but the addresses themselves keeps
    /// its octets.
    #[must_use]
    pub fn replaced(&self, header: &[u8], changed: &[Option<Address>]) -> Option<Vec<u8>> {
        let mut rewritten: Option<Vec<u8>> = None;
        let mut copied = 0;
        for (range, new) in self.places.iter().zip(changed) {
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
}

/// The header with its addresses rewritten; `None` where all stay as they are. Plugins are asked about all of them at
/// once, to rewrite them and then, those of senders, as others shall see them.
pub(crate) async fn header(session: &Session, header: &[u8], id: QueueId) -> Option<Vec<u8>> {
    let all = HeaderAddresses::of(header);
    let place = HeaderPlace {
        source: session.options.kind.source(),
        destination: session.transaction.as_ref().and_then(|open| open.channel()),
        authenticated: session.client.account.as_ref(),
        id: &id.to_string(),
    };
    let mut changed = session.server.routing.rewrite_headers(all.addresses(), place).await;
    let leaving = Leaving {
        channel: place.source,
        destination: place.destination,
        authenticated: place.authenticated,
        id: place.id,
    };
    // On top of what the rules made of them.
    let (senders, before) = all.senders(&changed);
    let profiles = &session.server.profiles;
    let seen = profiles.seen_in_header(leaving, before.clone(), &mut Hearing::default()).await;
    for ((at, before), seen) in senders.into_iter().zip(before).zip(seen) {
        if seen != before {
            changed[at] = Some(seen);
        }
    }
    if !session.transaction.as_ref().is_some_and(|open| open.mail.transport.smtputf8)
        && let Some((address, new, count)) = all.keep_ascii(&mut changed)
    {
        session.kept(&id.to_string(), (address, &new), count);
    }
    all.replaced(header, &changed)
}
