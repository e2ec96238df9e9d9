//! The invariants of annotations, and of what is paid for them.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::Check;
use crate::annotations::{Annotations, payer};
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::keys;
use crate::record::MailboxRecord;

impl Check<'_> {
    /// 18; of mailboxes and accounts that are being removed, some may be left.
    pub(super) fn annotations(
        &mut self,
        known: &BTreeMap<MailboxId, Option<MailboxRecord>>,
    ) -> Result<(), StoreError> {
        let (mut octets, mut faults, mut failed) = (HashMap::new(), Vec::new(), None);
        let snapshot = self.snapshot;
        snapshot.scan(keys::ANNOTATIONS, &[], &keys::END, &mut |key, value| {
            let (Some(id), Some(whose)) = (keys::mailbox_of(key), keys::u32_at(key, 8)) else {
                faults.push((1, format!("store_annotations has the bad key {key:?}")));
                return ControlFlow::Continue(());
            };
            let whose = AccountId(whose);
            octets.insert(keys::annotation_payer(payer(id, whose), id, whose).to_vec(), value.len());
            match self.annotation_fault(known, id, whose, value) {
                Ok(fault) => faults.extend(fault.map(|(invariant, what)| {
                    (invariant, format!("the annotations {whose} of mailbox {id} {what}"))
                })),
                Err(error) => failed = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(()), Err)?;
        snapshot.scan(keys::ANNOTATION_PAYERS, &[], &keys::END, &mut |key, value| {
            let paid = keys::u32_at(value, 0).and_then(|paid| usize::try_from(paid).ok());
            if octets.remove(key) != paid {
                faults.push((18, format!("store_annotation_payers has {key:?} with {paid:?} octets")));
            }
            ControlFlow::Continue(())
        })?;
        for key in octets.into_keys() {
            faults.push((18, format!("store_annotation_payers lacks {key:?}")));
        }
        faults.into_iter().for_each(|(invariant, what)| self.violated(invariant, what));
        Ok(())
    }

    fn annotation_fault(
        &self,
        known: &BTreeMap<MailboxId, Option<MailboxRecord>>,
        id: MailboxId,
        whose: AccountId,
        value: &[u8],
    ) -> Result<Option<(u8, &'static str)>, StoreError> {
        let Some(annotations) = Annotations::parse(value) else { return Ok(Some((1, "are unreadable"))) };
        let payer = payer(id, whose);
        let is_there = self.snapshot.get(keys::ACCOUNTS, &keys::account(payer))?.is_some();
        let is_going = known.contains_key(&MailboxId { account: payer, number: 0 });
        if !(is_there || is_going) {
            return Ok(Some((18, "are paid for by nobody")));
        }
        let is_of_server = id.number == 0 && id.account == whose;
        if !is_of_server && !known.contains_key(&id) {
            return Ok(Some((18, "are of no known mailbox")));
        }
        if annotations.entries().next().is_none() || annotations.excess().is_some() {
            return Ok(Some((18, "are none, or more than there may be")));
        }
        Ok(None)
    }
}
