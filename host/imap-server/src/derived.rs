//! What was made from messages before and is kept: structures, envelopes, previews, and what their texts cannot contain.

use imap_wire::FetchItem;
use store::{DerivedReader, MessageInfo};

use crate::dialect::Headers;

/// Raised with every change of what is made: what was made before is then made anew.
const VERSION: u8 = 5;

/// What is made from a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// [`message::Signature`]
    Signature = 1,
    /// The text of `BODY`.
    Body = 2,
    /// The text of `BODYSTRUCTURE`.
    BodyStructure = 3,
    /// The text of `PREVIEW`.
    Preview = 4,
    /// Nothing but whether a header has UTF-8, as it is told of each kind.
    Headers = 5,
    /// The text of `ENVELOPE`, of messages without fields of it on top of their content.
    Envelope = 6,
}

impl Kind {
    /// What a FETCH item can be told from.
    pub(crate) fn of(item: &FetchItem) -> Option<Self> {
        match item {
            FetchItem::Body => Some(Self::Body),
            FetchItem::BodyStructure => Some(Self::BodyStructure),
            FetchItem::Preview { .. } => Some(Self::Preview),
            FetchItem::Envelope => Some(Self::Envelope),
            _ => None,
        }
    }
}

/// As it is kept: with whether a header of the message, or of a part, has UTF-8.
pub(crate) fn kept(made: &[u8], has_utf8_headers: bool) -> Vec<u8> {
    [&[VERSION, u8::from(has_utf8_headers)], made].concat()
}

/// What was made of a kind from a message's content, if this code made it and it holds for who gets headers so.
pub(crate) fn read<T>(
    reader: &DerivedReader,
    info: &MessageInfo,
    kind: Kind,
    headers: Headers,
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    let with = |octets: &[u8]| match octets.split_first_chunk() {
        Some(([VERSION, has_utf8], made)) if headers != Headers::Surrogates || *has_utf8 == 0 => {
            Some(read(made))
        }
        _ => None,
    };
    reader.with(info.content, kind as u8, with).flatten()
}
