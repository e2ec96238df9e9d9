//! Commands: what a client asks for.

use std::fmt;

use crate::acl::AclCommand;
use crate::cancel::cancel_update;
use crate::cursor::{Cursor, ParseError, is_tag_char};
use crate::fetch::{FetchItem, fetch_items};
use crate::limits::Limits;
use crate::list::{ListCommand, list, list_mailbox};
use crate::mailbox::{MailboxName, mailbox};
use crate::metadata::MetadataCommand;
use crate::modifiers::{FetchModifiers, fetch_modifiers};
use crate::notify::{NotifyCommand, notify};
use crate::search::{Search, search};
use crate::select::{SelectParameters, select_parameters};
use crate::sequence::{SequenceSet, sequence_set};
use crate::sort::{Sort, Thread, sort, thread};
use crate::status::{StatusItem, status_items};
use crate::store::{Store, store};

/// The client's name for one command (RFC 3501 §2.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Takes a tag; `None` where a character is not a tag's.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.bytes().all(is_tag_char)).then(|| Self(text.to_owned()))
    }

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Octets that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the octets.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// The octets, for the one who verifies them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How a command names messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By place in the mailbox.
    SequenceNumber,
    /// By unique identifier (`UID FETCH` and friends).
    Uid,
}

/// A field of ID and its value.
pub type IdParameter = (Vec<u8>, Option<Vec<u8>>);

/// A command with its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The client's name for it.
    pub tag: Tag,
    /// What it asks for.
    pub command: Command,
}

/// A command (RFC 3501 §6, and the extensions named at the variants). APPEND is apart
/// ([`crate::Append`]): its message is never held here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields carry the grammar's names")]
pub enum Command {
    Capability,
    Noop,
    Logout,
    /// RFC 2971; `None` is NIL.
    Id(Option<Vec<IdParameter>>),

    StartTls,
    /// With the initial response of RFC 4959, as base64 text (`=` is the empty one).
    Authenticate {
        mechanism: String,
        initial: Option<Secret>,
    },
    Login {
        user: Vec<u8>,
        password: Secret,
    },

    /// RFC 5161.
    Enable(Vec<String>),
    Select {
        mailbox: MailboxName,
        parameters: SelectParameters,
    },
    Examine {
        mailbox: MailboxName,
        parameters: SelectParameters,
    },
    /// With what it is for, as `\Sent` (RFC 6154 §3).
    Create {
        mailbox: MailboxName,
        uses: Vec<String>,
    },
    Delete(MailboxName),
    Rename {
        from: MailboxName,
        to: MailboxName,
    },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(ListCommand),
    Lsub {
        reference: MailboxName,
        pattern: String,
    },
    Status {
        mailbox: MailboxName,
        items: Vec<StatusItem>,
    },
    /// RFC 4314.
    Acl(AclCommand),
    /// RFC 5464.
    Metadata(MetadataCommand),
    /// RFC 5465.
    Notify(NotifyCommand),
    /// RFC 2342.
    Namespace,
    /// RFC 2177.
    Idle,
    /// RFC 4978; `DEFLATE` is the only mechanism.
    Compress,
    /// RFC 9208 §4.1.1: the quota root.
    GetQuota(Vec<u8>),
    /// RFC 9208 §4.1.2.
    GetQuotaRoot(MailboxName),

    Check,
    Close,
    /// RFC 3691.
    Unselect,
    Expunge,
    /// RFC 4315 §2.1.
    UidExpunge(SequenceSet),
    Search(Search),
    /// RFC 5267 §4.3.5: tags.
    CancelUpdate(Vec<String>),
    /// RFC 5256.
    Sort(Sort),
    /// RFC 5256.
    Thread(Thread),
    Fetch {
        by: By,
        set: SequenceSet,
        items: Vec<FetchItem>,
        modifiers: FetchModifiers,
    },
    Store(Store),
    Copy {
        by: By,
        set: SequenceSet,
        mailbox: MailboxName,
    },
    /// RFC 6851.
    Move {
        by: By,
        set: SequenceSet,
        mailbox: MailboxName,
    },
}

impl Command {
    /// The command's name; `UID` is no part of it, except in `UID EXPUNGE`, a command of its own.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Capability => "CAPABILITY",
            Self::Noop => "NOOP",
            Self::Logout => "LOGOUT",
            Self::Id(_) => "ID",
            Self::StartTls => "STARTTLS",
            Self::Authenticate { .. } => "AUTHENTICATE",
            Self::Login { .. } => "LOGIN",
            Self::Enable(_) => "ENABLE",
            Self::Select { .. } => "SELECT",
            Self::Examine { .. } => "EXAMINE",
            Self::Create { .. } => "CREATE",
            Self::Delete(_) => "DELETE",
            Self::Rename { .. } => "RENAME",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe(_) => "UNSUBSCRIBE",
            Self::List(_) => "LIST",
            Self::Lsub { .. } => "LSUB",
            Self::Status { .. } => "STATUS",
            Self::Acl(command) => command.verb(),
            Self::Metadata(command) => command.verb(),
            Self::Notify(_) => "NOTIFY",
            Self::Namespace => "NAMESPACE",
            Self::Idle => "IDLE",
            Self::Compress => "COMPRESS",
            Self::GetQuota(_) => "GETQUOTA",
            Self::GetQuotaRoot(_) => "GETQUOTAROOT",
            Self::Check => "CHECK",
            Self::Close => "CLOSE",
            Self::Unselect => "UNSELECT",
            Self::Expunge => "EXPUNGE",
            Self::UidExpunge(_) => "UID EXPUNGE",
            Self::Search(_) => "SEARCH",
            Self::CancelUpdate(_) => "CANCELUPDATE",
            Self::Sort(_) => "SORT",
            Self::Thread(_) => "THREAD",
            Self::Fetch { .. } => "FETCH",
            Self::Store(_) => "STORE",
            Self::Copy { .. } => "COPY",
            Self::Move { .. } => "MOVE",
        }
    }
}

/// Octets that are no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unparsed {
    /// The tag, where there was one: the answer goes to it.
    pub tag: Option<Tag>,
    /// Why.
    pub error: ParseError,
}

/// Reads one whole command: its lines with their literals, without the last CRLF.
///
/// ```text
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// ```
///
/// # Errors
/// What is wrong, with the tag where it could be read.
pub fn parse(text: &[u8], limits: &Limits) -> Result<Tagged, Unparsed> {
    let mut cursor = Cursor::new(text, limits);
    let tag = match cursor.tag() {
        Ok(tag) if cursor.peek() == Some(b' ') => Tag(tag.to_owned()),
        Ok(_) => return Err(Unparsed { tag: None, error: missing_command() }),
        Err(error) => return Err(Unparsed { tag: None, error }),
    };
    match command(&mut cursor) {
        Ok(command) => Ok(Tagged { tag, command }),
        Err(error) => Err(Unparsed { tag: Some(tag), error }),
    }
}

fn missing_command() -> ParseError {
    ParseError::Expected { expected: "a tag, a space and a command", at: 0 }
}

/// The tag that octets begin with, whatever follows.
pub(crate) fn read_tag(text: &[u8]) -> Option<Tag> {
    let end = text.iter().position(|octet| *octet == b' ')?;
    std::str::from_utf8(&text[..end]).ok().and_then(Tag::new)
}

fn command(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    cursor.space()?;
    let name = cursor.word("a command")?.to_ascii_uppercase();
    let command = match name.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge,
        "ID" | "AUTHENTICATE" | "LOGIN" | "ENABLE" | "COMPRESS" => session_command(cursor, &name)?,
        "NOTIFY" => Command::Notify(notify(cursor)?),
        "CANCELUPDATE" => cancel_update(cursor)?,
        "UID" => uid_command(cursor)?,
        name if MESSAGE_COMMANDS.contains(&name) => message_command(cursor, name, By::SequenceNumber)?,
        _ => mailbox_command(cursor, &name)?,
    };
    cursor.end()?;
    Ok(command)
}

/// Commands about the session itself.
fn session_command(cursor: &mut Cursor<'_>, name: &str) -> Result<Command, ParseError> {
    cursor.space()?;
    match name {
        "ID" => id(cursor),
        "AUTHENTICATE" => authenticate(cursor),
        "LOGIN" => {
            // login = "LOGIN" SP userid SP password ; both astring
            let user = cursor.astring("a user name")?;
            cursor.space()?;
            Ok(Command::Login { user, password: Secret(cursor.astring("a password")?) })
        }
        "COMPRESS" => {
            let wrong = cursor.expected("DEFLATE");
            if cursor.atom("a mechanism")?.eq_ignore_ascii_case("DEFLATE") {
                Ok(Command::Compress)
            } else {
                wrong
            }
        }
        _ => enable(cursor),
    }
}

/// RFC 2971 §4: `id ::= "ID" SPACE id_params_list`,
/// `id_params_list ::= "(" #(string SPACE nstring) ")" / nil`
fn id(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    if cursor.take_word("NIL") {
        return Ok(Command::Id(None));
    }
    let parameters = cursor.list(0, "a parameter list or NIL", |cursor| {
        let field = cursor.string("a field name")?;
        cursor.space()?;
        Ok((field, cursor.nstring("a value or NIL")?))
    })?;
    Ok(Command::Id(Some(parameters)))
}

/// RFC 4959 §5: `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`,
/// `initial-resp = (base64 / "=")`
fn authenticate(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let mechanism = cursor.atom("a mechanism")?.to_ascii_uppercase();
    let initial = if cursor.take(b' ') {
        let octets = cursor.take_while(|octet| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet));
        if octets.is_empty() {
            return cursor.expected("an initial response in base64");
        }
        Some(Secret(octets.to_vec()))
    } else {
        None
    };
    Ok(Command::Authenticate { mechanism, initial })
}

/// RFC 5161 §4: `"ENABLE" 1*(SP capability)`
fn enable(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let mut names = Vec::new();
    loop {
        if names.len() == cursor.limits.list_items {
            return Err(ParseError::TooMany("capabilities"));
        }
        names.push(cursor.atom("a capability")?.to_ascii_uppercase());
        if !cursor.take(b' ') {
            return Ok(Command::Enable(names));
        }
    }
}

/// `uid = "UID" SP (copy / fetch / search / store)`, and `uid-expunge` of RFC 4315 §4, `move` of RFC 6851 §4.
fn uid_command(cursor: &mut Cursor<'_>) -> Result<Command, ParseError> {
    cursor.space()?;
    let name = cursor.word("a command after UID")?.to_ascii_uppercase();
    if name == "EXPUNGE" {
        cursor.space()?;
        return Ok(Command::UidExpunge(sequence_set(cursor)?));
    }
    message_command(cursor, &name, By::Uid)
}

const MESSAGE_COMMANDS: [&str; 7] = ["SEARCH", "SORT", "THREAD", "FETCH", "STORE", "COPY", "MOVE"];

/// Commands about messages.
fn message_command(cursor: &mut Cursor<'_>, name: &str, by: By) -> Result<Command, ParseError> {
    if !MESSAGE_COMMANDS.contains(&name) {
        return Err(ParseError::UnknownCommand);
    }
    cursor.space()?;
    match name {
        "SEARCH" => return search(cursor, by).map(Command::Search),
        "SORT" => return sort(cursor, by).map(Command::Sort),
        "THREAD" => return thread(cursor, by).map(Command::Thread),
        _ => {}
    }
    let set = sequence_set(cursor)?;
    cursor.space()?;
    Ok(match name {
        "FETCH" => {
            let items = fetch_items(cursor)?;
            Command::Fetch { by, set, items, modifiers: fetch_modifiers(cursor, by)? }
        }
        "STORE" => Command::Store(store(cursor, by, set)?),
        "COPY" => Command::Copy { by, set, mailbox: mailbox(cursor)? },
        _ => Command::Move { by, set, mailbox: mailbox(cursor)? },
    })
}

/// ```text
/// create-params = SP "(" create-param *(SP create-param) ")" ; RFC 4466 §2.2
/// create-param  =/ "USE" SP "(" [use-attr *(SP use-attr)] ")" ; RFC 6154 §6
/// ```
fn special_uses(cursor: &mut Cursor<'_>) -> Result<Vec<String>, ParseError> {
    if !cursor.take(b' ') {
        return Ok(Vec::new());
    }
    if !cursor.take_word("(USE ") {
        return cursor.expected("(USE (…))");
    }
    let uses = cursor.list(0, "what the mailbox is for", |cursor| {
        cursor.must(b'\\', "an attribute")?;
        Ok(format!("\\{}", cursor.atom("an attribute")?))
    })?;
    cursor.must(b')', "the end of the parameters")?;
    Ok(uses)
}

/// Commands about mailboxes.
fn mailbox_command(cursor: &mut Cursor<'_>, name: &str) -> Result<Command, ParseError> {
    if let Some(command) = AclCommand::parse(cursor, name) {
        return command.map(Command::Acl);
    }
    if let Some(command) = MetadataCommand::parse(cursor, name) {
        return command.map(Command::Metadata);
    }
    if !matches!(
        name,
        "SELECT"
            | "EXAMINE"
            | "CREATE"
            | "DELETE"
            | "RENAME"
            | "SUBSCRIBE"
            | "UNSUBSCRIBE"
            | "LIST"
            | "LSUB"
            | "STATUS"
            | "APPEND"
            | "GETQUOTA"
            | "GETQUOTAROOT"
    ) {
        return Err(ParseError::UnknownCommand);
    }
    cursor.space()?;
    if name == "LIST" {
        return list(cursor).map(Command::List);
    }
    if name == "GETQUOTA" {
        return cursor.astring("a quota root").map(Command::GetQuota);
    }
    let mailbox_name = mailbox(cursor)?;
    Ok(match name {
        "SELECT" => Command::Select { mailbox: mailbox_name, parameters: select_parameters(cursor)? },
        "EXAMINE" => Command::Examine { mailbox: mailbox_name, parameters: select_parameters(cursor)? },
        "GETQUOTAROOT" => Command::GetQuotaRoot(mailbox_name),
        "CREATE" => Command::Create { mailbox: mailbox_name, uses: special_uses(cursor)? },
        "DELETE" => Command::Delete(mailbox_name),
        "SUBSCRIBE" => Command::Subscribe(mailbox_name),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox_name),
        "RENAME" => {
            cursor.space()?;
            Command::Rename { from: mailbox_name, to: mailbox(cursor)? }
        }
        "LSUB" => {
            cursor.space()?;
            Command::Lsub { reference: mailbox_name, pattern: list_mailbox(cursor)? }
        }
        "STATUS" => {
            cursor.space()?;
            Command::Status { mailbox: mailbox_name, items: status_items(cursor)? }
        }
        // A whole APPEND never comes here: the reader stops before its message.
        _ => return cursor.expected("a message as literal"),
    })
}
