//! Rows that a plugin builds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use directory::{Directory, Edit, NewDomain, NewUser};
use hooks::{
    Attributes, BoxFuture, EntryRows, Failed, FailureKind, OnFailure, PluginName, Plugins, Role, Standing,
    Told,
};
use mail_types::{Address, Domain, Lookup, Timestamp};
use runtime::Random;

use super::following::{directory, dump, empty};
use super::from_dns::{over, said};
use super::*;

/// A plugin that gives a row for each `x-address` (`address>primary` for one of somebody else's), fails where an entry has `x-bad`, and is bound as the test says.
#[derive(Default)]
struct Fake {
    bound: Mutex<BTreeSet<&'static str>>,
    away: AtomicBool,
    rests: AtomicBool,
    version: Mutex<String>,
    calls: Mutex<Vec<(String, usize)>>,
    /// The domain about which it says nothing until it is woken.
    slow: Mutex<&'static str>,
    wakes: tokio::sync::Notify,
}

impl Fake {
    fn bound_to(domain: &'static str) -> Self {
        let fake = Self::default();
        fake.bound.lock().unwrap().insert(domain);
        fake
    }

    fn calls(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn rows(&self, entries: &[(String, Attributes)]) -> Result<Vec<EntryRows>, FailureKind> {
        if self.rests.load(Ordering::Relaxed) {
            return Err(FailureKind::Resting);
        }
        let version = self.version.lock().unwrap().clone();
        let row = |text: &String| {
            let (address, primary) = text.split_once('>').unwrap_or((text, ""));
            hooks::AliasRow {
                address: format!("{version}{address}"),
                primary: primary.to_owned(),
                kind: "user".to_owned(),
                relation: if primary.is_empty() { "primary" } else { "alternate" }.to_owned(),
                status: "active".to_owned(),
                ..hooks::AliasRow::default()
            }
        };
        entries
            .iter()
            .map(|(_, attributes)| {
                if attributes.iter().any(|(name, _)| name == "x-bad") {
                    return Err(FailureKind::Trap);
                }
                let own = attributes.iter().filter(|(name, _)| name == "x-address");
                Ok(EntryRows { aliases: own.map(|(_, value)| row(value)).collect(), routes: Vec::new() })
            })
            .collect()
    }
}

impl Plugins for Fake {
    fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName> {
        let here = role == Role::RouteTable && self.bound.lock().unwrap().contains(domain.as_str());
        here.then(|| "fake".parse().unwrap()).into_iter().collect()
    }

    fn any_bound(&self, role: Role) -> bool {
        role == Role::RouteTable
    }

    fn stamp(&self, _: Role) -> String {
        if self.away.load(Ordering::Relaxed) {
            return String::new();
        }
        format!("{:?} {}", self.bound.lock().unwrap(), self.version.lock().unwrap())
    }

    fn standing(&self, plugin: &PluginName, _: Role, _: &Domain) -> Standing {
        match plugin.as_str() {
            "other" => Standing::Without,
            "fake" if !self.away.load(Ordering::Relaxed) => Standing::Ready,
            _ => Standing::Absent,
        }
    }

    fn build_rows<'a>(
        &'a self,
        plugin: &'a PluginName,
        domain: &'a Domain,
        entries: &'a [(String, Attributes)],
    ) -> BoxFuture<'a, Told<Vec<EntryRows>>> {
        self.calls.lock().unwrap().push((domain.to_string(), entries.len()));
        let answer = self.rows(entries).map_err(|kind| Failed {
            plugin: plugin.clone(),
            kind,
            message: "for the test".to_owned(),
            on_failure: OnFailure::Tempfail,
        });
        Box::pin(async move {
            tokio::task::yield_now().await;
            if *self.slow.lock().unwrap() == domain.as_str() {
                self.wakes.notified().await;
            }
            let report = hooks::CallReport { digest: "0a1b2c".to_owned(), ..hooks::CallReport::default() };
            Told { answer, report }
        })
    }
}

fn domain(name: &str) -> NewDomain {
    NewDomain {
        domain: Domain::parse(name).unwrap(),
        administrator: Address::parse("admin@elsewhere.test").ok(),
        attributes: Vec::new(),
    }
}

fn entry(name: &str, of: &str, addresses: &[&str]) -> Entry {
    let dn = Dn::parse(&format!("cn={name},o={of},o=isp")).unwrap();
    let entry = Entry::new(dn).with("objectClass", "user");
    addresses.iter().fold(entry, |entry, address| entry.with("x-address", *address))
}

fn user(address: &str) -> NewUser {
    NewUser {
        address: Address::parse(address).unwrap(),
        name: None,
        passwords: Vec::new(),
        alternates: Vec::new(),
        attributes: Vec::new(),
    }
}

/// A directory of two domains, the first a plugin's, and tables that follow it.
async fn two_domains(dir: &std::path::Path, fake: &Fake) -> (Directory, Tables) {
    let (directory, tables) = (directory(dir), empty(dir, "tables"));
    for name in ["a.test", "b.test"] {
        directory.add_domain(&domain(name)).await.unwrap();
    }
    tables.refresh_wholly(&directory, &with_plugins(fake)).await.unwrap();
    fake.calls();
    (directory, tables)
}

fn has(tables: &Tables, address: &str) -> bool {
    one(&tables.reader().unwrap(), address).is_some()
}

#[tokio::test]
async fn entries_of_a_bound_domain_are_the_plugins_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let edits = [
        Edit::Add(entry("x", "a.test", &["x@a.test", "y@a.test"])),
        Edit::Add(entry("z", "b.test", &["z@b.test"])),
    ];
    directory.edit(&edits).await.unwrap();
    directory.add_user(&user("native@b.test")).await.unwrap();
    directory.add_user(&user("native@a.test")).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert_eq!(fake.calls(), [("a.test".to_owned(), 2)], "both entries in one call");
    assert!(has(&tables, "x@a.test") && has(&tables, "y@a.test") && has(&tables, "native@b.test"));
    assert!(!has(&tables, "z@b.test") && !has(&tables, "native@a.test"), "each by its own builder");
    assert_eq!(one(&tables.reader().unwrap(), "x@a.test").unwrap().dn, "cn=x,o=a.test,o=isp");
    let state = tables.state().unwrap().unwrap();
    assert_eq!(state.builders, ["fake".parse().unwrap()]);
    let made_by = |dn: &str| tables.reader().unwrap().maker(dn).unwrap();
    assert_eq!(made_by("cn=x,o=a.test,o=isp").as_deref(), Some("fake 0a1b2c"));
    let native = one(&tables.reader().unwrap(), "native@b.test").unwrap().dn.into_owned();
    assert_eq!((made_by(&native), made_by("o=a.test,o=isp"), made_by("cn=nobody")), (None, None, None));
    // Only what changed is asked about again, and what is gone is gone.
    directory.edit(&[Edit::Modify(entry("x", "a.test", &["y@a.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert_eq!(fake.calls(), [("a.test".to_owned(), 1)]);
    assert!(!has(&tables, "x@a.test") && has(&tables, "y@a.test"));
    directory.edit(&[Edit::Remove(Dn::parse("cn=x,o=a.test,o=isp").unwrap())]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(!has(&tables, "y@a.test") && fake.calls().is_empty());
    assert!(tables.check(&mut |_| {}).unwrap().is_empty());
}

#[tokio::test]
async fn what_a_plugin_gave_under_a_name_that_its_domain_has_lost_goes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let of_domain = |names: &[&str]| {
        let Lookup::Found(known) = directory.domain(&Domain::parse("a.test").unwrap()) else { panic!() };
        let Lookup::Found(mut entry) = directory.entry(&known.base) else { panic!() };
        entry.replace("associatedDomain", names.iter().map(|name| name.as_bytes().to_vec()).collect());
        Edit::Modify(entry)
    };
    directory.edit(&[of_domain(&["x.test", "y.test"])]).await.unwrap();
    directory.edit(&[Edit::Add(entry("n", "a.test", &["n@a.test", "n@x.test", "n@y.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(["n@a.test", "n@x.test", "n@y.test"].iter().all(|address| has(&tables, address)));
    // Nobody can be asked: what may stay does.
    fake.away.store(true, Ordering::Relaxed);
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    directory.edit(&[of_domain(&["y.test"])]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "n@a.test") && has(&tables, "n@y.test") && !has(&tables, "n@x.test"));
    assert!(tables.check(&mut |_| {}).unwrap().is_empty());
}

#[tokio::test]
async fn a_bad_entry_keeps_its_rows_and_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    directory.edit(&[Edit::Add(entry("n7", "a.test", &["old@a.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    fake.calls();
    let added = (100..350).map(|n| Edit::Add(entry(&format!("n{n}"), "a.test", &[&format!("n{n}@a.test")])));
    let bad = Edit::Modify(entry("n7", "a.test", &["new@a.test"]).with("x-bad", "1"));
    let edits: Vec<Edit> = added.chain([bad]).collect();
    directory.edit(&edits).await.unwrap();
    directory.add_user(&user("native@b.test")).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    let calls = fake.calls();
    assert!(calls.iter().all(|(_, size)| *size <= ASKED_MAX as usize), "{calls:?}");
    assert!(calls.len() <= 3 + 20 + 20, "{}", calls.len());
    assert!((100..350).all(|n| has(&tables, &format!("n{n}@a.test"))));
    assert!(has(&tables, "native@b.test") && has(&tables, "old@a.test") && !has(&tables, "new@a.test"));
    let reader = tables.reader().unwrap();
    assert!(reader.is_waiting("a.test").unwrap() && !reader.is_waiting("b.test").unwrap());
    // By commands it is not asked about again; mended, it is.
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(fake.calls().is_empty());
    directory.edit(&[Edit::Modify(entry("n7", "a.test", &["new@a.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "new@a.test") && !has(&tables, "old@a.test"));
    assert!(!tables.reader().unwrap().is_waiting("a.test").unwrap());
}

#[tokio::test]
async fn many_bad_entries_hold_up_no_good_ones_and_a_plugin_that_always_fails_is_asked_in_measure() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let each_third = |n: u32, name: &str| {
        let entry = entry(name, "a.test", &[&format!("{name}@a.test")]);
        if n.is_multiple_of(3) { entry.with("x-bad", "1") } else { entry }
    };
    let edits: Vec<Edit> = (0..180).map(|n| Edit::Add(each_third(n, &format!("n{n}")))).collect();
    directory.edit(&edits).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!((0..180_u32).all(|n| has(&tables, &format!("n{n}@a.test")) != n.is_multiple_of(3)));
    // All that come next are bad: one round leaves most of them unasked.
    fake.calls();
    let edits: Vec<Edit> = (0..90).map(|n| Edit::Add(each_third(3 * n, &format!("b{n}")))).collect();
    directory.edit(&edits).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    let calls = fake.calls();
    assert!(calls.len() <= 20, "{calls:?}");
    // What has not failed yet is asked about first.
    directory.edit(&[Edit::Add(entry("z", "a.test", &["z@a.test"]))]).await.unwrap();
    for _ in 0..10 {
        tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    }
    assert!(has(&tables, "z@a.test"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_entry_is_asked_about_again_after_a_wait_that_doubles() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let clock = Clock::simulated(Timestamp(1_000_000_000));
    let builders = Builders { clock: &clock, ..with_plugins(&fake) };
    directory.edit(&[Edit::Add(entry("x", "a.test", &[]).with("x-bad", "1"))]).await.unwrap();
    let mut asked_after = Vec::new();
    for second in 0..75 {
        tables.refresh_wholly(&directory, &builders).await.unwrap();
        asked_after.extend(fake.calls().iter().map(|_| second));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(asked_after, [0, 10, 30, 70]);
}

#[tokio::test]
async fn a_plugin_that_rests_is_not_asked_entry_by_entry() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let edits: Vec<Edit> =
        (0..250).map(|n| Edit::Add(entry(&format!("n{n}"), "a.test", &[&format!("n{n}@a.test")]))).collect();
    directory.edit(&edits).await.unwrap();
    fake.rests.store(true, Ordering::Relaxed);
    directory.add_user(&user("native@b.test")).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert_eq!(fake.calls().len(), 1);
    assert!(has(&tables, "native@b.test") && tables.reader().unwrap().is_waiting("a.test").unwrap());
    fake.rests.store(false, Ordering::Relaxed);
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!((0..250).all(|n| has(&tables, &format!("n{n}@a.test"))));
}

#[tokio::test]
async fn what_is_in_force_decides_and_what_is_away_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    directory.edit(&[Edit::Add(entry("x", "a.test", &["x@a.test"]))]).await.unwrap();
    directory.add_user(&user("native@a.test")).await.unwrap();
    tables.refresh_wholly(&directory, &with_plugins(&fake)).await.unwrap();
    // Another version gives other rows.
    *fake.version.lock().unwrap() = "v2".to_owned();
    assert!(tables.refresh_wholly(&directory, &with_plugins(&fake)).await.unwrap().full);
    assert!(has(&tables, "v2x@a.test") && !has(&tables, "x@a.test") && !has(&tables, "native@a.test"));
    // Away: its rows stay, and changes wait for it, over a full build too.
    fake.away.store(true, Ordering::Relaxed);
    directory.edit(&[Edit::Modify(entry("x", "a.test", &["y@a.test"]))]).await.unwrap();
    fake.calls();
    for _ in 0..2 {
        tables.refresh_wholly(&directory, &with_plugins(&fake)).await.unwrap();
        tables.rebuild_from(&directory, &with_plugins(&fake)).await.unwrap();
        assert!(has(&tables, "v2x@a.test") && !has(&tables, "native@a.test"));
        assert!(tables.reader().unwrap().is_waiting("a.test").unwrap() && fake.calls().is_empty());
        let made_by = tables.reader().unwrap().maker("cn=x,o=a.test,o=isp").unwrap();
        assert_eq!(made_by.as_deref(), Some("fake 0a1b2c"), "who built what stays is still known");
    }
    fake.away.store(false, Ordering::Relaxed);
    tables.refresh_wholly(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "v2y@a.test") && !has(&tables, "v2x@a.test"));
    // Bound no more: the native builder's.
    fake.bound.lock().unwrap().clear();
    tables.refresh_wholly(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "native@a.test") && !has(&tables, "v2y@a.test"));
    assert!(tables.check(&mut |_| {}).unwrap().is_empty());
}

#[tokio::test]
async fn a_domains_entry_binds_a_plugin_and_a_plugin_that_was_never_there_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::default();
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    directory.add_user(&user("native@a.test")).await.unwrap();
    directory.edit(&[Edit::Add(entry("x", "a.test", &["x@a.test"]))]).await.unwrap();
    bind(&directory, "a.test", &["missing", "other"]).await;
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "native@a.test") && !has(&tables, "x@a.test") && fake.calls().is_empty());
    bind(&directory, "a.test", &["missing", "rewrite fake"]).await;
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "native@a.test") && fake.calls().is_empty());
    bind(&directory, "a.test", &["missing", "route-table fake"]).await;
    assert!(!tables.refresh(&directory, &with_plugins(&fake)).await.unwrap().full);
    assert!(!has(&tables, "native@a.test") && has(&tables, "x@a.test"));
    bind(&directory, "a.test", &[]).await;
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(has(&tables, "native@a.test") && !has(&tables, "x@a.test"));
}

#[tokio::test]
async fn a_plugin_that_is_slow_keeps_no_other_domains_rows_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    fake.bound.lock().unwrap().insert("b.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    *fake.slow.lock().unwrap() = "a.test";
    let builders = with_plugins(&fake);
    let add = async |name: &'static str, of: &'static str| {
        let edits = [Edit::Add(entry(name, of, &[&format!("{name}@{of}")]))];
        directory.edit(&edits).await.unwrap();
    };
    add("x", "a.test").await;
    add("y", "b.test").await;
    let slow = Domain::parse("a.test").unwrap();
    let mut waits = Box::pin(tables.refresh_for(Some(&slow), &directory, &builders));
    // Whoever waits for an address of the one domain does not wait for the other's plugin …
    let quick = Domain::parse("b.test").unwrap();
    tokio::select! {
        biased;
        _ = &mut waits => panic!("it has not answered"),
        done = tables.refresh_for(Some(&quick), &directory, &builders) => drop(done.unwrap()),
    }
    assert!(has(&tables, "y@b.test") && !has(&tables, "x@a.test"));
    // … nor does who follows, change after change …
    let shutdown = runtime::Shutdown::new();
    let follows = tables.follow(&directory, &builders, &shutdown);
    let changes = async {
        for name in ["z1", "z2"] {
            add(name, "b.test").await;
            while !has(&tables, &format!("{name}@b.test")) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        shutdown.trigger();
    };
    tokio::select! {
        biased;
        _ = &mut waits => panic!("it has not answered"),
        _ = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(follows, changes) }) => {}
    }
    assert!(has(&tables, "z2@b.test") && !has(&tables, "x@a.test"));
    // … nor the start of a server.
    let patience = Duration::from_millis(10);
    tables.refresh_within(patience, &directory, &builders).await.unwrap();
    fake.wakes.notify_one();
    waits.await.unwrap();
    assert!(has(&tables, "x@a.test"));
}

#[tokio::test]
async fn a_row_leads_to_nobodys_mailbox_and_mail_waits_until_somebody_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::bound_to("a.test");
    let (directory, tables) = two_domains(dir.path(), &fake).await;
    let alias = entry("x", "a.test", &["x@a.test>u@a.test", "@a.test>catcher@a.test"]);
    directory.edit(&[Edit::Add(alias)]).await.unwrap();
    let routing = over(tables.clone());
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    let (short, explained) = said(&routing, "x@a.test").await;
    assert_eq!(short, "450");
    assert!(
        explained.contains("the mailbox of u@a.test, and no row says that somebody has it"),
        "{explained}"
    );
    assert_eq!(said(&routing, "whoever@a.test").await.0, "450");
    directory.edit(&[Edit::Add(entry("u", "a.test", &["u@a.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert!(said(&routing, "x@a.test").await.0.starts_with("250 store:u@a.test"));
    // A row that is an alias itself is no mailbox.
    directory.edit(&[Edit::Add(entry("c", "a.test", &["catcher@a.test>u@a.test"]))]).await.unwrap();
    tables.refresh(&directory, &with_plugins(&fake)).await.unwrap();
    assert_eq!(said(&routing, "whoever@a.test").await.0, "450");
}

/// Gives a domain's entry plugins.
async fn bind(directory: &Directory, of: &str, plugins: &[&str]) {
    let Lookup::Found(mut entry) = directory.entry(&Dn::parse(&format!("o={of},o=isp")).unwrap()) else {
        panic!("{of} has no entry")
    };
    entry.replace("wasmtaPlugin", plugins.iter().map(|name| name.as_bytes().to_vec()).collect());
    directory.edit(&[Edit::Modify(entry)]).await.unwrap();
}

/// One random edit; edits that the directory refuses change nothing.
async fn edit(directory: &Directory, fake: &Fake, random: &Random) {
    let of = ["a.test", "b.test", "c.test"][usize::try_from(random.below(3)).unwrap()];
    let (name, address) = (format!("n{}", random.below(8)), format!("a{}@{of}", random.below(8)));
    let changed = entry(&name, of, &[&address]);
    let edits = match random.below(8) {
        0 | 1 => Edit::Add(changed),
        2 | 3 => Edit::Modify(changed),
        4 => Edit::Remove(changed.dn),
        5 => return drop(directory.add_user(&user(&format!("u{}@{of}", random.below(5)))).await),
        6 if random.below(2) == 0 => return drop(directory.add_domain(&domain(of)).await),
        6 => {
            let name = Domain::parse(of).unwrap();
            return drop(directory.remove_domain(&name, directory::DomainUsers::Remove).await);
        }
        _ => {
            if random.below(4) == 0 {
                *fake.version.lock().unwrap() = format!("v{}", random.below(3));
            } else if let Lookup::Found(_) = directory.entry(&Dn::parse(&format!("o={of},o=isp")).unwrap()) {
                bind(directory, of, if random.below(2) == 0 { &["route-table fake"] } else { &[] }).await;
            }
            return;
        }
    };
    drop(directory.edit(&[edits]).await);
}

#[tokio::test]
async fn following_with_a_plugin_ends_where_a_full_build_ends() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Arc::new(Fake::bound_to("c.test"));
    let (directory, followed) = two_domains(dir.path(), &fake).await;
    let built = empty(dir.path(), "built");
    let random = Random::seeded(11);
    for round in 0..120 {
        for _ in 0..=random.below(5) {
            edit(&directory, &fake, &random).await;
        }
        followed.refresh_wholly(&directory, &with_plugins(&*fake)).await.unwrap();
        assert_eq!(followed.check(&mut |_| {}).unwrap(), Vec::<String>::new(), "{round}");
        if round % 4 == 3 {
            built.rebuild_from(&directory, &with_plugins(&*fake)).await.unwrap();
            built.refresh_wholly(&directory, &with_plugins(&*fake)).await.unwrap();
            let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) = (dump(&followed), dump(&built));
            assert_eq!(a, b, "{round}");
        }
    }
    assert!(!fake.calls().is_empty());
}
