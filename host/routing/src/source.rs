//! The port to the source behind the directory: what the tables do not know may have come a second ago (R20).
//!
//! A decision notes what it missed. Where there is a source, it is asked once for each; if it has something, the tables
//! have it too by then, and the decision is made again. A source that does not answer makes of a refusal for good one for
//! now: a dead directory never bounces mail.

use std::pin::Pin;

use directory::Dn;
use mail_types::{Address, Lookup, Persistence, Refusal};

use crate::resolve::refusals;
use crate::routing::Routing;

/// Most addresses and entries that one round of a decision asks the source about.
pub const ASKED_OF_SOURCE_MAX: usize = 16;
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
    fn look_up_entry<'a>(&'a self, dn: &'a Dn) -> BoxFuture<'a, Lookup<()>>;
}

/// What a decision looked for and the tables do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missed {
    Address(Address),
    /// A member that is named by its entry.
    Entry(Dn),
}

/// What asking came to.
pub(crate) enum Asked {
    /// The tables know more now.
    More,
    /// They know what there is.
    Nothing,
    /// That cannot be said.
    Unavailable(String),
}

impl Routing {
    /// Asks the source, if there is one, about what a decision missed.
    pub(crate) async fn ask_source(&self, missed: &[Missed]) -> Asked {
        let Some(source) = self.source() else { return Asked::Nothing };
        let mut asked = Asked::Nothing;
        for one in missed.iter().take(ASKED_OF_SOURCE_MAX) {
            let answer = match one {
                Missed::Address(address) => source.look_up(address).await,
                Missed::Entry(dn) => source.look_up_entry(dn).await,
            };
            match answer {
                Lookup::Found(()) => asked = Asked::More,
                Lookup::NotFound => {}
                Lookup::Unavailable(why) if matches!(asked, Asked::Nothing) => {
                    asked = Asked::Unavailable(why)
                }
                Lookup::Unavailable(_) => {}
            }
        }
        asked
    }
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
