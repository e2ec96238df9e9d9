//! Dates, as IMAP writes them.

use crate::cursor::{Cursor, ParseError};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the last day of the month.
    pub day: u8,
}

impl Date {
    /// A day; `None` where the calendar has no such day.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        ((1..=12).contains(&month) && (1..=last).contains(&day) && year <= 9999).then_some(Self {
            year,
            month,
            day,
        })
    }

    /// Days since 1970-01-01 (the civil calendar carried back without end).
    #[must_use]
    pub fn days_since_1970(self) -> i64 {
        // Years that begin in March put the leap day last, so that day of year is a formula.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The day so many days after 1970-01-01; the first or last day we can write where it lies outside.
    #[must_use]
    pub fn from_days_since_1970(days: i64) -> Self {
        let days = days.clamp(-719_528, 2_932_896) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // All are in range by the clamp above.
        Self {
            year: u16::try_from(year).unwrap_or(9999),
            month: u8::try_from(month).unwrap_or(12),
            day: u8::try_from(day).unwrap_or(31),
        }
    }

    /// Appends `17-Jul-1996`.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{}-{}-{:04}", self.day, self.month_name(), self.year).as_bytes());
    }

    fn month_name(self) -> &'static str {
        MONTHS[usize::from(self.month - 1) % 12]
    }
}

/// A moment with the zone that it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    /// The day, in the zone.
    pub date: Date,
    /// Second of that day, 0 to 86400 (a leap second ends a day).
    pub second_of_day: u32,
    /// East of Greenwich, in minutes.
    pub zone_minutes: i16,
}

impl DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_unix_seconds(&self) -> i64 {
        self.date.days_since_1970() * SECONDS_A_DAY + i64::from(self.second_of_day)
            - i64::from(self.zone_minutes) * 60
    }

    /// The moment so many seconds after 1970, in UTC.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self {
            date: Date::from_days_since_1970(seconds.div_euclid(SECONDS_A_DAY)),
            second_of_day: u32::try_from(seconds.rem_euclid(SECONDS_A_DAY)).unwrap_or(0),
            zone_minutes: 0,
        }
    }

    /// Appends `"17-Jul-1996 02:44:25 -0700"`, quotes included.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let (second, zone) = (self.second_of_day.min(86_399), self.zone_minutes.unsigned_abs());
        let text = format!(
            "\"{:>2}-{}-{:04} {:02}:{:02}:{:02} {}{:02}{:02}\"",
            self.date.day,
            self.date.month_name(),
            self.date.year,
            second / 3600,
            second / 60 % 60,
            second % 60,
            if self.zone_minutes < 0 { '-' } else { '+' },
            zone / 60,
            zone % 60
        );
        out.extend_from_slice(text.as_bytes());
    }
}

fn digits(cursor: &mut Cursor<'_>, least: usize, most: usize) -> Result<u16, ParseError> {
    let wrong = cursor.expected("digits of a date");
    let found = cursor.take_while(|octet| octet.is_ascii_digit());
    if found.len() < least || found.len() > most {
        return wrong;
    }
    Ok(found.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

fn month_and_year(cursor: &mut Cursor<'_>, day: u16) -> Result<Date, ParseError> {
    let wrong = cursor.expected("a day of the calendar");
    cursor.must(b'-', "- after the day")?;
    let Some(month) = MONTHS.iter().position(|month| cursor.take_word(month)) else {
        return cursor.expected("a month such as Jan");
    };
    cursor.must(b'-', "- after the month")?;
    let year = digits(cursor, 4, 4)?;
    let month = u8::try_from(month + 1).unwrap_or(0);
    match Date::new(year, month, u8::try_from(day).unwrap_or(0)) {
        Some(date) => Ok(date),
        None => wrong,
    }
}

/// ```text
/// date            = date-text / DQUOTE date-text DQUOTE
/// date-text       = date-day "-" date-month "-" date-year
/// date-day        = 1*2DIGIT
/// ```
pub(crate) fn date(cursor: &mut Cursor<'_>) -> Result<Date, ParseError> {
    let quoted = cursor.take(b'"');
    let day = digits(cursor, 1, 2)?;
    let date = month_and_year(cursor, day)?;
    if quoted {
        cursor.must(b'"', "the closing quote of the date")?;
    }
    Ok(date)
}

/// ```text
/// date-time       = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
/// date-day-fixed  = (SP DIGIT) / 2DIGIT
/// time            = 2DIGIT ":" 2DIGIT ":" 2DIGIT
/// zone            = ("+" / "-") 4DIGIT
/// ```
/// One digit without the space is taken too: real clients send it.
pub(crate) fn date_time(cursor: &mut Cursor<'_>) -> Result<DateTime, ParseError> {
    cursor.must(b'"', "a date and time in quotes")?;
    let day = if cursor.take(b' ') { digits(cursor, 1, 1)? } else { digits(cursor, 1, 2)? };
    let date = month_and_year(cursor, day)?;
    cursor.space()?;
    let wrong = cursor.expected("a time of day");
    let hour = digits(cursor, 2, 2)?;
    cursor.must(b':', ": after the hour")?;
    let minute = digits(cursor, 2, 2)?;
    cursor.must(b':', ": after the minute")?;
    let second = digits(cursor, 2, 2)?;
    if hour > 23 || minute > 59 || second > 60 {
        return wrong;
    }
    cursor.space()?;
    let west = cursor.peek() == Some(b'-');
    if !cursor.take(b'-') && !cursor.take(b'+') {
        return cursor.expected("a zone such as +0000");
    }
    let zone = digits(cursor, 4, 4)?;
    let minutes = i16::try_from(zone / 100 * 60 + zone % 100).unwrap_or(0);
    cursor.must(b'"', "the closing quote of the date")?;
    Ok(DateTime {
        date,
        second_of_day: u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second),
        zone_minutes: if west { -minutes } else { minutes },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn read(text: &str) -> Result<DateTime, ParseError> {
        date_time(&mut Cursor::new(text.as_bytes(), &Limits::default()))
    }

    #[test]
    fn moments_are_read_and_written() {
        for (text, seconds) in [
            ("\"17-Jul-1996 02:44:25 -0700\"", 837_596_665),
            ("\" 1-Jan-1970 00:00:00 +0000\"", 0),
            ("\"29-Feb-2000 23:59:59 +0130\"", 951_863_399),
        ] {
            let moment = read(text).unwrap();
            assert_eq!(moment.as_unix_seconds(), seconds, "{text}");
            let mut out = Vec::new();
            moment.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        assert_eq!(DateTime::from_unix_seconds(837_596_665).as_unix_seconds(), 837_596_665);
    }

    #[test]
    fn what_the_calendar_lacks_is_refused() {
        for text in [
            "\"30-Feb-2000 00:00:00 +0000\"",
            "\"00-Jan-2000 00:00:00 +0000\"",
            "\"01-Foo-2000 00:00:00 +0000\"",
            "\"01-Jan-2000 24:00:00 +0000\"",
            "\"01-Jan-2000 00:00:00 0000\"",
            "\"01-Jan-2000\"",
            "01-Jan-2000 00:00:00 +0000",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn days_and_dates_are_inverse(days in -719_528_i64..2_932_896) {
            let date = Date::from_days_since_1970(days);
            proptest::prop_assert_eq!(date.days_since_1970(), days);
            proptest::prop_assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
        }
    }
}
