//! The list of servers (R4): which one is asked, which ones rest, and the connections that are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use runtime::TlsClient;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::connection::{Connection, Credentials, FoundRaw, Page, Search, Slow};
use super::failure::{INVALID_CREDENTIALS, LdapFailure};
use super::own_password::OwnPassword;
use super::settings::{LdapOptions, Protection, ServerUrl};
use crate::dn::Dn;
use crate::remote_edit::{BoxFuture, RemoteEdit};

/// How long a server rests that was not reached, while others are.
const REST: Duration = Duration::from_secs(10);
/// How often a search is asked again, on another connection, when the connection broke under it.
const TRIES_MAX: usize = 3;
/// How long a server that lags is the last one to be followed.
const LAG_REST: Duration = Duration::from_secs(60);
/// How long a connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The servers. Clones are the same.
#[derive(Clone)]
pub(crate) struct Servers(Arc<Inner>);

struct Inner {
    options: LdapOptions,
    tls: Option<TlsClient>,
    own: OwnPassword,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    events: Events,
}

struct State {
    /// For each server: until when it rests, and whether it was last seen down.
    health: Vec<Health>,
    /// Connections that nobody uses, the one used last at the end.
    idle: Vec<(Connection, Instant)>,
    /// The one that is followed: what it has is what is known, so that it is asked before the others.
    followed: Option<usize>,
    /// Servers that lag below a base, or cannot be followed there: until when others are followed rather than they.
    lags: HashMap<(usize, Dn), Instant>,
}

impl State {
    fn lags(&self, server: usize, base: &Dn, now: Instant) -> bool {
        self.lags.get(&(server, base.clone())).is_some_and(|until| *until > now)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    rests_until: Option<Instant>,
    down: bool,
    /// What it said last, where it was reached and said no.
    said: Option<u32>,
}

/// In which order servers are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order<'b> {
    /// The one that is followed first.
    Followed,
    /// As they are listed, those last that cannot be followed below a base.
    Listed(&'b Dn),
}

/// How a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHealth {
    /// The server.
    pub server: String,
    /// Whether it was reached when it was last tried.
    pub up: bool,
}

/// A connection, for a while.
pub(crate) struct Lease {
    connection: Option<Connection>,
    servers: Servers,
    /// Whether it is kept for the next one: it leads to a server of the list.
    is_kept: bool,
    _permit: OwnedSemaphorePermit,
}

impl Servers {
    /// Reads the files that the options name. Connects to nothing.
    pub(crate) fn new(options: LdapOptions, events: Events) -> Result<Self, LdapFailure> {
        let setting = |why: String| LdapFailure::Setting(why);
        let mut all = options.servers.iter().chain(&options.referral_servers);
        let encrypted = all.any(|server| options.protection(server) != Protection::None);
        let tls = match (&options.authorities, encrypted) {
            (_, false) => None,
            (Some(file), true) => {
                Some(TlsClient::trusting_file(file).map_err(|why| setting(why.to_string()))?)
            }
            (None, true) => Some(TlsClient::verified().map_err(|why| setting(why.to_string()))?),
        };
        let own = OwnPassword::read(&options).map_err(setting)?;
        let state = State {
            health: vec![Health::default(); options.servers.len()],
            idle: Vec::new(),
            followed: None,
            lags: HashMap::new(),
        };
        let permits = Arc::new(Semaphore::new(options.connections_max));
        Ok(Self(Arc::new(Inner { options, tls, own, permits, state: Mutex::new(state), events })))
    }

    pub(crate) fn options(&self) -> &LdapOptions {
        &self.0.options
    }

    /// How each server does.
    pub(crate) async fn health(&self) -> Vec<ServerHealth> {
        let state = self.0.state.lock().await;
        let servers = self.0.options.servers.iter().zip(&state.health);
        servers
            .map(|(server, health)| ServerHealth { server: server.to_string(), up: !health.down })
            .collect()
    }

    /// Whether every server rests: whoever cannot wait need not ask.
    pub(crate) async fn all_rest(&self) -> bool {
        let now = Instant::now();
        let state = self.0.state.lock().await;
        state.health.iter().all(|health| health.rests_until.is_some_and(|until| until > now))
    }

    /// A connection that is bound: one that is idle, or a new one.
    pub(crate) async fn lease(&self) -> Result<Lease, LdapFailure> {
        let permit = self.permit().await?;
        let connection = match self.idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Lease { connection: Some(connection), servers: self.clone(), is_kept: true, _permit: permit })
    }

    /// A new connection, which is not kept.
    pub(crate) async fn lease_new(&self) -> Result<Lease, LdapFailure> {
        let permit = self.permit().await?;
        let connection = Some(self.connect().await?);
        Ok(Lease { connection, servers: self.clone(), is_kept: false, _permit: permit })
    }

    /// A connection to one server, by the same rules; it is not kept.
    pub(crate) async fn lease_at(&self, server: &ServerUrl) -> Result<Lease, LdapFailure> {
        let permit = self.permit().await?;
        let connection = self.bound(|who| Box::pin(self.connect_to(server, who))).await?;
        Ok(Lease { connection: Some(connection), servers: self.clone(), is_kept: false, _permit: permit })
    }

    /// Leave to have one connection more.
    pub(crate) async fn permit(&self) -> Result<OwnedSemaphorePermit, LdapFailure> {
        let busy = || LdapFailure::Busy(self.0.options.connections_max);
        let waiting = Arc::clone(&self.0.permits).acquire_owned();
        timeout(self.0.options.operation_timeout, waiting).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    async fn idle(&self) -> Option<Connection> {
        let mut state = self.0.state.lock().await;
        let now = Instant::now();
        state.idle.retain(|(connection, since)| connection.is_open() && now - *since < IDLE_MAX);
        // While the one that is followed can be reached, others are not asked.
        let followed =
            state.followed.filter(|at| state.health[*at].rests_until.is_none_or(|until| until <= now));
        let name = followed.map(|at| self.0.options.servers[at].to_string());
        let fits = |connection: &Connection| name.as_deref().is_none_or(|name| connection.server() == name);
        let at = state.idle.iter().rposition(|(connection, _)| fits(connection))?;
        Some(state.idle.remove(at).0)
    }

    async fn connect(&self) -> Result<Connection, LdapFailure> {
        self.bound(|who| {
            Box::pin(async move {
                self.try_each(Order::Followed, |server| Box::pin(self.connect_to(server, who.clone()))).await
            })
        })
        .await
    }

    async fn connect_to(
        &self,
        server: &ServerUrl,
        who: Option<Arc<Credentials>>,
    ) -> Result<Connection, LdapFailure> {
        let inner = &self.0;
        Connection::open(server, &inner.options, inner.tls.as_ref(), who.as_deref()).await
    }

    /// Opens with our name and password; once more where the file has another one than was refused.
    async fn bound<'s, T>(
        &'s self,
        open: impl Fn(Option<Arc<Credentials>>) -> BoxFuture<'s, Result<T, LdapFailure>> + Send + Sync,
    ) -> Result<T, LdapFailure> {
        let who = self.0.own.credentials();
        match open(who.clone()).await {
            Err(failure) if self.0.own.is_another_after(&failure, who.as_ref()).await => {
                open(self.0.own.credentials()).await
            }
            opened => opened,
        }
    }

    /// A connection for a search that goes on.
    pub(crate) async fn slow(&self, base: &Dn) -> Result<Slow, LdapFailure> {
        self.bound(|who| {
            Box::pin(async move {
                self.try_each(Order::Listed(base), |server| {
                    let (inner, who) = (&self.0, who.clone());
                    Box::pin(async move {
                        Slow::open(server, &inner.options, inner.tls.as_ref(), who.as_deref()).await
                    })
                })
                .await
            })
        })
        .await
    }

    fn number(&self, server: &str) -> Option<usize> {
        self.0.options.servers.iter().position(|one| one.to_string() == server)
    }

    /// Whether a server is one of the list.
    pub(crate) fn has(&self, server: &str) -> bool {
        self.number(server).is_some()
    }

    /// Notes which server is followed. Connections to others are not kept.
    pub(crate) async fn now_followed(&self, server: &str) {
        let mut state = self.0.state.lock().await;
        let at = self.number(server);
        if state.followed != at {
            state.followed = at;
            state.idle.retain(|(connection, _)| connection.server() == server);
        }
    }

    /// Notes that a server lags below a base, or cannot be followed there: others are followed rather than it.
    pub(crate) async fn note_lag(&self, server: &str, base: &Dn) {
        if let Some(at) = self.number(server) {
            let mut state = self.0.state.lock().await;
            state.lags.insert((at, base.clone()), Instant::now() + LAG_REST);
        }
    }

    /// Whether a server of the list was reached when it was last tried.
    pub(crate) async fn is_up(&self, server: &str) -> bool {
        match self.number(server) {
            Some(at) => !self.0.state.lock().await.health[at].down,
            None => false,
        }
    }

    /// The server of the list that is followed, if there is one.
    pub(crate) async fn followed(&self) -> Option<&ServerUrl> {
        let at = self.0.state.lock().await.followed?;
        self.0.options.servers.get(at)
    }

    /// Whether there is a server that is rather followed below a base than this one: one before it in the list, or any other
    /// where this one lags, that can be reached and is not known to lag.
    pub(crate) async fn has_better(&self, server: &str, base: &Dn) -> bool {
        let Some(this) = self.number(server) else { return false };
        let ready: Vec<usize> = {
            let (state, now) = (self.0.state.lock().await, Instant::now());
            let is_until = |until: Option<Instant>| until.is_some_and(|until| until > now);
            let lags = |at: usize| state.lags(at, base, now);
            let others = if lags(this) { state.health.len() } else { this };
            let ready = |at: &usize| *at != this && !lags(*at) && !is_until(state.health[*at].rests_until);
            (0..others).filter(ready).collect()
        };
        for at in ready {
            let opened = self.connect_to(&self.0.options.servers[at], self.0.own.credentials()).await;
            self.note(at, opened.as_ref().err()).await;
            if opened.is_ok() {
                return true;
            }
        }
        false
    }

    /// Tries one server after the other: those that do not rest, in their order, then the others.
    async fn try_each<'s, T>(
        &'s self,
        order: Order<'_>,
        open: impl Fn(&'s ServerUrl) -> BoxFuture<'s, Result<T, LdapFailure>> + Send + Sync,
    ) -> Result<T, LdapFailure> {
        let order = {
            let state = self.0.state.lock().await;
            let now = Instant::now();
            let rests = |at: &usize| state.health[*at].rests_until.is_some_and(|until| until > now);
            let (resting, mut ready): (Vec<usize>, Vec<usize>) = (0..state.health.len()).partition(rests);
            match order {
                Order::Followed => ready.sort_by_key(|at| Some(*at) != state.followed),
                Order::Listed(base) => ready.sort_by_key(|at| state.lags(*at, base, now)),
            }
            [ready, resting].concat()
        };
        let mut last = String::new();
        for at in order {
            let server = &self.0.options.servers[at];
            match open(server).await {
                Ok(opened) => {
                    self.note(at, None).await;
                    return Ok(opened);
                }
                Err(failure) => {
                    self.note(at, Some(&failure)).await;
                    // A name and password that one server refuses are no better at the next one.
                    if failure.code() == Some(INVALID_CREDENTIALS)
                        || matches!(failure, LdapFailure::Setting(_))
                    {
                        return Err(failure);
                    }
                    last = failure.to_string();
                }
            }
        }
        Err(LdapFailure::NoServer(last))
    }

    /// Notes how a server did; a change is an event.
    async fn note(&self, at: usize, failure: Option<&LdapFailure>) {
        let (was_down, is_told) = {
            let mut state = self.0.state.lock().await;
            let health = &mut state.health[at];
            let (was, said) = (health.down, health.said);
            health.down = failure.is_some();
            health.said = failure.and_then(LdapFailure::code);
            health.rests_until = failure.map(|_| Instant::now() + REST);
            // That it is there again and refuses us is news.
            (was, was && said == health.said)
        };
        let server = self.0.options.servers[at].to_string();
        match failure {
            Some(failure) if !is_told => {
                let cause = failure.to_string();
                self.0.events.emit(&Event::DirectoryServerDown { server: &server, cause: &cause });
            }
            None if was_down => self.0.events.emit(&Event::DirectoryServerUp { server: &server }),
            _ => {}
        }
    }

    /// Searches page by page to the end, at one server or at those of the list; on another connection where one broke before
    /// anything was found. Gives which server answered.
    pub(crate) async fn search(
        &self,
        search: &Search,
        at: Option<&ServerUrl>,
        found: &mut (dyn FnMut(FoundRaw) + Send),
    ) -> Result<String, LdapFailure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut any = false;
            let mut note = |one| {
                any = true;
                found(one);
            };
            let mut chase = self.chase(search.clone(), at.cloned());
            let answer = loop {
                match chase.next(&mut note).await {
                    Ok(true) => {}
                    Ok(false) => break Ok(chase.server().to_owned()),
                    Err(failure) => break Err(failure),
                }
            };
            match answer {
                Err(failure) if failure.is_outage() && !any && tries < TRIES_MAX => {}
                answer => return answer,
            }
        }
    }

    /// Binds as somebody, at one server or at those of the list.
    pub(crate) async fn bind_as(
        &self,
        who: &Arc<Credentials>,
        at: Option<&ServerUrl>,
    ) -> Result<(), LdapFailure> {
        let inner = &self.0;
        if let Some(server) = at {
            let bound = Connection::open(server, &inner.options, inner.tls.as_ref(), Some(who)).await;
            return bound.map(drop);
        }
        let tried = self.try_each(Order::Followed, |server| {
            let who = Arc::clone(who);
            Box::pin(async move {
                match Connection::open(server, &inner.options, inner.tls.as_ref(), Some(&who)).await {
                    // An answer about whoever binds is the server's answer: no other one is tried.
                    Err(failure @ (LdapFailure::Refused { .. } | LdapFailure::Referral { .. }))
                        if !failure.is_outage() =>
                    {
                        Ok(Err(failure))
                    }
                    opened => Ok(Ok(opened.map(drop)?)),
                }
            })
        });
        tried.await?
    }
}

impl Lease {
    fn open(&mut self) -> Result<&mut Connection, LdapFailure> {
        self.connection
            .as_mut()
            .ok_or_else(|| LdapFailure::NoServer("the connection was given back".to_owned()))
    }

    /// Which server it leads to.
    pub(crate) fn server(&self) -> &str {
        self.connection.as_ref().map_or("", Connection::server)
    }

    /// One page of a search.
    pub(crate) async fn page(
        &mut self,
        search: &Search,
        cookie: Vec<u8>,
        found: &mut (dyn FnMut(FoundRaw) + Send),
    ) -> Result<Page, LdapFailure> {
        let size = self.servers.options().page_size;
        self.open()?.page(search, size, cookie, found).await
    }

    /// Makes an edit.
    pub(crate) async fn edit(&mut self, edit: &RemoteEdit) -> Result<(), LdapFailure> {
        let connection = self.open()?;
        match edit {
            RemoteEdit::Add(entry) => connection.add(entry).await,
            RemoteEdit::Modify(dn, edits) => connection.modify(dn, edits).await,
            RemoteEdit::Remove(dn) => connection.delete(dn).await,
        }
    }

    /// Keeps the connection for the next who needs one, or ends it.
    pub(crate) async fn give_back(mut self) {
        if let Some(connection) = self.connection.take().filter(|open| self.is_kept && open.is_open()) {
            self.servers.0.state.lock().await.idle.push((connection, Instant::now()));
        }
    }
}
