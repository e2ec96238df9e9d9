//! The queue and its decision trails, by command.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mail_types::{Domain, NextHop, QueueId, Route, Timestamp};
use queue::{
    Change, Filter, Listed, Meant, OperateError, QueuedMessage, QueuedRecipient, RouteSummary, State, Step,
    Unreadable,
};
use serde_json::{Value, json};
use storage::StorageError;

use super::{age_text, unreadable};
use crate::config::{Channel, ChannelKind, HostPort, size_text};
use crate::control::{Action, Answer, Which};
use crate::serve::Parts;

/// Messages that one list shows; of more it says so.
const MESSAGES_MAX: usize = 100_000;
/// Faults of one command that the text for people shows.
const FAULTS_SHOWN: usize = 100;
/// How long a command waits for attempts that are under way, in all.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(5);
/// Recipients of one message that the table for people shows.
const RECIPIENTS_SHOWN: usize = 5;

/// Lists waiting messages.
pub(super) fn list(parts: &Parts, channels: &[Channel], which: &Which) -> Result<Answer, String> {
    let now = parts.clock.now();
    let listed = parts.queue.listing().list(&filter(which)?, MESSAGES_MAX + 1).map_err(fault)?;
    let Listed { mut messages, unreadable } = listed;
    let more = messages.len() > MESSAGES_MAX;
    messages.truncate(MESSAGES_MAX);
    let mut text = String::new();
    for message in &messages {
        describe(&mut text, message, now, RECIPIENTS_SHOWN);
    }
    let _ = write!(text, "{}", count(messages.len(), "message"));
    if let (true, Some(name)) = (messages.is_empty(), &which.channel) {
        // Mail may wait for a channel that is not there any more: only where none does it is a mistake.
        if let Err(why) = named(name, channels, |_| true) {
            let _ = write!(text, ", and {why}");
        }
    }
    if more {
        text.push_str(", the oldest of more; conditions as --domain or --age narrow the list");
    }
    unreadable::add_lines(&mut text, &unreadable);
    let mut json = json!({ "messages": to_json(&messages)?, "more": more });
    if !unreadable.is_empty() {
        json["unreadable"] = to_json(&unreadable)?;
    }
    Ok(Answer { json, text, faulty: !unreadable.is_empty() })
}

/// Shows one message.
pub(super) fn show(parts: &Parts, id: &str) -> Result<Answer, String> {
    let id = parse_id(id)?;
    let message = match parts.queue.listing().show(id) {
        Err(StorageError::Corrupt(_)) => {
            return Err(unreadable::told(&Unreadable { id, recipients: None }));
        }
        shown => shown.map_err(fault)?,
    };
    let message = message.ok_or_else(|| OperateError::NotFound(id).to_string())?;
    let mut text = String::new();
    describe(&mut text, &message, parts.clock.now(), usize::MAX);
    let source = &message.source;
    let peer = source.peer.map_or_else(String::new, |peer| format!(" from {peer} ({})", source.helo));
    let _ = write!(text, "  came by {}{peer}", source.channel);
    if let Some(message_id) = &message.message_id {
        let _ = write!(text, "\n  Message-ID {message_id}");
    }
    if message.unreadable > 0 {
        unreadable::add_lines(&mut text, &[Unreadable { id, recipients: Some(message.unreadable) }]);
    }
    Ok(Answer { json: to_json(&message)?, text, faulty: message.unreadable > 0 })
}

/// Counts what waits, by route.
pub(super) fn summary(parts: &Parts) -> Result<Answer, String> {
    let now = parts.clock.now();
    let sums = parts.queue.summary().map_err(fault)?;
    let mut text =
        format!("{:<40} {:>8} {:>6} {:>8} {:>8}  {}", "ROUTE", "WAITING", "HELD", "OLDEST", "NEXT", "LAST");
    for sum in &sums {
        let _ = write!(text, "\n{}", summary_line(sum, now).trim_end());
    }
    let unreadable = parts.queue.listing().unreadable().map_err(fault)?;
    unreadable::add_lines(&mut text, &unreadable);
    Ok(Answer { json: to_json(&sums)?, text, faulty: !unreadable.is_empty() })
}

fn summary_line(sum: &RouteSummary, now: Timestamp) -> String {
    let next = match (sum.rests_until, sum.next_due) {
        (Some(until), _) if until > now => format!("rests {}", age_text(until.since(now))),
        (_, Some(due)) if due > now => age_text(due.since(now)),
        (_, Some(_)) => "now".to_owned(),
        (_, None) => "-".to_owned(),
    };
    format!(
        "{:<40} {:>8} {:>6} {:>8} {next:>8}  {}",
        sum.route.to_string(),
        sum.waiting,
        sum.held,
        age_text(now.since(sum.oldest)),
        sum.last.as_deref().unwrap_or_default()
    )
}

/// Acts on every recipient that is meant.
pub(super) async fn act(
    parts: &Parts,
    channels: &[Channel],
    (action, which): (&Action, &Which),
    data: &Path,
) -> Result<Answer, String> {
    let change = match action {
        Action::Hold => Change::Hold,
        Action::Release => Change::Release,
        Action::Retry => Change::Retry,
        Action::Bounce => Change::Bounce,
        Action::Delete => Change::Delete,
        Action::Reroute(route) => Change::Reroute(parse_route(route, channels)?),
    };
    let whom = filter(which)?;
    let Meant { ids, unreadable } = parts.queue.listing().ids(&whom).map_err(fault)?;
    let mut faults = not_meant(parts, &whom, &ids, &unreadable)?;
    if ids.is_empty() && unreadable.is_empty() {
        let none = || "no message in the queue meets these conditions".to_owned();
        return Err(if faults.is_empty() { none() } else { faults.join("\n  ") });
    }
    let is_named = !whom.ids.is_empty();
    let (mut done, mut recipients, mut idle) = (Vec::new(), 0, Vec::new());
    let deletes = (change == Change::Delete).then_some(data);
    let changed = parts.queue.change_all(ids, whom.clone(), change, "operator", ATTEMPT_PATIENCE).await;
    let taken_out = unreadable::take_out(parts, &whom, &unreadable, deletes).await?;
    for (id, outcome) in changed {
        match outcome {
            Ok(0) => idle.push(id),
            Ok(changed) => {
                recipients += changed;
                done.push(id.to_string());
            }
            Err(why) => faults.push(why.to_string()),
        }
    }
    let nothing_to_do = match action {
        Action::Release => "none of these recipients is parked",
        _ => "all of these recipients are parked; `wasmta queue release` lets them go on",
    };
    faults.extend(taken_out.faults);
    if recipients == 0 && faults.is_empty() && taken_out.done.is_empty() {
        return Err(nothing_to_do.to_owned());
    }
    if is_named {
        faults.extend(idle.iter().map(|id| format!("message {id}: {nothing_to_do}")));
    }
    let word = match action {
        Action::Hold => "parked",
        Action::Release => "released",
        Action::Retry => "to be tried now",
        Action::Bounce => "given up, with a report to the sender",
        Action::Delete => "deleted",
        Action::Reroute(_) => "sent another way",
    };
    let mut text = format!("{} of {} {word}", count(recipients, "recipient"), count(done.len(), "message"));
    for line in &taken_out.done {
        let _ = write!(text, "\n  {line}");
    }
    for why in faults.iter().take(FAULTS_SHOWN) {
        let _ = write!(text, "\n  {why}");
    }
    if faults.len() > FAULTS_SHOWN {
        let _ = write!(text, "\n  and {} more; --json tells them all", faults.len() - FAULTS_SHOWN);
    }
    let faulty = !faults.is_empty();
    let mut json = json!({ "messages": done, "recipients": recipients, "faults": faults });
    if !taken_out.done.is_empty() {
        json["taken_out"] = json!(taken_out.done);
    }
    Ok(Answer { json, text, faulty })
}

/// What is told of messages that were named and are not among those that are meant: who names them wants to hear of each.
fn not_meant(
    parts: &Parts,
    whom: &Filter,
    ids: &[QueueId],
    unreadable: &[Unreadable],
) -> Result<Vec<String>, String> {
    let listing = parts.queue.listing();
    let is_told = |id: &QueueId| unreadable.iter().any(|one| one.id == *id);
    let absent = whom.ids.iter().filter(|id| ids.binary_search(id).is_err() && !is_told(id));
    let told = absent.map(|id| {
        Ok(match listing.show(*id).map_err(fault)? {
            Some(_) => format!("message {id} does not meet the other conditions"),
            None => OperateError::NotFound(*id).to_string(),
        })
    });
    told.collect()
}

/// The steps of a decision, one a line, with the place that decided.
pub(super) fn steps(text: &mut String, steps: &[Step]) {
    for step in steps {
        let _ = write!(text, "\n    {}", step.text);
        if let Some(origin) = &step.origin {
            let _ = write!(text, "  [{origin}]");
        }
    }
}

fn describe(text: &mut String, message: &QueuedMessage, now: Timestamp, recipients: usize) {
    let age = age_text(now.since(message.arrived));
    let sender = if message.sender.starts_with('<') {
        message.sender.clone()
    } else {
        format!("<{}>", message.sender)
    };
    let _ = writeln!(text, "{}  {age:>6}  {:>9}  {sender}", message.id, size_text(message.size));
    for recipient in message.recipients.iter().take(recipients) {
        let _ = writeln!(text, "    {}", recipient_line(recipient, now));
    }
    if message.recipients.len() > recipients {
        let _ = writeln!(text, "    and {} more", message.recipients.len() - recipients);
    }
}

fn recipient_line(recipient: &QueuedRecipient, now: Timestamp) -> String {
    let state = match &recipient.state {
        State::Held { by } => format!("held ({by})"),
        State::Waiting { due } if *due > now => format!("in {}", age_text(due.since(now))),
        State::Waiting { .. } => "now".to_owned(),
    };
    let by_operator = if recipient.by_operator { " (set by an operator)" } else { "" };
    let mut line = format!("{}  {}{by_operator}  {state}", recipient.address, recipient.route);
    if recipient.attempts > 0 {
        let _ = write!(line, ", {}", count(recipient.attempts as usize, "attempt"));
    }
    if let Some(last) = &recipient.last {
        let _ = write!(line, ": {}", last.reply);
    }
    line
}

fn filter(which: &Which) -> Result<Filter, String> {
    Ok(Filter {
        ids: which.ids.iter().map(|id| parse_id(id)).collect::<Result<_, _>>()?,
        sender: which.sender.as_deref().map(|text| pattern("--sender", text)).transpose()?,
        recipient: which.recipient.as_deref().map(|text| pattern("--recipient", text)).transpose()?,
        domain: which.domain.as_deref().map(Domain::parse).transpose().map_err(|e| e.to_string())?,
        channel: which.channel.clone(),
        older_than_seconds: which.age,
        held: None,
    })
}

/// A whole address, or a pattern that says that it is one.
pub(super) fn pattern(option: &str, text: &str) -> Result<String, String> {
    if text.contains(['@', '*']) || text == "<>" {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{option} {text}: this is no address; write it in full, or * for what may stand there, as *@{text}"
    ))
}

/// Whether everything that the channel gets goes the same way, whoever it is for.
fn is_same_for_all(kind: ChannelKind) -> bool {
    kind.goes_out() || matches!(kind, ChannelKind::Bitbucket | ChannelKind::Hold | ChannelKind::Reprocess)
}

/// A channel by its name; where there is none, those that are fit are told.
fn named<'c>(
    name: &str,
    channels: &'c [Channel],
    is_fit: fn(ChannelKind) -> bool,
) -> Result<&'c Channel, String> {
    channels.iter().find(|channel| channel.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let fit = channels.iter().filter(|channel| is_fit(channel.kind));
        let names: Vec<&str> = fit.map(|channel| channel.name.as_str()).collect();
        format!("there is no channel {name:?}: write one of {}", names.join(", "))
    })
}

/// `CHANNEL`, `CHANNEL:HOST` or `CHANNEL:HOST:PORT`; a host stands for itself, without its MX. Only what somebody
/// serves: mail on another route would wait until it is given up.
fn parse_route(text: &str, channels: &[Channel]) -> Result<Route, String> {
    let (name, host) = text.split_once(':').map_or((text, None), |(name, host)| (name, Some(host)));
    let channel = named(name, channels, is_same_for_all)?;
    let (channel, host) = match (channel.kind, host) {
        (ChannelKind::Store, _) => {
            return Err("the store has an account for each recipient: \"reprocess\" finds it".to_owned());
        }
        (
            ChannelKind::Program
            | ChannelKind::File
            | ChannelKind::Shared
            | ChannelKind::AutoReply
            | ChannelKind::List,
            _,
        ) => {
            return Err(format!("{name:?} has a target for each recipient: \"reprocess\" finds it"));
        }
        (kind, None) if kind.goes_out() && channel.smart_host.is_none() => {
            return Err(format!("{name:?} needs a host, as \"{name}:relay.example.org\""));
        }
        (_, None) => return Ok(Route::new(&channel.name, NextHop::Nobody)),
        (kind, Some(_)) if !kind.goes_out() => {
            return Err(format!("a channel of kind {:?} connects to nobody: write {name:?}", kind.word()));
        }
        (_, Some(host)) => (&channel.name, host),
    };
    let HostPort(host, port) = host.parse().map_err(|why| format!("--to {text}: {why}"))?;
    Ok(Route::new(channel, NextHop::Host { host, port }))
}

pub(super) fn parse_id(text: &str) -> Result<QueueId, String> {
    text.parse().map_err(|_| format!("{text:?} is no queue id"))
}

pub(super) fn moment(at: Timestamp) -> String {
    let moment = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(String::new, |moment| format!("{moment:.3}"))
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err hands it")]
pub(super) fn fault(error: StorageError) -> String {
    error.to_string()
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read() {
        let config =
            "[directory]\n[routing]\n[channels.Relay]\nkind = \"smtp\"\nsmart-host = \"relay.example\"\n";
        let config = crate::config::Config::parse("", config, std::path::Path::new("")).unwrap();
        let parse_route = |text: &str| parse_route(text, &config.channels);
        for (text, route) in [
            ("bitbucket", "bitbucket:-"),
            ("hold", "hold:-"),
            ("relay", "relay:-"),
            ("smtp:relay.example.net", "smtp:[relay.example.net]"),
            ("smtp:relay.example.net:587", "smtp:[relay.example.net]:587"),
            ("lmtp:127.0.0.1:2424", "lmtp:[127.0.0.1]:2424"),
            ("lmtp:[127.0.0.1]:2424", "lmtp:[127.0.0.1]:2424"),
            ("smtp:[::1]:25", "smtp:[ipv6:::1]:25"),
        ] {
            let parsed = parse_route(text).unwrap();
            assert_eq!(parsed.to_string(), route, "{text}");
            let NextHop::Host { host, .. } = parsed.next_hop else { continue };
            assert_eq!(host.as_ip().is_some(), text.contains("127") || text.contains("::1"), "{text}");
        }
        for text in ["smtp:", "smtp:a b", "smtp:relay.example.net:x"] {
            assert!(parse_route(text).is_err(), "{text}");
        }
        for (text, why) in [
            ("smpt:relay.example.net", "there is no channel \"smpt\": write one of smtp, "),
            ("autoreply", "\"autoreply\" has a target for each recipient"),
            ("list", "\"list\" has a target for each recipient"),
            ("smtp", "\"smtp\" needs a host"),
            ("program:filter", "\"program\" has a target for each recipient"),
            ("store", "the store has an account for each recipient"),
            ("hold:relay.example.net", "a channel of kind \"hold\" connects to nobody"),
        ] {
            let refused = parse_route(text).unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
        }
    }

    #[test]
    fn moments_are_printed_in_utc() {
        assert_eq!(moment(Timestamp(0)), "1970-01-01T00:00:00.000Z");
    }
}
