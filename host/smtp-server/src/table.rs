//! The table of commands: who may say what, and when.
//!
//! Each command passes here first (*is it legal now?*), then is decided upon (`decide.rs`), then done
//! (`session.rs`). A command that is not in the table of a kind of listener is not known there.

use smtp_wire::Verb;

use crate::answer::Answer;
use crate::options::{Kind, TlsMode};
use crate::session::Session;
use crate::transaction::Chunks;

/// One command.
struct Row {
    verb: Verb,
    kinds: &'static [Kind],
    needs: &'static [Need],
    /// Whether it brings mail nearer: others are counted against `commands_without_mail_max`.
    mail: bool,
}

/// A condition, with the reply where it is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// EHLO, HELO or LHLO was said.
    Hello,
    /// EHLO or LHLO was said: the command is an extension's.
    Extended,
    /// TLS, where the listener requires it.
    Tls,
    /// No TLS yet, and the listener has it.
    NoTls,
    /// Authentication, where the listener requires it.
    Authentication,
    /// Not authenticated yet.
    NoAuthentication,
    /// MAIL was accepted.
    Transaction,
    /// MAIL was not said.
    NoTransaction,
    /// RCPT was accepted.
    Recipient,
    /// No BDAT was said, and the body is not binary (RFC 3030 §2, §3).
    NoChunks,
    /// No BDAT has failed (RFC 3030 §2).
    NoFailedChunk,
    /// The client may use XCLIENT.
    FrontEnd,
}

const ANY: &[Kind] = &[Kind::Smtp, Kind::Submission, Kind::Lmtp];
const SMTP: &[Kind] = &[Kind::Smtp, Kind::Submission];
const LMTP: &[Kind] = &[Kind::Lmtp];

#[rustfmt::skip]
const TABLE: &[Row] = {
    use Need::*;
    &[
        Row { verb: Verb::Mail, kinds: ANY, mail: true, needs: &[Hello, Tls, Authentication, NoTransaction] },
        Row { verb: Verb::Rcpt, kinds: ANY, mail: true, needs: &[Transaction, NoFailedChunk] },
        Row { verb: Verb::Data, kinds: ANY, mail: true, needs: &[Transaction, NoChunks, Recipient] },
        Row { verb: Verb::Bdat, kinds: ANY, mail: true, needs: &[Transaction, NoFailedChunk, Recipient] },
        Row { verb: Verb::Ehlo, kinds: SMTP, mail: false, needs: &[] },
        Row { verb: Verb::Helo, kinds: SMTP, mail: false, needs: &[] },
        Row { verb: Verb::Lhlo, kinds: LMTP, mail: false, needs: &[] },
        Row { verb: Verb::Rset, kinds: ANY, mail: false, needs: &[] },
        Row { verb: Verb::Noop, kinds: ANY, mail: false, needs: &[] },
        Row { verb: Verb::Quit, kinds: ANY, mail: false, needs: &[] },
        Row { verb: Verb::Help, kinds: ANY, mail: false, needs: &[] },
        Row { verb: Verb::Vrfy, kinds: ANY, mail: false, needs: &[Tls, Authentication] },
        Row { verb: Verb::Expn, kinds: ANY, mail: false, needs: &[Tls, Authentication] },
        Row { verb: Verb::StartTls, kinds: ANY, mail: false, needs: &[NoTls, NoTransaction] },
        Row { verb: Verb::Auth, kinds: SMTP, mail: false, needs: &[Extended, NoAuthentication, NoTransaction] },
        Row { verb: Verb::Xclient, kinds: ANY, mail: false, needs: &[FrontEnd, NoTransaction] },
    ]
};

/// What the table says of a command.
pub(crate) enum Verdict {
    /// Legal now.
    Legal,
    /// Not now; the reply.
    Illegal(Answer),
    /// Not here at all.
    Unknown,
}

/// Looks a command up.
pub(crate) fn check(session: &Session, verb: Verb) -> Verdict {
    let kind = session.options.kind;
    let Some(row) = TABLE.iter().find(|row| row.verb == verb && row.kinds.contains(&kind)) else {
        return Verdict::Unknown;
    };
    match row.needs.iter().find_map(|need| need.unmet(session)) {
        Some(line) => Verdict::Illegal(Answer::Line(line)),
        None => Verdict::Legal,
    }
}

/// Whether a command brings mail nearer.
pub(crate) fn is_mail(verb: Verb) -> bool {
    TABLE.iter().any(|row| row.verb == verb && row.mail)
}

impl Need {
    /// The reply where the need is not met.
    fn unmet(self, session: &Session) -> Option<&'static str> {
        let lmtp = session.options.kind == Kind::Lmtp;
        let hello = session.client.hello.as_ref();
        let transaction = session.transaction.as_deref();
        let (met, line) = match self {
            Self::Hello if lmtp => (hello.is_some(), "503 5.5.1 Send LHLO first"),
            Self::Hello => (hello.is_some(), "503 5.5.1 Send EHLO first"),
            Self::Extended => (hello.is_some_and(|hello| hello.extended), "503 5.5.1 Send EHLO first"),
            Self::Tls => {
                let required = session.options.tls == TlsMode::StartTlsRequired;
                (session.tls.is_some() || !required, "530 5.7.0 Send STARTTLS first")
            }
            Self::NoTls if session.tls.is_some() => (false, "503 5.5.1 TLS is active already"),
            Self::NoTls => (session.offers_starttls(), "502 5.5.1 STARTTLS is not available"),
            Self::Authentication => {
                let required = session.options.kind == Kind::Submission;
                (session.client.account.is_some() || !required, "530 5.7.0 Authentication required")
            }
            Self::NoAuthentication => (session.client.account.is_none(), "503 5.5.1 Already authenticated"),
            Self::Transaction => (transaction.is_some(), "503 5.5.1 Send MAIL first"),
            Self::NoTransaction => (transaction.is_none(), "503 5.5.1 A transaction is open; RSET ends it"),
            Self::Recipient => match transaction {
                Some(open) if open.accepted == 0 && open.refused > 0 && !lmtp => {
                    (false, "554 5.5.1 No valid recipients")
                }
                open => (open.is_some_and(|open| open.accepted > 0), "503 5.5.1 Send RCPT first"),
            },
            Self::NoChunks => match transaction {
                Some(open) if open.mail.transport.body == mail_types::BodyType::BinaryMime => {
                    (false, "503 5.6.1 BINARYMIME content comes by BDAT only")
                }
                open => {
                    let clean = open.is_some_and(|open| matches!(open.chunks, Chunks::None));
                    (clean, "503 5.5.1 Not after BDAT; RSET ends the transaction")
                }
            },
            Self::NoFailedChunk => {
                let failed = transaction.is_some_and(|open| matches!(open.chunks, Chunks::Failed));
                (!failed, "503 5.5.1 A chunk was refused; RSET ends the transaction")
            }
            Self::FrontEnd => (session.may_xclient(), "550 5.7.1 XCLIENT is not allowed from here"),
        };
        if met { None } else { Some(line) }
    }
}
