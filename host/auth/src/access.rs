//! `mailAllowedServiceAccess`: which services are open to an account from where.
//!
//! Rules are separated by `$`. A rule is `+` (allow) or `-` (deny), services, `:`, clients; both are
//! lists with commas, `ALL` or `*` for any, and one `EXCEPT`. Allow rules are looked at first: one
//! that matches grants; then deny rules: one that matches refuses; where none matches, access is
//! granted, except where there are allow rules only. No rules at all: everything is open.
//!
//! Clients are IP addresses, prefixes (`192.0.2.`, `192.0.2.0/24`, `192.0.2.0/255.255.255.0`) and
//! `LOCAL` (loopback). Host names match nothing, because no name is looked up for a client.

use std::net::IpAddr;

/// A service that one may log in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Submission.
    Smtp,
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
}

impl Service {
    /// Its names in rules: those of any connection, and those of an encrypted one besides.
    fn names(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Smtp => (&["smtp", "submit", "submission"], &["smtps", "submissions"]),
            Self::Imap => (&["imap", "imap4"], &["imaps"]),
            Self::Pop3 => (&["pop", "pop3"], &["pops", "pop3s"]),
        }
    }

    /// The word for texts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
        }
    }
}

/// A client as rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) service: Service,
    pub(crate) encrypted: bool,
    pub(crate) peer: IpAddr,
}

/// Whether the rules open the service to the client.
pub(crate) fn is_open(values: &[String], client: Client) -> bool {
    let (mut allows, mut denies, mut denied) = (false, false, false);
    for rule in
        values.iter().flat_map(|value| value.split('$')).map(str::trim).filter(|rule| !rule.is_empty())
    {
        let (is_deny, rest) = match rule.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rule.strip_prefix('+').unwrap_or(rule)),
        };
        let (services, clients) = rest.split_once(':').unwrap_or((rest, "ALL"));
        let matches = list_matches(services, |word| service_matches(word, client))
            && list_matches(clients, |word| client_matches(word, client.peer));
        match (is_deny, matches) {
            (false, true) => return true,
            (false, false) => allows = true,
            (true, matches) => {
                denies = true;
                denied |= matches;
            }
        }
    }
    !denied && (denies || !allows)
}

/// `a, b EXCEPT c, d`.
fn list_matches(list: &str, matches: impl Fn(&str) -> bool) -> bool {
    let words: Vec<&str> = list.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    let except = words.iter().position(|word| word.eq_ignore_ascii_case("except"));
    let (included, excluded) = words.split_at(except.unwrap_or(words.len()));
    included.iter().any(|word| matches(word)) && !excluded.iter().skip(1).any(|word| matches(word))
}

fn is_any(word: &str) -> bool {
    word == "*" || word.eq_ignore_ascii_case("all")
}

fn service_matches(word: &str, client: Client) -> bool {
    let (always, encrypted) = client.service.names();
    let is = |name: &&str| name.eq_ignore_ascii_case(word);
    is_any(word) || always.iter().any(&is) || client.encrypted && encrypted.iter().any(is)
}

fn client_matches(word: &str, peer: IpAddr) -> bool {
    if is_any(word) {
        return true;
    }
    if word.eq_ignore_ascii_case("local") {
        return peer.is_loopback();
    }
    let word = word.trim_start_matches('[').trim_end_matches(']');
    if let Some((network, mask)) = word.split_once('/') {
        return network.parse().is_ok_and(|network| within(peer, network, mask));
    }
    match word.strip_suffix('.') {
        // 192.0.2. stands for all addresses that begin so.
        Some(prefix) => peer.is_ipv4() && format!("{peer}.").starts_with(&format!("{prefix}.")),
        None => word.parse() == Ok(peer),
    }
}

fn within(peer: IpAddr, network: IpAddr, mask: &str) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if peer.is_ipv4() != network.is_ipv4() {
        return false;
    }
    let ((peer, width), (network, _)) = (bits(peer), bits(network));
    let mask = match (mask.parse::<u32>(), mask.parse::<IpAddr>()) {
        (Ok(length), _) if length <= width => u128::MAX.checked_shl(128 - length).unwrap_or(0),
        (_, Ok(mask)) => bits(mask).0,
        _ => return false,
    };
    peer & mask == network & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(rules: &str, service: Service, encrypted: bool, peer: &str) -> bool {
        is_open(&[rules.to_owned()], Client { service, encrypted, peer: peer.parse().unwrap() })
    }

    #[test]
    fn rules_are_read_as_the_product_reads_them() {
        use Service::{Imap, Pop3, Smtp};
        for (rules, service, encrypted, peer, expected) in [
            ("", Imap, false, "192.0.2.1", true),
            ("-imap:ALL$+pop,smtp,http:*", Imap, false, "192.0.2.1", false),
            ("-imap:ALL$+pop,smtp,http:*", Pop3, false, "192.0.2.1", true),
            ("-imap:ALL$+pop,smtp,http:*", Smtp, false, "192.0.2.1", true),
            ("+imap:ALL", Pop3, false, "192.0.2.1", false),
            ("+imap:ALL", Imap, false, "192.0.2.1", true),
            ("-pop:ALL", Imap, false, "192.0.2.1", true),
            // Only under TLS.
            ("+imaps:ALL", Imap, false, "192.0.2.1", false),
            ("+imaps:ALL", Imap, true, "192.0.2.1", true),
            ("-imap:ALL$+imaps:ALL", Imap, true, "192.0.2.1", true),
            ("-imap:ALL$+imaps:ALL", Imap, false, "192.0.2.1", false),
            // Clients.
            ("+ALL:192.0.2.", Smtp, false, "192.0.2.77", true),
            ("+ALL:192.0.2.", Smtp, false, "192.0.20.7", false),
            ("+ALL:192.0.2.0/24", Smtp, false, "192.0.2.77", true),
            ("+ALL:192.0.2.0/255.255.255.0", Smtp, false, "192.0.3.1", false),
            ("+ALL:2001:db8::/32", Smtp, false, "2001:db8::1", true),
            ("+ALL:2001:db8::/32", Smtp, false, "192.0.2.1", false),
            ("+ALL:0.0.0.0/0", Smtp, false, "192.0.2.1", true),
            ("+ALL:LOCAL", Smtp, false, "127.0.0.1", true),
            ("+*:* EXCEPT 192.0.2.1", Smtp, false, "192.0.2.1", false),
            ("+*:* EXCEPT 192.0.2.1", Smtp, false, "192.0.2.2", true),
            ("-ALL EXCEPT smtp:ALL", Smtp, false, "192.0.2.2", true),
            ("-ALL EXCEPT smtp:ALL", Imap, false, "192.0.2.2", false),
            ("+all:host.example.org", Imap, false, "192.0.2.2", false),
        ] {
            assert_eq!(
                open(rules, service, encrypted, peer),
                expected,
                "{rules} {service:?} {encrypted} {peer}"
            );
        }
    }

    #[test]
    fn several_values_are_one_list_of_rules() {
        let values = ["+imap:ALL".to_owned(), "+pop:ALL".to_owned()];
        let peer = "192.0.2.1".parse().unwrap();
        for (service, expected) in [(Service::Imap, true), (Service::Pop3, true), (Service::Smtp, false)] {
            assert_eq!(is_open(&values, Client { service, encrypted: true, peer }), expected);
        }
    }
}
