//! NOTIFY as a client writes it.

use super::{mailbox, word};
use crate::fetch::FetchItem;
use crate::notify::{EventGroup, EventMailboxes, NotifyCommand, NotifyEvent};
use crate::text::write_list;

pub(super) fn write(out: &mut Vec<u8>, command: &NotifyCommand) {
    let NotifyCommand::Set { status, groups } = command else { return word(out, "NOTIFY NONE") };
    word(out, if *status { "NOTIFY SET STATUS" } else { "NOTIFY SET" });
    for EventGroup { mailboxes, events } in groups {
        let (which, names) = match mailboxes {
            EventMailboxes::Selected => (" (SELECTED", None),
            EventMailboxes::SelectedDelayed => (" (SELECTED-DELAYED", None),
            EventMailboxes::Inboxes => (" (INBOXES", None),
            EventMailboxes::Personal => (" (PERSONAL", None),
            EventMailboxes::Subscribed => (" (SUBSCRIBED", None),
            EventMailboxes::Subtree(names) => (" (SUBTREE ", Some(names)),
            EventMailboxes::Mailboxes(names) => (" (MAILBOXES ", Some(names)),
        };
        word(out, which);
        if let Some(names) = names {
            write_list(out, names, mailbox);
        }
        out.push(b' ');
        if events.is_empty() {
            word(out, "NONE");
        } else {
            write_list(out, events, |out, event| {
                word(out, event.name());
                if let NotifyEvent::MessageNew(items) = event
                    && !items.is_empty()
                {
                    out.push(b' ');
                    write_list(out, items, |out, item: &FetchItem| item.write(out));
                }
            });
        }
        out.push(b')');
    }
}
