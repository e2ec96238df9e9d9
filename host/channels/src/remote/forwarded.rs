//! Forwarded copies carry Delivered-To of the users who forwarded them: whom they come back to knows it (R72). The fields
//! stand above all others, so no signature of a header that is there breaks, unless it signed that there is no such field.

use bytes::Bytes;
use mail_types::{Address, Recipient};
use queue::Attempt;

/// Attempts of one message, each with the fields of its recipients, and where they stand in the first one.
pub(crate) fn attempts(attempt: &Attempt) -> Vec<(Vec<usize>, Attempt)> {
    let mut groups: Vec<(&[Address], Vec<usize>)> = Vec::new();
    for (at, recipient) in attempt.recipients.iter().enumerate() {
        let forwarders = recipient.forwarders.as_slice();
        match groups.iter_mut().find(|(others, _)| *others == forwarders) {
            Some((_, group)) => group.push(at),
            None => groups.push((forwarders, vec![at])),
        }
    }
    let one = |(forwarders, group): (&[Address], Vec<usize>)| {
        let recipients: Vec<Recipient> = group.iter().map(|at| attempt.recipients[*at].clone()).collect();
        let prefix = prefix(forwarders, &attempt.prefix);
        (group, Attempt { recipients, prefix, ..attempt.clone() })
    };
    groups.into_iter().map(one).collect()
}

/// Whether some recipient was reached by a forward.
pub(crate) fn is_forwarded(attempt: &Attempt) -> bool {
    attempt.recipients.iter().any(|recipient| !recipient.forwarders.is_empty())
}

/// The last forwarder stands on top, as the last host of a trace does.
fn prefix(forwarders: &[Address], prefix: &Bytes) -> Bytes {
    if forwarders.is_empty() {
        return prefix.clone();
    }
    let fields: String =
        forwarders.iter().rev().map(|forwarder| format!("Delivered-To: {forwarder}\r\n")).collect();
    [fields.as_bytes(), prefix].concat().into()
}
