//! A message as the client gets it: as it is, or with surrogates of its headers with UTF-8 (RFC 6856 §2.1, RFC 6858).

use std::ops::Range;

use message::{
    PartKind, Structure, Surrogate, SurrogatePiece, header_len, needs_surrogate, surrogate_header,
};
use store::{Octets, StoreError};
use tokio::sync::Semaphore;

/// Octets of a message in memory at a time, while it is not looked at as a whole.
pub(crate) const PIECE_OCTETS: usize = 64 * 1024;
/// Octets of a message in which its header must end, to be looked at for UTF-8.
const HEADER_OCTETS_MAX: usize = 256 * 1024;
/// KiB of messages that all sessions together look at as wholes; a larger message takes all of them.
pub(crate) const WHOLE_KIB_MAX: u32 = 64 * 1024;

/// A message, piece by piece.
pub(crate) struct Shown {
    pub(crate) octets: Octets,
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of what the client gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These octets of the message.
    Stored(Range<u64>),
    /// Others.
    Made(Vec<u8>),
}

/// What a look at the header of a message tells.
enum Header {
    /// Nothing is to be replaced.
    Plain,
    /// The header alone is to be replaced, as far as the octet.
    Replaced(Vec<u8>, u64),
    /// There are parts, whose headers are to be looked at, too.
    WithParts,
    /// It is too large to be looked at.
    TooLarge,
}

impl Shown {
    /// As it is.
    pub(crate) fn whole(octets: Octets) -> Self {
        let all = Piece::Stored(0..octets.len());
        Self { octets, pieces: vec![all] }
    }

    /// For a client that reads ASCII headers alone; `None` where the header is too large for that. `room` is what sessions
    /// look at messages as wholes in.
    pub(crate) async fn conventional(octets: Octets, room: &Semaphore) -> Result<Option<Self>, StoreError> {
        match look(&octets)? {
            Header::Plain => return Ok(Some(Self::whole(octets))),
            Header::Replaced(header, at) => {
                let rest = Piece::Stored(at..octets.len());
                return Ok(Some(Self { octets, pieces: vec![Piece::Made(header), rest] }));
            }
            Header::TooLarge => return Ok(None),
            Header::WithParts => {}
        }
        let (octets, is_ascii) = apart(octets, Octets::is_ascii).await?;
        if is_ascii {
            return Ok(Some(Self::whole(octets)));
        }
        let kib = u32::try_from(octets.len() / 1024 + 1).unwrap_or(u32::MAX).min(WHOLE_KIB_MAX);
        // Nobody closes it.
        let taken = room.acquire_many(kib).await.ok();
        let (octets, pieces) = apart(octets, pieces).await?;
        drop(taken);
        Ok(Some(Self { octets, pieces }))
    }

    /// How many octets that is.
    pub(crate) fn len(&self) -> u64 {
        let len = |piece: &Piece| match piece {
            Piece::Stored(range) => range.end - range.start,
            Piece::Made(octets) => octets.len() as u64,
        };
        self.pieces.iter().map(len).sum()
    }
}

/// Does something with a message on a thread that may block.
async fn apart<T: Send + 'static>(
    octets: Octets,
    work: impl FnOnce(&Octets) -> Result<T, StoreError> + Send + 'static,
) -> Result<(Octets, T), StoreError> {
    let done = tokio::task::spawn_blocking(move || work(&octets).map(|done| (octets, done))).await;
    done.map_err(|e| StoreError::Storage(storage::StorageError::unavailable("reading a message", e)))?
}

fn look(octets: &Octets) -> Result<Header, StoreError> {
    let mut head = Vec::new();
    while (head.len() as u64) < octets.len() && head.len() < HEADER_OCTETS_MAX {
        let piece = octets.range(head.len() as u64, PIECE_OCTETS.min(HEADER_OCTETS_MAX - head.len()))?;
        if piece.is_empty() {
            break;
        }
        head.extend_from_slice(&piece);
        let len = header_len(&head);
        if len < head.len() || len as u64 == octets.len() {
            let header = &head[..len];
            if Structure::parse(header).root().kind() != PartKind::Leaf {
                return Ok(Header::WithParts);
            }
            let replaced = surrogate_header(header);
            return Ok(replaced.map_or(Header::Plain, |header| Header::Replaced(header, len as u64)));
        }
    }
    Ok(if needs_surrogate(&head) { Header::TooLarge } else { Header::Plain })
}

/// The pieces of a message's surrogate; all of the message where it needs none.
fn pieces(octets: &Octets) -> Result<Vec<Piece>, StoreError> {
    let whole = octets.to_bytes()?;
    let Some(surrogate) = Surrogate::of(&Structure::parse(&whole)) else {
        return Ok(vec![Piece::Stored(0..octets.len())]);
    };
    let piece = |piece| match piece {
        SurrogatePiece::Kept(range) => Piece::Stored(range.start as u64..range.end as u64),
        SurrogatePiece::Made(range) => Piece::Made(surrogate.octets()[range].to_vec()),
    };
    Ok(surrogate.pieces(0..surrogate.octets().len()).into_iter().map(piece).collect())
}
