//! The instance that serves the questions of one decision.

use std::sync::Arc;

use mail_types::Domain;
use tokio::sync::OwnedSemaphorePermit;

use crate::instance::Instance;
use crate::settings::Settings;

/// An instance that waits for the next question of the decision that it was made for, and its place among the calls of its
/// tenant: decisions that come back to a plugin hold no more of the pool than calls do.
pub(crate) struct Seat {
    pub(crate) instance: Box<Instance>,
    pub(crate) turn: OwnedSemaphorePermit,
}

impl Seat {
    /// Whether it is of this version and configuration of a plugin, for this tenant.
    pub(crate) fn is_of(&self, settings: &Arc<Settings>, tenant: Option<&Domain>) -> bool {
        let call = self.instance.store.data();
        // Each version that is brought up has settings of its own.
        Arc::ptr_eq(&call.settings, settings) && call.tenant.as_ref() == tenant
    }
}
