//! Automatic replies (R64): the channel `autoreply`.
//!
//! A user's delivery option, or a plugin, sends a copy of the message this way. Here it is decided whether an answer may go
//! out at all (RFC 3834, [`grounds`]), what it says ([`wording`]), and how it looks ([`compose`]). The queue sends it in
//! the batch that settles the copy, and remembers who was answered: whatever ends the process, nobody is answered twice.

mod compose;
mod grounds;
mod wording;

use std::time::Duration;

use directory::{AutoReplyMode, Directory, DomainEntry, UserEntry};
use mail_types::{
    AccountName, Address, BodyType, ChannelName, Domain, EnhancedStatus, Lookup, NextHop, Notify, Recipient,
    Reply, ReversePath, Route, Timestamp, Transport, Words,
};
use message::{Facts, header_len};
use queue::{Accepted, Attempt, BoxFuture, Channel, Duty, Once, Outcome, Outgoing, OutgoingContent, Reach};
use routing::Routing;
use runtime::{Clock, Random};

use compose::Answer;
use wording::Wording;

/// The source of automatic replies.
const SOURCE: &str = "autoreply";
/// Hours between two answers of one user to one sender, where nothing is said (RFC 3834 §2 recommends seven days).
const HOURS: u32 = 7 * 24;
/// Shortest time between two answers to one sender, whatever is said: against two responders that answer each other.
const GAP: Duration = Duration::from_secs(60);
/// Octets of the message that are looked at: its header.
const HEADER_MAX: usize = 256 << 10;

/// Answers on behalf of users; clones are the same.
#[derive(Clone)]
pub struct AutoReplying {
    routing: Routing,
    directory: Directory,
    clock: Clock,
    random: Random,
}

/// The message that is answered.
struct Subject<'a> {
    attempt: &'a Attempt,
    /// Its header, without the fields that we added.
    header: &'a [u8],
    sender: &'a Address,
}

/// On whose behalf.
struct Responder {
    routing: Routing,
    user: UserEntry,
    domain: Option<DomainEntry>,
    address: Address,
}

impl AutoReplying {
    /// Over the users of a directory.
    #[must_use]
    pub fn new(routing: Routing, directory: Directory, clock: Clock, random: Random) -> Self {
        Self { routing, directory, clock, random }
    }

    fn answer(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let (account, words) = match &attempt.route.next_hop {
            NextHop::Account(account) => (account, None),
            NextHop::Answer { account, words } => (account, Some(&**words)),
            // Nobody's answer: the message itself must not be taken for answered.
            _ => {
                return later(
                    "the route names no account: automatic replies are chosen by users and plugins"
                        .to_owned(),
                );
            }
        };
        let ReversePath::Address(sender) = &attempt.reverse_path else {
            return nothing("the message has the null reverse path");
        };
        let head = match attempt.content.range(0, HEADER_MAX) {
            Ok(head) => head,
            Err(error) => return later(error.to_string()),
        };
        let header = &head[..header_len(&head).min(head.len())];
        let responder = match self.responder(account) {
            Lookup::Found(responder) => responder,
            Lookup::NotFound => return nothing("the user is gone"),
            Lookup::Unavailable(why) => return later(why),
        };
        let subject = Subject { attempt, header, sender };
        match self.compose(&subject, &responder, account, words, recipient) {
            Ok(outgoing) => Outcome::Sent(Box::new(outgoing)),
            Err(why) => nothing(why),
        }
    }

    fn responder(&self, account: &AccountName) -> Lookup<Responder> {
        let Some(address) = Address::of_key(account.as_str()) else { return Lookup::NotFound };
        let schema = self.directory.schema();
        let user = match self.directory.by_address(&address).map(|entry| UserEntry::read(&entry, schema)) {
            Lookup::Found(Some(user)) => user,
            Lookup::Found(None) | Lookup::NotFound => return Lookup::NotFound,
            Lookup::Unavailable(why) => return Lookup::Unavailable(why),
        };
        match self.directory.domain_of(&user) {
            Lookup::Found(domain) => Lookup::Found(Some(domain)),
            Lookup::NotFound => Lookup::Found(None),
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
        }
        .map(|domain| Responder { routing: self.routing.clone(), user, domain, address })
    }

    /// The answer, or why there is none.
    fn compose(
        &self,
        subject: &Subject<'_>,
        responder: &Responder,
        account: &AccountName,
        words: Option<&Words>,
        recipient: &Recipient,
    ) -> Result<Outgoing, &'static str> {
        let now = self.clock.now();
        let is_absence = words.is_some() || responder.user.auto_reply.mode == AutoReplyMode::Vacation;
        if words.is_none() && !is_within(&responder.user, now) {
            return Err("it is outside of the time that the user gave");
        }
        if let Some(why) = grounds::against(subject.header, subject.sender, responder, is_absence) {
            return Err(why);
        }
        let wording = match words {
            Some(words) => Wording::given(words, subject.header),
            None => Wording::of(responder, subject.header, subject.sender),
        };
        let own = from_address(responder, recipient);
        let (name, from) = chosen_from(responder, account).unwrap_or((responder.user.name.as_deref(), &own));
        let answer = Answer {
            from,
            name,
            to: subject.sender,
            wording: &wording,
            about: Facts::scan(subject.header, "").message_id_text(),
            references: subject.header,
            echoed: (words.is_none() && responder.user.auto_reply.mode == AutoReplyMode::Echo)
                .then_some(&subject.attempt.content),
            date: now,
            random: [self.random.u64(), self.random.u64()],
        };
        let composed = answer.compose();
        let to = Recipient { notify: Notify::Never, ..Recipient::new(subject.sender.clone()) };
        let route = Route::new(ChannelName::REPROCESS, NextHop::Nobody);
        let body = if composed.octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime };
        Ok(Outgoing {
            source: SOURCE,
            // RFC 3834 §3.3: so that nothing answers the answer.
            reverse_path: ReversePath::Null,
            transport: Transport { body, smtputf8: composed.smtputf8, ..Transport::default() },
            recipients: vec![Accepted::new(to, route)],
            prefix: Vec::new(),
            content: OutgoingContent::Octets(composed.octets.into()),
            message_id: Some(composed.message_id),
            once: Some(Once {
                by: account.clone(),
                to: subject.sender.clone(),
                within: once_within(responder, words),
            }),
        })
    }
}

impl Channel for AutoReplying {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            attempt.recipients.iter().map(|recipient| self.answer(attempt, recipient)).collect()
        })
    }
}

/// Whether a moment lies within the time that a user gave (`vacationStartDate`, `vacationEndDate`).
fn is_within(user: &UserEntry, now: Timestamp) -> bool {
    let reply = &user.auto_reply;
    reply.start.is_none_or(|start| start <= now) && reply.end.is_none_or(|end| now < end)
}

/// The address that the sender wrote to where that is one of the user's own (RFC 3834 §3.1.1), else the primary one.
fn from_address(responder: &Responder, recipient: &Recipient) -> Address {
    let named = responder.user.addresses().find(|address| address.to_key() == recipient.original.to_key());
    named.or(responder.user.address.as_ref()).unwrap_or(&responder.address).clone()
}

/// What the user chose to stand in From (RFC 3834 §3.1.1), where it is an address that the user may send as; its name is the
/// user's where none is given.
fn chosen_from<'a>(
    responder: &'a Responder,
    account: &AccountName,
) -> Option<(Option<&'a str>, &'a Address)> {
    let (name, address) = responder.user.auto_reply.from.as_ref()?;
    let may = responder.routing.may_send_as(account, address);
    matches!(may, Lookup::Found(())).then(|| (name.as_deref().or(responder.user.name.as_deref()), address))
}

/// For how long the sender gets no other answer.
fn once_within(responder: &Responder, words: Option<&Words>) -> Duration {
    let of_domain = responder.domain.as_ref().and_then(|domain| domain.auto_reply_timeout_hours);
    let hours = match words {
        Some(words) if words.once_in_hours > 0 => words.once_in_hours,
        Some(_) => of_domain.unwrap_or(HOURS),
        None => {
            let usual = if responder.user.auto_reply.mode == AutoReplyMode::Vacation { HOURS } else { 0 };
            responder.user.auto_reply.timeout_hours.or(of_domain).unwrap_or(usual)
        }
    };
    Duration::from_secs(u64::from(hours) * 3600).max(GAP)
}

/// Whether an address is in a domain of the user's: "internal".
fn is_internal(responder: &Responder, domain: &Domain) -> bool {
    let of_domain = |entry: &DomainEntry| entry.domain == *domain || entry.aliases.contains(domain);
    responder.address.domain == *domain || responder.domain.as_ref().is_some_and(of_domain)
}

/// No answer goes out, and that is all there is to do.
fn nothing(why: &str) -> Outcome {
    let reply = Reply::new(250, EnhancedStatus::success(0, 0), format!("No automatic reply: {why}"));
    Outcome::Delivered { reply, remote: None, duty: Duty::PassedOn }
}

fn later(cause: String) -> Outcome {
    let text = "The automatic reply cannot be made now";
    let reply = Reply::new(451, EnhancedStatus::transient(3, 0), text);
    Outcome::Deferred { reply, remote: None, cause, reach: Reach::Recipient }
}
