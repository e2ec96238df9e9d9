//! From a recipient to the routes of its copies. The domain is the key (R47); rules and tables say what becomes of the
//! address (R48), again on every host it reaches (R49): into the store, or on to another agent (R50). It takes no
//! look at the content (R88), and recipients of one message may take different channels (R60). Users know nothing of
//! all this (R58).
//!
//! An address is rewritten; the rules name its channel or call it local. A local address is looked up in the alias
//! table; its entry's status and delivery options say what becomes of it: a route, or further addresses that go the
//! same way. One view of the tables serves the whole of it; where a plugin has to be asked on the way, the walk is gone
//! again afterwards, over a view of its own ([`crate::consult`]). [`walk`] holds the list of addresses still to do,
//! [`ways`] knows by which ways each was reached, [`way`] takes one address to its entry, [`disposition`] applies the entry, [`refusals`] has the words for a no.

pub(crate) mod disposition;
pub(crate) mod domains;
mod mailbox;
mod parked;
mod posting;
pub(crate) mod refusals;
pub(crate) mod walk;
pub(crate) mod way;
mod ways;

use std::sync::Arc;

use mail_types::{AccountName, Address, Domain, ForwardPath, Refusal, ReversePath, Route};

use crate::delivery_options::DeliveryOptions;
use crate::recorder::Step;

/// Most recipients that one RCPT may expand to, unless configured lower.
pub const RECIPIENTS_MAX: usize = 10_000;
/// Deepest nesting of groups and forwards.
pub const NESTING_MAX: usize = 100;

/// How addresses are resolved here.
#[derive(Debug, Clone)]
pub struct Options {
    /// The domain of bare `Postmaster`, and of addresses at our own host names.
    pub default_domain: Domain,
    /// The names of this host: in `mailHost`, `mailRoutingHosts`, and as domains of addresses.
    pub own_names: Vec<String>,
    /// Where mail to a postmaster goes that the directory does not know (RFC 5321 §4.5.1).
    pub postmaster: Address,
    /// Between a user and its subaddress.
    pub separator: char,
    /// Domains for which anyone may relay, besides those of the directory.
    pub relay_domains: Vec<Domain>,
    /// Whether a source route in RCPT is ignored (RFC 5321 §4.1.1.3 says SHOULD) instead of refused.
    pub ignore_source_routes: bool,
    /// The channels that entries may name as the way out of what their users submit, in lower case.
    pub ways_out: Vec<String>,
    /// Most recipients that one RCPT may expand to.
    pub recipients_max: usize,
    /// The general table of the rules, `$(key)`: its keys in lower case, for they are compared without case.
    pub general: Option<Arc<std::collections::HashMap<String, String>>>,
    /// What values of `mailDeliveryOption` do, besides and instead of what is built in.
    pub delivery: DeliveryOptions,
}

impl Options {
    /// The defaults for a host and its default domain.
    #[must_use]
    pub fn new(host_name: &Domain, default_domain: Domain) -> Self {
        let local = mail_types::LocalPart::new("postmaster").unwrap_or_else(|_| unreachable!("a short word"));
        Self {
            postmaster: Address::new(local, default_domain.clone()),
            own_names: vec![host_name.to_string(), "localhost".to_owned()],
            default_domain,
            separator: '+',
            relay_domains: Vec::new(),
            ways_out: Vec::new(),
            ignore_source_routes: false,
            recipients_max: RECIPIENTS_MAX,
            general: None,
            delivery: DeliveryOptions::default(),
        }
    }

    pub(crate) fn is_own(&self, host: &str) -> bool {
        self.own_names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// A recipient that asks for its routes.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// From RCPT.
    pub recipient: &'a ForwardPath,
    /// From MAIL.
    pub reverse_path: &'a ReversePath,
    /// The channel by which the message came: `smtp`, `submission`, `lmtp`, `reprocess`, `local`.
    pub source: &'a str,
    /// As whom the client authenticated.
    pub authenticated: Option<&'a AccountName>,
    /// Octets of the message, as the client declares them (RFC 1870).
    pub size: Option<u64>,
    /// Whether the client may relay for other reasons, its network for example.
    pub relay: bool,
    /// What an operator has let this recipient past (`Recipient::released`): the address itself is not parked for it again,
    /// whatever its further addresses are.
    pub released: &'a [String],
    /// Its route is asked for again: who may post, and what is put off, was decided when it was accepted.
    pub again: bool,
    /// The id of the message, as the log has it; empty while it has none. Plugins log with it.
    pub id: &'a str,
}

/// One final recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedRecipient {
    /// Its address, after rewriting and expansion.
    pub address: Address,
    /// The subaddress, without separator.
    pub detail: Option<String>,
    /// Where its copy goes.
    pub route: Route,
    /// How that was decided.
    pub steps: Vec<Step>,
    /// Whether it is one of several that an address on the way stands for, as the member of a group is.
    pub is_of_several: bool,
    /// The users whose forwards led here.
    pub forwarders: Vec<Address>,
    /// Other ways that lead here, by the users whose forwards are on each; maybe none on one.
    pub other_ways: Vec<Vec<Address>>,
}

impl ResolvedRecipient {
    /// As the queue takes it; DSN parameters and original come from the RCPT it stands for.
    #[must_use]
    pub fn into_accepted(self, of: &mail_types::Recipient) -> queue::Accepted {
        let mut recipient = mail_types::Recipient { address: self.address, ..of.clone() };
        if recipient.address.to_key() != of.address.to_key() {
            recipient.released.clear();
        }
        let above = std::mem::take(&mut recipient.forwarders);
        recipient.forwarders = along(&above, self.forwarders);
        let other_ways = self.other_ways.into_iter().map(|way| along(&above, way)).collect();
        let steps = self.steps.into_iter().map(Into::into).collect();
        let mut accepted =
            queue::Accepted { steps, other_ways, ..queue::Accepted::new(recipient, self.route) };
        if accepted.route.channel.as_str() == mail_types::ChannelName::AUTOREPLY {
            // Nobody is told of an automatic reply but by itself (RFC 3834 §3.3).
            accepted.recipient.notify = mail_types::Notify::Never;
        } else if self.is_of_several {
            accepted.is_one_of_several();
        }
        accepted
    }
}

/// A whole way: the users above, and those after them.
fn along(above: &[Address], way: Vec<Address>) -> Vec<Address> {
    let mut whole = above.to_vec();
    for one in way {
        if !whole.contains(&one) {
            whole.push(one);
        }
    }
    whole.truncate(mail_types::Recipient::FORWARDERS_MAX);
    whole
}

/// What becomes of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It is taken, for these.
    Accepted(Vec<ResolvedRecipient>),
    /// It is refused, now (4xx) or for good (5xx).
    Refused(Refusal),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It is refused.
    Refused(Refusal),
    /// Plugins have to be asked first.
    Open,
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An address that was looked at, with what was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// How many groups and forwards lie above it.
    pub(crate) depth: usize,
    /// The steps.
    pub(crate) steps: Vec<Step>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_way_names_each_user_once_and_no_more_than_so_many() {
        let user = |number: usize| Address::parse(&format!("u{number}@here.test")).unwrap();
        let users = |numbers: std::ops::Range<usize>| numbers.map(user).collect::<Vec<_>>();
        assert_eq!(along(&users(0..3), users(1..5)), users(0..5));
        let most = mail_types::Recipient::FORWARDERS_MAX;
        assert_eq!(along(&users(0..30), users(30..most + 30)), users(0..most), "the first who forwarded it");
        assert_eq!(along(&users(0..most), users(most..most + 1)), users(0..most));
    }
}
