//! Keeping the tree like its source while the server runs.

use std::sync::Arc;
use std::time::Duration;

use events::Event;
use runtime::Shutdown;
use storage::Batch;
use tokio::time::{Instant, sleep};

use super::full::{SyncOrder, Telling};
use super::live::{Ended, Tried};
use super::records::{SYNC, base_key};
use super::source::{Mirror, SyncError, SyncMode, apart};
use crate::dn::Dn;
use crate::ldap::failure::{LdapFailure, NO_SUCH_EXTENSION, REFRESH_REQUIRED, UNWILLING};
use crate::ldap::settings::Referrals;

/// The wait after the first failure; each further one doubles it.
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// The longest wait after a failure.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The wait between full syncs that were wanted.
const WANTED_AGAIN: Duration = Duration::from_secs(2);
/// The wait after a full sync that was wanted and is not believed.
const GUARDED_AGAIN: Duration = Duration::from_secs(600);
/// How often it is looked whether a full sync is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Waits that grow.
struct Patience(Duration);

impl Patience {
    fn new() -> Self {
        Self(WAIT_FIRST)
    }

    /// As long as it takes to see to a full sync that is not believed; one that failed otherwise is made again soon.
    fn after(self, failure: &SyncError) -> Self {
        match failure {
            SyncError::Guarded(_) => Self(GUARDED_AGAIN),
            _ => self,
        }
    }

    /// Waits; whether to go on.
    async fn wait(&mut self, shutdown: &Shutdown) -> bool {
        let wait = self.0;
        self.0 = (self.0 * 2).min(WAIT_MAX);
        tokio::select! {
            () = shutdown.wait() => false,
            () = sleep(wait) => true,
        }
    }
}

impl Mirror {
    /// Follows the source until the server stops. A source that fails is tried again for ever, at growing intervals: what is
    /// here stays as it is.
    pub async fn run(&self, shutdown: &Shutdown) {
        if self.0.options.mode == SyncMode::Manual {
            return;
        }
        if !self.first_full(shutdown).await {
            return;
        }
        let asked = Arc::new(Asked::default());
        if self.0.options.mode == SyncMode::Incremental {
            self.0.options.bases.iter().for_each(|base| asked.add(base));
        } else {
            for base in self.0.options.bases.clone() {
                let (mirror, shutdown, asked) = (self.clone(), shutdown.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    if mirror.run_live(base.clone(), &shutdown).await == Followed::Lacks {
                        asked.add(&base);
                    }
                });
            }
        }
        tokio::join!(self.run_full(shutdown), self.run_incremental(shutdown, &asked));
    }

    /// Makes the first full sync, however often it takes; whether to go on.
    async fn first_full(&self, shutdown: &Shutdown) -> bool {
        let mut patience = Patience::new();
        loop {
            match self.full_is_due() {
                Ok(false) => return true,
                // It is due again after a while, which `run_full` sees to.
                Ok(true) if self.is_complete().unwrap_or(false) => return true,
                Ok(true) => {}
                Err(why) => self.tell("full", &why.to_string()),
            }
            let made = tokio::select! {
                () = shutdown.wait() => return false,
                made = self.full(SyncOrder::default(), silence()) => made,
            };
            if made.is_ok() {
                return true;
            }
            if !patience.wait(shutdown).await {
                return false;
            }
        }
    }

    async fn run_full(&self, shutdown: &Shutdown) {
        let mut patience = Patience::new();
        if self.is_wanted() {
            self.0.full_wanted.notify_one();
        }
        loop {
            let wanted = tokio::select! {
                () = shutdown.wait() => return,
                () = self.0.full_wanted.notified() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            if !wanted && !self.full_is_due().unwrap_or(false) {
                continue;
            }
            let made = tokio::select! {
                () = shutdown.wait() => return,
                // How it went is in the history and among the events.
                made = self.full(SyncOrder::default(), silence()) => made,
            };
            // One that is wanted is made again; another is due again a minute later.
            if let Err(failure) = &made
                && self.is_wanted()
            {
                self.0.full_wanted.notify_one();
                patience = patience.after(failure);
                if !patience.wait(shutdown).await {
                    return;
                }
                continue;
            }
            patience = Patience::new();
            tokio::select! {
                () = shutdown.wait() => return,
                () = sleep(WANTED_AGAIN) => {}
            }
        }
    }

    async fn run_incremental(&self, shutdown: &Shutdown, asked: &Asked) {
        loop {
            let bases = asked.bases.lock().clone();
            for base in &bases {
                self.follows(base, "asking for changes at intervals", false);
            }
            let round = async {
                if !bases.is_empty() || self.has_places() {
                    // How it went is in the history and among the events.
                    let _ = self.incremental(SyncOrder::default()).await;
                }
                tokio::select! {
                    () = asked.more.notified() => {}
                    () = sleep(self.0.options.incremental_every) => {}
                }
            };
            tokio::select! {
                () = shutdown.wait() => return,
                () = round => {}
            }
        }
    }

    /// Follows one base, again and again.
    async fn run_live(&self, base: Dn, shutdown: &Shutdown) -> Followed {
        let mut patience = Patience::new();
        loop {
            let began = Instant::now();
            let (mirror, top, stop) = (self.clone(), base.clone(), shutdown.clone());
            let tried = Arc::new(parking_lot::Mutex::new(Tried::default()));
            let trying = Arc::clone(&tried);
            let why = tokio::select! {
                () = shutdown.wait() => return Followed::Stopped,
                ended = apart(async move { mirror.live(&top, &stop, &trying).await }) => match ended {
                    Ok(Ended::Stopped) => return Followed::Stopped,
                    Ok(Ended::Moves) => {
                        self.follows(&base, "going to a server that is rather followed", false);
                        patience = Patience::new();
                        continue;
                    }
                    Err(why) => why,
                },
            };
            let Tried { server, is_followed } = tried.lock().clone();
            let lag = self.lag(&base, &why, &server);
            // One that can be reached and not be followed must not keep us from the others; one that was set back is told apart.
            if !is_followed && (lag.is_some() || !matches!(code(&why), Some(REFRESH_REQUIRED | UNWILLING))) {
                self.0.servers.note_lag(&server, &base).await;
            }
            self.follows(&base, lag.as_deref().unwrap_or(&why.to_string()), false);
            match code(&why) {
                _ if let Some(cause) = &lag => self.tell("live", cause),
                Some(NO_SUCH_EXTENSION) => {
                    self.tell(
                        "live",
                        "the server has no live sync (RFC 4533): changes are asked for at intervals",
                    );
                    // Nobody is followed any more.
                    self.begins_anew(&base).await;
                    return Followed::Lacks;
                }
                // slapd says the other one where it was set back to a time before our cookie.
                Some(REFRESH_REQUIRED | UNWILLING) => {
                    let cause =
                        format!("{why}: the server does not know where we were, everything is refreshed");
                    self.tell("live", &cause);
                    self.begins_anew(&base).await;
                }
                // The base itself lies elsewhere.
                _ if self.is_followed(&why) => return Followed::Lacks,
                _ => self.tell("live", &why.to_string()),
            }
            // One that went on for long is a new one.
            if began.elapsed() > WAIT_MAX {
                patience = Patience::new();
            }
            if !patience.wait(shutdown).await {
                return Followed::Stopped;
            }
        }
    }

    fn is_followed(&self, why: &SyncError) -> bool {
        let referred = matches!(why, SyncError::Source(LdapFailure::Referral { .. }));
        referred && self.0.options.ldap.referrals == Referrals::Follow
    }

    /// Forgets how far a base was followed, and at whom.
    async fn begins_anew(&self, base: &Dn) {
        let mut batch = Batch::new();
        batch.delete(SYNC, &base_key("cookie", base));
        batch.delete(SYNC, &base_key("followed", base));
        if let Err(why) = self.0.directory.commit(batch).await {
            self.tell("live", &why.to_string());
        }
    }

    fn tell(&self, kind: &str, cause: &str) {
        self.0.events.emit(&Event::SyncFailed { source: self.name(), kind, cause });
    }
}

/// The bases that are asked for changes, because nobody tells of them.
#[derive(Default)]
struct Asked {
    bases: parking_lot::Mutex<Vec<Dn>>,
    more: tokio::sync::Notify,
}

impl Asked {
    fn add(&self, base: &Dn) {
        self.bases.lock().push(base.clone());
        self.more.notify_one();
    }
}

/// Why a base is followed no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// The server stops.
    Stopped,
    /// The LDAP server lacks the control.
    Lacks,
}

fn code(why: &SyncError) -> Option<u32> {
    match why {
        SyncError::Source(why) => LdapFailure::code(why),
        _ => None,
    }
}

fn silence() -> Telling {
    std::sync::Arc::new(|_, _, _| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_at_growing_intervals_and_what_is_not_believed_much_later() {
        let (shutdown, mut patience) = (Shutdown::new(), Patience::new());
        let (broke, guarded) = (SyncError::Broke(String::new()), SyncError::Guarded(String::new()));
        let mut waited = Vec::new();
        for failure in [[&broke; 8].as_slice(), &[&guarded, &guarded, &broke]].concat() {
            patience = patience.after(failure);
            let began = Instant::now();
            assert!(patience.wait(&shutdown).await);
            waited.push(began.elapsed().as_millis());
        }
        assert_eq!(waited, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 600_000, 600_000, 30_000]);
        shutdown.trigger();
        assert!(!patience.wait(&shutdown).await);
    }
}
