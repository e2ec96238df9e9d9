//! Who is logged in, and who is refused for wrong passwords, by command.

use std::fmt::Write as _;
use std::net::IpAddr;

use auth::{LoginCount, SessionInfo};
use mail_types::AccountName;
use serde_json::json;

use super::age_text;
use super::mailbox::account_name;
use super::queue::{count, moment};
use crate::control::{Answer, LoginRequest};
use crate::serve::Parts;

/// Sessions, or counts, that the text for people shows.
const SHOWN_MAX: usize = 1_000;

/// Performs a request.
pub(super) fn perform(parts: &Parts, request: &LoginRequest) -> Result<Answer, String> {
    match request {
        LoginRequest::Sessions { user, all } => sessions(parts, user.as_deref(), *all),
        LoginRequest::End { numbers, user } => end(parts, numbers, user.as_deref()),
        LoginRequest::Refused { all } => Ok(refused(parts, *all)),
        LoginRequest::Lift { whom, all } => lift(parts, whom, *all),
    }
}

/// The account of a login or address, also of a user who is gone and whose session may still run.
fn account(parts: &Parts, user: &str) -> Result<AccountName, String> {
    match account_name(parts, user, false) {
        Ok(account) => Ok(account),
        Err(why) => {
            let left = AccountName::new(&user.to_lowercase());
            let sessions = parts.authenticator.sessions().list();
            left.filter(|left| sessions.iter().any(|one| one.account.as_ref() == Some(left))).ok_or(why)
        }
    }
}

fn sessions(parts: &Parts, user: Option<&str>, all: bool) -> Result<Answer, String> {
    let account = user.map(|user| account(parts, user)).transpose()?;
    let is_meant = |one: &SessionInfo| match &account {
        Some(account) => one.account.as_ref() == Some(account),
        None => all || one.account.is_some(),
    };
    let sessions: Vec<SessionInfo> =
        parts.authenticator.sessions().list().into_iter().filter(is_meant).collect();
    let now = parts.clock.now();
    let mut text = String::new();
    for one in sessions.iter().take(SHOWN_MAX) {
        let whose = one.account.as_ref().map_or("-", AccountName::as_str);
        let age = age_text(now.since(one.since));
        let _ = writeln!(text, "{:>8}  {:<12}  {:<16}  {age:>9}  {whose}", one.number, one.service, one.peer);
    }
    if sessions.len() > SHOWN_MAX {
        text.push_str("  and more; --json tells them all\n");
    }
    let _ = write!(text, "{}", count(sessions.len(), "session"));
    let json = sessions.iter().map(|one| {
        json!({
            "session": one.number, "service": one.service, "peer": one.peer,
            "since": moment(one.since), "account": one.account,
        })
    });
    Ok(Answer::new(json!({ "sessions": json.collect::<Vec<_>>() }), text))
}

fn end(parts: &Parts, numbers: &[u64], user: Option<&str>) -> Result<Answer, String> {
    let account = user.map(|user| account(parts, user)).transpose()?;
    let is_meant =
        |one: &SessionInfo| numbers.contains(&one.number) || account.is_some() && one.account == account;
    match parts.authenticator.sessions().end(is_meant) {
        0 => Err("there is no such session: `wasmta login sessions` lists them".to_owned()),
        ended => Ok(Answer::done(format!("{} ended", count(ended, "session")))),
    }
}

fn refused(parts: &Parts, all: bool) -> Answer {
    let counts = parts.authenticator.failures();
    let (shown, others): (Vec<LoginCount>, Vec<LoginCount>) =
        counts.into_iter().partition(|one| all || one.refused_for.is_some());
    let mut text = String::new();
    for one in shown.iter().take(SHOWN_MAX) {
        // Whoever guesses chooses the name: nothing of it may move the terminal's cursor.
        let whose = one.login.as_ref().map_or_else(|| "all logins".to_owned(), |login| format!("{login:?}"));
        let state = match one.refused_for {
            Some(left) => format!("refused, one try in {}", age_text(left)),
            None => "admitted".to_owned(),
        };
        let network = network(one.network);
        let (failures, max) = (one.failures, one.failures_max);
        let _ = writeln!(text, "{network:<22}  {whose:<30}  {failures:>3} of {max}  {state}");
    }
    let _ = write!(
        text,
        "{} refused",
        count(shown.iter().filter(|one| one.refused_for.is_some()).count(), "count")
    );
    if !others.is_empty() {
        let _ = write!(text, "; {} with fewer wrong passwords (--all shows them)", others.len());
    }
    let json = shown.iter().map(|one| {
        json!({
            "network": network(one.network), "login": one.login, "failures": one.failures,
            "failures_max": one.failures_max,
            "refused_seconds": one.refused_for.map(|left| left.as_secs_f64().ceil()),
        })
    });
    Answer::new(json!({ "counts": json.collect::<Vec<_>>() }), text)
}

/// As the throttle counts it: an IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> String {
    if address.is_ipv6() { format!("{address}/64") } else { address.to_string() }
}

fn lift(parts: &Parts, whom: &[String], all: bool) -> Result<Answer, String> {
    let authenticator = &parts.authenticator;
    if all {
        let lifted = authenticator.forget_failures();
        return Ok(Answer::done(format!("{} forgotten", count(lifted, "count"))));
    }
    let (mut lifted, mut without) = (0, Vec::new());
    for name in whom {
        let forgotten = match name.strip_suffix("/64").unwrap_or(name).parse::<IpAddr>() {
            Ok(network) => authenticator.forget_failures_from(network),
            Err(_) => authenticator.forget_failures_of(name),
        };
        lifted += forgotten;
        if forgotten == 0 {
            without.push(name.as_str());
        }
    }
    let mut answer = Answer::done(format!("{} forgotten", count(lifted, "count")));
    if !without.is_empty() {
        let names = without.join(", ");
        let _ = write!(
            answer.text,
            "\nnothing is counted of {names}: a login is counted as it was given, and a network refuses all logins from it \
             (`wasmta login refused --all`)"
        );
        answer.faulty = true;
    }
    Ok(answer)
}
