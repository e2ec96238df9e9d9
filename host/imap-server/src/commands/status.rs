//! STATUS (RFC 3501 §6.3.10).

use imap_wire::{MailboxName, Response, StatusItem, StatusValue};
use store::StoreError;

use super::{Context, find, refusal};
use crate::answer::Answer;
use crate::object_ids::mailbox_id;

pub(crate) fn status(context: &mut Context<'_>, name: &MailboxName, items: &[StatusItem]) -> Answer {
    let store = &context.shared.parts.store;
    let found = find(context, name).and_then(|mailbox| {
        if !mailbox.selectable {
            return Err(StoreError::NotSelectable);
        }
        let status = store.status(mailbox.id)?;
        // Only these items look at messages.
        let deleted = if items.contains(&StatusItem::DeletedStorage) && status.deleted > 0 {
            store.deleted_octets(mailbox.id)?
        } else {
            0
        };
        let recent = if items.contains(&StatusItem::Recent) { store.recent(mailbox.id)? } else { 0 };
        Ok((mailbox.id, status, (deleted, recent)))
    });
    let (mailbox, status, (deleted, recent)) = match found {
        Ok(found) => found,
        Err(error) => return refusal(&error),
    };
    let limit = context.limits.append_octets;
    let number = |item: &StatusItem| match item {
        StatusItem::Messages => status.messages,
        StatusItem::Recent => recent,
        StatusItem::UidNext => u64::from(status.uid_next.0),
        StatusItem::UidValidity => u64::from(status.uid_validity.0),
        StatusItem::Unseen => status.unseen,
        StatusItem::Size => status.octets,
        StatusItem::Deleted => status.deleted,
        StatusItem::DeletedStorage => deleted,
        StatusItem::HighestModSeq => status.highest_modseq.0,
        StatusItem::AppendLimit => limit,
        StatusItem::MailboxId => 0,
    };
    let value = |item: &StatusItem| match item {
        StatusItem::MailboxId => StatusValue::Id(mailbox_id(mailbox)),
        item => StatusValue::Number(number(item)),
    };
    let items = items.iter().map(|item| (*item, value(item))).collect();
    context.io.say(&Response::MailboxStatus { mailbox: name.as_str().to_owned(), items });
    Answer::ok("STATUS done")
}
