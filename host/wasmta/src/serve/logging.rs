//! Events on standard error, as the configuration has it.

use std::io;

use events::{Events, Level, LogOptions, Style};
use runtime::Clock;

use crate::config::{Log, LogFormat, LogLevel};

/// The events' options from `[log]`.
pub(crate) fn options(log: &Log) -> LogOptions {
    LogOptions {
        style: match log.format {
            LogFormat::Human => Style::Human,
            LogFormat::Json => Style::Json,
        },
        level: match log.level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warning,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
        },
    }
}

/// Events that are counted and logged.
pub(crate) fn to_standard_error(log: &Log) -> Result<Events, String> {
    Events::logging(Clock::system(), options(log), io::stderr())
        .map_err(|e| format!("the log cannot start: {e}"))
}

/// Events that are counted only: for commands.
pub(crate) fn counting() -> Events {
    Events::counting(Clock::system())
}
