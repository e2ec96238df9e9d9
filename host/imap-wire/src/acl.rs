//! Access control: the commands of RFC 4314 §3, and what is answered to them.

use crate::cursor::{Cursor, ParseError};
use crate::mailbox::{MailboxName, encode_utf7};
use crate::text::{NameEncoding, write_astring, write_mailbox};

/// Longest identifier and list of rights, in octets.
const WORD_OCTETS_MAX: usize = 1000;

/// A command about the rights to a mailbox (RFC 4314 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields carry the grammar's names")]
pub enum AclCommand {
    /// §3.1; `rights` as they are written, with `+` or `-` before them where they are a change.
    Set { mailbox: MailboxName, identifier: String, rights: String },
    /// §3.2
    Delete { mailbox: MailboxName, identifier: String },
    /// §3.3
    Get(MailboxName),
    /// §3.4
    ListRights { mailbox: MailboxName, identifier: String },
    /// §3.5
    MyRights(MailboxName),
}

impl AclCommand {
    /// The command's name.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Set { .. } => "SETACL",
            Self::Delete { .. } => "DELETEACL",
            Self::Get(_) => "GETACL",
            Self::ListRights { .. } => "LISTRIGHTS",
            Self::MyRights(_) => "MYRIGHTS",
        }
    }

    /// The mailbox that it is about.
    #[must_use]
    pub fn mailbox(&self) -> &MailboxName {
        match self {
            Self::Get(mailbox)
            | Self::MyRights(mailbox)
            | Self::Set { mailbox, .. }
            | Self::Delete { mailbox, .. }
            | Self::ListRights { mailbox, .. } => mailbox,
        }
    }

    /// Takes the rest of a command of that name; `None` where it is none of these.
    ///
    /// ```text
    /// setacl     = "SETACL" SP mailbox SP identifier SP mod-rights
    /// deleteacl  = "DELETEACL" SP mailbox SP identifier
    /// getacl     = "GETACL" SP mailbox
    /// listrights = "LISTRIGHTS" SP mailbox SP identifier
    /// myrights   = "MYRIGHTS" SP mailbox
    /// identifier = astring
    /// mod-rights = astring
    /// ```
    pub(crate) fn parse(cursor: &mut Cursor<'_>, name: &str) -> Option<Result<Self, ParseError>> {
        let is_known = matches!(name, "SETACL" | "DELETEACL" | "GETACL" | "LISTRIGHTS" | "MYRIGHTS");
        is_known.then(|| Self::arguments(cursor, name))
    }

    fn arguments(cursor: &mut Cursor<'_>, name: &str) -> Result<Self, ParseError> {
        cursor.space()?;
        let mailbox = crate::mailbox::mailbox(cursor)?;
        if name == "GETACL" {
            return Ok(Self::Get(mailbox));
        }
        if name == "MYRIGHTS" {
            return Ok(Self::MyRights(mailbox));
        }
        cursor.space()?;
        let identifier = word(cursor, "an identifier")?;
        match name {
            "DELETEACL" => Ok(Self::Delete { mailbox, identifier }),
            "LISTRIGHTS" => Ok(Self::ListRights { mailbox, identifier }),
            _ => {
                cursor.space()?;
                Ok(Self::Set { mailbox, identifier, rights: word(cursor, "rights")? })
            }
        }
    }

    /// The arguments, each an `astring`.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![encode_utf7(self.mailbox().as_str())];
        match self {
            Self::Get(_) | Self::MyRights(_) => {}
            Self::Delete { identifier, .. } | Self::ListRights { identifier, .. } => {
                words.push(identifier.clone())
            }
            Self::Set { identifier, rights, .. } => words.extend([identifier.clone(), rights.clone()]),
        }
        words
    }
}

/// Identifiers are UTF-8 (RFC 4314 §2).
fn word(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<String, ParseError> {
    let wrong = cursor.expected(expected);
    let octets = cursor.astring(expected)?;
    match String::from_utf8(octets) {
        Ok(text) if text.len() <= WORD_OCTETS_MAX => Ok(text),
        _ => wrong,
    }
}

/// What is told of the rights to a mailbox (RFC 4314 §3.6 to §3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields carry the grammar's names")]
pub enum AclResponse {
    /// Identifiers with their rights.
    Acl {
        mailbox: String,
        entries: Vec<(String, String)>,
    },
    /// The rights that an identifier always has, and those that it can be given, each with what is tied to it.
    ListRights {
        mailbox: String,
        identifier: String,
        required: String,
        optional: Vec<String>,
    },
    MyRights {
        mailbox: String,
        rights: String,
    },
}

impl AclResponse {
    /// ```text
    /// acl-data        = "ACL" SP mailbox *(SP identifier SP rights)
    /// listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)
    /// myrights-data   = "MYRIGHTS" SP mailbox SP rights
    /// ```
    pub(crate) fn write(&self, out: &mut Vec<u8>, names: NameEncoding) {
        let (name, mailbox) = match self {
            Self::Acl { mailbox, .. } => ("ACL ", mailbox),
            Self::ListRights { mailbox, .. } => ("LISTRIGHTS ", mailbox),
            Self::MyRights { mailbox, .. } => ("MYRIGHTS ", mailbox),
        };
        out.extend_from_slice(name.as_bytes());
        write_mailbox(out, mailbox, names);
        let mut word = |text: &str| {
            out.push(b' ');
            write_astring(out, text.as_bytes());
        };
        match self {
            Self::Acl { entries, .. } => entries.iter().for_each(|(identifier, rights)| {
                word(identifier);
                word(rights);
            }),
            Self::ListRights { identifier, required, optional, .. } => {
                word(identifier);
                word(required);
                optional.iter().for_each(|rights| word(rights));
            }
            Self::MyRights { rights, .. } => word(rights),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Response;

    #[test]
    fn responses_as_the_standard_prints_them() {
        for (response, expected) in [
            (
                Response::Acl(AclResponse::Acl {
                    mailbox: "INBOX".to_owned(),
                    entries: vec![
                        ("-Fred".to_owned(), "wetd".to_owned()),
                        ("$team".to_owned(), String::new()),
                    ],
                }),
                "* ACL INBOX -Fred wetd $team \"\"\r\n",
            ),
            (
                Response::Acl(AclResponse::ListRights {
                    mailbox: "~/Mail/saved".to_owned(),
                    identifier: "smith".to_owned(),
                    required: "la".to_owned(),
                    optional: vec!["r".to_owned(), "swicdkxte".to_owned()],
                }),
                "* LISTRIGHTS ~/Mail/saved smith la r swicdkxte\r\n",
            ),
            (
                Response::Acl(AclResponse::MyRights {
                    mailbox: "INBOX".to_owned(),
                    rights: "rwiptsldaex".to_owned(),
                }),
                "* MYRIGHTS INBOX rwiptsldaex\r\n",
            ),
        ] {
            let mut out = Vec::new();
            response.write(&mut out, NameEncoding::Utf7);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
