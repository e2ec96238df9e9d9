//! Rows of the routing and alias tables from entries that are laid out as Active Directory and Exchange have them.
//!
//! It imports neither look-ups nor the time: a row depends on its entry, the domain and the configuration alone, so an
//! incremental synchronisation is as good as a full one. This file builds rows; `entry` reads entries.

mod entry;

wit_bindgen::generate!({ path: ["../../wit", "wit"], world: "user:ad-schema/plugin", generate_all });

use std::sync::OnceLock;

// Faster starts: the allocator.
use heap as _;

use entry::{Class, Entry};
use exports::wasmta::policy::plugin::{Description, Guest as Card};
use exports::wasmta::policy::route_table::{self, AliasRow, Guest as Build, RouteRow, Rows};
use wasmta::policy::config::{self, Value};
use wasmta::policy::log;
use wasmta::policy::types::Failure;

const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "principal-name": { "type": "string", "enum": ["equivalent", "alternate", "ignore"], "default": "equivalent",
      "description": "what userPrincipalName is, where it is no address of the user otherwise" },
    "disabled-status": { "type": "string", "enum": ["disabled", "inactive", "hold", "deleted"], "default": "disabled",
      "description": "the status of users whose account is disabled" },
    "shared-mailboxes": { "type": "boolean", "default": true,
      "description": "shared, room and equipment mailboxes, whose accounts are always disabled, get mail" },
    "member-attribute": { "type": "string", "default": "memberAddress",
      "description": "the attribute of a group that has its members' addresses" },
    "hosts": { "type": "array", "items": { "type": "string" }, "default": [],
      "description": "the hosts that serve the domain; none: this one" },
    "smart-host": { "type": "string", "default": "",
      "description": "who gets mail for addresses that are not found" }
  }
}"#;

/// Rows of one entry; a directory's administrator can write more proxy addresses than anybody has.
const ROWS_MAX: usize = 500;

struct Plugin;

export!(Plugin);

impl Card for Plugin {
    fn describe() -> Description {
        Description {
            name: "ad-schema".into(),
            version: "1.0.0".into(),
            summary: "Users, groups and contacts from an Active Directory".into(),
            config_schema: SCHEMA.into(),
            interests: vec![],
            attrs: vec![],
        }
    }
}

impl Build for Plugin {
    fn build(domain: String, batch: Vec<route_table::Entry>) -> Result<Vec<Rows>, Failure> {
        let domain = domain.to_lowercase();
        Ok(batch.into_iter().map(|raw| rows_of(&domain, &Entry { dn: raw.dn, attrs: raw.attrs })).collect())
    }
}

fn rows_of(domain: &str, entry: &Entry) -> Rows {
    let (aliases, routes) = match entry.class() {
        Class::User => (user_rows(domain, entry), vec![]),
        Class::Group => (group_rows(domain, entry), vec![]),
        Class::Contact => (contact_rows(domain, entry), vec![]),
        Class::Domain => (vec![], domain_row(domain, entry).into_iter().collect()),
        Class::Other => (vec![], vec![]),
    };
    Rows { aliases, routes, attrs: vec![] }
}

fn user_rows(domain: &str, entry: &Entry) -> Vec<AliasRow> {
    let forward = entry.forward();
    let options: &[&str] = match (&forward, entry.has("deliverAndRedirect", "TRUE")) {
        (None, _) => &["mailbox"],
        (Some(_), true) => &["mailbox", "forward"],
        (Some(_), false) => &["forward"],
    };
    let shared = matches!(value("shared-mailboxes"), Some(Value::Flag(true))) && entry.is_shared();
    let status = if entry.is_disabled() && !shared { text("disabled-status") } else { "active" };
    let template = row("user", status, options, forward.into_iter().collect());
    rows_for_addresses(domain, entry, &template, text("principal-name"))
}

fn group_rows(domain: &str, entry: &Entry) -> Vec<AliasRow> {
    let members = entry.addresses(text("member-attribute"));
    // A group that nobody is in would swallow mail: senders shall try again until it is mended.
    let status = if members.is_empty() { "inactive" } else { "active" };
    if members.is_empty() {
        warn(entry, "a group without addresses of members is inactive");
    }
    rows_for_addresses(domain, entry, &row("group", status, &["members"], members), "ignore")
}

/// A contact is an address of ours for somebody outside; without a way outside it is nothing.
fn contact_rows(domain: &str, entry: &Entry) -> Vec<AliasRow> {
    let Some(forward) = entry.forward() else { return vec![] };
    rows_for_addresses(domain, entry, &row("user", "active", &["forward"], vec![forward]), "ignore")
}

fn domain_row(domain: &str, entry: &Entry) -> Option<RouteRow> {
    let hosts = match value("hosts") {
        Some(Value::Items(hosts)) => hosts.clone(),
        _ => vec![],
    };
    (entry.dn_as_domain()? == domain).then(|| RouteRow {
        domain: domain.to_owned(),
        status: "active".into(),
        hosts,
        smart_host: text("smart-host").into(),
        attrs: vec![],
    })
}

/// A row for each address that the entry has in the domain. Those in other domains come with the synchronisation of
/// these domains.
fn rows_for_addresses(domain: &str, entry: &Entry, template: &AliasRow, principal: &str) -> Vec<AliasRow> {
    let (addresses, unreadable) = entry.own_addresses(principal);
    if unreadable > 0 {
        warn(entry, &format!("{unreadable} of its addresses cannot be read"));
    }
    // The first one is the primary; it may be in another domain.
    let primary = addresses.first().map(|(address, _)| address.clone()).unwrap_or_default();
    let primary_of = |address: &str| if address == primary { String::new() } else { primary.clone() };
    let ours = |address: &str| address.rsplit_once('@').is_some_and(|(_, of)| of == domain);
    let mut rows: Vec<AliasRow> = addresses
        .into_iter()
        .filter(|(address, _)| ours(address))
        .map(|(address, relation)| AliasRow {
            primary: primary_of(&address),
            address,
            relation,
            ..template.clone()
        })
        .collect();
    if rows.len() > ROWS_MAX {
        warn(entry, &format!("only {ROWS_MAX} of its {} addresses are taken", rows.len()));
        rows.truncate(ROWS_MAX);
    }
    rows
}

fn row(kind: &str, status: &str, options: &[&str], targets: Vec<String>) -> AliasRow {
    AliasRow {
        address: String::new(),
        primary: String::new(),
        kind: kind.into(),
        relation: String::new(),
        status: status.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        targets,
        attrs: vec![],
    }
}

fn warn(entry: &Entry, text: &str) {
    log::emit(log::Level::Warn, text, &[("dn".into(), entry.dn.clone())]);
}

/// A text of the configuration; empty where it has none.
fn text(key: &str) -> &'static str {
    match value(key) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// A value of the configuration, with the defaults that the host has filled in. It is fetched once an instance: nothing
/// else may be kept in variables.
fn value(key: &str) -> Option<&'static Value> {
    static ALL: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    ALL.get_or_init(config::all).iter().find(|(own, _)| own == key).map(|(_, value)| value)
}
