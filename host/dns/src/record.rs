//! Records that we publish for mail domains.

use std::fmt;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, MX, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record as Wire};
use mail_types::Domain;
use serde::{Deserialize, Serialize};

/// Longest piece of a text in a TXT record, in octets (RFC 1035 §3.3.14).
const TEXT_PIECE_MAX: usize = 255;

/// A record: what a name has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The name that has it, without a last dot: `example.org`, `_dmarc.example.org`.
    pub name: String,
    /// What it has.
    pub data: Data,
    /// How long others may remember it, in seconds.
    pub ttl: u32,
}

/// The kinds of records that mail needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Data {
    /// A host that takes the domain's mail (RFC 1035 §3.3.9).
    Mx {
        /// Lower is asked first.
        preference: u16,
        /// Its name.
        host: Domain,
    },
    /// An address of a host.
    Address(IpAddr),
    /// A text (RFC 1035 §3.3.14): SPF, DKIM, DMARC, MTA-STS.
    Text(String),
    /// Where a service is (RFC 6186).
    Service {
        /// The port.
        port: u16,
        /// The host.
        host: Domain,
    },
}

impl Data {
    /// The word of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mx { .. } => "MX",
            Self::Address(IpAddr::V4(_)) => "A",
            Self::Address(IpAddr::V6(_)) => "AAAA",
            Self::Text(_) => "TXT",
            Self::Service { .. } => "SRV",
        }
    }
}

impl fmt::Display for Data {
    /// As in a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx { preference, host } => write!(f, "{preference} {host}."),
            Self::Address(address) => write!(f, "{address}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Service { port, host } => write!(f, "0 1 {port} {host}."),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} {} {}", self.name, self.ttl, self.data.kind(), self.data)
    }
}

/// A complete name.
pub(crate) fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|why| format!("{name:?} is no name of the DNS: {why}"))?;
    name.set_fqdn(true);
    Ok(name)
}

impl Record {
    /// As hickory has it.
    pub(crate) fn to_wire(&self) -> Result<Wire, String> {
        let data = match &self.data {
            Data::Mx { preference, host } => RData::MX(MX::new(*preference, absolute(host.as_str())?)),
            Data::Address(IpAddr::V4(address)) => RData::A(A(*address)),
            Data::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
            Data::Text(text) => RData::TXT(TXT::new(pieces(text))),
            Data::Service { port, host } => RData::SRV(SRV::new(0, 1, *port, absolute(host.as_str())?)),
        };
        Ok(Wire::from_rdata(absolute(&self.name)?, self.ttl, data))
    }
}

/// A text in pieces that a record holds. Only ASCII is published, so that every octet is a boundary.
fn pieces(text: &str) -> Vec<String> {
    let octets = text.as_bytes();
    octets.chunks(TEXT_PIECE_MAX).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_as_in_a_zone_file() {
        let mx = Data::Mx { preference: 10, host: Domain::parse("mx.example.org").unwrap() };
        let record = Record { name: "example.org".into(), data: mx, ttl: 300 };
        assert_eq!(record.to_string(), "example.org. 300 MX 10 mx.example.org.");
        assert_eq!(record.to_wire().unwrap().name.to_ascii(), "example.org.");
    }

    #[test]
    fn a_long_text_is_cut_into_pieces() {
        let record = Record { name: "a.b".into(), data: Data::Text("x".repeat(600)), ttl: 1 };
        let RData::TXT(text) = record.to_wire().unwrap().data else { panic!("no text") };
        let lengths: Vec<usize> = text.txt_data.iter().map(|piece| piece.len()).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }
}
