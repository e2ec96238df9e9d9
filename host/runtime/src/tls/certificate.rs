//! The little that must be known about certificates: their channel binding hash.

use std::sync::Arc;

use sha2::Digest;

/// The hash of a certificate for `tls-server-end-point` (RFC 5929 §4.1): by the hash function of its
/// signature, SHA-256 in place of MD5 and SHA-1; none where the signature uses no single hash.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let oid = signature_algorithm(certificate)?;
    let bits = match oid.strip_prefix(RSA).or_else(|| oid.strip_prefix(ECDSA)) {
        // md5WithRSA, sha1WithRSA, sha256WithRSA; ecdsa-with-SHA1, ecdsa-with-SHA256
        Some([4 | 5 | 11] | [1] | [3, 2]) => 256,
        Some([12] | [3, 3]) => 384,
        Some([13] | [3, 4]) => 512,
        _ => return None,
    };
    Some(match bits {
        256 => Arc::from(sha2::Sha256::digest(certificate).as_slice()),
        384 => Arc::from(sha2::Sha384::digest(certificate).as_slice()),
        _ => Arc::from(sha2::Sha512::digest(certificate).as_slice()),
    })
}

/// Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    let (inside, _) = der(certificate, SEQUENCE)?;
    let (_, after) = der(inside, SEQUENCE)?;
    let (algorithm, _) = der(after, SEQUENCE)?;
    der(algorithm, OID).map(|(oid, _)| oid)
}

/// From when to when a certificate holds, in milliseconds since 1970.
///
/// tbsCertificate ::= SEQUENCE { [0] version, serialNumber INTEGER, signature SEQUENCE, issuer SEQUENCE, validity SEQUENCE
/// { notBefore, notAfter }, … }
pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const VERSION: u8 = 0xa0;
    let (inside, _) = der(certificate, SEQUENCE)?;
    let (signed, _) = der(inside, SEQUENCE)?;
    let signed = der(signed, VERSION).map_or(signed, |(_, after)| after);
    let (_, after) = der(signed, INTEGER)?;
    let (_, after) = der(after, SEQUENCE)?;
    let (_, after) = der(after, SEQUENCE)?;
    let (validity, _) = der(after, SEQUENCE)?;
    let (not_before, after) = time(validity)?;
    Some((not_before, time(after)?.0))
}

/// UTCTime, of years from 1950 on in two digits, or GeneralizedTime, in four; both to the second and in UTC. And what follows.
fn time(octets: &[u8]) -> Option<(u64, &[u8])> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (text, after) = der(octets, UTC_TIME).or_else(|| der(octets, GENERALIZED_TIME))?;
    let digits = text.strip_suffix(b"Z")?;
    let number = |octets: &[u8]| std::str::from_utf8(octets).ok()?.parse::<u64>().ok();
    let (year, rest) = match digits.len() {
        12 => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        14 => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let fields: Vec<u64> = rest.chunks(2).map(number).collect::<Option<_>>()?;
    let [month @ 1..=12, day @ 1..=31, hour, minute, second] = fields[..] else { return None };
    // Days since 1970, of years that begin in March, so that the leap day is their last.
    let years = if month < 3 { year.checked_sub(1)? } else { year };
    let months = (month + 9) % 12;
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1;
    // Of the first of March in the year 0.
    const TO_1970: u64 = 719_468;
    let seconds = days.checked_sub(TO_1970)? * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds * 1000, after))
}

/// One DER element of a certain tag: its content, and what follows it.
fn der(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = octets else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match usize::from(*first) {
        short @ 0..=127 => (short, rest),
        long => {
            let count = long - 128;
            if count == 0 || count > 4 || rest.len() < count {
                return None;
            }
            let (digits, rest) = rest.split_at(count);
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ecdsa_sha256_certificate_is_hashed_with_sha256() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der();
        let expected = sha2::Sha256::digest(certificate);
        assert_eq!(server_end_point(certificate).as_deref(), Some(expected.as_slice()));
    }

    #[test]
    fn the_hash_follows_the_signature() {
        // An empty tbsCertificate, then the algorithm.
        let with = |oid: &[u8]| {
            let mut algorithm = vec![0x06, u8::try_from(oid.len()).unwrap()];
            algorithm.extend_from_slice(oid);
            let mut inside = vec![0x30, 0x81, 0x00, 0x30, u8::try_from(algorithm.len()).unwrap()];
            inside.extend(algorithm);
            let mut whole = vec![0x30, u8::try_from(inside.len()).unwrap()];
            whole.extend(inside);
            server_end_point(&whole).map(|hash| hash.len())
        };
        let rsa = |last| with(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]);
        assert_eq!([rsa(5), rsa(11), rsa(12), rsa(13)], [Some(32), Some(32), Some(48), Some(64)]);
        assert_eq!(rsa(10), None, "RSASSA-PSS names no single hash");
        assert_eq!(with(&[0x2b, 0x65, 0x70]), None, "Ed25519 has no hash of its own");
        assert_eq!(with(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]), Some(48));
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(octets: Vec<u8>) {
            let _ = server_end_point(&octets);
        }
    }
}
