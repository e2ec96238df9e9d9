//! Which groups accounts are in, as the directory says (R77).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use directory::Directory;
use events::{Event, Events};
use mail_types::{AccountName, Address, Domain, Lookup};
use parking_lot::{Mutex, RwLock};
use runtime::Shutdown;
use store::{Groups, Store};

use crate::config::{Anyone, Config};

/// Most accounts whose groups are kept in memory; when there are more, all are looked up anew.
const ACCOUNTS_CACHED_MAX: usize = 10_000;
/// Between two rounds of waking sessions.
const PAUSE: Duration = Duration::from_millis(200);

/// Groups of accounts, kept until the directory changes.
pub(super) struct DirectoryGroups {
    directory: Directory,
    known: Mutex<Known>,
    together: RwLock<Together>,
}

/// Whom `anyone` means.
struct Together {
    anyone: Anyone,
    /// The place of the tenant that a domain is of.
    tenants: HashMap<Domain, usize>,
}

impl Together {
    fn of(config: &Config) -> Self {
        let tenants = config.quotas.tenants.iter().enumerate();
        let tenants =
            tenants.flat_map(|(place, tenant)| tenant.domains.iter().map(move |name| (name.clone(), place)));
        Self { anyone: config.imap.anyone, tenants: tenants.collect() }
    }

    fn has_both(&self, one: &Domain, other: &Domain) -> bool {
        let tenant = |domain| self.tenants.get(domain);
        self.anyone == Anyone::Server || one == other || tenant(one).is_some() && tenant(one) == tenant(other)
    }
}

/// What was read, and after which change of the directory.
#[derive(Default)]
struct Known {
    csn: u64,
    groups: HashMap<AccountName, Arc<[String]>>,
}

impl DirectoryGroups {
    pub(super) fn new(directory: Directory, config: &Config) -> Self {
        Self { directory, known: Mutex::default(), together: RwLock::new(Together::of(config)) }
    }

    /// Takes what a new configuration says.
    pub(super) fn replace(&self, config: &Config) {
        *self.together.write() = Together::of(config);
    }

    fn read(&self, account: &AccountName) -> Result<Arc<[String]>, String> {
        let Some(address) = Address::of_key(account.as_str()) else { return Ok(Arc::default()) };
        match self.directory.memberships(&address) {
            Lookup::Found(groups) => {
                Ok(groups.iter().flat_map(|group| group.addresses().map(Address::to_key)).collect())
            }
            Lookup::NotFound => Ok(Arc::default()),
            Lookup::Unavailable(why) => Err(why),
        }
    }
}

/// Wakes sessions whenever the directory has changed, as long as the server runs; of changes that come together, once.
pub(super) async fn follow(directory: &Directory, store: &Store, events: &Events, stop: &Shutdown) {
    let mut newest = directory.subscribe();
    loop {
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = stop.wait() => return,
        }
        if let Err(error) = store.groups_changed() {
            // They find out with their next command.
            events.emit(&Event::InternalError { place: "groups", cause: &error.to_string() });
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.wait() => return,
        }
    }
}

impl Groups for DirectoryGroups {
    fn of(&self, account: &AccountName) -> Result<Arc<[String]>, String> {
        // Before the look-up: what changes after it is read again.
        let csn = self.directory.csn();
        {
            let mut known = self.known.lock();
            if known.csn != csn || known.groups.len() >= ACCOUNTS_CACHED_MAX {
                *known = Known { csn, ..Known::default() };
            }
            if let Some(groups) = known.groups.get(account) {
                return Ok(Arc::clone(groups));
            }
        }
        let groups = self.read(account)?;
        let mut known = self.known.lock();
        if known.csn == csn {
            known.groups.insert(account.clone(), Arc::clone(&groups));
        }
        Ok(groups)
    }

    fn are_together(&self, owner: &AccountName, other: &AccountName) -> bool {
        let domain = |name: &AccountName| Address::of_key(name.as_str()).map(|address| address.domain);
        match (domain(owner), domain(other)) {
            (Some(one), Some(other)) => self.together.read().has_both(&one, &other),
            _ => false,
        }
    }
}
