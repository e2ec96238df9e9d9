//! SEARCH (RFC 3501 §6.4.4).

use std::sync::Arc;

use bytes::Bytes;
use imap_wire::{By, Code, Date, Flag, Search, SearchKey, SequenceSet};
use message::{Fields, parse_date, text_contains};
use message::{
    Needle, Structure, body_contains, decode_charset, header_contains, header_len, is_known_charset,
};
use store::{Flags, Keywords, MessageInfo, Reader, StoreError, Uid};

use super::extract::{WholeMessage, head};
use super::fetch::infos;
use super::{Context, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{SYSTEM_FLAGS, Selected};
use crate::view::Member;

/// Messages judged before others get their turn: by their records alone, and by their headers.
const RECORDS_A_TURN: usize = 2_000;
const HEADERS_A_TURN: usize = 50;
/// Numbers that are written before what was gathered is sent, if it is much.
const NUMBERS_A_PIECE: usize = 1_000;
/// A search key, ready to judge messages.
enum Test {
    Always(bool),
    Flag { flags: Flags, keywords: Keywords, set: bool },
    Recent(bool),
    Internal(Order, i64),
    Sent(Order, (u16, u8, u8)),
    Larger(u64),
    Smaller(u64),
    Uids(Vec<(u32, u32)>),
    Sequence(Vec<(u32, u32)>),
    Header(String, Needle),
    Body(Needle),
    Text(Needle),
    Not(Box<Test>),
    Any(Vec<Test>),
    All(Vec<Test>),
}

/// How a day stands to the one that is asked for.
#[derive(Debug, Clone, Copy)]
enum Order {
    Before,
    On,
    Since,
}

impl Order {
    fn holds<T: Ord>(self, day: &T, asked: &T) -> bool {
        match self {
            Self::Before => day < asked,
            Self::On => day == asked,
            Self::Since => day >= asked,
        }
    }
}

/// How much of a message a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Record,
    Header,
    Whole,
}

impl Test {
    fn cost(&self) -> Cost {
        match self {
            Self::Sent(..) | Self::Header(..) => Cost::Header,
            Self::Body(_) | Self::Text(_) => Cost::Whole,
            Self::Not(test) => test.cost(),
            Self::Any(tests) | Self::All(tests) => tests.iter().map(Self::cost).max().unwrap_or(Cost::Record),
            _ => Cost::Record,
        }
    }
}

/// Makes tests from keys.
struct Compiler<'a> {
    selected: &'a Selected,
    charset: &'a str,
}

impl Compiler<'_> {
    fn all(&self, keys: &[SearchKey]) -> Test {
        let mut tests: Vec<Test> = keys.iter().map(|key| self.test(key)).collect();
        // What is cheap to know may spare what is not.
        tests.sort_by_key(Test::cost);
        Test::All(tests)
    }

    fn test(&self, key: &SearchKey) -> Test {
        match key {
            SearchKey::All => Test::Always(true),
            SearchKey::New => Test::All(vec![Test::Recent(true), has(&Flag::Seen, self.selected, false)]),
            SearchKey::Has(flag) => has(flag, self.selected, true),
            SearchKey::Lacks(flag) => has(flag, self.selected, false),
            SearchKey::Header(name, text) => Test::Header(name.clone(), self.needle(text)),
            SearchKey::Body(text) => Test::Body(self.needle(text)),
            SearchKey::Text(text) => Test::Text(self.needle(text)),
            SearchKey::Before(date) => Test::Internal(Order::Before, date.days_since_1970()),
            SearchKey::On(date) => Test::Internal(Order::On, date.days_since_1970()),
            SearchKey::Since(date) => Test::Internal(Order::Since, date.days_since_1970()),
            SearchKey::SentBefore(date) => Test::Sent(Order::Before, day(*date)),
            SearchKey::SentOn(date) => Test::Sent(Order::On, day(*date)),
            SearchKey::SentSince(date) => Test::Sent(Order::Since, day(*date)),
            SearchKey::Larger(octets) => Test::Larger(*octets),
            SearchKey::Smaller(octets) => Test::Smaller(*octets),
            SearchKey::Uid(set) => Test::Uids(set.resolve(self.selected.view.last_uid())),
            SearchKey::Sequence(set) => Test::Sequence(set.resolve(self.selected.view.len())),
            SearchKey::Not(key) => Test::Not(Box::new(self.test(key))),
            SearchKey::Or(first, second) => {
                let mut tests = vec![self.test(first), self.test(second)];
                tests.sort_by_key(Test::cost);
                Test::Any(tests)
            }
            SearchKey::And(keys) => self.all(keys),
        }
    }

    fn needle(&self, text: &[u8]) -> Needle {
        // What is not valid in its charset is taken with replacement characters: it finds nothing.
        Needle::new(&decode_charset(self.charset.as_bytes(), text))
    }
}

fn has(flag: &Flag, selected: &Selected, set: bool) -> Test {
    match flag {
        Flag::Recent => Test::Recent(set),
        Flag::Keyword(name) => match selected.keywords.find(name) {
            Some(keywords) => Test::Flag { flags: Flags::NONE, keywords, set },
            None => Test::Always(!set),
        },
        system => {
            let bit = SYSTEM_FLAGS.iter().find(|(flag, _)| flag == system).map(|(_, bit)| *bit);
            match bit {
                Some(flags) => Test::Flag { flags, keywords: Keywords::NONE, set },
                None => Test::Always(!set),
            }
        }
    }
}

fn day(date: Date) -> (u16, u8, u8) {
    (date.year, date.month, date.day)
}

pub(crate) async fn search(
    context: &mut Context<'_>,
    selected: &Selected,
    search: Search,
) -> Result<Answer, End> {
    // Clients send UTF-8 without saying so: it contains US-ASCII.
    let charset = search.charset.as_deref().unwrap_or("UTF-8");
    if !is_known_charset(charset.as_bytes()) {
        return Ok(Answer::no("unknown charset").code(Code::BadCharset(vec!["US-ASCII", "UTF-8"])));
    }
    let test = Compiler { selected, charset }.all(&search.keys);
    let found = match judge_all(context, selected, test, &candidates(selected, &search.keys)).await {
        Ok(found) => found,
        Err(error) => return Ok(refusal(&error)),
    };
    tell_found(context, &found, search.by).await?;
    Ok(Answer::ok("SEARCH done"))
}

/// `mailbox-data = "SEARCH" *(SP nz-number)`, in pieces: a large mailbox makes a long line.
async fn tell_found(context: &mut Context<'_>, found: &[Member], by: By) -> Result<(), End> {
    context.io.out().extend_from_slice(b"* SEARCH");
    for members in found.chunks(NUMBERS_A_PIECE) {
        let out = context.io.out();
        for member in members {
            let number = if by == By::Uid { member.uid } else { member.sequence };
            out.push(b' ');
            out.extend_from_slice(number.to_string().as_bytes());
        }
        context.io.flush_if_full().await?;
    }
    context.io.out().extend_from_slice(b"\r\n");
    Ok(())
}

/// The messages that a set among the keys leaves in question.
fn candidates(selected: &Selected, keys: &[SearchKey]) -> Vec<Member> {
    let named = |by: By, set: &SequenceSet| selected.view.resolve(by, set).ok();
    let by_set = keys.iter().find_map(|key| match key {
        SearchKey::Uid(set) => named(By::Uid, set),
        SearchKey::Sequence(set) => named(By::SequenceNumber, set),
        _ => None,
    });
    by_set.unwrap_or_else(|| selected.view.members().collect())
}

async fn judge_all(
    context: &Context<'_>,
    selected: &Selected,
    test: Test,
    members: &[Member],
) -> Result<Vec<Member>, StoreError> {
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
                found.push(member);
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
) -> Result<Vec<Member>, StoreError> {
    let (test, store) = (Arc::new(test), &context.shared.parts.store);
    let mut found = Vec::new();
    for member in members {
        let Some(info) = store.reader(selected.mailbox)?.info(Uid(member.uid))? else { continue };
        let room = context.shared.room_for(info.size).await;
        let message = WholeMessage { store: store.clone(), mailbox: selected.mailbox, info, room };
        let (test, member, is_recent) = (Arc::clone(&test), *member, selected.view.is_recent(member.uid));
        let passes = message.apply(move |message, reader| {
            let info = message.info;
            Message { member, info, is_recent, reader, header: None, whole: None }.passes(&test)
        });
        if passes.await? {
            found.push(member);
        }
        tokio::task::yield_now().await;
    }
    Ok(found)
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
