//! The PROXY protocol's header, versions 1 and 2 (haproxy's `proxy-protocol.txt`).
//!
//! Pure: octets to [`ProxyHeader`]. Whether the peer may speak for others is the server's to decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header of version 1 in octets, CRLF included.
pub const PROXY_V1_MAX: usize = 107;
/// Longest header of version 2 in octets that is read: 16, the longest addresses and 2 KiB of extensions.
pub const PROXY_V2_MAX: usize = 16 + 216 + 2048;

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whom the proxy speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy itself (a health check), or a client whose address it does not tell.
    Local,
    /// A client.
    Proxied {
        /// The client's address.
        source: SocketAddr,
        /// The address to which the client connected.
        destination: SocketAddr,
    },
}

/// What [`parse_proxy_header`] made of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyParsed {
    /// More octets are needed.
    Incomplete,
    /// The header, and the octets that it took.
    Complete(ProxyHeader, usize),
}

/// The octets are no PROXY header: the connection is to be closed, as the specification demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Neither version's beginning.
    #[error("no PROXY header where one must stand")]
    Missing,
    /// The header breaks the specification.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// The header is longer than [`PROXY_V1_MAX`] or [`PROXY_V2_MAX`].
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads the header at the head of a connection.
pub fn parse_proxy_header(input: &[u8]) -> Result<ProxyParsed, ProxyError> {
    let matches = |signature: &[u8]| {
        let common = signature.len().min(input.len());
        input[..common] == signature[..common]
    };
    if matches(V2_SIGNATURE) {
        if input.len() < 16 { Ok(ProxyParsed::Incomplete) } else { version_2(input) }
    } else if matches(b"PROXY ") {
        version_1(input)
    } else {
        Err(ProxyError::Missing)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 25 CRLF`.
fn version_1(input: &[u8]) -> Result<ProxyParsed, ProxyError> {
    let head = &input[..input.len().min(PROXY_V1_MAX)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if head.len() < PROXY_V1_MAX {
            Ok(ProxyParsed::Incomplete)
        } else {
            Err(ProxyError::TooLong)
        };
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| ProxyError::Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    let header = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => ProxyHeader::Local,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let address = |ip: &str, port: &str| -> Option<SocketAddr> {
                let ip: IpAddr = ip.parse().ok()?;
                let plain = port.bytes().all(|b| b.is_ascii_digit());
                (ip.is_ipv6() == (*family == "TCP6") && plain).then_some(())?;
                Some(SocketAddr::new(ip, port.parse().ok()?))
            };
            let source = address(source, source_port).ok_or(ProxyError::Malformed)?;
            let destination = address(destination, destination_port).ok_or(ProxyError::Malformed)?;
            ProxyHeader::Proxied { source, destination }
        }
        _ => return Err(ProxyError::Malformed),
    };
    Ok(ProxyParsed::Complete(header, end + 2))
}

/// 12 octets of signature, version and command, family and protocol, length, addresses, extensions.
fn version_2(input: &[u8]) -> Result<ProxyParsed, ProxyError> {
    let total = 16 + usize::from(u16::from_be_bytes([input[14], input[15]]));
    if total > PROXY_V2_MAX {
        return Err(ProxyError::TooLong);
    }
    let command = match input[12] {
        0x20 | 0x21 => input[12] & 0x0f,
        _ => return Err(ProxyError::Malformed),
    };
    if input.len() < total {
        return Ok(ProxyParsed::Incomplete);
    }
    let addresses = &input[16..total];
    let header = match (command, input[13]) {
        (1, 0x11) => {
            let [a, b, c, d, e, f, g, h, ports @ ..] = addresses else { return Err(ProxyError::Malformed) };
            let ip = |octets: [&u8; 4]| IpAddr::V4(Ipv4Addr::from(octets.map(|octet| *octet)));
            proxied(ip([a, b, c, d]), ip([e, f, g, h]), ports)?
        }
        (1, 0x21) => {
            let (source, rest) = addresses.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            let (destination, ports) = rest.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            let ip = |octets: &[u8; 16]| IpAddr::V6(Ipv6Addr::from(*octets));
            proxied(ip(source), ip(destination), ports)?
        }
        // A LOCAL connection, or a family that has no IP address for us to judge by.
        _ => ProxyHeader::Local,
    };
    Ok(ProxyParsed::Complete(header, total))
}

fn proxied(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let [a, b, c, d, ..] = *ports else { return Err(ProxyError::Malformed) };
    Ok(ProxyHeader::Proxied {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(source: &str, destination: &str, consumed: usize) -> Result<ProxyParsed, ProxyError> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Ok(ProxyParsed::Complete(ProxyHeader::Proxied { source, destination }, consumed))
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[test]
    fn version_1_is_read() {
        let input = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\nEHLO x\r\n";
        assert_eq!(parse_proxy_header(input), complete("192.0.2.1:56324", "198.51.100.2:25", 44));
        let input = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n";
        assert_eq!(parse_proxy_header(input), complete("[2001:db8::1]:1", "[2001:db8::2]:25", input.len()));
        assert_eq!(
            parse_proxy_header(b"PROXY UNKNOWN a b\r\n"),
            Ok(ProxyParsed::Complete(ProxyHeader::Local, 19))
        );
        for end in 0..43 {
            let head = &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n"[..end];
            assert_eq!(parse_proxy_header(head), Ok(ProxyParsed::Incomplete), "{end}");
        }
    }

    #[test]
    fn version_2_is_read() {
        let input = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 25, 3, 0, 1, 9]);
        assert_eq!(parse_proxy_header(&input), complete("192.0.2.1:56324", "198.51.100.2:25", input.len()));
        for end in 0..input.len() {
            assert_eq!(parse_proxy_header(&input[..end]), Ok(ProxyParsed::Incomplete), "{end}");
        }
        let local = v2(0x20, 0, &[]);
        assert_eq!(parse_proxy_header(&local), Ok(ProxyParsed::Complete(ProxyHeader::Local, 16)));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (input, error) in [
            (&b"EHLO x\r\n"[..], ProxyError::Missing),
            (b"PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 70000\r\n", ProxyError::Malformed),
        ] {
            assert_eq!(parse_proxy_header(input), Err(error), "{input:?}");
        }
        assert_eq!(
            parse_proxy_header(&[&b"PROXY TCP4 "[..], &[b'1'; 120]].concat()),
            Err(ProxyError::TooLong)
        );
        assert_eq!(parse_proxy_header(&v2(0x21, 0x11, &[1, 2, 3])), Err(ProxyError::Malformed));
        assert_eq!(parse_proxy_header(&v2(0x31, 0x11, &[0; 12])), Err(ProxyError::Malformed));
        assert_eq!(parse_proxy_header(&v2(0x21, 0x11, &[0; 4000])), Err(ProxyError::TooLong));
    }

    proptest! {
        #[test]
        fn reading_never_panics(tail: Vec<u8>) {
            let _ = parse_proxy_header(&tail);
            let _ = parse_proxy_header(&[&b"PROXY "[..], &tail].concat());
            let _ = parse_proxy_header(&[&V2_SIGNATURE[..], &tail].concat());
        }
    }
}
