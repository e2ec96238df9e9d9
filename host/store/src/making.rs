//! Making mailboxes, and ending them, in drafts.

use mail_types::Timestamp;
use storage::Snapshot;

use crate::accounts::read_account;
use crate::acl::Acl;
use crate::changes::Draft;
use crate::domain_usage::{domain_of, doomed_value};
use crate::error::StoreError;
use crate::feed::{Happened, MessageEvents};
use crate::ids::{AccountId, MailboxId, UidValidity};
use crate::keys;
use crate::mailboxes::{MAILBOXES_MAX, SpecialUse, find_mailbox, read_mailbox, scan_mailboxes};
use crate::names::MailboxName;
use crate::record::{AccountRecord, MailboxRecord};

/// Making mailboxes of one account, under its lock.
pub(crate) struct Making<'s> {
    snapshot: &'s Snapshot,
    id: AccountId,
    record: AccountRecord,
    /// The last mailbox number, and how many were given.
    last: u64,
    given: i64,
    now: Timestamp,
}

impl<'s> Making<'s> {
    pub(crate) fn begin(snapshot: &'s Snapshot, id: AccountId, now: Timestamp) -> Result<Self, StoreError> {
        let record = read_account(snapshot, id)?;
        let mut count = 0;
        scan_mailboxes(snapshot, id, &mut |_, _| count += 1)?;
        if count + crate::MAILBOX_DEPTH_MAX > MAILBOXES_MAX {
            return Err(StoreError::TooMany { what: "mailboxes", max: MAILBOXES_MAX });
        }
        let last = snapshot.counter(keys::COUNTERS, &keys::account(id), keys::LAST_MAILBOX)?;
        Ok(Self { snapshot, id, record, last, given: 0, now })
    }

    fn next(&mut self) -> Result<MailboxId, StoreError> {
        self.given += 1;
        let number = u32::try_from(self.last.saturating_add_signed(self.given));
        let number = number.map_err(|_| StoreError::TooMany { what: "mailboxes", max: MAILBOXES_MAX })?;
        Ok(MailboxId { account: self.id, number })
    }

    /// Makes what is missing above a name.
    pub(crate) fn parents(&mut self, draft: &mut Draft, name: &MailboxName) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut above = name.parent();
        while let Some(parent) = above {
            if find_mailbox(self.snapshot, self.id, &parent)?.is_some() {
                break;
            }
            above = parent.parent();
            missing.push(parent);
        }
        for parent in missing.iter().rev() {
            let id = self.next()?;
            self.inherit(draft, id, parent)?;
            draft_mailbox(draft, id, &mut self.record, parent, None, self.now);
            draft.note(Happened::Named { account: self.id, name: parent.clone() });
        }
        Ok(())
    }

    /// Makes a mailbox; a mere name becomes one.
    pub(crate) fn mailbox(
        &mut self,
        draft: &mut Draft,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, StoreError> {
        if let Some(known) = find_mailbox(self.snapshot, self.id, name)? {
            if read_mailbox(self.snapshot, known)?.selectable {
                return Err(StoreError::Exists);
            }
            draft_gone(self.snapshot, draft, known, name)?;
        }
        let id = self.next()?;
        self.inherit(draft, id, name)?;
        draft_mailbox(draft, id, &mut self.record, name, special_use, self.now);
        Ok(id)
    }

    /// Gives a new mailbox the ACL of the nearest one above that is there (RFC 4314 §4, CREATE).
    fn inherit(&self, draft: &mut Draft, id: MailboxId, name: &MailboxName) -> Result<(), StoreError> {
        let mut above = name.parent();
        while let Some(parent) = above {
            if let Some(known) = find_mailbox(self.snapshot, self.id, &parent)? {
                Acl::read(self.snapshot, known)?.draft(draft, id, &Acl::default());
                return Ok(());
            }
            above = parent.parent();
        }
        Ok(())
    }

    /// Makes a name that only holds others.
    pub(crate) fn bare_name(&mut self, draft: &mut Draft, name: &MailboxName) -> Result<(), StoreError> {
        let id = self.next()?;
        draft_mailbox(draft, id, &mut self.record, name, None, self.now);
        let record = MailboxRecord {
            selectable: false,
            special_use: None,
            uid_validity: self.record.last_uid_validity,
            created: self.now,
            name: name.to_string(),
        };
        draft.batch.put(keys::MAILBOXES, &keys::mailbox(id), record.to_octets());
        Ok(())
    }

    /// Writes what was given out.
    pub(crate) fn end(self, draft: &mut Draft) {
        draft.batch.assert_present(keys::ACCOUNTS, &keys::account(self.id));
        draft.batch.add(keys::COUNTERS, &keys::account(self.id), &[(keys::LAST_MAILBOX, self.given)]);
        draft.batch.put(keys::ACCOUNTS, &keys::account(self.id), self.record.to_octets());
    }
}

/// Drafts a mailbox. Its UIDVALIDITY is the time, and higher than any that the account had, or one of
/// its name before it: so no name ever has the same one again. The caller writes the account's record and counter.
pub(crate) fn draft_mailbox(
    draft: &mut Draft,
    id: MailboxId,
    account: &mut AccountRecord,
    name: &MailboxName,
    special_use: Option<SpecialUse>,
    now: Timestamp,
) {
    let seconds = u32::try_from(now.as_seconds()).unwrap_or(u32::MAX);
    account.last_uid_validity = UidValidity(account.last_uid_validity.0.saturating_add(1).max(seconds));
    let record = MailboxRecord {
        selectable: true,
        special_use,
        uid_validity: account.last_uid_validity,
        created: now,
        name: name.to_string(),
    };
    draft.batch.put(keys::MAILBOXES, &keys::mailbox(id), record.to_octets());
    let key = keys::named(id.account, name.as_str());
    draft.batch.put(keys::MAILBOX_NAMES, &key, id.number.to_be_bytes());
    // The first mod-sequence is 1 (RFC 7162 §3.1.2.1).
    draft.touch(id, MessageEvents::FLAGS);
}

/// Drafts the end of a mailbox; its messages are removed afterwards.
pub(crate) fn draft_gone(
    snapshot: &Snapshot,
    draft: &mut Draft,
    id: MailboxId,
    name: &MailboxName,
) -> Result<(), StoreError> {
    draft.batch.delete(keys::MAILBOXES, &keys::mailbox(id));
    draft.batch.delete(keys::MAILBOX_NAMES, &keys::named(id.account, name.as_str()));
    let owner = read_account(snapshot, id.account)?.name;
    draft.batch.put(keys::DOOMED, &keys::mailbox(id), doomed_value(domain_of(&owner)));
    draft.touch_gone(id);
    Acl::draft_gone(snapshot, draft, id)
}
