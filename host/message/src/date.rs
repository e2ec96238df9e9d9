//! Dates: of RFC 5322, of IMAP's INTERNALDATE, and of IMAP's search keys.
//!
//! By hand, because reading is lenient (RFC 5322 §4.3) in ways that libraries are not, and the
//! calendar needs twenty lines.

use std::fmt::Write as _;

use mail_types::Timestamp;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
/// Longest date field that is looked at, in octets.
const DATE_OCTETS_MAX: usize = 256;

/// A day of the calendar, without time zone. Days compare in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Day {
    /// A day that exists.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= month_len(year, month);
        exists.then_some(Self { year, month, day })
    }

    /// The day of a moment, in UTC.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        // Days since 1970 to the calendar, by Howard Hinnant's `civil_from_days`.
        let days = i64::try_from(moment.as_seconds() / 86_400).unwrap_or(i64::MAX).min(LAST_DAY);
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }

    /// Days since 1970-01-01; negative before.
    fn days_since_1970(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * from_march + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }
}

/// 9999-12-31, in days since 1970: the last that four digits of a year can say.
const LAST_DAY: i64 = 2_932_896;

fn month_len(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A date and time with its zone, as a field says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// The day, in the zone.
    pub day: Day,
    /// Seconds since midnight in the zone; a leap second counts as the next one.
    pub second_of_day: u32,
    /// How far the zone is ahead of UTC, in minutes.
    pub zone_minutes: i32,
}

impl Date {
    /// The moment; 1970 for all that is earlier.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        let seconds = self.day.days_since_1970() * 86_400 + i64::from(self.second_of_day)
            - i64::from(self.zone_minutes) * 60;
        Timestamp(u64::try_from(seconds).unwrap_or(0) * 1000)
    }
}

/// A moment as RFC 5322 §3.3 writes it, in UTC: `Tue, 24 Nov 2026 03:08:23 +0000`.
#[must_use]
pub fn date_text(moment: Timestamp) -> String {
    let (day, seconds) = (Day::of(moment), moment.as_seconds() % 86_400);
    let weekday = WEEKDAYS[(moment.as_seconds() / 86_400 % 7) as usize];
    let month = MONTHS[usize::from(day.month) - 1];
    let mut text = String::with_capacity(31);
    let _ = write!(text, "{weekday}, {} {month} {:04} {} +0000", day.day, day.year, Clock(seconds));
    text
}

/// A moment as IMAP's `date-time` (RFC 3501 §9) without its quotes, in UTC: `24-Nov-2026 03:08:23 +0000`.
/// The day is padded with a space to two places.
#[must_use]
pub fn internal_date_text(moment: Timestamp) -> String {
    let (day, seconds) = (Day::of(moment), moment.as_seconds() % 86_400);
    let month = MONTHS[usize::from(day.month) - 1];
    format!("{:2}-{month}-{:04} {} +0000", day.day, day.year, Clock(seconds))
}

/// Prints seconds of a day as `hh:mm:ss`.
struct Clock(u64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60, self.0 % 60)
    }
}

/// Reads the value of a Date field (RFC 5322 §3.3), with the obsolete forms of §4.3: comments,
/// years of two or three digits, named zones, missing weekday or seconds. A missing zone is UTC.
#[must_use]
pub fn parse_date(value: &[u8]) -> Option<Date> {
    let text = without_comments(value.get(..value.len().min(DATE_OCTETS_MAX))?);
    let mut words =
        text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty()).peekable();
    if words.peek()?.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        words.next();
    }
    let day = number(words.next()?, 2)?;
    let month = month(words.next()?)?;
    let year_text = words.next()?;
    let year = match (number(year_text, 4)?, year_text.len()) {
        (year @ 0..=49, ..=2) => year + 2000,
        (year, ..=3) => year + 1900,
        (year, _) => year,
    };
    let second_of_day = clock(words.next()?)?;
    let zone_minutes = words.next().map_or(Some(0), zone)?;
    let day = Day::new(u16::try_from(year).ok()?, month, u8::try_from(day).ok()?)?;
    Some(Date { day, second_of_day, zone_minutes })
}

/// Reads IMAP's `date-time` without its quotes (RFC 3501 §9). Exactly that form is taken.
#[must_use]
pub fn parse_internal_date(text: &str) -> Option<Date> {
    let mut words = text.strip_prefix(' ').unwrap_or(text).split(' ');
    let day = parse_search_day(words.next()?)?;
    let clock_text = words.next()?;
    let second_of_day = clock(clock_text).filter(|_| clock_text.len() == 8)?;
    let zone_text = words.next()?;
    let is_numeric = zone_text.len() == 5 && zone_text.starts_with(['+', '-']);
    let zone_minutes = zone(zone_text).filter(|_| is_numeric)?;
    words.next().is_none().then_some(Date { day, second_of_day, zone_minutes })
}

/// Reads the `date` of IMAP's search keys without quotes: `1-Feb-1994` (RFC 3501 §9, `date-text`).
#[must_use]
pub fn parse_search_day(text: &str) -> Option<Day> {
    let mut parts = text.splitn(3, '-');
    let day = number(parts.next()?, 2)?;
    let month = month(parts.next()?)?;
    let year = parts.next().filter(|year| year.len() == 4)?;
    Day::new(u16::try_from(number(year, 4)?).ok()?, month, u8::try_from(day).ok()?)
}

fn number(text: &str, digits_max: usize) -> Option<u32> {
    let is_number = (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn month(text: &str) -> Option<u8> {
    let found = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    u8::try_from(found + 1).ok()
}

/// `hh:mm[:ss]` to seconds since midnight.
fn clock(text: &str) -> Option<u32> {
    let mut parts = text.splitn(3, ':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    // 60 is a leap second (RFC 5322 §3.3).
    let second = parts.next().map_or(Some(0), |text| number(text, 2)).filter(|second| *second <= 60)?;
    Some(hour * 3600 + minute * 60 + second)
}

/// A zone in minutes ahead of UTC. Unknown names mean `-0000`, as RFC 5322 §4.3 asks.
fn zone(text: &str) -> Option<i32> {
    if let Some(digits) = text.strip_prefix(['+', '-']) {
        let number = number(digits, 4).filter(|number| digits.len() == 4 && number % 100 < 60)?;
        let minutes = i32::try_from(number / 100 * 60 + number % 100).ok()?;
        return Some(if text.starts_with('-') { -minutes } else { minutes });
    }
    let hours = match text.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => 0,
    };
    Some(hours * 60)
}

/// The text with comments (RFC 5322 §3.2.2) and other octets than ASCII turned into spaces.
fn without_comments(value: &[u8]) -> String {
    let mut depth = 0_usize;
    let mut text = String::with_capacity(value.len());
    let mut octets = value.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' if depth > 0 => {
                octets.next();
            }
            b'(' => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
                if depth == 0 && !text.ends_with(':') {
                    text.push(' ');
                }
            }
            _ if depth > 0 => {}
            // White space around the colons of a time is obsolete, yet seen (RFC 5322 §A.6.3).
            b':' => {
                text.truncate(text.trim_ascii_end().len());
                text.push(':');
            }
            b'!'..=b'~' => text.push(char::from(octet)),
            _ if text.ends_with(':') => {}
            _ => text.push(' '),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_print_as_the_standards_say() {
        let moment = Timestamp(1_794_000_000_000);
        assert_eq!(date_text(moment), "Fri, 6 Nov 2026 21:20:00 +0000");
        assert_eq!(internal_date_text(moment), " 6-Nov-2026 21:20:00 +0000");
        assert_eq!(date_text(Timestamp(0)), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(date_text(Timestamp(951_782_400_000)), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert!(date_text(Timestamp(u64::MAX)).contains("31 Dec 9999"));
    }

    #[test]
    fn dates_of_rfc_5322_are_read() {
        for (text, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706),
            ("Tue, 1 Jul 2003 10:52:37 +0200", 1_057_049_557),
            ("Thu,\r\n\t13\r\n Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland Time)", 0),
            ("21 Nov 97 09:55:06 GMT", 880_106_106),
            ("Fri, 21 Nov 1997 09(comment):  55  :  06 -0600", 880_127_706),
            ("Mon, 24 Nov 1997 14:22:01 -0800 (PST)", 880_410_121),
            ("1 Jan 100 00:00:00 EST", 946_702_800),
            ("Wed, 30 Jun 2027 23:59:60 +0000", 1_814_400_000),
        ] {
            let read = parse_date(text.as_bytes()).map_or(-1, |date| date.timestamp().as_seconds() as i64);
            assert_eq!(read, seconds, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "now", "31 Feb 2020 00:00 +0000", "1 Jan 2020 24:00 +0000", "1 Foo 2020 00:00", "1"]
        {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
        for text in
            ["1-Jan-2020", "1-Jan-20 00:00:00 +0000", "1-Jan-2020 0:00:00 +0000", "1-Jan-2020 00:00:00 GMT"]
        {
            assert_eq!(parse_internal_date(text), None, "{text}");
        }
    }

    #[test]
    fn imap_dates_are_read_as_in_rfc_3501() {
        let date = parse_internal_date("17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!(date.timestamp().as_seconds(), 837_596_665);
        assert_eq!(parse_search_day("1-Feb-1994"), Day::new(1994, 2, 1));
        assert_eq!(parse_search_day("30-Feb-1994"), None);
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(seconds in 0_u64..253_402_300_800) {
            let moment = Timestamp(seconds * 1000);
            prop_assert_eq!(parse_date(date_text(moment).as_bytes()).unwrap().timestamp(), moment);
            prop_assert_eq!(parse_internal_date(&internal_date_text(moment)).unwrap().timestamp(), moment);
            prop_assert_eq!(Day::of(moment).days_since_1970(), (seconds / 86_400) as i64);
        }

        #[test]
        fn reading_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..80), text in "[0-9A-Za-z:+(), -]{0,40}") {
            let _ = parse_date(&octets);
            let _ = parse_date(text.as_bytes());
            let _ = parse_internal_date(&text);
            let _ = parse_search_day(&text);
        }
    }
}
