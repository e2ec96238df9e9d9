//! Annotations of mailboxes and of the server: GETMETADATA and SETMETADATA (RFC 5464), and what is answered to them.

use crate::cursor::{Cursor, ParseError};
use crate::mailbox::MailboxName;
use crate::text::{
    NameEncoding, write_astring, write_list, write_literal_head, write_mailbox, write_nstring,
};

/// A command about annotations. An empty mailbox name stands for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields carry the grammar's names")]
pub enum MetadataCommand {
    /// §4.2
    Get { mailbox: MailboxName, options: MetadataOptions, entries: Vec<String> },
    /// §4.3; an entry without value goes.
    Set { mailbox: MailboxName, entries: Vec<(String, Option<Vec<u8>>)> },
}

/// The options of GETMETADATA (RFC 5464 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MetadataOptions {
    /// Longer values are left out.
    pub max_size: Option<u32>,
    /// Entries below those that are named.
    pub depth: Depth,
}

/// How far below an entry is told, too (RFC 5464 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The entry alone.
    #[default]
    Zero,
    /// And those right below.
    One,
    /// And all below.
    Infinity,
}

impl Depth {
    fn name(self) -> &'static str {
        match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::Infinity => "infinity",
        }
    }
}

impl MetadataCommand {
    /// The command's name.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Get { .. } => "GETMETADATA",
            Self::Set { .. } => "SETMETADATA",
        }
    }

    /// The mailbox that it is about.
    #[must_use]
    pub fn mailbox(&self) -> &MailboxName {
        match self {
            Self::Get { mailbox, .. } | Self::Set { mailbox, .. } => mailbox,
        }
    }

    /// Takes the rest of a command of that name; `None` where it is none of these.
    ///
    /// ```text
    /// getmetadata         = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries ; RFC 5464 §5
    /// entries             = entry / "(" entry *(SP entry) ")"
    /// setmetadata         = "SETMETADATA" SP mailbox SP entry-values
    /// entry-values        = "(" entry-value *(SP entry-value) ")"
    /// entry-value         = entry SP value
    /// value               = nstring / literal8
    /// ```
    pub(crate) fn parse(cursor: &mut Cursor<'_>, name: &str) -> Option<Result<Self, ParseError>> {
        match name {
            "GETMETADATA" => Some(get(cursor)),
            "SETMETADATA" => Some(set(cursor)),
            _ => None,
        }
    }
}

impl MetadataOptions {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let size = self.max_size.map(|octets| format!("MAXSIZE {octets}"));
        let depth = (self.depth != Depth::Zero).then(|| format!("DEPTH {}", self.depth.name()));
        write_list(out, size.into_iter().chain(depth), |out, option| {
            out.extend_from_slice(option.as_bytes())
        });
    }
}

/// The standard's examples have the options behind the mailbox, its grammar before it: both are taken.
fn get(cursor: &mut Cursor<'_>) -> Result<MetadataCommand, ParseError> {
    cursor.space()?;
    let mut given = None;
    if cursor.peek() == Some(b'(') {
        given = Some(options(cursor)?);
        cursor.space()?;
    }
    let mailbox = crate::mailbox::mailbox(cursor)?;
    cursor.space()?;
    if given.is_none() && matches!(cursor.rest(), [b'(', first, ..] if first.is_ascii_alphabetic()) {
        given = Some(options(cursor)?);
        cursor.space()?;
    }
    let entries =
        if cursor.peek() == Some(b'(') { cursor.list(1, "entries", entry)? } else { vec![entry(cursor)?] };
    Ok(MetadataCommand::Get { mailbox, options: given.unwrap_or_default(), entries })
}

fn options(cursor: &mut Cursor<'_>) -> Result<MetadataOptions, ParseError> {
    let mut options = MetadataOptions::default();
    cursor.list(1, "options", |cursor| {
        let wrong = cursor.expected("MAXSIZE or DEPTH");
        let option = cursor.word("an option")?.to_ascii_uppercase();
        cursor.space()?;
        match option.as_str() {
            "MAXSIZE" => options.max_size = Some(cursor.number()?),
            "DEPTH" => options.depth = depth(cursor)?,
            _ => return wrong,
        }
        Ok(())
    })?;
    Ok(options)
}

fn depth(cursor: &mut Cursor<'_>) -> Result<Depth, ParseError> {
    let wrong = cursor.expected("0, 1 or infinity");
    match cursor.word("a depth")? {
        "0" => Ok(Depth::Zero),
        "1" => Ok(Depth::One),
        word if word.eq_ignore_ascii_case("infinity") => Ok(Depth::Infinity),
        _ => wrong,
    }
}

fn set(cursor: &mut Cursor<'_>) -> Result<MetadataCommand, ParseError> {
    cursor.space()?;
    let mailbox = crate::mailbox::mailbox(cursor)?;
    cursor.space()?;
    let entries = cursor.list(1, "entries with values", |cursor| {
        let entry = entry(cursor)?;
        cursor.space()?;
        let value =
            if cursor.peek() == Some(b'~') { Some(cursor.literal8()?) } else { cursor.nstring("a value")? };
        Ok((entry, value))
    })?;
    Ok(MetadataCommand::Set { mailbox, entries })
}

/// `entry = astring`, ASCII (RFC 5464 §3.2).
fn entry(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let wrong = cursor.expected("the name of an entry");
    let octets = cursor.astring("the name of an entry")?;
    match String::from_utf8(octets) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => wrong,
    }
}

/// Annotations as they are told (RFC 5464 §4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataResponse {
    /// Of which mailbox; empty: of the server.
    pub mailbox: String,
    /// What is told.
    pub entries: MetadataEntries,
}

/// What is told of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataEntries {
    /// Their values, to who has asked (RFC 5464 §4.4.1).
    Values(Vec<(String, Option<Vec<u8>>)>),
    /// That they have changed (RFC 5464 §4.4.2).
    Changed(Vec<String>),
}

impl MetadataResponse {
    /// ```text
    /// metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)
    /// ```
    pub(crate) fn write(&self, out: &mut Vec<u8>, names: NameEncoding) {
        out.extend_from_slice(b"METADATA ");
        write_mailbox(out, &self.mailbox, names);
        out.push(b' ');
        let entries = match &self.entries {
            MetadataEntries::Values(entries) => entries,
            MetadataEntries::Changed(entries) => {
                for (at, entry) in entries.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b" " } else { b"" });
                    write_astring(out, entry.as_bytes());
                }
                return;
            }
        };
        write_list(out, entries, |out, (entry, value)| {
            write_astring(out, entry.as_bytes());
            out.push(b' ');
            match value {
                Some(value) if value.contains(&0) => {
                    out.push(b'~');
                    write_literal_head(out, value.len() as u64);
                    out.extend_from_slice(value);
                }
                value => write_nstring(out, value.as_deref()),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Response;

    #[test]
    fn responses_as_the_standard_prints_them() {
        let entry = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        for (mailbox, entries, expected) in [
            (
                "",
                vec![entry("/shared/comment", Some(b"My comment"))],
                "* METADATA \"\" (/shared/comment \"My comment\")\r\n",
            ),
            (
                "INBOX",
                vec![
                    entry("/private/a b", Some(b"x\r\n")),
                    entry("/shared/c", Some(b"\0")),
                    entry("/shared/d", None),
                ],
                "* METADATA INBOX (\"/private/a b\" {3}\r\nx\r\n /shared/c ~{1}\r\n\0 /shared/d NIL)\r\n",
            ),
        ] {
            let mut out = Vec::new();
            let (mailbox, entries) = (mailbox.to_owned(), MetadataEntries::Values(entries));
            Response::Metadata(MetadataResponse { mailbox, entries }).write(&mut out, NameEncoding::Utf7);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let changed = ["/shared/comment", "/private/a b"].map(str::to_owned).to_vec();
        let changed =
            MetadataResponse { mailbox: "INBOX".to_owned(), entries: MetadataEntries::Changed(changed) };
        let mut out = Vec::new();
        Response::Metadata(changed).write(&mut out, NameEncoding::Utf7);
        assert_eq!(out, b"* METADATA INBOX /shared/comment \"/private/a b\"\r\n");
    }
}
