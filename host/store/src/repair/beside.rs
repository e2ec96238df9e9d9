//! What is kept beside messages, with its indices: rights, what readers have seen, annotations.
//!
//! Records are looked at one by one, each under the lock of the account whose mailbox it is of; those of an index after
//! those that it is of.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use storage::{Snapshot, Space};

use super::{Plan, Remedy};
use crate::acl::Acl;
use crate::annotations::{Annotations, payer};
use crate::error::StoreError;
use crate::ids::{AccountId, MailboxId};
use crate::keys;
use crate::seen::Seen;

/// What is looked at, in this order.
pub(super) const SPACES: [Space; 7] = [
    keys::SWEEPS,
    keys::ACLS,
    keys::GRANTED,
    keys::SEEN,
    keys::READERS,
    keys::ANNOTATIONS,
    keys::ANNOTATION_PAYERS,
];

/// What is wrong in a space: keys by the account whose mailbox they are of, and what would be done.
#[derive(Default)]
pub(super) struct Wrong {
    pub(super) keys: BTreeMap<AccountId, Vec<Vec<u8>>>,
    pub(super) remedies: Vec<Remedy>,
}

/// Looks for it.
pub(super) fn wrong(snapshot: &Snapshot, space: Space, only: Option<AccountId>) -> Result<Wrong, StoreError> {
    let (mut wrong, mut failed) = (Wrong::default(), None);
    snapshot.scan(space, &[], &keys::END, &mut |key, _| {
        let account = mailbox_of(space, key).map_or(AccountId(0), |id| id.account);
        if only.is_some_and(|only| only != account) {
            return ControlFlow::Continue(());
        }
        let mut plan = Plan::new(None);
        if let Err(error) = look(snapshot, &mut plan, space, key) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        if !plan.remedies.is_empty() {
            wrong.keys.entry(account).or_default().push(key.to_vec());
            wrong.remedies.extend(plan.remedies);
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(wrong), Err)
}

/// Looks at one record, and plans what is to be done about it.
pub(super) fn look(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    space: Space,
    key: &[u8],
) -> Result<(), StoreError> {
    let Some(value) = snapshot.get(space, key)? else { return Ok(()) };
    let Some(id) = mailbox_of(space, key) else {
        match space {
            keys::GRANTED => go_entry(plan, (space, key), 15),
            keys::READERS => go_entry(plan, (space, key), 16),
            keys::ANNOTATION_PAYERS => go_entry(plan, (space, key), 18),
            _ => go(plan, (space, key, &value), 1, "is under a key of no mailbox")?,
        }
        return Ok(());
    };
    match space {
        // Those of mailboxes that are there were mended with their messages.
        keys::SWEEPS if is_known(snapshot, id)? => Ok(()),
        keys::SWEEPS => go(plan, (space, key, &value), 19, "is of no known mailbox"),
        keys::ACLS => acl(snapshot, plan, id, (key, &value)),
        keys::GRANTED => granted(snapshot, plan, id, key),
        keys::SEEN => seen(snapshot, plan, id, (key, &value)),
        keys::READERS => reader(snapshot, plan, id, key),
        keys::ANNOTATIONS => annotations(snapshot, plan, id, (key, &value)),
        _ => payers(snapshot, plan, id, key),
    }
}

/// The mailbox that a record is of.
fn mailbox_of(space: Space, key: &[u8]) -> Option<MailboxId> {
    let (at, len) = match space {
        keys::ACLS | keys::SWEEPS => (0, 8),
        keys::GRANTED => (key.len().checked_sub(8)?, key.len()),
        keys::SEEN | keys::ANNOTATIONS => (0, 12),
        keys::READERS => (4, 12),
        _ => (4, 16),
    };
    keys::mailbox_of(key.get(at..)?).filter(|_| key.len() == len)
}

/// Drafts the end of a record, which is kept.
fn go(
    plan: &mut Plan<'_>,
    (space, key, value): (Space, &[u8], &[u8]),
    invariant: u8,
    why: &str,
) -> Result<(), StoreError> {
    let hex: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
    let place = plan.keep(&format!("{}-{hex}", space.name()), value)?;
    plan.draft.batch.delete(space, key);
    plan.remedy(invariant, format!("{} {key:?} {why}", space.name()), format!("it goes, kept as {place}"));
    Ok(())
}

/// Drafts the end of an entry of an index: it says nothing that its key does not.
fn go_entry(plan: &mut Plan<'_>, (space, key): (Space, &[u8]), invariant: u8) {
    plan.draft.batch.delete(space, key);
    plan.remedy(invariant, format!("{} has {key:?} of nothing that is there", space.name()), "it goes");
}

fn is_mailbox(snapshot: &Snapshot, id: MailboxId) -> Result<bool, StoreError> {
    Ok(snapshot.get(keys::MAILBOXES, &keys::mailbox(id))?.is_some())
}

/// Of what is being removed, something may be left.
fn is_going(snapshot: &Snapshot, id: MailboxId) -> Result<bool, StoreError> {
    Ok(snapshot.get(keys::DOOMED, &keys::mailbox(id))?.is_some())
}

fn is_known(snapshot: &Snapshot, id: MailboxId) -> Result<bool, StoreError> {
    Ok(is_mailbox(snapshot, id)? || is_going(snapshot, id)?)
}

fn is_account(snapshot: &Snapshot, id: AccountId) -> Result<bool, StoreError> {
    Ok(snapshot.get(keys::ACCOUNTS, &keys::account(id))?.is_some()
        || is_going(snapshot, MailboxId { account: id, number: 0 })?)
}

fn acl(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    (key, value): (&[u8], &[u8]),
) -> Result<(), StoreError> {
    let record = (keys::ACLS, key, value);
    let Some(acl) = Acl::parse(value) else {
        // Nobody but the owner has rights from now on: more were not safe to guess.
        plan.draft.touch_rights(id);
        return go(plan, record, 1, "is unreadable");
    };
    if !is_mailbox(snapshot, id)? {
        return go(plan, record, 15, "is of no known mailbox");
    }
    for (who, _) in acl.entries() {
        let key = keys::granted(who.as_str(), id);
        if snapshot.get(keys::GRANTED, &key)?.is_none() {
            plan.draft.batch.put(keys::GRANTED, &key, [0]);
            plan.remedy(15, format!("store_granted lacks {who} of mailbox {id}"), "it gets the entry");
        }
    }
    Ok(())
}

fn granted(snapshot: &Snapshot, plan: &mut Plan<'_>, id: MailboxId, key: &[u8]) -> Result<(), StoreError> {
    let acl = snapshot.get(keys::ACLS, &keys::mailbox(id))?.and_then(|octets| Acl::parse(&octets));
    let acl = acl.unwrap_or_default();
    let is_in_it = acl.entries().any(|(who, _)| keys::granted(who.as_str(), id) == key);
    if !(is_in_it && is_mailbox(snapshot, id)?) {
        go_entry(plan, (keys::GRANTED, key), 15);
    }
    Ok(())
}

fn seen(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    (key, value): (&[u8], &[u8]),
) -> Result<(), StoreError> {
    let reader = AccountId(keys::u32_at(key, 8).unwrap_or(0));
    let beside = keys::reader(reader, id);
    let parsed = Seen::parse(value);
    let why = match &parsed {
        None => Some((1, "is unreadable")),
        Some(_) if !is_known(snapshot, id)? => Some((16, "is of no known mailbox")),
        Some(_) if reader == id.account || !is_account(snapshot, reader)? => {
            Some((16, "is of no account that keeps it apart"))
        }
        Some(_) => None,
    };
    if let Some((invariant, why)) = why {
        plan.draft.batch.delete(keys::READERS, &beside);
        return go(plan, (keys::SEEN, key, value), invariant, why);
    }
    if snapshot.get(keys::READERS, &beside)?.is_none() {
        plan.draft.batch.put(keys::READERS, &beside, [0]);
        let what = format!("what account {reader} has seen of mailbox {id} is not in store_readers");
        plan.remedy(16, what, "it gets the entry");
    }
    let counter = |field| snapshot.counter(keys::COUNTERS, &keys::mailbox(id), field);
    let (last_uid, last_modseq) = (counter(keys::LAST_UID)?, counter(keys::LAST_MODSEQ)?);
    if let Some(seen) = parsed
        && let Some(fault) = seen.fault(last_uid, last_modseq)
        && is_mailbox(snapshot, id)?
    {
        seen.draft_mended(&mut plan.draft, (id, reader), last_uid);
        let what = format!("what account {reader} has seen of mailbox {id} {fault}");
        plan.remedy(16, what, "as much of it as can be right is written anew");
    }
    Ok(())
}

fn reader(snapshot: &Snapshot, plan: &mut Plan<'_>, id: MailboxId, key: &[u8]) -> Result<(), StoreError> {
    let reader = AccountId(keys::u32_at(key, 0).unwrap_or(0));
    if snapshot.get(keys::SEEN, &keys::seen(id, reader))?.is_none() {
        go_entry(plan, (keys::READERS, key), 16);
    }
    Ok(())
}

fn annotations(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    (key, value): (&[u8], &[u8]),
) -> Result<(), StoreError> {
    let whose = AccountId(keys::u32_at(key, 8).unwrap_or(0));
    let beside = keys::annotation_payer(payer(id, whose), id, whose);
    let is_of_server = id.number == 0 && id.account == whose;
    let parsed = Annotations::parse(value);
    let why = match &parsed {
        None => Some((1, "is unreadable")),
        Some(_) if !is_account(snapshot, payer(id, whose))? => Some((18, "is paid for by nobody")),
        Some(_) if !(is_of_server || is_known(snapshot, id)?) => Some((18, "is of no known mailbox")),
        Some(all) if all.entries().next().is_none() => Some((18, "has nothing")),
        Some(_) => None,
    };
    if let Some((invariant, why)) = why {
        plan.draft.batch.delete(keys::ANNOTATION_PAYERS, &beside);
        return go(plan, (keys::ANNOTATIONS, key, value), invariant, why);
    }
    let Some(parsed) = parsed else { return Ok(()) };
    if let Some(excess) = parsed.excess() {
        let place = plan.keep(&format!("annotations-{}-{}-{whose}", id.account, id.number), value)?;
        parsed.within_maxima().draft(&mut plan.draft, id, whose);
        let what = format!("the annotations {whose} of mailbox {id}: {excess}");
        plan.remedy(18, what, format!("those that are too many go, all kept as {place}"));
        return Ok(());
    }
    let paid = snapshot.get(keys::ANNOTATION_PAYERS, &beside)?.and_then(|octets| keys::u32_at(&octets, 0));
    if paid.map(u64::from) != Some(value.len() as u64) {
        parsed.draft(&mut plan.draft, id, whose);
        let what = format!("store_annotation_payers has {paid:?} octets of the annotations {whose} of {id}");
        plan.remedy(18, what, "it has what they are");
    }
    Ok(())
}

fn payers(snapshot: &Snapshot, plan: &mut Plan<'_>, id: MailboxId, key: &[u8]) -> Result<(), StoreError> {
    let whose = AccountId(keys::u32_at(key, 12).unwrap_or(0));
    let is_right = keys::annotation_payer(payer(id, whose), id, whose) == key
        && snapshot.get(keys::ANNOTATIONS, &keys::annotation(id, whose))?.is_some();
    if !is_right {
        go_entry(plan, (keys::ANNOTATION_PAYERS, key), 18);
    }
    Ok(())
}
