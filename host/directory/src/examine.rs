//! An LDIF looked at before a load: what could not be loaded, and what mail could not use.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;

use mail_types::Domain;

use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::edit::check_name;
use crate::entry::Entry;
use crate::error::EditError;
use crate::kind::Kind;
use crate::layout::{address_keys, domain_keys};
use crate::ldif::{LdifError, LdifReader};
use crate::load::{LoadReport, note_defects};
use crate::schema::Schema;

/// Most entries that are listed as not to be loaded.
pub const LDIF_REFUSALS_MAX: usize = 100;

/// Why an entry could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LdifRefusal {
    /// Its name is one that no entry may have.
    #[error(transparent)]
    Name(EditError),
    /// Another entry has its name.
    #[error("the entry {dn} stands in line {first} already")]
    Twice {
        /// The name.
        dn: Dn,
        /// Line of the other one.
        first: u64,
    },
    /// Another entry has one of its addresses.
    #[error("{dn} has the address {address}, which the entry of line {first} has already")]
    AddressUsed {
        /// The entry.
        dn: Dn,
        /// The address, or `@domain`.
        address: String,
        /// Line of the other one.
        first: u64,
    },
    /// Another entry describes its domain, and names another place for the users.
    #[error(
        "{dn} describes the domain {domain}, which the entry of line {first} does already, with its users elsewhere"
    )]
    DomainUsed {
        /// The entry.
        dn: Dn,
        /// The domain.
        domain: Domain,
        /// Line of the other one.
        first: u64,
    },
}

/// What an examination came to.
#[derive(Debug, Default)]
pub struct LdifExamination {
    /// What a load would report.
    pub report: LoadReport,
    /// The first [`LDIF_REFUSALS_MAX`] entries that could not be loaded, each with its line; a load ends at the first.
    pub refusals: Vec<(u64, LdifRefusal)>,
    /// Where it cannot be read on.
    pub error: Option<LdifError>,
}

/// Reads an LDIF to its end, or to the first place where it cannot be read, without keeping any of it but digests of names
/// and addresses.
pub fn examine_ldif<R: BufRead>(source: R, schema: &Schema) -> LdifExamination {
    let (mut examination, mut seen) = (LdifExamination::default(), Seen::default());
    for record in LdifReader::new(source) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                examination.error = Some(error);
                break;
            }
        };
        note_defects(&record, schema, &mut examination.report);
        examination.report.entries += 1;
        if let Err(refusal) = seen.take(record.line, &record.entry, schema)
            && examination.refusals.len() < LDIF_REFUSALS_MAX
        {
            examination.refusals.push((record.line, refusal));
        }
    }
    examination
}

/// What was taken by which line. Of names and addresses, which may be millions, 128 bits of digest are kept.
#[derive(Default)]
struct Seen {
    keys: (RandomState, RandomState),
    names: HashMap<u128, u64>,
    addresses: HashMap<u128, u64>,
    domains: HashMap<Domain, (u64, DomainEntry)>,
}

impl Seen {
    fn digest(&self, key: &[u8]) -> u128 {
        u128::from(self.keys.0.hash_one(key)) << 64 | u128::from(self.keys.1.hash_one(key))
    }

    /// As a load takes it.
    fn take(&mut self, line: u64, entry: &Entry, schema: &Schema) -> Result<(), LdifRefusal> {
        let dn = || entry.dn.clone();
        let name = self.digest(entry.dn.key());
        if let Some(first) = self.names.get(&name) {
            return Err(LdifRefusal::Twice { dn: dn(), first: *first });
        }
        self.names.insert(name, line);
        check_name(entry).map_err(LdifRefusal::Name)?;
        match Kind::of(entry, schema) {
            Kind::User | Kind::Group => {
                for (address, _) in address_keys(entry, schema) {
                    let digest = self.digest(address.as_bytes());
                    match self.addresses.get(&digest) {
                        Some(first) if *first != line => {
                            return Err(LdifRefusal::AddressUsed { dn: dn(), address, first: *first });
                        }
                        _ => drop(self.addresses.insert(digest, line)),
                    }
                }
            }
            Kind::Domain => {
                let Some(mine) = DomainEntry::read(entry, schema) else { return Ok(()) };
                for (domain, _) in domain_keys(entry, schema) {
                    if let Some((first, other)) = self.domains.get(&domain)
                        && other.base != mine.base
                    {
                        return Err(LdifRefusal::DomainUsed { dn: dn(), domain, first: *first });
                    }
                    self.domains.insert(domain, (line, mine.clone()));
                }
            }
            Kind::Other => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_would_refuse_is_told_with_both_lines() {
        let ldif = "\
dn: o=isp
objectClass: organization

dn: uid=anna,o=isp
objectClass: inetMailUser
uid: anna
mail: anna@example.org

dn: UID=Anna,O=isp
objectClass: inetMailUser
uid: anna
mail: other@example.org

dn: uid=ben,o=isp
objectClass: inetMailUser
uid: ben
mail: ben@example.org
mailAlternateAddress: Anna@Example.org
";
        let LdifExamination { report, refusals, error } = examine_ldif(ldif.as_bytes(), &Schema::default());
        let told: Vec<String> = refusals.iter().map(|(line, why)| format!("{line}: {why}")).collect();
        assert_eq!((report.entries, error.is_none(), told.len()), (4, true, 2), "{told:?}");
        assert!(
            told[0].starts_with("9: the entry ") && told[0].ends_with(" stands in line 4 already"),
            "{told:?}"
        );
        assert_eq!(
            told[1],
            "14: uid=ben,o=isp has the address anna@example.org, which the entry of line 4 has already"
        );
    }
}
