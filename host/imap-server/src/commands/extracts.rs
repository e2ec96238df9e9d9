//! What all items of a FETCH come to for one message, and how much of the message that takes.

use std::sync::Arc;

use events::Event;
use imap_wire::FetchItem;
use message::{
    PartKind, Structure, Surrogate, SurrogatePiece, has_envelope_fields, has_utf8_headers, header_len,
    surrogate_header,
};
use storage::StorageError;
use store::{DerivedReader, Head, MailboxId, MessageInfo, Octets, Reader, Store, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use super::extract::{COPY_OCTETS_MAX, Extract, HEADER_OCTETS_MAX, Need, Slice, Source};
use crate::derived::{self, Kind};
use crate::dialect::Headers;
use crate::server::Shared;
use crate::structure::has_global;

/// Octets that a header is looked for in at first; most are smaller.
const HEADER_OCTETS_FIRST: usize = 16 * 1024;
/// Messages up to this size are read and taken apart in the session's own turn; others on a thread
/// that may block, so that no other session waits.
pub(super) const IN_TURN_OCTETS_MAX: u64 = 128 * 1024;
/// The same for a header or a message that several items are taken out of, each by going through it.
const WORK_IN_TURN_OCTETS_MAX: u64 = 1024 * 1024;

/// What the items come to, in their order.
#[derive(Default)]
pub(super) struct Extracts {
    pub(super) items: Vec<Extract>,
    /// What ranges are read from.
    pub(super) octets: Option<Octets>,
    /// A surrogate is told in the place of the message, and makes a difference (RFC 6858 §3).
    pub(super) is_downgraded: bool,
    /// Octets of the header that were gone through for the items.
    pub(super) header_octets: usize,
    /// Whether a header of the message or of a part has UTF-8; `None` where not all of them were looked at.
    has_utf8_headers: Option<bool>,
    /// Whether its structure is written in another way in IMAP4rev2.
    has_global: bool,
    /// Whether the message's own has; `None` where its envelope was not made here, or is not its content's alone.
    has_utf8_header: Option<bool>,
}

impl Extracts {
    /// Where the record is enough.
    pub(super) fn none(items: &[FetchItem]) -> Self {
        Self { items: items.iter().map(|_| Extract::Record).collect(), ..Self::default() }
    }

    /// What was made of the message's content here, to be kept. Of surrogates nothing is.
    pub(super) fn made<'a>(&'a self, items: &'a [FetchItem]) -> impl Iterator<Item = (Kind, Vec<u8>)> + 'a {
        let is_kept =
            !self.is_downgraded && (self.has_utf8_headers.is_some() || self.has_utf8_header.is_some());
        let items: &[FetchItem] = if is_kept { items } else { &[] };
        let made = items.iter().zip(&self.items).filter_map(|(item, extract)| {
            let kind = Kind::of(item)?;
            // Both ways would have to be kept, for what hardly any message has.
            if self.has_global && matches!(kind, Kind::Body | Kind::BodyStructure) {
                return None;
            }
            let has_utf8 = if kind == Kind::Envelope { self.has_utf8_header } else { self.has_utf8_headers };
            match extract {
                Extract::Text(made) | Extract::Literal(made) => Some((kind, derived::kept(made, has_utf8?))),
                _ => None,
            }
        });
        let in_pieces = items.iter().any(|item| Need::of(item) == Need::Pieces);
        let told = in_pieces && self.has_utf8_headers == Some(false);
        made.chain(told.then(|| (Kind::Headers, derived::kept(b"", false))))
    }

    /// Octets that it holds in memory.
    pub(super) fn octets_held(&self) -> usize {
        self.items.iter().map(Extract::octets_held).sum()
    }

    /// Where a header of ordinary length is enough, with what was made before; `None` where the header is longer, or
    /// something has to be made, or the headers of parts have to be looked at.
    pub(super) fn of_header(
        reader: &Reader,
        derived: Option<&DerivedReader>,
        info: &MessageInfo,
        items: &[FetchItem],
        headers: Headers,
    ) -> Result<Option<Self>, StoreError> {
        let mut known = Vec::new();
        for kind in items.iter().filter_map(Kind::of) {
            match derived.and_then(|reader| derived::read(reader, info, kind, headers, <[u8]>::to_vec)) {
                Some(made) if kind != Kind::Envelope || is_contents_alone(reader, info)? => {
                    known.push((kind, made));
                }
                // The header is enough for it.
                _ if kind == Kind::Envelope => {}
                _ => return Ok(None),
            }
        }
        let is_known = |item: &FetchItem| known.iter().any(|(kind, _)| Kind::of(item) == Some(*kind));
        let knows_global = headers == Headers::OfRev2;
        let source = |header| Source { header, len: info.size, structure: None, known: &known, knows_global };
        if items.iter().all(|item| Need::of(item) == Need::Record || is_known(item)) {
            return Ok(Some(Self { items: source(&[]).extract(items)?, ..Self::default() }));
        }

        let Some(Head { octets: header, is_whole: true }) = header(reader, info)? else {
            return if reader.info(info.uid)?.is_some() { Ok(None) } else { Err(gone()) };
        };
        let looks = items.iter().filter(|item| Need::of(item) == Need::Header).count();
        if header.len().saturating_mul(looks) as u64 > WORK_IN_TURN_OCTETS_MAX {
            return Ok(None);
        }
        if headers == Headers::Surrogates {
            let in_pieces = items.iter().any(|item| Need::of(item) == Need::Pieces);
            if let Some(surrogate) = surrogate_header(&header) {
                if in_pieces || header.len().max(surrogate.len()) > COPY_OCTETS_MAX {
                    return Ok(None);
                }
                let plain = source(&header).extract(items)?;
                let items = source(&surrogate).extract(items)?;
                let header_octets = header.len() + surrogate.len();
                return Ok(Some(Self {
                    is_downgraded: items != plain,
                    items,
                    header_octets,
                    ..Self::default()
                }));
            }
            if in_pieces && !has_plain_parts(reader, derived, info, &header)? {
                return Ok(None);
            }
        }
        let makes_envelope = items.iter().any(|item| *item == FetchItem::Envelope && !is_known(item));
        let is_to_be_kept = makes_envelope && derived.is_some() && is_contents_alone(reader, info)?;
        let items = source(&header).extract(items)?;
        let is_sent_in_pieces = items.iter().any(|extract| matches!(extract, Extract::Range(_)));
        let octets = if is_sent_in_pieces { reader.octets(info.uid)? } else { None };
        let has_utf8_header = is_to_be_kept.then(|| !header.is_ascii());
        let header_octets = header.len();
        Ok(Some(Self { items, octets, header_octets, has_utf8_header, ..Self::default() }))
    }
}

/// Whether a message's envelope is its content's: no field of it stands on top of that.
fn is_contents_alone(reader: &Reader, info: &MessageInfo) -> Result<bool, StoreError> {
    if !info.has_prefix {
        return Ok(true);
    }
    Ok(reader.prefix(info.uid)?.is_some_and(|prefix| !has_envelope_fields(&prefix)))
}

/// Whether no part of a message has a header with UTF-8, as far as that is cheap to tell.
fn has_plain_parts(
    reader: &Reader,
    derived: Option<&DerivedReader>,
    info: &MessageInfo,
    header: &[u8],
) -> Result<bool, StoreError> {
    if Structure::parse(header).root().kind() == PartKind::Leaf {
        return Ok(true);
    }
    let told = derived
        .and_then(|reader| derived::read(reader, info, Kind::Headers, Headers::Surrogates, |_| ()))
        .is_some();
    Ok(told || info.size <= IN_TURN_OCTETS_MAX && reader.octets(info.uid)?.ok_or_else(gone)?.is_ascii()?)
}

/// Tells the operator of a message that cannot be read; others can.
pub(super) fn tell_damaged(shared: &Shared, mailbox: MailboxId, info: &MessageInfo, error: &StoreError) {
    let cause = format!("message {mailbox}/{}, content {}: {error}", info.uid, info.content.0);
    shared.parts.events.emit(&Event::InternalError { place: "imap", cause: &cause });
}

fn gone() -> StoreError {
    StoreError::NotFound("message")
}

/// The header of a message, and whether it ends there; `None` where the message went.
pub(super) fn header(reader: &Reader, info: &MessageInfo) -> Result<Option<Head>, StoreError> {
    let mut max = HEADER_OCTETS_FIRST;
    loop {
        let Some(head) = reader.head(info, max, header_len)? else { return Ok(None) };
        if head.is_whole || max >= HEADER_OCTETS_MAX {
            return Ok(Some(head));
        }
        max = max.saturating_mul(4).min(HEADER_OCTETS_MAX);
    }
}

/// A message that is read as a whole, and the room it takes until that is done.
pub(super) struct WholeMessage {
    pub(super) store: Store,
    pub(super) mailbox: MailboxId,
    pub(super) info: MessageInfo,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl WholeMessage {
    /// Does with the message what has to be done, going through it so often, on the thread where that belongs.
    pub(super) async fn apply<T: Send + 'static>(
        self,
        passes: usize,
        work: impl FnOnce(&Self, &Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let size = self.info.size;
        let in_turn =
            size <= IN_TURN_OCTETS_MAX && size.saturating_mul(passes as u64) <= WORK_IN_TURN_OCTETS_MAX;
        let work = move || {
            let reader = self.store.reader(self.mailbox)?;
            let done = work(&self, &reader);
            drop((reader, self.room));
            done
        };
        if in_turn {
            return work();
        }
        let working = tokio::task::spawn_blocking(work);
        working.await.map_err(|e| StorageError::unavailable("reading a message", e))?
    }

    pub(super) async fn extract(
        self,
        items: Arc<[FetchItem]>,
        headers: Headers,
    ) -> Result<Extracts, StoreError> {
        // Each is decoded by itself.
        let is_binary = |item: &&FetchItem| matches!(item, FetchItem::Binary(_) | FetchItem::BinarySize(_));
        let passes = 1 + items.iter().filter(is_binary).count();
        self.apply(passes, move |message, reader| {
            let octets = reader.octets(message.info.uid)?.ok_or_else(gone)?;
            let whole = octets.to_bytes()?;
            let structure = Structure::parse(&whole);
            let has_utf8_headers = has_utf8_headers(&structure);
            let plain = Source::of(&structure, headers).extract(&items)?;
            let is_contents_alone = is_contents_alone(reader, &message.info)?;
            let told = Extracts {
                has_utf8_headers: Some(has_utf8_headers),
                has_global: has_global(&structure),
                has_utf8_header: is_contents_alone.then_some(has_utf8_headers),
                ..Extracts::default()
            };
            if !(has_utf8_headers && headers == Headers::Surrogates) {
                return Ok(Extracts { items: plain, octets: Some(octets), ..told });
            }
            let Some(surrogate) = Surrogate::of(&structure) else { return Err(gone()) };
            let structure = Structure::parse(surrogate.octets());
            let made = Source::of(&structure, headers).extract(&items)?;
            let items: Vec<Extract> = made.into_iter().map(|extract| placed(extract, &surrogate)).collect();
            Ok(Extracts { is_downgraded: items != plain, items, octets: Some(octets), ..told })
        })
        .await
    }

    /// Whether the message is ASCII.
    pub(super) async fn has_only_ascii(self) -> Result<bool, StoreError> {
        self.apply(1, |message, reader| reader.octets(message.info.uid)?.ok_or_else(gone)?.is_ascii()).await
    }
}

/// What was taken out of a surrogate, by the message's octets where they are the same.
fn placed(extract: Extract, surrogate: &Surrogate) -> Extract {
    let all_placed = |slices: Vec<Slice>| slices.into_iter().flat_map(|slice| slice_placed(slice, surrogate));
    match extract {
        Extract::Range(range) => {
            let mut slices = slice_placed(Slice::Stored(range), surrogate);
            match (slices.pop(), slices.is_empty()) {
                (Some(Slice::Stored(range)), true) => Extract::Range(range),
                (last, _) => Extract::Mixed(slices.into_iter().chain(last).collect()),
            }
        }
        Extract::Mixed(slices) => Extract::Mixed(all_placed(slices).collect()),
        Extract::Binary(slices) => Extract::Binary(all_placed(slices).collect()),
        extract => extract,
    }
}

fn slice_placed(slice: Slice, surrogate: &Surrogate) -> Vec<Slice> {
    let place = |octet: u64| usize::try_from(octet).unwrap_or(usize::MAX);
    match slice {
        Slice::Stored(range) => {
            let pieces = surrogate.pieces(place(range.start)..place(range.end));
            let slice = |piece| match piece {
                SurrogatePiece::Kept(range) => Slice::Stored(range.start as u64..range.end as u64),
                SurrogatePiece::Made(range) => Slice::Made(surrogate.octets()[range].to_vec()),
            };
            pieces.into_iter().map(slice).collect()
        }
        // Leaves are kept, and so is what is ASCII.
        Slice::Decoded(decoded) => {
            let start = surrogate.place_before(place(decoded.encoded.start)) as u64;
            vec![Slice::Decoded(decoded.moved(start))]
        }
        made @ Slice::Made(_) => vec![made],
    }
}
