//! Responses: what a server says.

use crate::acl::AclResponse;
use crate::code::Code;
use crate::command::Tag;
use crate::date::DateTime;
use crate::esearch::Esearch;
use crate::flag::Flag;
use crate::metadata::MetadataResponse;
use crate::sequence::SequenceSet;
use crate::status::{StatusItem, StatusValue};
use crate::text::{
    NameEncoding, write_list, write_literal_head, write_mailbox, write_nstring, write_quoted, write_string,
};

/// How a command or the session fares (RFC 3501 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Done, or for information.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// The connection ends.
    Bye,
    /// Authenticated from the start.
    PreAuth,
}

/// `resp-cond-state`, tagged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The command that it ends; `None` for `*`.
    pub tag: Option<Tag>,
    /// How it went.
    pub condition: Condition,
    /// For the program.
    pub code: Option<Code>,
    /// For a person; line ends and what is not ASCII are replaced when written.
    pub text: String,
}

/// A mailbox in LIST or LSUB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Attributes with their backslash.
    pub attributes: Vec<&'static str>,
    /// The hierarchy delimiter.
    pub delimiter: char,
    /// The name, in UTF-8.
    pub name: String,
    /// What it was called before (RFC 5465 §5.4).
    pub old_name: Option<String>,
}

/// One namespace (RFC 2342 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceEntry {
    /// What its mailboxes begin with.
    pub prefix: String,
    /// The hierarchy delimiter.
    pub delimiter: char,
}

/// A response; FETCH is apart ([`FetchResponse`]), since its data may be larger than memory should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the wire's own words")]
pub enum Response {
    Status(Status),
    /// `+ text`
    Continuation(String),
    Capability(Vec<String>),
    Enabled(Vec<String>),
    Flags(Vec<Flag>),
    Exists(u32),
    Recent(u32),
    Expunge(u32),
    List(Listed),
    Lsub(Listed),
    MailboxStatus {
        mailbox: String,
        items: Vec<(StatusItem, StatusValue)>,
    },
    Search(Vec<u32>),
    /// RFC 4731 §3.1.
    Esearch(Esearch),
    /// Expunged messages by UID; `earlier`: before the mailbox was selected, or asked for (RFC 7162 §3.2.10).
    Vanished {
        earlier: bool,
        uids: SequenceSet,
    },
    /// RFC 4314.
    Acl(AclResponse),
    /// RFC 5464 §4.4.
    Metadata(MetadataResponse),
    /// Personal, other users', shared.
    Namespace([Vec<NamespaceEntry>; 3]),
    Id(Option<Vec<(String, Option<String>)>>),
    /// RFC 9208 §4.2.1.
    Quota {
        root: String,
        resources: Vec<QuotaResource>,
    },
    /// RFC 9208 §4.2.2.
    QuotaRoot {
        mailbox: String,
        roots: Vec<String>,
    },
}

/// What a quota root limits (RFC 9208 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaResource {
    /// The resource's name.
    pub name: &'static str,
    /// How much of it is used.
    pub usage: u64,
    /// How much of it may be.
    pub limit: u64,
}

impl Response {
    /// Appends the response with its CRLF.
    pub fn write(&self, out: &mut Vec<u8>, names: NameEncoding) {
        match self {
            Self::Status(status) => status.write(out),
            Self::Continuation(text) => {
                out.extend_from_slice(b"+ ");
                write_text(out, text);
            }
            untagged => {
                out.extend_from_slice(b"* ");
                untagged.write_untagged(out, names);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_untagged(&self, out: &mut Vec<u8>, names: NameEncoding) {
        match self {
            Self::Status(_) | Self::Continuation(_) => {}
            Self::Capability(names) => write_words(out, "CAPABILITY", names),
            Self::Enabled(names) => write_words(out, "ENABLED", names),
            Self::Flags(flags) => {
                out.extend_from_slice(b"FLAGS ");
                write_flags(out, flags);
            }
            Self::Exists(number) => out.extend_from_slice(format!("{number} EXISTS").as_bytes()),
            Self::Recent(number) => out.extend_from_slice(format!("{number} RECENT").as_bytes()),
            Self::Expunge(number) => out.extend_from_slice(format!("{number} EXPUNGE").as_bytes()),
            Self::List(listed) => listed.write("LIST ", out, names),
            Self::Lsub(listed) => listed.write("LSUB ", out, names),
            Self::MailboxStatus { mailbox, items } => {
                out.extend_from_slice(b"STATUS ");
                write_mailbox(out, mailbox, names);
                out.push(b' ');
                write_list(out, items, |out, (item, value)| {
                    out.extend_from_slice(format!("{} {value}", item.name()).as_bytes());
                });
            }
            Self::Acl(response) => response.write(out, names),
            Self::Metadata(response) => response.write(out, names),
            Self::Search(numbers) => write_words(out, "SEARCH", numbers),
            Self::Esearch(esearch) => esearch.write(out),
            Self::Vanished { earlier, uids } => {
                let earlier = if *earlier { "(EARLIER) " } else { "" };
                out.extend_from_slice(format!("VANISHED {earlier}{uids}").as_bytes());
            }
            Self::Namespace(namespaces) => {
                out.extend_from_slice(b"NAMESPACE");
                for namespace in namespaces {
                    out.push(b' ');
                    write_namespace(out, namespace);
                }
            }
            Self::Id(parameters) => write_id(out, parameters.as_deref()),
            Self::Quota { root, resources } => {
                out.extend_from_slice(b"QUOTA ");
                write_string(out, root.as_bytes());
                out.push(b' ');
                write_list(out, resources, |out, QuotaResource { name, usage, limit }| {
                    out.extend_from_slice(format!("{name} {usage} {limit}").as_bytes());
                });
            }
            Self::QuotaRoot { mailbox, roots } => {
                out.extend_from_slice(b"QUOTAROOT ");
                write_mailbox(out, mailbox, names);
                for root in roots {
                    out.push(b' ');
                    write_string(out, root.as_bytes());
                }
            }
        }
    }
}

fn write_words<T: std::fmt::Display>(out: &mut Vec<u8>, head: &str, words: &[T]) {
    out.extend_from_slice(head.as_bytes());
    for word in words {
        out.extend_from_slice(format!(" {word}").as_bytes());
    }
}

fn write_flags(out: &mut Vec<u8>, flags: &[Flag]) {
    write_list(out, flags, |out, flag| out.extend_from_slice(flag.to_string().as_bytes()));
}

/// RFC 2342 §6: `Namespace = nil / "(" 1*( "(" string SP (<"> QUOTED_CHAR <"> / nil) … ")" ) ")"`
fn write_namespace(out: &mut Vec<u8>, entries: &[NamespaceEntry]) {
    if entries.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for entry in entries {
        out.push(b'(');
        write_string(out, crate::mailbox::encode_utf7(&entry.prefix).as_bytes());
        out.push(b' ');
        write_quoted(out, entry.delimiter.to_string().as_bytes());
        out.push(b')');
    }
    out.push(b')');
}

/// RFC 2971 §4: `id_response ::= "ID" SPACE id_params_list`
fn write_id(out: &mut Vec<u8>, parameters: Option<&[(String, Option<String>)]>) {
    out.extend_from_slice(b"ID ");
    let Some(parameters) = parameters else {
        out.extend_from_slice(b"NIL");
        return;
    };
    write_list(out, parameters, |out, (field, value)| {
        write_string(out, field.as_bytes());
        out.push(b' ');
        write_nstring(out, value.as_ref().map(String::as_bytes));
    });
}

/// `text = 1*TEXT-CHAR`: never empty, never two lines, ASCII.
fn write_text(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        // RFC 3501 §9 wants one character at least; clients rely on the space before it.
        return;
    }
    out.extend(
        text.chars().map(|character| if matches!(character, ' '..='~') { character as u8 } else { b'?' }),
    );
}

impl Status {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tag.as_ref().map_or("*", Tag::as_str).as_bytes());
        out.extend_from_slice(match self.condition {
            Condition::Ok => b" OK ",
            Condition::No => b" NO ",
            Condition::Bad => b" BAD ",
            Condition::Bye => b" BYE ",
            Condition::PreAuth => b" PREAUTH ",
        });
        if let Some(code) = &self.code {
            code.write(out);
        }
        write_text(out, if self.text.is_empty() { "." } else { &self.text });
    }
}

impl Listed {
    /// `mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox`
    fn write(&self, word: &str, out: &mut Vec<u8>, names: NameEncoding) {
        out.extend_from_slice(word.as_bytes());
        write_list(out, &self.attributes, |out, attribute| out.extend_from_slice(attribute.as_bytes()));
        out.push(b' ');
        write_quoted(out, self.delimiter.to_string().as_bytes());
        out.push(b' ');
        write_mailbox(out, &self.name, names);
        if let Some(old_name) = &self.old_name {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            write_mailbox(out, old_name, names);
            out.extend_from_slice(b"))");
        }
    }
}

/// Writes one `FETCH` response item by item: a large literal can be sent in pieces between two of them.
///
/// ```text
/// message-data = nz-number SP ("EXPUNGE" / ("FETCH" SP msg-att))
/// msg-att      = "(" (msg-att-dynamic / msg-att-static) *(SP (msg-att-dynamic / msg-att-static)) ")"
/// ```
#[derive(Debug)]
#[must_use]
pub struct FetchResponse {
    first: bool,
}

impl FetchResponse {
    /// Appends `* n FETCH (`.
    pub fn begin(out: &mut Vec<u8>, sequence_number: u32) -> Self {
        out.extend_from_slice(format!("* {sequence_number} FETCH (").as_bytes());
        Self { first: true }
    }

    /// Appends `* uid UIDFETCH (` (RFC 9586 §3.3).
    pub fn begin_by_uid(out: &mut Vec<u8>, uid: u32) -> Self {
        out.extend_from_slice(format!("* {uid} UIDFETCH (").as_bytes());
        Self { first: true }
    }

    /// Appends an item's name and a space: its value follows.
    pub fn name(&mut self, out: &mut Vec<u8>, name: &str) {
        if !std::mem::take(&mut self.first) {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b' ');
    }

    /// `UID n`
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: u32) {
        self.name(out, "UID");
        out.extend_from_slice(uid.to_string().as_bytes());
    }

    /// `FLAGS (…)`
    pub fn flags(&mut self, out: &mut Vec<u8>, flags: &[Flag]) {
        self.name(out, "FLAGS");
        write_flags(out, flags);
    }

    /// `INTERNALDATE "…"`
    pub fn internal_date(&mut self, out: &mut Vec<u8>, date: DateTime) {
        self.name(out, "INTERNALDATE");
        date.write(out);
    }

    /// `SAVEDATE "…"`
    pub fn save_date(&mut self, out: &mut Vec<u8>, date: DateTime) {
        self.name(out, "SAVEDATE");
        date.write(out);
    }

    /// `MODSEQ (n)`
    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: u64) {
        self.name(out, "MODSEQ");
        out.extend_from_slice(format!("({modseq})").as_bytes());
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, out: &mut Vec<u8>, octets: u64) {
        self.name(out, "RFC822.SIZE");
        out.extend_from_slice(octets.to_string().as_bytes());
    }

    /// `name {n}` CRLF: the caller sends exactly `octets` octets next.
    pub fn literal(&mut self, out: &mut Vec<u8>, name: &str, octets: u64) {
        self.name(out, name);
        write_literal_head(out, octets);
    }

    /// `name ~{n}` CRLF: the same for octets with NUL (RFC 3516 §7).
    pub fn literal8(&mut self, out: &mut Vec<u8>, name: &str, octets: u64) {
        self.name(out, name);
        out.push(b'~');
        write_literal_head(out, octets);
    }

    /// Appends `)` and CRLF.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SequenceSet;

    fn text(response: &Response) -> String {
        let mut out = Vec::new();
        response.write(&mut out, NameEncoding::Utf7);
        String::from_utf8(out).unwrap()
    }

    fn status(tag: Option<&str>, condition: Condition, code: Option<Code>, text: &str) -> Response {
        Response::Status(Status { tag: tag.and_then(Tag::new), condition, code, text: text.to_owned() })
    }

    #[test]
    fn responses_as_the_standards_print_them() {
        let listed = |attributes, name: &str| Listed {
            attributes,
            delimiter: '/',
            name: name.to_owned(),
            old_name: None,
        };
        let entry = |prefix: &str| vec![NamespaceEntry { prefix: prefix.to_owned(), delimiter: '/' }];
        for (response, expected) in [
            (Response::Exists(172), "* 172 EXISTS\r\n"),
            (Response::Recent(1), "* 1 RECENT\r\n"),
            (Response::Expunge(44), "* 44 EXPUNGE\r\n"),
            (Response::Search(vec![2, 84, 882]), "* SEARCH 2 84 882\r\n"),
            (Response::Search(vec![]), "* SEARCH\r\n"),
            (Response::Flags(vec![Flag::Answered, Flag::Draft]), "* FLAGS (\\Answered \\Draft)\r\n"),
            (
                Response::List(listed(vec!["\\Noselect"], "~/Mail/foo")),
                "* LIST (\\Noselect) \"/\" ~/Mail/foo\r\n",
            ),
            (Response::Lsub(listed(vec![], "Entwürfe")), "* LSUB () \"/\" Entw&APw-rfe\r\n"),
            (
                Response::MailboxStatus {
                    mailbox: "blurdybloop".to_owned(),
                    items: vec![
                        (StatusItem::Messages, StatusValue::Number(231)),
                        (StatusItem::UidNext, StatusValue::Number(44292)),
                        (StatusItem::MailboxId, StatusValue::Id("F1".to_owned())),
                    ],
                },
                "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 MAILBOXID (F1))\r\n",
            ),
            (
                Response::Namespace([entry(""), entry("~"), vec![]]),
                "* NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) NIL\r\n",
            ),
            (
                Response::Id(Some(vec![
                    ("name".to_owned(), Some("Cyrus".to_owned())),
                    ("os".to_owned(), None),
                ])),
                "* ID (\"name\" \"Cyrus\" \"os\" NIL)\r\n",
            ),
        ] {
            assert_eq!(text(&response), expected);
        }
    }

    #[test]
    fn conditions_with_their_codes() {
        let set = |numbers: &[u32]| SequenceSet::from_rising(numbers.iter().copied()).unwrap();
        let copy = Code::CopyUid {
            uid_validity: 38505,
            source: set(&[304, 319, 320]),
            target: set(&[3956, 3957, 3958]),
        };
        let permanent = Code::PermanentFlags { flags: vec![Flag::Deleted, Flag::Seen], new_keywords: true };
        for (response, expected) in [
            (Response::Continuation("idling".to_owned()), "+ idling\r\n"),
            (status(None, Condition::Ok, Some(Code::Unseen(12)), "first"), "* OK [UNSEEN 12] first\r\n"),
            (
                status(None, Condition::Ok, Some(permanent), "Limited"),
                "* OK [PERMANENTFLAGS (\\Deleted \\Seen \\*)] Limited\r\n",
            ),
            (
                status(Some("A004"), Condition::Ok, Some(copy), "Done"),
                "A004 OK [COPYUID 38505 304,319:320 3956:3958] Done\r\n",
            ),
            (
                status(Some("a"), Condition::No, Some(Code::BadCharset(vec!["US-ASCII", "UTF-8"])), "x\r\ny"),
                "a NO [BADCHARSET (US-ASCII UTF-8)] x??y\r\n",
            ),
        ] {
            assert_eq!(text(&response), expected);
        }
    }

    #[test]
    fn names_are_in_utf_8_for_those_who_ask() {
        let listed = |name: &str| {
            Response::Lsub(Listed {
                attributes: vec![],
                delimiter: '/',
                name: name.to_owned(),
                old_name: None,
            })
        };
        for (name, expected) in [("Entwürfe", "\"Entwürfe\""), ("a&b", "a&b"), ("a b", "\"a b\"")] {
            let mut out = Vec::new();
            listed(name).write(&mut out, NameEncoding::Utf8);
            assert_eq!(String::from_utf8(out).unwrap(), format!("* LSUB () \"/\" {expected}\r\n"));
        }
    }

    #[test]
    fn a_fetch_response_is_written_item_by_item() {
        let mut out = Vec::new();
        let mut fetch = FetchResponse::begin(&mut out, 23);
        fetch.flags(&mut out, &[Flag::Seen]);
        fetch.uid(&mut out, 4827313);
        fetch.size(&mut out, 44827);
        fetch.internal_date(&mut out, DateTime::from_unix_seconds(0));
        fetch.literal(&mut out, "BODY[TEXT]", 2);
        out.extend_from_slice(b"hi");
        fetch.end(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* 23 FETCH (FLAGS (\\Seen) UID 4827313 RFC822.SIZE 44827 INTERNALDATE \" 1-Jan-1970 00:00:00 +0000\" \
             BODY[TEXT] {2}\r\nhi)\r\n"
        );
    }
}
