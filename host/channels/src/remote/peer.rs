//! One connection to a peer: from the greeting to the goodbye, without any message yet.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mail_types::{Reply, Timestamp};
use runtime::{Stream, TlsClient};
use smtp_wire::{Capabilities, Command, ReplyError, ReplyParser, encode_sasl};
use tokio::time::timeout;

use crate::remote::options::{Credentials, Dialect, RemoteOptions};

/// How long the goodbye may take.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The network, or the end of the stream.
    #[error("{0}: {1}")]
    Network(&'static str, io::Error),
    /// Nothing came in time.
    #[error("{0}: timed out")]
    Timeout(&'static str),
    /// What came is no reply.
    #[error("{0}: {1}")]
    Garbled(&'static str, ReplyError),
    /// A reply that ends the session: 421 (RFC 5321 §3.8), or a refusal where there is no way on.
    #[error("{0}: {1}")]
    Refused(&'static str, Reply),
    /// TLS is demanded and not to be had.
    #[error("TLS is required, but {0}")]
    NoTls(String),
    /// The handshake failed where clear text would do as well.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// We are to present ourselves, and cannot.
    #[error("authentication is configured, but {0}")]
    NoAuthentication(String),
    /// Our own content cannot be read now.
    #[error("the content cannot be read: {0}")]
    Unread(io::Error),
    /// Our own content is not fit to be sent.
    #[error("{0}")]
    Content(String),
}

/// What TLS to use on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Secrecy {
    /// None.
    Clear,
    /// Where offered; a failed handshake is reported, so that the caller can come again in clear.
    Try(TlsClient),
    /// Or nothing.
    Demand(TlsClient),
}

/// Whom we expect, and how we present ourselves.
#[derive(Debug)]
pub(crate) struct Introduction<'a> {
    /// The name that the certificate should have.
    pub(crate) host: &'a str,
    /// The peer, as logs and reports name it.
    pub(crate) remote: String,
    pub(crate) secrecy: Secrecy,
    pub(crate) credentials: Option<&'a Credentials>,
    pub(crate) now: Timestamp,
}

/// A connection on which messages can be sent.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: Stream,
    parser: ReplyParser,
    pub(crate) capabilities: Capabilities,
    /// `host[address]:port`, for logs and reports.
    pub(crate) remote: String,
    pub(crate) opened: Timestamp,
    pub(crate) messages: u32,
    /// The last transaction was not ended by its content: RSET is due.
    pub(crate) needs_reset: bool,
}

impl Peer {
    /// Greeting, hello, STARTTLS, hello again, AUTH.
    pub(crate) async fn greet(
        stream: Stream,
        introduction: Introduction<'_>,
        options: &RemoteOptions,
    ) -> Result<Self, PeerError> {
        let Introduction { host, remote, secrecy, credentials, now } = introduction;
        let mut peer = Self {
            stream,
            parser: ReplyParser::new(),
            capabilities: Capabilities::default(),
            remote,
            opened: now,
            messages: 0,
            needs_reset: false,
        };
        let greeting = peer.reply("greeting", options.timeouts.greeting).await?;
        if !greeting.is_success() {
            return Err(PeerError::Refused("greeting", greeting));
        }
        peer.hello(options).await?;
        peer = peer.secure(host, secrecy, options).await?;
        if let Some(credentials) = credentials {
            peer.authenticate(credentials, options.timeouts.command).await?;
        }
        Ok(peer)
    }

    /// EHLO, and HELO where the peer does not know it (RFC 5321 §3.2); LHLO has no older form.
    async fn hello(&mut self, options: &RemoteOptions) -> Result<(), PeerError> {
        let name = options.host_name.as_str();
        let (verb, command) = match options.dialect {
            Dialect::Smtp => ("EHLO", Command::Ehlo(name)),
            Dialect::Lmtp => ("LHLO", Command::Lhlo(name)),
        };
        let reply = self.ask(&command, verb, options.timeouts.command).await?;
        if reply.is_success() {
            self.capabilities = Capabilities::read(&reply);
            return Ok(());
        }
        self.capabilities = Capabilities::default();
        // 5xx but for a host that takes no mail at all (RFC 7504 §3).
        if options.dialect == Dialect::Lmtp || reply.code / 100 != 5 || reply.code == 521 {
            return Err(PeerError::Refused(verb, reply));
        }
        let reply = self.ask(&Command::Helo(name), "HELO", options.timeouts.command).await?;
        if reply.is_success() { Ok(()) } else { Err(PeerError::Refused("HELO", reply)) }
    }

    async fn secure(
        mut self,
        host: &str,
        secrecy: Secrecy,
        options: &RemoteOptions,
    ) -> Result<Self, PeerError> {
        let (client, demanded) = match secrecy {
            Secrecy::Clear => return Ok(self),
            Secrecy::Try(client) => (client, false),
            Secrecy::Demand(client) => (client, true),
        };
        if !self.capabilities.starttls {
            return if demanded { Err(PeerError::NoTls("it is not offered".into())) } else { Ok(self) };
        }
        let reply = self.ask(&Command::StartTls, "STARTTLS", options.timeouts.command).await?;
        if reply.code != 220 {
            return if demanded { Err(PeerError::NoTls(format!("STARTTLS got {reply}"))) } else { Ok(self) };
        }
        self.stream = match self.stream.connect_tls(&client, host).await {
            Ok(stream) => stream,
            Err(error) if demanded => return Err(PeerError::NoTls(error.to_string())),
            Err(error) => return Err(PeerError::Handshake(error)),
        };
        // RFC 3207 §4.2: what was said before is forgotten.
        self.parser = ReplyParser::new();
        self.hello(options).await?;
        Ok(self)
    }

    /// PLAIN (RFC 4616), else LOGIN, which some servers offer alone.
    async fn authenticate(&mut self, credentials: &Credentials, wait: Duration) -> Result<(), PeerError> {
        let problem = |text: &str| Err(PeerError::NoAuthentication(text.to_owned()));
        if self.stream.tls().is_none() && !credentials.allow_clear {
            return problem("the connection is not encrypted");
        }
        let offers = |name: &str| self.capabilities.auth.iter().any(|offered| offered == name);
        let reply = if offers("PLAIN") {
            let message = format!("\0{}\0{}", credentials.login, credentials.password);
            let initial = encode_sasl(message.as_bytes());
            let command = Command::Auth { mechanism: "PLAIN", initial: Some(&initial) };
            self.ask(&command, "AUTH", wait).await?
        } else if offers("LOGIN") {
            let command = Command::Auth { mechanism: "LOGIN", initial: None };
            let mut reply = self.ask(&command, "AUTH", wait).await?;
            for answer in [&credentials.login, &credentials.password] {
                if reply.code != 334 {
                    break;
                }
                self.stream.send(encode_sasl(answer.as_bytes()).as_bytes());
                self.stream.send(b"\r\n");
                self.flush("AUTH", wait).await?;
                reply = self.reply("AUTH", wait).await?;
            }
            reply
        } else {
            return problem("the server offers neither PLAIN nor LOGIN");
        };
        if reply.code == 235 { Ok(()) } else { problem(&format!("the server says {reply}")) }
    }

    /// One command and its reply.
    pub(crate) async fn ask(
        &mut self,
        command: &Command<'_>,
        verb: &'static str,
        wait: Duration,
    ) -> Result<Reply, PeerError> {
        command.encode(self.stream.sending());
        self.flush(verb, wait).await?;
        self.reply(verb, wait).await
    }

    /// Sends what was gathered.
    pub(crate) async fn flush(&mut self, what: &'static str, wait: Duration) -> Result<(), PeerError> {
        self.flush_with(&[], what, wait).await
    }

    /// Sends what was gathered, and these slices behind it.
    pub(crate) async fn flush_with(
        &mut self,
        slices: &[&[u8]],
        what: &'static str,
        wait: Duration,
    ) -> Result<(), PeerError> {
        match timeout(wait, self.stream.flush_with(slices)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PeerError::Network(what, error)),
            Err(_) => Err(PeerError::Timeout(what)),
        }
    }

    /// The next reply. 421 ends the session, whatever it answers.
    pub(crate) async fn reply(&mut self, what: &'static str, wait: Duration) -> Result<Reply, PeerError> {
        let reply = match self.parse(what)? {
            Some(reply) => reply,
            None => match timeout(wait, self.read_reply(what)).await {
                Ok(reply) => reply?,
                Err(_) => return Err(PeerError::Timeout(what)),
            },
        };
        if reply.code == 421 { Err(PeerError::Refused(what, reply)) } else { Ok(reply) }
    }

    async fn read_reply(&mut self, what: &'static str) -> Result<Reply, PeerError> {
        loop {
            match self.stream.fill().await {
                Ok(0) => return Err(PeerError::Network(what, io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(PeerError::Network(what, error)),
            }
            if let Some(reply) = self.parse(what)? {
                return Ok(reply);
            }
        }
    }

    fn parse(&mut self, what: &'static str) -> Result<Option<Reply>, PeerError> {
        if self.stream.buffered().is_empty() {
            return Ok(None);
        }
        let step =
            self.parser.parse(self.stream.buffered()).map_err(|error| PeerError::Garbled(what, error))?;
        self.stream.consume(step.consumed);
        Ok(step.reply)
    }

    /// Whether an unused connection is still good: the peer has neither closed it nor said anything.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.stream.buffered().is_empty()
            && matches!(pin!(self.stream.fill()).poll(&mut context), Poll::Pending)
    }

    /// QUIT, and a moment for its reply, so that the peer sees an orderly end (RFC 5321 §4.1.1.10).
    pub(crate) async fn quit(mut self) {
        let _ = self.ask(&Command::Quit, "QUIT", QUIT_TIMEOUT).await;
        self.stream.close().await;
    }
}
