//! A miss is asked about once (R20): an address, a domain or a group's member that the tree does not have may have come a second
//! ago.
//!
//! Bounded on every side: so many questions at a time, each within a time; equal questions share one answer; what the
//! source does not have is remembered for a while. So a storm of mail to nobody costs the source no more than that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mail_types::{Address, Domain, LocalPart, Lookup};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::apply::Step;
use super::found::{Broken, Found, same_content};
use super::records::Way;
use super::source::{Mirror, SyncError, SyncMode, apart};
use crate::dn::Dn;
use crate::error::EditError;
use crate::ldap::connection::{ALL_ATTRIBUTES, Depth, Search};
use crate::ldap::failure::{LdapFailure, NO_SUCH_OBJECT};
use crate::ldap::filter::Filter;
use crate::ldap::settings::ServerUrl;
use crate::schema::Field;

/// Most absent addresses and domains that are remembered.
pub const ABSENT_MAX: usize = 10_000;
/// Most entries that one question takes over.
const FOUND_MAX: i32 = 16;
/// For how long an entry counts as absent that only groups name: who comes in meanwhile is seen all the same.
const ENTRY_REMEMBERED: Duration = Duration::from_secs(60);
/// Most names of one domain under which an address is asked for.
const NAMES_MAX: usize = 8;

/// Why what was not found may be there all the same.
pub(super) type Doubt = Option<String>;

/// What is asked about.
#[derive(Clone)]
enum Wanted {
    Address(Address),
    Entry(Dn),
}

impl Wanted {
    /// What it is remembered by: no address begins like an entry's name.
    fn key(&self) -> String {
        match self {
            Self::Address(address) => address.to_key(),
            Self::Entry(dn) => format!("entry {}", String::from_utf8_lossy(dn.key())),
        }
    }
}

/// An answer that several may wait for.
type Shared = Arc<OnceCell<Lookup<u64>>>;

/// What is asked now, and what is known to be absent.
pub(crate) struct Misses {
    permits: Arc<Semaphore>,
    /// Of these, those that groups' members may have: who has come a moment ago does not wait for them.
    of_members: Arc<Semaphore>,
    asked: Mutex<HashMap<String, Shared>>,
    absent: Mutex<HashMap<String, Instant>>,
}

/// That a base is not there, with the mend.
pub(super) fn no_base(base: &Dn, why: &LdapFailure) -> String {
    format!("{why}: {base} is not there, or not shown to us: mend `bases`, or what bind-dn may read")
}

impl Misses {
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(at_a_time)),
            of_members: Arc::new(Semaphore::new((at_a_time / 2).max(1))),
            asked: Mutex::default(),
            absent: Mutex::default(),
        }
    }

    fn is_absent(&self, key: &str) -> bool {
        self.absent.lock().get(key).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, key: &str, until: Instant) {
        let mut absent = self.absent.lock();
        if absent.len() >= ABSENT_MAX {
            let now = Instant::now();
            absent.retain(|_, until| *until > now);
        }
        // Full of what is still fresh: this one is asked again.
        if absent.len() < ABSENT_MAX {
            absent.insert(key.to_owned(), until);
        }
    }
}

impl Mirror {
    /// Asks the source about an address that the tree does not have, and takes over what it finds. `Found`: the number of
    /// the change from which on the tree has it. `NotFound`: the source has none either. `Unavailable`: it cannot be said.
    pub async fn look_up(&self, address: &Address) -> Lookup<u64> {
        self.look_up_any(Wanted::Address(address.clone())).await
    }

    /// The same about an entry, by its name. What is followed as it changes lacks nothing that could be asked for, and what was
    /// whole when it was last heard of lacked nothing then: `Unavailable` says that something is on its way in.
    pub async fn look_up_entry(&self, dn: &Dn) -> Lookup<u64> {
        let is_half = self.is_wanted()
            || self.0.staging.load(Ordering::Acquire)
            || !self.is_complete().unwrap_or(false);
        if !is_half && self.is_followed_live(dn) {
            return Lookup::NotFound;
        }
        let was_whole = !is_half && self.0.options.mode == SyncMode::Live;
        match self.look_up_any(Wanted::Entry(dn.clone())).await {
            Lookup::Unavailable(_) if was_whole => Lookup::NotFound,
            answer => answer,
        }
    }

    /// Whether each change below the base of an entry is told of as it happens.
    fn is_followed_live(&self, dn: &Dn) -> bool {
        let Some(base) = self.0.options.bases.iter().find(|base| dn.is_within(base)) else { return true };
        let base = base.to_string();
        self.0.followers.lock().iter().any(|follower| follower.base == base && follower.follows)
    }

    async fn look_up_any(&self, wanted: Wanted) -> Lookup<u64> {
        let key = wanted.key();
        if self.is_absent(&wanted, &key) {
            return Lookup::NotFound;
        }
        let shared = Arc::clone(self.0.misses.asked.lock().entry(key.clone()).or_default());
        let answer = shared.get_or_init(|| self.ask_in_time(wanted)).await.clone();
        let mut asked = self.0.misses.asked.lock();
        if asked.get(&key).is_some_and(|other| Arc::ptr_eq(other, &shared)) {
            asked.remove(&key);
        }
        answer
    }

    /// Whether the source was asked of late, and had none. What has come into the tree since is not absent, whatever is
    /// remembered: mail must not be refused for a user or domain that is there (R20).
    fn is_absent(&self, wanted: &Wanted, key: &str) -> bool {
        let misses = &self.0.misses;
        let address = match wanted {
            Wanted::Address(address) => address,
            Wanted::Entry(dn) => {
                return misses.is_absent(key) && self.0.directory.entry(dn) == Lookup::NotFound;
            }
        };
        misses.is_absent(address.domain.as_str()) && !self.is_domain_here(&address.domain)
            || misses.is_absent(key) && self.0.directory.by_address(address) == Lookup::NotFound
    }

    /// Whether the tree has a domain, by an entry or by a DNS table, or may have it.
    fn is_domain_here(&self, domain: &Domain) -> bool {
        let directory = &self.0.directory;
        directory.domain(domain) != Lookup::NotFound || directory.dns_domain(domain) != Lookup::NotFound
    }

    async fn ask_in_time(&self, wanted: Wanted) -> Lookup<u64> {
        if self.0.servers.all_rest().await {
            return Lookup::Unavailable("no LDAP server answers".to_owned());
        }
        let until = Instant::now() + self.0.options.miss_timeout;
        let late = || Lookup::Unavailable("the LDAP servers do not answer in time".to_owned());
        let of_members = match wanted {
            Wanted::Address(_) => None,
            Wanted::Entry(_) => {
                let member = timeout_at(until, Arc::clone(&self.0.misses.of_members).acquire_owned()).await;
                let Ok(Ok(member)) = member else { return late() };
                Some(member)
            }
        };
        let permit = timeout_at(until, Arc::clone(&self.0.misses.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return late() };
        let mirror = self.clone();
        let asking = apart(async move {
            // As long as the question lasts, also when nobody waits for it any more.
            let _permits = (permit, of_members);
            mirror.ask(&wanted).await
        });
        match timeout_at(until, asking).await {
            Err(_) => late(),
            Ok(Ok(Some(csn))) => Lookup::Found(csn),
            Ok(Ok(None)) => Lookup::NotFound,
            Ok(Err(why)) => Lookup::Unavailable(why.to_string()),
        }
    }

    async fn ask(&self, wanted: &Wanted) -> Result<Option<u64>, SyncError> {
        let remembered = match wanted {
            Wanted::Address(_) => self.0.options.miss_remembered,
            Wanted::Entry(_) => self.0.options.miss_remembered.max(ENTRY_REMEMBERED),
        };
        let forgotten = Instant::now() + remembered;
        let mut doubt = None;
        let (steps, absent) = match wanted {
            Wanted::Address(address) => self.find_all_of(address, &mut doubt).await?,
            Wanted::Entry(dn) => {
                let mut found = self.find_entry(dn, &mut doubt).await?;
                // A server may take for one name what are two here.
                found.retain(|found| found.dn() == dn);
                (found.into_iter().map(|found| Step::Put(Box::new(found))).collect(), wanted.key())
            }
        };
        if steps.is_empty() {
            doubt.map_or(Ok(()), |why| Err(SyncError::Unfit(why)))?;
            self.0.misses.remember(&absent, forgotten);
            return Ok(None);
        }
        let applied = self.apply(Way::LookUp, &steps, &Vec::new()).await?;
        if let Some(why) = self.refused_why(&steps)? {
            return Err(SyncError::Unfit(why));
        }
        if self.is_set_back(&steps)? {
            doubt.map_or(Ok(()), |why| Err(SyncError::Unfit(why)))?;
            // Restored from a backup: what was followed since is nothing to refuse mail by.
            self.0.full_wanted.notify_one();
            let why = "the LDAP server shows an older state than was known: everything is compared anew";
            return Err(SyncError::Unfit(why.to_owned()));
        }
        if let Wanted::Entry(dn) = wanted
            && self.0.directory.entry(dn) == Lookup::NotFound
        {
            self.0.misses.remember(&absent, forgotten);
            return Ok(None);
        }
        Ok(Some(applied.csn))
    }

    /// The entries of an address's domain, where that is not known, and those that have the address. Where there are none, what
    /// is absent: the domain, or the address alone.
    async fn find_all_of(
        &self,
        address: &Address,
        doubt: &mut Doubt,
    ) -> Result<(Vec<Step>, String), SyncError> {
        let known = match self.0.directory.domain(&address.domain) {
            Lookup::Found(known) => Some(known),
            Lookup::NotFound => None,
            Lookup::Unavailable(why) => return Err(SyncError::Unfit(why)),
        };
        let mut steps = Vec::new();
        if known.is_none() {
            steps = self.find_domain(&address.domain, doubt).await?;
            // What the DNS alone leads here has users in the directory, too.
            if steps.is_empty() && !self.is_domain_here(&address.domain) {
                return Ok((steps, address.domain.to_string()));
            }
        }
        let mut names = vec![address.domain.clone()];
        names.extend(known.into_iter().flat_map(|known| std::iter::once(known.domain).chain(known.aliases)));
        names.dedup();
        names.truncate(NAMES_MAX);
        steps.extend(self.find_address(address, &names, doubt).await?);
        Ok((steps, address.to_key()))
    }

    /// Whether what was found says other than the tree has, because that is newer.
    fn is_set_back(&self, steps: &[Step]) -> Result<bool, SyncError> {
        let view = self.0.directory.raw_view()?;
        for step in steps {
            let Step::Put(found) = step else { continue };
            let (Some(record), Some(entry)) = (view.record(found.dn())?, view.entry(found.dn())?) else {
                continue;
            };
            if record.version > found.version && !same_content(&entry, &found.entry) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why an entry that was found is not in the tree: what the source has and we cannot take is not unknown.
    fn refused_why(&self, steps: &[Step]) -> Result<Option<String>, SyncError> {
        let view = self.0.directory.raw_view()?;
        for step in steps {
            let Step::Put(found) = step else { continue };
            if let Some(refused) = view.refused(&found.dn().to_string())?
                && view.id_of(found.dn())?.is_none()
            {
                return Ok(Some(format!("{}: {}", refused.name, refused.why)));
            }
        }
        Ok(None)
    }

    /// The entries that describe a domain: by its name, and where the DC tree has it (RFC 2247).
    async fn find_domain(&self, domain: &Domain, doubt: &mut Doubt) -> Result<Vec<Step>, SyncError> {
        let schema = self.0.directory.schema();
        let fields = [Field::SunPreferredDomain, Field::AssociatedDomain];
        let names = fields.iter().flat_map(|field| schema.names(*field));
        let filters = names.map(|name| Filter::equals(name, domain.as_str()));
        let filter = Filter::any(filters.collect::<Result<_, _>>().map_err(EditError::from)?);
        let mut found = Vec::new();
        for base in &self.0.options.bases {
            found.extend(self.find(base, Depth::Subtree, filter.clone(), doubt).await?);
        }
        if let Ok(node) = Dn::from_domain(domain, &self.0.options.dc_suffix) {
            found.extend(self.find_entry(&node, doubt).await?);
        }
        let bases: Vec<Dn> = found
            .iter()
            .filter_map(|found| schema.text(&found.entry, Field::InetDomainBaseDn))
            .filter_map(|text| Dn::parse(text).ok())
            .filter(|base| found.iter().all(|other| other.dn() != base))
            .collect();
        for base in bases {
            found.extend(self.find_entry(&base, doubt).await?);
        }
        Ok(found.into_iter().map(|found| Step::Put(Box::new(found))).collect())
    }

    /// The entries that have an address, with its subaddress and without, under any name of its domain.
    async fn find_address(
        &self,
        address: &Address,
        names: &[Domain],
        doubt: &mut Doubt,
    ) -> Result<Vec<Step>, SyncError> {
        let schema = self.0.directory.schema();
        let separators = self.0.directory.options().login_separators.as_slice();
        let base = address.local.as_str().split(separators).next().and_then(|base| LocalPart::new(base).ok());
        let locals = std::iter::once(address.local.clone()).chain(base.filter(|base| *base != address.local));
        let addresses: Vec<String> = locals
            .flat_map(|local| {
                names.iter().map(move |name| Address::new(local.clone(), name.clone()).to_key())
            })
            .collect();
        let fields = [Field::Mail, Field::MailAlternateAddress, Field::MailEquivalentAddress];
        let attributes = fields.iter().flat_map(|field| schema.names(*field));
        let filters =
            attributes.flat_map(|name| addresses.iter().map(|address| Filter::equals(name, address)));
        let filter = Filter::any(filters.collect::<Result<_, _>>().map_err(EditError::from)?);
        let mut steps = Vec::new();
        for base in &self.0.options.bases {
            let found = self.find(base, Depth::Subtree, filter.clone(), doubt).await?;
            steps.extend(found.into_iter().map(|found| Step::Put(Box::new(found))));
        }
        Ok(steps)
    }

    /// One entry by its name, where it lies below one of the bases.
    pub(super) async fn find_entry(&self, dn: &Dn, doubt: &mut Doubt) -> Result<Vec<Found>, SyncError> {
        if !self.0.options.bases.iter().any(|base| dn.is_within(base)) {
            return Ok(Vec::new());
        }
        self.find(dn, Depth::Base, Filter::everything(), doubt).await
    }

    async fn find(
        &self,
        base: &Dn,
        depth: Depth,
        filter: Filter,
        doubt: &mut Doubt,
    ) -> Result<Vec<Found>, SyncError> {
        let top = self.0.options.bases.iter().find(|one| base.is_within(one)).unwrap_or(base);
        let at = match self.server_of(base) {
            Some(elsewhere) => Some(elsewhere),
            None => self.apart_for(top).await?,
        };
        let (found, server) = self.find_at(base, depth, filter, at).await?;
        if let Some(why) = self.lacks_written(top, &server).await? {
            return Err(SyncError::Unfit(why));
        }
        if doubt.is_none() {
            *doubt = self.doubt(top, &server)?;
        }
        Ok(found)
    }

    /// What a search finds at one server, or at those of the list, and at which.
    pub(crate) async fn find_at(
        &self,
        base: &Dn,
        depth: Depth,
        filter: Filter,
        at: Option<ServerUrl>,
    ) -> Result<(Vec<Found>, String), SyncError> {
        let search =
            Search { base: base.clone(), depth, filter, attributes: &ALL_ATTRIBUTES, most: FOUND_MAX };
        let mut found = Vec::new();
        let searched = self.0.servers.search(&search, at.as_ref(), &mut |raw| found.push(raw)).await;
        let server = match searched {
            // An entry that is not there is an answer; a base that is not there is none: the server has not been filled yet,
            // or does not show it to us.
            Err(LdapFailure::Refused { code: NO_SUCH_OBJECT, server, .. }) if depth == Depth::Base => {
                return Ok((Vec::new(), server));
            }
            Err(why @ LdapFailure::Refused { code: NO_SUCH_OBJECT, .. }) => {
                return Err(SyncError::Unfit(no_base(base, &why)));
            }
            searched => searched?,
        };
        let (mut kept, mut refused) = (Vec::new(), None);
        for raw in found {
            match self.read(raw) {
                Ok(found) => kept.push(found),
                Err(broken) => refused = Some(broken),
            }
        }
        match refused {
            // What the source has and we cannot take is not unknown.
            Some(Broken { name, why, .. }) if kept.is_empty() => {
                Err(SyncError::Unfit(format!("{name}: {why}")))
            }
            _ => Ok((kept, server)),
        }
    }
}

#[cfg(test)]
mod tests;
