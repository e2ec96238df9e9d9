//! The world around the queue: remote hosts with moods, and a directory that changes its mind.

use std::sync::Arc;
use std::time::Duration;

use mail_types::{
    AccountName, Address, ChannelName, EnhancedStatus, Lookup, NextHop, Recipient, Reply, Route,
};
use parking_lot::Mutex;
use queue::{Accepted, Attempt, BoxFuture, Channel, Duty, Origin, Outcome, Reach, Router};
use runtime::Random;

/// The domain whose users are ours.
pub(crate) const HERE: &str = "here.example";
/// Remote domains.
pub(crate) const DOMAINS: u64 = 5;
/// Local users.
pub(crate) const USERS: u64 = 4;

/// How a remote host answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Unreachable,
    Busy,
    Refusing,
}

/// A copy that a remote host has taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The tag of the message.
    pub(crate) tag: String,
    pub(crate) recipient: Address,
    pub(crate) attempt: Attempted,
}

/// What became of the attempt that a copy came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempted {
    /// No crash since.
    Open,
    /// A crash found the recipient still queued: the peer's answer did not reach the disk, and the copy may be
    /// made again (promise 3).
    SpannedACrash,
    /// A crash found the recipient gone from the queue.
    Settled,
}

/// All remote hosts.
pub(crate) struct Remote {
    moods: Mutex<Vec<Mood>>,
    taken: Mutex<Vec<Taken>>,
    random: Random,
}

impl Remote {
    pub(crate) fn new(random: Random) -> Arc<Self> {
        let moods = (0..DOMAINS).map(|_| Mood::Well).collect();
        Arc::new(Self { moods: Mutex::new(moods), taken: Mutex::default(), random })
    }

    pub(crate) fn change_a_mood(&self) {
        let moods = [Mood::Well, Mood::Unreachable, Mood::Busy, Mood::Refusing];
        let pick = |most| usize::try_from(self.random.below(most)).unwrap_or(0);
        self.moods.lock()[pick(DOMAINS)] = moods[pick(4)];
    }

    pub(crate) fn cheer_up(&self) {
        self.moods.lock().fill(Mood::Well);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().clone()
    }

    /// After a crash: `is_queued` says which recipients the disk still has in the queue.
    pub(crate) fn note_crash(&self, is_queued: impl Fn(&Taken) -> bool) {
        for copy in self.taken.lock().iter_mut().filter(|copy| copy.attempt == Attempted::Open) {
            let spanned = is_queued(copy);
            copy.attempt = if spanned { Attempted::SpannedACrash } else { Attempted::Settled };
        }
    }

    fn mood(&self, recipient: &Recipient) -> Mood {
        let number = recipient.address.domain.as_str().trim_start_matches('d').split('.').next();
        let number: usize = number.and_then(|text| text.parse().ok()).unwrap_or(0);
        self.moods.lock()[number]
    }

    fn answer(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let remote = Some(recipient.address.domain.to_string());
        let cause = "simulated".to_owned();
        match self.mood(recipient) {
            Mood::Well => {
                let (tag, recipient) = (tag_of(attempt), recipient.address.clone());
                self.taken.lock().push(Taken { tag, recipient, attempt: Attempted::Open });
                let reply = Reply::new(250, EnhancedStatus::success(0, 0), "taken");
                Outcome::Delivered { reply, remote, duty: Duty::Relayed }
            }
            Mood::Unreachable => {
                let reply = Reply::new(451, EnhancedStatus::transient(4, 1), "no route");
                Outcome::Deferred { reply, remote: None, cause, reach: Reach::Destination }
            }
            Mood::Busy => {
                let reply = Reply::new(451, EnhancedStatus::transient(7, 1), "greylisted");
                Outcome::Deferred { reply, remote, cause, reach: Reach::Recipient }
            }
            Mood::Refusing => {
                let reply = Reply::new(550, EnhancedStatus::permanent(1, 1), "no such user");
                Outcome::Failed { reply, remote, cause }
            }
        }
    }
}

impl Channel for Remote {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(self.random.below(20_000))).await;
            let outcomes = attempt.recipients.iter().map(|one| self.answer(attempt, one)).collect();
            // The remote host has it already; its answer still travels. A crash here is the window
            // in which remote mail may double.
            tokio::time::sleep(Duration::from_millis(self.random.below(1000))).await;
            outcomes
        })
    }
}

/// The tag that a message carries in its subject.
pub(crate) fn tag_of(attempt: &Attempt) -> String {
    let octets = attempt.content.to_bytes().expect("content in memory");
    tag_in(&String::from_utf8_lossy(&octets)).unwrap_or_default().to_owned()
}

/// The first tag in a text: `tag-` and what follows up to white space.
pub(crate) fn tag_in(text: &str) -> Option<&str> {
    let from = text.find("tag-")?;
    text[from..].split_whitespace().next()
}

/// A directory that is now and then away, and into which a remote domain moves.
#[derive(Default)]
pub(crate) struct Directory {
    away: Mutex<bool>,
    moved_in: Mutex<bool>,
}

impl Directory {
    pub(crate) fn set_away(&self, away: bool) {
        *self.away.lock() = away;
    }

    /// From now on the last remote domain is ours: its queued mail has to follow.
    pub(crate) fn move_in(&self) {
        *self.moved_in.lock() = true;
    }

    fn is_ours(&self, address: &Address) -> bool {
        let moved = format!("d{}.example", DOMAINS - 1);
        address.domain.as_str() == HERE || (*self.moved_in.lock() && address.domain.as_str() == moved)
    }

    /// Where an address goes now.
    pub(crate) fn look_up(&self, address: &Address) -> Lookup<Route> {
        if *self.away.lock() {
            return Lookup::Unavailable("simulated".into());
        }
        if self.is_ours(address) {
            return Lookup::from(AccountName::new(&address.to_key()).map(Route::store));
        }
        Lookup::Found(Route::new(ChannelName::SMTP, NextHop::Domain(address.domain.clone())))
    }
}

/// The directory as the queue's router.
pub(crate) struct Routes(pub(crate) Arc<Directory>);

impl Router for Routes {
    fn route<'a>(
        &'a self,
        recipient: &'a Recipient,
        current: &'a Route,
        _: Origin<'a>,
    ) -> BoxFuture<'a, Lookup<Route>> {
        Box::pin(async move {
            if [ChannelName::REPROCESS, ChannelName::LIST].contains(&current.channel.as_str()) {
                return Lookup::Found(current.clone());
            }
            self.0.look_up(&recipient.address)
        })
    }
}

/// Resolves anew, as reports need it.
pub(crate) struct Reprocess(pub(crate) Arc<Directory>);

impl Channel for Reprocess {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move { attempt.recipients.iter().map(|one| self.resolve(one)).collect() })
    }
}

impl Reprocess {
    fn resolve(&self, recipient: &Recipient) -> Outcome {
        match self.0.look_up(&recipient.address) {
            Lookup::Found(route) => Outcome::Replaced(vec![Accepted::new(recipient.clone(), route)]),
            Lookup::NotFound => Outcome::Discarded { rule: "no such address".into() },
            Lookup::Unavailable(cause) => {
                let reply = Reply::new(451, EnhancedStatus::transient(4, 3), "directory away");
                Outcome::Deferred { reply, remote: None, cause, reach: Reach::Recipient }
            }
        }
    }
}
