//! Answers of plugins that can depend on nothing but the question and the tables, remembered. Bounded in number; gone
//! with the version and configuration of the plugin that gave them, and out of use with the tables that they, and the
//! check of them, were made from.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hooks::{CallContext, RewriteRequest, RewriteVerdict};
use moka::sync::Cache;

/// The answers of one plugin, by a keyed hash of the question: 128 bits under keys drawn at the start, so that nobody
/// can make two questions meet.
pub(crate) struct Memo {
    answers: Cache<u128, Arc<RewriteVerdict>>,
    keys: (RandomState, RandomState),
}

impl Memo {
    pub(crate) fn new(entries_max: u64) -> Self {
        let keys = (RandomState::new(), RandomState::new());
        Self { answers: Cache::new(entries_max), keys }
    }

    /// Everything of a question that the plugin can see, but for the id, which it is not shown; and the generation of
    /// the tables ([`hooks::World::generation`]).
    fn key(&self, generation: u64, context: &CallContext, request: &RewriteRequest) -> u128 {
        let CallContext { tenant, channel, authenticated, id: _ } = context;
        let question = (generation, tenant, channel, authenticated, request);
        u128::from(self.keys.0.hash_one(question)) << 64 | u128::from(self.keys.1.hash_one(question))
    }

    pub(crate) fn recall(
        &self,
        generation: u64,
        context: &CallContext,
        request: &RewriteRequest,
    ) -> Option<RewriteVerdict> {
        let remembered = self.answers.get(&self.key(generation, context, request))?;
        Some(RewriteVerdict::clone(&remembered))
    }

    /// Keeps what was answered to a question that was put in a generation.
    pub(crate) fn remember(
        &self,
        generation: u64,
        context: &CallContext,
        request: &RewriteRequest,
        verdict: &RewriteVerdict,
    ) {
        self.answers.insert(self.key(generation, context, request), Arc::new(verdict.clone()));
    }
}
