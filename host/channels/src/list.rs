//! The channel `list`: sends a message to the members of a group that is more than its members are (R71).
//!
//! First the posting: a message of its own, with the list's reverse path and fields, and the stored content. Then its
//! members, a batch at a time, each batch with the place where the next one goes on: a crash between two batches leaves
//! the place, a crash within one nothing of it. The queue remembers who has a copy, so nobody is missed or served twice,
//! however groups overlap.

mod page;
mod posting;

use directory::{Directory, Search, Typed};
use mail_types::{
    AccountName, Address, ChannelName, Lookup, NextHop, Notify, Persistence, Recipient, Reply, ReversePath,
    Route, Transport,
};
use profiles::{About, Profiles, Replies};
use queue::{Accepted, Attempt, BoxFuture, Channel, LIST_SOURCE, Outcome, Outgoing, Reach, Step, StepKind};
use routing::{List, Routing};

use self::page::Page;
use crate::outcome::{deferred, failed};
use crate::reprocess::Reprocess;

/// Members of one batch.
const BATCH: usize = 10_000;

/// Sends to lists; clones are the same.
#[derive(Clone)]
pub struct Lists {
    routing: Routing,
    directory: Directory,
    profiles: Profiles,
    reprocess: Reprocess,
}

/// Where an expansion goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// After the member of this name.
    Members(String),
    /// Within the search of this number, after this address.
    Search(usize, String),
}

/// A batch.
#[derive(Debug, Default)]
struct Chunk {
    addresses: Vec<Address>,
    next: Option<Place>,
    notes: Vec<String>,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if let Some(after) = text.strip_prefix("members:") {
            return Some(Self::Members(after.to_owned()));
        }
        let (number, after) = text.strip_prefix("search:")?.split_once(':')?;
        Some(Self::Search(number.parse().ok()?, after.to_owned()))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Members(after) => write!(f, "members:{after}"),
            Self::Search(number, after) => write!(f, "search:{number}:{after}"),
        }
    }
}

impl Lists {
    /// Over the groups of the tables, and the directory that searches look through.
    #[must_use]
    pub fn new(routing: Routing, directory: Directory, profiles: Profiles) -> Self {
        let reprocess = Reprocess::new(routing.clone(), profiles.clone());
        Self { routing, directory, profiles, reprocess }
    }

    async fn one(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let (key, place) = match &attempt.route.next_hop {
            NextHop::Account(key) => (key, None),
            NextHop::Named { account, name } => match Place::parse(name) {
                Some(place) => (account, Some(place)),
                None => {
                    return failed(554, (3, 5), "The list cannot be expanded", "its place cannot be read");
                }
            },
            _ => return failed(554, (3, 5), "The list cannot be expanded", "the route names no list"),
        };
        let list = match self.routing.list(key) {
            Lookup::Found(list) => list,
            Lookup::NotFound if place.is_some() => {
                return discarded(format!("the list {key} is gone: its further members get no copy"));
            }
            Lookup::NotFound => {
                return failed(550, (1, 1), "The list does not exist any more", format!("no list {key}"));
            }
            Lookup::Unavailable(why) => return unavailable(why),
        };
        match place {
            None => self.post(attempt, recipient, key, &list),
            Some(place) => self.expand(attempt, recipient.notify, key, &list, place).await,
        }
    }

    /// The posting, with the first place in place of its members.
    fn post(&self, attempt: &Attempt, recipient: &Recipient, key: &AccountName, list: &List) -> Outcome {
        // As it was sent (RFC 1870 §5): our own fields are not the sender's.
        let size = attempt.content.len();
        if let Some(most) = list.settings.size_max
            && size > most
        {
            let text = format!("The message is larger than the {most} octets that the list takes");
            return failed(552, (2, 3), &text, format!("{size} octets for {} ({})", list.address, list.dn));
        }
        let posting = match posting::compose(attempt, list) {
            Ok(Some(posting)) => posting,
            Ok(None) => return discarded(format!("the message has been at {} before", list.address)),
            Err(error) => return unavailable(error.to_string()),
        };
        let reverse_path = match list.settings.errors_to.as_deref().map(Address::parse) {
            // Never a report about a report (RFC 5321 §4.5.5).
            Some(Ok(errors_to)) if !attempt.reverse_path.is_null() => ReversePath::Address(errors_to),
            _ => attempt.reverse_path.clone(),
        };
        // Where reports go to the sender still, it is told what it asked for; that the list has got it, it hears at once
        // (RFC 3461 §5.2.7.1, §6.2).
        let stays = reverse_path == attempt.reverse_path;
        let notify = if stays { recipient.notify.without_success() } else { Notify::Unspecified };
        let Transport { ret, envid, .. } = attempt.transport.clone();
        let transport = Transport {
            ret: ret.filter(|_| stays),
            envid: envid.filter(|_| stays),
            ..attempt.transport.clone()
        };
        let address = Recipient { notify, ..Recipient::new(recipient.address.clone()) };
        Outcome::Sent(Box::new(Outgoing {
            source: LIST_SOURCE,
            reverse_path,
            transport,
            recipients: vec![Accepted::new(address, route(key, &Place::Members(String::new())))],
            prefix: posting.prefix,
            content: posting.content,
            message_id: None,
            once: None,
        }))
    }

    /// A batch of members, and the place after them, all with the wishes for reports that the posting has.
    async fn expand(
        &self,
        attempt: &Attempt,
        notify: Notify,
        key: &AccountName,
        list: &List,
        place: Place,
    ) -> Outcome {
        let chunk = match self.chunk(key, list, place).await {
            Lookup::Found(chunk) => chunk,
            Lookup::NotFound => {
                return discarded(format!("the list {key} is gone: its further members get no copy"));
            }
            Lookup::Unavailable(why) => return unavailable(why),
        };
        let mut ends = Vec::with_capacity(chunk.addresses.len() + 1);
        for address in chunk.addresses {
            if address.to_key() == list.address.to_key() {
                continue;
            }
            let member = Recipient { original: list.address.clone(), notify, ..Recipient::new(address) };
            match self.reprocess.ends(attempt, &member).await {
                Ok(found) => ends.extend(found),
                Err(Outcome::Failed { reply, .. }) => ends.extend(left_out(list, member, reply)),
                // It gets attempts, and with them an outcome, of its own: others do not wait for it.
                Err(_) => {
                    ends.push(Accepted::new(member, Route::new(ChannelName::REPROCESS, NextHop::Nobody)))
                }
            }
        }
        let id = attempt.id.to_string();
        let about = About {
            id: &id,
            channel: ChannelName::LIST,
            again: false,
            authenticated: None,
            reverse_path: &attempt.reverse_path,
            replies: Replies::Each,
        };
        let disposed = self.profiles.dispose(about, ends, || Ok(attempt.content.clone())).await;
        let mut ends = match disposed {
            Ok(ends) => ends,
            Err(refusal) => return unavailable(refusal.cause),
        };
        for one in &mut ends {
            let is_passing = |reply: &Reply| reply.persistence() == Persistence::Transient;
            if one.refused.as_ref().is_some_and(is_passing) {
                one.refused = None;
                one.route = Route::new(ChannelName::REPROCESS, NextHop::Nobody);
            }
        }
        if let Some(next) = chunk.next {
            let rest = Recipient { notify, ..Recipient::new(list.address.clone()) };
            ends.push(Accepted {
                steps: steps(&list.dn, &chunk.notes),
                ..Accepted::new(rest, route(key, &next))
            });
        }
        if ends.is_empty() {
            return discarded(format!("{} has no further members", list.address));
        }
        Outcome::Replaced(ends)
    }

    async fn chunk(&self, key: &AccountName, list: &List, place: Place) -> Lookup<Chunk> {
        match place {
            Place::Members(after) => self.routing.members(key, &after, BATCH).await.map(|members| {
                let note = |name: String| format!("member {name} has no address; left out");
                let next = members.last.map(Place::Members);
                let next =
                    next.or_else(|| (!list.searches.is_empty()).then(|| Place::Search(0, String::new())));
                let notes = members.unaddressed.into_iter().take(20).map(note).collect();
                Chunk { addresses: members.addresses, next, notes }
            }),
            Place::Search(number, after) => self.search(list, number, &after),
        }
    }

    /// A batch of those whom a search finds, by address.
    fn search(&self, list: &List, number: usize, after: &str) -> Lookup<Chunk> {
        let mut chunk = Chunk::default();
        let following = number + 1;
        let rest = (following < list.searches.len()).then(|| Place::Search(following, String::new()));
        let search = match list.searches.get(number).map(|url| Search::parse(url)) {
            None => return Lookup::Found(chunk),
            // Its members wait until it is mended: nobody can say who they are.
            Some(Err(why)) => return Lookup::Unavailable(format!("memberURL of {}: {why}", list.dn)),
            Some(Ok(search)) => search,
        };
        let mut page = Page::new(after, BATCH);
        let schema = self.directory.schema();
        let searched = self.directory.search(&search, &mut |entry| {
            let address = match Typed::read(entry, schema) {
                Typed::User(user) => user.address.clone().or_else(|| user.alternates.first().cloned()),
                Typed::Group(group) => group.address,
                _ => None,
            };
            if let Some(address) = address {
                page.take(address);
            }
        });
        if let Err(error) = searched {
            return Lookup::Unavailable(error.to_string());
        }
        let (addresses, next) = page.finish();
        chunk.addresses = addresses;
        chunk.next = next.map(|last| Place::Search(number, last)).or(rest);
        Lookup::Found(chunk)
    }
}

impl Channel for Lists {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                outcomes.push(self.one(attempt, recipient).await);
            }
            outcomes
        })
    }
}

fn route(key: &AccountName, place: &Place) -> Route {
    Route::new(ChannelName::LIST, NextHop::Named { account: key.clone(), name: place.to_string() })
}

/// A member that can never be reached. Where the list has somebody for that, they are told; else it is left out: one bad
/// member does not silence a list, and is none of the sender's business.
fn left_out(list: &List, member: Recipient, reply: Reply) -> Option<Accepted> {
    list.settings.errors_to.as_ref()?;
    let route = Route::new(ChannelName::REPROCESS, NextHop::Nobody);
    Some(Accepted { refused: Some(reply), ..Accepted::new(member, route) })
}

fn steps(dn: &str, notes: &[String]) -> Vec<Step> {
    let step =
        |text: &String| Step { kind: StepKind::Group, text: text.clone(), origin: Some(dn.to_owned()) };
    notes.iter().map(step).collect()
}

fn discarded(rule: String) -> Outcome {
    Outcome::Discarded { rule }
}

fn unavailable(why: String) -> Outcome {
    deferred((3, 0), "The list cannot be expanded now", why, Reach::Recipient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back() {
        for place in [
            Place::Members(String::new()),
            Place::Members("uid=a:b,o=x".to_owned()),
            Place::Search(3, "a@b:c".to_owned()),
        ] {
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
        assert_eq!(Place::parse("elsewhere"), None);
    }
}
