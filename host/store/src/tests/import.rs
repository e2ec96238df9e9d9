//! Imports and their marks.

use super::{Fixture, message};
use crate::*;

const KEY: [u8; 32] = [7; 32];

fn mark(before: Option<&[u8]>, after: &[u8]) -> ImportMark {
    ImportMark { key: KEY, before: before.map(<[u8]>::to_vec), after: after.to_vec() }
}

#[tokio::test]
async fn messages_and_mark_come_together_or_not_at_all() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let store = &fixture.store;
    store.import(inbox, vec![message(b"one"), message(b"two")], &[mark(None, b"2")]).await.unwrap();
    assert_eq!(store.import_mark(account, &KEY).unwrap().as_deref(), Some(&b"2"[..]));
    // Another import of the same source was faster.
    let refused = store.import(inbox, vec![message(b"two")], &[mark(None, b"1")]).await.unwrap_err();
    assert!(refused.is_conflict(), "{refused}");
    let refused = store.import(inbox, vec![message(b"two")], &[mark(Some(b"1"), b"2")]).await.unwrap_err();
    assert!(refused.is_conflict(), "{refused}");
    assert_eq!(store.status(inbox).unwrap().messages, 2);
    store.import(inbox, vec![message(b"three")], &[mark(Some(b"2"), b"3")]).await.unwrap();
    assert_eq!(store.status(inbox).unwrap().messages, 3);
    store.forget_import_marks(account, &[[9; 32]]).await.unwrap();
    assert!(store.import_mark(account, &KEY).unwrap().is_some());
    store.forget_import_marks(account, &[[9; 32], KEY]).await.unwrap();
    assert_eq!(store.forget_imports(account).await.unwrap(), 0);
    assert_eq!(store.import_mark(account, &KEY).unwrap(), None);
    fixture.close().await;
}

#[tokio::test]
async fn marks_go_with_their_account() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let long = vec![0; IMPORT_MARK_MAX + 1];
    let inbox = MailboxId::inbox(account);
    assert!(fixture.store.import(inbox, Vec::new(), &[mark(None, &long)]).await.is_err());
    fixture.store.import(inbox, Vec::new(), &[mark(None, b"x")]).await.unwrap();
    fixture.store.remove_account(&super::name("user1@example.org")).await.unwrap();
    assert_eq!(fixture.store.import_mark(account, &KEY).unwrap(), None);
    fixture.close().await;
}
