//! Where an answer is continued: the LDAP URLs of referrals and search continuations (RFC 4511 §4.1.10, §4.5.3; RFC 4516).

use super::connection::{Depth, Search};
use super::filter::Filter;
use super::settings::{LdapOptions, ServerUrl};
use crate::dn::Dn;
use crate::search::decoded;

/// Longest URL that is read, in octets.
const URL_OCTETS_MAX: usize = 4096;

/// One URL of a reference, as far as it can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) server: ServerUrl,
    /// The name to ask for; without it, the one that was asked for (RFC 4511 §4.1.10).
    pub(crate) base: Option<Dn>,
    depth: Option<Depth>,
    filter: Option<Filter>,
}

impl Reference {
    /// Reads `ldap://host:port/dn?attributes?scope?filter?extensions` (RFC 4516 §2).
    ///
    /// # Errors
    /// Why it cannot be followed: another scheme, no host, a critical extension (§2: there are none that we know).
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if url.len() > URL_OCTETS_MAX {
            return Err(format!("it is longer than {URL_OCTETS_MAX} octets"));
        }
        let (scheme, rest) = url.split_once("://").ok_or("it is no URL")?;
        let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let server: ServerUrl = format!("{scheme}://{host}").parse()?;
        let mut parts = rest.splitn(5, '?');
        let mut part = |what: &str| match parts.next().filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => decoded(text).map(Some).ok_or_else(|| format!("its {what} is no text")),
        };
        let base = part("name")?.map(|text| Dn::parse(&text)).transpose().map_err(|why| why.to_string())?;
        let _attributes = part("attributes")?;
        let depth = match part("scope")?.map(|scope| scope.to_ascii_lowercase()).as_deref() {
            None => None,
            Some("base") => Some(Depth::Base),
            Some("one") => Some(Depth::One),
            Some("sub") => Some(Depth::Subtree),
            Some(other) => return Err(format!("its scope {other:?} is none of base, one, sub")),
        };
        let filter = part("filter")?.map(|text| Filter::parsed(&text).ok_or("its filter cannot be read"));
        let filter = filter.transpose()?;
        let extensions = part("extensions")?.unwrap_or_default();
        if let Some(critical) = extensions.split(',').find(|one| one.starts_with('!')) {
            return Err(format!("its extension {critical:?} is critical, and not known here"));
        }
        Ok(Self { server, base, depth, filter })
    }

    /// The search that goes on there: what the URL does not say is as it was.
    pub(crate) fn search(&self, asked: &Search) -> Search {
        Search {
            base: self.base.clone().unwrap_or_else(|| asked.base.clone()),
            depth: self.depth.unwrap_or(asked.depth),
            filter: self.filter.clone().unwrap_or_else(|| asked.filter.clone()),
            ..asked.clone()
        }
    }
}

/// Those of a reference's URLs that may be followed: of servers that the operator named. Any of them will do
/// (RFC 4511 §4.1.10).
///
/// # Errors
/// Why there is none: our name and password go to nobody else.
pub(crate) fn allowed(urls: &[String], options: &LdapOptions) -> Result<Vec<Reference>, String> {
    let named = |server: &ServerUrl| {
        options.referral_servers.iter().chain(&options.servers).any(|known| known.is_same(server))
    };
    let (mut why, mut fault) = (None, None);
    let mut found = Vec::new();
    for url in urls {
        match Reference::parse(url) {
            Ok(reference) if named(&reference.server) => found.push(reference),
            Ok(reference) => {
                let server = &reference.server;
                why = Some(format!(
                    "and {server} stands neither in referral-servers nor in servers: name it there if it may see the name \
                     and password that we bind with"
                ));
            }
            Err(told) => fault = Some(format!("which cannot be followed: {told}")),
        }
    }
    let why = why.or(fault).unwrap_or_else(|| "which names no server".to_owned());
    if found.is_empty() { Err(why) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::ldap::connection::ALL_ATTRIBUTES;
    use crate::ldap::settings::Referrals;

    fn asked() -> Search {
        let base = Dn::parse("o=isp").unwrap();
        let filter = Filter::everything();
        Search { base, depth: Depth::Subtree, filter, attributes: &ALL_ATTRIBUTES, most: 0 }
    }

    fn options(servers: &[&str], further: &[&str]) -> LdapOptions {
        let read = |urls: &[&str]| urls.iter().map(|url| url.parse().unwrap()).collect();
        LdapOptions {
            servers: read(servers),
            referral_servers: read(further),
            start_tls: false,
            authorities: None,
            bind_dn: None,
            password_file: None,
            connect_timeout: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(1),
            connections_max: 1,
            page_size: 1,
            referrals: Referrals::Follow,
        }
    }

    #[test]
    fn what_a_url_leaves_out_is_as_it_was() {
        let url = "ldap://hostb/OU=People,DC=Example,DC=NET??sub";
        let next = Reference::parse(url).unwrap().search(&asked());
        assert_eq!(next.base, Dn::parse("ou=people,dc=example,dc=net").unwrap());
        assert_eq!((next.depth, next.filter), (Depth::Subtree, Filter::everything()));
        let bare = Reference::parse("ldap://hostb:1389").unwrap();
        assert_eq!((bare.server.port, bare.search(&asked()).base), (1389, asked().base));
        let full = "ldap://h/ou=a%5c%2c%20b,o=isp?cn?one?(uid=a%3fb)?x-other";
        let full = Reference::parse(full).unwrap().search(&asked());
        assert_eq!(full.base, Dn::parse(r"ou=a\, b,o=isp").unwrap());
        assert_eq!((full.depth, full.filter.as_str()), (Depth::One, "(uid=a?b)"));
    }

    #[test]
    fn what_cannot_be_followed_is_told() {
        for (url, why) in [
            ("http://h/o=isp", "ldap://"),
            ("o=isp", "no URL"),
            ("ldap:///o=isp", "no host"),
            ("ldap://h/nonsense", "nonsense"),
            ("ldap://h/o=isp??all", "none of base"),
            ("ldap://h/o=isp??sub?(uid=", "filter"),
            ("ldap://h/o=isp????!bindname=cn=x", "critical"),
            ("ldap://h/o=%ff", "no text"),
        ] {
            let told = Reference::parse(url).unwrap_err();
            assert!(told.contains(why), "{url}: {told}");
        }
    }

    #[test]
    fn only_named_servers_are_followed() {
        let options = options(&["ldap://one.test"], &["ldaps://two.test", "ldap://127.0.0.1:1389"]);
        let url = |text: &str| text.to_owned();
        for (text, may) in [
            ("ldap://ONE.test/o=isp", true),
            ("ldap://127.0.0.1:1389/o=isp", true),
            ("ldaps://two.test/o=isp", true),
            // Not the port, nor the protection, that was named.
            ("ldap://two.test/o=isp", false),
            ("ldap://one.test:390/o=isp", false),
            ("ldap://one.test.evil.test/o=isp", false),
        ] {
            assert_eq!(allowed(&[url(text)], &options).is_ok(), may, "{text}");
        }
        let several = [url("ldap://evil.test/o=isp"), url("http://one.test/"), url("ldap://one.test/o=isp")];
        assert_eq!(allowed(&several, &options).unwrap().len(), 1);
        assert!(allowed(&several[..1], &options).unwrap_err().contains("referral-servers"));
        assert!(allowed(&[], &options).is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(url in "(ldap://)?.{0,40}") {
            let _ = Reference::parse(&url);
        }
    }
}
