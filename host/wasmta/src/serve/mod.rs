//! Serving: from a configuration to a running server, and down again.

mod account_moves;
mod bound;
pub(crate) mod bounds;
mod certificates;
mod complete;
mod contradictions;
mod domain_tables;
pub(crate) mod doubts;
mod files;
mod files_limit;
mod first_start;
mod gone_tenants;
mod groups;
mod key_table;
mod lock;
mod logging;
mod mirror;
mod new_data;
mod numbers;
mod parts;
pub(crate) mod plugin_files;
mod plugins;
mod policy;
mod provisioning;
mod publication;
mod quota_warnings;
mod quotas;
mod restored;
mod row_cache;
mod server;
mod services;
mod settings;
mod ways;
mod welcome;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use events::Event;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, Examined, Problems};

pub(crate) use complete::complete;
pub use lock::DataLock;
pub(crate) use lock::IN_USE;
pub(crate) use logging::{counting, to_standard_error};
pub use parts::Parts;
pub(crate) use restored::{DURABLE, RESTORING, is_own_file, is_under_way, movable, put_in_place};
pub use server::Server;
pub(crate) use settings::smtp as smtp_options;
pub(crate) use ways::{NOT_LAUNCHED, files_of, hosts, programs, unsubscribe};

/// Which server is meant: where its configuration and its data are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The configuration file.
    pub config: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// Added to every port.
    pub port_offset: u16,
}

impl Place {
    /// Loads the configuration and shifts its ports.
    pub fn load(&self) -> Result<Config, String> {
        let mut config = Config::load(&self.config).map_err(|problems| refused(&problems))?;
        config.shift_ports(self.port_offset)?;
        Ok(config)
    }

    /// Loads the configuration with the files that it names; all that is wrong with any is told at once.
    pub fn load_whole(&self) -> Result<Config, String> {
        let (config, problems, _) = self.examine(false);
        let mut config = config.filter(|_| problems.0.is_empty()).ok_or_else(|| refused(&problems))?;
        config.shift_ports(self.port_offset)?;
        Ok(config)
    }

    /// Looks at everything, the LDIF and the installed plugins too. Gives what may stay as it is, or what has to be mended.
    pub fn check(&self) -> Result<Vec<String>, String> {
        let (config, problems, warnings) = self.examine(true);
        let mut config = config.filter(|_| problems.0.is_empty()).ok_or_else(|| refused(&problems))?;
        config.shift_ports(self.port_offset)?;
        Ok(warnings)
    }

    fn examine(&self, all: bool) -> (Option<Config>, Problems, Vec<String>) {
        let Examined { config, mut problems, places } = Config::examine(&self.config);
        let (mut further, mut warnings) = (Vec::new(), Vec::new());
        if let Some(config) = &config {
            further = files::problems(config, &places);
            if all {
                let (problems, found) = files::ldif(config, &places);
                further.extend(problems);
                warnings = found;
                further.extend(plugin_files::problems(config));
                let (problems, doubtful) = plugins::doubts(config, &self.data, &places);
                further.extend(problems);
                warnings.extend(doubtful);
                // By the ports that it would listen at; beyond the last one is told of further on.
                let mut shifted = config.clone();
                let _ = shifted.shift_ports(self.port_offset);
                warnings.extend(doubts::before_a_start(&shifted, &self.data));
                warnings.extend(files::secrecy(config));
                let now = runtime::Clock::system().now();
                warnings.extend(certificates::look(config, now).iter().map(certificates::Note::text));
            }
        }
        // A file that is not there has been told of with its key.
        further.retain(|new| new.key.is_empty() || !problems.iter().any(|known| known.key == new.key));
        problems.extend(further);
        (config, Problems(problems), warnings)
    }
}

fn refused(problems: &Problems) -> String {
    format!("the configuration is refused:\n{problems}")
}

/// Serves until a signal ends it: SIGTERM and SIGINT stop, SIGHUP reloads.
pub fn run(place: &Place) -> Result<String, String> {
    let config = place.load_whole()?;
    let lock = DataLock::take(&place.data)?;
    let files = files_limit::raise(config.server.open_files);
    runtime::give_back_large_blocks();
    let runtime = executor(config.server.threads)?;
    let events = to_standard_error(&config.log)?;
    let outcome = runtime.block_on(async {
        // Before the first connection is taken: a signal that finds nobody would end the process without its grace.
        let mut told = Told::hear()?;
        // A first start may take minutes: passwords are hashed in it.
        let server = tokio::select! {
            started = Server::start(config, place.clone(), lock, events.clone()) => started?,
            reason = told.end() => {
                events.emit(&Event::Stopping { reason });
                return Ok(String::new());
            }
        };
        // Not to standard error, which is the log's. Nothing is to be done where nobody reads it.
        let _ = writeln!(std::io::stdout(), "{}", welcome::text(&server, files));
        let reason = tokio::select! {
            reason = told.until_stop(&server) => reason,
            // Nothing works any more, not even a graceful stop: whoever supervises us starts us again.
            cause = server.storage_broken() => {
                server.events().emit(&Event::StorageUnavailable { cause: &cause });
                return Err(cause);
            }
        };
        server.events().emit(&Event::Stopping { reason });
        // As it is now: a reload may have changed it.
        let grace = server.config().server.stop_grace;
        server.stop(grace).await;
        Ok(String::new())
    });
    // Sessions that did not end within their grace are cut off here.
    runtime.shutdown_timeout(Duration::from_secs(1));
    events.flush();
    outcome
}

/// Most threads for work that blocks.
const BLOCKING_THREADS_MAX: usize = 32;

/// The threads that run everything but the storage's writer and the log's.
fn executor(threads: usize) -> Result<tokio::runtime::Runtime, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(if threads == 0 { cores } else { threads })
        .thread_name("session")
        // Blocking work is short or bounded by its owner: password hashes, files, checks.
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|e| format!("threads cannot be started: {e}"))
}

/// The signals that end a server or make it read its configuration again.
struct Told {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Told {
    /// Hears them from now on: one that comes before anybody waits for it is not lost.
    fn hear() -> Result<Told, String> {
        let hear = |kind| signal(kind).map_err(|e| format!("signals: {e}"));
        Ok(Told {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
            hangup: hear(SignalKind::hangup())?,
        })
    }

    /// Until one says stop: its name. One that says otherwise is left for later.
    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The same, and does what others say.
    async fn until_stop(&mut self, server: &Server) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {}
            }
            // An end is heard meanwhile: all tables may be built anew in it.
            tokio::select! {
                reason = self.end() => return reason,
                // The outcome is an event; nobody waits for an answer.
                _ = server.reload() => {}
            }
        }
    }
}
