//! GETMETADATA and SETMETADATA (RFC 5464): annotations of mailboxes and of the server.

use std::collections::BTreeMap;
use std::ops::Bound;

use imap_wire::{
    Code, Depth, MailboxName, MetadataCommand, MetadataEntries, MetadataOptions, MetadataResponse, Response,
};
use store::{ANNOTATION_VALUE_MAX, Annotated, AnnotationName, StoreError};

use super::{Context, find, refusal};
use crate::answer::Answer;

/// How the administrator is reached: the one shared annotation of the server, its own to give (RFC 5464 §6.2.2).
const ADMIN: &str = "/shared/admin";

type Entries = Vec<(String, Option<Vec<u8>>)>;

pub(super) async fn metadata(context: &mut Context<'_>, command: &MetadataCommand) -> Answer {
    let of = match annotated(context, command.mailbox()) {
        Ok(of) => of,
        Err(error) => return refusal(&error),
    };
    match command {
        MetadataCommand::Get { mailbox, options, entries } => get(context, of, mailbox, *options, entries),
        MetadataCommand::Set { entries, .. } => set(context, of, entries).await,
    }
}

fn annotated(context: &Context<'_>, name: &MailboxName) -> Result<Annotated, StoreError> {
    if name.as_str().is_empty() {
        return Ok(Annotated::Server);
    }
    find(context, name).map(|mailbox| Annotated::Mailbox(mailbox.id))
}

fn get(
    context: &mut Context<'_>,
    of: Annotated,
    mailbox: &MailboxName,
    options: MetadataOptions,
    asked: &[String],
) -> Answer {
    let Some(asked) = asked.iter().map(|name| AnnotationName::branch(name)).collect::<Option<Vec<_>>>()
    else {
        return invalid();
    };
    let known = match context.shared.parts.store.annotations(of) {
        Ok(known) => known,
        Err(error) => return refusal(&error),
    };
    let mut all: BTreeMap<&str, &[u8]> = known.entries().collect();
    if let (Annotated::Server, Some(admin)) = (of, &context.options.admin) {
        all.insert(ADMIN, admin.as_bytes());
    }
    let (mut told, mut longest) = (Entries::new(), 0);
    for name in &asked {
        let found = chosen(&all, name, options.depth);
        // An entry that is asked for by itself has no value: that is told. RFC 5464 §4.2 wants a response.
        if found.is_empty() && options.depth == Depth::Zero {
            told.push((name.as_str().to_owned(), None));
        }
        for (name, value) in found {
            let octets = u32::try_from(value.len()).unwrap_or(u32::MAX);
            if options.max_size.is_some_and(|max| octets > max) {
                longest = octets.max(longest);
            } else if !told.iter().any(|(known, _)| known == name) {
                told.push((name.to_owned(), Some(value.to_vec())));
            }
        }
    }
    if !told.is_empty() {
        let (mailbox, entries) = (mailbox.as_str().to_owned(), MetadataEntries::Values(told));
        context.io.say(&Response::Metadata(MetadataResponse { mailbox, entries }));
    }
    let answer = Answer::ok("GETMETADATA done");
    if longest > 0 { answer.code(Code::MetadataLongEntries(longest)) } else { answer }
}

/// An entry, and those below it as deep as is asked for (RFC 5464 §4.2.2).
fn chosen<'a>(
    all: &BTreeMap<&'a str, &'a [u8]>,
    name: &AnnotationName,
    depth: Depth,
) -> Vec<(&'a str, &'a [u8])> {
    let name = name.as_str();
    let mut found: Vec<_> =
        all.get_key_value(name).map(|(name, value)| (*name, *value)).into_iter().collect();
    if depth == Depth::Zero {
        return found;
    }
    let below = format!("{name}/");
    let from: (Bound<&str>, Bound<&str>) = (Bound::Included(below.as_str()), Bound::Unbounded);
    let children = all.range::<str, _>(from).take_while(|(known, _)| known.starts_with(&below));
    let is_near = |known: &str| depth == Depth::Infinity || !known[below.len()..].contains('/');
    found.extend(children.filter(|(known, _)| is_near(known)).map(|(name, value)| (*name, *value)));
    found
}

async fn set(context: &Context<'_>, of: Annotated, entries: &Entries) -> Answer {
    let names = entries.iter().map(|(name, _)| AnnotationName::new(name)).collect::<Option<Vec<_>>>();
    let Some(names) = names else { return invalid() };
    if entries.iter().flat_map(|(_, value)| value).any(|value| value.len() > ANNOTATION_VALUE_MAX) {
        let max = u32::try_from(ANNOTATION_VALUE_MAX).unwrap_or(u32::MAX);
        return Answer::no("the value is too long").code(Code::MetadataMaxSize(max));
    }
    if of == Annotated::Server && names.iter().any(AnnotationName::is_shared) {
        return Answer::no("shared annotations of the server are not set by users").code(Code::NoPerm);
    }
    let changes = names.into_iter().zip(entries.iter().map(|(_, value)| value.clone())).collect();
    match context.shared.parts.store.annotate(of, changes).await {
        Ok(()) => Answer::ok("SETMETADATA done"),
        Err(error @ StoreError::TooMany { .. }) => Answer::no(error.to_string()).code(Code::MetadataTooMany),
        Err(error) => refusal(&error),
    }
}

/// RFC 5464 §3.2.
fn invalid() -> Answer {
    Answer::bad("entries are named /private/… or /shared/…, below vendor with two more parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_from_the_entry() {
        let all = ["/private/a", "/private/a/b", "/private/a/b/c", "/private/ab", "/private/a0"];
        let all = all.iter().map(|name| (*name, &b""[..])).collect();
        let name = AnnotationName::new("/private/A").unwrap();
        let names = |depth| chosen(&all, &name, depth).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Depth::Zero), ["/private/a"]);
        assert_eq!(names(Depth::One), ["/private/a", "/private/a/b"]);
        assert_eq!(names(Depth::Infinity), ["/private/a", "/private/a/b", "/private/a/b/c"]);
    }
}
