//! Domains by DNS tables, read and followed as the configuration says (R11, R25).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directory::{Directory, DomainTables, TableOptions};
use dns::{
    NoticedZone, Notices, Primary, PrimaryOptions, Servers, TableSource, TsigKey, Watch, WatchOptions,
    is_within,
};
use events::{Event, Events};
use mail_types::{Domain, Timestamp};
use parking_lot::Mutex;
use runtime::{Clock, Random, Shutdown};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{bound, ways};
use crate::config::{Config, DnsTable, DnsTableSource};

/// Notices that are not believed are told of no more often than this.
const REFUSED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// The tables, and who hears of changes of their zones.
#[derive(Clone)]
pub(crate) struct FollowedTables {
    /// What is known, and what follows from it.
    pub(crate) tables: DomainTables,
    notices: Option<Notices>,
    listen: Option<SocketAddr>,
}

/// The names that are ours among mail hosts.
pub(super) fn own_names(config: &Config) -> Vec<String> {
    let own = std::iter::once(&config.server.name).chain(&config.routing.own_names);
    own.map(Domain::to_string).collect()
}

/// Opens the tables, with what was known of them before.
pub(super) async fn of(
    config: &Config,
    directory: &Directory,
    (clock, random, events): (&Clock, &Random, &Events),
) -> Result<FollowedTables, String> {
    let (mut options, mut noticed) = (Vec::new(), Vec::new());
    for table in &config.dns.tables {
        let one = table_options(table, config, (clock, random));
        let (one, zone) = one.map_err(|why| format!("dns.tables.{}: {why}", table.name))?;
        options.push(one);
        noticed.extend(zone);
    }
    let told = (clock.clone(), events.clone());
    let tables = DomainTables::open(directory.clone(), options, own_names(config), told).await;
    let tables = tables.map_err(|why| format!("dns.tables: {why}"))?;
    let notices = (!noticed.is_empty()).then(|| Notices::new(noticed, clock.clone(), refused(clock, events)));
    Ok(FollowedTables { tables, notices, listen: config.dns.notify_listen })
}

fn table_options(
    table: &DnsTable,
    config: &Config,
    (clock, random): (&Clock, &Random),
) -> Result<(TableOptions, Option<NoticedZone>), String> {
    let changed = Arc::new(Notify::new());
    let (again_min, again_max) = (table.again_min, table.again_max);
    let (source, covers, noticed): (Arc<dyn TableSource>, Covers, _) = match &table.source {
        DnsTableSource::Zone { zone, primary, key } => {
            let key = key.as_deref().map(read_key).transpose()?;
            let options = PrimaryOptions {
                table: table.name.clone(),
                zone: zone.clone(),
                server: *primary,
                key: key.clone(),
                again_min,
                again_max,
            };
            let source = Primary::new(options, clock.clone(), random.clone())?;
            let of_zone =
                NoticedZone { zone: zone.clone(), primary: primary.ip(), key, changed: Arc::clone(&changed) };
            let zone = zone.clone();
            (Arc::new(source), Arc::new(move |domain| is_within(domain, &zone)), Some(of_zone))
        }
        DnsTableSource::List { domains, servers } => {
            let servers = match servers {
                Some(servers) => Servers::These(servers.clone()),
                None => ways::servers(config),
            };
            let options = WatchOptions { domains: domains.clone(), servers, again_min, again_max };
            let source = Watch::new(options, clock.clone()).map_err(|why| why.to_string())?;
            let domains: HashSet<Domain> = domains.iter().cloned().collect();
            (Arc::new(source), Arc::new(move |domain| domains.contains(domain)), None)
        }
    };
    let options = TableOptions {
        name: table.name.clone(),
        source,
        refuse_unknown: table.refuse_unknown,
        removals_free: table.removals_free,
        removals_percent_max: table.removals_percent_max,
        covers,
        changed,
    };
    Ok((options, noticed))
}

/// Whether a table may have a domain.
type Covers = Arc<dyn Fn(&Domain) -> bool + Send + Sync>;

fn read_key(path: &Path) -> Result<TsigKey, String> {
    TsigKey::read(path).map_err(|why| format!("key-file: {why}"))
}

/// Tells of notices that are not believed (RFC 1996 §3.10), but not of each: anybody can send them.
fn refused(clock: &Clock, events: &Events) -> impl Fn(&Domain, &str) + Send + Sync + 'static {
    let (clock, events, told) = (clock.clone(), events.clone(), Mutex::new(None::<Timestamp>));
    move |zone, why| {
        let now = clock.now();
        let mut told = told.lock();
        if told.is_none_or(|at| now.since(at) >= REFUSED_TOLD_EVERY) {
            *told = Some(now);
            let (place, cause) = (format!("zone {zone}"), format!("a NOTIFY is not believed: {why}"));
            events.emit(&Event::DnsTableFailed { table: "*", place: &place, cause: &cause });
        }
    }
}

impl FollowedTables {
    /// Who hears of changes, for a name server that is asked anyway.
    pub(super) fn notices(&self) -> Option<Notices> {
        self.notices.clone()
    }

    /// Follows the tables, and hears of changes where that is configured; without, tables are read when their time is up.
    pub(super) fn begin(&self, events: &Events, stop: &Shutdown) -> Vec<JoinHandle<()>> {
        if self.tables.is_empty() {
            return Vec::new();
        }
        let (tables, ending) = (self.tables.clone(), stop.clone());
        let mut tasks = vec![tokio::spawn(async move { tables.run(&ending).await })];
        let Some((notices, address)) = self.notices.clone().zip(self.listen) else { return tasks };
        let hearing = events.clone();
        let told = move |why: Option<&str>| {
            if let Some(cause) = why {
                hearing.emit(&Event::DnsTableFailed { table: "*", place: "dns.notify-listen", cause });
            }
        };
        tasks.push(bound::serve("dns-notify", events, stop, move || notices.serve(address), told));
        tasks
    }
}
