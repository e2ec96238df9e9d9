//! What a miss comes to: the source has it, has it not, or does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use directory::{Dn, Entry, Schema, Typed};
use hooks::NoPlugins;
use mail_types::{Domain, ForwardPath, ReversePath};
use runtime::Random;
use storage::Storage;

use super::*;
use crate::resolve::{NESTING_MAX, Options, Request, Resolution};
use crate::rewrite::rules::{RuleOptions, Rules};
use crate::rewrite::tags::ChannelTags;
use crate::tables::{SPACES, Tables};

const RULES: &str = "here.example $U%$D@local\nforwarded.example $U%$D@local\n. $U%$H@smtp\n";

/// A source that answers every question alike, and adds what it has to the tables before it says so.
struct Fake {
    tables: Tables,
    answer: Lookup<Vec<Entry>>,
    asked: AtomicUsize,
    /// Tables are built one after the other.
    turn: tokio::sync::Mutex<()>,
}

impl Source for Fake {
    fn look_up<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, Lookup<()>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.clone();
            if let Lookup::Found(entries) = &answer {
                build(&self.tables, entries).await;
            }
            answer.map(drop)
        })
    }

    fn look_up_entry<'a>(&'a self, _: &'a Dn) -> BoxFuture<'a, Lookup<()>> {
        Box::pin(async move {
            let _one = self.turn.lock().await;
            self.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.clone();
            if let Lookup::Found(entries) = &answer {
                build(&self.tables, entries).await;
            }
            answer.map(drop)
        })
    }
}

fn entry(dn: &str, class: &str, values: &[(&str, &str)]) -> Entry {
    let entry = Entry::new(Dn::parse(dn).unwrap()).with("objectClass", class);
    values.iter().fold(entry, |entry, (name, value)| entry.with(name, *value))
}

fn domain() -> Entry {
    entry("o=here.example,o=isp", "mailDomain", &[("o", "here.example")])
}

async fn build(tables: &Tables, entries: &[Entry]) {
    let schema = Schema::product();
    let mut rebuild = tables.rebuild_with(&NoPlugins).await.unwrap();
    for entry in entries {
        rebuild.add(&Typed::read(entry.clone(), &schema), &schema).await.unwrap();
    }
    rebuild.finish(1).await.unwrap();
}

async fn routing(dir: &tempfile::TempDir, answer: Lookup<Vec<Entry>>) -> (Routing, Arc<Fake>) {
    let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
    let tables = Tables::new(Storage::open(dir.path(), SPACES, &options).unwrap());
    build(&tables, &[domain()]).await;
    let rules = Rules::parse(RULES, "t.rules", &RuleOptions::new(&ChannelTags::builtin())).unwrap();
    let name = |name| Domain::parse(name).unwrap();
    let options = Options::new(&name("mail.example"), name("here.example"));
    let fake = Arc::new(Fake {
        tables: tables.clone(),
        answer,
        asked: AtomicUsize::new(0),
        turn: tokio::sync::Mutex::default(),
    });
    let routing = Routing::new(tables, rules, options, Random::seeded(1));
    (routing.with_source(Arc::clone(&fake) as Arc<dyn Source>), fake)
}

async fn code(routing: &Routing, recipient: &str, relay: bool) -> u16 {
    let path = ForwardPath::from(Address::parse(recipient).unwrap());
    let reverse_path = &ReversePath::Null;
    let request = Request {
        recipient: &path,
        reverse_path,
        source: "smtp",
        authenticated: None,
        size: None,
        relay,
        released: &[],
        again: false,
        id: "m1",
    };
    match routing.resolve(&request).await {
        Resolution::Accepted(_) => 250,
        Resolution::Refused(refusal) => refusal.reply.code,
    }
}

#[tokio::test]
async fn what_the_source_has_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let user = entry("uid=new,o=here.example,o=isp", "inetMailUser", &[("mail", "new@here.example")]);
    let (routing, fake) = routing(&dir, Lookup::Found(vec![domain(), user])).await;
    assert_eq!(code(&routing, "new@here.example", false).await, 250);
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
    assert_eq!(code(&routing, "new@here.example", false).await, 250);
    assert_eq!(fake.asked.load(Ordering::SeqCst), 1, "what is known is not asked about");
}

#[tokio::test]
async fn what_it_has_not_is_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (routing, fake) = routing(&dir, Lookup::NotFound).await;
    assert_eq!(code(&routing, "nobody@here.example", false).await, 550);
    assert_eq!(code(&routing, "x@elsewhere.example", false).await, 550, "relaying");
    assert_eq!(fake.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_source_that_does_not_answer_refuses_nothing_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (routing, _) = routing(&dir, Lookup::Unavailable("down".to_owned())).await;
    assert_eq!(code(&routing, "nobody@here.example", false).await, 451);
    assert_eq!(code(&routing, "x@elsewhere.example", false).await, 451);
    assert_eq!(code(&routing, "x@elsewhere.example", true).await, 250, "mail that leaves needs no directory");
}

#[tokio::test]
async fn a_source_that_always_has_more_is_asked_so_often_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (routing, fake) = routing(&dir, Lookup::Found(vec![domain()])).await;
    assert_eq!(code(&routing, "nobody@here.example", false).await, 550);
    assert_eq!(fake.asked.load(Ordering::SeqCst), SOURCE_ROUNDS_MAX);
}

/// A group of entries, and what its mail comes to where the source answers so.
async fn group(answer: impl FnOnce(Vec<Entry>) -> Lookup<Vec<Entry>>, members: &[&str]) -> (u16, usize) {
    let dir = tempfile::tempdir().unwrap();
    let user = |name: &str| {
        let address = format!("{name}@here.example");
        entry(&format!("uid={name},o=here.example,o=isp"), "inetMailUser", &[("mail", address.as_str())])
    };
    let names: Vec<String> = members.iter().map(|name| format!("uid={name},o=here.example,o=isp")).collect();
    let mut values = vec![("mail", "team@here.example")];
    values.extend(names.iter().map(|name| ("uniqueMember", name.as_str())));
    let team = entry("cn=team,o=here.example,o=isp", "inetMailGroup", &values);
    let known = vec![domain(), team, user("known")];
    let (routing, fake) = routing(&dir, answer([known.clone(), vec![user("late")]].concat())).await;
    build(&fake.tables, &known).await;
    (code(&routing, "team@here.example", false).await, fake.asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn members_of_whom_there_is_no_row_are_asked_for() {
    assert_eq!(group(Lookup::Found, &["late"]).await, (250, 1));
    assert_eq!(group(Lookup::Found, &["known"]).await, (250, 0));
    // Who is nowhere is left out, among however many; where the source cannot say, nobody is.
    assert_eq!(group(|_| Lookup::NotFound, &["gone", "known"]).await, (250, 1));
    assert_eq!(group(|_| Lookup::NotFound, &["gone"]).await, (550, 1));
    assert_eq!(group(|_| Lookup::Unavailable("down".to_owned()), &["late", "known"]).await, (451, 1));
    let mut crowd: Vec<String> = (0..40).map(|number| format!("gone{number}")).collect();
    crowd.push("late".to_owned());
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    let (code, asked) = group(Lookup::Found, &crowd).await;
    assert!(code == 451 && asked > 40, "the fake has something for each, so there is always more: {asked}");
    assert_eq!(group(|_| Lookup::NotFound, &crowd).await, (550, 41));
    assert_eq!(group(|_| Lookup::Unavailable("down".to_owned()), &["late"]).await, (451, 1));
    // More members come in than one decision waits for: none is left out.
    assert_eq!(group(Lookup::Found, &["later", "known"]).await, (451, SOURCE_ROUNDS_MAX));
}

/// Knows no address, and never says whether it has an entry.
struct Silent;

impl Source for Silent {
    fn look_up<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, Lookup<()>> {
        Box::pin(async { Lookup::NotFound })
    }

    fn look_up_entry<'a>(&'a self, _: &'a Dn) -> BoxFuture<'a, Lookup<()>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_decision_does_not_wait_for_members_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let (routing, fake) = routing(&dir, Lookup::NotFound).await;
    let values = [("mail", "team@here.example"), ("uniqueMember", "uid=late,o=here.example,o=isp")];
    build(&fake.tables, &[domain(), entry("cn=team,o=here.example,o=isp", "inetMailGroup", &values)]).await;
    let routing = routing.with_source(Arc::new(Silent));
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let waits = tokio::time::timeout(2 * MEMBERS_WITHIN, code(&routing, "team@here.example", false));
    assert_eq!(waits.await, Ok(451));
    assert_eq!(began.elapsed().as_secs(), MEMBERS_WITHIN.as_secs());
}

#[tokio::test]
async fn groups_that_are_nested_too_deeply_leave_nobody_out_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (routing, fake) = routing(&dir, Lookup::NotFound).await;
    let user = entry("uid=u,o=here.example,o=isp", "inetMailUser", &[("mail", "u@here.example")]);
    let deep = NESTING_MAX + 1;
    let group = |at: usize| {
        let (name, mail) = (format!("cn=g{at},o=here.example,o=isp"), format!("g{at}@here.example"));
        let next =
            if at == deep { user.dn.to_string() } else { format!("cn=g{},o=here.example,o=isp", at + 1) };
        // Each has a member of its own beside the next group.
        let members =
            [("mail", &*mail), ("uniqueMember", &*next), ("mgrpRFC822MailMember", "far@there.example")];
        entry(&name, "inetMailGroup", &members)
    };
    let mut all = vec![domain(), user.clone()];
    all.extend((1..=deep).map(group));
    build(&fake.tables, &all).await;
    assert_eq!(code(&routing, "g1@here.example", false).await, 550);
    assert_eq!(code(&routing, "g3@here.example", false).await, 250);
}
