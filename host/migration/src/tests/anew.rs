//! What is taken again, and what is not.

use std::path::PathBuf;

use super::*;

/// A Maildir of an INBOX and a Sent, an mbox folder of a Sent, each with one message, and an account that has all of it.
async fn taken_over() -> (Fixture, AccountId, Source, Source) {
    let fixture = Fixture::new().await;
    let account = fixture.account("anna@example.org").await;
    let (root, boxes) = (fixture.folder.path().join("Maildir"), fixture.folder.path().join("boxes"));
    for (folder, name) in [("cur", "1.a.host"), (".Sent/cur", "2.b.host")] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join(name), "Subject: maildir\n\n").unwrap();
    }
    std::fs::create_dir_all(&boxes).unwrap();
    let text = "From a Fri Nov 27 10:52:43 2026\nSubject: mbox\n\n";
    std::fs::write(boxes.join("Sent.mbox"), text).unwrap();
    let (maildir, mbox) = (Source::Maildir(root), Source::Mbox(boxes));
    assert_eq!(came(&fixture, account, &maildir, Anew::Nothing).await, 2);
    assert_eq!(came(&fixture, account, &mbox, Anew::Nothing).await, 1);
    (fixture, account, maildir, mbox)
}

async fn came(fixture: &Fixture, account: AccountId, source: &Source, anew: Anew) -> u64 {
    let would = fixture.import_anew(account, source, true, anew.clone()).await.unwrap();
    let did = fixture.import_anew(account, source, false, anew).await.unwrap();
    let sum = |done: &Imported| done.mailboxes.iter().map(|mailbox| mailbox.messages).sum::<u64>();
    assert_eq!(sum(&would), sum(&did), "a dry run tells what comes");
    sum(&did)
}

fn sent() -> Anew {
    Anew::Mailbox(MailboxName::new("Sent").unwrap())
}

#[tokio::test]
async fn one_source_comes_again_and_no_other() {
    let (fixture, account, maildir, mbox) = taken_over().await;
    assert_eq!(came(&fixture, account, &mbox, Anew::All).await, 1);
    assert_eq!(came(&fixture, account, &maildir, Anew::Nothing).await, 0, "nobody asked for that");
    assert_eq!(came(&fixture, account, &maildir, Anew::All).await, 2);
    for source in [&maildir, &mbox] {
        assert_eq!(came(&fixture, account, source, Anew::Nothing).await, 0);
    }
}

#[tokio::test]
async fn one_mailbox_of_a_source_comes_again_alone() {
    let (fixture, account, maildir, mbox) = taken_over().await;
    assert_eq!(came(&fixture, account, &maildir, sent()).await, 1);
    for source in [&maildir, &mbox] {
        assert_eq!(came(&fixture, account, source, Anew::Nothing).await, 0);
    }
    let other = Anew::Mailbox(MailboxName::new("Snet").unwrap());
    let why = fixture.import_anew(account, &maildir, false, other).await.unwrap_err().to_string();
    assert!(
        why.contains("no mailbox of the source becomes Snet here") && why.ends_with("INBOX, Sent"),
        "{why}"
    );
}

#[tokio::test]
async fn nothing_is_forgotten_before_its_source_is_there() {
    let (fixture, account, maildir, mbox) = taken_over().await;
    for mistyped in ["Maildri", "boxse"] {
        let place: PathBuf = fixture.folder.path().join(mistyped);
        for source in [Source::Maildir(place.clone()), Source::Mbox(place)] {
            let why = fixture.import_anew(account, &source, false, Anew::All).await.unwrap_err();
            assert!(!matches!(why, MigrationError::BegunAnew(_)), "{why}");
        }
    }
    for source in [&maildir, &mbox] {
        assert_eq!(came(&fixture, account, source, Anew::Nothing).await, 0);
    }
}

#[tokio::test]
async fn what_stops_in_between_goes_on_without_beginning_once_more() {
    let (fixture, account, _, _) = taken_over().await;
    let file = fixture.folder.path().join("many");
    let message = |number: u32| format!("From a Fri Nov 27 10:52:43 2026\nSubject: {number}\n\n");
    std::fs::write(&file, (0..500).map(message).collect::<String>()).unwrap();
    let source = &Source::Mbox(file);
    assert_eq!(came(&fixture, account, source, Anew::Nothing).await, 500);
    let (store, octets_max) = (&fixture.store, OCTETS_MAX);
    let order = Import { store, account, source, below: None, octets_max, dry_run: false, anew: Anew::All };
    let calls = std::sync::atomic::AtomicU64::new(0);
    let tell = |_: u64, _: u64, _: &str| {
        let called = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if called < 250 { Told::GoOn } else { Told::Stop }
    };
    let why = import(&order, &tell).await.unwrap_err();
    assert!(matches!(why, MigrationError::BegunAnew(_)), "{why}");
    fixture.import(account, source, false).await.unwrap();
    assert_eq!(fixture.all(account).len(), 3 + 2 * 500);
}
