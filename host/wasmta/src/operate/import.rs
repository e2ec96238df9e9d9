//! Mail from elsewhere into mailboxes, by command.

use migration::{Anew, Credentials, ImapServer, Import, Imported, MailboxImported, MigrationError, Source};
use serde_json::json;
use store::{AccountId, MailboxName};
use tokio::sync::mpsc;

use super::mailbox::{account_name, telling};
use crate::config::{Config, size_text};
use crate::control::{Answer, ImapFrom, ImapSecret, ImportOrder, ImportSource, Line};
use crate::serve::Parts;

/// Faults that the text for people shows.
const FAULTS_SHOWN_MAX: usize = 50;

/// Imports.
pub(super) async fn perform(
    parts: &Parts,
    config: &Config,
    order: ImportOrder,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let ImportOrder { user, source, below, dry_run, anew } = order;
    let name = account_name(parts, &user, false)?;
    let below = below.map(|name| MailboxName::new(&name)).transpose().map_err(|e| format!("--into: {e}"))?;
    let store = &parts.store;
    let account = if dry_run {
        // Where no account is there yet, none of its marks is: any number that nobody has says so.
        store.find_account(&name).map_err(|e| e.to_string())?.unwrap_or(AccountId(u32::MAX))
    } else {
        store.ensure_account(&name).await.map_err(|e| e.to_string())?
    };
    let anew = match anew.as_deref() {
        None => Anew::Nothing,
        Some("") => Anew::All,
        Some(name) => Anew::Mailbox(MailboxName::new(name).map_err(|e| format!("--anew: {e}"))?),
    };
    let source = match source {
        ImportSource::Maildir(root) => Source::Maildir(root),
        ImportSource::Mbox(place) => Source::Mbox(place),
        ImportSource::Imap(from) => Source::Imap(server(from)),
    };
    let octets_max = config.limits.message_size;
    let order = Import { store, account, source: &source, below, octets_max, dry_run, anew };
    let tell = telling(&progress);
    match migration::import(&order, &tell).await {
        Ok(done) => Ok(answer(&done, dry_run)),
        Err(MigrationError::BegunAnew(why)) => Err(format!(
            "{why}\nwhat came so far stays; the same command without --anew goes on from there: with it, that would come twice"
        )),
        Err(why) => Err(format!("{why}\nwhat came so far stays; the same command goes on from there")),
    }
}

fn server(from: ImapFrom) -> ImapServer {
    let ImapFrom { host, port, implicit_tls, trust, clear, user, secret } = from;
    let credentials = match secret {
        ImapSecret::Password(password) => Credentials::Password(password),
        ImapSecret::Master { login, password } => Credentials::Master { login, password },
        ImapSecret::Token(token) => Credentials::Token(token),
    };
    ImapServer { host, port, implicit_tls, trust, clear, user, credentials }
}

fn answer(done: &Imported, dry_run: bool) -> Answer {
    let verb = if dry_run { "would come" } else { "came" };
    let mut lines = Vec::new();
    let mut all = Vec::new();
    for MailboxImported { source, target, messages, octets, before } in &done.mailboxes {
        let size = if *octets > 0 { format!(" ({})", size_text(*octets)) } else { String::new() };
        let earlier = if *before > 0 { format!(", {before} had come before") } else { String::new() };
        lines.push(format!("{source} -> {target}: {messages} messages {verb}{size}{earlier}"));
        all.push(json!({
            "source": source, "target": target, "messages": messages, "octets": octets, "before": before
        }));
    }
    let messages: u64 = done.mailboxes.iter().map(|mailbox| mailbox.messages).sum();
    lines.push(format!("{messages} messages {verb}"));
    if done.faults_total > 0 {
        lines.push(format!("{} things were not taken over:", done.faults_total));
        lines.extend(done.faults.iter().take(FAULTS_SHOWN_MAX).map(|fault| format!("  {fault}")));
        if done.faults_total > FAULTS_SHOWN_MAX as u64 {
            lines.push(format!("  and more; --json has the first {}", migration::FAULTS_MAX));
        }
    }
    let json = json!({
        "messages": messages, "dry_run": dry_run, "mailboxes": all,
        "faults": done.faults, "faults_total": done.faults_total,
    });
    Answer { json, text: lines.join("\n"), faulty: done.faults_total > 0 }
}
