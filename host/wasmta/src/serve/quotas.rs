//! What accounts may take up, as the directory and the configuration say (R9, R83).

use std::collections::HashMap;
use std::sync::Arc;

use directory::Directory;
use mail_types::{AccountName, Address, Domain, Lookup};
use parking_lot::{Mutex, RwLock};
use store::{Limits, Quota, Quotas, SharedQuota, Usage};

use super::quota_warnings::Watch;
use crate::config;

/// Most accounts whose limits are kept in memory; when there are more, all are read anew.
const LIMITS_CACHED_MAX: usize = 100_000;

/// Limits of accounts, kept until the directory or the configuration changes.
pub(super) struct DirectoryQuotas {
    directory: Directory,
    usual: RwLock<Arc<Usual>>,
    known: Mutex<Known>,
    watch: Watch,
}

/// What the configuration says.
struct Usual {
    /// For those of whom the directory says nothing.
    account: Quota,
    domain: Quota,
    /// By each of their domains.
    tenants: HashMap<Domain, Arc<SharedQuota>>,
}

impl Usual {
    fn of(quotas: &config::Quotas) -> Self {
        let mut tenants = HashMap::new();
        for tenant in &quotas.tenants {
            let shared = Arc::new(SharedQuota {
                name: format!("tenant {}", tenant.name),
                quota: quota(tenant.limit),
                domains: tenant.domains.iter().map(ToString::to_string).collect(),
            });
            tenants.extend(tenant.domains.iter().map(|domain| (domain.clone(), Arc::clone(&shared))));
        }
        Self { account: quota(quotas.account), domain: quota(quotas.domain), tenants }
    }
}

fn quota(limit: config::Limit) -> Quota {
    let some = |limit: u64| Some(limit).filter(|limit| *limit > 0);
    Quota { octets: some(limit.size), messages: some(limit.messages) }
}

/// What was read, and after which change of the directory.
#[derive(Default)]
struct Known {
    csn: u64,
    limits: HashMap<AccountName, Limits>,
    /// One for all accounts of a domain.
    domains: HashMap<Domain, Arc<SharedQuota>>,
}

impl DirectoryQuotas {
    pub(super) fn new(directory: Directory, quotas: &config::Quotas, watch: Watch) -> Self {
        let usual = RwLock::new(Arc::new(Usual::of(quotas)));
        Self { directory, usual, known: Mutex::default(), watch }
    }

    /// Puts another configuration in force.
    pub(super) fn replace(&self, quotas: &config::Quotas) {
        *self.usual.write() = Arc::new(Usual::of(quotas));
        *self.known.lock() = Known::default();
        self.watch.replace(quotas);
    }

    /// Who is to be told that an account is nearly full.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// `None` where the directory does not answer now.
    fn read(&self, account: &AccountName) -> Option<Limits> {
        let usual = Arc::clone(&self.usual.read());
        let Some(address) = Address::of_key(account.as_str()) else { return Some(usual.account.into()) };
        let user = match self.directory.by_address(&address) {
            Lookup::Found(entry) => directory::UserEntry::read(&entry, self.directory.schema()),
            Lookup::NotFound => None,
            Lookup::Unavailable(_) => return None,
        };
        let own = user.map_or(usual.account, |user| Quota {
            octets: limit(user.quota, usual.account.octets),
            messages: limit(user.message_quota, usual.account.messages),
        });
        let of_domain = match self.directory.domain(&address.domain) {
            Lookup::Found(entry) => self.of_domain(&entry, &usual),
            Lookup::NotFound => (None, usual.tenants.get(&address.domain).cloned()),
            Lookup::Unavailable(_) => return None,
        };
        Some(Limits { own, shared: [of_domain.0, of_domain.1].into_iter().flatten().collect() })
    }

    /// The limits of a domain, and of the tenant whose it is.
    fn of_domain(
        &self,
        entry: &directory::DomainEntry,
        usual: &Usual,
    ) -> (Option<Arc<SharedQuota>>, Option<Arc<SharedQuota>>) {
        let names = || std::iter::once(&entry.domain).chain(&entry.aliases);
        let tenant = names().find_map(|name| usual.tenants.get(name)).cloned();
        let quota = Quota {
            octets: limit(entry.disk_quota, usual.domain.octets),
            messages: limit(entry.message_quota, usual.domain.messages),
        };
        if quota.is_unlimited() {
            return (None, tenant);
        }
        let mut known = self.known.lock();
        if known.domains.len() >= LIMITS_CACHED_MAX {
            known.domains.clear();
        }
        let new = SharedQuota {
            name: format!("domain {}", entry.domain),
            quota,
            domains: names().map(ToString::to_string).collect(),
        };
        let shared = known.domains.entry(entry.domain.clone()).or_default();
        if **shared != new {
            *shared = Arc::new(new);
        }
        (Some(Arc::clone(shared)), tenant)
    }
}

/// A limit as an entry says it.
fn limit(quota: directory::Quota, usual: Option<u64>) -> Option<u64> {
    match quota {
        directory::Quota::Default => usual,
        directory::Quota::Unlimited => None,
        directory::Quota::Limit(limit) => Some(limit),
    }
}

impl Quotas for DirectoryQuotas {
    fn of(&self, account: &AccountName) -> Limits {
        // Before the look-up: what changes after it is read again.
        let csn = self.directory.csn();
        let mut known = self.known.lock();
        if known.csn != csn || known.limits.len() >= LIMITS_CACHED_MAX {
            *known = Known { csn, ..Known::default() };
        }
        if let Some(limits) = known.limits.get(account) {
            return limits.clone();
        }
        drop(known);
        let Some(limits) = self.read(account) else { return Limits::default() };
        let mut known = self.known.lock();
        if known.csn == csn {
            known.limits.insert(account.clone(), limits.clone());
        }
        limits
    }

    fn hear(&self, account: &AccountName, usage: Usage, shared: &[(Arc<SharedQuota>, Usage)]) {
        if self.watch.is_on() {
            self.watch.hear(account, (self.of(account).own, usage), shared);
        }
    }
}
