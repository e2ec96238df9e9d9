//! STORE (RFC 3501 §6.4.6).

use imap_wire::{By, Code, FetchResponse, Store, StoreAction};
use store::{FlagChange, FlagMode, Listed, Uid};

use super::{Context, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, Expunges, Selected, split_flags};

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
    if command.silent {
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
    if command.silent {
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
        }
    }
    selected.take_keywords(context.io, stored.keywords);
    tell(context, selected, command.by, &stored.messages).await?;
    if command.by == By::SequenceNumber && count < members.len() {
        return Ok(Answer::no("some of the messages have been expunged").code(Code::ExpungeIssued));
    }
    Ok(Answer::ok("STORE done"))
}

/// The new flags of messages.
async fn tell(
    context: &mut Context<'_>,
    selected: &Selected,
    by: By,
    messages: &[Listed],
) -> Result<(), End> {
    for message in messages {
        let Some(sequence) = selected.view.sequence_of(message.uid.0) else { continue };
        let flags = selected.flags(message.uid.0, message.flags, message.keywords);
        let out = context.io.out();
        let mut fetch = FetchResponse::begin(out, sequence);
        if by == By::Uid {
            fetch.uid(out, message.uid.0);
        }
        fetch.flags(out, &flags);
        fetch.end(out);
        context.io.flush_if_full().await?;
    }
    Ok(())
}
