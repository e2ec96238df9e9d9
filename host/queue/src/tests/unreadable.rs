//! Records that cannot be read.

use std::sync::Mutex;

use super::*;
use crate::records::{MESSAGES, RECIPIENTS, recipient_key};
use crate::{Reference, Unreadable};

/// Evidence that was kept.
#[derive(Default)]
struct Kept(Mutex<Vec<(String, Vec<u8>)>>);

impl Kept {
    async fn take_out(
        &self,
        queue: &Queue,
        id: mail_types::QueueId,
    ) -> Result<Option<Vec<String>>, OperateError> {
        let keep = |name: &str, octets: &[u8]| {
            self.0.lock().unwrap().push((name.to_owned(), octets.to_vec()));
            Ok(format!("kept/{name}"))
        };
        queue.take_out(id, "test", &keep).await
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }
}

async fn put(house: &House, space: storage::Space, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(space, key, value);
    house.storage.commit(batch).await.unwrap();
}

async fn queued(house: &House, names: &[&str]) -> mail_types::QueueId {
    let recipients = names.iter().map(|name| remote(name)).collect();
    house.queue.submit(house.submission("<x@y.example>", recipients)).await.unwrap().id()
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_cannot_be_read_keeps_no_other_from_leaving() {
    let house = house(vec![delivered()], Options::default());
    let id = queued(&house, &["a@x.example", "b@x.example"]).await;
    let key = recipient_key(id, 0);
    let value = house.storage.read().unwrap().get(RECIPIENTS, &key).unwrap().unwrap().into_owned();
    put(&house, RECIPIENTS, &key, &value[..value.len() - 2]).await;
    house.run(Duration::from_secs(3600)).await;
    let asked: Vec<_> = house.script.asked.lock().iter().map(|(_, names)| names.clone()).collect();
    assert_eq!(asked, [["b@x.example"]]);
    assert_eq!((house.queue.len(), house.contents()), (1, 1), "it stays");
    let unreadable = [Unreadable { id, recipients: Some(1) }];
    assert_eq!(house.queue.listing().unreadable().unwrap(), unreadable);
    assert_eq!(house.queue.listing().list(&Filter::default(), 10).unwrap().unreadable, unreadable);
    assert!(house.queue.summary().unwrap().is_empty());
    let kept = Kept::default();
    assert_eq!(kept.take_out(&house.queue, id).await.unwrap().unwrap().len(), 3);
    let name = |what| format!("queue-{id}{what}");
    assert_eq!(kept.names(), [name("-message"), name("-recipient-0"), name(".eml")]);
    assert_eq!((house.queue.len(), house.contents()), (0, 0), "nothing is left");
    let trail = house.queue.listing().trail(id).unwrap();
    assert!(trail.lines.iter().any(|line| line.what == "taken out"), "{trail:?}");
}

#[tokio::test(start_paused = true)]
async fn what_can_be_read_stays_where_it_is() {
    let house = house(vec![deferred(Reach::Recipient)], Options::default());
    let id = queued(&house, &["a@x.example", "b@x.example"]).await;
    let kept = Kept::default();
    assert!(kept.take_out(&house.queue, id).await.unwrap().is_none());
    put(&house, RECIPIENTS, &recipient_key(id, 1), b"\x01").await;
    assert!(kept.take_out(&house.queue, id).await.unwrap().is_some());
    let listed = house.queue.listing().list(&Filter::default(), 10).unwrap();
    assert_eq!((listed.messages[0].recipients.len(), listed.unreadable.len()), (1, 0));
    assert_eq!((house.queue.len(), house.contents()), (1, 1));
}

/// A record may name the content of another message: that must not go with it.
#[tokio::test(start_paused = true)]
async fn content_goes_only_where_it_is_its_own_beyond_doubt() {
    for (damage, left) in [(Some(vec![1; 40]), 1), (Some(vec![9; 3]), 1), (None, 0)] {
        let house = house(vec![deferred(Reach::Recipient)], Options::default());
        let id = queued(&house, &["a@x.example"]).await;
        let value = house.storage.read().unwrap().get(MESSAGES, &id.to_key()).unwrap().unwrap().into_owned();
        put(&house, MESSAGES, &id.to_key(), &damage.unwrap_or(value[..value.len() - 1].to_vec())).await;
        let unreadable = Unreadable { id, recipients: None };
        let listed = house.queue.listing().ids(&Filter::default()).unwrap();
        assert_eq!((listed.ids, listed.unreadable), (vec![], vec![unreadable.clone()]));
        let mut told = Vec::new();
        crate::content_references(&house.storage.read().unwrap(), &mut |reference| told.push(reference))
            .unwrap();
        assert!(told.contains(&Reference::Unreadable(unreadable)), "{told:?}");
        let changed = house.queue.change(id, &Change::Bounce, "test").await;
        assert!(matches!(changed, Err(OperateError::Storage(_))), "{changed:?}");
        let kept = Kept::default();
        assert!(kept.take_out(&house.queue, id).await.unwrap().is_some());
        assert_eq!((house.contents(), kept.names().len()), (left, 3 - left), "{:?}", kept.names());
        assert!(house.queue.is_empty());
    }
}
