//! The messages of one mailbox, its counters, keywords and logs.

use std::ops::ControlFlow;

use storage::{Patch, PatchInto, Snapshot, Space};

use super::Plan;
use super::damaged::{Fate, Fates};
use super::names::raise;
use crate::error::StoreError;
use crate::feed::MessageEvents;
use crate::ids::{Flags, MailboxId, ModSeq, Uid};
use crate::keywords::{KEYWORDS_MAX, KeywordTable};
use crate::mailboxes::read_recent;
use crate::record::{MessageRecord, RECORD_MODSEQ_AT};
use crate::sweeps::Sweeps;
use crate::{keys, logs};

/// What is there, once the plan is carried out.
#[derive(Default)]
struct There {
    messages: u64,
    unseen: u64,
    deleted: u64,
    octets: u64,
    keywords: u64,
    last_uid: u64,
    last_modseq: u64,
    living: std::collections::HashSet<Uid>,
    gone: Vec<Uid>,
    /// What lies over the records; where that is lost, the records that are to be written anew.
    sweeps: Sweeps,
    anew: Option<Vec<(Uid, Vec<u8>)>>,
}

impl There {
    fn count(&mut self, uid: Uid, stored: &MessageRecord<'_>) {
        let mut record = *stored;
        self.sweeps.lay_over(uid, &mut record);
        if let Some(anew) = &mut self.anew {
            anew.push((uid, record.to_octets()));
        }
        self.messages += 1;
        self.unseen += u64::from(!record.flags.contains(Flags::SEEN));
        self.deleted += u64::from(record.flags.contains(Flags::DELETED));
        self.octets += record.size;
        self.keywords |= record.keywords.0;
        self.last_uid = self.last_uid.max(u64::from(uid.0));
        self.last_modseq = self.last_modseq.max(record.modseq.0);
        self.living.insert(uid);
    }
}

/// Mends one mailbox.
pub(super) fn mend(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    fates: &Fates,
) -> Result<(), StoreError> {
    let key = keys::mailbox(id);
    let mut there = There::default();
    sweeps(snapshot, plan, id, &mut there)?;
    let mut found = Vec::new();
    // Records are looked at one by one: evidence is written on the way.
    snapshot.scan(keys::MESSAGES, &key, &keys::after(key), &mut |key, _| {
        found.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    for key in found {
        if let Some(value) = snapshot.get(keys::MESSAGES, &key)? {
            message((snapshot, fates), plan, id, (&key, &value), &mut there)?;
        }
    }
    let last_uid = snapshot.counter(keys::COUNTERS, &key, keys::LAST_UID)?;
    let last_modseq = snapshot.counter(keys::COUNTERS, &key, keys::LAST_MODSEQ)?;
    raise(plan, (&key, keys::LAST_UID), last_uid, there.last_uid, (7, &format!("a UID of mailbox {id}")));
    let who = format!("a mod-sequence of mailbox {id}");
    raise(plan, (&key, keys::LAST_MODSEQ), last_modseq, there.last_modseq, (8, &who));
    counters(snapshot, plan, id, &there)?;
    keywords(snapshot, plan, id, &there)?;
    let highest = last_uid.max(there.last_uid);
    let recent = read_recent(snapshot, id)?;
    if recent.0 == 0 || u64::from(recent.0) > highest + 1 {
        let right = u32::try_from(highest + 1).unwrap_or(u32::MAX);
        plan.draft.batch.put(keys::RECENT, &key, right.to_be_bytes());
        let what = format!("mailbox {id}: the first recent UID {recent} is above the last {highest}");
        plan.remedy(14, what, format!("it is {right} now"));
    }
    let highest = last_modseq.max(there.last_modseq);
    let flagged_was_cut =
        cut(snapshot, plan, id, (keys::FLAGGED, keys::FLAGGED_ENTRIES), highest, |_| false)?;
    let is_living = |uid| there.living.contains(&uid);
    let was_cut = cut(snapshot, plan, id, (keys::EXPUNGED, keys::EXPUNGED_ENTRIES), highest, is_living)?;
    if there.gone.is_empty() && there.anew.is_none() {
        return Ok(());
    }
    let modseq = plan.draft.touch(id, MessageEvents::FLAGS);
    if !there.gone.is_empty() && !was_cut {
        logs::EXPUNGED.write(snapshot, &mut plan.draft, id, modseq, there.gone.iter().copied())?;
    }
    let anew = there.anew.unwrap_or_default();
    if !anew.is_empty() && !flagged_was_cut {
        logs::FLAGGED.write(snapshot, &mut plan.draft, id, modseq, anew.iter().map(|(uid, _)| *uid))?;
    }
    for (uid, octets) in anew {
        let patch = Patch { into: PatchInto::Value, at: RECORD_MODSEQ_AT, width: 8, drawn: modseq };
        plan.draft.batch.put_drawn(keys::MESSAGES, &keys::message(id, uid), octets, &[patch]);
    }
    Ok(())
}

/// What lies over the records. Where it cannot be read, messages have the flags from before, and count as changed: so
/// clients learn of it.
fn sweeps(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    there: &mut There,
) -> Result<(), StoreError> {
    let key = keys::mailbox(id);
    let Some(octets) = snapshot.get(keys::SWEEPS, &key)? else { return Ok(()) };
    let why = match Sweeps::parse(&octets) {
        None => "are unreadable",
        Some(sweeps) => match sweeps.fault(u64::MAX, u64::MAX) {
            Some(why) => why,
            None => {
                (there.last_uid, there.last_modseq) = sweeps.last();
                there.sweeps = sweeps;
                return Ok(());
            }
        },
    };
    let place = plan.keep(&format!("sweeps-{}-{}", id.account, id.number), &octets)?;
    plan.draft.batch.delete(keys::SWEEPS, &key);
    there.anew = Some(Vec::new());
    let action = format!("they go, kept as {place}; messages have the flags from before them");
    plan.remedy(19, format!("the sweeps of mailbox {id} {why}"), action);
    Ok(())
}

fn message(
    (snapshot, fates): (&Snapshot, &Fates),
    plan: &mut Plan<'_>,
    id: MailboxId,
    (key, value): (&[u8], &[u8]),
    there: &mut There,
) -> Result<(), StoreError> {
    let (Some(uid), Ok(record)) = (keys::uid_of(key), MessageRecord::parse(value)) else {
        let name = key.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let place = plan.keep(&format!("message-record-{name}"), value)?;
        plan.draft.batch.delete(keys::MESSAGES, key);
        there.gone.extend(keys::uid_of(key));
        let what = format!("mailbox {id}: the message at {key:?} is unreadable");
        plan.remedy(
            1,
            what,
            format!("the record goes, kept as {place}; its content, if any, is told of below"),
        );
        return Ok(());
    };
    let found = match fates.get(&record.content) {
        Some(Fate::Stays(len)) => Ok(*len),
        Some(Fate::Goes(why)) => Err(why.clone()),
        None => match snapshot.content_len(record.content) {
            Ok(len) => len.ok_or_else(|| "is not there".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    match found {
        Err(why) => {
            let place = plan
                .keep(&format!("message-{}-{}-{uid}", id.account, id.number), &described(id, uid, &record))?;
            plan.draft.batch.delete(keys::MESSAGES, key);
            plan.draft.batch.release_content(record.content, 1);
            there.gone.push(uid);
            let what = format!("message {id}/{uid}: content {} {why}", record.content.0);
            plan.remedy(11, what, format!("the message goes; what is known of it is kept as {place}"));
        }
        Ok(len) if len + record.prefix.len() as u64 != record.size => {
            let size = len + record.prefix.len() as u64;
            let what = format!("message {id}/{uid} has {len} octets of content, but size {}", record.size);
            let right = MessageRecord { size, ..record };
            plan.draft.batch.put(keys::MESSAGES, key, right.to_octets());
            plan.remedy(11, what, format!("its size is {size} now"));
            there.count(uid, &right);
        }
        Ok(_) if record.modseq.0 == 0 => {
            let right = MessageRecord { modseq: ModSeq(1), ..record };
            plan.draft.batch.put(keys::MESSAGES, key, right.to_octets());
            plan.remedy(8, format!("message {id}/{uid} has no mod-sequence"), "it is 1 now");
            there.count(uid, &right);
        }
        Ok(_) => there.count(uid, &record),
    }
    Ok(())
}

/// What is known of a message without its content: for people, with the fields that were put on top of it.
fn described(id: MailboxId, uid: Uid, record: &MessageRecord<'_>) -> Vec<u8> {
    let mut text = format!(
        "mailbox {id}\nuid {uid}\nsize {}\ncontent {}\nflags {:?}\ninternal date {} ms\nsave date {} ms\n\n",
        record.size, record.content.0, record.flags, record.internal_date.0, record.save_date.0
    )
    .into_bytes();
    text.extend_from_slice(record.prefix);
    text
}

fn counters(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    there: &There,
) -> Result<(), StoreError> {
    let key = keys::mailbox(id);
    for (field, name, is) in [
        (keys::COUNT, "messages", there.messages),
        (keys::UNSEEN, "unseen", there.unseen),
        (keys::DELETED, "deleted", there.deleted),
        (keys::OCTETS, "octets", there.octets),
    ] {
        let says = snapshot.counter(keys::COUNTERS, &key, field)?;
        if says != is {
            let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
            plan.draft.batch.add(keys::COUNTERS, &key, &[(field, number(is) - number(says))]);
            plan.remedy(
                9,
                format!("mailbox {id} counts {says} {name}, but has {is}"),
                "it counts what it has",
            );
        }
    }
    Ok(())
}

fn keywords(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    there: &There,
) -> Result<(), StoreError> {
    let key = keys::mailbox(id);
    let table = match KeywordTable::read(snapshot, id) {
        Ok(table) => table,
        Err(_) => {
            let octets = snapshot.get(keys::KEYWORDS, &key)?.unwrap_or_default().into_owned();
            let place = plan.keep(&format!("keywords-{}-{}", id.account, id.number), &octets)?;
            plan.draft.batch.delete(keys::KEYWORDS, &key);
            plan.remedy(
                1,
                format!("the keywords of mailbox {id} are unreadable"),
                format!("kept as {place}"),
            );
            KeywordTable::default()
        }
    };
    let used = (u64::BITS - there.keywords.leading_zeros()) as usize;
    if used <= table.len() {
        return Ok(());
    }
    let mut names: Vec<String> = table.all().map(str::to_owned).collect();
    let what = format!("mailbox {id} names {} keywords, but uses {used}", names.len());
    for number in names.len()..used.min(KEYWORDS_MAX) {
        names.push(format!("recovered-{number}"));
    }
    let octets: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([b'\n'])).collect();
    plan.draft.batch.put(keys::KEYWORDS, &key, octets);
    plan.remedy(10, what, format!("those without a name are called recovered-{}…", table.len()));
    Ok(())
}

/// Cuts a log that is not as it should be, whole; whether it was.
fn cut(
    snapshot: &Snapshot,
    plan: &mut Plan<'_>,
    id: MailboxId,
    (space, counter): (Space, u8),
    highest: u64,
    is_living: impl Fn(Uid) -> bool,
) -> Result<bool, StoreError> {
    let key = keys::mailbox(id);
    let (mut entries, mut wrong) = (Vec::new(), false);
    snapshot.scan(space, &key, &keys::after(key), &mut |key, value| {
        let modseq = keys::u64_at(key, keys::MODSEQ_AT).unwrap_or(u64::MAX);
        if modseq > 0 {
            wrong |= modseq > highest;
            wrong |=
                value.chunks_exact(4).filter_map(|uid| keys::u32_at(uid, 0)).any(|uid| is_living(Uid(uid)));
            entries.push(key.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    let says = snapshot.counter(keys::COUNTERS, &key, counter)?;
    if !wrong && says == entries.len() as u64 {
        return Ok(false);
    }
    let what = format!("{} of mailbox {id} is not of this mailbox, or counts {says}", space.name());
    plan.remedy(
        13,
        format!("{what} instead of {}", entries.len()),
        "it is cut: clients read the mailbox anew",
    );
    for entry in entries {
        plan.draft.batch.delete(space, &entry);
    }
    plan.draft.batch.put(space, &keys::log(id, ModSeq(0)), highest.to_be_bytes());
    let less = i64::try_from(says).unwrap_or(i64::MAX);
    plan.draft.batch.add(keys::COUNTERS, &key, &[(counter, -less)]);
    Ok(true)
}
