//! Lists that take no message of a size (`mgrpMsgMaxSize`): whoever hands it over hears of it at once, where there is nobody
//! else in the same reply. Else the list tells by a report.

use mail_types::{ChannelName, EnhancedStatus, Lookup, NextHop, Refusal, Reply};
use queue::Accepted;
use routing::Routing;

use crate::profiles::Replies;

/// Whether a recipient is a list, whose settings may have a limit.
pub(crate) fn may_be_limited(one: &Accepted) -> bool {
    let list = one.route.channel.as_str() == ChannelName::LIST;
    list && matches!(one.route.next_hop, NextHop::Account(_))
}

/// The recipients, those marked that are told apart.
///
/// # Errors
/// There is one reply, and no recipient takes the message.
pub(crate) fn kept(
    routing: &Routing,
    mut recipients: Vec<Accepted>,
    replies: Replies,
    size: u64,
) -> Result<Vec<Accepted>, Refusal> {
    let objections: Vec<Option<Refusal>> =
        recipients.iter().map(|one| objection(routing, one, size)).collect();
    match replies {
        Replies::One => match objections.first() {
            Some(Some(first)) if objections.iter().all(Option::is_some) => Err(first.clone()),
            _ => Ok(recipients),
        },
        Replies::Each => {
            for (one, objection) in recipients.iter_mut().zip(objections) {
                if let (Some(refusal), None) = (objection, &one.refused) {
                    one.refused = Some(refusal.reply);
                }
            }
            Ok(recipients)
        }
    }
}

/// Where the tables do not answer, the list looks again.
fn objection(routing: &Routing, one: &Accepted, size: u64) -> Option<Refusal> {
    if !may_be_limited(one) {
        return None;
    }
    let NextHop::Account(key) = &one.route.next_hop else { return None };
    let Lookup::Found(Some(max)) = routing.list_size_max(key) else { return None };
    if size <= max {
        return None;
    }
    let text = format!("This list takes messages up to {max} octets");
    let reply = Reply::new(552, EnhancedStatus::permanent(2, 3), text);
    Some(Refusal::new(reply, format!("{size} octets for the list {key}")))
}
