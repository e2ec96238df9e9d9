//! Sizes and durations with their units, and networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// The units of size, with their octets.
const SIZES: [(&str, u64); 5] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// The units of time, with their milliseconds.
const TIMES: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("days", 86_400_000),
    ("weeks", 7 * 86_400_000),
];

/// Reads `10 MiB` as octets.
pub(super) fn size(text: &str) -> Result<u64, String> {
    quantity(text, &SIZES)
}

/// Reads `5 min` as a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    quantity(text, &TIMES).map(Duration::from_millis)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| format!("{text:?} does not begin with a whole number"))?;
    let unit = text[digits..].trim();
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(if unit.is_empty() {
            format!("{text:?} has no unit")
        } else {
            format!("{unit:?} is no unit here")
        });
    };
    number.checked_mul(*factor).ok_or_else(|| format!("{text:?} is more than a number can hold"))
}

/// Octets for people: `10 MiB`, exact where possible.
#[must_use]
pub fn size_text(octets: u64) -> String {
    let (name, factor) =
        SIZES.iter().rev().find(|(_, f)| octets >= *f && octets.is_multiple_of(*f)).unwrap_or(&SIZES[0]);
    format!("{} {name}", octets / factor)
}

/// Octets for people, in the largest unit that leaves a number of at least ten.
#[must_use]
pub fn rounded_size_text(octets: u64) -> String {
    let unit = [40, 30, 20, 10].into_iter().find(|shift| octets >> shift >= 10);
    size_text(unit.map_or(octets, |shift| octets >> shift << shift))
}

/// A duration for people: `5 min`, exact where possible.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (name, factor) =
        TIMES[..5].iter().rev().find(|(_, f)| ms >= *f && ms.is_multiple_of(*f)).unwrap_or(&TIMES[1]);
    format!("{} {name}", ms / factor)
}

/// A network: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its address; bits beyond the prefix are zero.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => masked_v4(ip.to_bits(), self.prefix) == own.to_bits(),
            (IpAddr::V6(own), IpAddr::V6(ip)) => masked_v6(ip.to_bits(), self.prefix) == own.to_bits(),
            _ => false,
        }
    }
}

fn masked_v4(bits: u32, prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { bits & (u32::MAX << (32 - prefix)) }
}

fn masked_v6(bits: u128, prefix: u8) -> u128 {
    if prefix == 0 { 0 } else { bits & (u128::MAX << (128 - prefix)) }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(text) => {
                text.parse().ok().filter(|p| *p <= most).ok_or(format!("/{text} is no prefix length"))?
            }
        };
        let whole = match address {
            IpAddr::V4(ip) => masked_v4(ip.to_bits(), prefix) == ip.to_bits(),
            IpAddr::V6(ip) => masked_v6(ip.to_bits(), prefix) == ip.to_bits(),
        };
        if whole {
            Ok(Self { address, prefix })
        } else {
            Err(format!("{text:?} has bits set beyond its prefix"))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_their_unit() {
        for (text, octets) in [("10 MiB", 10 << 20), ("64KiB", 64 << 10), ("0 B", 0), ("1 TiB", 1 << 40)] {
            assert_eq!(size(text), Ok(octets), "{text}");
        }
        for (text, ms) in
            [("5 min", 300_000), ("250 ms", 250), ("5d", 432_000_000), ("2 weeks", 1_209_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "MiB", "10 MB", "-1 B", "1.5 MiB", "99999999999999999999 B", "9999999999 TiB"]
        {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(duration("5 m").is_err());
    }

    #[test]
    fn quantities_print_in_their_largest_exact_unit() {
        assert_eq!(size_text(10 << 20), "10 MiB");
        assert_eq!(size_text(1025), "1025 B");
        assert_eq!(size_text(0), "0 B");
        assert_eq!(duration_text(Duration::from_secs(300)), "5 min");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500 ms");
        assert_eq!(duration_text(Duration::ZERO), "0 s");
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, ip, inside) in [
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.0/8", "::ffff:127.1.2.3", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "1.2.3.4", false),
        ] {
            assert_eq!(
                network.parse::<Network>().unwrap().contains(ip.parse().unwrap()),
                inside,
                "{network} {ip}"
            );
        }
        for text in ["", "192.0.2.1/24", "192.0.2.0/33", "x", "::1/129"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        for (octets, text) in [(0, "0 B"), (10_239, "10239 B"), (10_241, "10 KiB"), (123_456_789, "117 MiB")]
        {
            assert_eq!(rounded_size_text(octets), text);
        }
    }
}
