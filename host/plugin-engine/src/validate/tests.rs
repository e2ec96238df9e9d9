use super::*;
use hooks::{Attributes, BoxFuture};

/// A world of two tenants.
struct Two;

impl World for Two {
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        Lookup::Found(match domain.as_str() {
            name if name == tenant.as_str() => Ownership::Own,
            "a.example" | "b.example" => Ownership::Other,
            "away.example" => return Lookup::Unavailable("away".into()),
            _ => Ownership::Foreign,
        })
    }
    fn has_channel(&self, channel: &ChannelName) -> bool {
        channel.as_str() == "smtp"
    }
    fn target(&self, channel: &str, name: &str, account: &AccountName) -> Result<(), String> {
        let there = channel == "program" && name == "to-tracker" && account.as_str() == "anna@a.example";
        if there { Ok(()) } else { Err(format!("no {channel} {name} for {account}")) }
    }
    fn generation(&self) -> u64 {
        0
    }

    fn table_row(&self, _: Option<&Domain>, _: &str, _: &str) -> Lookup<std::sync::Arc<Attributes>> {
        Lookup::NotFound
    }
    fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        Box::pin(async { Lookup::NotFound })
    }
}

/// The address that rewrite is asked about.
const ASKED: (&str, &str) = ("asked", "a.example");

fn given(text: &str) -> types::Address {
    let (local, domain) = text.rsplit_once('@').unwrap();
    types::Address { local: local.into(), domain: domain.into() }
}

fn as_tenant<T>(run: impl FnOnce(&Judge<'_>) -> T) -> T {
    let tenant = Domain::parse("a.example").unwrap();
    let mut settings = Settings::new("p".parse().unwrap());
    settings.tenants.insert(tenant.clone());
    settings.channels.extend([ChannelName::new("smtp"), ChannelName::new("gone")]);
    run(&Judge { settings: &settings, tenant: Some(&tenant), world: &Two })
}

#[test]
fn a_tenants_plugin_leads_to_its_own_and_away_never_to_another() {
    as_tenant(|judge| {
        let settled = |to: &str| judge.rewrite(rewrite::Verdict::Settled(given(to)), ASKED);
        let again = |to: &str| judge.rewrite(rewrite::Verdict::Again(given(to)), ASKED);
        assert!(again("x@a.example").is_ok() && again("asked@a.example").is_err());
        assert!(settled("x@a.example").is_ok() && settled("x@far.example").is_ok());
        assert!(matches!(settled("x@b.example"), Err(Invalid::Answer(_))));
        assert!(matches!(settled("x@away.example"), Err(Invalid::Unavailable(_))));
        assert!(settled("@a.example").is_err() && settled("x@").is_err() && settled("x@a..b").is_err());
        let changed = |to: &str| judge.reverse(reverse::Verdict::Changed(given(to)));
        assert!(changed("x@a.example").is_ok());
        assert!(changed("x@far.example").is_err() && changed("x@b.example").is_err());
        let allow = |to: &str| judge.authorize(authorize_sender::Verdict::Allow, &given(to));
        assert!(
            allow("x@a.example").is_ok() && allow("x@b.example").is_err() && allow("x@far.example").is_err()
        );
    });
    let settings = Settings::new("p".parse().unwrap());
    let judge = Judge { settings: &settings, tenant: None, world: &Two };
    assert!(
        judge.rewrite(rewrite::Verdict::Settled(given("x@b.example")), ASKED).is_ok(),
        "the server's own may"
    );
}

#[test]
fn channels_are_granted_and_there() {
    as_tenant(|judge| {
        let route = |channel: &str, host: &str| {
            let routed = rewrite::Routed {
                address: given("x@far.example"),
                channel: channel.into(),
                host: host.into(),
            };
            judge.rewrite(rewrite::Verdict::Route(routed), ASKED)
        };
        assert!(route("smtp", "").is_ok() && route("smtp", "relay.example").is_ok());
        for (channel, host) in [("lmtp", ""), ("gone", ""), ("smtp", "a b"), ("", "")] {
            assert!(route(channel, host).is_err(), "{channel} {host}");
        }
    });
}

#[test]
fn replies_cannot_smuggle() {
    let ask = |code, enhanced: &str, text: &str| {
        reply(types::Reply { code, enhanced: enhanced.into(), text: text.into() })
    };
    assert_eq!(ask(550, "5.7.1", "No").unwrap().to_string(), "550 5.7.1 No");
    assert_eq!(ask(450, "", "").unwrap().to_string(), "450 4.7.1 Refused by policy");
    // Others' mail is on the connection, too (RFC 5321 §3.8).
    assert_eq!(ask(421, "4.3.2", "Later").unwrap().to_string(), "450 4.3.2 Later");
    let long = "x".repeat(401);
    for (code, enhanced, text) in [
        (250, "", "ok"),
        (600, "", "x"),
        (550, "4.7.1", "x"),
        (450, "5.7.1", "x"),
        (550, "5.7", "x"),
        (550, "", "a\r\n250 ok"),
        (550, "", "a\nb"),
        (550, "", "ä"),
        (550, "", "a\0"),
        (550, "", long.as_str()),
    ] {
        assert!(ask(code, enhanced, text).is_err(), "{code} {enhanced} {text:?}");
    }
}

#[test]
fn actions_hold_or_are_no_answer() {
    use disposition::{Action as Given, Answer, Field, Filing};
    as_tenant(|judge| {
        let keep = |mailbox: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Given::Keep(Filing { mailbox: mailbox.into(), labels })
        };
        let header =
            |name: &str, value: &str| Given::AddHeader(Field { name: name.into(), value: value.into() });
        let good = [
            keep("", &[]),
            keep("Archive/2026", &["\\Seen", "work"]),
            keep("users/shared", &[]),
            keep(&["x"; mail_types::MAILBOX_DEPTH_MAX].join("/"), &[]),
            Given::Shared("user/user3@a.example/x".into()),
            Given::Forward(given("x@far.example")),
            Given::AutoReply(Answer {
                subject: "away".into(),
                text: "till\nMonday".into(),
                once_in_hours: 0,
            }),
            Given::Program("to-tracker".into()),
            header("X-Triage", "list mail"),
        ];
        assert_eq!(judge.dispose(good.to_vec()).unwrap().len(), 9);
        let bad = [
            keep("a//b", &[]),
            keep(&["x"; mail_types::MAILBOX_DEPTH_MAX + 1].join("/"), &[]),
            keep("../x", &[]),
            keep("user", &[]),
            keep("user/user3@a.example", &[]),
            keep("shared/ideas", &[]),
            keep("a\r\nb", &[]),
            keep("", &["\\Recent"]),
            keep("", &["a b"]),
            Given::Forward(given("x@b.example")),
            Given::Program("../bin/sh".into()),
            Given::File("".into()),
            Given::Hold("a\nb".into()),
            header("X-A", "v\r\nBcc: x@y"),
            header("X A", "v"),
            header("X:A", "v"),
            header("Subject", "v"),
            header("Received", "v"),
            header("Resent-From", "v"),
            header("X-A", "ä"),
            Given::AutoReply(Answer { subject: "a\r\nBcc: x".into(), text: String::new(), once_in_hours: 0 }),
            Given::Other(types::Extra { code: "quarantine".into(), json: "{}".into() }),
        ];
        for action in bad {
            assert!(judge.dispose(vec![action.clone()]).is_err(), "{action:?}");
        }
        let discard = Given::Discard("spam".into());
        assert!(judge.dispose(vec![discard.clone()]).is_ok());
        assert!(judge.dispose(vec![discard, keep("", &[])]).is_err());
        assert!(judge.dispose(vec![keep("", &[]); ACTIONS_MAX + 1]).is_err());
        assert!(judge.dispose(vec![Given::Forward(given("x@far.example")); FORWARDS_MAX + 1]).is_err());
    });
}

#[test]
fn what_an_action_names_has_to_be_there_for_the_account() {
    as_tenant(|judge| {
        let anna = AccountName::new("anna@a.example").unwrap();
        let targets = |action: Action, account: &AccountName| judge.targets(vec![action], account);
        assert!(targets(Action::Program("to-tracker".into()), &anna).is_ok());
        assert!(targets(Action::Hold("why".into()), &anna).is_ok());
        let bert = AccountName::new("bert@a.example").unwrap();
        for (action, account) in [
            (Action::Program("to-tracker".into()), &bert),
            (Action::Program("other".into()), &anna),
            (Action::File("to-tracker".into()), &anna),
            (Action::Shared("to-tracker".into()), &anna),
        ] {
            // For this call alone: not the plugin's fault.
            assert!(matches!(targets(action, account), Err(Invalid::Unavailable(_))));
        }
    });
}

#[test]
fn rows_stay_within_their_domain() {
    let alias = |address: &str, targets: &[&str]| route_table::AliasRow {
        address: address.into(),
        primary: String::new(),
        kind: "user".into(),
        relation: "primary".into(),
        status: "active".into(),
        options: vec!["mailbox".into()],
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        attrs: Vec::new(),
    };
    let rows = |row| route_table::Rows { aliases: vec![row], routes: Vec::new(), attrs: Vec::new() };
    as_tenant(|judge| {
        let check = |row| judge.rows(rows(row), "a.example");
        assert!(check(alias("x@a.example", &["y@far.example"])).is_ok());
        assert!(check(alias("@a.example", &[])).is_ok());
        assert!(check(alias("x@b.example", &[])).is_err());
        assert!(check(alias("x@a.example", &["y@b.example"])).is_err());
        assert!(check(alias("no address", &[])).is_err());
        let large = "y".repeat(ROWS_OCTETS_MAX / 64);
        let many = |count: usize| alias("x@a.example", &vec![&*format!("{large}@far.example"); count]);
        assert!(matches!(check(many(64)), Err(Invalid::Answer(why)) if why.contains("128 KiB")));
        let wrong = route_table::AliasRow { status: "gone".into(), ..alias("x@a.example", &[]) };
        assert!(check(wrong).is_err());
        let of =
            |primary: &str| route_table::AliasRow { primary: primary.into(), ..alias("x@a.example", &[]) };
        assert!(check(of("y@a.example")).is_ok());
        assert!(check(of("y@b.example")).is_err(), "another tenant's");
        assert!(check(of("y@far.example")).is_err(), "nobody's here");
        assert!(matches!(check(of("y@away.example")), Err(Invalid::Unavailable(_))));
    });
}
