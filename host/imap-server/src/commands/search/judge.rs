//! Which messages a search finds.

use std::sync::Arc;

use imap_wire::{By, SearchKey, SequenceSet};
use message::Signature;
use store::{MessageInfo, StoreError, Uid};

use super::candidate::{Asked, Bits, Message};
use super::condition::{Condition, Cost};
use super::gathered::Gathered;
use crate::commands::Context;
use crate::commands::extracts::{WholeMessage, header, tell_damaged};
use crate::commands::fetch::infos;
use crate::derived::{self, Kind};
use crate::dialect::Headers;
use crate::selected::Selected;
use crate::view::Member;

/// Messages judged before others get their turn: by their records alone, and by their headers.
const RECORDS_A_TURN: usize = 2_000;
const HEADERS_A_TURN: usize = 50;
/// Octets of headers that are looked at before others get their turn. What is longer by itself is looked at where nobody waits;
/// where a signature may tell enough, a shorter one is, since more messages make a turn there.
const HEADER_OCTETS_A_TURN: usize = 512 * 1024;
const HEADER_IN_TURN_OCTETS_MAX: usize = 128 * 1024;
const HEADER_SIGNED_OCTETS_MAX: usize = 16 * 1024;
/// Octets of messages that are read whole before others get their turn.
const OCTETS_A_TURN: u64 = 256 * 1024;
/// How much larger than a message its texts are, at most: [`SearchTexts::of`].
const TEXTS_GROWTH: u64 = 3;
/// Messages whose signatures are looked at before those that need it are read.
const SIGNATURES_A_TURN: usize = 200;

/// A message that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) member: Member,
    pub(super) modseq: u64,
}

/// The messages that a set among the keys leaves in question.
pub(super) fn candidates(selected: &Selected, keys: &[SearchKey]) -> Vec<Member> {
    let named = |by: By, set: &SequenceSet| selected.view.resolve(by, set).ok();
    let by_set = keys.iter().find_map(|key| match key {
        SearchKey::Uid(set) => named(By::Uid, set),
        SearchKey::Sequence(set) => named(By::SequenceNumber, set),
        _ => None,
    });
    by_set.unwrap_or_else(|| selected.view.members().collect())
}

pub(super) async fn judge_all(
    context: &Context<'_>,
    selected: &Selected,
    condition: Condition,
    members: &[Member],
) -> Result<Vec<Found>, StoreError> {
    let asked = Arc::new(Asked::of(condition));
    if asked.test.cost() == Cost::Whole {
        return judge_whole(context, selected, &asked, members).await;
    }
    let (mut found, mut rest) = (Vec::new(), members);
    while !rest.is_empty() {
        let (judged, long) = judge_turn(context, selected, &asked, (rest, &mut found))?;
        rest = &rest[judged..];
        if let Some(long) = long
            && judge_one(context, selected, &asked, &long).await?
        {
            found.push(Found { member: long.member, modseq: long.info.modseq.0 });
        }
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Judges the first of some messages, as many as others wait for; how many that were. The last of them is given back where
/// its header is too long for that.
fn judge_turn(
    context: &Context<'_>,
    selected: &Selected,
    asked: &Asked,
    (members, found): (&[Member], &mut Vec<Found>),
) -> Result<(usize, Option<Signed>), StoreError> {
    let turn = if asked.test.cost() == Cost::Record { RECORDS_A_TURN } else { HEADERS_A_TURN };
    let members = &members[..members.len().min(turn)];
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let bits = asked.bits(&reader)?;
    let mut octets = 0;
    for (member, info) in infos(&reader, members)? {
        let mut message = Message::new(member, info, selected, (&reader, &bits), HEADER_IN_TURN_OCTETS_MAX);
        let passes = message.passes(asked);
        let judged = || members.partition_point(|other| other.sequence <= member.sequence);
        octets += message.header.as_ref().map_or(0, Vec::len);
        if message.is_too_long {
            let bits = Arc::clone(&bits);
            return Ok((judged(), Some(Signed { member, info, bits, has_signature: true, passes: None })));
        }
        if whole_or_told(context, selected, &info, passes)? {
            found.push(Found { member, modseq: info.modseq.0 });
        }
        if octets > HEADER_OCTETS_A_TURN {
            return Ok((judged(), None));
        }
    }
    Ok((members.len(), None))
}

/// Judges messages of which all octets may be looked at, one by one, each in the room it needs; but for those
/// whose signature tells enough.
async fn judge_whole(
    context: &Context<'_>,
    selected: &Selected,
    asked: &Arc<Asked>,
    members: &[Member],
) -> Result<Vec<Found>, StoreError> {
    let parts = &context.shared.parts;
    let (mut found, mut read) = (Vec::new(), 0);
    for members in members.chunks(SIGNATURES_A_TURN) {
        for signed in by_signature(context, selected, asked, members)? {
            let passes = match signed.passes {
                Some(passes) => passes,
                None => {
                    read += signed.info.size;
                    if read > OCTETS_A_TURN {
                        read = 0;
                        tokio::task::yield_now().await;
                    }
                    judge_one(context, selected, asked, &signed).await?
                }
            };
            if passes {
                found.push(Found { member: signed.member, modseq: signed.info.modseq.0 });
            }
        }
        tokio::task::yield_now().await;
    }
    parts.derived.flush();
    Ok(found)
}

/// A message, and what its signature tells.
struct Signed {
    member: Member,
    info: MessageInfo,
    bits: Bits,
    has_signature: bool,
    /// `None` where it has to be read.
    passes: Option<bool>,
}

fn by_signature(
    context: &Context<'_>,
    selected: &Selected,
    asked: &Asked,
    members: &[Member],
) -> Result<Vec<Signed>, StoreError> {
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let kept = context.shared.parts.derived.reader();
    let bits = asked.bits(&reader)?;
    let judge = |(member, info): (Member, MessageInfo)| {
        let mut message = Message::new(member, info, selected, (&reader, &bits), HEADER_SIGNED_OCTETS_MAX);
        let told = kept.as_ref().and_then(|kept| {
            derived::read(kept, &info, Kind::Signature, Headers::AsTheyAre, |signature| {
                message.passes_by_signature(asked, &asked.test, Signature::new(signature))
            })
        });
        let has_signature = told.is_some();
        let passes = match told.transpose() {
            Err(error) if error.is_damage() => Some(whole_or_told(context, selected, &info, Err(error))?),
            told => told?.flatten(),
        };
        Ok(Signed { member, info, bits: Arc::clone(&bits), has_signature, passes })
    };
    infos(&reader, members)?.into_iter().map(judge).collect()
}

/// What was judged; a message that is damaged matches nothing, and the operator is told.
fn whole_or_told(
    context: &Context<'_>,
    selected: &Selected,
    info: &MessageInfo,
    judged: Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    match judged {
        Err(error) if error.is_damage() => {
            tell_damaged(context.shared, selected.mailbox, info, &error);
            Ok(false)
        }
        judged => judged,
    }
}

/// Reads one message, and makes its signature where it has none.
async fn judge_one(
    context: &Context<'_>,
    selected: &Selected,
    asked: &Arc<Asked>,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let parts = &context.shared.parts;
    let (member, info, has_signature) = (signed.member, signed.info, signed.has_signature);
    // For the message itself, and for its texts beside it.
    let room = context.shared.room_for(info.size.saturating_mul(TEXTS_GROWTH + 1)).await;
    let message = WholeMessage { store: parts.store.clone(), mailbox: selected.mailbox, info, room };
    let (asked, bits) = (Arc::clone(asked), Arc::clone(&signed.bits));
    let is_recent = selected.view.is_recent(member.uid);
    let judged = message.apply(1, move |_, reader| {
        let mut message = Message::read(member, info, (is_recent, reader, &bits), usize::MAX);
        let passes = message.passes(&asked)?;
        let signature = if has_signature { None } else { message.signature() };
        Ok((passes, signature))
    });
    let (passes, signature) = match judged.await {
        // It went meanwhile.
        Err(StoreError::NotFound("message")) => return Ok(false),
        Err(error) if error.is_damage() => return whole_or_told(context, selected, &info, Err(error)),
        judged => judged?,
    };
    if let Some(signature) = signature {
        parts.derived.keep(info.content, Kind::Signature as u8, derived::kept(&signature, false));
    }
    Ok(passes)
}

/// Reads the records, and where they are needed the headers, of messages that were found; what has gone
/// meanwhile is passed over. `take` says how many octets it has gathered of one.
pub(super) async fn read_headers(
    context: &Context<'_>,
    selected: &Selected,
    found: &[Found],
    (needs_header, gathered): (bool, &mut Gathered<'_>),
    mut take: impl FnMut(&Found, &MessageInfo, &[u8]) -> usize,
) -> Result<(), StoreError> {
    let turn = if needs_header { HEADERS_A_TURN } else { RECORDS_A_TURN };
    let mut rest = found;
    while !rest.is_empty() {
        let reader = context.shared.parts.store.reader(selected.mailbox)?;
        let (mut octets, mut read, mut seen) = (0, 0, 0);
        for found in rest.iter().take(turn) {
            seen += 1;
            let Some(info) = reader.info(Uid(found.member.uid))? else { continue };
            let header = match if needs_header { header(&reader, &info) } else { Ok(None) } {
                Err(error) if error.is_damage() => {
                    tell_damaged(context.shared, selected.mailbox, &info, &error);
                    None
                }
                read => read?,
            };
            let header = header.map(|head| head.octets).unwrap_or_default();
            octets += take(found, &info, &header);
            read += header.len();
            if read > HEADER_OCTETS_A_TURN {
                break;
            }
        }
        drop(reader);
        rest = &rest[seen..];
        gathered.add(octets).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
