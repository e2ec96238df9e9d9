//! The native builder: from the directory's schema to the rows that mail is routed by (R7). A pure function of one
//! entry, so that a change costs exactly what changed (R40): routing rows from a domain entry (R41), alias rows from
//! a user or group entry (R42), in any order (R43).

use std::borrow::Cow;

use directory::{
    Class, DeliveryOption, Dn, DnsDomain, DomainEntry, Entry, Field, GroupEntry, PostingPolicy, Schema,
    Typed, UserEntry,
};
use mail_types::{Address, Domain};

use super::builder::base_name;
use super::row::{
    AliasRow, Detail, DomainRow, FromDns, ListSettings, Policy, Relation, RowKind, status_octet,
};

/// The rows of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// Routing table: domain, row.
    pub domains: Vec<(String, DomainRow)>,
    /// Alias table: key, row; the primary address first.
    pub aliases: Vec<(String, AliasRow<'static>)>,
}

/// The rows of an entry; none for entries that mail does not know.
#[must_use]
pub fn rows_of(entry: &Typed, schema: &Schema) -> Rows {
    match entry {
        Typed::Domain(domain) => Rows { domains: domain_rows(domain), aliases: Vec::new() },
        Typed::User(user) => Rows { domains: Vec::new(), aliases: user_rows(user) },
        Typed::Group(group) => Rows { domains: Vec::new(), aliases: group_rows(group) },
        Typed::Other(entry) => {
            Rows { domains: alias_row(entry, schema).into_iter().collect(), aliases: Vec::new() }
        }
        Typed::FromDns(domain) => Rows { domains: vec![dns_row(domain)], aliases: Vec::new() },
    }
}

/// A domain that the DNS leads here, without an entry (R25).
fn dns_row(domain: &DnsDomain) -> (String, DomainRow) {
    let DnsDomain { dn, domain, relay, refuse_unknown, origin } = domain;
    let dns = FromDns { relay: *relay, refuse_unknown: *refuse_unknown, origin: origin.clone() };
    let row = DomainRow { dn: dn.to_string(), dns: Some(Box::new(dns)), ..DomainRow::default() };
    (domain.to_string(), row)
}

/// A pure domain alias (`aliasedObjectName`): another name of the domain at that entry, without a routing of its own.
fn alias_row(entry: &Entry, schema: &Schema) -> Option<(String, DomainRow)> {
    if !schema.is(entry, Class::Alias) && !schema.is(entry, Class::InetDomainAlias) {
        return None;
    }
    let target = Dn::parse(schema.text(entry, Field::AliasedObjectName)?).ok()?;
    let domain = entry.dn.to_domain()?;
    let row =
        DomainRow { dn: entry.dn.to_string(), target: Some(target.to_string()), ..DomainRow::default() };
    Some((domain.to_string(), row))
}

fn domain_rows(entry: &DomainEntry) -> Vec<(String, DomainRow)> {
    let row = DomainRow {
        dn: entry.dn.to_string(),
        canonical: None,
        target: None,
        shares: entry.canonical.as_ref().filter(|name| **name != entry.domain).map(Domain::to_string),
        status: status_octet(entry.effective_status()),
        status_dn: None,
        routing_hosts: entry.routing_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        smart_host: entry.smart_host.clone(),
        catch_all: entry.catch_all.as_ref().map(Address::to_string),
        preferred_mail_host: entry.preferred_mail_host.as_ref().map(|host| host.to_ascii_lowercase()),
        source_channel: entry.source_channel.as_ref().map(|name| name.to_ascii_lowercase()),
        uplevel: entry.uplevel & 1 != 0,
        plugins: entry.plugins.clone(),
        dns: None,
    };
    let alias = DomainRow { canonical: Some(entry.domain.to_string()), ..row.clone() };
    let aliases = entry.aliases.iter().map(|name| (name.to_string(), alias.clone()));
    // Whose entries are below its base: for the choice of their builder.
    let base = base_name(&entry.base).map(|name| {
        let (canonical, target) = (Some(entry.domain.to_string()), Some(entry.base.to_string()));
        let (dn, plugins) = (row.dn.clone(), row.plugins.clone());
        (name, DomainRow { dn, canonical, target, plugins, ..DomainRow::default() })
    });
    std::iter::once((entry.domain.to_string(), row.clone())).chain(aliases).chain(base).collect()
}

/// The keys under which an entry is found, with how each leads to it.
fn keys<'a>(
    primary: Option<&'a Address>,
    alternates: &'a [Address],
    equivalents: &'a [Address],
    domains: &'a [Domain],
) -> Vec<(String, Relation)> {
    let mut keys: Vec<(String, Relation)> = Vec::new();
    let mut add = |key: String, relation| {
        if !keys.iter().any(|(known, _)| *known == key) {
            keys.push((key, relation));
        }
    };
    primary.into_iter().for_each(|address| add(address.to_key(), Relation::Primary));
    alternates.iter().for_each(|address| add(address.to_key(), Relation::Alternate));
    equivalents.iter().for_each(|address| add(address.to_key(), Relation::Equivalent));
    domains.iter().for_each(|domain| add(format!("@{domain}"), Relation::Domain));
    keys
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(Address::to_string).collect()
}

fn words(options: &[DeliveryOption], default: &DeliveryOption) -> Vec<String> {
    if options == std::slice::from_ref(default) {
        return Vec::new();
    }
    options.iter().map(|option| option.as_str().to_owned()).collect()
}

fn user_rows(entry: &UserEntry) -> Vec<(String, AliasRow<'static>)> {
    let Some(account) = entry.account() else { return Vec::new() };
    let primary = entry.address.as_ref().or(entry.alternates.first());
    let detail = Detail {
        mail_host: entry.mail_host.as_ref().map(|host| host.to_ascii_lowercase()),
        routing_address: entry.routing_address.as_ref().map(Address::to_string),
        options: words(&entry.delivery_options, &DeliveryOption::Mailbox),
        forwarding: texts(&entry.forwarding),
        programs: entry.programs.clone(),
        files: entry.files.clone(),
        shared: entry.shared.clone(),
        plugins: entry.plugins.clone(),
        submit_channel: entry.submit_channel.as_ref().map(|name| name.to_ascii_lowercase()),
        ..Detail::default()
    };
    let keys = keys(entry.address.as_ref(), &entry.alternates, &entry.equivalents, &entry.alternate_domains);
    let row = |(key, relation): (String, Relation)| {
        let mut detail = detail.clone();
        detail.account = (account.as_str() != key).then(|| account.to_string());
        detail.primary = primary.map(Address::to_string).filter(|text| *text != key);
        let detail = (detail != Detail::default()).then(|| Box::new(detail));
        let status = entry.effective_status();
        let dn = Cow::Owned(entry.dn.to_string());
        (key, AliasRow { relation, kind: RowKind::User, status, dn, detail })
    };
    keys.into_iter().map(row).collect()
}

fn group_rows(entry: &GroupEntry) -> Vec<(String, AliasRow<'static>)> {
    let primary = entry.address.as_ref().or(entry.alternates.first());
    let detail = Detail {
        account: None,
        primary: None,
        mail_host: entry.mail_host.as_ref().map(|host| host.to_ascii_lowercase()),
        routing_address: entry.routing_address.as_ref().map(Address::to_string),
        options: words(&entry.delivery_options, &DeliveryOption::Members),
        forwarding: texts(&entry.forwarding),
        members: entry.members.iter().map(ToString::to_string).collect(),
        member_addresses: texts(&entry.member_addresses),
        searches: entry.member_urls.clone(),
        programs: entry.programs.clone(),
        files: entry.files.clone(),
        shared: entry.shared.clone(),
        list: list_settings(entry),
        policy: policy(&entry.policy),
        plugins: Vec::new(),
        submit_channel: None,
    };
    let keys = keys(entry.address.as_ref(), &entry.alternates, &entry.equivalents, &entry.alternate_domains);
    let row = |(key, relation): (String, Relation)| {
        let mut detail = detail.clone();
        detail.primary = primary.map(Address::to_string).filter(|text| *text != key);
        let dn = Cow::Owned(entry.dn.to_string());
        let detail = Some(Box::new(detail));
        (key, AliasRow { relation, kind: RowKind::Group, status: entry.status, dn, detail })
    };
    keys.into_iter().map(row).collect()
}

fn list_settings(entry: &GroupEntry) -> Option<Box<ListSettings>> {
    let settings = ListSettings {
        name: None,
        errors_to: entry.errors_to.as_ref().map(Address::to_string),
        header_add: entry.header_add.clone(),
        header_remove: entry.header_remove.clone(),
        prefix_text: entry.prefix_text.clone(),
        suffix_text: entry.suffix_text.clone(),
        size_max: entry.policy.size_max,
    };
    let changes = settings != ListSettings::default();
    changes.then(|| Box::new(ListSettings { name: entry.name.clone(), ..settings }))
}

fn policy(entry: &PostingPolicy) -> Option<Box<Policy>> {
    let policy = Policy {
        allowed: entry.allowed_broadcasters.clone(),
        disallowed: entry.disallowed_broadcasters.clone(),
        allowed_domains: entry.allowed_domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
        disallowed_domains: entry
            .disallowed_domains
            .iter()
            .map(|domain| domain.to_ascii_lowercase())
            .collect(),
        words: entry.broadcaster_policy.iter().map(|word| word.to_ascii_uppercase()).collect(),
        moderators: texts(&entry.moderators),
        to_moderator: entry.reject_actions.iter().any(|action| action.eq_ignore_ascii_case("toModerator")),
        reject_text: entry.reject_text.clone(),
    };
    let open = policy.allowed.is_empty()
        && policy.disallowed.is_empty()
        && policy.allowed_domains.is_empty()
        && policy.disallowed_domains.is_empty()
        && policy.words.is_empty();
    (!open).then(|| Box::new(policy))
}
