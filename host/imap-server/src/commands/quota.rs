//! GETQUOTA and GETQUOTAROOT (RFC 9208): what the account may hold, and what it holds.

use imap_wire::{MailboxName, QuotaResource, Response};
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
    match tell_quota(context) {
        Ok(()) => Answer::ok("GETQUOTA done"),
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
    let roots = vec![ROOT.to_owned()];
    context.io.say(&Response::QuotaRoot { mailbox: name.as_str().to_owned(), roots });
    match tell_quota(context) {
        Ok(()) => Answer::ok("GETQUOTAROOT done"),
        Err(error) => refusal(&error),
    }
}

fn tell_quota(context: &mut Context<'_>) -> Result<(), StoreError> {
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
    context.io.say(&Response::Quota { root: ROOT.to_owned(), resources });
    Ok(())
}
