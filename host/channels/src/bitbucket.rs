//! The channel that discards, where a rule says so.

use queue::{Attempt, BoxFuture, Channel, Outcome};

/// Discards every recipient; the rule that routed here stands in the decision trail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bitbucket;

impl Channel for Bitbucket {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        let discarded = Outcome::Discarded { rule: format!("route {}", attempt.route) };
        Box::pin(std::future::ready(vec![discarded; attempt.recipients.len()]))
    }
}
