//! Lists, whose domains are asked about one by one, and look-ups for mail that waits.

use super::*;

fn some(list: &[(&str, &str)]) -> Result<Fetched, FetchError> {
    Ok(Fetched { serial: None, expire: None, left_out: 0, ..changed(0, list).unwrap() })
}

/// An answer about some, and none about others.
fn partial(list: &[(&str, &str)], failures: &[&str]) -> Result<Fetched, FetchError> {
    let failures = failures.iter().map(|why| (*why).to_owned()).collect();
    Ok(Fetched { failures, ..some(list).unwrap() })
}

/// A list of these domains alone.
fn list(covered: &[&str], answers: Vec<Result<Fetched, FetchError>>) -> (TableOptions, Arc<Scripted>) {
    let (options, source) = table("l", "list", answers);
    let covered: Vec<Domain> = covered.iter().map(|name| domain(name)).collect();
    (TableOptions { covers: Arc::new(move |one| covered.contains(one)), ..options }, source)
}

fn counted(tables: &DomainTables, name: &str) -> u64 {
    let counted = tables.0.events.counters().all();
    counted.iter().find(|(counter, _)| *counter == name).map_or(0, |(_, count)| *count)
}

#[tokio::test]
async fn a_domain_that_nobody_answered_for_is_not_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let covered = ["one.test", "two.test", "none.test"];
    let first = partial(&[("one.test", "10 us.test"), ("none.test", "")], &["two.test: no answer"]);
    let (options, _) = list(&covered, vec![first]);
    let before = tables(&directory, vec![options]).await;
    let read = read(&before, 0).await.unwrap();
    assert_eq!((read.changed, read.changed_here), (1, 1), "that one has none is no change");
    assert_eq!(before.status()[0].domains, 1);
    assert!(matches!(before.knows_of(&domain("none.test")), Lookup::NotFound));
    assert!(matches!(before.knows_of(&domain("two.test")), Lookup::Unavailable(_)));
    drop(before);
    // A restart with another list, and nobody answers.
    let (options, _) = list(&["one.test", "none.test", "three.test"], vec![]);
    let after = tables(&directory, vec![options]).await;
    assert_eq!(names(&directory), ["one.test"]);
    assert!(matches!(after.knows_of(&domain("none.test")), Lookup::NotFound), "it was asked before");
    for name in ["three.test", "none.test"] {
        // Nobody answers, and asked live, that is not known either.
        assert!(matches!(after.look_up(&domain(name)).await, Lookup::Unavailable(_)), "{name}");
    }
    assert!(matches!(after.look_up(&domain("two.test")).await, Lookup::NotFound), "it is in no table");
}

#[tokio::test]
async fn a_domain_without_records_lets_the_next_table_decide() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let (one, _) = list(&["a.test"], vec![some(&[("a.test", "")])]);
    let (two, _) = table("two", "zone", vec![whole(1, &[("a.test", "10 us.test")])]);
    let both = tables(&directory, vec![one, two]).await;
    read(&both, 0).await.unwrap();
    read(&both, 1).await.unwrap();
    assert_eq!(names(&directory), ["a.test"]);
}

#[tokio::test]
async fn where_the_first_table_decides_the_next_need_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let elsewhere = || some(&[("a.test", "10 other.test")]);
    let (one, _) = list(&["a.test", "b.test"], vec![elsewhere(), some(&[("b.test", "")])]);
    let (two, source) = table("two", "zone", vec![]);
    let both = tables(&directory, vec![one, two]).await;
    assert!(matches!(both.look_up(&domain("a.test")).await, Lookup::NotFound));
    assert!(source.known.lock().is_empty());
    // Where it has none, the next one would decide.
    assert!(matches!(both.look_up(&domain("b.test")).await, Lookup::Unavailable(_)));
    let said: Vec<TableMeans> = both.said_of(&domain("a.test")).into_iter().map(|one| one.means).collect();
    assert_eq!(said, [TableMeans::NotOurs, TableMeans::Unread]);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_mail_comes_for_is_asked_about_at_once_and_no_more_than_once() {
    let _still = still();
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let answers =
        vec![some(&[("new.test", "")]), some(&[("new.test", "")]), some(&[("new.test", "10 us.test")])];
    let (options, source) = list(&["new.test", "other.test"], answers);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    let new = domain("new.test");
    // A storm of questions is one question.
    let storm: Vec<_> = (0..50)
        .map(|_| {
            let (tables, new) = (tables.clone(), new.clone());
            tokio::spawn(async move { tables.look_up(&new).await })
        })
        .collect();
    for one in storm {
        assert!(matches!(one.await.unwrap(), Lookup::NotFound));
    }
    assert_eq!(*source.looked_up.lock(), ["new.test"]);
    tokio::time::advance(Duration::from_millis(2100)).await;
    assert!(matches!(tables.look_up(&new).await, Lookup::Found(())));
    assert_eq!(names(&directory), ["new.test"]);
    assert!(matches!(tables.look_up(&domain("nobodys.test")).await, Lookup::NotFound));
    // Nobody answers: that is remembered for a moment, too.
    for _ in 0..3 {
        assert!(matches!(tables.look_up(&domain("other.test")).await, Lookup::Unavailable(_)));
    }
    assert_eq!(*source.looked_up.lock(), ["new.test", "new.test", "other.test"]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_is_asked_for_its_news_whatever_the_domain() {
    let _still = still();
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let news = changed(2, &[("new.test", "20 us.test, 10 a.test")]);
    let (options, source) = table("t", "zone", vec![whole(1, &ZONE), fetched(1, Content::Same), news]);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    for name in ["new.test", "nobodys.test", "third.test"] {
        assert!(matches!(tables.look_up(&domain(name)).await, Lookup::NotFound), "{name}");
    }
    assert_eq!(source.known.lock().len(), 2, "one question for all of the zone");
    tokio::time::advance(Duration::from_millis(2100)).await;
    assert!(matches!(tables.look_up(&domain("new.test")).await, Lookup::Found(())));
    tokio::time::advance(Duration::from_millis(2100)).await;
    assert!(matches!(tables.look_up(&domain("nobodys.test")).await, Lookup::Unavailable(_)), "it is away");
    assert_eq!(tables.status()[0].failure.as_ref().unwrap().1, "nobody is there");
}

#[tokio::test(start_paused = true)]
async fn what_goes_from_a_list_is_counted_over_an_hour_and_a_refusal_stands() {
    let _still = still();
    let all: Vec<String> = (0..10).map(|n| format!("d{n}.test")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let here: Vec<(&str, &str)> = all.iter().map(|name| (*name, "10 us.test")).collect();
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let mut answers = vec![some(&here)];
    // One by one, as their times are up; with the third it is too much: two of ten are free, and 20 %.
    answers.extend(all.iter().take(4).map(|name| some(&[(*name, "")])));
    answers.push(fetched(0, Content::Same));
    answers.push(some(&[("d3.test", "10 us.test"), ("late.test", "5 us.test")]));
    answers.push(some(&[("d4.test", "")]));
    let (options, _) = list(&[&all[..], &["late.test"]].concat(), answers);
    let tables = tables(&directory, vec![options]).await;
    for _ in 0..3 {
        assert_eq!(read(&tables, 0).await.unwrap().refused, None);
    }
    assert_eq!(names(&directory).len(), 8);
    let why = read(&tables, 0).await.unwrap().refused.unwrap();
    assert!(why.starts_with("3 of 10 domains would go"), "{why}");
    assert!(why.contains("`wasmta sync dns l --force`"), "{why}");
    let why = read(&tables, 0).await.unwrap().refused.unwrap();
    assert!(why.starts_with("4 of 10"), "{why}");
    // Nothing is due: the refusal stands.
    let told = counted(&tables, "dns_table_failed");
    assert_eq!(read(&tables, 0).await.unwrap().refused, Some(why.clone()));
    assert_eq!(tables.status()[0].failure.as_ref().unwrap().1, why);
    assert_eq!(counted(&tables, "dns_table_failed"), told, "told once");
    // One is back, and a new one comes, which nothing holds up.
    let why = read(&tables, 0).await.unwrap().refused.unwrap();
    assert!(why.starts_with("3 of 10"), "{why}");
    assert_eq!(names(&directory).len(), 9);
    // An hour later those that went are forgotten: two may go.
    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!(read(&tables, 0).await.unwrap().refused, None);
    assert_eq!(names(&directory).len(), 7);
    assert_eq!(tables.status()[0].failure, None);
}

#[tokio::test]
async fn what_is_held_goes_by_an_operators_word() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let here = [("a.test", "1 us.test"), ("b.test", "1 us.test"), ("c.test", "1 us.test")];
    let gone = [("a.test", ""), ("b.test", ""), ("c.test", "1 other.test")];
    let answers = vec![some(&here), some(&gone), some(&gone[..1])];
    let (options, _) = list(&["a.test", "b.test", "c.test"], answers);
    let tables = tables(&directory, vec![options]).await;
    read(&tables, 0).await.unwrap();
    assert!(read(&tables, 0).await.unwrap().refused.is_some());
    assert_eq!(names(&directory).len(), 3);
    let forced = tables.rebuild(0, true).await.unwrap();
    assert_eq!((forced.changed_here, forced.refused), (3, None));
    assert_eq!(names(&directory), Vec::<String>::new());
}

#[tokio::test]
async fn a_domain_that_never_answers_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    let round = partial(&[("a.test", "1 us.test")], &["b.test: no answer"]);
    let (options, _) = list(&["a.test", "b.test"], vec![round.clone(), round.clone(), round]);
    let tables = tables(&directory, vec![options]).await;
    for _ in 0..3 {
        read(&tables, 0).await.unwrap();
    }
    let told = ["dns_table_read", "dns_table_failed"].map(|name| counted(&tables, name));
    assert_eq!(told, [1, 1]);
}
