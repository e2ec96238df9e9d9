//! The date of a From line (RFC 4155 Appendix A): `asctime`, in UTC.

use imap_wire::Date;
use mail_types::Timestamp;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// `Thu Jan  1 00:00:00 1970`.
pub(crate) fn asctime(moment: Timestamp) -> String {
    let seconds = moment.as_seconds();
    let days = seconds / SECONDS_A_DAY;
    let of_day = seconds % SECONDS_A_DAY;
    let date = Date::from_days_since_1970(i64::try_from(days).unwrap_or(i64::MAX));
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    let month = MONTHS[usize::from(date.month.saturating_sub(1)) % 12];
    format!(
        "{weekday} {month} {:>2} {:02}:{:02}:{:02} {:04}",
        date.day,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        date.year
    )
}

/// Reads what [`asctime`] writes, and what others do: a missing second, a zone before or behind the year, which mbox
/// files of old systems have. A zone in numbers is counted; of one in letters only what stands for UTC is known, and
/// others are taken for it.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let at = words.iter().position(|word| MONTHS.iter().any(|month| month.eq_ignore_ascii_case(word)))?;
    let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(words[at]))?;
    let day: u8 = words.get(at + 1)?.parse().ok()?;
    let mut clock = words.get(at + 2)?.split(':');
    let mut number = |most: u64| clock.next().map(|text| text.parse().ok().filter(|found| *found <= most));
    let (hour, minute) = (number(23)??, number(59)??);
    let second = number(60).unwrap_or(Some(0))?;
    let rest = words.get(at + 3..)?;
    let year = rest.iter().find_map(|word| {
        let is_year = word.len() == 4 && word.bytes().all(|octet| octet.is_ascii_digit());
        if is_year { word.parse::<u16>().ok() } else { None }
    })?;
    let zone = rest.iter().find_map(|word| zone_seconds(word)).unwrap_or(0);
    let date = Date::new(year, u8::try_from(month + 1).ok()?, day)?;
    let of_day = i64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    let seconds = date.days_since_1970() * i64::try_from(SECONDS_A_DAY).ok()? + of_day - zone;
    Some(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)))
}

/// `+0200`, `-0700`: seconds east of Greenwich.
fn zone_seconds(word: &str) -> Option<i64> {
    let (sign, digits) = match word.as_bytes().first()? {
        b'+' => (1, &word[1..]),
        b'-' => (-1, &word[1..]),
        _ => return None,
    };
    let number: i64 = if digits.len() == 4 { digits.parse().ok()? } else { return None };
    Some(sign * (number / 100 * 3600 + number % 100 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        for (seconds, text) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_795_776_763, "Fri Nov 27 10:52:43 2026"),
        ] {
            assert_eq!(asctime(Timestamp(seconds * 1000)), text);
            assert_eq!(parse(text), Some(Timestamp(seconds * 1000)));
        }
    }

    #[test]
    fn dates_of_others_are_read() {
        let expected = Some(Timestamp(1_795_776_720_000));
        for text in [
            "Fri Nov 27 10:52 2026",
            "Fri Nov 27 10:52:00 UTC 2026",
            "Fri Nov 27 12:52:00 2026 +0200",
            "fri nov 27 03:52:00 -0700 2026",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in ["", "me, Nov", "Fri Nov 31 10:52 2026", "Fri Nov 27 25:00 2026", "Nov 27 10:52"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
