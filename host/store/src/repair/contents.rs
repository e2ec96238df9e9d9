//! References to content, and content without any.

use std::collections::HashMap;
use std::ops::ControlFlow;

use storage::{ContentId, Snapshot, StorageError};

use super::{AskForeign, Plan};
use crate::damaged::Foreign;
use crate::error::StoreError;
use crate::keys;
use crate::record::MessageRecord;

/// Content whose references are not as recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrong {
    id: ContentId,
    has: u64,
    says: u64,
}

/// Counts references anew: all of one moment. Where there is something that may have content and does not say which, none is
/// found to have too many.
pub(super) fn wrong(snapshot: &Snapshot, foreign: AskForeign<'_>) -> Result<Vec<Wrong>, StoreError> {
    let mut references: HashMap<ContentId, u64> = HashMap::new();
    let mut are_all = true;
    foreign(snapshot, &mut |said| match said {
        Foreign::Content(queued) => *references.entry(queued.content).or_default() += 1,
        Foreign::Unreadable { may_have_content, .. } => are_all &= !may_have_content,
    })?;
    snapshot.scan(keys::MESSAGES, &[], &keys::END, &mut |_, value| {
        if let Ok(record) = MessageRecord::parse(value) {
            *references.entry(record.content).or_default() += 1;
        }
        ControlFlow::Continue(())
    })?;
    let mut ids = Vec::new();
    snapshot.contents(&mut |id| ids.push(id))?;
    ids.sort_unstable();
    ids.dedup();
    let mut wrong = Vec::new();
    for id in ids {
        let has = references.get(&id).copied().unwrap_or(0);
        let says = snapshot.content_references(id)?.unwrap_or(0);
        if has > says || (has < says && are_all) {
            wrong.push(Wrong { id, has, says });
        }
    }
    Ok(wrong)
}

/// Sets references right by their difference: what others add or take meanwhile stays counted.
pub(super) fn mend(snapshot: &Snapshot, plan: &mut Plan<'_>, wrong: &[Wrong]) -> Result<(), StoreError> {
    for Wrong { id, has, says } in wrong {
        let what = format!("content {} records {says} references, but has {has}", id.0);
        let difference = |more: u64, less: u64| u32::try_from(more - less).unwrap_or(u32::MAX);
        if has > says && *says > 0 {
            plan.draft.batch.retain_content(*id, difference(*has, *says));
            plan.remedy(12, what, "its references are counted anew");
        } else if *has > 0 && *says > 0 {
            plan.draft.batch.release_content(*id, difference(*says, *has));
            plan.remedy(12, what, "its references are counted anew");
        } else if *says > 0 {
            // Whose it was is not known any more, but it may be mail.
            let kept = match snapshot.content(*id) {
                Ok(Some(content)) => match content.to_bytes() {
                    Ok(octets) => {
                        format!("kept as {}", plan.keep(&format!("content-{}.eml", id.0), &octets)?)
                    }
                    Err(error) => kept_raw(snapshot, plan, *id, &error)?,
                },
                Ok(None) => "there are no octets of it".to_owned(),
                Err(error) => kept_raw(snapshot, plan, *id, &error)?,
            };
            plan.draft.batch.release_content(*id, difference(*says, 0));
            plan.remedy(12, what, format!("it goes; {kept}"));
        } else if *has == 0 {
            continue;
        } else {
            // Messages that name content which is not there are mended with their mailbox.
            plan.remedy(12, what, "it stays as it is until the messages that name it are mended");
        }
    }
    Ok(())
}

/// Keeps damaged content as it lies on the disk.
fn kept_raw(
    snapshot: &Snapshot,
    plan: &Plan<'_>,
    id: ContentId,
    error: &StorageError,
) -> Result<String, StoreError> {
    let Some((raw, is_packed)) = snapshot.raw_content(id)? else { return Ok(error.to_string()) };
    let name = format!("content-{}.damaged{}", id.0, if is_packed { ".zst" } else { "" });
    Ok(format!("it is damaged ({error}), and kept as {}", plan.keep(&name, &raw)?))
}
