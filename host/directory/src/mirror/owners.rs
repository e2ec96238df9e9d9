//! Whose what is, where several sources make one tree: each has subtrees of its own, and domains of its own (R4, R94).
//!
//! An entry that names what is another's is refused like any that breaks a rule: alone, and its last good version stays.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use mail_types::Domain;

use super::found::{Broken, Found};
use super::source::MirrorOptions;
use crate::dn::Dn;
use crate::domain_entry::DomainNode;
use crate::entry::Entry;
use crate::layout::address_keys;
use crate::schema::{Field, Schema};
use crate::search::Search;

/// Most domains and `.domain`s that are given to one source.
pub const OWN_DOMAINS_MAX: usize = 10_000;

/// A domain, or all below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnDomain {
    /// The domain.
    pub domain: Domain,
    /// Whether it stands for all below it, and not for itself: `.example.org`.
    pub below: bool,
}

impl FromStr for OwnDomain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, below) = text.strip_prefix('.').map_or((text, false), |below| (below, true));
        let domain = Domain::parse(text).map_err(|why| why.to_string())?;
        Ok(Self { domain, below })
    }
}

impl fmt::Display for OwnDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "." } else { "" }, self.domain)
    }
}

/// Whose domains are, by what names them most closely: itself, then the nearest `.domain` above it.
#[derive(Default)]
pub(crate) struct DomainMap {
    exact: HashMap<Domain, usize>,
    below: HashMap<Domain, usize>,
}

impl DomainMap {
    pub(crate) fn of<'d>(all: impl Iterator<Item = (usize, &'d [OwnDomain])>) -> Self {
        let mut map = Self::default();
        for (at, own) in all.flat_map(|(at, domains)| domains.iter().map(move |own| (at, own))) {
            let place = if own.below { &mut map.below } else { &mut map.exact };
            place.insert(own.domain.clone(), at);
        }
        map
    }

    pub(crate) fn get(&self, domain: &Domain) -> Option<usize> {
        if let Some(at) = self.exact.get(domain) {
            return Some(*at);
        }
        let mut rest = domain.as_str();
        while let Some((_, above)) = rest.split_once('.') {
            let known = Domain::parse(above).ok().and_then(|above| self.below.get(&above));
            if let Some(at) = known {
                return Some(*at);
            }
            rest = above;
        }
        None
    }
}

fn is_below(domain: &Domain, above: &Domain) -> bool {
    domain.as_str().strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// A source, as far as others have to know it.
struct Owner {
    name: String,
    bases: Vec<Dn>,
    domains: Vec<OwnDomain>,
}

/// All sources.
pub(crate) struct Owners {
    all: Vec<Owner>,
    domains: DomainMap,
    /// The one that has what no other is given.
    general: Option<usize>,
}

impl Owners {
    pub(crate) fn of(sources: &[MirrorOptions]) -> Self {
        let owner = |source: &MirrorOptions| Owner {
            name: source.name.clone(),
            bases: source.bases.clone(),
            domains: source.domains.clone(),
        };
        Self::new(sources.iter().map(owner).collect())
    }

    fn new(all: Vec<Owner>) -> Self {
        let domains = DomainMap::of(all.iter().enumerate().map(|(at, owner)| (at, owner.domains.as_slice())));
        let general = all.iter().position(|owner| owner.domains.is_empty());
        Self { all, domains, general }
    }

    /// Whether there is no other source.
    pub(crate) fn is_sole(&self) -> bool {
        self.all.len() == 1
    }

    /// The source that a domain belongs to: the one that names it most closely, else the one that names none.
    pub(crate) fn of_domain(&self, domain: &Domain) -> Option<usize> {
        self.domains.get(domain).or(self.general)
    }

    /// The source whose subtrees have a name.
    pub(crate) fn of_name(&self, dn: &Dn) -> Option<usize> {
        self.all.iter().position(|owner| owner.has(dn))
    }

    /// Takes what a source shows, if it is its own to say.
    pub(crate) fn admit(&self, at: usize, found: Found, schema: &Schema) -> Result<Found, Broken> {
        match self.fault(at, &found.entry, schema) {
            None => Ok(found),
            Some((attribute, why)) => {
                Err(Broken { name: found.dn().to_string(), attribute: attribute.into(), why })
            }
        }
    }

    /// What an entry says that is not its source's to say: attribute and reason.
    pub(crate) fn fault(&self, at: usize, entry: &Entry, schema: &Schema) -> Option<(&'static str, String)> {
        let owner = &self.all[at];
        let outside = |attribute, dn: &Dn| {
            let what = || format!("{dn} lies outside of the bases of {}", owner.name);
            (!owner.has(dn)).then(|| (attribute, what()))
        };
        if let Some(fault) = outside("dn", &entry.dn) {
            return Some(fault);
        }
        if self.is_sole() && owner.domains.is_empty() {
            return None;
        }
        let names = match DomainNode::of(entry, schema) {
            None => Vec::new(),
            Some(DomainNode::Domain(names)) => names,
            Some(DomainNode::Alias { domain, target }) => {
                if let Some(fault) = outside("aliasedObjectName", &target) {
                    return Some(fault);
                }
                vec![domain]
            }
        };
        let mut bases = schema.texts(entry, Field::InetDomainBaseDn).filter_map(|text| Dn::parse(text).ok());
        if let Some(fault) = bases.find_map(|dn| outside("inetDomainBaseDN", &dn)) {
            return Some(fault);
        }
        // A dynamic group reaches whom it finds: those of its own source alone.
        let searched = [("memberURL", Field::MemberUrl), ("mgrpDeliverTo", Field::MgrpDeliverTo)]
            .into_iter()
            .flat_map(|(name, field)| schema.texts(entry, field).map(move |url| (name, url)))
            .filter_map(|(name, url)| Some((name, Search::parse(url).ok()?.base)))
            .find_map(|(name, base)| outside(name, &base));
        if searched.is_some() {
            return searched;
        }
        let canonical = schema.texts(entry, Field::InetCanonicalDomainName);
        let canonical = canonical.filter_map(|text| Domain::parse(text).ok());
        let named = names.iter().cloned().map(|name| (named_by(entry, &name, schema), name));
        let addresses = address_keys(entry, schema).into_iter().filter_map(|(key, _)| {
            let domain = key.rsplit_once('@').and_then(|(_, domain)| Domain::parse(domain).ok())?;
            Some(("mail", domain))
        });
        let mut all = named.chain(canonical.map(|name| ("inetCanonicalDomainName", name))).chain(addresses);
        let foreign = all.find(|(_, name)| self.of_domain(name) != Some(at));
        if let Some((attribute, name)) = foreign {
            return Some((attribute, self.whose(&name)));
        }
        self.captured(at, entry, &names, schema)
    }

    /// A domain that takes its subdomains in (`mailDomainUplevel`) must not take in another's.
    fn captured(
        &self,
        at: usize,
        entry: &Entry,
        names: &[Domain],
        schema: &Schema,
    ) -> Option<(&'static str, String)> {
        let uplevel =
            schema.text(entry, Field::MailDomainUplevel).and_then(|text| text.trim().parse::<u32>().ok());
        if uplevel.unwrap_or(0) & 1 == 0 {
            return None;
        }
        let others = self.all.iter().enumerate().filter(|(other, _)| *other != at);
        let mut domains = others.flat_map(|(_, owner)| &owner.domains);
        let taken = domains.find(|own| {
            names.iter().any(|name| is_below(&own.domain, name) || own.below && own.domain == *name)
        })?;
        Some(("mailDomainUplevel", self.whose(&taken.domain)))
    }

    fn whose(&self, domain: &Domain) -> String {
        match self.of_domain(domain) {
            Some(at) => format!("{domain} is a domain of the source {}", self.all[at].name),
            None => format!("{domain} is a domain of no source: name it in one's domains"),
        }
    }
}

impl Owner {
    fn has(&self, dn: &Dn) -> bool {
        self.bases.iter().any(|base| dn.is_within(base))
    }
}

/// Which attribute of an entry names a domain.
fn named_by(entry: &Entry, name: &Domain, schema: &Schema) -> &'static str {
    let has =
        |field| schema.texts(entry, field).any(|text| Domain::parse(text).is_ok_and(|one| one == *name));
    match (has(Field::SunPreferredDomain), has(Field::AssociatedDomain)) {
        (true, _) => "sunPreferredDomain",
        (_, true) => "associatedDomain",
        _ => "dn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;

    fn dn(text: &str) -> Dn {
        Dn::parse(text).unwrap()
    }

    fn owners() -> Owners {
        let owner = |name: &str, base: &str, domains: &[&str]| Owner {
            name: name.to_owned(),
            bases: vec![dn(base)],
            domains: domains.iter().map(|text| text.parse().unwrap()).collect(),
        };
        Owners::new(vec![
            owner("ldap", "o=isp", &[]),
            owner("acme", "o=acme", &["acme.test", ".acme.test"]),
            owner("beta", "o=beta", &["beta.test", "lab.acme.test", ".x.test"]),
        ])
    }

    #[test]
    fn the_closest_name_says_whose_a_domain_is() {
        let owners = owners();
        for (domain, at) in [
            ("acme.test", 1),
            ("a.b.acme.test", 1),
            ("lab.acme.test", 2),
            ("a.lab.acme.test", 1),
            ("a.x.test", 2),
            ("x.test", 0),
            ("notacme.test", 0),
        ] {
            assert_eq!(owners.of_domain(&Domain::parse(domain).unwrap()), Some(at), "{domain}");
        }
        assert_eq!(owners.of_name(&dn("uid=a,o=acme")), Some(1));
        assert_eq!(owners.of_name(&dn("o=elsewhere")), None);
    }

    #[test]
    fn nobody_names_what_is_anothers() {
        let owners = owners();
        let domain = |name: &str| {
            Entry::new(dn("o=d,o=acme")).with("objectClass", "mailDomain").with("sunPreferredDomain", name)
        };
        let user = |mail: &str| {
            Entry::new(dn("uid=a,o=acme")).with("objectClass", "inetMailUser").with("mail", mail)
        };
        let node = |name: &str| Entry::new(dn(name)).with("objectClass", "inetDomain");
        let group = |attribute: &str, url: &str| {
            Entry::new(dn("cn=g,o=acme"))
                .with("objectClass", "inetMailGroup")
                .with("mail", "g@acme.test")
                .with("memberURL", "ldap:///o=acme??sub?(uid=a)")
                .with(attribute, url)
        };
        for (entry, fault) in [
            (domain("sub.acme.test"), None),
            (domain("beta.test"), Some("sunPreferredDomain")),
            (domain("acme.test").with("associatedDomain", "other.test"), Some("associatedDomain")),
            (domain("acme.test").with("inetDomainBaseDN", "o=beta"), Some("inetDomainBaseDN")),
            (
                domain("acme.test").with("inetCanonicalDomainName", "beta.test"),
                Some("inetCanonicalDomainName"),
            ),
            (domain("acme.test").with("mailDomainUplevel", "1"), Some("mailDomainUplevel")),
            (domain("a.acme.test").with("mailDomainUplevel", "1"), None),
            (node("dc=beta,dc=test,o=acme"), Some("dn")),
            (node("dc=acme,dc=test,o=acme").with("inetDomainBaseDN", "ou=x,o=acme"), None),
            (
                node("dc=acme,dc=test,o=acme")
                    .with("objectClass", "alias")
                    .with("aliasedObjectName", "o=isp"),
                Some("aliasedObjectName"),
            ),
            (user("a@acme.test"), None),
            (user("a@acme.test").with("mailForwardingAddress", "b@beta.test"), None),
            (user("a@acme.test").with("mailAlternateAddress", "a@beta.test"), Some("mail")),
            (user("a@acme.test").with("mailAlternateAddress", "@LAB.acme.test"), Some("mail")),
            (user("a@anything.test"), Some("mail")),
            (Entry::new(dn("uid=a,o=beta")).with("mail", "a@acme.test"), Some("dn")),
            (group("memberURL", "ldap:///ou=x,o=acme??sub?(uid=a)"), None),
            (group("memberURL", "ldap:///o=beta??sub?(mail=*)"), Some("memberURL")),
            (group("mgrpDeliverTo", "ldap:///o=acme??one?(uid=a)"), None),
            (group("mgrpDeliverTo", "ldap:///uid=b,o=beta"), Some("mgrpDeliverTo")),
            // The root of the tree lies above everybody's.
            (group("memberURL", "ldap:///??sub?(mail=*)"), Some("memberURL")),
        ] {
            let told = owners.fault(1, &entry, &Schema::product());
            assert_eq!(told.as_ref().map(|(attribute, _)| *attribute), fault, "{entry:?}: {told:?}");
        }
        let general = Entry::new(dn("uid=a,o=isp")).with("mail", "a@anything.test");
        assert_eq!(owners.fault(0, &general, &Schema::product()), None);
        assert!(owners.fault(0, &general.with("mail", "a@beta.test"), &Schema::product()).is_some());
    }
}
