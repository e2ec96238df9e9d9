//! A connection to another IMAP server: read only, one command at a time (RFC 3501 §5.5).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use imap_wire::{Line, next_line};
use runtime::{Stream, TlsClient, connect_host};
use storage::{Content, ContentWriter, StorageError};

use crate::imap_response::{Condition, Response, Value, announces_message, literal_at_end, quote};
use crate::sign_in::Credentials;

/// How long the connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may be silent: some look through a large mailbox before they say a word.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// Longest line, in octets.
const LINE_MAX: usize = 64 * 1024;
/// Longest response, the literal of a message apart, in octets.
const RESPONSE_MAX: usize = 256 * 1024;
/// Most responses to one command: what is asked for at a time is told in fewer.
const RESPONSES_MAX: usize = 1_000_000;
/// Most capabilities of a server that are kept.
const CAPABILITIES_MAX: usize = 1_000;

/// Another server, and how to get in there.
#[derive(Clone)]
pub struct ImapServer {
    /// Its name; its certificate must be for it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes first; else it is begun by STARTTLS.
    pub implicit_tls: bool,
    /// The authorities that are trusted, in PEM, instead of those of the machine.
    pub trust: Option<PathBuf>,
    /// Whether the password may go over the network in clear, where the server offers no TLS. Between programs of one machine
    /// it may always.
    pub clear: bool,
    /// Login of whose mail it is.
    pub user: String,
    /// What shows that it may be read.
    pub credentials: Credentials,
}

impl ImapServer {
    /// Where it is, for words.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Why the server did not do what was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The connection is gone: another one may do.
    Gone(String),
    /// It said NO or BAD.
    No(String),
    /// It will not do, however often it is tried.
    Never(String),
    /// Storage did not take a message.
    Storage(StorageError),
}

/// A part of a command.
pub(crate) enum Part<'p> {
    /// As it stands.
    Word(&'p str),
    /// A string, in quotes or as a literal.
    Text(&'p [u8]),
}

/// A response, with the message that came in it as a literal.
pub(crate) struct Whole {
    pub(crate) response: Response,
    pub(crate) message: Option<Result<Content, StorageError>>,
}

/// A session.
pub(crate) struct ImapClient {
    stream: Stream,
    tags: u64,
    capabilities: Vec<String>,
    /// Names and headers are UTF-8 from here on (RFC 6855 §3); `None` where that was not asked yet.
    utf8: Option<bool>,
}

impl ImapClient {
    /// Connects, begins TLS and logs in.
    pub(crate) async fn enter(server: &ImapServer) -> Result<Self, Refusal> {
        let connected = connect_host(&server.host, server.port, CONNECT_TIMEOUT).await;
        let (mut stream, address) =
            connected.map_err(|e| Refusal::Gone(format!("cannot be reached: {e}")))?;
        if server.implicit_tls {
            stream = encrypted(stream, server).await?;
        }
        let mut client = Self { stream, tags: 0, capabilities: Vec::new(), utf8: None };
        let greeting = client.read(&mut no_message).await?.response;
        match &greeting {
            Response::Status { tag: None, condition: Condition::Ok, .. } => {}
            Response::Status { condition: Condition::PreAuth, .. } => {
                return Err(Refusal::Never(
                    "is open without login (PREAUTH), for whom is not known".to_owned(),
                ));
            }
            other => return Err(Refusal::Gone(format!("does not greet: {other:?}"))),
        }
        client.ask_capabilities().await?;
        if !server.implicit_tls {
            client = client.start_tls(server, address.ip()).await?;
        }
        client.sign_in(server).await?;
        client.ask_capabilities().await?;
        Ok(client)
    }

    /// Begins TLS, or finds out that it may do without.
    async fn start_tls(mut self, server: &ImapServer, address: IpAddr) -> Result<Self, Refusal> {
        if !self.can("STARTTLS") {
            if address.is_loopback() || server.clear {
                return Ok(self);
            }
            return Err(Refusal::Never(
                "offers no STARTTLS, and the password would go over the network in clear: use imaps://, or say \
                 --clear where the way there is safe"
                    .to_owned(),
            ));
        }
        self.command(&[Part::Word("STARTTLS")], &mut no_message, &mut |_| {}).await?;
        // What was said before is void (RFC 3501 §6.2.1).
        let stream = encrypted(self.stream, server).await?;
        let mut client = Self { stream, tags: self.tags, capabilities: Vec::new(), utf8: None };
        client.ask_capabilities().await?;
        Ok(client)
    }

    async fn ask_capabilities(&mut self) -> Result<(), Refusal> {
        let mut found = Vec::new();
        let mut take = |whole: Whole| {
            found.extend(whole.response.capabilities().unwrap_or_default());
            found.truncate(CAPABILITIES_MAX);
        };
        self.command(&[Part::Word("CAPABILITY")], &mut no_message, &mut take).await?;
        self.capabilities = found;
        Ok(())
    }

    /// Asks for messages as they are: without that, a server may send surrogates of headers with UTF-8 (RFC 6855 §7). Whether
    /// it does so; names are UTF-8 then. To be asked before a mailbox is opened (RFC 5161 §3.1).
    pub(crate) async fn enable_utf8(&mut self) -> Result<bool, Refusal> {
        if let Some(known) = self.utf8 {
            return Ok(known);
        }
        let mut enabled = false;
        if self.can("ENABLE") && self.can("UTF8=ACCEPT") {
            let is_it =
                |value: &Value| value.text().is_some_and(|text| text.eq_ignore_ascii_case("UTF8=ACCEPT"));
            let mut take = |whole: Whole| {
                enabled |= whole.response.data("ENABLED").is_some_and(|all| all.iter().any(is_it))
            };
            match self.command(&[Part::Word("ENABLE UTF8=ACCEPT")], &mut no_message, &mut take).await {
                Ok(()) | Err(Refusal::No(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.utf8 = Some(enabled);
        Ok(enabled)
    }

    /// Whether the server has a capability.
    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// Sends a command and reads up to its end. `content` makes room for a message; `take` gets every other response.
    pub(crate) async fn command(
        &mut self,
        parts: &[Part<'_>],
        content: &mut (dyn FnMut() -> Option<ContentWriter> + Send),
        take: &mut (dyn FnMut(Whole) + Send),
    ) -> Result<(), Refusal> {
        self.tags += 1;
        let own = format!("w{}", self.tags);
        self.stream.send(format!("{own} ").as_bytes());
        for part in parts {
            match part {
                Part::Word(word) => self.stream.send(word.as_bytes()),
                Part::Text(octets) if octets.iter().all(|octet| matches!(octet, 0x20..=0x7e)) => {
                    let mut quoted = Vec::with_capacity(octets.len() + 2);
                    quote(&mut quoted, octets);
                    self.stream.send(&quoted);
                }
                Part::Text(octets) => {
                    self.stream.send(format!("{{{}}}\r\n", octets.len()).as_bytes());
                    self.send().await?;
                    match self.until_end(&own, true, content, take).await? {
                        Response::Continue => self.stream.send(octets),
                        ended => return judged(ended),
                    }
                }
            }
        }
        self.stream.send(b"\r\n");
        self.send().await?;
        judged(self.until_end(&own, false, content, take).await?)
    }

    /// Sends a command, and an answer to each challenge of the server, in their order.
    pub(crate) async fn converse(&mut self, command: &str, answers: Vec<String>) -> Result<(), Refusal> {
        self.tags += 1;
        let own = format!("w{}", self.tags);
        self.stream.send(format!("{own} {command}\r\n").as_bytes());
        let mut answers = answers.into_iter();
        loop {
            self.send().await?;
            match self.until_end(&own, true, &mut no_message, &mut |_| {}).await? {
                Response::Continue => match answers.next() {
                    Some(answer) => self.stream.send(format!("{answer}\r\n").as_bytes()),
                    None => return Err(Refusal::Never("asks without end".to_owned())),
                },
                ended => return judged(ended),
            }
        }
    }

    /// Reads up to the response with a tag, or to a continuation where one is waited for.
    async fn until_end(
        &mut self,
        own: &str,
        continuation: bool,
        content: &mut (dyn FnMut() -> Option<ContentWriter> + Send),
        take: &mut (dyn FnMut(Whole) + Send),
    ) -> Result<Response, Refusal> {
        for _ in 0..RESPONSES_MAX {
            let whole = self.read(content).await?;
            match &whole.response {
                Response::Status { tag: Some(tag), .. } if tag == own => return Ok(whole.response),
                Response::Status { tag: Some(tag), .. } => {
                    return Err(Refusal::Gone(format!("answers {tag}, which was not asked")));
                }
                Response::Status { condition: Condition::Bye, words, .. } => {
                    return Err(Refusal::Gone(format!("says goodbye: {words}")));
                }
                Response::Continue if continuation => return Ok(whole.response),
                _ => take(whole),
            }
        }
        Err(Refusal::Never(format!("sends more than {RESPONSES_MAX} responses to one command")))
    }

    /// One response with its literals.
    async fn read(
        &mut self,
        content: &mut (dyn FnMut() -> Option<ContentWriter> + Send),
    ) -> Result<Whole, Refusal> {
        let (mut text, mut message) = (Vec::new(), None);
        loop {
            let start = text.len();
            self.line(&mut text).await?;
            let Some((open, octets)) = literal_at_end(&text[start..]) else { break };
            text.truncate(start + open);
            let writer = if announces_message(&text) { content() } else { None };
            if let Some(writer) = writer {
                message = Some(self.message(writer, octets).await?);
                text.extend_from_slice(b"\"\"");
            } else {
                let octets = self.literal(octets).await?;
                quote(&mut text, &octets);
            }
            if text.len() > RESPONSE_MAX {
                return Err(Refusal::Never(format!("sends a response of more than {RESPONSE_MAX} octets")));
            }
        }
        let response = Response::parse(&text).ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(&text).chars().take(100).collect();
            Refusal::Never(format!("says what is not understood: {shown:?}"))
        })?;
        Ok(Whole { response, message })
    }

    /// Appends the next line, without its end.
    async fn line(&mut self, text: &mut Vec<u8>) -> Result<(), Refusal> {
        loop {
            let taken = match next_line(self.stream.buffered(), LINE_MAX) {
                Line::Whole(line, taken) => {
                    text.extend_from_slice(line);
                    taken
                }
                Line::NeedMore => 0,
                Line::TooLong => {
                    return Err(Refusal::Never(format!("sends a line of more than {LINE_MAX} octets")));
                }
            };
            if taken > 0 {
                self.stream.consume(taken);
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// A short literal.
    async fn literal(&mut self, octets: u64) -> Result<Vec<u8>, Refusal> {
        let octets = usize::try_from(octets).ok().filter(|octets| *octets <= RESPONSE_MAX);
        let octets =
            octets.ok_or_else(|| Refusal::Never("sends a long literal that is no message".to_owned()))?;
        let mut literal = Vec::with_capacity(octets);
        while literal.len() < octets {
            self.some(octets - literal.len(), &mut |piece| literal.extend_from_slice(piece)).await?;
        }
        Ok(literal)
    }

    /// A message. One that storage does not take is read to its end all the same, so that the session stays in step.
    async fn message(
        &mut self,
        mut writer: ContentWriter,
        octets: u64,
    ) -> Result<Result<Content, StorageError>, Refusal> {
        let mut left = octets;
        let mut failed = None;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let mut pushed = Ok(());
            let taken = self
                .some(most, &mut |piece| {
                    if failed.is_none() {
                        pushed = writer.push(piece);
                    }
                })
                .await?;
            left -= taken as u64;
            if let Err(error) = pushed {
                failed = Some(error);
            } else if failed.is_none() && writer.must_spill() {
                failed = writer.spill().await.err();
            }
        }
        match failed {
            Some(error @ StorageError::TooLarge(_)) => Ok(Err(error)),
            Some(error) => Err(Refusal::Storage(error)),
            None => writer.finish().await.map(Ok).map_err(Refusal::Storage),
        }
    }

    /// Takes at most so many octets that are there or come next; how many.
    async fn some(&mut self, most: usize, take: &mut (dyn FnMut(&[u8]) + Send)) -> Result<usize, Refusal> {
        if self.stream.buffered().is_empty() {
            self.fill().await?;
        }
        let buffered = self.stream.buffered();
        let count = buffered.len().min(most);
        take(&buffered[..count]);
        self.stream.consume(count);
        Ok(count)
    }

    async fn fill(&mut self) -> Result<(), Refusal> {
        match tokio::time::timeout(SILENCE_MAX, self.stream.fill()).await {
            Ok(Ok(0)) => Err(Refusal::Gone("closed the connection".to_owned())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Refusal::Gone(format!("lost the connection: {e}"))),
            Err(_) => Err(Refusal::Gone(format!("is silent for {} s", SILENCE_MAX.as_secs()))),
        }
    }

    async fn send(&mut self) -> Result<(), Refusal> {
        match tokio::time::timeout(SILENCE_MAX, self.stream.flush()).await {
            Ok(sent) => sent.map_err(|e| Refusal::Gone(format!("lost the connection: {e}"))),
            Err(_) => Err(Refusal::Gone("does not take a command".to_owned())),
        }
    }

    /// Says goodbye; nothing hangs on it.
    pub(crate) async fn leave(mut self) {
        self.stream.send(b"w LOGOUT\r\n");
        self.stream.close().await;
    }
}

/// For commands that no message comes of.
pub(crate) fn no_message() -> Option<ContentWriter> {
    None
}

fn judged(ended: Response) -> Result<(), Refusal> {
    match ended {
        Response::Status { condition: Condition::Ok, .. } => Ok(()),
        Response::Status { words, .. } => Err(Refusal::No(words)),
        other => Err(Refusal::Gone(format!("ends a command with {other:?}"))),
    }
}

async fn encrypted(stream: Stream, server: &ImapServer) -> Result<Stream, Refusal> {
    let trust = server.trust.clone();
    let client = tokio::task::spawn_blocking(move || match trust {
        Some(file) => TlsClient::trusting_file(&file),
        None => TlsClient::verified(),
    });
    let client = client.await.map_err(|e| Refusal::Never(e.to_string()))?;
    let client = client.map_err(|e| Refusal::Never(format!("TLS: {e}")))?;
    stream.connect_tls(&client, &server.host).await.map_err(|e| {
        if e.kind() == std::io::ErrorKind::InvalidData {
            return Refusal::Never(format!(
                "speaks no TLS there, or has a certificate that is not good enough ({e}); --tls-trust FILE names the \
                 authority to trust"
            ));
        }
        Refusal::Gone(format!("does not begin TLS: {e}"))
    })
}
