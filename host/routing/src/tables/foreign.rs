//! Rows that a plugin gave under a name which its domain has had, and has no more: nobody could give them now, so they go,
//! whoever has the name next. What it gave under the domain's names stays until it answers anew.

use std::collections::{BTreeSet, HashSet};

use directory::Dn;
use mail_types::Domain;

use super::builder::is_base;
use super::listing::{read_keys, read_maker};
use super::rebuild::Overlay;
use super::row::DomainRow;
use super::{DOMAINS, ORIGINS, TableError, is_name_of, key, origin_key};

/// The numbers of the spaces in lists of keys.
const OF_DOMAINS: u8 = 0;
const OF_ALIASES: u8 = 1;

impl Overlay<'_> {
    /// Takes away what a plugin gave for an entry under names that are not the domain's.
    pub(super) fn let_foreign_go(&mut self, dn: &Dn, domain: &Domain) -> Result<(), TableError> {
        let listed = self.get(2, &origin_key(self.generation, dn))?;
        if read_maker(&listed).is_none() {
            return Ok(());
        }
        let mut foreign = HashSet::new();
        for (space, text) in read_keys(&listed).ok_or(TableError::Row("origin"))? {
            let name = match space {
                OF_ALIASES => text.rsplit_once('@').map_or(text.as_str(), |(_, name)| name),
                OF_DOMAINS if !is_base(&text) => &text,
                _ => continue,
            };
            if name != domain.as_str() && !self.has_name(domain, name, dn)? {
                foreign.insert((space, text));
            }
        }
        if foreign.is_empty() {
            return Ok(());
        }
        self.remove_from(dn, |space, text| foreign.contains(&(space, text.to_owned())))
    }

    /// Whether others than an entry itself say that a name is the domain's.
    fn has_name(&self, domain: &Domain, name: &str, entry: &Dn) -> Result<bool, TableError> {
        let value = self.get(OF_DOMAINS, &key(self.generation, name))?;
        let rows = DomainRow::read_all(&value).ok_or(TableError::Row("routing"))?;
        let spelt = entry.to_string();
        let mut of_domain = rows.iter().filter(|row| row.canonical.as_deref() == Some(domain.as_str()));
        Ok(of_domain.any(|row| !is_name_of(&row.dn, entry, &spelt)))
    }
}

/// The names of domains that an entry has in the tables.
pub(super) fn names_in_force(
    snapshot: &storage::Snapshot,
    generation: u8,
    dn: &Dn,
) -> Result<BTreeSet<String>, TableError> {
    let Some(list) = snapshot.get(ORIGINS, &origin_key(generation, dn))? else { return Ok(BTreeSet::new()) };
    let own = dn.to_string();
    let mut names = BTreeSet::new();
    for (space, name) in read_keys(&list).ok_or(TableError::Row("origin"))? {
        if space == OF_DOMAINS && !is_base(&name) {
            let value = snapshot.get(DOMAINS, &key(generation, &name))?.unwrap_or_default();
            let rows = DomainRow::read_all(&value).ok_or(TableError::Row("routing"))?;
            if rows.iter().any(|row| is_name_of(&row.dn, dn, &own)) {
                names.insert(name);
            }
        }
    }
    Ok(names)
}
