//! What a routing lookup costs with many users: prints JSON on one line.
//!
//! `routing-lookups [USERS (default 1,000,000)]`: a child process loads a directory of so many users from LDIF and builds
//! the tables; this process then opens both as a server does at its start, resolves recipients at random, and says how
//! long one took and how much memory the process has come to.

mod looking_up;

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use auth::{HashOptions, Hasher};
use directory::PasswordHasher;
use looking_up::{folder_on_disk, open, refresh, resolve, routing};
use mail_types::Address;
use routing::Tables;
use runtime::Random;
use serde_json::json;

const USERS: usize = 1_000_000;
const USERS_PER_DOMAIN: usize = 1_000;
const LOOKUPS: usize = 200_000;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["load", folder, users] => runtime.block_on(load(Path::new(folder), users.parse()?)),
        [] => runtime.block_on(measure(USERS)),
        [users] => runtime.block_on(measure(users.parse()?)),
        _ => bail!("routing-lookups [USERS]"),
    }
}

async fn load(folder: &Path, users: usize) -> anyhow::Result<()> {
    let (directory, tables) = open(folder)?;
    let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(Random::system(), HashOptions::default()));
    let ldif = BufReader::new(Ldif { users, next: 0, text: Vec::new(), at: 0 });
    directory.load_ldif(ldif, &hasher, &mut |_| {}).await?;
    refresh(&tables, &directory).await
}

async fn measure(users: usize) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("routing-lookups-").tempdir_in(folder_on_disk())?;
    let began = Instant::now();
    let path = folder.path().to_str().context("the folder's name is not UTF-8")?;
    let loaded = Command::new(std::env::current_exe()?).args(["load", path, &users.to_string()]).status()?;
    ensure!(loaded.success(), "loading failed");
    let load_seconds = began.elapsed().as_secs_f64();
    let (directory, tables) = open(folder.path())?;
    refresh(&tables, &directory).await?;
    let lookups = look_up(&tables, users)?;
    let resolutions = resolve(&routing(tables)?, (users, &address), &|asked| asked == LOOKUPS).await?;
    let (anonymous, file) = resident_mib()?;
    let result = json!({
        "users": users,
        "lookup_median_ns": lookups[LOOKUPS / 2],
        "lookup_p99_ns": lookups[LOOKUPS * 99 / 100],
        "resolution_median_ns": resolutions[LOOKUPS / 2],
        "resolution_p99_ns": resolutions[LOOKUPS * 99 / 100],
        "resident_mib": anonymous + file,
        "of_it_anonymous_mib": anonymous,
        "load_seconds": load_seconds,
    });
    println!("{result}");
    Ok(())
}

/// The two rows of a recipient, its domain's and its own, each time in a view of their own: how long each took, rising.
fn look_up(tables: &Tables, users: usize) -> anyhow::Result<Vec<u64>> {
    let random = Random::seeded(1);
    let mut nanoseconds = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let address = address(usize::try_from(random.below(users as u64))?)?;
        let (domain, key) = (address.domain.as_str(), address.to_key());
        let began = Instant::now();
        let reader = tables.reader()?;
        let found = reader.domain(domain)?.is_some() && reader.alias(&key)?.is_some();
        nanoseconds.push(u64::try_from(began.elapsed().as_nanos())?);
        ensure!(found, "{address} is not in the tables");
    }
    nanoseconds.sort_unstable();
    Ok(nanoseconds)
}

fn address(user: usize) -> anyhow::Result<Address> {
    Ok(Address::parse(&format!("user{user}@domain{}.test", user / USERS_PER_DOMAIN))?)
}

/// Resident memory of this process: anonymous, and pages of files (the tables, which the kernel may drop at any time).
fn resident_mib() -> anyhow::Result<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).context("no such line")?;
        let kib = line.split_whitespace().nth(1).context("no number")?;
        anyhow::Ok(kib.parse::<u64>()? / 1024)
    };
    Ok((field("RssAnon:")?, field("RssFile:")?))
}

/// The LDIF of so many users, made while it is read.
struct Ldif {
    users: usize,
    next: usize,
    text: Vec<u8>,
    at: usize,
}

impl Ldif {
    fn entry(&mut self) -> String {
        let (user, domain) = (self.next, self.next / USERS_PER_DOMAIN);
        let mut text = String::new();
        if user.is_multiple_of(USERS_PER_DOMAIN) {
            text = format!(
                "dn: o=domain{domain}.test,o=isp\nobjectClass: mailDomain\nassociatedDomain: domain{domain}.test\n\n"
            );
        }
        self.next += 1;
        text + &format!(
            "dn: uid=user{user},o=domain{domain}.test,o=isp\nobjectClass: inetMailUser\nuid: user{user}\n\
             cn: User {user}\nmail: user{user}@domain{domain}.test\n\n"
        )
    }
}

impl Read for Ldif {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.text.len() {
            if self.next == self.users {
                return Ok(0);
            }
            self.text = self.entry().into_bytes();
            self.at = 0;
        }
        let count = into.len().min(self.text.len() - self.at);
        into[..count].copy_from_slice(&self.text[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
