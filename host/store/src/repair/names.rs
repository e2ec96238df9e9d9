//! Accounts and mailboxes, their numbers and names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use mail_types::Timestamp;
use storage::Snapshot;

use super::Plan;
use crate::accounts::read_account;
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{AccountId, MailboxId, UidValidity};
use crate::keys;
use crate::names::MailboxName;
use crate::record::{AccountRecord, MailboxRecord};

/// Makes accounts and their names point at each other.
pub(super) fn accounts(snapshot: &Snapshot, plan: &mut Plan<'_>, now: Timestamp) -> Result<(), StoreError> {
    let mut known = BTreeMap::new();
    let mut unreadable = Vec::new();
    snapshot.scan(keys::ACCOUNTS, &[], &keys::END, &mut |key, value| {
        match (keys::u32_at(key, 0), AccountRecord::parse(value)) {
            (Some(id), Ok(record)) => drop(known.insert(AccountId(id), record)),
            _ => unreadable.push((key.to_vec(), value.to_vec())),
        }
        ControlFlow::Continue(())
    })?;
    let mut named = BTreeMap::new();
    snapshot.scan(keys::ACCOUNT_NAMES, &[], &keys::END, &mut |name, value| {
        let id = keys::u32_at(value, 0).map(AccountId);
        named.insert(String::from_utf8_lossy(name).into_owned(), id);
        ControlFlow::Continue(())
    })?;
    for (key, value) in unreadable {
        let place = plan.keep(&format!("account-{}", hex(&key)), &value)?;
        plan.draft.batch.delete(keys::ACCOUNTS, &key);
        plan.remedy(1, format!("the account's record at {key:?} is unreadable"), format!("kept as {place}"));
    }
    for (name, id) in &named {
        let Some(id) = id else {
            plan.draft.batch.delete(keys::ACCOUNT_NAMES, name.as_bytes());
            plan.remedy(2, format!("the name {name:?} has no account"), "the name goes");
            continue;
        };
        match known.get(id) {
            Some(record) if record.name == *name => {}
            None if has_mailboxes(snapshot, *id)? => {
                let last_uid_validity = UidValidity(u32::try_from(now.as_seconds()).unwrap_or(u32::MAX));
                let record = AccountRecord { last_uid_validity, created: now, name: name.clone() };
                plan.draft.batch.put(keys::ACCOUNTS, &keys::account(*id), record.to_octets());
                plan.remedy(
                    2,
                    format!("the name {name:?} has no account"),
                    format!("account {id} is made anew"),
                );
                known.insert(*id, record);
            }
            _ => {
                plan.draft.batch.delete(keys::ACCOUNT_NAMES, name.as_bytes());
                plan.remedy(2, format!("the name {name:?} has no account"), "the name goes");
            }
        }
    }
    for (id, record) in &known {
        if named.get(&record.name).copied().flatten() != Some(*id) {
            plan.draft.batch.put(keys::ACCOUNT_NAMES, record.name.as_bytes(), keys::account(*id));
            let what = format!("account {id} is not found by its name {:?}", record.name);
            plan.remedy(2, what, "the name points at it");
        }
    }
    let last = snapshot.counter(keys::COUNTERS, keys::STORE_COUNTERS, keys::LAST_ACCOUNT)?;
    if let Some((highest, _)) = known.last_key_value() {
        let key = keys::STORE_COUNTERS;
        raise(
            plan,
            (key, keys::LAST_ACCOUNT),
            last,
            u64::from(highest.0),
            (2, &format!("account {highest}")),
        );
    }
    Ok(())
}

fn has_mailboxes(snapshot: &Snapshot, id: AccountId) -> Result<bool, StoreError> {
    let mut found = false;
    for space in [keys::MAILBOXES, keys::MESSAGES] {
        snapshot.scan(space, &keys::account(id), &keys::after(keys::account(id)), &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
    }
    Ok(found)
}

/// Raises a counter to what was given out already.
pub(super) fn raise(
    plan: &mut Plan<'_>,
    (key, field): (&[u8], u8),
    last: u64,
    highest: u64,
    (invariant, who): (u8, &str),
) {
    if highest > last {
        let more = i64::try_from(highest - last).unwrap_or(i64::MAX);
        plan.draft.batch.add(keys::COUNTERS, key, &[(field, more)]);
        plan.remedy(
            invariant,
            format!("{who} is above the last number {last}"),
            "the last number is set to it",
        );
    }
}

/// What an account has.
struct Found {
    mailboxes: BTreeMap<u32, MailboxRecord>,
    unreadable: BTreeMap<u32, Vec<u8>>,
    /// Name → number.
    named: BTreeMap<String, u32>,
    /// Numbers under which there are messages.
    holding: BTreeSet<u32>,
}

impl Found {
    fn read(snapshot: &Snapshot, account: AccountId) -> Result<Self, StoreError> {
        let (from, until) = (keys::account(account), keys::after(keys::account(account)));
        let mut found = Self {
            mailboxes: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            named: BTreeMap::new(),
            holding: BTreeSet::new(),
        };
        snapshot.scan(keys::MAILBOXES, &from, &until, &mut |key, value| {
            match (keys::u32_at(key, 4), MailboxRecord::parse(value)) {
                (Some(number), Ok(record)) => drop(found.mailboxes.insert(number, record)),
                (Some(number), Err(_)) => drop(found.unreadable.insert(number, value.to_vec())),
                (None, _) => {}
            }
            ControlFlow::Continue(())
        })?;
        snapshot.scan(keys::MAILBOX_NAMES, &from, &until, &mut |key, value| {
            let name = String::from_utf8_lossy(key.get(4..).unwrap_or_default()).into_owned();
            found.named.insert(name, keys::u32_at(value, 0).unwrap_or(0));
            ControlFlow::Continue(())
        })?;
        let mut doomed = HashSet::new();
        snapshot.scan(keys::DOOMED, &from, &until, &mut |key, _| {
            doomed.extend(keys::u32_at(key, 4));
            ControlFlow::Continue(())
        })?;
        // From each mailbox's first message on to the next mailbox.
        let mut next = from.to_vec();
        loop {
            let mut number = None;
            snapshot.scan(keys::MESSAGES, &next, &until, &mut |key, _| {
                number = keys::u32_at(key, 4);
                ControlFlow::Break(())
            })?;
            let Some(number) = number else { break };
            if !doomed.contains(&number) {
                found.holding.insert(number);
            }
            next = keys::after(keys::mailbox(MailboxId { account, number }));
        }
        Ok(found)
    }

    /// A name that no mailbox has.
    fn free_name(&self, number: u32) -> String {
        let mut name = format!("Recovered-{number}");
        while self.mailboxes.values().any(|record| record.name == name) {
            name.push('x');
        }
        name
    }
}

/// Makes the mailboxes of an account whole: records, names, numbers, UIDVALIDITYs.
pub(super) fn mailboxes(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    account: AccountId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut owner = read_account(snapshot, account)?;
    let mut found = Found::read(snapshot, account)?;
    let before = found.mailboxes.clone();
    let mut next_validity = {
        let seconds = u32::try_from(now.as_seconds()).unwrap_or(u32::MAX);
        let highest = found.mailboxes.values().map(|record| record.uid_validity.0).max().unwrap_or(0);
        highest.max(owner.last_uid_validity.0).max(seconds)
    };
    let mut new_validity = || {
        next_validity = next_validity.saturating_add(1);
        UidValidity(next_validity)
    };
    missing(plan, account, &mut found, &mut new_validity, now)?;
    inbox(plan, account, &mut found, &mut new_validity, now);
    let (mut validities, mut names) = (HashSet::new(), HashSet::new());
    for (number, record) in &mut found.mailboxes {
        let id = MailboxId { account, number: *number };
        let is_name = MailboxName::new(&record.name).is_ok_and(|name| name.as_str() == record.name);
        if !is_name || !names.insert(record.name.clone()) {
            let name = format!("Recovered-{number}");
            let what = format!("mailbox {id} has the bad name {:?}, or one of another", record.name);
            plan.remedy(4, what, format!("it is called {name}"));
            record.name = name;
        }
        if record.uid_validity.0 == 0 || !validities.insert(record.uid_validity.0) {
            let what = format!("mailbox {id} has the bad UIDVALIDITY {}", record.uid_validity);
            record.uid_validity = new_validity();
            validities.insert(record.uid_validity.0);
            plan.remedy(5, what, format!("it is {} now: clients read it anew", record.uid_validity));
        }
    }
    for (number, record) in &found.mailboxes {
        if before.get(number) != Some(record) {
            let key = keys::mailbox(MailboxId { account, number: *number });
            plan.draft.batch.put(keys::MAILBOXES, &key, record.to_octets());
        }
    }
    let highest = found.mailboxes.values().map(|record| record.uid_validity).max().unwrap_or_default();
    if highest > owner.last_uid_validity {
        let what =
            format!("account {account} has a UIDVALIDITY above its highest, {}", owner.last_uid_validity);
        plan.remedy(5, what, format!("its highest is {highest} now"));
        owner.last_uid_validity = highest;
        plan.draft.batch.put(keys::ACCOUNTS, &keys::account(account), owner.to_octets());
    }
    index(plan, account, &found);
    let last = snapshot.counter(keys::COUNTERS, &keys::account(account), keys::LAST_MAILBOX)?;
    let number = found.mailboxes.last_key_value().map_or(0, |(number, _)| *number);
    let who = format!("mailbox {account}/{number}");
    raise(plan, (&keys::account(account), keys::LAST_MAILBOX), last, u64::from(number), (4, &who));
    Ok(())
}

/// Gives records to mailboxes that have none, or one that cannot be read, under the name that still points at them.
fn missing(
    plan: &mut Plan<'_>,
    account: AccountId,
    found: &mut Found,
    new_validity: &mut dyn FnMut() -> UidValidity,
    now: Timestamp,
) -> Result<(), StoreError> {
    let holding = found.holding.iter().filter(|number| !found.mailboxes.contains_key(number));
    let numbers: BTreeSet<u32> = holding.chain(found.unreadable.keys()).copied().collect();
    for number in numbers {
        let id = MailboxId { account, number };
        let pointing = found.named.iter().find(|(_, named)| **named == number).map(|(name, _)| name.clone());
        let name = pointing.unwrap_or_else(|| found.free_name(number));
        let action = format!("it is made anew, as {name}");
        match found.unreadable.get(&number) {
            Some(octets) => {
                let place = plan.keep(&format!("mailbox-{account}-{number}"), octets)?;
                plan.remedy(
                    1,
                    format!("the record of mailbox {id} is unreadable"),
                    format!("{action}; kept as {place}"),
                );
            }
            None => plan.remedy(6, format!("messages are in mailbox {id}, which is not there"), action),
        }
        let record = MailboxRecord {
            selectable: true,
            special_use: None,
            uid_validity: new_validity(),
            created: now,
            name,
        };
        found.mailboxes.insert(number, record);
    }
    Ok(())
}

fn inbox(
    plan: &mut Plan<'_>,
    account: AccountId,
    found: &mut Found,
    new_validity: &mut dyn FnMut() -> UidValidity,
    now: Timestamp,
) {
    let number = MailboxId::inbox(account).number;
    let what = format!("account {account} has no INBOX");
    match found.mailboxes.get_mut(&number) {
        Some(record) if record.name == crate::INBOX && record.selectable => {}
        Some(record) => {
            plan.remedy(3, what, format!("mailbox {account}/{number}, {:?}, is the INBOX", record.name));
            crate::INBOX.clone_into(&mut record.name);
            record.selectable = true;
        }
        None => {
            plan.remedy(3, what, "it is made");
            let record = MailboxRecord {
                selectable: true,
                special_use: None,
                uid_validity: new_validity(),
                created: now,
                name: crate::INBOX.to_owned(),
            };
            found.mailboxes.insert(number, record);
            // The first mod-sequence is 1 (RFC 7162 §3.1.2.1).
            plan.draft.touch(MailboxId::inbox(account), MessageEvents::FLAGS);
        }
    }
}

/// Makes names point at their mailboxes, and at nothing else.
fn index(plan: &mut Plan<'_>, account: AccountId, found: &Found) {
    for (name, number) in &found.named {
        if found.mailboxes.get(number).is_none_or(|record| record.name != *name) {
            plan.draft.batch.delete(keys::MAILBOX_NAMES, &keys::named(account, name));
            plan.remedy(4, format!("the name {name:?} has no mailbox"), "the name goes");
        }
    }
    for (number, record) in &found.mailboxes {
        if found.named.get(&record.name) != Some(number) {
            let key = keys::named(account, &record.name);
            plan.draft.batch.put(keys::MAILBOX_NAMES, &key, number.to_be_bytes());
            let what = format!("mailbox {account}/{number} is not found by its name {:?}", record.name);
            plan.remedy(4, what, "the name points at it");
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
