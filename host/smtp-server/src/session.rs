//! A session: what one client has said so far, and what follows from its next command.
//!
//! No octets pass here: `conversation.rs` reads and writes them, and does what a [`Next`] asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use auth::{Identity, OpenSession};
use events::{Event, Stage};
use mail_types::{AccountName, Address, Persistence, Refusal, Reply};
use message::{Facts, FixUps};
use runtime::TlsInfo;
use smtp_wire::{Bdat, Command, Mail, Rcpt, Verb};
use storage::ContentWriter;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::auth::Authentication;
use crate::decide;
use crate::hello;
use crate::intake::{HeaderFacts, Intake};
use crate::networks::Networks;
use crate::options::{Kind, Options, TlsMode};
use crate::rewrite;
use crate::server::Parts;
use crate::table::{self, Verdict};
use crate::transaction::{Chunked, Chunks, Transaction};
use crate::verify;
use crate::xclient;

/// Who is at the other end, as far as we know.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Where it connects from; a trusted proxy or front end may have told.
    pub(crate) address: SocketAddr,
    /// The same, whatever XCLIENT tells.
    pub(crate) real: IpAddr,
    /// Its host name, where a front end has told.
    pub(crate) name: Option<String>,
    /// What it called itself.
    pub(crate) hello: Option<Hello>,
    /// What it called itself to a front end.
    pub(crate) hello_told: Option<String>,
    /// As whom it has authenticated.
    pub(crate) account: Option<AccountName>,
    /// What that rests on, where it did so here.
    pub(crate) identity: Option<Box<Identity>>,
}

impl Client {
    /// Its address, where that is known.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        Some(self.address.ip()).filter(|ip| !ip.is_unspecified())
    }

    /// Whether it is known to be in one of these networks.
    fn is_within(&self, networks: &Networks) -> bool {
        self.ip().is_some_and(|ip| networks.contains(ip))
    }
}

/// HELO, EHLO or LHLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) name: String,
    /// EHLO or LHLO, not HELO.
    pub(crate) extended: bool,
}

/// What a session has used of its limits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) errors: u32,
    pub(crate) auth_failures: u32,
    pub(crate) refused_recipients: u32,
    pub(crate) commands_without_mail: u32,
    pub(crate) transactions: u32,
}

/// The dialogue with one client.
pub(crate) struct Session {
    pub(crate) server: Arc<Parts>,
    pub(crate) options: Arc<Options>,
    pub(crate) client: Client,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) transaction: Option<Box<Transaction>>,
    pub(crate) counts: Counts,
    pub(crate) began: Instant,
    /// Its entry among those of all servers.
    pub(crate) open: Arc<OpenSession>,
}

/// What is to be done after a command.
pub(crate) enum Next {
    /// Say this, and read the next command.
    Say(Answer),
    /// Say this, and close.
    Close(Answer),
    /// Say 354, read content to its end.
    Content(Box<Intake>),
    /// Read a chunk; what is said afterwards depends on it.
    Chunk(Bdat, Box<Chunked>),
    /// Read a chunk away, then say this.
    Discard(Bdat, Answer),
    /// Say 220, begin TLS.
    StartTls,
    /// Go through a SASL exchange.
    Authenticate(Box<Authentication>),
}

impl Session {
    pub(crate) fn new(
        server: Arc<Parts>,
        options: Arc<Options>,
        peer: SocketAddr,
        open: Arc<OpenSession>,
    ) -> Self {
        let client = Client {
            address: peer,
            real: peer.ip(),
            name: None,
            hello: None,
            hello_told: None,
            account: None,
            identity: None,
        };
        let counts = Counts::default();
        Self { server, options, client, tls: None, transaction: None, counts, began: Instant::now(), open }
    }

    /// The first word, and that after XCLIENT.
    pub(crate) fn greeting(&self) -> Answer {
        let protocol = if self.options.kind == Kind::Lmtp { "LMTP" } else { "ESMTP" };
        Reply::plain(220, format!("{} {protocol} wasmta", self.options.host)).into()
    }

    /// Whether the client may connect at all.
    pub(crate) fn may_connect(&self) -> bool {
        let allowed = self.options.allow_networks.as_ref();
        allowed.is_none_or(|networks| self.client.is_within(networks))
    }

    /// Whether the client may send to other domains than ours.
    pub(crate) fn may_relay(&self) -> bool {
        self.client.account.is_some() || self.client.is_within(&self.options.relay_networks)
    }

    /// Whether the client is a front end that may speak for others.
    pub(crate) fn may_xclient(&self) -> bool {
        self.options.xclient_networks.contains(self.client.real)
    }

    /// Whether STARTTLS is on offer.
    pub(crate) fn offers_starttls(&self) -> bool {
        let offered = matches!(self.options.tls, TlsMode::StartTls | TlsMode::StartTlsRequired);
        offered && self.tls.is_none() && self.server.tls.is_some()
    }

    /// Forgets what was learned in clear (RFC 3207 §4.2).
    pub(crate) fn tls_started(&mut self, tls: TlsInfo) {
        self.tls = Some(tls);
        self.transaction = None;
        self.client.hello = None;
        self.client.account = None;
        self.client.identity = None;
        self.open.belongs_to(None);
    }

    /// Takes a command line, without its CRLF.
    pub(crate) async fn command(&mut self, line: &[u8]) -> Next {
        let Some((verb, _)) = Verb::split(line) else {
            return self.fault(Answer::Line("500 5.5.1 Command not recognized"));
        };
        if !table::is_mail(verb) && verb != Verb::Quit {
            self.counts.commands_without_mail += 1;
            if self.counts.commands_without_mail > self.options.limits.commands_without_mail_max {
                return Next::Close(Answer::Line("421 4.7.0 Too many commands without mail"));
            }
        }
        let illegal = match table::check(self, verb) {
            Verdict::Unknown => return self.fault(Answer::Line("500 5.5.1 Command not recognized")),
            Verdict::Illegal(answer) if verb != Verb::Bdat => return self.fault(answer),
            Verdict::Illegal(answer) => Some(answer),
            Verdict::Legal => None,
        };
        match (illegal, Command::parse(line)) {
            (None, Ok(command)) => self.proceed(command).await,
            (Some(answer), Ok(Command::Bdat(bdat))) => self.illegal_chunk(bdat, answer),
            (Some(answer), Ok(_)) => self.fault(answer),
            // Of a chunk without a size the octets would be read as commands.
            (_, Err(error)) if verb == Verb::Bdat => Next::Close(error.reply().into()),
            (_, Err(error)) => self.fault(error.reply().into()),
        }
    }

    /// Does a legal command.
    async fn proceed(&mut self, command: Command<'_>) -> Next {
        match command {
            Command::Mail(mail) => self.mail(mail).await,
            Command::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Command::Data => Next::Content(Box::new(self.intake())),
            Command::Bdat(bdat) => self.bdat(bdat),
            Command::Ehlo(name) | Command::Lhlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Rset => {
                self.transaction = None;
                Next::Say(Answer::Line("250 2.0.0 Reset"))
            }
            Command::Noop => Next::Say(Answer::Line("250 2.0.0 Done")),
            Command::Quit => Next::Close(Answer::Line("221 2.0.0 Closing")),
            Command::Help => Next::Say(Answer::Line("214 2.0.0 See RFC 5321")),
            Command::Vrfy { argument, smtputf8 } => Next::Say(verify::verify(self, argument, smtputf8).await),
            Command::Expn { argument, smtputf8 } => Next::Say(verify::expand(self, argument, smtputf8).await),
            Command::StartTls => Next::StartTls,
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::Xclient(attributes) => match xclient::apply(&attributes, &mut self.client) {
                Ok(()) if !self.may_connect() => {
                    Next::Close(Answer::Line("554 5.7.1 You may not connect here"))
                }
                Ok(()) => {
                    self.open.comes_from(self.client.address.ip());
                    self.open.belongs_to(self.client.account.as_ref());
                    Next::Say(self.greeting())
                }
                Err(answer) => self.fault(answer),
            },
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> Next {
        // RFC 5321 §4.1.4: EHLO in the middle of a transaction ends it, as RSET does.
        self.transaction = None;
        self.client.hello = Some(Hello { name: name.to_owned(), extended });
        Next::Say(if extended { hello::capabilities(self).into() } else { hello::greeted(self).into() })
    }

    async fn mail(&mut self, mail: Mail) -> Next {
        if self.counts.transactions >= self.options.limits.transactions_max {
            return Next::Close(Answer::Line("421 4.7.0 Too many messages, connect again"));
        }
        if let Err(next) = self.standing() {
            return next;
        }
        let began = self.server.clock.now();
        match decide::mail(self, &mail).await {
            Err(refusal) => {
                self.refused(Stage::Mail, Some(&mail.path), None, &refusal);
                // Counted: it costs a client nothing to go on for ever.
                self.fault(refusal.into())
            }
            Ok(new) => {
                self.counts.transactions += 1;
                if let (Some(new), Some(from)) = (&new, mail.path.address()) {
                    let (service, peer) = (&self.options.name, self.client.address.ip());
                    let to = &new.address;
                    self.server.events.emit(&Event::SenderRewritten { service, peer, from, to });
                }
                self.transaction = Some(Box::new(Transaction::new(mail, new, began)));
                Next::Say(Answer::Line("250 2.1.0 Sender accepted"))
            }
        }
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Next {
        // Taken out for the time of the decision; put back below, whatever it is.
        let Some(mut transaction) = self.transaction.take() else {
            return self.fault(Answer::Line("503 5.5.1 Send MAIL first"));
        };
        if transaction.accepted >= self.options.limits.recipients_max {
            self.transaction = Some(transaction);
            return Next::Say(Answer::Line(
                "452 4.5.3 Too many recipients; send to the rest in another transaction",
            ));
        }
        let next = match decide::rcpt(self, &transaction, &rcpt).await {
            Ok(resolved) => {
                transaction.add(rcpt, resolved);
                Next::Say(Answer::Line("250 2.1.5 Recipient accepted"))
            }
            Err(refusal) => {
                transaction.refused += 1;
                if refusal.reply.persistence() == Persistence::Permanent {
                    self.counts.refused_recipients += 1;
                }
                let recipient = rcpt.path.to_string();
                self.refused(Stage::Recipient, Some(transaction.reverse_path()), Some(&recipient), &refusal);
                if self.counts.refused_recipients > self.options.limits.refused_recipients_max {
                    Next::Close(Answer::Line("421 4.7.0 Too many refused recipients"))
                } else {
                    Next::Say(refusal.into())
                }
            }
        };
        self.transaction = Some(transaction);
        next
    }

    fn intake(&self) -> Intake {
        let mut writer = self.writer();
        writer.reserve(self.transaction.as_ref().and_then(|open| open.mail.size).unwrap_or_default());
        Intake::new(self.server.queue.next_id(), writer)
    }

    fn writer(&self) -> ContentWriter {
        self.server.storage.content(self.options.limits.message_size_max)
    }

    fn bdat(&mut self, bdat: Bdat) -> Next {
        let intake = self.intake();
        let Some(open) = self.transaction.as_mut() else {
            return Next::Discard(bdat, Answer::Line("503 5.5.1 Send MAIL first"));
        };
        // Failed until the chunk proves good.
        let chunked = match std::mem::replace(&mut open.chunks, Chunks::Failed) {
            Chunks::Some(chunked) => chunked,
            Chunks::None | Chunks::Failed => {
                Box::new(Chunked::new(intake, open.mail.transport.body, self.options.line_endings))
            }
        };
        Next::Chunk(bdat, chunked)
    }

    /// A chunk that must not come now: its octets have to be read away (RFC 3030 §2).
    fn illegal_chunk(&mut self, bdat: Bdat, answer: Answer) -> Next {
        // RFC 2033 §4.3: no recipients, no replies.
        let lmtp = self.options.kind == Kind::Lmtp && bdat.last;
        if lmtp && self.transaction.as_ref().is_some_and(|open| open.accepted == 0) {
            return Next::Discard(bdat, Answer::Each(Vec::new()));
        }
        let accepted = self.transaction.as_ref().map_or(1, |open| open.accepted);
        match self.fault(answer) {
            // RFC 2033 §4.3: BDAT LAST has a reply for each recipient, whatever was wrong.
            Next::Say(Answer::Line(line)) if lmtp => Next::Discard(bdat, Answer::Lines(line, accepted)),
            Next::Say(answer) => Next::Discard(bdat, answer),
            close => close,
        }
    }

    /// A protocol error: the reply, or the last word where there were too many.
    pub(crate) fn fault(&mut self, answer: Answer) -> Next {
        self.counts.errors += 1;
        if self.counts.errors > self.options.limits.errors_max {
            return Next::Close(Answer::Line("421 4.7.0 Too many errors"));
        }
        Next::Say(answer)
    }

    /// By what the log knows it, before a message has an id.
    pub(crate) fn log_id(&self) -> String {
        format!("session={}", self.open.number())
    }

    /// Tells the log of a refusal.
    pub(crate) fn refused(
        &self,
        stage: Stage,
        reverse_path: Option<&mail_types::ReversePath>,
        recipient: Option<&str>,
        refusal: &Refusal,
    ) {
        self.server.events.emit(&Event::Refused {
            service: &self.options.name,
            peer: self.client.address.ip(),
            session: self.open.number(),
            account: self.client.account.as_ref(),
            stage,
            reverse_path,
            recipient,
            refusal,
        });
    }

    /// Tells the log of addresses that need SMTPUTF8, in mail without it: the first, from and to what, and how many.
    pub(crate) fn kept(&self, id: &str, (address, instead_of): (&Address, &Address), addresses: u64) {
        self.server.events.emit(&Event::AddressKept { id, address, instead_of, addresses });
    }

    /// Looks at the header of content while it is in memory; `ended` when no content follows.
    pub(crate) async fn look_at_header(&self, intake: &mut Intake, ended: bool) {
        let Some(octets) = intake.unseen() else { return };
        let facts = Facts::scan(octets, &self.options.host);
        let whole = ended || facts.header_len < octets.len();
        if let Err(refusal) = decide::header_fits(&self.options.limits, &facts, whole) {
            return intake.refuse(refusal);
        }
        let mut kept =
            HeaderFacts { message_id: facts.message_id_text().map(str::to_owned), added: Vec::new() };
        let length = facts.header_len;
        if self.options.add_fields {
            let server = &self.server;
            let (id, random, now) = (intake.id(), server.random.u64(), server.clock.now());
            let fix_ups = FixUps { host: &self.options.host, id, random, now };
            kept.added = fix_ups.missing_fields(&facts);
            if facts.message_id.is_none() {
                kept.message_id = Some(fix_ups.message_id());
            }
        }
        // Other people's mail is not ours to change: their signatures would break.
        let own = self.options.kind == Kind::Submission || self.may_relay();
        let rewritten = if own { rewrite::header(self, &octets[..length], intake.id()).await } else { None };
        if let Some(header) = rewritten {
            intake.replace_header(&header, length, self.writer());
        }
        intake.seen(kept);
    }
}
