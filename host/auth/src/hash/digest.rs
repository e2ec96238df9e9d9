//! Plain and salted digests: `{SHA}`, `{SSHA}`, `{SSHA256}` and their kin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::secret::{Secret, same};

/// Longest salt behind a digest, in octets.
const SALT_MAX: usize = 256;

/// A digest of password and salt.
type Function = fn(&[u8], &[u8]) -> Vec<u8>;

fn digest<D: Digest>(password: &[u8], salt: &[u8]) -> Vec<u8> {
    D::new().chain_update(password).chain_update(salt).finalize().to_vec()
}

/// The function, its length, and whether a salt follows.
fn function(scheme: &str) -> Option<(Function, usize, bool)> {
    Some(match scheme {
        "MD5" | "PLAIN-MD5" | "LDAP-MD5" => (digest::<Md5>, 16, false),
        "SMD5" => (digest::<Md5>, 16, true),
        "SHA" | "SHA1" => (digest::<Sha1>, 20, false),
        "SSHA" => (digest::<Sha1>, 20, true),
        "SHA224" => (digest::<Sha224>, 28, false),
        "SSHA224" => (digest::<Sha224>, 28, true),
        "SHA256" => (digest::<Sha256>, 32, false),
        "SSHA256" => (digest::<Sha256>, 32, true),
        "SHA384" => (digest::<Sha384>, 48, false),
        "SSHA384" => (digest::<Sha384>, 48, true),
        "SHA512" => (digest::<Sha512>, 64, false),
        "SSHA512" => (digest::<Sha512>, 64, true),
        _ => return None,
    })
}

/// Whether a scheme is one of these.
pub(super) fn is_digest(scheme: &str) -> bool {
    function(scheme).is_some()
}

/// `base64(digest || salt)`; the digest alone in hexadecimal as well.
pub(super) fn verify(scheme: &str, secret: &Secret, text: &str) -> bool {
    let Some((digest, len, salted)) = function(scheme) else { return false };
    let is_hex = !salted && text.len() == len * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let octets = if is_hex { super::derived::decode_hex(text) } else { STANDARD.decode(text).ok() };
    let Some(octets) = octets else { return false };
    if octets.len() < len || octets.len() > len + SALT_MAX || (!salted && octets.len() != len) {
        return false;
    }
    let (expected, salt) = octets.split_at(len);
    same(&digest(secret.reveal().as_bytes(), salt), expected)
}
