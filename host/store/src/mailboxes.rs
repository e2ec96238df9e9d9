//! Mailboxes: making, naming, finding, deleting them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use storage::Snapshot;

use crate::accounts::read_account;
use crate::annotations;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::expunge::Reference;
use crate::feed::Happened;
use crate::ids::{AccountId, MailboxId, ModSeq, Uid, UidValidity};
use crate::locks::Held;
use crate::making::{Making, draft_gone};
use crate::messages::scan_messages;
use crate::names::MailboxName;
use crate::record::MailboxRecord;
use crate::rights::Rights;
use crate::{COMMIT_MESSAGES_MAX, Store, keys};

/// Most mailboxes of an account.
pub const MAILBOXES_MAX: usize = 10_000;

/// What a mailbox is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// Messages being written.
    Drafts,
    /// Messages that were sent.
    Sent,
    /// Messages that were deleted.
    Trash,
    /// Messages that nobody wants.
    Junk,
    /// Messages put away.
    Archive,
    /// All messages.
    All,
    /// Messages marked as important.
    Flagged,
}

impl SpecialUse {
    const ALL: [Self; 7] =
        [Self::Drafts, Self::Sent, Self::Trash, Self::Junk, Self::Archive, Self::All, Self::Flagged];

    pub(crate) fn to_octet(self) -> u8 {
        Self::ALL.iter().position(|known| *known == self).map_or(0, |at| at as u8 + 1)
    }

    pub(crate) fn from_octet(octet: u8) -> Option<Self> {
        Self::ALL.get(usize::from(octet.checked_sub(1)?)).copied()
    }
}

/// A mailbox as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Its number.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether its name is subscribed to.
    pub subscribed: bool,
    /// Whether it can hold messages; else only other mailboxes (`\Noselect`).
    pub selectable: bool,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
}

/// The numbers of a mailbox (RFC 3501 §6.3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Messages.
    pub messages: u64,
    /// Messages without `\Seen`.
    pub unseen: u64,
    /// Messages with `\Deleted`.
    pub deleted: u64,
    /// Octets of all messages (RFC 8438).
    pub octets: u64,
    /// The UID that the next message will have at least.
    pub uid_next: Uid,
    /// Tells these UIDs from others.
    pub uid_validity: UidValidity,
    /// The last change.
    pub highest_modseq: ModSeq,
}

impl Store {
    /// The mailboxes of an account, by name, the INBOX first.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxInfo>, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_account(&snapshot, account)?;
        let subscribed: BTreeSet<String> = scan_subscriptions(&snapshot, account)?.into_iter().collect();
        let mut mailboxes = Vec::new();
        scan_mailboxes(&snapshot, account, &mut |id, record| mailboxes.push((id, record.clone())))?;
        if self.guest_of(account).is_some() {
            let rights = |id| self.rights_in(&snapshot, id).unwrap_or_default();
            mailboxes.retain(|(id, _)| rights(*id).contains(Rights::LOOKUP));
        }
        let mut mailboxes = mailboxes
            .into_iter()
            .map(|(id, record)| info(id, record, |name| subscribed.contains(name)))
            .collect::<Result<Vec<_>, _>>()?;
        mailboxes.sort_by(|a, b| (!a.name.is_inbox(), &a.name).cmp(&(!b.name.is_inbox(), &b.name)));
        Ok(mailboxes)
    }

    /// The mailbox of a name. `NotFound` where there is none.
    pub fn mailbox(&self, account: AccountId, name: &MailboxName) -> Result<MailboxInfo, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let id = find_mailbox(&snapshot, account, name)?.ok_or(StoreError::NotFound("mailbox"))?;
        self.rights_in(&snapshot, id)?;
        let subscription = snapshot.get(keys::SUBSCRIPTIONS, &keys::named(account, name.as_str()))?;
        info(id, read_mailbox(&snapshot, id)?, |_| subscription.is_some())
    }

    /// The names that an account subscribes to, also those without a mailbox (RFC 3501 §6.3.9).
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        scan_subscriptions(&self.inner.storage.read()?, account)
    }

    /// Subscribes to a name (RFC 3501 §6.3.6).
    pub async fn subscribe(&self, account: AccountId, name: &MailboxName) -> Result<(), StoreError> {
        let held = self.inner.locks.lock(account).await;
        let known = self.subscriptions(account)?;
        if known.len() >= MAILBOXES_MAX {
            return Err(StoreError::TooMany { what: "subscriptions", max: MAILBOXES_MAX });
        }
        let mut draft = Draft::new();
        draft.batch.assert_present(keys::ACCOUNTS, &keys::account(account));
        draft.batch.put(keys::SUBSCRIPTIONS, &keys::named(account, name.as_str()), [0]);
        draft.note(Happened::Subscribed { account, name: name.to_string() });
        self.commit(draft, held).await.map(drop)
    }

    /// Ends a subscription (RFC 3501 §6.3.7).
    pub async fn unsubscribe(&self, account: AccountId, name: &MailboxName) -> Result<(), StoreError> {
        let held = self.inner.locks.lock(account).await;
        let mut draft = Draft::new();
        draft.batch.delete(keys::SUBSCRIPTIONS, &keys::named(account, name.as_str()));
        draft.note(Happened::Subscribed { account, name: name.to_string() });
        self.commit(draft, held).await.map(drop)
    }

    /// Makes a mailbox, and those above it that are missing (RFC 3501 §6.3.3).
    pub async fn create_mailbox(
        &self,
        account: AccountId,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        let held = self.inner.locks.lock(account).await;
        self.create_held(held, account, name, special_use, None).await.map(|(id, _)| id)
    }

    /// Or takes the name for what was the INBOX, where one is given.
    async fn create_held(
        &self,
        held: Held,
        account: AccountId,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
        of_inbox: Option<MailboxId>,
    ) -> Result<(MailboxId, Held), StoreError> {
        let mut draft = Draft::new();
        let id = {
            let snapshot = self.inner.storage.read()?;
            self.allow_below(&snapshot, account, name)?;
            name.may_be_given()?;
            let mut making = Making::begin(&snapshot, account, self.inner.clock.now())?;
            making.parents(&mut draft, name)?;
            let id = making.mailbox(&mut draft, name, special_use)?;
            making.end(&mut draft);
            match of_inbox {
                Some(inbox) => {
                    // RFC 5464 §4.1: the new mailbox has the annotations, and the INBOX keeps them.
                    annotations::draft_copies(&snapshot, &mut draft, inbox, id)?;
                    let (from, to) = (MailboxName::inbox(), name.clone());
                    draft.note(Happened::Renamed { account, from, to });
                }
                None => draft.note(Happened::Named { account, name: name.clone() }),
            }
            id
        };
        let (_, held) = self.commit(draft, held).await?;
        Ok((id, held))
    }

    /// Deletes a mailbox with its messages. One that holds others stays as a mere name, without
    /// messages (RFC 3501 §6.3.4); the INBOX cannot be deleted.
    pub async fn delete_mailbox(&self, account: AccountId, name: &MailboxName) -> Result<(), StoreError> {
        if name.is_inbox() {
            // Of somebody else's, who may not know of it hears nothing.
            self.allow(&self.inner.storage.read()?, MailboxId::inbox(account), Rights::LOOKUP)?;
            return Err(StoreError::NotAllowed("the INBOX cannot be deleted"));
        }
        let held = self.inner.locks.lock(account).await;
        let mut draft = Draft::new();
        let id = {
            let snapshot = self.inner.storage.read()?;
            let id = find_mailbox(&snapshot, account, name)?.ok_or(StoreError::NotFound("mailbox"))?;
            let record = read_mailbox(&snapshot, id)?;
            self.allow(&snapshot, id, Rights::DELETE_MAILBOX)?;
            let has_children = !below(&snapshot, account, name)?.is_empty();
            if has_children && !record.selectable {
                return Err(StoreError::NotAllowed("the mailbox holds others; delete or rename those first"));
            }
            draft_gone(&snapshot, &mut draft, id, name)?;
            draft.note(Happened::Named { account, name: name.clone() });
            if has_children {
                let mut making = Making::begin(&snapshot, account, self.inner.clock.now())?;
                making.bare_name(&mut draft, name)?;
                making.end(&mut draft);
            }
            id
        };
        self.commit(draft, held).await?;
        self.remove_remains(id).await
    }

    /// Renames a mailbox, and all below it. The INBOX is renamed by moving its messages into a new
    /// mailbox (RFC 3501 §6.3.5).
    pub async fn rename_mailbox(
        &self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), StoreError> {
        if from.is_inbox() {
            if self.guest_of(account).is_some() {
                self.allow(&self.inner.storage.read()?, MailboxId::inbox(account), Rights::LOOKUP)?;
                return Err(StoreError::NotAllowed("only its owner renames an INBOX"));
            }
            return self.rename_inbox(account, to).await;
        }
        if to.is_below(from) {
            return Err(StoreError::NotAllowed("a mailbox cannot be moved below itself"));
        }
        to.may_be_given()?;
        let held = self.inner.locks.lock(account).await;
        let mut draft = Draft::new();
        {
            let snapshot = self.inner.storage.read()?;
            let id = find_mailbox(&snapshot, account, from)?.ok_or(StoreError::NotFound("mailbox"))?;
            self.allow(&snapshot, id, Rights::DELETE_MAILBOX)?;
            self.allow_below(&snapshot, account, to)?;
            let mut making = Making::begin(&snapshot, account, self.inner.clock.now())?;
            let mut all = below(&snapshot, account, from)?;
            all.push((id, from.clone()));
            making.parents(&mut draft, to)?;
            for (id, name) in all {
                let new_name = name.moved(from, to)?;
                if find_mailbox(&snapshot, account, &new_name)?.is_some() {
                    return Err(StoreError::Exists);
                }
                let record = MailboxRecord { name: new_name.to_string(), ..read_mailbox(&snapshot, id)? };
                draft.batch.delete(keys::MAILBOX_NAMES, &keys::named(account, name.as_str()));
                let number = id.number.to_be_bytes();
                draft.batch.put(keys::MAILBOX_NAMES, &keys::named(account, new_name.as_str()), number);
                draft.batch.put(keys::MAILBOXES, &keys::mailbox(id), record.to_octets());
            }
            making.end(&mut draft);
            draft.note(Happened::Renamed { account, from: from.clone(), to: to.clone() });
        }
        self.commit(draft, held).await.map(drop)
    }

    async fn rename_inbox(&self, account: AccountId, to: &MailboxName) -> Result<(), StoreError> {
        let held = self.inner.locks.lock(account).await;
        let inbox = MailboxId::inbox(account);
        let (target, held) = self.create_held(held, account, to, None, Some(inbox)).await?;
        let mut uids = Vec::new();
        scan_messages(&self.inner.storage.read()?, inbox, .., &mut |uid, _| uids.push(uid))?;
        let locks = (held, None);
        self.transfer_held(locks, inbox, &uids, target, Reference::HandedOn, COMMIT_MESSAGES_MAX)
            .await
            .map(drop)
    }

    /// How many messages no session has been told of as recent. They are counted one by one: in a mailbox that is never selected
    /// these are all.
    pub fn recent(&self, mailbox: MailboxId) -> Result<u64, StoreError> {
        let snapshot = self.inner.storage.read()?;
        read_mailbox(&snapshot, mailbox)?;
        self.allow(&snapshot, mailbox, Rights::READ)?;
        let mut recent = 0;
        scan_messages(&snapshot, mailbox, read_recent(&snapshot, mailbox)?.., &mut |_, _| recent += 1)?;
        Ok(recent)
    }

    /// The numbers of a mailbox.
    pub fn status(&self, mailbox: MailboxId) -> Result<Status, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let record = read_mailbox(&snapshot, mailbox)?;
        self.allow(&snapshot, mailbox, Rights::READ)?;
        let key = keys::mailbox(mailbox);
        let counter = |field| snapshot.counter(keys::COUNTERS, &key, field);
        let last_uid = u32::try_from(counter(keys::LAST_UID)?).unwrap_or(u32::MAX);
        Ok(Status {
            messages: counter(keys::COUNT)?,
            unseen: match self.seen_in(&snapshot, mailbox)? {
                Some(seen) => seen.unseen(&snapshot, mailbox)?,
                None => counter(keys::UNSEEN)?,
            },
            deleted: counter(keys::DELETED)?,
            octets: counter(keys::OCTETS)?,
            uid_next: Uid(last_uid).next(),
            uid_validity: record.uid_validity,
            highest_modseq: ModSeq(counter(keys::LAST_MODSEQ)?),
        })
    }

    /// Takes the recent messages of a mailbox: the first of them, and from then on no other session
    /// gets them as recent (RFC 3501 §2.3.2). For sessions that may write; others only look at
    /// [`crate::View::first_recent`].
    pub async fn take_recent(&self, mailbox: MailboxId) -> Result<Uid, StoreError> {
        let held = self.inner.locks.lock(mailbox.account).await;
        let mut draft = Draft::new();
        let first = {
            let snapshot = self.inner.storage.read()?;
            read_mailbox(&snapshot, mailbox)?;
            let first = read_recent(&snapshot, mailbox)?;
            let key = keys::mailbox(mailbox);
            let last = snapshot.counter(keys::COUNTERS, &key, keys::LAST_UID)?;
            let next = Uid(u32::try_from(last).unwrap_or(u32::MAX)).next();
            if next == first {
                return Ok(first);
            }
            draft.batch.assert_present(keys::MAILBOXES, &key);
            draft.batch.put(keys::RECENT, &key, next.0.to_be_bytes());
            first
        };
        self.commit(draft, held).await?;
        Ok(first)
    }
}

pub(crate) fn info(
    id: MailboxId,
    record: MailboxRecord,
    subscribed: impl Fn(&str) -> bool,
) -> Result<MailboxInfo, StoreError> {
    Ok(MailboxInfo {
        id,
        special_use: record.special_use,
        subscribed: subscribed(&record.name),
        selectable: record.selectable,
        uid_validity: record.uid_validity,
        name: MailboxName::new(&record.name)?,
    })
}

pub(crate) fn find_mailbox(
    snapshot: &Snapshot,
    account: AccountId,
    name: &MailboxName,
) -> Result<Option<MailboxId>, StoreError> {
    match snapshot.get(keys::MAILBOX_NAMES, &keys::named(account, name.as_str()))? {
        Some(number) => match keys::u32_at(&number, 0) {
            Some(number) => Ok(Some(MailboxId { account, number })),
            None => Err(StoreError::corrupt(format!("the number of mailbox {name} is unreadable"))),
        },
        None => Ok(None),
    }
}

/// The record of a mailbox. `NotFound` where it is gone.
pub(crate) fn read_mailbox(snapshot: &Snapshot, id: MailboxId) -> Result<MailboxRecord, StoreError> {
    let octets = snapshot.get(keys::MAILBOXES, &keys::mailbox(id))?;
    MailboxRecord::parse(&octets.ok_or(StoreError::NotFound("mailbox"))?)
}

pub(crate) fn read_recent(snapshot: &Snapshot, id: MailboxId) -> Result<Uid, StoreError> {
    let octets = snapshot.get(keys::RECENT, &keys::mailbox(id))?;
    Ok(octets.and_then(|octets| keys::u32_at(&octets, 0)).map_or(Uid(1), Uid))
}

/// Visits the mailboxes of an account, rising by number.
pub(crate) fn scan_mailboxes(
    snapshot: &Snapshot,
    account: AccountId,
    visit: &mut dyn FnMut(MailboxId, &MailboxRecord),
) -> Result<(), StoreError> {
    let (from, until) = (keys::account(account), keys::after(keys::account(account)));
    let mut failed = None;
    snapshot.scan(keys::MAILBOXES, &from, &until, &mut |key, value| match (
        keys::mailbox_of(key),
        MailboxRecord::parse(value),
    ) {
        (Some(id), Ok(record)) => {
            visit(id, &record);
            ControlFlow::Continue(())
        }
        (_, outcome) => {
            let unreadable = || StoreError::corrupt("a mailbox's key is unreadable");
            failed = Some(outcome.err().unwrap_or_else(unreadable));
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn scan_subscriptions(snapshot: &Snapshot, account: AccountId) -> Result<Vec<String>, StoreError> {
    let (from, until) = (keys::account(account), keys::after(keys::account(account)));
    let mut names = Vec::new();
    snapshot.scan(keys::SUBSCRIPTIONS, &from, &until, &mut |key, _| {
        names.push(String::from_utf8_lossy(&key[4..]).into_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// The mailboxes below a name.
fn below(
    snapshot: &Snapshot,
    account: AccountId,
    name: &MailboxName,
) -> Result<Vec<(MailboxId, MailboxName)>, StoreError> {
    let from = keys::named(account, &format!("{name}/"));
    // `0` follows `/`.
    let until = keys::named(account, &format!("{name}0"));
    let mut found = Vec::new();
    let mut failed = None;
    snapshot.scan(keys::MAILBOX_NAMES, &from, &until, &mut |key, value| {
        let name = std::str::from_utf8(&key[4..]).ok().and_then(|name| MailboxName::new(name).ok());
        match (name, keys::u32_at(value, 0)) {
            (Some(name), Some(number)) => found.push((MailboxId { account, number }, name)),
            _ => failed = Some(StoreError::corrupt("a mailbox's name is unreadable")),
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(found), Err)
}
