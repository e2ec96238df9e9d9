//! Mailboxes, by command: what is in them, and out to files.

use std::fmt::Write as _;
use std::path::PathBuf;

use directory::UserEntry;
use mail_types::{AccountName, Address, Lookup};
use migration::{Exported, Format, MigrationError, Told};
use serde_json::{Value, json};
use store::{AccountId, MailboxInfo, MailboxName, SpecialUse, Store};
use tokio::sync::mpsc;

use super::absent::absent;
use super::{import, repair};
use crate::config::{Config, size_text};
use crate::control::{Answer, ExportFormat, Line, MailboxRequest};
use crate::serve::Parts;

/// After how many messages the work says how far it is.
const TELL_EVERY: u64 = 20;

/// Performs a request.
pub(super) async fn perform(
    parts: &Parts,
    config: &Config,
    request: MailboxRequest,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    match request {
        MailboxRequest::List { user } => list(parts, &user),
        MailboxRequest::Show { user, mailbox } => show(parts, &user, &mailbox),
        MailboxRequest::Check { user } => repair::check(parts, user.as_deref(), progress).await,
        MailboxRequest::Repair { user, apply, data } => {
            repair::repair(parts, user.as_deref(), apply, &data).await
        }
        MailboxRequest::Export { user, mailbox, folder, format } => {
            export(parts, &user, mailbox.as_deref(), folder, format, progress).await
        }
        MailboxRequest::Import(order) => import::perform(parts, config, *order, progress).await,
    }
}

/// What an account is called by that stands in the store under a name, whoever has that address now.
pub(super) const LEFT_PREFIX: &str = "account:";

/// The account that is left under a name which is an address of somebody else's by now: it is not to be taken for the other one.
///
/// # Errors
/// There is one, and how to say which is meant.
pub(super) fn not_left(parts: &Parts, user: &str, account: &AccountName) -> Result<(), String> {
    let named = Address::parse(user).ok().and_then(|address| AccountName::new(&address.to_key()));
    let Some(named) = named.filter(|named| named != account) else { return Ok(()) };
    match parts.store.find_account(&named) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(format!(
            "{user} is an address of {account}, and mailboxes are left under that name, too: say {account}, or \
             {LEFT_PREFIX}{named} for those that are left"
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// The account of a user of the directory; of a name that none has any more, where `left` lets it.
pub(super) fn account_name(parts: &Parts, user: &str, left: bool) -> Result<AccountName, String> {
    if let Some(name) = user.strip_prefix(LEFT_PREFIX) {
        let account = AccountName::new(name).filter(|_| left);
        let there = account.filter(|account| matches!(parts.store.find_account(account), Ok(Some(_))));
        return there.ok_or_else(|| format!("there is no account {name}"));
    }
    let entry = match Address::parse(user).map(|address| parts.directory.by_address(&address)) {
        Ok(Lookup::Found(entry)) => UserEntry::read(&entry, parts.directory.schema()),
        Ok(Lookup::Unavailable(why)) => return Err(why),
        Ok(Lookup::NotFound) | Err(_) => match parts.directory.user_by_login(user) {
            Lookup::Found(entry) => Some(entry),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(why),
        },
    };
    if let Some(account) = entry.and_then(|entry| entry.account()) {
        not_left(parts, user, &account)?;
        return Ok(account);
    }
    let address = Address::parse(user).ok().filter(|_| left);
    let account = address.and_then(|address| AccountName::new(&address.to_key()));
    let there = account.filter(|account| matches!(parts.store.find_account(account), Ok(Some(_))));
    there.ok_or_else(|| absent(parts, "user", user))
}

/// The account itself, which mail has to have made.
pub(super) fn account(parts: &Parts, user: &str) -> Result<AccountId, String> {
    let name = account_name(parts, user, true)?;
    let found = parts.store.find_account(&name).map_err(|e| e.to_string())?;
    found.ok_or_else(|| format!("{user} has no mailboxes yet: the first mail or login makes them"))
}

fn named(store: &Store, account: AccountId, mailbox: &str) -> Result<MailboxInfo, String> {
    let found = MailboxName::new(mailbox).and_then(|name| store.mailbox(account, &name));
    found.map_err(|e| format!("{mailbox}: {e}"))
}

fn list(parts: &Parts, user: &str) -> Result<Answer, String> {
    let account = account(parts, user)?;
    let store = &parts.store;
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    for mailbox in store.mailboxes(account).map_err(|e| e.to_string())? {
        let json = numbers(store, &mailbox)?;
        let count = |field: &str| json[field].as_u64().unwrap_or(0);
        lines.push(if mailbox.selectable {
            format!(
                "{:<40} {:>8} messages {:>8} unseen {:>10}",
                mailbox.name.as_str(),
                count("messages"),
                count("unseen"),
                size_text(count("octets"))
            )
        } else {
            format!("{:<40} holds other mailboxes only", mailbox.name.as_str())
        });
        all.push(json);
    }
    Ok(Answer::new(Value::from(all), lines.join("\n")))
}

fn show(parts: &Parts, user: &str, mailbox: &str) -> Result<Answer, String> {
    let account = account(parts, user)?;
    let mailbox = named(&parts.store, account, mailbox)?;
    let json = numbers(&parts.store, &mailbox)?;
    let mut text = mailbox.name.to_string();
    let mut line = |name: &str, field: &str| {
        let value = &json[field];
        let value = match value {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Value::String(text) => text.clone(),
            Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
            Value::Null => return,
            other => other.to_string(),
        };
        let _ = write!(text, "\n  {name:<24} {value}");
    };
    for (name, field) in [
        ("number", "number"),
        ("special use", "special_use"),
        ("subscribed", "subscribed"),
        ("holds messages", "selectable"),
        ("UIDVALIDITY", "uid_validity"),
        ("UIDNEXT", "uid_next"),
        ("highest mod-sequence", "highest_modseq"),
        ("messages", "messages"),
        ("unseen", "unseen"),
        ("deleted", "deleted"),
        ("recent", "recent"),
        ("octets", "octets"),
        ("keywords", "keywords"),
    ] {
        line(name, field);
    }
    Ok(Answer::new(json, text))
}

fn numbers(store: &Store, mailbox: &MailboxInfo) -> Result<Value, String> {
    let failed = |e| format!("{}: {e}", mailbox.name);
    let status = store.status(mailbox.id).map_err(failed)?;
    let recent = store.recent(mailbox.id).map_err(failed)?;
    let keywords = store.reader(mailbox.id).and_then(|reader| reader.keywords()).map_err(failed)?;
    Ok(json!({
        "name": mailbox.name.as_str(),
        "number": mailbox.id.to_string(),
        "special_use": mailbox.special_use.map(special_use),
        "subscribed": mailbox.subscribed,
        "selectable": mailbox.selectable,
        "uid_validity": mailbox.uid_validity.0,
        "uid_next": status.uid_next.0,
        "highest_modseq": status.highest_modseq.0,
        "messages": status.messages,
        "unseen": status.unseen,
        "deleted": status.deleted,
        "recent": recent,
        "octets": status.octets,
        "keywords": keywords.all().collect::<Vec<_>>(),
    }))
}

fn special_use(of: SpecialUse) -> &'static str {
    match of {
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Archive => "\\Archive",
        SpecialUse::All => "\\All",
        SpecialUse::Flagged => "\\Flagged",
    }
}

async fn export(
    parts: &Parts,
    user: &str,
    mailbox: Option<&str>,
    folder: PathBuf,
    format: ExportFormat,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let account = account(parts, user)?;
    let mut mailboxes = parts.store.mailboxes(account).map_err(|e| e.to_string())?;
    if let Some(mailbox) = mailbox {
        let top = named(&parts.store, account, mailbox)?.name;
        mailboxes.retain(|mailbox| mailbox.name == top || mailbox.name.is_below(&top));
    }
    let format = match format {
        ExportFormat::Maildir => Format::Maildir,
        ExportFormat::Mbox => Format::Mbox,
    };
    let (store, to) = (parts.store.clone(), folder.clone());
    let work = tokio::task::spawn_blocking(move || {
        migration::export(&store, account, &mailboxes, &folder, format, &telling(&progress))
    });
    let done = work.await.map_err(|e| e.to_string())?.map_err(|error| match error {
        MigrationError::Refused(_) => error.to_string(),
        error => {
            format!("{error}\nthe export is not whole: remove {}, and give the command again", to.display())
        }
    })?;
    Ok(exported(&done))
}

fn exported(done: &[Exported]) -> Answer {
    let mut lines = Vec::new();
    let mut all = Vec::new();
    let mut damaged = 0;
    for Exported { mailbox, place, messages, octets, faults } in done {
        lines.push(format!("{mailbox:<40} {messages:>8} messages to {place}"));
        lines.extend(faults.iter().map(|fault| format!("  not written: {fault}")));
        damaged += faults.len();
        all.push(json!({
            "mailbox": mailbox, "place": place, "messages": messages, "octets": octets, "faults": faults
        }));
    }
    let messages: u64 = done.iter().map(|mailbox| mailbox.messages).sum();
    lines.push(format!("{messages} messages of {} mailboxes written", done.len()));
    if damaged > 0 {
        lines.push("`wasmta mailbox repair` keeps what can be read of damaged messages".to_owned());
    }
    let json = json!({ "mailboxes": all, "messages": messages });
    Answer { json, text: lines.join("\n"), faulty: damaged > 0 }
}

/// Tells whoever asked how far it is, and that work shall stop where nobody waits for it any more.
pub(super) fn telling(progress: &mpsc::Sender<Line>) -> impl Fn(u64, u64, &str) -> Told + Send + Sync {
    let progress = progress.clone();
    move |done, of, what| {
        if progress.is_closed() {
            return Told::Stop;
        }
        if done.is_multiple_of(TELL_EVERY) {
            // A note that finds no room is passed over: the next one says more.
            drop(progress.try_send(Line::Progress(done, of, what.to_owned())));
        }
        Told::GoOn
    }
}
