//! The keys that a SCRAM-SHA-256 server stores (RFC 5802 §3, RFC 7677 §3).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::PasswordHash;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::{Secret, same};

/// The scheme of stored keys: `{SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey`.
pub(crate) const SCHEME: &str = "SCRAM-SHA-256";
/// Most iterations that are worked off, or asked of a client.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;
/// Longest salt, in octets.
const SALT_MAX: usize = 256;

/// What the server keeps instead of a password: enough to check proofs, too little to make them.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Iterations of PBKDF2.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// `StoredKey = H(ClientKey)`.
    pub(crate) stored_key: [u8; 32],
    /// `ServerKey = HMAC(SaltedPassword, "Server Key")`.
    pub(crate) server_key: [u8; 32],
}

impl ScramKeys {
    /// Derives the keys of a password, which the caller has prepared.
    #[must_use]
    pub fn derive(secret: &Secret, salt: &[u8], iterations: u32) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(secret.reveal().as_bytes(), salt, iterations, &mut *salted);
        let mut client_key = hmac(&*salted, b"Client Key");
        let stored_key = Sha256::digest(client_key).into();
        client_key.zeroize();
        Self { iterations, salt: salt.to_vec(), stored_key, server_key: hmac(&*salted, b"Server Key") }
    }

    /// Keys that no password fits: `key` is random, and no StoredKey of anything.
    pub(crate) fn decoy(salt: &[u8], iterations: u32, key: [u8; 32]) -> Self {
        Self { iterations, salt: salt.to_vec(), stored_key: key, server_key: key }
    }

    /// Reads a stored value.
    #[must_use]
    pub fn from_value(value: &PasswordHash) -> Option<Self> {
        if value.scheme().as_deref() != Some(SCHEME) {
            return None;
        }
        let (_, text) = value.reveal().split_once('}')?;
        let mut parts = text.split(',');
        let iterations: u32 = parts.next()?.parse().ok()?;
        let mut octets = || STANDARD.decode(parts.next()?).ok();
        let (salt, stored_key, server_key) = (octets()?, octets()?, octets()?);
        let bounded =
            (1..=SCRAM_ITERATIONS_MAX).contains(&iterations) && (1..=SALT_MAX).contains(&salt.len());
        if !bounded || parts.next().is_some() {
            return None;
        }
        let (stored_key, server_key) = (stored_key.try_into().ok()?, server_key.try_into().ok()?);
        Some(Self { iterations, salt, stored_key, server_key })
    }

    /// The value to store.
    #[must_use]
    pub fn to_value(&self) -> String {
        let [salt, stored, server] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        format!("{{{SCHEME}}}{},{salt},{stored},{server}", self.iterations)
    }

    /// Whether a password gives these keys.
    #[must_use]
    pub fn fits(&self, secret: &Secret) -> bool {
        let derived = Self::derive(secret, &self.salt, self.iterations);
        same(&derived.stored_key, &self.stored_key)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys({} iterations, keys hidden)", self.iterations)
    }
}

/// `HMAC()` of RFC 5802 §2.2.
pub(crate) fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}
