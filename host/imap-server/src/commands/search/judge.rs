//! Which messages a search finds.

use std::sync::Arc;

use bytes::Bytes;
use imap_wire::{By, SearchKey, SequenceSet};
use message::{Fields, Structure, body_contains, header_contains, header_len, parse_date, text_contains};
use store::{MessageInfo, Reader, StoreError, Uid};

use super::condition::{Cost, Test};
use crate::commands::Context;
use crate::commands::extract::{WholeMessage, head};
use crate::commands::fetch::infos;
use crate::object_ids::email_id;
use crate::selected::Selected;
use crate::view::Member;

/// Messages judged before others get their turn: by their records alone, and by their headers.
const RECORDS_A_TURN: usize = 2_000;
const HEADERS_A_TURN: usize = 50;

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
            if Message::new(member, info, selected, &reader).passes(&test)? {
                found.push(Found { member, modseq: info.modseq.0 });
            }
        }
        drop(reader);
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Judges messages of which all octets may be looked at, one by one, each in the room it needs.
async fn judge_whole(
    context: &Context<'_>,
    selected: &Selected,
    test: Test,
    members: &[Member],
) -> Result<Vec<Found>, StoreError> {
    let (test, store) = (Arc::new(test), &context.shared.parts.store);
    let mut found = Vec::new();
    for member in members {
        let Some(info) = store.reader(selected.mailbox)?.info(Uid(member.uid))? else { continue };
        let room = context.shared.room_for(info.size).await;
        let modseq = info.modseq.0;
        let message = WholeMessage { store: store.clone(), mailbox: selected.mailbox, info, room };
        let (test, member, is_recent) = (Arc::clone(&test), *member, selected.view.is_recent(member.uid));
        let passes = message.apply(move |message, reader| {
            let info = message.info;
            Message { member, info, is_recent, reader, header: None, whole: None }.passes(&test)
        });
        if passes.await? {
            found.push(Found { member, modseq });
        }
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Reads the records, and where they are needed the headers, of messages that were found; what has gone
/// meanwhile is passed over.
pub(super) async fn read_headers(
    context: &Context<'_>,
    selected: &Selected,
    found: &[Found],
    needs_header: bool,
    mut take: impl FnMut(&Found, &MessageInfo, &[u8]),
) -> Result<(), StoreError> {
    let turn = if needs_header { HEADERS_A_TURN } else { RECORDS_A_TURN };
    for found in found.chunks(turn) {
        let reader = context.shared.parts.store.reader(selected.mailbox)?;
        for found in found {
            let Some(info) = reader.info(Uid(found.member.uid))? else { continue };
            let head = if needs_header { head(&reader, info.uid)? } else { None };
            let head = head.map(|(head, _)| head).unwrap_or_default();
            take(found, &info, &head[..header_len(&head)]);
        }
        drop(reader);
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
    whole: Option<Bytes>,
}

impl<'a> Message<'a> {
    fn new(member: Member, info: MessageInfo, selected: &Selected, reader: &'a Reader) -> Self {
        let is_recent = selected.view.is_recent(member.uid);
        Self { member, info, is_recent, reader, header: None, whole: None }
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
            Test::Body(needle) => body_contains(&Structure::parse(&self.whole()?), needle),
            Test::Text(needle) => text_contains(&Structure::parse(&self.whole()?), needle),
            Test::Not(test) => !self.passes(test)?,
            Test::Any(tests) => self.passes_some(tests, true)?,
            Test::All(tests) => !self.passes_some(tests, false)?,
        })
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
            let head = head(self.reader, self.info.uid)?;
            self.header = Some(head.map(|(head, _)| head).unwrap_or_default());
        }
        let head = self.header.as_deref().unwrap_or_default();
        Ok(&head[..header_len(head)])
    }

    fn whole(&mut self) -> Result<Bytes, StoreError> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let whole = match self.reader.octets(self.info.uid)? {
            Some(octets) => octets.to_bytes()?,
            None => Bytes::new(),
        };
        self.whole = Some(whole.clone());
        Ok(whole)
    }
}

fn is_in(ranges: &[(u32, u32)], number: u32) -> bool {
    let place = ranges.partition_point(|(from, _)| *from <= number);
    place > 0 && number <= ranges[place - 1].1
}
