//! STATUS (RFC 3501 §6.3.10).

use imap_wire::{MailboxName, Response, StatusItem};
use store::StoreError;

use super::{Context, find, refusal};
use crate::answer::Answer;

pub(crate) fn status(context: &mut Context<'_>, name: &MailboxName, items: &[StatusItem]) -> Answer {
    let store = &context.shared.parts.store;
    let found = find(context, name).and_then(|mailbox| {
        if mailbox.selectable { store.status(mailbox.id) } else { Err(StoreError::NotSelectable) }
    });
    let status = match found {
        Ok(status) => status,
        Err(error) => return refusal(&error),
    };
    let value = |item: &StatusItem| match item {
        StatusItem::Messages => status.messages,
        StatusItem::Recent => status.recent,
        StatusItem::UidNext => u64::from(status.uid_next.0),
        StatusItem::UidValidity => u64::from(status.uid_validity.0),
        StatusItem::Unseen => status.unseen,
        StatusItem::Size => status.octets,
        StatusItem::Deleted => status.deleted,
    };
    let items = items.iter().map(|item| (*item, value(item))).collect();
    context.io.say(&Response::MailboxStatus { mailbox: name.as_str().to_owned(), items });
    Answer::ok("STATUS done")
}
