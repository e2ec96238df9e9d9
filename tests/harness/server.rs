//! The real server, in the test's own process, over a data directory of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use events::{Events, LogOptions};
use parking_lot::Mutex;
use runtime::Clock;
use tempfile::TempDir;
use wasmta::config::Config;
use wasmta::serve::{DataLock, Place, Server};

use crate::cases::tests_folder;
use crate::dialog::{self, Printed};
use crate::txtar::Archive;
use crate::wire::PATIENCE;

/// What every test's server has, before the case's own `server.toml`. Ports are free ones.
const BASE: &str = r#"
[dns]
servers = []
[dns.publish]
listen = "127.0.0.1:0"
[auth]
cleartext = true
argon2-memory = "64 KiB"
argon2-passes = 1
scram-iterations = 4096
[server]
stop-grace = "0 s"
[listeners.smtp]
address = "127.0.0.1:0"
[listeners.submission]
address = "127.0.0.1:0"
[listeners.submissions]
address = "127.0.0.1:0"
[listeners.lmtp]
address = "127.0.0.1:0"
[listeners.imap]
address = "127.0.0.1:0"
[listeners.imaps]
address = "127.0.0.1:0"
[listeners.pop3]
address = "127.0.0.1:0"
[listeners.pop3s]
address = "127.0.0.1:0"
"#;

/// How long sessions may finish when a test ends.
const GRACE: Duration = Duration::from_millis(200);

/// A running server; its folder is removed when it is dropped.
pub struct TestServer {
    folder: TempDir,
    server: Mutex<Option<Server>>,
    events: Events,
    log: Log,
}

/// What the server writes to its log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl TestServer {
    /// Starts a server as a case's sections want it: `server.toml` over the base configuration,
    /// `directory.ldif` and `rewrite.rules` instead of those that ship, and any other `….rules`, `….ldif`, `….txt` and `….eml`.
    pub async fn start(archive: &Archive, names: &[(String, String)]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let own = archive.get("server.toml").unwrap_or_default().to_owned();
        let filled = |text: String| names.iter().fold(text, |text, (name, value)| text.replace(name, value));
        let own = filled(own);
        // Only root can, and then must, give programs a user of their own.
        let user = if runtime::is_root() { "user = \"nobody\"" } else { "" };
        let own = own.replace("<<program user>>", user);
        let own = own.replace("<<own user>>", &own_user(folder.path())?.to_string());
        let own = own.replace("<<folder>>", &folder.path().display().to_string());
        let toml = lay_over(BASE, &own).map_err(|why| format!("server.toml: {why}"))?;
        for file in ["directory.ldif", "rewrite.rules"] {
            let shipped = || std::fs::read_to_string(tests_folder().join("../config").join(file));
            let text = archive.get(file).map_or_else(shipped, |text| Ok(text.to_owned()));
            let text = text.map_err(|e| format!("{file}: {e}"))?;
            std::fs::write(folder.path().join(file), filled(text)).map_err(|e| e.to_string())?;
        }
        // Tables and secrets that the configuration names.
        let is_file =
            |name: &str| [".txt", ".rules", ".ldif", ".eml"].iter().any(|ending| name.ends_with(ending));
        for section in archive.sections.iter().filter(|section| is_file(&section.name)) {
            let text = filled(section.text.clone());
            std::fs::write(folder.path().join(&section.name), text).map_err(|e| e.to_string())?;
        }
        let path = folder.path().join("wasmta.toml");
        std::fs::write(&path, toml).map_err(|e| e.to_string())?;
        let log = Log::default();
        let events = Events::logging(Clock::system(), LogOptions::default(), log.clone());
        let events = events.map_err(|e| e.to_string())?;
        let server = Self { folder, server: Mutex::default(), events, log };
        server.start_over().await?;
        Ok(server)
    }

    /// Starts over the data that is there.
    async fn start_over(&self) -> Result<(), String> {
        let place = self.place();
        let config = Config::load(&place.config).map_err(|problems| problems.to_string())?;
        let lock = DataLock::take(&place.data)?;
        let server = Server::start(config, place, lock, self.events.clone()).await?;
        *self.server.lock() = Some(server);
        Ok(())
    }

    /// Stops it; the folder stays.
    pub async fn stop(&self) {
        let server = self.server.lock().take();
        if let Some(server) = server {
            server.stop(GRACE).await;
        }
    }

    /// Its configuration and data.
    #[must_use]
    pub fn place(&self) -> Place {
        let path = self.folder.path();
        Place { config: path.join("wasmta.toml"), data: path.join("data"), port_offset: 0 }
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl dialog::Place for TestServer {
    fn listener(&self, name: &str) -> Option<SocketAddr> {
        let listeners = self.server.lock().as_ref()?.listeners();
        listeners.into_iter().find(|(own, _)| own.name == name).map(|(_, address)| address)
    }

    async fn restart(&self) -> Result<(), String> {
        self.stop().await;
        let started = Instant::now();
        loop {
            match self.start_over().await {
                // A session that still ends holds the environment.
                Err(why) if why.contains("already open") && started.elapsed() < PATIENCE => {
                    tokio::time::sleep(GRACE / 10).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn configure(&self, toml: &str) -> Result<(), String> {
        let path = self.place().config;
        let base = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        std::fs::write(&path, lay_over(&base, toml)?).map_err(|e| e.to_string())
    }

    async fn stop(&self) {
        TestServer::stop(self).await;
    }

    fn log(&self) -> String {
        self.events.flush();
        String::from_utf8_lossy(&self.log.0.lock()).into_owned()
    }

    async fn command(&self, arguments: &str) -> Result<Printed, String> {
        let started = Instant::now();
        loop {
            let printed = self.run(arguments).await?;
            // Without a server the command opens the data itself, which a session that still ends may hold.
            if !printed.text.contains("already open") || started.elapsed() > PATIENCE {
                return Ok(printed);
            }
            tokio::time::sleep(GRACE / 10).await;
        }
    }
}

/// The number of the user that this process runs as: whoever made the folder.
fn own_user(folder: &Path) -> Result<u32, String> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).map(|found| found.uid()).map_err(|e| e.to_string())
}

impl TestServer {
    async fn run(&self, arguments: &str) -> Result<Printed, String> {
        let place = self.place();
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let folder = text(self.folder.path().to_path_buf());
        let given = split(&arguments.replace("<<folder>>", &folder));
        let mut words = Vec::new();
        for (option, path) in [("--config", place.config), ("--data", place.data)] {
            // A case may mean another place.
            if !given.iter().any(|word| word == option) {
                words.extend([option.to_owned(), text(path)]);
            }
        }
        words.extend(given);
        let work = tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut out = Vec::new();
            let code = wasmta::cli::run_text(&words, &mut out);
            Printed { text: String::from_utf8_lossy(&out).into_owned(), code }
        });
        work.await.map_err(|e| e.to_string())
    }
}

/// Lays a text over a table, both TOML.
fn lay_over(base: &str, over: &str) -> Result<String, String> {
    let mut base: toml::Table = base.parse().map_err(|e| format!("{e}"))?;
    merge(&mut base, over.parse().map_err(|e| format!("{e}"))?);
    Ok(base.to_string())
}

/// Lays one table over another: tables are merged, all else is replaced.
fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// Words of a command line; double quotes hold blanks together, and `\"` is one in a word.
fn split(text: &str) -> Vec<String> {
    /// Stands for a quote in a word.
    const QUOTE: &str = "\u{1}";
    let text = text.replace("\\\"", QUOTE);
    let mut words = Vec::new();
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words.into_iter().map(|word| word.replace(QUOTE, "\"")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_s_own_configuration_lies_over_the_base() {
        let mut base: toml::Table = "[a]\nx = 1\ny = 2\n[b]\nz = 3".parse().unwrap();
        merge(&mut base, "[a]\ny = 5\n[c]\nw = 4".parse().unwrap());
        assert_eq!(base, "[a]\nx = 1\ny = 5\n[b]\nz = 3\n[c]\nw = 4".parse().unwrap());
    }

    #[test]
    fn quoted_words_hold_together() {
        assert_eq!(split("user add a@b --name \"Anna Ahl\""), ["user", "add", "a@b", "--name", "Anna Ahl"]);
        assert_eq!(split(r#"user add "\"a b\"@c" x"#), ["user", "add", "\"a b\"@c", "x"]);
    }
}
