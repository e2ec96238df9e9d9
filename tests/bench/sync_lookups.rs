//! What routing lookups take while a directory is synced, beside what they take otherwise: prints JSON on one line.
//!
//! `sync-lookups URL BIND-DN PASSWORD-FILE DOMAINS USERS`: mirrors the users `uN@dM.test` below `o=isp` and `o=internet` of an
//! LDAP server and builds the tables, as a server does at its first start; then resolves recipients at random, one after the
//! other: while nothing else happens, while a full sync compares everything, and while all tables are built anew.

mod looking_up;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use directory::{Dn, LdapOptions, MirrorOptions, Mirrors, Referrals, SyncMode, SyncOrder};
use events::Events;
use looking_up::{folder_on_disk, open, refresh, resolve, routing};
use mail_types::Address;
use routing::{Builders, Routing};
use runtime::{Background, Clock};
use serde_json::{Value, json};

const LOOKUPS: usize = 500_000;
/// Most lookups that are kept while something else is done.
const LOOKUPS_MAX: usize = 20_000_000;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [url, name, password, domains, users] => {
            let of = Of { domains: domains.parse()?, users: users.parse()? };
            runtime.block_on(measure(options(url, name, Path::new(password))?, of))
        }
        _ => bail!("sync-lookups URL BIND-DN PASSWORD-FILE DOMAINS USERS"),
    }
}

fn options(url: &str, bind_dn: &str, password_file: &Path) -> anyhow::Result<MirrorOptions> {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let bases = ["o=isp", "o=internet"].map(Dn::parse);
    Ok(MirrorOptions {
        name: "ldap".to_owned(),
        domains: Vec::new(),
        dc_suffix: Dn::parse("o=internet")?,
        ldap: LdapOptions {
            servers: vec![url.parse().map_err(|why| anyhow::anyhow!("{url}: {why}"))?],
            start_tls: false,
            authorities: None,
            bind_dn: Some(bind_dn.to_owned()),
            password_file: Some(PathBuf::from(password_file)),
            connect_timeout: second * 5,
            operation_timeout: minute,
            connections_max: 8,
            page_size: 1000,
            referrals: Referrals::Refuse,
            referral_servers: Vec::new(),
        },
        bases: bases.into_iter().collect::<Result<_, _>>()?,
        mode: SyncMode::Manual,
        incremental_every: minute,
        full_every: Duration::ZERO,
        overlap: minute,
        removals_free: 10,
        removals_percent_max: 20,
        miss_timeout: second * 2,
        misses_max: 8,
        miss_remembered: minute,
        writable: false,
    })
}

async fn measure(options: MirrorOptions, of: Of) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("sync-lookups-").tempdir_in(folder_on_disk())?;
    let (directory, tables) = open(folder.path())?;
    let (clock, background) = (Clock::system(), Background::start()?);
    let events = Events::counting(clock.clone());
    let mirrors = Mirrors::new(directory.clone(), vec![options], (&clock, &events), &background)?;
    let mirror = mirrors.all().first().context("one source was given")?.clone();
    mirror.full(SyncOrder::default(), Arc::new(|_, _, _| {})).await?;
    refresh(&tables, &directory).await?;
    let routing = routing(tables.clone())?;
    let idle = of.resolve(&routing, &|asked| asked == LOOKUPS).await?;
    let sync = async move { mirror.full(SyncOrder::default(), Arc::new(|_, _, _| {})).await.map(drop) };
    let syncing = of.beside(&routing, background.spawn(sync)).await?;
    let rebuild = async move {
        let builders = Builders { plugins: &hooks::NoPlugins, events: &events, clock: &clock };
        tables.rebuild_from(&directory, &builders).await.map(drop)
    };
    let building = of.beside(&routing, background.spawn(rebuild)).await?;
    println!(
        "{}",
        json!({
            "nothing else": told(&idle),
            "during a full sync": told(&syncing),
            "while all tables are built": told(&building),
        })
    );
    Ok(())
}

/// What the directory has: so many domains with so many users each.
#[derive(Clone, Copy)]
struct Of {
    domains: usize,
    users: usize,
}

impl Of {
    async fn resolve(
        self,
        routing: &Routing,
        enough: &(dyn Fn(usize) -> bool + Sync),
    ) -> anyhow::Result<Vec<u64>> {
        let address =
            |user: usize| Ok(Address::parse(&format!("u{}@d{}.test", user % self.users, user / self.users))?);
        resolve(routing, (self.domains * self.users, &address), enough).await
    }

    /// Resolves until something else is done, which must go well.
    async fn beside<E: std::error::Error + Send + Sync + 'static>(
        self,
        routing: &Routing,
        other: tokio::task::JoinHandle<Result<(), E>>,
    ) -> anyhow::Result<Vec<u64>> {
        let taken = self.resolve(routing, &|asked| other.is_finished() || asked == LOOKUPS_MAX).await?;
        other.await??;
        Ok(taken)
    }
}

fn told(nanoseconds: &[u64]) -> Value {
    let at = |thousandths: usize| nanoseconds.get(nanoseconds.len() * thousandths / 1000);
    json!({ "lookups": nanoseconds.len(), "median_ns": at(500), "p99_ns": at(990), "p99.9_ns": at(999) })
}
