//! What happens to an explained recipient beyond its route: a full mailbox, a smart host, the static host table.

use mail_types::{Domain, Lookup, NextHop};
use routing::{ExplainedOutcome, ExplainedRecipient, Explanation};

use crate::config::Config;
use crate::serve::{Parts, hosts};

/// Adds it to what routing has explained.
pub(super) fn add(parts: &Parts, config: &Config, explanation: &mut Explanation) -> Result<(), String> {
    let ExplainedOutcome::Accepted(recipients) = &mut explanation.outcome else { return Ok(()) };
    let table = hosts(config)?;
    for recipient in recipients.iter_mut() {
        by_smart_host(config, recipient);
        by_table(parts, config, &table, recipient);
    }
    Ok(())
}

/// As the queue does it: whatever the recipient's domain is.
fn by_smart_host(config: &Config, recipient: &mut ExplainedRecipient) {
    let channel = config.channels.iter().find(|channel| channel.name == recipient.channel);
    let Some((host, port)) = channel.and_then(|channel| channel.smart_host.clone()) else { return };
    let name = &recipient.channel;
    recipient.notes.push(format!("instead of {}: channels.{name}.smart-host", recipient.next_hop));
    recipient.go_by(NextHop::Host { host, port });
}

/// The row that stands for the MX and addresses of a domain, or the addresses of a host.
fn by_table(parts: &Parts, config: &Config, table: &dns::Hosts, recipient: &mut ExplainedRecipient) {
    let key = match &recipient.route.next_hop {
        // What the directory says of a domain's hosts comes first, and stands in the steps.
        NextHop::Domain(domain) if !has_routing_hosts(parts, domain) => table.key_of(domain),
        NextHop::Host { host, .. } => table.key_of(host).filter(|key| *key == host.to_string()),
        _ => None,
    };
    let Some(key) = key else { return };
    let row = config.hosts.iter().find(|row| row.name.eq_ignore_ascii_case(&key));
    recipient
        .notes
        .extend(row.map(|row| format!("hosts: {}  [hosts, {:?}]", row.hosts.join(", "), row.name)));
}

fn has_routing_hosts(parts: &Parts, domain: &Domain) -> bool {
    match parts.routing.tables().domain_attributes(domain) {
        Lookup::Found(pairs) => pairs.iter().any(|(name, _)| name == "routing-host"),
        Lookup::NotFound | Lookup::Unavailable(_) => false,
    }
}

/// A session refuses the one recipient whose mailbox is full; the copies of several wait, or go back.
pub(super) fn full_mailboxes(parts: &Parts, outcome: &mut ExplainedOutcome) -> Result<(), String> {
    let ExplainedOutcome::Accepted(recipients) = outcome else { return Ok(()) };
    let is_one = recipients.len() == 1;
    for recipient in recipients.iter_mut() {
        let Some(account) = recipient.route.local_account() else { continue };
        let Some(full) = parts.queue.find_full(account).map_err(|e| e.to_string())? else { continue };
        let reply = parts.queue.full_reply();
        let cause = format!("{full} is over its quota (`wasmta store quota {account}` tells of it)");
        if !is_one {
            let what = if reply.code >= 500 { "its copy goes back" } else { "its copy waits for room" };
            recipient.notes.push(format!("{what}: {cause}"));
            continue;
        }
        *outcome = ExplainedOutcome::Refused {
            code: reply.code,
            status: reply.status_or_class().to_string(),
            text: reply.lines.join(" "),
            cause,
        };
        break;
    }
    Ok(())
}
