//! What an entry of Active Directory says. Attributes compare without case, and without options: Active Directory
//! answers long ones as `member;range=0-1499`.

/// RFC 5321 §4.5.3.1.1 and §4.5.3.1.2, in octets.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

/// ADS_UF_ACCOUNTDISABLE of `userAccountControl`.
const ACCOUNT_DISABLED: i64 = 0x2;

/// `msExchRecipientTypeDetails`: shared, room and equipment mailbox. Their accounts are disabled, since nobody logs in.
const SHARED_TYPES: [&str; 3] = ["4", "16", "32"];

pub struct Entry {
    pub dn: String,
    pub attrs: Vec<(String, String)>,
}

#[derive(Debug, PartialEq)]
pub enum Class {
    User,
    Group,
    Contact,
    Domain,
    Other,
}

impl Entry {
    /// Computers are users by their classes, too; so the narrower ones go first.
    pub fn class(&self) -> Class {
        let is = |class: &str| self.has("objectClass", class);
        match () {
            () if is("computer") => Class::Other,
            () if is("group") => Class::Group,
            () if is("contact") => Class::Contact,
            () if is("user") || is("inetOrgPerson") => Class::User,
            () if is("domainDNS") => Class::Domain,
            () => Class::Other,
        }
    }

    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let bare = |own: &str| own.split(';').next().is_some_and(|own| own.eq_ignore_ascii_case(name));
        self.attrs.iter().filter(move |(own, _)| bare(own)).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|own| own.eq_ignore_ascii_case(value))
    }

    /// A control that is no number is no evidence of anything: the account counts as enabled.
    pub fn is_disabled(&self) -> bool {
        let control =
            self.values("userAccountControl").next().and_then(|value| value.trim().parse::<i64>().ok());
        control.is_some_and(|control| control & ACCOUNT_DISABLED != 0)
    }

    pub fn is_shared(&self) -> bool {
        self.values("msExchRecipientTypeDetails").any(|kind| SHARED_TYPES.contains(&kind))
    }

    /// Where mail is sent on: `targetAddress`.
    pub fn forward(&self) -> Option<String> {
        self.addresses("targetAddress").into_iter().next()
    }

    /// The addresses of an attribute, with or without `smtp:` before them, each once.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let mut found: Vec<String> = vec![];
        for address in self.values(name).filter_map(|value| parse(without_scheme(value)?)) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found
    }

    /// The entry's addresses with their relation, the primary one first, each once; and how many could not be read.
    /// `SMTP:` marks the primary one; where none is marked, `mail` is it. Addresses of other systems (`X500:`, `sip:`)
    /// are none.
    pub fn own_addresses(&self, principal: &str) -> (Vec<(String, String)>, usize) {
        let proxies: Vec<&str> = self.values("proxyAddresses").filter(|value| is_mail(value)).collect();
        let marked = proxies.iter().copied().filter(|value| value.starts_with("SMTP:"));
        let plain = proxies.iter().copied().filter(|value| !value.starts_with("SMTP:"));
        let principal_name = self.values("userPrincipalName").filter(|_| principal != "ignore");
        let wanted = marked
            .chain(self.values("mail"))
            .map(|value| (value, "primary"))
            .chain(plain.map(|value| (value, "alternate")))
            .chain(principal_name.map(|value| (value, principal)));

        let (mut found, mut unreadable) = (Vec::<(String, String)>::new(), 0);
        for (value, relation) in wanted {
            let Some(address) = without_scheme(value).and_then(parse) else {
                unreadable += 1;
                continue;
            };
            if found.iter().any(|(known, _)| *known == address) {
                continue;
            }
            // One is primary, and there is one: the first that can be read, be it only the name of the account.
            let relation = match relation {
                "primary" if !found.is_empty() => "alternate",
                _ if found.is_empty() => "primary",
                other => other,
            };
            found.push((address, relation.to_owned()));
        }
        (found, unreadable)
    }

    /// `DC=example,DC=org` as `example.org`; none where there is anything else in the name.
    pub fn dn_as_domain(&self) -> Option<String> {
        let label = |part: &str| {
            let (kind, value) = part.split_once('=')?;
            kind.trim().eq_ignore_ascii_case("DC").then(|| value.trim().to_lowercase())
        };
        self.dn.split(',').map(label).collect::<Option<Vec<_>>>().map(|labels| labels.join("."))
    }
}

/// Whether a proxy address is one of mail: `smtp:` in any case, or no scheme at all.
fn is_mail(value: &str) -> bool {
    without_scheme(value).is_some()
}

fn without_scheme(value: &str) -> Option<&str> {
    match value.split_once(':') {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case("smtp") => Some(address),
        Some(_) => None,
        None => Some(value),
    }
}

/// An address in lower case; none where it is none, or would need quotes.
fn parse(text: &str) -> Option<String> {
    let (local, domain) = text.trim().split_once('@')?;
    let in_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let in_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let right = (1..=LOCAL_MAX).contains(&local.len())
        && (1..=DOMAIN_MAX).contains(&domain.len())
        && local.chars().all(in_local)
        && domain.chars().all(in_domain);
    right.then(|| format!("{}@{}", local.to_lowercase(), domain.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attrs: &[(&str, &str)]) -> Entry {
        let attrs = attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Entry { dn: "CN=x,DC=example,DC=org".into(), attrs }
    }

    #[test]
    fn the_first_readable_address_is_primary_and_no_other() {
        let both = [
            ("proxyAddresses", "SMTP:a@x.example"),
            ("proxyAddresses", "SMTP:b@x.example"),
            ("mail", "c@x.example"),
        ];
        let (found, unreadable) = entry(&both).own_addresses("ignore");
        let relations: Vec<&str> = found.iter().map(|(_, relation)| relation.as_str()).collect();
        assert_eq!((relations, unreadable), (vec!["primary", "alternate", "alternate"], 0));
    }

    #[test]
    fn addresses_of_other_systems_are_none_and_wrong_ones_are_counted() {
        let mixed = [
            ("proxyAddresses", "X500:/o=a"),
            ("proxyAddresses", "sip:a@x.example"),
            ("proxyAddresses", "smtp:a b@x.example"),
        ];
        assert_eq!(entry(&mixed).own_addresses("ignore"), (vec![], 1));
    }

    #[test]
    fn names_compare_without_case_and_options() {
        assert_eq!(entry(&[("PROXYADDRESSES;range=0-1", "x")]).values("proxyAddresses").count(), 1);
    }

    #[test]
    fn wrong_addresses_are_none() {
        for wrong in ["", "@", "a@", "@b", "a", "a@b@c", "a b@c", "a\r\n@b", "\"a\"@b", "a@b c", "a@é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse(" Änne@Example.ORG ").as_deref(), Some("änne@example.org"));
        assert_eq!(parse(&format!("{}@b", "a".repeat(LOCAL_MAX + 1))), None);
    }
}
