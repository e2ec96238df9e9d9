//! The engine with real components: the samples, and the hostile ones.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hooks::{
    Attributes, BoxFuture, CallContext, Direction, Failed, FailureKind, Ownership, PluginName, Plugins,
    Position, RewriteRequest, RewriteVerdict, Sitting, Told, World,
};
use mail_types::{Address, ChannelName, Domain, Lookup};
use runtime::{Clock, Random};
use storage::Storage;

use crate::{Capability, Engine, EngineParts, HereCompiler, SPACES, Settings};

mod contradictions;
mod forgetting;
mod lifecycle;
mod limits;
mod pool;
mod replaying;
mod samples;
mod shadowing;
mod standing;

/// A world of the domains `example.org` and `b.example`, with one user.
#[derive(Default)]
struct Sample {
    generation: AtomicU64,
}

impl World for Sample {
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        Lookup::Found(match domain.as_str() {
            name if name == tenant.as_str() => Ownership::Own,
            "example.org" | "b.example" | "victim.example" => Ownership::Other,
            _ => Ownership::Foreign,
        })
    }

    fn has_channel(&self, channel: &ChannelName) -> bool {
        channel.as_str() == "smtp"
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn table_row(&self, _: Option<&Domain>, table: &str, key: &str) -> Lookup<Arc<Attributes>> {
        match (table, key) {
            ("users", "anna@example.org") => Lookup::Found(Arc::new(vec![("mail".into(), key.into())])),
            ("users", key) if key.starts_with("away") => Lookup::Unavailable("the table is away".into()),
            _ => Lookup::NotFound,
        }
    }

    fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Lookup::Found(vec!["text".into()])
        })
    }
}

/// An engine over a folder of its own.
struct House {
    engine: Engine,
    world: Arc<Sample>,
    folder: tempfile::TempDir,
    events: events::Events,
}

fn parts(folder: &std::path::Path, world: Arc<Sample>, events: &events::Events) -> EngineParts {
    let options = storage::Options { size_max: 64 << 20, synced: false, ..Default::default() };
    EngineParts {
        world,
        storage: Storage::open(&folder.join("kv"), SPACES, &options).unwrap(),
        compiler: Arc::new(HereCompiler),
        clock: Clock::system(),
        random: Random::system(),
        events: events.clone(),
    }
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let events = events::Events::counting(Clock::system());
    let world = Arc::<Sample>::default();
    let parts = parts(folder.path(), Arc::clone(&world), &events);
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    House { engine, world, folder, events }
}

impl House {
    /// Installs a committed component under its own name, with these settings.
    async fn with(self, component: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = granted(component);
        change(&mut settings);
        assert_eq!(
            self.engine.install(&octets(component), None, None, "test", false).await.unwrap_err_or_ok(),
            ""
        );
        let mut notes = self.engine.configure(vec![settings], HashMap::new()).await;
        // What is not granted is told, and meant by some.
        notes.retain(|note| !note.contains("is not granted"));
        assert_eq!(notes, Vec::<String>::new());
        self
    }

    async fn rewrite(&self, plugin: &str, address: &str) -> Told<Vec<RewriteVerdict>> {
        self.rewrite_in(&mut Sitting::default(), plugin, address).await
    }

    async fn rewrite_in(&self, at: &mut Sitting, plugin: &str, address: &str) -> Told<Vec<RewriteVerdict>> {
        let batch = [request(address)];
        self.engine.rewrite(&name(plugin), &context(address), &batch, at).await
    }

    /// The verdict on an address, or the kind of failure, in words.
    async fn said(&self, plugin: &str, address: &str) -> String {
        self.said_in(&mut Sitting::default(), plugin, address).await
    }

    /// The same, in the course of a decision.
    async fn said_in(&self, at: &mut Sitting, plugin: &str, address: &str) -> String {
        match self.rewrite_in(at, plugin, address).await.answer {
            Ok(verdicts) => verdicts[0].to_string(),
            Err(failed) => failed.kind.to_string(),
        }
    }
}

/// An installation in words: empty where it worked.
trait UnwrapErrOrOk {
    fn unwrap_err_or_ok(self) -> String;
}

impl<T> UnwrapErrOrOk for Result<T, crate::Unfit> {
    fn unwrap_err_or_ok(self) -> String {
        self.err().map(|unfit| unfit.to_string()).unwrap_or_default()
    }
}

fn octets(component: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins/components");
    std::fs::read(folder.join(format!("{component}.wasm"))).unwrap()
}

fn name(text: &str) -> PluginName {
    text.parse().unwrap()
}

/// Settings that grant everything and give a debug build its time.
fn granted(plugin: &str) -> Settings {
    let mut settings = Settings::new(name(plugin));
    settings.grants.extend(Capability::ALL);
    settings.limits.cpu = Duration::from_millis(200);
    settings.limits.wall = Duration::from_secs(5);
    settings.limits.tenant_cpu = Duration::from_secs(1);
    settings.breaker.faults = 1_000_000;
    settings
}

fn context(address: &str) -> CallContext {
    CallContext {
        tenant: Some(Address::parse(address).unwrap().domain),
        channel: "smtp".into(),
        authenticated: None,
        id: "6h1knf0sr0000".into(),
    }
}

fn request(address: &str) -> RewriteRequest {
    RewriteRequest {
        address: Address::parse(address).unwrap(),
        position: Position::Envelope,
        direction: Direction::To,
        function: String::new(),
        argument: String::new(),
    }
}

fn kind<T: std::fmt::Debug>(told: Told<T>) -> (FailureKind, String) {
    let Failed { kind, message, .. } = told.answer.unwrap_err();
    (kind, message)
}
