//! What was made from messages before and is kept: structures, previews, and what their texts cannot contain.

use imap_wire::FetchItem;
use store::{DerivedReader, MessageInfo};

/// Raised with every change of what is made: what was made before is then made anew.
const VERSION: u8 = 3;

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
}

impl Kind {
    /// What a FETCH item can be told from.
    pub(crate) fn of(item: &FetchItem) -> Option<Self> {
        match item {
            FetchItem::Body => Some(Self::Body),
            FetchItem::BodyStructure => Some(Self::BodyStructure),
            FetchItem::Preview { .. } => Some(Self::Preview),
            _ => None,
        }
    }
}

/// As it is kept.
pub(crate) fn kept(made: &[u8]) -> Vec<u8> {
    [&[VERSION], made].concat()
}

/// What was made of a kind from a message's content, if this code made it.
pub(crate) fn read<T>(
    reader: &DerivedReader,
    info: &MessageInfo,
    kind: Kind,
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    let with = |octets: &[u8]| octets.strip_prefix(&[VERSION]).map(read);
    reader.with(info.content, kind as u8, with).flatten()
}
