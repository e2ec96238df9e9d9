//! Reading what was stored.

use mail_types::Timestamp;

use super::{Fixture, deliver, name};
use crate::*;

#[tokio::test]
async fn a_delivery_is_read_back_with_its_prefix() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let other = fixture.store.ensure_account(&name("user2@example.org")).await.unwrap();
    let boxes = [MailboxId::inbox(account), MailboxId::inbox(other)];
    // The second is large enough for a file of its own.
    for (uid, octets) in [(1, b"Subject: x\r\n\r\nbody".to_vec()), (2, vec![b'x'; 500])] {
        assert_eq!(
            deliver(&fixture.store, &boxes, b"Received: y\r\n", &octets).await.unwrap(),
            [Uid(uid), Uid(uid)]
        );
        let whole = [b"Received: y\r\n".as_slice(), &octets].concat();
        let read = fixture.store.read(boxes[1], Uid(uid)).unwrap().unwrap();
        assert_eq!(read.to_bytes().unwrap(), whole);
        assert_eq!(read.len(), whole.len() as u64);
        for (offset, len) in [(0, 5), (5, 20), (13, 4), (20, 100_000), (13, 0), (9_999, 1)] {
            let end = (offset + len).min(whole.len());
            assert_eq!(
                read.range(offset as u64, len).unwrap(),
                whole[offset.min(end)..end],
                "{offset} {len}"
            );
        }
        let reader = fixture.store.reader(boxes[0]).unwrap();
        let info = reader.info(Uid(uid)).unwrap().unwrap();
        let head = |max, wanted| {
            let head = reader.head(&info, max, |_| wanted).unwrap().unwrap();
            (head.octets, head.is_whole)
        };
        // The fields on top, then what is wanted of the content, or as much as may be.
        assert_eq!(head(20, 7), (whole[..13 + 7].to_vec(), true));
        assert_eq!(head(20, 99), (whole[..13 + 20.min(octets.len())].to_vec(), octets.len() <= 20));
        let gone = MessageInfo { uid: Uid(9), ..info };
        assert_eq!(reader.head(&gone, 4, <[u8]>::len).unwrap(), None);
        assert_eq!((info.size, info.internal_date), (whole.len() as u64, Timestamp(9_000)));
    }
    fixture.close().await;
}
