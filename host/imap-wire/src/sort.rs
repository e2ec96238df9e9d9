//! SORT and THREAD: searches whose results have an order.

use crate::command::By;
use crate::cursor::{Cursor, ParseError};
use crate::returns::{SearchReturns, search_returns};
use crate::search::{SearchKey, search_keys};

/// The arguments of SORT (RFC 5256 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// What the answer lists.
    pub by: By,
    /// Result options (ESORT, RFC 5267 §3); `None` for the plain form.
    pub returns: Option<SearchReturns>,
    /// The order, the most weighty criterion first; never empty.
    pub criteria: Vec<SortCriterion>,
    /// The charset of the strings.
    pub charset: String,
    /// A message is found if all of them match; never empty.
    pub keys: Vec<SearchKey>,
}

/// `["REVERSE" SP] sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortCriterion {
    /// Descending.
    pub reverse: bool,
    /// By what.
    pub key: SortKey,
}

/// What messages are sorted by (RFC 5256 §3, RFC 5957 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the wire's own words")]
pub enum SortKey {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
}

const KEYS: [(&str, SortKey); 9] = [
    ("ARRIVAL", SortKey::Arrival),
    ("CC", SortKey::Cc),
    ("DATE", SortKey::Date),
    ("FROM", SortKey::From),
    ("SIZE", SortKey::Size),
    ("SUBJECT", SortKey::Subject),
    ("TO", SortKey::To),
    ("DISPLAYFROM", SortKey::DisplayFrom),
    ("DISPLAYTO", SortKey::DisplayTo),
];

/// The arguments of THREAD (RFC 5256 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// What the answer lists.
    pub by: By,
    /// How threads are made.
    pub algorithm: ThreadAlgorithm,
    /// The charset of the strings.
    pub charset: String,
    /// A message is found if all of them match; never empty.
    pub keys: Vec<SearchKey>,
}

/// How threads are made (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// By subject and date.
    OrderedSubject,
    /// By the messages' references to each other.
    References,
}

/// ```text
/// sort          = ["UID" SP] "SORT" SP sort-criteria SP search-criteria
/// sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"
/// search-criteria = charset 1*(SP search-key)
/// ```
pub(crate) fn sort(cursor: &mut Cursor<'_>, by: By) -> Result<Sort, ParseError> {
    let mut returns = None;
    if cursor.take_word("RETURN ") {
        returns = Some(search_returns(cursor)?);
        cursor.space()?;
    }
    let criteria = cursor.list(1, "sort criteria", |cursor| {
        let reverse = cursor.take_word("REVERSE ");
        let wrong = cursor.expected("a sort key");
        let word = cursor.word("a sort key")?;
        let key = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        key.map_or(wrong, |(_, key)| Ok(SortCriterion { reverse, key: *key }))
    })?;
    cursor.space()?;
    let (charset, keys) = criteria_of_search(cursor)?;
    Ok(Sort { by, returns, criteria, charset, keys })
}

/// `thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria`
pub(crate) fn thread(cursor: &mut Cursor<'_>, by: By) -> Result<Thread, ParseError> {
    let wrong = cursor.expected("ORDEREDSUBJECT or REFERENCES");
    let algorithm = match cursor.word("a threading algorithm")?.to_ascii_uppercase().as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        _ => return wrong,
    };
    cursor.space()?;
    let (charset, keys) = criteria_of_search(cursor)?;
    Ok(Thread { by, algorithm, charset, keys })
}

fn criteria_of_search(cursor: &mut Cursor<'_>) -> Result<(String, Vec<SearchKey>), ParseError> {
    let charset = cursor.charset()?;
    cursor.space()?;
    Ok((charset, search_keys(cursor)?))
}

impl SortCriterion {
    /// As it is written.
    pub(crate) fn text(self) -> String {
        let name = KEYS.iter().find(|(_, key)| *key == self.key).map_or("", |(name, _)| name);
        format!("{}{name}", if self.reverse { "REVERSE " } else { "" })
    }
}

impl ThreadAlgorithm {
    /// The algorithm's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OrderedSubject => "ORDEREDSUBJECT",
            Self::References => "REFERENCES",
        }
    }
}
