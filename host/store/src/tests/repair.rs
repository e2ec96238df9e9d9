//! Everything that the check finds is mended, and nothing is lost silently.

use std::sync::Mutex;

use storage::Batch;

use super::{Fixture, message};
use crate::record::{MailboxRecord, MessageRecord};
use crate::*;

/// What was kept.
#[derive(Default)]
struct Kept(Mutex<Vec<(String, Vec<u8>)>>);

impl Evidence for Kept {
    fn keep(&self, name: &str, octets: &[u8]) -> Result<String, String> {
        self.0.lock().unwrap().push((name.to_owned(), octets.to_vec()));
        Ok(format!("kept/{name}"))
    }
}

/// A disk without room.
struct NoSpace;

impl Evidence for NoSpace {
    fn keep(&self, _: &str, _: &[u8]) -> Result<String, String> {
        Err("no space left".to_owned())
    }
}

async fn commit(fixture: &Fixture, fill: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    fill(&mut batch);
    fixture.store.storage().commit(batch).await.unwrap();
}

fn violations(fixture: &Fixture) -> Vec<String> {
    let found = fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
    let mut texts: Vec<String> = found.into_iter().map(|violation| violation.to_string()).collect();
    texts.sort();
    texts
}

async fn repair(fixture: &Fixture, evidence: Option<&dyn Evidence>) -> Vec<Remedy> {
    fixture.store.repair(None, evidence, &|_, _| Ok(())).await.unwrap()
}

/// Breaks something of an account with three messages; it must be found, told, mended, and what is expected be kept.
async fn mended(invariants: &[u8], kept: &[&str], fill: impl FnOnce(&mut Batch, AccountId, &Fixture)) {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let messages = vec![message(b"one"), message(b"two"), message(b"three")];
    fixture.store.append(inbox, messages).await.unwrap();
    assert_eq!(repair(&fixture, None).await, []);
    let mut batch = Batch::new();
    fill(&mut batch, account, &fixture);
    fixture.store.storage().commit(batch).await.unwrap();
    let before = violations(&fixture);
    assert!(!before.is_empty(), "{invariants:?} is not broken");
    let would = repair(&fixture, None).await;
    assert_eq!(violations(&fixture), before, "a dry run changes nothing");
    let evidence = Kept::default();
    let did = repair(&fixture, Some(&evidence)).await;
    for invariant in invariants {
        assert!(
            would.iter().any(|remedy| remedy.violation.invariant == *invariant),
            "{invariant}: {would:?}"
        );
        assert!(did.iter().any(|remedy| remedy.violation.invariant == *invariant), "{invariant}: {did:?}");
    }
    assert_eq!(violations(&fixture), Vec::<String>::new(), "{did:?}");
    let names: Vec<String> = evidence.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, kept);
    assert_eq!(repair(&fixture, Some(&evidence)).await, [], "once is enough");
    fixture.close().await;
}

fn record_with(fixture: &Fixture, inbox: MailboxId, change: impl FnOnce(&mut MessageRecord<'_>)) -> Vec<u8> {
    let snapshot = fixture.store.storage().read().unwrap();
    let octets = snapshot.get(keys::MESSAGES, &keys::message(inbox, Uid(2))).unwrap().unwrap();
    let mut record = MessageRecord::parse(&octets).unwrap();
    change(&mut record);
    record.to_octets()
}

#[tokio::test]
async fn counters_are_set_to_what_is_there() {
    mended(&[9], &[], |batch, account, _| {
        let key = keys::mailbox(MailboxId::inbox(account));
        batch.add(keys::COUNTERS, &key, &[(keys::COUNT, 5), (keys::UNSEEN, -1), (keys::OCTETS, 7)]);
    })
    .await;
    mended(&[7, 8], &[], |batch, account, _| {
        let key = keys::mailbox(MailboxId::inbox(account));
        batch.add(keys::COUNTERS, &key, &[(keys::LAST_UID, -2), (keys::LAST_MODSEQ, -1)]);
    })
    .await;
    mended(&[14], &[], |batch, account, _| {
        batch.put(keys::RECENT, &keys::mailbox(MailboxId::inbox(account)), 9_u32.to_be_bytes());
    })
    .await;
    mended(&[13], &[], |batch, account, _| {
        let inbox = MailboxId::inbox(account);
        batch.put(keys::EXPUNGED, &keys::log(inbox, ModSeq(1)), 2_u32.to_be_bytes());
    })
    .await;
}

#[tokio::test]
async fn records_of_messages_are_mended_or_kept() {
    mended(&[11, 9], &["message-1-1-2"], |batch, account, fixture| {
        let info = fixture.store.reader(MailboxId::inbox(account)).unwrap().info(Uid(2)).unwrap().unwrap();
        batch.release_content(info.content, 1);
    })
    .await;
    mended(&[11], &[], |batch, account, fixture| {
        let inbox = MailboxId::inbox(account);
        batch.put(
            keys::MESSAGES,
            &keys::message(inbox, Uid(2)),
            record_with(fixture, inbox, |record| record.size = 99),
        );
    })
    .await;
    mended(&[10], &[], |batch, account, fixture| {
        let inbox = MailboxId::inbox(account);
        let octets = record_with(fixture, inbox, |record| record.keywords = Keywords(4));
        batch.put(keys::MESSAGES, &keys::message(inbox, Uid(2)), octets);
    })
    .await;
    // The record is unreadable, and so its content has no name any more: both are kept.
    mended(
        &[1, 9, 12],
        &["message-record-000000010000000100000002", "content-2.eml"],
        |batch, account, _| {
            batch.put(keys::MESSAGES, &keys::message(MailboxId::inbox(account), Uid(2)), b"rubbish".to_vec());
        },
    )
    .await;
}

#[tokio::test]
async fn references_are_counted_anew_and_orphans_kept() {
    mended(&[12], &["content-4.eml"], |batch, account, fixture| {
        batch.store_content(b"an orphan".to_vec().into(), 1);
        let info = fixture.store.reader(MailboxId::inbox(account)).unwrap().info(Uid(1)).unwrap().unwrap();
        batch.retain_content(info.content, 3);
    })
    .await;
}

#[tokio::test]
async fn names_and_numbers_point_at_each_other_again() {
    mended(&[2], &[], |batch, _, _| {
        batch.delete(keys::ACCOUNT_NAMES, b"user1@example.org");
        batch.put(keys::ACCOUNT_NAMES, b"nobody@example.org", 77_u32.to_be_bytes());
    })
    .await;
    mended(&[2], &[], |batch, account, _| batch.delete(keys::ACCOUNTS, &keys::account(account))).await;
    mended(&[4], &[], |batch, account, _| {
        batch.delete(keys::MAILBOX_NAMES, &keys::named(account, "Sent"));
        batch.put(keys::MAILBOX_NAMES, &keys::named(account, "Nothing"), 99_u32.to_be_bytes());
        batch.add(keys::COUNTERS, &keys::account(account), &[(keys::LAST_MAILBOX, -2)]);
    })
    .await;
    mended(&[4, 5], &[], |batch, account, fixture| {
        let drafts = fixture
            .store
            .mailboxes(account)
            .unwrap()
            .into_iter()
            .find(|m| m.name.as_str() == "Drafts")
            .unwrap();
        let record = MailboxRecord {
            selectable: true,
            special_use: None,
            uid_validity: UidValidity(0),
            created: mail_types::Timestamp(1),
            name: "bad\nname".to_owned(),
        };
        batch.put(keys::MAILBOXES, &keys::mailbox(drafts.id), record.to_octets());
    })
    .await;
}

#[tokio::test]
async fn mailboxes_that_were_lost_come_back_with_their_messages() {
    // Its name still points at it.
    mended(&[3, 6], &[], |batch, account, _| {
        batch.delete(keys::MAILBOXES, &keys::mailbox(MailboxId::inbox(account)));
        batch.delete(keys::MAILBOX_NAMES, &keys::named(account, "INBOX"));
    })
    .await;
    mended(&[1], &["mailbox-1-1"], |batch, account, _| {
        batch.put(keys::MAILBOXES, &keys::mailbox(MailboxId::inbox(account)), b"rubbish".to_vec());
    })
    .await;
}

#[tokio::test]
async fn an_account_is_mended_by_itself() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let other = fixture.store.ensure_account(&super::name("user2@example.org")).await.unwrap();
    commit(&fixture, |batch| {
        for account in [account, other] {
            batch.add(keys::COUNTERS, &keys::mailbox(MailboxId::inbox(account)), &[(keys::COUNT, 1)]);
        }
    })
    .await;
    let found = |account| fixture.store.check_account(account, &mut |_| {}).unwrap().len();
    assert_eq!((found(account), found(other)), (1, 1));
    let kept = Kept::default();
    fixture.store.repair(Some(account), Some(&kept), &|_, _| Ok(())).await.unwrap();
    assert_eq!((found(account), found(other)), (0, 1));
    repair(&fixture, Some(&kept)).await;
    fixture.close().await;
}

#[tokio::test]
async fn nothing_goes_that_cannot_be_kept() {
    let fixture = Fixture::new().await;
    fixture.account().await;
    commit(&fixture, |batch| {
        batch.store_content(b"an orphan".to_vec().into(), 1);
    })
    .await;
    let before = violations(&fixture);
    let refused = fixture.store.repair(None, Some(&NoSpace), &|_, _| Ok(())).await.unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    assert_eq!(violations(&fixture), before);
    repair(&fixture, Some(&Kept::default())).await;
    fixture.close().await;
}
