//! EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1).

use imap_wire::{By, Code, SequenceSet};
use store::Uid;

use super::{Context, refusal};
use crate::answer::Answer;
use crate::selected::{Access, Selected};

/// Expunges; the session is told as of any other change.
pub(crate) async fn expunge(context: &Context<'_>, selected: &Selected, set: Option<&SequenceSet>) -> Answer {
    if selected.access == Access::ReadOnly {
        return Answer::no("the mailbox is read-only").code(Code::NoPerm);
    }
    let named: Option<Vec<Uid>> = set.map(|set| {
        // By UID every set can be resolved.
        let members = selected.view.resolve(By::Uid, set).unwrap_or_default();
        members.into_iter().map(|member| Uid(member.uid)).collect()
    });
    match context.shared.parts.store.expunge(selected.mailbox, named.as_deref()).await {
        Ok(expunged) => Answer::ok("EXPUNGE done").removed(!expunged.uids.is_empty()),
        Err(error) => refusal(&error),
    }
}
