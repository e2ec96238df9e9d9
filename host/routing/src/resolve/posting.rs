//! Who may post to a group (requirements §2.3).

use directory::{Broadcaster, Dn};
use mail_types::{Address, ChannelName, ReversePath};

use super::Request;
use super::domains::View;
use crate::tables::row::Policy;
use crate::tables::{Claim, TableError};

/// What a group's policy says to a posting.
pub(super) enum Posting {
    /// The sender may post.
    Allowed,
    /// It may not, and why.
    Refused(String),
    /// That depends on a value that cannot be read, and why.
    Unsaid(String),
}

/// Whether the sender may post. The sender is the reverse path: the header is not read here
/// (R88), and a client that authenticated may only use addresses of its own.
pub(super) fn judge(policy: &Policy, request: &Request<'_>, view: &View<'_>) -> Result<Posting, TableError> {
    for word in &policy.words {
        match word.as_str() {
            "SMTP_AUTH_REQUIRED" | "SMTP_AUTH_USED" | "AUTH_REQ" | "AUTH_USED"
                // Who is reprocessed was let in when it was accepted.
                if request.authenticated.is_none() && request.source != ChannelName::REPROCESS =>
            {
                return Ok(Posting::Refused("senders must authenticate".to_owned()));
            }
            "PASSWORD_REQUIRED" | "PASSWD_REQUIRED" | "PASSWORD_REQ" | "PASSWD_REQ" => {
                let why = "it asks for a password within the message, which is not served";
                return Ok(Posting::Refused(why.to_owned()));
            }
            _ => {}
        }
    }
    let sender = match request.reverse_path {
        ReversePath::Address(sender) => Some(sender),
        ReversePath::Null => None,
    };
    let mut unread = None;
    if let Some(sender) = sender {
        if policy.disallowed_domains.iter().any(|domain| is_in_domain(sender, domain)) {
            return Ok(Posting::Refused(format!("the domain of {sender} may not post")));
        }
        if is_among(&policy.disallowed, sender, view, &mut unread)? {
            return Ok(Posting::Refused(format!("{sender} may not post")));
        }
    }
    if policy.allowed.is_empty() && policy.allowed_domains.is_empty() {
        return Ok(unread.map_or(Posting::Allowed, Posting::Unsaid));
    }
    let Some(sender) = sender else {
        return Ok(Posting::Refused("the null reverse path may not post".to_owned()));
    };
    let mut allowed = policy.allowed_domains.iter().any(|domain| is_in_domain(sender, domain));
    let is_banned_perhaps = unread.is_some();
    allowed = allowed || is_among(&policy.allowed, sender, view, &mut unread)?;
    Ok(match unread {
        Some(why) if is_banned_perhaps || !allowed => Posting::Unsaid(why),
        _ if allowed => Posting::Allowed,
        _ => Posting::Refused(format!("{sender} is not among those who may post")),
    })
}

/// `example.org` is that domain and those below it.
fn is_in_domain(sender: &Address, domain: &str) -> bool {
    let domain = domain.trim_start_matches(['@', '.', '*']);
    let name = sender.domain.as_str();
    name == domain || name.strip_suffix(domain).is_some_and(|rest| !domain.is_empty() && rest.ends_with('.'))
}

/// Whether one of the values names the sender: its address, its entry, or a group that has it as a direct member. What
/// cannot be read is left in `unread`.
fn is_among(
    values: &[String],
    sender: &Address,
    view: &View<'_>,
    unread: &mut Option<String>,
) -> Result<bool, TableError> {
    for value in values {
        let is_named = match Broadcaster::parse(value) {
            Ok(Broadcaster::Address(address)) => address.to_key() == sender.to_key(),
            Ok(Broadcaster::Entry(name)) => is_named_by(&name, sender, view)?,
            Err(why) => {
                unread.get_or_insert_with(|| format!("{value:?}: {why}"));
                false
            }
        };
        if is_named {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_named_by(name: &Dn, sender: &Address, view: &View<'_>) -> Result<bool, TableError> {
    let Some(Claim::One(row)) = view.reader.alias(&sender.to_key())? else { return Ok(false) };
    let own = Dn::parse(&row.dn).ok();
    if own.as_ref() == Some(name) {
        return Ok(true);
    }
    let Some(group) = view.reader.key_of(name)? else { return Ok(false) };
    let Some(Claim::One(group)) = view.reader.alias(&group)? else { return Ok(false) };
    let Some(detail) = group.detail else { return Ok(false) };
    let is_own = |member: &String| {
        member.eq_ignore_ascii_case(&row.dn) || own.is_some() && Dn::parse(member).ok() == own
    };
    Ok(detail.members.iter().any(is_own)
        || detail.member_addresses.iter().any(|member| member.eq_ignore_ascii_case(&sender.to_string())))
}
