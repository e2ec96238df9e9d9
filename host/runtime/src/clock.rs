//! What time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use mail_types::Timestamp;

/// The source of the present moment. Clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Simulated { start: Timestamp, origin: tokio::time::Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that reads `start` now and then follows tokio's time, paused or not.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self(Source::Simulated { start, origin: tokio::time::Instant::now() })
    }

    /// The present moment. A machine clock set before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(0).plus(since)
            }
            Source::Simulated { start, origin } => start.plus(origin.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_follows_the_paused_runtime() {
        let clock = Clock::simulated(Timestamp(5_000));
        assert_eq!(clock.now(), Timestamp(5_000));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.clone().now(), Timestamp(65_000));
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(Clock::system().now().as_seconds() > 1_577_836_800);
    }
}
