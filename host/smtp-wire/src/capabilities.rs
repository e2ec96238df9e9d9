//! What a server offers in its EHLO or LHLO reply (RFC 5321 §4.1.1.1), for the client.

use mail_types::Reply;

/// Most SASL mechanisms remembered of one server.
pub const AUTH_MECHANISMS_MAX: usize = 32;

/// The extensions that a client of ours makes use of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): the server's maximum in octets; `Some(None)` where it names none.
    pub size: Option<Option<u64>>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954): mechanisms in upper case.
    pub auth: Vec<String>,
    /// XCLIENT.
    pub xclient: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
}

impl Capabilities {
    /// Reads the lines after the first, each a keyword with its arguments. A keyword means nothing twice.
    #[must_use]
    pub fn read(reply: &Reply) -> Self {
        let mut read = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Some servers write "AUTH=LOGIN PLAIN", as a draft of RFC 2554 had it.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => read.pipelining = true,
                // Zero means that there is no fixed maximum (RFC 1870 §4).
                "SIZE" => {
                    read.size = Some(words.next().and_then(|w| w.parse().ok()).filter(|size| *size != 0))
                }
                "8BITMIME" => read.eight_bit_mime = true,
                "SMTPUTF8" => read.smtputf8 = true,
                "CHUNKING" => read.chunking = true,
                "BINARYMIME" => read.binary_mime = true,
                "DSN" => read.dsn = true,
                "ENHANCEDSTATUSCODES" => read.enhanced_status_codes = true,
                "STARTTLS" => read.starttls = true,
                "XCLIENT" => read.xclient = true,
                "REQUIRETLS" => read.require_tls = true,
                "AUTH" => {
                    for name in words.map(str::to_ascii_uppercase) {
                        if read.auth.len() < AUTH_MECHANISMS_MAX && !read.auth.contains(&name) {
                            read.auth.push(name);
                        }
                    }
                }
                _ => {}
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        let lines = [
            "mx.example greets you",
            "pipelining",
            "SIZE 1000",
            "8BITMIME",
            "AUTH PLAIN login",
            "AUTH=LOGIN X",
            "STARTTLS",
        ];
        let reply = Reply { code: 250, status: None, lines: lines.map(str::to_owned).to_vec() };
        let read = Capabilities::read(&reply);
        assert_eq!(
            (read.pipelining, read.size, read.eight_bit_mime, read.starttls),
            (true, Some(Some(1000)), true, true)
        );
        assert_eq!(read.auth, ["PLAIN", "LOGIN", "X"]);
        assert!(!read.dsn);
    }

    #[test]
    fn size_zero_or_odd_is_no_maximum() {
        for (line, size) in
            [("SIZE", Some(None)), ("SIZE 0", Some(None)), ("SIZE x", Some(None)), ("DSN", None)]
        {
            let reply = Reply { code: 250, status: None, lines: vec!["mx".into(), line.into()] };
            assert_eq!(Capabilities::read(&reply).size, size, "{line}");
        }
    }
}
