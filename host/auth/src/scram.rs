//! The messages of SCRAM-SHA-256 (RFC 5802 §7, RFC 7677), without I/O, users or chance.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::hash::ScramKeys;
use crate::secret::{prepare, same};

/// Longest message of a client, in octets.
pub const MESSAGE_MAX: usize = 4096;
/// Shortest and longest nonce of a client, in characters.
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 1..=256;

/// Why an exchange fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramError {
    /// The message breaks the grammar, or does not continue the exchange.
    Malformed,
    /// The proof does not fit.
    Proof,
}

/// `gs2-cbind-flag`: what the client says about channel binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// `n`: it knows none.
    Unsupported,
    /// `y`: it would, but saw no `-PLUS` offered.
    NotOffered,
    /// `p=name`: it binds to this.
    Required(String),
}

/// `client-first-message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// The GS2 header as it stands; it returns in the final message.
    header: String,
    /// What it says about channel binding.
    pub binding: Binding,
    /// As whom it wants to act, if as somebody else.
    pub authorization: Option<String>,
    /// Who it is.
    pub login: String,
    nonce: String,
    bare: String,
}

impl ClientFirst {
    /// Reads it, within [`MESSAGE_MAX`].
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        parse_first(message).ok_or(ScramError::Malformed)
    }
}

fn parse_first(message: &[u8]) -> Option<ClientFirst> {
    if message.len() > MESSAGE_MAX {
        return None;
    }
    let text = std::str::from_utf8(message).ok()?;
    let (flag, rest) = text.split_once(',')?;
    let (authorization, bare) = rest.split_once(',')?;
    let header = &text[..text.len() - bare.len()];
    let binding = match flag.split_once('=') {
        None if flag == "n" => Binding::Unsupported,
        None if flag == "y" => Binding::NotOffered,
        Some(("p", name)) if is_binding_name(name) => Binding::Required(name.to_owned()),
        _ => return None,
    };
    let authorization = match authorization {
        "" => None,
        text => Some(decode_name(text.strip_prefix("a=")?)?),
    };
    // "m=" would be a mandatory extension, of which there are none (RFC 5802 §5.1).
    let mut parts = bare.split(',');
    let login = prepare(&decode_name(parts.next()?.strip_prefix("n=")?)?)?;
    let nonce = parts.next()?.strip_prefix("r=")?;
    if !NONCE_LENGTHS.contains(&nonce.len()) || !nonce.bytes().all(|b| matches!(b, 0x21..=0x2b | 0x2d..=0x7e))
    {
        return None;
    }
    if !parts.all(is_extension) {
        return None;
    }
    Some(ClientFirst {
        header: header.to_owned(),
        binding,
        authorization,
        login,
        nonce: nonce.to_owned(),
        bare: bare.to_owned(),
    })
}

/// `attr-val`, but not the reserved `m`.
fn is_extension(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[0] != b'm' && bytes[1] == b'='
}

fn is_binding_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}

/// `saslname`: `=2C` and `=3D` stand for comma and equals sign.
fn decode_name(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        name.push_str(&rest[..at]);
        name.push(match rest.get(at + 1..at + 3)? {
            "2C" | "2c" => ',',
            "3D" | "3d" => '=',
            _ => return None,
        });
        rest = &rest[at + 3..];
    }
    name.push_str(rest);
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

/// The exchange after the server's first message.
pub struct Exchange {
    first: ClientFirst,
    nonce: String,
    server_first: String,
    keys: ScramKeys,
}

impl Exchange {
    /// Answers the first message with the server's part of the nonce, salt and iterations.
    #[must_use]
    pub fn new(first: ClientFirst, server_nonce: &str, keys: ScramKeys) -> Self {
        let nonce = format!("{}{server_nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        Self { first, nonce, server_first, keys }
    }

    /// `server-first-message`.
    #[must_use]
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// The login of the first message.
    #[must_use]
    pub fn first(&self) -> &ClientFirst {
        &self.first
    }

    /// Checks the client's final message against the octets of the bound channel (empty where none
    /// is bound), and gives the server's final message.
    pub fn finish(&self, message: &[u8], channel: &[u8]) -> Result<Vec<u8>, ScramError> {
        if message.len() > MESSAGE_MAX {
            return Err(ScramError::Malformed);
        }
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (unproved, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut parts = unproved.split(',');
        let bound = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(ScramError::Malformed)?;
        let bound = STANDARD.decode(bound).map_err(|_| ScramError::Malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        if !parts.all(is_extension) || nonce != self.nonce {
            return Err(ScramError::Malformed);
        }
        let proof: [u8; 32] = STANDARD
            .decode(proof)
            .ok()
            .and_then(|octets| octets.try_into().ok())
            .ok_or(ScramError::Malformed)?;
        let expected = [self.first.header.as_bytes(), channel].concat();
        let auth_message = format!("{},{},{unproved}", self.first.bare, self.server_first);
        let signature = crate::hash::hmac(&self.keys.stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let stored_key: [u8; 32] = Sha256::digest(&client_key).into();
        // Both comparisons are made, whatever the first one says.
        if !(same(&stored_key, &self.keys.stored_key) & same(&bound, &expected)) {
            return Err(ScramError::Proof);
        }
        let signature = crate::hash::hmac(&self.keys.server_key, auth_message.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    fn keys() -> ScramKeys {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        ScramKeys::derive(&Secret::new("pencil".to_owned()).unwrap(), &salt, 4096)
    }

    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn exchange() -> Exchange {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((first.login.as_str(), &first.binding), ("user", &Binding::Unsupported));
        Exchange::new(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", keys())
    }

    #[test]
    fn the_example_of_rfc_7677_section_3() {
        let exchange = exchange();
        assert_eq!(
            exchange.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = exchange.finish(FINAL.as_bytes(), b"").unwrap();
        assert_eq!(last, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn every_changed_part_of_the_final_message_is_refused() {
        for (from, to, error) in [
            ("dHzb", "dHzc", ScramError::Proof),
            // y,, instead of n,,
            ("biws", "eSws", ScramError::Proof),
            ("k0,", "k1,", ScramError::Malformed),
            ("c=", "d=", ScramError::Malformed),
            (",p=", ",q=", ScramError::Malformed),
            ("dVQ=", "dVQ", ScramError::Malformed),
            (",p=", ",m=x,p=", ScramError::Malformed),
        ] {
            let text = FINAL.replacen(from, to, 1);
            assert_eq!(exchange().finish(text.as_bytes(), b"").unwrap_err(), error, "{text}");
        }
        assert_eq!(exchange().finish(FINAL.as_bytes(), b"channel"), Err(ScramError::Proof));
    }

    #[test]
    fn first_messages_by_the_grammar_of_rfc_5802() {
        let first = ClientFirst::parse(b"p=tls-exporter,a=boss,n=a=2Cb=3Dc,r=abc,x=ext").unwrap();
        assert_eq!(first.binding, Binding::Required("tls-exporter".to_owned()));
        assert_eq!((first.authorization.as_deref(), first.login.as_str()), (Some("boss"), "a,b=c"));
        assert_eq!(first.header, "p=tls-exporter,a=boss,");
        for text in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=,r=x",
            "n,,n=a",
            "n,,n=a,r=",
            "x,,n=a,r=x",
            "p=,,n=a,r=x",
            "n,b=x,n=a,r=x",
            "n,,m=x,n=a,r=x",
            "n,,n=a,r=x,m=y",
            "n,,n=a=2,r=x",
            "n,,n=a=41,r=x",
            "n,,r=x,n=a",
            "n,,n=a,r=\u{e4}",
        ] {
            assert_eq!(ClientFirst::parse(text.as_bytes()), Err(ScramError::Malformed), "{text}");
        }
        assert!(ClientFirst::parse(&[b'n'; MESSAGE_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn messages_never_panic(octets in prop::collection::vec(any::<u8>(), 0..120), text in "[a-z=,+/0-9]{0,60}") {
            for message in [octets.as_slice(), text.as_bytes()] {
                let _ = ClientFirst::parse(message);
                let _ = exchange().finish(message, b"");
            }
        }
    }
}
