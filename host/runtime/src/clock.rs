//! What time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mail_types::Timestamp;

/// The source of the present moment. Clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { origin: Instant },
    Simulated { start: Arc<AtomicU64>, origin: tokio::time::Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System { origin: Instant::now() })
    }

    /// A clock that reads `start` now and then follows tokio's time, paused or not.
    #[must_use]
    pub fn simulated(start: Timestamp) -> Self {
        Self(Source::Simulated { start: Arc::new(start.0.into()), origin: tokio::time::Instant::now() })
    }

    /// The present moment. A machine clock set before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(0).plus(since)
            }
            Source::Simulated { start, origin } => {
                Timestamp(start.load(Ordering::Relaxed)).plus(origin.elapsed())
            }
        }
    }

    /// How long this clock runs: never back, and never by leaps, whatever the machine's clock is set to.
    #[must_use]
    pub fn steady(&self) -> Duration {
        match &self.0 {
            Source::System { origin } => origin.elapsed(),
            Source::Simulated { origin, .. } => origin.elapsed(),
        }
    }

    /// Sets a simulated clock to another moment, as an operator sets the machine's; that one is left alone.
    pub fn set(&self, now: Timestamp) {
        if let Source::Simulated { start, origin } = &self.0 {
            let run = u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX);
            start.store(now.0.saturating_sub(run), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_follows_the_paused_runtime() {
        let clock = Clock::simulated(Timestamp(5_000));
        assert_eq!(clock.now(), Timestamp(5_000));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.clone().now(), Timestamp(65_000));
        clock.set(Timestamp(61_000));
        assert_eq!((clock.clone().now(), clock.steady()), (Timestamp(61_000), Duration::from_secs(60)));
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(Clock::system().now().as_seconds() > 1_577_836_800);
    }
}
