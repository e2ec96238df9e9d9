//! The language, rule by rule. The documented examples stand in `tests/policy/`.

use hooks::{PluginName, RewriteRequest};
use mail_types::{Address, Lookup};
use proptest::prelude::*;

use super::control::{Direction, Place};
use super::engine::{Context, REWRITES_MAX, Rewritten, rewrite};
use super::plugin::{Heard, Link, Said};
use super::rules::{RuleOptions, Rules};
use super::substitution::{Facts, split_detail};
use super::tags::{ChannelTags, Target};
use super::unroutable::Unroutable;
use crate::recorder::{Everything, Nothing};

struct World;

impl Facts for World {
    fn is_local(&self, domain: &str) -> Lookup<()> {
        match domain {
            "local.example" => Lookup::Found(()),
            "dead.example" => Lookup::Unavailable("the directory is asleep".to_owned()),
            _ => Lookup::NotFound,
        }
    }
    fn general(&self, key: &str) -> Lookup<String> {
        if key == "fred" { Lookup::Found("FREDERICK".to_owned()) } else { Lookup::NotFound }
    }
    fn unique(&self) -> u64 {
        0xabc
    }
    fn has_chains(&self) -> bool {
        false
    }
    fn chain(&self, _: &str) -> Lookup<Vec<Link>> {
        Lookup::NotFound
    }
    fn hear(&self, _: &PluginName, _: &RewriteRequest, _: &[Link]) -> Heard {
        Heard::Said(Said::at_once(Ok(hooks::RewriteVerdict::NoMatch)))
    }
    fn on_failure(&self, _: &PluginName) -> hooks::OnFailure {
        hooks::OnFailure::Tempfail
    }
}

const CONTEXT: Context<'static> = Context {
    place: Place::Envelope,
    direction: Direction::Forward,
    source: "smtp",
    destination: None,
    separator: '+',
    released: &[],
};

fn rules(text: &str) -> Rules {
    let mut tags = ChannelTags::builtin();
    tags.add("x", &["x.host"]);
    let options = RuleOptions { general: true, source_routes: true, ..RuleOptions::new(&tags) };
    Rules::parse(text, "t.rules", &options).unwrap_or_else(|errors| panic!("{errors}"))
}

fn run(text: &str, address: &str, context: Context<'_>) -> Result<Rewritten, Unroutable> {
    rewrite(&rules(text), &Address::parse(address).unwrap(), context, &World, &mut Nothing)
}

fn to(text: &str, address: &str) -> String {
    match run(text, address, CONTEXT) {
        Ok(rewritten) => {
            let address = rewritten.address.map_or(address.to_owned(), |address| address.to_string());
            let via = rewritten.via.map(|via| format!(" via {via}")).unwrap_or_default();
            match rewritten.target {
                Target::Local => format!("{address} local{via}"),
                Target::Channel(channel) => format!("{address} {channel}{via}"),
            }
        }
        Err(error) => format!("{} {error}", error.status()),
    }
}

#[test]
fn the_most_specific_pattern_wins() {
    let keys = ["$*", "a.b.c", "*.b.c", ".b.c", "*.*.c", ".c", "*.*.*", "."];
    for first in 0..keys.len() {
        let lines: Vec<String> =
            (first..keys.len()).rev().map(|nth| format!("{} $U%n{nth}.example@x", keys[nth])).collect();
        assert_eq!(to(&lines.join("\n"), "u@a.b.c"), format!("u@n{first}.example x"), "{}", keys[first]);
    }
}

#[test]
fn literals_generalise_from_the_right() {
    let text = "[192.0.2.1] $U%$D@x\n[192.0.2.] $U%a.$L.example@x\n[192.] $U%b.$L.example@x\n[] $U%[$L]@smtp";
    assert_eq!(to(text, "u@[192.0.2.1]"), "u@[192.0.2.1] x");
    assert_eq!(to(text, "u@[192.0.2.7]"), "u@a.7.example x");
    assert_eq!(to(text, "u@[192.0.3.7]"), "u@b.0.3.7.example x");
    assert_eq!(to(text, "u@[10.0.3.7]"), "u@[10.0.3.7] smtp");
    assert_eq!(to(text, "u@[IPv6:2001:db8::1]"), "u@[IPv6:2001:db8::1] smtp");
}

#[test]
fn substitutions_take_their_parts() {
    for (template, expected) in [
        ("$U%$H$D@x", "Fred+Tag@a.b.c.d"),
        ("$0U%$H$D@x", "Fred@a.b.c.d"),
        ("x$1U%$1H$D@x", "x+Tag@b.c.d"),
        ("$U%$1D@x", "Fred+Tag@d"),
        ("$U%$&0$D@x", "Fred+Tag@a.c.d"),
        ("$U%$!0.e@x", "Fred+Tag@b.e"),
        ("$U%$*0.e@x", "Fred+Tag@c.e"),
        ("$U%$#0.e@x", "Fred+Tag@d.e"),
        ("$\\$U%e@x", "fred+tag@e"),
        ("$^$0U$_$1U%e@x", "FRED+Tag@e"),
        ("$W%e@x", "0000000000000abc@e"),
        ("$$a$%b%e@x", "$a%b@e"),
        ("$$$@%e@x", "\"$@\"@e"),
        ("$(fred)%e@x", "FREDERICK@e"),
        ("$\\$(fr$$ed)%e@x", "fails"),
        ("$U%$&5.e@x", "fails"),
        // ".c.d" is no domain.
        ("$U%$D@x", "fails"),
    ] {
        let got = to(&format!(".c.d {template}\n. fails@x"), "Fred+Tag@a.b.c.d");
        let got = got.strip_suffix(" x").unwrap_or(&got);
        assert_eq!(got, if expected == "fails" { "fails@x" } else { expected }, "{template}");
    }
}

#[test]
fn forms_stop_repeat_or_insert_a_host() {
    assert_eq!(to("a.b $U%c.d@x", "u@a.b"), "u@c.d x");
    assert_eq!(to("a.b $U@x.host", "u@a.b"), "u@x.host x");
    assert_eq!(to("a.b $U%c.d\nc.d $U%e.f@smtp", "u@a.b"), "u@e.f smtp");
    assert_eq!(to("a.b $U@$D@gate.example@x", "u@a.b"), "u@a.b x via gate.example");
    assert_eq!(to("a.b $U@$D@x.host", "u@a.b"), "u@a.b x via x.host");
    assert!(to("a.b $U%$D", "u@a.b").starts_with("5.4.6"), "{REWRITES_MAX} firings end it");
    assert_eq!(to("a.b $U%$D@$D", "u@a.b"), "5.3.5 no channel has the tag \"a.b\"");
    assert_eq!(to("a.b $U%$D@$D", "u@c.d"), "5.1.2 no rewrite rule takes the address");
}

#[test]
fn controls_decide_whether_a_rule_applies() {
    let header = Context { place: Place::Header, destination: Some("smtp"), ..CONTEXT };
    let back = Context { direction: Direction::Backward, ..CONTEXT };
    for (control, envelope, in_header, backward) in [
        ("$E", true, false, true),
        ("$B", false, true, false),
        ("$F", true, true, false),
        ("$R", false, false, true),
        ("$A", true, true, true),
        ("$P", false, false, false),
        ("$S$A", true, true, true),
        ("$Msmtp", true, true, true),
        ("$Mtcp_local", true, true, true),
        ("$Mlmtp", false, false, false),
        ("$Mlmtp$Msmtp", true, true, true),
        ("$Nsmtp", false, false, false),
        ("$Nlmtp", true, true, true),
        ("$1M", false, false, false),
        ("$1N", true, true, true),
        ("$Qsmtp", true, true, false),
        ("$Qlmtp", true, false, false),
        ("$Csmtp", true, false, false),
        ("$Vlocal.example", true, true, true),
        ("$Zlocal.example", false, false, false),
        ("$Z$D", true, true, true),
        ("$V$D", false, false, false),
    ] {
        let text = format!("a.b $U%yes@x{control}\n. $U%no@x");
        for (context, expected) in [(CONTEXT, envelope), (header, in_header), (back, backward)] {
            let got = run(&text, "u@a.b", context).unwrap().address.unwrap();
            assert_eq!(got.domain.as_str() == "yes", expected, "{control} {context:?}");
        }
    }
    assert_eq!(to("$* $U%$H$V$H@local", "u@dead.example"), "4.4.3 the directory is asleep");
}

#[test]
fn percent_and_bang_are_read_only_where_asked_for_and_local() {
    let plain = "local.example $U%$D@local\n. $U%$H@smtp";
    assert_eq!(to(plain, "u%far.example@local.example"), "u%far.example@local.example local");
    let asked = format!("$% $U%$H@smtp\n$! $U%$H@smtp\n{plain}");
    assert_eq!(to(&asked, "u%far.example@local.example"), "u@far.example smtp");
    assert_eq!(to(&asked, "far.example!u@local.example"), "u@far.example smtp");
    assert_eq!(to(&asked, "u%far.example@other.example"), "u%far.example@other.example smtp");
    let position = "$% $U%$H@x$P\nfar.example $U%$H@smtp$A\nlocal.example $U%$D@local";
    assert_eq!(to(position, "u%far.example@local.example"), "u@far.example x");
}

#[test]
fn tags_switch_rule_sets() {
    let text = "a.b $U%$D$Tforce|\nforce|. $U%$H@x\na.b $U%never@smtp";
    assert_eq!(to(text, "u@a.b"), "u@a.b x");
}

#[test]
fn messages_stick_and_refuse() {
    assert_eq!(
        to(". $?We know no such host; ask postmaster@a.example", "u@a.b"),
        "5.1.2 We know no such host; ask postmaster@a.example (t.rules:1)"
    );
    assert_eq!(to(". $4002001?Later", "u@a.b"), "4.2.1 Later (t.rules:1)");
    assert_eq!(to("a.b $U%$D@x$Mlmtp$?only for lmtp", "u@a.b"), "5.1.2 only for lmtp (t.rules:1)");
}

#[test]
fn every_error_of_a_file_is_told_with_line_and_mend() {
    let tags = ChannelTags::builtin();
    let text = "! comment\n\na.b\na.b $U%$D@nobody\n# x\na.b $U%$D@smtp$E$B\na.b $Y@smtp\n\
        .. $U%$D@smtp\na*b $U%$D@smtp\n$= $U%$D@smtp\n[1.2 $U%$D@smtp\na.b $U\na.b $U@$D@h@smtp\n\
        a.b $[geo,route,$U]@smtp\na.b $U%${m,$U}@smtp\na.b $(x)%$D@smtp\na.b $U%$D@smtp$T\n\
        a.b $U%$D$Tx\na.b %$D@smtp\na.b $U%$D@smtp$\n<other\na.b $&%$D@smtp\na.b $550?x\na.b $?\n\
        a.b $U%$D@smtp$V\na.b $]ldap:///[@smtp\na.b $U %$D@smtp\na.b $U%$D@smtp$F$R\na.b a@b@c@d@e\n";
    let errors = Rules::parse(text, "bad.rules", &RuleOptions::new(&tags)).unwrap_err();
    let lines: Vec<u32> = errors.0.iter().map(|error| error.line).collect();
    assert_eq!(lines, (3..=29).collect::<Vec<_>>(), "{errors}");
    for error in &errors.0 {
        assert!(!error.mend.is_empty() && error.to_string().starts_with("bad.rules:"), "{error}");
    }
    let all = errors.to_string();
    assert!(all.contains("$[…] stands beside other text"), "{all}");
    assert!(
        all.contains("no channel has the tag \"nobody\"; name one of: autoreply, bitbucket, file, hold"),
        "{all}"
    );
}

#[test]
fn includes_keep_their_own_lines_and_cannot_run_away() {
    let tags = ChannelTags::builtin();
    let include = |name: &str| match name {
        "more.rules" => Ok("! more\nc.d $U%$D@smtp\n".to_owned()),
        "self.rules" => Ok("<self.rules\n".to_owned()),
        other => Err(format!("{other} is not there")),
    };
    let options = RuleOptions { include: Some(&include), ..RuleOptions::new(&tags) };
    let rules = Rules::parse("<more.rules\n. $U%$H@smtp\n", "main.rules", &options).unwrap();
    let origins: Vec<String> = rules.all().iter().map(super::rules::Rule::origin).collect();
    assert_eq!(origins, ["more.rules:2", "main.rules:2"]);
    let errors = Rules::parse("<self.rules\n<gone.rules\n", "main.rules", &options).unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
}

#[test]
fn explaining_shows_rules_that_failed() {
    let mut steps = Everything::default();
    let set = rules("a.b $U%$D@x$Mlmtp\n. $U%$H@smtp");
    rewrite(&set, &Address::parse("u@a.b").unwrap(), CONTEXT, &World, &mut steps).unwrap();
    let texts: Vec<String> =
        steps.0.iter().map(|step| format!("{} {}", step.what.word(), step.text)).collect();
    assert_eq!(
        texts,
        [
            "rule tried a.b $U%$D@x$Mlmtp: the source channel is smtp",
            "rule fired . $U%$H@smtp -> u@a.b, channel smtp"
        ]
    );
    assert_eq!(steps.0[1].origin.as_deref(), Some("t.rules:2"));
}

proptest! {
    #[test]
    fn reading_never_panics(text in "[\\PC\n]{0,200}") {
        let tags = ChannelTags::builtin();
        let options = RuleOptions { general: true, source_routes: true, ..RuleOptions::new(&tags) };
        let _ = Rules::parse(&text, "f", &options);
    }

    #[test]
    fn templates_never_panic(text in "[$%@!*#&0-9A-Z()|?a.+]{1,40}", user in "[a-z+%!]{1,10}") {
        let tags = ChannelTags::builtin();
        let options = RuleOptions { general: true, source_routes: true, ..RuleOptions::new(&tags) };
        if let Ok(rules) = Rules::parse(&format!(". {text}"), "f", &options) {
            let address = Address::parse(&format!("{user}@h.example")).unwrap();
            let _ = rewrite(&rules, &address, CONTEXT, &World, &mut Nothing);
        }
    }

    #[test]
    fn user_and_detail_join_to_the_local_part(user in "\\PC{0,20}") {
        let (base, detail) = split_detail(&user, '+');
        prop_assert_eq!(format!("{base}{detail}"), user.clone());
        prop_assert!(user.is_empty() || !base.is_empty());
    }
}
