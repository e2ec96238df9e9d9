//! What accounts may take up, as the directory says (R9, R83).

use std::collections::HashMap;

use directory::Directory;
use mail_types::{AccountName, Address, Lookup};
use parking_lot::Mutex;
use store::{Quota, Quotas};

/// Most accounts whose quota is kept in memory; when there are more, all are read anew.
const QUOTAS_CACHED_MAX: usize = 100_000;

/// Quotas of users, from the directory; kept until it changes.
pub(super) struct DirectoryQuotas {
    directory: Directory,
    /// For those of whom the directory says nothing.
    usual: Quota,
    known: Mutex<Known>,
}

/// What was read, and after which change of the directory.
#[derive(Default)]
struct Known {
    csn: u64,
    quotas: HashMap<AccountName, Quota>,
}

impl DirectoryQuotas {
    pub(super) fn new(directory: Directory, usual: Quota) -> Self {
        Self { directory, usual, known: Mutex::default() }
    }

    /// `None` where the directory does not answer now.
    fn read(&self, account: &AccountName) -> Option<Quota> {
        let Ok(address) = Address::parse(account.as_str()) else { return Some(self.usual) };
        let user = match self.directory.by_address(&address) {
            Lookup::Found(entry) => directory::UserEntry::read(&entry, self.directory.schema()),
            Lookup::NotFound => None,
            Lookup::Unavailable(_) => return None,
        };
        let Some(user) = user else { return Some(self.usual) };
        let limit = |quota, usual| match quota {
            directory::Quota::Default => usual,
            directory::Quota::Unlimited => None,
            directory::Quota::Limit(limit) => Some(limit),
        };
        Some(Quota {
            octets: limit(user.quota, self.usual.octets),
            messages: limit(user.message_quota, self.usual.messages),
        })
    }
}

impl Quotas for DirectoryQuotas {
    fn of(&self, account: &AccountName) -> Quota {
        // Before the look-up: what changes after it is read again.
        let csn = self.directory.csn();
        let mut known = self.known.lock();
        if known.csn != csn || known.quotas.len() >= QUOTAS_CACHED_MAX {
            *known = Known { csn, quotas: HashMap::new() };
        }
        if let Some(quota) = known.quotas.get(account) {
            return *quota;
        }
        drop(known);
        let Some(quota) = self.read(account) else { return Quota::default() };
        let mut known = self.known.lock();
        if known.csn == csn {
            known.quotas.insert(account.clone(), quota);
        }
        quota
    }
}
