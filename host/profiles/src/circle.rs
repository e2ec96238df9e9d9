//! Mail that a user has forwarded before: it is not forwarded again (R72). Two users on two hosts who forward to each other
//! and keep a copy would else get one copy each time round, until the hops end it.
//!
//! What leaves by a user's forward names that user in a Delivered-To field. Mail that comes back with it has been with the
//! user: a copy for the mailbox is kept still, for the field is anybody's to write, and nothing may be lost by it. Where several
//! ways lead to one copy, it goes by one on which the mail has been with nobody.

use mail_types::{Address, ChannelName, EnhancedStatus, NextHop, Refusal, Reply, Route};
use message::Fields;
use queue::{Accepted, Step, StepKind};

use crate::profiles::Replies;

/// How far Delivered-To fields are looked for, in octets.
pub(crate) const HEADER_MAX: usize = 1 << 20;
/// Most fields that are looked at: as many as hosts a message may pass.
const FIELDS_MAX: usize = 100;

/// Takes out the copies that would go round. Of those that somebody named, and for whom nothing else is left, the sender
/// is told.
///
/// # Errors
/// There is one reply, and nothing is left at all.
pub(crate) fn ended(
    mut recipients: Vec<Accepted>,
    replies: Replies,
    header: &[u8],
) -> Result<Vec<Accepted>, Refusal> {
    let fields = Fields::of(header).filter(|field| field.is("Delivered-To")).take(FIELDS_MAX);
    let been: Vec<String> =
        fields.map(|field| String::from_utf8_lossy(&field.unfolded()).trim().to_lowercase()).collect();
    let forwarder = |way: &[Address]| way.iter().find(|user| been.contains(&user.to_key())).cloned();
    let circles: Vec<_> = recipients
        .iter_mut()
        .map(|one| {
            let forwarder_on_it = forwarder(&one.recipient.forwarders)?;
            let Some(good) = one.other_ways.iter().position(|way| forwarder(way).is_none()) else {
                return Some(forwarder_on_it);
            };
            // Another way leads to the same copy, and the message was with none of its users.
            one.recipient.forwarders = one.other_ways.swap_remove(good);
            let text = format!("Delivered-To names {forwarder_on_it}: it goes by another way");
            one.steps.push(Step { kind: StepKind::Delivery, text, origin: None });
            None
        })
        .collect();
    if circles.iter().all(Option::is_none) {
        return Ok(recipients);
    }
    if replies == Replies::One && circles.iter().all(Option::is_some) {
        let of = circles.iter().flatten().next().map_or_else(String::new, ToString::to_string);
        return Err(Refusal::new(reply(), format!("Delivered-To names {of}, whose forward it is")));
    }
    // What a recipient stands for that somebody named: its command, and its original within it.
    let named = |one: &Accepted| (one.command, one.recipient.original.to_key());
    let mut served: Vec<_> =
        recipients.iter().zip(&circles).filter(|(_, at)| at.is_none()).map(|(one, _)| named(one)).collect();
    for (one, forwarder) in recipients.iter_mut().zip(&circles) {
        let Some(forwarder) = forwarder else { continue };
        let text = format!("Delivered-To names {forwarder}: it was forwarded before, and is not again");
        one.steps.push(Step { kind: StepKind::Delivery, text, origin: None });
        let name = named(one);
        if served.contains(&name) {
            one.route = Route::new(ChannelName::BITBUCKET, NextHop::Nobody);
        } else {
            one.refused = Some(reply());
            served.push(name);
        }
    }
    Ok(recipients)
}

fn reply() -> Reply {
    Reply::new(554, EnhancedStatus::permanent(4, 6), "The message has been forwarded by this address before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::Recipient;

    const HEADER: &[u8] =
        b"Delivered-To: Ann@Here.test\r\nReceived: x\r\nDelivered-To: other@there.test\r\n\r\n";

    fn copy(command: usize, original: &str, forwarders: &[&str]) -> Accepted {
        let address = |text: &str| Address::parse(text).unwrap();
        let forwarders = forwarders.iter().map(|text| address(text)).collect();
        let recipient = Recipient { forwarders, ..Recipient::new(address(original)) };
        let route = Route::new(ChannelName::SMTP, NextHop::Nobody);
        Accepted { command, ..Accepted::new(recipient, route) }
    }

    fn shown(recipients: Vec<Accepted>, replies: Replies) -> String {
        match ended(recipients, replies, HEADER) {
            Err(refusal) => format!("refused {}", refusal.reply.code),
            Ok(recipients) => {
                let show = |one: &Accepted| match &one.refused {
                    Some(reply) => reply.code.to_string(),
                    None => one.route.channel.to_string(),
                };
                recipients.iter().map(show).collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn what_was_forwarded_before_is_not_forwarded_again() {
        let ann: &[&str] = &["first@here.test", "ann@here.test"];
        let bob: &[&str] = &["bob@here.test"];
        for (copies, replies, expected) in [
            (vec![copy(0, "ann@here.test", ann)], Replies::One, "refused 554"),
            (vec![copy(0, "ann@here.test", ann)], Replies::Each, "554"),
            (
                vec![copy(0, "ann@here.test", ann), copy(0, "ann@here.test", ann)],
                Replies::Each,
                "554 bitbucket",
            ),
            (
                vec![copy(0, "ann@here.test", &[]), copy(0, "ann@here.test", ann)],
                Replies::One,
                "smtp bitbucket",
            ),
            (vec![copy(0, "ann@here.test", ann), copy(1, "bob@here.test", bob)], Replies::One, "554 smtp"),
            (vec![copy(0, "bob@here.test", bob)], Replies::One, "smtp"),
        ] {
            assert_eq!(shown(copies.clone(), replies), expected, "{copies:?}");
        }
    }

    #[test]
    fn of_several_ways_one_is_taken_that_is_new() {
        let way = |names: &[&str]| copy(0, "team@here.test", names).recipient.forwarders;
        let (ann, bob) = (way(&["ann@here.test"]), way(&["bob@here.test"]));
        for (others, taken) in [
            (vec![bob.clone()], Some(bob.clone())),
            (vec![[ann.clone(), bob.clone()].concat(), Vec::new()], Some(Vec::new())),
            (vec![[bob.clone(), ann.clone()].concat()], None),
        ] {
            let one = Accepted { other_ways: others, ..copy(0, "team@here.test", &["ann@here.test"]) };
            let ended = ended(vec![one], Replies::One, HEADER).ok();
            assert_eq!(ended.map(|mut ended| ended.remove(0).recipient.forwarders), taken);
        }
    }
}
