//! One connection to one server: made, bound, asked.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use ldap3::controls::{Control, ControlType, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchOptions};
use runtime::TlsClient;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{RawEntry, Unreadable, read_entry, read_page_cookie, read_reference};
use super::chase::REFERENCES_MAX;
use super::failure::LdapFailure;
use super::filter::Filter;
use super::settings::{LdapOptions, Protection, Referrals, ServerUrl};
use crate::amend::Amendment;
use crate::dn::Dn;
use crate::entry::Entry;
use crate::remote_edit::AttributeEdit;

/// What every search asks for: all of an entry, and what the server itself keeps about it (RFC 4512 §3.4; RFC 4530).
pub(crate) const ALL_ATTRIBUTES: [&str; 4] = ["*", "entryUUID", "modifyTimestamp", "entryCSN"];
/// No attributes at all: names only (RFC 4511 §4.5.1.8).
pub(crate) const NO_ATTRIBUTES: [&str; 2] = ["1.1", "entryUUID"];

/// Where a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At the base alone.
    Base,
    /// Right below the base.
    One,
    /// At the base and everything below.
    Subtree,
}

/// A search.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) base: Dn,
    pub(crate) depth: Depth,
    pub(crate) filter: Filter,
    pub(crate) attributes: &'static [&'static str],
    /// Most entries that are wanted; 0: all.
    pub(crate) most: i32,
}

/// What one page leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Of the next page; empty after the last one.
    pub(crate) cookie: Vec<u8>,
    /// The addresses of each search continuation; none where they are ignored.
    pub(crate) references: Vec<Vec<String>>,
}

/// One thing that a search found.
pub(crate) type FoundRaw = Result<RawEntry, Unreadable>;

/// Who binds: name and password.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) dn: String,
    pub(crate) password: Zeroizing<String>,
}

/// A connection. Dropping it ends it.
pub(crate) struct Connection {
    ldap: Ldap,
    driver: Driver,
    server: String,
    patience: Duration,
    referrals: Referrals,
}

/// The task that moves the octets.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What moves the octets of a connection while it is polled.
pub(crate) type Moving = Pin<Box<dyn Future<Output = Result<(), LdapError>> + Send>>;

/// The connection of a search that goes on: its octets move only while somebody waits for results, so that a server
/// which sends faster than we can write has to wait for us.
pub(crate) struct Slow {
    pub(crate) moving: Moving,
    pub(crate) ldap: Ldap,
    pub(crate) server: String,
}

/// Opens a connection, without a bind.
async fn open(
    server: &ServerUrl,
    options: &LdapOptions,
    tls: Option<&TlsClient>,
) -> Result<(LdapConnAsync, Ldap), LdapFailure> {
    let mut settings = LdapConnSettings::new();
    match (options.protection(server), tls) {
        (Protection::None, _) => {}
        (protection, Some(tls)) => {
            settings =
                settings.set_config(tls.library_config()).set_starttls(protection == Protection::StartTls);
        }
        (_, None) => return Err(LdapFailure::Setting("no certificate authorities are at hand".to_owned())),
    }
    let url = server.to_string();
    let opening = LdapConnAsync::with_settings(settings, &url);
    match timeout(options.connect_timeout, opening).await {
        Ok(opened) => opened.map_err(|error| failure(&url, "connection", error)),
        Err(_) => Err(late(&url, "connection", options.connect_timeout)),
    }
}

/// Binds (RFC 4513 §5.1). A name without a password is refused here: servers take it for nobody, and say yes (§5.1.2).
async fn bind(
    ldap: &mut Ldap,
    server: &str,
    credentials: &Credentials,
    patience: Duration,
) -> Result<(), LdapFailure> {
    if credentials.password.is_empty() {
        return Err(LdapFailure::Setting("an empty password is no proof (RFC 4513 §5.1.2)".to_owned()));
    }
    let binding = ldap.simple_bind(&credentials.dn, &credentials.password);
    match timeout(patience, binding).await {
        Ok(bound) => success(server, "bind", bound.map_err(|error| failure(server, "bind", error))?),
        Err(_) => Err(late(server, "bind", patience)),
    }
}

impl Slow {
    /// Connects and binds.
    pub(crate) async fn open(
        server: &ServerUrl,
        options: &LdapOptions,
        tls: Option<&TlsClient>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, LdapFailure> {
        let (connection, mut ldap) = open(server, options, tls).await?;
        let server = server.to_string();
        let mut moving: Moving = Box::pin(connection.drive());
        if let Some(credentials) = credentials {
            tokio::select! {
                bound = bind(&mut ldap, &server, credentials, options.connect_timeout) => bound?,
                ended = &mut moving => return Err(ended_early(&server, ended)),
            }
        }
        Ok(Self { moving, ldap, server })
    }
}

/// The connection ended while something was waited for.
pub(crate) fn ended_early(server: &str, ended: Result<(), LdapError>) -> LdapFailure {
    match ended {
        Ok(()) => {
            LdapFailure::Unreachable { server: server.to_owned(), why: "it closed the connection".to_owned() }
        }
        Err(error) => failure(server, "connection", error),
    }
}

impl Connection {
    /// Connects and, where there is somebody to be, binds.
    pub(crate) async fn open(
        server: &ServerUrl,
        options: &LdapOptions,
        tls: Option<&TlsClient>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, LdapFailure> {
        let (connection, mut ldap) = open(server, options, tls).await?;
        let server = server.to_string();
        // How it ends is told by whatever waits for an answer.
        let driver = Driver(tokio::spawn(async move { drop(connection.drive().await) }));
        if let Some(credentials) = credentials {
            bind(&mut ldap, &server, credentials, options.connect_timeout).await?;
        }
        let (patience, referrals) = (options.operation_timeout, options.referrals);
        Ok(Self { ldap, driver, server, patience, referrals })
    }

    /// Which server it is.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Whether it can still be used.
    pub(crate) fn is_open(&self) -> bool {
        !self.driver.0.is_finished()
    }

    /// Asks for one page of a search (RFC 2696), and hands each entry over.
    pub(crate) async fn page(
        &mut self,
        search: &Search,
        size: u16,
        cookie: Vec<u8>,
        found: &mut (dyn FnMut(FoundRaw) + Send),
    ) -> Result<Page, LdapFailure> {
        let scope = match search.depth {
            Depth::Base => Scope::Base,
            Depth::One => Scope::OneLevel,
            Depth::Subtree => Scope::Subtree,
        };
        let limits = SearchOptions::new().sizelimit(search.most);
        let control = PagedResults { size: i32::from(size), cookie };
        let (base, filter) = (search.base.to_string(), search.filter.as_str().to_owned());
        self.ldap.with_search_options(limits).with_timeout(self.patience).with_controls(control);
        let begun = self.ldap.streaming_search(&base, scope, &filter, search.attributes.to_vec()).await;
        let mut stream = begun.map_err(|error| failure(&self.server, "search", error))?;
        let mut references = Vec::new();
        loop {
            match stream.next().await {
                Ok(None) => break,
                Ok(Some(item)) if item.is_ref() => {
                    if references.len() > REFERENCES_MAX {
                        return Err(self.too_many());
                    }
                    references.push(read_reference(item.0));
                }
                Ok(Some(item)) if item.is_intermediate() => {}
                Ok(Some(item)) => found(read_entry(item.0)),
                Err(error) => return Err(failure(&self.server, "search", error)),
            }
        }
        let result = stream.finish().await;
        match self.referrals {
            Referrals::Follow => {}
            Referrals::Ignore => references.clear(),
            Referrals::Refuse => {
                if let Some(urls) = references.into_iter().next() {
                    return Err(not_followed(&self.server, urls));
                }
                references = Vec::new();
            }
        }
        let cookie = page_cookie(&self.server, &result)?;
        // The wanted number is there: that there would be more is no fault.
        if search.most > 0 && result.rc == SIZE_LIMIT_EXCEEDED {
            return Ok(Page { cookie: Vec::new(), references });
        }
        success(&self.server, "search", result)?;
        Ok(Page { cookie, references })
    }

    fn too_many(&self) -> LdapFailure {
        let what = format!("more than {REFERENCES_MAX} references in one page");
        LdapFailure::Malformed { server: self.server.clone(), what }
    }

    /// Adds an entry (RFC 4511 §4.7).
    pub(crate) async fn add(&mut self, entry: &Entry) -> Result<(), LdapFailure> {
        let attributes = entry.attributes().filter(|one| !one.values.is_empty());
        let attributes: Vec<(Vec<u8>, HashSet<Vec<u8>>)> = attributes
            .map(|one| (one.name.as_bytes().to_vec(), one.values.map(<[u8]>::to_vec).collect()))
            .collect();
        let added = self.ldap.with_timeout(self.patience).add(&entry.dn.to_string(), attributes).await;
        self.done("addition", added)
    }

    /// Changes attributes of an entry (RFC 4511 §4.6), all or none.
    pub(crate) async fn modify(&mut self, dn: &Dn, edits: &[AttributeEdit]) -> Result<(), LdapFailure> {
        let set = |values: &[Vec<u8>]| values.iter().cloned().collect::<HashSet<_>>();
        let asked = edits.iter().map(|edit| {
            let attribute = edit.attribute.as_bytes().to_vec();
            match &edit.amendment {
                Amendment::Add(values) => Mod::Add(attribute, set(values)),
                Amendment::Delete(values) => Mod::Delete(attribute, set(values)),
                Amendment::Replace(values) => Mod::Replace(attribute, set(values)),
            }
        });
        let modified = self.ldap.with_timeout(self.patience).modify(&dn.to_string(), asked.collect()).await;
        match self.done("modification", modified) {
            // An attribute without an equality rule has no single values to add or take away (RFC 4512 §2.5.1): it is
            // given as a whole.
            Err(failure) if failure.code() == Some(INAPPROPRIATE_MATCHING) => {
                let whole = edits
                    .iter()
                    .map(|edit| Mod::Replace(edit.attribute.as_bytes().to_vec(), set(&edit.becomes)));
                let modified =
                    self.ldap.with_timeout(self.patience).modify(&dn.to_string(), whole.collect()).await;
                self.done("modification", modified)
            }
            done => done,
        }
    }

    /// Deletes an entry (RFC 4511 §4.8).
    pub(crate) async fn delete(&mut self, dn: &Dn) -> Result<(), LdapFailure> {
        let deleted = self.ldap.with_timeout(self.patience).delete(&dn.to_string()).await;
        self.done("deletion", deleted)
    }

    fn done(&self, what: &'static str, result: Result<LdapResult, LdapError>) -> Result<(), LdapFailure> {
        success(&self.server, what, result.map_err(|error| failure(&self.server, what, error))?)
    }
}

/// inappropriateMatching (RFC 4511 Appendix A.2).
const INAPPROPRIATE_MATCHING: u32 = 18;
/// sizeLimitExceeded (RFC 4511 Appendix A.2).
const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// referral (RFC 4511 Appendix A.2).
const REFERRAL: u32 = 10;

/// The cookie in the control of a page's end; empty where there is none: the server does not page.
fn page_cookie(server: &str, result: &LdapResult) -> Result<Vec<u8>, LdapFailure> {
    for Control(kind, raw) in &result.ctrls {
        if let (Some(ControlType::PagedResults), Some(value)) = (kind, &raw.val) {
            return read_page_cookie(value)
                .map_err(|what| LdapFailure::Malformed { server: server.to_owned(), what });
        }
    }
    Ok(Vec::new())
}

pub(crate) fn success(server: &str, what: &'static str, result: LdapResult) -> Result<(), LdapFailure> {
    let server = server.to_owned();
    match result.rc {
        0 => Ok(()),
        REFERRAL => Err(not_followed(&server, result.refs)),
        code => Err(LdapFailure::Refused { server, what, code, text: result.text }),
    }
}

/// A reference that nobody follows.
pub(crate) fn not_followed(server: &str, urls: Vec<String>) -> LdapFailure {
    let why = "and is not followed: set referrals = \"follow\" and name that server in referral-servers, name its base in \
               bases, or set referrals = \"ignore\" to do without";
    LdapFailure::Referral { server: server.to_owned(), urls, why: why.to_owned() }
}

pub(crate) fn late(server: &str, what: &'static str, after: Duration) -> LdapFailure {
    LdapFailure::Timeout { server: server.to_owned(), what, after }
}

pub(crate) fn failure(server: &str, what: &'static str, error: LdapError) -> LdapFailure {
    match error {
        LdapError::LdapResult { result } => match success(server, what, result) {
            Err(failure) => failure,
            Ok(()) => {
                LdapFailure::Unreachable { server: server.to_owned(), why: format!("the {what} failed") }
            }
        },
        LdapError::Timeout { .. } => LdapFailure::Unreachable {
            server: server.to_owned(),
            why: format!("no answer to the {what} in time"),
        },
        LdapError::FilterParsing => {
            LdapFailure::Malformed { server: server.to_owned(), what: "our own filter".to_owned() }
        }
        // What the library says of a connection that ended under it are words about its channels.
        LdapError::OpSend { .. } | LdapError::ResultRecv { .. } | LdapError::EndOfStream => {
            LdapFailure::Unreachable { server: server.to_owned(), why: "the connection ended".to_owned() }
        }
        other => LdapFailure::Unreachable { server: server.to_owned(), why: other.to_string() },
    }
}
