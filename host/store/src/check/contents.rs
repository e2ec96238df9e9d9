//! The invariants of content: that it is there, whole, and as often referred to as recorded.

use std::collections::HashSet;

use storage::{ContentId, Verdict};

use super::{Check, CheckProgress, PROGRESS_EVERY, VIOLATIONS_MAX, Violation};
use crate::Store;
use crate::damaged::{QueuedContent, find};
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId, Uid};
use crate::record::MessageRecord;

/// What the check of one moment came to, before content is read.
pub(super) struct Checked {
    violations: Vec<Violation>,
    wrong_sizes: Vec<(ContentId, String)>,
    done: CheckProgress,
}

impl Store {
    /// The rest of 11: reads all content. In views of its own: that may take long.
    pub(super) fn read_contents(
        &self,
        Checked { mut violations, wrong_sizes, mut done }: Checked,
        only: Option<AccountId>,
        foreign: &mut [QueuedContent],
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<Vec<Violation>, StoreError> {
        progress(done);
        let hurt = find(&self.inner.storage, only, foreign, &mut |contents, contents_total| {
            (done.contents, done.contents_total) = (contents, contents_total);
            progress(done);
        })?;
        let snapshot = self.inner.storage.read()?;
        let told = hurt.iter().flat_map(|hurt| hurt.told(&snapshot));
        // Of a damaged one, the damage says what is to be known.
        let damaged: HashSet<ContentId> = hurt.iter().map(|hurt| hurt.id).collect();
        let sizes = wrong_sizes.into_iter().filter(|(id, _)| !damaged.contains(id)).map(|(_, what)| what);
        let room = VIOLATIONS_MAX.saturating_sub(violations.len());
        violations.extend(sizes.chain(told).take(room).map(|what| Violation { invariant: 11, what }));
        Ok(violations)
    }
}

impl Check<'_> {
    /// What the check of one moment came to.
    pub(super) fn ended(self) -> Checked {
        Checked { violations: self.violations, wrong_sizes: self.wrong_sizes, done: self.done }
    }

    /// 11, as far as it is seen without reading the content.
    pub(super) fn content(
        &mut self,
        id: MailboxId,
        uid: Uid,
        record: &MessageRecord<'_>,
    ) -> Result<(), StoreError> {
        self.done.messages += 1;
        if self.done.messages.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(self.done);
        }
        *self.references.entry(record.content).or_default() += 1;
        match self.snapshot.content_len(record.content) {
            // Where it is damaged, that is told when all content is read.
            Err(error) => {
                if self.snapshot.verify_content(record.content, None)? == Verdict::Missing {
                    self.violated(11, format!("message {id}/{uid}: {error}"));
                }
            }
            Ok(None) => {
                self.violated(11, format!("message {id}/{uid} has no content {}", record.content.0));
            }
            Ok(Some(len)) if len + record.prefix.len() as u64 != record.size => {
                if self.wrong_sizes.len() < VIOLATIONS_MAX {
                    let what =
                        format!("message {id}/{uid} has {len} octets of content, but size {}", record.size);
                    self.wrong_sizes.push((record.content, what));
                }
            }
            Ok(Some(_)) => {}
        }
        Ok(())
    }

    /// 12.
    pub(super) fn contents(&mut self) -> Result<(), StoreError> {
        let mut stored = HashSet::new();
        self.snapshot.contents(&mut |id| {
            stored.insert(id);
        })?;
        for id in stored {
            let has = self.references.get(&id).copied().unwrap_or(0);
            let says = self.snapshot.content_references(id)?.unwrap_or(0);
            if has != says {
                self.violated(12, format!("content {} records {says} references, but has {has}", id.0));
            }
        }
        Ok(())
    }
}
