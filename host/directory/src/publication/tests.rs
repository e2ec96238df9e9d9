use dns::BoxFuture;
use mail_types::Address;

use super::*;
use crate::directory::tests::{domain, open};
use crate::dn::Dn;
use crate::domains::DomainUsers;
use crate::edit::{Edit, Logging};
use crate::entry::Entry;
use crate::mirror::apply::Step;
use crate::mirror::apply::tests::origin;
use crate::mirror::found::Found;
use crate::mirror::origin::Origin;
use crate::new_domain::NewDomain;

/// Keeps what it is told, and can be away.
#[derive(Default)]
struct Told {
    away: Mutex<bool>,
    /// Whether it may have done a part of what it says it could not do.
    in_parts: bool,
    /// Whether it may have done what it does not answer to.
    unsure: bool,
    changes: Mutex<Vec<RecordChange>>,
}

impl Publisher for Told {
    fn publish<'a>(&'a self, change: &'a RecordChange) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            if *self.away.lock() && self.unsure {
                return Err(PublishError::Unsure("no answer".to_owned()));
            }
            if *self.away.lock() {
                return Err(PublishError::Unavailable("nobody is there".to_owned()));
            }
            self.changes.lock().push(change.clone());
            Ok(())
        })
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        !self.in_parts
    }

    fn place(&self) -> String {
        "the test".to_owned()
    }
}

fn options() -> PublicationOptions {
    PublicationOptions {
        mail_hosts: vec![domain("mx.one.example"), domain("backup.example.org")],
        addresses: vec!["192.0.2.1".parse().unwrap()],
        texts: vec![ExtraText { label: "_dmarc".into(), text: "v=DMARC1; p=none; rua=mailto:d@$D".into() }],
        services: vec![("_imaps._tcp".into(), 993)],
        ttl: 300,
    }
}

fn publication(directory: &Directory, told: &Arc<Told>) -> Publication {
    let events = Events::counting(runtime::Clock::system());
    Publication::new(directory.clone(), Arc::clone(told) as Arc<dyn Publisher>, options(), events).unwrap()
}

async fn add(directory: &Directory, name: &str) {
    let administrator = Some(Address::parse("admin@elsewhere.example").unwrap());
    let new = NewDomain { domain: domain(name), administrator, attributes: Vec::new() };
    directory.add_domain(&new).await.unwrap();
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_was_lost_where_it_was_published_is_published_again_by_word() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    let publication = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(publication.settle().await && publication.settle().await);
    assert_eq!(told.changes.lock().len(), 1);
    assert!(publication.again(&domain("one.example")).await);
    let changes = told.changes.lock().clone();
    assert_eq!((changes.len(), &changes[1].wanted), (2, &changes[0].wanted));
    assert!(!publication.of(&domain("one.example")).is_open);
    // Of one that is nobody's there is nothing to publish.
    assert!(publication.again(&domain("none.example")).await);
    assert!(publication.of(&domain("none.example")).records.is_empty());
}

#[tokio::test]
async fn a_domain_behind_more_changes_than_are_listed_at_a_time_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    let publication = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(publication.settle().await);
    let (before, most) = (directory.csn(), crate::change::CHANGES_LISTED_MAX);
    let user = |number: usize| {
        let dn = Dn::parse(&format!("uid=u{number},o=isp")).unwrap();
        Edit::Add(
            Entry::new(dn).with("objectClass", "inetMailUser").with("mail", format!("u{number}@one.example")),
        )
    };
    directory.edit(&(0..=most).map(user).collect::<Vec<_>>()).await.unwrap();
    let Changes::List { changes, csn } = directory.changes_since(before).unwrap() else { panic!() };
    assert_eq!((changes.len(), csn), (most, before + most as u64), "a part of them");
    add(&directory, "two.example").await;
    assert!(publication.settle().await);
    assert!(!publication.of(&domain("two.example")).records.is_empty());
}

#[tokio::test]
async fn a_domain_of_which_no_log_tells_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    let publication = publication(&directory, &told);
    assert!(publication.settle().await);
    // A first sync writes without a log.
    let before = directory.csn();
    let entry = Entry::new(Dn::parse("o=one.example,o=isp").unwrap())
        .with("objectClass", "mailDomain")
        .with("sunPreferredDomain", "one.example");
    let found = Found { content: 0, entry, uuid: None, modified: None, version: "1".to_owned() };
    let unlogged = Origin { logging: Logging::Rebuild, ..origin("ldap") };
    directory.apply(&[Step::Put(Box::new(found))], &Vec::new(), &unlogged).await.unwrap();
    assert!(matches!(directory.changes_since(before).unwrap(), Changes::Rebuild { .. }));
    assert!(publication.settle().await);
    assert!(!publication.of(&domain("one.example")).records.is_empty());
}

#[tokio::test]
async fn a_name_in_an_entry_of_its_own_has_the_records_of_a_domain() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    let publication = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(publication.settle().await);
    let node = "dc=one,dc=example,o=internet";
    let alias = |name: &str| {
        Entry::new(Dn::parse(name).unwrap())
            .with("objectClass", "inetDomainAlias")
            .with("aliasedObjectName", node)
    };
    let (two, three) = (alias("dc=two,dc=example,o=internet"), alias("dc=three,dc=example,o=internet"));
    directory.edit(&[Edit::Add(two.clone()), Edit::Add(three)]).await.unwrap();
    assert!(publication.settle().await);
    let records = lines(&publication.of(&domain("two.example")).records);
    assert_eq!(records[0], "two.example. 300 MX 10 mx.one.example.");
    directory.edit(&[Edit::Remove(two.dn)]).await.unwrap();
    assert!(publication.settle().await);
    assert_eq!(publication.of(&domain("two.example")).records, []);
    // Those that stand for a domain that is gone go with it.
    directory.remove_domain(&domain("one.example"), DomainUsers::Refuse).await.unwrap();
    assert!(publication.settle().await);
    assert_eq!(publication.of(&domain("three.example")).records, []);
}

#[tokio::test]
async fn records_come_with_an_entry_and_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    let publication = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(publication.settle().await);
    let expected = [
        "one.example. 300 MX 10 mx.one.example.",
        "one.example. 300 MX 20 backup.example.org.",
        "_dmarc.one.example. 300 TXT \"v=DMARC1; p=none; rua=mailto:d@one.example\"",
        "_imaps._tcp.one.example. 300 SRV 0 1 993 mx.one.example.",
        "mx.one.example. 300 A 192.0.2.1",
    ];
    assert_eq!(lines(&publication.of(&domain("one.example")).records), expected);
    // Nothing changed: nothing is published again.
    assert!(publication.settle().await);
    assert_eq!(told.changes.lock().len(), 1);
    directory.remove_domain(&domain("one.example"), DomainUsers::Refuse).await.unwrap();
    assert!(publication.settle().await);
    let last = told.changes.lock().last().cloned().unwrap();
    assert_eq!((lines(&last.before).len(), last.wanted), (5, Vec::new()));
}

#[tokio::test]
async fn what_failed_is_done_later_and_what_was_done_is_remembered_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    *told.away.lock() = true;
    let before = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(!before.settle().await);
    let failure = before.of(&domain("one.example")).failure.unwrap();
    assert_eq!(failure, "nobody is there");
    *told.away.lock() = false;
    assert!(before.settle().await);
    assert_eq!(before.of(&domain("one.example")).failure, None);
    drop(before);
    let after = publication(&directory, &told);
    assert!(after.settle().await);
    assert_eq!(told.changes.lock().len(), 1, "it was published before");
    add(&directory, "two.example").await;
    assert!(after.settle().await);
    assert_eq!(told.changes.lock()[1].domain, domain("two.example"));
}

#[tokio::test]
async fn a_domain_that_goes_before_it_was_published_leaves_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (directory, told) = (open(folder.path()), Arc::<Told>::default());
    *told.away.lock() = true;
    let publication = publication(&directory, &told);
    add(&directory, "one.example").await;
    assert!(!publication.settle().await);
    directory.remove_domain(&domain("one.example"), DomainUsers::Refuse).await.unwrap();
    assert!(publication.settle().await);
    assert_eq!(publication.of(&domain("one.example")), Published::default());
}

#[tokio::test]
async fn what_may_have_been_done_in_part_is_made_sure_of_and_goes_with_its_domain() {
    made_sure_of(Told { in_parts: true, ..Told::default() }).await;
}

#[tokio::test]
async fn what_was_not_answered_may_have_been_done() {
    made_sure_of(Told { unsure: true, ..Told::default() }).await;
}

async fn made_sure_of(told: Told) {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let told = Arc::new(told);
    *told.away.lock() = true;
    let before = publication(&directory, &told);
    add(&directory, "one.example").await;
    add(&directory, "two.example").await;
    assert!(!before.settle().await);
    let wanted = before.wanted(&domain("one.example")).unwrap();
    let open = before.of(&domain("one.example"));
    assert_eq!((open.records, open.is_open), (wanted.clone(), true));
    // The process ends, and one of them goes before the next one tries again.
    drop(before);
    let after = publication(&directory, &told);
    directory.remove_domain(&domain("two.example"), DomainUsers::Refuse).await.unwrap();
    *told.away.lock() = false;
    assert!(after.settle().await);
    let made: Vec<(String, usize, usize)> = told
        .changes
        .lock()
        .iter()
        .map(|change| (change.domain.to_string(), change.before.len(), change.wanted.len()))
        .collect();
    let all = wanted.len();
    assert_eq!(made, [("one.example".to_owned(), all, all), ("two.example".to_owned(), 4, 0)]);
    assert!(!after.of(&domain("one.example")).is_open);
    drop(after);
    assert!(publication(&directory, &told).settle().await);
    assert_eq!(told.changes.lock().len(), 2, "it is known to be done");
}
