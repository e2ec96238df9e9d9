//! Sets of sequence numbers and UIDs.

use std::fmt;

use crate::cursor::{Cursor, ParseError};

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A number, never 0.
    Number(u32),
    /// `*`: the largest in use.
    Largest,
}

impl Bound {
    fn resolve(self, largest: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Largest => largest,
        }
    }
}

/// `n` or `n:m`, in either order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceRange {
    /// One end.
    pub from: Bound,
    /// The other; equal to `from` for a single number.
    pub to: Bound,
}

impl SequenceRange {
    /// From one number to another.
    #[must_use]
    pub fn of_numbers(from: u32, to: u32) -> Self {
        Self { from: Bound::Number(from), to: Bound::Number(to) }
    }
}

/// A sequence set. Whether it holds sequence numbers or UIDs, the command says. One without ranges is `$`: what the
/// last search saved (RFC 5182 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet(Vec<SequenceRange>);

impl SequenceSet {
    /// A set; `None` where there is no range or a number is 0.
    #[must_use]
    pub fn new(ranges: Vec<SequenceRange>) -> Option<Self> {
        let zero = |range: &SequenceRange| [range.from, range.to].contains(&Bound::Number(0));
        (!ranges.is_empty() && !ranges.iter().any(zero)).then_some(Self(ranges))
    }

    /// `$`: what the last search saved (RFC 5182 §2.1).
    #[must_use]
    pub fn saved() -> Self {
        Self(Vec::new())
    }

    /// Whether it is `$`; its messages are the session's to know.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.0.is_empty()
    }

    /// The set of the numbers given, which must rise strictly; neighbours are joined.
    #[must_use]
    pub fn from_rising(numbers: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut ranges: Vec<SequenceRange> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(SequenceRange { to: Bound::Number(last), .. })
                    if last.checked_add(1) == Some(number) =>
                {
                    *last = number;
                }
                _ => ranges.push(SequenceRange { from: Bound::Number(number), to: Bound::Number(number) }),
            }
        }
        Self::new(ranges)
    }

    /// The ranges as written.
    #[must_use]
    pub fn ranges(&self) -> &[SequenceRange] {
        &self.0
    }

    /// The ranges in rising order without overlap, `*` being `largest`.
    #[must_use]
    pub fn resolve(&self, largest: u32) -> Vec<(u32, u32)> {
        let ends = |range: &SequenceRange| {
            let (a, b) = (range.from.resolve(largest), range.to.resolve(largest));
            (a.min(b), a.max(b))
        };
        let mut all: Vec<(u32, u32)> = self.0.iter().map(ends).collect();
        all.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (from, to) in all {
            match merged.last_mut() {
                Some((_, last)) if from <= last.saturating_add(1) => *last = (*last).max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// The largest number that is written out; `None` where only `*` stands.
    #[must_use]
    pub fn largest_number(&self) -> Option<u32> {
        let numbers = self.0.iter().flat_map(|range| [range.from, range.to]);
        numbers.filter_map(|bound| if let Bound::Number(number) = bound { Some(number) } else { None }).max()
    }

    /// Whether `*` stands anywhere.
    #[must_use]
    pub fn has_largest(&self) -> bool {
        self.0.iter().any(|range| range.from == Bound::Largest || range.to == Bound::Largest)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Largest => f.write_str("*"),
        }
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_saved() {
            return f.write_str("$");
        }
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.from)?;
            if range.to != range.from {
                write!(f, ":{}", range.to)?;
            }
        }
        Ok(())
    }
}

/// ```text
/// sequence-set    = (seq-number / seq-range) *("," sequence-set)
/// seq-range       = seq-number ":" seq-number
/// seq-number      = nz-number / "*"
/// sequence-set    =/ "$" ; RFC 5182 §3
/// ```
pub(crate) fn sequence_set(cursor: &mut Cursor<'_>) -> Result<SequenceSet, ParseError> {
    if cursor.take(b'$') {
        return Ok(SequenceSet::saved());
    }
    let mut ranges = Vec::new();
    loop {
        if ranges.len() == cursor.limits.set_items {
            return Err(ParseError::TooMany("ranges"));
        }
        let from = bound(cursor)?;
        let to = if cursor.take(b':') { bound(cursor)? } else { from };
        ranges.push(SequenceRange { from, to });
        if !cursor.take(b',') {
            return Ok(SequenceSet(ranges));
        }
    }
}

/// A set of numbers alone: neither `*` nor `$`.
pub(crate) fn numbers(cursor: &mut Cursor<'_>) -> Result<SequenceSet, ParseError> {
    let wrong = cursor.expected("a set of numbers, without * and $");
    let set = sequence_set(cursor)?;
    if set.is_saved() || set.has_largest() { wrong } else { Ok(set) }
}

fn bound(cursor: &mut Cursor<'_>) -> Result<Bound, ParseError> {
    if cursor.take(b'*') { Ok(Bound::Largest) } else { cursor.nz_number().map(Bound::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn read(text: &str) -> Result<SequenceSet, ParseError> {
        let limits = Limits::default();
        let mut cursor = Cursor::new(text.as_bytes(), &limits);
        sequence_set(&mut cursor).and_then(|set| cursor.end().map(|()| set))
    }

    #[test]
    fn rfc_3501_examples() {
        assert_eq!(read("2,4:7,9,12:*").unwrap().resolve(15), [(2, 2), (4, 7), (9, 9), (12, 15)]);
        assert_eq!(read("*:4,5:7").unwrap().resolve(10), [(4, 10)]);
        assert_eq!(read("4:2").unwrap().resolve(10), [(2, 4)]);
        assert_eq!(read("3291:*").unwrap().resolve(7), [(7, 3291)]);
        for wrong in ["", "0", "1:", ":1", "1,", ",1", "1:2:3", "01", "4294967296", "a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rising_numbers_are_joined() {
        assert_eq!(SequenceSet::from_rising([1, 2, 3, 5, 9, 10]).unwrap().to_string(), "1:3,5,9:10");
        assert_eq!(SequenceSet::from_rising([]), None);
    }
}
