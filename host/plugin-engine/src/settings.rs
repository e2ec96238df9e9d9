//! What an operator decides about a plugin.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hooks::{Attributes, FailureKind, OnFailure, PluginName, Role};
use mail_types::{ChannelName, Domain};
use zeroize::Zeroizing;

use crate::capability::Capability;

/// Everything that the configuration says of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name, as installed.
    pub name: PluginName,
    /// What it may ask for.
    pub grants: BTreeSet<Capability>,
    /// The domains that it is bound to, in any of its roles below.
    pub domains: Vec<DomainPattern>,
    /// The roles in which it is bound to those domains; empty: all that it has.
    pub roles: BTreeSet<Role>,
    /// Its place among the plugins bound to the same domain: lower is asked first.
    pub order: i64,
    /// The tenants that it acts for, by canonical domain. Empty: the server itself, for all domains.
    pub tenants: BTreeSet<Domain>,
    /// The channels that it may route to.
    pub channels: BTreeSet<ChannelName>,
    /// What becomes of mail when it fails, where no role says otherwise; `None`: it waits, unless the plugin says that it fails
    /// for good.
    pub on_failure: Option<OnFailure>,
    /// The same for single roles.
    pub on_failure_of: BTreeMap<Role, OnFailure>,
    /// Its limits.
    pub limits: Limits,
    /// Whether instances serve more than one message.
    pub reuse: Option<Reuse>,
    /// Most answers remembered, of a plugin that can depend on nothing but the question and the tables; 0: none.
    pub remember: u64,
    /// When it is given a rest.
    pub breaker: BreakerOptions,
    /// Its own configuration, not yet checked against its schema.
    pub config: serde_json::Value,
    /// Its secrets.
    pub secrets: Secrets,
    /// Tables from files, by name.
    pub tables: BTreeMap<String, Arc<Table>>,
}

impl Settings {
    /// A plugin that is granted and bound to nothing.
    #[must_use]
    pub fn new(name: PluginName) -> Self {
        Self {
            name,
            grants: BTreeSet::new(),
            domains: Vec::new(),
            roles: BTreeSet::new(),
            order: 0,
            tenants: BTreeSet::new(),
            channels: BTreeSet::new(),
            on_failure: None,
            on_failure_of: BTreeMap::new(),
            limits: Limits::default(),
            reuse: None,
            remember: 0,
            breaker: BreakerOptions::default(),
            config: serde_json::Value::Object(serde_json::Map::new()),
            secrets: Secrets::default(),
            tables: BTreeMap::new(),
        }
    }

    /// What becomes of mail when it fails so in a role.
    #[must_use]
    pub fn on_failure(&self, role: Role, kind: FailureKind) -> OnFailure {
        let unsaid = if kind == FailureKind::Permanent { OnFailure::Reject } else { OnFailure::Tempfail };
        self.on_failure_of.get(&role).copied().or(self.on_failure).unwrap_or(unsaid)
    }

    /// Whether it acts for a tenant.
    #[must_use]
    pub fn acts_for(&self, tenant: Option<&Domain>) -> bool {
        self.tenants.is_empty() || tenant.is_some_and(|tenant| self.tenants.contains(tenant))
    }
}

/// Rows of a table from a file: key, attributes.
pub type Table = HashMap<String, Attributes>;

/// Secrets by name; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, Zeroizing<Vec<u8>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which domains a plugin is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// Every domain.
    Any,
    /// This one.
    Is(Domain),
    /// Those below it: begins with a dot.
    Below(String),
}

impl std::str::FromStr for DomainPattern {
    type Err = String;

    /// Reads `*`, `example.org` or `.example.org`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.strip_prefix('.') {
            Some(rest) => Domain::parse(rest).map(|domain| Self::Below(format!(".{domain}"))),
            None => Domain::parse(text).map(Self::Is),
        }
        .map_err(|error| error.to_string())
    }
}

impl std::fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Is(domain) => write!(f, "{domain}"),
            Self::Below(suffix) => f.write_str(suffix),
        }
    }
}

impl DomainPattern {
    /// Whether a domain is meant.
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        match self {
            Self::Any => true,
            Self::Is(other) => other == domain,
            Self::Below(suffix) => domain.as_str().ends_with(suffix.as_str()),
        }
    }
}

/// The limits of one plugin. Times, sizes and counts are of one call, unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Its own processor time.
    pub cpu: Duration,
    /// Time by the wall clock, its start and waiting for the host included. To wait for a place to run may take as long again.
    pub wall: Duration,
    /// Memory of an instance, all its memories together, in octets.
    pub memory: u64,
    /// Memory of all its instances for one tenant, in octets.
    pub tenant_memory: u64,
    /// Processor time of one tenant in a second, over all calls of this plugin.
    pub tenant_cpu: Duration,
    /// Calls for one tenant at a time.
    pub tenant_calls: usize,
    /// Octets that it may hand to the host: what it gives to host functions, and its answer. Texts count for their
    /// length, with a few octets for what is around them.
    pub output: usize,
    /// Calls to the host.
    pub host_calls: u32,
    /// Lines in the log.
    pub log_lines: u32,
    /// Questions to the DNS.
    pub dns_queries: u32,
    /// What it may keep in `kv` for one tenant, in octets.
    pub kv: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(10),
            wall: Duration::from_millis(500),
            memory: 16 << 20,
            tenant_memory: 64 << 20,
            tenant_cpu: Duration::from_millis(250),
            tenant_calls: 16,
            output: 1 << 20,
            host_calls: 1000,
            log_lines: 20,
            dns_queries: 10,
            kv: 1 << 20,
        }
    }
}

/// How long an instance may serve one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// Calls until it is replaced.
    pub calls: u32,
    /// Idle time until it is dropped.
    pub idle: Duration,
    /// Growth of its memory, in octets, until it is replaced.
    pub growth: u64,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { calls: 1000, idle: Duration::from_secs(30), growth: 8 << 20 }
    }
}

/// When a plugin is given a rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many faults …
    pub faults: u32,
    /// … within this time …
    pub within: Duration,
    /// … and it rests so long; then one call tries whether it works again.
    pub rest: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { faults: 5, within: Duration::from_secs(10), rest: Duration::from_secs(30) }
    }
}
