//! Everything that works over a data directory, built once and shared: for the server, and for
//! commands that read the same directory while no server runs.

use std::path::Path;

use events::Events;
use runtime::{Clock, Random};

use crate::config::Config;

/// The parts, wired.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Where everything is told.
    pub events: Events,
}

impl Parts {
    /// Opens everything below a data directory whose lock the caller holds.
    pub async fn open(config: &Config, data: &Path, events: Events) -> Result<Self, String> {
        let _ = (config, data);
        Ok(Self { clock: Clock::system(), random: Random::system(), events })
    }
}
