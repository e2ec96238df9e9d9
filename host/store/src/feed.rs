//! What happens in many mailboxes at once, for who wants to hear of more than one (RFC 5465): messages, names,
//! subscriptions, rights, annotations.
//!
//! A [`Feed`] belongs to a person and listens to accounts: their own, and those of mailboxes that they may use. What
//! happened is noted until it is taken, in a bounded way; a reader that is too slow is told that it missed
//! something, and no commit waits for it. What a feed's own session does is not told to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Store;
use crate::ids::{AccountId, MailboxId};
use crate::names::MailboxName;

/// Most mailboxes whose messages changed, and most other things, that wait to be taken from a feed.
pub const FEED_WAITING_MAX: usize = 1_000;

/// What kinds of change the messages of a mailbox saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageEvents {
    /// Messages came.
    pub new: bool,
    /// Messages went.
    pub expunged: bool,
    /// Flags changed, or the mailbox has another UIDVALIDITY.
    pub flags: bool,
}

impl MessageEvents {
    pub(crate) const NEW: Self = Self { new: true, expunged: false, flags: false };
    pub(crate) const EXPUNGED: Self = Self { new: false, expunged: true, flags: false };
    pub(crate) const FLAGS: Self = Self { new: false, expunged: false, flags: true };

    fn add(&mut self, other: Self) {
        self.new |= other.new;
        self.expunged |= other.expunged;
        self.flags |= other.flags;
    }
}

/// Something else than messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A mailbox of the name was made or deleted, or may be looked up by somebody from now on, or not any more.
    Named {
        /// Whose it is.
        account: AccountId,
        /// What its owner calls it.
        name: MailboxName,
    },
    /// A mailbox was renamed, with all below it.
    Renamed {
        /// Whose it is.
        account: AccountId,
        /// Its old name.
        from: MailboxName,
        /// Its new name.
        to: MailboxName,
    },
    /// The person has subscribed to a name, or does not any more.
    Subscribed {
        /// The person.
        account: AccountId,
        /// The name.
        name: String,
    },
    /// Annotations were set or removed; without a mailbox, those of the server.
    Annotated {
        /// Of which mailbox.
        mailbox: Option<MailboxId>,
        /// Whose they are; `None` where they are shared.
        person: Option<AccountId>,
        /// Their names.
        names: Vec<String>,
    },
    /// Somebody may do more with a mailbox, or less.
    Rights {
        /// Which.
        mailbox: MailboxId,
        /// Who; `None` for everybody.
        person: Option<AccountId>,
        /// Its name, where somebody may look it up from now on, or not any more.
        name: Option<MailboxName>,
    },
}

impl Happened {
    /// Who is to hear of it.
    fn audience(&self) -> Audience {
        match self {
            Self::Named { account, .. } | Self::Renamed { account, .. } => Audience::Account(*account),
            Self::Subscribed { account, .. } => Audience::Person(*account),
            Self::Annotated { mailbox: Some(mailbox), person: None, .. } => {
                Audience::Account(mailbox.account)
            }
            Self::Annotated { person: Some(person), .. } => Audience::Person(*person),
            Self::Rights { person: Some(person), .. } => Audience::Person(*person),
            Self::Annotated { .. } | Self::Rights { person: None, .. } => Audience::Everybody,
        }
    }
}

enum Audience {
    /// Whoever listens to an account.
    Account(AccountId),
    /// The feeds of a person.
    Person(AccountId),
    Everybody,
}

/// What has happened since it was taken last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Happenings {
    /// Mailboxes whose messages changed.
    pub messages: BTreeMap<MailboxId, MessageEvents>,
    /// All else, in its order.
    pub others: Vec<Happened>,
    /// More happened than was kept.
    pub overflowed: bool,
}

impl Happenings {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.others.is_empty() && !self.overflowed
    }

    fn is_full(&mut self) -> bool {
        if self.messages.len() + self.others.len() >= FEED_WAITING_MAX {
            *self = Self { overflowed: true, ..Self::default() };
        }
        self.overflowed
    }
}

/// One feed's end where things arrive.
pub(crate) struct Ear {
    person: AccountId,
    waiting: Mutex<Happenings>,
    arrived: Notify,
}

impl Ear {
    fn hear(&self, note: impl FnOnce(&mut Happenings)) {
        note(&mut self.waiting.lock());
        self.arrived.notify_one();
    }
}

/// Who listens to which account. Its size is that of what living feeds listen to.
#[derive(Default)]
pub(crate) struct Feeds {
    ears: Mutex<HashMap<AccountId, Vec<Arc<Ear>>>>,
}

impl Feeds {
    /// Tells those who listen to a mailbox's account; but for the one that did it.
    pub(crate) fn messages(&self, deaf: Option<&Weak<Ear>>, mailbox: MailboxId, events: MessageEvents) {
        let ears = self.ears.lock();
        for ear in others(ears.get(&mailbox.account).into_iter().flatten(), deaf) {
            ear.hear(|waiting| {
                if waiting.messages.contains_key(&mailbox) || !waiting.is_full() {
                    waiting.messages.entry(mailbox).or_default().add(events);
                }
            });
        }
    }

    /// Tells those who listen of all else that a commit led to, in its order.
    pub(crate) fn others(&self, deaf: Option<&Weak<Ear>>, happened: &[Happened]) {
        let mut woken = Vec::new();
        happened.iter().for_each(|happened| self.other(deaf, happened, &mut woken));
        // Who wakes finds all that one commit led to, and tells it by names and not by chance.
        woken.iter().for_each(|ear| ear.arrived.notify_one());
    }

    fn other(&self, deaf: Option<&Weak<Ear>>, happened: &Happened, woken: &mut Vec<Arc<Ear>>) {
        let ears = self.ears.lock();
        let hear = |ear: &Arc<Ear>| {
            let mut waiting = ear.waiting.lock();
            if !waiting.is_full() {
                waiting.others.push(happened.clone());
            }
            woken.push(Arc::clone(ear));
        };
        match happened.audience() {
            Audience::Account(account) => {
                others(ears.get(&account).into_iter().flatten(), deaf).for_each(hear);
            }
            Audience::Person(person) => {
                let own = ears.get(&person).into_iter().flatten().filter(|ear| ear.person == person);
                others(own, deaf).for_each(hear);
            }
            Audience::Everybody => {
                let all = ears.iter().flat_map(|(account, ears)| ears.iter().map(move |ear| (account, ear)));
                // Each listens to its person's account: there it is told once.
                let each = all.filter(|(account, ear)| **account == ear.person).map(|(_, ear)| ear);
                others(each, deaf).for_each(hear);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ears.lock().values().map(Vec::len).sum()
    }
}

fn others<'a>(
    ears: impl Iterator<Item = &'a Arc<Ear>>,
    deaf: Option<&Weak<Ear>>,
) -> impl Iterator<Item = &'a Arc<Ear>> {
    let deaf = deaf.map(Weak::as_ptr);
    ears.filter(move |ear| deaf != Some(Arc::as_ptr(ear)))
}

/// Hears what happens in some accounts. Nothing of it is lost without word, and nothing waits for it.
pub struct Feed {
    ear: Arc<Ear>,
    feeds: Arc<Feeds>,
    accounts: BTreeSet<AccountId>,
}

impl Feed {
    /// Waits until something happened. May be dropped and asked again at any time.
    pub async fn arrived(&self) {
        while self.ear.waiting.lock().is_empty() {
            self.ear.arrived.notified().await;
        }
    }

    /// Takes what happened.
    #[must_use]
    pub fn take(&self) -> Happenings {
        std::mem::take(&mut self.ear.waiting.lock())
    }

    /// Listens to these accounts from now on, and to the person's own.
    pub fn listen_to(&mut self, accounts: impl IntoIterator<Item = AccountId>) {
        let mut accounts: BTreeSet<AccountId> = accounts.into_iter().collect();
        accounts.insert(self.ear.person);
        let mut ears = self.feeds.ears.lock();
        for left in self.accounts.difference(&accounts) {
            forget(&mut ears, *left, &self.ear);
        }
        for new in accounts.difference(&self.accounts) {
            ears.entry(*new).or_default().push(Arc::clone(&self.ear));
        }
        drop(ears);
        self.accounts = accounts;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut ears = self.feeds.ears.lock();
        for account in &self.accounts {
            forget(&mut ears, *account, &self.ear);
        }
    }
}

fn forget(ears: &mut HashMap<AccountId, Vec<Arc<Ear>>>, account: AccountId, ear: &Arc<Ear>) {
    if let Some(known) = ears.get_mut(&account) {
        known.retain(|known| !Arc::ptr_eq(known, ear));
        if known.is_empty() {
            ears.remove(&account);
        }
    }
}

impl Store {
    /// A feed of a person, which listens to their own account; and the same store, whose doings are not told to it.
    #[must_use]
    pub fn feed(&self, person: AccountId) -> (Feed, Self) {
        let ear = Arc::new(Ear { person, waiting: Mutex::default(), arrived: Notify::new() });
        let store = Self { deaf: Some(Arc::downgrade(&ear)), ..self.clone() };
        let feeds = Arc::clone(&self.inner.feeds);
        let mut feed = Feed { ear, feeds, accounts: BTreeSet::new() };
        feed.listen_to([]);
        (feed, store)
    }
}
