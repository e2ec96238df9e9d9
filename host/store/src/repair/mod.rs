//! Mending what [`Store::check`] finds, in its terms.
//!
//! Nothing is dropped silently: what cannot be kept in the store (a record that cannot be read, a message whose content is
//! gone, content that nothing names) is first kept as evidence, and each step says what it did. Where mail can be shown again
//! under a made-up name, it is. Numbers are mended by differences, so that deliveries, which take no lock, may go on.
//!
//! | broken invariant | remedy |
//! |---|---|
//! | 1 | an unreadable record is kept as evidence; a mailbox gets a new record, a message's goes; one of the queue stays, and content that nothing else names with it |
//! | 2, 4 | names and numbers are made to point at each other again; names of nothing go; a bad name becomes `Recovered-N` |
//! | 3 | the INBOX is made |
//! | 5 | the mailbox gets a new UIDVALIDITY, or the account a higher one |
//! | 6 | the messages' mailbox is made anew, as `Recovered-N` |
//! | 7, 8, 9, 14 | the counter is set to what is there |
//! | 10 | the keyword gets the name `recovered-N` |
//! | 11 | a wrong size is set right; of damaged content, what can be read stays, and the file is kept as evidence; a message without content is kept as evidence, and goes |
//! | 12 | references are counted anew; content that nothing names is kept as evidence, and goes |
//! | 13 | the log is cut: clients read the mailbox anew |
//! | 15, 16, 18 | indices are made to have what they are of; records of nothing that is there are kept as evidence, and go; so do annotations that are too many; of what a reader has seen, what can be right is kept |
//! | 17 | the domain's counters are set to the sums |

mod beside;
mod contents;
mod damaged;
mod messages;
mod names;

use storage::{Snapshot, Space, StorageError};

use crate::accounts::scan_accounts;
use crate::changes::Draft;
use crate::check::Violation;
use crate::damaged::Foreign;
use crate::domain_usage::{draft_right, right_sums, wrong_domains};
use crate::error::StoreError;
use crate::ids::AccountId;
use crate::locks::Held;
use crate::mailboxes::scan_mailboxes;
use crate::{COMMIT_MESSAGES_MAX, Store};

/// Keeps what a repair takes out of the store.
pub trait Evidence: Send + Sync {
    /// Keeps octets under a name of its own, on stable storage, and says where; why not, where it cannot. The repair then
    /// stops, and what they are of stays as it is.
    fn keep(&self, name: &str, octets: &[u8]) -> Result<String, String>;
}

/// Visits references to content that others than the store hold, as for [`Store::check`].
pub type AskForeign<'f> =
    &'f (dyn Fn(&Snapshot, &mut dyn FnMut(Foreign)) -> Result<(), StoreError> + Send + Sync);

/// What was, or would be, done about a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// What is wrong.
    pub violation: Violation,
    /// What is done about it.
    pub action: String,
}

/// One step: what it changes, as one commit.
pub(crate) struct Plan<'p> {
    pub(crate) draft: Draft,
    pub(crate) remedies: Vec<Remedy>,
    evidence: Option<&'p dyn Evidence>,
}

impl<'p> Plan<'p> {
    fn new(evidence: Option<&'p dyn Evidence>) -> Self {
        Self { draft: Draft::new(), remedies: Vec::new(), evidence }
    }

    pub(crate) fn remedy(&mut self, invariant: u8, what: impl Into<String>, action: impl Into<String>) {
        let violation = Violation { invariant, what: what.into() };
        self.remedies.push(Remedy { violation, action: action.into() });
    }

    /// Keeps evidence; where it is, or would be.
    pub(crate) fn keep(&self, name: &str, octets: &[u8]) -> Result<String, StoreError> {
        match self.evidence {
            None => Ok(format!("evidence {name}")),
            Some(evidence) => evidence.keep(name, octets).map_err(|cause| {
                StoreError::Storage(StorageError::unavailable("keeping evidence of a repair", cause))
            }),
        }
    }
}

impl Store {
    /// Mends what is broken: of one account, or of the whole store with its references. Without `evidence` nothing is changed:
    /// it says what would be done. What cannot be mended is left, for [`Store::check`] to tell. Blocks for as long as
    /// it reads; keep it off the threads that serve.
    pub async fn repair(
        &self,
        account: Option<AccountId>,
        evidence: Option<&dyn Evidence>,
        foreign: AskForeign<'_>,
    ) -> Result<Vec<Remedy>, StoreError> {
        let mut remedies = Vec::new();
        if account.is_none() {
            let held = self.inner.locks.lock_making().await;
            let mut plan = Plan::new(evidence);
            names::accounts(&self.inner.storage.read()?, &mut plan, self.inner.clock.now())?;
            self.take(plan, held, &mut remedies).await?;
        }
        let fates = self.repair_damaged(account, evidence, foreign, &mut remedies).await?;
        for id in self.account_ids(account)? {
            let held = self.inner.locks.lock(id).await;
            let mut plan = Plan::new(evidence);
            names::mailboxes(&self.inner.storage.read()?, &mut plan, id, self.inner.clock.now())?;
            self.take(plan, held, &mut remedies).await?;
            let mut mailboxes = Vec::new();
            // In a dry run the account's mailboxes may still be unreadable.
            let scanned = scan_mailboxes(&self.inner.storage.read()?, id, &mut |id, _| mailboxes.push(id));
            if evidence.is_some() {
                scanned?;
            }
            for mailbox in mailboxes {
                let held = self.inner.locks.lock(id).await;
                let mut plan = Plan::new(evidence);
                messages::mend(&self.inner.storage.read()?, &mut plan, mailbox, &fates)?;
                self.take(plan, held, &mut remedies).await?;
            }
        }
        for space in beside::SPACES {
            self.repair_beside(space, account, evidence, &mut remedies).await?;
        }
        self.repair_domains(evidence, &mut remedies).await?;
        if account.is_none() {
            self.repair_contents(evidence, foreign, &mut remedies).await?;
        }
        Ok(remedies)
    }

    /// Records of a space that lie beside messages, of one account's mailboxes or of all.
    async fn repair_beside(
        &self,
        space: Space,
        only: Option<AccountId>,
        evidence: Option<&dyn Evidence>,
        remedies: &mut Vec<Remedy>,
    ) -> Result<(), StoreError> {
        let wrong = beside::wrong(&self.inner.storage.read()?, space, only)?;
        if evidence.is_none() {
            remedies.extend(wrong.remedies);
            return Ok(());
        }
        for (account, keys) in wrong.keys {
            for chunk in keys.chunks(COMMIT_MESSAGES_MAX) {
                let held = self.inner.locks.lock(account).await;
                let mut plan = Plan::new(evidence);
                {
                    let snapshot = self.inner.storage.read()?;
                    for key in chunk {
                        beside::look(&snapshot, &mut plan, space, key)?;
                    }
                }
                self.take(plan, held, remedies).await?;
            }
        }
        Ok(())
    }

    /// After everything else: the sums are of the mailboxes' counters.
    async fn repair_domains(
        &self,
        evidence: Option<&dyn Evidence>,
        remedies: &mut Vec<Remedy>,
    ) -> Result<(), StoreError> {
        let held = self.inner.locks.lock_making().await;
        let mut plan = Plan::new(evidence);
        {
            let snapshot = self.inner.storage.read()?;
            let right = match right_sums(&snapshot) {
                // In a dry run there may still be records that are unreadable.
                Err(_) if evidence.is_none() => return Ok(()),
                right => right?,
            };
            let wrong = wrong_domains(&snapshot, right)?;
            draft_right(&mut plan.draft.batch, &wrong);
            wrong.iter().for_each(|sum| plan.remedy(17, sum.to_string(), "it counts what they have"));
        }
        self.take(plan, held, remedies).await
    }

    async fn repair_contents(
        &self,
        evidence: Option<&dyn Evidence>,
        foreign: AskForeign<'_>,
        remedies: &mut Vec<Remedy>,
    ) -> Result<(), StoreError> {
        let wrong = contents::wrong(&self.inner.storage.read()?, foreign)?;
        for chunk in wrong.chunks(COMMIT_MESSAGES_MAX) {
            let held = self.inner.locks.lock_making().await;
            let mut plan = Plan::new(evidence);
            contents::mend(&self.inner.storage.read()?, &mut plan, chunk)?;
            self.take(plan, held, remedies).await?;
        }
        Ok(())
    }

    /// Commits a plan, where anything is to be changed at all.
    async fn take(&self, plan: Plan<'_>, held: Held, remedies: &mut Vec<Remedy>) -> Result<(), StoreError> {
        let Plan { draft, remedies: found, evidence } = plan;
        if evidence.is_some() && !draft.batch.is_empty() {
            self.commit(draft, held).await?;
        }
        remedies.extend(found);
        Ok(())
    }

    fn account_ids(&self, only: Option<AccountId>) -> Result<Vec<AccountId>, StoreError> {
        let mut ids = Vec::from_iter(only);
        if only.is_none() {
            scan_accounts(&self.inner.storage.read()?, &mut |id, _| ids.push(id))?;
        }
        Ok(ids)
    }
}
