//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314 §3).

use imap_wire::{AclCommand, AclResponse, MailboxName, Response};
use store::{ANYONE, AclChange, GROUP_PREFIX, Identifier, MailboxInfo, Rights, StoreError};

use super::{Context, find, refusal};
use crate::answer::Answer;

pub(crate) async fn acl(context: &mut Context<'_>, command: &AclCommand) -> Answer {
    let mailbox = match find(context, command.mailbox()) {
        Ok(mailbox) => mailbox,
        Err(error) => return refusal(&error),
    };
    let done = match command {
        AclCommand::Set { identifier, rights, .. } => match change(rights) {
            Ok(change) => set(context, &mailbox, identifier, change).await,
            Err(why) => return Answer::bad(why),
        },
        AclCommand::Delete { identifier, .. } => set(context, &mailbox, identifier, AclChange::Delete).await,
        AclCommand::Get(name) => tell_acl(context, &mailbox, name),
        AclCommand::ListRights { identifier, mailbox: name } => {
            tell_possible(context, &mailbox, name, identifier)
        }
        AclCommand::MyRights(name) => context.shared.parts.store.rights(mailbox.id).map(|rights| {
            context.io.say(&my_rights(name.as_str(), rights));
        }),
    };
    match done {
        Ok(()) => Answer::ok(format!("{} done", command.verb())),
        // RFC 4314 §3: what cannot be an identifier is no valid argument.
        Err(StoreError::Name(_)) => Answer::bad("that is no identifier"),
        Err(error) => refusal(&error),
    }
}

/// A response of MYRIGHTS, also in LIST (RFC 8440).
pub(super) fn my_rights(name: &str, rights: Rights) -> Response {
    Response::Acl(AclResponse::MyRights { mailbox: name.to_owned(), rights: rights.to_string() })
}

/// RFC 4314 §3.1: `+` adds, `-` takes, neither replaces; no letter is passed over.
fn change(text: &str) -> Result<AclChange, String> {
    let parse = |letters: &str| {
        Rights::parse(letters).map_err(|letter| match letter {
            'A'..='Z' => "rights are small letters".to_owned(),
            letter => format!("the right {letter:?} is not known"),
        })
    };
    if let Some(letters) = text.strip_prefix('+') {
        return parse(letters).map(AclChange::Add);
    }
    if let Some(letters) = text.strip_prefix('-') {
        return parse(letters).map(AclChange::Remove);
    }
    parse(text).map(AclChange::Replace)
}

/// An identifier in the form that lists keep: whatever a user logs in with is that user (RFC 4314 §2),
/// prepared as logins are (§3).
fn identifier_of(context: &Context<'_>, text: &str) -> Result<Identifier, StoreError> {
    let wrong = StoreError::Name("is no identifier");
    let (sign, who) = text.strip_prefix('-').map_or(("", text), |who| ("-", who));
    let begins_as =
        |prefix: &str| who.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins_as(GROUP_PREFIX) || who.eq_ignore_ascii_case(ANYONE) {
        return Identifier::new(text).ok_or(wrong);
    }
    let account = context.shared.parts.authenticator.account_named(who);
    account.and_then(|account| Identifier::new(&format!("{sign}{account}"))).ok_or(wrong)
}

async fn set(
    context: &Context<'_>,
    mailbox: &MailboxInfo,
    identifier: &str,
    change: AclChange,
) -> Result<(), StoreError> {
    context.shared.parts.store.set_acl(mailbox.id, &identifier_of(context, identifier)?, change).await
}

/// The owner is told of first: all rights, though no list has them.
fn tell_acl(context: &mut Context<'_>, mailbox: &MailboxInfo, name: &MailboxName) -> Result<(), StoreError> {
    let store = &context.shared.parts.store;
    let acl = store.acl(mailbox.id)?;
    let owner = store.owner(mailbox.id)?.map(|owner| (owner.to_string(), Rights::ALL.to_string()));
    let entries = acl.entries().map(|(identifier, rights)| (identifier.to_string(), rights.to_string()));
    let entries = owner.into_iter().chain(entries).collect();
    context.io.say(&Response::Acl(AclResponse::Acl { mailbox: name.as_str().to_owned(), entries }));
    Ok(())
}

/// RFC 4314 §3.4: the owner has all rights whatever the list says; others can have each by itself.
fn tell_possible(
    context: &mut Context<'_>,
    mailbox: &MailboxInfo,
    name: &MailboxName,
    identifier: &str,
) -> Result<(), StoreError> {
    let store = &context.shared.parts.store;
    store.require(mailbox.id, Rights::ADMINISTER)?;
    let parsed = identifier_of(context, identifier)?;
    let is_owners = store.owner(mailbox.id)?.is_some_and(|owner| parsed.is_about(&owner));
    let (required, optional) = match (is_owners, identifier.starts_with('-')) {
        (true, false) => (Rights::ALL.to_string(), Vec::new()),
        (true, true) => (String::new(), Vec::new()),
        (false, _) => (String::new(), Rights::ALL.to_string().chars().map(String::from).collect()),
    };
    let identifier = identifier.to_owned();
    let mailbox = name.as_str().to_owned();
    context.io.say(&Response::Acl(AclResponse::ListRights { mailbox, identifier, required, optional }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_changed_as_the_standard_says() {
        let rights = |text: &str| Rights::parse(text).unwrap();
        assert_eq!(change("lr"), Ok(AclChange::Replace(rights("lr"))));
        assert_eq!(change(""), Ok(AclChange::Replace(Rights::NONE)));
        assert_eq!(change("+cda"), Ok(AclChange::Add(rights("kxeta"))));
        assert_eq!(change("-w"), Ok(AclChange::Remove(rights("w"))));
        assert_eq!(change("lrQswicda"), Err("rights are small letters".to_owned()));
        assert_eq!(change("lrqswicda"), Err("the right 'q' is not known".to_owned()));
        assert!(change("+-l").is_err());
    }
}
