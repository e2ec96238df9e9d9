//! Answers what must not be answered: other people's domains, line ends, codes that are none, names that are nobody's.
//! The words are listed in the README; a word that a role does not have is answered innocently.

use crate::exports::wasmta::policy::{authorize_sender, disposition, reverse, rewrite, route_table};
use crate::wasmta::policy::types::{Address, Extra, Failure, Reply};
use crate::{Hostile, first_value, word};

/// A domain that is no tenant's of the tests, or another's.
const FOREIGN: &str = "victim.example";

/// A line end, and what a client or a reader should then take for the server's own words.
const SPLIT: &str = "no\r\n250 2.0.0 yes";

/// Longer than anything that an address, a mailbox or a reply may be.
const LONG: usize = 5000;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "forge";
    const SUMMARY: &str = "Hostile: forged answers";

    fn rewrite(request: &rewrite::Request) -> rewrite::Verdict {
        use rewrite::Verdict::{Again, NoMatch, Other, Refuse, Route, Settled};
        let word = word(&request.function, &request.address.local);
        let domain = request.address.domain.as_str();
        let route = |channel: &str, host: &str| {
            let address = request.address.clone();
            Route(rewrite::Routed { address, channel: channel.into(), host: host.into() })
        };
        match word.as_str() {
            "domain" => Settled(address("anna", FOREIGN)),
            "again-domain" => Again(address("anna", FOREIGN)),
            "self" => Again(request.address.clone()),
            "channel" => route("no-such-channel", ""),
            "host" => route("smtp", "mx.example\r\nRCPT TO:<x@y.example>"),
            "empty-channel" => route("", ""),
            _ => {
                let address = forged_address(&word, domain).map(Settled);
                let reply = || forged_reply(&word).map(Refuse);
                let other = || forged_extra(&word).map(Other);
                address.or_else(reply).or_else(other).unwrap_or(NoMatch)
            }
        }
    }

    fn rewrite_all(batch: &[rewrite::Request]) -> Result<Vec<rewrite::Verdict>, Failure> {
        let mut verdicts: Vec<_> = batch.iter().map(Self::rewrite).collect();
        let asked =
            |wanted| batch.iter().any(|request| word(&request.function, &request.address.local) == wanted);
        if asked("short") {
            verdicts.pop();
        }
        if asked("more") {
            verdicts.push(rewrite::Verdict::NoMatch);
        }
        if asked("message") { Err(forged_failure()) } else { Ok(verdicts) }
    }

    fn reverse(request: &reverse::Request) -> reverse::Verdict {
        use reverse::Verdict::{Changed, Other, Unchanged};
        let word = word("", &request.address.local);
        match word.as_str() {
            "domain" => Changed(address("anna", FOREIGN)),
            _ => {
                let address = forged_address(&word, &request.address.domain).map(Changed);
                address.or_else(|| forged_extra(&word).map(Other)).unwrap_or(Unchanged)
            }
        }
    }

    fn reverse_all(batch: &[reverse::Request]) -> Result<Vec<reverse::Verdict>, Failure> {
        let mut verdicts: Vec<_> = batch.iter().map(Self::reverse).collect();
        let asked = |wanted| batch.iter().any(|request| word("", &request.address.local) == wanted);
        if asked("short") {
            verdicts.pop();
        }
        if asked("more") {
            verdicts.push(reverse::Verdict::Unchanged);
        }
        if asked("message") { Err(forged_failure()) } else { Ok(verdicts) }
    }

    fn authorize(question: &authorize_sender::Request) -> Result<authorize_sender::Verdict, Failure> {
        use authorize_sender::Verdict::{Allow, Deny, NoOpinion, Other};
        let word = word("", &question.address.local);
        match word.as_str() {
            "domain" => Ok(Allow),
            "message" => Err(forged_failure()),
            _ => {
                let reply = forged_reply(&word).map(Deny);
                Ok(reply.or_else(|| forged_extra(&word).map(Other)).unwrap_or(NoOpinion))
            }
        }
    }

    fn decide(to: &disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        use disposition::Action::{
            AddHeader, AutoReply, Discard, File, Forward, Hold, Keep, Other, Program, Reject, Shared,
        };
        let word = word("", &to.address.local);
        let keep = |mailbox: &str, label: &str| {
            let labels = if label.is_empty() { vec![] } else { vec![label.to_owned()] };
            vec![Keep(disposition::Filing { mailbox: mailbox.into(), labels })]
        };
        let header = |name: &str, value: &str| {
            vec![AddHeader(disposition::Field { name: name.into(), value: value.into() })]
        };
        let answer = |subject: &str, text: &str| {
            vec![AutoReply(disposition::Answer {
                subject: subject.into(),
                text: text.into(),
                once_in_hours: 0,
            })]
        };
        Ok(match word.as_str() {
            "message" => return Err(forged_failure()),
            "domain" => vec![Forward(address("anna", FOREIGN))],
            "self" => vec![Forward(to.address.clone())],
            "mailbox" => keep("../../etc/passwd", ""),
            "mailbox-empty" => keep("a//b", ""),
            "mailbox-root" => keep("/etc", ""),
            "mailbox-nul" => keep("a\0b", ""),
            "mailbox-split" => keep("a\r\nb", ""),
            "mailbox-long" => keep(&"x".repeat(LONG), ""),
            "mailbox-deep" => keep(&"x/".repeat(LONG / 10), ""),
            "mailbox-star" => keep("a*%b", ""),
            "label" => keep("", "\\Recent"),
            "label-unknown" => keep("", "\\Forged"),
            "label-space" => keep("", "two words) NIL ("),
            "header" => header("X-Tag", "1\r\nBcc: victim@victim.example"),
            "header-body" => header("X-Tag", "1\r\n\r\nforged body"),
            "header-name" => header("X-Tag: 1\r\nBcc", "victim@victim.example"),
            "header-colon" => header("X: Y", "1"),
            "header-empty" => header("", "1"),
            "header-nul" => header("X-Tag", "a\0b"),
            "header-long" => header("X-Tag", &"x".repeat(LONG)),
            "header-own" => header("Received", "from nowhere by nobody"),
            "subject" => answer("hello\r\nBcc: victim@victim.example", "text"),
            "answer-long" => answer("hello", &"x".repeat(LONG * 100)),
            "program" => vec![Program("/bin/sh -c id".into())],
            "file" => vec![File("../../etc/passwd".into())],
            "shared" => vec![Shared("nobody's".into())],
            "hold" => vec![Hold(SPLIT.into())],
            "discard" => vec![Discard(SPLIT.into())],
            "both" => [vec![Discard("and yet".into())], keep("", "")].concat(),
            "reject-keep" => {
                let reply = Reply { code: 550, enhanced: "5.7.1".into(), text: "no".into() };
                [keep("", ""), vec![Reject(reply)]].concat()
            }
            _ => {
                let forward = forged_address(&word, &to.address.domain).map(Forward);
                let reply = || forged_reply(&word).map(Reject);
                let other = || forged_extra(&word).map(Other);
                forward.or_else(reply).or_else(other).into_iter().collect()
            }
        })
    }

    fn build(domain: &str, entry: &route_table::Entry) -> route_table::Rows {
        let word = word("", first_value(&entry.dn));
        let mut aliases = vec![good_row(domain)];
        let mut routes = vec![];
        let row = &mut aliases[0];
        match word.as_str() {
            "domain" => row.address = format!("anna@{FOREIGN}"),
            "kind" => row.kind = "root".into(),
            "relation" => row.relation = "forged".into(),
            "status" => row.status = "forged".into(),
            "option" => row.options = vec!["forged".into()],
            "target" => row.targets = vec!["not an address".into(), "anna@victim.example\r\n".into()],
            "crlf" => row.address = format!("anna\r\n@{domain}"),
            "syntax" => row.address = "anna".into(),
            "long" => row.address = format!("{}@{domain}", "x".repeat(LONG)),
            "self" => row.targets = vec![row.address.clone()],
            "twice" => aliases.push(good_row(domain)),
            "route" => routes.push(route(FOREIGN, "mx.example")),
            "host" => routes.push(route(domain, "mx.example\r\nx")),
            _ => aliases.clear(),
        }
        route_table::Rows { aliases, routes, attrs: vec![] }
    }

    fn build_all(domain: &str, batch: &[route_table::Entry]) -> Result<Vec<route_table::Rows>, Failure> {
        let mut rows: Vec<_> = batch.iter().map(|entry| Self::build(domain, entry)).collect();
        let asked = |wanted| batch.iter().any(|entry| word("", first_value(&entry.dn)) == wanted);
        if asked("short") {
            rows.pop();
        }
        if asked("more") {
            rows.push(route_table::Rows { aliases: vec![], routes: vec![], attrs: vec![] });
        }
        if asked("message") { Err(forged_failure()) } else { Ok(rows) }
    }
}

fn address(local: &str, domain: &str) -> Address {
    Address { local: local.into(), domain: domain.into() }
}

fn forged_address(word: &str, domain: &str) -> Option<Address> {
    Some(match word {
        "local-crlf" => address("anna\r\nRCPT TO:<x@y.example>", domain),
        "local-nul" => address("a\0b", domain),
        "local-empty" => address("", domain),
        "local-long" => address(&"x".repeat(LONG), domain),
        "domain-empty" => address("anna", ""),
        "domain-syntax" => address("anna", "exa mple..org"),
        "domain-crlf" => address("anna", "example.org\r\nDATA"),
        _ => return None,
    })
}

fn forged_reply(word: &str) -> Option<Reply> {
    let reply =
        |code, enhanced: &str, text: &str| Reply { code, enhanced: enhanced.into(), text: text.into() };
    Some(match word {
        "crlf" => reply(550, "5.7.1", SPLIT),
        "code" => reply(250, "2.0.0", "yes"),
        "code-none" => reply(999, "9.9.9", "no"),
        "code-zero" => reply(0, "", "no"),
        "class" => reply(550, "4.7.1", "no"),
        "enhanced" => reply(550, "5.x\r\n", "no"),
        "text-long" => reply(550, "5.7.1", &"x".repeat(LONG)),
        "text-foreign" => reply(550, "5.7.1", "n\u{e9}"),
        "text-empty" => reply(550, "5.7.1", ""),
        _ => return None,
    })
}

fn forged_extra(word: &str) -> Option<Extra> {
    let extra = |code: &str, json: &str| Extra { code: code.into(), json: json.into() };
    Some(match word {
        "other" => extra("grant-all", "{}"),
        "other-json" => extra("grant-all", "{not json"),
        _ => return None,
    })
}

fn forged_failure() -> Failure {
    Failure { permanent: true, message: SPLIT.into() }
}

fn good_row(domain: &str) -> route_table::AliasRow {
    route_table::AliasRow {
        address: format!("anna@{domain}"),
        primary: String::new(),
        kind: "user".into(),
        relation: "primary".into(),
        status: "active".into(),
        options: vec!["mailbox".into()],
        targets: vec![],
        attrs: vec![],
    }
}

fn route(domain: &str, host: &str) -> route_table::RouteRow {
    route_table::RouteRow {
        domain: domain.into(),
        status: "active".into(),
        hosts: vec![host.into()],
        smart_host: String::new(),
        attrs: vec![],
    }
}
