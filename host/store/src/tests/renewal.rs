//! New UIDVALIDITYs.

use super::{Fixture, message};
use crate::*;

#[tokio::test]
async fn every_mailbox_gets_a_new_uid_validity_and_keeps_its_messages() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    fixture.store.append(MailboxId::inbox(account), vec![message(b"x")]).await.unwrap();
    let before = fixture.store.mailboxes(account).unwrap();
    assert_eq!(fixture.store.renew_uid_validities().await.unwrap(), before.len() as u64);
    let after = fixture.store.mailboxes(account).unwrap();
    let highest = before.iter().map(|mailbox| mailbox.uid_validity).max().unwrap();
    assert!(after.iter().all(|mailbox| mailbox.uid_validity > highest));
    assert_eq!(fixture.store.status(MailboxId::inbox(account)).unwrap().messages, 1);
    assert_eq!(fixture.store.totals().unwrap(), Totals { accounts: 1, mailboxes: 6, messages: 1, octets: 1 });
    fixture.close().await;
}
