//! `{PBKDF2…}` in the forms of OpenLDAP, Dovecot and 389 Directory Server.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::secret::{Secret, same};

/// Most iterations that are worked off.
const ITERATIONS_MAX: u32 = 2_000_000;
/// Longest derived key, in octets.
const KEY_MAX: usize = 512;

/// Base64 with `.` for `+` and no padding, as passlib and OpenLDAP write it.
const ADAPTED: GeneralPurpose = GeneralPurpose::new(
    &match alphabet::Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./") {
        Ok(alphabet) => alphabet,
        Err(_) => panic!("a fixed alphabet of 64 characters"),
    },
    NO_PAD,
);

pub(super) fn verify(scheme: &str, secret: &Secret, text: &str) -> bool {
    let Some((iterations, salt, expected)) = parse(scheme, text) else { return false };
    if iterations == 0 || iterations > ITERATIONS_MAX || expected.is_empty() || expected.len() > KEY_MAX {
        return false;
    }
    let mut derived = vec![0; expected.len()];
    let password = secret.reveal().as_bytes();
    match scheme {
        "PBKDF2" | "PBKDF2-SHA1" => pbkdf2::pbkdf2_hmac::<Sha1>(password, &salt, iterations, &mut derived),
        "PBKDF2-SHA256" | "PBKDF2_SHA256" => {
            pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, iterations, &mut derived);
        }
        "PBKDF2-SHA512" => pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut derived),
        _ => return false,
    }
    same(&derived, &expected)
}

/// Iterations, salt and key.
fn parse(scheme: &str, text: &str) -> Option<(u32, Vec<u8>, Vec<u8>)> {
    if scheme == "PBKDF2_SHA256" {
        // 389 Directory Server: base64 of 4 octets of iterations, 64 of salt, 256 of key.
        let octets = STANDARD.decode(text).ok()?;
        let (iterations, rest) = octets.split_first_chunk::<4>()?;
        let (salt, key) = rest.split_at_checked(64)?;
        return Some((u32::from_be_bytes(*iterations), salt.to_vec(), key.to_vec()));
    }
    if let Some(rest) = text.strip_prefix("$1$") {
        // Dovecot: $1$salt$iterations$key in hexadecimal; the salt as it stands.
        let mut parts = rest.split('$');
        let (salt, iterations, key) = (parts.next()?, parts.next()?, parts.next()?);
        return Some((iterations.parse().ok()?, salt.as_bytes().to_vec(), decode_hex(key)?));
    }
    // OpenLDAP: iterations$salt$key.
    let mut parts = text.split('$');
    let (iterations, salt, key) = (parts.next()?, parts.next()?, parts.next()?);
    Some((iterations.parse().ok()?, ADAPTED.decode(salt).ok()?, ADAPTED.decode(key).ok()?))
}

pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
