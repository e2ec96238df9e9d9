//! The replies for addresses that are not taken. The peer reads what it may know; the cause names files and entries.

use directory::Status;
use mail_types::{AccountName, Address, EnhancedStatus, Persistence, Refusal, Reply};

use crate::rewrite::unroutable::Unroutable;
use crate::tables::TableError;

fn permanent(code: u16, subject: u16, detail: u16, text: &str, cause: impl Into<String>) -> Refusal {
    Refusal::new(Reply::new(code, EnhancedStatus::permanent(subject, detail), text), cause)
}

fn transient(code: u16, subject: u16, detail: u16, text: &str, cause: impl Into<String>) -> Refusal {
    Refusal::new(Reply::new(code, EnhancedStatus::transient(subject, detail), text), cause)
}

/// The tables or the directory cannot be asked: never a reason to lose mail.
#[must_use]
pub(crate) fn unavailable(error: &TableError) -> Refusal {
    let cause = error.to_string();
    let refusal = match error {
        TableError::Directory(_) => {
            transient(451, 4, 3, "The directory does not answer, try again later", cause)
        }
        _ => transient(451, 3, 0, "Addresses cannot be looked up now, try again later", cause),
    };
    refusal.as_outage()
}

/// No rule gives the address a channel.
#[must_use]
pub(crate) fn unroutable(address: &Address, why: &Unroutable) -> Refusal {
    if let Unroutable::Refused(refusal) = why {
        return Refusal::new(refusal.reply.clone(), format!("{address}: {why}"));
    }
    let status = why.status();
    let code = if status.persistence == Persistence::Transient { 451 } else { 550 };
    let text = match why {
        Unroutable::NoRule(Some(message), _) => &*message.text,
        Unroutable::NoRule(None, _) => "We know no way to this domain",
        Unroutable::Loop(_) => "The rewrite rules go round in a circle with this address",
        Unroutable::NoChannel(_) => "The rewrite rules lead this address nowhere",
        Unroutable::Unavailable(_) => "The directory does not answer, try again later",
        Unroutable::Refused(_) | Unroutable::Open => "This address cannot be decided on now, try again later",
    };
    let refusal = Refusal::new(Reply::new(code, status, text), format!("{address}: {why}"));
    if matches!(why, Unroutable::Unavailable(_)) { refusal.as_outage() } else { refusal }
}

/// The plugins that are asked want to be asked for ever.
#[must_use]
pub(crate) fn asked_too_often(rounds: usize) -> Refusal {
    let cause = format!("plugins were asked {rounds} times, and each answer led to the next question");
    permanent(550, 4, 6, "This address is rewritten too many times", cause)
}

/// The tables do not have the address, and the source that might does not answer (R20): not known is not unknown.
#[must_use]
pub(crate) fn source_unavailable(refusal: &Refusal, why: &str) -> Refusal {
    let cause = format!("{}, and the directory's source cannot be asked: {why}", refusal.cause);
    transient(451, 4, 3, "The directory does not answer, try again later", cause).as_outage()
}

/// The domain is ours, the address is not.
#[must_use]
pub(crate) fn unknown_user(address: &Address) -> Refusal {
    permanent(550, 1, 1, "No such user here", format!("{address}: the alias table has no row for it"))
}

/// The address may be one of an entry whose rows a plugin has yet to build: not known is not unknown (R20).
#[must_use]
pub(crate) fn not_yet_built(address: &Address) -> Refusal {
    let cause = format!(
        "{address}: the alias table has no row for it, and entries of its domain wait for a plugin to build theirs"
    );
    transient(451, 4, 3, "The directory is not complete yet, try again later", cause)
}

/// Members whose entries the source has go on to come in while the message is decided on.
#[must_use]
pub(crate) fn members_to_come() -> Refusal {
    let cause = "entries of a group's members have yet to come from the directory's source";
    transient(451, 4, 3, "The directory is not complete yet, try again later", cause)
}

/// Members' entries are not here, and may be at the source, which does not say.
#[must_use]
pub(crate) fn members_unknown(why: &str) -> Refusal {
    let cause =
        format!("a group has members whose entries are not here now, and the source cannot be asked: {why}");
    transient(451, 4, 3, "The directory is not complete yet, try again later", cause)
}

/// A plugin has yet to say what address a member has.
#[must_use]
pub(crate) fn member_not_built(member: &str) -> Refusal {
    let cause = format!("{member} is a member, and waits for a plugin to build its rows");
    transient(451, 4, 3, "The directory is not complete yet, try again later", cause)
}

/// The directory names a host that is none: mail waits until that is mended.
#[must_use]
pub(crate) fn unreadable_host(address: &Address, host: &str, entry: &str) -> Refusal {
    let cause = format!("{address}: {host:?} of {entry} is no name of a host: correct it there");
    transient(451, 3, 5, "The directory names no host that mail can be sent to, try again later", cause)
}

/// The group has members whom nobody can find: mail waits until that is mended, rather than to reach some of them.
#[must_use]
pub(crate) fn unreadable_members(address: &Address, why: &str, entry: &str) -> Refusal {
    let cause =
        format!("{address}: {entry} has members by a search that cannot be read: {why}: correct it there");
    transient(451, 3, 5, "The directory does not say who the members are, try again later", cause)
}

/// Whether the sender may post depends on a value that cannot be read: mail waits until that is mended.
#[must_use]
pub(crate) fn unreadable_policy(address: &Address, why: &str, entry: &str) -> Refusal {
    let cause =
        format!("{address}: {entry} says who may post in a way that cannot be read: {why}: correct it there");
    transient(451, 3, 5, "The directory does not say who may post here, try again later", cause)
}

/// The DNS leads the domain here, and the directory does not know it yet: mail to a domain that was just added never
/// bounces because something lags (R20).
#[must_use]
pub(crate) fn known_to_dns_alone(address: &Address, origin: &str) -> Refusal {
    let cause =
        format!("{address}: its domain is here by the DNS alone, and no entry has the address ({origin})");
    transient(450, 1, 1, "This address is not known here yet, try again later", cause)
}

/// A plugin's row leads to a mailbox that nobody has: mail waits, for nobody could read it there.
#[must_use]
pub(crate) fn nobodys_mailbox(address: &Address, account: &AccountName, entry: &str) -> Refusal {
    let cause = format!(
        "{address}: its row leads to the mailbox of {account}, and no row says that somebody has it: mend the plugin, or {entry}"
    );
    transient(450, 3, 5, "This address cannot be served at the moment, try again later", cause)
}

/// The directory names a way out that is none here, or none that entries may name: not by another way than was meant.
#[must_use]
pub(crate) fn no_way_out(account: &AccountName, channel: &str, entry: &str) -> Refusal {
    let cause = format!(
        "{entry} says that what {account} submits leaves by {channel}, and there is no such channel with for-entries = true"
    );
    transient(451, 3, 5, "The way out that the directory names is not configured here", cause)
}

/// A rule calls the domain local, but the directory does not have it.
#[must_use]
pub(crate) fn unknown_domain(address: &Address) -> Refusal {
    let cause = format!("{address}: the rules call the domain local, the routing table has no row for it");
    permanent(550, 1, 2, "No such domain here", cause)
}

/// Mail for elsewhere, from somebody who may not ask that of us.
#[must_use]
pub(crate) fn relay_denied(address: &Address) -> Refusal {
    permanent(550, 7, 1, "Relaying denied", format!("{address}: not ours, and the client may not relay"))
}

/// RCPT gave a source route.
#[must_use]
pub(crate) fn source_route(address: &Address) -> Refusal {
    let text = "Source routes are not relayed: give the address alone";
    permanent(550, 7, 1, text, format!("{address}: it has a source route, and those are refused"))
}

/// Two entries claim one address.
#[must_use]
pub(crate) fn at_odds(address: &Address, names: &[&str]) -> Refusal {
    let cause = format!("{address}: several entries claim it: {}", names.join("; "));
    transient(450, 3, 5, "This address is claimed twice here, try again later", cause)
}

/// The status of a domain or entry stands against it; `None` where it does not.
#[must_use]
pub(crate) fn status(status: Status, of_domain: bool, address: &Address, dn: &str) -> Option<Refusal> {
    let what = if of_domain { "its domain" } else { "it" };
    let cause = format!("{address}: {what} has the status {status} ({dn})");
    match status {
        Status::Active | Status::Hold => None,
        Status::OverQuota => Some(transient(452, 2, 2, "This mailbox is full, try again later", cause)),
        Status::Inactive => {
            Some(transient(450, 2, 1, "This mailbox takes no mail at the moment, try again later", cause))
        }
        Status::Disabled => Some(permanent(550, 2, 1, "This mailbox is disabled", cause)),
        Status::Deleted | Status::Removed if of_domain => {
            Some(permanent(550, 1, 2, "No such domain here", cause))
        }
        Status::Deleted | Status::Removed => Some(permanent(550, 1, 1, "No such user here", cause)),
    }
}

/// The entry has only delivery options that nothing here carries out.
#[must_use]
pub(crate) fn not_served(address: &Address, options: &str, dn: &str) -> Refusal {
    let cause = format!("{address}: no channel carries out its delivery options: {options} ({dn})");
    transient(450, 3, 5, "This address cannot be served at the moment, try again later", cause)
}

/// A group expands to more than this system takes.
#[must_use]
pub(crate) fn too_many(address: &Address, max: usize) -> Refusal {
    let cause = format!("{address}: it expands to more than {max} recipients");
    permanent(550, 5, 3, "Too many recipients: this list is larger than this system expands", cause)
}

/// Groups or forwards are nested too deeply.
#[must_use]
pub(crate) fn too_deep(address: &Address, max: usize) -> Refusal {
    let cause = format!("{address}: groups and forwards are nested more than {max} deep");
    permanent(550, 4, 6, "This address is forwarded too many times", cause)
}

/// Forwards and groups lead only to one another.
#[must_use]
pub(crate) fn circle(address: &Address) -> Refusal {
    let cause = format!("{address}: its forwards lead back to itself and nowhere else");
    permanent(550, 4, 6, "This address is forwarded in a circle", cause)
}

/// A list takes no message of the size that the client declares (RFC 1870 §6.4; `mgrpMsgMaxSize`).
#[must_use]
pub(crate) fn too_large_for_list(address: &Address, max: u64, size: u64, dn: &str) -> Refusal {
    let text = format!("This list takes messages up to {max} octets");
    permanent(552, 2, 3, &text, format!("{address}: {size} octets are declared ({dn})"))
}

/// A group without members.
#[must_use]
pub(crate) fn empty_group(address: &Address, dn: &str) -> Refusal {
    permanent(550, 2, 4, "This list has no members", format!("{address}: nobody to send to ({dn})"))
}

/// A group of which nobody can be reached: neither members, nor moderators where they are meant.
#[must_use]
pub(crate) fn dead_group(address: &Address, dn: &str, why: &str) -> Refusal {
    let cause = format!("{address}: nobody to send to ({dn}): {why}");
    permanent(550, 2, 4, "Nobody of this list takes mail", cause)
}

/// The sender may not post to the group.
#[must_use]
pub(crate) fn may_not_post(address: &Address, text: Option<&str>, why: &str, dn: &str) -> Refusal {
    // A directory may hold line ends; a reply may not.
    let text: String = text.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    let text = if text.trim().is_empty() { "You may not post to this list" } else { text.trim() };
    permanent(550, 7, 2, text, format!("{address}: {why} ({dn})"))
}
