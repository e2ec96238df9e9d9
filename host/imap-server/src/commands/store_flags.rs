//! STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3).

use imap_wire::{By, Code, Store, StoreAction};
use store::{FlagChange, FlagMode, FlagsStored, Listed, ModSeq, Uid};

use super::resync::named as named_set;
use super::{Context, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, Expunges, Selected, split_flags};
use crate::view::Member;

pub(crate) async fn store(
    context: &mut Context<'_>,
    selected: &mut Selected,
    command: &Store,
) -> Result<Answer, End> {
    if selected.access == Access::ReadOnly {
        return Ok(Answer::no("the mailbox is read-only").code(Code::NoPerm));
    }
    let (flags, keywords) = match split_flags(&command.flags) {
        Ok(split) => split,
        Err(why) => return Ok(Answer::bad(why)),
    };
    let Ok(members) = selected.view.resolve(command.by, &command.set) else {
        return Ok(Answer::bad("no such message"));
    };
    // What others changed is told first: .SILENT keeps back our own change only.
    selected.tell(&context.shared.parts.store, context.io, Expunges::Kept).await?;
    let uids: Vec<Uid> = members.iter().map(|member| Uid(member.uid)).collect();
    let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
    let mode = match command.action {
        StoreAction::Add => FlagMode::Add,
        StoreAction::Remove => FlagMode::Remove,
        StoreAction::Replace => FlagMode::Replace,
    };
    let mut change = FlagChange { mode, flags, keywords: &keywords, unchanged_since: None };
    // A condition beyond what the client has been told may let in what it does not know: then it is told all.
    let beyond = |modseq| modseq > selected.modseq().0;
    let silent = command.silent && !command.unchanged_since.is_some_and(beyond);
    if let Some(modseq) = command.unchanged_since {
        change.unchanged_since = Some(ModSeq(modseq));
    } else if silent {
        // The client adds up by itself: only where nobody came between does its sum hold.
        change.unchanged_since = Some(selected.modseq());
    }
    let store = &context.shared.parts.store;
    let mut stored = match store.store_flags(selected.mailbox, &uids, &change).await {
        Ok(stored) => stored,
        Err(error) => return Ok(refusal(&error)),
    };
    let mut count = stored.messages.len();
    selected.knows(&stored.messages);
    // The names come before the flags that have them.
    let names = std::mem::take(&mut stored.keywords);
    if silent && keywords.is_empty() {
        selected.note_keywords(names);
    } else {
        selected.take_keywords(context.io, names);
    }
    if command.unchanged_since.is_some() {
        return tell_conditional(context, selected, command, (stored, silent), members.len()).await;
    }
    if silent {
        if context.io.dialect.modseq {
            tell(context, selected, command.by, &stored.messages, Told::ModSeqs).await?;
        }
        // What others have changed meanwhile is told, silent or not.
        change.unchanged_since = None;
        stored.messages = Vec::new();
        if !stored.modified.is_empty() {
            stored = match store.store_flags(selected.mailbox, &stored.modified, &change).await {
                Ok(stored) => stored,
                Err(error) => return Ok(refusal(&error)),
            };
            count += stored.messages.len();
            selected.knows(&stored.messages);
            selected.take_keywords(context.io, stored.keywords);
        }
    }
    tell(context, selected, command.by, &stored.messages, Told::Flags).await?;
    if command.by == By::SequenceNumber && count < members.len() {
        return Ok(Answer::no("some of the messages have been expunged").code(Code::ExpungeIssued));
    }
    Ok(Answer::ok("STORE done"))
}

/// Tells what a conditional STORE came to: the new mod-sequences, silent or not, and which messages had
/// changed meanwhile (RFC 7162 §3.1.3).
async fn tell_conditional(
    context: &mut Context<'_>,
    selected: &Selected,
    command: &Store,
    (stored, silent): (FlagsStored, bool),
    named: usize,
) -> Result<Answer, End> {
    let told = if silent { Told::ModSeqs } else { Told::Flags };
    tell(context, selected, command.by, &stored.messages, told).await?;
    let expunged = stored.messages.len() + stored.modified.len() < named;
    let answer = if command.by == By::SequenceNumber && expunged {
        Answer::no("some of the messages have been expunged")
    } else {
        Answer::ok("STORE done")
    };
    let member = |uid: &Uid| selected.view.sequence_of(uid.0).map(|sequence| Member { sequence, uid: uid.0 });
    Ok(match named_set(command.by, stored.modified.iter().filter_map(member)) {
        Some(set) => answer.code(Code::Modified(set)),
        None => answer,
    })
}

/// What is told of messages that were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Flags,
    /// The mod-sequences alone: the client said `.SILENT`.
    ModSeqs,
}

/// The new flags of messages, or their mod-sequences.
async fn tell(
    context: &mut Context<'_>,
    selected: &Selected,
    by: By,
    messages: &[Listed],
    told: Told,
) -> Result<(), End> {
    let with_modseq = context.io.dialect.modseq;
    for message in messages {
        let Some(sequence) = selected.view.sequence_of(message.uid.0) else { continue };
        let flags = selected.flags(message.uid.0, message.flags, message.keywords);
        let member = Member { sequence, uid: message.uid.0 };
        let mut fetch = context.io.fetch_response(member, by == By::Uid || with_modseq);
        let out = context.io.out();
        if told == Told::Flags {
            fetch.flags(out, &flags);
        }
        if with_modseq {
            fetch.modseq(out, message.modseq.0);
        }
        fetch.end(out);
        context.io.flush_if_full().await?;
    }
    Ok(())
}
