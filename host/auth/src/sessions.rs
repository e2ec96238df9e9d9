//! The sessions of all protocols: who is connected, as whom they have logged in, and their end by an operator.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mail_types::{AccountName, Timestamp};
use parking_lot::Mutex;
use runtime::Clock;
use tokio::sync::Notify;

/// A session, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number: in the log, too. Numbers begin anew with each start of the server.
    pub number: u64,
    /// The listener.
    pub service: String,
    /// The client.
    pub peer: IpAddr,
    /// When it began.
    pub since: Timestamp,
    /// As whom it has logged in.
    pub account: Option<AccountName>,
}

struct Entry {
    info: SessionInfo,
    end: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    last: u64,
    /// No more than the listeners admit.
    open: BTreeMap<u64, Entry>,
}

/// All sessions; clones are the same.
#[derive(Clone)]
pub struct Sessions {
    clock: Clock,
    table: Arc<Mutex<Table>>,
}

impl Sessions {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, table: Arc::default() }
    }

    /// A session begins.
    #[must_use]
    pub fn open(&self, service: &str, peer: IpAddr) -> OpenSession {
        let mut table = self.table.lock();
        table.last += 1;
        let (number, end) = (table.last, Arc::new(Notify::new()));
        let since = self.clock.now();
        let info = SessionInfo { number, service: service.to_owned(), peer, since, account: None };
        table.open.insert(number, Entry { info, end: Arc::clone(&end) });
        OpenSession { number, end, sessions: self.clone() }
    }

    /// Those that are open, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<SessionInfo> {
        self.table.lock().open.values().map(|entry| entry.info.clone()).collect()
    }

    /// Ends those that are meant; how many.
    pub fn end(&self, mut means: impl FnMut(&SessionInfo) -> bool) -> usize {
        let table = self.table.lock();
        let meant = table.open.values().filter(|entry| means(&entry.info));
        meant.map(|entry| entry.end.notify_one()).count()
    }
}

/// A session's own handle: it is open for as long as this is there.
pub struct OpenSession {
    number: u64,
    end: Arc<Notify>,
    sessions: Sessions,
}

impl OpenSession {
    /// Its number, for the log.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// As whom it has logged in.
    #[must_use]
    pub fn account(&self) -> Option<AccountName> {
        self.sessions.table.lock().open.get(&self.number)?.info.account.clone()
    }

    /// It has logged in as somebody, or is nobody's again.
    pub fn belongs_to(&self, account: Option<&AccountName>) {
        if let Some(entry) = self.sessions.table.lock().open.get_mut(&self.number) {
            entry.info.account = account.cloned();
        }
    }

    /// Whom a proxy speaks for.
    pub fn comes_from(&self, peer: IpAddr) {
        if let Some(entry) = self.sessions.table.lock().open.get_mut(&self.number) {
            entry.info.peer = peer;
        }
    }

    /// Returns when an operator ends it.
    pub async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.sessions.table.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_are_listed_while_they_are_open_and_ended_by_whose_they_are() {
        let sessions = Sessions::new(Clock::system());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let (first, second) = (sessions.open("imap", peer), sessions.open("submission", peer));
        let anna = AccountName::new("anna@example.org").unwrap();
        second.belongs_to(Some(&anna));
        let listed: Vec<_> = sessions.list().into_iter().map(|one| (one.number, one.account)).collect();
        assert_eq!(listed, [(1, None), (2, Some(anna.clone()))]);
        assert_eq!(second.account(), Some(anna.clone()));
        // The order is not lost where nobody waits for it yet.
        assert_eq!(sessions.end(|one| one.account.as_ref() == Some(&anna)), 1);
        second.ended().await;
        drop(second);
        assert_eq!(sessions.list().len(), 1);
        assert_eq!(sessions.open("imap", peer).number(), 3, "no number comes twice");
        drop(first);
    }
}
