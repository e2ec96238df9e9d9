//! URLs of messages on the server itself, as CATENATE names them (RFC 4469 §3, RFC 5092).

use crate::cursor::Cursor;
use crate::fetch::{Section, section};
use crate::limits::Limits;
use crate::mailbox::MailboxName;

/// A message, or a part of it, by a URL without scheme and server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// In which mailbox; `None`: in the one that is selected.
    pub mailbox: Option<MailboxName>,
    /// The mailbox's UIDVALIDITY has to be this one.
    pub uid_validity: Option<u32>,
    /// Which message.
    pub uid: u32,
    /// Which part of it.
    pub section: Section,
    /// Which octets of that: from an offset on, so many at most.
    pub partial: Option<(u64, Option<u64>)>,
}

impl MessageUrl {
    /// Reads a URL; `None` where it is none of a message here.
    ///
    /// ```text
    /// imessagepart = imailbox-ref iuid [isection] [ipartial] ; RFC 5092 §11
    /// imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number]
    /// iuid         = "/;UID=" nz-number
    /// isection     = "/;SECTION=" enc-section
    /// ipartial     = "/;PARTIAL=" number ["." nz-number]
    /// ```
    #[must_use]
    pub fn parse(text: &str, limits: &Limits) -> Option<Self> {
        // With a selected mailbox, that is where relative URLs begin; all others begin at the root.
        let (mailbox, uid_validity, rest) = match text.strip_prefix('/') {
            Some(path) => {
                let (mailbox, rest) = path.split_at_checked(path.find(';')?)?;
                let (mailbox, uid_validity, rest) = match strip_word(rest, ";UIDVALIDITY=") {
                    Some(rest) => {
                        let (validity, rest) = rest.split_once('/')?;
                        (mailbox, Some(nz_number(validity)?), rest)
                    }
                    None => (mailbox.strip_suffix('/')?, None, rest),
                };
                let name = decode(mailbox)?;
                // `//` begins the name of a server.
                if name.is_empty() || name.starts_with('/') || name.contains(char::is_control) {
                    return None;
                }
                (Some(MailboxName::new(&name)), uid_validity, rest)
            }
            None => (None, None, text),
        };
        let mut parts = rest.split("/;");
        let uid = nz_number(strip_word(parts.next()?, ";UID=")?)?;
        let (mut section, mut partial) = (Section::default(), None);
        let mut next = parts.next();
        if let Some(text) = next.and_then(|part| strip_word(part, "SECTION=")) {
            section = read_section(&decode(text)?, limits)?;
            next = parts.next();
        }
        if let Some(text) = next.and_then(|part| strip_word(part, "PARTIAL=")) {
            partial = Some(read_partial(text)?);
            next = parts.next();
        }
        next.is_none().then_some(Self { mailbox, uid_validity, uid, section, partial })
    }
}

/// Words of URLs are the same in any case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn nz_number(text: &str) -> Option<u32> {
    let is_number = text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_number)
}

/// `bchar`, with `%` and two digits for any other octet: UTF-8.
fn decode(text: &str) -> Option<String> {
    let is_bchar = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~!$'()*+,&=:@/".contains(&octet);
    let (mut octets, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet if is_bchar(octet) => octet,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok()
}

fn read_section(text: &str, limits: &Limits) -> Option<Section> {
    let text = format!("[{text}]");
    let mut cursor = Cursor::new(text.as_bytes(), limits);
    section(&mut cursor).ok().filter(|section| cursor.is_at_end() && *section != Section::default())
}

fn read_partial(text: &str) -> Option<(u64, Option<u64>)> {
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    match text.split_once('.') {
        Some((offset, length)) => Some((number(offset)?, Some(number(length).filter(|length| *length > 0)?))),
        None => Some((number(text)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<MessageUrl> {
        MessageUrl::parse(text, &Limits::default())
    }

    fn shown(text: &str) -> Option<String> {
        let url = read(text)?;
        let mailbox = url.mailbox.map(|name| name.to_string());
        Some(format!("{mailbox:?} {:?} {} {} {:?}", url.uid_validity, url.uid, url.section, url.partial))
    }

    #[test]
    fn urls_as_the_standard_prints_them() {
        for (text, expected) in [
            (
                "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
                "Some(\"Drafts\") Some(385759045) 20 [HEADER] None",
            ),
            (
                "/Drafts;UIDVALIDITY=385759045/;UID=20/;Section=1.MIME",
                "Some(\"Drafts\") Some(385759045) 20 [1.MIME] None",
            ),
            (
                "/inbox;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9",
                "Some(\"INBOX\") Some(785799047) 113330 [1.5.9] None",
            ),
            ("/Drafts/;UID=3002", "Some(\"Drafts\") None 3002 [] None"),
            (";UID=7/;SECTION=TEXT", "None None 7 [TEXT] None"),
            ("/a/b%2Fc%20%C3%A4/;uid=1/;PARTIAL=5.10", "Some(\"a/b/c ä\") None 1 [] Some((5, Some(10)))"),
            (
                "/a/;UID=1/;SECTION=HEADER.FIELDS%20(From%20To)/;PARTIAL=3",
                "Some(\"a\") None 1 [HEADER.FIELDS (From To)] Some((3, None))",
            ),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn others_are_none() {
        for text in [
            "",
            "/",
            "/INBOX",
            "INBOX/;UID=1",
            "imap://user@example.org/INBOX/;UID=1",
            "//example.org/INBOX/;UID=1",
            "/INBOX;UID=1",
            "/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=+1",
            "/INBOX/;UID=1/",
            "/INBOX/;UID=1/;SECTION=",
            "/INBOX/;UID=1/;SECTION=0",
            "/INBOX/;UID=1/;SECTION=MIME",
            "/INBOX/;UID=1/;PARTIAL=1/;SECTION=1",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/;PARTIAL=.1",
            "/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:91354a473744909de610943775f92038",
            "/IN BOX/;UID=1",
            "/IN%ffBOX/;UID=1",
            "/IN%0aBOX/;UID=1",
            "/IN%4/;UID=1",
            "/INBOX;UIDVALIDITY=1;UID=1",
            "/INBOX?x/;UID=1",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(/[a-z%;ä]{0,5})?;?(UID|UIDVALIDITY)=[0-9]{0,11}(/;(UID|SECTION|PARTIAL)=[ -~ä]{0,6}){0,3}") {
            let _ = read(&text);
        }
    }
}
