//! FETCH (RFC 3501 §6.4.5, RFC 7162 §3.1.4, RFC 8474, RFC 8514, RFC 9394).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use imap_wire::{By, DateTime, FetchItem, FetchModifiers, FetchResponse, SequenceSet};
use store::{
    FlagChange, FlagMode, Flags, KeywordTable, Listed, MailboxId, MessageInfo, Reader, Rights, StoreError,
    Uid,
};

use super::extract::{Extract, Need};
use super::extracts::{Extracts, IN_TURN_OCTETS_MAX, WholeMessage, tell_damaged};
use super::lacks::Lacks;
use super::resync::{changed_members, part};
use super::section;
use super::{Context, refusal};
use crate::answer::Answer;
use crate::derived::Kind;
use crate::dialect::Headers;
use crate::io::End;
use crate::object_ids::email_id;
use crate::selected::{Access, Selected};
use crate::server::Shared;
use crate::view::Member;

/// Messages whose `\Seen` is set by one commit, before they are sent.
const SEEN_MESSAGES_MAX: usize = 100;
/// Messages whose records are read from one snapshot.
const READ_MESSAGES_MAX: usize = 500;
/// Messages whose headers are read from one snapshot, and how much of them is kept.
const HEADERS_AHEAD_MAX: usize = 50;
const HEADERS_AHEAD_OCTETS_MAX: usize = 128 * 1024;
/// How much is gone through for that, once for each item, before others get their turn.
const HEADERS_AHEAD_WORK_OCTETS: usize = 1024 * 1024;

/// What holds for all messages of one FETCH.
struct Plan {
    items: Arc<[FetchItem]>,
    /// The items' names in responses.
    names: Vec<Cow<'static, str>>,
    by: By,
    need: Need,
    headers: Headers,
    /// Headers, and what was made before, may be enough.
    reads_ahead: bool,
    /// Something that is made of messages is kept.
    keeps: bool,
    sets_seen: bool,
}

/// What a FETCH asks for.
pub(super) struct Request<'a> {
    pub(super) by: By,
    pub(super) set: &'a SequenceSet,
    pub(super) items: &'a [FetchItem],
    pub(super) modifiers: FetchModifiers,
}

pub(super) async fn fetch(
    context: &mut Context<'_>,
    selected: &mut Selected,
    request: Request<'_>,
) -> Result<Answer, End> {
    let Request { by, set, items, modifiers } = request;
    if modifiers.vanished && !context.io.dialect.vanished {
        return Ok(Answer::bad("ENABLE QRESYNC comes first"));
    }
    let Ok(members) = selected.view.resolve(by, set) else { return Ok(Answer::bad("no such message")) };
    let mut members = part(members, modifiers.partial);
    let mut items = items.to_vec();
    if let Some(modseq) = modifiers.changed_since {
        let store = &context.shared.parts.store;
        let since = (modseq, modifiers.vanished.then_some(set));
        members = match changed_members(store, context.io, selected, since, members).await? {
            Ok(members) => members,
            Err(error) => return Ok(refusal(&error)),
        };
        // RFC 7162 §3.1.4.1.
        if !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
    }
    let plan = Plan {
        items: items.as_slice().into(),
        names: items.iter().map(section::name).collect(),
        by,
        need: items.iter().map(Need::of).max().unwrap_or(Need::Record),
        headers: context.io.dialect.headers(),
        reads_ahead: reads_ahead(&items),
        keeps: items.iter().any(|item| Kind::of(item).is_some()),
        sets_seen: selected.access == Access::ReadWrite
            && selected.rights.contains(Rights::SEEN)
            && items.iter().any(FetchItem::sets_seen),
    };
    let chunk = if plan.sets_seen { SEEN_MESSAGES_MAX } else { READ_MESSAGES_MAX };
    let mut lacks = Lacks::default();
    for members in members.chunks(chunk) {
        if let Err(error) = fetch_chunk(context, selected, &plan, members, &mut lacks).await? {
            return Ok(refusal(&error));
        }
    }
    if plan.keeps {
        context.shared.parts.derived.flush();
    }
    Ok(lacks.answer(by))
}

/// Whether headers, and what was made of messages before, may be enough for all items.
fn reads_ahead(items: &[FetchItem]) -> bool {
    let suffices = |item: &FetchItem| Need::of(item) <= Need::Header || Kind::of(item).is_some();
    items.iter().any(|item| Need::of(item) > Need::Record) && items.iter().all(suffices)
}

/// Fetches some messages.
async fn fetch_chunk(
    context: &mut Context<'_>,
    selected: &mut Selected,
    plan: &Plan,
    members: &[Member],
    lacks: &mut Lacks,
) -> Result<Result<(), StoreError>, End> {
    let mut records = match read_records(context, selected, plan, members) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error)),
    };
    let seen = set_seen(context, selected, plan, (&records.infos, &mut *lacks)).await;
    if !seen.is_empty() {
        // What the client is told must be what the store has after our change.
        records = match read_records(context, selected, plan, members) {
            Ok(records) => records,
            Err(error) => return Ok(Err(error)),
        };
    }
    let infos = records.infos;
    lacks.messages |= infos.len() < members.len();
    if let Some(keywords) = records.keywords {
        // The names come before the flags that have them.
        selected.take_keywords(context.io, keywords);
    }
    let mut ahead = VecDeque::new();
    for (place, (member, info)) in infos.iter().copied().enumerate() {
        if plan.reads_ahead && ahead.is_empty() {
            ahead = match headers_ahead(context, selected, plan, &infos[place..]) {
                Ok(ahead) => ahead,
                Err(error) => return Ok(Err(error)),
            };
            tokio::task::yield_now().await;
        }
        let known = ahead.pop_front().flatten();
        let changed = seen.binary_search_by_key(&info.uid, |message| message.uid).ok();
        match fetch_one(context, selected, plan, (member, info, known), changed.is_some()).await? {
            // Now the client knows what our change came to, not before.
            Ok(Fetched::Told { is_downgraded }) => {
                selected.knows(changed.map(|at| &seen[at]));
                if is_downgraded {
                    lacks.note_downgraded(member.uid);
                }
            }
            Ok(Fetched::UnknownEncoding) => lacks.decoding = true,
            Err(StoreError::NotFound("message")) => lacks.messages = true,
            // One damaged message keeps nobody from the others.
            Err(error) if error.is_damage() => {
                tell_damaged(context.shared, selected.mailbox, &info, &error);
                lacks.note_damaged(member.uid);
            }
            Err(StoreError::TooMany { .. }) => lacks.note_too_large(member.uid),
            Err(error) => return Ok(Err(error)),
        }
        context.io.flush_if_full().await?;
    }
    Ok(Ok(()))
}

/// Records of one moment.
struct Records {
    infos: Vec<(Member, MessageInfo)>,
    /// The names of the keywords in them, where these are told.
    keywords: Option<KeywordTable>,
}

fn read_records(
    context: &Context<'_>,
    selected: &Selected,
    plan: &Plan,
    members: &[Member],
) -> Result<Records, StoreError> {
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let tells_flags = plan.sets_seen || plan.items.contains(&FetchItem::Flags);
    let keywords = if tells_flags { Some(reader.keywords()?) } else { None };
    Ok(Records { infos: infos(&reader, members)?, keywords })
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

/// Sets `\Seen` where items ask for it; gives the messages that did not have it. Where it cannot be kept, the texts are told
/// without it: they are what was asked for (RFC 9051 §6.4.5).
async fn set_seen(
    context: &mut Context<'_>,
    selected: &Selected,
    plan: &Plan,
    (infos, lacks): (&[(Member, MessageInfo)], &mut Lacks),
) -> Vec<Listed> {
    if !plan.sets_seen || lacks.has_unkept() {
        return Vec::new();
    }
    let unseen = infos.iter().filter(|(_, info)| !info.flags.contains(Flags::SEEN));
    let uids: Vec<Uid> = unseen.map(|(_, info)| info.uid).collect();
    if uids.is_empty() {
        return Vec::new();
    }
    let store = &context.shared.parts.store;
    let change = FlagChange { mode: FlagMode::Add, flags: Flags::SEEN, keywords: &[], unchanged_since: None };
    match store.store_flags(selected.mailbox, &uids, &change).await {
        Ok(mut stored) => {
            stored.messages.sort_unstable_by_key(|message| message.uid);
            stored.messages
        }
        Err(error) => {
            lacks.note_unkept(refusal(&error));
            Vec::new()
        }
    }
}

/// What the items come to, for the first of some messages of which headers are enough: from one snapshot, and no more
/// than is sent soon. `None` for a message that has to be looked at by itself.
fn headers_ahead(
    context: &Context<'_>,
    selected: &Selected,
    plan: &Plan,
    infos: &[(Member, MessageInfo)],
) -> Result<VecDeque<Option<Extracts>>, StoreError> {
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let derived = if plan.keeps { context.shared.parts.derived.reader() } else { None };
    let (mut ahead, mut octets, mut work) = (VecDeque::new(), 0, 0);
    for (_, info) in infos.iter().take(HEADERS_AHEAD_MAX) {
        let extracts = match Extracts::of_header(&reader, derived.as_ref(), info, &plan.items, plan.headers) {
            Ok(extracts) => extracts,
            Err(StoreError::NotFound(_) | StoreError::TooMany { .. }) => None,
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        if let Some(extracts) = &extracts {
            octets += extracts.octets_held();
            work += extracts.header_octets.saturating_mul(plan.items.len());
            keep(context.shared, info, &plan.items, extracts);
        }
        ahead.push_back(extracts);
        if octets > HEADERS_AHEAD_OCTETS_MAX || work > HEADERS_AHEAD_WORK_OCTETS {
            break;
        }
    }
    Ok(ahead)
}

/// Whether a message was told.
enum Fetched {
    Told { is_downgraded: bool },
    UnknownEncoding,
}

/// Writes one message's response. The inner error is one of the store, before anything was written.
async fn fetch_one(
    context: &mut Context<'_>,
    selected: &Selected,
    plan: &Plan,
    (member, info, known): (Member, MessageInfo, Option<Extracts>),
    tell_flags: bool,
) -> Result<Result<Fetched, StoreError>, End> {
    let extracts = match known {
        Some(known) => known,
        None => {
            match extracts(context.shared, selected.mailbox, (&plan.items, plan.need, plan.headers), &info)
                .await
            {
                Ok(extracts) => extracts,
                Err(error) => return Ok(Err(error)),
            }
        }
    };
    if extracts.items.contains(&Extract::UnknownEncoding) {
        return Ok(Ok(Fetched::UnknownEncoding));
    }
    let email_id = if plan.items.contains(&FetchItem::EmailId) {
        let reader = context.shared.parts.store.reader(selected.mailbox);
        match reader.and_then(|reader| email_id(&reader, &info)) {
            Ok(id) => id,
            Err(error) => return Ok(Err(error)),
        }
    } else {
        String::new()
    };
    let mut flags_told = false;
    // RFC 7162 §3.2.4: a change of flags is told with all that belongs to it.
    let with_modseq = tell_flags && context.io.dialect.modseq;
    let with_uid = (plan.by == By::Uid || with_modseq) && !plan.items.contains(&FetchItem::Uid);
    let mut response = context.io.fetch_response(member, with_uid);
    for ((item, name), extract) in plan.items.iter().zip(&plan.names).zip(&extracts.items) {
        flags_told |= *item == FetchItem::Flags;
        if *extract == Extract::Record {
            write_of_record(context, selected, &mut response, item, (member, &info, &email_id));
        } else {
            let octets = extracts.octets.as_ref();
            section::write(context.io, &mut response, name, extract, octets).await?;
        }
    }
    if tell_flags && !flags_told {
        response.flags(context.io.out(), &selected.flags(member.uid, info.flags, info.keywords));
    }
    if with_modseq && !plan.items.contains(&FetchItem::ModSeq) {
        response.modseq(context.io.out(), info.modseq.0);
    }
    response.end(context.io.out());
    Ok(Ok(Fetched::Told { is_downgraded: extracts.is_downgraded }))
}

/// What the items come to. Whatever the client does, no more of the message is in memory afterwards.
pub(super) async fn extracts(
    shared: &Shared,
    mailbox: MailboxId,
    (items, need, headers): (&Arc<[FetchItem]>, Need, Headers),
    info: &MessageInfo,
) -> Result<Extracts, StoreError> {
    let store = &shared.parts.store;
    if need == Need::Record {
        return Ok(Extracts::none(items));
    }
    let message = |room| WholeMessage { store: store.clone(), mailbox, info: *info, room };
    if need < Need::Structure {
        let looks_at_parts = headers == Headers::Surrogates && need == Need::Pieces;
        let found = {
            let reader = store.reader(mailbox)?;
            let reads = looks_at_parts || items.iter().any(|item| Kind::of(item).is_some());
            let derived = if reads { shared.parts.derived.reader() } else { None };
            Extracts::of_header(&reader, derived.as_ref(), info, items, headers)?
        };
        if let Some(extracts) = found {
            keep(shared, info, items, &extracts);
            return Ok(extracts);
        }
        // Of a large message, that there is nothing to replace is seen without reading it as a whole.
        if looks_at_parts && info.size > IN_TURN_OCTETS_MAX && message(None).has_only_ascii().await? {
            let reader = store.reader(mailbox)?;
            if let Some(extracts) = Extracts::of_header(&reader, None, info, items, Headers::AsTheyAre)? {
                return Ok(extracts);
            }
        }
    }
    let extracts = message(shared.room_for(info.size).await).extract(Arc::clone(items), headers).await?;
    keep(shared, info, items, &extracts);
    Ok(extracts)
}

/// Keeps what was made of a message's content.
fn keep(shared: &Shared, info: &MessageInfo, items: &[FetchItem], extracts: &Extracts) {
    for (kind, made) in extracts.made(items) {
        shared.parts.derived.keep(info.content, kind as u8, made);
    }
}

/// Writes an item that the message's record knows.
fn write_of_record(
    context: &mut Context<'_>,
    selected: &Selected,
    response: &mut FetchResponse,
    item: &FetchItem,
    (member, info, email_id): (Member, &MessageInfo, &str),
) {
    let out = context.io.out();
    match item {
        FetchItem::Flags => {
            response.flags(out, &selected.flags(member.uid, info.flags, info.keywords));
        }
        FetchItem::Uid => response.uid(out, member.uid),
        FetchItem::Rfc822Size => response.size(out, info.size),
        FetchItem::ModSeq => response.modseq(out, info.modseq.0),
        FetchItem::EmailId => {
            response.name(out, "EMAILID");
            out.extend_from_slice(format!("({email_id})").as_bytes());
        }
        // RFC 8474 §5.2: threads are THREAD's to make; no message has an identifier of its own for one.
        FetchItem::ThreadId => {
            response.name(out, "THREADID");
            out.extend_from_slice(b"NIL");
        }
        FetchItem::SaveDate => {
            let seconds = i64::try_from(info.save_date.as_seconds()).unwrap_or(i64::MAX);
            response.save_date(out, DateTime::from_unix_seconds(seconds));
        }
        FetchItem::InternalDate => {
            let seconds = i64::try_from(info.internal_date.as_seconds()).unwrap_or(i64::MAX);
            response.internal_date(out, DateTime::from_unix_seconds(seconds));
        }
        _ => {}
    }
}
