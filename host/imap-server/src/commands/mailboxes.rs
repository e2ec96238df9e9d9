//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7).

use imap_wire::{Code, MailboxName};
use store::{SpecialUse, StoreError};

use super::{Context, list, refusal, store_name};
use crate::answer::Answer;
use crate::object_ids::mailbox_id;

/// The tagged answer of a command that has nothing to tell but success.
fn answer(result: Result<(), StoreError>, done: &'static str) -> Answer {
    match result {
        Ok(()) => Answer::ok(done),
        Err(error) => refusal(&error),
    }
}

/// With what it is for, where that is said (RFC 6154 §3): one thing, and none that holds others' messages.
pub(crate) async fn create(context: &Context<'_>, name: &MailboxName, uses: &[String]) -> Answer {
    let special_use = match uses {
        [] => None,
        [one] => match list::special_use(one) {
            Some(SpecialUse::All | SpecialUse::Flagged) | None => {
                return Answer::no(format!("no mailbox can be made for {one}")).code(Code::UseAttr);
            }
            found => found,
        },
        _ => return Answer::no("a mailbox is for one thing").code(Code::UseAttr),
    };
    let create = async {
        let store = &context.shared.parts.store;
        store.create_mailbox(context.login.account, &store_name(name)?, special_use).await
    };
    match create.await {
        Ok(mailbox) => Answer::ok("CREATE done").code(Code::MailboxId(mailbox_id(mailbox))),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn delete(context: &Context<'_>, name: &MailboxName) -> Answer {
    let delete =
        async { context.shared.parts.store.delete_mailbox(context.login.account, &store_name(name)?).await };
    answer(delete.await, "DELETE done")
}

/// Renaming INBOX moves its messages, and leaves it in place, empty (RFC 3501 §6.3.5).
pub(crate) async fn rename(context: &Context<'_>, from: &MailboxName, to: &MailboxName) -> Answer {
    if to.is_inbox() {
        return Answer::no("INBOX exists already").code(Code::AlreadyExists);
    }
    let rename = async {
        let (from, to) = (store_name(from)?, store_name(to)?);
        context.shared.parts.store.rename_mailbox(context.login.account, &from, &to).await
    };
    answer(rename.await, "RENAME done")
}

/// A name may be subscribed that no mailbox has: it may come back (RFC 3501 §6.3.6).
pub(crate) async fn subscribe(context: &Context<'_>, name: &MailboxName) -> Answer {
    let subscribe =
        async { context.shared.parts.store.subscribe(context.login.account, &store_name(name)?).await };
    answer(subscribe.await, "SUBSCRIBE done")
}

pub(crate) async fn unsubscribe(context: &Context<'_>, name: &MailboxName) -> Answer {
    let unsubscribe =
        async { context.shared.parts.store.unsubscribe(context.login.account, &store_name(name)?).await };
    answer(unsubscribe.await, "UNSUBSCRIBE done")
}
