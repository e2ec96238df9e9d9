//! Flags of very many messages, changed at once, against a model: what holds is what one change after the other makes
//! of each message, however it is kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Fixture, add, mailbox_name, message};
use crate::sweeps::Sweeps;
use crate::*;

const MESSAGES: u32 = 160;

/// Flags, keywords by name, and the last change.
type Model = BTreeMap<Uid, (Flags, Vec<String>, ModSeq)>;

#[derive(Debug, Clone)]
enum Op {
    /// A change of all messages in these UIDs but every so many.
    Store {
        uids: (u32, u32),
        but_every: u32,
        mode: u8,
        flags: u8,
        keyword: Option<u8>,
        /// Counts back from the last change.
        unchanged_since: Option<u8>,
    },
    Expunge(Vec<u32>),
    Append(u8),
    /// To the other mailbox, and back where it is not a copy.
    Copy(u32),
    Reopen,
}

fn operation() -> impl Strategy<Value = Op> {
    let uids = prop_oneof![4 => Just((1, 2 * MESSAGES)), 2 => (1..MESSAGES, 1..2 * MESSAGES)];
    let keyword = proptest::option::of(0..3_u8);
    let since = proptest::option::weighted(0.2, 0..6_u8);
    prop_oneof![
        12 => (uids, prop_oneof![3 => Just(u32::MAX), 1 => 2..60_u32], 0..3_u8, 0..32_u8, keyword, since).prop_map(
            |(uids, but_every, mode, flags, keyword, unchanged_since)| Op::Store { uids, but_every, mode, flags, keyword, unchanged_since }
        ),
        2 => proptest::collection::vec(1..MESSAGES, 1..6).prop_map(Op::Expunge),
        2 => (0..32_u8).prop_map(Op::Append),
        1 => (1..MESSAGES).prop_map(Op::Copy),
        1 => Just(Op::Reopen),
    ]
}

async fn filled(count: u32) -> (Fixture, MailboxId, Model) {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let messages = (0..count).map(|number| message(number.to_string().as_bytes())).collect();
    fixture.store.append(inbox, messages).await.unwrap();
    let view = fixture.store.view(inbox).unwrap();
    let model = view.messages.iter().map(|listed| (listed.uid, (Flags::NONE, Vec::new(), listed.modseq)));
    let model = model.collect();
    (fixture, inbox, model)
}

fn sweeps(fixture: &Fixture, mailbox: MailboxId) -> usize {
    Sweeps::read(&fixture.store.storage().read().unwrap(), mailbox).unwrap().len()
}

fn names(table: &KeywordTable, keywords: Keywords) -> Vec<String> {
    let mut names: Vec<String> = table.names(keywords).map(str::to_owned).collect();
    names.sort();
    names
}

/// Every way to read must tell what the model has.
fn compare(fixture: &Fixture, mailbox: MailboxId, model: &Model) {
    let view = fixture.store.view(mailbox).unwrap();
    let of = |listed: &Listed| (listed.flags, names(&view.keywords, listed.keywords), listed.modseq);
    let viewed: Model = view.messages.iter().map(|listed| (listed.uid, of(listed))).collect();
    assert_eq!(&viewed, model);
    let reader = fixture.store.reader(mailbox).unwrap();
    let told = |info: MessageInfo| (info.flags, names(&view.keywords, info.keywords), info.modseq);
    let mut scanned = Model::new();
    reader.infos(.., |info| drop(scanned.insert(info.uid, told(info)))).unwrap();
    assert_eq!(&scanned, model);
    for uid in model.keys().step_by(17) {
        assert_eq!(reader.info(*uid).unwrap().map(told).as_ref(), model.get(uid));
    }
    drop(reader);
    for since in [0, 3, view.highest_modseq.0.saturating_sub(2)] {
        let delta = fixture.store.changes_since(mailbox, ModSeq(since)).unwrap();
        let changed: Vec<Uid> = delta.changed.iter().map(|listed| listed.uid).collect();
        let newer = model.iter().filter(|(_, (.., modseq))| modseq.0 > since).map(|(uid, _)| *uid);
        assert_eq!(changed, newer.collect::<Vec<_>>(), "since {since}");
    }
}

struct Change<'a> {
    mode: FlagMode,
    flags: Flags,
    keyword: Option<&'a str>,
    since: Option<ModSeq>,
}

/// What a change makes of the model; whether anything.
fn change_model(model: &mut Model, named: &[Uid], change: &Change<'_>, modseq: ModSeq) -> bool {
    let mut changed = false;
    for uid in named {
        let Some((flags, keywords, last)) = model.get_mut(uid) else { continue };
        if change.since.is_some_and(|since| *last > since) {
            continue;
        }
        let mut labels = keywords.clone();
        let becomes = match change.mode {
            FlagMode::Add => flags.with(change.flags),
            FlagMode::Remove => flags.without(change.flags),
            FlagMode::Replace => change.flags,
        };
        if change.mode == FlagMode::Replace {
            labels.clear();
        }
        if let Some(keyword) = change.keyword {
            labels.retain(|label| label != keyword);
            if change.mode != FlagMode::Remove {
                labels.push(keyword.to_owned());
            }
        }
        labels.sort();
        if (becomes, &labels) != (*flags, &*keywords) {
            (*flags, *keywords, *last) = (becomes, labels, modseq);
            changed = true;
        }
    }
    changed
}

async fn apply(fixture: &Fixture, mailbox: MailboxId, other: MailboxId, model: &mut Model, op: &Op) {
    let store = &fixture.store;
    let last = store.view(mailbox).unwrap().highest_modseq;
    match op {
        Op::Store { uids, but_every, mode, flags, keyword, unchanged_since } => {
            let named: Vec<Uid> = (uids.0..=uids.1).filter(|uid| uid % but_every != 0).map(Uid).collect();
            let keyword = keyword.map(|number| ["one", "two", "three"][usize::from(number)]);
            let keywords = Vec::from_iter(keyword);
            let mode = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace][usize::from(*mode)];
            let since = unchanged_since.map(|back| ModSeq(last.0.saturating_sub(u64::from(back))));
            let flags = Flags::from_bits(*flags);
            let change = FlagChange { mode, flags, keywords: &keywords, unchanged_since: since };
            let stored = store.store_flags(mailbox, &named, &change).await.unwrap();
            let modified = named.iter().filter(|uid| {
                model.get(uid).is_some_and(|(.., modseq)| since.is_some_and(|since| *modseq > since))
            });
            assert_eq!(stored.modified, modified.copied().collect::<Vec<_>>());
            let now = store.view(mailbox).unwrap().highest_modseq;
            let changed = change_model(model, &named, &Change { mode, flags, keyword, since }, now);
            assert_eq!(changed, now > last);
            for listed in &stored.messages {
                let (flags, keywords, modseq) = &model[&listed.uid];
                assert_eq!(
                    (listed.flags, names(&stored.keywords, listed.keywords), listed.modseq),
                    (*flags, keywords.clone(), *modseq)
                );
            }
            let living = named.iter().filter(|uid| model.contains_key(uid)).count();
            assert_eq!(stored.messages.len() + stored.modified.len(), living);
        }
        Op::Expunge(uids) => {
            let uids: Vec<Uid> = uids.iter().copied().map(Uid).collect();
            store.remove(mailbox, &uids).await.unwrap();
            uids.iter().for_each(|uid| drop(model.remove(uid)));
        }
        Op::Append(flags) => {
            let flags = Flags::from_bits(*flags);
            store.append(mailbox, vec![NewMessage { flags, ..message(b"new") }]).await.unwrap();
            let listed = *store.view(mailbox).unwrap().messages.last().unwrap();
            model.insert(listed.uid, (flags, Vec::new(), listed.modseq));
        }
        Op::Copy(uid) => {
            let copied = store.copy(mailbox, &[Uid(*uid)], other).await.unwrap();
            let Some((flags, keywords, _)) = model.get(&Uid(*uid)) else { return };
            assert_eq!(copied.uids.len(), 1);
            let view = store.view(other).unwrap();
            let listed = view.messages.last().unwrap();
            assert_eq!((listed.flags, names(&view.keywords, listed.keywords)), (*flags, keywords.clone()));
        }
        Op::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_flags_are_kept_they_are_what_they_were_made(ops in proptest::collection::vec(operation(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut fixture, inbox, mut model) = filled(MESSAGES).await;
            let other = fixture.store.create_mailbox(inbox.account, &mailbox_name("other"), None).await.unwrap();
            for op in &ops {
                if matches!(op, Op::Reopen) {
                    fixture = fixture.reopened().await;
                }
                apply(&fixture, inbox, other, &mut model, op).await;
                assert!(sweeps(&fixture, inbox) <= SWEEPS_MAX);
            }
            compare(&fixture, inbox, &model);
            fixture.close().await;
        });
    }
}

/// What large mailboxes list is kept in memory, and follows.
#[tokio::test]
async fn large_mailboxes_list_what_holds() {
    let (fixture, inbox, mut model) = filled(1_200).await;
    let other = fixture.store.create_mailbox(inbox.account, &mailbox_name("other"), None).await.unwrap();
    let store = |mode, flags, unchanged_since| Op::Store {
        uids: (1, 5_000),
        but_every: u32::MAX,
        mode,
        flags,
        keyword: Some(1),
        unchanged_since,
    };
    let ops = [
        store(0, Flags::FLAGGED.bits(), None),
        Op::Append(Flags::SEEN.bits()),
        store(1, Flags::SEEN.bits(), Some(0)),
        Op::Expunge(vec![7, 8, 9, 700]),
        Op::Append(0),
        store(2, Flags::DELETED.bits(), Some(3)),
        store(2, Flags::DELETED.bits(), None),
        Op::Copy(500),
    ];
    for op in &ops {
        apply(&fixture, inbox, other, &mut model, op).await;
        compare(&fixture, inbox, &model);
    }
    assert!(sweeps(&fixture, inbox) >= 3);
    let gone = fixture.store.expunge(inbox, None).await.unwrap();
    assert_eq!(gone.uids.len(), model.len());
    fixture.close().await;
}

#[tokio::test]
async fn many_messages_take_one_record_and_few_take_none() {
    let (fixture, inbox, _) = filled(MESSAGES).await;
    let all: Vec<Uid> = (1..=MESSAGES).map(Uid).collect();
    fixture.store.store_flags(inbox, &all[..10], &add(Flags::ANSWERED)).await.unwrap();
    assert_eq!(sweeps(&fixture, inbox), 0);
    let format = || std::fs::read_to_string(fixture.dir.path().join("FORMAT")).unwrap();
    assert_eq!(format(), "wasmta storage 1\n");
    fixture.store.store_flags(inbox, &all, &add(Flags::SEEN)).await.unwrap();
    assert_eq!((sweeps(&fixture, inbox), format().as_str()), (1, "wasmta storage 4\n"));
    // Every other message: each range would be one message.
    let half: Vec<Uid> = all.iter().copied().step_by(2).collect();
    fixture.store.store_flags(inbox, &half, &add(Flags::DRAFT)).await.unwrap();
    // Nothing is changed, and nothing written.
    fixture.store.store_flags(inbox, &all, &add(Flags::SEEN)).await.unwrap();
    assert_eq!(sweeps(&fixture, inbox), 1);
    for round in 0..3 * SWEEPS_MAX {
        let mode = [FlagMode::Add, FlagMode::Remove][round % 2];
        let change = FlagChange { mode, flags: Flags::FLAGGED, keywords: &[], unchanged_since: None };
        let stored = fixture.store.store_flags(inbox, &all, &change).await.unwrap();
        assert_eq!(stored.messages.len(), all.len());
        assert!((1..=SWEEPS_MAX).contains(&sweeps(&fixture, inbox)));
    }
    assert_eq!(fixture.store.status(inbox).unwrap().unseen, 0);
    // With a mailbox goes what lies over its records.
    let name = mailbox_name("other");
    let other = fixture.store.create_mailbox(inbox.account, &name, None).await.unwrap();
    fixture.store.copy(inbox, &all, other).await.unwrap();
    fixture.store.store_flags(other, &all, &add(Flags::ANSWERED)).await.unwrap();
    assert_eq!(sweeps(&fixture, other), 1);
    fixture.store.delete_mailbox(inbox.account, &name).await.unwrap();
    assert_eq!(sweeps(&fixture, other), 0);
    fixture.close().await;
}
