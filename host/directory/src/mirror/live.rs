//! The live sync (RFC 4533, refreshAndPersist): the server tells of every change as it happens.
//!
//! One search a base that never ends. It begins with a *refresh*: what changed since the cookie of the last time, which
//! ends with either a list of what is gone or a list of what is still there; then it *persists*. The cookie is written in
//! one batch with the changes that it stands for, so that a crash repeats at most what is the same already. Removals by
//! absence pass the same guard as those of a full sync.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use ldap3::controls::{Control, MakeCritical, RefreshMode, SyncRequest};
use ldap3::{ResultEntry, Scope, SearchStream};
use parking_lot::Mutex;
use runtime::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::apply::{BATCH_MAX, Step};
use super::cookie::{self, joined};
use super::followed::followed_row;
use super::found::{Found, Uuid};
use super::guard::{Trust, guard, guard_empty};
use super::records::{SYNC, Way, base_key};
use super::refusing::refused_by_id;
use super::source::{Mirror, SyncError};
use super::written::CONTEXT;
use crate::dn::Dn;
use crate::ldap::answer::{
    EntryState, SyncInfo, read_entry, read_reference, read_sync_info, read_sync_state,
};
use crate::ldap::connection::{ALL_ATTRIBUTES, Moving, Slow, ended_early, failure, not_followed, success};
use crate::ldap::failure::{LdapFailure, UNWILLING};
use crate::ldap::filter::Filter;
use crate::ldap::reference::Reference;
use crate::ldap::settings::Referrals;

/// The Sync State control's name (RFC 4533 §2.3).
const SYNC_STATE: &str = "1.3.6.1.4.1.4203.1.9.1.2";
/// How long changes are gathered into one batch: a change alone waits that long, a flood is written in bulk.
const GATHER: Duration = Duration::from_millis(20);
/// How often it is tried whether there is a server that is rather followed.
const BETTER_EVERY: Duration = Duration::from_secs(10);
/// How often a silent connection is tried, because a server that vanished sends nothing either.
const PROBE_EVERY: Duration = Duration::from_secs(30);

/// How a base is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// The base.
    pub base: String,
    /// In words: following, refreshing, or why not.
    pub state: String,
    /// Whether changes arrive as they happen.
    pub follows: bool,
}

type Stream = SearchStream<'static, &'static str, Vec<&'static str>>;

/// How a live sync ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server of mail stops.
    Stopped,
    /// Another server is rather followed: it is preferred and there again, or this one lags.
    Moves,
}

/// Which server was tried, and whether it could be followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tried {
    pub(crate) server: String,
    pub(crate) is_followed: bool,
}

/// One search that goes on.
struct Live<'m> {
    mirror: &'m Mirror,
    tried: &'m Mutex<Tried>,
    base: Dn,
    server: String,
    moving: Moving,
    /// Why the connection ended, once it has.
    ended: Option<LdapFailure>,
    steps: Vec<Step>,
    cookie: Option<Vec<u8>>,
    /// The one that is stored.
    known: Option<Vec<u8>>,
    flush_at: Option<Instant>,
    /// The refresh is not over: what is there, by lasting name.
    refreshing: bool,
    /// The refresh is of everything: it says what is, whatever was known.
    from_nothing: bool,
    present: HashSet<Uuid>,
    /// It knows as much as was known, which has still to be noted.
    is_followed: bool,
}

impl Mirror {
    /// Follows a base until the server stops, or the connection does.
    pub(crate) async fn live(
        &self,
        base: &Dn,
        shutdown: &Shutdown,
        tried: &Mutex<Tried>,
    ) -> Result<Ended, SyncError> {
        let key = base_key("cookie", base);
        let cookie = self.0.directory.row(SYNC, &key)?.filter(|cookie| !cookie.is_empty());
        // One that was kept before they were joined.
        let cookie = cookie.map(|cookie| joined(None, &cookie));
        let Slow { moving, mut ldap, server } = self.0.servers.slow(base).await?;
        *tried.lock() = Tried { server: server.clone(), is_followed: false };
        let mut live = Live {
            mirror: self,
            tried,
            base: base.clone(),
            server,
            moving,
            ended: None,
            steps: Vec::new(),
            cookie: None,
            known: cookie.clone(),
            flush_at: None,
            refreshing: true,
            from_nothing: cookie.is_none(),
            present: HashSet::new(),
            is_followed: false,
        };
        self.follows(base, "refreshing", false);
        live.check_behind(&ldap).await?;
        if let Some(why) = self.lacks_written(base, &live.server).await? {
            return Err(SyncError::Unfit(why));
        }
        let request = SyncRequest { mode: RefreshMode::RefreshAndPersist, cookie, reload_hint: false };
        let (name, filter) = (base.to_string(), Filter::everything());
        let begun = {
            // Without the control the answer would be one search that ends: no server may leave it out.
            ldap.with_controls(vec![request.critical().into()]);
            let begin =
                ldap.streaming_search(&name, Scope::Subtree, filter.as_str(), ALL_ATTRIBUTES.to_vec());
            tokio::select! {
                begun = begin => begun.map_err(|error| failure(&live.server, "live search", error))?,
                ended = &mut live.moving => return Err(ended_early(&live.server, ended).into()),
            }
        };
        live.follow(begun, ldap, shutdown).await
    }

    /// Notes how a base is followed.
    pub(crate) fn follows(&self, base: &Dn, state: &str, follows: bool) {
        let mut followers = self.0.followers.lock();
        let base = base.to_string();
        followers.retain(|follower| follower.base != base);
        followers.push(Follower { base, state: state.to_owned(), follows });
        followers.sort_by(|a, b| a.base.cmp(&b.base));
    }

    /// Forgets how a base was followed.
    pub(super) fn follows_no_longer(&self, base: &Dn) {
        let base = base.to_string();
        self.0.followers.lock().retain(|follower| follower.base != base);
    }
}

impl Live<'_> {
    /// Whoever knows less than was known takes nothing back. slapd says how far it has come of each writer, at the top of a
    /// database; to a cookie it says nothing of one that it has never heard of, or has come less far of, unless that is itself.
    async fn check_behind(&mut self, ldap: &ldap3::Ldap) -> Result<(), SyncError> {
        let Some(known) = self.known.clone().filter(|known| cookie::is_openldaps(known)) else {
            return Ok(());
        };
        let mut level = Some(self.base.clone());
        while let Some(name) = level {
            let mut ldap = ldap.clone();
            ldap.with_timeout(self.mirror.0.options.ldap.operation_timeout);
            let name_text = name.to_string();
            let asked = ldap.search(&name_text, Scope::Base, "(objectClass=*)", vec![CONTEXT]);
            let answer = tokio::select! {
                answer = asked => answer.map_err(|error| failure(&self.server, "search", error))?,
                ended = &mut self.moving => return Err(ended_early(&self.server, ended).into()),
            };
            let entries = answer.0.into_iter().filter(|item| !item.is_ref() && !item.is_intermediate());
            let attributes =
                entries.filter_map(|item| read_entry(item.0).ok()).flat_map(|entry| entry.attributes);
            let changes: Vec<Vec<u8>> = attributes.flat_map(|(_, values)| values).collect();
            if !changes.is_empty() {
                if !cookie::lacks(&known, &changes) {
                    return Ok(());
                }
                let text = "its state is older than what was known".to_owned();
                let (server, what) = (self.server.clone(), "live search");
                return Err(LdapFailure::Refused { server, what, code: UNWILLING, text }.into());
            }
            level = name.parent();
        }
        Ok(())
    }

    async fn follow(
        mut self,
        mut stream: Stream,
        ldap: ldap3::Ldap,
        shutdown: &Shutdown,
    ) -> Result<Ended, SyncError> {
        let mut probe_at = Instant::now() + PROBE_EVERY;
        let mut better = self.look_for_better();
        loop {
            let flush_at = self.flush_at.unwrap_or(probe_at);
            let item = tokio::select! {
                // What has come is taken before more is read: a fast server waits for us.
                biased;
                () = shutdown.wait() => return Ok(Ended::Stopped),
                item = stream.next() => item,
                ended = &mut self.moving, if self.ended.is_none() => {
                    self.ended = Some(ended_early(&self.server, ended));
                    continue;
                }
                Some(_) = better.join_next(), if !self.refreshing => return Ok(Ended::Moves),
                () = sleep_until(flush_at), if self.flush_at.is_some() => {
                    self.flush().await?;
                    continue;
                }
                () = sleep_until(probe_at) => {
                    self.probe(ldap.clone()).await?;
                    probe_at = Instant::now() + PROBE_EVERY;
                    continue;
                }
            };
            probe_at = Instant::now() + PROBE_EVERY;
            match item {
                Ok(Some(item)) => self.take(item).await?,
                // Such a search ends only by a fault (RFC 4533 §3.4).
                Ok(None) => {
                    success(&self.server, "live search", stream.finish().await)?;
                    return Err(LdapFailure::Unreachable {
                        server: self.server,
                        why: "it ended the search".to_owned(),
                    }
                    .into());
                }
                Err(error) => {
                    let why =
                        self.ended.take().unwrap_or_else(|| failure(&self.server, "live search", error));
                    return Err(why.into());
                }
            }
            if self.steps.len() >= BATCH_MAX {
                self.flush().await?;
            }
        }
    }

    /// Ends when there is a server that is rather followed than this one. Dropped, it looks no longer.
    fn look_for_better(&self) -> JoinSet<()> {
        let (servers, server, base) = (self.mirror.0.servers.clone(), self.server.clone(), self.base.clone());
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            loop {
                sleep(BETTER_EVERY).await;
                if servers.has_better(&server, &base).await {
                    return;
                }
            }
        });
        looking
    }

    /// Whether the server still answers: a question on the same connection.
    async fn probe(&mut self, mut ldap: ldap3::Ldap) -> Result<(), SyncError> {
        ldap.with_timeout(self.mirror.0.options.ldap.operation_timeout);
        let asked = ldap.search("", Scope::Base, "(objectClass=*)", vec!["1.1"]);
        tokio::select! {
            answer = asked => {
                answer.map_err(|error| failure(&self.server, "probe", error))?;
                Ok(())
            }
            ended = &mut self.moving, if self.ended.is_none() => Err(ended_early(&self.server, ended).into()),
        }
    }

    fn malformed(&self, what: String) -> SyncError {
        LdapFailure::Malformed { server: self.server.clone(), what }.into()
    }

    async fn take(&mut self, item: ResultEntry) -> Result<(), SyncError> {
        if item.is_intermediate() {
            let info = read_sync_info(item.0).map_err(|what| self.malformed(what))?;
            return match info {
                Some(info) => self.info(info).await,
                None => Ok(()),
            };
        }
        if item.is_ref() {
            return self.reference(&read_reference(item.0));
        }
        let value =
            item.1.iter().find_map(|Control(_, raw)| (raw.ctype == SYNC_STATE).then_some(raw.val.as_ref()));
        let Some(Some(value)) = value else {
            return Err(self.malformed("an entry without its sync state".to_owned()));
        };
        let state = read_sync_state(value).map_err(|what| self.malformed(what))?;
        match state.state {
            EntryState::Present => drop(self.present.insert(state.uuid)),
            EntryState::Delete => {
                let named = read_entry(item.0).ok().and_then(|raw| Dn::parse(&raw.dn).ok());
                self.gone(&state.uuid, named)?;
            }
            EntryState::Add | EntryState::Modify => {
                if self.refreshing {
                    self.present.insert(state.uuid);
                }
                let found = self.mirror.read(read_entry(item.0));
                let settled = self.refreshing && self.from_nothing;
                let put = if settled { Step::Settled } else { Step::Put };
                self.push(match found {
                    Ok(found) => put(Box::new(Found { uuid: Some(state.uuid), ..found })),
                    Err(broken) => Step::Broken(broken),
                });
            }
        }
        if let Some(cookie) = state.cookie {
            self.new_cookie(cookie);
        }
        Ok(())
    }

    /// What lies elsewhere this search does not follow: a full sync does, now where it is new, and then it is asked for at
    /// intervals.
    fn reference(&self, urls: &[String]) -> Result<(), SyncError> {
        match self.mirror.0.options.ldap.referrals {
            Referrals::Ignore => return Ok(()),
            Referrals::Refuse => return Err(not_followed(&self.server, urls.to_vec()).into()),
            Referrals::Follow => {}
        }
        let known = |url: &String| {
            let base = Reference::parse(url).ok().and_then(|reference| reference.base);
            base.is_some_and(|base| self.mirror.knows_place(&base))
        };
        // Of one that is told of later it cannot be seen whether it came or went.
        if !self.refreshing || !urls.iter().any(known) {
            self.mirror.0.full_wanted.notify_one();
        }
        Ok(())
    }

    async fn info(&mut self, info: SyncInfo) -> Result<(), SyncError> {
        match info {
            SyncInfo::NewCookie(cookie) => self.new_cookie(cookie),
            SyncInfo::IdSet { cookie, deletes, uuids } => {
                for uuid in uuids {
                    if deletes {
                        self.gone(&uuid, None)?;
                    } else {
                        self.present.insert(uuid);
                    }
                }
                cookie.into_iter().for_each(|cookie| self.new_cookie(cookie));
            }
            SyncInfo::RefreshPresent { cookie, done } => {
                self.flush().await?;
                self.remove_absent().await?;
                self.phase_over(cookie, done).await?;
            }
            SyncInfo::RefreshDelete { cookie, done } => {
                // Without a cookie all that is there was shown (RFC 4533 §3.3.1): what was not is gone, since the full sync before.
                if self.refreshing && self.from_nothing && done {
                    self.flush().await?;
                    self.remove_absent().await?;
                }
                self.phase_over(cookie, done).await?;
            }
        }
        Ok(())
    }

    async fn phase_over(&mut self, cookie: Option<Vec<u8>>, done: bool) -> Result<(), SyncError> {
        if done {
            self.refreshing = false;
            self.present = HashSet::new();
            self.is_followed = true;
            self.tried.lock().is_followed = true;
            self.mirror.0.servers.now_followed(&self.server).await;
            self.mirror.follows(&self.base, &format!("following {}", self.server), true);
        }
        cookie.into_iter().for_each(|cookie| self.new_cookie(cookie));
        self.flush().await
    }

    /// After a present phase: what was not mentioned is not there any more (RFC 4533 §3.3.1).
    async fn remove_absent(&mut self) -> Result<(), SyncError> {
        let (mut there, mut gone, mut failure) = (0_u64, Vec::new(), None);
        let view_of = &self.mirror.0.directory;
        let view = view_of.raw_view()?;
        view.scan_under(&self.base, &mut |_, entry| {
            if self.mirror.server_of(&entry.dn).is_some() {
                return ControlFlow::Continue(());
            }
            match view.record(&entry.dn) {
                // Of what the source has never shown, a full sync judges.
                Ok(None) => {}
                Ok(Some(record)) => {
                    there += u64::from(record.uuid.is_some());
                    if record.uuid.is_some_and(|uuid| !self.present.contains(&uuid)) {
                        gone.push(Step::Gone(entry.dn));
                    }
                }
                Err(error) => failure = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        drop(view);
        if let Some(error) = failure {
            return Err(error.into());
        }
        guard_empty(Trust::Guarded, &self.base, self.present.len() as u64, there)?;
        guard(&self.mirror.0.options, Trust::Guarded, gone.len() as u64, there)?;
        gone.reverse();
        for chunk in gone.chunks(BATCH_MAX) {
            self.mirror.apply(Way::Live, chunk, &Vec::new()).await?;
        }
        Ok(())
    }

    fn gone(&mut self, uuid: &Uuid, named: Option<Dn>) -> Result<(), SyncError> {
        // It may be among what is gathered: a later step of the same batch finds it by its name.
        let gathered = self.steps.iter().rev().find_map(|step| match step {
            Step::Put(found) | Step::Settled(found) | Step::Staged(found) if found.uuid == Some(*uuid) => {
                Some(found.dn().clone())
            }
            _ => None,
        });
        let known = match gathered {
            Some(dn) => Some(dn),
            None => self.mirror.0.directory.raw_view()?.name_of(self.mirror.name(), uuid)?,
        };
        let mut names: Vec<Dn> = known.into_iter().chain(named).collect();
        if names.is_empty() {
            // What was never taken in, and is told of by its lasting name alone, is known by what it was refused as.
            let view = self.mirror.0.directory.raw_view()?;
            let refused = refused_by_id(&view, self.mirror.name())?.into_iter();
            let its_own = refused.filter(|(id, ..)| id == uuid);
            names.extend(its_own.filter_map(|(.., name)| Dn::parse(&name).ok()));
        }
        names.dedup();
        // A name that the server says it must have to say.
        for dn in names.into_iter().filter(|dn| self.mirror.is_own(dn)) {
            self.push(Step::Gone(dn));
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        self.steps.push(step);
        self.flush_at.get_or_insert(Instant::now() + GATHER);
    }

    fn new_cookie(&mut self, cookie: Vec<u8>) {
        self.cookie = Some(joined(self.cookie.as_deref().or(self.known.as_deref()), &cookie));
        self.flush_at.get_or_insert(Instant::now() + GATHER);
    }

    /// Writes what is gathered. A cookie of an unfinished refresh stands for nothing yet.
    async fn flush(&mut self) -> Result<(), SyncError> {
        self.flush_at = None;
        let steps = std::mem::take(&mut self.steps);
        let mut beside = Vec::new();
        if !self.refreshing {
            if let Some(cookie) = self.cookie.take() {
                self.known = Some(cookie.clone());
                beside.push((SYNC, base_key("cookie", &self.base), cookie));
            }
            if std::mem::take(&mut self.is_followed) {
                beside.push(followed_row(&self.base, &self.server));
            }
            beside.push(self.mirror.heard(false)?);
        }
        if !steps.is_empty() || beside.len() > 1 {
            self.mirror.apply(Way::Live, &steps, &beside).await?;
        }
        Ok(())
    }
}
