//! Everything that the check finds is mended, and nothing is lost silently.

use storage::Batch;

use super::mending::{Kept, repair, violations};
use super::{Fixture, message};
use crate::record::{MailboxRecord, MessageRecord};
use crate::*;

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

/// The reader of somebody else's mailbox, and somebody who has gone.
const GUEST: AccountId = AccountId(2);
const NOBODY: AccountId = AccountId(77);

/// Lets a guest read a mailbox, see one message of it, and note something.
async fn share(fixture: &Fixture, mailbox: MailboxId) {
    let name = super::name("guest@example.org");
    assert_eq!(fixture.store.ensure_account(&name).await.unwrap(), GUEST);
    let change = AclChange::Replace(Rights::parse("lrs").unwrap());
    fixture.store.set_acl(mailbox, &Identifier::of(&name), change).await.unwrap();
    let guest = fixture.store.on_behalf_of(GUEST, &name);
    guest.store_flags(mailbox, &[Uid(2)], &super::add(Flags::SEEN)).await.unwrap();
    let comment = AnnotationName::new("/private/comment").unwrap();
    guest.annotate(Annotated::Mailbox(mailbox), vec![(comment, Some(b"mine".to_vec()))]).await.unwrap();
}

/// Breaks something of an account with three messages, whose INBOX somebody else reads, too; it must be found, told, mended, and what is expected be kept.
async fn mended(invariants: &[u8], kept: &[&str], fill: impl FnOnce(&mut Batch, AccountId, &Fixture)) {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let messages = vec![message(b"one"), message(b"two"), message(b"three")];
    fixture.store.append(inbox, messages).await.unwrap();
    share(&fixture, inbox).await;
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
    assert_eq!(evidence.names(), kept);
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
    mended(&[7, 8, 16], &[], |batch, account, _| {
        let key = keys::mailbox(MailboxId::inbox(account));
        batch.add(keys::COUNTERS, &key, &[(keys::LAST_UID, -2), (keys::LAST_MODSEQ, -2)]);
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
async fn what_lies_over_records_is_mended_or_goes() {
    let sweep = |modseq: u64, last: u32| {
        let head = [
            &[1, 0, 0, 0][..],
            &1_u32.to_be_bytes(),
            &modseq.to_be_bytes(),
            &[4, 0, 0, 0],
            &1_u32.to_be_bytes(),
        ];
        [&head.concat()[..], &[0; 16], &1_u32.to_be_bytes(), &last.to_be_bytes()].concat()
    };
    mended(&[19], &["sweeps-1-1"], |batch, account, _| {
        batch.put(keys::SWEEPS, &keys::mailbox(MailboxId::inbox(account)), b"what".to_vec());
    })
    .await;
    mended(&[19], &["sweeps-1-1"], |batch, account, _| {
        batch.put(keys::SWEEPS, &keys::mailbox(MailboxId::inbox(account)), sweep(1, 0));
    })
    .await;
    // What came with a number that was never given shows that it was.
    mended(&[7, 8], &[], |batch, account, _| {
        batch.put(keys::SWEEPS, &keys::mailbox(MailboxId::inbox(account)), sweep(90, 9));
    })
    .await;
    mended(&[19], &["store_sweeps-0000000100000063"], |batch, account, _| {
        batch.put(keys::SWEEPS, &keys::mailbox(MailboxId { account, number: 99 }), sweep(1, 1));
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

fn octets_of(fixture: &Fixture, space: storage::Space, key: &[u8]) -> Vec<u8> {
    fixture.store.storage().read().unwrap().get(space, key).unwrap().unwrap().into_owned()
}

#[tokio::test]
async fn lists_of_rights_and_their_index_agree_again() {
    let granted = |account| keys::granted("guest@example.org", MailboxId::inbox(account));
    mended(&[15], &[], |batch, account, _| batch.delete(keys::GRANTED, &granted(account))).await;
    mended(&[15], &[], |batch, account, _| {
        batch.put(keys::GRANTED, &keys::granted("eve@example.org", MailboxId::inbox(account)), [0]);
        batch.put(keys::GRANTED, b"short", [0]);
    })
    .await;
    // Whose rights cannot be read has none any more.
    mended(&[1, 15], &["store_acls-0000000100000001"], |batch, account, _| {
        batch.put(keys::ACLS, &keys::mailbox(MailboxId::inbox(account)), b"rubbish".to_vec());
    })
    .await;
    mended(&[15], &["store_acls-0000000100000063"], |batch, account, fixture| {
        let lost = MailboxId { account, number: 99 };
        let acl = octets_of(fixture, keys::ACLS, &keys::mailbox(MailboxId::inbox(account)));
        batch.put(keys::ACLS, &keys::mailbox(lost), acl);
        batch.put(keys::GRANTED, &keys::granted("guest@example.org", lost), [0]);
    })
    .await;
}

#[tokio::test]
async fn what_readers_have_seen_is_mended_or_kept() {
    let inbox = MailboxId::inbox;
    mended(&[16], &[], |batch, account, _| {
        batch.delete(keys::READERS, &keys::reader(GUEST, inbox(account)));
        batch.put(keys::READERS, &keys::reader(NOBODY, inbox(account)), [0]);
    })
    .await;
    mended(&[1], &["store_seen-000000010000000100000002"], |batch, account, _| {
        batch.put(keys::SEEN, &keys::seen(inbox(account), GUEST), b"rubbish".to_vec());
    })
    .await;
    for (mailbox, reader, kept) in [
        (MailboxId { account: AccountId(1), number: 99 }, GUEST, "store_seen-000000010000006300000002"),
        (inbox(AccountId(1)), NOBODY, "store_seen-00000001000000010000004d"),
        (inbox(AccountId(1)), AccountId(1), "store_seen-000000010000000100000001"),
    ] {
        mended(&[16], &[kept], |batch, account, fixture| {
            let seen = octets_of(fixture, keys::SEEN, &keys::seen(inbox(account), GUEST));
            batch.put(keys::SEEN, &keys::seen(mailbox, reader), seen);
            batch.put(keys::READERS, &keys::reader(reader, mailbox), [0]);
        })
        .await;
    }
}

#[tokio::test]
async fn of_what_a_reader_has_seen_is_kept_what_can_be_right() {
    let fixture = Fixture::new().await;
    let mailbox = MailboxId::inbox(fixture.account().await);
    fixture.store.append(mailbox, vec![message(b"one"), message(b"two"), message(b"three")]).await.unwrap();
    share(&fixture, mailbox).await;
    let guest = fixture.store.on_behalf_of(GUEST, &super::name("guest@example.org"));
    let before = guest.view(mailbox).unwrap().highest_modseq;
    let key = keys::seen(mailbox, GUEST);
    // The last UID of the one range; the change has it, too.
    let mut octets = octets_of(&fixture, keys::SEEN, &key);
    let end = octets.len();
    octets[end - 4..].copy_from_slice(&9_u32.to_be_bytes());
    commit(&fixture, |batch| batch.put(keys::SEEN, &key, octets)).await;
    assert_eq!(violations(&fixture).len(), 1);
    let remedies = repair(&fixture, Some(&Kept::default())).await;
    assert_eq!(remedies.iter().map(|remedy| remedy.violation.invariant).collect::<Vec<_>>(), [16]);
    let seen: Vec<bool> = guest
        .view(mailbox)
        .unwrap()
        .messages
        .iter()
        .map(|listed| {
            assert!(listed.modseq > before, "its reader is told anew");
            listed.flags.contains(Flags::SEEN)
        })
        .collect();
    assert_eq!(seen, [false, true, true]);
    fixture.close().await;
}

#[tokio::test]
async fn annotations_and_what_is_paid_for_them_agree_again() {
    let inbox = MailboxId::inbox;
    let paid = |account| keys::annotation_payer(GUEST, inbox(account), GUEST);
    mended(&[18], &[], |batch, account, _| {
        batch.put(keys::ANNOTATION_PAYERS, &paid(account), 1_u32.to_be_bytes());
        let nothing = keys::annotation_payer(GUEST, inbox(account), AccountId(0));
        batch.put(keys::ANNOTATION_PAYERS, &nothing, 1_u32.to_be_bytes());
    })
    .await;
    mended(&[18], &[], |batch, account, _| batch.delete(keys::ANNOTATION_PAYERS, &paid(account))).await;
    mended(&[1], &["store_annotations-000000010000000100000002"], |batch, account, _| {
        batch.put(keys::ANNOTATIONS, &keys::annotation(inbox(account), GUEST), b"rubbish".to_vec());
    })
    .await;
    for (mailbox, whose, kept) in [
        (inbox(AccountId(1)), NOBODY, "store_annotations-00000001000000010000004d"),
        (
            MailboxId { account: AccountId(1), number: 99 },
            GUEST,
            "store_annotations-000000010000006300000002",
        ),
    ] {
        mended(&[18], &[kept], |batch, account, fixture| {
            let octets = octets_of(fixture, keys::ANNOTATIONS, &keys::annotation(inbox(account), GUEST));
            batch.put(keys::ANNOTATIONS, &keys::annotation(mailbox, whose), octets);
        })
        .await;
    }
    // One more than there may be: all are kept as evidence, and as many as there may be stay.
    mended(&[18], &["annotations-1-1-2"], |batch, account, _| {
        let mut octets = vec![1, 0, 0, 0];
        for number in 0..=ANNOTATIONS_MAX {
            let name = format!("/private/n{number:04}");
            octets.extend_from_slice(&u16::try_from(name.len()).unwrap().to_be_bytes());
            octets.extend_from_slice(&1_u32.to_be_bytes());
            octets.extend_from_slice(name.as_bytes());
            octets.push(b'x');
        }
        batch.put(keys::ANNOTATIONS, &keys::annotation(inbox(account), GUEST), octets);
    })
    .await;
}
