//! What all accounts of a domain take up together (R83): counters beside those of their mailboxes, changed by the same
//! batches, so that a limit of a domain costs one look, not one at each of its accounts.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use storage::{Batch, Snapshot};

use crate::accounts::{Belonging, Usage, read_account, scan_accounts, usage_in};
use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::{Store, keys};

/// The value of a mailbox in `store_doomed` whose messages count for no domain.
const NO_DOMAIN: &[u8] = &[0];

/// The domain of an account's name; `None` for a name without one.
pub(crate) fn domain_of(account: &str) -> Option<&str> {
    account.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}

/// The value of a deleted mailbox in `store_doomed`: where its messages count until they are removed.
pub(crate) fn doomed_value(domain: Option<&str>) -> Vec<u8> {
    domain.map_or(NO_DOMAIN, str::as_bytes).to_vec()
}

/// The domain of a deleted mailbox, by its value in `store_doomed`.
pub(crate) fn doomed_domain(value: &[u8]) -> Option<&str> {
    if value == NO_DOMAIN { None } else { std::str::from_utf8(value).ok() }
}

/// What all accounts of a domain take up together.
pub(crate) fn domain_usage_in(snapshot: &Snapshot, domain: &str) -> Result<Usage, StoreError> {
    let counter = |field| snapshot.counter(keys::DOMAINS, domain.as_bytes(), field);
    Ok(Usage { messages: counter(keys::DOMAIN_COUNT)?, octets: counter(keys::DOMAIN_OCTETS)? })
}

/// Adds to the counters of a domain.
pub(crate) fn count_for_domain(batch: &mut Batch, domain: Option<&str>, messages: i64, octets: i64) {
    if let Some(domain) = domain {
        let changes = [(keys::DOMAIN_COUNT, messages), (keys::DOMAIN_OCTETS, octets)];
        batch.add(keys::DOMAINS, domain.as_bytes(), &changes);
    }
}

impl Store {
    /// Adds to the counters of a mailbox, and as many messages and octets to those of its owner's domain.
    pub(crate) fn count(
        &self,
        batch: &mut Batch,
        mailbox: MailboxId,
        changes: &[(u8, i64)],
    ) -> Result<(), StoreError> {
        let of = |field| changes.iter().filter(|(f, _)| *f == field).map(|(_, change)| change).sum();
        let Belonging { domain, moved } = self.account_domain(mailbox.account)?;
        let key = keys::account(mailbox.account);
        match &moved {
            Some(moved) => batch.assert_equals(keys::MOVED, &key, moved),
            None => batch.assert_absent(keys::MOVED, &key),
        }
        count_for_domain(batch, domain.as_deref(), of(keys::COUNT), of(keys::OCTETS));
        batch.add(keys::COUNTERS, &keys::mailbox(mailbox), changes);
        Ok(())
    }

    /// What all accounts of a domain take up together, those of its other names not counted in.
    pub fn domain_usage(&self, domain: &str) -> Result<Usage, StoreError> {
        domain_usage_in(&self.inner.storage.read()?, domain)
    }

    /// The domain of an account. It hardly ever changes, so that it is read once: who counts by it asserts that it has not.
    pub(crate) fn account_domain(&self, account: AccountId) -> Result<Belonging, StoreError> {
        if let Some(domain) = self.inner.accounts.domain(account) {
            return Ok(domain);
        }
        let snapshot = self.inner.storage.read()?;
        let name = match read_account(&snapshot, account) {
            Ok(record) => record.name,
            // Removed meanwhile: the batch that this is for fails as a conflict.
            Err(StoreError::NotFound(_)) => return Ok(Belonging { domain: None, moved: None }),
            Err(error) => return Err(error),
        };
        let moved = snapshot.get(keys::MOVED, &keys::account(account))?.map(|moved| moved.to_vec());
        let domain = Belonging { domain: domain_of(&name).map(Arc::from), moved };
        self.inner.accounts.remember_domain(account, domain.clone());
        Ok(domain)
    }

    /// Counts for domains what a version of this program without these counters has stored; once in the life of a
    /// store, before anything else changes it.
    pub(crate) async fn count_domains_once(&self) -> Result<(), StoreError> {
        let mut draft = Draft::new();
        {
            let snapshot = self.inner.storage.read()?;
            if snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::DOMAINS_COUNTED)? > 0 {
                return Ok(());
            }
            // What cannot be read keeps no store from opening: `check` tells of it, `repair` counts then.
            let Ok(right) = right_sums(&snapshot) else { return Ok(()) };
            draft_right(&mut draft.batch, &wrong_domains(&snapshot, right)?);
        }
        draft.batch.add(keys::COUNTERS, keys::STORE_COUNTERS, &[(keys::DOMAINS_COUNTED, 1)]);
        let held = self.inner.locks.lock_making().await;
        self.commit(draft, held).await?;
        Ok(())
    }
}

/// What each domain's accounts take up together, by the counters of their mailboxes.
fn sums(snapshot: &Snapshot) -> Result<BTreeMap<String, Usage>, StoreError> {
    let mut accounts = Vec::new();
    scan_accounts(snapshot, &mut |id, record| {
        accounts.extend(domain_of(&record.name).map(|domain| (id, domain.to_owned())));
    })?;
    let mut sums: BTreeMap<String, Usage> = BTreeMap::new();
    for (id, domain) in accounts {
        let usage = usage_in(snapshot, id)?;
        let sum = sums.entry(domain).or_default();
        *sum = sum.plus(usage);
    }
    Ok(sums)
}

/// Counters of a domain that are wrong.
pub(crate) struct WrongSum {
    domain: String,
    says: Usage,
    is: Usage,
}

impl fmt::Display for WrongSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, says, is } = self;
        write!(f, "domain {domain} counts {} messages and {} octets, ", says.messages, says.octets)?;
        write!(f, "but its accounts have {} and {}", is.messages, is.octets)
    }
}

/// Sets counters right by differences: deliveries may go on.
pub(crate) fn draft_right(batch: &mut Batch, wrong: &[WrongSum]) {
    for WrongSum { domain, says, is } in wrong {
        let ((messages, octets), (counted, sum)) = (is.as_changes(), says.as_changes());
        count_for_domain(batch, Some(domain), messages - counted, octets - sum);
    }
}

/// Domains whose counters are not `right`.
pub(crate) fn wrong_domains(
    snapshot: &Snapshot,
    mut right: BTreeMap<String, Usage>,
) -> Result<Vec<WrongSum>, StoreError> {
    snapshot.scan(keys::DOMAINS, &[], &keys::END, &mut |key, _| {
        right.entry(String::from_utf8_lossy(key).into_owned()).or_default();
        ControlFlow::Continue(())
    })?;
    let mut wrong = Vec::new();
    for (domain, is) in right {
        let says = domain_usage_in(snapshot, &domain)?;
        if says != is {
            wrong.push(WrongSum { domain, says, is });
        }
    }
    Ok(wrong)
}

/// The sums that the counters of domains should have: of the mailboxes that are there, by their counters, and of the
/// messages of those that are being removed.
pub(crate) fn right_sums(snapshot: &Snapshot) -> Result<BTreeMap<String, Usage>, StoreError> {
    let mut right = sums(snapshot)?;
    let mut doomed = Vec::new();
    snapshot.scan(keys::DOOMED, &[], &keys::END, &mut |key, value| {
        if let (Some(id), Some(domain)) = (keys::mailbox_of(key), doomed_domain(value))
            && id.number != 0
        {
            doomed.push((id, domain.to_owned()));
        }
        ControlFlow::Continue(())
    })?;
    for (id, domain) in doomed {
        let mut usage = Usage::default();
        crate::messages::scan_messages(snapshot, id, .., &mut |_, record| {
            usage = usage.plus(Usage { messages: 1, octets: record.size });
        })?;
        let sum = right.entry(domain).or_default();
        *sum = sum.plus(usage);
    }
    Ok(right)
}
