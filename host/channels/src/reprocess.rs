//! The channel that resolves again from the start, with today's rules and directory.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use mail_types::{ChannelName, ForwardPath, Persistence, Recipient, Refusal, Route};
use profiles::Profiles;
use queue::{Accepted, Attempt, BoxFuture, Channel, Outcome, Reach};
use routing::{Request, Resolution, Routing};

use crate::outcome::failed;

/// Addresses that one recipient may be led over before the rest waits for the next round.
const ADDRESSES_MAX: usize = 100;

/// What messages of clients come by.
const SESSIONS: [&str; 3] = ["smtp", "submission", "lmtp"];

type Resolve = dyn for<'a> Fn(Request<'a>) -> BoxFuture<'a, Resolution> + Send + Sync;

/// Replaces each recipient by those that it resolves to now. Reports start here, groups that expand late
/// arrive here, and so does whatever a rule or an operator sends.
#[derive(Clone)]
pub struct Reprocess {
    resolve: Arc<Resolve>,
    /// What becomes of mail for those who have a mailbox here.
    profiles: Option<Profiles>,
}

impl Reprocess {
    /// By this routing, and these profiles.
    #[must_use]
    pub fn new(routing: Routing, profiles: Profiles) -> Self {
        let resolving = Self::with(move |request| {
            let routing = routing.clone();
            Box::pin(async move { routing.resolve(&request).await })
        });
        Self { profiles: Some(profiles), ..resolving }
    }

    fn with(
        resolve: impl for<'a> Fn(Request<'a>) -> BoxFuture<'a, Resolution> + Send + Sync + 'static,
    ) -> Self {
        Self { resolve: Arc::new(resolve), profiles: None }
    }

    async fn resolve(&self, attempt: &Attempt, recipient: &Recipient) -> Resolution {
        let path = ForwardPath::from(recipient.address.clone());
        let id = attempt.id.to_string();
        // What was parked when it came is decided on as it was then: for rules and policies that ask who sends, or by which
        // channel.
        let (source, authenticated) = if recipient.released.is_empty() {
            (ChannelName::REPROCESS, None)
        } else {
            (attempt.source.as_str(), attempt.authenticated.as_ref())
        };
        let request = Request {
            recipient: &path,
            reverse_path: &attempt.reverse_path,
            source,
            authenticated,
            size: None,
            // The message was accepted for it once.
            relay: true,
            released: &recipient.released,
            again: false,
            id: &id,
        };
        (self.resolve)(request).await
    }

    /// Where a recipient leads, to the ends of all ways; no plugin of theirs was asked yet.
    pub(crate) async fn ends(
        &self,
        attempt: &Attempt,
        recipient: &Recipient,
    ) -> Result<Vec<Accepted>, Outcome> {
        let first = match self.resolve(attempt, recipient).await {
            Resolution::Accepted(first) => first,
            Resolution::Refused(refusal) => return Err(refused(refusal)),
        };
        let mut way = Way { seen: HashSet::from([recipient.address.to_key()]), ..Way::default() };
        first.into_iter().for_each(|one| way.sort(one.into_accepted(recipient)));
        while let Some(accepted) = way.again.pop_front() {
            match self.resolve(attempt, &accepted.recipient).await {
                Resolution::Accepted(next) => {
                    for one in next {
                        let mut one = one.into_accepted(&accepted.recipient);
                        one.expanded |= accepted.expanded;
                        one.steps.splice(0..0, accepted.steps.iter().cloned());
                        way.sort(one);
                    }
                }
                // It gets an attempt, and with it an outcome, of its own: others do not wait for it.
                Resolution::Refused(_) => way.end(accepted),
            }
        }
        if way.ends.is_empty() {
            let text = "The address leads back to itself";
            return Err(failed(554, (4, 6), text, "reprocessing in a circle"));
        }
        Ok(way.ends)
    }

    async fn replace(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let ends = match self.ends(attempt, recipient).await {
            Ok(ends) => ends,
            Err(outcome) => return outcome,
        };
        let Some(profiles) = &self.profiles else { return Outcome::Replaced(ends) };
        let id = attempt.id.to_string();
        match profiles.dispose(about(attempt, &id), ends, || Ok(attempt.content.clone())).await {
            Ok(ends) => Outcome::Replaced(ends),
            Err(refusal) => refused(refusal),
        }
    }
}

/// What is asked about a message: what was put off or parked as it was when it came, by its channel and on behalf of whoever sent it.
/// Messages of our own come by this channel.
fn about<'a>(attempt: &'a Attempt, id: &'a str) -> profiles::About<'a> {
    let source = attempt.source.as_str();
    profiles::About {
        id,
        channel: if SESSIONS.contains(&source) { source } else { ChannelName::REPROCESS },
        again: true,
        authenticated: attempt.authenticated.as_ref(),
        reverse_path: &attempt.reverse_path,
        replies: profiles::Replies::One,
    }
}

/// Where a recipient has led so far.
#[derive(Default)]
struct Way {
    seen: HashSet<String>,
    again: VecDeque<Accepted>,
    /// One for each copy, however many ways lead there.
    ends: Vec<Accepted>,
    copies: HashSet<(String, Route)>,
}

impl Way {
    /// Those for this channel again are resolved at once, each address only once: a circle ends.
    fn sort(&mut self, accepted: Accepted) {
        if accepted.route.channel.as_str() != ChannelName::REPROCESS || self.seen.len() >= ADDRESSES_MAX {
            self.end(accepted);
        } else if self.seen.insert(accepted.recipient.address.to_key()) {
            self.again.push_back(accepted);
        }
    }

    fn end(&mut self, accepted: Accepted) {
        if self.copies.insert(accepted.route.copy_key(&accepted.recipient.address)) {
            self.ends.push(accepted);
        }
    }
}

impl Channel for Reprocess {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                outcomes.push(self.replace(attempt, recipient).await);
            }
            outcomes
        })
    }
}

fn refused(refusal: Refusal) -> Outcome {
    let Refusal { reply, cause, .. } = refusal;
    if reply.persistence() == Persistence::Permanent {
        Outcome::Failed { reply, remote: None, cause }
    } else {
        Outcome::Deferred { reply, remote: None, cause, reach: Reach::Recipient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail_types::{
        AccountName, Address, EnhancedStatus, NextHop, QueueId, Reply, ReversePath, Timestamp, Transport,
    };
    use routing::ResolvedRecipient;
    use storage::LoadedContent;

    /// `a` to `b` twice, `c` and `e`, `b` to a mailbox, `c` and `d` around in a circle, `e` not now, `f` never.
    fn table(request: Request<'_>) -> Resolution {
        let local = |name: &str| {
            let address = Address::parse(&format!("{name}@us.test")).unwrap();
            let route = Route::store(AccountName::new(&address.to_string()).unwrap());
            ResolvedRecipient {
                address,
                detail: None,
                route,
                steps: Vec::new(),
                is_of_several: false,
                forwarders: Vec::new(),
                other_ways: Vec::new(),
            }
        };
        let again = |name: &str| ResolvedRecipient {
            route: Route::new(ChannelName::REPROCESS, NextHop::Nobody),
            ..local(name)
        };
        let refuse = |code, status| Resolution::Refused(Refusal::public(Reply::new(code, status, "no")));
        assert_eq!(request.source, "reprocess");
        match request.recipient.to_string().as_str() {
            "<a@us.test>" => Resolution::Accepted(vec![again("b"), again("c"), again("e"), local("b")]),
            "<b@us.test>" => Resolution::Accepted(vec![local("b")]),
            "<c@us.test>" => Resolution::Accepted(vec![again("d")]),
            "<d@us.test>" => Resolution::Accepted(vec![again("c"), again("d")]),
            "<e@us.test>" => refuse(450, EnhancedStatus::transient(2, 1)),
            _ => refuse(550, EnhancedStatus::permanent(1, 1)),
        }
    }

    fn attempt(names: &[&str]) -> Attempt {
        let recipient = |name: &&str| Recipient::new(Address::parse(&format!("{name}@us.test")).unwrap());
        Attempt {
            id: QueueId::from_u64(1),
            reverse_path: ReversePath::Null,
            transport: Transport::default(),
            recipients: names.iter().map(recipient).collect(),
            route: Route::new(ChannelName::REPROCESS, NextHop::Nobody),
            prefix: Bytes::new(),
            content: LoadedContent::Memory(Bytes::new()),
            source: String::new(),
            authenticated: None,
            arrived: Timestamp(0),
        }
    }

    async fn outcomes(names: &[&str]) -> Vec<Outcome> {
        let attempt = attempt(names);
        let channel = Reprocess::with(|request| Box::pin(std::future::ready(table(request))));
        channel.attempt(&attempt).await
    }

    #[tokio::test]
    async fn recipients_are_replaced_by_what_they_resolve_to() {
        let outcomes = outcomes(&["a"]).await;
        let Outcome::Replaced(by) = &outcomes[0] else { panic!("{outcomes:?}") };
        let shown: Vec<String> =
            by.iter().map(|one| format!("{} {}", one.recipient.address, one.route)).collect();
        assert_eq!(shown, ["b@us.test store:b@us.test", "e@us.test reprocess:-"]);
        assert_eq!(by[0].recipient.original.to_string(), "a@us.test");
    }

    #[test]
    fn plugins_are_asked_about_it_as_it_came() {
        let ann = AccountName::new("ann@us.test");
        for (source, authenticated, channel) in [
            ("submission", ann.clone(), "submission"),
            ("smtp", None, "smtp"),
            ("lmtp", None, "lmtp"),
            ("dsn", None, "reprocess"),
            ("", None, "reprocess"),
        ] {
            let attempt = Attempt { source: source.to_owned(), authenticated, ..attempt(&["a"]) };
            let about = about(&attempt, "1");
            assert_eq!((about.channel, about.again), (channel, true), "{source}");
            assert_eq!(about.authenticated, attempt.authenticated.as_ref());
        }
        assert!(ann.is_some());
    }

    #[tokio::test]
    async fn refusals_and_circles_have_their_outcomes() {
        let outcomes = outcomes(&["e", "f", "c"]).await;
        assert!(matches!(&outcomes[0], Outcome::Deferred { reply, .. } if reply.code == 450));
        assert!(matches!(&outcomes[1], Outcome::Failed { reply, .. } if reply.code == 550));
        assert!(matches!(&outcomes[2], Outcome::Failed { reply, .. } if reply.code == 554));
    }
}
