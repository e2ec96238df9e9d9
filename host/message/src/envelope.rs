//! IMAP's ENVELOPE: the parts of a header that lists show (RFC 3501 §7.4.2).

use crate::addresses::{ADDRESSES_MAX, AddressItem, parse_addresses};
use crate::header::{Field, Fields};

/// Fields of text, and of addresses.
const TEXTS: [&str; 4] = ["Date", "Subject", "In-Reply-To", "Message-ID"];
const LISTS: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];

/// The envelope structure. Texts stand as in the header, unfolded, encoded words left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Date, as it stands.
    pub date: Option<Vec<u8>>,
    /// Subject.
    pub subject: Option<Vec<u8>>,
    /// From.
    pub from: Vec<AddressItem>,
    /// Sender. Where it is empty, From stands for it (RFC 3501 §7.4.2).
    pub sender: Vec<AddressItem>,
    /// Reply-To. Where it is empty, From stands for it.
    pub reply_to: Vec<AddressItem>,
    /// To.
    pub to: Vec<AddressItem>,
    /// Cc.
    pub cc: Vec<AddressItem>,
    /// Bcc.
    pub bcc: Vec<AddressItem>,
    /// In-Reply-To, as it stands.
    pub in_reply_to: Option<Vec<u8>>,
    /// Message-ID, as it stands.
    pub message_id: Option<Vec<u8>>,
}

impl Envelope {
    /// Reads a header. Of a text field that occurs twice the first counts; address fields add up.
    #[must_use]
    pub fn parse(header: &[u8]) -> Self {
        let mut envelope = Self::default();
        for field in Fields::of(header) {
            envelope.read(&field);
        }
        envelope
    }

    fn read(&mut self, field: &Field<'_>) {
        let texts = [&mut self.date, &mut self.subject, &mut self.in_reply_to, &mut self.message_id];
        if let Some((_, text)) = TEXTS.iter().zip(texts).find(|(name, _)| field.is(name)) {
            text.get_or_insert_with(|| field.unfolded().into_owned());
            return;
        }
        let lists =
            [&mut self.from, &mut self.sender, &mut self.reply_to, &mut self.to, &mut self.cc, &mut self.bcc];
        if let Some((_, addresses)) = LISTS.iter().zip(lists).find(|(name, _)| field.is(name)) {
            addresses.extend(parse_addresses(field.value));
            addresses.truncate(ADDRESSES_MAX);
        }
    }
}

/// Whether one of these fields counts for the envelope.
#[must_use]
pub fn has_envelope_fields(fields: &[u8]) -> bool {
    Fields::of(fields).any(|field| TEXTS.iter().chain(&LISTS).any(|name| field.is(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::MailboxItem;

    #[test]
    fn the_envelope_of_rfc_3501_section_8_is_read() {
        let header =
            b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\nsubject: again\r\n\r\n";
        let envelope = Envelope::parse(header);
        assert_eq!(envelope.date.as_deref(), Some(&b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"[..]));
        assert_eq!(envelope.subject.as_deref(), Some(&b"IMAP4rev1 WG mtg summary and minutes"[..]));
        assert_eq!(envelope.message_id.as_deref(), Some(&b"<B27397-0100000@cac.washington.edu>"[..]));
        assert_eq!(envelope.in_reply_to, None);
        assert!(envelope.sender.is_empty() && envelope.reply_to.is_empty());
        assert_eq!((envelope.to.len(), envelope.cc.len(), envelope.bcc.len()), (1, 2, 0));
        let AddressItem::Mailbox(MailboxItem { name, local, domain, .. }) = &envelope.cc[1] else { panic!() };
        assert_eq!(name.as_deref(), Some(&b"John Klensin"[..]));
        assert_eq!((local.as_slice(), domain.as_deref()), (&b"KLENSIN"[..], Some(&b"MIT.EDU"[..])));
        assert!(has_envelope_fields(b"Received: x\r\n from: a@b.c\r\nmessage-ID: <1@x>\r\n"));
        assert!(!has_envelope_fields(b"Return-Path: <a@b.c>\r\nReceived: x\r\n From: y\r\nX-To: z\r\n"));
    }
}
