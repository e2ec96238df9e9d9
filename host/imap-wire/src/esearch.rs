//! The answer to an extended search.

use std::fmt::Write as _;

use crate::partial::PartialRange;
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
    /// `PARTIAL`: the range that was asked for, and what it has, as a set or in the order of SORT (RFC 9394 §4, RFC 5267
    /// §4.4).
    pub partial: Option<(PartialRange, Option<String>)>,
    /// `ADDTO` and `REMOVEFROM`: what changed in results, one after the other (RFC 5267 §4.3.2).
    pub updates: Vec<ResultUpdate>,
    /// `MODSEQ`: the highest of the messages told (RFC 4731 §3.2).
    pub modseq: Option<u64>,
}

/// A change of results (RFC 5267 §4.3.3, §4.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultUpdate {
    /// Messages come in; else they go out.
    pub adds: bool,
    /// From which place on, counted from 1; 0 where the order is the mailbox's.
    pub place: u32,
    /// The messages, as a set.
    pub set: String,
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
            let set = set.as_deref().unwrap_or("NIL");
            let _ = write!(rest, " PARTIAL ({range} {set})");
        }
        for same in self.updates.chunk_by(|one, next| one.adds == next.adds) {
            let name = if same.iter().any(|update| update.adds) { "ADDTO" } else { "REMOVEFROM" };
            let pairs: Vec<String> =
                same.iter().map(|update| format!("{} {}", update.place, update.set)).collect();
            let _ = write!(rest, " {name} ({})", pairs.join(" "));
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
        let set = Some("5:7".to_owned());
        let change = |adds, place, set: &str| ResultUpdate { adds, place, set: set.to_owned() };
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
            (
                Esearch { uid: true, updates: vec![change(true, 0, "32768:32769")], ..tagged("B01") },
                "* ESEARCH (TAG \"B01\") UID ADDTO (0 32768:32769)\r\n",
            ),
            (
                Esearch {
                    updates: vec![
                        change(false, 7, "2"),
                        change(true, 1, "2733"),
                        change(true, 1, "2731:2732"),
                    ],
                    ..tagged("C01")
                },
                "* ESEARCH (TAG \"C01\") REMOVEFROM (7 2) ADDTO (1 2733 1 2731:2732)\r\n",
            ),
        ] {
            assert_eq!(text(esearch), expected);
        }
    }
}
