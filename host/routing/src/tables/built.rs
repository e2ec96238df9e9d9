//! What the native builder makes of an entry, before anybody else had a say.

use directory::{Dn, Schema, Typed};

use super::build::{Rows, rows_of};

/// An entry with the rows that the native builder, or whoever calls, made of it.
pub(super) struct Built {
    pub(super) dn: Dn,
    pub(super) rows: Rows,
    /// Whether they hold, whoever is bound to its domain.
    pub(super) is_settled: bool,
}

impl Built {
    /// By the native builder.
    pub(super) fn of(entry: &Typed, schema: &Schema) -> Self {
        let dn = match entry {
            Typed::Domain(domain) => &domain.dn,
            Typed::User(user) => &user.dn,
            Typed::Group(group) => &group.dn,
            Typed::Other(entry) => &entry.dn,
            Typed::FromDns(domain) => &domain.dn,
        };
        let rows = rows_of(entry, schema);
        let is_settled = !rows.domains.is_empty();
        Self { dn: dn.clone(), rows, is_settled }
    }
}
