//! Who may post to a group (requirements §2.3).

use directory::Dn;
use mail_types::{Address, ChannelName, ReversePath};

use super::Request;
use super::domains::View;
use crate::tables::row::Policy;
use crate::tables::{Claim, TableError};

/// Why the sender may not post; `None` where it may. The sender is the reverse path: the header is not read here
/// (R88), and a client that authenticated may only use addresses of its own.
pub(super) fn objection(
    policy: &Policy,
    request: &Request<'_>,
    view: &View<'_>,
) -> Result<Option<String>, TableError> {
    for word in &policy.words {
        match word.as_str() {
            "SMTP_AUTH_REQUIRED" | "SMTP_AUTH_USED" | "AUTH_REQ" | "AUTH_USED"
                // Who is reprocessed was let in when it was accepted.
                if request.authenticated.is_none() && request.source != ChannelName::REPROCESS =>
            {
                return Ok(Some("senders must authenticate".to_owned()));
            }
            "PASSWORD_REQUIRED" | "PASSWD_REQUIRED" | "PASSWORD_REQ" | "PASSWD_REQ" => {
                return Ok(Some("it asks for a password within the message, which is not served".to_owned()));
            }
            _ => {}
        }
    }
    let sender = match request.reverse_path {
        ReversePath::Address(sender) => Some(sender),
        ReversePath::Null => None,
    };
    if let Some(sender) = sender {
        if policy.disallowed_domains.iter().any(|domain| is_in_domain(sender, domain)) {
            return Ok(Some(format!("the domain of {sender} may not post")));
        }
        if is_among(&policy.disallowed, sender, view)? {
            return Ok(Some(format!("{sender} may not post")));
        }
    }
    if policy.allowed.is_empty() && policy.allowed_domains.is_empty() {
        return Ok(None);
    }
    let Some(sender) = sender else { return Ok(Some("the null reverse path may not post".to_owned())) };
    let allowed = policy.allowed_domains.iter().any(|domain| is_in_domain(sender, domain))
        || is_among(&policy.allowed, sender, view)?;
    Ok((!allowed).then(|| format!("{sender} is not among those who may post")))
}

/// `example.org` is that domain and those below it.
fn is_in_domain(sender: &Address, domain: &str) -> bool {
    let domain = domain.trim_start_matches(['@', '.', '*']);
    let name = sender.domain.as_str();
    name == domain || name.strip_suffix(domain).is_some_and(|rest| !domain.is_empty() && rest.ends_with('.'))
}

/// Whether one of the URLs names the sender: `mailto:address`, or `ldap:///DN` of its entry or of a group that has it
/// as a direct member.
fn is_among(urls: &[String], sender: &Address, view: &View<'_>) -> Result<bool, TableError> {
    for url in urls {
        let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("mailto") => {
                if Address::parse(&url[7..]).is_ok_and(|address| address.to_key() == sender.to_key()) {
                    return Ok(true);
                }
            }
            Some("ldap" | "ldaps") => {
                if is_named_by(url, sender, view)? {
                    return Ok(true);
                }
            }
            _ => {
                if Address::parse(url).is_ok_and(|address| address.to_key() == sender.to_key()) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn is_named_by(url: &str, sender: &Address, view: &View<'_>) -> Result<bool, TableError> {
    // ldap://host/dn?attributes?scope?filter (RFC 4516 §2); only the name is looked at.
    let Some(name) = url.splitn(4, '/').nth(3).and_then(|rest| rest.split('?').next()) else {
        return Ok(false);
    };
    let Ok(name) = Dn::parse(&name.replace("%20", " ")) else { return Ok(false) };
    let Some(Claim::One(row)) = view.reader.alias(&sender.to_key())? else { return Ok(false) };
    if Dn::parse(&row.dn).is_ok_and(|dn| dn == name) {
        return Ok(true);
    }
    let Some(group) = view.reader.key_of(&name)? else { return Ok(false) };
    let Some(Claim::One(group)) = view.reader.alias(&group)? else { return Ok(false) };
    let Some(detail) = group.detail else { return Ok(false) };
    Ok(detail.members.iter().any(|member| member.eq_ignore_ascii_case(&row.dn))
        || detail.member_addresses.iter().any(|member| member.eq_ignore_ascii_case(&sender.to_string())))
}
