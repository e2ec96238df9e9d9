mod lists;

use std::collections::{BTreeMap, VecDeque};

use dns::{BoxFuture, Content, FetchError, MxRecord, MxSet, TableSource};
use tokio::sync::Notify;

use super::*;
use crate::change::{Changes, Operation};
use crate::directory::tests::{domain, open};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::error::EditError;
use crate::kind::Typed;

/// Says what it was told to say, in order; then that nobody is there.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Fetched, FetchError>>>,
    /// The versions that were known when it was asked.
    known: Mutex<Vec<Option<u32>>>,
    /// The domains that were asked about alone.
    looked_up: Mutex<Vec<String>>,
    identity: String,
}

impl TableSource for Scripted {
    fn fetch<'a>(&'a self, known: Known<'a>, _: Asked) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            self.known.lock().push(known.serial);
            let next = self.answers.lock().pop_front();
            next.unwrap_or_else(|| Err(FetchError("nobody is there".to_owned())))
        })
    }

    fn fetch_one<'a>(
        &'a self,
        known: Known<'a>,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.looked_up.lock().push(domain.to_string());
        self.fetch(known, Asked::News)
    }

    fn asks_each(&self) -> bool {
        self.identity.contains("list")
    }

    fn place(&self) -> String {
        format!("{} from the test", self.identity)
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }
}

fn set(text: &str) -> MxSet {
    let record = |text: &str| {
        let (preference, host) = text.split_once(' ').unwrap();
        MxRecord { preference: preference.parse().unwrap(), host: host.to_owned() }
    };
    MxSet(text.split(", ").filter(|text| !text.is_empty()).map(record).collect())
}

fn fetched(serial: u32, content: Content) -> Result<Fetched, FetchError> {
    let second = Duration::from_secs(1);
    let (again, retry, expire) = (3600 * second, 600 * second, Some(86_400 * second));
    Ok(Fetched { serial: Some(serial), content, again, retry, expire, left_out: 1, failures: Vec::new() })
}

fn domains(list: &[(&str, &str)]) -> BTreeMap<Domain, MxSet> {
    list.iter().map(|(name, records)| (domain(name), set(records))).collect()
}

fn whole(serial: u32, list: &[(&str, &str)]) -> Result<Fetched, FetchError> {
    fetched(serial, Content::Whole(domains(list)))
}

fn changed(serial: u32, list: &[(&str, &str)]) -> Result<Fetched, FetchError> {
    fetched(serial, Content::Changed(domains(list)))
}

fn table(
    name: &str,
    identity: &str,
    answers: Vec<Result<Fetched, FetchError>>,
) -> (TableOptions, Arc<Scripted>) {
    let source =
        Scripted { answers: Mutex::new(answers.into()), identity: identity.to_owned(), ..Default::default() };
    let source = Arc::new(source);
    let options = TableOptions {
        name: name.to_owned(),
        source: Arc::clone(&source) as Arc<dyn TableSource>,
        refuse_unknown: false,
        removals_free: 2,
        removals_percent_max: 20,
        covers: Arc::new(|_| true),
        changed: Arc::new(Notify::new()),
    };
    (options, source)
}

async fn tables(directory: &Directory, options: Vec<TableOptions>) -> DomainTables {
    let told = (directory.0.clock.clone(), Events::counting(directory.0.clock.clone()));
    DomainTables::open(directory.clone(), options, vec!["US.test".to_owned()], told).await.unwrap()
}

async fn read(tables: &DomainTables, at: usize) -> Result<TableRead, String> {
    tables.read(at, Asked::News, Trust::Guarded).await
}

/// What is in force: domain, `here` or `relay`, origin.
fn in_force(directory: &Directory) -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    directory
        .scan_dns_domains(&mut |found| {
            all.push((found.domain.to_string(), if found.relay { "relay" } else { "here" }, found.origin));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    all
}

fn names(directory: &Directory) -> Vec<String> {
    in_force(directory).into_iter().map(|(name, ..)| name).collect()
}

const ZONE: [(&str, &str); 3] = [
    ("backup.test", "10 other.test, 20 us.test"),
    ("local.test", "10 us.test"),
    ("not.test", "10 other.test"),
];

#[tokio::test]
async fn domains_that_lead_here_stand_in_the_change_log_with_their_records() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (options, _) = table("t", "zone", vec![whole(1, &ZONE), changed(2, &[("local.test", "")])]);
    let tables = tables(&directory, vec![options]).await;
    let before = directory.csn();
    assert_eq!(read(&tables, 0).await.unwrap(), TableRead { changed: 3, changed_here: 2, refused: None });
    let expected = [
        (
            "backup.test",
            "relay",
            "dns: backup.test. MX 10 other.test., MX 20 us.test. (zone from the test, serial 1)",
        ),
        ("local.test", "here", "dns: local.test. MX 10 us.test. (zone from the test, serial 1)"),
    ];
    let expected = expected.map(|(name, what, origin)| (name.to_owned(), what, origin.to_owned()));
    assert_eq!(in_force(&directory), expected);
    let Changes::List { changes, .. } = directory.changes_since(before).unwrap() else { panic!("rebuild") };
    let dns: Vec<String> = changes.iter().map(|change| change.dn.to_string()).collect();
    assert_eq!(dns, ["dc=backup,dc=test,cn=dns-tables", "dc=local,dc=test,cn=dns-tables"]);
    let Lookup::Found(Typed::FromDns(found)) = directory.typed(&changes[0].dn) else { panic!("no domain") };
    assert!(found.relay);
    // Its records go, and nothing else changes.
    let before = directory.csn();
    assert_eq!(read(&tables, 0).await.unwrap(), TableRead { changed: 1, changed_here: 1, refused: None });
    assert_eq!(names(&directory), ["backup.test"]);
    let Changes::List { changes, .. } = directory.changes_since(before).unwrap() else { panic!("rebuild") };
    let [change] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(change.operation, Operation::Removed);
    assert!(matches!(directory.typed(&change.dn), Lookup::NotFound));
    let status = &tables.status()[0];
    let counts = (status.serial, status.domains, status.ours, status.relayed, status.left_out);
    assert_eq!(counts, (Some(2), 2, 1, 1, 1));
}

#[tokio::test]
async fn what_was_known_last_stays_over_failures_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (options, _) = table("t", "zone", vec![whole(7, &ZONE)]);
    let before = tables(&directory, vec![options]).await;
    assert!(matches!(before.knows_of(&domain("new.test")), Lookup::Unavailable(_)));
    read(&before, 0).await.unwrap();
    assert!(matches!(before.knows_of(&domain("new.test")), Lookup::NotFound));
    assert_eq!(read(&before, 0).await.unwrap_err(), "nobody is there");
    assert_eq!(names(&directory), ["backup.test", "local.test"]);
    drop(before);
    let (options, source) = table("t", "zone", vec![]);
    let after = tables(&directory, vec![options]).await;
    assert_eq!(names(&directory), ["backup.test", "local.test"]);
    let status = &after.status()[0];
    assert_eq!((status.serial, status.domains), (Some(7), 3));
    assert_eq!(status.failure.as_ref().unwrap().1, "nobody is there");
    read(&after, 0).await.unwrap_err();
    assert_eq!(*source.known.lock(), [Some(7)], "differences to that version are asked for");
    assert_eq!(names(&directory), ["backup.test", "local.test"]);
}

/// As long as it is held, a paused clock stands until it is advanced. Of itself it jumps to the next time limit whenever all
/// tasks wait, and those that wait for a commit wait for another thread.
fn still() -> std::sync::mpsc::Sender<()> {
    let (held, until_dropped) = std::sync::mpsc::channel();
    tokio::task::spawn_blocking(move || until_dropped.recv());
    held
}

#[tokio::test(start_paused = true)]
async fn an_expired_table_stays_in_force_and_says_so() {
    let _still = still();
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (options, _) = table("t", "zone", vec![whole(7, &ZONE)]);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    tokio::time::advance(Duration::from_secs(90_000)).await;
    read(&tables, 0).await.unwrap_err();
    let status = &tables.status()[0];
    assert!(status.is_expired);
    assert_eq!(names(&directory), ["backup.test", "local.test"]);
    let counted = tables.0.events.counters().all();
    assert!(counted.iter().any(|(name, count)| *name == "dns_table_failed" && *count == 1));
}

#[tokio::test]
async fn an_answer_that_lacks_too_much_is_not_believed_but_by_word() {
    let many: Vec<(String, &str)> = (0..10).map(|n| (format!("d{n}.test"), "10 us.test")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, records)| (name.as_str(), *records)).collect();
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let small = whole(2, &many[..7]);
    let answers = vec![whole(1, &many), small.clone(), whole(2, &many[..8]), small.clone(), whole(3, &[])];
    let (options, _) = table("t", "zone", answers);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    let why = read(&tables, 0).await.unwrap_err();
    assert!(
        why.starts_with("3 of 10 domains would go") && why.contains("wasmta sync dns t --force"),
        "{why}"
    );
    assert_eq!((names(&directory).len(), tables.status()[0].serial), (10, Some(1)));
    read(&tables, 0).await.unwrap();
    assert_eq!(names(&directory).len(), 8);
    tables.rebuild(0, true).await.unwrap();
    assert_eq!(names(&directory).len(), 7);
    tables.rebuild(0, true).await.unwrap();
    assert_eq!(names(&directory).len(), 0);
}

#[tokio::test]
async fn a_zone_that_shows_none_of_several_any_more_is_not_believed_however_few_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let answers = vec![whole(1, &ZONE), whole(2, &[]), whole(2, &ZONE[1..]), whole(3, &[])];
    let (options, _) = table("t", "zone", answers);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    let why = read(&tables, 0).await.unwrap_err();
    assert!(why.starts_with("all 2 domains would go") && why.contains("sync dns t --force"), "{why}");
    assert_eq!(names(&directory).len(), 2);
    // One after the other they may.
    read(&tables, 0).await.unwrap();
    read(&tables, 0).await.unwrap();
    assert_eq!(names(&directory).len(), 0);
}

#[tokio::test]
async fn a_table_that_is_configured_no_more_takes_its_domains_along() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (one, _) = table("one", "zone", vec![whole(1, &ZONE)]);
    let (two, _) =
        table("two", "list", vec![whole(1, &[("two.test", "1 us.test"), ("local.test", "1 a.test")])]);
    let both = tables(&directory, vec![one.clone(), two.clone()]).await;
    read(&both, 0).await.unwrap();
    read(&both, 1).await.unwrap();
    // The first that has a domain decides.
    assert_eq!(names(&directory), ["backup.test", "local.test", "two.test"]);
    let swapped = tables(&directory, vec![two.clone(), one]).await;
    assert_eq!(names(&directory), ["backup.test", "two.test"]);
    drop(swapped);
    let alone = tables(&directory, vec![two]).await;
    assert_eq!(names(&directory), ["two.test"]);
    drop(alone);
    // Another zone under the same name begins from nothing.
    let (other, _) = table("two", "another list", vec![]);
    tables(&directory, vec![other]).await;
    assert_eq!(names(&directory), Vec::<String>::new());
}

#[tokio::test]
async fn a_change_that_is_told_of_is_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (options, _) = table("t", "zone", vec![whole(1, &ZONE), changed(2, &[("new.test", "1 us.test")])]);
    let told = Arc::clone(&options.changed);
    let tables = tables(&directory, vec![options]).await;
    let (stop, mut newest) = (Shutdown::new(), directory.subscribe());
    let (running, ending) = (tables.clone(), stop.clone());
    let run = tokio::spawn(async move { running.run(&ending).await });
    newest.wait_for(|csn| *csn >= 2).await.unwrap();
    told.notify_one();
    newest.wait_for(|csn| *csn >= 3).await.unwrap();
    assert!(names(&directory).contains(&"new.test".to_owned()));
    stop.trigger();
    run.await.unwrap();
}

#[tokio::test]
async fn no_entry_may_be_where_the_dns_has_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let entry = Entry::new(records::top().unwrap()).with("objectClass", "top");
    let refused = directory.edit(&[Edit::Add(entry)]).await;
    assert!(matches!(refused, Err(EditError::Reserved(_))), "{refused:?}");
}
