//! Answers as they were given, in the words of the tables.

use plugin_engine::Answer;
use plugin_engine::contract::{
    Address, Extra, Reply, authorize_sender, disposition, reverse, rewrite, route_table,
};

/// A line for each verdict, action or row.
pub(crate) fn of(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Rewrite(verdicts) => verdicts.iter().map(rewritten).collect(),
        Answer::Reverse(verdicts) => verdicts.iter().map(reversed).collect(),
        Answer::AuthorizeSender(verdict) => vec![authorized(verdict)],
        Answer::Disposition(lists) => lists.iter().flatten().map(action).collect(),
        Answer::RouteTable(all) => {
            let aliases = all.iter().flat_map(|rows| rows.aliases.iter().map(alias));
            aliases.chain(all.iter().flat_map(|rows| rows.routes.iter().map(route))).collect()
        }
    }
}

fn rewritten(verdict: &rewrite::Verdict) -> String {
    use rewrite::Verdict;
    match verdict {
        Verdict::NoMatch => "no-match".to_owned(),
        Verdict::Again(to) => format!("again {}", address(to)),
        Verdict::Settled(to) => format!("settled {}", address(to)),
        Verdict::Route(to) => format!("route {} {} {}", address(&to.address), to.channel, to.host)
            .trim_end_matches(' ')
            .to_owned(),
        Verdict::Refuse(given) => format!("refuse {}", reply(given)),
        Verdict::Other(given) => other(given),
    }
}

fn reversed(verdict: &reverse::Verdict) -> String {
    match verdict {
        reverse::Verdict::Unchanged => "unchanged".to_owned(),
        reverse::Verdict::Changed(to) => format!("changed {}", address(to)),
        reverse::Verdict::Other(given) => other(given),
    }
}

fn authorized(verdict: &authorize_sender::Verdict) -> String {
    use authorize_sender::Verdict;
    match verdict {
        Verdict::NoOpinion => "no-opinion".to_owned(),
        Verdict::Allow => "allow".to_owned(),
        Verdict::Deny(given) => format!("deny {}", reply(given)),
        Verdict::Other(given) => other(given),
    }
}

fn action(action: &disposition::Action) -> String {
    use disposition::Action;
    match action {
        Action::Keep(filing) => {
            let mailbox = if filing.mailbox.is_empty() { "INBOX" } else { &filing.mailbox };
            let labels = filing.labels.iter().map(|label| word(label));
            std::iter::once("keep".to_owned())
                .chain([word(mailbox)])
                .chain(labels)
                .collect::<Vec<_>>()
                .join(" ")
        }
        Action::Forward(to) => format!("forward {}", address(to)),
        Action::AutoReply(given) => {
            format!("auto-reply {} {:?} {:?}", given.once_in_hours, given.subject, given.text)
        }
        Action::Program(name) => format!("program {name}"),
        Action::File(name) => format!("file {name}"),
        Action::Shared(name) => format!("shared {name}"),
        Action::Hold(reason) => format!("hold {reason}"),
        Action::Discard(reason) => format!("discard {reason}"),
        Action::Reject(given) => format!("reject {}", reply(given)),
        Action::AddHeader(field) => format!("add-header {}: {}", field.name, field.value),
        Action::Other(given) => other(given),
    }
}

fn alias(row: &route_table::AliasRow) -> String {
    let options = row.options.join(",");
    let mut line = format!("alias {} {} {} {} {options}", row.address, row.kind, row.relation, row.status);
    if !row.primary.is_empty() {
        line.push_str(&format!(" of {}", row.primary));
    }
    if !row.targets.is_empty() {
        line.push_str(&format!(" -> {}", row.targets.join(",")));
    }
    line
}

fn route(row: &route_table::RouteRow) -> String {
    let mut line = format!("route {} {}", row.domain, row.status);
    if !row.hosts.is_empty() {
        line.push_str(&format!(" hosts {}", row.hosts.join(",")));
    }
    if !row.smart_host.is_empty() {
        line.push_str(&format!(" smart-host {}", row.smart_host));
    }
    line
}

fn address(given: &Address) -> String {
    format!("{}@{}", given.local, given.domain)
}

fn reply(given: &Reply) -> String {
    match given.enhanced.as_str() {
        "" => format!("{} {}", given.code, given.text),
        enhanced => format!("{} {enhanced} {}", given.code, given.text),
    }
}

fn other(given: &Extra) -> String {
    format!("other {} {}", given.code, given.json)
}

/// In quotes where it has spaces or quotes.
fn word(text: &str) -> String {
    if text.is_empty() || text.contains([' ', '"']) { format!("{text:?}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_answers_show_as_they_are() {
        let to = Address { local: "a\r\nb".into(), domain: "x y".into() };
        let no = Reply { code: 250, enhanced: String::new(), text: "yes".into() };
        let answer = Answer::Rewrite(vec![
            rewrite::Verdict::Again(to.clone()),
            rewrite::Verdict::Route(rewrite::Routed {
                address: to,
                channel: "smtp".into(),
                host: String::new(),
            }),
            rewrite::Verdict::Refuse(no),
            rewrite::Verdict::Other(Extra { code: "c".into(), json: "{}".into() }),
        ]);
        assert_eq!(
            of(&answer),
            ["again a\r\nb@x y", "route a\r\nb@x y smtp", "refuse 250 yes", "other c {}"]
        );
        let keep = |mailbox: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            disposition::Action::Keep(disposition::Filing { mailbox: mailbox.into(), labels })
        };
        let answer = Answer::Disposition(vec![vec![keep("", &[]), keep("My Mail", &["\\Seen"])]]);
        assert_eq!(of(&answer), ["keep INBOX", "keep \"My Mail\" \\Seen"]);
    }
}
