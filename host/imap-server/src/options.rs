//! What an operator may set.

use std::time::Duration;

use imap_wire::Limits;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client says STARTTLS.
    StartTls,
    /// Before the first word (RFC 8314 §3.2).
    Implicit,
}

/// The settings of IMAP sessions. A session keeps those that it began with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The listener's name, in events.
    pub name: String,
    /// Our host name, in the greeting.
    pub host: String,
    /// How users reach who runs the server, as a URI (RFC 5464 §6.2.2).
    pub admin: Option<String>,
    /// When TLS begins.
    pub tls: TlsMode,
    /// Largest message of APPEND, in octets.
    pub message_octets_max: u64,
    /// Octets of one command's lines, after login.
    pub line_octets_max: usize,
    /// Octets of one command's literals, after login; the message of APPEND is not counted.
    pub literal_octets_max: u64,
    /// Announces `LITERAL-` in place of `LITERAL+` (RFC 7888 §5).
    pub literal_minus: bool,
    /// Whether clients that have not asked for UTF-8 get surrogates of headers with it (RFC 6858), or these as they are.
    pub surrogates: bool,
    /// Commands answered with BAD, in a row, before the session ends.
    pub bad_commands_max: u32,
    /// Failed logins before the session ends.
    pub login_failures_max: u32,
    /// What each failed login waits, times the failures so far.
    pub login_delay: Duration,
    /// How long an authenticated client may be silent: at least 30 minutes (RFC 3501 §5.4).
    pub inactivity_max: Duration,
    /// How long a client may be silent before it has logged in.
    pub inactivity_before_login_max: Duration,
    /// How long a client may be silent within a command.
    pub command_pause_max: Duration,
    /// How long a client may take none of what we send.
    pub write_pause_max: Duration,
    /// Sessions of one account at a time.
    pub sessions_per_account_max: usize,
}

/// Lines and literals before login: a name and a password, or the largest ID (RFC 2971 §3.3: 30 pairs of 30 and 1,024
/// octets).
const LINE_OCTETS_BEFORE_LOGIN_MAX: usize = 34 * 1024;
const LITERAL_OCTETS_BEFORE_LOGIN_MAX: u64 = 4 * 1024;

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "imap".to_owned(),
            host: "localhost".to_owned(),
            admin: None,
            tls: TlsMode::StartTls,
            message_octets_max: 50 * 1024 * 1024,
            line_octets_max: Limits::default().line_octets,
            literal_octets_max: Limits::default().literal_octets,
            literal_minus: false,
            surrogates: true,
            bad_commands_max: 10,
            login_failures_max: 3,
            login_delay: Duration::from_secs(1),
            inactivity_max: Duration::from_secs(30 * 60),
            inactivity_before_login_max: Duration::from_secs(60),
            command_pause_max: Duration::from_secs(5 * 60),
            write_pause_max: Duration::from_secs(5 * 60),
            sessions_per_account_max: 50,
        }
    }
}

impl Options {
    /// The maxima of one command.
    pub(crate) fn limits(&self, authenticated: bool) -> Limits {
        let mut limits = Limits { append_octets: self.message_octets_max, ..Limits::default() };
        if self.literal_minus {
            limits.non_synchronizing_octets = Limits::LITERAL_MINUS_OCTETS;
        }
        if authenticated {
            limits.line_octets = self.line_octets_max;
            limits.literal_octets = self.literal_octets_max;
        } else {
            limits.line_octets = LINE_OCTETS_BEFORE_LOGIN_MAX;
            limits.literal_octets = LITERAL_OCTETS_BEFORE_LOGIN_MAX;
            // No APPEND comes before login: no message may be announced.
            limits.append_octets = LITERAL_OCTETS_BEFORE_LOGIN_MAX;
        }
        limits
    }
}
