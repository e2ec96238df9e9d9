//! Sessions over loopback, with the real queue, routing and authentication.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth::{AuthOptions, Authenticator, ChannelBinding, HashOptions, Hasher, Unencrypted};
use directory::{Directory, DirectoryOptions, PasswordHasher};
use events::Events;
use hooks::Plugins;
use mail_types::{AccountName, Domain};
use parking_lot::Mutex;
use queue::{Agents, Appended, BoxFuture, CopyOf, LocalCopy, LocalDelivery, Queue};
use routing::{ChannelTags, Routing, RuleOptions, Rules, Tables};
use runtime::{Clock, Listener, ListenerOptions, Random, Shutdown, Stream, TlsServer};
use storage::{Batch, Storage, StorageError};
use tokio::sync::watch;

use crate::{Kind, Networks, Options, Parts, Server};

/// What the store would have got: account, and the fields above the content.
type Copies = Arc<Mutex<Vec<(String, String)>>>;

struct Boxes(Copies);

impl LocalDelivery for Boxes {
    fn prepare<'a>(
        &'a self,
        _: &'a AccountName,
        _: Option<&'a mail_types::Filing>,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }

    fn append(&self, batch: &mut Batch, copy: &LocalCopy<'_>) -> Result<Appended, StorageError> {
        if let CopyOf::Stored(id) = copy.content {
            batch.retain_content(id, 1);
        }
        let prefix = String::from_utf8_lossy(copy.prefix).into_owned();
        self.0.lock().push((copy.account.to_string(), prefix));
        Ok(Appended { mailbox: "INBOX".to_owned(), instead_of: None, publish: Box::new(|_| ()) })
    }
}

/// A running server and what it has delivered.
struct House {
    address: SocketAddr,
    storage: Storage,
    copies: Copies,
    events: Events,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

const LDIF: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/directory.ldif"));
const RULES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rewrite.rules"));
const HOST: &str = "mail.example.org";

async fn authentication(storage: Storage) -> (Directory, Authenticator) {
    let (clock, random) = (Clock::system(), Random::system());
    let hash = HashOptions { memory_kib: 64, passes: 1, lanes: 1, scram_iterations: 4096 };
    let directory = Directory::open(storage, clock.clone(), DirectoryOptions::default()).unwrap();
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(random.clone(), hash));
    directory.load_ldif(LDIF.as_bytes(), &hasher, &mut |_| ()).await.unwrap();
    let refusal_after = Duration::from_millis(1);
    let options = AuthOptions {
        hash,
        unencrypted: Unencrypted::Allowed,
        channel_binding: ChannelBinding::Offered,
        refusal_after,
        ..AuthOptions::default()
    };
    (directory.clone(), Authenticator::new(directory, clock, random, options))
}

async fn routing_of(storage: Storage, directory: &Directory) -> Routing {
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(RULES, "rewrite.rules", &RuleOptions::new(&tags)).unwrap();
    let domain = |name| Domain::parse(name).unwrap();
    let options = routing::Options::new(&domain(HOST), domain("example.org"));
    let routing = Routing::new(Tables::new(storage), rules, options, Random::system());
    let (events, clock) = (events::Events::counting(runtime::Clock::system()), runtime::Clock::system());
    routing.tables().refresh(directory, &routing.builders(&events, &clock)).await.unwrap();
    routing
}

/// Starts a server of a kind; `change` bends the options.
async fn house(kind: Kind, change: impl FnOnce(&mut Options)) -> House {
    house_with(kind, Arc::new(hooks::NoPlugins), change).await
}

/// The same, with plugins to ask for dispositions and senders.
async fn house_with(kind: Kind, plugins: Arc<dyn Plugins>, change: impl FnOnce(&mut Options)) -> House {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, spaces: &[storage::Space]| {
        Storage::open(
            &folder.path().join(name),
            spaces,
            &storage::Options { synced: false, ..Default::default() },
        )
        .unwrap()
    };
    let storage = open("store", queue::SPACES);
    let (directory, authenticator) = authentication(open("directory", directory::SPACES)).await;
    let routing = routing_of(open("tables", routing::SPACES), &directory).await.with_plugins(plugins.clone());
    let copies = Copies::default();
    let (clock, random) = (Clock::system(), Random::system());
    let events = Events::counting(clock.clone());
    let agents = Agents {
        router: Arc::new(routing.clone()),
        local: Arc::new(Boxes(copies.clone())),
        channels: Default::default(),
    };
    let queue = Queue::open(
        storage.clone(),
        agents,
        queue::Options::default(),
        clock.clone(),
        random.clone(),
        events.clone(),
    )
    .unwrap();
    let (certificate, key) = runtime::make_self_signed(folder.path(), &[HOST.to_owned()]).unwrap();
    let tls = Some(TlsServer::load(&certificate, &key).unwrap());
    let profiles = profiles::Profiles::new(routing.clone(), plugins.clone(), Arc::new(hooks::NoWorld));
    let parts = Parts {
        queue,
        routing,
        profiles,
        authenticator,
        storage: storage.clone(),
        clock,
        random,
        events: events.clone(),
        tls,
    };
    let mut options = Options::new("test", kind, HOST);
    change(&mut options);
    let shutdown = Shutdown::new();
    let address = serve(Server::new(parts), options, shutdown.clone());
    House { address, storage, copies, events, shutdown, _folder: folder }
}

fn serve(server: Server, options: Options, shutdown: Shutdown) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener =
        Listener::bind(&ListenerOptions { address, backlog: 16, connections_max: 4, per_network_max: 4 })
            .unwrap();
    let local = listener.local_addr();
    let (sender, options) = watch::channel(Arc::new(options));
    tokio::spawn(async move {
        let served = server.serve(listener, options, shutdown).await;
        drop(sender);
        served
    });
    local
}

impl House {
    async fn connect(&self) -> Client {
        Client { stream: runtime::connect(self.address, None, Duration::from_secs(5)).await.unwrap() }
    }

    /// Plays a dialogue on a connection of its own.
    async fn play(&self, dialogue: &str) -> Client {
        let mut client = self.connect().await;
        client.play(dialogue).await;
        client
    }

    /// How often something happened.
    fn count(&self, event: &str) -> u64 {
        self.events.counters().all().into_iter().find(|(name, _)| *name == event).unwrap().1
    }

    /// The contents that storage holds.
    fn contents(&self) -> Vec<String> {
        let snapshot = self.storage.read().unwrap();
        let mut ids = Vec::new();
        snapshot.contents(&mut |id| ids.push(id)).unwrap();
        let octets = |id| snapshot.content(id).unwrap().unwrap().to_bytes().unwrap();
        ids.into_iter().map(|id| String::from_utf8_lossy(&octets(id)).into_owned()).collect()
    }
}

struct Client {
    stream: Stream,
}

impl Client {
    /// `C: line`, `C= octets` (with `\r`, `\n`, `\0`), `S: pattern` (a last `*` is anything), `CLOSED`.
    async fn play(&mut self, dialogue: &str) {
        for line in dialogue.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("C: ") {
                self.send(format!("{text}\r\n").as_bytes()).await;
            } else if let Some(text) = line.strip_prefix("C= ") {
                let octets = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                self.send(octets.as_bytes()).await;
            } else if let Some(pattern) = line.strip_prefix("S: ") {
                let heard = self.hear().await;
                let heard = heard.as_deref().unwrap_or("(closed)");
                let fits = match pattern.strip_suffix('*') {
                    Some(head) => heard.starts_with(head),
                    None => heard == pattern,
                };
                assert!(fits, "expected {pattern:?}, heard {heard:?}");
            } else if line == "CLOSED" {
                assert_eq!(self.hear().await, None);
            } else {
                panic!("{line}");
            }
        }
    }

    async fn send(&mut self, octets: &[u8]) {
        self.stream.send(octets);
        self.stream.flush().await.unwrap();
    }

    async fn hear(&mut self) -> Option<String> {
        loop {
            let buffered = self.stream.buffered();
            if let Some(end) = buffered.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&buffered[..end]).trim_end().to_owned();
                self.stream.consume(end + 1);
                return Some(line);
            }
            let filled = tokio::time::timeout(Duration::from_secs(20), self.stream.fill()).await.unwrap();
            if filled.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Hears a whole reply: all its lines.
    async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.hear().await.unwrap();
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines;
            }
        }
    }
}

const HELLO: &str = "
    S: 220 mail.example.org ESMTP *
    C: HELO client.example
    S: 250 mail.example.org";

async fn smtp() -> House {
    house(Kind::Smtp, |_| ()).await
}

fn loopback() -> Networks {
    Networks::new(vec!["127.0.0.0/8".parse().unwrap()])
}

mod limits;
mod login;
mod mail;
mod plugins;
mod trust;
