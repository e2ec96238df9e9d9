//! COPY and MOVE (RFC 3501 §6.4.7, RFC 4315, RFC 6851).

use imap_wire::{By, Code, Condition, MailboxName, SequenceSet};
use store::{Copied, MailboxId, Rights, StoreError, Uid};

use super::{Context, find, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, Selected};

pub(crate) async fn copy(
    context: &mut Context<'_>,
    selected: &mut Selected,
    by: By,
    set: &SequenceSet,
    name: &MailboxName,
) -> Result<Answer, End> {
    let (uids, target) = match prepare(context, selected, by, set, name) {
        Ok(prepared) => prepared,
        Err(answer) => return Ok(answer),
    };
    Ok(match context.shared.parts.store.copy(selected.mailbox, &uids, target).await {
        Ok(copied) => {
            note_made(selected, target, &copied);
            let answer = Answer::ok("COPY done");
            match copy_uid(&copied) {
                Some(code) => answer.code(code),
                None => answer,
            }
        }
        Err(error) => refusal(&error),
    })
}

pub(crate) async fn move_(
    context: &mut Context<'_>,
    selected: &mut Selected,
    by: By,
    set: &SequenceSet,
    name: &MailboxName,
) -> Result<Answer, End> {
    if selected.access == Access::ReadOnly {
        return Ok(Answer::no("the mailbox is read-only").code(Code::NoPerm));
    }
    let (uids, target) = match prepare(context, selected, by, set, name) {
        Ok(prepared) => prepared,
        Err(answer) => return Ok(answer),
    };
    Ok(match context.shared.parts.store.move_(selected.mailbox, &uids, target).await {
        Ok(moved) => {
            note_made(selected, target, &moved);
            // RFC 6851 §4.3: COPYUID comes before the expunges, in an untagged OK.
            if let Some(code) = copy_uid(&moved) {
                context.io.status(None, Condition::Ok, Some(code), "moved");
            }
            Answer::ok("MOVE done").removed(!moved.uids.is_empty())
        }
        Err(error) => refusal(&error),
    })
}

fn note_made(selected: &mut Selected, target: MailboxId, copied: &Copied) {
    if target == selected.mailbox {
        selected.makes(copied.uids.iter().map(|(_, target)| *target));
    }
}

/// Which messages, and where to. Nothing is done for a target that is not there, which the client
/// may make (RFC 3501 §6.4.7).
fn prepare(
    context: &Context<'_>,
    selected: &Selected,
    by: By,
    set: &SequenceSet,
    name: &MailboxName,
) -> Result<(Vec<Uid>, MailboxId), Answer> {
    let members = selected.view.resolve(by, set).map_err(|_| Answer::bad("no such message"))?;
    let target = target(context, name)?;
    Ok((members.into_iter().map(|member| Uid(member.uid)).collect(), target))
}

/// The mailbox that COPY, MOVE and APPEND put messages into.
pub(super) fn target(context: &Context<'_>, name: &MailboxName) -> Result<MailboxId, Answer> {
    match find(context, name) {
        Ok(mailbox) if !mailbox.selectable => Err(refusal(&StoreError::NotSelectable)),
        Ok(mailbox) => match context.shared.parts.store.require(mailbox.id, Rights::INSERT) {
            Ok(()) => Ok(mailbox.id),
            Err(error) => Err(refusal(&error)),
        },
        Err(error @ StoreError::NotFound(_)) => Err(refusal(&error).code(Code::TryCreate)),
        Err(error) => Err(refusal(&error)),
    }
}

/// RFC 4315 §3: sources and targets in the same order; both rise, since UIDs are drawn in order.
fn copy_uid(copied: &Copied) -> Option<Code> {
    let source = SequenceSet::from_rising(copied.uids.iter().map(|(source, _)| source.0))?;
    let target = SequenceSet::from_rising(copied.uids.iter().map(|(_, target)| target.0))?;
    Some(Code::CopyUid { uid_validity: copied.uid_validity.0, source, target })
}
