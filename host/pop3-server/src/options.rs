//! What a listener's sessions are told.

use std::time::Duration;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client says STLS (RFC 2595 §4).
    StartTls,
    /// Before the first word (RFC 8314 §3.1).
    Implicit,
}

/// What one listener's sessions may and must.
#[derive(Debug, Clone)]
pub struct Options {
    /// The listener's name, in events.
    pub name: String,
    /// Our host name, for the greeting.
    pub host: String,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Silence before a session is closed, logged in. RFC 1939 §3 wants 10 minutes at least.
    pub idle_timeout: Duration,
    /// Silence before a session is closed, not logged in.
    pub login_timeout: Duration,
    /// How long a client may take to read what it asked for, for each piece.
    pub write_timeout: Duration,
    /// Whether clients that have not said UTF8 get surrogates of headers with UTF-8 (RFC 6858), or these as they are.
    pub surrogates: bool,
    /// Refused commands before the session is closed.
    pub errors_max: u32,
    /// Failed log-ins before the session is closed.
    pub failures_max: u32,
    /// How long after a log-in the next one of the same account is refused (RFC 2449 §6.5); zero: not at all.
    pub login_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "pop3".to_owned(),
            host: "localhost".to_owned(),
            tls: TlsMode::StartTls,
            idle_timeout: Duration::from_secs(600),
            login_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(180),
            surrogates: true,
            errors_max: 20,
            failures_max: 5,
            login_delay: Duration::ZERO,
        }
    }
}
