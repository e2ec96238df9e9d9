//! Identifiers of objects (RFC 8474): from the store's own numbers, which are never given twice.

use sha2::{Digest, Sha256};
use store::{MailboxId, MessageInfo, Reader, StoreError};

/// Octets of a digest that tell the fields apart which stand on top of one content.
const DIGEST_OCTETS: usize = 16;

/// A mailbox's identifier (RFC 8474 §4): it keeps it when it is renamed.
pub(crate) fn mailbox_id(mailbox: MailboxId) -> String {
    format!("F{:x}-{:x}", mailbox.account.0, mailbox.number)
}

/// The identifier of a message's octets (RFC 8474 §5.1): copies have the same. One content may have other fields on top for each
/// recipient, and messages that differ must not have one identifier.
pub(crate) fn email_id(reader: &Reader, info: &MessageInfo) -> Result<String, StoreError> {
    let of_content = of_content(info);
    if !info.has_prefix {
        return Ok(of_content);
    }
    let prefix = reader.prefix(info.uid)?.ok_or(StoreError::NotFound("message"))?;
    let digest: String =
        Sha256::digest(prefix)[..DIGEST_OCTETS].iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(format!("{of_content}-{digest}"))
}

/// Whether a message has an identifier; of most that is told by their content.
pub(crate) fn has_email_id(reader: &Reader, info: &MessageInfo, id: &str) -> Result<bool, StoreError> {
    let may_be = id.split('-').next() == Some(&of_content(info));
    Ok(may_be && email_id(reader, info)? == id)
}

fn of_content(info: &MessageInfo) -> String {
    format!("M{:x}", info.content.0)
}
