//! How the queue behaves, as the operator sets it.

use std::collections::HashMap;
use std::time::Duration;

use mail_types::{EnhancedStatus, NextHop, Reply, Route, Timestamp};

/// The longest wait that is no retry: after a fault of our own.
pub(crate) const OTHER_WAITS_MAX: Duration = Duration::from_secs(600);

/// Limits of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelLimits {
    /// Attempts at once over the whole channel.
    pub concurrency: usize,
    /// Attempts at once to one next hop.
    pub per_destination: usize,
    /// Attempts a second to one next hop; none means no limit.
    pub rate_per_destination: Option<f64>,
    /// Recipients in one attempt.
    pub recipients_per_attempt: usize,
    /// The one next hop of the channel, whatever the recipients' domains are: a smart host. Its limits and its rest
    /// are the channel's then, and recipients of all domains share attempts.
    pub next_hop: Option<NextHop>,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self {
            concurrency: 100,
            per_destination: 20,
            rate_per_destination: None,
            recipients_per_attempt: 100,
            next_hop: None,
        }
    }
}

/// When a deferred recipient is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// After the first failure.
    pub first: Duration,
    /// Each next wait is this many times longer.
    pub factor: f64,
    /// But never longer than this.
    pub longest: Duration,
    /// Each wait is varied by up to this share of it, either way, so that retries spread (0 to 1).
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5 * 60),
            factor: 2.0,
            longest: Duration::from_secs(4 * 3600),
            jitter: 0.2,
        }
    }
}

impl Retry {
    /// The wait after so many attempts (one or more), before jitter.
    #[must_use]
    pub fn wait(&self, attempts: u32) -> Duration {
        let exponent = f64::from(attempts.saturating_sub(1).min(64));
        let seconds = self.first.as_secs_f64() * self.factor.powf(exponent);
        Duration::from_secs_f64(seconds.min(self.longest.as_secs_f64()).max(0.0))
    }
}

/// How the queue behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Our name in reports (Reporting-MTA, RFC 3464 §2.2.2).
    pub host_name: String,
    /// Messages that may wait; more are refused with 452.
    pub messages_max: usize,
    /// The schedule of retries.
    pub retry: Retry,
    /// A next hop that could not be reached is given a rest of this long, doubled each time up
    /// to [`Options::destination_rest_longest`].
    pub destination_rest: Duration,
    /// The longest rest: one attempt in so long finds out that a next hop is back, for all that wait for it.
    pub destination_rest_longest: Duration,
    /// After this long a sender is told once that a message is late (RFC 3461 §4.1 DELAY).
    pub delay_warning: Duration,
    /// After this long a message is given up (RFC 5321 §4.5.4.1 asks for 4-5 days at least).
    pub expire: Duration,
    /// After this long a message with a null reverse path is given up.
    pub expire_null: Duration,
    /// Limits by channel name; others have the default ones.
    pub channels: HashMap<String, ChannelLimits>,
    /// Most octets of a failed message that a report returns.
    pub returned_max: usize,
    /// How many messages' decision trails are kept.
    pub trails_max: u64,
    /// How long attempts may go on after a stop was asked for.
    pub drain: Duration,
    /// What becomes of mail for a mailbox that is full.
    pub over_quota: OverQuota,
}

/// What becomes of mail for a mailbox that is full (requirements §2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverQuota {
    /// Its senders are asked to come again, and copies that are here wait: so long, then they go back.
    Defer(Duration),
    /// It is refused, and copies that are here go back at once.
    Refuse,
}

impl OverQuota {
    /// What the sender is told, of a copy that is here for so long.
    #[must_use]
    pub fn reply(self, waited: Duration) -> Reply {
        match self {
            Self::Defer(grace) if waited < grace => {
                Reply::new(452, EnhancedStatus::transient(2, 2), "This mailbox is full, try again later")
            }
            _ => Reply::new(552, EnhancedStatus::permanent(2, 2), "This mailbox is full"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host_name: "localhost".into(),
            messages_max: 1_000_000,
            retry: Retry::default(),
            destination_rest: Duration::from_secs(60),
            destination_rest_longest: Duration::from_secs(15 * 60),
            delay_warning: Duration::from_secs(4 * 3600),
            expire: Duration::from_secs(5 * 24 * 3600),
            expire_null: Duration::from_secs(2 * 24 * 3600),
            channels: HashMap::new(),
            returned_max: 64 * 1024,
            trails_max: 200_000,
            drain: Duration::from_secs(10),
            over_quota: OverQuota::Defer(Duration::MAX),
        }
    }
}

impl Options {
    /// Whether a recipient is due. A time further away than any that is ever set was set by a clock that was put back since:
    /// what waits for it would stand still until that moment comes again.
    pub(crate) fn is_due(&self, due: Timestamp, now: Timestamp) -> bool {
        due <= now || due > self.latest_due(now)
    }

    /// The latest time that a recipient is given now.
    pub(crate) fn latest_due(&self, now: Timestamp) -> Timestamp {
        now.plus(self.retry.longest.mul_f64(1.0 + self.retry.jitter.clamp(0.0, 1.0)).max(OTHER_WAITS_MAX))
    }

    /// The route as the channel goes it: to the channel's own next hop, where it has one.
    #[must_use]
    pub(crate) fn as_gone(&self, mut route: Route) -> Route {
        let limits = self.channels.get(route.channel.as_str());
        if let Some(next_hop) = limits.and_then(|limits| limits.next_hop.as_ref()) {
            route.next_hop.clone_from(next_hop);
        }
        route
    }

    /// The limits of a channel.
    #[must_use]
    pub fn limits(&self, channel: &str) -> ChannelLimits {
        self.channels.get(channel).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest() {
        let retry = Retry {
            first: Duration::from_secs(60),
            factor: 2.0,
            longest: Duration::from_secs(300),
            jitter: 0.0,
        };
        let waits: Vec<u64> = (1..=5).map(|n| retry.wait(n).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 300, 300]);
        assert_eq!(retry.wait(u32::MAX).as_secs(), 300);
    }
}
