//! Which results of a search are asked for.

use crate::cursor::{Cursor, ParseError};
use crate::partial::{PartialRange, partial_range};

/// The result options of an extended search (RFC 4731 §3.1, RFC 5182 §2.1, RFC 9394 §3.1, RFC 5267 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchReturns {
    /// `MIN`: the lowest number.
    pub min: bool,
    /// `MAX`: the highest.
    pub max: bool,
    /// `ALL`: the whole set.
    pub all: bool,
    /// `COUNT`: how many.
    pub count: bool,
    /// `SAVE`: the result is kept as `$`.
    pub save: bool,
    /// `PARTIAL`: a part of the set.
    pub partial: Option<PartialRange>,
    /// `CONTEXT`: the same is asked for again soon (RFC 5267 §4.2).
    pub context: bool,
    /// `UPDATE`: changes of the set are told (RFC 5267 §4.3).
    pub update: bool,
}

/// ```text
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")" ; RFC 4466 §2.6.1
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range / "CONTEXT" / "UPDATE"
/// ```
/// An empty list asks for `ALL` (RFC 4731 §3.1).
pub(crate) fn search_returns(cursor: &mut Cursor<'_>) -> Result<SearchReturns, ParseError> {
    let mut returns = SearchReturns::default();
    let both = cursor.expected("ALL or PARTIAL, not both");
    let options = cursor.list(0, "return options", |cursor| {
        let wrong = cursor.expected("a return option");
        match cursor.word("a return option")?.to_ascii_uppercase().as_str() {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            "SAVE" => returns.save = true,
            "CONTEXT" => returns.context = true,
            "UPDATE" => returns.update = true,
            "PARTIAL" if returns.partial.is_none() => {
                cursor.space()?;
                returns.partial = Some(partial_range(cursor)?);
            }
            _ => return wrong,
        }
        Ok(())
    })?;
    returns.all |= options.is_empty();
    if returns.all && returns.partial.is_some() {
        return both;
    }
    Ok(returns)
}

impl SearchReturns {
    /// Writes them as a client does, with a space behind.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let named = [
            (self.min, "MIN"),
            (self.max, "MAX"),
            (self.all, "ALL"),
            (self.count, "COUNT"),
            (self.save, "SAVE"),
            (self.context, "CONTEXT"),
            (self.update, "UPDATE"),
        ];
        let mut words: Vec<String> =
            named.iter().filter(|(asked, _)| *asked).map(|(_, word)| (*word).to_owned()).collect();
        words.extend(self.partial.map(|range| format!("PARTIAL {range}")));
        out.extend_from_slice(format!("RETURN ({}) ", words.join(" ")).as_bytes());
    }
}
