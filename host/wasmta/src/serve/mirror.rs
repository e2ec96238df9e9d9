//! The sources behind the directory, LDAP servers above all: the ports through which the rest asks them.

use std::collections::HashSet;
use std::sync::Arc;

use directory::{Directory, DirectoryOptions, Dn, DomainTables, Mirrors, OwnTops, Schema};
use events::Events;
use mail_types::{Address, Domain, Lookup};
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
    (mirrors, tables): (Option<&Mirrors>, &DomainTables),
    config: &Config,
) -> auth::Authenticator {
    let Some(mirrors) = mirrors else { return authenticator };
    let by_bind = config.directory.sources.iter().filter(|source| source.authenticate == Authenticate::Bind);
    let by_bind = by_bind.map(|source| source.mirror.name.clone()).collect();
    let (mirrors, tables) = (mirrors.clone(), tables.clone());
    authenticator.with_verifier(Arc::new(ByBind { mirrors, tables, by_bind }))
}

/// Where the rows of the tables come from, besides the directory's own entries.
pub(super) struct Sources<'a> {
    /// What the rows follow.
    pub(super) directory: &'a Directory,
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
    let Sources { directory, mirror, tables, provisioning } = sources;
    let following = Following {
        directory: directory.clone(),
        rows: routing.tables().clone(),
        plugins: plugins.clone(),
        events: events.clone(),
        clock: clock.clone(),
    };
    let (mirror, tables) = (mirror.cloned(), tables.clone());
    routing.with_source(Arc::new(All { mirror, tables, provisioning, following }))
}

/// All sources, the directory's first.
struct All {
    mirror: Option<Mirrors>,
    tables: DomainTables,
    provisioning: Option<Provisioning>,
    following: Following,
}

impl routing::Source for All {
    fn look_up<'a>(&'a self, address: &'a Address) -> routing::BoxFuture<'a, Lookup<()>> {
        Box::pin(async move {
            if let Some(mirror) = &self.mirror {
                match mirror.look_up(address).await {
                    Lookup::NotFound => {}
                    Lookup::Found(_) => return self.following.follow(Some(&address.domain)).await,
                    Lookup::Unavailable(why) => return Lookup::Unavailable(why),
                }
            }
            let domain = &address.domain;
            match self.following.rows.canonical_domain(domain) {
                Lookup::NotFound => {}
                // The domain is known: its users are the directory's.
                Lookup::Found(_) => return Lookup::NotFound,
                Lookup::Unavailable(why) => return Lookup::Unavailable(why),
            }
            match self.ask_tables(domain).await {
                Lookup::NotFound => match &self.provisioning {
                    Some(provisioning) => provisioning.look_up(domain).await,
                    None => Lookup::NotFound,
                },
                answer => answer,
            }
        })
    }

    fn look_up_entry<'a>(&'a self, dn: &'a Dn) -> routing::BoxFuture<'a, Lookup<()>> {
        Box::pin(self.ask_about_entry(dn))
    }
}

impl All {
    async fn ask_about_entry(&self, dn: &Dn) -> Lookup<()> {
        let Following { directory, rows, .. } = &self.following;
        match directory.entry(dn) {
            Lookup::Found(_) => {}
            Lookup::NotFound => {
                let Some(mirror) = &self.mirror else { return Lookup::NotFound };
                match mirror.look_up_entry(dn).await {
                    Lookup::Found(_) => {}
                    answer => return answer.map(drop),
                }
            }
            Lookup::Unavailable(why) => return Lookup::Unavailable(why),
        }
        // It is here, and in the tables in a moment; what has no address has no row.
        match self.following.follow(None).await {
            Lookup::Found(()) => rows.has_row(dn),
            answer => answer,
        }
    }

    /// What the DNS tables say of a domain without a row, asked at once: `Found` when it has one.
    async fn ask_tables(&self, domain: &Domain) -> Lookup<()> {
        match self.tables.look_up(domain).await {
            Lookup::Found(()) => {}
            answer => return answer,
        }
        match self.following.follow(Some(domain)).await {
            // An entry of the directory, one that is gone too, wins over the DNS.
            Lookup::Found(()) => self.following.rows.canonical_domain(domain).map(drop),
            answer => answer,
        }
    }
}

/// Passwords, by bind.
struct ByBind {
    mirrors: Mirrors,
    /// What else may make a domain known that has users there.
    tables: DomainTables,
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
        Box::pin(async move {
            // Who has no domain here may have one by the DNS: what cannot be said of that is no wrong password.
            if self.mirrors.directory().domain(&address.domain) == Lookup::NotFound
                && let Lookup::Unavailable(why) = self.tables.look_up(&address.domain).await
            {
                return Lookup::Unavailable(why);
            }
            self.mirrors.look_up(address).await.map(drop)
        })
    }
}

/// What makes the rows follow the directory.
struct Following {
    directory: Directory,
    rows: Tables,
    plugins: plugin_engine::Engine,
    events: Events,
    clock: Clock,
}

impl Following {
    /// Until the rows are the directory's; of those that plugins have to build, those of one domain are waited for.
    async fn follow(&self, domain: Option<&Domain>) -> Lookup<()> {
        let builders = Builders { plugins: &self.plugins, events: &self.events, clock: &self.clock };
        match self.rows.refresh_for(domain, &self.directory, &builders).await {
            Ok(_) => Lookup::Found(()),
            Err(why) => Lookup::Unavailable(why.to_string()),
        }
    }
}
