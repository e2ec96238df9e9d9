//! VRFY and EXPN, by policy (RFC 5321 §3.5).

use mail_types::{Address, EnhancedStatus, Reply};
use routing::Verified;

use crate::answer::{Answer, reply};
use crate::options::VerifyPolicy;
use crate::session::Session;

/// Most addresses that EXPN lists.
const LISTED_MAX: usize = 100;

const NONCOMMITTAL: Answer = Answer::Line("252 2.5.0 Cannot verify; send the message and see");
/// RFC 6531 §3.7.4.2: the true answer would need UTF-8.
const NEEDS_UTF8: Answer = Answer::Line("252 2.6.8 The answer needs UTF-8; ask with SMTPUTF8");

/// VRFY: whose address it is.
pub(crate) async fn verify(session: &Session, argument: &str, smtputf8: bool) -> Answer {
    let address = match asked(session, argument) {
        Ok(address) => address,
        Err(answer) => return answer,
    };
    match session.server.routing.verify(&address).await {
        Ok(Verified::User(address) | Verified::List(address)) => listed(&[address], smtputf8),
        Ok(Verified::Elsewhere) => NONCOMMITTAL,
        Err(refusal) => refusal.into(),
    }
}

/// EXPN: the members of a list.
pub(crate) async fn expand(session: &Session, argument: &str, smtputf8: bool) -> Answer {
    let address = match asked(session, argument) {
        Ok(address) => address,
        Err(answer) => return answer,
    };
    match session.server.routing.expand(&address).await {
        Ok(members) if members.is_empty() => Answer::Line("550 5.2.4 The list has no members"),
        Ok(members) => listed(&members[..members.len().min(LISTED_MAX)], smtputf8),
        Err(refusal) => refusal.into(),
    }
}

/// The address that was meant, where the policy lets it be asked for.
fn asked(session: &Session, argument: &str) -> Result<Address, Answer> {
    let told = match session.options.verify {
        VerifyPolicy::Off => false,
        VerifyPolicy::Authenticated => session.may_relay(),
        VerifyPolicy::Everybody => true,
    };
    if !told {
        return Err(NONCOMMITTAL);
    }
    let bare = argument.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(argument);
    Address::parse(bare).map_err(|_| reply(553, 1, 3, "Ask with an address: local-part@domain").into())
}

fn listed(addresses: &[Address], smtputf8: bool) -> Answer {
    if !smtputf8 && addresses.iter().any(Address::needs_utf8) {
        return NEEDS_UTF8;
    }
    let lines = addresses.iter().map(|address| format!("<{address}>")).collect();
    let reply = Reply { code: 250, status: Some(EnhancedStatus::success(1, 5)), lines };
    if smtputf8 { Answer::Utf8(reply) } else { reply.into() }
}
