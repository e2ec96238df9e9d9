//! What a message needs of its next hop, and whether a peer has it.
//!
//! Content is never converted: that would break signatures. So:
//! - BODY=8BITMIME towards a peer without 8BITMIME (RFC 6152 §3): sent as it is where the content is
//!   ASCII after all, else returned with 5.6.3.
//! - Content that is not ASCII though nothing was declared goes as it came: its author took the risk.
//! - BODY=BINARYMIME needs BINARYMIME and CHUNKING (RFC 3030 §3); without them it counts as 8BITMIME
//!   where its lines are proper, else 5.6.3.
//! - SMTPUTF8 towards a peer without it (RFC 6531 §3.2): sent as ordinary mail where neither addresses
//!   nor header need it; else recipients whose own address needs it get 5.6.7, and all of them where
//!   the sender's (5.6.7) or the header (5.6.9) does.
//! - Longer than the peer's SIZE (RFC 1870 §6.1): returned with 5.3.4, unsent.

use mail_types::{BodyType, Transport};
use queue::{Attempt, Outcome, Reach};
use smtp_wire::Capabilities;

use crate::outcome::{Verdicts, deferred, failed};
use crate::remote::content::Content;

/// How a message goes to a certain peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// The parameters of MAIL that this peer understands and this message needs.
    pub(crate) transport: Transport,
    /// SIZE, where the peer takes it.
    pub(crate) size: Option<u64>,
    /// By BDAT instead of DATA.
    pub(crate) chunking: bool,
    /// NOTIFY and ORCPT may be said.
    pub(crate) dsn: bool,
}

/// Fits a message to a peer, for the recipients still pending. Settles those that cannot go; `None`
/// where no one is left.
pub(crate) fn fit(
    attempt: &Attempt,
    content: &Content,
    peer: &Capabilities,
    verdicts: &mut Verdicts,
) -> Option<Fit> {
    let size = content.len();
    if let Some(Some(max)) = peer.size
        && size > max
    {
        let text = format!("The message has {size} octets; the other server takes {max}");
        verdicts.settle_rest(&failed(552, (3, 4), &text, "SIZE"));
        return None;
    }
    let smtputf8 = match utf8(attempt, content, peer, verdicts) {
        Ok(needed) => needed,
        Err(outcome) => {
            verdicts.settle_rest(&outcome);
            return None;
        }
    };
    let (body, chunking) = match body(attempt, content, peer) {
        Ok(body) => body,
        Err(outcome) => {
            verdicts.settle_rest(&outcome);
            return None;
        }
    };
    if verdicts.is_complete() {
        return None;
    }
    let dsn = peer.dsn;
    let transport = Transport {
        body,
        smtputf8,
        ret: attempt.transport.ret.filter(|_| dsn),
        envid: attempt.transport.envid.clone().filter(|_| dsn),
    };
    Some(Fit { transport, size: peer.size.map(|_| size), chunking, dsn })
}

fn body(attempt: &Attempt, content: &Content, peer: &Capabilities) -> Result<(BodyType, bool), Outcome> {
    let unsent = |what: &str| {
        let text = format!("The message {what}, which the other server does not take");
        failed(554, (6, 3), &text, "content is not converted")
    };
    let binary = attempt.transport.body == BodyType::BinaryMime;
    if binary && peer.binary_mime && peer.chunking {
        return Ok((BodyType::BinaryMime, true));
    }
    if binary && !content.has_proper_lines().map_err(|error| unread(&error))? {
        return Err(unsent("is binary"));
    }
    let body = match attempt.transport.body {
        BodyType::SevenBit => BodyType::SevenBit,
        _ if peer.eight_bit_mime => BodyType::EightBitMime,
        _ if content.is_ascii().map_err(|error| unread(&error))? => BodyType::SevenBit,
        _ => return Err(unsent("has octets beyond ASCII")),
    };
    Ok((body, peer.chunking))
}

/// Our own disk's fault is no fault of the message.
fn unread(error: &std::io::Error) -> Outcome {
    let cause = format!("the content cannot be read: {error}");
    deferred((3, 0), "The message cannot be read now", cause, Reach::Recipient)
}

/// Whether the parameter is to be said.
fn utf8(
    attempt: &Attempt,
    content: &Content,
    peer: &Capabilities,
    verdicts: &mut Verdicts,
) -> Result<bool, Outcome> {
    let sender = attempt.reverse_path.address().is_some_and(mail_types::Address::needs_utf8);
    let recipient = |index: usize| attempt.recipients[index].address.needs_utf8();
    let pending = verdicts.pending();
    let addresses = sender || pending.iter().any(|index| recipient(*index));
    if !attempt.transport.smtputf8 && !addresses {
        return Ok(false);
    }
    if peer.smtputf8 {
        return Ok(true);
    }
    const CAUSE: &str = "no SMTPUTF8";
    if sender {
        return Err(failed(550, (6, 7), "The other server takes no sender beyond ASCII", CAUSE));
    }
    if !content.header_is_ascii().map_err(|error| unread(&error))? {
        return Err(failed(550, (6, 9), "The other server takes no header beyond ASCII", CAUSE));
    }
    for index in pending.into_iter().filter(|index| recipient(*index)) {
        let text = "The other server takes no recipient beyond ASCII";
        verdicts.settle(index, failed(553, (6, 7), text, CAUSE));
    }
    Ok(false)
}
