//! The handle of the embedded directory: look-ups, scans, and the change log.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use mail_types::{Address, Domain, Lookup};
use runtime::Clock;
use storage::{Batch, HandedOver, Storage};
use tokio::sync::watch;

use crate::change::{CHANGES_LISTED_MAX, Changes};
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::kind::Typed;
use crate::layout::{ADDRESSES, CHANGES, DOMAINS, Role, decode_change, read_u64};
use crate::mirror::owners::{DomainMap, OwnDomain};
use crate::remote_edit::WriteThrough;
use crate::schema::Schema;
use crate::user_entry::UserEntry;
use crate::view::View;

/// How a directory is read and where new entries go.
#[derive(Debug, Clone)]
pub struct DirectoryOptions {
    /// The names in use.
    pub schema: Schema,
    /// The domain of logins that name none.
    pub default_domain: Option<Domain>,
    /// Top of the DC tree (`o=internet`).
    pub dc_suffix: Dn,
    /// Top of the organisation tree (`o=isp`).
    pub organization_suffix: Dn,
    /// Other tops, of domains that have a source of their own.
    pub own_tops: Vec<OwnTops>,
    /// What may stand between uid and domain in a login, besides `@`.
    pub login_separators: Vec<char>,
}

/// Where the entries of some domains go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTops {
    /// The domains.
    pub domains: Vec<OwnDomain>,
    /// Top of their DC tree.
    pub dc_suffix: Dn,
    /// Top of their organisation tree.
    pub organization_suffix: Dn,
}

impl DirectoryOptions {
    /// The tops of the DC tree and of the organisation tree where a domain goes.
    #[must_use]
    pub fn tops_of(&self, domain: &Domain) -> (&Dn, &Dn) {
        let all = self.own_tops.iter().enumerate();
        let own = DomainMap::of(all.map(|(at, tops)| (at, tops.domains.as_slice()))).get(domain);
        let own = own.map(|at| &self.own_tops[at]).map(|tops| (&tops.dc_suffix, &tops.organization_suffix));
        own.unwrap_or((&self.dc_suffix, &self.organization_suffix))
    }
}

impl Default for DirectoryOptions {
    fn default() -> Self {
        Self {
            schema: Schema::product(),
            default_domain: None,
            dc_suffix: Dn::root().child("o", "internet").expect("a fixed name is valid"),
            organization_suffix: Dn::root().child("o", "isp").expect("a fixed name is valid"),
            own_tops: Vec::new(),
            login_separators: vec!['+'],
        }
    }
}

/// How many entries there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All.
    pub entries: u64,
    /// Entries that describe domains; a domain may have two.
    pub domains: u64,
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
}

/// The directory. Clones are the same directory.
#[derive(Clone)]
pub struct Directory(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) storage: Storage,
    pub(crate) clock: Clock,
    pub(crate) options: DirectoryOptions,
    /// A load is under way, or broke off: answers would be wrong.
    pub(crate) loading: AtomicBool,
    pub(crate) newest: watch::Sender<u64>,
    /// Where edits are written, if not here.
    pub(crate) source: OnceLock<Arc<dyn WriteThrough>>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory(csn {})", *self.0.newest.borrow())
    }
}

impl Directory {
    /// Opens the directory in a storage that was opened with [`crate::SPACES`].
    pub fn open(storage: Storage, clock: Clock, options: DirectoryOptions) -> Result<Self, DirectoryError> {
        let head = View { snapshot: storage.read()?, schema: &options.schema, addresses: None }.head()?;
        let (newest, _) = watch::channel(head.csn);
        let loading = AtomicBool::new(head.loading != 0);
        Ok(Self(Arc::new(Inner { storage, clock, options, loading, newest, source: OnceLock::new() })))
    }

    /// The names in use.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.0.options.schema
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &DirectoryOptions {
        &self.0.options
    }

    /// A view that does not ask whether a load is under way.
    pub(crate) fn raw_view(&self) -> Result<View<'_>, DirectoryError> {
        Ok(View { snapshot: self.0.storage.read()?, schema: self.schema(), addresses: None })
    }

    /// Lets look-ups say *unavailable*, or answer again.
    pub(crate) fn pause(&self, paused: bool) {
        self.0.loading.store(paused, Ordering::Release);
    }

    pub(crate) fn view(&self) -> Result<View<'_>, DirectoryError> {
        if self.0.loading.load(Ordering::Acquire) {
            return Err(DirectoryError::Loading);
        }
        self.raw_view()
    }

    fn look<T>(&self, read: impl FnOnce(&View<'_>) -> Result<Option<T>, DirectoryError>) -> Lookup<T> {
        match self.view().and_then(|view| read(&view)) {
            Ok(found) => found.into(),
            Err(error) => Lookup::Unavailable(error.to_string()),
        }
    }

    /// A domain by any of its names: canonical, `associatedDomain`, or a pure alias entry. The
    /// answer carries the canonical name, and joins every entry that describes the domain.
    pub fn domain(&self, domain: &Domain) -> Lookup<DomainEntry> {
        self.look(|view| view.domain(domain))
    }

    /// The entry of a name.
    pub fn entry(&self, dn: &Dn) -> Lookup<Entry> {
        self.look(|view| view.entry(dn))
    }

    /// The entry of a name, under its typed view; or what the DNS alone knows under it.
    pub fn typed(&self, dn: &Dn) -> Lookup<Typed> {
        if let Some(found) = self.typed_of_dns(dn) {
            return found;
        }
        self.entry(dn).map(|entry| Typed::read(entry, self.schema()))
    }

    /// The user or group that has this address as primary, alternate or equivalent one. Aliases of
    /// domains, subaddresses and catch-alls are the business of routing. Addresses are verified by
    /// this look-up (R12); the same local part in two domains is two users (R95).
    pub fn by_address(&self, address: &Address) -> Lookup<Entry> {
        self.look(|view| match view.indexed(ADDRESSES, &address.to_key())?.first() {
            Some((_, id)) => view.entry_by_id(*id),
            None => Ok(None),
        })
    }

    /// A user by what is typed at log-in: the primary address, `uid@domain` (or `uid+domain`), or
    /// `uid` alone, which means the default domain, or without one the only user of that name.
    pub fn user_by_login(&self, login: &str) -> Lookup<UserEntry> {
        self.look(|view| {
            let Some(id) = self.login_id(view, login.trim())? else { return Ok(None) };
            Ok(view.entry_by_id(id)?.and_then(|entry| UserEntry::read(&entry, self.schema())))
        })
    }

    pub(crate) fn login_id(&self, view: &View<'_>, login: &str) -> Result<Option<u64>, DirectoryError> {
        if let Ok(address) = Address::parse(login)
            && let Some((Role::Primary, id)) = view.indexed(ADDRESSES, &address.to_key())?.first()
        {
            return Ok(Some(*id));
        }
        let options = &self.0.options;
        for separator in std::iter::once('@').chain(options.login_separators.iter().copied()) {
            let Some((uid, domain)) = login.rsplit_once(separator) else { continue };
            let Ok(domain) = Domain::parse(domain) else { continue };
            let Some(domain) = view.domain(&domain)? else { continue };
            if let Some(id) = view.login(uid, Some(&domain.base))? {
                return Ok(Some(id));
            }
        }
        if login.contains('@') {
            return Ok(None);
        }
        match &options.default_domain {
            None => view.login(login, None),
            Some(domain) => match view.domain(domain)? {
                Some(domain) => view.login(login, Some(&domain.base)),
                None => Ok(None),
            },
        }
    }

    /// The domain that a user belongs to: of the primary address, else of an alternate one.
    pub fn domain_of(&self, user: &UserEntry) -> Lookup<DomainEntry> {
        for address in user.addresses() {
            match self.domain(&address.domain) {
                Lookup::NotFound => {}
                answer => return answer,
            }
        }
        Lookup::NotFound
    }

    /// Visits every entry, in the order in which they were added. Holds one snapshot while it runs.
    pub fn scan(&self, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), DirectoryError> {
        self.view()?.scan(&mut |_, entry| visit(entry))
    }

    /// Visits the entries of a subtree, each before what lies below it, the top included.
    pub fn scan_under(
        &self,
        top: &Dn,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), DirectoryError> {
        self.view()?.scan_under(top, &mut |_, entry| visit(entry))
    }

    /// Visits every domain once, by name.
    pub fn scan_domains(
        &self,
        visit: &mut dyn FnMut(DomainEntry) -> ControlFlow<()>,
    ) -> Result<(), DirectoryError> {
        let view = self.view()?;
        let mut last: Option<String> = None;
        let mut failure = None;
        view.snapshot.scan(DOMAINS, &[], &[0xff; 9], &mut |key, role| {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            if Role::read(role) != Role::Primary || last.as_ref() == Some(&name) {
                return ControlFlow::Continue(());
            }
            let found = Domain::parse(&name).ok().map(|domain| view.domain(&domain)).transpose();
            last = Some(name);
            match found {
                // A DC node may be one more name of an organisation that is visited by its own.
                Ok(Some(Some(domain))) if Some(domain.domain.as_str()) == last.as_deref() => visit(domain),
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// Visits the names that stand in entries of their own, pure aliases (`aliasedObjectName`), each with the domain that it
    /// leads to.
    pub fn scan_domain_aliases(
        &self,
        visit: &mut dyn FnMut(Domain, DomainEntry),
    ) -> Result<(), DirectoryError> {
        let view = self.view()?;
        let mut names = Vec::new();
        view.snapshot.scan(DOMAINS, &[], &[0xff; 9], &mut |key, role| {
            if Role::read(role) == Role::Alias {
                let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
                names.extend(Domain::parse(&String::from_utf8_lossy(name)));
            }
            ControlFlow::Continue(())
        })?;
        for name in names {
            if let Some(domain) = view.domain(&name)? {
                visit(name, domain);
            }
        }
        Ok(())
    }

    /// How many entries there are.
    pub fn counts(&self) -> Result<Counts, DirectoryError> {
        let head = self.view()?.head()?;
        Ok(Counts { entries: head.entries, domains: head.domains, users: head.users, groups: head.groups })
    }

    /// Rises with whatever is written: what was read under a version still holds while it is the same.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.storage.version()
    }

    /// Number of the newest change.
    #[must_use]
    pub fn csn(&self) -> u64 {
        *self.0.newest.borrow()
    }

    /// Tells the number of the newest change, each time it rises, so that tables can follow at once
    /// and mail to a user just added does not bounce (R20).
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// What changed after a number.
    pub fn changes_since(&self, csn: u64) -> Result<Changes, DirectoryError> {
        let view = self.view()?;
        let head = view.head()?;
        if csn < head.floor || csn > head.csn {
            return Ok(Changes::Rebuild { csn: head.csn });
        }
        let (mut changes, mut failure) = (Vec::new(), None);
        let from = (csn + 1).to_be_bytes();
        view.snapshot.scan(CHANGES, &from, &[0xff; 9], &mut |key, octets| {
            match decode_change(read_u64(key), octets) {
                Ok(change) => changes.push(change),
                Err(error) => failure = Some(error),
            }
            if failure.is_some() || changes.len() == CHANGES_LISTED_MAX {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let csn = changes.last().map_or(head.csn, |change| change.csn);
        Ok(Changes::List { changes, csn })
    }

    /// Announces the newest change.
    pub(crate) fn publish(&self, csn: u64) {
        self.0.newest.send_if_modified(|newest| {
            let rises = csn > *newest;
            *newest = csn.max(*newest);
            rises
        });
    }

    pub(crate) async fn hand_over(&self, batch: Batch) -> Result<HandedOver, storage::StorageError> {
        self.0.storage.hand_over(batch).await
    }

    pub(crate) async fn commit(&self, batch: Batch) -> Result<(), storage::StorageError> {
        self.0.storage.commit(batch).await.map(|_| ())
    }
}

#[cfg(test)]
pub(crate) mod tests;
