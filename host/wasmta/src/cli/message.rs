//! `wasmta message`: the grammar, and what it asks.

use clap::{Args, Subcommand};
use jiff::civil;
use jiff::tz::TimeZone;
use mail_types::Timestamp;
use runtime::Clock;

use super::arguments::Format;
use crate::config;
use crate::control::{Past, Request};

#[derive(Debug, Subcommand)]
pub(crate) enum MessageCommand {
    /// What was decided for a message, and by which rule or directory entry.
    Trace {
        /// The queue id, as it stands in the Received field and in the reply to the sender.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// List messages of the past with their ids, the newest first: those that meet every condition given.
    ///
    /// As far back as trails are kept (`queue.trails-max`).
    #[command(after_help = "\
Examples:
  wasmta message list --recipient bert@example.org --since 2h
  wasmta message list --sender '*@partner.example' --since 2026-11-26 --until '2026-11-27 12:00'
  wasmta message list --message-id '<123@partner.example>'")]
    List {
        #[command(flatten)]
        sought: Sought,
        #[command(flatten)]
        format: Format,
    },
}

/// Which messages of the past.
#[derive(Debug, Args)]
pub(crate) struct Sought {
    /// Sent by this address; `*` in it stands for anything, `<>` for the sender of reports.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this recipient, as the sender wrote it or as it was decided; `*` in it stands for anything.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// With this Message-ID field.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Accepted then or later: a moment in UTC, as "2026-11-27" or "2026-11-27 12:00", or so long ago, as "2 h".
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Accepted before then.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
}

/// What a command asks, and whether in JSON.
pub(super) fn question(command: MessageCommand) -> (Request, bool) {
    match command {
        MessageCommand::Trace { id, format } => (Request::Trace { id }, format.json),
        MessageCommand::List { sought, format } => {
            let Sought { sender, recipient, message_id, since, until, limit } = sought;
            let [since, until] = [since, until].map(|at| at.map(|at| at.0));
            let past = Past { sender, recipient, message_id, since, until, limit };
            (Request::MessageList(past), format.json)
        }
    }
}

/// A moment, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    moment_at(text, Clock::system().now())
}

fn moment_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let utc = |at: civil::DateTime| at.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let parsed: Option<jiff::Timestamp> = text
        .parse()
        .ok()
        .or_else(|| text.parse::<civil::DateTime>().ok().and_then(|at| utc(at).ok()))
        .or_else(|| text.parse::<civil::Date>().ok().and_then(|at| utc(at.at(0, 0, 0, 0)).ok()));
    if let Some(at) = parsed.and_then(|at| u64::try_from(at.as_millisecond()).ok()) {
        return Ok(Timestamp(at));
    }
    let ago = config::parse_duration(text).map_err(|_| {
        "this is no moment: write it as \"2026-11-27\" or \"2026-11-27 12:00\" (UTC), or how long ago it was, as \"2 h\""
    })?;
    Ok(Timestamp(now.0.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, at) in [
            ("1970-01-02", 86_400_000),
            ("1970-01-01 01:00", 3_600_000),
            ("1970-01-01T01:00:05", 3_605_000),
            ("1970-01-01T01:00:00Z", 3_600_000),
            ("1970-01-01T01:00:00+01:00", 0),
        ] {
            assert_eq!(moment(text), Ok(Timestamp(at)), "{text}");
        }
        assert_eq!(moment_at("2 h", Timestamp(8_000_000)), Ok(Timestamp(800_000)));
        assert!(moment("yesterday").unwrap_err().contains("2 h"));
    }
}
