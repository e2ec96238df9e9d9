//! CAPABILITY, ID, NAMESPACE, ENABLE.

use imap_wire::{NamespaceEntry, Response, Tag};

use crate::answer::Answer;
use crate::io::Io;
use crate::options::TlsMode;
use crate::pattern::DELIMITER;
use crate::session::{Session, State};

/// What every session can; complete, or it would not stand here.
const ALWAYS: &[&str] = &["SASL-IR", "ID", "ENABLE"];

/// What a session can after login. `MULTIAPPEND` is RFC 3502, `SORT=DISPLAY` RFC 5957, `ESORT`, `CONTEXT=SEARCH` and `CONTEXT=SORT` RFC 5267,
/// `CATENATE` RFC 4469, `COMPRESS=DEFLATE` RFC 4978,
/// `METADATA` RFC 5464, `NOTIFY` RFC 5465, `STATUS=SIZE` RFC 8438, `QUOTA` RFC 9208, `UIDONLY` RFC 9586.
const AFTER_LOGIN: &[&str] = &[
    "BINARY",
    "CATENATE",
    "COMPRESS=DEFLATE",
    "CONDSTORE",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "CREATE-SPECIAL-USE",
    "ESEARCH",
    "ESORT",
    "IDLE",
    "MULTIAPPEND",
    "OBJECTID",
    "PARTIAL",
    "PREVIEW",
    "QRESYNC",
    "QUOTA",
    "QUOTA=RES-MESSAGE",
    "QUOTA=RES-STORAGE",
    "REPLACE",
    "SAVEDATE",
    "SEARCHRES",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "UIDONLY",
    "UTF8=ACCEPT",
    "WITHIN",
    "NAMESPACE",
    "NOTIFY",
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
    "METADATA",
];

impl Session {
    /// `capability-data = "CAPABILITY" *(SP capability) SP "IMAP4rev1" *(SP capability)`
    pub(crate) fn capabilities(&self) -> Vec<String> {
        // RFC 9051 §7.2.2: both, until the client says which.
        let mut names = vec!["IMAP4rev1".to_owned(), "IMAP4rev2".to_owned()];
        names.push(if self.options.literal_minus { "LITERAL-" } else { "LITERAL+" }.to_owned());
        names.extend(ALWAYS.iter().map(|name| (*name).to_owned()));
        if !matches!(self.state, State::NotAuthenticated) {
            names.extend(AFTER_LOGIN.iter().map(|name| (*name).to_owned()));
            // RFC 7889 §3.
            names.push(format!("APPENDLIMIT={}", self.options.limits(true).append_octets));
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

impl Session {
    /// RFC 5161 §3.1: what is not known is ignored.
    pub(crate) fn enable(&mut self, tag: &Tag, names: &[String]) -> Answer {
        let asked = |name: &str| names.iter().any(|asked| asked == name);
        let mut enabled = Vec::new();
        let vanished = asked("QRESYNC");
        if asked("CONDSTORE") {
            enabled.push("CONDSTORE".to_owned());
        }
        if vanished {
            enabled.push("QRESYNC".to_owned());
        }
        if asked("IMAP4REV2") {
            enabled.push("IMAP4rev2".to_owned());
            self.io.dialect.rev2 = true;
            if let State::Selected(_, selected) = &mut self.state {
                selected.view.forget_recent();
            }
        }
        if asked("UTF8=ACCEPT") {
            enabled.push("UTF8=ACCEPT".to_owned());
            self.io.dialect.utf8 = true;
        }
        if asked("UIDONLY") {
            enabled.push("UIDONLY".to_owned());
            self.io.dialect.uid_only = true;
        }
        if asked("METADATA") {
            enabled.push("METADATA".to_owned());
            self.enable_annotations(tag);
        }
        self.io.say(&Response::Enabled(enabled));
        if asked("CONDSTORE") || vanished {
            self.enable_modseq();
        }
        self.io.dialect.vanished |= vanished;
        Answer::ok("ENABLE done")
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
