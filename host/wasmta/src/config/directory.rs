//! `[directory]`: where domains, users and groups come from.

use std::path::{Path, PathBuf};

use directory::Dn;

use super::below;
use super::ldap::{self, Ldap};
use super::section::Section;

/// `[directory]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The LDIF that fills the directory on the first start (RFC 2849).
    pub ldif: PathBuf,
    /// The LDAP directories that it mirrors, the general one first; none: it is its own source.
    pub sources: Vec<Ldap>,
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
        let (general, tenants) = (s.section("ldap"), s.section("tenants"));
        check_given(&s, is_ldap, (&general, &tenants));
        let mut sources = Vec::new();
        if general.is_given() {
            sources.push(Ldap::read(general, folder, (&dc_suffix, &organization_suffix)));
        }
        sources.extend(ldap::read_tenants(&tenants, folder));
        ldap::check_all(&s, &sources);
        if !is_ldap {
            sources.clear();
        }
        let directory = Self {
            ldif: below(folder, ldif),
            sources,
            dc_suffix,
            organization_suffix,
            schema,
            new_domains_by_mail: s.flag("new-domains-by-mail", false),
            new_domains_per_hour: s.count("new-domains-per-hour", 10, 1..=10_000),
        };
        if !is_ldap {
            s.file("ldif", &directory.ldif);
        }
        if directory.new_domains_by_mail
            && !directory.sources.is_empty()
            && !directory.sources.iter().any(|one| one.mirror.writable)
        {
            s.fault(
                "new-domains-by-mail",
                "adds domains, and no LDAP server may be written to",
                "take it out, or writable = false of the servers",
            );
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

/// That what is described is asked, and what is asked is described.
fn check_given(s: &Section<'_>, is_ldap: bool, (general, tenants): (&Section<'_>, &Section<'_>)) {
    if is_ldap && !general.is_given() && !tenants.is_given() {
        let what = "names LDAP servers that are not described";
        s.fault("source", what, "write a section [directory.ldap]");
    }
    if !is_ldap && (general.is_given() || tenants.is_given()) {
        let key = if general.is_given() { "ldap" } else { "tenants" };
        s.fault(key, "is never asked", "set source = \"ldap\", or take the section out");
    }
}
