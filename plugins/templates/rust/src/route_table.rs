//! `route-table`: rows for people whose entries have `mail`, `otherMail` and `accountActive`.
//!
//! Asked at synchronisation. The answer for an entry depends on that entry, the domain and the configuration alone.

use crate::bindings::exports::wasmta::policy::route_table::{AliasRow, Entry, Guest, Rows};
use crate::bindings::wasmta::policy::types::Failure;
use crate::{Plugin, trace};

impl Guest for Plugin {
    fn build(domain: String, batch: Vec<Entry>) -> Result<Vec<Rows>, Failure> {
        // One answer for each entry, in order; an entry that is none of ours has no rows.
        Ok(batch.iter().map(|entry| rows(&domain, entry)).collect())
    }
}

fn rows(domain: &str, entry: &Entry) -> Rows {
    let active = values(entry, "accountActive").all(|value| !value.eq_ignore_ascii_case("FALSE"));
    let status = if active { "active" } else { "disabled" };
    let primary = values(entry, "mail").next();
    // An alternate says whose mailbox it leads to; the primary address is its own.
    let alternate = |address| row(address, primary.unwrap_or_default(), "alternate", status);
    let all = primary.map(|address| row(address, "", "primary", status)).into_iter();
    let ours = |row: &AliasRow| row.address.rsplit_once('@').is_some_and(|(_, of)| of.eq_ignore_ascii_case(domain));
    let aliases: Vec<_> = all.chain(values(entry, "otherMail").map(alternate)).filter(ours).collect();
    if aliases.is_empty() {
        trace(&format!("no rows for {}", entry.dn));
    }
    Rows { aliases, routes: vec![], attrs: vec![] }
}

/// The values of an attribute, in any case of its name: directories differ.
fn values<'a>(entry: &'a Entry, name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = move |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
    entry.attrs.iter().filter(named).map(|(_, value)| value.as_str())
}

fn row(address: &str, primary: &str, relation: &str, status: &str) -> AliasRow {
    AliasRow {
        address: address.into(),
        primary: primary.into(),
        kind: "user".into(),
        relation: relation.into(),
        status: status.into(),
        options: vec!["mailbox".into()],
        targets: vec![],
        attrs: vec![],
    }
}
