//! Rights that members of groups have.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail_types::AccountName;
use parking_lot::Mutex;

use super::{mailbox_name, message, name, open_storage};
use crate::*;

/// Groups by account; an account that is not in it has none, and `None` is no answer.
#[derive(Default)]
struct Book(Mutex<BTreeMap<String, Option<Vec<String>>>>);

impl Book {
    fn set(&self, account: &str, groups: Option<&[&str]>) {
        let groups = groups.map(|groups| groups.iter().map(ToString::to_string).collect());
        self.0.lock().insert(account.to_owned(), groups);
    }
}

impl Groups for Book {
    fn of(&self, account: &AccountName) -> Result<Arc<[String]>, String> {
        match self.0.lock().get(account.as_str()) {
            Some(Some(groups)) => Ok(groups.iter().cloned().collect()),
            Some(None) => Err("the directory rests".to_owned()),
            None => Ok(Arc::default()),
        }
    }

    fn are_together(&self, owner: &AccountName, other: &AccountName) -> bool {
        let domain = |name: &AccountName| name.as_str().rsplit_once('@').map(|(_, domain)| domain.to_owned());
        domain(owner) == domain(other)
    }
}

#[tokio::test]
async fn members_have_what_their_groups_have_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let clock = runtime::Clock::simulated(mail_types::Timestamp(1_000_000));
    let asked = (Arc::new(quota::Unlimited) as Arc<dyn Quotas>, Arc::clone(&book) as Arc<dyn Groups>);
    let events = events::Events::counting(clock.clone());
    let store = Store::open_with(open_storage(dir.path()), clock, events, asked).await.unwrap();
    let anna = store.ensure_account(&name("anna@example.org")).await.unwrap();
    let ben_id = store.ensure_account(&name("ben@example.org")).await.unwrap();
    let team = store.create_mailbox(anna, &mailbox_name("Team"), None).await.unwrap();
    let ben = store.on_behalf_of(ben_id, &name("ben@example.org"));
    let grant = async |who: &str, rights: &str| {
        let change = AclChange::Replace(Rights::parse(rights).unwrap());
        store.set_acl(team, &Identifier::new(who).unwrap(), change).await.unwrap();
    };
    let rights = || ben.rights(team).map(|rights| rights.to_string());
    // A list without groups asks for none.
    book.set("ben@example.org", None);
    grant("eve@example.org", "l").await;
    assert!(matches!(rights(), Err(StoreError::NotFound(_))));
    assert!(ben.granted().unwrap().is_empty());
    grant("group:Staff@example.org", "lrip").await;
    // Where it is not known who is in a group, nothing is concluded.
    assert!(matches!(rights(), Err(StoreError::Storage(_))));
    assert!(matches!(ben.granted(), Err(StoreError::Storage(_))));
    book.set("ben@example.org", Some(&["other@example.org"]));
    assert!(matches!(rights(), Err(StoreError::NotFound(_))));
    book.set("ben@example.org", Some(&["other@example.org", "staff@example.org"]));
    assert_eq!((rights().unwrap(), ben.granted().unwrap().len()), ("lrip".to_owned(), 1));
    ben.append(team, vec![message(b"x")]).await.unwrap();
    grant("-group:other@example.org", "i").await;
    assert_eq!(rights().unwrap(), "lrp");
    assert!(matches!(ben.append(team, vec![message(b"x")]).await, Err(StoreError::NotPermitted('i'))));
    // Mail comes in on behalf of members, and of the group itself.
    book.set("staff@example.org", Some(&["staff@example.org"]));
    for poster in ["ben@example.org", "staff@example.org"] {
        store.posting_place("user/anna@example.org/Team", &name(poster)).unwrap();
    }
    let refused = store.posting_place("user/anna@example.org/Team", &name("fred@example.org"));
    assert!(matches!(refused, Err(StoreError::NotPermitted('p'))));
    // Who has the mailbox open is woken.
    let (mut watch, inbox) = (ben.watch(team), ben.watch(MailboxId::inbox(anna)));
    watch.mark_seen();
    book.set("ben@example.org", Some(&["other@example.org"]));
    store.groups_changed().unwrap();
    assert!(watch.has_changed() && !inbox.has_changed());
    assert!(matches!(rights(), Err(StoreError::NotFound(_))));
    assert!(store.check(|_, _| Ok(()), &mut |_| {}).unwrap().is_empty());
    store.storage().close().await;
}

#[tokio::test]
async fn anyone_is_who_is_together_with_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let clock = runtime::Clock::simulated(mail_types::Timestamp(1_000_000));
    let groups = Arc::new(Book::default()) as Arc<dyn Groups>;
    let asked = (Arc::new(quota::Unlimited) as Arc<dyn Quotas>, groups);
    let events = events::Events::counting(clock.clone());
    let store = Store::open_with(open_storage(dir.path()), clock, events, asked).await.unwrap();
    let [anna, ben, eve] = ["anna@a.example", "ben@a.example", "eve@e.example"].map(name);
    let annas = store.ensure_account(&anna).await.unwrap();
    let shared = store.ensure_account(&name(SHARED_ACCOUNT)).await.unwrap();
    let everybody = Identifier::new(ANYONE).unwrap();
    let plans = store.create_mailbox(annas, &mailbox_name("Plans"), None).await.unwrap();
    let board = store.create_mailbox(shared, &mailbox_name("board"), None).await.unwrap();
    for mailbox in [plans, board] {
        let change = AclChange::Replace(Rights::parse("lr").unwrap());
        store.set_acl(mailbox, &everybody, change).await.unwrap();
    }
    let mut seen = Vec::new();
    for who in [&ben, &eve] {
        let person = store.on_behalf_of(store.ensure_account(who).await.unwrap(), who);
        let rights = [plans, board].map(|mailbox| person.rights(mailbox).is_ok());
        seen.push((rights, person.granted().unwrap().len()));
    }
    assert_eq!(seen, [([true, true], 2), ([false, true], 1)]);
    // What is taken from anyone is taken from all, and who is named is meant wherever they are.
    let named = Identifier::of(&eve);
    store.set_acl(plans, &named, AclChange::Replace(Rights::parse("lr").unwrap())).await.unwrap();
    let eves = store.on_behalf_of(store.ensure_account(&eve).await.unwrap(), &eve);
    assert_eq!(eves.rights(plans).unwrap().to_string(), "lr");
    let not_all = Identifier::new("-anyone").unwrap();
    store.set_acl(plans, &not_all, AclChange::Replace(Rights::parse("r").unwrap())).await.unwrap();
    assert_eq!(eves.rights(plans).unwrap().to_string(), "l");
    store.storage().close().await;
}
