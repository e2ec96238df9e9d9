//! What is published for every mail domain.

use std::net::IpAddr;

use mail_types::Domain;

/// A text that domains have, besides their MX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraText {
    /// Where, below the domain: `_dmarc`; empty: at the domain itself, as SPF is (RFC 7208 §3).
    pub label: String,
    /// The text; `$D` is the domain.
    pub text: String,
}

/// What is published for every mail domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationOptions {
    /// The hosts that take its mail, best first; the first has preference 10.
    pub mail_hosts: Vec<Domain>,
    /// Their addresses, for those hosts whose own domain is one of ours.
    pub addresses: Vec<IpAddr>,
    /// Further texts.
    pub texts: Vec<ExtraText>,
    /// Services that clients look for (RFC 6186), with their ports: `_imaps._tcp`, `_submissions._tcp`.
    pub services: Vec<(String, u16)>,
    /// How long others may remember it, in seconds.
    pub ttl: u32,
}
