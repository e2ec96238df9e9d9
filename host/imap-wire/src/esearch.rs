//! The answer to an extended search.

use std::fmt::Write as _;

use crate::partial::PartialRange;
use crate::sequence::SequenceSet;
use crate::text::write_string;

/// `ESEARCH` (RFC 4731 §3.1): the results that were asked for and are there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Esearch {
    /// The tag of the command that it answers.
    pub tag: String,
    /// The numbers are UIDs.
    pub uid: bool,
    /// `MIN`
    pub min: Option<u32>,
    /// `MAX`
    pub max: Option<u32>,
    /// `COUNT`
    pub count: Option<u32>,
    /// `ALL`: the set, or the numbers in their order where that is one of SORT.
    pub all: Option<String>,
    /// `PARTIAL`: the range that was asked for, and what it has (RFC 9394 §4).
    pub partial: Option<(PartialRange, Option<SequenceSet>)>,
    /// `MODSEQ`: the highest of the messages told (RFC 4731 §3.2).
    pub modseq: Option<u64>,
}

impl Esearch {
    /// ```text
    /// esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
    /// search-correlator = SP "(" "TAG" SP tag-string ")"
    /// ```
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"ESEARCH (TAG ");
        write_string(out, self.tag.as_bytes());
        let mut rest = String::from(")");
        if self.uid {
            rest.push_str(" UID");
        }
        let numbers = [("MIN", self.min), ("MAX", self.max), ("COUNT", self.count)];
        for (name, number) in numbers {
            if let Some(number) = number {
                let _ = write!(rest, " {name} {number}");
            }
        }
        if let Some(all) = &self.all {
            let _ = write!(rest, " ALL {all}");
        }
        if let Some((range, set)) = &self.partial {
            let set = set.as_ref().map_or_else(|| "NIL".to_owned(), SequenceSet::to_string);
            let _ = write!(rest, " PARTIAL ({range} {set})");
        }
        if let Some(modseq) = self.modseq {
            let _ = write!(rest, " MODSEQ {modseq}");
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Response;

    #[test]
    fn as_the_standards_print_it() {
        let text = |esearch: Esearch| {
            let mut out = Vec::new();
            Response::Esearch(esearch).write(&mut out, crate::NameEncoding::Utf7);
            String::from_utf8(out).unwrap()
        };
        let tagged = |tag: &str| Esearch { tag: tag.to_owned(), ..Esearch::default() };
        let set = SequenceSet::from_rising([5, 6, 7]);
        let range = PartialRange { from_end: true, first: 1, last: 3 };
        for (esearch, expected) in [
            (tagged("A284"), "* ESEARCH (TAG \"A284\")\r\n"),
            (
                Esearch { min: Some(2), count: Some(3), ..tagged("A282") },
                "* ESEARCH (TAG \"A282\") MIN 2 COUNT 3\r\n",
            ),
            (
                Esearch { uid: true, all: Some("2,10:11".to_owned()), modseq: Some(1236), ..tagged("A283") },
                "* ESEARCH (TAG \"A283\") UID ALL 2,10:11 MODSEQ 1236\r\n",
            ),
            (
                Esearch { uid: true, partial: Some((range, set)), ..tagged("A01") },
                "* ESEARCH (TAG \"A01\") UID PARTIAL (-1:-3 5:7)\r\n",
            ),
            (
                Esearch { partial: Some((range, None)), ..tagged("A04") },
                "* ESEARCH (TAG \"A04\") PARTIAL (-1:-3 NIL)\r\n",
            ),
        ] {
            assert_eq!(text(esearch), expected);
        }
    }
}
