//! Responses (RFC 1939 §3, RFC 2449 §3 and §8).

use std::fmt::Write as _;

/// Octets of a single-line response, CRLF included (RFC 2449 §4).
pub const RESPONSE_OCTETS_MAX: usize = 512;

/// A machine-readable reason at the front of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Another session holds the maildrop (RFC 2449 §8.1.2).
    InUse,
    /// The last log-in is too recent (RFC 2449 §8.1.1).
    LoginDelay,
    /// A fault of ours that passes (RFC 3206 §4).
    SysTemp,
    /// A fault of ours that does not pass by itself (RFC 3206 §4).
    SysPerm,
    /// The credentials are no good (RFC 3206 §5).
    Auth,
    /// The message wants UTF-8 mode (RFC 6856 §5).
    Utf8,
}

impl Code {
    /// As it stands between the brackets.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
            Self::Auth => "AUTH",
            Self::Utf8 => "UTF8",
        }
    }
}

/// A single-line response, or the first line of a longer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    positive: bool,
    code: Option<Code>,
    text: String,
}

impl Response {
    /// `+OK text`.
    pub fn ok(text: impl Into<String>) -> Self {
        Self { positive: true, code: None, text: text.into() }
    }

    /// `-ERR text`.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { positive: false, code: None, text: text.into() }
    }

    /// `-ERR [CODE] text`.
    pub fn refused_with(code: Code, text: impl Into<String>) -> Self {
        Self { positive: false, code: Some(code), text: text.into() }
    }

    /// Whether it says `+OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.positive
    }

    /// Appends the line and its CRLF. Whatever the text holds, one line of at most
    /// [`RESPONSE_OCTETS_MAX`] octets comes out, and no text can be taken for a response code.
    pub fn encode(&self, output: &mut Vec<u8>) {
        let mut line = String::from(if self.positive { "+OK" } else { "-ERR" });
        if let Some(code) = self.code {
            let _ = write!(line, " [{}]", code.text());
        }
        if !self.text.is_empty() {
            line.push(' ');
        }
        let bare = self.code.is_none();
        for (at, character) in self.text.chars().enumerate() {
            let safe = match character {
                '[' if at == 0 && bare => '(',
                control if control.is_control() => ' ',
                other => other,
            };
            if line.len() + safe.len_utf8() + 2 > RESPONSE_OCTETS_MAX {
                break;
            }
            line.push(safe);
        }
        output.extend_from_slice(line.as_bytes());
        output.extend_from_slice(b"\r\n");
    }
}

/// A challenge of a SASL exchange: `+ base64` (RFC 5034 §4).
pub fn encode_challenge(challenge: &[u8], output: &mut Vec<u8>) {
    use base64::Engine as _;
    output.extend_from_slice(b"+ ");
    output.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(challenge).as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// A client's line in a SASL exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslLine {
    /// What it answers.
    Answer(Vec<u8>),
    /// `*`: it gives up.
    Cancelled,
    /// Not base64 (refused, never ignored: RFC 5034 §4).
    Malformed,
}

/// Reads a client's line in a SASL exchange.
#[must_use]
pub fn decode_sasl_line(line: &[u8]) -> SaslLine {
    use base64::Engine as _;
    if line == b"*" {
        return SaslLine::Cancelled;
    }
    match base64::engine::general_purpose::STANDARD.decode(line) {
        Ok(answer) => SaslLine::Answer(answer),
        Err(_) => SaslLine::Malformed,
    }
}

/// Reads an initial response: as a line of the exchange, but `=` is the empty one and `*` is nothing special.
#[must_use]
pub fn decode_initial(initial: &str) -> SaslLine {
    match initial {
        "=" => SaslLine::Answer(Vec::new()),
        "*" => SaslLine::Malformed,
        other => decode_sasl_line(other.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(response: &Response) -> String {
        let mut output = Vec::new();
        response.encode(&mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn responses_look_as_the_rfcs_show_them() {
        assert_eq!(encoded(&Response::ok("")), "+OK\r\n");
        assert_eq!(encoded(&Response::ok("2 320")), "+OK 2 320\r\n");
        assert_eq!(encoded(&Response::refused("no such message")), "-ERR no such message\r\n");
        let busy = Response::refused_with(Code::InUse, "Do you have another POP session running?");
        assert_eq!(encoded(&busy), "-ERR [IN-USE] Do you have another POP session running?\r\n");
    }

    #[test]
    fn text_from_elsewhere_cannot_forge_a_code_or_a_line() {
        assert_eq!(encoded(&Response::refused("[AUTH] ha\r\n+OK")), "-ERR (AUTH] ha  +OK\r\n");
    }

    #[test]
    fn sasl_lines_are_base64_a_star_or_refused() {
        assert_eq!(decode_sasl_line(b"dGVzdA=="), SaslLine::Answer(b"test".to_vec()));
        assert_eq!(decode_sasl_line(b""), SaslLine::Answer(Vec::new()));
        assert_eq!(decode_sasl_line(b"*"), SaslLine::Cancelled);
        assert_eq!(decode_sasl_line(b"=AAA"), SaslLine::Malformed);
        assert_eq!(decode_sasl_line(b"AAA=BBB"), SaslLine::Malformed);
        assert_eq!(decode_sasl_line(b"dGVz dA=="), SaslLine::Malformed);
        assert_eq!(decode_initial("="), SaslLine::Answer(Vec::new()));
        assert_eq!(decode_initial("*"), SaslLine::Malformed);
    }

    proptest! {
        #[test]
        fn a_response_is_one_line_within_its_maximum(text in "\\PC{0,700}|[\\x00-\\x7f]{0,700}") {
            let line = encoded(&Response::refused_with(Code::SysTemp, text));
            prop_assert!(line.len() <= RESPONSE_OCTETS_MAX);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(line.ends_with("\r\n"));
        }
    }
}
