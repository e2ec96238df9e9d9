//! The tables after many edits are the tables of a full build.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use directory::{Directory, DirectoryOptions, Edit, NewDomain, NewUser};
use mail_types::{Address, Domain, Lookup};
use runtime::{Clock, Random, Shutdown};

use super::*;

fn storage(dir: &std::path::Path, spaces: &[Space]) -> Storage {
    let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
    Storage::open(dir, spaces, &options).unwrap()
}

pub(super) fn directory(dir: &std::path::Path) -> Directory {
    let storage = storage(&dir.join("directory"), directory::SPACES);
    Directory::open(storage, Clock::system(), DirectoryOptions::default()).unwrap()
}

pub(super) fn empty(dir: &std::path::Path, name: &str) -> Tables {
    Tables::new(storage(&dir.join(name), SPACES))
}

/// All keys with their rows, without generation and order of claims.
pub(super) fn dump(tables: &Tables) -> BTreeMap<String, Vec<Vec<u8>>> {
    let snapshot = tables.storage.read().unwrap();
    let mut all = BTreeMap::new();
    for space in [DOMAINS, ALIASES] {
        let visit = &mut |key: &[u8], value: &[u8]| {
            let mut rows: Vec<Vec<u8>> = row::split(value).unwrap().into_iter().map(<[u8]>::to_vec).collect();
            rows.sort();
            all.insert(format!("{} {}", space.name(), String::from_utf8_lossy(&key[1..])), rows);
            ControlFlow::Continue(())
        };
        snapshot.scan(space, &[0], &[0xff; 300], visit).unwrap();
    }
    all
}

fn new_domain(name: &str) -> NewDomain {
    NewDomain {
        domain: Domain::parse(name).unwrap(),
        administrator: Address::parse("user1@example.org").ok(),
        attributes: Vec::new(),
    }
}

fn new_user(address: &str, alternates: &[&str]) -> NewUser {
    NewUser {
        address: Address::parse(address).unwrap(),
        name: None,
        passwords: Vec::new(),
        alternates: alternates.iter().map(|text| Address::parse(text).unwrap()).collect(),
        attributes: Vec::new(),
    }
}

/// A name as others write it, or as it is.
fn respelt(dn: &Dn, random: &Random) -> Dn {
    let text = dn.to_string();
    Dn::parse(&[text.to_uppercase(), text.to_lowercase(), text][usize::try_from(random.below(3)).unwrap()])
        .unwrap()
}

/// One random edit; edits that the directory refuses change nothing.
async fn edit(directory: &Directory, random: &Random) {
    let (user, other) = (random.below(12), random.below(12));
    let address = format!("user{user}@example.org");
    match random.below(8) {
        0 | 1 => drop(directory.add_user(&new_user(&address, &[&format!("alt{other}@example.org")])).await),
        2 => drop(directory.remove_user(&address).await),
        3 => drop(directory.add_domain(&new_domain(&format!("sub{}.example.org", other % 3))).await),
        4 => {
            let name = Domain::parse(&format!("sub{}.example.org", other % 3)).unwrap();
            drop(directory.remove_domain(&name, directory::DomainUsers::Remove).await);
        }
        5 => {
            let Lookup::Found(user) = directory.by_address(&Address::parse(&address).unwrap()) else {
                return;
            };
            drop(directory.edit(&[Edit::Remove(respelt(&user.dn, random))]).await);
        }
        6 => {
            let domain = Domain::parse(&format!("sub{}.example.org", other % 3)).unwrap();
            let Lookup::Found(found) = directory.domain(&domain) else { return };
            let Lookup::Found(mut entry) = directory.entry(&found.dn) else { return };
            entry.dn = respelt(&entry.dn, random);
            drop(directory.edit(&[Edit::Modify(entry)]).await);
        }
        _ => {
            let Lookup::Found(mut entry) = directory.by_address(&Address::parse(&address).unwrap()) else {
                return;
            };
            entry.dn = respelt(&entry.dn, random);
            entry.replace("mailEquivalentAddress", vec![format!("eq{other}@example.org").into_bytes()]);
            entry.replace("mailUserStatus", vec![b"inactive".to_vec()]);
            drop(directory.edit(&[Edit::Modify(entry)]).await);
        }
    }
}

#[tokio::test]
async fn following_ends_where_a_full_build_ends() {
    let dir = tempfile::tempdir().unwrap();
    let directory = directory(dir.path());
    let (followed, built) = (empty(dir.path(), "followed"), empty(dir.path(), "built"));
    directory.add_domain(&new_domain("example.org")).await.unwrap();
    assert!(followed.refresh(&directory, &native()).await.unwrap().full);
    let random = Random::seeded(7);
    for round in 0..150 {
        for _ in 0..=random.below(4) {
            edit(&directory, &random).await;
        }
        let done = followed.refresh(&directory, &native()).await.unwrap();
        assert!(!done.full && done.csn == directory.csn(), "{round}: {done:?}");
        assert_eq!(followed.check(&mut |_| {}).unwrap(), Vec::<String>::new(), "{round}");
        if round % 10 == 9 {
            built.rebuild_from(&directory, &native()).await.unwrap();
            assert_eq!(dump(&followed), dump(&built), "{round}");
        }
    }
}

#[tokio::test]
async fn of_those_who_wait_for_a_build_one_builds() {
    let dir = tempfile::tempdir().unwrap();
    let (directory, tables) = (directory(dir.path()), empty(dir.path(), "tables"));
    directory.add_domain(&new_domain("example.org")).await.unwrap();
    let (one, other) = (native(), native());
    let (one, other) = tokio::join!(tables.refresh(&directory, &one), tables.refresh(&directory, &other));
    let done = [one.unwrap(), other.unwrap()];
    assert_eq!(done.iter().filter(|done| done.full).count(), 1, "{done:?}");
    assert!(done.iter().all(|done| done.csn == directory.csn()), "{done:?}");
}

#[tokio::test]
async fn somebody_just_added_is_found_without_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let (directory, tables) = (directory(dir.path()), empty(dir.path(), "tables"));
    directory.add_domain(&new_domain("example.org")).await.unwrap();
    let shutdown = Shutdown::new();
    let (follower, source, stop) = (tables.clone(), directory.clone(), shutdown.clone());
    let following = tokio::spawn(async move { follower.follow(&source, &native(), &stop).await });
    let mut newest = directory.subscribe();
    directory.add_user(&new_user("new@example.org", &[])).await.unwrap();
    newest.changed().await.unwrap();
    // By command the answer waits for the tables; the follower does the same work by itself.
    tables.refresh(&directory, &native()).await.unwrap();
    assert!(one(&tables.reader().unwrap(), "new@example.org").is_some());
    shutdown.trigger();
    following.await.unwrap();
}

#[tokio::test]
async fn the_watermark_outlives_the_process_and_another_format_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (directory, tables) = (directory(dir.path()), empty(dir.path(), "tables"));
    assert!(matches!(tables.reader(), Err(TableError::NotBuilt)));
    directory.add_domain(&new_domain("example.org")).await.unwrap();
    tables.refresh(&directory, &native()).await.unwrap();
    let state = tables.state().unwrap().unwrap();
    tables.storage.close().await;
    drop(tables);
    directory.add_user(&new_user("new@example.org", &[])).await.unwrap();
    let tables = empty(dir.path(), "tables");
    let done = tables.refresh(&directory, &native()).await.unwrap();
    assert_eq!((done.full, done.entries), (false, 1));
    let mut batch = storage::Batch::new();
    batch.put(STATE, STATE_KEY, rebuild::encode(&State { format: FORMAT + 1, ..state }));
    tables.storage.commit(batch).await.unwrap();
    assert!(matches!(tables.reader(), Err(TableError::NotBuilt)));
    assert!(tables.refresh(&directory, &native()).await.unwrap().full);
    assert!(one(&tables.reader().unwrap(), "new@example.org").is_some());
}

#[tokio::test]
async fn a_check_finds_rows_without_entry_and_entries_without_row() {
    let dir = tempfile::tempdir().unwrap();
    let tables = empty(dir.path(), "tables");
    build(&tables, DIRECTORY, 1).await;
    assert!(tables.check(&mut |_| {}).unwrap().is_empty());
    let generation = tables.state().unwrap().unwrap().generation;
    let mut batch = storage::Batch::new();
    batch.delete(ALIASES, &key(generation, "annie@example.org"));
    batch.delete(ORIGINS, &origin_key(generation, &Dn::parse("uid=bob,o=example.org").unwrap()));
    batch.put(ALIASES, &key(generation, "x@example.org"), [1, 2, 3]);
    tables.storage.commit(batch).await.unwrap();
    assert_eq!(
        tables.check(&mut |_| {}).unwrap(),
        [
            "bob@example.org has a row of uid=bob,o=example.org, whose list does not have it",
            "the rows of x@example.org cannot be read",
            "an entry lists annie@example.org, which has no row",
        ]
    );
}
