//! Keeps state in variables, which the contract forbids: what it heard at the last call, it says at this one. On a
//! fresh instance it is innocent each time; where instances are shared, one message's address shows up in another's.

use crate::Hostile;
use crate::exports::wasmta::policy::{authorize_sender, disposition, reverse, rewrite, route_table};
use crate::wasmta::policy::types::{Address, Failure, Reply};
use std::sync::Mutex;

static LAST: Mutex<Option<String>> = Mutex::new(None);

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "stateful";
    const SUMMARY: &str = "Hostile: answers by what the last call was";
    /// So that it can be seen that it is not asked about others.
    const INTERESTS: &[(&str, &str)] = &[("disposition", "domain=example.org")];

    fn rewrite(request: &rewrite::Request) -> rewrite::Verdict {
        let last = replaced(&request.address.local);
        let again = |local| Address { local, domain: request.address.domain.clone() };
        last.map_or(rewrite::Verdict::NoMatch, |local| rewrite::Verdict::Again(again(local)))
    }

    fn reverse(request: &reverse::Request) -> reverse::Verdict {
        let last = replaced(&request.address.local);
        let changed = |local| Address { local, domain: request.address.domain.clone() };
        last.map_or(reverse::Verdict::Unchanged, |local| reverse::Verdict::Changed(changed(local)))
    }

    fn authorize(question: &authorize_sender::Request) -> Result<authorize_sender::Verdict, Failure> {
        let last = replaced(&question.account);
        let deny =
            |last| Reply { code: 550, enhanced: "5.7.1".into(), text: format!("After {last} nobody may") };
        Ok(last
            .map_or(authorize_sender::Verdict::NoOpinion, |last| authorize_sender::Verdict::Deny(deny(last))))
    }

    fn decide(to: &disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        let last = replaced(&to.account).map(|value| disposition::Field { name: "X-Last".into(), value });
        Ok(last.map(disposition::Action::AddHeader).into_iter().collect())
    }

    fn build(domain: &str, entry: &route_table::Entry) -> route_table::Rows {
        let last = replaced(&entry.dn).map(|targets| route_table::AliasRow {
            address: format!("last@{domain}"),
            primary: String::new(),
            kind: "group".into(),
            relation: "primary".into(),
            status: "active".into(),
            options: vec!["members".into()],
            targets: vec![targets],
            attrs: vec![],
        });
        route_table::Rows { aliases: last.into_iter().collect(), routes: vec![], attrs: vec![] }
    }
}

/// Remembers this call, and gives the one before.
fn replaced(now: &str) -> Option<String> {
    LAST.lock().ok()?.replace(now.to_owned())
}
