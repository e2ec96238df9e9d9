//! `[directory]` and `[directory.ldap]`: where domains, users and groups come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use directory::{
    BASES_MAX, Dn, LdapOptions, MirrorOptions, Protection, Referrals, SERVERS_MAX, ServerUrl, SyncMode,
};

use super::below;
use super::section::Section;
use super::server::secs;

/// `[directory]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The LDIF that fills the directory on the first start (RFC 2849).
    pub ldif: PathBuf,
    /// The LDAP servers that it mirrors, where it is not its own source.
    pub ldap: Option<Ldap>,
    /// Top of the DC tree.
    pub dc_suffix: Dn,
    /// Top of the organisation tree.
    pub organization_suffix: Dn,
    /// Other names of attributes and object classes: the product's name, then those in use.
    pub schema: Vec<(String, Vec<String>)>,
    /// Whether mail for a domain that the DNS leads here, and nobody knows, makes it ours.
    pub new_domains_by_mail: bool,
    /// How many such domains an hour may bring.
    pub new_domains_per_hour: usize,
}

/// By what a password is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticate {
    /// By the hash that the directory shows; by bind where it shows none.
    Hash,
    /// By bind (RFC 4513 §5.1); by the hash while no server answers.
    Bind,
}

/// `[directory.ldap]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ldap {
    /// How it is mirrored.
    pub mirror: MirrorOptions,
    /// By what a password is verified.
    pub authenticate: Authenticate,
}

impl Directory {
    pub(super) fn read(mut s: Section<'_>, folder: &Path) -> Self {
        let ldif = s.path("ldif").unwrap_or_else(|| PathBuf::from("directory.ldif"));
        let is_ldap = s.choice("source", false, &[("embedded", false), ("ldap", true)]);
        let suffix = |s: &mut Section<'_>, key, usual: &str| {
            let name: Option<Dn> = s.parsed(key, "write a name, as \"o=isp\"");
            name.or_else(|| Dn::parse(usual).ok()).unwrap_or_else(Dn::root)
        };
        let dc_suffix = suffix(&mut s, "dc-suffix", "o=internet");
        let organization_suffix = suffix(&mut s, "organization-suffix", "o=isp");
        let schema = read_schema(&s.section("schema"));
        let ldap = s.section("ldap");
        if is_ldap && !ldap.is_given() {
            s.fault(
                "source",
                "names LDAP servers that are not described",
                "write a section [directory.ldap]",
            );
        }
        if !is_ldap && ldap.is_given() {
            s.fault("ldap", "is never asked", "set source = \"ldap\", or take the section out");
        }
        let ldap = ldap.is_given().then(|| Ldap::read(ldap, folder)).filter(|_| is_ldap);
        let directory = Self {
            ldif: below(folder, ldif),
            ldap,
            dc_suffix,
            organization_suffix,
            schema,
            new_domains_by_mail: s.flag("new-domains-by-mail", false),
            new_domains_per_hour: s.count("new-domains-per-hour", 10, 1..=10_000),
        };
        if !is_ldap {
            s.file("ldif", &directory.ldif);
        }
        s.close();
        directory
    }
}

/// The names that are called otherwise here; each has to be one that the product has.
fn read_schema(s: &Section<'_>) -> Vec<(String, Vec<String>)> {
    let names = s.named_texts();
    let mut schema = directory::Schema::product();
    for (name, local) in &names {
        if let Err(why) = schema.remap(name, local.clone()) {
            s.fault(name, why.to_string(), "write product-name = \"local-name\", or a list of local names");
        }
    }
    names
}

impl Ldap {
    fn read(mut s: Section<'_>, folder: &Path) -> Self {
        let ldap = read_servers(&mut s, folder);
        let bases: Vec<Dn> =
            s.parsed_list("bases", "write names, as [\"o=isp\", \"o=internet\"]").unwrap_or_default();
        let mirror = MirrorOptions {
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
            miss_remembered: s.duration("miss-remembered", secs(60), secs(0)..=secs(3600)),
            writable: s.flag("writable", true),
        };
        let ldap = Self {
            mirror,
            authenticate: s.choice(
                "authenticate",
                Authenticate::Hash,
                &[("hash", Authenticate::Hash), ("bind", Authenticate::Bind)],
            ),
        };
        ldap.check(&s);
        s.close();
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
