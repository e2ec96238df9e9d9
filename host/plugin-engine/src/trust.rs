//! Who vouches for a component: minisign signatures (Ed25519 over BLAKE2b-512) by keys that the operator trusts.
//!
//! A signature is asked for where a component comes in or comes back: installing, shadowing, replaying, enabling, rolling
//! back. What is in force stays in force over restarts and reloads, because to stop it would stop mail; a note says where
//! its signature is not, or no longer, one that would let it in.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::component::{Digest, Unfit};

/// Most keys that are trusted.
pub const KEYS_MAX: usize = 64;
/// Largest file of a signature, in octets.
pub const SIGNATURE_MAX: u64 = 4096;
/// Longest trusted comment that is kept, in characters.
const COMMENT_MAX: usize = 200;
/// Octets of the number in a key and in a signature, behind the two that name the algorithm.
const ID_LEN: usize = 8;

/// A component as somebody hands it in, with what vouches for it.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// The component.
    pub octets: &'a [u8],
    /// The text of its signature.
    pub signature: Option<&'a str>,
}

impl<'a> From<&'a [u8]> for Offered<'a> {
    fn from(octets: &'a [u8]) -> Self {
        Self { octets, signature: None }
    }
}

impl<'a> From<&'a Vec<u8>> for Offered<'a> {
    fn from(octets: &'a Vec<u8>) -> Self {
        Self::from(octets.as_slice())
    }
}

/// A public key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    id: String,
    key: PublicKey,
}

impl TrustedKey {
    /// Its number, as `minisign` shows it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl FromStr for TrustedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key =
            PublicKey::from_base64(text).map_err(|_| format!("{text:?} is no public key of minisign"))?;
        let id = key_id(text).ok_or_else(|| format!("{text:?} is no public key of minisign"))?;
        Ok(Self { id, key })
    }
}

/// The number of the key in a line of base64: of a key or of a signature.
fn key_id(line: &str) -> Option<String> {
    let octets = STANDARD.decode(line.trim()).ok()?;
    let number: [u8; ID_LEN] = octets.get(2..2 + ID_LEN)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(number)))
}

/// Whom the operator trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// The keys.
    pub keys: Vec<TrustedKey>,
    /// Whether what has no signature by one of them is refused.
    pub required: bool,
}

/// A signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The number of the key.
    pub key: String,
    /// What the signer says, covered by the signature.
    pub comment: String,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by key {}", self.key)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " ({})", self.comment) }
    }
}

impl Trust {
    /// Verifies what vouches for a component; `None` where nothing does and nothing has to.
    ///
    /// # Errors
    /// A signature that is missing, wrong, or of somebody who is not trusted.
    pub(crate) fn verify(&self, offered: Offered<'_>) -> Result<Option<Signed>, Unfit> {
        match offered.signature {
            Some(text) => self.signed(offered.octets, text).map(Some),
            None if self.required => Err(Unfit::new(
                "it is not signed, and plugins.require-signature is set",
                "give its signature: --signature FILE",
            )),
            None => Ok(None),
        }
    }

    fn signed(&self, octets: &[u8], text: &str) -> Result<Signed, Unfit> {
        let unreadable = || {
            Unfit::new(
                "its signature is none of minisign",
                "give the file that `minisign -S` made: FILE.minisig",
            )
        };
        let signature = Signature::decode(text).map_err(|_| unreadable())?;
        let id = text.lines().nth(1).and_then(key_id).ok_or_else(unreadable)?;
        let Some(trusted) = self.keys.iter().find(|trusted| trusted.id == id) else {
            return Err(Unfit::new(
                format!("it is signed by key {id}, which is not trusted"),
                "if you trust whoever has it, add the public key to plugins.trusted-keys and `wasmta reload`",
            ));
        };
        match trusted.key.verify(octets, &signature, false) {
            Ok(()) => {}
            Err(Error::UnexpectedAlgorithm) => {
                return Err(Unfit::new(
                    "its signature is of the old kind, without a hash",
                    "sign it with minisign 0.10 or newer",
                ));
            }
            Err(_) => {
                return Err(Unfit::new(
                    format!("its signature by key {id} is of another file, or one of the two was changed"),
                    "fetch component and signature again",
                ));
            }
        }
        // It is shown in terminals and logs: on one line, and not without end.
        let printable = signature.trusted_comment().chars().map(|c| if c.is_control() { ' ' } else { c });
        Ok(Signed { key: id, comment: printable.take(COMMENT_MAX).collect() })
    }

    /// Whether a version that was verified once may come in again.
    ///
    /// # Errors
    /// A signature is asked for, and there was none, or its key is no longer trusted.
    pub(crate) fn admits(&self, digest: &Digest, signed: Option<&Signed>) -> Result<(), Unfit> {
        if !self.required {
            return Ok(());
        }
        let what = match signed {
            None => format!(
                "{} was installed without a signature, and plugins.require-signature is set",
                digest.short()
            ),
            Some(signed) if !self.keys.iter().any(|key| key.id == signed.key) => {
                format!("{} was signed by key {}, which is no longer trusted", digest.short(), signed.key)
            }
            Some(_) => return Ok(()),
        };
        Err(Unfit::new(what, "install it again with --signature FILE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/signatures");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn text(name: &str) -> String {
        String::from_utf8(file(name)).unwrap()
    }

    fn component(name: &str) -> Vec<u8> {
        file(&format!("../frozen/1.0.0/{name}.wasm"))
    }

    fn key(name: &str) -> TrustedKey {
        text(name).lines().nth(1).unwrap().parse().unwrap()
    }

    fn said(trust: &Trust, octets: &[u8], signature: Option<&str>) -> String {
        match trust.verify(Offered { octets, signature }) {
            Ok(None) => "nobody".to_owned(),
            Ok(Some(signed)) => signed.to_string(),
            Err(unfit) => unfit.to_string(),
        }
    }

    #[test]
    fn who_signed_what_is_told() {
        let trusted = key("trusted.pub");
        let trust = Trust { keys: vec![trusted.clone()], required: true };
        let lax = Trust { required: false, ..trust.clone() };
        let (srs, other) = (component("srs"), component("send-as"));
        let (good, foreign) = (text("srs.minisig"), text("srs.foreign.minisig"));
        let by = format!("by key {} (srs 1.0.0)", trusted.id());
        assert_eq!(said(&trust, &srs, Some(&good)), by);
        assert_eq!(said(&lax, &srs, Some(&good)), by);
        assert_eq!(said(&lax, &srs, None), "nobody");
        let mut changed = srs.clone();
        changed[1000] ^= 1;
        // What is covered by the signature beside the file: its own comment.
        let comment = good.replace("srs 1.0.0", "srs 9.0.0");
        let legacy = text("srs.legacy.minisig");
        for (octets, signature, wanted) in [
            (&srs, None, "it is not signed, and plugins.require-signature is set; give its signature"),
            (&other, Some(&good), "is of another file, or one of the two was changed"),
            (&changed, Some(&good), "is of another file, or one of the two was changed"),
            (&srs, Some(&comment), "is of another file, or one of the two was changed"),
            (&srs, Some(&foreign), "which is not trusted; if you trust"),
            (&srs, Some(&legacy), "of the old kind"),
            (&srs, Some(&String::new()), "none of minisign"),
            (&srs, Some(&"hello\n".repeat(4)), "none of minisign"),
        ] {
            let said = said(&trust, octets, signature.map(String::as_str));
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn a_version_of_before_needs_a_key_that_is_trusted_now() {
        let trust = Trust { keys: vec![key("trusted.pub")], required: true };
        let by = |key: &str| Signed { key: key.to_owned(), comment: String::new() };
        let digest = Digest::of(b"x");
        assert_eq!(trust.admits(&digest, Some(&by(trust.keys[0].id()))), Ok(()));
        assert_eq!(Trust::default().admits(&digest, None), Ok(()));
        let gone = trust.admits(&digest, Some(&by("0000000000000000"))).unwrap_err().to_string();
        assert!(gone.contains("no longer trusted"), "{gone}");
        let none = trust.admits(&digest, None).unwrap_err().to_string();
        assert!(none.contains("without a signature"), "{none}");
    }

    #[test]
    fn only_public_keys_are_keys() {
        for text in ["", "RWQ", "untrusted comment: minisign public key", &"A".repeat(56)] {
            assert!(text.parse::<TrustedKey>().is_err(), "{text}");
        }
        assert_eq!(
            "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".parse::<TrustedKey>().unwrap().id(),
            "E7620F1842B4E81F"
        );
    }
}
