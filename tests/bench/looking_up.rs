//! What benchmarks of routing lookups share: directory and tables in a folder, and the whole decision on recipients.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use directory::{Directory, DirectoryOptions};
use mail_types::{Address, Domain, ForwardPath, ReversePath};
use routing::{Builders, ChannelTags, Options, Request, Resolution, Routing, RuleOptions, Rules, Tables};
use runtime::{Clock, Random};
use storage::{Space, Storage};

const STORE_OCTETS_MAX: u64 = 32 << 30;
const RULES: &str = include_str!("../../config/rewrite.rules");

/// Directory and tables in a folder.
pub(crate) fn open(folder: &Path) -> anyhow::Result<(Directory, Tables)> {
    let directory = Directory::open(
        storage(&folder.join("directory"), directory::SPACES)?,
        Clock::system(),
        DirectoryOptions::default(),
    )?;
    Ok((directory, Tables::new(storage(&folder.join("tables"), routing::SPACES)?)))
}

fn storage(folder: &Path, spaces: &[Space]) -> anyhow::Result<Storage> {
    let options = storage::Options { size_max: STORE_OCTETS_MAX, inline_max: 4096, synced: false };
    Ok(Storage::open(folder, spaces, &options)?)
}

/// Brings the tables up to the directory.
pub(crate) async fn refresh(tables: &Tables, directory: &Directory) -> anyhow::Result<()> {
    let (clock, events) = (Clock::system(), events::Events::counting(Clock::system()));
    let builders = Builders { plugins: &hooks::NoPlugins, events: &events, clock: &clock };
    tables.refresh(directory, &builders).await?;
    Ok(())
}

/// The whole decision on a recipient, as RCPT asks for it: rewrite rules, rows, status, route, and the decision trail. Of
/// recipients at random, until `enough` of them: how many nanoseconds each took, rising.
pub(crate) async fn resolve(
    routing: &Routing,
    (users, address): (usize, &(dyn Fn(usize) -> anyhow::Result<Address> + Sync)),
    enough: &(dyn Fn(usize) -> bool + Sync),
) -> anyhow::Result<Vec<u64>> {
    let random = Random::seeded(2);
    let mut nanoseconds = Vec::new();
    while !enough(nanoseconds.len()) {
        let recipient = ForwardPath::from(address(usize::try_from(random.below(users as u64))?)?);
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
        let began = Instant::now();
        let resolution = routing.resolve(&request).await;
        nanoseconds.push(u64::try_from(began.elapsed().as_nanos())?);
        ensure!(
            matches!(&resolution, Resolution::Accepted(to) if to.len() == 1),
            "{recipient}: {resolution:?}"
        );
    }
    nanoseconds.sort_unstable();
    Ok(nanoseconds)
}

/// Routing by the default rules.
pub(crate) fn routing(tables: Tables) -> anyhow::Result<Routing> {
    let tags = ChannelTags::builtin();
    let rules = Rules::parse(RULES, "rewrite.rules", &RuleOptions::new(&tags));
    let rules = rules.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let host = Domain::parse("mail.example.org")?;
    let options = Options::new(&host, host.clone());
    Ok(Routing::new(tables, rules, options, Random::system()))
}

/// A disk, not a temporary file system in memory: its pages would be counted as nobody's.
pub(crate) fn folder_on_disk() -> &'static Path {
    let on_disk = Path::new("/var/tmp");
    if on_disk.is_dir() { on_disk } else { Path::new(".") }
}
