//! `[directory.ldap]` and `[directory.tenants.NAME]`: LDAP directories that are mirrored.

use std::path::Path;
use std::time::Duration;

use directory::{
    BASES_MAX, Dn, GENERAL_SOURCE, LdapOptions, MirrorOptions, OWN_DOMAINS_MAX, OwnDomain, Protection,
    Referrals, SERVERS_MAX, SOURCES_MAX, ServerUrl, SyncMode,
};

use super::below;
use super::section::Section;
use super::server::secs;

/// Longest name of a tenant.
const NAME_MAX: usize = 64;

/// By what a password is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticate {
    /// By the hash that the directory shows; by bind where it shows none.
    Hash,
    /// By bind (RFC 4513 §5.1); by the hash while no server answers.
    Bind,
}

/// An LDAP directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ldap {
    /// How it is mirrored.
    pub mirror: MirrorOptions,
    /// Top of its organisation tree, where new domains get theirs.
    pub organization_suffix: Dn,
    /// By what a password is verified.
    pub authenticate: Authenticate,
}

/// Reads `[directory.tenants]`, in the order of the file.
pub(super) fn read_tenants(s: &Section<'_>, folder: &Path) -> Vec<Ldap> {
    let mut named = s.named_sections();
    named.sort_by_key(|(_, section)| section.place());
    let mut tenants = Vec::new();
    for (name, section) in named {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_MAX || name == GENERAL_SOURCE || !name.chars().all(is_name) {
            let mend = format!("letters, digits, - and _, at most {NAME_MAX}, and not {GENERAL_SOURCE:?}");
            s.fault(&name, "is no name of a tenant", mend);
        }
        if tenants.len() == SOURCES_MAX - 1 {
            s.fault(&name, "is one too many", format!("at most {} tenants", SOURCES_MAX - 1));
        }
        tenants.push(Ldap::read_tenant(section, folder, name));
    }
    tenants
}

/// What has to hold between all of them.
pub(super) fn check_all(s: &Section<'_>, sources: &[Ldap]) {
    let mirrors = || sources.iter().map(|source| &source.mirror);
    for (at, one) in mirrors().enumerate() {
        for other in mirrors().take(at) {
            let nested =
                |base: &&Dn| other.bases.iter().any(|top| base.is_within(top) || top.is_within(base));
            if let Some(base) = one.bases.iter().find(nested) {
                let what = format!("{base} is in the subtrees of {} and of {}", other.name, one.name);
                s.fault("tenants", what, "each subtree belongs to one of them");
            }
            if let Some(both) = one.domains.iter().find(|own| other.domains.contains(own)) {
                let what = format!("{both} is given to {} and to {}", other.name, one.name);
                s.fault("tenants", what, "each domain belongs to one of them");
            }
        }
    }
}

impl Ldap {
    pub(super) fn read(mut s: Section<'_>, folder: &Path, (dc_top, organization_top): (&Dn, &Dn)) -> Self {
        let mut ldap = Self::read_source(&mut s, folder, GENERAL_SOURCE.to_owned());
        (ldap.mirror.dc_suffix, ldap.organization_suffix) = (dc_top.clone(), organization_top.clone());
        s.close();
        ldap
    }

    /// One that is a tenant's own: it says which domains.
    fn read_tenant(mut s: Section<'_>, folder: &Path, name: String) -> Self {
        let hint = "write domains as [\"example.org\", \".example.org\"], the second for all below it";
        let domains: Vec<OwnDomain> = s.parsed_list("domains", hint).unwrap_or_default();
        if domains.is_empty() || domains.len() > OWN_DOMAINS_MAX {
            let what = format!("names no domain, or more than {OWN_DOMAINS_MAX}");
            s.fault(
                "domains",
                what,
                "a tenant's directory speaks of the domains that are named here, and of no other",
            );
        }
        let keys = ["dc-suffix", "organization-suffix"];
        let tops = keys.map(|key| s.parsed::<Dn>(key, "write a name, as \"o=acme\""));
        let mut ldap = Self::read_source(&mut s, folder, name);
        ldap.mirror.domains = domains;
        let first = ldap.mirror.bases.first().cloned().unwrap_or_else(Dn::root);
        let [dc_suffix, organization_suffix] = tops.map(|top| top.unwrap_or_else(|| first.clone()));
        for (key, top) in keys.into_iter().zip([&dc_suffix, &organization_suffix]) {
            if !ldap.mirror.bases.iter().any(|base| top.is_within(base)) {
                let what = format!("{:?} lies below none of bases", top.to_string());
                s.fault(key, what, "new domains of the tenant go to the tenant's own servers");
            }
        }
        (ldap.mirror.dc_suffix, ldap.organization_suffix) = (dc_suffix, organization_suffix);
        s.close();
        ldap
    }

    fn read_source(s: &mut Section<'_>, folder: &Path, name: String) -> Self {
        let ldap = read_servers(s, folder);
        let bases: Vec<Dn> =
            s.parsed_list("bases", "write names, as [\"o=isp\", \"o=internet\"]").unwrap_or_default();
        let mirror = MirrorOptions {
            name,
            domains: Vec::new(),
            dc_suffix: Dn::root(),
            ldap,
            bases,
            mode: s.choice(
                "sync",
                SyncMode::Live,
                &[
                    ("live", SyncMode::Live),
                    ("incremental", SyncMode::Incremental),
                    ("manual", SyncMode::Manual),
                ],
            ),
            incremental_every: s.duration("incremental-every", secs(300), secs(1)..=secs(86_400)),
            full_every: s.duration("full-every", secs(86_400), secs(0)..=secs(30 * 86_400)),
            overlap: s.duration("overlap", secs(60), secs(1)..=secs(86_400)),
            removals_free: s.number("removals-free", 10, 0..=1_000_000),
            removals_percent_max: u8::try_from(s.number("removals-percent-max", 20, 0..=100)).unwrap_or(100),
            miss_timeout: s.duration("miss-timeout", secs(2), Duration::from_millis(100)..=secs(30)),
            misses_max: s.count("misses-max", 8, 1..=256),
            miss_remembered: s.duration("miss-remembered", secs(2), secs(0)..=secs(3600)),
            writable: s.flag("writable", true),
        };
        let ldap = Self {
            mirror,
            organization_suffix: Dn::root(),
            authenticate: s.choice(
                "authenticate",
                Authenticate::Hash,
                &[("hash", Authenticate::Hash), ("bind", Authenticate::Bind)],
            ),
        };
        ldap.check(s);
        ldap
    }

    fn check(&self, s: &Section<'_>) {
        let MirrorOptions { ldap, bases, .. } = &self.mirror;
        if ldap.servers.is_empty() || ldap.servers.len() > SERVERS_MAX {
            let what = format!("names no server, or more than {SERVERS_MAX}");
            s.fault("servers", what, "servers = [\"ldap://dir1.example.org\", \"ldap://dir2.example.org\"]");
        }
        if bases.is_empty() || bases.len() > BASES_MAX {
            let what = format!("names no base, or more than {BASES_MAX}");
            s.fault("bases", what, "bases = [\"o=isp\", \"o=internet\"]");
        }
        for (at, base) in bases.iter().enumerate() {
            if base.depth() == 0
                || bases.iter().enumerate().any(|(other, top)| other != at && base.is_within(top))
            {
                let what = format!("{:?} is the root, or lies below another base", base.to_string());
                s.fault("bases", what, "name each subtree once");
            }
        }
        if ldap.bind_dn.is_some() != ldap.password_file.is_some() {
            let mend = "a name and a password belong together (RFC 4513 §5.1): write both keys, or none";
            s.fault("bind-dn", "and password-file do not stand together", mend);
        }
    }
}

fn read_servers(s: &mut Section<'_>, folder: &Path) -> LdapOptions {
    let hint = "write servers as [\"ldap://dir1.example.org\", \"ldaps://dir2.example.org\"]";
    let bind_dn: Option<Dn> = s.parsed("bind-dn", "write a name, as \"cn=wasmta,o=isp\"");
    let ldap = LdapOptions {
        servers: s.parsed_list::<ServerUrl>("servers", hint).unwrap_or_default(),
        start_tls: s.flag("start-tls", false),
        authorities: s.path("ca-file").map(|path| below(folder, path)),
        bind_dn: bind_dn.map(|dn| dn.to_string()),
        password_file: s.path("password-file").map(|path| below(folder, path)),
        connect_timeout: s.duration("connect-timeout", secs(5), Duration::from_millis(100)..=secs(60)),
        operation_timeout: s.duration("operation-timeout", secs(30), Duration::from_millis(100)..=secs(600)),
        connections_max: s.count("connections-max", 8, 2..=256),
        page_size: u16::try_from(s.number("page-size", 1000, 1..=10_000)).unwrap_or(1000),
        referrals: s.choice(
            "referrals",
            Referrals::Refuse,
            &[("refuse", Referrals::Refuse), ("ignore", Referrals::Ignore), ("follow", Referrals::Follow)],
        ),
        referral_servers: s.parsed_list::<ServerUrl>("referral-servers", hint).unwrap_or_default(),
    };
    check_referrals(s, &ldap);
    let cleartext = s.flag("cleartext", false);
    let in_clear =
        |server: &&ServerUrl| ldap.protection(server) == Protection::None && !is_here(&server.host);
    for (key, servers) in [("servers", &ldap.servers), ("referral-servers", &ldap.referral_servers)] {
        if let Some(server) = servers.iter().find(in_clear)
            && !cleartext
        {
            let what = format!("{server} would see passwords and entries cross the network in clear");
            s.fault(key, what, "set start-tls = true, write ldaps://, or allow it with cleartext = true");
        }
    }
    ldap
}

fn check_referrals(s: &Section<'_>, ldap: &LdapOptions) {
    if ldap.referral_servers.len() > SERVERS_MAX {
        let what = format!("names more than {SERVERS_MAX} servers");
        s.fault("referral-servers", what, "name those that the first ones point to");
    }
    if !ldap.referral_servers.is_empty() && ldap.referrals != Referrals::Follow {
        let mend = "set referrals = \"follow\", or take the servers out";
        s.fault("referral-servers", "is never used: referrals are not followed", mend);
    }
}

/// Whether a host is this machine: what is said to it crosses no network.
fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
