//! Domains by DNS tables instead of entries (R11, R25).
//!
//! Each table is a zone or a list of domains ([`dns::TableSource`]). Its last good answer is kept in the directory's
//! storage; from all of them it follows which domains lead to this host, and those stand in the change log as entries do,
//! under names of their own: so the routing tables follow them by the same way, and say where each row comes from. What
//! a source does not answer, or answers in part, changes nothing.
//!
//! Of several tables that have a domain, the first decides; where the directory has an entry of the domain, the entry does.

mod decision;
mod dns_domain;
mod look_up;
mod put;
pub(crate) mod records;
mod said;
mod table;

use std::sync::Arc;
use std::time::Duration;

use dns::{Asked, Content, Fetched, Known};
use events::{Event, Events};
use mail_types::{Domain, Lookup, Timestamp};
use parking_lot::Mutex;
use runtime::{Clock, Shutdown};

use crate::directory::Directory;
use crate::mirror::guard::Trust;
use decision::{Decision, decide};
use look_up::LookUps;
use put::Put;
use records::StoredTable;
use table::{Changes, Table};

pub use dns_domain::DnsDomain;
pub use records::DNS_TOP;
pub use said::{TableMeans, TableSays};
pub use table::TableOptions;

/// Most tables.
pub const TABLES_MAX: usize = 64;
/// How long after a failure a table is asked again that never answered.
const RETRY_FIRST: Duration = Duration::from_secs(30);

/// That a list was asked, and nothing came of it, is written no more often than this: mail asks, too.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// The tables, and what follows from them. Clones are the same.
#[derive(Clone)]
pub struct DomainTables(Arc<Inner>);

struct Inner {
    directory: Directory,
    options: Vec<TableOptions>,
    /// The names of this host, in lower case.
    own_names: Vec<String>,
    clock: Clock,
    events: Events,
    tables: Mutex<Vec<Table>>,
    /// One question to each table at a time.
    asking: Vec<tokio::sync::Mutex<()>>,
    /// One change of what is in force at a time.
    putting: tokio::sync::Mutex<()>,
    /// What is asked about for mail that waits for the answer.
    look_ups: LookUps,
}

/// How a table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Where it comes from, in words.
    pub place: String,
    /// The version of a zone.
    pub serial: Option<u32>,
    /// Domains with MX records.
    pub domains: u64,
    /// Those that lead here, and of them those that are handed on.
    pub ours: u64,
    /// Of those, the ones that are handed on to better hosts.
    pub relayed: u64,
    /// Names that are none of a mail domain.
    pub left_out: u64,
    /// When it last answered.
    pub success_at: Option<Timestamp>,
    /// The failure since then, and when that was.
    pub failure: Option<(Timestamp, String)>,
    /// When it is asked next; none where nobody asks.
    pub next: Option<Timestamp>,
    /// Whether it is older than its owner vouches for. What is known stays.
    pub is_expired: bool,
}

/// What asking one table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRead {
    /// Domains whose records are new, others, or gone.
    pub changed: u64,
    /// Of those that lead here, the ones that came, changed or went.
    pub changed_here: u64,
    /// Why some domains of a list do not go, though the DNS says so.
    pub refused: Option<String>,
}

impl DomainTables {
    /// Takes up what was known before, and puts in force what follows from it by this configuration: a table that is not
    /// configured any more takes its domains along.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub async fn open(
        directory: Directory,
        options: Vec<TableOptions>,
        own_names: Vec<String>,
        (clock, events): (Clock, Events),
    ) -> Result<Self, String> {
        let own_names = own_names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let asking = options.iter().map(|_| tokio::sync::Mutex::new(())).collect();
        let (tables, putting) = (Mutex::default(), tokio::sync::Mutex::new(()));
        let look_ups = LookUps::new(&options);
        let inner = Inner { directory, options, own_names, clock, events, tables, asking, putting, look_ups };
        let this = Self(Arc::new(inner));
        let restored = this.restore().await.map_err(|why| why.to_string())?;
        *this.0.tables.lock() = restored;
        this.settle().await.map_err(|why| why.to_string())?;
        Ok(this)
    }

    /// Whether there is any table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.options.is_empty()
    }

    /// The place of a table by its name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.options.iter().position(|one| one.name == name)
    }

    /// Whether something can be said of a domain that is not known: not while nobody has answered a table that may have it,
    /// for then not known is not unknown (R20).
    fn knows_of(&self, domain: &Domain) -> Lookup<()> {
        let tables = self.0.tables.lock();
        let all = self.0.options.iter().zip(tables.iter());
        let mut unread =
            all.filter(|(options, table)| (options.covers)(domain) && table.is_unread(options, domain));
        match unread.next() {
            Some((options, _)) => {
                Lookup::Unavailable(format!("the DNS table {} does not know of {domain} yet", options.name))
            }
            None => Lookup::NotFound,
        }
    }

    /// How all stand, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<TableStatus> {
        let tables = self.0.tables.lock().clone();
        let now = self.0.clock.now();
        self.0
            .options
            .iter()
            .zip(&tables)
            .map(|(options, table)| self.status_of(options, table, now))
            .collect()
    }

    fn status_of(&self, options: &TableOptions, table: &Table, now: Timestamp) -> TableStatus {
        let decided = |wanted: Decision| {
            let is = |one: &&records::StoredRecords| decide(&one.records, &self.0.own_names) == wanted;
            table.records.values().filter(is).count() as u64
        };
        let relayed = decided(Decision::Backup);
        TableStatus {
            name: options.name.clone(),
            place: options.source.place(),
            serial: table.stored.serial,
            domains: table.domains(),
            ours: decided(Decision::Local) + relayed,
            relayed,
            left_out: table.stored.left_out,
            success_at: table.stored.success_at.map(Timestamp),
            failure: table.stored.failure.clone().map(|(at, why)| (Timestamp(at), why)),
            next: table.next,
            is_expired: table.expires().is_some_and(|at| at < now),
        }
    }

    /// Follows all tables until the end.
    pub async fn run(&self, stop: &Shutdown) {
        let mut following = tokio::task::JoinSet::new();
        for at in 0..self.0.options.len() {
            let (this, stop) = (self.clone(), stop.clone());
            following.spawn(async move { this.follow(at, &stop).await });
        }
        while following.join_next().await.is_some() {}
    }

    /// Follows one: when its time is up, and when its source tells of a change (RFC 1996 §3.11).
    async fn follow(&self, at: usize, stop: &Shutdown) {
        loop {
            tokio::select! {
                () = stop.wait() => return,
                // What went wrong was told of, and is tried again.
                _ = self.read(at, Asked::News, Trust::Guarded) => {}
            }
            let wait = self.0.tables.lock()[at].next.map(|next| next.since(self.0.clock.now()));
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(wait.unwrap_or(RETRY_FIRST)) => {}
                () = self.0.options[at].changed.notified() => {}
            }
        }
    }

    /// Asks a table for everything now, by an operator's word; `force`: however much would go.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn rebuild(&self, at: usize, force: bool) -> Result<TableRead, String> {
        let trust = if force { Trust::Forced } else { Trust::Guarded };
        self.read(at, Asked::Everything, trust).await
    }

    /// Asks a table, and puts in force what its answer changes.
    async fn read(&self, at: usize, asked: Asked, trust: Trust) -> Result<TableRead, String> {
        let _one = self.0.asking[at].lock().await;
        let table = self.0.tables.lock()[at].clone();
        let of = |domain: &Domain| table.of(domain);
        let known = Known { serial: table.stored.serial, records: &of };
        let asked = if table.has_lost { Asked::Everything } else { asked };
        let fetched = self.0.options[at].source.fetch(known, asked).await;
        let done = match fetched {
            Ok(fetched) => self.take(at, &fetched, (asked, trust)).await.map(|read| (fetched, read)),
            Err(why) => Err(why.to_string()),
        };
        match done {
            Ok((fetched, read)) => {
                self.succeeded(at, &fetched, &read);
                Ok(read)
            }
            Err(why) => {
                self.failed(at, &why).await;
                Err(why)
            }
        }
    }

    /// Takes an answer over: what it says is in force afterwards, or nothing has changed.
    async fn take(
        &self,
        at: usize,
        fetched: &Fetched,
        (asked, trust): (Asked, Trust),
    ) -> Result<TableRead, String> {
        let _one = self.0.putting.lock().await;
        let (options, now) = (&self.0.options[at], self.0.clock.now());
        let mut table = self.0.tables.lock()[at].clone();
        let each = options.source.asks_each();
        let (changes, refused) = self.believed(options, &mut table, (fetched, trust))?;
        // Of a list nothing came where nothing was asked about.
        if !each || fetched.content != Content::Same {
            table.stored.success_at = Some(now.0);
        }
        table.stored.serial = fetched.serial;
        table.stored.expire = fetched.expire.map(|expire| expire.as_secs());
        if matches!(fetched.content, Content::Whole(_)) {
            table.stored.left_out = fetched.left_out;
        }
        // An answer that lacks some domains is told of, and good for the others.
        let failure = partly(fetched, refused.as_deref()).map(|why| (now.0, why));
        let is_news = |(_, before): &(u64, String)| failure.as_ref().is_none_or(|(_, why)| why != before);
        let is_news = table.stored.failure.as_ref().map_or(failure.is_some(), is_news);
        table.stored.failure = failure;
        table.has_lost &= asked == Asked::News;
        let mut read = TableRead { changed: table.differing(&changes), changed_here: 0, refused };
        let is_due = table.noted.is_none_or(|noted| now.since(noted) >= NOTED_EVERY);
        if !each || !changes.is_empty() || is_news || is_due {
            table.take(&changes);
            table.noted = Some(now);
            let mut tables = self.0.tables.lock().clone();
            tables[at] = table.clone();
            let put = Put { inner: &self.0, tables: &tables };
            match put.changes(at, &changes, &table.stored).await {
                Ok(changed_here) => read.changed_here = changed_here,
                Err(why) => {
                    self.0.tables.lock()[at].has_lost |= each;
                    return Err(why);
                }
            }
        }
        // Who asked at the same time has noted when to ask next.
        let mut tables = self.0.tables.lock();
        let Table { told, next, retry, .. } = std::mem::take(&mut tables[at]);
        tables[at] = Table { told, next, retry, ..table };
        Ok(read)
    }

    /// What of an answer is believed, and why some is not.
    fn believed(
        &self,
        options: &TableOptions,
        table: &mut Table,
        (fetched, trust): (&Fetched, Trust),
    ) -> Result<(Changes, Option<String>), String> {
        let (own_names, is_forced) = (&self.0.own_names, trust == Trust::Forced);
        let each = options.source.asks_each();
        let mut changes = table.changes(fetched, each);
        if each {
            let how = (&own_names[..], self.0.clock.now(), is_forced);
            let refused = table.hold(options, (fetched, &mut changes), how);
            return Ok((changes, refused));
        }
        if !is_forced {
            table.guard(options, &changes, own_names)?;
        }
        Ok((changes, None))
    }

    /// Puts in force whatever the tables say together.
    async fn settle(&self) -> Result<(), String> {
        let _one = self.0.putting.lock().await;
        let tables = self.0.tables.lock().clone();
        Put { inner: &self.0, tables: &tables }.everything().await
    }

    fn succeeded(&self, at: usize, fetched: &Fetched, read: &TableRead) {
        let options = &self.0.options[at];
        let partly = partly(fetched, read.refused.as_deref());
        let mut tables = self.0.tables.lock();
        let table = &mut tables[at];
        let milliseconds = u64::try_from(fetched.again.as_millis()).unwrap_or(u64::MAX);
        table.next = Some(Timestamp(self.0.clock.now().0.saturating_add(milliseconds)));
        table.retry = Some(fetched.retry);
        let was_failing = partly.is_none() && table.told.take().is_some();
        if read.changed > 0 || was_failing {
            self.tell_read(options, table, fetched, read);
        }
        if let Some(why) = partly {
            self.tell(table, options, &why);
        }
    }

    fn tell_read(&self, options: &TableOptions, table: &Table, fetched: &Fetched, read: &TableRead) {
        self.0.events.emit(&Event::DnsTableRead {
            table: &options.name,
            place: &options.source.place(),
            serial: u64::from(fetched.serial.unwrap_or_default()),
            domains: table.domains(),
            changed: read.changed,
        });
    }

    /// Notes a failure: everything stays as it is, and says so when it is too old.
    async fn failed(&self, at: usize, why: &str) {
        let options = &self.0.options[at];
        let stored = {
            let now = self.0.clock.now();
            let mut tables = self.0.tables.lock();
            let table = &mut tables[at];
            table.stored.failure = Some((now.0, why.to_owned()));
            let wait = table.retry.unwrap_or(RETRY_FIRST);
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            table.next = Some(Timestamp(now.0.saturating_add(milliseconds)));
            let expired = table.expires().is_some_and(|at| at < now);
            let cause = if expired {
                format!("{why}; it has expired, and what was known last stays in force")
            } else {
                why.to_owned()
            };
            self.tell(table, options, &cause);
            table.stored.clone()
        };
        // Nothing rests on that: it is for whoever looks after a restart.
        let _ = self.note(&options.name, &stored).await;
    }

    /// Tells of a failure, once, and again when it is another one.
    fn tell(&self, table: &mut Table, options: &TableOptions, cause: &str) {
        if table.told.as_deref() != Some(cause) {
            let (name, place) = (&options.name, options.source.place());
            self.0.events.emit(&Event::DnsTableFailed { table: name, place: &place, cause });
            table.told = Some(cause.to_owned());
        }
    }

    async fn note(&self, name: &str, stored: &StoredTable) -> Result<(), storage::StorageError> {
        let mut batch = storage::Batch::new();
        batch.put(records::DNS_TABLES, name.as_bytes(), put::encoded(stored));
        self.0.directory.commit(batch).await
    }
}

/// What is wrong with an answer that was taken over nevertheless.
fn partly(fetched: &Fetched, refused: Option<&str>) -> Option<String> {
    let all: Vec<&str> = refused.into_iter().chain(fetched.failures.iter().map(String::as_str)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests;
