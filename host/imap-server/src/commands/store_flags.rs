//! STORE (RFC 3501 §6.4.6).

use imap_wire::{By, Code, FetchResponse, Store, StoreAction};
use store::{FlagChange, FlagMode, Uid};

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
    let change = FlagChange { mode, flags, keywords: &keywords, unchanged_since: None };
    let stored = match context.shared.parts.store.store_flags(selected.mailbox, &uids, &change).await {
        Ok(stored) => stored,
        Err(error) => return Ok(refusal(&error)),
    };
    selected.knows(stored.messages.iter().map(|message| message.modseq));
    selected.take_keywords(context.io, stored.keywords);
    if !command.silent {
        for message in &stored.messages {
            let Some(sequence) = selected.view.sequence_of(message.uid.0) else { continue };
            let flags = selected.flags(message.uid.0, message.flags, message.keywords);
            let out = context.io.out();
            let mut fetch = FetchResponse::begin(out, sequence);
            if command.by == By::Uid {
                fetch.uid(out, message.uid.0);
            }
            fetch.flags(out, &flags);
            fetch.end(out);
            context.io.flush_if_full().await?;
        }
    }
    if command.by == By::SequenceNumber && stored.messages.len() < members.len() {
        return Ok(Answer::no("some of the messages have been expunged").code(Code::ExpungeIssued));
    }
    Ok(Answer::ok("STORE done"))
}
