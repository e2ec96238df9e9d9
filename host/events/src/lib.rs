//! What happens in the server, as a closed list, and where it is told.
//!
//! *What:* [`Event`] names everything that is worth a line in the mail log; [`Events`] takes each
//! to the counters and the log (for people, or JSON by the line). *Why:* no code formats its own
//! log line, so that operators and their tools meet one vocabulary. *Layer 2.* *Must not know*
//! any protocol.
//!
//! Lines are written by a thread of their own; when it falls behind by [`LOG_LINES_MAX`] lines,
//! new ones are dropped and counted (`lines_dropped`), because mail must not wait for a log.

mod counters;
mod event;
mod fields;
mod format;
mod kinds;
mod log;
mod words;

pub use counters::{Counters, DELAY_BOUNDS, MailCounts};
pub use event::{Event, Level};
pub use format::Style;
pub use log::{Events, FLUSH_WAIT_MAX, LOG_LINES_MAX, LogOptions};
pub use words::{Outcome, Stage};
