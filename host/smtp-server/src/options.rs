//! How one listener behaves. Plain values: a new set is taken by sessions that begin after it.

use std::time::Duration;

use smtp_wire::LineEndings;

use crate::networks::Networks;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mail from other hosts (RFC 5321).
    Smtp,
    /// Mail from users, who have to authenticate (RFC 6409).
    Submission,
    /// Mail from a queue that wants one answer for each recipient (RFC 2033).
    Lmtp,
}

impl Kind {
    /// The name that a message's source has, in rules and log.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
        }
    }
}

/// Where TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    None,
    /// With STARTTLS, if the client wants (RFC 3207).
    StartTls,
    /// With STARTTLS, before any mail.
    StartTlsRequired,
    /// With the first octet (RFC 8314 §3.3).
    Implicit,
}

/// What VRFY and EXPN tell (RFC 5321 §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyPolicy {
    /// Nothing: 252, whoever asks (RFC 5321 §7.3).
    #[default]
    Off,
    /// The truth, to authenticated clients and those that may relay.
    Authenticated,
    /// The truth, to everybody.
    Everybody,
}

/// The maxima and times of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest command line in octets, CRLF included.
    pub command_line_max: usize,
    /// Commands that bring no mail nearer, since the last message: beyond, 421.
    pub commands_without_mail_max: u32,
    /// Protocol errors in a session: beyond, 421.
    pub errors_max: u32,
    /// Failed authentications in a session: with the last, 421.
    pub auth_failures_max: u32,
    /// Recipients refused for good (5xx) in a session: beyond, 421 (address harvesting).
    pub refused_recipients_max: u32,
    /// Accepted RCPT commands in a transaction: beyond, 452 (RFC 5321 §4.5.3.1.10).
    pub recipients_max: usize,
    /// Octets of a message (RFC 1870).
    pub message_size_max: u64,
    /// Octets of a message's header.
    pub header_size_max: usize,
    /// Transactions in a session: beyond, 421.
    pub transactions_max: u32,
    /// For a whole command line to come (RFC 5321 §4.5.3.2.7), and for replies to be taken.
    pub command_timeout: Duration,
    /// For more content to come.
    pub content_idle_timeout: Duration,
    /// For a whole message to come.
    pub content_timeout: Duration,
    /// Octets per second that content must come with on average, after [`Limits::content_rate_grace`].
    pub content_rate_min: u64,
    /// How long content may come slower.
    pub content_rate_grace: Duration,
    /// For the rest of content that is refused already.
    pub refused_content_timeout: Duration,
    /// For a whole session: a message in transfer may still end.
    pub session_timeout: Duration,
    /// For the PROXY header.
    pub proxy_timeout: Duration,
    /// Received fields in a message: beyond, it loops (RFC 5321 §6.3).
    pub received_max: usize,
    /// Received fields by ourselves in a message: beyond, it loops.
    pub received_by_us_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line_max: smtp_wire::COMMAND_LINE_MAX,
            commands_without_mail_max: 100,
            errors_max: 20,
            auth_failures_max: 3,
            refused_recipients_max: 100,
            recipients_max: 1000,
            message_size_max: 50 << 20,
            header_size_max: 256 << 10,
            transactions_max: 100_000,
            command_timeout: Duration::from_secs(300),
            content_idle_timeout: Duration::from_secs(180),
            content_timeout: Duration::from_secs(3600),
            content_rate_min: 128,
            content_rate_grace: Duration::from_secs(60),
            refused_content_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(4 * 3600),
            proxy_timeout: Duration::from_secs(10),
            received_max: 50,
            received_by_us_max: 5,
        }
    }
}

/// One listener's behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The listener's name, for the log.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Our name: in greeting, EHLO reply and Received fields.
    pub host: String,
    /// Where TLS begins.
    pub tls: TlsMode,
    /// The maxima.
    pub limits: Limits,
    /// What becomes of a lone CR or LF.
    pub line_endings: LineEndings,
    /// What VRFY and EXPN tell.
    pub verify: VerifyPolicy,
    /// Whether an authenticated client's MAIL FROM has to be an address of its account.
    pub check_sender: bool,
    /// Whether Date and Message-ID are added to a submission that lacks them (RFC 6409 §8).
    pub add_fields: bool,
    /// Clients that may connect; `None`: all.
    pub allow_networks: Option<Networks>,
    /// Clients that may relay without authentication.
    pub relay_networks: Networks,
    /// Proxies: their connections begin with a PROXY header.
    pub proxy_networks: Networks,
    /// Front ends that may use XCLIENT.
    pub xclient_networks: Networks,
}

impl Options {
    /// The defaults for a listener.
    #[must_use]
    pub fn new(name: &str, kind: Kind, host: &str) -> Self {
        let tls = match kind {
            Kind::Smtp | Kind::Submission => TlsMode::StartTls,
            Kind::Lmtp => TlsMode::None,
        };
        Self {
            name: name.to_owned(),
            kind,
            host: host.to_owned(),
            tls,
            limits: Limits::default(),
            line_endings: LineEndings::Refuse,
            verify: VerifyPolicy::Off,
            check_sender: true,
            add_fields: kind == Kind::Submission,
            allow_networks: None,
            relay_networks: Networks::default(),
            proxy_networks: Networks::default(),
            xclient_networks: Networks::default(),
        }
    }
}
