//! One question, over all the servers that its answer lies on: pages (RFC 2696), then what the answer points to
//! (RFC 4511 §4.1.10, §4.5.3), where that is wanted.
//!
//! An answer is whole or a failure: a reference that cannot be followed fails all of it. Each server is asked the same
//! once; references are counted, and so is how far they lead.

use std::collections::{HashSet, VecDeque};

use super::connection::{FoundRaw, Search};
use super::failure::LdapFailure;
use super::reference::{Reference, allowed};
use super::servers::{Lease, Servers};
use super::settings::{Referrals, ServerUrl};
use crate::dn::Dn;

/// How many servers one after the other an answer may point to: RFC 4511 §4.1.10 wants ten at least.
pub(crate) const HOPS_MAX: usize = 10;
/// Most references that one question follows.
pub(crate) const REFERENCES_MAX: usize = 256;

/// A subtree that lies on another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Dn,
    pub(crate) server: ServerUrl,
}

/// Where something has still to be asked.
struct Target {
    search: Search,
    /// Any of these servers; none: those of the list.
    servers: Vec<ServerUrl>,
    hops: usize,
}

/// A question that is being asked.
pub(crate) struct Chase<'s> {
    servers: &'s Servers,
    at: Option<Target>,
    lease: Option<Lease>,
    /// Whether it has connections of its own.
    is_apart: bool,
    cookie: Vec<u8>,
    waiting: VecDeque<Target>,
    /// What each server was asked: the same is never asked again.
    asked: HashSet<String>,
    followed: usize,
    server: String,
    places: Vec<Place>,
}

impl Servers {
    /// Begins a question: at one server, or at those of the list.
    pub(crate) fn chase(&self, search: Search, at: Option<ServerUrl>) -> Chase<'_> {
        Chase {
            servers: self,
            at: Some(Target { search, servers: at.into_iter().collect(), hops: 0 }),
            lease: None,
            is_apart: false,
            cookie: Vec::new(),
            waiting: VecDeque::new(),
            asked: HashSet::new(),
            followed: 0,
            server: String::new(),
            places: Vec::new(),
        }
    }

    /// The same, on connections of its own: much will come, and it is taken in where this runs, not where a connection that
    /// is kept was opened.
    pub(crate) fn chase_apart(&self, search: Search, at: Option<ServerUrl>) -> Chase<'_> {
        Chase { is_apart: true, ..self.chase(search, at) }
    }
}

impl Chase<'_> {
    /// The server that was asked first; empty before the first page.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The subtrees that were found on other servers.
    pub(crate) fn into_places(self) -> Vec<Place> {
        self.places
    }

    /// One page; whether there is more.
    ///
    /// # Errors
    /// The answer is not whole.
    pub(crate) async fn next(
        &mut self,
        found: &mut (dyn FnMut(FoundRaw) + Send),
    ) -> Result<bool, LdapFailure> {
        let Some(target) = self.at.take() else { return Ok(false) };
        match self.page(&target, found).await {
            Ok(true) => self.at = Some(target),
            Ok(false) => {
                self.done().await;
                self.at = self.waiting.pop_front();
            }
            Err(why) => {
                if !why.is_outage() {
                    self.done().await;
                }
                return Err(if target.hops == 0 { why } else { self.elsewhere(&target, &why) });
            }
        }
        Ok(self.at.is_some())
    }

    async fn done(&mut self) {
        self.cookie = Vec::new();
        if let Some(lease) = self.lease.take() {
            lease.give_back().await;
        }
    }

    /// A failure behind a reference is one of the whole question, and says nothing of the name that was asked for.
    fn elsewhere(&self, target: &Target, why: &LdapFailure) -> LdapFailure {
        let base = target.search.base.to_string();
        LdapFailure::Elsewhere { server: self.server.clone(), base, why: why.to_string() }
    }

    /// One page of a target; whether it has more.
    async fn page(
        &mut self,
        target: &Target,
        found: &mut (dyn FnMut(FoundRaw) + Send),
    ) -> Result<bool, LdapFailure> {
        if self.lease.is_none() {
            self.lease = Some(self.open(target).await?);
        }
        let follows = self.servers.options().referrals == Referrals::Follow;
        let Some(lease) = &mut self.lease else { return Ok(false) };
        let page = lease.page(&target.search, std::mem::take(&mut self.cookie), found).await;
        let page = match page {
            // The base itself lies elsewhere (§4.5.3): no entry was seen.
            Err(LdapFailure::Referral { server, urls, .. }) if follows => {
                self.follow(target, &server, &urls, Loop::IsFault)?;
                return Ok(false);
            }
            page => page?,
        };
        let server = lease.server().to_owned();
        for urls in &page.references {
            self.follow(target, &server, urls, Loop::IsKnown)?;
        }
        self.cookie = page.cookie;
        Ok(!self.cookie.is_empty())
    }

    async fn open(&mut self, target: &Target) -> Result<Lease, LdapFailure> {
        if target.servers.is_empty() {
            let lease =
                if self.is_apart { self.servers.lease_new().await? } else { self.servers.lease().await? };
            lease.server().clone_into(&mut self.server);
            self.note(lease.server(), &target.search);
            return Ok(lease);
        }
        let mut last = LdapFailure::NoServer("none was named".to_owned());
        for server in &target.servers {
            match self.servers.lease_at(server).await {
                Ok(lease) => {
                    if target.hops == 0 {
                        self.server = server.to_string();
                        self.note(lease.server(), &target.search);
                    } else {
                        let base = target.search.base.clone();
                        self.places.push(Place { base, server: server.clone() });
                    }
                    return Ok(lease);
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Notes that a server is asked something; whether that is new.
    fn note(&mut self, server: &str, search: &Search) -> bool {
        let Search { base, depth, filter, .. } = search;
        let key = String::from_utf8_lossy(base.key()).into_owned();
        self.asked.insert(format!("{} {depth:?} {filter} {key}", server.to_ascii_lowercase()))
    }

    fn follow(
        &mut self,
        target: &Target,
        server: &str,
        urls: &[String],
        again: Loop,
    ) -> Result<(), LdapFailure> {
        let referral =
            |why: String| LdapFailure::Referral { server: server.to_owned(), urls: urls.to_vec(), why };
        if target.hops >= HOPS_MAX {
            return Err(referral(format!("which is more than {HOPS_MAX} servers away")));
        }
        let references = allowed(urls, self.servers.options()).map_err(referral)?;
        // All of one reference lead to the same: what the first one names is asked for.
        let Some(first) = references.first() else { return Ok(()) };
        if first.base.is_none() && again == Loop::IsKnown {
            return Err(referral("which names no entry (RFC 4511 §4.5.3)".to_owned()));
        }
        let search = first.search(&target.search);
        let alike = |other: &&Reference| other.search(&target.search).base == search.base;
        let servers: Vec<ServerUrl> = references.iter().filter(alike).map(|one| one.server.clone()).collect();
        let mut fresh = Vec::new();
        for server in servers {
            if self.note(&server.to_string(), &search) {
                fresh.push(server);
            }
        }
        if fresh.is_empty() {
            return match again {
                // It was read already, or waits to be.
                Loop::IsKnown => Ok(()),
                Loop::IsFault => {
                    Err(referral("which was asked before: the servers point to each other".to_owned()))
                }
            };
        }
        self.followed += 1;
        if self.followed > REFERENCES_MAX {
            return Err(referral(format!("and there are more than {REFERENCES_MAX} references")));
        }
        self.waiting.push_back(Target { search, servers: fresh, hops: target.hops + 1 });
        Ok(())
    }
}

/// What it means that a reference leads where we were already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loop {
    /// Of a continuation: that part is known.
    IsKnown,
    /// Of a referral: nobody has the entry.
    IsFault,
}
