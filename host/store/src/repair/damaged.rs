//! Content that is damaged: what can be read of it stays, and what cannot is told and kept.
//!
//! A damaged file gives way to another one of the same length, with a note in the place of what is lost: so messages stay where
//! they are, with their sizes, and who has the whole message already keeps it. The file as it was is kept as evidence, and before
//! anything is changed a list of all messages that are hurt. Where nothing can be read, the messages go, as those whose content is gone.

use std::collections::HashMap;
use std::ops::Range;

use storage::ContentId;

use super::{AskForeign, Evidence, Plan, Remedy};
use crate::Store;
use crate::damaged::{Foreign, Hurt, find};
use crate::error::StoreError;
use crate::ids::AccountId;

/// What the list of messages that are hurt is called.
const LIST: &str = "damaged-messages";
/// Octets of a line of what stands where octets are lost, but for its end.
const LINE: usize = 76;
/// What stands where the beginning is lost, so that what follows is taken for a body.
const SUBJECT: &str = "Subject: (the beginning of this message was damaged on the disk)\r\n\r\n";

/// What becomes of a damaged content, for who looks at its messages.
pub(super) enum Fate {
    /// What can be read of it stays, with so many octets.
    Stays(u64),
    /// Nothing of it can be read: why.
    Goes(String),
}

/// The fates of all damaged contents that were found.
pub(super) type Fates = HashMap<ContentId, Fate>;

impl Store {
    /// Reads all content, and mends what is damaged.
    pub(super) async fn repair_damaged(
        &self,
        only: Option<AccountId>,
        evidence: Option<&dyn Evidence>,
        foreign: AskForeign<'_>,
        remedies: &mut Vec<Remedy>,
    ) -> Result<Fates, StoreError> {
        let storage = &self.inner.storage;
        let mut others = Vec::new();
        if only.is_none() {
            let mut plan = Plan::new(evidence);
            foreign(&storage.read()?, &mut |said| match said {
                Foreign::Content(queued) => others.push(queued),
                Foreign::Unreadable { what, remedy, .. } => {
                    plan.remedy(1, what, format!("it stays; {remedy}"))
                }
            })?;
            remedies.append(&mut plan.remedies);
        }
        let hurt = find(storage, only, &mut others, &mut |_, _| ())?;
        if hurt.is_empty() {
            return Ok(Fates::new());
        }
        let snapshot = storage.read()?;
        let list: Vec<String> = hurt.iter().flat_map(|hurt| hurt.told(&snapshot)).collect();
        drop(snapshot);
        let place = Plan::new(evidence).keep(LIST, format!("{}\n", list.join("\n")).as_bytes())?;
        let mut fates = Fates::new();
        for hurt in &hurt {
            fates.insert(hurt.id, self.mend_damaged(hurt, evidence, &place, remedies).await?);
        }
        Ok(fates)
    }

    async fn mend_damaged(
        &self,
        hurt: &Hurt,
        evidence: Option<&dyn Evidence>,
        list: &str,
        remedies: &mut Vec<Remedy>,
    ) -> Result<Fate, StoreError> {
        let held = self.inner.locks.lock_making().await;
        let mut plan = Plan::new(evidence);
        let Hurt { id, damage, .. } = hurt;
        let (mut told, mut kept) = (Vec::new(), String::new());
        let mut is_file = false;
        {
            let snapshot = self.inner.storage.read()?;
            told.extend(hurt.told(&snapshot));
            if let Some((raw, is_packed)) = snapshot.raw_content(*id)? {
                let name = format!("content-{}.damaged{}", id.0, if is_packed { ".zst" } else { "" });
                kept = format!(", kept as {}", plan.keep(&name, &raw)?);
                is_file = snapshot.content_is_file(*id)?;
            }
            if evidence.is_some()
                && let Some(salvaged) = snapshot.salvaged(*id, damage, &instead_of)?
            {
                plan.draft.batch.mend_content(salvaged);
            }
        }
        let stays = is_file && !damage.is_total();
        let action = match (stays, !hurt.queued.is_empty()) {
            (true, _) if damage.lost.is_empty() => {
                format!("its file is written anew{kept}; listed in {list}")
            }
            (true, _) => format!(
                "what can be read stays, with a note in the place of the rest; the file goes{kept}; listed in {list}"
            ),
            (false, false) => format!("the content goes{kept}; listed in {list}"),
            (false, true) => format!(
                "the queue has it still: bounce or delete what cannot be sent (`wasmta queue list`){kept}; listed in {list}"
            ),
        };
        for what in told {
            plan.remedy(11, what, action.clone());
        }
        match self.take(plan, held, remedies).await {
            // It was packed, or went, since it was read: what is wrong still is found by the next check.
            Err(error) if error.is_conflict() => {}
            taken => taken?,
        }
        Ok(if stays { Fate::Stays(damage.len) } else { Fate::Goes(damage.to_string()) })
    }
}

/// What stands where octets are lost: as many, in lines.
fn instead_of(lost: &Range<u64>) -> Vec<u8> {
    let octets = usize::try_from(lost.end - lost.start).unwrap_or(usize::MAX);
    let mut instead = if lost.start == 0 { SUBJECT.to_owned() } else { "\r\n".to_owned() };
    instead.push_str(&format!("({octets} octets of this message were damaged on the disk)\r\n"));
    let mut instead = instead.into_bytes();
    while instead.len() < octets {
        instead.resize(instead.len() + LINE, b'?');
        instead.extend_from_slice(b"\r\n");
    }
    instead.truncate(octets);
    instead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_what_is_lost_is_as_long() {
        for lost in [0..1, 0..200, 5..6, 70..1000, 0..65_536] {
            assert_eq!(instead_of(&lost).len() as u64, lost.end - lost.start);
        }
        assert!(instead_of(&(0..500)).starts_with(b"Subject: (the beginning"));
    }
}
