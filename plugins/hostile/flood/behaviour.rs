//! Says too much. Lines in the log without end; `line@` one of 4 MiB, `fields@` one with 100,000 fields, `text@` an
//! answer with a text of 4 MiB, `list@` an answer of 100,000 parts, `failure@` a failure with a message of 4 MiB. These
//! are small enough to fit into the memory of a plugin, and should not fit through its limits for answers.

use crate::exports::wasmta::policy::{authorize_sender, disposition, reverse, rewrite, route_table};
use crate::wasmta::policy::log;
use crate::wasmta::policy::types::{Address, Failure, Reply};
use crate::{GOOD, Hostile, first_value, word};

const LONG: usize = 4 << 20;
const MANY: usize = 100_000;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "flood";
    const SUMMARY: &str = "Hostile: says too much, in the log and in answers";

    fn act(word: &str) {
        match word {
            GOOD | "text" | "list" | "failure" => {}
            "line" => log::emit(log::Level::Info, &long(), &[]),
            "fields" => {
                let fields = vec![("name".to_owned(), "value".to_owned()); MANY];
                log::emit(log::Level::Info, "many fields", &fields);
            }
            _ => loop {
                log::emit(log::Level::Error, "flood", &[("and".into(), "so on".into())]);
            },
        }
    }

    fn rewrite_all(batch: &[rewrite::Request]) -> Result<Vec<rewrite::Verdict>, Failure> {
        let first = batch.first().map(|request| word(&request.function, &request.address.local));
        let verdict = match first.unwrap_or_default().as_str() {
            "list" => return Ok(vec![rewrite::Verdict::Again(address("many")); MANY]),
            "failure" => return Err(failure()),
            "text" => rewrite::Verdict::Refuse(reply()),
            other => {
                Self::act(other);
                rewrite::Verdict::NoMatch
            }
        };
        Ok(vec![verdict; batch.len()])
    }

    fn reverse_all(batch: &[reverse::Request]) -> Result<Vec<reverse::Verdict>, Failure> {
        let first = batch.first().map(|request| word("", &request.address.local));
        let verdict = match first.unwrap_or_default().as_str() {
            "list" => return Ok(vec![reverse::Verdict::Changed(address("many")); MANY]),
            "failure" => return Err(failure()),
            "text" => reverse::Verdict::Changed(address(&long())),
            other => {
                Self::act(other);
                reverse::Verdict::Unchanged
            }
        };
        Ok(vec![verdict; batch.len()])
    }

    fn authorize(question: &authorize_sender::Request) -> Result<authorize_sender::Verdict, Failure> {
        match word("", &question.address.local).as_str() {
            "text" | "list" => Ok(authorize_sender::Verdict::Deny(reply())),
            "failure" => Err(failure()),
            other => {
                Self::act(other);
                Ok(authorize_sender::Verdict::NoOpinion)
            }
        }
    }

    fn decide(to: &disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        match word("", &to.address.local).as_str() {
            "list" => Ok(vec![disposition::Action::Forward(address("many")); MANY]),
            "text" => Ok(vec![disposition::Action::Discard(long())]),
            "failure" => Err(failure()),
            other => {
                Self::act(other);
                Ok(vec![])
            }
        }
    }

    fn build_all(domain: &str, batch: &[route_table::Entry]) -> Result<Vec<route_table::Rows>, Failure> {
        let first = batch.first().map(|entry| word("", first_value(&entry.dn)));
        let (address, count) = match first.unwrap_or_default().as_str() {
            "list" => (format!("many@{domain}"), MANY / 10),
            "text" => (long(), 1),
            "failure" => return Err(failure()),
            other => {
                Self::act(other);
                (String::new(), 0)
            }
        };
        let row = route_table::AliasRow {
            address,
            primary: String::new(),
            kind: "user".into(),
            relation: "primary".into(),
            status: "active".into(),
            options: vec!["mailbox".into()],
            targets: vec![],
            attrs: vec![],
        };
        let empty = || route_table::Rows { aliases: vec![], routes: vec![], attrs: vec![] };
        let rows = batch.iter().enumerate().map(|(at, _)| route_table::Rows {
            aliases: if at == 0 { vec![row.clone(); count] } else { vec![] },
            ..empty()
        });
        Ok(rows.collect())
    }
}

fn long() -> String {
    "x".repeat(LONG)
}

fn address(local: &str) -> Address {
    Address { local: local.into(), domain: "example.org".into() }
}

fn reply() -> Reply {
    Reply { code: 550, enhanced: "5.7.1".into(), text: long() }
}

fn failure() -> Failure {
    Failure { permanent: false, message: long() }
}
