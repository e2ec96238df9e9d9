use std::time::Duration;

use events::Events;
use mail_types::{AccountName, Timestamp};
use runtime::Clock;
use storage::{Batch, ContentId, Storage};

use crate::*;

mod accounts;
mod annotations;
mod bounds;
mod concurrency;
mod damaged;
mod feed;
mod groups;
mod import;
mod listings;
mod mending;
mod model;
mod quota;
mod reading;
mod renaming;
mod renewal;
mod repair;
mod replace;
mod sharing;
mod sweeps;

/// A store in a folder of its own, which [`Fixture::close`] checks.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        Self { dir, store }
    }

    /// Closes the store and opens it again, as after a restart.
    pub(crate) async fn reopened(self) -> Self {
        let Self { dir, store } = self;
        store.storage().close().await;
        // Commits whose caller went away hold the store until they are done.
        while std::sync::Arc::strong_count(&store.inner) > 1 {
            tokio::task::yield_now().await;
        }
        drop(store);
        let store = open(dir.path()).await;
        Self { dir, store }
    }

    pub(crate) fn check(&self) {
        let violations = self.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    async fn close(self) {
        self.check();
        self.store.storage().close().await;
    }

    async fn account(&self) -> AccountId {
        self.store.ensure_account(&name("user1@example.org")).await.unwrap()
    }
}

async fn open(dir: &std::path::Path) -> Store {
    open_at(dir, Timestamp(1_700_000_000_000)).await
}

async fn open_at(dir: &std::path::Path, now: Timestamp) -> Store {
    let clock = Clock::simulated(now);
    Store::open(open_storage(dir), clock.clone(), Events::counting(clock)).await.unwrap()
}

async fn open_with(dir: &std::path::Path, quotas: std::sync::Arc<dyn Quotas>) -> Store {
    let clock = Clock::simulated(Timestamp(1_700_000_000_000));
    let asked = (quotas, std::sync::Arc::new(crate::groups::NoGroups) as std::sync::Arc<dyn Groups>);
    Store::open_with(open_storage(dir), clock.clone(), Events::counting(clock), asked).await.unwrap()
}

fn open_storage(dir: &std::path::Path) -> Storage {
    let options = storage::Options { size_max: 1 << 30, inline_max: 200, synced: false };
    Storage::open(dir, SPACES, &options).unwrap()
}

fn name(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

fn mailbox_name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

pub(crate) fn message(octets: &[u8]) -> NewMessage {
    NewMessage {
        content: octets.to_vec().into(),
        flags: Flags::NONE,
        keywords: Vec::new(),
        internal_date: Some(Timestamp(5_000)),
    }
}

/// Delivers one content to several mailboxes, as the queue does.
async fn deliver(
    store: &Store,
    mailboxes: &[MailboxId],
    prefix: &[u8],
    octets: &[u8],
) -> Result<Vec<Uid>, StoreError> {
    let mut batch = Batch::new();
    let references = u32::try_from(mailboxes.len()).unwrap();
    let content = batch.store_content(octets.to_vec().into(), references);
    let appended: Vec<_> = mailboxes
        .iter()
        .map(|mailbox| {
            let request = AppendRequest {
                mailbox: *mailbox,
                content: AppendedContent::Drawn(content),
                content_len: octets.len() as u64,
                prefix,
                internal_date: Timestamp(9_000),
                flags: Flags::NONE,
            };
            store.append_to_batch(&mut batch, &request).unwrap()
        })
        .collect();
    let committed = store.storage().commit(batch).await?;
    Ok(appended.into_iter().map(|appended| store.publish_appended(appended, &committed)).collect())
}

fn add(flags: Flags) -> FlagChange<'static> {
    FlagChange { mode: FlagMode::Add, flags, keywords: &[], unchanged_since: None }
}

#[tokio::test]
async fn an_account_begins_with_its_mailboxes() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    assert_eq!(fixture.account().await, account);
    let other = fixture.store.ensure_account(&name("user2@example.org")).await.unwrap();
    assert_ne!(other, account);
    let names: Vec<_> = fixture.store.mailboxes(account).unwrap();
    let shown: Vec<_> =
        names.iter().map(|info| (info.name.as_str(), info.special_use, info.subscribed)).collect();
    assert_eq!(
        shown,
        [
            ("INBOX", None, true),
            ("Archive", Some(SpecialUse::Archive), true),
            ("Drafts", Some(SpecialUse::Drafts), true),
            ("Junk", Some(SpecialUse::Junk), true),
            ("Sent", Some(SpecialUse::Sent), true),
            ("Trash", Some(SpecialUse::Trash), true),
        ]
    );
    assert_eq!(fixture.store.mailbox(account, &mailbox_name("inbox")).unwrap().id, MailboxId::inbox(account));
    fixture.close().await;
}

#[tokio::test]
async fn two_makers_of_one_account_make_one() {
    let fixture = Fixture::new().await;
    let name = name("a@b");
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let (store, name) = (fixture.store.clone(), name.clone());
            tokio::spawn(async move { store.ensure_account(&name).await.unwrap() })
        })
        .collect();
    for maker in makers {
        assert_eq!(maker.await.unwrap(), AccountId(1));
    }
    fixture.close().await;
}

#[tokio::test]
async fn content_is_kept_once_and_dies_with_its_last_reference() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let (inbox, archive) = (MailboxId::inbox(account), MailboxId { account, number: 6 });
    deliver(&fixture.store, &[inbox, inbox], b"", b"shared").await.unwrap();
    let references = |id| fixture.store.storage().read().unwrap().content_references(ContentId(id)).unwrap();
    assert_eq!(references(1), Some(2));
    let copied = fixture.store.copy(inbox, &[Uid(1), Uid(7)], archive).await.unwrap();
    assert_eq!(copied.uids, [(Uid(1), Uid(1))]);
    assert_eq!(references(1), Some(3));
    fixture.store.move_(inbox, &[Uid(2)], archive).await.unwrap();
    assert_eq!(references(1), Some(3));
    fixture.store.remove(inbox, &[Uid(1), Uid(1)]).await.unwrap();
    assert_eq!(references(1), Some(2));
    fixture.check();
    fixture.store.delete_mailbox(account, &mailbox_name("Archive")).await.unwrap();
    assert_eq!(references(1), None);
    fixture.close().await;
}

#[tokio::test]
async fn flags_and_keywords_are_stored_and_counted() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    let messages = (0..3).map(|_| message(b"x")).collect();
    let (_, uids) = fixture.store.append(inbox, messages).await.unwrap();
    assert_eq!(uids, [Uid(1), Uid(2), Uid(3)]);
    let change = FlagChange { keywords: &["$Work", "later"], ..add(Flags::SEEN.with(Flags::DELETED)) };
    let stored = fixture.store.store_flags(inbox, &[Uid(1), Uid(3), Uid(9)], &change).await.unwrap();
    assert_eq!(stored.messages.iter().map(|listed| listed.uid).collect::<Vec<_>>(), [Uid(1), Uid(3)]);
    let view = fixture.store.view(inbox).unwrap();
    assert_eq!(view.messages[0], stored.messages[0]);
    assert_eq!(view.messages[0].modseq, view.highest_modseq);
    assert_eq!(view.keywords.names(view.messages[0].keywords).collect::<Vec<_>>(), ["$Work", "later"]);
    let status = fixture.store.status(inbox).unwrap();
    assert_eq!((status.messages, status.unseen, status.deleted, status.octets), (3, 1, 2, 3));
    // The same again changes nothing, not even the mod-sequence.
    let again = fixture.store.store_flags(inbox, &[Uid(1)], &change).await.unwrap();
    assert_eq!(again.messages, [view.messages[0]]);
    let replace = FlagChange {
        mode: FlagMode::Replace,
        flags: Flags::FLAGGED,
        keywords: &["LATER"],
        unchanged_since: None,
    };
    let replaced = fixture.store.store_flags(inbox, &[Uid(1)], &replace).await.unwrap();
    assert_eq!(replaced.messages[0].flags, Flags::FLAGGED);
    assert_eq!(replaced.keywords.names(replaced.messages[0].keywords).collect::<Vec<_>>(), ["later"]);
    let remove = FlagChange {
        mode: FlagMode::Remove,
        flags: Flags::NONE,
        keywords: &["unknown", "later"],
        unchanged_since: None,
    };
    let removed = fixture.store.store_flags(inbox, &[Uid(1)], &remove).await.unwrap();
    assert_eq!((removed.messages[0].keywords, removed.keywords.len()), (Keywords::NONE, 2));
    // What changed since is left alone (RFC 7162).
    let guarded = FlagChange { unchanged_since: Some(view.highest_modseq), ..add(Flags::DRAFT) };
    let outcome = fixture.store.store_flags(inbox, &[Uid(1), Uid(2)], &guarded).await.unwrap();
    assert_eq!((outcome.modified, outcome.messages.len()), (vec![Uid(1)], 1));
    fixture.close().await;
}

#[tokio::test]
async fn keywords_are_bounded_and_unused_ones_make_room() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    fixture.store.append(inbox, vec![message(b"x")]).await.unwrap();
    let all: Vec<String> = (0..KEYWORDS_MAX).map(|n| format!("k{n}")).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    fn set<'a>(keywords: &'a [&'a str]) -> FlagChange<'a> {
        FlagChange { mode: FlagMode::Replace, flags: Flags::NONE, keywords, unchanged_since: None }
    }
    fixture.store.store_flags(inbox, &[Uid(1)], &set(&names)).await.unwrap();
    let more = FlagChange { mode: FlagMode::Add, ..set(&["one-more"]) };
    let refused = fixture.store.store_flags(inbox, &[Uid(1)], &more).await;
    assert!(matches!(refused, Err(StoreError::TooMany { .. })));
    assert!(!fixture.store.takes_keywords(inbox).unwrap());
    messages_go_without_keywords_that_find_no_bit(&fixture, inbox).await;
    fixture.store.store_flags(inbox, &[Uid(1)], &set(&["k7"])).await.unwrap();
    assert!(fixture.store.takes_keywords(inbox).unwrap());
    let stored = fixture.store.store_flags(inbox, &[Uid(1)], &more).await.unwrap();
    let mut left: Vec<&str> = stored.keywords.names(stored.messages[0].keywords).collect();
    left.sort_unstable();
    assert_eq!(left, ["k7", "one-more"]);
    let long = "x".repeat(KEYWORD_OCTETS_MAX + 1);
    for bad in ["", "a b", "ü", long.as_str()] {
        let names = [bad];
        assert!(fixture.store.store_flags(inbox, &[Uid(1)], &set(&names)).await.is_err(), "{bad}");
    }
    fixture.close().await;
}

/// By APPEND, COPY and MOVE, into a mailbox that has none left.
async fn messages_go_without_keywords_that_find_no_bit(fixture: &Fixture, full: MailboxId) {
    let with = |names: &[&str]| NewMessage {
        keywords: names.iter().map(|name| (*name).to_owned()).collect(),
        ..message(b"y")
    };
    let trash = mailbox_name("Trash");
    let other = fixture.store.find_place(full.account, &trash).unwrap().unwrap();
    let names = |uid| {
        let reader = fixture.store.reader(full).unwrap();
        let keywords = reader.info(uid).unwrap().unwrap().keywords;
        reader.keywords().unwrap().names(keywords).map(str::to_owned).collect::<Vec<_>>()
    };
    let (_, appended) = fixture.store.append(full, vec![with(&["k1", "too-many"])]).await.unwrap();
    let (_, sources) =
        fixture.store.append(other, vec![with(&["k2", "too-many"]), with(&["k3", "another"])]).await.unwrap();
    let copied = fixture.store.copy(other, &sources[..1], full).await.unwrap().uids[0].1;
    let moved = fixture.store.move_(other, &sources[1..], full).await.unwrap().uids[0].1;
    assert_eq!([names(appended[0]), names(copied), names(moved)], [["k1"], ["k2"], ["k3"]]);
    fixture.store.remove(full, &[appended[0], copied, moved]).await.unwrap();
}

#[tokio::test]
async fn expunge_takes_deleted_messages_only() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    fixture.store.append(inbox, (0..4).map(|_| message(b"x")).collect()).await.unwrap();
    fixture.store.store_flags(inbox, &[Uid(2), Uid(3)], &add(Flags::DELETED)).await.unwrap();
    let some = fixture.store.expunge(inbox, Some(&[Uid(1), Uid(2)])).await.unwrap();
    assert_eq!(some.uids, [Uid(2)]);
    assert_eq!(fixture.store.expunge(inbox, None).await.unwrap().uids, [Uid(3)]);
    assert_eq!(fixture.store.expunge(inbox, None).await.unwrap(), Expunged::default());
    fixture.close().await;
}

#[tokio::test]
async fn changes_are_told_from_any_point_on() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    fixture.store.append(inbox, (0..5).map(|_| message(b"x")).collect()).await.unwrap();
    let before = fixture.store.view(inbox).unwrap();
    deliver(&fixture.store, &[inbox], b"", b"new").await.unwrap();
    fixture.store.store_flags(inbox, &[Uid(2), Uid(4)], &add(Flags::DELETED)).await.unwrap();
    fixture.store.expunge(inbox, Some(&[Uid(4)])).await.unwrap();
    let delta = fixture.store.changes_since(inbox, before.highest_modseq).unwrap();
    assert_eq!(delta.changed.iter().map(|listed| listed.uid).collect::<Vec<_>>(), [Uid(2), Uid(6)]);
    assert_eq!((delta.expunged, delta.complete, delta.uid_next), (vec![Uid(4)], true, Uid(7)));
    let none = fixture.store.changes_since(inbox, delta.highest_modseq).unwrap();
    assert!(none.changed.is_empty() && none.expunged.is_empty() && none.complete);
    fixture.close().await;
}

#[tokio::test]
async fn logs_are_cut_and_say_so() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    fixture.store.append(inbox, vec![message(b"x"), message(b"y")]).await.unwrap();
    let first = fixture.store.view(inbox).unwrap().highest_modseq;
    for round in 0..FLAGGED_MAX + 10 {
        let mode = if round % 2 == 0 { FlagMode::Add } else { FlagMode::Remove };
        fixture.store.store_flags(inbox, &[Uid(1)], &FlagChange { mode, ..add(Flags::SEEN) }).await.unwrap();
    }
    fixture.check();
    // The log of flags was cut; reading all messages tells the same.
    let delta = fixture.store.changes_since(inbox, first).unwrap();
    assert_eq!(delta.changed.iter().map(|listed| listed.uid).collect::<Vec<_>>(), [Uid(1)]);
    assert!(delta.complete);
    fixture.close().await;
}

#[tokio::test]
async fn watches_hear_of_every_commit_and_leave_nothing_behind() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let (mut watch, mut other) = (fixture.store.watch(inbox), fixture.store.watch(inbox));
    assert!(!watch.has_changed());
    deliver(&fixture.store, &[inbox], b"", b"x").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap();
    assert!(!watch.has_changed() && other.has_changed());
    other.mark_seen();
    fixture.store.store_flags(inbox, &[Uid(1)], &add(Flags::SEEN)).await.unwrap();
    assert!(watch.has_changed() && other.has_changed());
    drop(watch);
    assert_eq!(fixture.store.inner.watches.len(), 1);
    drop(other);
    assert_eq!(fixture.store.inner.watches.len(), 0);
    let gone = fixture.store.create_mailbox(account, &mailbox_name("gone"), None).await.unwrap();
    let watch = fixture.store.watch(gone);
    fixture.store.delete_mailbox(account, &mailbox_name("gone")).await.unwrap();
    assert!(watch.has_changed());
    assert!(matches!(fixture.store.changes_since(gone, ModSeq(0)), Err(StoreError::NotFound(_))));
    fixture.close().await;
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_deleted_by_the_rules() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let store = &fixture.store;
    let create = async |name: &str| store.create_mailbox(account, &mailbox_name(name), None).await;
    let names = || -> Vec<String> {
        let all = store.mailboxes(account).unwrap();
        all.iter().filter(|info| info.special_use.is_none()).map(|info| info.name.to_string()).collect()
    };
    let deep = create("a/b/c").await.unwrap();
    assert_eq!(names(), ["INBOX", "a", "a/b", "a/b/c"]);
    assert!(matches!(create("a/b").await, Err(StoreError::Exists)));
    assert!(matches!(create("Inbox").await, Err(StoreError::Exists)));
    store.append(deep, vec![message(b"deep")]).await.unwrap();
    store.subscribe(account, &mailbox_name("a/b/c")).await.unwrap();
    store.rename_mailbox(account, &mailbox_name("a/b"), &mailbox_name("x/y")).await.unwrap();
    assert_eq!(names(), ["INBOX", "a", "x", "x/y", "x/y/c"]);
    assert_eq!(store.mailbox(account, &mailbox_name("x/y/c")).unwrap().id, deep);
    assert!(store.subscriptions(account).unwrap().contains(&"a/b/c".to_owned()));
    for (from, to) in [("x", "x/z"), ("x", "a"), ("missing", "new"), ("x", "INBOX")] {
        let renamed = store.rename_mailbox(account, &mailbox_name(from), &mailbox_name(to)).await;
        assert!(renamed.is_err(), "{from} {to}");
    }
    // A mailbox that holds others stays as a name; made again, it has other UIDs.
    let before = store.mailbox(account, &mailbox_name("x/y")).unwrap();
    store.delete_mailbox(account, &mailbox_name("x/y")).await.unwrap();
    let bare = store.mailbox(account, &mailbox_name("x/y")).unwrap();
    assert!(!bare.selectable && matches!(store.view(bare.id), Err(StoreError::NotSelectable)));
    assert!(matches!(store.append(bare.id, vec![message(b"x")]).await, Err(StoreError::NotSelectable)));
    assert!(store.delete_mailbox(account, &mailbox_name("x/y")).await.is_err());
    create("x/y").await.unwrap();
    let again = store.mailbox(account, &mailbox_name("x/y")).unwrap();
    assert!(again.uid_validity > bare.uid_validity && bare.uid_validity > before.uid_validity);
    assert!(store.delete_mailbox(account, &MailboxName::inbox()).await.is_err());
    assert!(store.delete_mailbox(account, &mailbox_name("missing")).await.is_err());
    fixture.close().await;
}

#[tokio::test]
async fn renaming_the_inbox_moves_its_messages() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    fixture.store.append(inbox, vec![message(b"x"), message(b"y")]).await.unwrap();
    fixture.store.rename_mailbox(account, &MailboxName::inbox(), &mailbox_name("old")).await.unwrap();
    let old = fixture.store.mailbox(account, &mailbox_name("old")).unwrap();
    assert_eq!(fixture.store.status(old.id).unwrap().messages, 2);
    let status = fixture.store.status(inbox).unwrap();
    assert_eq!((status.messages, status.uid_next), (0, Uid(3)));
    fixture.close().await;
}

#[tokio::test]
async fn recent_messages_are_told_to_one_session() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    deliver(&fixture.store, &[inbox, inbox], b"", b"x").await.unwrap();
    assert_eq!(fixture.store.recent(inbox).unwrap(), 2);
    assert_eq!(fixture.store.view(inbox).unwrap().first_recent, Uid(1));
    assert_eq!(fixture.store.take_recent(inbox).await.unwrap(), Uid(1));
    assert_eq!(fixture.store.take_recent(inbox).await.unwrap(), Uid(3));
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.store.recent(inbox).unwrap(), 0);
    fixture.close().await;
}

#[tokio::test]
async fn a_delivery_to_a_removed_account_is_a_conflict() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    deliver(&fixture.store, &[inbox], b"", b"x").await.unwrap();
    assert!(fixture.store.remove_account(&name("user1@example.org")).await.unwrap());
    assert!(!fixture.store.remove_account(&name("user1@example.org")).await.unwrap());
    let refused = deliver(&fixture.store, &[inbox], b"", b"y").await.unwrap_err();
    assert!(refused.is_conflict(), "{refused}");
    assert_eq!(fixture.store.cached_account(&name("user1@example.org")), None);
    assert_eq!(fixture.store.find_account(&name("user1@example.org")).unwrap(), None);
    fixture.check();
    let again = fixture.account().await;
    assert_ne!(again, account);
    assert_eq!(fixture.store.usage(again).unwrap(), Usage::default());
    fixture.close().await;
}

#[tokio::test]
async fn one_pop3_session_at_a_time_has_an_account() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let lock = fixture.store.pop_lock(account).unwrap();
    assert!(fixture.store.pop_lock(account).is_none());
    drop(lock);
    assert!(fixture.store.pop_lock(account).is_some());
    fixture.close().await;
}

#[tokio::test]
async fn numbers_never_regress_over_a_restart() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    deliver(&fixture.store, &[inbox, inbox], b"", b"x").await.unwrap();
    fixture.store.remove(inbox, &[Uid(1), Uid(2)]).await.unwrap();
    let before = fixture.store.status(inbox).unwrap();
    assert_eq!((before.messages, before.uid_next), (0, Uid(3)));
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.store.status(inbox).unwrap(), before);
    assert_eq!(deliver(&fixture.store, &[inbox], b"", b"x").await.unwrap(), [Uid(3)]);
    assert!(fixture.store.status(inbox).unwrap().highest_modseq > before.highest_modseq);
    fixture.close().await;
}

#[tokio::test]
async fn the_check_sees_what_is_broken() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    deliver(&fixture.store, &[inbox], b"", b"x").await.unwrap();
    let mut batch = Batch::new();
    batch.release_content(ContentId(1), 1);
    batch.add(keys::COUNTERS, &keys::mailbox(inbox), &[(keys::UNSEEN, 1), (keys::LAST_UID, -1)]);
    batch.delete(keys::MAILBOX_NAMES, &keys::named(inbox.account, "Sent"));
    batch.put(keys::MESSAGES, &keys::message(MailboxId { number: 77, ..inbox }, Uid(1)), *b"x");
    fixture.store.storage().commit(batch).await.unwrap();
    let violations = fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
    let mut broken: Vec<u8> = violations.iter().map(|violation| violation.invariant).collect();
    broken.sort_unstable();
    assert_eq!(broken, [4, 6, 7, 9, 11], "{violations:#?}");
}
