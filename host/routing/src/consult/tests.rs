//! Every verdict and every failure, by rule and by chain; how often plugins are asked, and about what.

use std::fmt::Write as _;

use directory::{LdifReader, Schema, Typed};
use hooks::{OnFailure, RewriteVerdict};
use mail_types::{Address, ChannelName, EnhancedStatus, ForwardPath, Lookup, NextHop, Recipient};
use mail_types::{Reply, ReversePath, Route};
use storage::Storage;

use super::*;
use crate::resolve::{Options, Resolution};
use crate::rewrite::control::Direction;
use crate::rewrite::rules::RuleOptions;
use crate::rewrite::tags::ChannelTags;
use crate::sender::{HeaderPlace, Verified};
use crate::tables::{SPACES, Tables};

#[path = "fake.rs"]
mod fake;
#[path = "round.rs"]
mod round;
use fake::Fake;

/// `chained.example` has a chain of two, `ruled.example` none: rules ask for it.
const DIRECTORY: &str = "\
dn: o=chained.example,o=isp
objectClass: mailDomain
o: chained.example
sunPreferredDomain: chained.example
associatedDomain: other-name.example
wasmtaPlugin: rewrite one
wasmtaPlugin: two

dn: o=ruled.example,o=isp
objectClass: mailDomain
o: ruled.example

dn: uid=ann,o=chained.example,o=isp
objectClass: inetMailUser
mail: ann@chained.example
mailAlternateAddress: ann@ruled.example
mailAlternateAddress: kept@chained.example
mailAlternateAddress: kept@ruled.example
wasmtaPlugin: disposition vacation-plus
wasmtaPlugin: two
";

const RULES: &str = "\
ruled.example $[one,find,$U]$E
ruled.example $[two,find,$\\$D]$E
ruled.example $U%$D@local
chained.example $U%$D@local
. $U%$H@smtp
";

async fn routing(dir: &tempfile::TempDir, rules: &str, more: &str, fake: &Fake) -> Routing {
    let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
    // Of their own: those of a test before may still be open for a moment after they are dropped.
    let own = tempfile::tempdir_in(dir.path()).unwrap().keep();
    let tables = Tables::new(Storage::open(&own, SPACES, &options).unwrap());
    let schema = Schema::product();
    let mut rebuild = tables.rebuild().await.unwrap();
    for record in LdifReader::new(format!("{DIRECTORY}\n{more}").as_bytes()) {
        rebuild.add(&Typed::read(record.unwrap().entry, &schema), &schema).await.unwrap();
    }
    rebuild.finish(1).await.unwrap();
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(rules, "t.rules", &RuleOptions::new(&tags)).unwrap();
    let domain = |name| Domain::parse(name).unwrap();
    let options = Options::new(&domain("mail.example"), domain("chained.example"));
    Routing::new(tables, rules, options, Random::seeded(1)).with_plugins(Arc::new(fake.clone()))
}

async fn resolve(routing: &Routing, recipient: &str) -> Resolution {
    let path = ForwardPath::from(address(recipient));
    routing.resolve(&request(&path)).await
}

fn request(path: &ForwardPath) -> Request<'_> {
    let reverse_path = &ReversePath::Null;
    Request {
        recipient: path,
        reverse_path,
        source: "smtp",
        authenticated: None,
        size: None,
        relay: false,
        released: &[],
        again: false,
        id: "m1",
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn show(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Refused(refusal) => refusal.reply.to_string(),
        Resolution::Accepted(recipients) => {
            let shown = recipients.iter().map(|one| format!("{} {}", one.address, one.route));
            shown.collect::<Vec<_>>().join(", ")
        }
    }
}

fn steps(resolution: &Resolution) -> Vec<String> {
    let Resolution::Accepted(recipients) = resolution else { panic!("{resolution:?}") };
    let step = |step: &crate::recorder::Step| {
        format!("{} [{}]", step.text, step.origin.as_deref().unwrap_or_default())
    };
    let plugin = |step: &&crate::recorder::Step| step.what == crate::recorder::StepKind::Plugin;
    recipients[0].steps.iter().filter(plugin).map(step).collect()
}

fn names(calls: &[fake::Call]) -> Vec<&str> {
    calls.iter().map(|(plugin, ..)| plugin.as_str()).collect()
}

/// What `one` says, by the local part; `two` rewrites what it is asked about to `second`.
fn by_local_part(plugin: &str, request: &RewriteRequest) -> Option<Result<RewriteVerdict, OnFailure>> {
    let ann = || address("ann@chained.example");
    let domain = &request.address.domain;
    Some(match (plugin, request.address.local.as_str()) {
        // Where the ways end.
        (_, "ann") => return None,
        ("one", "nomatch") => Ok(RewriteVerdict::NoMatch),
        ("one", "again") => Ok(RewriteVerdict::Again(address(&format!("nomatch@{domain}")))),
        ("one", "settled") => Ok(RewriteVerdict::Settled(address(&format!("kept@{domain}")))),
        ("one", "route") => Ok(RewriteVerdict::Route {
            address: ann(),
            channel: ChannelName::new("lmtp"),
            host: Domain::parse("store.example").ok(),
        }),
        ("one", "away") => Ok(RewriteVerdict::Route {
            address: address("x@far.example"),
            channel: ChannelName::new("smtp"),
            host: None,
        }),
        ("one", "local") => {
            Ok(RewriteVerdict::Route { address: ann(), channel: ChannelName::new("local"), host: None })
        }
        ("one", "nowhere") => {
            Ok(RewriteVerdict::Route { address: ann(), channel: ChannelName::new("none"), host: None })
        }
        ("one", "refuse") => {
            Ok(RewriteVerdict::Refuse(Reply::new(552, EnhancedStatus::permanent(2, 2), "no")))
        }
        ("one", "tempfail") => Err(OnFailure::Tempfail),
        ("one", "reject") => Err(OnFailure::Reject),
        ("one", "skip") => Err(OnFailure::Skip),
        ("one", "kept") => Err(OnFailure::Keep),
        ("two", _) => Ok(RewriteVerdict::Again(ann())),
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn every_verdict_and_every_failure_by_rule_and_by_chain() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(by_local_part);
    let routing = routing(&dir, RULES, "", &fake).await;
    let kept = "ann@chained.example store:ann@chained.example";
    let later = "451 4.3.0 This address cannot be decided on now, try again later";
    for (local, expected, called) in [
        ("nomatch", kept, &["one", "two"][..]),
        ("again", kept, &["one", "one", "two"]),
        ("settled", kept, &["one"]),
        ("route", "ann@chained.example lmtp:[store.example]", &["one"]),
        ("away", "x@far.example smtp:far.example", &["one"]),
        ("local", kept, &["one"]),
        ("nowhere", "550 5.3.5 The rewrite rules lead this address nowhere", &["one"]),
        ("refuse", "552 5.2.2 no", &["one"]),
        ("tempfail", later, &["one"]),
        ("reject", "550 5.3.0 This address cannot be decided on", &["one"]),
        ("skip", kept, &["one", "two"]),
        ("kept", kept, &["one"]),
    ] {
        for domain in ["ruled.example", "chained.example"] {
            let recipient = format!("{local}@{domain}");
            let answer = resolve(&routing, &recipient).await;
            assert_eq!(show(&answer), expected, "{recipient}");
            assert_eq!(names(&fake.taken()), called, "{recipient}");
            if let Resolution::Refused(refusal) = answer {
                assert!(!refusal.reply.to_string().contains("one"), "names no plugin: {}", refusal.reply);
                assert!(local == "nowhere" || refusal.cause.contains("plugin one"), "{}", refusal.cause);
            }
        }
    }
}

#[tokio::test]
async fn verdicts_and_failures_stand_in_the_trail_with_who_asked() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(by_local_part);
    let routing = routing(&dir, RULES, "", &fake).await;
    let chain = resolve(&routing, "settled@chained.example").await;
    let by = "o=chained.example,o=isp";
    assert_eq!(steps(&chain), [format!("plugin one: settled kept@chained.example (12 µs) [{by}]")]);
    let rule = resolve(&routing, "skip@ruled.example").await;
    assert_eq!(
        steps(&rule),
        [
            "plugin one: failed, trap: a secret place; skip (12 µs) [t.rules:1]",
            "plugin two: again ann@chained.example (12 µs) [t.rules:2]"
        ]
    );
    // A message without match is no step of a trail; an explanation shows all, and what it cost.
    let path = ForwardPath::from(address("nomatch@ruled.example"));
    let explained = routing.explain(&request(&path)).await.to_string();
    for line in [
        "plugin      plugin one: no-match (12 µs)  [t.rules:1]",
        "plugin      one asked: envelope to nomatch@ruled.example, function \"find\", argument \"nomatch\"",
        "plugin      one ran: component 0a1b2c3d, 0 ms of processor, 4096 octets, 2 calls of the host",
        "plugin      one log info: hello",
        "plugin      two asked: envelope to nomatch@ruled.example, function \"find\", argument \"ruled.example\"",
        "plugin      plugin one: no-match (at once)  [o=chained.example,o=isp]",
        "plugin      one nothing had to run",
    ] {
        assert!(explained.lines().any(|shown| shown.trim() == line), "{line}\n{explained}");
    }
}

#[tokio::test]
async fn nobody_is_asked_without_need() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(|_, _| None);
    let routing = routing(&dir, RULES, "", &fake).await;
    for recipient in ["ann@chained.example", "ann@ruled.example", "kept@ruled.example"] {
        let answer = resolve(&routing, recipient).await;
        assert_eq!(show(&answer), "ann@chained.example store:ann@chained.example", "{recipient}");
        assert_eq!(steps(&answer), [""; 0], "not interested: nothing to tell");
    }
    assert!(fake.taken().is_empty());
}

#[tokio::test]
async fn a_group_of_fifty_asks_once_for_each_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let mut group =
        "dn: cn=all,o=ruled.example,o=isp\nobjectClass: inetMailGroup\nmail: all@ruled.example\n".to_owned();
    for nth in 0..50 {
        let domain = if nth % 2 == 0 { "ruled.example" } else { "far.example" };
        let _ = writeln!(group, "mgrpRFC822MailMember: member{nth}@{domain}");
    }
    let mut fake = Fake::new(|plugin, request| {
        let RewriteRequest { address, .. } = request;
        (plugin == "one" && address.local.as_str().starts_with("member")).then(|| {
            Ok(RewriteVerdict::Settled(super::tests::address(&format!("{}@new.example", address.local))))
        })
    });
    fake.bound = vec![("one", "far.example")];
    let routing = routing(&dir, RULES, &group, &fake).await;
    let answer = resolve(&routing, "all@ruled.example").await;
    let Resolution::Accepted(recipients) = &answer else { panic!("{answer:?}") };
    assert_eq!(recipients.len(), 50);
    assert_eq!(
        steps(&answer),
        ["plugin one: settled member0@new.example (12 µs for 25 addresses) [t.rules:1]"]
    );
    let calls = fake.taken();
    let shown: Vec<_> = calls.iter().map(|(_, context, many)| (context.tenant.as_ref(), *many)).collect();
    assert_eq!(shown, [(Some(&Domain::parse("ruled.example").unwrap()), 25), (None, 25)]);
    assert_eq!((calls[0].1.channel.as_str(), calls[0].1.id.as_str()), ("smtp", "m1"));
}

#[tokio::test]
async fn rounds_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = String::new();
    for nth in 0..60 {
        let _ = write!(
            chain,
            "\ndn: uid=u{nth},o=ruled.example,o=isp\nobjectClass: inetMailUser\n\
            mail: u{nth}@ruled.example\nmailDeliveryOption: forward\nmailForwardingAddress: u{}@ruled.example\n",
            nth + 1
        );
    }
    // Two rules with plugins for each of many forwards: more rounds than there may be.
    let fake = Fake::new(|_, _| Some(Ok(RewriteVerdict::NoMatch)));
    let routing = routing(&dir, RULES, &chain, &fake).await;
    let answer = show(&resolve(&routing, "u0@ruled.example").await);
    assert_eq!(answer, "550 5.4.6 This address is rewritten too many times");
    assert_eq!(fake.taken().len(), ROUNDS_MAX);
    // One for each of as many as may be nested is not.
    let one = Fake::new(|plugin, _| (plugin == "one").then_some(Ok(RewriteVerdict::NoMatch)));
    let routing = routing.with_plugins(Arc::new(one.clone()));
    assert_eq!(
        show(&resolve(&routing, "u40@ruled.example").await),
        "550 5.1.1 No such user here",
        "u60 is not there"
    );
    assert_eq!(one.taken().len(), 21);
}

#[tokio::test]
async fn a_chain_is_asked_in_one_round_as_far_as_nobody_has_anything_to_say() {
    let dir = tempfile::tempdir().unwrap();
    // More than there may be rounds: each had one of its own before.
    let mut long: Vec<String> = (0..ROUNDS_MAX).map(|nth| format!("quiet-{nth}")).collect();
    long.insert(1, "failing".to_owned());
    long.insert(2, "aloof".to_owned());
    long.extend(["leading".to_owned(), "after".to_owned()]);
    let mut fake = Fake::new(|plugin, request| match plugin {
        "aloof" => None,
        _ if request.address.local.as_str() == "ann" => None,
        "failing" => Some(Err(OnFailure::Skip)),
        "leading" => Some(Ok(RewriteVerdict::Again(address("ann@chained.example")))),
        _ => Some(Ok(RewriteVerdict::NoMatch)),
    });
    fake.bound = long.iter().map(|name| (&*name.clone().leak(), "chained.example")).collect();
    let routing = routing(&dir, RULES, "", &fake).await;
    let answer = resolve(&routing, "x@chained.example").await;
    assert_eq!(show(&answer), "ann@chained.example store:ann@chained.example");
    let taken = fake.taken();
    let asked: Vec<&String> =
        long.iter().filter(|name| !["aloof", "after"].contains(&name.as_str())).collect();
    assert_eq!(taken.iter().map(|(plugin, ..)| plugin).collect::<Vec<_>>(), asked, "each once, in order");
}

#[tokio::test]
async fn the_tenant_is_the_canonical_domain_and_what_rules_draw_stays() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(|plugin, _| (plugin == "two").then_some(Ok(RewriteVerdict::NoMatch)));
    let rules = format!("unique.example $W%ruled.example\n{RULES}");
    let routing = routing(&dir, &rules, "", &fake).await;
    resolve(&routing, "ann@other-name.example").await;
    let calls = fake.taken();
    assert_eq!(calls[0].1.tenant.as_ref().map(Domain::as_str), Some("chained.example"));
    resolve(&routing, "ann@unique.example").await;
    assert_eq!(fake.taken().len(), 1, "the word that is never used twice is the same in each round");
}

#[tokio::test]
async fn an_address_of_others_opens_no_relay() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new(|_, request| {
        (request.address.local.as_str() == "u").then(|| Ok(RewriteVerdict::Settled(address("x@far.example"))))
    });
    fake.bound = vec![("one", "foreign.example")];
    let routing = routing(&dir, RULES, "", &fake).await;
    assert_eq!(show(&resolve(&routing, "u@chained.example").await), "x@far.example smtp:far.example");
    assert_eq!(show(&resolve(&routing, "u@foreign.example").await), "550 5.7.1 Relaying denied");
}

#[tokio::test]
async fn headers_are_asked_about_at_once_and_never_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(|plugin, request| {
        let header = request.position == hooks::Position::Header && plugin == "one";
        match (header, request.address.local.as_str(), request.direction) {
            (true, "a" | "b", _) => Some(Ok(RewriteVerdict::Settled(address("kept@chained.example")))),
            (true, "c", hooks::Direction::From) => {
                Some(Ok(RewriteVerdict::Settled(address("from@new.example"))))
            }
            (true, "d", _) => {
                Some(Ok(RewriteVerdict::Refuse(Reply::new(550, EnhancedStatus::permanent(7, 1), "no"))))
            }
            _ => None,
        }
    });
    let routing = routing(&dir, RULES, "", &fake).await;
    let asked = [("a", false), ("b", true), ("c", true), ("c", false), ("d", true), ("ann", true)].map(
        |(local, from)| {
            let direction = if from { Direction::Backward } else { Direction::Forward };
            (address(&format!("{local}@chained.example")), direction)
        },
    );
    let account = AccountName::new("ann@chained.example").unwrap();
    let place =
        HeaderPlace { source: "submission", destination: None, authenticated: Some(&account), id: "m2" };
    let changed = routing.rewrite_headers(&asked, place).await;
    let shown: Vec<String> =
        changed.iter().map(|one| one.as_ref().map(ToString::to_string).unwrap_or_default()).collect();
    // An alternate address becomes the primary one after all.
    assert_eq!(shown, ["ann@chained.example", "ann@chained.example", "from@new.example", "", "", ""]);
    let calls = fake.taken();
    assert_eq!((calls.len(), calls[0].2), (1, 4));
    let context = &calls[0].1;
    assert_eq!((context.channel.as_str(), &context.authenticated), ("submission", &Some(account)));
}

#[tokio::test]
async fn other_questions_ask_too() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(by_local_part);
    let routing = routing(&dir, RULES, "", &fake).await;
    let verified = routing.verify(&address("settled@chained.example")).await;
    assert_eq!(verified, Ok(Verified::User(address("ann@chained.example"))));
    assert_eq!(
        routing.expand(&address("settled@chained.example")).await,
        Ok(vec![address("ann@chained.example")])
    );
    assert_eq!(fake.taken().len(), 2);
    // Queued mail keeps its way while a plugin fails or would rewrite again, and takes the new one else.
    let current = Route::new(ChannelName::SMTP, NextHop::Domain(Domain::parse("old.example").unwrap()));
    let origin = queue::Origin { reverse_path: &ReversePath::Null, source: &queue::Source::default() };
    for (local, expected) in [
        ("tempfail", "smtp:old.example"),
        ("again", "smtp:old.example"),
        ("refuse", "smtp:old.example"),
        ("ann", "store:ann@chained.example"),
    ] {
        let recipient = Recipient::new(address(&format!("{local}@chained.example")));
        let route = queue::Router::route(&routing, &recipient, &current, origin).await;
        assert!(
            matches!(&route, Lookup::Found(route) if route.to_string() == expected),
            "{local}: {route:?}"
        );
    }
}

#[tokio::test]
async fn chains_are_told_for_other_roles() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new(|_, _| None);
    fake.bound = vec![("three", "chained.example"), ("two", "chained.example"), ("four", "far.example")];
    let routing = routing(&dir, RULES, "", &fake).await;
    let chain = |role, domain: &str| match routing.chain(role, &Domain::parse(domain).unwrap()) {
        Lookup::Found(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    };
    assert_eq!(chain(Role::Rewrite, "chained.example"), "three two one");
    assert_eq!(chain(Role::Rewrite, "other-name.example"), "three two one", "an alias is no way round");
    assert_eq!(chain(Role::Disposition, "chained.example"), "two");
    assert_eq!(chain(Role::Rewrite, "far.example"), "four");
    assert_eq!(chain(Role::Rewrite, "ruled.example"), "");
    let of_user = |role, user: &str| match routing.user_chain(role, &address(user)) {
        Lookup::Found(chain) => {
            let names = chain.plugins.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            format!("{names} for {}", chain.tenant.unwrap())
        }
        other => format!("{other:?}"),
    };
    assert_eq!(
        of_user(Role::Disposition, "ann+tag@chained.example"),
        "two vacation-plus for chained.example"
    );
    assert_eq!(of_user(Role::Rewrite, "ann@chained.example"), "three two one for chained.example");
    assert_eq!(of_user(Role::Rewrite, "ann@other-name.example"), "three two one for chained.example");
    assert_eq!(of_user(Role::Disposition, "nobody@chained.example"), "NotFound");
}

#[tokio::test]
async fn an_entry_that_names_no_role_means_those_that_the_plugin_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = Fake::new(|_, _| None);
    fake.lacks = vec![("two", Role::Disposition), ("vacation-plus", Role::Disposition)];
    let routing = routing(&dir, RULES, "", &fake).await;
    let domain = Domain::parse("chained.example").unwrap();
    assert_eq!(routing.chain(Role::Disposition, &domain), Lookup::Found(Vec::new()));
    let Lookup::Found(rewrite) = routing.chain(Role::Rewrite, &domain) else { panic!("a chain") };
    assert_eq!(rewrite.len(), 2);
    // One that names the role is asked, and fails where the plugin lacks it.
    let user = routing.user_chain(Role::Disposition, &address("ann@chained.example"));
    assert!(matches!(user, Lookup::Found(chain) if chain.plugins.len() == 1));
}

#[test]
fn rules_name_the_plugins_they_call() {
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(RULES, "t.rules", &RuleOptions::new(&tags)).unwrap();
    let names: Vec<String> =
        rules.plugins().into_iter().map(|(name, origin)| format!("{name} {origin}")).collect();
    assert_eq!(names, ["one t.rules:1", "two t.rules:2"]);
}

#[tokio::test]
async fn what_is_released_from_a_plugins_hold_is_asked_about_on_as_if_it_had_no_match() {
    let fake = Fake::new(|plugin, request| match (plugin, request.address.local.as_str()) {
        ("one", "kept") => Some(Ok(RewriteVerdict::Route {
            address: request.address.clone(),
            channel: ChannelName::new("hold"),
            host: None,
        })),
        _ => None,
    });
    let dir = tempfile::tempdir().unwrap();
    let routing = routing(&dir, RULES, "", &fake).await;
    for recipient in ["kept@chained.example", "kept@ruled.example"] {
        let resolution = resolve(&routing, recipient).await;
        assert_eq!(show(&resolution), format!("{recipient} hold:-"));
        let Resolution::Accepted(parked) = resolution else { unreachable!() };
        let ground = parked[0].steps.last().unwrap().text.clone();
        let path = ForwardPath::from(address(recipient));
        for (released, went) in [
            (ground.as_str(), "ann@chained.example store:ann@chained.example".to_owned()),
            ("plugin on: hold", format!("{recipient} hold:-")),
        ] {
            let released = [released.to_owned()];
            let request = Request { released: &released, ..request(&path) };
            let resolution = routing.resolve(&request).await;
            assert_eq!(show(&resolution), went, "{released:?}");
        }
    }
}
