//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7).

use imap_wire::{Code, MailboxName};
use store::{Place, SHARED_PREFIX, SpecialUse, StoreError, USER_PREFIX};

use super::{Context, list, refusal, store_name};
use crate::answer::Answer;
use crate::object_ids::mailbox_id;
use crate::pattern::DELIMITER;

/// The tagged answer of a command that has nothing to tell but success.
fn answer(result: Result<(), StoreError>, done: &'static str) -> Answer {
    match result {
        Ok(()) => Answer::ok(done),
        Err(error) => refusal(&error),
    }
}

/// Where a mailbox of this name would be; the first words of namespaces are nobody's.
fn new_place(context: &Context<'_>, name: &MailboxName) -> Result<Place, StoreError> {
    let bare = name.as_str().trim_end_matches(DELIMITER);
    if [USER_PREFIX, SHARED_PREFIX].iter().any(|prefix| prefix.trim_end_matches(DELIMITER) == bare) {
        return Err(StoreError::NotAllowed("mailboxes of others are found below that name"));
    }
    place(context, name)
}

fn place(context: &Context<'_>, name: &MailboxName) -> Result<Place, StoreError> {
    context.shared.parts.store.place(context.login.account, name.as_str())
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
        let Place { account, name } = new_place(context, name)?;
        context.shared.parts.store.create_mailbox(account, &name, special_use).await
    };
    match create.await {
        Ok(mailbox) => Answer::ok("CREATE done").code(Code::MailboxId(mailbox_id(mailbox))),
        Err(error) => refusal(&error),
    }
}

pub(crate) async fn delete(context: &Context<'_>, name: &MailboxName) -> Answer {
    let delete = async {
        let Place { account, name } = place(context, name)?;
        context.shared.parts.store.delete_mailbox(account, &name).await
    };
    answer(delete.await, "DELETE done")
}

/// Renaming INBOX moves its messages, and leaves it in place, empty (RFC 3501 §6.3.5).
pub(crate) async fn rename(context: &Context<'_>, from: &MailboxName, to: &MailboxName) -> Answer {
    if to.is_inbox() {
        return Answer::no("INBOX exists already").code(Code::AlreadyExists);
    }
    let rename = async {
        let from = place(context, from)?;
        let to = match new_place(context, to) {
            Ok(to) if from.account == to.account => to,
            // Whether there is such an owner at all is nobody's to find out so.
            Ok(_) | Err(StoreError::NotFound(_)) => {
                let store = &context.shared.parts.store;
                store.mailbox(from.account, &from.name)?;
                return Err(StoreError::NotAllowed("a mailbox stays with its owner"));
            }
            Err(error) => return Err(error),
        };
        context.shared.parts.store.rename_mailbox(from.account, &from.name, &to.name).await
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
