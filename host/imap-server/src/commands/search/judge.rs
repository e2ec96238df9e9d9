//! Which messages a search finds.

use std::sync::Arc;

use bytes::Bytes;
use imap_wire::{By, SearchKey, SequenceSet};
use message::{
    Fields, Needle, SearchTexts, Signature, Structure, field_contains, header_contains, parse_date,
};
use store::{MessageInfo, Reader, StoreError, Uid};

use super::condition::{Cost, Test};
use super::gathered::Gathered;
use crate::commands::Context;
use crate::commands::extracts::{WholeMessage, header, tell_damaged};
use crate::commands::fetch::infos;
use crate::derived::{self, Kind};
use crate::dialect::Headers;
use crate::object_ids::email_id;
use crate::selected::Selected;
use crate::view::Member;

/// Messages judged before others get their turn: by their records alone, and by their headers.
const RECORDS_A_TURN: usize = 2_000;
const HEADERS_A_TURN: usize = 50;
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
    test: Test,
    members: &[Member],
) -> Result<Vec<Found>, StoreError> {
    let cost = test.cost();
    if cost == Cost::Whole {
        return judge_whole(context, selected, test, members).await;
    }
    let mut found = Vec::new();
    let turn = if cost == Cost::Record { RECORDS_A_TURN } else { HEADERS_A_TURN };
    for members in members.chunks(turn) {
        let reader = context.shared.parts.store.reader(selected.mailbox)?;
        for (member, info) in infos(&reader, members)? {
            let passes = Message::new(member, info, selected, &reader).passes(&test);
            if whole_or_told(context, selected, &info, passes)? {
                found.push(Found { member, modseq: info.modseq.0 });
            }
        }
        drop(reader);
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Judges messages of which all octets may be looked at, one by one, each in the room it needs; but for those
/// whose signature tells enough.
async fn judge_whole(
    context: &Context<'_>,
    selected: &Selected,
    test: Test,
    members: &[Member],
) -> Result<Vec<Found>, StoreError> {
    let (test, parts) = (Arc::new(test), &context.shared.parts);
    let (mut found, mut read) = (Vec::new(), 0);
    for members in members.chunks(SIGNATURES_A_TURN) {
        for signed in by_signature(context, selected, &test, members)? {
            let passes = match signed.passes {
                Some(passes) => passes,
                None => {
                    read += signed.info.size;
                    if read > OCTETS_A_TURN {
                        read = 0;
                        tokio::task::yield_now().await;
                    }
                    judge_one(context, selected, &test, &signed).await?
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
    has_signature: bool,
    /// `None` where it has to be read.
    passes: Option<bool>,
}

fn by_signature(
    context: &Context<'_>,
    selected: &Selected,
    test: &Test,
    members: &[Member],
) -> Result<Vec<Signed>, StoreError> {
    let reader = context.shared.parts.store.reader(selected.mailbox)?;
    let kept = context.shared.parts.derived.reader();
    let judge = |(member, info): (Member, MessageInfo)| {
        let mut message = Message::new(member, info, selected, &reader);
        let told = kept.as_ref().and_then(|kept| {
            derived::read(kept, &info, Kind::Signature, Headers::AsTheyAre, |signature| {
                message.passes_by_signature(test, Signature::new(signature))
            })
        });
        let has_signature = told.is_some();
        let passes = match told.transpose() {
            Err(error) if error.is_damage() => Some(whole_or_told(context, selected, &info, Err(error))?),
            told => told?.flatten(),
        };
        Ok(Signed { member, info, has_signature, passes })
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
    test: &Arc<Test>,
    signed: &Signed,
) -> Result<bool, StoreError> {
    let parts = &context.shared.parts;
    let (member, info, has_signature) = (signed.member, signed.info, signed.has_signature);
    // For the message itself, and for its texts beside it.
    let room = context.shared.room_for(info.size.saturating_mul(TEXTS_GROWTH + 1)).await;
    let message = WholeMessage { store: parts.store.clone(), mailbox: selected.mailbox, info, room };
    let (test, is_recent) = (Arc::clone(test), selected.view.is_recent(member.uid));
    let judged = message.apply(move |_, reader| {
        let mut message = Message { member, info, is_recent, reader, header: None, texts: None };
        let passes = message.passes(&test)?;
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
    for found in found.chunks(turn) {
        let (reader, mut octets) = (context.shared.parts.store.reader(selected.mailbox)?, 0);
        for found in found {
            let Some(info) = reader.info(Uid(found.member.uid))? else { continue };
            let header = match if needs_header { header(&reader, &info) } else { Ok(None) } {
                Err(error) if error.is_damage() => {
                    tell_damaged(context.shared, selected.mailbox, &info, &error);
                    None
                }
                read => read?,
            };
            octets += take(found, &info, &header.map(|head| head.octets).unwrap_or_default());
        }
        drop(reader);
        gathered.add(octets).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// A message in question; read as far as tests need it.
struct Message<'a> {
    member: Member,
    info: MessageInfo,
    is_recent: bool,
    reader: &'a Reader,
    header: Option<Vec<u8>>,
    /// What is searched, once it was read as a whole.
    texts: Option<SearchTexts>,
}

impl<'a> Message<'a> {
    fn new(member: Member, info: MessageInfo, selected: &Selected, reader: &'a Reader) -> Self {
        let is_recent = selected.view.is_recent(member.uid);
        Self { member, info, is_recent, reader, header: None, texts: None }
    }

    fn passes(&mut self, test: &Test) -> Result<bool, StoreError> {
        let info = &self.info;
        Ok(match test {
            Test::Always(answer) => *answer,
            Test::Flag { flags, keywords, set } => {
                (info.flags.contains(*flags) && info.keywords.contains(*keywords)) == *set
            }
            Test::Recent(recent) => self.is_recent == *recent,
            Test::Internal(order, asked) => {
                let days = i64::try_from(info.internal_date.as_seconds() / 86_400).unwrap_or(i64::MAX);
                order.holds(&days, asked)
            }
            Test::Saved(order, asked) => {
                let days = i64::try_from(info.save_date.as_seconds() / 86_400).unwrap_or(i64::MAX);
                order.holds(&days, asked)
            }
            Test::Until(second) => info.internal_date.as_seconds() <= *second,
            Test::From(second) => info.internal_date.as_seconds() >= *second,
            Test::ModSeq(modseq) => info.modseq.0 >= *modseq,
            Test::EmailId(id) => email_id(info) == *id,
            Test::Larger(octets) => info.size > *octets,
            Test::Smaller(octets) => info.size < *octets,
            Test::Uids(ranges) => is_in(ranges, self.member.uid),
            Test::Sequence(ranges) => is_in(ranges, self.member.sequence),
            Test::Sent(order, asked) => {
                let header = self.header()?;
                let date = Fields::of(header).first("Date").and_then(|field| parse_date(&field.unfolded()));
                date.is_some_and(|date| order.holds(&(date.day.year, date.day.month, date.day.day), asked))
            }
            Test::Header(name, needle) => header_contains(self.header()?, name, needle),
            Test::Body(needle) => self.texts()?.body_contains(needle),
            Test::Text(needle) => self.texts()?.text_contains(needle),
            Test::Not(test) => !self.passes(test)?,
            Test::Any(tests) => self.passes_some(tests, true)?,
            Test::All(tests) => !self.passes_some(tests, false)?,
        })
    }

    /// What the message's signature and record tell; `None` where it has to be read.
    fn passes_by_signature(
        &mut self,
        test: &Test,
        signature: Signature<'_>,
    ) -> Result<Option<bool>, StoreError> {
        Ok(match test {
            Test::Body(needle) => self.lacks(needle, signature)?,
            Test::Text(needle) => self.lacks(needle, signature)?,
            Test::Not(test) => self.passes_by_signature(test, signature)?.map(|passes| !passes),
            Test::Any(tests) => self.some_by_signature(tests, signature, true)?,
            Test::All(tests) => self.some_by_signature(tests, signature, false)?.map(|fails| !fails),
            test => Some(self.passes(test)?),
        })
    }

    /// `Some(false)` where a text is not in the message: neither in its content nor in the fields on top of it,
    /// which are the recipient's own.
    fn lacks(&self, needle: &Needle, signature: Signature<'_>) -> Result<Option<bool>, StoreError> {
        if signature.may_contain(needle) {
            return Ok(None);
        }
        let prefix = self.reader.prefix(self.info.uid)?.unwrap_or_default();
        Ok((!field_contains(&prefix, needle)).then_some(false))
    }

    /// Whether some test answers so, as far as that can be told.
    fn some_by_signature(
        &mut self,
        tests: &[Test],
        signature: Signature<'_>,
        answer: bool,
    ) -> Result<Option<bool>, StoreError> {
        let mut all_known = true;
        for test in tests {
            match self.passes_by_signature(test, signature)? {
                Some(passes) if passes == answer => return Ok(Some(true)),
                Some(_) => {}
                None => all_known = false,
            }
        }
        Ok(all_known.then_some(false))
    }

    /// The signature of the message, where it was read as a whole.
    fn signature(&self) -> Option<Vec<u8>> {
        self.texts.as_ref().map(Signature::make)
    }

    /// Whether some test answers so.
    fn passes_some(&mut self, tests: &[Test], answer: bool) -> Result<bool, StoreError> {
        for test in tests {
            if self.passes(test)? == answer {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn header(&mut self) -> Result<&[u8], StoreError> {
        if self.header.is_none() {
            let header = header(self.reader, &self.info)?;
            self.header = Some(header.map(|head| head.octets).unwrap_or_default());
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    fn texts(&mut self) -> Result<&SearchTexts, StoreError> {
        let texts = match self.texts.take() {
            Some(texts) => texts,
            None => {
                let whole = match self.reader.octets(self.info.uid)? {
                    Some(octets) => octets.to_bytes()?,
                    None => Bytes::new(),
                };
                SearchTexts::of(&Structure::parse(&whole))
            }
        };
        Ok(self.texts.insert(texts))
    }
}

fn is_in(ranges: &[(u32, u32)], number: u32) -> bool {
    let place = ranges.partition_point(|(from, _)| *from <= number);
    place > 0 && number <= ranges[place - 1].1
}
