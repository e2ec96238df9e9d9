//! The port to the source behind the directory: what the tables do not know may have come a second ago (R20).
//!
//! A decision notes what it missed. Where there is a source, it is asked once for each; if it has something, the tables
//! have it too by then, and the decision is made again. A source that does not answer makes of a refusal for good one for
//! now: a dead directory never bounces mail.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use directory::Dn;
use futures_util::future::join_all;
use mail_types::{Address, Lookup, Persistence, Refusal};

use crate::resolve::refusals;
use crate::routing::Routing;

/// Most addresses that one round of a decision asks the source about.
pub const ASKED_OF_SOURCE_MAX: usize = 16;
/// Entries that the source is asked about at a time.
const ASKED_AT_ONCE_MAX: usize = 16;
/// How long a decision waits for what it says of all members that are not here.
const MEMBERS_WITHIN: Duration = Duration::from_secs(5);
/// How often a decision is made again with what the source had: a forward may lead to the next miss.
pub const SOURCE_ROUNDS_MAX: usize = 4;

/// What a port gives that may take its time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the directory's entries come from, if from elsewhere.
pub trait Source: Send + Sync + 'static {
    /// Asks about an address that the tables do not have. `Found`: they have it now, or more about its domain.
    /// `NotFound`: the source has none either. `Unavailable`: that cannot be said.
    fn look_up<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Lookup<()>>;

    /// Asks about an entry that a group names and of which the tables have no row. `Found`: they have what there is of it now.
    /// `NotFound`: nobody has it. `Unavailable`: the tables lack entries that are there, and this may be one.
    fn look_up_entry<'a>(&'a self, dn: &'a Dn) -> BoxFuture<'a, Lookup<()>>;
}

/// What a decision looked for and the tables do not have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Missed {
    /// At most [`ASKED_OF_SOURCE_MAX`].
    pub(crate) addresses: Vec<Address>,
    /// Members that are named by their entries; no more than groups have.
    pub(crate) entries: BTreeSet<Dn>,
}

impl Missed {
    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.entries.is_empty()
    }
}

/// What asking came to.
pub(crate) enum Asked {
    /// The tables know more now.
    More,
    /// They know what there is.
    Nothing,
    /// That cannot be said.
    Unavailable(String),
    /// It cannot be said who the members of a group are.
    MembersUnknown(String),
}

impl Routing {
    /// Asks the source, if there is one, about what a decision missed.
    pub(crate) async fn ask_source(&self, missed: &Missed) -> Asked {
        let Some(source) = self.source() else { return Asked::Nothing };
        let mut asked = Asked::Nothing;
        for address in missed.addresses.iter().take(ASKED_OF_SOURCE_MAX) {
            match source.look_up(address).await {
                Lookup::Found(()) => asked = Asked::More,
                Lookup::NotFound => {}
                Lookup::Unavailable(why) if matches!(asked, Asked::Nothing) => {
                    asked = Asked::Unavailable(why)
                }
                Lookup::Unavailable(_) => {}
            }
        }
        match tokio::time::timeout(MEMBERS_WITHIN, ask_about_members(source, &missed.entries)).await {
            Ok(Lookup::Found(())) => Asked::More,
            Ok(Lookup::NotFound) => asked,
            Ok(Lookup::Unavailable(why)) => Asked::MembersUnknown(why),
            // What was answered by then is remembered.
            Err(_) => Asked::MembersUnknown("it takes longer than mail may wait for it".to_owned()),
        }
    }
}

/// `Found`: the source has some that the tables have now; `NotFound`: it has none.
async fn ask_about_members(source: &dyn Source, entries: &BTreeSet<Dn>) -> Lookup<()> {
    let (entries, mut asked): (Vec<&Dn>, _) = (entries.iter().collect(), Lookup::NotFound);
    for some in entries.chunks(ASKED_AT_ONCE_MAX) {
        for answer in join_all(some.iter().map(|dn| source.look_up_entry(dn))).await {
            match answer {
                Lookup::Found(()) => asked = Lookup::Found(()),
                Lookup::NotFound => {}
                unavailable @ Lookup::Unavailable(_) => return unavailable,
            }
        }
    }
    asked
}

/// A refusal for good, while the source cannot be asked, is one for now.
pub(crate) fn for_now(refusal: Refusal, why: &str) -> Refusal {
    if refusal.reply.persistence() == Persistence::Permanent {
        return refusals::source_unavailable(&refusal, why);
    }
    refusal
}

#[cfg(test)]
mod tests;
