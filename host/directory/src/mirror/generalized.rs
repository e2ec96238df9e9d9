//! Generalized Time (RFC 4517 §3.3.13), as far as servers write `modifyTimestamp`: in UTC, to the second or finer.

use std::time::Duration;

/// Seconds since 1970; `None` for what is no such time. Fractions are left out: earlier is safe.
pub(crate) fn read(text: &str) -> Option<u64> {
    let digits = text.get(..14).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let rest = &text[14..];
    let fraction = rest.strip_suffix('Z')?;
    let is_fraction = |text: &str| {
        text.strip_prefix(['.', ',']).is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    };
    if !fraction.is_empty() && !is_fraction(fraction) {
        return None;
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The time of so many seconds since 1970.
pub(crate) fn write(seconds: u64) -> String {
    let (mut year, mut left) = (1970, seconds / 86_400);
    loop {
        let of_year = if is_leap(year) { 366 } else { 365 };
        if left < of_year {
            break;
        }
        left -= of_year;
        year += 1;
    }
    let mut month = 1;
    while left >= of_month(year, month) {
        left -= of_month(year, month);
        month += 1;
    }
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{:02}{hour:02}{minute:02}{second:02}Z", left + 1)
}

/// A time so much earlier; unchanged where it cannot be read.
pub(crate) fn earlier(text: &str, by: Duration) -> String {
    read(text).map_or_else(|| text.to_owned(), |seconds| write(seconds.saturating_sub(by.as_secs())))
}

fn days(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| of_month(year, month)).sum();
    years + months + day - 1
}

fn of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_and_moved_back() {
        assert_eq!(read("19700101000000Z"), Some(0));
        assert_eq!(read("20261127040000Z"), Some(1_795_752_000));
        assert_eq!(read("20261127040000.123Z"), Some(1_795_752_000));
        assert_eq!(earlier("20280301000010Z", Duration::from_secs(20)), "20280229235950Z");
        for text in
            ["", "2026", "20261127040000", "20261327040000Z", "20261127040000+0100", "2026112704000xZ"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(earlier("nonsense", Duration::from_secs(1)), "nonsense");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..8_000_000_000) {
            prop_assert_eq!(read(&write(seconds)), Some(seconds));
        }
    }
}
