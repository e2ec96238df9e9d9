//! Measures the tables with many users: build, look-up, resolution, memory.
//!
//! `cargo run --release -p routing --example million [USERS]`. Prints one line for each figure; memory is that of a
//! second process that only reads, as a server does after a restart.

use std::time::{Duration, Instant};

use mail_types::{Domain, ForwardPath, ReversePath};
use routing::tables::Rows;
use routing::tables::row::{AliasRow, DomainRow, Relation, RowKind};
use routing::{ChannelTags, Options, Request, Resolution, Routing, RuleOptions, Rules, SPACES, Tables};

const ROUNDS: usize = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let users: usize = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(dir) = args.next() {
        return runtime.block_on(measure(std::path::Path::new(&dir), users));
    }
    let dir = tempfile::tempdir()?;
    runtime.block_on(build(dir.path(), users))?;
    let again = std::process::Command::new(std::env::current_exe()?)
        .arg(users.to_string())
        .arg(dir.path())
        .status()?;
    if again.success() { Ok(()) } else { Err("the reading process failed".into()) }
}

fn open(dir: &std::path::Path) -> Result<(Tables, storage::Storage), storage::StorageError> {
    let options = storage::Options { size_max: 8 << 30, synced: false, ..storage::Options::default() };
    let storage = storage::Storage::open(dir, SPACES, &options)?;
    Ok((Tables::new(storage.clone()), storage))
}

async fn build(dir: &std::path::Path, users: usize) -> Result<(), Box<dyn std::error::Error>> {
    let (tables, storage) = open(dir)?;
    let begun = Instant::now();
    let mut rebuild = tables.rebuild().await?;
    let dn = directory::Dn::parse("dc=example,dc=org,o=internet")?;
    let row = DomainRow { dn: dn.to_string(), ..DomainRow::default() };
    rebuild.add_rows(dn, Rows { domains: vec![("example.org".into(), row)], aliases: Vec::new() }).await?;
    for n in 0..users {
        let dn = directory::Dn::parse(&format!("uid=user{n},ou=People,o=example.org,o=isp"))?;
        let row = AliasRow {
            relation: Relation::Primary,
            kind: RowKind::User,
            status: directory::Status::Active,
            dn: dn.to_string().into(),
            detail: None,
        };
        let rows = Rows { domains: Vec::new(), aliases: vec![(format!("user{n}@example.org"), row)] };
        rebuild.add_rows(dn, rows).await?;
    }
    rebuild.finish(1).await?;
    println!("users {users}");
    println!("build_seconds {:.1}", begun.elapsed().as_secs_f64());
    storage.close().await;
    Ok(())
}

async fn measure(dir: &std::path::Path, users: usize) -> Result<(), Box<dyn std::error::Error>> {
    let (tables, _storage) = open(dir)?;
    let names: Vec<String> =
        (0..ROUNDS).map(|n| format!("user{}@example.org", n.wrapping_mul(7_919) % users)).collect();
    let mut times = Vec::with_capacity(ROUNDS);
    for name in &names {
        let begun = Instant::now();
        let found = tables.reader()?.alias(name)?.is_some();
        times.push(begun.elapsed());
        assert!(found, "{name}");
    }
    print("lookup", &mut times);
    let rules = include_str!("../../../config/rewrite.rules");
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(rules, "rewrite.rules", &RuleOptions::new(&tags))?;
    let options = Options::new(&Domain::parse("mail.example.org")?, Domain::parse("example.org")?);
    let routing = Routing::new(tables, rules, options, runtime::Random::seeded(1));
    times.clear();
    for name in &names {
        let recipient = ForwardPath::parse(&format!("<{name}>"))?;
        let request = Request {
            recipient: &recipient,
            reverse_path: &ReversePath::Null,
            source: "smtp",
            authenticated: None,
            size: None,
            relay: false,
            released: &[],
            again: false,
            id: "",
        };
        let begun = Instant::now();
        let resolution = routing.resolve(&request).await;
        times.push(begun.elapsed());
        assert!(matches!(resolution, Resolution::Accepted(_)), "{name}");
    }
    print("resolve", &mut times);
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("{line}");
    }
    Ok(())
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1000].as_nanos();
    println!("{what}_nanoseconds median {} p99 {} p999 {}", at(500), at(990), at(999));
}
