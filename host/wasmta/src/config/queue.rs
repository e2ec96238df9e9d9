//! `[queue]`: how long mail is tried, and what becomes of what cannot be delivered.

use std::time::Duration;

use queue::OverQuota;

use super::duration_text;
use super::section::Section;
use super::server::secs;

/// `[queue]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Wait before the second attempt; each further wait is twice as long.
    pub retry_first: Duration,
    /// Longest wait between attempts.
    pub retry_longest: Duration,
    /// How long we try (RFC 5321 §4.5.4.1 says: at least 4–5 days).
    pub expire_after: Duration,
    /// How long we try to hand over a report, whose reverse path is null.
    pub expire_reports_after: Duration,
    /// When the sender is told of a delay, once; zero: never.
    pub warn_after: Duration,
    /// How long a destination that could not be reached is left alone, doubled each time.
    pub destination_rest: Duration,
    /// The longest that one is left alone.
    pub destination_rest_longest: Duration,
    /// Messages that may wait; more are refused for the time being (452).
    pub messages_max: usize,
    /// Octets of a failed message that a report returns.
    pub returned_max: usize,
    /// Messages whose decision trails are kept.
    pub trails_max: u64,
    /// What becomes of mail for a mailbox that is full.
    pub over_quota: OverQuota,
}

/// Words for what becomes of mail for a full mailbox; the time of `defer` is a key of its own.
const OVER_QUOTA: [(&str, bool); 2] = [("defer", true), ("refuse", false)];

fn over_quota(s: &mut Section<'_>) -> OverQuota {
    let grace = s.duration("over-quota-grace", secs(5 * 86_400), secs(0)..=secs(100 * 86_400));
    if s.choice("over-quota", true, &OVER_QUOTA) { OverQuota::Defer(grace) } else { OverQuota::Refuse }
}

impl Queue {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let day = 86_400;
        let queue = Self {
            retry_first: s.duration("retry-first", secs(300), Duration::from_millis(1)..=secs(day)),
            retry_longest: s.duration(
                "retry-longest",
                secs(4 * 3600),
                Duration::from_millis(1)..=secs(7 * day),
            ),
            expire_after: s.duration("expire-after", secs(5 * day), secs(0)..=secs(100 * day)),
            expire_reports_after: s.duration(
                "expire-reports-after",
                secs(2 * day),
                secs(0)..=secs(100 * day),
            ),
            warn_after: s.duration("warn-after", secs(4 * 3600), secs(0)..=secs(100 * day)),
            destination_rest: s.duration("destination-rest", secs(60), secs(0)..=secs(day)),
            destination_rest_longest: s.duration("destination-rest-longest", secs(900), secs(0)..=secs(day)),
            messages_max: s.count("messages-max", 1_000_000, 1..=1_000_000_000),
            returned_max: usize::try_from(s.size("returned-max", 64 << 10, 0..=64 << 20)).unwrap_or(1 << 16),
            trails_max: s.number("trails-max", 200_000, 0..=1_000_000_000),
            over_quota: over_quota(&mut s),
        };
        if queue.retry_first > queue.retry_longest {
            s.fault(
                "retry-first",
                "is longer than retry-longest",
                "the waits grow from the first to the longest",
            );
        }
        for (key, limit) in
            [("warn-after", queue.warn_after), ("expire-reports-after", queue.expire_reports_after)]
        {
            if limit > queue.expire_after {
                // Where the one is a default, the operator wrote the other.
                let at = if s.has(key) { key } else { "expire-after" };
                let what =
                    format!("{key} ({}) comes after expire-after, when all is over", duration_text(limit));
                s.fault(at, what, format!("make {key} shorter than expire-after"));
            }
        }
        s.close();
        queue
    }
}
