//! The rows that an entry has, for people. The table of a virtual mail server is the rows of its domain's entries (R29).

use directory::Dn;

use super::listing::read_keys;
use super::reader::Reader;
use super::rebuild::SPACES;
use super::row::{AliasRow, DomainRow};
use super::{ALIASES, DOMAINS, ORIGINS, TableError, is_name_of, key, origin_key};

/// One row, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRow {
    /// `routing` or `alias`.
    pub table: &'static str,
    /// Its key: a domain, or an address.
    pub key: String,
    /// What it says.
    pub says: String,
}

impl Reader {
    /// The rows of an entry, in the order in which it lists them.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn rows_of_entry(&self, dn: &Dn) -> Result<Vec<ShownRow>, TableError> {
        let generation = self.state().generation;
        let list = self.snapshot().get(ORIGINS, &origin_key(generation, dn))?.unwrap_or_default();
        let (own, mut shown) = (dn.to_string(), Vec::new());
        for (space, name) in read_keys(&list).ok_or(TableError::Row("origin"))? {
            // By its entry's name a domain is found for its other names; that is no row of the table that mail sees.
            if name.starts_with('/') {
                continue;
            }
            let space = SPACES[usize::from(space)];
            let value = self.snapshot().get(space, &key(generation, &name))?.unwrap_or_default();
            // Marks of what waits for a plugin are no rows.
            let (table, says) = if space == DOMAINS {
                let rows = DomainRow::read_all(&value).ok_or(TableError::Row("routing"))?;
                ("routing", rows.iter().find(|row| is_name_of(&row.dn, dn, &own)).map(domain_says))
            } else if space == ALIASES {
                let rows = AliasRow::read_all(&value).ok_or(TableError::Row("alias"))?;
                ("alias", rows.iter().find(|row| is_name_of(&row.dn, dn, &own)).map(alias_says))
            } else {
                continue;
            };
            shown.extend(says.map(|says| ShownRow { table, key: name, says }));
        }
        Ok(shown)
    }
}

fn domain_says(row: &DomainRow) -> String {
    let mut says = vec![row.status().to_string()];
    if let Some(target) = &row.target {
        says.push(format!("another name of the domain at {target}"));
    }
    let singles = [
        ("another name of", &row.canonical),
        ("shares the users of", &row.shares),
        ("unknown users go to", &row.smart_host),
        ("unknown users are", &row.catch_all),
        ("users without mailHost are at", &row.preferred_mail_host),
        ("what its users submit leaves by", &row.source_channel),
    ];
    says.extend(singles.into_iter().filter_map(|(word, value)| Some(format!("{word} {}", value.as_ref()?))));
    if !row.routing_hosts.is_empty() {
        says.push(format!("served by {}", row.routing_hosts.join(", ")));
    }
    says.join("; ")
}

fn alias_says(row: &AliasRow<'_>) -> String {
    let mut says = vec![row.status.to_string(), format!("{} of a {}", row.relation.word(), row.kind.word())];
    let detail = row.detail.as_deref();
    let singles = [
        ("account", detail.and_then(|detail| detail.account.as_ref())),
        ("at host", detail.and_then(|detail| detail.mail_host.as_ref())),
        ("what it submits leaves by", detail.and_then(|detail| detail.submit_channel.as_ref())),
        ("handed on as", detail.and_then(|detail| detail.routing_address.as_ref())),
    ];
    says.extend(singles.into_iter().filter_map(|(word, value)| Some(format!("{word} {}", value?))));
    let options: Vec<String> = row.options().iter().map(|option| option.as_str().to_owned()).collect();
    says.push(options.join(", "));
    says.join("; ")
}
