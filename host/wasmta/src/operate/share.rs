//! Shared mailboxes, by command (R77).

use std::fmt::Write as _;

use mail_types::{AccountName, Address, Lookup};
use serde_json::json;
use store::{
    AclChange, Identifier, MailboxName, Rights, SHARED_ACCOUNT, SHARED_PREFIX, StoreError, USER_PREFIX,
};

use crate::control::{Answer, ShareRequest};
use crate::serve::Parts;

/// Performs a request.
pub(super) async fn perform(parts: &Parts, request: ShareRequest) -> Result<Answer, String> {
    match request {
        ShareRequest::List => list(parts).map_err(|error| error.to_string()),
        ShareRequest::Create { name } => create(parts, &name).await,
        ShareRequest::Grant { name, who, rights } => grant(parts, &name, &who, rights.as_deref()).await,
    }
}

fn shared_account() -> Result<AccountName, String> {
    AccountName::new(SHARED_ACCOUNT).ok_or_else(|| format!("{SHARED_ACCOUNT:?} is no name of an account"))
}

/// The name as everybody uses it: below `shared/` where no owner is named.
fn whole(name: &str) -> String {
    let is_whole = name.starts_with(USER_PREFIX) || name.starts_with(SHARED_PREFIX);
    if is_whole { name.to_owned() } else { format!("{SHARED_PREFIX}{name}") }
}

async fn create(parts: &Parts, name: &str) -> Result<Answer, String> {
    let name = name.strip_prefix(SHARED_PREFIX).unwrap_or(name);
    if name.starts_with(USER_PREFIX) {
        return Err(format!("{name} would be its owner's: it is made by IMAP"));
    }
    let made = async {
        let account = parts.store.ensure_account(&shared_account()?).await.map_err(|e| e.to_string())?;
        let mailbox = MailboxName::new(name).map_err(|e| e.to_string())?;
        parts.store.create_mailbox(account, &mailbox, None).await.map_err(|e| e.to_string())
    };
    made.await.map_err(|why| format!("{name}: {why}"))?;
    super::tell_changed(parts, &format!("{SHARED_PREFIX}{name}"), "shared mailbox made");
    Ok(Answer::done(format!("{SHARED_PREFIX}{name} is made; nobody sees it until rights are granted")))
}

async fn grant(parts: &Parts, name: &str, who: &str, rights: Option<&str>) -> Result<Answer, String> {
    let whole = whole(name);
    let no_one = || format!("{who:?} is no account, no group, and not anyone");
    let identifier = Identifier::new(who).ok_or_else(no_one)?;
    let change = match rights {
        Some(letters) => {
            let unknown = |letter| format!("{letter:?} is no right: the letters are lrswipkxtea, or c and d");
            AclChange::Replace(Rights::parse(letters).map_err(unknown)?)
        }
        None => AclChange::Delete,
    };
    let changed = async {
        let mailbox = parts.store.find_by_shared_name(&whole)?;
        parts.store.set_acl(mailbox.id, &identifier, change).await
    };
    changed.await.map_err(|why| format!("{whole}: {why}"))?;
    let text = match rights {
        Some(letters) => format!("{identifier} has {letters} on {whole}"),
        None => format!("{identifier} is off the list of {whole}"),
    };
    super::tell_changed(parts, &whole, &text);
    // Rights may be given before there is somebody to have them.
    let note = rights.and_then(|_| nobody(parts, who));
    Ok(Answer::done(note.map_or(text.clone(), |note| format!("{text}\n{note}"))))
}

/// What is to be said of an identifier that the directory knows nobody by.
fn nobody(parts: &Parts, who: &str) -> Option<String> {
    let bare = who.trim_start_matches('-');
    let (kind, address) = bare.strip_prefix("group:").map_or(("account", bare), |group| ("group", group));
    let address = Address::parse(address).ok()?;
    let is_absent = matches!(parts.directory.by_address(&address), Lookup::NotFound);
    is_absent.then(|| format!("warning: there is no {kind} {address} yet"))
}

fn list(parts: &Parts) -> Result<Answer, StoreError> {
    let (mut all, mut text) = (Vec::new(), String::new());
    for granted in parts.store.all_shared()? {
        let acl: Vec<String> = granted.acl.entries().map(|(who, rights)| format!("{who} {rights}")).collect();
        let entries: serde_json::Map<String, serde_json::Value> =
            granted.acl.entries().map(|(who, rights)| (who.to_string(), json!(rights.to_string()))).collect();
        let shown = if acl.is_empty() { "nobody".to_owned() } else { acl.join(", ") };
        let _ = writeln!(text, "{}  {shown}", granted.name);
        all.push(json!({ "name": granted.name, "rights": entries }));
    }
    let text = if all.is_empty() { "nothing is shared" } else { text.trim_end() };
    Ok(Answer::new(json!({ "shared": all }), text))
}
