//! Where mail for an address would go, decided by the code that decides for sessions: also whether MAIL would be taken
//! from its sender, and whether the client may send to other domains than ours.

use std::net::IpAddr;

use directory::{Dn, UserEntry};
use mail_types::{AccountName, Address, ForwardPath, Lookup, ReversePath, Timestamp};
use routing::recorder::{Step, StepKind};
use routing::{ExplainedAddress, ExplainedOutcome, Explanation};

use super::{age_text, onward};
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
    let sender = sender(parts, config, asked, &reverse_path, &mut steps)?;
    let relay = asked.client.is_some_and(|client| may_relay(config, client, &mut steps));
    let request = routing::Request {
        recipient: &recipient,
        reverse_path: &reverse_path,
        source: asked.source,
        authenticated: sender.account.as_ref(),
        size: None,
        relay,
        released: &[],
        again: false,
        id: "explain",
    };
    let mut explanation = parts.routing.explain(&request).await;
    onward::add(parts, config, &mut explanation)?;
    if let Some(refused) = sender.refused {
        // The session would not get as far as RCPT.
        explanation.outcome = refused;
        explanation.addresses.clear();
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

/// Who submits has logged in: the account that was named, or the user who has the sender's address.
fn sender(
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
    let may = match &account {
        Some(account) => parts.routing.may_send_as(account, address),
        None => Lookup::NotFound,
    };
    let who = account.as_ref().map_or_else(|| "nobody here".to_owned(), ToString::to_string);
    let refused = match may {
        Lookup::Found(()) => {
            steps.push(Step::new(StepKind::Sender, format!("{who} may send as {address}")));
            None
        }
        Lookup::NotFound => {
            let text =
                format!("{who} may send as {address}: no address of the account (submission.check-sender)");
            let text = if account.is_some() { text.replacen(" may ", " may not ", 1) } else { text };
            steps.push(Step::new(StepKind::Sender, text.clone()));
            let public = "The sender address does not belong to your account".to_owned();
            let (code, status) = (553, "5.7.1".to_owned());
            Some(ExplainedOutcome::Refused { code, status, text: public, cause: text })
        }
        Lookup::Unavailable(why) => return Err(why),
    };
    Ok(Sender { account, refused })
}

fn account_of_login(parts: &Parts, login: &str) -> Result<AccountName, String> {
    let none = || format!("--account: there is no user {login}");
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
