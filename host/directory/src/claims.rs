//! Who takes which addresses and domains in a batch that is being composed.

use std::collections::{HashMap, HashSet};

use mail_types::Domain;

use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::entry::Entry;
use crate::error::EditError;
use crate::kind::Kind;
use crate::layout::{ADDRESSES, DOMAINS, Role, address_keys, domain_keys};
use crate::view::View;

/// The addresses and domains that entries of one batch take, beside those in the snapshot.
#[derive(Default, Clone)]
pub(crate) struct Claims {
    addresses: HashMap<String, (u64, Dn)>,
    domains: HashMap<Domain, (u64, DomainEntry)>,
    /// Entries whose index rows in the snapshot no longer count.
    released: HashSet<u64>,
}

/// What an entry had claimed before it was released.
pub(crate) struct Released {
    addresses: Vec<(String, (u64, Dn))>,
    domains: Vec<(Domain, (u64, DomainEntry))>,
    was_released: bool,
}

impl Claims {
    /// Sets room aside for so many entries.
    pub(crate) fn reserve(&mut self, entries: usize) {
        self.addresses.reserve(entries);
    }

    /// What an entry has counts no more.
    pub(crate) fn release(&mut self, id: u64) -> Released {
        Released {
            addresses: self.addresses.extract_if(|_, (by, _)| *by == id).collect(),
            domains: self.domains.extract_if(|_, (by, _)| *by == id).collect(),
            was_released: !self.released.insert(id),
        }
    }

    /// Takes a release back.
    pub(crate) fn restore(&mut self, id: u64, released: Released) {
        self.addresses.extend(released.addresses);
        self.domains.extend(released.domains);
        if !released.was_released {
            self.released.remove(&id);
        }
    }

    /// Takes the addresses and domain names of an entry, or says who has one of them.
    pub(crate) fn claim(
        &mut self,
        view: &View<'_>,
        id: u64,
        entry: &Entry,
        kind: Kind,
    ) -> Result<(), EditError> {
        match kind {
            Kind::User | Kind::Group => {
                let keys = address_keys(entry, view.schema);
                self.check_addresses(view, id, &keys)?;
                let keys = keys.into_iter();
                self.addresses.extend(keys.map(|(address, _)| (address, (id, entry.dn.clone()))));
            }
            Kind::Domain => {
                self.check_domains(view, id, entry)?;
                if let Some(mine) = DomainEntry::read(entry, view.schema) {
                    let keys = domain_keys(entry, view.schema).into_iter();
                    self.domains.extend(keys.map(|(domain, _)| (domain, (id, mine.clone()))));
                }
            }
            Kind::Other => {}
        }
        Ok(())
    }

    /// Whether the addresses and domain names of an entry are free, or its own already.
    pub(crate) fn check(&self, view: &View<'_>, id: u64, entry: &Entry, kind: Kind) -> Result<(), EditError> {
        match kind {
            Kind::User | Kind::Group => self.check_addresses(view, id, &address_keys(entry, view.schema)),
            Kind::Domain => self.check_domains(view, id, entry),
            Kind::Other => Ok(()),
        }
    }

    fn check_addresses(&self, view: &View<'_>, id: u64, keys: &[(String, Role)]) -> Result<(), EditError> {
        for (address, _) in keys {
            let used = |by: Dn| EditError::AddressUsed { address: address.clone(), by };
            if let Some((by, dn)) = self.addresses.get(address)
                && *by != id
            {
                return Err(used(dn.clone()));
            }
            for (_, other) in view.indexed(ADDRESSES, address)? {
                if other != id
                    && !self.released.contains(&other)
                    && let Some(other) = view.entry_by_id(other)?
                {
                    return Err(used(other.dn));
                }
            }
        }
        Ok(())
    }

    /// Two entries may describe one domain if they agree on where its users are.
    fn check_domains(&self, view: &View<'_>, id: u64, entry: &Entry) -> Result<(), EditError> {
        let Some(mine) = DomainEntry::read(entry, view.schema) else { return Ok(()) };
        for (domain, _) in domain_keys(entry, view.schema) {
            let used = |by: Dn| EditError::DomainUsed { domain: domain.clone(), by };
            if let Some((by, other)) = self.domains.get(&domain)
                && *by != id
                && other.base != mine.base
            {
                return Err(used(other.dn.clone()));
            }
            for (_, other) in view.indexed(DOMAINS, domain.as_str())? {
                if other == id || self.released.contains(&other) {
                    continue;
                }
                let other = view.entry_by_id(other)?;
                if let Some(other) = other.and_then(|entry| DomainEntry::read(&entry, view.schema))
                    && other.base != mine.base
                {
                    return Err(used(other.dn));
                }
            }
        }
        Ok(())
    }
}
