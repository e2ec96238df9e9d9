//! Serving: from a configuration to a running server, and down again.

pub(crate) mod bounds;
mod files_limit;
mod first_start;
mod key_table;
mod lock;
mod logging;
mod parts;
pub(crate) mod plugins;
pub(crate) mod policy;
mod quotas;
mod server;
mod services;
mod settings;
mod ways;
mod welcome;

use std::path::PathBuf;
use std::time::Duration;

use events::Event;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;

pub use lock::DataLock;
pub(crate) use logging::{counting, to_standard_error};
pub use parts::Parts;
pub use server::Server;

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
        let refused = |problems| format!("the configuration is refused:\n{problems}");
        let mut config = Config::load(&self.config).map_err(refused)?;
        config.shift_ports(self.port_offset)?;
        Ok(config)
    }
}

/// Serves until a signal ends it: SIGTERM and SIGINT stop, SIGHUP reloads.
pub fn run(place: &Place) -> Result<String, String> {
    let config = place.load()?;
    let lock = DataLock::take(&place.data)?;
    let files = files_limit::raise(config.server.open_files);
    let runtime = executor(config.server.threads)?;
    let events = to_standard_error(&config.log)?;
    let outcome = runtime.block_on(async {
        let server = Server::start(config, place.clone(), lock, events.clone()).await?;
        eprintln!("{}", welcome::text(&server, files));
        let reason = tokio::select! {
            told = until_told_to_stop(&server) => told?,
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

async fn until_told_to_stop(server: &Server) -> Result<&'static str, String> {
    let hear = |kind| -> Result<Signal, String> { signal(kind).map_err(|e| format!("signals: {e}")) };
    let mut terminate = hear(SignalKind::terminate())?;
    let mut interrupt = hear(SignalKind::interrupt())?;
    let mut hangup = hear(SignalKind::hangup())?;
    loop {
        let reason = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => {
                // The outcome is an event; nobody waits for an answer.
                let _ = server.reload().await;
                continue;
            }
        };
        return Ok(reason);
    }
}
