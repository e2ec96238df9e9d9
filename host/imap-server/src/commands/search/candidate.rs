//! One message that may be what a search looks for.

use std::sync::Arc;

use bytes::Bytes;
use message::{
    FieldNames, Fields, HeaderTexts, Needle, SearchTexts, Signature, Structure, field_contains, parse_date,
};
use store::{Keywords, MessageInfo, Reader, StoreError};

use super::condition::{Condition, Test};
use crate::commands::extracts::header;
use crate::object_ids::has_email_id;
use crate::selected::Selected;
use crate::view::Member;

/// What is asked of messages.
pub(super) struct Asked {
    pub(super) test: Test,
    /// Of the fields that are looked into.
    names: FieldNames,
    /// That are asked for.
    keywords: Vec<String>,
}

/// The bits that keywords have in a mailbox at one moment, in the order in which they are asked for; `None` is one that no message
/// has.
pub(super) type Bits = Arc<[Option<Keywords>]>;

impl Asked {
    pub(super) fn of(Condition { test, keywords }: Condition) -> Self {
        let mut names = Vec::new();
        test.field_names(&mut names);
        Self { names: FieldNames::new(names), test, keywords }
    }

    /// The bits of its keywords in the records of a snapshot.
    pub(super) fn bits(&self, reader: &Reader) -> Result<Bits, StoreError> {
        if self.keywords.is_empty() {
            return Ok(Bits::default());
        }
        let table = reader.keywords()?;
        Ok(self.keywords.iter().map(|name| table.find(name)).collect())
    }
}

/// A message in question; read as far as tests need it.
pub(super) struct Message<'a> {
    member: Member,
    info: MessageInfo,
    is_recent: bool,
    reader: &'a Reader,
    /// Of the record.
    bits: &'a [Option<Keywords>],
    /// Longer headers are not looked at here.
    header_octets_max: usize,
    /// Such a one would have to be: what is said of the message is not so.
    pub(super) is_too_long: bool,
    pub(super) header: Option<Vec<u8>>,
    header_texts: Option<HeaderTexts>,
    sent: Option<Option<(u16, u8, u8)>>,
    /// What is searched, once it was read as a whole.
    texts: Option<SearchTexts>,
}

impl<'a> Message<'a> {
    pub(super) fn new(
        member: Member,
        info: MessageInfo,
        selected: &Selected,
        (reader, bits): (&'a Reader, &'a Bits),
        header_octets_max: usize,
    ) -> Self {
        let is_recent = selected.view.is_recent(member.uid);
        Self::read(member, info, (is_recent, reader, bits), header_octets_max)
    }

    pub(super) fn read(
        member: Member,
        info: MessageInfo,
        (is_recent, reader, bits): (bool, &'a Reader, &'a Bits),
        header_octets_max: usize,
    ) -> Self {
        let (is_too_long, header, header_texts, sent, texts) = (false, None, None, None, None);
        Self {
            member,
            info,
            is_recent,
            reader,
            bits,
            header_octets_max,
            is_too_long,
            header,
            header_texts,
            sent,
            texts,
        }
    }

    pub(super) fn passes(&mut self, asked: &Asked) -> Result<bool, StoreError> {
        self.passes_test(asked, &asked.test)
    }

    fn passes_test(&mut self, asked: &Asked, test: &Test) -> Result<bool, StoreError> {
        let info = &self.info;
        Ok(match test {
            Test::Always(answer) => *answer,
            Test::Flag(flags, set) => info.flags.contains(*flags) == *set,
            Test::Keyword(place, set) => {
                let bit = self.bits.get(*place).copied().flatten();
                bit.is_some_and(|bit| info.keywords.contains(bit)) == *set
            }
            Test::Recent(recent) => self.is_recent == *recent,
            Test::Internal(order, day) => {
                let days = i64::try_from(info.internal_date.as_seconds() / 86_400).unwrap_or(i64::MAX);
                order.holds(&days, day)
            }
            Test::Saved(order, day) => {
                let days = i64::try_from(info.save_date.as_seconds() / 86_400).unwrap_or(i64::MAX);
                order.holds(&days, day)
            }
            Test::Until(second) => info.internal_date.as_seconds() <= *second,
            Test::From(second) => info.internal_date.as_seconds() >= *second,
            Test::ModSeq(modseq) => info.modseq.0 >= *modseq,
            Test::EmailId(id) => has_email_id(self.reader, info, id)?,
            Test::Larger(octets) => info.size > *octets,
            Test::Smaller(octets) => info.size < *octets,
            Test::Uids(ranges) => is_in(ranges, self.member.uid),
            Test::Sequence(ranges) => is_in(ranges, self.member.sequence),
            Test::Sent(order, day) => self.sent()?.is_some_and(|sent| order.holds(&sent, day)),
            Test::Header(name, needle) => self.header_texts(asked)?.contains(&asked.names, name, needle),
            Test::Body(needle) => self.texts()?.body_contains(needle),
            Test::Text(needle) => self.texts()?.text_contains(needle),
            Test::Not(test) => !self.passes_test(asked, test)?,
            Test::Any(tests) => self.passes_some(asked, tests, true)?,
            Test::All(tests) => !self.passes_some(asked, tests, false)?,
        })
    }

    /// What the message's signature and record tell; `None` where it has to be read.
    pub(super) fn passes_by_signature(
        &mut self,
        asked: &Asked,
        test: &Test,
        signature: Signature<'_>,
    ) -> Result<Option<bool>, StoreError> {
        Ok(match test {
            Test::Body(needle) => self.lacks(needle, signature)?,
            Test::Text(needle) => self.lacks(needle, signature)?,
            Test::Not(test) => self.passes_by_signature(asked, test, signature)?.map(|passes| !passes),
            Test::Any(tests) => self.some_by_signature(asked, tests, signature, true)?,
            Test::All(tests) => self.some_by_signature(asked, tests, signature, false)?.map(|fails| !fails),
            test => {
                let passes = self.passes_test(asked, test)?;
                (!self.is_too_long).then_some(passes)
            }
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
        asked: &Asked,
        tests: &[Test],
        signature: Signature<'_>,
        answer: bool,
    ) -> Result<Option<bool>, StoreError> {
        let mut all_known = true;
        for test in tests {
            match self.passes_by_signature(asked, test, signature)? {
                Some(passes) if passes == answer => return Ok(Some(true)),
                Some(_) => {}
                None => all_known = false,
            }
        }
        Ok(all_known.then_some(false))
    }

    /// The signature of the message, where it was read as a whole.
    pub(super) fn signature(&self) -> Option<Vec<u8>> {
        self.texts.as_ref().map(Signature::make)
    }

    /// Whether some test answers so.
    fn passes_some(&mut self, asked: &Asked, tests: &[Test], answer: bool) -> Result<bool, StoreError> {
        for test in tests {
            if self.passes_test(asked, test)? == answer {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn header(&mut self) -> Result<&[u8], StoreError> {
        if self.header.is_none() {
            let header = header(self.reader, &self.info)?;
            let mut octets = header.map(|head| head.octets).unwrap_or_default();
            if octets.len() > self.header_octets_max {
                self.is_too_long = true;
                octets = Vec::new();
            }
            self.header = Some(octets);
        }
        Ok(self.header.as_deref().unwrap_or_default())
    }

    /// The fields that are asked for: the header is gone through once for all keys.
    fn header_texts(&mut self, asked: &Asked) -> Result<&HeaderTexts, StoreError> {
        let texts = match self.header_texts.take() {
            Some(texts) => texts,
            None => HeaderTexts::of(self.header()?, &asked.names),
        };
        Ok(self.header_texts.insert(texts))
    }

    /// The day of the Date field.
    fn sent(&mut self) -> Result<Option<(u16, u8, u8)>, StoreError> {
        if let Some(sent) = self.sent {
            return Ok(sent);
        }
        let date = Fields::of(self.header()?).first("Date").and_then(|field| parse_date(&field.unfolded()));
        Ok(*self.sent.insert(date.map(|date| (date.day.year, date.day.month, date.day.day))))
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
