//! How fast content has to come: against clients that hold a session by a trickle.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::Limits;

/// The clock of one message's content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    began: Instant,
    idle: Duration,
    refused_idle: Duration,
    whole: Duration,
    rate_min: u64,
    grace: Duration,
}

impl Pace {
    /// Starts now.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            began: Instant::now(),
            idle: limits.content_idle_timeout,
            refused_idle: limits.refused_content_timeout,
            whole: limits.content_timeout,
            rate_min: limits.content_rate_min,
            grace: limits.content_rate_grace,
        }
    }

    /// Until when the next octets have to come. Content that is refused anyway gets little time.
    pub(crate) fn deadline(&self, refused: bool) -> Instant {
        let idle = if refused { self.refused_idle } else { self.idle };
        (Instant::now() + idle).min(self.began + self.whole)
    }

    /// Whether so many octets are too few by now.
    pub(crate) fn is_too_slow(&self, octets: u64) -> bool {
        let elapsed = self.began.elapsed();
        elapsed > self.grace && octets < self.rate_min.saturating_mul(elapsed.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_too_slow_after_the_grace() {
        let limits =
            Limits { content_rate_min: 10, content_rate_grace: Duration::from_secs(60), ..Limits::default() };
        let pace = Pace::new(&limits);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!pace.is_too_slow(0));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pace.is_too_slow(609));
        assert!(!pace.is_too_slow(610));
    }
}
