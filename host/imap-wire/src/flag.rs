//! Flags and keywords.

use std::fmt;

use crate::cursor::{Cursor, ParseError, is_atom_char};

/// Longest keyword, in octets.
const KEYWORD_OCTETS_MAX: usize = 255;

/// A flag of a message (RFC 3501 §2.3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// `\Recent`: only the server gives it.
    Recent,
    /// A keyword: an atom, compared without regard to case.
    Keyword(String),
    /// `\` and an atom that no standard names.
    Extension(String),
}

const SYSTEM: [(&str, Flag); 6] = [
    ("Answered", Flag::Answered),
    ("Flagged", Flag::Flagged),
    ("Deleted", Flag::Deleted),
    ("Seen", Flag::Seen),
    ("Draft", Flag::Draft),
    ("Recent", Flag::Recent),
];

impl Flag {
    /// A keyword; `None` where the text is no atom or too long.
    #[must_use]
    pub fn keyword(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= KEYWORD_OCTETS_MAX && text.bytes().all(is_atom_char);
        fits.then(|| Self::Keyword(text.to_owned()))
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(keyword) => f.write_str(keyword),
            Self::Extension(name) => write!(f, "\\{name}"),
            system => {
                let name = SYSTEM.iter().find(|(_, flag)| flag == system).map_or("", |(name, _)| name);
                write!(f, "\\{name}")
            }
        }
    }
}

/// ```text
/// flag            = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
/// flag-extension  = "\" atom
/// flag-keyword    = atom
/// ```
pub(crate) fn flag(cursor: &mut Cursor<'_>) -> Result<Flag, ParseError> {
    if !cursor.take(b'\\') {
        return flag_keyword(cursor).map(Flag::Keyword);
    }
    let name = cursor.atom("a flag")?;
    if name.len() > KEYWORD_OCTETS_MAX {
        return cursor.expected("a shorter flag");
    }
    let system = SYSTEM.iter().find(|(system, _)| system.eq_ignore_ascii_case(name));
    Ok(system.map_or_else(|| Flag::Extension(name.to_owned()), |(_, flag)| flag.clone()))
}

/// `flag-keyword = atom`
pub(crate) fn flag_keyword(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let keyword = cursor.atom("a flag")?;
    if keyword.len() > KEYWORD_OCTETS_MAX {
        return cursor.expected("a shorter keyword");
    }
    Ok(keyword.to_owned())
}
