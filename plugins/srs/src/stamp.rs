//! Days and hashes in base 32. The scheme's days count modulo 1024 and are two signs.

/// RFC 4648 §6. Letters compare without case, since some hosts change it; base 64 would not survive them.
const SIGNS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const DAY_SECONDS: u32 = 86_400;

/// Days begin anew after so many: two signs of five bits.
const DAYS: u32 = 1024;

/// The day of a time.
pub fn day(seconds: u32) -> u32 {
    seconds / DAY_SECONDS % DAYS
}

/// The two signs of a day.
pub fn text(day: u32) -> String {
    [sign(day >> 5), sign(day)].iter().collect()
}

/// Whether a day lies at most `max_age_days` back. One day ahead is taken too: clocks of several hosts differ.
pub fn is_valid(text: &str, today: u32, max_age_days: u32) -> bool {
    let Some(day) = parse(text) else { return false };
    let age = (today + DAYS - day) % DAYS;
    age <= max_age_days || age == DAYS - 1
}

/// Octets in base 32, the last bits filled up with zeroes.
pub fn base32(octets: &[u8]) -> String {
    let bit = |at: usize| octets.get(at / 8).map_or(0, |octet| u32::from(octet >> (7 - at % 8) & 1));
    let group = |from: usize| (from..from + 5).fold(0, |value, at| value << 1 | bit(at));
    (0..octets.len() * 8).step_by(5).map(|from| sign(group(from))).collect()
}

fn sign(value: u32) -> char {
    char::from(SIGNS[(value & 31) as usize])
}

fn parse(text: &str) -> Option<u32> {
    let value = |sign: &u8| SIGNS.iter().position(|one| *one == sign.to_ascii_uppercase());
    match text.as_bytes() {
        [high, low] => Some((value(high)? * 32 + value(low)?) as u32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        for (octets, expected) in [("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(octets.as_bytes()), expected);
        }
    }

    #[test]
    fn every_day_reads_back() {
        for day in 0..DAYS {
            assert_eq!(parse(&text(day)), Some(day));
            assert_eq!(parse(&text(day).to_lowercase()), Some(day));
        }
    }

    #[test]
    fn a_day_is_valid_until_its_age_and_over_the_end_of_the_count() {
        for (day, today, valid) in [
            (100, 100, true),
            (79, 100, true),
            (78, 100, false),
            (101, 100, true),
            (102, 100, false),
            (1020, 5, true),
        ] {
            assert_eq!(is_valid(&text(day), today, 21), valid, "{day} on {today}");
        }
        for wrong in ["", "A", "AAA", "A1", "é"] {
            assert!(!is_valid(wrong, 0, 500), "{wrong}");
        }
    }
}
