//! Everything that works over a data directory, built once and shared: for the server, and for
//! commands that read the same directory while no server runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auth::{Authenticator, Hasher};
use channels::StoreDelivery;
use directory::{Directory, DomainTables, Mirrors, PasswordHasher};
use events::{Event, Events};
use queue::{Agents, Queue};
use routing::{Builders, Routing, TableError, Tables};
use runtime::{Background, Clock, Random};
use storage::{Reserve, Space, Storage};
use store::{Derived, Store};

use super::domain_tables::{self, FollowedTables};
use super::first_start::{decoy_key, fill};
use super::groups::DirectoryGroups;
use super::mirror::{Sources, sourced};
use super::plugin_files::{self, Loaded};
use super::plugins::{self, Exchanged, Surroundings};
use super::provisioning::{Follower, Provisioning};
use super::publication::{self, Publishing};
use super::quota_warnings::Watch;
use super::quotas::DirectoryQuotas;
use super::{account_moves, complete, mirror, policy, settings, ways};
use crate::config::Config;

/// How long a start waits for what plugins have to say of rows; until they have, mail that needs it is put off.
const PLUGINS_AT_START: Duration = Duration::from_secs(5);

/// The parts, wired.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Where everything is told.
    pub events: Events,
    /// Threads for what no session waits for.
    pub background: Background,
    /// Domains, users and groups.
    pub directory: Directory,
    /// What keeps it like its source, where that is another one.
    pub mirror: Option<Mirrors>,
    /// What publishes the records of domains, where that is wanted.
    pub(crate) publishing: Option<Publishing>,
    /// Domains by DNS tables.
    pub(crate) followed: FollowedTables,
    /// Makes hashes of passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// Where mail goes.
    pub routing: Routing,
    /// Mailboxes.
    pub store: Store,
    /// What waits.
    pub queue: Queue,
    /// Policy plugins.
    pub plugins: plugin_engine::Engine,
    /// What becomes of mail for final recipients.
    pub profiles: profiles::Profiles,
    /// What plugins may ask.
    pub(super) surroundings: Arc<Surroundings>,
    /// What was made from messages, and need not be made again.
    pub(super) derived: Derived,
    /// What accounts may take up.
    pub(super) quotas: Arc<DirectoryQuotas>,
    /// Who is in which groups, and whom `anyone` means.
    pub(super) groups: Arc<DirectoryGroups>,
    /// Queue, mailboxes and content.
    pub(super) mail: Storage,
    /// Whether the directory was filled just now: this is the first start.
    pub(super) first_start: bool,
    /// Room that is kept for when the disk is full.
    pub(super) reserve: Reserve,
    /// All storages, to be closed at the end.
    storages: [Storage; 5],
}

impl Parts {
    /// Opens everything below a data directory whose lock the caller holds. An empty directory is
    /// filled from the configured LDIF, and the tables are brought up to it.
    pub async fn open(config: &Config, data: &Path, events: Events) -> Result<Self, String> {
        complete::complete(data)?;
        // Before anything is opened: that takes some room.
        let reserve = Reserve::open(&data.join("store"), &[data, &data.join("store")]);
        let parts = Self::open_all(config, (data, &reserve), events).await?;
        complete::note(data)?;
        Ok(parts)
    }

    async fn open_all(config: &Config, place: (&Path, &Reserve), events: Events) -> Result<Self, String> {
        let (data, clock, random) = (place.0, Clock::system(), Random::system());
        let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(random.clone(), settings::hash(config)));
        let background = Background::start().map_err(|e| format!("threads cannot be started: {e}"))?;
        let (of_directory, directory, mirror) =
            open_directory(config, place, (&clock, &events), &background).await?;
        let filled =
            mirror.is_none() && fill(&directory, &config.directory.ldif, &hasher, &clock, &events).await?;
        let (followed, publishing) = in_the_dns(config, &directory, (&clock, &random, &events)).await?;
        let sources = (mirror.as_ref(), &followed.tables);
        let authenticator = who_may(config, data, &directory, sources, (&clock, &random))?;

        let (rules, options) = policy::load(config).map_err(|why| why.to_string())?;
        let of_tables = open_storage(config, place, "tables", routing::SPACES, false)?;
        let tables = Tables::new(of_tables.clone());
        let surroundings =
            Arc::new(Surroundings::new(directory.clone(), tables.clone(), Exchanged::new(config, &random)?));
        let told = (clock.clone(), random.clone(), events.clone());
        let (of_plugins, plugins) = open_plugins(config, place, &surroundings, told).await?;
        // After the plugins: some rows are theirs to build.
        let builders = Builders { plugins: &plugins, events: &events, clock: &clock };
        let of_tables = if brought_up(&tables, &directory, &builders).await? {
            of_tables
        } else {
            discarded(of_tables, data).await?;
            let anew = open_storage(config, place, "tables", routing::SPACES, false)?;
            rebuilt(&anew, &surroundings, &directory, &builders).await?;
            anew
        };
        let routing = Routing::new(Tables::new(of_tables.clone()), rules, options, random.clone());
        let routing = routing.with_plugins(Arc::new(plugins.clone()));
        let follower =
            Follower { tables: routing.tables(), plugins: &plugins, events: &events, clock: &clock };
        let provisioning = Provisioning::of(config, &directory, &surroundings, follower);
        let (mirrors, tables) = sources;
        let sources = Sources { directory: &directory, mirror: mirrors, tables, provisioning };
        let routing = sourced(routing, sources, &plugins, (&events, &clock));

        let mail = open_mail(config, place)?;
        let (store, quotas, groups) = open_store(config, &mail, &directory, (&clock, &events)).await?;
        account_moves::follow(&routing, &directory, &store, &events).await?;
        let profiles = in_their_world(&routing, &plugins, (&surroundings, &store));
        let of_derived = open_storage(config, place, "derived", store::DERIVED_SPACES, false)?;
        let stores = (&directory, &store, &followed.tables);
        let agents = agents(config, stores, &routing, &profiles, (&clock, &random), &events)?;
        let queue = open_queue(config, &mail, agents, (&clock, &random, &events))?;
        Ok(Self {
            clock,
            random,
            events,
            background,
            directory,
            mirror,
            publishing,
            followed,
            hasher,
            authenticator,
            routing,
            store,
            quotas,
            groups,
            queue,
            plugins,
            profiles,
            surroundings,
            derived: Derived::new(of_derived.clone()),
            storages: [mail.clone(), of_directory, of_tables, of_plugins, of_derived],
            mail,
            first_start: filled,
            reserve: place.1.clone(),
        })
    }

    /// Waits until the tables say what the directory says: after an edit by command.
    pub async fn follow_directory(&self) -> Result<(), String> {
        let parts = self.clone();
        // There may be much to follow.
        let following = self
            .background
            .spawn(async move { parts.routing.tables().refresh(&parts.directory, &parts.builders()).await });
        // The edit stands, whatever becomes of the tables: they follow it at the next change, or by themselves.
        let behind =
            |why: String| format!("the change was made, but mail does not go by it yet: the tables: {why}");
        let done = following.await.map_err(|e| behind(e.to_string()))?;
        done.map(drop).map_err(|e| behind(e.to_string()))
    }

    /// What the resolver of the configuration in force says.
    pub(crate) fn dns(&self) -> dns::Dns {
        self.surroundings.dns_in_force()
    }

    /// Waits until the tables are those of the plugins in force: after a change of plugins by command.
    pub async fn follow_plugins(&self) -> Result<(), String> {
        let begun = self.clock.now();
        let done = self.routing.tables().refresh_wholly(&self.directory, &self.builders()).await;
        done.map(|done| done.tell(&self.builders(), begun)).map_err(|e| format!("the tables: {e}"))
    }

    /// Who builds the rows of the tables.
    #[must_use]
    pub fn builders(&self) -> Builders<'_> {
        self.routing.builders(&self.events, &self.clock)
    }

    /// Returns when one of the storages refuses everything until the next start; says which.
    pub(super) async fn storage_broken(&self) -> &'static str {
        // In the order of `storages`. What is derived can be done without.
        let [mail, directory, tables, plugins, _] = &self.storages;
        tokio::select! {
            () = mail.broken() => "store",
            () = directory.broken() => "directory",
            () = tables.broken() => "tables",
            () = plugins.broken() => "plugin-store",
        }
    }

    /// All storages, by the names of their folders.
    pub(super) fn each_storage(&self) -> [(&'static str, &Storage); 5] {
        // In the order of `storages`.
        let [mail, directory, tables, plugins, derived] = &self.storages;
        [
            ("store", mail),
            ("directory", directory),
            ("tables", tables),
            ("plugin-store", plugins),
            ("derived", derived),
        ]
    }

    /// The storages that a backup holds, by the names of their folders, in the order in which they are copied.
    pub(crate) fn durable(&self) -> [(&'static str, &Storage); 3] {
        // In the order of `storages`.
        let [mail, directory, _, plugins, _] = &self.storages;
        [("directory", directory), ("plugin-store", plugins), ("store", mail)]
    }

    /// Ends the writers, so that the data directory may be opened anew.
    pub async fn close(&self) {
        for storage in &self.storages {
            storage.close().await;
        }
    }
}

/// Who may log in, by the directory or by its sources.
fn who_may(
    config: &Config,
    data: &Path,
    directory: &Directory,
    sources: (Option<&Mirrors>, &DomainTables),
    (clock, random): (&Clock, &Random),
) -> Result<Authenticator, String> {
    let options = settings::auth(config, decoy_key(data, random)?);
    let authenticator = Authenticator::new(directory.clone(), clock.clone(), random.clone(), options);
    Ok(mirror::verified(authenticator, sources, config))
}

/// Opens the directory, with the mirror of its source where that is another one.
async fn open_directory(
    config: &Config,
    place: (&Path, &Reserve),
    (clock, events): (&Clock, &Events),
    background: &Background,
) -> Result<(Storage, Directory, Option<Mirrors>), String> {
    let storage = open_storage(config, place, "directory", directory::SPACES, true)?;
    let directory = Directory::open(storage.clone(), clock.clone(), mirror::options(config)?)
        .map_err(|e| format!("the directory: {e}"))?;
    let made_anew = directory.follow_schema().await.map_err(|e| format!("the directory: {e}"))?;
    if made_anew {
        let change = "its indices were made anew: it is read by other names than before (directory.schema)";
        events.emit(&Event::DirectoryChanged { change, entry: "" });
    }
    let mirror = mirror::of(config, &directory, (clock, events), background)?;
    Ok((storage, directory, mirror))
}

/// What the DNS says of domains, and what is said there of ours.
async fn in_the_dns(
    config: &Config,
    directory: &Directory,
    told: (&Clock, &Random, &Events),
) -> Result<(FollowedTables, Option<Publishing>), String> {
    let followed = domain_tables::of(config, directory, told).await?;
    let publishing = publication::of(config, directory, followed.notices(), told)?;
    Ok((followed, publishing))
}

/// Opens the policy plugins, with their settings in force. What is wrong with one is told, and costs that one alone.
async fn open_plugins(
    config: &Config,
    place: (&Path, &Reserve),
    surroundings: &Arc<Surroundings>,
    told: (Clock, Random, Events),
) -> Result<(Storage, plugin_engine::Engine), String> {
    let storage = open_storage(config, place, "plugin-store", plugin_engine::SPACES, true)?;
    let events = told.2.clone();
    let plugins = plugins::open(place.0, Arc::clone(surroundings), storage.clone(), told)?;
    let Loaded { settings, unusable, record } = plugin_files::load(config);
    plugins.set_trust(config.trust.clone());
    for note in plugins.prepare(settings, record).await.without(unusable).put_in_force() {
        events.emit(&Event::ConfigurationRefused { file: "plugins", cause: &note });
    }
    Ok((storage, plugins))
}

/// Who carries mail on from the queue.
fn agents(
    config: &Config,
    stores: (&Directory, &Store, &DomainTables),
    routing: &Routing,
    profiles: &profiles::Profiles,
    by: (&Clock, &Random),
    events: &Events,
) -> Result<Agents, String> {
    Ok(Agents {
        router: Arc::new(routing.clone()),
        local: Arc::new(StoreDelivery::new(stores.1.clone())),
        channels: ways::prepare(config, stores, routing, profiles, by, events)?,
    })
}

/// The profiles of users, with what their plugins may see.
fn in_their_world(
    routing: &Routing,
    plugins: &plugin_engine::Engine,
    (surroundings, store): (&Arc<Surroundings>, &Store),
) -> profiles::Profiles {
    surroundings.take_store(store.clone());
    let world = Arc::clone(surroundings) as Arc<dyn hooks::World>;
    profiles::Profiles::new(routing.clone(), Arc::new(plugins.clone()), world)
}

/// Opens the storage of queue, mailboxes and content.
fn open_mail(config: &Config, place: (&Path, &Reserve)) -> Result<Storage, String> {
    let spaces: Vec<Space> = queue::SPACES.iter().chain(store::SPACES).copied().collect();
    open_storage(config, place, "store", &spaces, true)
}

/// Opens the queue.
fn open_queue(
    config: &Config,
    mail: &Storage,
    agents: Agents,
    (clock, random, events): (&Clock, &Random, &Events),
) -> Result<Queue, String> {
    let (clock, random, events) = (clock.clone(), random.clone(), events.clone());
    Queue::open(mail.clone(), agents, settings::queue(config), clock, random, events)
        .map_err(|e| format!("the queue: {e}"))
}

/// Opens the mailboxes.
async fn open_store(
    config: &Config,
    mail: &Storage,
    directory: &Directory,
    (clock, events): (&Clock, &Events),
) -> Result<(Store, Arc<DirectoryQuotas>, Arc<DirectoryGroups>), String> {
    let watch = Watch::new(&config.quotas, clock.clone(), events.clone());
    let quotas = Arc::new(DirectoryQuotas::new(directory.clone(), &config.quotas, watch));
    let groups = Arc::new(DirectoryGroups::new(directory.clone(), config));
    let known = Arc::clone(&groups) as Arc<dyn store::Groups>;
    let asked = (Arc::clone(&quotas) as Arc<dyn store::Quotas>, known);
    let store = Store::open_with(mail.clone(), clock.clone(), events.clone(), asked).await;
    Ok((store.map_err(|e| format!("the store: {e}"))?, quotas, groups))
}

/// Brings the tables up to the directory, and says what that took; `false` where a row cannot be read.
async fn brought_up(tables: &Tables, directory: &Directory, builders: &Builders<'_>) -> Result<bool, String> {
    let begun = builders.clock.now();
    match tables.refresh_within(PLUGINS_AT_START, directory, builders).await {
        Ok(done) => {
            done.tell(builders, begun);
            Ok(true)
        }
        Err(error @ TableError::Directory(_)) => Err(format!("the tables: {error}")),
        Err(error) => {
            let cause = format!("{error}; they are built anew");
            builders.events.emit(&Event::InternalError { place: "tables", cause: &cause });
            Ok(false)
        }
    }
}

/// Removes tables that cannot be read: all of them is built from the directory.
async fn discarded(storage: Storage, data: &Path) -> Result<(), String> {
    storage.close().await;
    drop(storage);
    Storage::discard(&data.join("tables")).map_err(|error| format!("the tables: {error}"))
}

/// Builds tables in a storage that is empty, and lets plugins look rows up there.
async fn rebuilt(
    storage: &Storage,
    surroundings: &Surroundings,
    directory: &Directory,
    builders: &Builders<'_>,
) -> Result<(), String> {
    let tables = Tables::new(storage.clone());
    surroundings.take_tables(tables.clone());
    let built = brought_up(&tables, directory, builders).await?;
    if built { Ok(()) } else { Err("the tables cannot be built".to_owned()) }
}

/// Opens one storage of the data directory. What is derived is no reason to use the reserve up.
fn open_storage(
    config: &Config,
    (data, reserve): (&Path, &Reserve),
    name: &str,
    spaces: &[Space],
    synced: bool,
) -> Result<Storage, String> {
    let options = storage::Options {
        size_max: config.storage.size_max,
        inline_max: usize::try_from(config.storage.inline_max).unwrap_or(usize::MAX),
        synced,
    };
    let dir = data.join(name);
    let reserve = Some(reserve).filter(|_| name != "derived");
    Storage::open_with(&dir, spaces, &options, reserve).map_err(|e| format!("{}: {e}", dir.display()))
}
