//! ESMTP parameters of MAIL and RCPT, typed (RFC 5321 §4.1.1.11).

use std::fmt::Write as _;

use mail_types::{
    Address, BodyType, Notify, OriginalRecipient, RetentionOfContent, Transport, decode_xtext, encode_xtext,
};

use crate::error::CommandError;

/// Longest ENVID value in octets, as encoded (RFC 3461 §4.4).
pub const ENVID_MAX: usize = 100;
/// Longest ORCPT value in octets, as encoded (RFC 3461 §4.2).
pub const ORCPT_MAX: usize = 500;
/// Longest SIZE value in digits (RFC 1870 §3).
const SIZE_DIGITS_MAX: usize = 20;

/// AUTH= of MAIL: who submitted the message to the mail system (RFC 4954 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitter {
    /// `<>`: not known, or not well enough.
    Unknown,
    /// An address.
    Address(Address),
}

/// What the parameters of MAIL say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MailParameters {
    pub(crate) transport: Transport,
    pub(crate) size: Option<u64>,
    pub(crate) submitter: Option<Submitter>,
}

impl MailParameters {
    /// Reads what follows the path: each parameter after a space.
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut read = Self::default();
        let mut seen = Seen::default();
        for (keyword, value) in parameters(text) {
            let keyword = known(keyword, &["SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"])?;
            seen.once(keyword)?;
            let valid = match keyword {
                "SIZE" => value.and_then(size).map(|size| read.size = Some(size)),
                "BODY" => value.and_then(body_type).map(|body| read.transport.body = body),
                "SMTPUTF8" => value.is_none().then(|| read.transport.smtputf8 = true),
                "RET" => value.and_then(retention).map(|ret| read.transport.ret = Some(ret)),
                "ENVID" => value.and_then(envid).map(|envid| read.transport.envid = Some(envid)),
                _ => value.and_then(submitter).map(|submitter| read.submitter = Some(submitter)),
            };
            valid.ok_or(CommandError::ParameterValue(keyword))?;
        }
        Ok(read)
    }

    pub(crate) fn encode(&self, line: &mut String) {
        if let Some(size) = self.size {
            let _ = write!(line, " SIZE={size}");
        }
        match self.transport.body {
            BodyType::SevenBit => {}
            BodyType::EightBitMime => line.push_str(" BODY=8BITMIME"),
            BodyType::BinaryMime => line.push_str(" BODY=BINARYMIME"),
        }
        if self.transport.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        match self.transport.ret {
            None => {}
            Some(RetentionOfContent::Full) => line.push_str(" RET=FULL"),
            Some(RetentionOfContent::Headers) => line.push_str(" RET=HDRS"),
        }
        if let Some(envid) = &self.transport.envid {
            let _ = write!(line, " ENVID={}", encode_xtext(envid));
        }
        match &self.submitter {
            None => {}
            Some(Submitter::Unknown) => line.push_str(" AUTH=<>"),
            Some(Submitter::Address(address)) => {
                let _ = write!(line, " AUTH={}", encode_xtext(&address.to_string()));
            }
        }
    }
}

/// What the parameters of RCPT say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RcptParameters {
    pub(crate) notify: Notify,
    pub(crate) orcpt: Option<OriginalRecipient>,
}

impl RcptParameters {
    pub(crate) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut read = Self { notify: Notify::Unspecified, orcpt: None };
        let mut seen = Seen::default();
        for (keyword, value) in parameters(text) {
            let keyword = known(keyword, &["NOTIFY", "ORCPT"])?;
            seen.once(keyword)?;
            let valid = match keyword {
                "NOTIFY" => value.and_then(notify).map(|notify| read.notify = notify),
                _ => value.and_then(orcpt).map(|orcpt| read.orcpt = Some(orcpt)),
            };
            valid.ok_or(CommandError::ParameterValue(keyword))?;
        }
        Ok(read)
    }

    pub(crate) fn encode(&self, line: &mut String) {
        if self.notify != Notify::Unspecified {
            let _ = write!(line, " NOTIFY={}", self.notify);
        }
        if let Some(orcpt) = &self.orcpt {
            let _ = write!(line, " ORCPT={};{}", orcpt.kind, encode_orcpt(orcpt));
        }
    }
}

/// The keywords met in one command; there are few, so that a list is enough.
#[derive(Default)]
struct Seen {
    keywords: [&'static str; 6],
    count: usize,
}

impl Seen {
    fn once(&mut self, keyword: &'static str) -> Result<(), CommandError> {
        if self.keywords[..self.count].contains(&keyword) {
            return Err(CommandError::DuplicateParameter(keyword));
        }
        // Each known keyword enters once at most, and there are six.
        self.keywords[self.count] = keyword;
        self.count += 1;
        Ok(())
    }
}

/// `keyword ["=" value]`, separated by spaces.
fn parameters(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    })
}

fn known(keyword: &str, names: &[&'static str]) -> Result<&'static str, CommandError> {
    let found = names.iter().find(|name| name.eq_ignore_ascii_case(keyword));
    found.copied().ok_or_else(|| CommandError::UnknownParameter(keyword.to_owned()))
}

/// `1*20DIGIT` (RFC 1870 §3). Twenty digits pass what 64 bits hold; too large is too large either way.
fn size(value: &str) -> Option<u64> {
    let digits = (1..=SIZE_DIGITS_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

fn body_type(value: &str) -> Option<BodyType> {
    [("7BIT", BodyType::SevenBit), ("8BITMIME", BodyType::EightBitMime), ("BINARYMIME", BodyType::BinaryMime)]
        .into_iter()
        .find_map(|(name, body)| name.eq_ignore_ascii_case(value).then_some(body))
}

fn retention(value: &str) -> Option<RetentionOfContent> {
    [("FULL", RetentionOfContent::Full), ("HDRS", RetentionOfContent::Headers)]
        .into_iter()
        .find_map(|(name, ret)| name.eq_ignore_ascii_case(value).then_some(ret))
}

/// xtext of printable ASCII (RFC 3461 §4.4).
fn envid(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= ENVID_MAX;
    let plain = fits.then(|| decode_xtext(value)).flatten()?;
    plain.is_ascii().then_some(plain)
}

fn submitter(value: &str) -> Option<Submitter> {
    let plain = decode_xtext(value)?;
    if plain == "<>" {
        return Some(Submitter::Unknown);
    }
    Address::parse(&plain).ok().map(Submitter::Address)
}

/// `"NEVER" / notify-list-element *( "," notify-list-element )` (RFC 3461 §4.1).
fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        match word {
            _ if word.eq_ignore_ascii_case("SUCCESS") => success = true,
            _ if word.eq_ignore_ascii_case("FAILURE") => failure = true,
            _ if word.eq_ignore_ascii_case("DELAY") => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}

/// `addr-type ";" xtext` (RFC 3461 §4.2); for the type `utf-8` also unitext (RFC 6533 §3).
fn orcpt(value: &str) -> Option<OriginalRecipient> {
    let (kind, encoded) = value.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !atom || encoded.is_empty() || value.len() > ORCPT_MAX {
        return None;
    }
    let address =
        if kind.eq_ignore_ascii_case("utf-8") { decode_unitext(encoded)? } else { decode_xtext(encoded)? };
    let read = OriginalRecipient { kind: kind.to_ascii_lowercase(), address };
    // Written in seven bits it grows: what could not be handed on within the limit is not taken.
    (read.kind.len() + 1 + encode_orcpt(&read).len() <= ORCPT_MAX).then_some(read)
}

fn encode_orcpt(orcpt: &OriginalRecipient) -> String {
    if orcpt.kind != "utf-8" {
        return encode_xtext(&orcpt.address);
    }
    let mut text = String::with_capacity(orcpt.address.len() + 8);
    for c in orcpt.address.chars() {
        // The 7-bit form goes through every server, with or without SMTPUTF8.
        match c {
            '\\' | '+' | '=' => {
                let _ = write!(text, "\\x{{{:02X}}}", u32::from(c));
            }
            '!'..='~' => text.push(c),
            _ => {
                let _ = write!(text, "\\x{{{:02X}}}", u32::from(c));
            }
        }
    }
    text
}

/// utf-8-enc-addr of RFC 6533 §3: UTF-8 with `\x{HEX}` for what may not stand there.
fn decode_unitext(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (hex, after) = rest[at..].strip_prefix("\\x{")?.split_once('}')?;
        let valid = (2..=6).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let point = valid.then(|| u32::from_str_radix(hex, 16).ok()).flatten()?;
        plain.push(char::from_u32(point).filter(|c| !c.is_control())?);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}
