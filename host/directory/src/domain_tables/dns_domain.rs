//! A domain that the DNS leads here, without an entry of its own.

use std::ops::ControlFlow;

use mail_types::{Domain, Lookup};

use super::records::{DNS_DOMAINS, StoredDomain, is_reserved, top};
use crate::directory::Directory;
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::kind::Typed;

/// A domain that the DNS leads here. Where the directory has an entry of the domain, too, the entry decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsDomain {
    /// Its name below the reserved top.
    pub dn: Dn,
    /// The domain.
    pub domain: Domain,
    /// Whether others are better hosts of it: its mail is handed on to them.
    pub relay: bool,
    /// Whether an address of it that the directory does not know is refused for good, not for now.
    pub refuse_unknown: bool,
    /// The records, and where and when they were found, in words.
    pub origin: String,
}

impl DnsDomain {
    fn read(dn: Dn, domain: Domain, octets: &[u8]) -> Result<Self, DirectoryError> {
        let stored: StoredDomain = postcard::from_bytes(octets).map_err(|why| {
            DirectoryError::Damaged(format!("the records of {domain} cannot be read: {why}"))
        })?;
        let StoredDomain { relay, refuse_unknown, origin } = stored;
        Ok(Self { dn, domain, relay, refuse_unknown, origin })
    }
}

/// The name of a domain below the reserved top; `None` where it is too long for the store.
pub(super) fn name_of(domain: &Domain) -> Option<Dn> {
    let dn = Dn::from_domain(domain, &top().ok()?).ok()?;
    (dn.key().len() <= crate::layout::NAME_KEY_MAX).then_some(dn)
}

impl Directory {
    /// A domain that the DNS leads here.
    pub fn dns_domain(&self, domain: &Domain) -> Lookup<DnsDomain> {
        match self.find_dns_domain(domain) {
            Ok(found) => found.into(),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }

    fn find_dns_domain(&self, domain: &Domain) -> Result<Option<DnsDomain>, DirectoryError> {
        let Some(dn) = name_of(domain) else { return Ok(None) };
        let view = self.raw_view()?;
        let found = view.snapshot.get(DNS_DOMAINS, domain.as_str().as_bytes())?;
        found.map(|octets| DnsDomain::read(dn, domain.clone(), &octets)).transpose()
    }

    /// The same, by its name below the reserved top; `None` where the name is none of those.
    pub(crate) fn typed_of_dns(&self, dn: &Dn) -> Option<Lookup<Typed>> {
        is_reserved(dn).then(|| match dn.to_domain() {
            Some(domain) => self.dns_domain(&domain).map(|found| Typed::FromDns(Box::new(found))),
            None => Lookup::NotFound,
        })
    }

    /// Visits every domain that the DNS leads here, by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn scan_dns_domains(
        &self,
        visit: &mut dyn FnMut(DnsDomain) -> ControlFlow<()>,
    ) -> Result<(), DirectoryError> {
        let view = self.raw_view()?;
        let mut failure = None;
        view.snapshot.scan(DNS_DOMAINS, &[], &[0xff; 2], &mut |name, octets| {
            let domain = std::str::from_utf8(name).ok().and_then(|name| Domain::parse(name).ok());
            let named = domain.and_then(|domain| Some((name_of(&domain)?, domain)));
            match named.map(|(dn, domain)| DnsDomain::read(dn, domain, octets)) {
                None => ControlFlow::Continue(()),
                Some(Ok(found)) => visit(found),
                Some(Err(error)) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }
}
