//! Sizes and durations with their units, as in the server's configuration.

use std::time::Duration;

const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const TIMES: [(&str, u64); 3] = [("ms", 1), ("s", 1_000), ("min", 60_000)];

/// Reads `16 MiB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    quantity(text, &SIZES)
}

/// Reads `10 ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIMES).map(Duration::from_millis)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = units.iter().find(|(name, _)| *name == text[digits..].trim()).map(|(_, factor)| *factor);
    let number = text[..digits].parse::<u64>().ok();
    number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is no whole number with a unit ({})", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit() {
        assert_eq!(size("16 MiB"), Ok(16 << 20));
        assert_eq!(duration("20 ms"), Ok(Duration::from_millis(20)));
        for bad in ["", "10", "MiB", "1.5 MiB", "10 h", "99999999999999999999 B"] {
            assert!(size(bad).is_err() && duration(bad).is_err(), "{bad}");
        }
    }
}
