//! `$?`: what the sender reads where no rule takes an address.

use mail_types::{EnhancedStatus, Persistence};

/// The text of `$?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 5.1.2 unless the rule gives another: `$4002001?`.
    pub status: EnhancedStatus,
    /// For the peer.
    pub text: Box<str>,
}

/// `5001002` as 5.1.2.
pub(super) fn status(number: &str) -> Option<EnhancedStatus> {
    if number.len() != 7 {
        return None;
    }
    let (class, rest) = number.split_at(1);
    let (subject, detail) = (rest[..3].parse().ok()?, rest[3..].parse().ok()?);
    let persistence = match class {
        "4" => Persistence::Transient,
        "5" => Persistence::Permanent,
        _ => return None,
    };
    Some(EnhancedStatus { persistence, subject, detail })
}

/// Where the text of a `$?` ends that is not alone: at a separator or a control.
pub(super) fn message_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    (0..bytes.len())
        .find(|&at| match bytes[at] {
            b'@' | b'%' => true,
            b'$' => bytes.get(at + 1).is_some_and(|next| b"NMQCT?nmqct".contains(next)),
            _ => false,
        })
        .unwrap_or(bytes.len())
}
