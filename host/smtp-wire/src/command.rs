//! Commands: lines to values and back (RFC 5321 §4.1.1 and its extensions).
//!
//! A command borrows from its line; only paths and decoded parameters are owned.

use std::fmt::Write as _;

use mail_types::{ForwardPath, Notify, OriginalRecipient, ReversePath, Transport};

use crate::error::CommandError;
use crate::parameters::{MailParameters, RcptParameters, Submitter};
use crate::path::split_path;
use crate::xclient::XclientAttributes;

/// The first word of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// HELO (RFC 5321 §4.1.1.1).
    Helo,
    /// EHLO (RFC 5321 §4.1.1.1).
    Ehlo,
    /// LHLO (RFC 2033 §4.1).
    Lhlo,
    /// MAIL (RFC 5321 §4.1.1.2).
    Mail,
    /// RCPT (RFC 5321 §4.1.1.3).
    Rcpt,
    /// DATA (RFC 5321 §4.1.1.4).
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat,
    /// RSET (RFC 5321 §4.1.1.5).
    Rset,
    /// VRFY (RFC 5321 §4.1.1.6).
    Vrfy,
    /// EXPN (RFC 5321 §4.1.1.7).
    Expn,
    /// HELP (RFC 5321 §4.1.1.8).
    Help,
    /// NOOP (RFC 5321 §4.1.1.9).
    Noop,
    /// QUIT (RFC 5321 §4.1.1.10).
    Quit,
    /// STARTTLS (RFC 3207 §4).
    StartTls,
    /// AUTH (RFC 4954 §4).
    Auth,
    /// XCLIENT (Postfix's extension).
    Xclient,
}

const VERBS: [(&str, Verb); 16] = [
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("EHLO", Verb::Ehlo),
    ("QUIT", Verb::Quit),
    ("RSET", Verb::Rset),
    ("HELO", Verb::Helo),
    ("LHLO", Verb::Lhlo),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("AUTH", Verb::Auth),
    ("STARTTLS", Verb::StartTls),
    ("XCLIENT", Verb::Xclient),
];

impl Verb {
    /// The verb at the head of a line, and what follows it, without the space between.
    #[must_use]
    pub fn split(line: &[u8]) -> Option<(Self, &[u8])> {
        let end = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let found = VERBS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        found.map(|(_, verb)| (*verb, rest.strip_prefix(b" ").unwrap_or(rest)))
    }

    /// The verb as the RFC writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        VERBS.iter().find(|(_, verb)| *verb == self).map_or("", |(name, _)| *name)
    }
}

/// What a client says its name is: a domain, an address literal, or (as many do) something else printable.
pub type HelloName<'a> = &'a str;

/// A command of SMTP or LMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// HELO.
    Helo(HelloName<'a>),
    /// EHLO.
    Ehlo(HelloName<'a>),
    /// LHLO.
    Lhlo(HelloName<'a>),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT; so many octets follow the line.
    Bdat(Bdat),
    /// RSET.
    Rset,
    /// NOOP, its argument dropped.
    Noop,
    /// QUIT.
    Quit,
    /// HELP, its argument dropped.
    Help,
    /// VRFY.
    Vrfy {
        /// What to verify, unparsed.
        argument: &'a str,
        /// The client reads UTF-8 replies (RFC 6531 §3.7.4.2).
        smtputf8: bool,
    },
    /// EXPN.
    Expn {
        /// What to expand, unparsed.
        argument: &'a str,
        /// The client reads UTF-8 replies (RFC 6531 §3.7.4.2).
        smtputf8: bool,
    },
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth {
        /// The mechanism's name, as sent.
        mechanism: &'a str,
        /// The initial response, still in base64; `=` is the empty one (RFC 4954 §4).
        initial: Option<&'a str>,
    },
    /// XCLIENT.
    Xclient(Box<XclientAttributes>),
}

/// MAIL FROM with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where reports go.
    pub path: ReversePath,
    /// The path held octets beyond ASCII, which needs SMTPUTF8 (RFC 6531 §3.3). Domains are A-labels in
    /// `path`, so that only the parser can tell.
    pub internationalized: bool,
    /// BODY, SMTPUTF8, RET and ENVID.
    pub transport: Transport,
    /// SIZE, in octets (RFC 1870 §6).
    pub size: Option<u64>,
    /// AUTH (RFC 4954 §5).
    pub submitter: Option<Submitter>,
}

/// RCPT TO with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rcpt {
    /// To whom.
    pub path: ForwardPath,
    /// The path held octets beyond ASCII (RFC 6531 §3.3).
    pub internationalized: bool,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Notify,
    /// ORCPT (RFC 3461 §4.2).
    pub orcpt: Option<OriginalRecipient>,
}

/// The arguments of BDAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bdat {
    /// Octets in this chunk.
    pub size: u64,
    /// No other chunk follows.
    pub last: bool,
}

impl<'a> Command<'a> {
    /// Reads a line, given without its CRLF.
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let (verb, rest) = Verb::split(trim_end(line)).ok_or(CommandError::Unrecognized)?;
        if rest.iter().any(u8::is_ascii_control) {
            return Err(CommandError::Characters);
        }
        let text = std::str::from_utf8(rest).map_err(|_| CommandError::Characters)?;
        match verb {
            Verb::Helo => hello(text, "HELO domain").map(Self::Helo),
            Verb::Ehlo => hello(text, "EHLO domain").map(Self::Ehlo),
            Verb::Lhlo => hello(text, "LHLO domain").map(Self::Lhlo),
            Verb::Mail => mail(text).map(Self::Mail),
            Verb::Rcpt => rcpt(text).map(Self::Rcpt),
            Verb::Data => alone(text, "DATA", Self::Data),
            Verb::Bdat => bdat(text).map(Self::Bdat),
            Verb::Rset => alone(text, "RSET", Self::Rset),
            Verb::Quit => alone(text, "QUIT", Self::Quit),
            Verb::StartTls => alone(text, "STARTTLS", Self::StartTls),
            Verb::Noop => Ok(Self::Noop),
            Verb::Help => Ok(Self::Help),
            Verb::Vrfy => string(text, "VRFY string [SMTPUTF8]")
                .map(|(argument, smtputf8)| Self::Vrfy { argument, smtputf8 }),
            Verb::Expn => string(text, "EXPN string [SMTPUTF8]")
                .map(|(argument, smtputf8)| Self::Expn { argument, smtputf8 }),
            Verb::Auth => auth(text),
            Verb::Xclient => XclientAttributes::parse(text).map(|read| Self::Xclient(Box::new(read))),
        }
    }

    /// Appends the command's line to `wire`, with its CRLF. Values are valid by construction; names given
    /// as text (HELO, VRFY, EXPN, AUTH) must hold no CR or LF, which our own never do.
    pub fn encode(&self, wire: &mut Vec<u8>) {
        let mut line = String::with_capacity(80);
        match self {
            Self::Helo(name) => line.extend(["HELO ", name]),
            Self::Ehlo(name) => line.extend(["EHLO ", name]),
            Self::Lhlo(name) => line.extend(["LHLO ", name]),
            Self::Mail(mail) => mail.encode(&mut line),
            Self::Rcpt(rcpt) => rcpt.encode(&mut line),
            Self::Data => line.push_str("DATA"),
            Self::Bdat(bdat) => {
                let _ = write!(line, "BDAT {}{}", bdat.size, if bdat.last { " LAST" } else { "" });
            }
            Self::Rset => line.push_str("RSET"),
            Self::Noop => line.push_str("NOOP"),
            Self::Quit => line.push_str("QUIT"),
            Self::Help => line.push_str("HELP"),
            Self::StartTls => line.push_str("STARTTLS"),
            Self::Vrfy { argument, smtputf8 } => {
                line.extend(["VRFY ", argument, if *smtputf8 { " SMTPUTF8" } else { "" }]);
            }
            Self::Expn { argument, smtputf8 } => {
                line.extend(["EXPN ", argument, if *smtputf8 { " SMTPUTF8" } else { "" }]);
            }
            Self::Auth { mechanism, initial } => {
                line.extend(["AUTH ", mechanism]);
                if let Some(initial) = initial {
                    line.extend([" ", initial]);
                }
            }
            Self::Xclient(attributes) => attributes.encode(&mut line),
        }
        line.push_str("\r\n");
        wire.extend_from_slice(line.as_bytes());
    }
}

impl Mail {
    fn encode(&self, line: &mut String) {
        let _ = write!(line, "MAIL FROM:{}", self.path);
        let parameters = MailParameters {
            transport: self.transport.clone(),
            size: self.size,
            submitter: self.submitter.clone(),
        };
        parameters.encode(line);
    }
}

impl Rcpt {
    fn encode(&self, line: &mut String) {
        let _ = write!(line, "RCPT TO:{}", self.path);
        RcptParameters { notify: self.notify, orcpt: self.orcpt.clone() }.encode(line);
    }
}

/// Trailing white space is tolerated (RFC 5321 §4.1.1).
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
    &line[..end]
}

fn alone<'a>(text: &str, syntax: &'static str, command: Command<'a>) -> Result<Command<'a>, CommandError> {
    if text.is_empty() { Ok(command) } else { Err(CommandError::Syntax(syntax)) }
}

/// One word of printable ASCII. RFC 5321 §4.1.4 forbids to refuse mail because the name is not true, so
/// its form is not looked at any closer; but it will stand in our Received field.
fn hello<'a>(text: &'a str, syntax: &'static str) -> Result<&'a str, CommandError> {
    let name = text.trim();
    let fits = !name.is_empty()
        && name.len() <= mail_types::DOMAIN_MAX
        && name.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(name) } else { Err(CommandError::Syntax(syntax)) }
}

/// The text behind `FROM:` or `TO:`. A space behind the colon is against RFC 5321 §3.3, and common.
fn argument<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| text[keyword.len()..].trim_start_matches(' '))
}

fn mail(text: &str) -> Result<Mail, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("MAIL FROM:<address> [parameters]");
    let (path, parameters) = argument(text, "FROM:").and_then(split_path).ok_or(SYNTAX)?;
    let MailParameters { transport, size, submitter } = MailParameters::parse(parameters)?;
    let internationalized = !path.is_ascii();
    let path = ReversePath::parse(path).map_err(CommandError::ReversePath)?;
    Ok(Mail { path, internationalized, transport, size, submitter })
}

fn rcpt(text: &str) -> Result<Rcpt, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("RCPT TO:<address> [parameters]");
    let (path, parameters) = argument(text, "TO:").and_then(split_path).ok_or(SYNTAX)?;
    let RcptParameters { notify, orcpt } = RcptParameters::parse(parameters)?;
    let internationalized = !path.is_ascii();
    let path = ForwardPath::parse(path).map_err(CommandError::ForwardPath)?;
    Ok(Rcpt { path, internationalized, notify, orcpt })
}

/// `chunk-size [SP "LAST"]` (RFC 3030 §2).
fn bdat(text: &str) -> Result<Bdat, CommandError> {
    const SYNTAX: CommandError = CommandError::Syntax("BDAT size [LAST]");
    let (digits, last) = match text.split_once(' ') {
        Some((digits, word)) if word.eq_ignore_ascii_case("LAST") => (digits, true),
        Some(_) => return Err(SYNTAX),
        None => (text, false),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SYNTAX);
    }
    digits.parse().map(|size| Bdat { size, last }).map_err(|_| SYNTAX)
}

/// `String [SP "SMTPUTF8"]` (RFC 6531 §3.7.4.2). A display name may hold spaces.
fn string<'a>(text: &'a str, syntax: &'static str) -> Result<(&'a str, bool), CommandError> {
    let (argument, smtputf8) = match text.rsplit_once(' ') {
        Some((argument, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (argument, true),
        _ => (text, false),
    };
    let argument = argument.trim();
    if argument.is_empty() { Err(CommandError::Syntax(syntax)) } else { Ok((argument, smtputf8)) }
}

fn auth(text: &str) -> Result<Command<'_>, CommandError> {
    let mut words = text.split(' ');
    let (mechanism, initial, more) = (words.next().unwrap_or_default(), words.next(), words.next());
    // RFC 4422 §3.1: 1 to 20 of upper case letters, digits, "-" and "_"; case is not looked at.
    let named = (1..=20).contains(&mechanism.len())
        && mechanism.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !named || more.is_some() || initial == Some("") {
        return Err(CommandError::Syntax("AUTH mechanism [initial-response]"));
    }
    Ok(Command::Auth { mechanism, initial })
}

#[cfg(test)]
mod tests;
