//! Messages of the past, by command: their trails, one in full or many by what is known of them.

use std::fmt::Write as _;

use mail_types::Timestamp;
use queue::{History, PastMessage};
use serde_json::json;

use super::queue::{count, fault, moment, parse_id, pattern, steps, to_json};
use crate::config::size_text;
use crate::control::{Answer, Past};
use crate::serve::Parts;

/// Most messages that one list shows.
const MESSAGES_MAX: usize = 10_000;
/// Recipients of one message that the text for people shows.
const RECIPIENTS_SHOWN: usize = 5;

/// Lists messages by sender, recipient, Message-ID or time, the newest first.
pub(super) fn list(parts: &Parts, past: &Past) -> Result<Answer, String> {
    let moment_of = |given: Option<u64>| given.map(Timestamp);
    let wanted = History {
        sender: past.sender.as_deref().map(|text| pattern("--sender", text)).transpose()?,
        recipient: past.recipient.as_deref().map(|text| pattern("--recipient", text)).transpose()?,
        message_id: past.message_id.clone(),
        since: moment_of(past.since),
        until: moment_of(past.until),
    };
    let most = past.limit.min(MESSAGES_MAX);
    let found = parts.queue.listing().past(&wanted, most).map_err(fault)?;
    let mut text = String::new();
    for message in &found.messages {
        describe(&mut text, message);
    }
    let _ = write!(text, "{}", count(found.messages.len(), "message"));
    if found.more {
        text.push_str(", the newest of more: --limit shows more of them, --since and --until others");
    }
    let messages = to_json(&found.messages)?;
    Ok(Answer::new(json!({ "messages": messages, "more": found.more }), text))
}

fn describe(text: &mut String, message: &PastMessage) {
    let head = &message.head;
    let size = size_text(head.size);
    let _ = write!(text, "{}  {}  {size:>9}  {}", moment(head.at), message.id, head.reverse_path);
    if let Some(message_id) = &head.message_id {
        let _ = write!(text, "  {message_id}");
    }
    text.push('\n');
    for one in head.recipients.iter().take(RECIPIENTS_SHOWN) {
        let given = if one.original == one.address { String::new() } else { format!("{} -> ", one.original) };
        let _ = writeln!(text, "    {given}{} by {}", one.address, one.route);
    }
    if head.recipients.len() > RECIPIENTS_SHOWN {
        let _ = writeln!(text, "    and {} more", head.recipients.len() - RECIPIENTS_SHOWN);
    }
}

/// What was decided for a message, and what became of it.
pub(super) fn trace(parts: &Parts, id: &str) -> Result<Answer, String> {
    let id = parse_id(id)?;
    let trail = parts.queue.listing().trail(id).map_err(fault)?;
    if trail.head.is_none() && trail.lines.is_empty() {
        return Err(format!("nothing is known of message {id}: it never was, or its trail is gone by age"));
    }
    let mut text = format!("message {id}");
    if let Some(head) = &trail.head {
        let source = &head.source;
        let _ =
            write!(text, "\n{} accepted from {} by {}", moment(head.at), head.reverse_path, source.channel);
        if let Some(peer) = source.peer {
            let _ = write!(text, ", client {peer} ({}), {}", source.helo, source.protocol);
        }
        if let Some(account) = &source.authenticated {
            let _ = write!(text, ", as {account}");
        }
        let _ = write!(text, ", {} octets", head.size);
        for recipient in &head.recipients {
            let _ = write!(text, "\n  {}", recipient.original);
            steps(&mut text, &recipient.steps);
            let _ = write!(text, "\n    -> {} by {}", recipient.address, recipient.route);
        }
    }
    for line in &trail.lines {
        let whom = line.recipient.as_ref().map_or_else(String::new, |address| format!(" {address}"));
        let _ = write!(text, "\n{}{whom} {}: {}", moment(line.at), line.what, line.text);
    }
    Ok(Answer::new(to_json(&trail)?, text))
}
