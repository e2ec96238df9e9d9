//! When plugins are asked for rows, and of which domains at once: each domain apart, so that a plugin that is slow or fails
//! keeps no other domain's rows waiting.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use directory::Directory;
use events::Event;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mail_types::Domain;
use runtime::Shutdown;

use super::answers::Which;
use super::builder::Builders;
use super::waiting::behind;
use super::{TableError, Tables, WAITING, key};

/// Domains whose entries one who asks asks about at the same time: so many that a plugin that is slow for a tenant's domains leaves
/// room for the others'.
const DOMAINS_AT_ONCE: usize = 128;
/// What waits is looked at again no later than this.
const RETRY: Duration = Duration::from_secs(10);

/// Who asks about which domain: one at a time.
#[derive(Default)]
pub(super) struct Asking(parking_lot::Mutex<HashMap<Domain, Arc<tokio::sync::Mutex<()>>>>);

impl Asking {
    /// The turn to ask about a domain.
    pub(super) fn of(&self, domain: &Domain) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock();
        // Those that nobody has, or waits for, go.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(domain.clone()).or_default())
    }
}

impl Tables {
    /// Asks about the entries that wait, of one domain or of all. Gives whether any wait still.
    pub(super) async fn ask_plugins(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
        which: Which,
        only: Option<&Domain>,
    ) -> Result<bool, TableError> {
        let mut rounds = Rounds::new(self, directory, builders, which);
        match only {
            Some(domain) => rounds.want(domain.clone()),
            None => self.waiting_domains()?.into_iter().for_each(|domain| rounds.want(domain)),
        }
        let mut remains = false;
        while let Some(done) = rounds.next().await {
            remains |= done?;
        }
        Ok(remains)
    }

    /// Asks plugins about entries that wait, as they come, and again where they failed.
    pub(super) async fn follow_answers(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
        shutdown: &Shutdown,
    ) {
        let mut rounds = Rounds::new(self, directory, builders, Which::All);
        let tell =
            |error: &TableError| builders.events.emit(&Event::TablesFailed { cause: &error.to_string() });
        loop {
            let mut remains = match self.waiting_domains() {
                Ok(domains) => {
                    domains.into_iter().for_each(|domain| rounds.want(domain));
                    false
                }
                Err(error) => {
                    tell(&error);
                    true
                }
            };
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    () = self.marked.notified() => break,
                    Some(done) = rounds.next() => remains |= done.unwrap_or_else(|error| {
                        tell(&error);
                        true
                    }),
                    () = tokio::time::sleep(RETRY), if remains => break,
                }
            }
        }
    }

    /// The domains of which entries wait.
    fn waiting_domains(&self) -> Result<Vec<Domain>, TableError> {
        let snapshot = self.storage.read()?;
        let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
        let (mut domains, mut from) = (Vec::new(), state.has_builders().then(String::new));
        let until = state.generation.checked_add(1).map_or_else(|| vec![u8::MAX; 600], |next| vec![next]);
        while let Some(first) = from.take() {
            snapshot.scan(WAITING, &key(state.generation, &first), &until, &mut |stored, _| {
                let name = String::from_utf8_lossy(&stored[1..]);
                domains.extend(name.split('/').next().and_then(|domain| Domain::parse(domain).ok()));
                from = Some(behind(&name));
                ControlFlow::Break(())
            })?;
        }
        Ok(domains)
    }
}

type Done = (Domain, Result<bool, TableError>);

/// Rounds of questions, of so many domains at once.
struct Rounds<'a> {
    tables: &'a Tables,
    directory: &'a Directory,
    builders: &'a Builders<'a>,
    which: Which,
    running: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send + 'a>>>,
    waiting: VecDeque<Domain>,
    /// Of those that wait and those that run: whether it is wanted again since it runs.
    wanted: HashMap<Domain, Again>,
}

/// How often a domain is to be asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Its round has not begun.
    Waits,
    /// It runs.
    Runs,
    /// It runs, and something came since.
    RunsAnew,
}

impl<'a> Rounds<'a> {
    fn new(tables: &'a Tables, directory: &'a Directory, builders: &'a Builders<'a>, which: Which) -> Self {
        let (running, waiting, wanted) = (FuturesUnordered::new(), VecDeque::new(), HashMap::new());
        Self { tables, directory, builders, which, running, waiting, wanted }
    }

    /// Asks about a domain: once more, where it is being asked about already.
    fn want(&mut self, domain: Domain) {
        match self.wanted.get_mut(&domain) {
            Some(Again::Waits) => {}
            Some(runs) => *runs = Again::RunsAnew,
            None => {
                self.wanted.insert(domain.clone(), Again::Waits);
                self.waiting.push_back(domain);
            }
        }
    }

    /// The end of the next round, and whether entries of its domain wait still; none: nothing is asked now.
    async fn next(&mut self) -> Option<Result<bool, TableError>> {
        while self.running.len() < DOMAINS_AT_ONCE
            && let Some(domain) = self.waiting.pop_front()
        {
            self.wanted.insert(domain.clone(), Again::Runs);
            let Self { tables, directory, builders, which, .. } = *self;
            self.running.push(Box::pin(async move {
                let done = tables.ask_domain(directory, builders, which, &domain).await;
                (domain, done)
            }));
        }
        let (domain, done) = self.running.next().await?;
        if self.wanted.remove(&domain) == Some(Again::RunsAnew) {
            self.want(domain);
        }
        Some(done)
    }
}
