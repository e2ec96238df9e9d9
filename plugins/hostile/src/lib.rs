//! Plugins that do what must not be done, for the server's tests. Each feature is a component of its own; this file
//! has what they share: all roles, innocent answers, and the word that says which misdeed is wanted.
//!
//! The word is the request's `function`, or else the local part of its address up to the first point: `crlf@` and
//! `crlf.17@` ask for `crlf`. For the routing table it is the first value of the distinguished name: `CN=crlf,…`.
//! `good@` is answered innocently; any word that a plugin does not know gets its customary misdeed.

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:hostile/plugin", generate_all });

#[cfg_attr(feature = "loop", path = "../loop/behaviour.rs")]
#[cfg_attr(feature = "trap", path = "../trap/behaviour.rs")]
#[cfg_attr(feature = "allocate", path = "../allocate/behaviour.rs")]
#[cfg_attr(feature = "flood", path = "../flood/behaviour.rs")]
#[cfg_attr(feature = "slow", path = "../slow/behaviour.rs")]
#[cfg_attr(feature = "forge", path = "../forge/behaviour.rs")]
#[cfg_attr(feature = "stateful", path = "../stateful/behaviour.rs")]
mod behaviour;

use behaviour::Behaviour;
use exports::wasmta::policy::plugin::{Description, Guest as Card, Interest};
use exports::wasmta::policy::{authorize_sender, disposition, reverse, rewrite, route_table};
use wasmta::policy::types::{Context, Failure};

/// The word for which a plugin is innocent; forge and stateful know no other words but their own.
#[cfg(not(any(feature = "forge", feature = "stateful")))]
const GOOD: &str = "good";

/// A misdeed. Most only act, and then answer innocently if they still can; others forge the answers themselves.
trait Hostile {
    const NAME: &str;
    const SUMMARY: &str;
    /// Role and selector, each.
    const INTERESTS: &[(&str, &str)] = &[];

    fn act(_word: &str) {}

    fn rewrite(request: &rewrite::Request) -> rewrite::Verdict {
        Self::act(&word(&request.function, &request.address.local));
        rewrite::Verdict::NoMatch
    }

    fn rewrite_all(batch: &[rewrite::Request]) -> Result<Vec<rewrite::Verdict>, Failure> {
        Ok(batch.iter().map(Self::rewrite).collect())
    }

    fn reverse(request: &reverse::Request) -> reverse::Verdict {
        Self::act(&word("", &request.address.local));
        reverse::Verdict::Unchanged
    }

    fn reverse_all(batch: &[reverse::Request]) -> Result<Vec<reverse::Verdict>, Failure> {
        Ok(batch.iter().map(Self::reverse).collect())
    }

    fn authorize(question: &authorize_sender::Request) -> Result<authorize_sender::Verdict, Failure> {
        Self::act(&word("", &question.address.local));
        Ok(authorize_sender::Verdict::NoOpinion)
    }

    fn decide(to: &disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        Self::act(&word("", &to.address.local));
        Ok(vec![])
    }

    fn build(_domain: &str, entry: &route_table::Entry) -> route_table::Rows {
        Self::act(&word("", first_value(&entry.dn)));
        route_table::Rows { aliases: vec![], routes: vec![], attrs: vec![] }
    }

    fn build_all(domain: &str, batch: &[route_table::Entry]) -> Result<Vec<route_table::Rows>, Failure> {
        Ok(batch.iter().map(|entry| Self::build(domain, entry)).collect())
    }
}

/// Which misdeed is wanted.
fn word(function: &str, local: &str) -> String {
    let named = if function.is_empty() { local } else { function };
    named.split('.').next().unwrap_or_default().to_lowercase()
}

/// The value of the first part of a distinguished name.
fn first_value(dn: &str) -> &str {
    let first = dn.split(',').next().unwrap_or_default();
    first.split_once('=').map_or("", |(_, value)| value)
}

fn interest((role, selector): &(&str, &str)) -> Interest {
    Interest { role: (*role).into(), selector: (*selector).into() }
}

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        Description {
            name: Behaviour::NAME.into(),
            version: "1.0.0".into(),
            summary: Behaviour::SUMMARY.into(),
            config_schema: String::new(),
            interests: Behaviour::INTERESTS.iter().map(interest).collect(),
            attrs: vec![],
        }
    }
}

impl rewrite::Guest for Plugin {
    fn rewrite(_: Context, batch: Vec<rewrite::Request>) -> Result<Vec<rewrite::Verdict>, Failure> {
        Behaviour::rewrite_all(&batch)
    }
}

impl reverse::Guest for Plugin {
    fn reverse(_: Context, batch: Vec<reverse::Request>) -> Result<Vec<reverse::Verdict>, Failure> {
        Behaviour::reverse_all(&batch)
    }
}

impl authorize_sender::Guest for Plugin {
    fn authorize(
        _: Context,
        question: authorize_sender::Request,
    ) -> Result<authorize_sender::Verdict, Failure> {
        Behaviour::authorize(&question)
    }
}

impl disposition::Guest for Plugin {
    fn decide(_: Context, to: disposition::Recipient) -> Result<Vec<disposition::Action>, Failure> {
        Behaviour::decide(&to)
    }
}

impl route_table::Guest for Plugin {
    fn build(domain: String, batch: Vec<route_table::Entry>) -> Result<Vec<route_table::Rows>, Failure> {
        Behaviour::build_all(&domain, &batch)
    }
}
