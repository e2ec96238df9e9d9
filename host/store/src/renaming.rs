//! Accounts that go by another name: the person has got another address, and keeps what is theirs.
//!
//! An account is counted by number, so its mailboxes, messages, UIDs and flags stay as they are. What names it changes in one
//! commit: its own record, lists of rights that name the person, subscriptions of others to its mailboxes, and whose domain
//! its messages count for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use mail_types::AccountName;
use storage::Snapshot;

use crate::accounts::{FIRST_MAILBOXES, read_account, read_account_id, usage_in};
use crate::acl::{Acl, Identifier, granted_to};
use crate::changes::Draft;
use crate::domain_usage::{count_for_domain, domain_of};
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::mailboxes::scan_mailboxes;
use crate::names::INBOX;
use crate::namespace::USER_PREFIX;
use crate::{Store, former, keys};

/// How often it is planned anew, because others were faster.
const TRIES_MAX: usize = 16;

/// Another name for an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewName {
    /// The name before.
    pub from: AccountName,
    /// The name from now on.
    pub to: AccountName,
}

/// An account that gets another name.
struct Going<'a> {
    id: AccountId,
    name: &'a NewName,
}

impl Store {
    /// Gives accounts other names, all at once, so that two may take each other's. Where there is no account of the old name
    /// there is nothing to rename. One of the new name that nothing has ever been in gives way. Returns those that could
    /// not be: the new name is that of another account, with messages or mailboxes in it. Rights that others gave to a person
    /// go by the new name in either case.
    ///
    /// Whoever orders it may not get to know that it is done, as in a crash. To do it again would give back what two have
    /// exchanged: an order with the mark of the last one changes nothing, and `None` is returned.
    ///
    /// # Errors
    /// Storage, or that others were faster each time.
    pub async fn rename_accounts(
        &self,
        names: &[NewName],
        mark: &[u8],
    ) -> Result<Option<Vec<NewName>>, StoreError> {
        let mut tried = 0;
        loop {
            if self.inner.storage.read()?.get(keys::MOVED, keys::LAST_RENAMING)?.as_deref() == Some(mark) {
                return Ok(None);
            }
            self.make_way(names).await?;
            match self.try_renaming(names, mark).await {
                Err(error) if error.is_conflict() && tried < TRIES_MAX => tried += 1,
                done => return done.map(Some),
            }
        }
    }

    /// Removes empty accounts of the new names: one is made when somebody logs in.
    async fn make_way(&self, names: &[NewName]) -> Result<(), StoreError> {
        let leaving: HashSet<&AccountName> = names.iter().map(|name| &name.from).collect();
        for NewName { to, .. } in names.iter().filter(|name| !leaving.contains(&name.to)) {
            match self.remove_unused_account(to).await {
                Err(error) if !error.is_conflict() => return Err(error),
                // Where something has just come into it, it is not unused any more.
                _ => {}
            }
        }
        Ok(())
    }

    async fn try_renaming(&self, names: &[NewName], mark: &[u8]) -> Result<Vec<NewName>, StoreError> {
        let making = self.inner.locks.lock_making().await;
        let ((going, staying), shared) = {
            let snapshot = self.inner.storage.read()?;
            (going(&snapshot, names)?, shared_with(&snapshot, names)?)
        };
        // In the order of their numbers, as everybody takes several.
        let mut locked: BTreeSet<AccountId> = going.iter().map(|one| one.id).collect();
        locked.extend(shared.iter().map(|mailbox| mailbox.account));
        let mut held = Vec::with_capacity(locked.len());
        for id in locked {
            held.push(self.inner.locks.lock(id).await);
        }
        let mut draft = Draft::new();
        draft.batch.put(keys::MOVED, keys::LAST_RENAMING, mark);
        {
            let snapshot = self.inner.storage.read()?;
            draft_names(&snapshot, &mut draft, &going)?;
            draft_rights(&snapshot, &mut draft, &shared, names)?;
            for one in &going {
                draft_subscriptions(&snapshot, &mut draft, one)?;
            }
        }
        // Before it can be seen: who decides meanwhile decides again.
        for one in &going {
            former::draft_open(&mut draft, &one.name.from, one.id);
            self.inner.former.open(&one.name.from, one.id);
        }
        self.forget_cached(names, &going);
        let committed = self.commit(draft, making).await;
        // A look-up that ran meanwhile may have read the old state.
        self.forget_cached(names, &going);
        drop(held);
        if let Err(error) = committed {
            self.inner.former.read(&self.inner.storage.read()?)?;
            return Err(error);
        }
        Ok(staying)
    }

    fn forget_cached(&self, names: &[NewName], going: &[Going<'_>]) {
        let accounts = &self.inner.accounts;
        accounts.forget(names.iter().flat_map(|name| [&name.from, &name.to]), going.iter().map(|one| one.id));
    }
}

/// Those that can be renamed: their new names are free, or become so; and those that cannot.
fn going<'a>(
    snapshot: &Snapshot,
    names: &'a [NewName],
) -> Result<(Vec<Going<'a>>, Vec<NewName>), StoreError> {
    let (mut going, mut staying) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        if let Some(id) = read_account_id(snapshot, &name.from)? {
            going.push(Going { id, name });
        }
    }
    loop {
        let leaving: HashSet<&AccountName> = going.iter().map(|one| &one.name.from).collect();
        let (mut free, many) = (Vec::with_capacity(going.len()), going.len());
        for one in going {
            if leaving.contains(&one.name.to) || read_account_id(snapshot, &one.name.to)?.is_none() {
                free.push(one);
            } else {
                staying.push(one.name.clone());
            }
        }
        going = free;
        // Whoever wanted the name of one that stays, stays too.
        if going.len() == many {
            return Ok((going, staying));
        }
    }
}

/// Whether nothing was ever in an account, and nothing was made there or given to others.
pub(crate) fn is_unused(snapshot: &Snapshot, id: AccountId) -> Result<bool, StoreError> {
    if usage_in(snapshot, id)?.messages > 0 {
        return Ok(false);
    }
    let (mut unused, mut mailboxes) = (true, Vec::new());
    scan_mailboxes(snapshot, id, &mut |mailbox, record| {
        unused &= record.name == INBOX || FIRST_MAILBOXES.iter().any(|(first, _)| *first == record.name);
        mailboxes.push(mailbox);
    })?;
    for mailbox in mailboxes {
        let last_uid = snapshot.counter(keys::COUNTERS, &keys::mailbox(mailbox), keys::LAST_UID)?;
        unused &= last_uid == 0 && Acl::read(snapshot, mailbox)? == Acl::default();
    }
    Ok(unused)
}

/// Lets a batch hold only if no message has come into an account since, or gone.
pub(crate) fn assert_same_counters(
    snapshot: &Snapshot,
    draft: &mut Draft,
    id: AccountId,
) -> Result<(), StoreError> {
    let mut mailboxes = Vec::new();
    scan_mailboxes(snapshot, id, &mut |mailbox, _| mailboxes.push(mailbox))?;
    for mailbox in mailboxes.into_iter().map(keys::mailbox) {
        match snapshot.get(keys::COUNTERS, &mailbox)? {
            Some(counters) => draft.batch.assert_equals(keys::COUNTERS, &mailbox, &counters),
            None => draft.batch.assert_absent(keys::COUNTERS, &mailbox),
        }
    }
    Ok(())
}

/// The mailboxes whose lists name one of the persons.
fn shared_with(snapshot: &Snapshot, names: &[NewName]) -> Result<BTreeSet<MailboxId>, StoreError> {
    let mut shared = BTreeSet::new();
    for identifier in names.iter().flat_map(|name| Identifier::all_of(&name.from)) {
        shared.extend(granted_to(snapshot, &identifier, usize::MAX)?);
    }
    Ok(shared)
}

fn draft_names(snapshot: &Snapshot, draft: &mut Draft, going: &[Going<'_>]) -> Result<(), StoreError> {
    let leaving: HashSet<&AccountName> = going.iter().map(|one| &one.name.from).collect();
    for Going { id, name } in going {
        let from = name.from.as_str().as_bytes();
        draft.batch.assert_equals(keys::ACCOUNT_NAMES, from, &keys::account(*id));
        draft.batch.delete(keys::ACCOUNT_NAMES, from);
        if !leaving.contains(&name.to) {
            draft.batch.assert_absent(keys::ACCOUNT_NAMES, name.to.as_str().as_bytes());
        }
    }
    for Going { id, name } in going {
        let (from, to) = (name.from.as_str(), name.to.as_str());
        let mut record = read_account(snapshot, *id)?;
        to.clone_into(&mut record.name);
        draft.batch.put(keys::ACCOUNT_NAMES, to.as_bytes(), keys::account(*id));
        draft.batch.put(keys::ACCOUNTS, &keys::account(*id), record.to_octets());
        if domain_of(from) != domain_of(to) {
            // Whoever counts a message for the domain of before fails from now on: that this is as it was then is asserted.
            draft.batch.put(keys::MOVED, &keys::account(*id), domain_of(to).unwrap_or_default());
            assert_same_counters(snapshot, draft, *id)?;
            let (messages, octets) = usage_in(snapshot, *id)?.as_changes();
            count_for_domain(&mut draft.batch, domain_of(from), -messages, -octets);
            count_for_domain(&mut draft.batch, domain_of(to), messages, octets);
        }
    }
    Ok(())
}

/// Lists of rights go by the new names, all at once.
fn draft_rights(
    snapshot: &Snapshot,
    draft: &mut Draft,
    shared: &BTreeSet<MailboxId>,
    names: &[NewName],
) -> Result<(), StoreError> {
    let new: BTreeMap<&AccountName, &AccountName> = names.iter().map(|name| (&name.from, &name.to)).collect();
    for mailbox in shared {
        let before = Acl::read(snapshot, *mailbox)?;
        let after = before.renamed(&new);
        draft.batch.assert_present(keys::MAILBOXES, &keys::mailbox(*mailbox));
        after.draft(draft, *mailbox, &before);
        draft.touch_rights(*mailbox);
    }
    Ok(())
}

/// Others have subscribed to `user/OWNER/NAME`. Looked for where the owner gives rights to anybody at all.
fn draft_subscriptions(snapshot: &Snapshot, draft: &mut Draft, one: &Going<'_>) -> Result<(), StoreError> {
    let mut mailboxes = Vec::new();
    scan_mailboxes(snapshot, one.id, &mut |mailbox, _| mailboxes.push(mailbox))?;
    let mut shares = false;
    for mailbox in mailboxes {
        shares |= Acl::read(snapshot, mailbox)? != Acl::default();
    }
    if !shares {
        return Ok(());
    }
    let (from, to) = (format!("{USER_PREFIX}{}/", one.name.from), format!("{USER_PREFIX}{}/", one.name.to));
    snapshot.scan(keys::SUBSCRIPTIONS, &[], &keys::END, &mut |key, value| {
        if let Some((account, name)) = key.split_at_checked(4)
            && let Some(rest) = name.strip_prefix(from.as_bytes())
        {
            draft.batch.delete(keys::SUBSCRIPTIONS, key);
            draft.batch.put(keys::SUBSCRIPTIONS, &[account, to.as_bytes(), rest].concat(), value);
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
