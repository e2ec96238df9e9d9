//! What the tables say, for others than mail: whose a domain is, and rows as names and values.

use directory::Dn;
use mail_types::{Domain, Lookup};

use super::reader::{Claim, Reader};
use super::{TableError, Tables};

type Pairs = Vec<(String, String)>;

impl Tables {
    /// The canonical name of a hosted domain: the tenant that it belongs to. `NotFound`: it is not hosted here.
    pub fn canonical_domain(&self, domain: &Domain) -> Lookup<Domain> {
        self.ask(|reader| canonical(reader, domain))
    }

    /// Whether an entry has a row, or waits for a plugin to build one.
    pub fn has_row(&self, dn: &Dn) -> Lookup<()> {
        self.ask(|reader| {
            let has = reader.key_of(dn)?.is_some() || reader.is_entry_waiting(dn)?;
            Ok(has.then_some(()))
        })
    }

    /// A hosted domain's row.
    pub fn domain_attributes(&self, domain: &Domain) -> Lookup<Pairs> {
        self.ask(|reader| {
            let Some(row) = reader.domain(domain.as_str())? else { return Ok(None) };
            let mut pairs = vec![
                ("domain".to_owned(), domain.to_string()),
                ("entry".to_owned(), row.dn.clone()),
                ("status".to_owned(), row.status().to_string()),
            ];
            let single = [
                ("dns", row.dns.map(|dns| dns.origin)),
                ("canonical", row.canonical),
                ("smart-host", row.smart_host),
                ("catch-all", row.catch_all),
                ("preferred-mail-host", row.preferred_mail_host),
            ];
            pairs.extend(single.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            pairs.extend(row.routing_hosts.into_iter().map(|host| ("routing-host".to_owned(), host)));
            Ok(Some(pairs))
        })
    }

    /// The row of an address, or of `@domain`, in lower case.
    pub fn alias_attributes(&self, key: &str) -> Lookup<Pairs> {
        self.ask(|reader| {
            let Some(Claim::One(row)) = reader.alias(key)? else { return Ok(None) };
            let mut pairs = vec![
                ("entry".to_owned(), row.dn.to_string()),
                ("kind".to_owned(), row.kind.word().to_owned()),
                ("relation".to_owned(), row.relation.word().to_owned()),
                ("status".to_owned(), row.status.to_string()),
            ];
            pairs
                .extend(row.options().iter().map(|option| ("option".to_owned(), option.as_str().to_owned())));
            let detail = row.detail.as_deref();
            let account = detail.and_then(|detail| detail.account.clone()).unwrap_or_else(|| key.to_owned());
            pairs.push(("account".to_owned(), account));
            pairs.extend(
                detail
                    .into_iter()
                    .flat_map(|detail| &detail.forwarding)
                    .map(|to| ("forward".to_owned(), to.clone())),
            );
            Ok(Some(pairs))
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&Reader) -> Result<Option<T>, TableError>) -> Lookup<T> {
        match self.reader().and_then(|reader| ask(&reader)) {
            Ok(found) => found.into(),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }
}

pub(super) fn canonical(reader: &Reader, domain: &Domain) -> Result<Option<Domain>, TableError> {
    let Some(row) = reader.domain(domain.as_str())? else { return Ok(None) };
    let name = match (row.canonical, row.target) {
        (Some(canonical), _) => Some(canonical),
        // A pure alias: the entry that it stands for has the name.
        (None, Some(target)) => match Dn::parse(&target) {
            Ok(target) => reader.key_of(&target)?,
            Err(_) => None,
        },
        (None, None) => return Ok(Some(domain.clone())),
    };
    Ok(name.and_then(|name| Domain::parse(&name).ok()))
}
