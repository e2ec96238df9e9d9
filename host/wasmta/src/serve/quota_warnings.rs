//! Tells the owner of an account that it is nearly full, by one message in its INBOX, and the operator that a domain or a
//! tenant is, by one line of the log (R83).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use events::{Event, Events};
use mail_types::{AccountName, Address, Timestamp};
use parking_lot::{Mutex, RwLock};
use runtime::{Clock, Random, Shutdown};
use store::{Quota, SharedQuota, Store, Usage};
use tokio::sync::mpsc;

use crate::config;

/// Most accounts that wait to be told: of more, the next message that they get makes them heard again.
const WAITING_MAX: usize = 1_024;
/// Most accounts and domains that are remembered as nearly full; when there are more, the store's own memory of the
/// warnings still keeps anybody from being told twice.
const NEAR_MAX: usize = 100_000;

/// An account that has come near its limit, or away from it.
enum Heard {
    Near(AccountName, Quota, Usage),
    Roomy(AccountName),
}

/// Notices who comes near a limit.
pub(super) struct Watch {
    /// Percent; 0: never.
    at: AtomicU64,
    settings: RwLock<config::Quotas>,
    near: Mutex<HashMap<AccountName, Timestamp>>,
    shared: Mutex<HashSet<String>>,
    clock: Clock,
    events: Events,
    heard: mpsc::Sender<Heard>,
    waiting: Mutex<Option<mpsc::Receiver<Heard>>>,
}

impl Watch {
    pub(super) fn new(quotas: &config::Quotas, clock: Clock, events: Events) -> Self {
        let (heard, waiting) = mpsc::channel(WAITING_MAX);
        Self {
            at: AtomicU64::new(quotas.warn_at),
            settings: RwLock::new(quotas.clone()),
            near: Mutex::default(),
            shared: Mutex::default(),
            clock,
            events,
            heard,
            waiting: Mutex::new(Some(waiting)),
        }
    }

    pub(super) fn replace(&self, quotas: &config::Quotas) {
        self.at.store(quotas.warn_at, Ordering::Relaxed);
        *self.settings.write() = quotas.clone();
    }

    /// Whether anybody is to be told at all.
    pub(super) fn is_on(&self) -> bool {
        self.at.load(Ordering::Relaxed) > 0
    }

    /// Hears what an account and those with whom it shares limits take up now.
    pub(super) fn hear(
        &self,
        account: &AccountName,
        (quota, usage): (Quota, Usage),
        shared: &[(Arc<SharedQuota>, Usage)],
    ) {
        let at = self.at.load(Ordering::Relaxed);
        self.hear_own(account, quota, usage, at);
        for (limit, usage) in shared {
            let percent = percent(limit.quota, *usage);
            let mut near = self.shared.lock();
            if percent < at {
                near.remove(&limit.name);
            } else if near.len() < NEAR_MAX && near.insert(limit.name.clone()) {
                self.events.emit(&Event::QuotaNear { whose: &limit.name, percent });
            }
        }
    }

    fn hear_own(&self, account: &AccountName, quota: Quota, usage: Usage, at: u64) {
        let percent = percent(quota, usage);
        let now = self.clock.now();
        let mut near = self.near.lock();
        let heard = match near.get(account) {
            Some(_) if percent < at => Heard::Roomy(account.clone()),
            Some(last) if now.since(*last) < self.settings.read().warn_again => return,
            None if percent < at => return,
            _ => Heard::Near(account.clone(), quota, usage),
        };
        let is_near = matches!(heard, Heard::Near(..));
        if self.heard.try_send(heard).is_err() {
            return;
        }
        if near.len() >= NEAR_MAX {
            near.clear();
        }
        if is_near {
            near.insert(account.clone(), now);
        } else {
            near.remove(account);
        }
        drop(near);
        if is_near {
            self.events.emit(&Event::QuotaNear { whose: account.as_str(), percent });
        }
    }

    /// Tells those who are heard of, until the server stops. Runs once.
    pub(super) async fn run(&self, store: &Store, random: &Random, host: &str, stop: &Shutdown) {
        let Some(mut waiting) = self.waiting.lock().take() else { return };
        match store.warned() {
            Ok(warned) => {
                let mut near = self.near.lock();
                near.extend(warned.into_iter().take(NEAR_MAX).map(|account| (account, Timestamp(0))));
            }
            Err(error) => self.failed(&error.to_string()),
        }
        loop {
            let heard = tokio::select! {
                heard = waiting.recv() => heard,
                () = stop.wait() => return,
            };
            let told = match heard {
                None => return,
                Some(Heard::Near(account, quota, usage)) => {
                    let (letter, again) = {
                        let settings = self.settings.read();
                        let id = format!("{:016x}.quota@{host}", random.u64());
                        (
                            letter(&settings, (&account, quota, usage), self.clock.now(), &id),
                            settings.warn_again,
                        )
                    };
                    store.warn(&account, letter.into(), again).await.map(drop)
                }
                Some(Heard::Roomy(account)) => store.forget_warning(&account).await,
            };
            if let Err(error) = told {
                self.failed(&error.to_string());
            }
        }
    }

    fn failed(&self, cause: &str) {
        self.events.emit(&Event::InternalError { place: "quota warnings", cause });
    }
}

/// How full, by whichever limit is nearer.
fn percent(quota: Quota, usage: Usage) -> u64 {
    let of = |limit: Option<u64>, used: u64| match limit {
        None => 0,
        Some(0) => 100,
        Some(limit) => u64::try_from(u128::from(used) * 100 / u128::from(limit)).unwrap_or(u64::MAX),
    };
    of(quota.octets, usage.octets).max(of(quota.messages, usage.messages))
}

/// The warning, ready to be stored (RFC 5322; RFC 3834 §5: a message of nobody's hand).
fn letter(
    settings: &config::Quotas,
    (account, quota, usage): (&AccountName, Quota, Usage),
    now: Timestamp,
    id: &str,
) -> Vec<u8> {
    let text_of = |octets: Option<u64>, messages: Option<u64>| {
        let octets = octets.map(config::rounded_size_text);
        let messages = messages.map(|messages| format!("{messages} messages"));
        [octets, messages].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    };
    let used = text_of(quota.octets.map(|_| usage.octets), quota.messages.map(|_| usage.messages));
    let filled = |text: &str| {
        text.replace("$PERCENT", &percent(quota, usage).to_string())
            .replace("$USED", &used)
            .replace("$LIMIT", &text_of(quota.octets, quota.messages))
            .replace("$USER", account.as_str())
    };
    let domain =
        Address::of_key(account.as_str()).map_or_else(|| "localhost".into(), |a| a.domain.to_string());
    let body = filled(&settings.warn_text).replace("\r\n", "\n").replace('\n', "\r\n");
    let mut letter = format!(
        "From: Mail Delivery System <postmaster@{domain}>\r\nTo: <{account}>\r\nSubject: {}\r\nDate: {}\r\n\
         Message-ID: <{id}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        message::encode_header(&filled(&settings.warn_subject)),
        message::date_text(now),
    );
    letter.push_str(&message::base64_body(body.as_bytes()));
    letter.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_limit_counts_and_no_limit_is_never_near() {
        let usage = Usage { octets: 50, messages: 9 };
        let quota = |octets, messages| Quota { octets, messages };
        assert_eq!(percent(quota(Some(100), Some(10)), usage), 90);
        assert_eq!(percent(quota(Some(100), None), usage), 50);
        assert_eq!(percent(quota(None, None), usage), 0);
        assert_eq!(percent(quota(Some(0), None), usage), 100);
        assert_eq!(percent(quota(Some(40), None), usage), 125);
    }
}
