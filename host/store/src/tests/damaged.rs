//! Damage within content: found, told with all whom it hurts, and mended without harm to what can be read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::mending::{Kept, repair, violations};
use super::{Fixture, deliver};
use crate::*;

/// A message of three blocks in two mailboxes, and one of a single block.
async fn filled() -> (Fixture, Vec<u8>, MailboxId) {
    let fixture = Fixture::new().await;
    let first = MailboxId::inbox(fixture.account().await);
    let other = fixture.store.ensure_account(&super::name("user2@example.org")).await.unwrap();
    let text: Vec<u8> = (0..12_000).flat_map(|n| format!("line {n:08}\r\n").into_bytes()).collect();
    let storage = fixture.store.storage();
    for (octets, mailboxes) in [(&text[..], &[first, MailboxId::inbox(other)][..]), (&text[..5000], &[first])]
    {
        let mut writer = storage.content(1 << 20);
        writer.write(octets).await.unwrap();
        let content = writer.finish().await.unwrap();
        let mut messages = vec![NewMessage { content, ..super::message(b"") }];
        fixture.store.append(mailboxes[0], std::mem::take(&mut messages)).await.unwrap();
        if let Some(second) = mailboxes.get(1) {
            fixture.store.copy(mailboxes[0], &[Uid(1)], *second).await.unwrap();
        }
    }
    storage.pack(&|_| true).await.unwrap();
    (fixture, text, first)
}

fn file(fixture: &Fixture, number: u32) -> PathBuf {
    fixture.dir.path().join(format!("content/{number:016x}.z"))
}

/// Damages the frame of a block.
fn damage(fixture: &Fixture, number: u32, block: u64) {
    let path = file(fixture, number);
    let mut place = [0; 8];
    File::open(&path).unwrap().read_exact_at(&mut place, 16 + block * 8).unwrap();
    let to = File::options().write(true).open(&path).unwrap();
    to.write_all_at(&[0x55; 12], u64::from_be_bytes(place) + 30).unwrap();
}

#[tokio::test]
async fn a_damaged_block_is_told_and_the_others_stay() {
    let (fixture, text, inbox) = filled().await;
    fixture.check();
    damage(&fixture, 1, 1);
    let found = violations(&fixture);
    assert_eq!(found.len(), 2, "{found:?}");
    for (found, whose) in found.iter().zip(["user1@example.org", "user2@example.org"]) {
        assert!(found.contains(&format!("(UID 1 of INBOX of {whose}): content ")), "{found}");
        assert!(found.contains("65536 of its 180000 octets are lost, at 65536-131071"), "{found}");
    }
    let would = repair(&fixture, None).await;
    assert_eq!(would.len(), 2, "{would:?}");
    assert_eq!(violations(&fixture), found, "a dry run changes nothing");
    let kept = Kept::default();
    let did = repair(&fixture, Some(&kept)).await;
    assert_eq!(did.len(), 2, "{did:?}");
    assert_eq!(kept.names(), ["damaged-messages", "content-1.damaged.zst"]);
    let list = String::from_utf8(kept.all()[0].1.clone()).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
    fixture.check();
    let reader = fixture.store.reader(inbox).unwrap();
    let octets = reader.octets(Uid(1)).unwrap().unwrap().to_bytes().unwrap();
    assert_eq!(octets.len(), text.len());
    assert_eq!((&octets[..65_536], &octets[131_072..]), (&text[..65_536], &text[131_072..]));
    assert!(octets[65_536..].starts_with(b"\r\n(65536 octets of this message were damaged"));
    fixture.close().await;
}

#[tokio::test]
async fn damage_that_hides_nothing_costs_nothing() {
    let (fixture, text, inbox) = filled().await;
    // The head and the list of places: readers are lost, the frames are not.
    File::options().write(true).open(file(&fixture, 1)).unwrap().write_all_at(&[0xff; 40], 0).unwrap();
    assert_eq!(violations(&fixture).len(), 2);
    repair(&fixture, Some(&Kept::default())).await;
    fixture.check();
    let reader = fixture.store.reader(inbox).unwrap();
    assert_eq!(reader.octets(Uid(1)).unwrap().unwrap().to_bytes().unwrap(), text);
    fixture.close().await;
}

#[tokio::test]
async fn where_nothing_can_be_read_the_message_goes_and_its_file_is_kept() {
    let (fixture, _, inbox) = filled().await;
    damage(&fixture, 2, 0);
    let raw = std::fs::read(file(&fixture, 2)).unwrap();
    assert_eq!(violations(&fixture).len(), 1);
    assert_eq!(repair(&fixture, None).await.len(), 5, "the content, the message, and three counts");
    let kept = Kept::default();
    repair(&fixture, Some(&kept)).await;
    assert_eq!(kept.names(), ["damaged-messages", "content-2.damaged.zst", "message-1-1-2"]);
    assert_eq!(kept.all()[1].1, raw);
    assert!(fixture.store.reader(inbox).unwrap().octets(Uid(1)).unwrap().is_some());
    fixture.close().await;
}

/// Content that is not packed has no checksums: that its file lost its end, only the messages know.
#[tokio::test]
async fn a_file_that_was_cut_off_is_mended_as_damaged() {
    let (fixture, text, inbox) = filled().await;
    let mut writer = fixture.store.storage().content(1 << 20);
    writer.write(&text).await.unwrap();
    let content = writer.finish().await.unwrap();
    fixture.store.append(inbox, vec![NewMessage { content, ..super::message(b"") }]).await.unwrap();
    let path = fixture.dir.path().join("content/0000000000000003");
    File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
    let found = violations(&fixture);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("(UID 3 of INBOX of user1@example.org): content 3: 80000 of its 180000"),
        "{found:?}"
    );
    let kept = Kept::default();
    let did = repair(&fixture, Some(&kept)).await;
    assert_eq!(did.len(), 1, "{did:?}");
    assert_eq!(kept.names(), ["damaged-messages", "content-3.damaged"]);
    assert_eq!(kept.all()[1].1, text[..100_000]);
    fixture.check();
    let reader = fixture.store.reader(inbox).unwrap();
    let octets = reader.octets(Uid(3)).unwrap().unwrap().to_bytes().unwrap();
    assert_eq!((octets.len(), &octets[..100_000]), (text.len(), &text[..100_000]));
    assert!(octets[100_000..].starts_with(b"\r\n(80000 octets of this message were damaged"));
    // Where nothing is left of it, it goes. The writer removes the file that gave way after its commit, before its next one.
    fixture.store.storage().commit(storage::Batch::new()).await.unwrap();
    let name = std::fs::read_dir(fixture.dir.path().join("content")).unwrap();
    let plain = name.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_none()).unwrap();
    File::options().write(true).open(&plain).unwrap().set_len(0).unwrap();
    let kept = Kept::default();
    repair(&fixture, Some(&kept)).await;
    assert_eq!(kept.names(), ["damaged-messages", "content-3.damaged", "message-1-1-3"]);
    fixture.check();
    fixture.close().await;
}

/// Of the queue, too, content that is not there is told, by its message.
#[tokio::test]
async fn content_that_the_queue_misses_is_told() {
    let (fixture, ..) = filled().await;
    let mut writer = fixture.store.storage().content(1 << 20);
    writer.write(&[b'x'; 9000]).await.unwrap();
    let mut batch = storage::Batch::new();
    batch.store_content(writer.finish().await.unwrap(), 1);
    fixture.store.storage().commit(batch).await.unwrap();
    let path = fixture.dir.path().join("content/0000000000000003");
    let message = mail_types::QueueId::from_u64(77);
    let queued = QueuedContent { message, content: storage::ContentId(3), len: 9000 };
    let foreign = |_: &storage::Snapshot, visit: &mut dyn FnMut(Foreign)| {
        visit(Foreign::Content(queued));
        Ok(())
    };
    let check = || fixture.store.check(foreign, &mut |_| {}).unwrap();
    assert_eq!(check(), []);
    File::options().write(true).open(&path).unwrap().set_len(4000).unwrap();
    let found = check();
    assert!(
        found[0].what.starts_with(&format!("message {message} of the queue: content 3: 5000 of its 9000"))
    );
    std::fs::remove_file(&path).unwrap();
    let found = check();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.starts_with(&format!("message {message} of the queue: content 3: nothing of it")));
    let kept = Kept::default();
    let did = fixture.store.repair(None, Some(&kept), &foreign).await.unwrap();
    assert_eq!(did.len(), 1, "{did:?}");
    assert!(did[0].action.starts_with("the queue has it still"), "{did:?}");
}

#[tokio::test]
async fn an_account_alone_is_read_alone() {
    let (fixture, _, _) = filled().await;
    damage(&fixture, 2, 0);
    let found = |number| fixture.store.check_account(AccountId(number), &mut |_| {}).unwrap().len();
    assert_eq!((found(1), found(2)), (1, 0));
    // What delivers knows nothing of it.
    deliver(&fixture.store, &[MailboxId::inbox(AccountId(2))], b"", b"new").await.unwrap();
    fixture.store.repair(Some(AccountId(1)), Some(&Kept::default()), &|_, _| Ok(())).await.unwrap();
    fixture.close().await;
}
