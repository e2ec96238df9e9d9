//! Stored passwords: writing argon2id and SCRAM keys, verifying those and what imports bring.

mod crypt;
mod derived;
mod digest;
mod scram_keys;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use directory::PasswordHash;
use runtime::Random;

use crate::secret::Secret;

pub(crate) use scram_keys::hmac;
pub use scram_keys::{SCRAM_ITERATIONS_MAX, ScramKeys};

/// Most memory that verifying one argon2 value may take, in KiB.
const ARGON2_MEMORY_MAX: u32 = 256 * 1024;
/// Most lanes of one argon2 value.
const ARGON2_LANES_MAX: u32 = 255;
/// Most KiB times passes of one argon2 value: about a second.
const ARGON2_WORK_MAX: u64 = 1024 * 1024;
/// Octets of salt that are written.
const SALT_LEN: usize = 16;

/// How new passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashOptions {
    /// argon2id: memory, in KiB.
    pub memory_kib: u32,
    /// argon2id: passes.
    pub passes: u32,
    /// argon2id: lanes.
    pub lanes: u32,
    /// SCRAM: iterations of PBKDF2 (RFC 7677 §4: at least 4096, about 15,000 as a rule).
    pub scram_iterations: u32,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1, scram_iterations: 15_000 }
    }
}

/// Why a password cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Empty, too long, with a NUL or another control character.
    #[error(
        "the password is not usable: give 1 to {max} octets without control characters",
        max = crate::secret::PASSWORD_MAX
    )]
    Password,
    /// The options are out of the library's range.
    #[error("the hash options are not usable: {0}")]
    Options(String),
}

/// Hashes new passwords. Slow on purpose: call it where blocking is allowed.
#[derive(Debug, Clone)]
pub struct Hasher {
    random: Random,
    options: HashOptions,
}

impl Hasher {
    /// Takes salts from `random`.
    #[must_use]
    pub fn new(random: Random, options: HashOptions) -> Self {
        Self { random, options }
    }

    /// The values to store for a password: `{ARGON2}…` and, beside it, `{SCRAM-SHA-256}…`, so that
    /// every mechanism works.
    pub fn hash(&self, clear: &str) -> Result<Vec<PasswordHash>, HashError> {
        let secret = Secret::new(clear.to_owned()).and_then(|secret| secret.prepared());
        let secret = secret.ok_or(HashError::Password)?;
        let mut salt = [0; SALT_LEN];
        self.random.fill(&mut salt);
        let argon2 = PasswordHash::new(format!("{{ARGON2}}{}", self.argon2id(&secret, &salt)?));
        self.random.fill(&mut salt);
        let keys = ScramKeys::derive(&secret, &salt, self.options.scram_iterations);
        Ok(vec![argon2, PasswordHash::new(keys.to_value())])
    }

    fn argon2id(&self, secret: &Secret, salt: &[u8]) -> Result<String, HashError> {
        let HashOptions { memory_kib, passes, lanes, .. } = self.options;
        let fail = |error: String| HashError::Options(error);
        let params = Params::new(memory_kib, passes, lanes, None).map_err(|e| fail(e.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::encode_b64(salt).map_err(|e| fail(e.to_string()))?;
        let hash =
            argon2.hash_password(secret.reveal().as_bytes(), &salt).map_err(|e| fail(e.to_string()))?;
        Ok(hash.to_string())
    }
}

impl directory::PasswordHasher for Hasher {
    fn hash(&self, clear: &str) -> Result<Vec<PasswordHash>, String> {
        Hasher::hash(self, clear).map_err(|error| error.to_string())
    }
}

/// Whether values in clear text count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClearPasswords {
    /// As if they were not there.
    #[default]
    Ignored,
    /// For directories that cannot do better.
    Accepted,
}

/// What verifying costs: what is cheap is done at once, what is dear on a blocking thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    Cheap,
    Dear,
}

/// The cost of verifying against a value.
pub(crate) fn cost(value: &PasswordHash) -> Cost {
    match value.scheme().as_deref() {
        Some(scheme) if digest::is_digest(scheme) => Cost::Cheap,
        None => Cost::Cheap,
        Some(_) => Cost::Dear,
    }
}

/// The values that a password is held against. Where there is an argon2 or other value, the SCRAM
/// keys beside it are left out: one answer is enough.
pub(crate) fn considered(values: &[PasswordHash]) -> impl Iterator<Item = &PasswordHash> {
    let is_scram = |value: &PasswordHash| value.scheme().as_deref() == Some(scram_keys::SCHEME);
    let only_scram = values.iter().all(is_scram);
    values.iter().filter(move |value| only_scram || !is_scram(value))
}

/// Whether a password fits any of the values: as it was typed, or prepared where that differs.
pub(crate) fn verify_any(secret: &Secret, values: &[PasswordHash], clear: ClearPasswords) -> bool {
    let fits = |form: &Secret| considered(values).any(|value| verify(form, value, clear));
    let prepared = secret.prepared().filter(|prepared| prepared.reveal() != secret.reveal());
    fits(secret) || prepared.is_some_and(|prepared| fits(&prepared))
}

/// Whether a password fits one stored value. Unknown schemes and broken values fit nothing.
#[must_use]
pub fn verify(secret: &Secret, value: &PasswordHash, clear: ClearPasswords) -> bool {
    if let Some(text) = value.clear_text() {
        return clear == ClearPasswords::Accepted
            && crate::secret::same(text.as_bytes(), secret.reveal().as_bytes());
    }
    let Some(scheme) = value.scheme() else { return false };
    let Some((_, rest)) = value.reveal().split_once('}') else { return false };
    match scheme.as_str() {
        "ARGON2" | "ARGON2ID" | "ARGON2I" | "ARGON2D" => verify_argon2(secret, rest),
        "CRYPT" | "BLF-CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" | "MD5-CRYPT" | "DES-CRYPT" => {
            crypt::verify(secret, rest)
        }
        scram_keys::SCHEME => ScramKeys::from_value(value).is_some_and(|keys| keys.fits(secret)),
        scheme if scheme.starts_with("PBKDF2") => derived::verify(scheme, secret, rest),
        scheme => digest::verify(scheme, secret, rest),
    }
}

fn verify_argon2(secret: &Secret, text: &str) -> bool {
    let Ok(hash) = argon2::PasswordHash::new(text) else { return false };
    // The library multiplies before it compares: what overflows there is refused here.
    if hash.params.get_decimal("p").is_some_and(|lanes| lanes > ARGON2_LANES_MAX) {
        return false;
    }
    let Ok(params) = Params::try_from(&hash) else { return false };
    // A value may not make verification a weapon.
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY_MAX || work > ARGON2_WORK_MAX {
        return false;
    }
    Argon2::default().verify_password(secret.reveal().as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests;
