//! What in the bindings of plugins contradicts what is installed, what the rest of the configuration has, or itself. It is taken
//! up all the same: nothing here refuses anything, whoever loads a configuration tells it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use hooks::{FailureKind, OnFailure, PluginName, Role};
use mail_types::{ChannelName, Domain, Lookup};

use crate::artefacts::manifest_in;
use crate::capability::Capability;
use crate::component::Manifest;
use crate::engine::Engine;
use crate::overlaps::overlaps;
use crate::registry::Registry;
use crate::settings::{DomainPattern, Settings};

/// Most that one look tells; of more it says how many there are.
pub const CONTRADICTIONS_MAX: usize = 100;

/// Most names that one sentence has.
const NAMED_MAX: usize = 20;

/// One thing that does not fit another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The key of the configuration, or the place of the rule.
    pub key: String,
    /// What does not fit.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.mend)
    }
}

/// A plugin that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// What it is; `None` where that cannot be read.
    pub manifest: Option<Manifest>,
}

/// Says of a plugin whether it is installed, and what it is.
pub type InstalledAs<'a> = &'a dyn Fn(&PluginName) -> Option<Stand>;
/// Says whose a domain is: the canonical domain of its tenant.
pub type TenantOf<'a> = &'a dyn Fn(&Domain) -> Lookup<Domain>;

/// What bindings are held against.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// All plugins of the configuration.
    pub settings: &'a [Settings],
    /// What is installed; `None` before the first start.
    pub installed: Option<InstalledAs<'a>>,
    /// The channels of the configuration.
    pub channels: &'a [ChannelName],
    /// The plugins that rewrite rules ask, each with the place of the first rule that does.
    pub rules: &'a [(PluginName, String)],
    /// The domains of the directory; `None` where it is not open.
    pub tenant_of: Option<TenantOf<'a>>,
}

/// Says of the plugins of a folder what is installed, without starting anything.
///
/// # Errors
/// The list of installed plugins cannot be read.
pub fn installed_in(folder: &Path) -> Result<impl Fn(&PluginName) -> Option<Stand>, String> {
    let registry = Registry::open(folder.join("installed.json"))?;
    let folder = folder.to_path_buf();
    Ok(move |name: &PluginName| {
        let one = registry.of(name)?;
        Some(Stand { enabled: one.enabled, manifest: manifest_in(&folder, &one.active) })
    })
}

impl Engine {
    /// What is installed under a name.
    #[must_use]
    pub fn stand(&self, name: &PluginName) -> Option<Stand> {
        let one = self.0.registry.of(name)?;
        let running = self.plugin(name).map(|plugin| plugin.manifest().clone());
        Some(Stand {
            enabled: one.enabled,
            manifest: running.or_else(|| self.0.artefacts.manifest(&one.active)),
        })
    }

    /// Why a plugin cannot be asked in a role on behalf of a tenant, and what becomes of the mail; nothing where it can.
    #[must_use]
    pub fn unasked(&self, name: &PluginName, role: Role, tenant: Option<&Domain>) -> Option<String> {
        let failed = self.0.find(name, role, tenant).err()?;
        Some(format!("{failed}; on-failure {}", failed.on_failure))
    }

    /// What the configuration in force says of a plugin.
    #[must_use]
    pub fn settings_of(&self, name: &PluginName) -> Option<Settings> {
        self.0.active.load().settings.get(name).cloned()
    }
}

impl Manifest {
    /// What it imports by which rows that it builds may depend on more than their entry.
    #[must_use]
    pub fn beyond_the_entry(&self) -> Vec<Capability> {
        let beyond = [Capability::Dns, Capability::Kv, Capability::Clock, Capability::Random];
        let builds = self.roles.contains(&Role::RouteTable);
        self.imports.iter().filter(|one| builds && beyond.contains(one)).copied().collect()
    }
}

/// The roles in which a plugin is bound to its domains; where nobody knows which it has, those that may be.
#[must_use]
pub fn bound_roles(settings: &Settings, manifest: Option<&Manifest>) -> Vec<Role> {
    let is_bound = |role: &Role| {
        (settings.roles.is_empty() || settings.roles.contains(role))
            && manifest.is_none_or(|manifest| manifest.roles.contains(role))
    };
    Role::ALL.into_iter().filter(is_bound).collect()
}

/// What is to be said of a builder of rows that may ask for these.
#[must_use]
pub fn rows_beyond(beyond: &[Capability]) -> String {
    format!(
        "rows that it builds may depend on {}, and are not built anew where only that changes: the same entry must give the \
         same rows",
        words(beyond)
    )
}

/// What becomes of mail, or of rows, where a plugin cannot be asked in these roles.
#[must_use]
pub fn without_it(settings: Option<&Settings>, roles: &[Role]) -> String {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for role in roles {
        let on_failure =
            settings.map(|settings| settings.on_failure(*role, FailureKind::Missing)).unwrap_or_default();
        let what = match (role, on_failure) {
            (Role::RouteTable, _) => {
                "rows stay as they are, and addresses that are not known get 451".to_owned()
            }
            (_, OnFailure::Tempfail) => "mail waits, or its sender has to try again (tempfail)".to_owned(),
            (_, OnFailure::Keep) => "mail goes on without it and those after it (keep)".to_owned(),
            (_, OnFailure::Skip) => "the next rule or plugin is asked (skip)".to_owned(),
            (_, OnFailure::Reject) => "mail is refused for good (reject)".to_owned(),
        };
        match told.iter_mut().find(|(known, _)| *known == what) {
            Some((_, roles)) => roles.push(role.as_str()),
            None => told.push((what, vec![role.as_str()])),
        }
    }
    let told: Vec<String> =
        told.into_iter().map(|(what, roles)| format!("{}: {what}", roles.join(", "))).collect();
    told.join("; ")
}

/// Holds the bindings against what is known.
#[must_use]
pub fn contradictions(known: &Known<'_>) -> Vec<Contradiction> {
    let mut found = Vec::new();
    for settings in known.settings {
        let manifest = known
            .installed
            .and_then(|installed| installed(&settings.name))
            .filter(|stand| stand.enabled)
            .and_then(|stand| stand.manifest);
        let one = One { known, settings, manifest: manifest.as_ref() };
        found.extend(one.roles());
        found.extend(one.tenants());
        found.extend(one.unknown_domains());
        found.extend(one.channels());
        found.extend(one.remembered());
        found.extend(one.rows());
    }
    found.extend(overlaps(known));
    let by_name: HashMap<&PluginName, &Settings> =
        known.settings.iter().map(|settings| (&settings.name, settings)).collect();
    let asked = known.rules.iter();
    found.extend(
        asked.filter_map(|(name, place)| asked_by_rule(known, by_name.get(name).copied(), name, place)),
    );
    if found.len() > CONTRADICTIONS_MAX {
        let what = format!("{} more such things are not told", found.len() - CONTRADICTIONS_MAX);
        found.truncate(CONTRADICTIONS_MAX);
        found.push(Contradiction { key: "plugins".to_owned(), what, mend: "mend these first".to_owned() });
    }
    found
}

/// Plugins that are bound and cannot be asked, for they are not installed, or disabled. Whoever takes a configuration up tells
/// that of all that it has; who checks before has no other way to know.
#[must_use]
pub fn absent(settings: &[Settings], installed: InstalledAs<'_>) -> Vec<Contradiction> {
    let bound = settings.iter().filter(|one| !one.domains.is_empty());
    let absent = bound.filter_map(|one| {
        let name = &one.name;
        let (what, mend, manifest) = match installed(name) {
            None => ("is not installed", "`wasmta plugin install`, or take the section out".to_owned(), None),
            Some(Stand { enabled: false, manifest }) => {
                ("is disabled", format!("`wasmta plugin enable {name}`, or take its domains out"), manifest)
            }
            Some(_) => return None,
        };
        let fails = without_it(Some(one), &bound_roles(one, manifest.as_ref()));
        let what = format!("the plugin is bound here, and {what}; {fails}");
        Some(Contradiction { key: format!("plugins.{name}.domains"), what, mend })
    });
    // What more there is, `wasmta plugin list` has.
    absent.take(CONTRADICTIONS_MAX).collect()
}

/// Who builds the rows of a domain that a plugin is bound to and does not act for.
const BY_THE_SERVER: &str = "the server builds its rows itself, from the entries as its own schema has them";

/// One plugin's section.
struct One<'a> {
    known: &'a Known<'a>,
    settings: &'a Settings,
    /// Where it is installed and enabled.
    manifest: Option<&'a Manifest>,
}

impl One<'_> {
    fn tell(&self, key: &str, what: String, mend: impl Into<String>) -> Contradiction {
        Contradiction { key: format!("plugins.{}.{key}", self.settings.name), what, mend: mend.into() }
    }

    /// Roles that it has not: nobody asks it in them, and nothing fails.
    fn roles(&self) -> Option<Contradiction> {
        let manifest = self.manifest?;
        let lacks: Vec<Role> =
            self.settings.roles.iter().filter(|role| !manifest.roles.contains(role)).copied().collect();
        if lacks.is_empty() {
            return None;
        }
        let what = format!(
            "names {}, and the installed version does not have that role; it has {}",
            words(&lacks),
            words(&manifest.roles)
        );
        Some(self.tell("roles", what, "take it out, or install a version that has it"))
    }

    /// Domains that it is bound to and does not act for: asking it there fails.
    fn tenants(&self) -> Vec<Contradiction> {
        let Settings { tenants, domains, .. } = self.settings;
        if tenants.is_empty() {
            return Vec::new();
        }
        let mut roles = bound_roles(self.settings, self.manifest);
        let all = roles.len();
        roles.retain(|role| *role != Role::RouteTable);
        let builds = roles.len() < all;
        let acts_for = words(tenants);
        let told = domains.iter().filter_map(|pattern| {
            // Where it does not act, the server builds the rows: nothing is wrong with that below a pattern, and a domain that is
            // named was meant.
            let is_named = matches!(pattern, DomainPattern::Is(_));
            let fails = match (roles.is_empty(), builds && is_named) {
                (false, false) => without_it(Some(self.settings), &roles),
                (false, true) => format!("{}, and {BY_THE_SERVER}", without_it(Some(self.settings), &roles)),
                (true, true) => BY_THE_SERVER.to_owned(),
                (true, false) => return None,
            };
            let whose = self.outside(pattern)?;
            let what = format!("{whose}, and tenants lets it act for {acts_for} alone; {fails}");
            Some(self.tell(
                "domains",
                what,
                "add the tenant to tenants, or bind it to domains of its tenants",
            ))
        });
        told.collect()
    }

    /// What of a pattern is none of its tenants'.
    fn outside(&self, pattern: &DomainPattern) -> Option<String> {
        let tenants = &self.settings.tenants;
        let domain = match pattern {
            DomainPattern::Any => return Some("\"*\" binds it to every domain".to_owned()),
            DomainPattern::Below(suffix) => {
                return Some(format!("{suffix:?} binds it to every domain below"));
            }
            DomainPattern::Is(domain) => domain,
        };
        match self.known.tenant_of.map(|tenant_of| tenant_of(domain)) {
            Some(Lookup::Found(tenant)) if tenants.contains(&tenant) => None,
            Some(Lookup::Found(tenant)) if tenant == *domain => Some(format!("it is bound to {domain}")),
            Some(Lookup::Found(tenant)) => Some(format!("it is bound to {domain}, another name of {tenant}")),
            Some(Lookup::NotFound) => Some(format!("it is bound to {domain}, a domain of nobody here")),
            _ if tenants.contains(domain) => None,
            // Without the directory it may be another name of one of them.
            _ => Some(format!("it is bound to {domain} (unless that is another name of one of its tenants)")),
        }
    }

    /// Domains and tenants that the directory does not know. With tenants, domains are told of as nobody's.
    fn unknown_domains(&self) -> Vec<Contradiction> {
        let Some(tenant_of) = self.known.tenant_of else { return Vec::new() };
        let Settings { tenants, domains, .. } = self.settings;
        let unknown = |domain: &Domain| matches!(tenant_of(domain), Lookup::NotFound);
        let named = domains.iter().filter_map(|pattern| match pattern {
            DomainPattern::Is(domain) if tenants.is_empty() && unknown(domain) => Some(domain),
            _ => None,
        });
        let mut found: Vec<Contradiction> = named
            .map(|domain| {
                let what = format!("the directory does not know {domain}: mail there is not ours");
                let mend = format!(
                    "mend the name, or `wasmta domain add {domain}`; leave it where rewrite or reverse is meant for mail of others"
                );
                self.tell("domains", what, mend)
            })
            .collect();
        found.extend(tenants.iter().filter_map(|tenant| {
            let what = match tenant_of(tenant) {
                Lookup::NotFound => format!("the directory does not know {tenant}"),
                Lookup::Found(canonical) if canonical != *tenant => {
                    format!(
                        "{tenant} is another name of {canonical}, and tenants go by their canonical domain"
                    )
                }
                _ => return None,
            };
            Some(self.tell("tenants", what, "write the canonical name of a domain of the directory"))
        }));
        found
    }

    /// `remember` where nothing is remembered.
    fn remembered(&self) -> Option<Contradiction> {
        let manifest = self.manifest.filter(|_| self.settings.remember > 0)?;
        let granted = manifest.imports.iter().filter(|one| self.settings.grants.contains(one));
        let impure: Vec<&Capability> = granted.filter(|one| one.is_impure()).collect();
        let why = if !manifest.roles.contains(&Role::Rewrite) {
            format!("only answers as rewrite are, and it has {}", words(&manifest.roles))
        } else if impure.is_empty() {
            return None;
        } else {
            format!("its answers may depend on more than the question: it imports {}", words(impure))
        };
        Some(self.tell("remember", format!("nothing is remembered; {why}"), "take it out"))
    }

    /// Rows that may depend on more than their entry.
    fn rows(&self) -> Option<Contradiction> {
        let manifest = self.manifest?;
        let mut beyond = manifest.beyond_the_entry();
        beyond.retain(|one| self.settings.grants.contains(one));
        if beyond.is_empty() || !bound_roles(self.settings, Some(manifest)).contains(&Role::RouteTable) {
            return None;
        }
        Some(self.tell("allow", rows_beyond(&beyond), "take that out, or use a version that does without"))
    }

    /// Channels that are not there: an answer that names one is refused.
    fn channels(&self) -> Option<Contradiction> {
        let channels = &self.settings.channels;
        let lacks: BTreeSet<&ChannelName> =
            channels.iter().filter(|one| !self.known.channels.contains(one)).collect();
        if lacks.is_empty() {
            return None;
        }
        let what = format!(
            "the configuration has no channel {}: an answer that leads there fails",
            words(lacks.iter().map(|one| one.as_str()))
        );
        let mend = format!(
            "mend the name, add [channels.NAME], or take it out; there are {}",
            words(self.known.channels.iter().map(ChannelName::as_str))
        );
        Some(self.tell("channels", what, mend))
    }
}

/// What is wrong with a plugin that a rewrite rule asks.
fn asked_by_rule(
    known: &Known<'_>,
    settings: Option<&Settings>,
    name: &PluginName,
    place: &str,
) -> Option<Contradiction> {
    let stand = known.installed.map(|installed| installed(name));
    let (why, mend) = match (settings, stand) {
        (None, _) => (
            format!("for which the configuration has no section [plugins.{name}]"),
            "add the section, or take the rule out".to_owned(),
        ),
        (_, Some(None)) => {
            ("which is not installed".to_owned(), "`wasmta plugin install`, or take the rule out".to_owned())
        }
        (_, Some(Some(Stand { enabled: false, .. }))) => {
            ("which is disabled".to_owned(), format!("`wasmta plugin enable {name}`, or take the rule out"))
        }
        (_, Some(Some(Stand { manifest: Some(manifest), .. })))
            if !manifest.roles.contains(&Role::Rewrite) =>
        {
            let roles = words(&manifest.roles);
            let why = format!("which does not have the role rewrite; it has {roles}");
            (why, "ask another plugin, or take the rule out".to_owned())
        }
        _ => return None,
    };
    let fails = without_it(settings, &[Role::Rewrite]);
    Some(Contradiction {
        key: place.to_owned(),
        what: format!("the rule asks the plugin {name}, {why}; {fails}"),
        mend,
    })
}

fn words<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let mut words: Vec<String> = items.by_ref().take(NAMED_MAX).map(|item| item.to_string()).collect();
    let left = items.count();
    if left > 0 {
        words.push(format!("{left} more"));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
