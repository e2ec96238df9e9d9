//! The lines of a SASL exchange: strict base64 (RFC 4954 §4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the client answered to a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslLine {
    /// A response, decoded.
    Response(Vec<u8>),
    /// `*`: the client gives the exchange up.
    Cancel,
}

/// The line is not base64 (RFC 4954 §4: 501 5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is not in base64")]
pub struct SaslLineError;

/// Decodes a client's line, or an initial response where `=` stands for the empty one. Characters outside
/// the alphabet and misplaced padding are refused, as RFC 4954 §4 demands.
pub fn decode_sasl_line(line: &[u8]) -> Result<SaslLine, SaslLineError> {
    match line {
        b"*" => Ok(SaslLine::Cancel),
        b"=" => Ok(SaslLine::Response(Vec::new())),
        _ => STANDARD.decode(line).map(SaslLine::Response).map_err(|_| SaslLineError),
    }
}

/// Encodes a challenge or response. An empty initial response has to be sent as `=` instead.
#[must_use]
pub fn encode_sasl(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_strict_base64() {
        let response = |octets: &[u8]| Ok(SaslLine::Response(octets.to_vec()));
        assert_eq!(decode_sasl_line(b"dGVzdAB0ZXN0ADEyMzQ="), response(b"test\0test\x001234"));
        assert_eq!(decode_sasl_line(b"="), response(b""));
        assert_eq!(decode_sasl_line(b""), response(b""));
        assert_eq!(decode_sasl_line(b"*"), Ok(SaslLine::Cancel));
        for bad in [&b"=AAA"[..], b"AAA=BBB", b"AA", b"A A=", b"AAA*", b"AAAA\t", b"!!!!"] {
            assert_eq!(decode_sasl_line(bad), Err(SaslLineError), "{bad:?}");
        }
        assert_eq!(decode_sasl_line(encode_sasl(b"\xff\0x").as_bytes()), response(b"\xff\0x"));
    }
}
