//! Where mail for an address would go, decided by the code that decides for sessions: also whether MAIL would be taken
//! from its sender, and whether the client may send to other domains than ours.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{Dn, UserEntry};
use mail_types::{AccountName, Address, ForwardPath, Lookup, ReversePath, Timestamp};
use profiles::Hearing;
use routing::recorder::{Step, StepKind};
use routing::{ExplainedAddress, ExplainedOutcome, Explanation};

use super::absent::absent;
use super::{age_text, disposed, header, onward};
use crate::config::Config;
use crate::control::Answer;
use crate::serve::Parts;

/// The channels that mail comes in by.
pub(crate) const SOURCES: [&str; 3] = ["smtp", "submission", "lmtp"];

/// What is asked.
pub(super) struct Question<'a> {
    /// The recipient.
    pub(super) address: &'a str,
    /// The sender.
    pub(super) from: &'a str,
    /// The channel that it would come in by.
    pub(super) source: &'a str,
    /// Who has logged in.
    pub(super) account: Option<&'a str>,
    /// From where.
    pub(super) client: Option<IpAddr>,
    /// The message.
    pub(super) message: Option<&'a [u8]>,
}

/// A message of a request, its lines ended as on the wire.
pub(super) fn message(base64: &str) -> Result<Vec<u8>, String> {
    let octets = STANDARD.decode(base64).map_err(|error| format!("the message is no Base64: {error}"))?;
    Ok(migration::with_crlf(&octets))
}

/// Answers it.
pub(super) async fn explain(parts: &Parts, config: &Config, asked: &Question<'_>) -> Result<Answer, String> {
    let bracketed = |text: &str| if text.starts_with('<') { text.to_owned() } else { format!("<{text}>") };
    let recipient = ForwardPath::parse(&bracketed(asked.address)).map_err(|e| e.to_string())?;
    let reverse_path = ReversePath::parse(&bracketed(asked.from)).map_err(|e| format!("--from: {e}"))?;
    if !SOURCES.contains(&asked.source) {
        return Err(format!("--source {}: mail comes in by one of: {}", asked.source, SOURCES.join(", ")));
    }
    let mut steps = Vec::new();
    let mut sender = sender(parts, config, asked, &reverse_path, &mut steps).await?;
    let reverse_path = rewritten(parts, asked.source, reverse_path, &mut sender, &mut steps).await;
    let relay = asked.client.is_some_and(|client| may_relay(config, client, &mut steps));
    let request = routing::Request {
        recipient: &recipient,
        reverse_path: &reverse_path,
        source: asked.source,
        authenticated: sender.account.as_ref(),
        size: asked.message.map(|message| message.len() as u64),
        relay,
        released: &[],
        again: false,
        id: "explain",
    };
    let mut explanation = parts.routing.explain(&request).await;
    match sender.refused {
        // The session would not get as far as RCPT.
        Some(refused) => {
            explanation.outcome = refused;
            explanation.addresses.clear();
        }
        None => {
            onward::full_mailboxes(parts, &mut explanation.outcome)?;
            let message = match asked.message {
                Some(message) => header::take(parts, config, &request, message, &mut explanation).await,
                None => None,
            };
            disposed::dispose(parts, &request, message.as_deref(), &mut explanation).await?;
            disposed::leave(parts, config, &request, &mut explanation).await;
            onward::add(parts, config, &mut explanation)?;
        }
    }
    put_first(&mut explanation, steps);
    name_syncs(parts, &mut explanation);
    let json = serde_json::to_value(&explanation).map_err(|e| e.to_string())?;
    Ok(Answer::new(json, explanation.to_string().trim_end()))
}

/// What is known of who sends.
struct Sender {
    account: Option<AccountName>,
    refused: Option<ExplainedOutcome>,
}

/// Who submits has logged in: the account that was named, or the user who has the sender's address. Whether it may send as
/// this address is asked as a session asks it.
async fn sender(
    parts: &Parts,
    config: &Config,
    asked: &Question<'_>,
    reverse_path: &ReversePath,
    steps: &mut Vec<Step>,
) -> Result<Sender, String> {
    let named = asked.account.map(|login| account_of_login(parts, login)).transpose()?;
    if asked.source != "submission" {
        return Ok(Sender { account: named, refused: None });
    }
    let address = reverse_path.address();
    if address.is_none() && named.is_none() {
        let mend = "name the sender with --from ADDRESS, or the login with --account";
        return Err(format!("--source submission: who submits has logged in; {mend}"));
    }
    let own = address.map(|address| account_of_address(parts, address)).transpose()?.flatten();
    let account = named.or(own);
    let Some(address) = address.filter(|_| config.submission.check_sender) else {
        return Ok(Sender { account, refused: None });
    };
    let Some(account) = account else {
        let text =
            format!("nobody here may send as {address}: no address of the account (submission.check-sender)");
        steps.push(Step::new(StepKind::Sender, text.clone()));
        let public = "The sender address does not belong to your account".to_owned();
        let (code, status) = (553, "5.7.1".to_owned());
        let refused = Some(ExplainedOutcome::Refused { code, status, text: public, cause: text });
        return Ok(Sender { account: None, refused });
    };
    let mut hearing = Hearing::explaining();
    let may =
        parts.profiles.may_send_as_heard(&account, address, (asked.source, "explain"), &mut hearing).await;
    steps.extend(disposed::steps(hearing));
    let refused = match may {
        Ok(()) => {
            steps.push(Step::new(StepKind::Sender, format!("{account} may send as {address}")));
            None
        }
        Err(mut refusal) => {
            refusal.cause.push_str(" (submission.check-sender)");
            steps.push(Step::new(StepKind::Sender, refusal.cause.clone()));
            Some(refusal.into())
        }
    };
    Ok(Sender { account: Some(account), refused })
}

/// The sender as rules and plugins make it.
async fn rewritten(
    parts: &Parts,
    source: &str,
    reverse_path: ReversePath,
    sender: &mut Sender,
    steps: &mut Vec<Step>,
) -> ReversePath {
    let (None, Some(address)) = (&sender.refused, reverse_path.address()) else { return reverse_path };
    let account = sender.account.as_ref();
    let (answer, of_sender) = parts.routing.explain_reverse_path(address, source, account).await;
    steps.extend(of_sender);
    match answer {
        Ok(Some(new)) => ReversePath::Address(new),
        Ok(None) => reverse_path,
        Err(refusal) => {
            sender.refused = Some(refusal.into());
            reverse_path
        }
    }
}

fn account_of_login(parts: &Parts, login: &str) -> Result<AccountName, String> {
    let none = || format!("--account: {}", absent(parts, "user", login));
    match parts.directory.user_by_login(login) {
        Lookup::Found(user) => user.account().ok_or_else(none),
        Lookup::NotFound => Err(none()),
        Lookup::Unavailable(why) => Err(why),
    }
}

fn account_of_address(parts: &Parts, address: &Address) -> Result<Option<AccountName>, String> {
    match parts.directory.by_address(address) {
        Lookup::Found(entry) => {
            let user = UserEntry::read(&entry, parts.directory.schema());
            Ok(user.and_then(|user| user.account()))
        }
        Lookup::NotFound => Ok(None),
        Lookup::Unavailable(why) => Err(why),
    }
}

/// Whether the client's network may send anywhere.
fn may_relay(config: &Config, client: IpAddr, steps: &mut Vec<Step>) -> bool {
    let network = config.smtp.relay_from.iter().find(|network| network.contains(client));
    let text = match network {
        Some(network) => format!("{client} may send anywhere: it is in {network} of smtp.relay-from"),
        None => format!("{client} is in no network of smtp.relay-from"),
    };
    steps.push(Step::new(StepKind::Client, text));
    network.is_some()
}

/// Says of each entry which sync brought it as it is, and of what a DNS table says when that was read.
fn name_syncs(parts: &Parts, explanation: &mut Explanation) {
    let (now, tables) = (parts.clock.now(), parts.followed.tables.status());
    let ago = |at: u64| format!("{} ago", age_text(now.since(Timestamp(at))));
    for step in explanation.addresses.iter_mut().flat_map(|address| &mut address.steps) {
        let Some(origin) = step.origin.as_deref() else { continue };
        // A row of the DNS names the table's place; it is as it was when that was read last.
        if let Some(table) =
            tables.iter().find(|table| origin.starts_with("dns: ") && origin.contains(&table.place))
        {
            let read = table.success_at.map(|at| format!("table {}, read {}", table.name, ago(at.0)));
            step.sync = read;
        } else if let Some(dn) = Dn::parse(origin).ok()
            // What cannot be read now is not told: nothing depends on it.
            && let Ok(Some(brought)) = parts.directory.brought(&dn)
        {
            step.sync = Some(format!("{}, {}", brought.way, ago(brought.at)));
        }
    }
}

/// What is decided before the recipient stands before it.
fn put_first(explanation: &mut Explanation, mut steps: Vec<Step>) {
    match explanation.addresses.first_mut() {
        Some(first) => {
            steps.append(&mut first.steps);
            first.steps = steps;
        }
        None => explanation.addresses.push(ExplainedAddress { depth: 0, steps }),
    }
}
