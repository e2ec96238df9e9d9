//! The invariants of what is shared: lists, their index, and what readers have seen.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use super::Check;
use crate::acl::Acl;
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::keys;
use crate::record::MailboxRecord;
use crate::seen::Seen;

type Mailboxes = BTreeMap<MailboxId, Option<MailboxRecord>>;

impl Check<'_> {
    /// 15 and 16; of mailboxes and accounts that are being removed, some may be left.
    pub(super) fn sharing(&mut self, known: &Mailboxes) -> Result<(), StoreError> {
        self.lists(known)?;
        let seen = self.seen(known)?;
        let mut lost = Vec::new();
        self.snapshot.scan(keys::READERS, &[], &keys::END, &mut |key, _| {
            let id = key.get(4..).and_then(keys::mailbox_of).zip(keys::u32_at(key, 0));
            if id.is_none_or(|id| !seen.contains(&id)) {
                lost.push(format!("store_readers has {key:?}, but nothing is seen there"));
            }
            ControlFlow::Continue(())
        })?;
        lost.into_iter().for_each(|what| self.violated(16, what));
        Ok(())
    }

    fn lists(&mut self, known: &Mailboxes) -> Result<(), StoreError> {
        let (mut entries, mut faults) = (HashSet::new(), Vec::new());
        self.snapshot.scan(keys::ACLS, &[], &keys::END, &mut |key, value| {
            match (keys::mailbox_of(key), Acl::parse(value)) {
                (Some(id), Some(acl)) if matches!(known.get(&id), Some(Some(_))) => {
                    entries.extend(acl.entries().map(|(who, _)| keys::granted(who.as_str(), id)));
                }
                (Some(id), Some(_)) => faults.push((15, format!("the ACL of {id} is of no known mailbox"))),
                _ => faults.push((1, format!("the ACL at {key:?} is unreadable"))),
            }
            ControlFlow::Continue(())
        })?;
        self.snapshot.scan(keys::GRANTED, &[], &keys::END, &mut |key, _| {
            if !entries.remove(key) {
                let key = String::from_utf8_lossy(key);
                faults.push((15, format!("store_granted has {key:?}, which is in no ACL")));
            }
            ControlFlow::Continue(())
        })?;
        for key in entries {
            faults.push((15, format!("store_granted lacks {:?}", String::from_utf8_lossy(&key))));
        }
        faults.into_iter().for_each(|(invariant, what)| self.violated(invariant, what));
        Ok(())
    }

    /// The readers of each mailbox.
    fn seen(&mut self, known: &Mailboxes) -> Result<HashSet<(MailboxId, u32)>, StoreError> {
        let (mut all, mut faults, mut failed) = (HashSet::new(), Vec::new(), None);
        let snapshot = self.snapshot;
        snapshot.scan(keys::SEEN, &[], &keys::END, &mut |key, value| {
            let (Some(id), Some(reader)) = (keys::mailbox_of(key), keys::u32_at(key, 8)) else {
                faults.push((1, format!("store_seen has the bad key {key:?}")));
                return ControlFlow::Continue(());
            };
            all.insert((id, reader));
            match self.seen_fault(known, id, AccountId(reader), value) {
                Ok(fault) => faults.extend(fault.map(|(invariant, what)| {
                    (invariant, format!("what account {reader} has seen of mailbox {id} {what}"))
                })),
                Err(error) => failed = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(()), Err)?;
        faults.into_iter().for_each(|(invariant, what)| self.violated(invariant, what));
        Ok(all)
    }

    fn seen_fault(
        &self,
        known: &Mailboxes,
        id: MailboxId,
        reader: AccountId,
        value: &[u8],
    ) -> Result<Option<(u8, &'static str)>, StoreError> {
        let Some(seen) = Seen::parse(value) else { return Ok(Some((1, "is unreadable"))) };
        let Some(record) = known.get(&id) else { return Ok(Some((16, "is of no known mailbox"))) };
        if self.snapshot.get(keys::READERS, &keys::reader(reader, id))?.is_none() {
            return Ok(Some((16, "is not in store_readers")));
        }
        let is_there = self.snapshot.get(keys::ACCOUNTS, &keys::account(reader))?.is_some();
        let is_going = known.contains_key(&MailboxId { account: reader, number: 0 });
        if !(is_there || is_going) || reader == id.account {
            return Ok(Some((16, "is of no account that keeps it apart")));
        }
        if record.is_none() {
            return Ok(None);
        }
        let counter = |field| self.snapshot.counter(keys::COUNTERS, &keys::mailbox(id), field);
        let fault = seen.fault(counter(keys::LAST_UID)?, counter(keys::LAST_MODSEQ)?);
        Ok(fault.map(|fault| (16, fault)))
    }
}
