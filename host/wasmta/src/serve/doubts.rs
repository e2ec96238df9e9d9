//! What the directory holds that a configuration does not go well with: accounts that its LDAP servers have not shown, accounts of
//! the sample with their known password where others than this machine can reach them, and plugins that entries name in a way that
//! nobody can read. Told by `check-config`, at the start and by a reload.

use std::ops::ControlFlow;
use std::path::Path;

use auth::{ClearPasswords, Secret};
use directory::{Directory, Entry, Field, Typed, UserEntry};
use events::{Event, Events};
use mail_types::Lookup;
use serde::{Deserialize, Serialize};
use storage::Storage;

use super::welcome::SAMPLE_PASSWORD;
use super::{DataLock, Parts, is_under_way, mirror};
use crate::config::{Config, Listener, Protocol};
use crate::control::{self, Reached, Request};
use crate::operate::is_owners;

/// The users of the directory that ships. Each costs some checks of a password.
const SAMPLES: [&str; 12] = [
    "user1@example.org",
    "user2@example.org",
    "user4@example.org",
    "user5@example.org",
    "user6@example.org",
    "forward@example.org",
    "onleave@example.org",
    "left@example.org",
    "moving@example.org",
    "user3@example.net",
    "user7@example.net",
    "user8@example.net",
];
/// Entries that are looked at for one that no LDAP server has shown.
const LOOKED_AT_MAX: usize = 10_000;

/// Entries that are looked at for plugins that cannot be read.
const BINDINGS_LOOKED_AT_MAX: usize = 1_000_000;
/// Values for plugins that are told of one by one.
const BINDINGS_TOLD_MAX: usize = 20;

/// What there is in a directory.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// How many users.
    users: u64,
    /// One that no LDAP server has shown.
    unshown: Option<String>,
    /// The accounts of the sample that have its password, and can log in.
    samples: Vec<String>,
    /// What entries say of plugins and cannot be read: the first of them.
    bindings: Vec<String>,
    /// How many such values there are.
    bindings_total: usize,
}

impl Held {
    /// Looks. Blocks, for up to a second where there are not hundreds of thousands of entries; passwords are tried only where
    /// `accounts` are asked for.
    pub(crate) fn in_directory(directory: &Directory, accounts: bool) -> Result<Self, String> {
        let (bindings, bindings_total) = unreadable_bindings(directory)?;
        let held = Self { bindings, bindings_total, ..Self::default() };
        if !accounts {
            return Ok(held);
        }
        let users = directory.counts().map_err(|why| why.to_string())?.users;
        let (mut unshown, mut looked_at, mut failure) = (None, 0, None);
        let scanned = directory.scan(&mut |entry| {
            looked_at += 1;
            if let Some(user) = UserEntry::read(&entry, directory.schema()) {
                match directory.brought(&user.dn) {
                    Ok(None) => {
                        let address = user.address.as_ref().map(ToString::to_string);
                        unshown = Some(address.unwrap_or_else(|| user.dn.to_string()));
                    }
                    Ok(Some(_)) => {}
                    Err(why) => failure = Some(why),
                }
            }
            let is_over = unshown.is_some() || failure.is_some() || looked_at == LOOKED_AT_MAX;
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        scanned.and(failure.map_or(Ok(()), Err)).map_err(|why| why.to_string())?;
        let samples = SAMPLES.into_iter().filter(|login| has_password(directory, login, SAMPLE_PASSWORD));
        Ok(Self { users, unshown, samples: samples.map(str::to_owned).collect(), ..held })
    }

    /// What is to be said of it.
    fn told(&self, config: &Config) -> Vec<String> {
        let Self { users, unshown, samples, bindings, bindings_total } = self;
        let mut told: Vec<String> = bindings
            .iter()
            .map(|what| format!(
                    "the directory: {what}; no plugin is asked by it: mend it by `wasmta user set`, `domain set` or `directory apply`, or \
                     at the LDAP server that it came from"
                ))
            .collect();
        if *bindings_total > bindings.len() {
            told.push(format!("the directory: {bindings_total} such values of plugins in all"));
        }
        if let Some(one) = unshown.as_ref().filter(|_| !config.directory.sources.is_empty()) {
            told.push(format!(
                "directory.source: of the {users} users in the data directory some come from no LDAP server, {one} for one: mail goes on \
                 by them until a full sync, and no sync removes most of what is there by itself. `wasmta directory export FILE` writes \
                 them as LDIF for the servers; `wasmta sync full --force` removes what those do not have"
            ));
        }
        // Nobody logs in at the others.
        let logs_in = |listener: &&Listener| !matches!(listener.protocol, Protocol::Metrics | Protocol::Lmtp);
        let open = config.listeners.iter().filter(logs_in).find(|listener| !is_loopback(listener));
        if let Some(listener) = open.filter(|_| !samples.is_empty()) {
            told.push(format!(
                "listeners.{}.address: {} can be reached from elsewhere, and accounts of the sample have its password, which everybody \
                 knows: {}. `wasmta user passwd ADDRESS` sets another one, `wasmta domain remove DOMAIN --with-users` removes those of \
                 a domain",
                listener.name,
                listener.address,
                samples.join(", ")
            ));
        }
        told
    }
}

/// The values that name a plugin and cannot be read, each with its entry, and how many there are.
fn unreadable_bindings(directory: &Directory) -> Result<(Vec<String>, usize), String> {
    let schema = directory.schema();
    let (mut told, mut total, mut looked_at) = (Vec::new(), 0, 0);
    let mut look = |entry: Entry| {
        if schema.texts(&entry, Field::WasmtaPlugin).next().is_none() {
            return;
        }
        let dn = entry.dn.clone();
        let typed = Typed::read(entry, schema);
        for defect in typed.defects().iter().filter(|one| one.attribute == schema.name(Field::WasmtaPlugin)) {
            total += 1;
            if told.len() < BINDINGS_TOLD_MAX {
                told.push(format!("{dn}: {defect}"));
            }
        }
    };
    let scanned = directory.scan(&mut |entry| {
        looked_at += 1;
        look(entry);
        if looked_at < BINDINGS_LOOKED_AT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    scanned.map_err(|why| why.to_string())?;
    Ok((told, total))
}

/// Whether a user has this password here, and nothing keeps them from using it.
pub(super) fn has_password(directory: &Directory, login: &str, password: &str) -> bool {
    let Some(secret) = Secret::new(password.to_owned()) else { return false };
    let Lookup::Found(user) = directory.user_by_login(login) else { return false };
    if !may_log_in(directory, &user) {
        return false;
    }
    user.password_hashes.iter().any(|value| auth::verify(&secret, value, ClearPasswords::default()))
}

/// Whether neither the user's entry nor that of the domain shuts the account.
fn may_log_in(directory: &Directory, user: &UserEntry) -> bool {
    let domain = match directory.domain_of(user) {
        Lookup::Found(domain) => domain.effective_status().allows_login(),
        Lookup::NotFound | Lookup::Unavailable(_) => true,
    };
    domain && user.effective_status().allows_login()
}

fn is_loopback(listener: &Listener) -> bool {
    listener.address.ip().to_canonical().is_loopback()
}

/// Whether a configuration is one in which accounts matter.
fn concerns(config: &Config) -> bool {
    !config.directory.sources.is_empty() || config.listeners.iter().any(|listener| !is_loopback(listener))
}

/// By the directory in force.
pub(super) async fn in_force(config: &Config, parts: &Parts) -> Vec<String> {
    let (directory, accounts) = (parts.directory.clone(), concerns(config));
    let held = tokio::task::spawn_blocking(move || Held::in_directory(&directory, accounts)).await;
    // A directory that cannot be read tells of itself.
    held.ok().and_then(Result::ok).unwrap_or_default().told(config)
}

/// The same, to the log.
pub(super) async fn tell(config: &Config, parts: &Parts, file: &Path, events: &Events) {
    for cause in in_force(config, parts).await {
        events.emit(&Event::ConfigurationDoubtful { file: &file.display().to_string(), cause: &cause });
    }
}

/// By what a data directory holds, whether a server runs over it or not.
pub(super) fn before_a_start(config: &Config, data: &Path) -> Vec<String> {
    if is_under_way(data) {
        return Vec::new();
    }
    match data.join("directory/data.mdb").try_exists() {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(why) => return vec![unseen(data, &why.to_string())],
    }
    match held(config, data) {
        Ok(held) => held.told(config),
        Err(why) => vec![unseen(data, &why)],
    }
}

fn unseen(data: &Path, why: &str) -> String {
    format!("what the directory of {} has of accounts and plugins cannot be seen: {why}", data.display())
}

fn held(config: &Config, data: &Path) -> Result<Held, String> {
    match control::ask(data, &Request::Held { accounts: concerns(config) }, |_, _, _| {}) {
        Ok(Reached::Answered(answer)) => {
            serde_json::from_value(answer?.json).map_err(|why| format!("another version runs: {why}"))
        }
        Ok(Reached::NoServer) => offline(config, data),
        Err(why) => Err(format!("the server does not answer: {why}")),
    }
}

fn offline(config: &Config, data: &Path) -> Result<Held, String> {
    is_owners(data, runtime::is_root())?;
    let _lock = DataLock::take(data)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|why| why.to_string())?;
    let options = storage::Options { size_max: config.storage.size_max, ..storage::Options::default() };
    let storage = Storage::open(&data.join("directory"), directory::SPACES, &options);
    let storage = storage.map_err(|why| why.to_string())?;
    let directory = Directory::open(storage.clone(), runtime::Clock::system(), mirror::options(config)?);
    let held = directory
        .map_err(|why| why.to_string())
        .and_then(|directory| Held::in_directory(&directory, concerns(config)));
    runtime.block_on(storage.close());
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_the_sample_are_those_that_ship() {
        let shipped = include_str!("../../../../config/directory.ldif");
        let entries = shipped.split("\n\n").filter(|entry| entry.contains("\nuserPassword: password"));
        let mail =
            |entry: &str| entry.lines().find_map(|line| line.strip_prefix("mail: ")).map(str::to_owned);
        let mut there: Vec<String> = entries.filter_map(mail).collect();
        let mut known = SAMPLES.map(str::to_owned).to_vec();
        there.sort();
        known.sort();
        assert_eq!(there, known);
    }
}
