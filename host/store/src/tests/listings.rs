//! Large mailboxes that are opened again and again.

use proptest::prelude::*;

use super::{Fixture, message};
use crate::*;

/// What a mailbox holds, read message by message.
fn read_anew(store: &Store, mailbox: MailboxId) -> Vec<Listed> {
    let mut all = Vec::new();
    let listed = |info: MessageInfo| Listed {
        modseq: info.modseq,
        keywords: info.keywords,
        uid: info.uid,
        flags: info.flags,
    };
    store.reader(mailbox).unwrap().infos(.., |info| all.push(listed(info))).unwrap();
    all
}

async fn change(store: &Store, mailbox: MailboxId, kind: u8, uids: &[Uid]) {
    match kind {
        0 => {
            let more = uids.iter().map(|_| message(b"A: b\r\n\r\nc")).collect();
            store.append(mailbox, more).await.unwrap();
        }
        1 => drop(store.remove(mailbox, uids).await.unwrap()),
        kind => {
            let mode = if kind % 2 == 0 { FlagMode::Add } else { FlagMode::Remove };
            let change = FlagChange {
                mode,
                flags: Flags::SEEN,
                keywords: if kind > 4 { &["$Work"] } else { &[] },
                unchanged_since: None,
            };
            store.store_flags(mailbox, uids, &change).await.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_view_is_what_is_there(
        steps in prop::collection::vec((0_u8..7, prop::collection::vec(1_u32..1_400, 1..40), any::<bool>()), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new().await;
            let inbox = MailboxId::inbox(fixture.account().await);
            let first = (0..1_200).map(|_| message(b"A: b\r\n\r\nc")).collect();
            fixture.store.append(inbox, first).await.unwrap();
            for (kind, uids, looks) in steps {
                let mut uids: Vec<Uid> = uids.into_iter().map(Uid).collect();
                uids.sort_unstable();
                uids.dedup();
                change(&fixture.store, inbox, kind, &uids).await;
                if looks {
                    let view = fixture.store.view(inbox).unwrap();
                    assert_eq!(&view.messages[..], &read_anew(&fixture.store, inbox)[..]);
                    let unseen = view.messages.iter().position(|listed| !listed.flags.contains(Flags::SEEN));
                    assert_eq!(view.first_unseen, unseen);
                }
            }
            fixture.close().await;
        });
    }
}
