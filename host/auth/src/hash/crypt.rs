//! `{CRYPT}`: what crypt(3) of the Unixes wrote (DES, MD5, SHA-1, SHA-256, SHA-512, bcrypt).

use crate::secret::Secret;

/// Most rounds of a SHA crypt value that are worked off: about a second.
const ROUNDS_MAX: u32 = 1_000_000;
/// Largest cost of a bcrypt value that is worked off.
const BCRYPT_COST_MAX: u32 = 16;

pub(super) fn verify(secret: &Secret, text: &str) -> bool {
    // The alphabet of crypt(3): pwhash takes salts on trust, and panics on other octets.
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"./$=".contains(&octet);
    if !text.bytes().all(plain) {
        return false;
    }
    // A value may not make verification a weapon.
    let fits = match text.split('$').nth(1) {
        Some("5" | "6") => match text.split('$').nth(2).and_then(|part| part.strip_prefix("rounds=")) {
            Some(rounds) => rounds.parse().is_ok_and(|rounds: u32| rounds <= ROUNDS_MAX),
            None => true,
        },
        Some("2a" | "2b" | "2y" | "2x") => text
            .split('$')
            .nth(2)
            .and_then(|cost| cost.parse().ok())
            .is_some_and(|cost: u32| cost <= BCRYPT_COST_MAX),
        Some("sha1") => {
            text.split('$').nth(2).and_then(|r| r.parse().ok()).is_some_and(|r: u32| r <= ROUNDS_MAX)
        }
        Some("1") => true,
        Some(_) => false,
        // DES: two characters of salt and eleven of hash. The extended form is left out.
        None => text.len() == 13,
    };
    fits && pwhash::unix::verify(secret.reveal(), text)
}
