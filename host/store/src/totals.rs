//! What is in the whole store, by its counters.

use crate::Store;
use crate::accounts::scan_accounts;
use crate::error::StoreError;
use crate::keys;
use crate::mailboxes::scan_mailboxes;

/// Sums over all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Accounts.
    pub accounts: u64,
    /// Their mailboxes.
    pub mailboxes: u64,
    /// Their messages.
    pub messages: u64,
    /// Octets of the messages. Content that several share counts for each.
    pub octets: u64,
}

impl Store {
    /// Sums over all accounts at one moment. Visits every mailbox, and no message.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let snapshot = self.inner.storage.read()?;
        let mut totals = Totals::default();
        let mut ids = Vec::new();
        scan_accounts(&snapshot, &mut |id, _| ids.push(id))?;
        totals.accounts = ids.len() as u64;
        for id in ids {
            let mut mailboxes = Vec::new();
            scan_mailboxes(&snapshot, id, &mut |mailbox, _| mailboxes.push(mailbox))?;
            totals.mailboxes += mailboxes.len() as u64;
            for mailbox in mailboxes {
                let counter = |field| snapshot.counter(keys::COUNTERS, &keys::mailbox(mailbox), field);
                totals.messages += counter(keys::COUNT)?;
                totals.octets += counter(keys::OCTETS)?;
            }
        }
        Ok(totals)
    }
}
