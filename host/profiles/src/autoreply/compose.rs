//! How an automatic reply looks (RFC 3834 §3).

use mail_types::{Address, Timestamp};
use message::{Fields, base64_body, date_text, encode_header, encode_phrase, header_len};
use storage::LoadedContent;

use super::wording::Wording;

/// Most octets of the message that an echo returns: no more than a few thousand, for return addresses are easily forged
/// (RFC 3834 §2).
const ECHO_MAX: usize = 8 << 10;
/// Longest line that may stand as it is (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;
/// Most octets of References that are repeated.
const REFERENCES_MAX: usize = 2000;

/// An automatic reply to be composed.
pub(super) struct Answer<'a> {
    pub(super) from: &'a Address,
    /// The display name of `from`.
    pub(super) name: Option<&'a str>,
    pub(super) to: &'a Address,
    pub(super) wording: &'a Wording,
    /// The Message-ID of the message that is answered.
    pub(super) about: Option<&'a str>,
    /// Its header.
    pub(super) references: &'a [u8],
    /// The message, where it is returned.
    pub(super) echoed: Option<&'a LoadedContent>,
    pub(super) date: Timestamp,
    pub(super) random: [u64; 2],
}

/// What came of it.
pub(super) struct Composed {
    pub(super) octets: Vec<u8>,
    pub(super) message_id: String,
    /// Whether its header needs SMTPUTF8 (RFC 6531 §3.6).
    pub(super) smtputf8: bool,
}

impl Answer<'_> {
    pub(super) fn compose(&self) -> Composed {
        let [first, second] = self.random;
        let message_id = format!("<{first:016x}.{second:016x}@{}>", self.from.domain);
        let mut octets = self.header(&message_id).into_bytes();
        let smtputf8 = !octets.is_ascii();
        match self.echoed {
            None => octets.extend_from_slice(text_part(&self.wording.text).as_bytes()),
            Some(content) => self.echo(content, &mut octets),
        }
        Composed { octets, message_id, smtputf8 }
    }

    fn header(&self, message_id: &str) -> String {
        let name = self.name.map(|name| format!("{} ", encode_phrase(name))).unwrap_or_default();
        let mut header = format!(
            "From: {name}<{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: {message_id}\r\n",
            self.from,
            self.to,
            encode_header(&self.wording.subject),
            date_text(self.date),
        );
        if let Some(about) = self.about {
            header.push_str(&format!("In-Reply-To: {about}\r\nReferences: {}\r\n", self.references(about)));
        }
        // Precedence and the suppression are for responders from before RFC 3834.
        header.push_str(
            "Auto-Submitted: auto-replied\r\nPrecedence: junk\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n",
        );
        header
    }

    /// RFC 5322 §3.6.4: the References, or else the In-Reply-To of one message, of what is answered, and its Message-ID.
    fn references(&self, about: &str) -> String {
        let fields = Fields::of(self.references);
        let before = fields.first("References").or_else(|| fields.first("In-Reply-To"));
        let before =
            before.map(|field| String::from_utf8_lossy(&field.unfolded()).into_owned()).unwrap_or_default();
        let is_id = |word: &&str| {
            word.starts_with('<')
                && word.ends_with('>')
                && word.bytes().all(|byte| (b'!'..=b'~').contains(&byte))
        };
        let mut ids: Vec<&str> =
            before.split_ascii_whitespace().filter(is_id).filter(|id| *id != about).collect();
        let mut octets: usize = ids.iter().map(|id| id.len() + 3).sum();
        // The first says what it all began with; of the others, the oldest go.
        while octets > REFERENCES_MAX && ids.len() > 1 {
            octets -= ids.remove(1).len() + 3;
        }
        if octets > REFERENCES_MAX {
            ids.clear();
        }
        ids.push(about);
        ids.join("\r\n ")
    }

    fn echo(&self, content: &LoadedContent, octets: &mut Vec<u8>) {
        let [first, second] = self.random;
        let boundary = format!("=_{second:016x}{first:016x}");
        octets.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n")
                .as_bytes(),
        );
        octets.extend_from_slice(text_part(&self.wording.text).as_bytes());
        octets.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        let head = content.range(0, ECHO_MAX).unwrap_or_default();
        let whole = content.len() == head.len() as u64;
        if whole && stands_as_it_is(&head) {
            octets.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\n");
            octets.extend_from_slice(&head);
        } else {
            let header = &head[..header_len(&head).min(head.len())];
            let part = "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n\r\n";
            octets.extend_from_slice(part.as_bytes());
            octets.extend_from_slice(base64_body(header).as_bytes());
        }
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    }
}

/// A text with the fields that describe it: as it is where it is short lines of ASCII, else Base64.
fn text_part(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{}\r\n", line.trim_end_matches('\r'))).collect();
    if stands_as_it_is(lines.as_bytes()) {
        return format!(
            "Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{lines}"
        );
    }
    let body = base64_body(lines.as_bytes());
    format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}")
}

/// Whether octets are lines of ASCII that 7bit allows (RFC 2045 §2.7).
fn stands_as_it_is(octets: &[u8]) -> bool {
    let good = |line: &[u8]| line.len() <= LINE_MAX && line.iter().all(|byte| *byte != b'\r' && *byte != 0);
    octets.is_ascii()
        && octets.split(|byte| *byte == b'\n').all(|line| good(line.strip_suffix(b"\r").unwrap_or(line)))
        && octets.iter().enumerate().all(|(at, byte)| *byte != b'\n' || at > 0 && octets[at - 1] == b'\r')
}
