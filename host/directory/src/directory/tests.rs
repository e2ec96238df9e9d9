use std::ops::ControlFlow;
use std::sync::Arc;

use mail_types::Timestamp;
use storage::{Options, Storage};

use super::*;
use crate::change::{Change, Operation};
use crate::domains::DomainUsers;
use crate::edit::Edit;
use crate::error::{EditError, LoadError};
use crate::kind::Kind;
use crate::load::{LoadReport, PasswordHasher};
use crate::new_domain::NewDomain;
use crate::status::Status;
use crate::user_entry::PasswordHash;
use crate::users::NewUser;

const SAMPLE: &str = "\
dn: o=isp\nobjectClass: organization\no: isp\n\n\
dn: o=d0.test,o=isp\nobjectClass: sunManagedOrganization\nobjectClass: mailDomain\nsunPreferredDomain: d0.test\nassociatedDomain: alias-d0.test\n\n\
dn: ou=People,o=d0.test,o=isp\nobjectClass: organizationalUnit\n\n\
dn: uid=u0,ou=People,o=d0.test,o=isp\nobjectClass: inetMailUser\nuid: u0\nmail: U0@d0.test\nmailAlternateAddress: first.last@d0.test\nuserPassword: password\n\n\
dn: uid=u1,ou=People,o=d0.test,o=isp\nobjectClass: inetMailUser\nuid: u1\nmail: other@d0.test\nuserPassword: {SSHA}xyz\n\n\
dn: dc=test,o=internet\nobjectClass: domain\ndc: test\n\n\
dn: dc=d0,dc=test,o=internet\nobjectClass: inetDomain\ninetDomainBaseDN: o=d0.test,o=isp\nmailDomainStatus: inactive\n\n\
dn: dc=old,dc=test,o=internet\nobjectClass: alias\nobjectClass: inetDomainAlias\naliasedObjectName: dc=d0,dc=test,o=internet\n\n\
dn: o=d1.test,o=isp\nobjectClass: mailDomain\nassociatedDomain: d1.test\n\n\
dn: uid=u0,o=d1.test,o=isp\nobjectClass: inetMailUser\nuid: u0\nmail: u0@d1.test\nmailQuota: lots\n";

struct Stars;

impl PasswordHasher for Stars {
    fn hash(&self, clear: &str) -> Result<Vec<PasswordHash>, String> {
        Ok(vec![PasswordHash::new(format!("{{STARS}}{}", "*".repeat(clear.len())))])
    }
}

pub(crate) fn open(dir: &std::path::Path) -> Directory {
    let options = Options { size_max: 1 << 30, inline_max: 1024, synced: false };
    let storage = Storage::open(dir, crate::SPACES, &options).unwrap();
    Directory::open(storage, Clock::simulated(Timestamp(1_000)), DirectoryOptions::default()).unwrap()
}

pub(crate) async fn load(directory: &Directory, ldif: &str) -> Result<LoadReport, LoadError> {
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Stars);
    directory.load_ldif(ldif.as_bytes(), &hasher, &mut |_| {}).await
}

pub(crate) async fn sample() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    load(&directory, SAMPLE).await.unwrap();
    (dir, directory)
}

fn found<T: std::fmt::Debug>(lookup: Lookup<T>) -> T {
    match lookup {
        Lookup::Found(value) => value,
        other => panic!("not found: {other:?}"),
    }
}

/// Nothing breaks the rules of the store.
pub(crate) fn assert_whole(directory: &Directory) {
    assert_eq!(directory.check(&mut |_| {}).unwrap(), Vec::<String>::new());
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(crate) fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap()
}

pub(crate) fn new_domain(name: &str) -> NewDomain {
    let administrator = Some(address(&format!("admin@{name}")));
    NewDomain { domain: domain(name), administrator, attributes: Vec::new() }
}

fn new_user(text: &str) -> NewUser {
    let passwords = vec![PasswordHash::new("{STARS}**")];
    NewUser { address: address(text), name: None, passwords, alternates: vec![], attributes: vec![] }
}

#[tokio::test]
async fn a_domain_is_found_by_all_its_names_and_joined() {
    let (_dir, directory) = sample().await;
    for name in ["d0.test", "alias-d0.test", "old.test"] {
        let entry = found(directory.domain(&domain(name)));
        assert_eq!(entry.domain, domain("d0.test"), "{name}");
        assert_eq!(entry.dn, dn("o=d0.test,o=isp"));
        assert_eq!(entry.further, [dn("dc=d0,dc=test,o=internet")]);
        assert_eq!(entry.mail_status, Status::Inactive);
    }
    assert_eq!(directory.domain(&domain("none.test")), Lookup::NotFound);
    let mut names = Vec::new();
    directory
        .scan_domains(&mut |entry| {
            names.push(entry.domain.to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(names, ["d0.test", "d1.test"]);
    assert_whole(&directory);
}

#[tokio::test]
async fn users_are_found_by_address_and_login() {
    let (_dir, directory) = sample().await;
    for text in ["u0@D0.test", "First.Last@d0.test"] {
        assert_eq!(found(directory.by_address(&address(text))).dn, dn("uid=u0,ou=People,o=d0.test,o=isp"));
    }
    for (login, user) in [
        ("u0@d0.test", Some("uid=u0,ou=People,o=d0.test,o=isp")),
        ("U0+d1.test", Some("uid=u0,o=d1.test,o=isp")),
        ("u1@d0.test", Some("uid=u1,ou=People,o=d0.test,o=isp")),
        ("u1@old.test", Some("uid=u1,ou=People,o=d0.test,o=isp")),
        ("other@d0.test", Some("uid=u1,ou=People,o=d0.test,o=isp")),
        ("u1", Some("uid=u1,ou=People,o=d0.test,o=isp")),
        ("u0", None),
        ("u1@d1.test", None),
        ("first.last@d0.test", None),
        ("", None),
        ("@", None),
    ] {
        let answer = directory.user_by_login(login).map(|user| user.dn);
        assert_eq!(answer, user.map(dn).into(), "{login}");
    }
    assert_whole(&directory);
}

#[tokio::test]
async fn clear_passwords_are_hashed_on_load_and_never_stored() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let report = load(&directory, SAMPLE).await.unwrap();
    assert_eq!((report.entries, report.passwords_hashed), (10, 1));
    assert_eq!((report.defects.len(), report.defects_total), (1, 1));
    assert_eq!((report.defects[0].line, report.defects[0].defect.attribute.as_str()), (45, "mailQuota"));
    let user = found(directory.user_by_login("u0@d0.test"));
    assert_eq!(user.password_hashes, [PasswordHash::new("{STARS}********")]);
    let counts = directory.counts().unwrap();
    assert_eq!((counts.entries, counts.domains, counts.users, counts.groups), (10, 4, 3, 0));
    let clear = found(directory.entry(&user.dn)).with("userPassword", "{CLEAR}x");
    assert!(matches!(directory.edit(&[Edit::Modify(clear)]).await, Err(EditError::ClearPassword(_))));
    assert_whole(&directory);
}

#[tokio::test]
async fn a_load_is_all_or_nothing_and_only_into_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let twice = format!("{SAMPLE}\ndn: uid=x,o=isp\nobjectClass: inetMailUser\nmail: First.last@d0.test\n");
    let error = load(&directory, &twice).await.unwrap_err().to_string();
    assert!(error.starts_with("line 51: ") && error.contains("uid=u0,ou=People,o=d0.test,o=isp"), "{error}");
    assert!(directory.is_empty().unwrap());
    assert_eq!(directory.domain(&domain("d0.test")), Lookup::NotFound);
    load(&directory, SAMPLE).await.unwrap();
    assert!(matches!(load(&directory, SAMPLE).await, Err(LoadError::NotEmpty(10))));
    assert!(matches!(directory.changes_since(0), Ok(Changes::Rebuild { csn }) if csn == directory.csn()));
}

#[tokio::test]
async fn a_broken_off_load_answers_unavailable_and_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let mut batch = Batch::new();
    let head = crate::layout::Head { loading: 1, entries: 1, next_id: 1, ..Default::default() };
    batch.put(crate::layout::STATE, crate::layout::HEAD, head.encode());
    directory.commit(batch).await.unwrap();
    directory.0.storage.close().await;
    drop(directory);
    let directory = open(dir.path());
    assert!(matches!(directory.domain(&domain("d0.test")), Lookup::Unavailable(_)));
    assert!(directory.is_empty().unwrap());
    load(&directory, SAMPLE).await.unwrap();
    assert!(directory.domain(&domain("d0.test")).is_found());
    assert_eq!(directory.counts().unwrap().entries, 10);
    assert_whole(&directory);
}

#[tokio::test]
async fn a_domain_is_added_with_every_missing_component() {
    let (_dir, directory) = sample().await;
    let mut newest = directory.subscribe();
    let before = directory.csn();
    let answer = directory.add_domain(&new_domain("new.branch.test")).await.unwrap();
    assert!(!answer.was_begun);
    let added: Vec<String> = answer.added.iter().map(Dn::to_string).collect();
    assert_eq!(
        added,
        [
            "o=internet",
            "dc=branch,dc=test,o=internet",
            "dc=new,dc=branch,dc=test,o=internet",
            "o=new.branch.test,o=isp",
            "ou=People,o=new.branch.test,o=isp",
            "ou=Groups,o=new.branch.test,o=isp",
            "cn=postmaster,ou=Groups,o=new.branch.test,o=isp",
        ]
    );
    assert!(newest.has_changed().unwrap());
    assert_eq!(*newest.borrow_and_update(), before + 7);
    let Changes::List { changes, csn } = directory.changes_since(before).unwrap() else { panic!("a list") };
    assert_eq!((changes.len(), csn), (7, before + 7));
    let last =
        Change { csn, at: changes[6].at, dn: dn(&added[6]), kind: Kind::Group, operation: Operation::Put };
    assert_eq!(changes[6], last);
    let entry = found(directory.domain(&domain("new.branch.test")));
    assert_eq!((entry.effective_status(), entry.base), (Status::Active, dn("o=new.branch.test,o=isp")));
    let again = directory.add_domain(&new_domain("new.branch.test")).await.unwrap_err();
    assert!(matches!(again, EditError::DomainWhole { .. }));
    // The component between becomes a domain itself.
    directory.add_domain(&new_domain("branch.test")).await.unwrap();
    assert!(directory.domain(&domain("branch.test")).is_found());
    let literal = directory.add_domain(&new_domain("[192.0.2.1]")).await;
    assert!(matches!(literal, Err(EditError::AddressLiteral(_))));
    let nobody = NewDomain { administrator: None, ..new_domain("x.test") };
    assert!(matches!(directory.add_domain(&nobody).await, Err(EditError::NoAdministrator(_))));
    assert_whole(&directory);
}

#[tokio::test]
async fn removing_a_domain_mirrors_adding_it() {
    let (_dir, directory) = sample().await;
    let before = directory.counts().unwrap();
    directory.add_domain(&new_domain("a.b.test")).await.unwrap();
    directory.add_domain(&new_domain("b.test")).await.unwrap();
    let user = directory.add_user(&new_user("jo@a.b.test")).await.unwrap();
    let refused = directory.remove_domain(&domain("a.b.test"), DomainUsers::Refuse).await.unwrap_err();
    assert!(matches!(refused, EditError::DomainInUse { example, .. } if example == user));
    directory.remove_domain(&domain("b.test"), DomainUsers::Refuse).await.unwrap();
    assert!(found(directory.entry(&dn("dc=b,dc=test,o=internet"))).has("objectClass", "domain"));
    assert_eq!(directory.domain(&domain("b.test")), Lookup::NotFound);
    directory.remove_domain(&domain("a.b.test"), DomainUsers::Remove).await.unwrap();
    assert!(!directory.entry(&dn("dc=b,dc=test,o=internet")).is_found());
    // Only the suffix that was missing in the sample is left.
    assert_eq!(directory.counts().unwrap().entries, before.entries + 1);
    assert_eq!(directory.by_address(&address("jo@a.b.test")), Lookup::NotFound);
    assert_whole(&directory);
}

#[tokio::test]
async fn what_is_not_mails_keeps_a_domain_from_being_removed() {
    let (_dir, directory) = sample().await;
    directory.add_domain(&new_domain("x.test")).await.unwrap();
    directory.add_user(&new_user("jo@x.test")).await.unwrap();
    let devices = dn("ou=Devices,o=x.test,o=isp");
    let container =
        Entry::new(devices.clone()).with("objectClass", "organizationalUnit").with("ou", "Devices");
    let printer = Entry::new(devices.child("cn", "printer").unwrap()).with("objectClass", "device");
    let printer = printer.with("cn", "printer");
    directory.edit(&[Edit::Add(container), Edit::Add(printer.clone())]).await.unwrap();
    for users in [DomainUsers::Refuse, DomainUsers::Remove] {
        let refused = directory.remove_domain(&domain("x.test"), users).await.unwrap_err();
        assert!(
            matches!(&refused, EditError::ForeignBelow { example, .. } if *example == printer.dn),
            "{refused}"
        );
    }
    // Nothing has gone, the user neither.
    assert!(directory.by_address(&address("jo@x.test")).is_found());
    directory.edit(&[Edit::Remove(printer.dn)]).await.unwrap();
    directory.remove_domain(&domain("x.test"), DomainUsers::Remove).await.unwrap();
    assert!(!directory.entry(&devices).is_found());
    assert_whole(&directory);
}

#[tokio::test]
async fn another_name_of_a_domain_does_not_remove_it() {
    let (_dir, directory) = sample().await;
    for name in ["old.test", "alias-d0.test"] {
        let error = directory.remove_domain(&domain(name), DomainUsers::Remove).await.unwrap_err();
        assert!(
            matches!(&error, EditError::OtherName { domain, .. } if domain.as_str() == "d0.test"),
            "{error}"
        );
    }
    directory.remove_domain(&domain("d0.test"), DomainUsers::Remove).await.unwrap();
    for name in ["d0.test", "old.test", "alias-d0.test"] {
        assert_eq!(directory.domain(&domain(name)), Lookup::NotFound);
    }
    assert_whole(&directory);
}

#[tokio::test]
async fn a_domain_with_thousands_of_users_is_removed_in_batches() {
    let (_dir, directory) = sample().await;
    directory.add_domain(&new_domain("big.test")).await.unwrap();
    let people = dn("ou=People,o=big.test,o=isp");
    for part in 0..3 {
        let users = (0..900).map(|n| {
            let uid = format!("u{part}-{n}");
            let entry = Entry::new(people.child("uid", &uid).unwrap()).with("objectClass", "inetMailUser");
            Edit::Add(entry.with("mail", format!("{uid}@big.test")))
        });
        directory.edit(&users.collect::<Vec<_>>()).await.unwrap();
    }
    let removed = directory.remove_domain(&domain("big.test"), DomainUsers::Remove).await.unwrap();
    assert_eq!(removed, 2_700 + 5);
    assert_eq!(directory.counts().unwrap().users, 3);
    assert_whole(&directory);
}

#[tokio::test]
async fn users_are_added_changed_and_removed() {
    let (_dir, directory) = sample().await;
    let user = directory.add_user(&new_user("jo@d1.test")).await.unwrap();
    assert_eq!(user, dn("uid=jo,ou=People,o=d1.test,o=isp"));
    let entry = found(directory.user_by_login("jo@d1.test"));
    assert_eq!(entry.account().unwrap().as_str(), "jo@d1.test");
    directory.set_password("jo@d1.test", &[PasswordHash::new("{NEW}1")]).await.unwrap();
    assert_eq!(found(directory.user_by_login("jo@d1.test")).password_hashes, [PasswordHash::new("{NEW}1")]);
    let mut taken = new_user("jim@d1.test");
    taken.alternates.push(address("U0@d0.test"));
    let error = directory.add_user(&taken).await.unwrap_err().to_string();
    assert!(error.contains("uid=u0,ou=People,o=d0.test,o=isp"), "{error}");
    assert!(matches!(directory.add_user(&new_user("a@no.test")).await, Err(EditError::NoDomain(_))));
    assert!(matches!(directory.add_user(&new_user("jo@d1.test")).await, Err(EditError::EntryExists(_))));
    directory.remove_user("jo@d1.test").await.unwrap();
    assert!(matches!(directory.remove_user("jo@d1.test").await, Err(EditError::NoUser(_))));
    assert_eq!(directory.by_address(&address("jo@d1.test")), Lookup::NotFound);
    assert_whole(&directory);
}

#[tokio::test]
async fn the_only_postmaster_stays() {
    let (_dir, directory) = sample().await;
    directory.add_domain(&new_domain("x.test")).await.unwrap();
    directory.add_user(&new_user("admin@x.test")).await.unwrap();
    directory.add_user(&new_user("jo@x.test")).await.unwrap();
    let error = directory.remove_user("admin@x.test").await.unwrap_err();
    assert!(
        matches!(&error, EditError::Postmaster { postmaster, .. } if *postmaster == address("postmaster@x.test"))
    );
    directory.remove_user("jo@x.test").await.unwrap();
    assert_whole(&directory);
}

#[tokio::test]
async fn groups_forget_members_that_are_removed() {
    let (_dir, directory) = sample().await;
    let group = "cn=all,o=d1.test,o=isp";
    let (jo, ann) = ("uid=jo,ou=People,o=x.test,o=isp", "uid=ann,ou=People,o=x.test,o=isp");
    let entry = Entry::new(dn(group)).with("objectClass", "inetMailGroup").with("mail", "all@d1.test");
    let entry = ["uid=u0,o=d1.test,o=isp", &jo.to_uppercase(), ann]
        .iter()
        .fold(entry, |entry, member| entry.with("uniqueMember", *member));
    directory.edit(&[Edit::Add(entry)]).await.unwrap();
    directory.add_domain(&new_domain("x.test")).await.unwrap();
    directory.add_user(&new_user("jo@x.test")).await.unwrap();
    directory.add_user(&new_user("ann@x.test")).await.unwrap();
    let members = || found(directory.entry(&dn(group))).values("uniqueMember").len();
    directory.remove_user("jo@x.test").await.unwrap();
    assert_eq!(members(), 2);
    directory.remove_domain(&domain("x.test"), DomainUsers::Remove).await.unwrap();
    assert_eq!(members(), 1);
    assert_eq!(found(directory.by_address(&address("all@d1.test"))).dn, dn(group));
    assert_whole(&directory);
}

#[tokio::test]
async fn edits_are_all_or_none_and_keep_the_tree_whole() {
    let (_dir, directory) = sample().await;
    let entry =
        |name: &str, mail: &str| Entry::new(dn(name)).with("objectClass", "inetMailUser").with("mail", mail);
    let base = "o=d1.test,o=isp";
    let edits = [
        Edit::Add(entry(&format!("uid=a,{base}"), "a@d1.test")),
        Edit::Add(entry(&format!("uid=b,{base}"), "A@d1.test")),
    ];
    let before = directory.csn();
    assert!(matches!(directory.edit(&edits).await, Err(EditError::AddressUsed { .. })));
    assert_eq!((directory.csn(), directory.by_address(&address("a@d1.test"))), (before, Lookup::NotFound));
    // An address moves from one entry to another in one batch.
    let moved = [
        Edit::Modify(entry(&format!("uid=u0,{base}"), "u0-old@d1.test")),
        Edit::Add(entry(&format!("uid=new,{base}"), "u0@d1.test")),
    ];
    directory.edit(&moved).await.unwrap();
    assert_eq!(found(directory.by_address(&address("u0@d1.test"))).dn, dn("uid=new,o=d1.test,o=isp"));
    assert!(matches!(directory.edit(&[Edit::Remove(dn(base))]).await, Err(EditError::HasChildren(..))));
    let orphan = Edit::Add(entry("uid=x,ou=None,o=isp", "x@d1.test"));
    assert!(matches!(directory.edit(&[orphan]).await, Err(EditError::NoParent(..))));
    let long = dn(base).child("uid", &"x".repeat(600)).unwrap();
    assert!(matches!(directory.edit(&[Edit::Add(Entry::new(long))]).await, Err(EditError::NameTooLong(_))));
    assert_whole(&directory);
}

#[tokio::test]
async fn edits_at_the_same_time_all_take_effect() {
    let (_dir, directory) = sample().await;
    let adding = (0..8).map(|n| {
        let directory = directory.clone();
        tokio::spawn(async move { directory.add_user(&new_user(&format!("p{n}@d1.test"))).await })
    });
    for task in adding.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert_eq!(directory.counts().unwrap().users, 3 + 8);
    assert_whole(&directory);
}

#[tokio::test]
async fn what_is_stored_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    load(&directory, SAMPLE).await.unwrap();
    let csn = directory.csn();
    directory.0.storage.close().await;
    drop(directory);
    let directory = open(dir.path());
    assert_eq!(directory.csn(), csn);
    let mut under = Vec::new();
    directory
        .scan_under(&dn("o=d0.test,o=isp"), &mut |entry| {
            under.push(entry.dn);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(under.len(), 4);
    let mut all = 0;
    directory
        .scan(&mut |_| {
            all += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(all, 10);
    assert_whole(&directory);
}

#[tokio::test]
async fn the_sample_that_ships_loads_without_defect() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let report = load(&directory, include_str!("../../../../config/directory.ldif")).await.unwrap();
    assert_eq!((report.defects, report.passwords_hashed), (vec![], 12));
    for login in ["user1@example.org", "user2@example.org", "user3@example.net", "user1@example.com"] {
        assert!(directory.user_by_login(login).is_found(), "{login}");
    }
    assert_eq!(
        found(directory.by_address(&address("team@example.org"))).dn.leaf(),
        Some(("cn".to_owned(), "team".to_owned()))
    );
    assert!(matches!(directory.remove_user("user1@example.org").await, Err(EditError::Postmaster { .. })));
    assert_whole(&directory);
}

#[tokio::test]
async fn an_alias_of_an_alias_is_a_name_of_the_domain_and_a_circle_is_none() {
    let (_dir, directory) = sample().await;
    let alias = |name: &str, of: &str| {
        let entry = Entry::new(Dn::parse(&format!("dc={name},dc=test,o=internet")).unwrap());
        let entry = entry.with("objectClass", "alias").with("objectClass", "inetDomainAlias");
        Edit::Add(entry.with("aliasedObjectName", format!("dc={of},dc=test,o=internet")))
    };
    let edits = [alias("older", "old"), alias("x", "y"), alias("y", "x"), alias("z", "nothing")];
    directory.edit(&edits).await.unwrap();
    assert_eq!(found(directory.domain(&domain("older.test"))).domain, domain("d0.test"));
    assert_eq!(
        found(directory.user_by_login("u1@older.test")).dn,
        found(directory.user_by_login("u1@old.test")).dn
    );
    for name in ["x.test", "y.test", "z.test"] {
        assert_eq!(directory.domain(&domain(name)), Lookup::NotFound, "{name}");
    }
    let mut names = Vec::new();
    directory.scan_domain_aliases(&mut |name, _| names.push(name.to_string())).unwrap();
    assert_eq!(names, ["old.test", "older.test"]);
}
