use std::collections::BTreeMap;
use std::sync::Arc;

use mail_types::{Address, Lookup};
use proptest::prelude::*;
use runtime::Clock;
use storage::{Options, Storage};

use super::*;
use crate::change::Changes;
use crate::directory::DirectoryOptions;
use crate::entry::Entry;
use crate::layout::NAME_KEY_MAX;
use crate::mirror::records::{SYNC, Way};
use crate::mirror::taken::Taken;

pub(crate) fn open(dir: &std::path::Path) -> Directory {
    let options = Options { size_max: 1 << 30, inline_max: 1024, synced: false };
    let storage = Storage::open(dir, crate::SPACES, &options).unwrap();
    Directory::open(storage, Clock::simulated(Timestamp(1_000)), DirectoryOptions::default()).unwrap()
}

fn dn(text: &str) -> Dn {
    Dn::parse(text).unwrap()
}

fn found_of(entry: Entry, uuid: Option<Uuid>, version: &str) -> Found {
    let content = crate::mirror::found::digest(&entry);
    Found { content, entry, uuid, modified: None, version: version.to_owned() }
}

fn user(name: &str, uuid: u8, version: &str, mail: &str) -> Step {
    let entry = Entry::new(dn(name)).with("mail", mail).with("objectClass", "inetMailUser");
    let found = found_of(entry, Some([uuid; 16]), version);
    Step::Put(Box::new(found))
}

async fn apply(directory: &Directory, steps: &[Step]) -> Applied {
    apply_of(directory, "ldap", steps).await
}

pub(crate) fn origin(source: &str) -> Origin {
    Origin {
        way: Way::Full,
        source: source.to_owned(),
        number: 0,
        staging: Staging::Idle,
        overtaken: true,
        logging: Logging::Each,
        postpones: false,
        taken: None,
    }
}

async fn apply_of(directory: &Directory, source: &str, steps: &[Step]) -> Applied {
    let applied = directory.apply(steps, &Vec::new(), &origin(source)).await.unwrap();
    assert_eq!(directory.check(&mut |_| {}).unwrap(), Vec::<String>::new());
    applied
}

fn changes(applied: &Applied) -> u64 {
    applied.added + applied.modified + applied.moved + applied.removed
}

fn owner(directory: &Directory, address: &str) -> Option<String> {
    match directory.by_address(&Address::parse(address).unwrap()) {
        Lookup::Found(entry) => Some(entry.dn.to_string()),
        Lookup::NotFound => None,
        Lookup::Unavailable(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn the_same_again_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let first = apply(&directory, &[user("uid=a,ou=p,o=isp", 1, "1", "a@d.test")]).await;
    assert_eq!((first.added, first.same), (1, 0));
    let csn = directory.csn();
    assert_eq!(csn, 3, "the entry, and glue above it");
    for version in ["1", "2"] {
        let again = apply(&directory, &[user("uid=a,ou=p,o=isp", 1, version, "a@d.test")]).await;
        assert_eq!((changes(&again), again.same), (0, 1));
    }
    assert_eq!(directory.csn(), csn);
    let changed = apply(&directory, &[user("uid=a,ou=p,o=isp", 1, "3", "b@d.test")]).await;
    assert_eq!(changed.modified, 1);
    assert_eq!(owner(&directory, "a@d.test"), None);
}

#[tokio::test]
async fn an_older_answer_does_not_undo_a_newer_one() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    apply(&directory, &[user("uid=a,o=isp", 1, "5", "new@d.test")]).await;
    let old = apply(&directory, &[user("uid=a,o=isp", 1, "4", "old@d.test")]).await;
    assert_eq!(changes(&old), 0);
    assert!(owner(&directory, "new@d.test").is_some() && owner(&directory, "old@d.test").is_none());
}

#[tokio::test]
async fn a_moved_entry_keeps_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    apply(&directory, &[user("uid=a,ou=x,o=isp", 1, "1", "a@d.test")]).await;
    let moved = apply(&directory, &[user("uid=a,ou=y,o=isp", 1, "2", "a@d.test")]).await;
    assert_eq!((moved.moved, moved.removed, moved.refused.len()), (1, 0, 0));
    assert_eq!(owner(&directory, "a@d.test").as_deref(), Some("uid=a,ou=y,o=isp"));
    assert_eq!(directory.entry(&dn("ou=x,o=isp")), Lookup::NotFound, "glue that nothing stands on");
    // Gone under its old name means nothing any more.
    apply(&directory, &[Step::Gone(dn("uid=a,ou=x,o=isp"))]).await;
    assert!(owner(&directory, "a@d.test").is_some());
}

#[tokio::test]
async fn a_lasting_name_is_one_of_its_source_alone() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    apply_of(&directory, "ldap", &[user("uid=a,o=isp", 1, "1", "a@d.test")]).await;
    // Another source says that the same entry stands with it now.
    let claimed = apply_of(&directory, "acme", &[user("uid=a,o=acme", 1, "2", "a@acme.test")]).await;
    assert_eq!((claimed.added, claimed.moved, claimed.removed), (1, 0, 0));
    assert_eq!(owner(&directory, "a@d.test").as_deref(), Some("uid=a,o=isp"));
    let moved = apply_of(&directory, "ldap", &[user("uid=b,o=isp", 1, "2", "a@d.test")]).await;
    assert_eq!((moved.moved, moved.removed), (1, 0));
    assert_eq!(owner(&directory, "a@acme.test").as_deref(), Some("uid=a,o=acme"));
}

#[tokio::test]
async fn an_entry_that_breaks_a_rule_fails_alone_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let long = format!("uid={},o=isp", "x".repeat(600));
    let steps = [
        user("uid=a,o=isp", 1, "1", "a@d.test"),
        user("uid=b,o=isp", 2, "1", "a@d.test"),
        user(&long, 3, "1", "c@d.test"),
        user("uid=d,o=isp", 4, "1", "d@d.test"),
    ];
    let applied = apply(&directory, &steps).await;
    assert_eq!((applied.added, applied.refused.len()), (2, 2));
    assert_eq!(applied.refused[0].1, "mail");
    assert!(applied.refused[0].2.contains("uid=a,o=isp"), "{:?}", applied.refused);
    // Told of once.
    assert!(apply(&directory, &steps).await.refused.is_empty());
    // A good version stays while a bad one is refused.
    apply(&directory, &[user("uid=d,o=isp", 4, "2", "a@d.test")]).await;
    assert_eq!(owner(&directory, "d@d.test").as_deref(), Some("uid=d,o=isp"));
    // In one batch the order does not matter.
    let applied =
        apply(&directory, &[user("uid=b,o=isp", 2, "2", "a@d.test"), Step::Gone(dn("uid=a,o=isp"))]).await;
    assert_eq!((applied.added, applied.removed, applied.refused.len()), (1, 1, 0));
    assert_eq!(owner(&directory, "a@d.test").as_deref(), Some("uid=b,o=isp"));
    let view = directory.raw_view().unwrap();
    assert!(view.refused("uid=b,o=isp").unwrap().is_none() && view.refused("uid=d,o=isp").unwrap().is_some());
}

#[tokio::test]
async fn two_entries_exchange_their_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let start = [user("uid=a,o=isp", 1, "1", "a@d.test"), user("uid=b,o=isp", 2, "1", "b@d.test")];
    apply(&directory, &start).await;
    let third = user("uid=c,o=isp", 3, "1", "a@d.test");
    let steps = [user("uid=a,o=isp", 1, "2", "b@d.test"), third, user("uid=b,o=isp", 2, "2", "a@d.test")];
    let applied = apply(&directory, &steps).await;
    assert_eq!((applied.modified, applied.refused.len()), (2, 1));
    assert_eq!(owner(&directory, "a@d.test").as_deref(), Some("uid=b,o=isp"));
    assert_eq!(owner(&directory, "b@d.test").as_deref(), Some("uid=a,o=isp"));
}

#[tokio::test]
async fn three_entries_pass_their_addresses_round() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let state = |version, mails: [&str; 4]| {
        let one = |(at, mail): (usize, &&str)| {
            user(&format!("uid=u{at},ou=p,o=isp"), u8::try_from(at).unwrap() + 1, version, mail)
        };
        mails.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    apply(&directory, &state("1", ["a@d.test", "b@d.test", "c@d.test", "e@d.test"])).await;
    // The fourth wants what one of the others gives away: it comes after them.
    let applied = apply(&directory, &state("2", ["b@d.test", "c@d.test", "d@d.test", "a@d.test"])).await;
    assert_eq!((applied.modified, applied.refusals), (4, 0));
    apply(&directory, &state("3", ["c@d.test", "d@d.test", "b@d.test", "a@d.test"])).await;
    for (mail, name) in [("c@d.test", "u0"), ("d@d.test", "u1"), ("b@d.test", "u2"), ("a@d.test", "u3")] {
        assert_eq!(owner(&directory, mail).unwrap(), format!("uid={name},ou=p,o=isp"));
    }
    // A ring one of which wants what somebody else has, too: everything stays.
    let mut blocked = state("4", ["d@d.test", "c@d.test", "b@d.test", "a@d.test"]);
    let Step::Put(first) = &mut blocked[0] else { panic!("a user") };
    first.entry.add("mailEquivalentAddress", "a@d.test");
    let csn = directory.csn();
    let applied = apply(&directory, &blocked[..2]).await;
    assert_eq!((changes(&applied), applied.refusals, directory.csn()), (0, 2, csn));
    assert_eq!(owner(&directory, "c@d.test").unwrap(), "uid=u0,ou=p,o=isp");
    // Once that one gives it away, they pass.
    apply(&directory, &[user("uid=u3,ou=p,o=isp", 4, "5", "f@d.test")]).await;
    let applied = apply(&directory, &blocked[..2]).await;
    assert_eq!((applied.modified, applied.refusals), (2, 0));
    assert_eq!(owner(&directory, "a@d.test").unwrap(), "uid=u0,ou=p,o=isp");
}

fn organisation(name: &str, uuid: u8, version: &str, domain: &str) -> Step {
    let entry = Entry::new(dn(name)).with("sunPreferredDomain", domain).with("objectClass", "organization");
    let entry = entry.with("objectClass", "sunManagedOrganization").with("objectClass", "mailDomain");
    let found = found_of(entry, Some([uuid; 16]), version);
    Step::Put(Box::new(found))
}

fn dc_node(domain: &str, uuid: u8, version: &str, base: &str) -> Step {
    let name = Dn::from_domain(&mail_types::Domain::parse(domain).unwrap(), &dn("o=internet")).unwrap();
    let entry = Entry::new(name).with("inetDomainBaseDN", base).with("objectClass", "inetDomain");
    let found = found_of(entry, Some([uuid; 16]), version);
    Step::Put(Box::new(found))
}

#[tokio::test]
async fn a_renamed_organisation_and_the_node_that_points_to_it_pass_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let before =
        [organisation("o=one,o=isp", 1, "1", "one.test"), dc_node("one.test", 2, "1", "o=one,o=isp")];
    assert_eq!(apply(&directory, &before).await.refusals, 0);
    let renamed =
        [organisation("o=New,o=isp", 1, "2", "one.test"), dc_node("one.test", 2, "2", "o=New,o=isp")];
    let applied = apply(&directory, &renamed).await;
    assert_eq!((applied.moved, applied.modified, applied.refusals), (1, 1, 0));
    let Lookup::Found(domain) = directory.domain(&mail_types::Domain::parse("one.test").unwrap()) else {
        panic!("it is there");
    };
    assert_eq!(domain.base, dn("o=New,o=isp"));
    let swapped = [organisation("o=a,o=isp", 3, "1", "a.test"), organisation("o=b,o=isp", 4, "1", "b.test")];
    apply(&directory, &swapped).await;
    let swapped = [organisation("o=a,o=isp", 3, "2", "b.test"), organisation("o=b,o=isp", 4, "2", "a.test")];
    assert_eq!(apply(&directory, &swapped).await.modified, 2);
}

#[tokio::test]
async fn what_was_refused_under_an_earlier_name_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let refused = |directory: &Directory| directory.rows(REFUSED, &[], 10).unwrap().len();
    let (ha, hb) = ("uid=ha,ou=p,o=isp", "uid=hb,ou=p,o=isp");
    apply(&directory, &[user(ha, 1, "1", "ha@d.test"), user(hb, 2, "1", "hb@d.test")]).await;
    apply(&directory, &[user(hb, 2, "2", "ha@d.test")]).await;
    assert_eq!(refused(&directory), 1);
    // Renamed, and refused under the new name alone; in one batch, too.
    apply(&directory, &[user("uid=hc,ou=p,o=isp", 2, "3", "ha@d.test")]).await;
    assert_eq!(refused(&directory), 1);
    let both = ["uid=hd,ou=p,o=isp", "uid=he,ou=p,o=isp"].map(|name| user(name, 2, "4", "ha@d.test"));
    apply(&directory, &both).await;
    assert_eq!(refused(&directory), 1);
    apply(&directory, &[Step::Gone(dn(hb))]).await;
    assert_eq!(refused(&directory), 0, "the tree knew it as hb");
    assert_eq!(owner(&directory, "hb@d.test"), None);
}

#[tokio::test]
async fn an_entry_that_comes_where_another_one_left_glue_stays() {
    let unit = |name: &str, uuid: Option<u8>, version: &str, says: &str| {
        let entry = Entry::new(dn(name)).with("description", says).with("objectClass", "organizationalUnit");
        let uuid = uuid.map(|uuid| [uuid; 16]);
        Step::Put(Box::new(found_of(entry, uuid, version)))
    };
    for has_uuid in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let directory = open(dir.path());
        let before =
            [unit("ou=sales,o=isp", Some(1), "1", "old"), user("uid=x,ou=sales,o=isp", 2, "1", "x@d.test")];
        apply(&directory, &before).await;
        // The top goes first and leaves glue, its child follows, and somebody else takes the name: in one batch.
        let renamed = [
            unit("ou=archive,o=isp", Some(1), "2", "old"),
            user("uid=x,ou=archive,o=isp", 2, "1", "x@d.test"),
            unit("ou=sales,o=isp", has_uuid.then_some(3), "3", "new"),
        ];
        let batches = [&renamed[..], &[]];
        for batch in batches {
            apply(&directory, batch).await;
        }
        let Lookup::Found(sales) = directory.entry(&dn("ou=sales,o=isp")) else {
            panic!("it went as glue: {has_uuid}")
        };
        assert_eq!(sales.text("description"), Some("new"), "{has_uuid}");
        assert_eq!(owner(&directory, "x@d.test").as_deref(), Some("uid=x,ou=archive,o=isp"));
        // In two batches as well: the first one leaves the glue.
        let dir = tempfile::tempdir().unwrap();
        let directory = open(dir.path());
        apply(&directory, &before).await;
        apply(&directory, &renamed[..1]).await;
        apply(&directory, &[renamed[2].clone(), renamed[1].clone()]).await;
        assert!(directory.entry(&dn("ou=sales,o=isp")).is_found(), "{has_uuid}");
    }
}

#[tokio::test]
async fn glue_becomes_real_and_real_becomes_glue() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    apply(&directory, &[user("uid=a,ou=p,o=isp", 1, "1", "a@d.test")]).await;
    let real =
        Entry::new(dn("ou=p,o=isp")).with("description", "real").with("objectClass", "organizationalUnit");
    let found = found_of(real, Some([9; 16]), "1");
    let applied = apply(&directory, &[Step::Put(Box::new(found))]).await;
    assert_eq!(applied.modified, 1);
    apply(&directory, &[Step::Gone(dn("ou=p,o=isp"))]).await;
    assert!(
        matches!(directory.entry(&dn("ou=p,o=isp")), Lookup::Found(entry) if entry.text("description").is_none())
    );
    apply(&directory, &[Step::Gone(dn("uid=a,ou=p,o=isp"))]).await;
    assert_eq!(directory.counts().unwrap().entries, 0, "nothing is left standing");
}

#[tokio::test]
async fn rows_beside_are_written_with_the_steps() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let beside = vec![(SYNC, b"cookie/x".to_vec(), b"1".to_vec())];
    directory.apply(&[], &beside, &origin("ldap")).await.unwrap();
    let view = directory.raw_view().unwrap();
    assert_eq!(view.snapshot.get(SYNC, b"cookie/x").unwrap().as_deref(), Some(b"1".as_slice()));
}

/// What a source might hold: entries by name, each with a lasting name of its own and an address of few.
type Held = BTreeMap<u8, (u8, u8)>;

fn held_steps(held: &Held, version: usize) -> Vec<Step> {
    let step = |(name, (uuid, mail)): (&u8, &(u8, u8))| {
        let name = format!("uid=n{name},ou=p{},o=isp", name % 3);
        user(&name, *uuid, &format!("{version:05}"), &format!("a{mail}@d.test"))
    };
    held.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a source turns into, in whatever order it is told of it: the tree keeps its rules; told again, nothing
    /// changes; and every entry whose address nobody else wants is there.
    #[test]
    fn the_tree_follows_any_source(states in proptest::collection::vec(
        proptest::collection::btree_map(0_u8..8, (1_u8..12, 0_u8..8), 0..8), 1..6
    )) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let directory = open(dir.path());
            let mut before = Held::new();
            for (version, mut held) in states.into_iter().enumerate() {
                // A lasting name belongs to one entry.
                let mut seen = std::collections::HashSet::new();
                held.retain(|_, (uuid, _)| seen.insert(*uuid));
                let mut steps = held_steps(&held, version);
                let gone = before.keys().filter(|name| !held.contains_key(name));
                steps.extend(gone.map(|name| Step::Gone(dn(&format!("uid=n{name},ou=p{},o=isp", name % 3)))));
                apply(&directory, &steps).await;
                // What was freed by the first round is taken in the second.
                apply(&directory, &held_steps(&held, version)).await;
                let csn = directory.csn();
                let again = apply(&directory, &held_steps(&held, version)).await;
                assert_eq!((changes(&again), directory.csn()), (0, csn), "told again, it changes something");
                for (name, (_, mail)) in &held {
                    if held.values().filter(|(_, other)| other == mail).count() == 1 {
                        let address = format!("a{mail}@d.test");
                        let owner = owner(&directory, &address);
                        let own = format!("uid=n{name},ou=p{},o=isp", name % 3);
                        // Somebody who is refused may keep it, with a last good version.
                        assert!(owner.is_some(), "{address} of {own} leads nowhere");
                    }
                }
                before = held;
            }
        });
    }
}

#[tokio::test]
async fn what_is_not_logged_is_read_anew_and_what_comes_afterwards_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    apply(&directory, &[user("uid=a,o=isp", 1, "1", "a@d.test")]).await;
    let before = directory.csn();
    let steps = [user("uid=b,o=isp", 2, "1", "b@d.test"), user("uid=c,o=isp", 3, "1", "c@d.test")];
    let unlogged = Origin { logging: Logging::Rebuild, ..origin("ldap") };
    let applied = directory.apply(&steps, &Vec::new(), &unlogged).await.unwrap();
    assert_eq!((applied.added, applied.csn), (2, before + 2));
    assert_eq!(directory.csn(), before, "nobody is told before all is in");
    assert_eq!(directory.changes_since(before).unwrap(), Changes::Rebuild { csn: before + 2 });
    apply(&directory, &[user("uid=d,o=isp", 4, "1", "d@d.test")]).await;
    match directory.changes_since(before + 2).unwrap() {
        Changes::List { changes, csn } => assert_eq!((changes.len(), csn), (1, before + 3)),
        Changes::Rebuild { .. } => panic!("it was logged"),
    }
}

#[tokio::test]
async fn what_was_staged_gives_way_to_what_came_since() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let Step::Put(found) = user("uid=a,o=isp", 1, "1", "a@d.test") else { unreachable!("it puts") };
    let staged = [Step::Staged(found)];
    // Its mark is not there: somebody else has put another one in its place.
    let applied = apply(&directory, &staged).await;
    assert_eq!(changes(&applied), 0);
    let applied =
        directory.apply(&staged, &Vec::new(), &Origin { overtaken: false, ..origin("ldap") }).await.unwrap();
    assert_eq!(applied.added, 1);
}

#[tokio::test]
async fn a_first_sync_knows_who_has_an_address_whoever_gave_it() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let taken = Arc::new(Taken::nothing(&directory.raw_view().unwrap().head().unwrap()));
    let first = Origin { taken: Some(taken), logging: Logging::Rebuild, ..origin("ldap") };
    let page = [user("uid=a,o=isp", 1, "1", "a@d.test")];
    assert_eq!(directory.apply(&page, &Vec::new(), &first).await.unwrap().added, 1);
    let page = [user("uid=b,o=isp", 2, "1", "A@d.test"), user("uid=c,o=isp", 3, "1", "c@d.test")];
    let applied = directory.apply(&page, &Vec::new(), &first).await.unwrap();
    assert_eq!((applied.added, applied.refusals), (1, 1));
    // A look-up came between two pages.
    apply(&directory, &[user("uid=d,o=isp", 4, "1", "d@d.test")]).await;
    let page = [user("uid=e,o=isp", 5, "1", "d@d.test"), user("uid=f,o=isp", 6, "1", "f@d.test")];
    let applied = directory.apply(&page, &Vec::new(), &first).await.unwrap();
    assert_eq!((applied.added, applied.refusals), (1, 1));
    for (name, address) in [("a", "a@d.test"), ("c", "c@d.test"), ("d", "d@d.test"), ("f", "f@d.test")] {
        assert_eq!(owner(&directory, address), Some(format!("uid={name},o=isp")), "{address}");
    }
    assert_eq!(directory.check(&mut |_| {}).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_a_name_that_is_too_long_the_entry_itself_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let directory = open(dir.path());
    let long = format!("uid=a,ou={},o=isp", "x".repeat(NAME_KEY_MAX));
    let applied = apply(&directory, &[user(&long, 1, "1", "a@d.test")]).await;
    let [(name, _, why)] = applied.refused.as_slice() else { panic!("{:?}", applied.refused) };
    assert_eq!((name, why), (&long, &EditError::NameTooLong(dn(&long)).to_string()));
}
