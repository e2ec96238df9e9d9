//! What plugins say of an explained message beyond where it is addressed to: those of its final recipients, and those
//! by which the next host sees another sender.

use std::collections::HashMap;

use bytes::Bytes;
use hooks::Role;
use mail_types::{AccountName, Address, ChannelName, ForwardPath, NextHop, Recipient};
use profiles::{About, Hearing, Leaving, Replies};
use queue::Accepted;
use routing::recorder::{Step, StepKind};
use routing::{ExplainedAddress, ExplainedOutcome, ExplainedRecipient, Explanation, Request, UserChain};
use storage::LoadedContent;

use crate::config::{ChannelKind, Config};
use crate::serve::Parts;

/// What was heard, as steps.
pub(super) fn steps(hearing: Hearing) -> impl Iterator<Item = Step> {
    hearing.into_lines().into_iter().map(|line| Step::new(StepKind::Plugin, line))
}

/// Asks the plugins of the final recipients what becomes of the message, as the end of its content does. Without a message, says
/// who will be asked.
pub(super) async fn dispose(
    parts: &Parts,
    request: &Request<'_>,
    message: Option<&[u8]>,
    explanation: &mut Explanation,
) -> Result<(), String> {
    let ExplainedOutcome::Accepted(before) = &mut explanation.outcome else { return Ok(()) };
    let Some(message) = message else { return announce(parts, before) };
    let resolved = std::mem::take(&mut explanation.resolved);
    let Some(named) = named(request.recipient).or_else(|| Some(resolved.first()?.address.clone())) else {
        return Ok(());
    };
    let of = Recipient::new(named);
    let recipients = resolved.into_iter().map(|one| one.into_accepted(&of)).collect();
    let about = About {
        id: request.id,
        channel: request.source,
        again: false,
        authenticated: request.authenticated,
        reverse_path: request.reverse_path,
        replies: Replies::One,
    };
    let content = LoadedContent::Memory(Bytes::copy_from_slice(message));
    let mut hearing = Hearing::explaining();
    let disposed = parts.profiles.dispose_heard(about, recipients, || Ok(content), &mut hearing).await;
    let outcome = match disposed {
        Ok(recipients) => {
            ExplainedOutcome::accepted(recipients.into_iter().map(|one| explained(one, before)))
        }
        Err(refusal) => refusal.into(),
    };
    explanation.outcome = outcome;
    append(explanation, hearing);
    answered_once(&mut explanation.outcome);
    Ok(())
}

/// Where a user's option and plugins answer the sender, the queue sends one reply of an account and lets the others be.
fn answered_once(outcome: &mut ExplainedOutcome) {
    let ExplainedOutcome::Accepted(recipients) = outcome else { return };
    let mut answering: Vec<(AccountName, usize)> = Vec::new();
    recipients.retain(|recipient| {
        let Some(account) = answers_for(recipient) else { return true };
        match answering.iter_mut().find(|(known, _)| known == account) {
            Some((_, replies)) => *replies += 1,
            None => answering.push((account.clone(), 1)),
        }
        answering.iter().any(|(known, replies)| known == account && *replies == 1)
    });
    for recipient in recipients {
        let Some(account) = answers_for(recipient) else { continue };
        if let Some((_, replies)) = answering.iter().find(|(known, replies)| known == account && *replies > 1)
        {
            recipient.notes.push(format!("one automatic reply goes out, of {replies} that are asked for"));
        }
    }
}

fn answers_for(recipient: &ExplainedRecipient) -> Option<&AccountName> {
    match &recipient.route.next_hop {
        NextHop::Account(account) | NextHop::Answer { account, .. } => {
            (recipient.route.channel.as_str() == ChannelName::AUTOREPLY).then_some(account)
        }
        _ => None,
    }
}

fn announce(parts: &Parts, recipients: &mut [ExplainedRecipient]) -> Result<(), String> {
    for recipient in recipients {
        let chain = parts.profiles.disposing(&recipient.address, &recipient.route);
        let UserChain { plugins, tenant } = chain.map_err(|refusal| refusal.cause)?;
        if plugins.is_empty() {
            continue;
        }
        let names: Vec<String> = plugins.iter().map(ToString::to_string).collect();
        let (noun, verb) = if names.len() == 1 { ("plugin", "decides") } else { ("plugins", "decide") };
        recipient.notes.push(format!(
            "{noun} {} {verb} when the message is here; --message FILE shows how",
            names.join(", ")
        ));
        // What no message is needed for to know.
        let unasked =
            plugins.iter().filter_map(|name| parts.plugins.unasked(name, Role::Disposition, tenant.as_ref()));
        recipient.notes.extend(unasked);
    }
    Ok(())
}

/// A recipient as the queue would take it, with what was noted of it before.
fn explained(accepted: Accepted, before: &[ExplainedRecipient]) -> ExplainedRecipient {
    let Accepted { recipient, route, refused, .. } = accepted;
    let mut explained = ExplainedRecipient::new(recipient.address, route);
    if let Some(known) = before.iter().find(|known| known.address == explained.address) {
        explained.detail.clone_from(&known.detail);
        explained.notes.clone_from(&known.notes);
    }
    explained.notes.extend(refused.map(|reply| format!("refused, the sender gets a report: {reply}")));
    explained
}

/// Says as whom others see the sender in the copies that leave.
pub(super) async fn leave(
    parts: &Parts,
    config: &Config,
    request: &Request<'_>,
    explanation: &mut Explanation,
) {
    let (Some(sender), ExplainedOutcome::Accepted(recipients)) =
        (request.reverse_path.address(), &mut explanation.outcome)
    else {
        return;
    };
    let mut hearing = Hearing::explaining();
    let mut told: HashMap<String, Option<String>> = HashMap::new();
    for recipient in recipients {
        let kind = config.channels.iter().find(|channel| channel.name == recipient.channel);
        if !kind.is_some_and(|channel| matches!(channel.kind, ChannelKind::Smtp | ChannelKind::Lmtp)) {
            continue;
        }
        let note = match told.get(&recipient.channel) {
            Some(note) => note.clone(),
            None => {
                let leaving = Leaving {
                    channel: request.source,
                    destination: Some(&recipient.channel),
                    authenticated: request.authenticated,
                    id: request.id,
                };
                let original = named(request.recipient).unwrap_or_else(|| recipient.address.clone());
                let seen = parts.profiles.seen_by_next(leaving, sender, &original, &mut hearing).await;
                let note = match seen {
                    Ok(seen) if seen == *sender => None,
                    Ok(seen) => Some(format!("with the sender {seen}")),
                    Err(refusal) => Some(format!("not sent: {}: {}", refusal.reply, refusal.cause)),
                };
                told.insert(recipient.channel.clone(), note.clone());
                note
            }
        };
        recipient.notes.extend(note);
    }
    append(explanation, hearing);
}

/// The address that was named, unless it is the postmaster's.
fn named(path: &ForwardPath) -> Option<Address> {
    match path {
        ForwardPath::Address { address, .. } => Some(address.clone()),
        ForwardPath::Postmaster => None,
    }
}

fn append(explanation: &mut Explanation, hearing: Hearing) {
    let steps: Vec<Step> = steps(hearing).collect();
    if !steps.is_empty() {
        explanation.addresses.push(ExplainedAddress { depth: 0, steps });
    }
}

#[cfg(test)]
mod tests {
    use mail_types::{Route, Words};

    use super::*;

    #[test]
    fn one_account_answers_once_and_another_one_too() {
        let account = |name: &str| AccountName::new(name).unwrap();
        let address = Address::parse("team@example.org").unwrap();
        let recipient = |route| ExplainedRecipient::new(address.clone(), route);
        let own = |name| Route::new(ChannelName::AUTOREPLY, NextHop::Account(account(name)));
        let words = Box::new(Words::default());
        let by_plugin = NextHop::Answer { account: account("anna@example.org"), words };
        let mut outcome = ExplainedOutcome::Accepted(vec![
            recipient(own("anna@example.org")),
            recipient(Route::store(account("anna@example.org"))),
            recipient(Route::new(ChannelName::AUTOREPLY, by_plugin)),
            recipient(own("ben@example.org")),
        ]);
        answered_once(&mut outcome);
        let ExplainedOutcome::Accepted(left) = outcome else { panic!("it was accepted") };
        let notes: Vec<&String> = left.iter().flat_map(|one| &one.notes).collect();
        let left: Vec<String> = left.iter().map(|one| one.route.to_string()).collect();
        assert_eq!(notes, ["one automatic reply goes out, of 2 that are asked for"]);
        assert_eq!(
            left,
            ["autoreply:anna@example.org", "store:anna@example.org", "autoreply:ben@example.org"]
        );
    }
}
