//! Policy plugins, wired: their world, their folder, their settings.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use channels::FileOptions;
use directory::Directory;
use dns::Dns;
use hooks::{Attributes, BoxFuture, Ownership, World};
use mail_types::{AccountName, Address, ChannelName, Domain, Lookup};
use plugin_engine::{Doubt, Engine, EngineParts, ProcessCompiler, Settings};
use routing::Tables;
use storage::Storage;
use store::Store;

use super::row_cache::RowCache;
use super::{contradictions, ways};
use crate::config::{Config, Places, Problem};

/// The hidden command that compiles: the server starts itself with it.
pub(crate) const COMPILE_COMMAND: &str = "compile-plugin";

/// What plugins may ask, over the server's parts.
pub(super) struct Surroundings {
    directory: Directory,
    tables: ArcSwap<Tables>,
    /// How often other tables were taken.
    tables_taken: AtomicU64,
    rows: RowCache,
    exchanged: ArcSwap<Exchanged>,
    /// The mailboxes, once they are open: after the plugins.
    store: OnceLock<Store>,
}

/// What a new configuration exchanges.
pub(super) struct Exchanged {
    pub(super) dns: Dns,
    pub(super) channels: Vec<ChannelName>,
    programs: BTreeSet<String>,
    files: FileOptions,
    /// The server's own names, and whose addresses there are.
    own_names: BTreeSet<Domain>,
    default_domain: Domain,
    postmaster: Address,
}

impl Exchanged {
    pub(super) fn new(config: &Config, random: &runtime::Random) -> Result<Self, String> {
        let dns = ways::resolver(config, random)?;
        let programs = config.programs.keys().cloned().collect();
        let files = ways::files_of(config);
        let own = std::iter::once(&config.server.name).chain(&config.routing.own_names);
        let (own_names, default_domain) = (own.cloned().collect(), config.routing.default_domain.clone());
        let channels = contradictions::channels(config);
        let postmaster = config.server.postmaster.clone();
        Ok(Self { dns, channels, programs, files, own_names, default_domain, postmaster })
    }
}

impl Surroundings {
    /// Who has an address at a name of the server is the default domain's.
    fn ownership_of_own_name(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        let exchanged = self.exchanged.load();
        if !exchanged.own_names.contains(domain) {
            return Lookup::Found(Ownership::Foreign);
        }
        self.tables
            .load()
            .canonical_domain(&exchanged.default_domain)
            .map(|canonical| if canonical == *tenant { Ownership::Own } else { Ownership::Other })
    }

    pub(super) fn new(directory: Directory, tables: Tables, exchanged: Exchanged) -> Self {
        let tables = ArcSwap::from_pointee(tables);
        let exchanged = ArcSwap::from_pointee(exchanged);
        let (tables_taken, rows) = (AtomicU64::new(0), RowCache::default());
        Self { directory, tables, tables_taken, rows, exchanged, store: OnceLock::new() }
    }

    /// Looks shared mailboxes up there from now on.
    pub(super) fn take_store(&self, store: Store) {
        // The first one stays: there is one.
        let _ = self.store.set(store);
    }

    /// Looks rows up in other tables from now on: those before could not be read.
    pub(super) fn take_tables(&self, tables: Tables) {
        self.tables.store(Arc::new(tables));
        self.tables_taken.fetch_add(1, Ordering::Release);
    }

    /// The names by which an MX record means us.
    pub(super) fn own_names_in_force(&self) -> BTreeSet<Domain> {
        self.exchanged.load().own_names.clone()
    }

    /// Who reads the postmaster's mail of a new domain.
    pub(super) fn postmaster_in_force(&self) -> Address {
        self.exchanged.load().postmaster.clone()
    }

    pub(super) fn dns_in_force(&self) -> Dns {
        self.exchanged.load().dns.clone()
    }

    pub(super) fn exchange(&self, exchanged: Exchanged) {
        self.exchanged.store(Arc::new(exchanged));
        // Answers that were checked against the channels of before are not to be remembered.
        self.tables_taken.fetch_add(1, Ordering::AcqRel);
    }

    fn read_row(&self, tenant: Option<&Domain>, table: &str, key: &str) -> Lookup<Attributes> {
        match table {
            "users" => self.user_row(tenant, key),
            "domains" => {
                let Ok(domain) = Domain::parse(key) else { return Lookup::NotFound };
                match self.owns(tenant, &domain) {
                    Lookup::Found(()) => self.tables.load().domain_attributes(&domain),
                    Lookup::NotFound => Lookup::NotFound,
                    Lookup::Unavailable(why) => Lookup::Unavailable(why),
                }
            }
            "aliases" => {
                let Some((_, domain)) = key.rsplit_once('@') else { return Lookup::NotFound };
                let Ok(domain) = Domain::parse(domain) else { return Lookup::NotFound };
                match self.owns(tenant, &domain) {
                    Lookup::Found(()) => self.tables.load().alias_attributes(key),
                    Lookup::NotFound => Lookup::NotFound,
                    Lookup::Unavailable(why) => Lookup::Unavailable(why),
                }
            }
            _ => Lookup::NotFound,
        }
    }

    fn user_row(&self, tenant: Option<&Domain>, key: &str) -> Lookup<Attributes> {
        let Ok(address) = Address::parse(key) else { return Lookup::NotFound };
        match self.owns(tenant, &address.domain) {
            Lookup::Found(()) => self.directory.by_address(&address).map(|entry| entry.shown()),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    /// A tenant sees what is its own, and nothing of another.
    fn owns(&self, tenant: Option<&Domain>, domain: &Domain) -> Lookup<()> {
        let Some(tenant) = tenant else { return Lookup::Found(()) };
        match self.ownership(tenant, domain) {
            Lookup::Found(Ownership::Own) => Lookup::Found(()),
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
            _ => Lookup::NotFound,
        }
    }
}

impl World for Surroundings {
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        match self.tables.load().canonical_domain(domain) {
            Lookup::Found(canonical) if canonical == *tenant => Lookup::Found(Ownership::Own),
            Lookup::Found(_) => Lookup::Found(Ownership::Other),
            Lookup::NotFound => self.ownership_of_own_name(tenant, domain),
            Lookup::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    fn has_channel(&self, channel: &ChannelName) -> bool {
        self.exchanged.load().channels.contains(channel)
    }

    fn target(&self, channel: &str, name: &str, account: &AccountName) -> Result<(), String> {
        let exchanged = self.exchanged.load();
        match channel {
            ChannelName::PROGRAM if !exchanged.programs.contains(&name.to_ascii_lowercase()) => {
                Err(format!("it names the program {name:?}, and there is no [programs.{name}]"))
            }
            ChannelName::FILE if !exchanged.files.files.contains_key(&name.to_ascii_lowercase()) => {
                Err(format!("it names the file {name:?}, and there is no [files.{name}]"))
            }
            ChannelName::SHARED => match self.store.get().map(|store| store.posting_place(name, account)) {
                None | Some(Ok(_)) => Ok(()),
                Some(Err(why)) => Err(format!("it names the shared mailbox {name:?} for {account}: {why}")),
            },
            _ => Ok(()),
        }
    }

    fn generation(&self) -> u64 {
        // Each of the three only rises; other tables begin anew at 0.
        let taken = self.tables_taken.load(Ordering::Acquire);
        (taken << 48).wrapping_add(self.tables.load().version()).wrapping_add(self.directory.version())
    }

    fn table_row(&self, tenant: Option<&Domain>, table: &str, key: &str) -> Lookup<Arc<Attributes>> {
        self.rows.get(self.generation(), (tenant, table, key), || self.read_row(tenant, table, key))
    }

    fn dns<'a>(&'a self, name: &'a str, kind: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        let dns = self.exchanged.load().dns.clone();
        Box::pin(async move { dns.query(name, kind).await })
    }
}

/// Opens the engine over the data directory; nothing is in force yet.
pub(super) fn open(
    data: &Path,
    world: Arc<Surroundings>,
    storage: Storage,
    parts: (runtime::Clock, runtime::Random, events::Events),
) -> Result<Engine, String> {
    let (clock, random, events) = parts;
    // A newer one would compile for the engine that it has itself.
    let program = ways::OWN_PROGRAM.into();
    let arguments = vec!["plugin".to_owned(), COMPILE_COMMAND.to_owned()];
    let compiler = Arc::new(ProcessCompiler { program, arguments });
    Engine::open(&data.join("plugins"), EngineParts { world, storage, compiler, clock, random, events })
}

/// What is wrong between the configuration and the plugins that are installed below a data directory, and what may be wanted.
pub(super) fn doubts(config: &Config, data: &Path, places: &Places) -> (Vec<Problem>, Vec<String>) {
    let folder = data.join("plugins");
    // Before the first start there is none.
    if !folder.join("installed.json").exists() {
        return (Vec::new(), contradictions::before_a_start(config, None));
    }
    let settings: Vec<Settings> = config.plugins.iter().map(|plugin| plugin.settings.clone()).collect();
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let doubts = match plugin_engine::doubts(&folder, &settings) {
        Ok(doubts) => doubts,
        Err(why) => {
            // The next start ends with it.
            let file = folder.join("installed.json").display().to_string();
            let what = why.strip_prefix(&format!("{file}: ")).unwrap_or(&why).to_owned();
            return (
                vec![Problem { file, line: 0, key: String::new(), what, mend: String::new() }],
                Vec::new(),
            );
        }
    };
    for Doubt { plugin, config, denied } in doubts {
        problems.extend(config.into_iter().map(|what| {
            let mend = format!("`wasmta plugin inspect {plugin}` tells what version is installed");
            places.problem(&format!("plugins.{plugin}.config"), what, mend)
        }));
        if !denied.is_empty() {
            let denied: Vec<String> = denied.iter().map(ToString::to_string).collect();
            warnings.push(format!(
                "plugins.{plugin}.allow does not grant {}, which the plugin imports: using one ends the call",
                denied.join(", ")
            ));
        }
    }
    warnings.extend(contradictions::before_a_start(config, Some(&folder)));
    (problems, warnings)
}
