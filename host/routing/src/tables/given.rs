//! From the rows that a plugin gives, checked by the host, to the rows of the tables.

use std::borrow::Cow;

use directory::{DeliveryOption, Dn, Entry, Field, Schema, Status};
use hooks::{Binding, EntryRows};
use mail_types::{Address, Domain};

use super::build::Rows;
use super::row::{AliasRow, Detail, DomainRow, Relation, RowKind, status_octet};

/// The rows of an entry of a domain. Its own plugins (`wasmtaPlugin`) stay its own, whoever builds its rows.
pub(super) fn rows_given(entry: &Entry, domain: &Domain, given: EntryRows, schema: &Schema) -> Rows {
    let dn = entry.dn.to_string();
    let own: Vec<Binding> =
        schema.texts(entry, Field::WasmtaPlugin).filter_map(|text| text.parse().ok()).collect();
    let mut rows = Rows::default();
    for row in given.aliases {
        if let Some((key, row)) = alias(&entry.dn, row, &own)
            && !rows.aliases.iter().any(|(known, _)| *known == key)
        {
            rows.aliases.push((key, row));
        }
    }
    // The primary address is the entry's name among its keys.
    rows.aliases.sort_by_key(|(_, row)| row.relation);
    for row in given.routes {
        let Ok(name) = Domain::parse(&row.domain) else { continue };
        if rows.domains.iter().any(|(known, _)| *known == name.as_str()) {
            continue;
        }
        let row = DomainRow {
            dn: dn.clone(),
            canonical: (name != *domain).then(|| domain.to_string()),
            status: status_octet(Status::parse(&row.status)),
            routing_hosts: row.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            smart_host: Some(row.smart_host).filter(|host| !host.is_empty()),
            ..DomainRow::default()
        };
        rows.domains.push((name.to_string(), row));
    }
    rows
}

/// One alias row with its key; `None` where its address is none, which the host has refused before.
fn alias(dn: &Dn, given: hooks::AliasRow, own: &[Binding]) -> Option<(String, AliasRow<'static>)> {
    let hooks::AliasRow { address, primary, kind, relation, status, options, targets } = given;
    let (key, written, relation) = match address.strip_prefix('@') {
        Some(domain) => (format!("@{}", Domain::parse(domain).ok()?), None, Relation::Domain),
        None => {
            let address = Address::parse(&address).ok()?;
            let relation = match relation.as_str() {
                "alternate" => Relation::Alternate,
                "equivalent" => Relation::Equivalent,
                _ => Relation::Primary,
            };
            (address.to_key(), Some(address), relation)
        }
    };
    let primary = if primary.is_empty() { written } else { Address::parse(&primary).ok() };
    let kind = if kind == "group" { RowKind::Group } else { RowKind::User };
    let default = if kind == RowKind::Group { DeliveryOption::Members } else { DeliveryOption::Mailbox };
    let options: Vec<String> =
        options.iter().map(|option| DeliveryOption::parse(option).as_str().to_owned()).collect();
    let is_plain = options.is_empty() || options == [default.as_str()];
    let has = |option: DeliveryOption| options.iter().any(|word| word == option.as_str());
    let to_members =
        kind == RowKind::Group && (is_plain || !has(DeliveryOption::Forward) || has(DeliveryOption::Members));
    let to_others = kind == RowKind::User || has(DeliveryOption::Forward);
    let detail = Detail {
        account: primary
            .as_ref()
            .map(Address::to_key)
            .filter(|account| kind == RowKind::User && *account != key),
        primary: primary.as_ref().map(Address::to_string).filter(|text| *text != key),
        forwarding: if to_others { targets.clone() } else { Vec::new() },
        member_addresses: if to_members { targets } else { Vec::new() },
        options: if is_plain { Vec::new() } else { options },
        plugins: if kind == RowKind::User { own.to_vec() } else { Vec::new() },
        ..Detail::default()
    };
    let detail = (kind == RowKind::Group || detail != Detail::default()).then(|| Box::new(detail));
    let dn = Cow::Owned(dn.to_string());
    Some((key, AliasRow { relation, kind, status: Status::parse(&status), dn, detail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(
        address: &str,
        primary: &str,
        kind: &str,
        options: &[&str],
        targets: &[&str],
    ) -> hooks::AliasRow {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        hooks::AliasRow {
            address: address.to_owned(),
            primary: primary.to_owned(),
            kind: kind.to_owned(),
            relation: if primary.is_empty() { "primary" } else { "alternate" }.to_owned(),
            status: "active".to_owned(),
            options: texts(options),
            targets: texts(targets),
        }
    }

    fn rows(aliases: Vec<hooks::AliasRow>) -> Vec<(String, AliasRow<'static>)> {
        let entry = Entry::new(Dn::parse("cn=x,o=a.test").unwrap()).with("wasmtaPlugin", "disposition p");
        let domain = Domain::parse("a.test").unwrap();
        rows_given(&entry, &domain, EntryRows { aliases, routes: Vec::new() }, &Schema::product()).aliases
    }

    #[test]
    fn a_users_addresses_lead_to_one_account_with_its_own_plugins() {
        let alternate = given("b@a.test", "A.A@a.test", "user", &["mailbox"], &[]);
        let rows =
            rows(vec![alternate, given("A.A@a.test", "", "user", &["forward", "mailbox"], &["f@far.test"])]);
        let [(first, primary), (second, alternate)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((first.as_str(), second.as_str()), ("a.a@a.test", "b@a.test"), "the primary one first");
        let (of_primary, of_alternate) =
            (primary.detail.as_deref().unwrap(), alternate.detail.as_deref().unwrap());
        assert_eq!(of_primary.primary.as_deref(), Some("A.A@a.test"));
        assert_eq!(
            (of_primary.account.as_deref(), &*of_primary.forwarding),
            (None, &["f@far.test".to_owned()][..])
        );
        assert_eq!(of_alternate.account.as_deref(), Some("a.a@a.test"));
        assert_eq!((of_alternate.options.len(), of_alternate.plugins.len()), (0, 1));
        assert_eq!(alternate.relation, Relation::Alternate);
    }

    #[test]
    fn targets_are_members_or_forwards_and_an_address_counts_once() {
        for (options, members, forwards) in
            [(&["members"][..], 1, 0), (&[], 1, 0), (&["forward"], 0, 1), (&["forward", "members"], 1, 1)]
        {
            let group = given("g@a.test", "", "group", options, &["m@far.test"]);
            let rows = rows(vec![group.clone(), group]);
            let [(_, row)] = &rows[..] else { panic!("{rows:?}") };
            let detail = row.detail.as_deref().unwrap();
            let found = (detail.member_addresses.len(), detail.forwarding.len());
            assert_eq!((row.kind, found), (RowKind::Group, (members, forwards)), "{options:?}");
        }
        let rows = rows(vec![given("@A.test", "u@a.test", "user", &[], &[])]);
        assert_eq!((rows[0].0.as_str(), rows[0].1.relation), ("@a.test", Relation::Domain));
        assert_eq!(rows[0].1.detail.as_deref().unwrap().account.as_deref(), Some("u@a.test"));
    }
}
