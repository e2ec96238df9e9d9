//! CAPABILITY, ID, NAMESPACE, ENABLE.

use imap_wire::{NamespaceEntry, Response};

use crate::answer::Answer;
use crate::io::Io;
use crate::options::TlsMode;
use crate::pattern::DELIMITER;
use crate::session::{Session, State};

/// What every session can; complete, or it would not stand here.
const ALWAYS: &[&str] = &["SASL-IR", "ID", "ENABLE"];

/// What a session can after login. `STATUS=SIZE` is RFC 8438.
const AFTER_LOGIN: &[&str] = &[
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "ACL",
    "RIGHTS=kxte",
    "LIST-MYRIGHTS",
];

impl Session {
    /// `capability-data = "CAPABILITY" *(SP capability) SP "IMAP4rev1" *(SP capability)`
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let mut names = vec!["IMAP4rev1".to_owned()];
        names.push(if self.options.literal_minus { "LITERAL-" } else { "LITERAL+" }.to_owned());
        names.extend(ALWAYS.iter().map(|name| (*name).to_owned()));
        if !matches!(self.state, State::NotAuthenticated) {
            names.extend(AFTER_LOGIN.iter().map(|name| (*name).to_owned()));
            return names;
        }
        let tls = self.io.stream.tls().is_some();
        if !tls && self.options.tls == TlsMode::StartTls && self.shared.parts.tls.is_some() {
            names.push("STARTTLS".to_owned());
        }
        if self.mechanisms().is_empty() {
            // RFC 3501 §6.2.3.
            names.push("LOGINDISABLED".to_owned());
        }
        names.extend(self.mechanisms().iter().map(|mechanism| format!("AUTH={mechanism}")));
        names
    }
}

/// RFC 2971: who we are; no version, which would only help attackers (§7 there).
pub(crate) fn id(io: &mut Io) -> Answer {
    io.say(&Response::Id(Some(vec![("name".to_owned(), Some("wasmta".to_owned()))])));
    Answer::ok("ID done")
}

/// RFC 2342: one's own mailboxes, those of other users, and those of nobody in particular (R77).
pub(crate) fn namespace(io: &mut Io) -> Answer {
    let namespace = |prefix: &str| vec![NamespaceEntry { prefix: prefix.to_owned(), delimiter: DELIMITER }];
    io.say(&Response::Namespace(["", store::USER_PREFIX, store::SHARED_PREFIX].map(namespace)));
    Answer::ok("NAMESPACE done")
}

/// RFC 5161 §3.1: what is not known is ignored; none of our extensions needs enabling yet.
pub(crate) fn enable(io: &mut Io, _names: &[String]) -> Answer {
    io.say(&Response::Enabled(Vec::new()));
    Answer::ok("ENABLE done")
}
