//! What each table says of one domain, for people.

use mail_types::Domain;

use super::DomainTables;
use super::decision::{Decision, decide};

/// What a table that may have a domain says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSays {
    /// The table.
    pub table: String,
    /// Where it comes from, in words.
    pub place: String,
    /// Its records, as in a zone file; empty where it has none.
    pub records: String,
    /// What follows from them.
    pub means: TableMeans,
    /// What the DNS says now and is not taken over, because too many domains of the list would go with it.
    pub held: Option<String>,
}

/// What follows from a table's records of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableMeans {
    /// Nobody has answered for the domain yet.
    Unread,
    /// It has none: the next table decides.
    Nothing,
    /// None of its hosts is this one.
    NotOurs,
    /// This host is the best: its mail ends here.
    Local,
    /// Others are better hosts: its mail goes on to them.
    Backup,
}

impl DomainTables {
    /// What the tables say that may have a domain, the one that decides first.
    #[must_use]
    pub fn said_of(&self, domain: &Domain) -> Vec<TableSays> {
        let tables = self.0.tables.lock();
        let having = self.0.options.iter().zip(tables.iter());
        let having = having.filter(|(options, _)| (options.covers)(domain));
        let says = having.map(|(options, table)| {
            let records = table.of(domain);
            let means = if table.is_unread(options, domain) {
                TableMeans::Unread
            } else if records.0.is_empty() {
                TableMeans::Nothing
            } else {
                match decide(&records, &self.0.own_names) {
                    Decision::NotOurs => TableMeans::NotOurs,
                    Decision::Local => TableMeans::Local,
                    Decision::Backup => TableMeans::Backup,
                }
            };
            let held = table.held.get(domain).map(|one| match one {
                Some(one) if !one.records.0.is_empty() => one.records.to_string(),
                _ => "no MX".to_owned(),
            });
            let (table, place) = (options.name.clone(), options.source.place());
            TableSays { table, place, records: records.to_string(), means, held }
        });
        says.collect()
    }
}
