//! ENVELOPE, BODY and BODYSTRUCTURE on the wire (RFC 3501 §7.4.2, §9).

use imap_wire::{write_nstring, write_string};
use message::{AddressItem, ContentType, Envelope, MailboxItem, Part, PartKind, Structure};

/// How a structure is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// With extension data: `BODYSTRUCTURE`, not `BODY`.
    pub(crate) is_extended: bool,
    /// Whether message/global is a message, as in IMAP4rev2 (RFC 9051 §9), or a part like any other: `media-message` of
    /// IMAP4rev1 is RFC822 alone (RFC 3501 §9).
    pub(crate) knows_global: bool,
}

impl Form {
    fn is_message(self, part: Part<'_>, content_type: &ContentType) -> bool {
        part.kind() == PartKind::Message && (self.knows_global || !content_type.is_global())
    }
}

/// Whether a structure is written in another way to who knows message/global.
pub(crate) fn has_global(structure: &Structure<'_>) -> bool {
    structure.parts().any(|part| part.kind() == PartKind::Message && part.content_type().is_global())
}

/// ```text
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP
///            env-bcc SP env-in-reply-to SP env-message-id ")"
/// ```
pub(crate) fn write_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    out.push(b'(');
    write_nstring(out, envelope.date.as_deref());
    out.push(b' ');
    write_nstring(out, envelope.subject.as_deref());
    out.push(b' ');
    let from = out.len();
    write_addresses(out, &envelope.from);
    let from = from..out.len();
    for addresses in [&envelope.sender, &envelope.reply_to] {
        out.push(b' ');
        if addresses.is_empty() {
            // RFC 3501 §7.4.2: the same as in From.
            out.extend_from_within(from.clone());
        } else {
            write_addresses(out, addresses);
        }
    }
    for addresses in [&envelope.to, &envelope.cc, &envelope.bcc] {
        out.push(b' ');
        write_addresses(out, addresses);
    }
    out.push(b' ');
    write_nstring(out, envelope.in_reply_to.as_deref());
    out.push(b' ');
    write_nstring(out, envelope.message_id.as_deref());
    out.push(b')');
}

/// `env-from = "(" 1*address ")" / nil`
fn write_addresses(out: &mut Vec<u8>, addresses: &[AddressItem]) {
    if addresses.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in addresses {
        match address {
            AddressItem::Mailbox(mailbox) => write_address(out, mailbox),
            // RFC 3501 §7.4.2: a group's name stands where the local part does, and NIL ends it.
            AddressItem::GroupStart(name) => write_parts(out, [None, None, Some(name), None]),
            AddressItem::GroupEnd => write_parts(out, [None; 4]),
        }
    }
    out.push(b')');
}

fn write_address(out: &mut Vec<u8>, mailbox: &MailboxItem) {
    // A missing domain must not look like a group: it is an empty text (RFC 3501 §7.4.2).
    let domain = mailbox.domain.as_deref().unwrap_or_default();
    write_parts(out, [mailbox.name.as_deref(), mailbox.route.as_deref(), Some(&mailbox.local), Some(domain)]);
}

/// `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn write_parts(out: &mut Vec<u8>, parts: [Option<&[u8]>; 4]) {
    for (index, part) in parts.into_iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write_nstring(out, part);
    }
    out.push(b')');
}

/// ```text
/// body           = "(" (body-type-1part / body-type-mpart) ")"
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
/// ```
/// Recursion ends: parts nest at most [`message::NESTING_MAX`] deep.
pub(crate) fn write_body(out: &mut Vec<u8>, part: Part<'_>, form: Form) {
    let content_type = part.content_type();
    out.push(b'(');
    if part.kind() == PartKind::Multipart {
        write_multipart(out, part, &content_type, form);
    } else {
        write_single(out, part, &content_type, form);
    }
    out.push(b')');
}

/// Writes a message of any structure as a single part of octets.
pub(crate) fn write_opaque(out: &mut Vec<u8>, part: Part<'_>, form: Form) {
    let octets = part.body().len();
    out.extend_from_slice(
        format!("(\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" {octets}").as_bytes(),
    );
    if form.is_extended {
        out.extend_from_slice(b" NIL NIL NIL NIL");
    }
    out.push(b')');
}

fn write_multipart(out: &mut Vec<u8>, part: Part<'_>, content_type: &ContentType, form: Form) {
    if part.children().len() == 0 {
        // The grammar wants one part at least.
        out.extend_from_slice(b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)");
    }
    for child in part.children() {
        write_body(out, child, form);
    }
    out.push(b' ');
    write_string(out, &content_type.sub);
    if form.is_extended {
        out.push(b' ');
        write_parameters(out, &content_type.parameters);
        write_extension(out, part);
    }
}

fn write_single(out: &mut Vec<u8>, part: Part<'_>, content_type: &ContentType, form: Form) {
    write_string(out, &content_type.main);
    out.push(b' ');
    write_string(out, &content_type.sub);
    out.push(b' ');
    // body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets
    write_parameters(out, &content_type.parameters);
    out.push(b' ');
    write_nstring(out, part.field("Content-ID").as_deref());
    out.push(b' ');
    write_nstring(out, part.field("Content-Description").as_deref());
    out.push(b' ');
    write_string(out, &part.encoding());
    out.extend_from_slice(format!(" {}", part.body().len()).as_bytes());
    match part.child(0) {
        Some(inner) if form.is_message(part, content_type) => {
            out.push(b' ');
            write_envelope(out, &inner.envelope());
            out.push(b' ');
            write_body(out, inner, form);
            out.extend_from_slice(format!(" {}", part.body_lines()).as_bytes());
        }
        _ if content_type.is_text() => out.extend_from_slice(format!(" {}", part.body_lines()).as_bytes()),
        _ => {}
    }
    if form.is_extended {
        out.push(b' ');
        write_nstring(out, part.field("Content-MD5").as_deref());
        write_extension(out, part);
    }
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn write_extension(out: &mut Vec<u8>, part: Part<'_>) {
    match part.disposition() {
        Some((word, parameters)) => {
            out.extend_from_slice(b" (");
            write_string(out, &word);
            out.push(b' ');
            write_parameters(out, &parameters);
            out.extend_from_slice(b") ");
        }
        None => out.extend_from_slice(b" NIL "),
    }
    match part.languages().as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => write_string(out, one),
        many => write_strings(out, many.iter().map(Vec::as_slice)),
    }
    out.push(b' ');
    write_nstring(out, part.field("Content-Location").as_deref());
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn write_parameters(out: &mut Vec<u8>, parameters: &[(Vec<u8>, Vec<u8>)]) {
    if parameters.is_empty() {
        out.extend_from_slice(b"NIL");
    } else {
        write_strings(out, parameters.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]));
    }
}

fn write_strings<'a>(out: &mut Vec<u8>, strings: impl Iterator<Item = &'a [u8]>) {
    for (index, string) in strings.enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write_string(out, string);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASIC: Form = Form { is_extended: false, knows_global: false };
    const EXTENDED: Form = Form { is_extended: true, knows_global: false };

    fn body(octets: &[u8], form: Form) -> String {
        let (mut out, structure) = (Vec::new(), Structure::parse(octets));
        write_body(&mut out, structure.root(), form);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_envelope_of_rfc_3501_section_8() {
        let header =
            b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
        let mut out = Vec::new();
        write_envelope(&mut out, &Envelope::parse(header));
        let gray = "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\"))";
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" {gray} {gray} \
                 {gray} ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
                 (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
            )
        );
    }

    #[test]
    fn groups_end_with_nil() {
        let mut out = Vec::new();
        write_addresses(&mut out, &Envelope::parse(b"To: A: b@c, d;\r\n\r\n").to);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "((NIL NIL \"A\" NIL)(NIL NIL \"b\" \"c\")(NIL NIL \"d\" \"\")(NIL NIL NIL NIL))"
        );
    }

    #[test]
    fn single_parts_have_lines_where_they_are_text() {
        assert_eq!(
            body(b"Subject: x\r\n\r\none\r\ntwo\r\n", BASIC),
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2)"
        );
        assert_eq!(
            body(
                b"Content-Type: image/png; name=a\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <1@x>\r\n\
                  Content-Disposition: inline; filename=a\r\nContent-Language: de, en\r\n\r\nYQ==",
                EXTENDED
            ),
            "(\"image\" \"png\" (\"name\" \"a\") \"<1@x>\" NIL \"base64\" 4 NIL (\"inline\" (\"filename\" \"a\")) \
             (\"de\" \"en\") NIL)"
        );
    }

    #[test]
    fn multiparts_and_messages_nest() {
        let octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\n\
            Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nin\r\n--b--\r\n";
        let text = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0";
        let envelope = "(NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL)";
        assert_eq!(
            body(octets, BASIC),
            format!(
                "({text})(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 {envelope} {text}) 2) \"mixed\")"
            )
        );
        assert_eq!(
            body(octets, EXTENDED),
            format!(
                "({text} NIL NIL NIL NIL)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 {envelope} \
                 {text} NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
            )
        );
        assert!(body(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", BASIC).starts_with("((\"text\""));
    }
}
