//! Groups that lists of rights name (R77): `group:staff@example.org` gives to the group's members, `-group:…` takes from them.
//!
//! RFC 4314 §2 leaves other identifiers than account names and `anyone` to the implementation. Who is in a group is the
//! directory's to say, each time that a list with groups is looked at: a change of the group holds at once.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use mail_types::{AccountName, Address};
use storage::{Snapshot, StorageError};

use crate::accounts::read_account;
use crate::acl::Acl;
use crate::error::StoreError;
use crate::ids::{MailboxId, ModSeq};
use crate::namespace::SHARED_ACCOUNT;
use crate::rights::Rights;
use crate::{Store, keys};

/// What a group's address stands behind in an identifier.
pub const GROUP_PREFIX: &str = "group:";

/// Who is in which groups.
pub trait Groups: Send + Sync {
    /// The groups that an account is in, or a group itself, with all addresses of each, as [`Address::to_key`] writes them.
    ///
    /// # Errors
    /// Why that is not known now: then nothing may be concluded.
    fn of(&self, account: &AccountName) -> Result<Arc<[String]>, String>;

    /// Whether `anyone`, in the list of a mailbox of the first, means the other: who is another tenant's is not met.
    fn are_together(&self, owner: &AccountName, other: &AccountName) -> bool;
}

/// There are none.
pub(crate) struct NoGroups;

impl Groups for NoGroups {
    fn of(&self, _: &AccountName) -> Result<Arc<[String]>, String> {
        Ok(Arc::default())
    }

    fn are_together(&self, _: &AccountName, _: &AccountName) -> bool {
        true
    }
}

/// The identifier's text for a group; `None` where it is no address.
pub(crate) fn group_text(group: &str) -> Option<String> {
    Address::parse(group).ok().map(|address| format!("{GROUP_PREFIX}{}", address.to_key()))
}

/// The mailboxes whose lists name groups.
fn named_by_groups(snapshot: &Snapshot) -> Result<BTreeSet<MailboxId>, StoreError> {
    let mut found = BTreeSet::new();
    for prefix in [GROUP_PREFIX.to_owned(), format!("-{GROUP_PREFIX}")] {
        snapshot.scan(keys::GRANTED, prefix.as_bytes(), &after_prefix(&prefix), &mut |key, _| {
            found.extend(key.len().checked_sub(8).and_then(|at| keys::mailbox_of(&key[at..])));
            ControlFlow::Continue(())
        })?;
    }
    Ok(found)
}

/// Whether a list gives something to a group.
pub(crate) fn have_grants(snapshot: &Snapshot) -> Result<bool, StoreError> {
    let mut found = false;
    snapshot.scan(keys::GRANTED, GROUP_PREFIX.as_bytes(), &after_prefix(GROUP_PREFIX), &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The first key after all that begin with a text.
fn after_prefix(prefix: &str) -> Vec<u8> {
    let mut until = prefix.as_bytes().to_vec();
    if let Some(last) = until.last_mut() {
        *last += 1;
    }
    until
}

impl Store {
    /// Wakes the sessions that have mailboxes open whose lists name groups: who is in these may have changed.
    pub fn groups_changed(&self) -> Result<(), StoreError> {
        for mailbox in named_by_groups(&self.inner.storage.read()?)? {
            self.inner.watches.bump(mailbox, ModSeq(0));
        }
        Ok(())
    }

    /// The groups of an account.
    pub(crate) fn groups_of(&self, account: &AccountName) -> Result<Arc<[String]>, StoreError> {
        let groups = self.inner.groups.of(account);
        groups.map_err(|why| StoreError::Storage(StorageError::unavailable("looking groups up", why)))
    }

    /// What an account, or a group, may do with a mailbox. Groups are asked for where its list names some.
    pub(crate) fn rights_by(
        &self,
        snapshot: &Snapshot,
        mailbox: MailboxId,
        account: &AccountName,
    ) -> Result<Rights, StoreError> {
        let acl = Acl::read(snapshot, mailbox)?;
        let groups = if acl.names_groups() { self.groups_of(account)? } else { Arc::default() };
        let is_anyone = acl.names_anyone() && {
            // What belongs to nobody in particular is the operator's, and `anyone` there is everybody.
            let owner = AccountName::new(&read_account(snapshot, mailbox.account)?.name);
            let owner = owner.filter(|owner| owner.as_str() != SHARED_ACCOUNT);
            owner.is_none_or(|owner| self.inner.groups.are_together(&owner, account))
        };
        Ok(acl.rights_of(account, &groups, is_anyone))
    }
}
