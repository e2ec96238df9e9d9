//! FETCH (RFC 3501 §6.4.5).

use imap_wire::{By, Code, DateTime, FetchItem, FetchResponse, SequenceSet};
use message::{Envelope, Structure, header_len};
use store::{FlagChange, FlagMode, Flags, Listed, MessageInfo, Octets, Reader, StoreError, Uid};

use super::section;
use super::{Context, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, Selected};
use crate::structure::{Form, write_body, write_envelope};
use crate::view::Member;

/// Messages whose `\Seen` is set by one commit, before they are sent.
const SEEN_MESSAGES_MAX: usize = 100;
/// Messages whose records are read from one snapshot.
const READ_MESSAGES_MAX: usize = 500;
/// Octets that a header is looked for in at first; most are smaller.
const HEADER_OCTETS_FIRST: usize = 16 * 1024;

/// What the items of one FETCH need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// The record.
    Record,
    /// The header of the message.
    Header,
    /// Any of its octets, in pieces.
    Pieces,
    /// The whole message at once: its structure.
    Whole,
}

fn need(item: &FetchItem) -> Need {
    match item {
        FetchItem::Flags | FetchItem::InternalDate | FetchItem::Rfc822Size | FetchItem::Uid => Need::Record,
        FetchItem::Envelope | FetchItem::Rfc822Header => Need::Header,
        FetchItem::Rfc822 | FetchItem::Rfc822Text => Need::Pieces,
        FetchItem::Body | FetchItem::BodyStructure => Need::Whole,
        FetchItem::Section(fetch) => section::need(&fetch.section)
            .map_or(Need::Whole, |header_only| if header_only { Need::Header } else { Need::Pieces }),
    }
}

/// One message on its way out.
pub(crate) struct Fetched<'a> {
    pub(crate) member: Member,
    pub(crate) info: MessageInfo,
    /// The header with its empty line; empty where no item needs it.
    pub(crate) header: &'a [u8],
    pub(crate) octets: Option<&'a Octets>,
    pub(crate) structure: Option<&'a Structure<'a>>,
}

/// What holds for all messages of one FETCH.
struct Plan<'a> {
    items: &'a [FetchItem],
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
        items,
        by,
        need: items.iter().map(need).max().unwrap_or(Need::Record),
        sets_seen: selected.access == Access::ReadWrite && items.iter().any(FetchItem::sets_seen),
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
    plan: &Plan<'_>,
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
    plan: &Plan<'_>,
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
    plan: &Plan<'_>,
    (member, info): (Member, MessageInfo),
    tell_flags: bool,
) -> Result<Result<(), StoreError>, End> {
    let room = if plan.need == Need::Whole { context.shared.room_for(info.size).await } else { None };
    let read = match read(context, selected, plan, &info) {
        Ok(read) => read,
        Err(error) => return Ok(Err(error)),
    };
    let structure = read.whole.as_ref().map(|whole| Structure::parse(whole));
    let fetched = Fetched {
        member,
        info,
        header: read.header(),
        octets: read.octets.as_ref(),
        structure: structure.as_ref(),
    };
    let mut response = FetchResponse::begin(context.io.out(), member.sequence);
    let mut flags_told = false;
    if plan.by == By::Uid && !plan.items.contains(&FetchItem::Uid) {
        response.uid(context.io.out(), member.uid);
    }
    for item in plan.items {
        flags_told |= *item == FetchItem::Flags;
        write_item(context, selected, &mut response, item, &fetched).await?;
    }
    if tell_flags && !flags_told {
        response.flags(context.io.out(), &selected.flags(member.uid, info.flags, info.keywords));
    }
    response.end(context.io.out());
    drop(room);
    Ok(Ok(()))
}

/// What was read of a message.
#[derive(Default)]
struct Read {
    head: Vec<u8>,
    octets: Option<Octets>,
    whole: Option<bytes::Bytes>,
}

impl Read {
    fn header(&self) -> &[u8] {
        let octets = self.whole.as_deref().unwrap_or(&self.head);
        &octets[..header_len(octets)]
    }
}

fn read(
    context: &Context<'_>,
    selected: &Selected,
    plan: &Plan<'_>,
    info: &MessageInfo,
) -> Result<Read, StoreError> {
    let mut read = Read::default();
    if plan.need == Need::Record {
        return Ok(read);
    }
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let gone = || StoreError::NotFound("message");
    if plan.need >= Need::Pieces {
        let octets = reader.octets(info.uid)?.ok_or_else(gone)?;
        if plan.need == Need::Whole {
            read.whole = Some(octets.to_bytes()?);
        }
        read.octets = Some(octets);
    }
    if read.whole.is_none() {
        let mut max = HEADER_OCTETS_FIRST;
        loop {
            read.head = reader.head(info.uid, max)?.ok_or_else(gone)?;
            if read.head.len() < max || header_len(&read.head) < read.head.len() {
                break;
            }
            max = max.saturating_mul(4);
        }
    }
    Ok(read)
}

async fn write_item(
    context: &mut Context<'_>,
    selected: &Selected,
    response: &mut FetchResponse,
    item: &FetchItem,
    fetched: &Fetched<'_>,
) -> Result<(), End> {
    let info = &fetched.info;
    let out = context.io.out();
    match item {
        FetchItem::Flags => {
            response.flags(out, &selected.flags(fetched.member.uid, info.flags, info.keywords));
        }
        FetchItem::Uid => response.uid(out, fetched.member.uid),
        FetchItem::Rfc822Size => response.size(out, info.size),
        FetchItem::InternalDate => {
            let seconds = i64::try_from(info.internal_date.as_seconds()).unwrap_or(i64::MAX);
            response.internal_date(out, DateTime::from_unix_seconds(seconds));
        }
        FetchItem::Envelope => {
            response.name(out, "ENVELOPE");
            write_envelope(out, &Envelope::parse(fetched.header));
        }
        FetchItem::Body => write_structure(out, response, "BODY", fetched, Form::Basic),
        FetchItem::BodyStructure => write_structure(out, response, "BODYSTRUCTURE", fetched, Form::Extended),
        FetchItem::Rfc822 | FetchItem::Rfc822Header | FetchItem::Rfc822Text | FetchItem::Section(_) => {
            section::write(context.io, response, item, fetched).await?;
        }
    }
    Ok(())
}

fn write_structure(
    out: &mut Vec<u8>,
    response: &mut FetchResponse,
    name: &str,
    fetched: &Fetched<'_>,
    form: Form,
) {
    response.name(out, name);
    match fetched.structure {
        Some(structure) => write_body(out, structure.root(), form),
        None => out.extend_from_slice(b"NIL"),
    }
}
