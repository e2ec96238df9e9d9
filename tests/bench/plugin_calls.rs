//! What a plugin call costs: prints JSON on one line, times in microseconds.
//!
//! `plugin-calls [PLUGIN (default subaddress-policy)] [CALLS (default 20,000)]`: the same question, asked natively, of a
//! fresh instance for each call, of a warm one, and where the answer is remembered; then the memory and start of a
//! thousand tenants with a plugin each.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hooks::{
    Attributes, BoxFuture, CallContext, Direction, Ownership, PluginName, Plugins, Position, RewriteRequest,
    RewriteVerdict, Sitting, World,
};
use mail_types::{Address, ChannelName, Domain, Lookup};
use plugin_engine::{Capability, Engine, EngineParts, HereCompiler, Reuse, Settings};
use runtime::{Clock, Random};
use serde_json::json;
use storage::Storage;

const CALLS: usize = 20_000;
const WARM_UP: usize = 500;
const TENANTS: usize = 1000;

/// A world in which everybody is known.
struct Known;

impl World for Known {
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        Lookup::Found(if tenant == domain { Ownership::Own } else { Ownership::Foreign })
    }
    fn has_channel(&self, _: &ChannelName) -> bool {
        true
    }
    fn generation(&self) -> u64 {
        0
    }

    fn table_row(&self, _: Option<&Domain>, _: &str, key: &str) -> Lookup<Arc<Attributes>> {
        Lookup::Found(Arc::new(vec![("mail".into(), key.into())]))
    }
    fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        Box::pin(async { Lookup::NotFound })
    }
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let plugin = words.first().map_or("subaddress-policy", String::as_str).to_owned();
    let calls = words.get(1).map_or(Ok(CALLS), |word| word.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&plugin, calls))
}

fn engine(folder: &std::path::Path) -> anyhow::Result<Engine> {
    let options = storage::Options { size_max: 1 << 30, synced: false, ..Default::default() };
    let parts = EngineParts {
        world: Arc::new(Known),
        storage: Storage::open(&folder.join("kv"), plugin_engine::SPACES, &options)?,
        compiler: Arc::new(HereCompiler),
        clock: Clock::system(),
        random: Random::system(),
        events: events::Events::counting(Clock::system()),
    };
    Engine::open(&folder.join("plugins"), parts).map_err(anyhow::Error::msg)
}

fn settings(name: &PluginName) -> Settings {
    let mut settings = Settings::new(name.clone());
    settings.grants.extend(Capability::ALL);
    settings.limits.tenant_cpu = Duration::from_secs(60);
    settings
}

async fn measure(plugin: &str, calls: usize) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("plugin-calls-").tempdir_in("/var/tmp")?;
    let engine = engine(folder.path())?;
    let component =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../plugins/components/{plugin}.wasm"));
    let octets = std::fs::read(&component).with_context(|| component.display().to_string())?;
    let name: PluginName = plugin.parse()?;
    engine.install(&octets, Some(name.clone()), None, "bench", false).await?;
    let native = times(calls, async |request| Ok(native(request))).await?;
    let context = context();
    let ask = async |request: &RewriteRequest| {
        let told =
            engine.rewrite(&name, &context, std::slice::from_ref(request), &mut Sitting::default()).await;
        Ok(told.answer.map(drop)?)
    };
    put(&engine, settings(&name)).await?;
    let fresh = times(calls, ask).await?;
    put(&engine, Settings { reuse: Some(Reuse { calls: u32::MAX, ..Reuse::default() }), ..settings(&name) })
        .await?;
    let warm = times(calls, ask).await?;
    let remembered = remembered(&engine, &name, calls).await?;
    let tenants = tenants(&engine, &octets).await?;
    let result = json!({
        "plugin": plugin, "calls": calls, "octets": octets.len(),
        "allocation": format!("{:?}", engine.allocation()),
        "native_median_us": native.0, "fresh_median_us": fresh.0, "fresh_p99_us": fresh.1,
        "warm_median_us": warm.0, "warm_p99_us": warm.1,
        "remembered_median_us": remembered,
        "tenants": tenants,
    });
    println!("{result}");
    Ok(())
}

async fn put(engine: &Engine, settings: Settings) -> anyhow::Result<()> {
    let notes = engine.configure(vec![settings], HashMap::new()).await;
    if notes.is_empty() { Ok(()) } else { bail!(notes.join("; ")) }
}

fn context() -> CallContext {
    let tenant = Domain::parse("example.org").ok();
    CallContext { tenant, channel: "smtp".into(), authenticated: None, id: "6h1knf0sr0000".into() }
}

fn request(address: &str) -> anyhow::Result<RewriteRequest> {
    let (position, direction) = (Position::Envelope, Direction::To);
    let address = Address::parse(address)?;
    Ok(RewriteRequest { address, position, direction, function: String::new(), argument: String::new() })
}

/// What the plugin does, in the host's own language.
fn native(request: &RewriteRequest) -> RewriteVerdict {
    match request.address.local.as_str().split_once('+') {
        Some((user, _)) => match mail_types::LocalPart::new(user.to_lowercase()) {
            Ok(local) => RewriteVerdict::Settled(Address::new(local, request.address.domain.clone())),
            Err(_) => RewriteVerdict::NoMatch,
        },
        None => RewriteVerdict::NoMatch,
    }
}

/// Median and 99th percentile, in microseconds.
async fn times<T>(
    calls: usize,
    ask: impl AsyncFn(&RewriteRequest) -> anyhow::Result<T>,
) -> anyhow::Result<(f64, f64)> {
    let mut taken = Vec::with_capacity(calls);
    for at in 0..calls + WARM_UP {
        let request = request(&format!("user{}+tag@example.org", at % 1000))?;
        let began = Instant::now();
        std::hint::black_box(ask(&request).await?);
        if at >= WARM_UP {
            taken.push(began.elapsed());
        }
    }
    taken.sort_unstable();
    Ok((microseconds(taken[calls / 2]), microseconds(taken[calls * 99 / 100])))
}

fn microseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 100.0
}

/// The median of an answer that is remembered; none for a plugin that can depend on more than the question.
async fn remembered(engine: &Engine, name: &PluginName, calls: usize) -> anyhow::Result<Option<f64>> {
    let mut pure = Settings { remember: 10_000, ..settings(name) };
    // What it may depend on beside the question: the tables, which are of one generation here.
    pure.grants = [Capability::Log, Capability::Config, Capability::Hmac, Capability::Lookup].into();
    pure.config = json!({});
    if put(engine, pure).await.is_err() {
        return Ok(None);
    }
    let one = request("user1+tag@example.org")?;
    if engine
        .rewrite(name, &context(), std::slice::from_ref(&one), &mut Sitting::default())
        .await
        .answer
        .is_err()
    {
        return Ok(None);
    }
    let context = context();
    if !matches!(engine.ready(name, &context, &one), hooks::Ready::Answer(_)) {
        return Ok(None);
    }
    let began = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(engine.ready(name, &context, &one));
    }
    Ok(Some(microseconds(began.elapsed() / u32::try_from(calls)?)))
}

/// A thousand tenants, each with the plugin under a name of its own: time to start, first call, memory.
async fn tenants(engine: &Engine, octets: &[u8]) -> anyhow::Result<serde_json::Value> {
    let before = resident_kib()?;
    let mut all = Vec::with_capacity(TENANTS);
    let names: Vec<PluginName> =
        (0..TENANTS).map(|at| format!("tenant-{at}").parse()).collect::<Result<_, _>>()?;
    let began = Instant::now();
    for (at, name) in names.iter().enumerate() {
        // A component of its own: the octets differ by a section that nobody reads.
        let mut own = octets.to_vec();
        let text = format!("tenant {at:06}");
        own.extend([0, u8::try_from(text.len() + 2)?, 1, b'n']);
        own.extend(text.as_bytes());
        engine.install(&own, Some(name.clone()), None, "bench", false).await?;
        all.push(settings(name));
    }
    let installed = began.elapsed();
    let began = Instant::now();
    let notes = engine.configure(all, HashMap::new()).await;
    if !notes.is_empty() {
        bail!(notes.join("; "));
    }
    let started = began.elapsed();
    let asked = request("user1+tag@example.org")?;
    let mut first = Vec::with_capacity(TENANTS);
    for name in &names {
        let began = Instant::now();
        engine
            .rewrite(name, &context(), std::slice::from_ref(&asked), &mut Sitting::default())
            .await
            .answer?;
        first.push(began.elapsed());
    }
    first.sort_unstable();
    let grown = resident_kib()?.saturating_sub(before);
    Ok(json!({
        "tenants": TENANTS,
        "install_seconds": installed.as_secs_f64(),
        "start_seconds": started.as_secs_f64(),
        "first_call_median_us": microseconds(first[TENANTS / 2]),
        "resident_kib_each": grown / TENANTS as u64,
    }))
}

/// Memory that is this process's own, in KiB.
fn resident_kib() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).context("no RssAnon")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
}
