//! `BODY[section]<partial>` and its older names: their way out in pieces.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use imap_wire::{FetchItem, FetchResponse, SectionFetch};
use store::Octets;

use super::binary::{Decoded, ENCODED_PIECE_OCTETS};
use super::extract::{Extract, Slice};
use crate::io::{End, Io};

/// Octets of a message that are read and sent at a time.
const PIECE_OCTETS: usize = 256 * 1024;
/// Texts up to this size are gathered with what else is sent; larger ones are sent uncopied.
const COPY_OCTETS_MAX: usize = 16 * 1024;

/// The name of an item in a response: `"BODY" section ["<" number ">"]`, or its word.
pub(super) fn name(item: &FetchItem) -> Cow<'static, str> {
    match item {
        FetchItem::Flags => "FLAGS".into(),
        FetchItem::Uid => "UID".into(),
        FetchItem::InternalDate => "INTERNALDATE".into(),
        FetchItem::Rfc822Size => "RFC822.SIZE".into(),
        FetchItem::Envelope => "ENVELOPE".into(),
        FetchItem::Body => "BODY".into(),
        FetchItem::BodyStructure => "BODYSTRUCTURE".into(),
        FetchItem::Rfc822 => "RFC822".into(),
        FetchItem::Rfc822Header => "RFC822.HEADER".into(),
        FetchItem::Rfc822Text => "RFC822.TEXT".into(),
        FetchItem::ModSeq => "MODSEQ".into(),
        FetchItem::EmailId => "EMAILID".into(),
        FetchItem::ThreadId => "THREADID".into(),
        FetchItem::SaveDate => "SAVEDATE".into(),
        FetchItem::Preview { .. } => "PREVIEW".into(),
        FetchItem::Section(fetch) => with_section("BODY", fetch).into(),
        FetchItem::Binary(fetch) => with_section("BINARY", fetch).into(),
        FetchItem::BinarySize(section) => format!("BINARY.SIZE{section}").into(),
    }
}

fn with_section(word: &str, fetch: &SectionFetch) -> String {
    match fetch.partial {
        Some(partial) => format!("{word}{}<{}>", fetch.section, partial.offset),
        None => format!("{word}{}", fetch.section),
    }
}

/// Writes what was taken out of a message for an item of that name.
pub(super) async fn write(
    io: &mut Io,
    response: &mut FetchResponse,
    name: &str,
    extract: &Extract,
    octets: Option<&Octets>,
) -> Result<(), End> {
    match (extract, octets) {
        (Extract::Text(text), _) => {
            response.name(io.out(), name);
            send(io, text).await
        }
        (Extract::Literal(literal), _) => {
            response.literal(io.out(), name, literal.len() as u64);
            send(io, literal).await
        }
        (Extract::Binary(slices), Some(octets)) => {
            response.literal8(io.out(), name, slices.iter().map(Slice::len).sum());
            send_slices(io, octets, slices).await
        }
        (Extract::Range(range), Some(octets)) => {
            response.literal(io.out(), name, range.end - range.start);
            send_pieces(io, octets, range.clone()).await
        }
        (Extract::Mixed(slices), Some(octets)) => {
            response.literal(io.out(), name, slices.iter().map(Slice::len).sum());
            send_slices(io, octets, slices).await
        }
        (
            Extract::Absent
            | Extract::UnknownEncoding
            | Extract::Record
            | Extract::Range(_)
            | Extract::Mixed(_)
            | Extract::Binary(_),
            _,
        ) => {
            response.name(io.out(), name);
            io.out().extend_from_slice(b"NIL");
            Ok(())
        }
    }
}

async fn send(io: &mut Io, octets: &[u8]) -> Result<(), End> {
    if octets.len() <= COPY_OCTETS_MAX {
        io.out().extend_from_slice(octets);
        io.flush_if_full().await
    } else {
        io.flush_with(octets).await
    }
}

async fn send_slices(io: &mut Io, octets: &Octets, slices: &[Slice]) -> Result<(), End> {
    for slice in slices {
        match slice {
            Slice::Made(made) => send(io, made).await?,
            Slice::Stored(range) => send_pieces(io, octets, range.clone()).await?,
            Slice::Decoded(decoded) => send_decoded(io, octets, decoded).await?,
        }
    }
    Ok(())
}

/// Sends what octets come to that are read and decoded piece by piece.
async fn send_decoded(io: &mut Io, octets: &Octets, decoded: &Decoded) -> Result<(), End> {
    let (mut decoding, mut sent) = (decoded.decoding(), 0);
    let Range { start: mut at, end } = decoded.encoded;
    while at < end {
        let piece = piece(octets, at..end, ENCODED_PIECE_OCTETS)?;
        let plain = decoding.push(&piece);
        send(io, plain).await?;
        sent += plain.len() as u64;
        at += piece.len() as u64;
        // A client that takes all of it at once keeps nobody from their turn.
        tokio::task::yield_now().await;
    }
    let rest = decoding.finish();
    send(io, &rest).await?;
    if sent + rest.len() as u64 == decoded.len() { Ok(()) } else { Err(shorter()) }
}

/// The next octets of a range, some at least. The size is announced: what cannot be read now cannot be made good but by
/// closing.
fn piece(octets: &Octets, range: Range<u64>, max: usize) -> Result<Bytes, End> {
    let want = usize::try_from(range.end - range.start).unwrap_or(usize::MAX).min(max);
    let piece = octets.range(range.start, want).map_err(|error| End::Damaged(error.to_string()))?;
    if piece.is_empty() { Err(shorter()) } else { Ok(piece) }
}

fn shorter() -> End {
    End::Damaged("stored content is shorter than its record says".to_owned())
}

/// Sends octets read piece by piece: memory holds one piece.
async fn send_pieces(io: &mut Io, octets: &Octets, range: Range<u64>) -> Result<(), End> {
    let mut at = range.start;
    while at < range.end {
        let piece = piece(octets, at..range.end, PIECE_OCTETS)?;
        send(io, &piece).await?;
        at += piece.len() as u64;
    }
    Ok(())
}
