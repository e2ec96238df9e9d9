//! A domain, as mail sees it (requirements §2.1).

use std::collections::HashSet;

use hooks::Binding;
use mail_types::{Address, Domain};

use crate::dn::Dn;
use crate::entry::Entry;
use crate::reading::{Defect, Reading};
use crate::schema::{Class, Field, Schema};
use crate::status::{Quota, Status};

/// A hosted domain. Where both trees describe it (a DC node that points to its organisation by
/// `inetDomainBaseDN`, and the organisation itself), the two are one `DomainEntry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEntry {
    /// The entry it comes from.
    pub dn: Dn,
    /// Further entries that describe the same domain.
    pub further: Vec<Dn>,
    /// Its name.
    pub domain: Domain,
    /// Other names, routed identically (`associatedDomain`).
    pub aliases: Vec<Domain>,
    /// The domain whose users it shares, while it has a routing of its own (`inetCanonicalDomainName`).
    pub canonical: Option<Domain>,
    /// Top of the subtree with its users and groups (`inetDomainBaseDN`, or `dn`).
    pub base: Dn,
    /// `inetDomainStatus`, for all services.
    pub status: Status,
    /// `mailDomainStatus`, for mail. See [`DomainEntry::effective_status`].
    pub mail_status: Status,
    /// `mailRoutingHosts`: hosts that may handle its users; none means: this host.
    pub routing_hosts: Vec<String>,
    /// `mailRoutingSmartHost`: host for addresses that the directory does not know.
    pub smart_host: Option<String>,
    /// `mailDomainCatchallAddress`.
    pub catch_all: Option<Address>,
    /// `mailDomainCatchallMapping`: name of a table.
    pub catch_all_mapping: Option<String>,
    /// `preferredMailHost`: `mailHost` of users that have none.
    pub preferred_mail_host: Option<String>,
    /// `preferredMailMessageStore`.
    pub preferred_message_store: Option<String>,
    /// `mailDomainDiskQuota`, octets.
    pub disk_quota: Quota,
    /// `mailDomainMsgQuota`, messages.
    pub message_quota: Quota,
    /// `mailDomainAllowedServiceAccess`, filters as written.
    pub allowed_services: Vec<String>,
    /// `domainUidSeparator`: what may stand for `@` in a login, besides it.
    pub uid_separator: Option<String>,
    /// `mailDomainUplevel`: bit 0 lets subdomains without an entry belong to this domain.
    pub uplevel: u32,
    /// `mailDomainMaxMsgRecipients`.
    pub recipients_max: Option<u32>,
    /// `mailDomainMsgMaxBlocks`, blocks of 1024 octets.
    pub message_blocks_max: Option<u64>,
    /// `mailDomainCaptureAddress`.
    pub capture: Vec<Address>,
    /// `mailDomainReportAddress`.
    pub report_address: Option<Address>,
    /// `mailDomainSourceChannel`.
    pub source_channel: Option<String>,
    /// `mailDomainSieveRuleSource`.
    pub sieve: Vec<String>,
    /// `mailDomainConversionTag`.
    pub conversion_tags: Vec<String>,
    /// `wasmtaPlugin`: the tenant's own chain of plugins, in order.
    pub plugins: Vec<Binding>,
    /// `mailDomainAutoReplyTimeOut`: hours between automatic replies of one user to one sender.
    pub auto_reply_timeout_hours: Option<u32>,
    /// Values that could not be used.
    pub defects: Vec<Defect>,
}

/// The domain and the target of an entry that is a pure alias of a domain (`aliasedObjectName`):
/// routed as the domain at the target is, without a routing of its own.
#[must_use]
pub fn domain_alias(entry: &Entry, schema: &Schema) -> Option<(Domain, Dn)> {
    match DomainNode::of(entry, schema) {
        Some(DomainNode::Alias { domain, target }) => Some((domain, target)),
        _ => None,
    }
}

/// What an entry says about domain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DomainNode {
    /// A domain with these names, the canonical one first.
    Domain(Vec<Domain>),
    /// A pure alias (`aliasedObjectName`): another name of the domain at that entry.
    Alias { domain: Domain, target: Dn },
}

impl DomainNode {
    /// `None` where the entry is no domain.
    pub(crate) fn of(entry: &Entry, schema: &Schema) -> Option<Self> {
        let is = |class| schema.is(entry, class);
        if is(Class::Alias) || is(Class::InetDomainAlias) {
            let target = schema.text(entry, Field::AliasedObjectName).and_then(|text| Dn::parse(text).ok());
            if let (Some(domain), Some(target)) = (entry.dn.to_domain(), target) {
                return Some(Self::Alias { domain, target });
            }
        }
        let classes =
            [Class::InetDomain, Class::MailDomain, Class::SunManagedOrganization, Class::InetDomainAlias];
        if !classes.into_iter().any(is) {
            return None;
        }
        let written = |field| schema.texts(entry, field).filter_map(|text| Domain::parse(text).ok());
        let mut names: Vec<Domain> = written(Field::SunPreferredDomain).take(1).collect();
        names.extend(entry.dn.to_domain());
        names.extend(written(Field::AssociatedDomain));
        if names.is_empty() {
            // An organisation named after its domain: o=example.org.
            let named = entry.dn.leaf().map(|(_, value)| value).filter(|value| value.contains('.'));
            names.extend(named.and_then(|name| Domain::parse(&name).ok()));
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        (!names.is_empty()).then_some(Self::Domain(names))
    }
}

impl DomainEntry {
    /// Reads an entry that is a domain; `None` where it is none, or a pure alias of one.
    #[must_use]
    pub fn read(entry: &Entry, schema: &Schema) -> Option<Self> {
        let Some(DomainNode::Domain(mut names)) = DomainNode::of(entry, schema) else { return None };
        let domain = names.remove(0);
        let mut read = Reading::new(entry, schema);
        let base = read.dns(Field::InetDomainBaseDn).into_iter().next().unwrap_or_else(|| entry.dn.clone());
        Some(Self {
            dn: entry.dn.clone(),
            further: Vec::new(),
            domain,
            aliases: names,
            canonical: read.domains(Field::InetCanonicalDomainName).into_iter().next(),
            base,
            status: read.status(Field::InetDomainStatus),
            mail_status: read.status(Field::MailDomainStatus),
            routing_hosts: read.hosts(Field::MailRoutingHosts),
            smart_host: read.host(Field::MailRoutingSmartHost),
            catch_all: read.address(Field::MailDomainCatchallAddress),
            catch_all_mapping: read.string(Field::MailDomainCatchallMapping),
            preferred_mail_host: read.host(Field::PreferredMailHost),
            preferred_message_store: read.string(Field::PreferredMailMessageStore),
            disk_quota: read.quota(Field::MailDomainDiskQuota),
            message_quota: read.quota(Field::MailDomainMsgQuota),
            allowed_services: read.strings(Field::MailDomainAllowedServiceAccess),
            uid_separator: read.string(Field::DomainUidSeparator),
            uplevel: read.number(Field::MailDomainUplevel).unwrap_or(0),
            recipients_max: read.number(Field::MailDomainMaxMsgRecipients),
            message_blocks_max: read.number(Field::MailDomainMsgMaxBlocks),
            capture: read.addresses(Field::MailDomainCaptureAddress),
            report_address: read.address(Field::MailDomainReportAddress),
            source_channel: read.string(Field::MailDomainSourceChannel),
            sieve: read.strings(Field::MailDomainSieveRuleSource),
            conversion_tags: read.strings(Field::MailDomainConversionTag),
            plugins: read.parsed(Field::WasmtaPlugin, str::parse),
            auto_reply_timeout_hours: read.number(Field::MailDomainAutoReplyTimeOut),
            defects: read.defects,
        })
    }

    /// The status that rules: the more restrictive of the two.
    #[must_use]
    pub fn effective_status(&self) -> Status {
        self.status.max(self.mail_status)
    }

    /// Joins another description of the same domain: what this one lacks is taken from there,
    /// the more restrictive status rules, and a pointer to the base wins over none.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        if self.base == self.dn && other.base != other.dn {
            self.base = other.base;
        }
        let news: Vec<Domain> = std::iter::once(other.domain)
            .chain(other.aliases)
            .filter(|name| *name != self.domain && !self.aliases.contains(name))
            .collect();
        self.aliases.extend(news);
        self.status = self.status.max(other.status);
        self.mail_status = self.mail_status.max(other.mail_status);
        for (mine, theirs) in [
            (&mut self.routing_hosts, other.routing_hosts),
            (&mut self.allowed_services, other.allowed_services),
            (&mut self.sieve, other.sieve),
            (&mut self.conversion_tags, other.conversion_tags),
        ] {
            if mine.is_empty() {
                *mine = theirs;
            }
        }
        for (mine, theirs) in [
            (&mut self.smart_host, other.smart_host),
            (&mut self.catch_all_mapping, other.catch_all_mapping),
            (&mut self.preferred_mail_host, other.preferred_mail_host),
            (&mut self.preferred_message_store, other.preferred_message_store),
            (&mut self.uid_separator, other.uid_separator),
            (&mut self.source_channel, other.source_channel),
        ] {
            *mine = mine.take().or(theirs);
        }
        self.canonical = self.canonical.or(other.canonical);
        self.catch_all = self.catch_all.or(other.catch_all);
        self.report_address = self.report_address.or(other.report_address);
        self.recipients_max = self.recipients_max.or(other.recipients_max);
        self.message_blocks_max = self.message_blocks_max.or(other.message_blocks_max);
        self.uplevel |= other.uplevel;
        for (mine, theirs) in
            [(&mut self.disk_quota, other.disk_quota), (&mut self.message_quota, other.message_quota)]
        {
            if *mine == Quota::Default {
                *mine = theirs;
            }
        }
        if self.capture.is_empty() {
            self.capture = other.capture;
        }
        if self.plugins.is_empty() {
            self.plugins = other.plugins;
        }
        self.further.push(other.dn);
        self.further.extend(other.further);
        self.defects.extend(other.defects);
        self
    }
}
