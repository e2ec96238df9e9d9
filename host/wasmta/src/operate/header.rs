//! What a session makes of an explained message's header: whether it is taken, and, of our own users' mail, its addresses.

use message::Facts;
use profiles::{Hearing, Leaving};
use routing::recorder::{Step, StepKind};
use routing::{ExplainedAddress, ExplainedOutcome, Explanation, HeaderPlace, Request};
use smtp_server::{HeaderAddresses, header_fits};

use super::disposed;
use crate::config::{Config, Protocol};
use crate::serve::{Parts, smtp_options};

/// The message as it goes on, where its recipients are accepted; `None` where its header is refused.
pub(super) async fn take(
    parts: &Parts,
    config: &Config,
    request: &Request<'_>,
    message: &[u8],
    explanation: &mut Explanation,
) -> Option<Vec<u8>> {
    if !matches!(explanation.outcome, ExplainedOutcome::Accepted(_)) {
        return Some(message.to_vec());
    }
    let protocol = match request.source {
        "submission" => Protocol::Submission,
        "lmtp" => Protocol::Lmtp,
        _ => Protocol::Smtp,
    };
    // Without a listener of that kind there is nobody who would look.
    let options = config.listeners.iter().find(|listener| listener.protocol == protocol);
    let options = options.map(|listener| smtp_options(config, listener));
    let host = options.as_ref().map_or(config.server.name.as_str(), |options| options.host.as_str());
    let facts = Facts::scan(message, host);
    let length = facts.header_len;
    if let Some(options) = &options
        && let Err(refusal) = header_fits(&options.limits, &facts, true)
    {
        explanation.outcome = refusal.into();
        return None;
    }
    // Other people's mail is not ours to change.
    let is_own = request.source == "submission" || request.authenticated.is_some() || request.relay;
    let (header, body) = message.split_at(length.min(message.len()));
    let rewritten = if is_own { rewritten(parts, request, header, explanation).await } else { None };
    Some(rewritten.map_or_else(|| message.to_vec(), |header| [&header, body].concat()))
}

async fn rewritten(
    parts: &Parts,
    request: &Request<'_>,
    header: &[u8],
    explanation: &mut Explanation,
) -> Option<Vec<u8>> {
    let all = HeaderAddresses::of(header);
    let Request { source, authenticated, id, .. } = *request;
    let mut channels = explanation.resolved.iter().map(|one| one.route.channel.as_str());
    let destination = channels.next().filter(|first| channels.all(|other| other == *first));
    let place = HeaderPlace { source, destination, authenticated, id };
    let told = parts.routing.explain_headers(all.addresses(), place).await;
    let (mut changed, steps): (Vec<_>, Vec<_>) = told.into_iter().unzip();
    let mut steps: Vec<Step> = steps.into_iter().flatten().collect();
    let (senders, before) = all.senders(&changed);
    let mut hearing = Hearing::explaining();
    let leaving = Leaving { channel: source, destination, authenticated, id };
    let seen = parts.profiles.seen_in_header(leaving, before.clone(), &mut hearing).await;
    steps.extend(disposed::steps(hearing));
    for ((at, before), seen) in senders.into_iter().zip(before).zip(seen) {
        if seen != before {
            let text = format!("in the header, others see {seen} for {before}");
            steps.push(Step::new(StepKind::Address, text));
            changed[at] = Some(seen);
        }
    }
    // A message that has no UTF-8 in its header came without SMTPUTF8, or could have.
    if header.is_ascii()
        && let Some((address, new, count)) = all.keep_ascii(&mut changed)
    {
        let text = format!("in the header, {address} stays, for {new} needs SMTPUTF8; so do {count} in all");
        steps.push(Step::new(StepKind::Address, text));
    }
    if !steps.is_empty() {
        explanation.addresses.push(ExplainedAddress { depth: 0, steps });
    }
    all.replaced(header, &changed)
}
