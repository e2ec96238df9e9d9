//! FETCH (RFC 3501 §6.4.5).

use std::sync::Arc;

use imap_wire::{By, Code, DateTime, FetchItem, FetchResponse, SequenceSet};
use store::{FlagChange, FlagMode, Flags, Listed, MessageInfo, Reader, Rights, StoreError, Uid};

use super::extract::{Extract, Extracts, Need, WholeMessage};
use super::section;
use super::{Context, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, Selected};
use crate::view::Member;

/// Messages whose `\Seen` is set by one commit, before they are sent.
const SEEN_MESSAGES_MAX: usize = 100;
/// Messages whose records are read from one snapshot.
const READ_MESSAGES_MAX: usize = 500;

/// What holds for all messages of one FETCH.
struct Plan {
    items: Arc<[FetchItem]>,
    by: By,
    need: Need,
    sets_seen: bool,
}

pub(crate) async fn fetch(
    context: &mut Context<'_>,
    selected: &mut Selected,
    by: By,
    set: &SequenceSet,
    items: &[FetchItem],
) -> Result<Answer, End> {
    let Ok(members) = selected.view.resolve(by, set) else { return Ok(Answer::bad("no such message")) };
    let plan = Plan {
        items: items.into(),
        by,
        need: items.iter().map(Need::of).max().unwrap_or(Need::Record),
        sets_seen: selected.access == Access::ReadWrite
            && selected.rights.contains(Rights::SEEN)
            && items.iter().any(FetchItem::sets_seen),
    };
    let chunk = if plan.sets_seen { SEEN_MESSAGES_MAX } else { READ_MESSAGES_MAX };
    let mut missing = false;
    for members in members.chunks(chunk) {
        match fetch_chunk(context, selected, &plan, members).await? {
            Ok(all) => missing |= !all,
            Err(error) => return Ok(refusal(&error)),
        }
    }
    // A UID that is not there is no error (RFC 3501 §6.4.8).
    if missing && by == By::SequenceNumber {
        // RFC 2180 §4.1.2: others have expunged some; the client hears of it when that is allowed.
        return Ok(Answer::no("some of the messages have been expunged").code(Code::ExpungeIssued));
    }
    Ok(Answer::ok("FETCH done"))
}

/// Fetches some messages; whether all were there.
async fn fetch_chunk(
    context: &mut Context<'_>,
    selected: &mut Selected,
    plan: &Plan,
    members: &[Member],
) -> Result<Result<bool, StoreError>, End> {
    let infos = match read_infos(context, selected, members) {
        Ok(infos) => infos,
        Err(error) => return Ok(Err(error)),
    };
    let seen = match set_seen(context, selected, plan, &infos).await {
        Ok(seen) => seen,
        Err(error) => return Ok(Err(error)),
    };
    let mut complete = infos.len() == members.len();
    for (member, mut info) in infos {
        // What the client is told must be what the store has after our change.
        let changed = seen.binary_search_by_key(&info.uid, |message| message.uid).ok();
        if let Some(message) = changed.map(|at| &seen[at]) {
            (info.flags, info.keywords) = (message.flags, message.keywords);
        }
        match fetch_one(context, selected, plan, (member, info), changed.is_some()).await? {
            // Now the client knows what our change came to, not before.
            Ok(()) => selected.knows(changed.map(|at| &seen[at])),
            Err(StoreError::NotFound("message")) => complete = false,
            Err(error) => return Ok(Err(error)),
        }
        context.io.flush_if_full().await?;
    }
    Ok(Ok(complete))
}

fn read_infos(
    context: &Context<'_>,
    selected: &Selected,
    members: &[Member],
) -> Result<Vec<(Member, MessageInfo)>, StoreError> {
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    infos(&reader, members)
}

/// The records of messages that are still there; neighbours are read in one go.
pub(super) fn infos(reader: &Reader, members: &[Member]) -> Result<Vec<(Member, MessageInfo)>, StoreError> {
    let mut infos = Vec::with_capacity(members.len());
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return Ok(infos) };
    if usize::try_from(last.sequence - first.sequence).is_ok_and(|between| between + 1 == members.len()) {
        let mut rest = members.iter().peekable();
        reader.infos(Uid(first.uid)..=Uid(last.uid), |info| {
            while rest.next_if(|member| member.uid < info.uid.0).is_some() {}
            infos.extend(rest.next_if(|member| member.uid == info.uid.0).map(|member| (*member, info)));
        })?;
        return Ok(infos);
    }
    for member in members {
        if let Some(info) = reader.info(Uid(member.uid))? {
            infos.push((*member, info));
        }
    }
    Ok(infos)
}

/// Sets `\Seen` where items ask for it; gives the messages that did not have it, as they are now.
async fn set_seen(
    context: &mut Context<'_>,
    selected: &mut Selected,
    plan: &Plan,
    infos: &[(Member, MessageInfo)],
) -> Result<Vec<Listed>, StoreError> {
    if !plan.sets_seen {
        return Ok(Vec::new());
    }
    let unseen = infos.iter().filter(|(_, info)| !info.flags.contains(Flags::SEEN));
    let uids: Vec<Uid> = unseen.map(|(_, info)| info.uid).collect();
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let store = &context.shared.parts.store;
    let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: &[], unchanged_since: None };
    let mut stored = store.store_flags(selected.mailbox, &uids, &change).await?;
    stored.messages.sort_unstable_by_key(|message| message.uid);
    selected.take_keywords(context.io, stored.keywords);
    Ok(stored.messages)
}

/// Writes one message's response. The inner error is one of the store, before anything was written.
async fn fetch_one(
    context: &mut Context<'_>,
    selected: &Selected,
    plan: &Plan,
    (member, info): (Member, MessageInfo),
    tell_flags: bool,
) -> Result<Result<(), StoreError>, End> {
    let extracts = match extracts(context, selected, plan, &info).await {
        Ok(extracts) => extracts,
        Err(error) => return Ok(Err(error)),
    };
    let mut response = FetchResponse::begin(context.io.out(), member.sequence);
    let mut flags_told = false;
    if plan.by == By::Uid && !plan.items.contains(&FetchItem::Uid) {
        response.uid(context.io.out(), member.uid);
    }
    for (item, extract) in plan.items.iter().zip(&extracts.items) {
        flags_told |= *item == FetchItem::Flags;
        if *extract == Extract::Record {
            write_of_record(context, selected, &mut response, item, (member, &info));
        } else {
            let octets = extracts.octets.as_ref();
            section::write(context.io, &mut response, item, extract, octets).await?;
        }
    }
    if tell_flags && !flags_told {
        response.flags(context.io.out(), &selected.flags(member.uid, info.flags, info.keywords));
    }
    response.end(context.io.out());
    Ok(Ok(()))
}

/// What the items come to. Whatever the client does, no more of the message is in memory afterwards.
async fn extracts(
    context: &Context<'_>,
    selected: &Selected,
    plan: &Plan,
    info: &MessageInfo,
) -> Result<Extracts, StoreError> {
    let store = &context.shared.parts.store;
    if plan.need == Need::Record {
        return Ok(Extracts::none(&plan.items));
    }
    if plan.need < Need::Whole {
        let reader = store.reader(selected.mailbox)?;
        if let Some(extracts) = Extracts::of_header(&reader, info, &plan.items)? {
            return Ok(extracts);
        }
    }
    let room = context.shared.room_for(info.size).await;
    let message = WholeMessage { store: store.clone(), mailbox: selected.mailbox, info: *info, room };
    message.extract(Arc::clone(&plan.items)).await
}

/// Writes an item that the message's record knows.
fn write_of_record(
    context: &mut Context<'_>,
    selected: &Selected,
    response: &mut FetchResponse,
    item: &FetchItem,
    (member, info): (Member, &MessageInfo),
) {
    let out = context.io.out();
    match item {
        FetchItem::Flags => {
            response.flags(out, &selected.flags(member.uid, info.flags, info.keywords));
        }
        FetchItem::Uid => response.uid(out, member.uid),
        FetchItem::Rfc822Size => response.size(out, info.size),
        FetchItem::InternalDate => {
            let seconds = i64::try_from(info.internal_date.as_seconds()).unwrap_or(i64::MAX);
            response.internal_date(out, DateTime::from_unix_seconds(seconds));
        }
        _ => {}
    }
}
