//! Domains that the DNS leads here: beside entries, behind entries, and what becomes of their mail.

use directory::{Dn, DnsDomain, Entry, Schema, Typed};
use hooks::NoPlugins;
use mail_types::{Address, Domain, ForwardPath, ReversePath};
use runtime::Random;
use storage::Storage;

use crate::resolve::{Options, Request, Resolution};
use crate::rewrite::rules::{RuleOptions, Rules};
use crate::rewrite::tags::ChannelTags;
use crate::tables::{SPACES, Tables};
use crate::{ExplainedOutcome, Routing};

const RULES: &str = "here.test $U%$D@local\nboth.test $U%$D@local\nsub.up.test $U%$D@local\na.test $U%$D@local\n. $U%$H@smtp\n";

fn from_dns(name: &str, relay: bool, refuse_unknown: bool) -> Typed {
    let domain = Domain::parse(name).unwrap();
    let top = Dn::root().child("cn", directory::DNS_TOP).unwrap();
    let dn = Dn::from_domain(&domain, &top).unwrap();
    let origin = format!("dns: {name}. MX 10 us.test. (zone test from 192.0.2.1:53, serial 42)");
    Typed::FromDns(Box::new(DnsDomain { dn, domain, relay, refuse_unknown, origin }))
}

fn entry(dn: &str, class: &str, values: &[(&str, &str)]) -> Typed {
    let entry = Entry::new(Dn::parse(dn).unwrap()).with("objectClass", class);
    let entry = values.iter().fold(entry, |entry, (name, value)| entry.with(name, *value));
    Typed::read(entry, &Schema::product())
}

async fn routing(dir: &tempfile::TempDir, all: &[Typed]) -> Routing {
    let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
    let tables = Tables::new(Storage::open(dir.path(), SPACES, &options).unwrap());
    let mut rebuild = tables.rebuild_with(&NoPlugins).await.unwrap();
    for one in all {
        rebuild.add(one, &Schema::product()).await.unwrap();
    }
    rebuild.finish(1).await.unwrap();
    over(tables)
}

/// What decides by tables.
pub(super) fn over(tables: Tables) -> Routing {
    let rules = Rules::parse(RULES, "t.rules", &RuleOptions::new(&ChannelTags::builtin())).unwrap();
    let name = |name| Domain::parse(name).unwrap();
    let options = Options::new(&name("us.test"), name("default.test"));
    Routing::new(tables, rules, options, Random::seeded(1))
}

/// `250` with channel and next hop, or the code of the refusal; and the explanation.
pub(super) async fn said(routing: &Routing, recipient: &str) -> (String, String) {
    let path = ForwardPath::from(Address::parse(recipient).unwrap());
    let reverse_path = &ReversePath::Null;
    let request = Request {
        recipient: &path,
        reverse_path,
        source: "smtp",
        authenticated: None,
        size: None,
        relay: false,
        released: &[],
        again: false,
        id: "m1",
    };
    let short = match routing.resolve(&request).await {
        Resolution::Accepted(all) => format!("250 {}", all[0].route),
        Resolution::Refused(refusal) => refusal.reply.code.to_string(),
    };
    let explained = routing.explain(&request).await;
    match &explained.outcome {
        ExplainedOutcome::Accepted(_) => assert!(short.starts_with("250")),
        ExplainedOutcome::Refused { code, .. } => assert_eq!(*code, short.parse::<u16>().unwrap()),
    }
    (short, explained.to_string())
}

#[tokio::test]
async fn a_domain_that_leads_here_has_the_users_of_the_directory_and_defers_others() {
    let dir = tempfile::tempdir().unwrap();
    let user = entry("uid=u,o=isp", "inetMailUser", &[("uid", "u"), ("mail", "u@here.test")]);
    let routing = routing(&dir, &[user, from_dns("here.test", false, false)]).await;
    let (short, explained) = said(&routing, "u@here.test").await;
    assert!(short.starts_with("250 store"), "{short}");
    assert!(explained.contains("[dns: here.test. MX 10 us.test. (zone test"), "{explained}");
    let (short, explained) = said(&routing, "nobody@here.test").await;
    assert_eq!(short, "450");
    assert!(explained.contains("by the DNS alone") && explained.contains("serial 42"), "{explained}");
    assert!(said(&routing, "postmaster@here.test").await.0.starts_with("250"));
}

#[tokio::test]
async fn unknown_users_are_refused_for_good_where_the_table_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let routing = routing(&dir, &[from_dns("here.test", false, true)]).await;
    assert_eq!(said(&routing, "nobody@here.test").await.0, "550");
}

#[tokio::test]
async fn of_a_backup_domain_mail_goes_to_its_mail_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let routing = routing(&dir, &[from_dns("backup.test", true, false)]).await;
    let (short, explained) = said(&routing, "anybody@backup.test").await;
    assert_eq!(short, "250 smtp:backup.test");
    assert!(explained.contains("handed on to them  [dns: backup.test."), "{explained}");
    assert_eq!(said(&routing, "anybody@elsewhere.test").await.0, "550", "that is no relaying for all");
}

#[tokio::test]
async fn the_directory_wins() {
    let dir = tempfile::tempdir().unwrap();
    let both = entry("o=both.test,o=isp", "mailDomain", &[("associatedDomain", "both.test")]);
    let up = [("associatedDomain", "up.test"), ("mailDomainUplevel", "1")];
    let up = entry("o=up.test,o=isp", "mailDomain", &up);
    let all = [from_dns("both.test", true, false), both, up, from_dns("sub.up.test", true, false)];
    let routing = routing(&dir, &all).await;
    for recipient in ["nobody@both.test", "nobody@sub.up.test"] {
        let (short, explained) = said(&routing, recipient).await;
        assert_eq!(short, "550", "{explained}");
        assert!(!explained.contains("dns:"), "{explained}");
    }
    assert_eq!(routing.tables().check(&mut |_| {}).unwrap(), Vec::<String>::new());
}
