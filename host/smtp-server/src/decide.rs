//! Decisions on mail, between *legal* and *done*: the one place where policy enters a session.

use mail_types::Refusal;
use message::Facts;
use routing::{NewSender, Request, Resolution, ResolvedRecipient};
use smtp_wire::{Mail, Rcpt};

use crate::answer::reply;
use crate::intake::too_large;
use crate::options::Limits;
use crate::session::Session;
use crate::transaction::Transaction;

/// On MAIL: form, size, and whether the sender is the client's own; then another sender, where the rules want one.
pub(crate) async fn mail(session: &Session, mail: &Mail) -> Result<Option<NewSender>, Refusal> {
    if mail.internationalized && !mail.transport.smtputf8 {
        let text = "A reverse path beyond ASCII needs the parameter SMTPUTF8";
        return Err(Refusal::public(reply(550, 6, 7, text)));
    }
    let max = session.options.limits.message_size_max;
    if mail.size.is_some_and(|size| size > max) {
        return Err(too_large(max));
    }
    let Some(address) = mail.path.address() else { return Ok(None) };
    let (account, source) = (session.client.account.as_ref(), session.options.kind.source());
    if let (Some(account), true) = (account, session.options.check_sender) {
        session.server.profiles.may_send_as(account, address, source, &session.log_id()).await?;
    }
    let new = session.server.routing.rewrite_reverse_path(address, source, account).await?;
    // What needs UTF-8 cannot be said in a transaction without it.
    match new {
        Some(new) if new.address.needs_utf8() && !mail.transport.smtputf8 => {
            session.kept(&session.log_id(), (address, &new.address), 1);
            Ok(None)
        }
        new => Ok(new),
    }
}

/// On RCPT: form, and to whom it leads.
pub(crate) async fn rcpt(
    session: &Session,
    transaction: &Transaction,
    rcpt: &Rcpt,
) -> Result<Vec<ResolvedRecipient>, Refusal> {
    if rcpt.internationalized && !transaction.mail.transport.smtputf8 {
        let text = "An address beyond ASCII needs the parameter SMTPUTF8 of MAIL";
        return Err(Refusal::public(reply(553, 6, 7, text)));
    }
    let request = Request {
        recipient: &rcpt.path,
        reverse_path: transaction.reverse_path(),
        source: session.options.kind.source(),
        authenticated: session.client.account.as_ref(),
        size: transaction.mail.size,
        relay: session.may_relay(),
        // The message has none before its content comes.
        released: &[],
        again: false,
        // The message has no id of its own yet.
        id: &session.log_id(),
    };
    let resolved = match session.server.routing.resolve(&request).await {
        Resolution::Accepted(resolved) => resolved,
        Resolution::Refused(refusal) => return Err(refusal),
    };
    if let [only] = resolved.as_slice() {
        has_room(session, only)?;
    }
    if transaction.recipients.len() + resolved.len() > queue::RECIPIENTS_MAX {
        return Err(Refusal::public(reply(452, 5, 3, "Too many recipients after expansion")));
    }
    Ok(resolved)
}

/// A full mailbox is told now, while the sender can be asked to come again. Where an address leads to
/// several, the copies of those who have no room wait in the queue.
fn has_room(session: &Session, recipient: &ResolvedRecipient) -> Result<(), Refusal> {
    let Some(account) = recipient.route.local_account() else { return Ok(()) };
    match session.server.queue.find_full(account) {
        Ok(Some(full)) => {
            Err(Refusal::new(session.server.queue.full_reply(), format!("{full} is over its quota")))
        }
        // Where storage rests, the end of the content says so.
        Ok(None) | Err(_) => Ok(()),
    }
}

/// On content, once its header is there: size of the header, and loops (RFC 5321 §6.3). `whole`: it ends within what was looked at.
///
/// # Errors
/// The refusal.
pub fn header_fits(limits: &Limits, facts: &Facts<'_>, whole: bool) -> Result<(), Refusal> {
    if facts.header_len > limits.header_size_max || !whole {
        let text = format!("The header is larger than {} octets", limits.header_size_max);
        return Err(Refusal::public(reply(552, 3, 4, text)));
    }
    if facts.received > limits.received_max {
        let text = format!("The message loops: it has {} Received fields", facts.received);
        return Err(Refusal::public(reply(554, 4, 6, text)));
    }
    if facts.received_by_us > limits.received_by_us_max {
        let text = format!("The message loops: it was here {} times before", facts.received_by_us);
        return Err(Refusal::public(reply(554, 4, 6, text)));
    }
    Ok(())
}
