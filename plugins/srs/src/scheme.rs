//! Addresses of the sender rewriting scheme.
//!
//! SRS0=HHHH=TT=domain=local        a sender, by the first forwarder
//! SRS1=HHHH=host==HHHH=TT=…        the same by any later forwarder: `host` is the first one, and what follows is its
//!                                  own local part after `SRS0`, which only it can verify

use std::hint::black_box;

/// What a forwarder must know to find back.
#[derive(Debug, PartialEq)]
pub enum Parts<'a> {
    /// SRS0: the sender itself.
    Sender { day: String, domain: &'a str, local: &'a str },
    /// SRS1: the first forwarder, and its local part from the separator on.
    Forwarder { host: &'a str, rest: &'a str },
}

/// What a local part turned out to be.
#[derive(Debug, PartialEq)]
pub enum Found<'a> {
    /// No address of the scheme.
    None,
    /// One of the scheme that lacks parts.
    Malformed,
    /// Its parts and its hash, unverified.
    Parts(Parts<'a>, &'a str),
}

impl<'a> Parts<'a> {
    /// The parts for a sender as it comes to us, rewritten by nobody, by one forwarder or by many.
    pub fn for_sender(local: &'a str, domain: &'a str, day: &str) -> Self {
        if let Some(rest) = after_tag(local, "SRS0") {
            return Self::Forwarder { host: domain, rest };
        }
        // Already under a later forwarder: its own name drops out, so that addresses do not grow with each hop.
        if let Some(rest) = after_tag(local, "SRS1")
            && let Some((_, host, rest)) = host_and_rest(&rest[1..])
        {
            return Self::Forwarder { host, rest };
        }
        Self::Sender { day: day.to_owned(), domain, local }
    }

    /// Reads an address that we may have written: the separator after the tag is `=`.
    pub fn read(local: &'a str) -> Found<'a> {
        if let Some(rest) = after_tag(local, "SRS0=") {
            let mut fields = rest.splitn(4, '=');
            return match (fields.next(), fields.next(), fields.next(), fields.next()) {
                (Some(hash), Some(day), Some(domain), Some(local))
                    if !hash.is_empty() && is_domain(domain) && !local.is_empty() =>
                {
                    Found::Parts(Self::Sender { day: day.to_owned(), domain, local }, hash)
                }
                _ => Found::Malformed,
            };
        }
        let Some(rest) = after_tag(local, "SRS1=") else { return Found::None };
        match host_and_rest(rest) {
            Some((hash, host, rest)) if !hash.is_empty() => {
                Found::Parts(Self::Forwarder { host, rest }, hash)
            }
            _ => Found::Malformed,
        }
    }

    /// The local part under our domain.
    pub fn signed(&self, hash: &str) -> String {
        match self {
            Self::Sender { day, domain, local } => format!("SRS0={hash}={day}={domain}={local}"),
            Self::Forwarder { host, rest } => format!("SRS1={hash}={host}={rest}"),
        }
    }

    /// What the hash covers: every part, told apart, and in lower case, for hosts on the way may change it.
    pub fn signing_text(&self) -> String {
        match self {
            Self::Sender { day, domain, local } => format!("srs0\0{day}\0{domain}\0{local}"),
            Self::Forwarder { host, rest } => format!("srs1\0{host}\0{rest}"),
        }
        .to_lowercase()
    }

    /// Where mail to the address goes: the sender, or the first forwarder. Local part and domain.
    pub fn origin(&self) -> (String, String) {
        match self {
            Self::Sender { domain, local, .. } => ((*local).to_owned(), domain.to_ascii_lowercase()),
            Self::Forwarder { host, rest } => (format!("SRS0{rest}"), host.to_ascii_lowercase()),
        }
    }
}

/// Whether two hashes are the same, letters without case, in a time that does not tell where they differ.
pub fn same(ours: &str, theirs: &str) -> bool {
    let difference = |(a, b): (u8, u8)| a.to_ascii_lowercase() ^ b.to_ascii_lowercase();
    let all = ours.bytes().zip(theirs.bytes()).map(difference).fold(0, |all, one| black_box(all | one));
    ours.len() == theirs.len() && all == 0
}

/// What follows a tag; the tag counts without case. For a bare `SRS0` it begins with the separator, `=`, `+` or `-`.
fn after_tag<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(tag.len())?;
    let separated = tag.ends_with('=') || rest.starts_with(['=', '+', '-']);
    (head.eq_ignore_ascii_case(tag) && separated).then_some(rest)
}

/// `HASH=host=rest`, where `rest` begins with the separator of the first forwarder.
fn host_and_rest(text: &str) -> Option<(&str, &str, &str)> {
    let (hash, text) = text.split_once('=')?;
    let (host, rest) = text.split_once('=')?;
    (is_domain(host) && rest.starts_with(['=', '+', '-'])).then_some((hash, host, rest))
}

/// Roughly what may be a domain; the host looks closer at what comes of it.
fn is_domain(text: &str) -> bool {
    let sign = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    !text.is_empty() && text.bytes().all(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_written_and_read_back() {
        let parts = Parts::for_sender("anna=x=y", "remote.example", "AB");
        let local = parts.signed("HASH");
        assert_eq!(local, "SRS0=HASH=AB=remote.example=anna=x=y");
        assert_eq!(Parts::read(&local), Found::Parts(parts, "HASH"));
    }

    #[test]
    fn a_second_and_a_third_forwarder_keep_the_first() {
        let second = Parts::for_sender("SRS0=H1=AB=remote.example=anna", "first.example", "CD");
        let local = second.signed("H2");
        assert_eq!(local, "SRS1=H2=first.example==H1=AB=remote.example=anna");
        let third = Parts::for_sender(&local, "second.example", "CD");
        assert_eq!(third.signed("H3"), "SRS1=H3=first.example==H1=AB=remote.example=anna");
        assert_eq!(third.origin(), ("SRS0=H1=AB=remote.example=anna".into(), "first.example".into()));
    }

    #[test]
    fn another_separator_of_the_first_forwarder_stays() {
        let parts = Parts::for_sender("srs0+H1=AB=remote.example=anna", "first.example", "CD");
        assert_eq!(parts.signed("H2"), "SRS1=H2=first.example=+H1=AB=remote.example=anna");
    }

    #[test]
    fn parts_do_not_run_together_in_what_is_signed() {
        let one = Parts::Sender { day: "AB".into(), domain: "a.example", local: "b" };
        let other = Parts::Sender { day: "AB".into(), domain: "a.exampleb", local: "" };
        assert_ne!(one.signing_text(), other.signing_text());
    }

    #[test]
    fn hashes_compare_without_case_and_whole() {
        assert!(same("ABCD", "abcd"));
        assert!(!same("ABCD", "ABC") && !same("ABCD", "ABCDE") && !same("ABCD", "ABCE") && !same("ABCD", ""));
    }

    #[test]
    fn what_is_not_of_the_scheme_is_none_and_what_lacks_parts_is_malformed() {
        for none in ["", "srs", "SRS0", "srs0x=", "anna", "é=é", "SRS2=a=b=c=d", "SRS0+a=b=c=d"] {
            assert_eq!(Parts::read(none), Found::None, "{none}");
        }
        for wrong in [
            "SRS0=",
            "SRS0=h=AB=domain",
            "SRS0==AB=d=l",
            "SRS0=h=AB=d=",
            "SRS0=h=AB=a b=l",
            "SRS1=h=host",
            "SRS1=h=host=x",
        ] {
            assert_eq!(Parts::read(wrong), Found::Malformed, "{wrong}");
        }
    }
}
