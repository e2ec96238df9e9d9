//! GETQUOTA and GETQUOTAROOT (RFC 9208): what the account may hold, and what it holds.

use imap_wire::{Code, MailboxName, QuotaResource, Response};
use store::StoreError;

use super::{Context, refusal};
use crate::answer::Answer;

/// The one quota root: all mailboxes of an account share its limits.
const ROOT: &str = "";
/// STORAGE counts in units of so many octets (RFC 9208 §5.1).
const STORAGE_UNIT: u64 = 1024;

pub(super) fn get_quota(context: &mut Context<'_>, root: &[u8]) -> Answer {
    if root != ROOT.as_bytes() {
        return Answer::no("no such quota root");
    }
    match tell_quota(context, None) {
        Ok(true) => Answer::ok("GETQUOTA done"),
        Ok(false) => Answer::no("nothing is limited here").code(Code::NonExistent),
        Err(error) => refusal(&error),
    }
}

/// The mailbox need not exist (RFC 9208 §4.1.2). How full others' accounts are is not told: their mailboxes
/// have no root here.
pub(super) fn get_quota_root(context: &mut Context<'_>, name: &MailboxName) -> Answer {
    let place = context.shared.parts.store.place(context.login.account, name.as_str());
    if !place.is_ok_and(|place| place.account == context.login.account) {
        context.io.say(&Response::QuotaRoot { mailbox: name.as_str().to_owned(), roots: Vec::new() });
        return Answer::ok("GETQUOTAROOT done");
    }
    match tell_quota(context, Some(name)) {
        Ok(_) => Answer::ok("GETQUOTAROOT done"),
        Err(error) => refusal(&error),
    }
}

/// Tells what is limited, and before it for a mailbox that this is its root; whether anything is. Where nothing is, there is
/// no root: a QUOTA response names a resource at least (RFC 9208 §7).
fn tell_quota(context: &mut Context<'_>, of: Option<&MailboxName>) -> Result<bool, StoreError> {
    let store = &context.shared.parts.store;
    let account = context.login.account;
    let (quota, usage) = (store.quota(account)?, store.usage(account)?);
    let mut resources = Vec::new();
    if let Some(limit) = quota.octets {
        let usage = usage.octets.div_ceil(STORAGE_UNIT);
        resources.push(QuotaResource { name: "STORAGE", usage, limit: limit / STORAGE_UNIT });
    }
    if let Some(limit) = quota.messages {
        resources.push(QuotaResource { name: "MESSAGE", usage: usage.messages, limit });
    }
    let is_limited = !resources.is_empty();
    if let Some(mailbox) = of {
        let roots = if is_limited { vec![ROOT.to_owned()] } else { Vec::new() };
        context.io.say(&Response::QuotaRoot { mailbox: mailbox.as_str().to_owned(), roots });
    }
    if is_limited {
        context.io.say(&Response::Quota { root: ROOT.to_owned(), resources });
    }
    Ok(is_limited)
}
