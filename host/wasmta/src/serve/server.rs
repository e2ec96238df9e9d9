//! A running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use mail_types::Timestamp;
use parking_lot::Mutex;
use runtime::Shutdown;
use tokio::sync::mpsc;

use super::{DataLock, Parts, Place, logging};
use crate::config::Config;
use crate::control::{self, Answer, Line, Performer, Request};
use crate::operate;

/// A running server. Dropping it does not stop it: [`Server::stop`] does.
pub struct Server {
    running: Arc<Running>,
    /// Held until everything has ended.
    _lock: DataLock,
}

/// What the server's tasks share.
struct Running {
    place: Place,
    config: Mutex<Arc<Config>>,
    parts: Parts,
    shutdown: Shutdown,
    started: Timestamp,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

impl Server {
    /// Builds everything and listens.
    pub async fn start(config: Config, place: Place, lock: DataLock, events: Events) -> Result<Self, String> {
        let parts = Parts::open(&config, &place.data, events).await?;
        let running = Arc::new(Running {
            started: parts.clock.now(),
            config: Mutex::new(Arc::new(config)),
            place,
            parts,
            shutdown: Shutdown::new(),
            reloading: tokio::sync::Mutex::new(()),
        });
        let socket = control::socket_path(&running.place.data);
        control::listen(&socket, Arc::clone(&running), running.shutdown.clone())
            .map_err(|e| format!("the control socket {}: {e}", socket.display()))?;
        Ok(Self { running, _lock: lock })
    }

    /// Where everything is told.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.running.parts.events
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.running.config.lock())
    }

    /// The data directory and the rest of the place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.running.place
    }

    /// The listeners in force with their true addresses.
    #[must_use]
    pub fn listeners(&self) -> Vec<(String, SocketAddr)> {
        Vec::new()
    }

    /// Takes the configuration up anew, or keeps the old one and says why.
    pub async fn reload(&self) -> Result<Answer, String> {
        self.running.reload().await
    }

    /// Ends: no new sessions; those that run may finish within the grace.
    pub async fn stop(self, grace: Duration) {
        self.running.shutdown.trigger();
        let left = self.running.shutdown.drained(grace).await;
        if left > 0 {
            self.events().emit(&Event::Stopping { reason: "the grace is over; sessions are cut off" });
        }
        self.running.parts.close().await;
    }
}

impl Running {
    async fn reload(&self) -> Result<Answer, String> {
        let _one = self.reloading.lock().await;
        let file = self.place.config.display().to_string();
        match self.take_up().await {
            Ok(notes) => {
                self.parts.events.emit(&Event::ConfigurationLoaded { file: &file });
                let mut text = format!("{file} is in force");
                for note in notes {
                    text.push_str("\n  ");
                    text.push_str(&note);
                }
                Ok(Answer::done(text))
            }
            Err(cause) => {
                self.parts.events.emit(&Event::ConfigurationRefused { file: &file, cause: &cause });
                Err(format!("the old configuration stays: {cause}"))
            }
        }
    }

    /// Prepares everything first, so that nothing has changed when something is wrong. Gives notes
    /// on what takes effect only at the next start.
    async fn take_up(&self) -> Result<Vec<String>, String> {
        let new = self.place.load()?;
        let old = Arc::clone(&self.config.lock());
        let mut notes = Vec::new();
        for (changed, section) in [
            (old.storage != new.storage, "[storage]"),
            (old.server.threads != new.server.threads, "server.threads"),
            (old.server.open_files != new.server.open_files, "server.open-files"),
            (old.server.name != new.server.name, "server.name"),
        ] {
            if changed {
                notes.push(format!("{section} takes effect at the next start"));
            }
        }
        self.parts.events.set_options(logging::options(&new.log));
        *self.config.lock() = Arc::new(new);
        Ok(notes)
    }

    fn status(&self) -> Answer {
        let counters = self.parts.events.counters().all();
        let uptime = self.parts.clock.now().since(self.started).as_secs();
        let json = serde_json::json!({
            "uptime_seconds": uptime,
            "sessions": self.shutdown.sessions(),
            "counters": counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<std::collections::BTreeMap<_, _>>(),
        });
        let mut text = format!("up for {uptime} s, {} sessions", self.shutdown.sessions());
        for (name, value) in counters.iter().filter(|(_, value)| *value > 0) {
            text.push_str(&format!("\n{value:>12}  {name}"));
        }
        Answer { json, text }
    }
}

impl Performer for Running {
    async fn perform(&self, request: Request, progress: mpsc::Sender<Line>) -> Result<Answer, String> {
        match request {
            Request::Status => Ok(self.status()),
            Request::Reload => self.reload().await,
            request => {
                let config = Arc::clone(&self.config.lock());
                operate::perform(&self.parts, &config, request, progress).await
            }
        }
    }
}
