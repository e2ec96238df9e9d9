//! `[plugins.NAME]`: what a policy plugin may do, and where it is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hooks::{OnFailure, PluginName, Role};
use mail_types::{ChannelName, Domain};
use plugin_engine::{
    BreakerOptions, Capability, DomainPattern, KEYS_MAX, Limits, Reuse, SERVER_TABLES, Settings, Trust,
    TrustedKey,
};

use super::section::Section;
use super::{below, units};

/// Most plugins of one configuration.
const PLUGINS_MAX: usize = 100_000;
/// Least octets of recorded calls, where any are kept: some dozens. A call takes a few KiB, and what it was made with stands
/// before it.
const RECORD_MIN: u64 = 64 << 10;
/// Most octets of recorded calls of one plugin.
const RECORD_MAX: u64 = 64 << 30;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// One plugin's section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// What the engine takes; secrets and tables are still files.
    pub settings: Settings,
    /// Secret and the file whose first line it is.
    pub secrets: Vec<(String, PathBuf)>,
    /// Table and its file.
    pub tables: Vec<(String, PathBuf)>,
    /// Most octets of recorded calls; 0: none are.
    pub record: u64,
}

/// Whose signatures count, and all plugins, in the order of the file.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> (Trust, Vec<Plugin>) {
    let trust = read_trust(&mut section);
    let named = section.named_sections();
    if named.len() > PLUGINS_MAX {
        section.fault(
            "",
            format!("{} plugins are named here", named.len()),
            format!("at most {PLUGINS_MAX}"),
        );
    }
    (trust, named.into_iter().filter_map(|(name, one)| read_plugin(&name, one, folder)).collect())
}

fn read_trust(s: &mut Section<'_>) -> Trust {
    let mend = "write the second line of a minisign public key (NAME.pub), as \"RWQ…\"";
    let keys: Vec<TrustedKey> = s.parsed_list("trusted-keys", mend).unwrap_or_default();
    let required = s.flag("require-signature", false);
    if keys.len() > KEYS_MAX {
        s.fault("trusted-keys", format!("has {} keys", keys.len()), format!("at most {KEYS_MAX}"));
    }
    for (at, key) in keys.iter().enumerate() {
        if keys.iter().take(at).any(|other| other.id() == key.id()) {
            s.fault("trusted-keys", format!("names key {} twice", key.id()), "take one out");
        }
    }
    if required && keys.is_empty() {
        let mend = "add trusted-keys = [\"RWQ…\"], or take it out";
        s.fault("require-signature", "asks for signatures, and no key is trusted", mend);
    }
    Trust { keys, required }
}

fn read_plugin(name: &str, mut s: Section<'_>, folder: &Path) -> Option<Plugin> {
    let name: PluginName = match name.parse() {
        Ok(name) => name,
        Err(why) => {
            s.fault("", format!("{why}"), "name it as `wasmta plugin list` does");
            return None;
        }
    };
    let mut settings = Settings::new(name);
    let capabilities = Capability::ALL.map(Capability::as_str).join(", ");
    let grants: Option<Vec<Capability>> = s.parsed_list("allow", &format!("write some of: {capabilities}"));
    settings.grants.extend(grants.unwrap_or_default());
    let domains: Option<Vec<DomainPattern>> =
        s.parsed_list("domains", "write domains, \".example.org\" for all below one, or \"*\"");
    settings.domains = domains.unwrap_or_default();
    let roles = Role::ALL.map(Role::as_str).join(", ");
    let bound: Option<Vec<Role>> = s.parsed_list("roles", &format!("write some of: {roles}"));
    settings.roles.extend(bound.unwrap_or_default());
    if !settings.roles.is_empty() && settings.domains.is_empty() {
        s.fault("roles", "binds roles to no domain", "add domains = [\"example.org\"], or take it out");
    }
    settings.order = i64::try_from(s.number("order", 0, 0..=1_000_000)).unwrap_or(0);
    let tenants: Option<Vec<Domain>> = s.parsed_list("tenants", "write canonical mail domains");
    settings.tenants.extend(tenants.unwrap_or_default());
    let channels: Option<Vec<String>> = s.parsed_list("channels", "write names of channels");
    settings.channels.extend(channels.unwrap_or_default().iter().map(|name| ChannelName::new(name)));
    let said = s.has("on-failure").then_some(());
    let on_failure = s.choice("on-failure", OnFailure::default(), &FAILURES);
    settings.on_failure = said.map(|()| on_failure);
    settings.on_failure_of = read_failures(s.section("on-failure-of"));
    settings.limits = read_limits(s.section("limits"));
    settings.remember = s.number("remember", 0, 0..=10_000_000);
    let record = s.size("record", 0, 0..=RECORD_MAX);
    if record > 0 && record < RECORD_MIN {
        let what = format!("{} holds no calls worth the name", units::size_text(record));
        let (least, most) = (units::size_text(RECORD_MIN), units::size_text(RECORD_MAX));
        s.fault("record", what, format!("from {least} to {most}, or \"0 B\": none are recorded"));
    }
    settings.breaker = read_breaker(s.section("breaker"));
    settings.reuse = read_reuse(s.section("reuse"));
    settings.config = s.json("config");
    let secrets = read_files(&s.section("secrets"), folder);
    let tables = read_tables(&s.section("tables"), folder);
    s.close();
    Some(Plugin { settings, secrets, tables, record })
}

const FAILURES: [(&str, OnFailure); 4] = [
    ("tempfail", OnFailure::Tempfail),
    ("keep", OnFailure::Keep),
    ("skip", OnFailure::Skip),
    ("reject", OnFailure::Reject),
];

fn read_failures(mut s: Section<'_>) -> std::collections::BTreeMap<Role, OnFailure> {
    let mut failures = std::collections::BTreeMap::new();
    for role in Role::ALL {
        if s.has(role.as_str()) {
            failures.insert(role, s.choice(role.as_str(), OnFailure::default(), &FAILURES));
        }
    }
    s.close();
    failures
}

fn read_limits(mut s: Section<'_>) -> Limits {
    let usual = Limits::default();
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let least = Duration::from_millis(1);
    let limits = Limits {
        cpu: s.duration("cpu", usual.cpu, least..=SECOND * 60),
        wall: s.duration("wall", usual.wall, least..=SECOND * 60),
        memory: s.size("memory", usual.memory, 64 << 10..=plugin_engine::MEMORY_MAX),
        tenant_memory: s.size("tenant-memory", usual.tenant_memory, 64 << 10..=64 << 30),
        tenant_cpu: s.duration("tenant-cpu", usual.tenant_cpu, least..=SECOND * 64),
        tenant_calls: s.count("tenant-calls", usual.tenant_calls, 1..=1024),
        output: s.count("output", usual.output, 1024..=64 << 20),
        host_calls: small(s.count("host-calls", usual.host_calls as usize, 0..=10_000_000)),
        log_lines: small(s.count("log-lines", usual.log_lines as usize, 0..=10_000)),
        dns_queries: small(s.count("dns-queries", usual.dns_queries as usize, 0..=10_000)),
        kv: s.size("kv", usual.kv, 0..=1 << 30),
    };
    if limits.wall < limits.cpu {
        s.fault("wall", "is less than cpu", "a call waits at least as long as it computes");
    }
    if limits.tenant_memory < limits.memory {
        s.fault("tenant-memory", "is less than memory", "a tenant has room for at least one instance");
    }
    s.close();
    limits
}

fn read_breaker(mut s: Section<'_>) -> BreakerOptions {
    let usual = BreakerOptions::default();
    let breaker = BreakerOptions {
        faults: u32::try_from(s.number("faults", u64::from(usual.faults), 1..=1_000_000)).unwrap_or(u32::MAX),
        within: s.duration("within", usual.within, SECOND..=DAY),
        rest: s.duration("rest", usual.rest, SECOND..=DAY),
    };
    s.close();
    breaker
}

fn read_reuse(mut s: Section<'_>) -> Option<Reuse> {
    let given = s.is_given();
    let usual = Reuse::default();
    let reuse = Reuse {
        calls: u32::try_from(s.number("calls", u64::from(usual.calls), 1..=1_000_000_000))
            .unwrap_or(u32::MAX),
        idle: s.duration("idle", usual.idle, Duration::from_millis(1)..=DAY),
        growth: s.size("growth", usual.growth, 0..=plugin_engine::MEMORY_MAX),
    };
    s.close();
    given.then_some(reuse)
}

/// Tables of the plugin's own: one that has the name of a table of the server's would stand before that, for this plugin.
fn read_tables(s: &Section<'_>, folder: &Path) -> Vec<(String, PathBuf)> {
    let tables = read_files(s, folder);
    for (name, _) in tables.iter().filter(|(name, _)| SERVER_TABLES.contains(&name.as_str())) {
        let what = format!("is the name of a table that the server keeps ({})", SERVER_TABLES.join(", "));
        s.fault(name, what, "give the table another name, and let the plugin ask for that");
    }
    tables
}

/// Names that the operator chose, each with a file. What is in the files, and whether they are there, costs their plugin alone:
/// that is seen when they are read.
fn read_files(s: &Section<'_>, folder: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for (name, words) in s.named_texts() {
        let Some(word) = words.first() else { continue };
        files.push((name, below(folder, PathBuf::from(word))));
    }
    files
}
