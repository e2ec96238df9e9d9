//! What is too many for one command is refused before anything is done.

use super::{Fixture, mailbox_name, message};
use crate::append::APPEND_MESSAGES_MAX;
use crate::copy::COPY_MESSAGES_MAX;
use crate::*;

#[tokio::test]
async fn of_too_many_messages_none_is_appended_or_copied() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    let beside = fixture.store.create_mailbox(account, &mailbox_name("Beside"), None).await.unwrap();
    let too_many = (0..=APPEND_MESSAGES_MAX).map(|_| message(b"x")).collect();
    let refused = fixture.store.append(inbox, too_many).await;
    assert!(matches!(refused, Err(StoreError::TooMany { max: APPEND_MESSAGES_MAX, .. })), "{refused:?}");
    assert_eq!(fixture.store.status(inbox).unwrap().messages, 0);
    fixture.store.append(inbox, vec![message(b"x")]).await.unwrap();
    let uids: Vec<Uid> = (1..=COPY_MESSAGES_MAX as u32).map(Uid).collect();
    assert_eq!(
        fixture.store.copy(inbox, &uids, beside).await.unwrap().uids.len(),
        1,
        "the others are not there"
    );
    let refused = fixture.store.copy(inbox, &[&uids[..], &[Uid(1)]].concat(), beside).await;
    assert!(matches!(refused, Err(StoreError::TooMany { max: COPY_MESSAGES_MAX, .. })), "{refused:?}");
    assert_eq!(fixture.store.status(beside).unwrap().messages, 1);
    fixture.close().await;
}
