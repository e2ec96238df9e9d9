//! The sources behind the directory, LDAP servers above all: the ports through which the rest asks them.

use std::collections::HashSet;
use std::sync::Arc;

use directory::{Directory, DirectoryOptions, Dn, DomainTables, Mirrors, OwnTops, Schema};
use events::Events;
use mail_types::{Address, Lookup};
use routing::{Builders, Routing, Tables};
use runtime::{Background, Clock};

use super::provisioning::Provisioning;
use crate::config::{Authenticate, Config};

/// How the directory is read and where new entries go, as the configuration says.
pub(super) fn options(config: &Config) -> Result<DirectoryOptions, String> {
    let mut schema = Schema::product();
    for (name, local) in &config.directory.schema {
        schema.remap(name, local.clone()).map_err(|why| format!("directory.schema: {why}"))?;
    }
    Ok(DirectoryOptions {
        schema,
        dc_suffix: config.directory.dc_suffix.clone(),
        organization_suffix: config.directory.organization_suffix.clone(),
        own_tops: own_tops(config),
        ..DirectoryOptions::default()
    })
}

/// Where the new domains of tenants go that have directories of their own.
fn own_tops(config: &Config) -> Vec<OwnTops> {
    let tenants = config.directory.sources.iter().filter(|source| !source.mirror.domains.is_empty());
    let tops = tenants.map(|source| OwnTops {
        domains: source.mirror.domains.clone(),
        dc_suffix: source.mirror.dc_suffix.clone(),
        organization_suffix: source.organization_suffix.clone(),
    });
    tops.collect()
}

/// The mirrors, where the directory has other sources than itself.
pub(super) fn of(
    config: &Config,
    directory: &Directory,
    (clock, events): (&Clock, &Events),
    background: &Background,
) -> Result<Option<Mirrors>, String> {
    if config.directory.sources.is_empty() {
        return Ok(None);
    }
    let sources = config.directory.sources.iter().map(|source| source.mirror.clone()).collect();
    let mirrors = Mirrors::new(directory.clone(), sources, (clock, events), background);
    mirrors.map(Some).map_err(|why| format!("directory.ldap: {why}"))
}

/// An authenticator that has the source verify passwords where the configuration, or an entry without a hash, says so.
pub(super) fn verified(
    authenticator: auth::Authenticator,
    mirrors: Option<&Mirrors>,
    config: &Config,
) -> auth::Authenticator {
    let Some(mirrors) = mirrors else { return authenticator };
    let by_bind = config.directory.sources.iter().filter(|source| source.authenticate == Authenticate::Bind);
    let by_bind = by_bind.map(|source| source.mirror.name.clone()).collect();
    authenticator.with_verifier(Arc::new(ByBind { mirrors: mirrors.clone(), by_bind }))
}

/// Where the rows of the tables come from, besides the directory's own entries.
pub(super) struct Sources<'a> {
    /// LDAP servers.
    pub(super) mirror: Option<&'a Mirrors>,
    /// DNS tables.
    pub(super) tables: &'a DomainTables,
    /// What makes domains ours, where that is wanted.
    pub(super) provisioning: Option<Provisioning>,
}

/// Routing that asks the sources about what the tables do not have.
pub(super) fn sourced(
    routing: Routing,
    sources: Sources<'_>,
    plugins: &plugin_engine::Engine,
    (events, clock): (&Events, &Clock),
) -> Routing {
    if sources.mirror.is_none() && sources.tables.is_empty() && sources.provisioning.is_none() {
        return routing;
    }
    let mirror = sources.mirror.map(|mirror| LiveLookUp {
        mirror: mirror.clone(),
        tables: routing.tables().clone(),
        plugins: plugins.clone(),
        events: events.clone(),
        clock: clock.clone(),
    });
    let rows = routing.tables().clone();
    let Sources { tables, provisioning, .. } = sources;
    routing.with_source(Arc::new(All { mirror, rows, tables: tables.clone(), provisioning }))
}

/// All sources, the directory's first.
struct All {
    mirror: Option<LiveLookUp>,
    rows: Tables,
    tables: DomainTables,
    provisioning: Option<Provisioning>,
}

impl routing::Source for All {
    fn look_up<'a>(&'a self, address: &'a Address) -> routing::BoxFuture<'a, Lookup<()>> {
        Box::pin(async move {
            if let Some(mirror) = &self.mirror {
                match mirror.look_up(address).await {
                    Lookup::NotFound => {}
                    answer => return answer,
                }
            }
            match self.rows.canonical_domain(&address.domain) {
                Lookup::NotFound => match (self.tables.knows_of(&address.domain), &self.provisioning) {
                    (Lookup::NotFound, Some(provisioning)) => provisioning.look_up(&address.domain).await,
                    (answer, _) => answer,
                },
                // The domain is known: its users are the directory's.
                Lookup::Found(_) => Lookup::NotFound,
                Lookup::Unavailable(why) => Lookup::Unavailable(why),
            }
        })
    }
}

/// Passwords, by bind.
struct ByBind {
    mirrors: Mirrors,
    /// The sources that are asked in any case.
    by_bind: HashSet<String>,
}

impl auth::Verifier for ByBind {
    fn ask(&self, entry: &Dn) -> auth::AskVerifier {
        match self.mirrors.of_entry(entry) {
            Some(mirror) if self.by_bind.contains(mirror.name()) => auth::AskVerifier::First,
            _ => auth::AskVerifier::WhereNothingIsStored,
        }
    }

    fn fits<'a>(&'a self, entry: &'a Dn, password: &'a str) -> auth::BoxFuture<'a, Lookup<()>> {
        Box::pin(self.mirrors.password_fits(entry, password))
    }

    fn look_up<'a>(&'a self, address: &'a Address) -> auth::BoxFuture<'a, Lookup<()>> {
        Box::pin(async move { self.mirrors.look_up(address).await.map(drop) })
    }
}

/// Misses, by one look-up and with tables that have followed it.
struct LiveLookUp {
    mirror: Mirrors,
    tables: Tables,
    plugins: plugin_engine::Engine,
    events: Events,
    clock: Clock,
}

impl routing::Source for LiveLookUp {
    fn look_up<'a>(&'a self, address: &'a Address) -> routing::BoxFuture<'a, Lookup<()>> {
        Box::pin(async move {
            match self.mirror.look_up(address).await {
                Lookup::Found(_) => {}
                Lookup::NotFound => return Lookup::NotFound,
                Lookup::Unavailable(why) => return Lookup::Unavailable(why),
            }
            let builders = Builders { plugins: &self.plugins, events: &self.events, clock: &self.clock };
            match self.tables.refresh(self.mirror.directory(), &builders).await {
                Ok(_) => Lookup::Found(()),
                Err(why) => Lookup::Unavailable(why.to_string()),
            }
        })
    }
}
