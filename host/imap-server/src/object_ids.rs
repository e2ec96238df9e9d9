//! Identifiers of objects (RFC 8474): from the store's own numbers, which are never given twice.

use store::{MailboxId, MessageInfo};

/// A mailbox's identifier (RFC 8474 §4): it keeps it when it is renamed.
pub(crate) fn mailbox_id(mailbox: MailboxId) -> String {
    format!("F{:x}-{:x}", mailbox.account.0, mailbox.number)
}

/// The identifier of a message's content (RFC 8474 §5.1): copies have the same.
pub(crate) fn email_id(info: &MessageInfo) -> String {
    format!("M{:x}", info.content.0)
}
