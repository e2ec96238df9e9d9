//! A range of results, counted from either end.

use std::fmt;

use crate::cursor::{Cursor, ParseError};

/// A range of results (RFC 9394 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    /// Counted from the last result: `-1:-100`.
    pub from_end: bool,
    /// One end as written, from 1.
    pub first: u32,
    /// The other.
    pub last: u32,
}

impl PartialRange {
    /// Which of so many results, as places from 0.
    #[must_use]
    pub fn of(self, count: usize) -> std::ops::Range<usize> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).min(count);
        let (low, high) = (place(self.first.min(self.last) - 1), place(self.first.max(self.last)));
        if self.from_end { count - high..count - low } else { low..high }
    }
}

impl fmt::Display for PartialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.first, self.last)
    }
}

/// ```text
/// partial-range-first = nz-number ":" nz-number
/// partial-range-last  = MINUS nz-number ":" MINUS nz-number
/// ```
pub(crate) fn partial_range(cursor: &mut Cursor<'_>) -> Result<PartialRange, ParseError> {
    let from_end = cursor.take(b'-');
    let first = cursor.nz_number()?;
    cursor.must(b':', "a range of results")?;
    if from_end {
        cursor.must(b'-', "a range of results from the end")?;
    }
    Ok(PartialRange { from_end, first, last: cursor.nz_number()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_either_end() {
        let range = |from_end, first, last| PartialRange { from_end, first, last };
        assert_eq!(range(false, 1, 500).of(300), 0..300);
        assert_eq!(range(false, 500, 250).of(300), 249..300);
        assert_eq!(range(false, 301, 400).of(300), 300..300);
        assert_eq!(range(true, 1, 3).of(300), 297..300);
        assert_eq!(range(true, 100, 400).of(300), 0..201);
        assert_eq!(range(true, 400, 500).of(300), 0..0);
        assert_eq!(range(true, 1, 100).to_string(), "-1:-100");
    }
}
