//! Rows from entries, rebuilt and followed.

use std::sync::LazyLock;

use directory::{Dn, Entry, LdifReader, Schema, Status, Typed};
use events::Events;
use runtime::Clock;

use super::reader::Claim;
use super::row::{AliasRow, RowKind};
use super::*;

const DIRECTORY: &str = "\
dn: dc=example,dc=org,o=internet
objectClass: inetDomain
objectClass: mailDomain
dc: example
inetDomainBaseDN: o=example.org
mailRoutingSmartHost: smart.example.net

dn: uid=ann,o=example.org
objectClass: inetMailUser
uid: ann
mail: Ann@example.org
mailAlternateAddress: ann.bee@example.org
mailAlternateAddress: @sub.example.org
mailEquivalentAddress: annie@example.org

dn: uid=bob,o=example.org
objectClass: inetMailUser
uid: bob
mail: bob@example.org

dn: cn=team,o=example.org
objectClass: inetMailGroup
mail: team@example.org
uniqueMember: uid=ann,o=example.org
mgrpRFC822MailMember: far@example.com
";

fn entries(text: &str) -> Vec<Entry> {
    LdifReader::new(text.as_bytes()).map(|record| record.expect("good LDIF").entry).collect()
}

fn typed(text: &str) -> Vec<Typed> {
    let schema = Schema::product();
    entries(text).into_iter().map(|entry| Typed::read(entry, &schema)).collect()
}

async fn tables(dir: &tempfile::TempDir) -> Tables {
    let options = storage::Options { size_max: 1 << 30, synced: false, ..storage::Options::default() };
    let tables = Tables::new(Storage::open(dir.path(), SPACES, &options).unwrap());
    build(&tables, DIRECTORY, 7).await;
    tables
}

/// The native builder alone.
fn native() -> Builders<'static> {
    with_plugins(&hooks::NoPlugins)
}

fn with_plugins(plugins: &dyn hooks::Plugins) -> Builders<'_> {
    static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::system);
    static EVENTS: LazyLock<Events> = LazyLock::new(|| Events::counting(Clock::system()));
    Builders { plugins, events: &EVENTS, clock: &CLOCK }
}

async fn build(tables: &Tables, text: &str, csn: u64) -> (u64, u64) {
    let mut rebuild = tables.rebuild().await.unwrap();
    for entry in typed(text) {
        rebuild.add(&entry, &Schema::product()).await.unwrap();
    }
    rebuild.finish(csn).await.unwrap()
}

async fn replace<const N: usize>(tables: &Tables, changed: [(Dn, Option<Typed>); N], csn: u64) {
    let changed = changed.into_iter().collect();
    tables.replace(&changed, &Schema::product(), csn, &native()).await.unwrap();
}

fn one(reader: &Reader, name: &str) -> Option<AliasRow<'static>> {
    match reader.alias(name).unwrap() {
        None => None,
        Some(Claim::One(row)) => Some(row.into_owned()),
        Some(Claim::Several(rows)) => panic!("{rows:?}"),
    }
}

#[test]
fn an_ordinary_user_has_a_row_of_its_name_only() {
    let bob = &typed(DIRECTORY)[2];
    let rows = rows_of(bob, &Schema::product());
    assert!(rows.aliases[0].1.is_plain(), "{rows:?}");
    let mut value = Vec::new();
    rows.aliases[0].1.write(&mut value);
    assert_eq!(value.len(), 4 + 2 + "uid=bob,o=example.org".len());
    assert_eq!(AliasRow::read_only(&value).unwrap(), rows.aliases[0].1);
}

#[test]
fn rows_are_read_back_as_they_were_written() {
    for entry in typed(DIRECTORY) {
        let rows = rows_of(&entry, &Schema::product());
        for (_, row) in &rows.aliases {
            let mut value = Vec::new();
            row.write(&mut value);
            row.write(&mut value);
            assert_eq!(AliasRow::read_all(&value).unwrap(), [row.clone(), row.clone()]);
            assert!(AliasRow::read_all(&value[..value.len() - 1]).is_none());
        }
        for (_, row) in &rows.domains {
            let mut value = Vec::new();
            row.write(&mut value);
            assert_eq!(row::DomainRow::read_all(&value).unwrap(), std::slice::from_ref(row));
        }
    }
}

#[tokio::test]
async fn a_build_is_found_by_every_address() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(&dir).await;
    let reader = tables.reader().unwrap();
    assert_eq!(reader.state().csn, 7);
    for name in ["ann@example.org", "ann.bee@example.org", "annie@example.org", "@sub.example.org"] {
        let row = one(&reader, name).expect(name);
        assert_eq!(
            (&*row.dn, row.kind, row.status),
            ("uid=ann,o=example.org", RowKind::User, Status::Active)
        );
    }
    assert!(one(&reader, "nobody@example.org").is_none());
    assert_eq!(
        reader.key_of(&Dn::parse("UID=ann, o=Example.org").unwrap()).unwrap().unwrap(),
        "ann@example.org"
    );
    let domain = reader.domain("example.org").unwrap().unwrap();
    assert_eq!(domain.smart_host.as_deref(), Some("smart.example.net"));
    assert!(reader.domain("org").unwrap().is_none());
}

#[tokio::test]
async fn a_changed_entry_replaces_exactly_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(&dir).await;
    let before = tables.reader().unwrap();
    let ann = Dn::parse("uid=ann,o=example.org").unwrap();
    let bob = Dn::parse("uid=bob,o=example.org").unwrap();
    // Ann's alternate goes to Bob, Bob's address to nobody, in one batch.
    let changed = typed(
        "dn: uid=ann,o=example.org\nobjectClass: inetMailUser\nmail: ann@example.org\n\n\
         dn: uid=bob,o=example.org\nobjectClass: inetMailUser\nmail: ann.bee@example.org\n",
    );
    let mut changed = changed.into_iter();
    let list = [(ann.clone(), changed.next()), (bob.clone(), changed.next())];
    replace(&tables, list, 9).await;
    let after = tables.reader().unwrap();
    assert_eq!(after.state().csn, 9);
    assert_eq!(one(&after, "ann.bee@example.org").unwrap().dn, "uid=bob,o=example.org");
    assert!(one(&after, "bob@example.org").is_none() && one(&after, "annie@example.org").is_none());
    assert_eq!(one(&after, "ann@example.org").unwrap().dn, "uid=ann,o=example.org");
    // A reader keeps the view it began with.
    assert_eq!(one(&before, "ann.bee@example.org").unwrap().dn, "uid=ann,o=example.org");
    replace(&tables, [(ann, None), (bob, None)], 10).await;
    let gone = tables.reader().unwrap();
    assert!(one(&gone, "ann@example.org").is_none() && one(&gone, "team@example.org").is_some());
}

#[tokio::test]
async fn a_rebuild_swaps_and_a_dropped_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(&dir).await;
    let mut dropped = tables.rebuild().await.unwrap();
    dropped.add(&typed(DIRECTORY)[2], &Schema::product()).await.unwrap();
    drop(dropped);
    assert!(one(&tables.reader().unwrap(), "team@example.org").is_some());
    let small = "dn: uid=carl,o=example.org\nobjectClass: inetMailUser\nmail: carl@example.org\n";
    assert_eq!(build(&tables, small, 11).await, (1, 1));
    let reader = tables.reader().unwrap();
    assert!(one(&reader, "carl@example.org").is_some() && one(&reader, "ann@example.org").is_none());
    // Of two builds at once each writes its own rows, and the second to finish loses.
    let (mut first, mut second) = (tables.rebuild().await.unwrap(), tables.rebuild().await.unwrap());
    first.add(&typed(small)[0], &Schema::product()).await.unwrap();
    second.add(&typed(small)[0], &Schema::product()).await.unwrap();
    first.finish(12).await.unwrap();
    assert!(matches!(second.finish(12).await, Err(TableError::Storage(StorageError::Conflict(_)))));
    assert!(one(&tables.reader().unwrap(), "carl@example.org").is_some());
    let first = tables.rebuild().await.unwrap();
    replace(&tables, [], 20).await;
    // A change in between does not get lost in a build that began before it.
    assert!(matches!(first.finish(13).await, Err(TableError::Storage(StorageError::Conflict(_)))));
}

#[tokio::test]
async fn a_claim_of_an_earlier_chunk_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(&dir).await;
    let user = |name: &str, mail: &str| {
        let text = format!("dn: uid={name},o=x\nobjectClass: inetMailUser\nmail: {mail}@example.org\n");
        typed(&text).remove(0)
    };
    let mut rebuild = tables.rebuild().await.unwrap();
    for number in 0..=rebuild::CHUNK_MAX {
        let name = number.to_string();
        rebuild.add(&user(&name, &name), &Schema::product()).await.unwrap();
    }
    rebuild.add(&user("late", "0"), &Schema::product()).await.unwrap();
    rebuild.finish(8).await.unwrap();
    let reader = tables.reader().unwrap();
    assert!(matches!(reader.alias("0@example.org").unwrap(), Some(Claim::Several(rows)) if rows.len() == 2));
    assert_eq!(one(&reader, "1@example.org").unwrap().dn, "uid=1,o=x");
}

#[tokio::test]
async fn two_entries_with_one_primary_address_are_at_odds() {
    let dir = tempfile::tempdir().unwrap();
    let tables = tables(&dir).await;
    let text = "dn: uid=a,o=x\nobjectClass: inetMailUser\nmail: same@example.org\nmailAlternateAddress: b@example.org\n\n\
         dn: uid=b,o=x\nobjectClass: inetMailUser\nmail: b@example.org\nmailAlternateAddress: same@example.org\n\n\
         dn: uid=c,o=x\nobjectClass: inetMailUser\nmail: same@example.org\n";
    build(&tables, text, 1).await;
    let reader = tables.reader().unwrap();
    // A primary address goes before another's alternate.
    assert_eq!(one(&reader, "b@example.org").unwrap().dn, "uid=b,o=x");
    assert!(
        matches!(reader.alias("same@example.org").unwrap(), Some(Claim::Several(rows)) if rows.len() == 2)
    );
}

mod following;
mod from_dns;
mod plugins;
