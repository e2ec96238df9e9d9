//! What a search asks of a message, ready to judge it.

use imap_wire::{By, Date, Flag, SearchKey, SequenceSet};
use message::{Needle, decode_charset};
use store::Flags;

use crate::selected::{SYSTEM_FLAGS, Selected};

/// A search key, ready to judge messages.
pub(super) enum Test {
    Always(bool),
    Flag(Flags, bool),
    /// A keyword, by its place among those that are asked for.
    Keyword(usize, bool),
    Recent(bool),
    Internal(Order, i64),
    /// The moment it came into the mailbox.
    Saved(Order, i64),
    /// Came at this second at the latest, or at the earliest (RFC 5032 §2).
    Until(u64),
    From(u64),
    ModSeq(u64),
    EmailId(String),
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
pub(super) enum Order {
    Before,
    On,
    Since,
}

impl Order {
    pub(super) fn holds<T: Ord>(self, day: &T, asked: &T) -> bool {
        match self {
            Self::Before => day < asked,
            Self::On => day == asked,
            Self::Since => day >= asked,
        }
    }
}

/// How much of a message a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    Record,
    Header,
    Whole,
}

impl Test {
    pub(super) fn cost(&self) -> Cost {
        match self {
            Self::Sent(..) | Self::Header(..) => Cost::Header,
            Self::Body(_) | Self::Text(_) => Cost::Whole,
            Self::Not(test) => test.cost(),
            Self::Any(tests) | Self::All(tests) => tests.iter().map(Self::cost).max().unwrap_or(Cost::Record),
            _ => Cost::Record,
        }
    }

    /// The names of the fields that it looks into.
    pub(super) fn field_names<'t>(&'t self, names: &mut Vec<&'t str>) {
        match self {
            Self::Header(name, _) => names.push(name),
            Self::Not(test) => test.field_names(names),
            Self::Any(tests) | Self::All(tests) => tests.iter().for_each(|test| test.field_names(names)),
            _ => {}
        }
    }
}

/// What is asked of messages.
pub(super) struct Condition {
    pub(super) test: Test,
    /// The keywords that are asked for. Which bits they are, each snapshot says with its records.
    pub(super) keywords: Vec<String>,
}

/// Makes tests from keys.
pub(super) struct Compiler<'a> {
    selected: &'a Selected,
    charset: &'a str,
    /// Seconds since 1970.
    now: u64,
    keywords: Vec<String>,
}

impl<'a> Compiler<'a> {
    /// For texts in that charset, at that second since 1970.
    pub(super) fn new(selected: &'a Selected, charset: &'a str, now: u64) -> Self {
        Self { selected, charset, now, keywords: Vec::new() }
    }

    /// That all keys match.
    pub(super) fn condition(mut self, keys: &[SearchKey]) -> Condition {
        let test = self.all(keys);
        Condition { test, keywords: self.keywords }
    }

    fn all(&mut self, keys: &[SearchKey]) -> Test {
        Test::All(self.tests(keys))
    }

    fn tests(&mut self, keys: &[SearchKey]) -> Vec<Test> {
        let mut tests: Vec<Test> = keys.iter().map(|key| self.test(key)).collect();
        // What is cheap to know may spare what is not.
        tests.sort_by_cached_key(Test::cost);
        tests
    }

    fn test(&mut self, key: &SearchKey) -> Test {
        match key {
            SearchKey::All => Test::Always(true),
            SearchKey::New => Test::All(vec![Test::Recent(true), Test::Flag(Flags::SEEN, false)]),
            SearchKey::Has(flag) => self.has(flag, true),
            SearchKey::Lacks(flag) => self.has(flag, false),
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
            SearchKey::Older(seconds) => Test::Until(self.now.saturating_sub(u64::from(*seconds))),
            SearchKey::Younger(seconds) => Test::From(self.now.saturating_sub(u64::from(*seconds))),
            SearchKey::ModSeq(modseq) => Test::ModSeq(*modseq),
            SearchKey::SavedBefore(date) => Test::Saved(Order::Before, date.days_since_1970()),
            SearchKey::SavedOn(date) => Test::Saved(Order::On, date.days_since_1970()),
            SearchKey::SavedSince(date) => Test::Saved(Order::Since, date.days_since_1970()),
            SearchKey::SaveDateSupported => Test::Always(true),
            SearchKey::EmailId(id) => Test::EmailId(id.clone()),
            // RFC 8474 §5.2: without thread identifiers, none is found by one.
            SearchKey::ThreadId(_) => Test::Always(false),
            SearchKey::Uid(set) | SearchKey::Sequence(set) if set.is_saved() => self.saved(),
            SearchKey::Uid(set) => Test::Uids(set.resolve(self.selected.view.last_uid())),
            SearchKey::Sequence(set) => Test::Sequence(set.resolve(self.selected.view.len())),
            SearchKey::Not(key) => Test::Not(Box::new(self.test(key))),
            SearchKey::Or(keys) => Test::Any(self.tests(keys)),
            SearchKey::And(keys) => self.all(keys),
        }
    }

    fn has(&mut self, flag: &Flag, set: bool) -> Test {
        match flag {
            Flag::Recent => Test::Recent(set),
            Flag::Keyword(name) => {
                let known = self.keywords.iter().position(|known| known.eq_ignore_ascii_case(name));
                let place = known.unwrap_or_else(|| {
                    self.keywords.push(name.clone());
                    self.keywords.len() - 1
                });
                Test::Keyword(place, set)
            }
            system => match SYSTEM_FLAGS.iter().find(|(flag, _)| flag == system) {
                Some((_, flags)) => Test::Flag(*flags, set),
                None => Test::Always(!set),
            },
        }
    }

    /// `$` (RFC 5182 §2.1).
    fn saved(&self) -> Test {
        let members = self.selected.view.resolve(By::Uid, &SequenceSet::saved()).unwrap_or_default();
        Test::Uids(members.into_iter().map(|member| (member.uid, member.uid)).collect())
    }

    fn needle(&self, text: &[u8]) -> Needle {
        // What is not valid in its charset is taken with replacement characters: it finds nothing.
        Needle::new(&decode_charset(self.charset.as_bytes(), text))
    }
}

fn day(date: Date) -> (u16, u8, u8) {
    (date.year, date.month, date.day)
}
