//! The controls of a template: conditions beyond the pattern.

use super::substitution::Piece;

/// Whether an address stands in the envelope or in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// MAIL FROM, RCPT TO.
    Envelope,
    /// From, To, Cc and their like.
    Header,
}

/// Which way an address points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the receiver: RCPT TO, To, Cc.
    Forward,
    /// To the sender: MAIL FROM, From, Sender, Reply-To.
    Backward,
}

/// Where in the address the host stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// After `@`.
    At,
    /// After `%` in the local part.
    Percent,
    /// In a source route.
    SourceRoute,
    /// Before `!` in the local part.
    Bang,
}

/// All conditions of one template. A rule applies where every family that it names holds.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    /// `$E` or `$B`.
    pub place: Option<Place>,
    /// `$F` or `$R`.
    pub direction: Option<Direction>,
    /// `$A`, `$P`, `$S`, `$X`: any one of them.
    pub positions: Vec<Position>,
    /// `$M`: the source channel is one of these.
    pub source_is: Vec<Box<str>>,
    /// `$N`: the source channel is none of these.
    pub source_is_not: Vec<Box<str>>,
    /// `$1M` (true), `$1N` (false): the source is, is not, the internal reprocessing channel.
    pub reprocessing: Option<bool>,
    /// `$Q`: the destination channel is one of these; not asked of envelope recipients.
    pub destination_is: Vec<Box<str>>,
    /// `$C`: the destination channel is none of these; not asked of envelope recipients.
    pub destination_is_not: Vec<Box<str>>,
    /// `$V`: every one of these domains is local.
    pub local: Vec<Box<[Piece]>>,
    /// `$Z`: none of these domains is local.
    pub not_local: Vec<Box<[Piece]>>,
}

impl Controls {
    /// Whether there is nothing to check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.place.is_none()
            && self.direction.is_none()
            && self.positions.is_empty()
            && self.reprocessing.is_none()
            && [&self.source_is, &self.source_is_not, &self.destination_is, &self.destination_is_not]
                .iter()
                .all(|names| names.is_empty())
            && self.local.is_empty()
            && self.not_local.is_empty()
    }
}
