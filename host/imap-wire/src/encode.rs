//! Commands as a client writes them: the inverse of the parser.

mod notify;

use crate::append::{Append, AppendLiteral, AppendMessage, AppendStep};
use crate::command::{By, Command, Tag};
use crate::cursor::is_list_char;
use crate::fetch::FetchItem;
use crate::flag::Flag;
use crate::list::{ListCommand, ListReturn, ListSelection};
use crate::mailbox::{MailboxName, encode_utf7};
use crate::metadata::{MetadataCommand, MetadataOptions};
use crate::reader::LiteralMode;
use crate::search::{Search, SearchKey};
use crate::sequence::SequenceSet;
use crate::sort::Sort;
use crate::status::StatusItem;
use crate::store::{Store, StoreAction};
use crate::text::{is_quotable, write_astring, write_list, write_quoted, write_string};

/// A command with its CRLF. Strings that need a literal are written non-synchronizing (RFC 7888).
#[must_use]
pub fn encode_command(tag: &Tag, command: &Command) -> Vec<u8> {
    let mut out = format!("{tag} ").into_bytes();
    write_command(&mut out, command);
    out.extend_from_slice(b"\r\n");
    out
}

/// An APPEND up to and including the line that announces octets of a message, or ends it.
#[must_use]
pub fn encode_append(tag: &Tag, append: &Append) -> Vec<u8> {
    let verb = match append.replaces {
        Some((by, number)) => format!("{}REPLACE {number}", prefix(by)),
        None => "APPEND".to_owned(),
    };
    let mut out = format!("{tag} {verb} ").into_bytes();
    mailbox(&mut out, &append.mailbox);
    let mut catenated = false;
    for step in &append.steps {
        if *step == AppendStep::End {
            catenated = false;
            out.push(b')');
            continue;
        }
        if !out.ends_with(b"CATENATE (") {
            out.push(b' ');
        }
        match step {
            AppendStep::Message(message) => {
                catenated = message.catenated;
                append_message(&mut out, message);
            }
            AppendStep::Url(url) => {
                word(&mut out, "URL ");
                astring(&mut out, url.as_bytes());
            }
            AppendStep::Literal(literal) => append_literal(&mut out, literal, catenated),
            AppendStep::End => {}
        }
    }
    if !matches!(append.steps.last(), Some(AppendStep::Literal(_))) {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn append_message(out: &mut Vec<u8>, message: &AppendMessage) {
    if !message.flags.is_empty() {
        flags(out, &message.flags);
        out.push(b' ');
    }
    if let Some(date) = message.internal_date {
        date.write(out);
        out.push(b' ');
    }
    if message.catenated {
        word(out, "CATENATE (");
    } else {
        // The literal brings its own.
        out.pop();
    }
}

fn append_literal(out: &mut Vec<u8>, literal: &AppendLiteral, catenated: bool) {
    if catenated && !literal.utf8 {
        word(out, "TEXT ");
    }
    let tilde = match (literal.binary, literal.utf8) {
        (true, _) => "~",
        (_, true) => "UTF8 (~",
        _ => "",
    };
    let plus = if literal.mode == LiteralMode::NonSynchronizing { "+" } else { "" };
    word(out, &format!("{tilde}{{{}{plus}}}\r\n", literal.octets));
}

fn word(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// A literal as clients send it.
fn client_literal(out: &mut Vec<u8>, octets: &[u8]) {
    word(out, &format!("{{{}+}}\r\n", octets.len()));
    out.extend_from_slice(octets);
}

fn astring(out: &mut Vec<u8>, octets: &[u8]) {
    if is_quotable(octets) { write_astring(out, octets) } else { client_literal(out, octets) }
}

fn string(out: &mut Vec<u8>, octets: &[u8]) {
    if is_quotable(octets) { write_quoted(out, octets) } else { client_literal(out, octets) }
}

/// `value = nstring / literal8` (RFC 5464 §5)
fn value(out: &mut Vec<u8>, octets: &[u8]) {
    if octets.contains(&0) {
        out.push(b'~');
    }
    string(out, octets);
}

fn mailbox(out: &mut Vec<u8>, name: &MailboxName) {
    astring(out, encode_utf7(name.as_str()).as_bytes());
}

fn pattern(out: &mut Vec<u8>, pattern: &str) {
    let encoded = encode_utf7(pattern);
    let plain = !encoded.is_empty() && encoded.bytes().all(is_list_char);
    if plain { word(out, &encoded) } else { string(out, encoded.as_bytes()) }
}

fn flags(out: &mut Vec<u8>, flags: &[Flag]) {
    write_list(out, flags, |out, flag| word(out, &flag.to_string()));
}

fn status_items(out: &mut Vec<u8>, items: &[StatusItem]) {
    write_list(out, items, |out, item| word(out, item.name()));
}

fn write_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::Capability => word(out, "CAPABILITY"),
        Command::Noop => word(out, "NOOP"),
        Command::Logout => word(out, "LOGOUT"),
        Command::StartTls => word(out, "STARTTLS"),
        Command::Namespace => word(out, "NAMESPACE"),
        Command::Idle => word(out, "IDLE"),
        Command::Compress => word(out, "COMPRESS DEFLATE"),
        Command::Check => word(out, "CHECK"),
        Command::Close => word(out, "CLOSE"),
        Command::Unselect => word(out, "UNSELECT"),
        Command::Expunge => word(out, "EXPUNGE"),
        Command::Id(_) | Command::Authenticate { .. } | Command::Login { .. } | Command::Enable(_) => {
            session_command(out, command);
        }
        Command::UidExpunge(_)
        | Command::Search(_)
        | Command::CancelUpdate(_)
        | Command::Sort(_)
        | Command::Thread(_)
        | Command::Fetch { .. }
        | Command::Store(_)
        | Command::Copy { .. }
        | Command::Move { .. } => message_command(out, command),
        _ => mailbox_command(out, command),
    }
}

fn session_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::Id(None) => word(out, "ID NIL"),
        Command::Id(Some(parameters)) => {
            word(out, "ID ");
            write_list(out, parameters, |out, (field, value)| {
                string(out, field);
                out.push(b' ');
                match value {
                    Some(value) => string(out, value),
                    None => word(out, "NIL"),
                }
            });
        }
        Command::Authenticate { mechanism, initial } => {
            word(out, &format!("AUTHENTICATE {mechanism}"));
            if let Some(initial) = initial {
                out.push(b' ');
                out.extend_from_slice(initial.as_bytes());
            }
        }
        Command::Login { user, password } => {
            word(out, "LOGIN ");
            astring(out, user);
            out.push(b' ');
            astring(out, password.as_bytes());
        }
        Command::Enable(names) => word(out, &format!("ENABLE {}", names.join(" "))),
        _ => {}
    }
}

fn mailbox_command(out: &mut Vec<u8>, command: &Command) {
    let (verb, name) = match command {
        Command::Select { mailbox, .. } => ("SELECT", mailbox),
        Command::Examine { mailbox, .. } => ("EXAMINE", mailbox),
        Command::GetQuotaRoot(name) => ("GETQUOTAROOT", name),
        Command::Create { mailbox, .. } => ("CREATE", mailbox),
        Command::Delete(name) => ("DELETE", name),
        Command::Subscribe(name) => ("SUBSCRIBE", name),
        Command::Unsubscribe(name) => ("UNSUBSCRIBE", name),
        Command::Rename { from, .. } => ("RENAME", from),
        Command::Lsub { reference, .. } => ("LSUB", reference),
        Command::Status { mailbox, .. } => ("STATUS", mailbox),
        Command::List(command) => return list(out, command),
        Command::GetQuota(root) => {
            word(out, "GETQUOTA ");
            return astring(out, root);
        }
        Command::Notify(command) => return notify::write(out, command),
        Command::Metadata(command) => return metadata(out, command),
        Command::Acl(command) => {
            word(out, command.verb());
            for argument in command.words() {
                out.push(b' ');
                astring(out, argument.as_bytes());
            }
            return;
        }
        _ => return,
    };
    word(out, verb);
    out.push(b' ');
    mailbox(out, name);
    match command {
        Command::Select { parameters, .. } | Command::Examine { parameters, .. } => parameters.write(out),
        Command::Create { uses, .. } if !uses.is_empty() => {
            word(out, &format!(" (USE ({}))", uses.join(" ")));
        }
        Command::Rename { to, .. } => {
            out.push(b' ');
            mailbox(out, to);
        }
        Command::Lsub { pattern: text, .. } => {
            out.push(b' ');
            pattern(out, text);
        }
        Command::Status { items, .. } => {
            out.push(b' ');
            status_items(out, items);
        }
        _ => {}
    }
}

fn metadata(out: &mut Vec<u8>, command: &MetadataCommand) {
    word(out, command.verb());
    out.push(b' ');
    match command {
        MetadataCommand::Get { mailbox: name, options, entries } => {
            if *options != MetadataOptions::default() {
                options.write(out);
                out.push(b' ');
            }
            mailbox(out, name);
            out.push(b' ');
            // A list that begins with a letter is one of options, there.
            write_list(out, entries, |out, entry| match entry.as_bytes() {
                name if name.first() == Some(&b'/') => astring(out, name),
                name => write_string(out, name),
            });
        }
        MetadataCommand::Set { mailbox: name, entries } => {
            mailbox(out, name);
            out.push(b' ');
            write_list(out, entries, |out, (entry, octets)| {
                astring(out, entry.as_bytes());
                out.push(b' ');
                match octets {
                    Some(octets) => value(out, octets),
                    None => word(out, "NIL"),
                }
            });
        }
    }
}

fn list(out: &mut Vec<u8>, command: &ListCommand) {
    word(out, "LIST ");
    if !command.selection.is_empty() {
        write_list(out, &command.selection, |out, option| {
            word(
                out,
                match option {
                    ListSelection::Subscribed => "SUBSCRIBED",
                    ListSelection::Remote => "REMOTE",
                    ListSelection::RecursiveMatch => "RECURSIVEMATCH",
                    ListSelection::SpecialUse => "SPECIAL-USE",
                },
            );
        });
        out.push(b' ');
    }
    mailbox(out, &command.reference);
    out.push(b' ');
    match command.patterns.as_slice() {
        [one] => pattern(out, one),
        many => write_list(out, many, |out, one| pattern(out, one)),
    }
    if let Some(returns) = &command.returns {
        word(out, " RETURN ");
        write_list(out, returns, |out, option| match option {
            ListReturn::Subscribed => word(out, "SUBSCRIBED"),
            ListReturn::Children => word(out, "CHILDREN"),
            ListReturn::SpecialUse => word(out, "SPECIAL-USE"),
            ListReturn::MyRights => word(out, "MYRIGHTS"),
            ListReturn::Status(items) => {
                word(out, "STATUS ");
                status_items(out, items);
            }
        });
    }
}

fn message_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::UidExpunge(set) => word(out, &format!("UID EXPUNGE {set}")),
        Command::Search(search) => write_search(out, search),
        Command::CancelUpdate(tags) => {
            word(out, "CANCELUPDATE");
            for tag in tags {
                out.push(b' ');
                string(out, tag.as_bytes());
            }
        }
        Command::Sort(sort) => write_sort(out, sort),
        Command::Thread(thread) => {
            word(out, &format!("{}THREAD {} ", prefix(thread.by), thread.algorithm.name()));
            astring(out, thread.charset.as_bytes());
            write_keys(out, &thread.keys);
        }
        Command::Fetch { by, set, items, modifiers } => {
            verb(out, *by, "FETCH", set);
            write_list(out, items, |out, item: &FetchItem| item.write(out));
            modifiers.write(out);
        }
        Command::Store(store) => write_store(out, store),
        Command::Copy { by, set, mailbox: name } => {
            verb(out, *by, "COPY", set);
            mailbox(out, name);
        }
        Command::Move { by, set, mailbox: name } => {
            verb(out, *by, "MOVE", set);
            mailbox(out, name);
        }
        _ => {}
    }
}

fn prefix(by: By) -> &'static str {
    if by == By::Uid { "UID " } else { "" }
}

fn verb(out: &mut Vec<u8>, by: By, verb: &str, set: &SequenceSet) {
    word(out, &format!("{}{verb} {set} ", prefix(by)));
}

fn write_store(out: &mut Vec<u8>, store: &Store) {
    verb(out, store.by, "STORE", &store.set);
    if let Some(modseq) = store.unchanged_since {
        word(out, &format!("(UNCHANGEDSINCE {modseq}) "));
    }
    word(
        out,
        match store.action {
            StoreAction::Replace => "FLAGS",
            StoreAction::Add => "+FLAGS",
            StoreAction::Remove => "-FLAGS",
        },
    );
    word(out, if store.silent { ".SILENT " } else { " " });
    flags(out, &store.flags);
}

fn write_search(out: &mut Vec<u8>, search: &Search) {
    word(out, &format!("{}SEARCH", prefix(search.by)));
    if let Some(returns) = &search.returns {
        out.push(b' ');
        returns.write(out);
        out.pop();
    }
    if let Some(charset) = &search.charset {
        word(out, " CHARSET ");
        astring(out, charset.as_bytes());
    }
    write_keys(out, &search.keys);
}

fn write_keys(out: &mut Vec<u8>, keys: &[SearchKey]) {
    for key in keys {
        out.push(b' ');
        write_key(out, key);
    }
}

fn write_sort(out: &mut Vec<u8>, sort: &Sort) {
    word(out, &format!("{}SORT ", prefix(sort.by)));
    if let Some(returns) = &sort.returns {
        returns.write(out);
    }
    write_list(out, &sort.criteria, |out, criterion| word(out, &criterion.text()));
    out.push(b' ');
    astring(out, sort.charset.as_bytes());
    write_keys(out, &sort.keys);
}

fn write_key(out: &mut Vec<u8>, key: &SearchKey) {
    let (name, date) = match key {
        SearchKey::All => return word(out, "ALL"),
        SearchKey::New => return word(out, "NEW"),
        SearchKey::Has(flag) => return flag_key(out, "", flag),
        SearchKey::Lacks(flag) => return flag_key(out, "UN", flag),
        SearchKey::Header(name, text) => {
            word(out, "HEADER ");
            astring(out, name.as_bytes());
            out.push(b' ');
            return astring(out, text);
        }
        SearchKey::Body(text) => {
            word(out, "BODY ");
            return astring(out, text);
        }
        SearchKey::Text(text) => {
            word(out, "TEXT ");
            return astring(out, text);
        }
        SearchKey::Larger(octets) => return word(out, &format!("LARGER {octets}")),
        SearchKey::Smaller(octets) => return word(out, &format!("SMALLER {octets}")),
        SearchKey::Uid(set) => return word(out, &format!("UID {set}")),
        SearchKey::Sequence(set) => return word(out, &set.to_string()),
        SearchKey::Not(key) => {
            word(out, "NOT ");
            return write_key(out, key);
        }
        SearchKey::Or(keys) => {
            for (left, key) in keys.iter().enumerate().map(|(place, key)| (keys.len() - 1 - place, key)) {
                word(out, if left > 0 { "OR " } else { "" });
                write_key(out, key);
                word(out, if left > 0 { " " } else { "" });
            }
            return;
        }
        SearchKey::Older(seconds) => return word(out, &format!("OLDER {seconds}")),
        SearchKey::Younger(seconds) => return word(out, &format!("YOUNGER {seconds}")),
        SearchKey::ModSeq(modseq) => return word(out, &format!("MODSEQ {modseq}")),
        SearchKey::SaveDateSupported => return word(out, "SAVEDATESUPPORTED"),
        SearchKey::EmailId(id) => return word(out, &format!("EMAILID {id}")),
        SearchKey::ThreadId(id) => return word(out, &format!("THREADID {id}")),
        SearchKey::And(keys) => return write_list(out, keys, write_key),
        SearchKey::Before(date) => ("BEFORE ", date),
        SearchKey::On(date) => ("ON ", date),
        SearchKey::Since(date) => ("SINCE ", date),
        SearchKey::SentBefore(date) => ("SENTBEFORE ", date),
        SearchKey::SentOn(date) => ("SENTON ", date),
        SearchKey::SentSince(date) => ("SENTSINCE ", date),
        SearchKey::SavedBefore(date) => ("SAVEDBEFORE ", date),
        SearchKey::SavedOn(date) => ("SAVEDON ", date),
        SearchKey::SavedSince(date) => ("SAVEDSINCE ", date),
    };
    word(out, name);
    date.write(out);
}

fn flag_key(out: &mut Vec<u8>, un: &str, flag: &Flag) {
    match flag {
        Flag::Keyword(keyword) => word(out, &format!("{un}KEYWORD {keyword}")),
        Flag::Recent => word(out, if un.is_empty() { "RECENT" } else { "OLD" }),
        system => {
            word(out, &format!("{un}{}", system.to_string().trim_start_matches('\\').to_ascii_uppercase()))
        }
    }
}
