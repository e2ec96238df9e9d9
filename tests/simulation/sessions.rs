//! Clients at work in mailboxes, several at one moment: each remembers what it was told, and holds the store to that.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use mail_types::{AccountName, Address};
use runtime::Random;
use store::{
    AccountId, FlagChange, FlagMode, Flags, MailboxId, MailboxName, ModSeq, NewMessage, Store, StoreError,
    Uid,
};

use crate::world::user;

/// The mailboxes in which they work.
pub(crate) const MAILBOXES: [&str; 2] = ["Work", "Other"];
/// The accounts of the clients: two share one.
const ACCOUNTS: [u64; 3] = [0, 0, 1];
/// Commands of one client in one deed.
const COMMANDS: u64 = 4;
/// One in so many commands is given up before its answer.
const HANGS_UP: u64 = 8;

/// Where a message is, as far as its client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    mailbox: usize,
    /// None where the answer that told it was not heard.
    uid: Option<Uid>,
    flags: Flags,
}

/// What a client knows of one message of its own: it is in one of these states. One is certainty.
type Known = Vec<Option<At>>;

/// A mailbox as a client has it, kept by what it is told of changes.
#[derive(Debug, Clone, Default)]
struct Following {
    since: ModSeq,
    messages: BTreeMap<Uid, (Flags, ModSeq)>,
}

/// A client. Nobody else touches its messages; everybody sees them.
pub(crate) struct Client {
    name: usize,
    account: Address,
    messages: BTreeMap<u64, Known>,
    next: u64,
    following: [Following; 2],
    /// The promise that was broken, once one is.
    broken: Option<String>,
    /// Commands that were answered with success.
    pub(crate) done: u64,
}

/// All clients; they outlive servers.
pub(crate) fn clients() -> [Client; 3] {
    [0, 1, 2].map(|name| Client {
        name,
        account: user(ACCOUNTS[name]),
        messages: BTreeMap::new(),
        next: 0,
        following: Default::default(),
        broken: None,
        done: 0,
    })
}

/// One command.
enum Command {
    Append { mailbox: usize, flagged: bool },
    Flag { token: u64, at: At, uid: Uid },
    Move { token: u64, at: At, uid: Uid },
    Remove { token: u64, at: At, uid: Uid },
}

/// The place of a mailbox.
fn place(store: &Store, account: AccountId, mailbox: usize) -> Result<MailboxId, StoreError> {
    Ok(store.mailbox(account, &MailboxName::new(MAILBOXES[mailbox])?)?.id)
}

impl Client {
    /// Some commands, one after the other, while others do the same.
    pub(crate) async fn act(&mut self, store: &Store, random: &Random) {
        let Some(name) = AccountName::new(&self.account.to_key()) else { return };
        let Ok(account) = store.ensure_account(&name).await else { return };
        for mailbox in MAILBOXES {
            let Ok(mailbox) = MailboxName::new(mailbox) else { return };
            match store.create_mailbox(account, &mailbox, None).await {
                Ok(_) | Err(StoreError::Exists) => {}
                Err(_) => return,
            }
        }
        for _ in 0..=random.below(COMMANDS) {
            let command = self.choose(random);
            let work = self.perform(store, account, command);
            if random.below(HANGS_UP) == 0 {
                // The answer is not heard; the message may be in either state from now on.
                let _ = tokio::time::timeout(Duration::ZERO, work).await;
            } else {
                work.await;
            }
            self.look(store, account);
        }
    }

    fn choose(&self, random: &Random) -> Command {
        let certain: Vec<(u64, At, Uid)> = self
            .messages
            .iter()
            .filter_map(|(token, known)| match known[..] {
                [Some(at)] => Some((*token, at, at.uid?)),
                _ => None,
            })
            .collect();
        let picked = usize::try_from(random.below(certain.len().max(1) as u64)).unwrap_or(0);
        let Some((token, at, uid)) = certain.get(picked).copied() else {
            return Command::Append { mailbox: 0, flagged: false };
        };
        match random.below(6) {
            0 | 1 => Command::Append {
                mailbox: usize::try_from(random.below(2)).unwrap_or(0),
                flagged: random.below(2) == 0,
            },
            2 | 3 => Command::Flag { token, at, uid },
            4 => Command::Move { token, at, uid },
            _ => Command::Remove { token, at, uid },
        }
    }

    async fn perform(&mut self, store: &Store, account: AccountId, command: Command) {
        match command {
            Command::Append { mailbox, flagged } => self.append(store, account, mailbox, flagged).await,
            Command::Flag { token, at, uid } => {
                let after = if at.flags.contains(Flags::SEEN) { Flags::FLAGGED } else { Flags::SEEN };
                self.messages.insert(token, vec![Some(at), Some(At { flags: after, ..at })]);
                let Ok(id) = place(store, account, at.mailbox) else { return };
                let change = FlagChange {
                    mode: FlagMode::Replace,
                    flags: after,
                    keywords: &[],
                    unchanged_since: None,
                };
                if let Ok(stored) = store.store_flags(id, &[uid], &change).await {
                    self.told(stored.messages.len() == 1, token, "STORE did not find it");
                    self.settled(token, Some(At { flags: after, ..at }));
                }
            }
            Command::Move { token, at, uid } => {
                let moved = At { mailbox: 1 - at.mailbox, uid: None, ..at };
                self.messages.insert(token, vec![Some(at), Some(moved)]);
                let (Ok(from), Ok(to)) =
                    (place(store, account, at.mailbox), place(store, account, moved.mailbox))
                else {
                    return;
                };
                if let Ok(copied) = store.move_(from, &[uid], to).await {
                    self.told(copied.uids.len() == 1, token, "MOVE did not find it");
                    self.settled(token, Some(At { uid: copied.uids.first().map(|(_, to)| *to), ..moved }));
                }
            }
            Command::Remove { token, at, uid } => {
                self.messages.insert(token, vec![Some(at), None]);
                let Ok(id) = place(store, account, at.mailbox) else { return };
                if let Ok(expunged) = store.remove(id, &[uid]).await {
                    self.told(expunged.uids == [uid], token, "EXPUNGE did not find it");
                    self.settled(token, None);
                }
            }
        }
    }

    async fn append(&mut self, store: &Store, account: AccountId, mailbox: usize, flagged: bool) {
        let token = self.next;
        self.next += 1;
        let flags = if flagged { Flags::FLAGGED } else { Flags::NONE };
        let at = At { mailbox, uid: None, flags };
        self.messages.insert(token, vec![None, Some(at)]);
        let Ok(id) = place(store, account, mailbox) else { return };
        let content = self.content(token).into_bytes().into();
        let message = NewMessage { content, flags, keywords: Vec::new(), internal_date: None };
        if let Ok((_, uids)) = store.append(id, vec![message]).await {
            self.settled(token, Some(At { uid: uids.first().copied(), ..at }));
        }
    }

    fn content(&self, token: u64) -> String {
        format!("Subject: client {} message {token}\r\n\r\n", self.name)
    }

    fn settled(&mut self, token: u64, at: Option<At>) {
        self.done += 1;
        self.messages.insert(token, vec![at]);
    }

    fn told(&mut self, holds: bool, token: u64, what: &str) {
        if !holds && self.broken.is_none() {
            let known = self.messages.get(&token);
            self.broken = Some(format!("client {}: message {token} is {known:?}, and {what}", self.name));
        }
    }

    /// Brings the own view of each mailbox up to date by what changed, and compares it with what is there.
    fn look(&mut self, store: &Store, account: AccountId) {
        for (mailbox, following) in self.following.iter_mut().enumerate() {
            let Ok(id) = place(store, account, mailbox) else { continue };
            // Nothing runs between these two: this thread is the only one.
            let (Ok(delta), Ok(view)) = (store.changes_since(id, following.since), store.view(id)) else {
                continue;
            };
            if delta.complete {
                for uid in &delta.expunged {
                    following.messages.remove(uid);
                }
                let changed = delta.changed.iter().map(|listed| (listed.uid, (listed.flags, listed.modseq)));
                following.messages.extend(changed);
            } else {
                following.messages.clear();
                let all = view.messages.iter().map(|listed| (listed.uid, (listed.flags, listed.modseq)));
                following.messages.extend(all);
            }
            following.since = delta.highest_modseq;
            let there: BTreeMap<_, _> =
                view.messages.iter().map(|listed| (listed.uid, (listed.flags, listed.modseq))).collect();
            if there != following.messages && self.broken.is_none() {
                let what = format!(
                    "{} has {there:?}, and was told of as {:?}",
                    MAILBOXES[mailbox], following.messages
                );
                self.broken = Some(format!("client {}: {what} (promise 7)", self.name));
            }
        }
    }

    /// With nothing under way: each message is where it is known to be, whole, and nowhere else.
    pub(crate) fn examine(&mut self, store: &Store) -> Result<(), String> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let name = AccountName::new(&self.account.to_key()).ok_or("an account without a name")?;
        let Some(account) = store.find_account(&name).map_err(|e| e.to_string())? else {
            return self.compare(&HashMap::new());
        };
        let mut found: HashMap<String, Vec<At>> = HashMap::new();
        for mailbox in 0..MAILBOXES.len() {
            let Ok(id) = place(store, account, mailbox) else { continue };
            let view = store.view(id).map_err(|e| e.to_string())?;
            for listed in view.messages.iter() {
                let octets = store
                    .read(id, listed.uid)
                    .map_err(|e| e.to_string())?
                    .ok_or("a listed message is gone")?;
                let octets = octets.to_bytes().map_err(|e| e.to_string())?;
                let at = At { mailbox, uid: Some(listed.uid), flags: listed.flags };
                found.entry(String::from_utf8_lossy(&octets).into_owned()).or_default().push(at);
            }
        }
        self.compare(&found)?;
        self.look(store, account);
        self.broken.take().map_or(Ok(()), Err)
    }

    fn compare(&mut self, found: &HashMap<String, Vec<At>>) -> Result<(), String> {
        let tokens: Vec<u64> = self.messages.keys().copied().collect();
        for token in tokens {
            let is = found.get(&self.content(token)).map_or(&[][..], Vec::as_slice);
            let known = self.messages.get(&token).cloned().unwrap_or_default();
            let fits = |state: &Option<At>| match (state, is) {
                (None, []) => true,
                (Some(at), [is]) => {
                    at.mailbox == is.mailbox
                        && at.flags == is.flags
                        && at.uid.is_none_or(|uid| is.uid == Some(uid))
                }
                _ => false,
            };
            if !known.iter().any(fits) {
                return Err(format!(
                    "client {}: message {token} was known as {known:?}, and is at {is:?}",
                    self.name
                ));
            }
            self.messages.insert(token, vec![is.first().copied()]);
        }
        // What is certainly gone is of no use any more.
        self.messages.retain(|_, known| known[..] != [None]);
        Ok(())
    }
}
