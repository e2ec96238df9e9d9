//! What SEARCH looks for.

use crate::command::By;
use crate::cursor::{Cursor, ParseError};
use crate::date::{Date, date};
use crate::fetch::header_name;
use crate::flag::{Flag, flag_keyword};
use crate::objectid::object_id;
use crate::returns::{SearchReturns, search_returns};
use crate::sequence::{SequenceSet, sequence_set};

/// The arguments of SEARCH (RFC 3501 §6.4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What the answer lists.
    pub by: By,
    /// Result options (RFC 4731); `None` for the plain form.
    pub returns: Option<SearchReturns>,
    /// The charset of the strings; `None` is US-ASCII.
    pub charset: Option<String>,
    /// A message is found if all of them match; never empty.
    pub keys: Vec<SearchKey>,
}

/// A search key. Strings are octets in the search's charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN`, `RECENT`, `KEYWORD …`
    Has(Flag),
    /// `UNANSWERED` and the other `UN…`, `OLD`, `UNKEYWORD …`
    Lacks(Flag),
    /// `NEW`: `(RECENT UNSEEN)`
    New,
    /// `BCC …`, `CC …`, `FROM …`, `SUBJECT …`, `TO …`, `HEADER name …`: the field's name and the
    /// text that it contains; an empty text asks for the field alone.
    Header(String, Vec<u8>),
    /// `BODY …`
    Body(Vec<u8>),
    /// `TEXT …`
    Text(Vec<u8>),
    /// `BEFORE …`, of the internal date.
    Before(Date),
    /// `ON …`
    On(Date),
    /// `SINCE …`
    Since(Date),
    /// `SENTBEFORE …`, of the Date field.
    SentBefore(Date),
    /// `SENTON …`
    SentOn(Date),
    /// `SENTSINCE …`
    SentSince(Date),
    /// `LARGER …`, in octets.
    Larger(u64),
    /// `SMALLER …`
    Smaller(u64),
    /// `OLDER …`, in seconds before now (RFC 5032).
    Older(u32),
    /// `YOUNGER …`
    Younger(u32),
    /// `MODSEQ …`: changed then or later (RFC 7162 §3.1.5).
    ModSeq(u64),
    /// `SAVEDBEFORE …`, of the date of saving (RFC 8514 §4.2).
    SavedBefore(Date),
    /// `SAVEDON …`
    SavedOn(Date),
    /// `SAVEDSINCE …`
    SavedSince(Date),
    /// `SAVEDATESUPPORTED`
    SaveDateSupported,
    /// `EMAILID …` (RFC 8474 §4.4)
    EmailId(String),
    /// `THREADID …`
    ThreadId(String),
    /// `UID …`
    Uid(SequenceSet),
    /// A set of sequence numbers.
    Sequence(SequenceSet),
    /// `NOT …`
    Not(Box<SearchKey>),
    /// `OR … …`: any of them, two at least; none of them is of this kind itself.
    Or(Vec<SearchKey>),
    /// `(…)`: all of them.
    And(Vec<SearchKey>),
}

/// ```text
/// search         = "SEARCH" [search-return-opts] SP search-program ; RFC 4466 §2.6.1
/// search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
/// ```
pub(crate) fn search(cursor: &mut Cursor<'_>, by: By) -> Result<Search, ParseError> {
    let (mut returns, mut charset) = (None, None);
    if cursor.take_word("RETURN ") {
        returns = Some(search_returns(cursor)?);
        cursor.space()?;
    }
    if cursor.take_word("CHARSET ") {
        charset = Some(cursor.charset()?);
        cursor.space()?;
    }
    Ok(Search { by, returns, charset, keys: search_keys(cursor)? })
}

/// `search-key *(SP search-key)`
pub(crate) fn search_keys(cursor: &mut Cursor<'_>) -> Result<Vec<SearchKey>, ParseError> {
    let mut keys = vec![search_key(cursor, 0)?];
    while cursor.take(b' ') {
        keys.push(search_key(cursor, 0)?);
    }
    Ok(keys)
}

/// One `search-key` of RFC 3501 §9.
fn search_key(cursor: &mut Cursor<'_>, depth: usize) -> Result<SearchKey, ParseError> {
    if depth > cursor.limits.depth {
        return Err(ParseError::TooDeep);
    }
    count_key(cursor)?;
    match cursor.peek() {
        Some(b'(') => {
            return cursor.list(1, "search keys", |cursor| search_key(cursor, depth + 1)).map(SearchKey::And);
        }
        Some(b'0'..=b'9' | b'*' | b'$') => return sequence_set(cursor).map(SearchKey::Sequence),
        _ => {}
    }
    let wrong = cursor.expected("a search key");
    let word = cursor.word("a search key")?.to_ascii_uppercase();
    if let Some(key) = flag_key(&word) {
        return Ok(key);
    }
    match word.as_str() {
        "NOT" => {
            cursor.space()?;
            Ok(SearchKey::Not(Box::new(search_key(cursor, depth + 1)?)))
        }
        "OR" => {
            cursor.space()?;
            alternatives(cursor, depth).map(SearchKey::Or)
        }
        _ => argument_key(cursor, &word).unwrap_or(wrong),
    }
}

/// `search-key SP search-key`, as `OR` has them. `OR` takes two, and clients with more put one within the other, on either side:
/// all of them are alternatives, however many there are.
fn alternatives(cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<SearchKey>, ParseError> {
    let (mut keys, mut wanted) = (Vec::new(), 2);
    loop {
        if cursor.take_word("OR ") {
            count_key(cursor)?;
            wanted += 1;
            continue;
        }
        keys.push(search_key(cursor, depth + 1)?);
        wanted -= 1;
        if wanted == 0 {
            return Ok(keys);
        }
        cursor.space()?;
    }
}

fn count_key(cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    cursor.search_keys_left =
        cursor.search_keys_left.checked_sub(1).ok_or(ParseError::TooMany("search keys"))?;
    Ok(())
}

/// Keys without argument.
fn flag_key(word: &str) -> Option<SearchKey> {
    let flag = |name: &str| {
        Some(match name {
            "ANSWERED" => Flag::Answered,
            "DELETED" => Flag::Deleted,
            "DRAFT" => Flag::Draft,
            "FLAGGED" => Flag::Flagged,
            "SEEN" => Flag::Seen,
            _ => return None,
        })
    };
    match word {
        "ALL" => Some(SearchKey::All),
        "SAVEDATESUPPORTED" => Some(SearchKey::SaveDateSupported),
        "NEW" => Some(SearchKey::New),
        "RECENT" => Some(SearchKey::Has(Flag::Recent)),
        "OLD" => Some(SearchKey::Lacks(Flag::Recent)),
        _ => match word.strip_prefix("UN") {
            Some(name) => flag(name).map(SearchKey::Lacks),
            None => flag(word).map(SearchKey::Has),
        },
    }
}

/// Keys with an argument; `None` where the word is none of them.
fn argument_key(cursor: &mut Cursor<'_>, word: &str) -> Option<Result<SearchKey, ParseError>> {
    let read: fn(&mut Cursor<'_>, &str) -> Result<SearchKey, ParseError> = match word {
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" | "HEADER" | "BODY" | "TEXT" => text_key,
        "BEFORE" | "ON" | "SINCE" | "SENTBEFORE" | "SENTON" | "SENTSINCE" | "SAVEDBEFORE" | "SAVEDON"
        | "SAVEDSINCE" => date_key,
        "KEYWORD" | "UNKEYWORD" | "LARGER" | "SMALLER" | "UID" => other_key,
        "OLDER" | "YOUNGER" | "MODSEQ" | "EMAILID" | "THREADID" => extension_key,
        _ => return None,
    };
    Some(cursor.space().and_then(|()| read(cursor, word)))
}

fn text_key(cursor: &mut Cursor<'_>, word: &str) -> Result<SearchKey, ParseError> {
    let name = if word == "HEADER" {
        let name = header_name(cursor)?;
        cursor.space()?;
        name
    } else {
        word.to_owned()
    };
    let text = cursor.astring("a string")?;
    Ok(match word {
        "BODY" => SearchKey::Body(text),
        "TEXT" => SearchKey::Text(text),
        _ => SearchKey::Header(name, text),
    })
}

fn date_key(cursor: &mut Cursor<'_>, word: &str) -> Result<SearchKey, ParseError> {
    let date = date(cursor)?;
    Ok(match word {
        "BEFORE" => SearchKey::Before(date),
        "ON" => SearchKey::On(date),
        "SINCE" => SearchKey::Since(date),
        "SENTBEFORE" => SearchKey::SentBefore(date),
        "SENTON" => SearchKey::SentOn(date),
        "SAVEDBEFORE" => SearchKey::SavedBefore(date),
        "SAVEDON" => SearchKey::SavedOn(date),
        "SAVEDSINCE" => SearchKey::SavedSince(date),
        _ => SearchKey::SentSince(date),
    })
}

fn other_key(cursor: &mut Cursor<'_>, word: &str) -> Result<SearchKey, ParseError> {
    Ok(match word {
        "KEYWORD" => SearchKey::Has(Flag::Keyword(flag_keyword(cursor)?)),
        "UNKEYWORD" => SearchKey::Lacks(Flag::Keyword(flag_keyword(cursor)?)),
        "LARGER" => SearchKey::Larger(cursor.number64()?),
        "SMALLER" => SearchKey::Smaller(cursor.number64()?),
        _ => SearchKey::Uid(sequence_set(cursor)?),
    })
}

fn extension_key(cursor: &mut Cursor<'_>, word: &str) -> Result<SearchKey, ParseError> {
    Ok(match word {
        "OLDER" => SearchKey::Older(cursor.nz_number()?),
        "YOUNGER" => SearchKey::Younger(cursor.nz_number()?),
        "EMAILID" => SearchKey::EmailId(object_id(cursor)?),
        "THREADID" => SearchKey::ThreadId(object_id(cursor)?),
        _ => modseq_key(cursor)?,
    })
}

/// ```text
/// search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer
/// search-modseq-ext  = SP entry-name SP entry-type-req
/// entry-type-req     = "priv" / "shared" / "all"
/// ```
/// Mod-sequences are by message here: the entry is read and passed over (RFC 7162 §3.1.5).
fn modseq_key(cursor: &mut Cursor<'_>) -> Result<SearchKey, ParseError> {
    if cursor.peek() == Some(b'"') {
        let wrong = cursor.expected("an entry's name, /flags/…");
        if !cursor.string("an entry's name")?.starts_with(b"/flags/") {
            return wrong;
        }
        cursor.space()?;
        let wrong = cursor.expected("priv, shared or all");
        if !["PRIV", "SHARED", "ALL"].contains(&cursor.word("an entry's type")?.to_ascii_uppercase().as_str())
        {
            return wrong;
        }
        cursor.space()?;
    }
    Ok(SearchKey::ModSeq(cursor.modseq()?))
}
