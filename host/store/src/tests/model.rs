//! The store against a simple model, under random operations with restarts. Beside each mailbox a
//! session follows its changes; what it sees must be what is there.

mod guest;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use notes::Notes;
use proptest::prelude::*;

use super::{Fixture, add, deliver, mailbox_name, message, name};
use crate::*;

#[derive(Debug, Clone)]
enum Op {
    Deliver {
        to: Vec<usize>,
        octets: Vec<u8>,
    },
    Append {
        to: usize,
        count: usize,
        flags: u8,
        keyword: Option<u8>,
    },
    Flags {
        at: usize,
        messages: Vec<usize>,
        mode: u8,
        flags: u8,
        keyword: Option<u8>,
    },
    Expunge {
        at: usize,
        messages: Option<Vec<usize>>,
    },
    Copy {
        from: usize,
        messages: Vec<usize>,
        to: usize,
    },
    Move {
        from: usize,
        messages: Vec<usize>,
        to: usize,
    },
    /// A message goes for a new one.
    Replace {
        from: usize,
        message: usize,
        to: usize,
    },
    Create {
        name: usize,
    },
    Delete {
        name: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    /// The owner gives a guest these rights.
    Grant {
        at: usize,
        rights: u16,
    },
    /// The guest reads messages, or takes that back.
    Read {
        at: usize,
        messages: Vec<usize>,
        mode: u8,
    },
    /// The owner or the guest sets a shared annotation or their own, or takes it away.
    Annotate {
        at: usize,
        by_guest: bool,
        name: u8,
        value: Option<u8>,
    },
    RemoveGuest,
    Follow {
        at: usize,
    },
    TakeRecent {
        at: usize,
    },
    RemoveAccount,
    Reopen,
}

const GUEST: &str = "guest@example.org";

const NAMES: [&str; 6] = ["a", "a/b", "a/b/c", "d", "Sent", "INBOX"];

fn operation() -> impl Strategy<Value = Op> {
    let at = 0..8_usize;
    let messages = proptest::collection::vec(0..12_usize, 0..5);
    let keyword = proptest::option::of(0..3_u8);
    prop_oneof![
        4 => (proptest::collection::vec(at.clone(), 1..3), proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(to, octets)| Op::Deliver { to, octets }),
        3 => (at.clone(), 1..4_usize, 0..32_u8, keyword.clone())
            .prop_map(|(to, count, flags, keyword)| Op::Append { to, count, flags, keyword }),
        4 => (at.clone(), messages.clone(), 0..3_u8, 0..32_u8, keyword)
            .prop_map(|(at, messages, mode, flags, keyword)| Op::Flags { at, messages, mode, flags, keyword }),
        2 => (at.clone(), proptest::option::of(messages.clone()))
            .prop_map(|(at, messages)| Op::Expunge { at, messages }),
        2 => (at.clone(), messages.clone(), at.clone())
            .prop_map(|(from, messages, to)| Op::Copy { from, messages, to }),
        2 => (at.clone(), messages, at.clone())
            .prop_map(|(from, messages, to)| Op::Move { from, messages, to }),
        2 => (at.clone(), 0..12_usize, at.clone())
            .prop_map(|(from, message, to)| Op::Replace { from, message, to }),
        2 => (0..NAMES.len()).prop_map(|name| Op::Create { name }),
        1 => (0..NAMES.len()).prop_map(|name| Op::Delete { name }),
        1 => (0..NAMES.len(), 0..NAMES.len()).prop_map(|(from, to)| Op::Rename { from, to }),
        3 => (at.clone(), 0..2048_u16).prop_map(|(at, rights)| Op::Grant { at, rights }),
        4 => (at.clone(), proptest::collection::vec(0..12_usize, 0..5), 0..3_u8)
            .prop_map(|(at, messages, mode)| Op::Read { at, messages, mode }),
        3 => (at.clone(), any::<bool>(), 0..4_u8, proptest::option::of(any::<u8>()))
            .prop_map(|(at, by_guest, name, value)| Op::Annotate { at, by_guest, name, value }),
        1 => Just(Op::RemoveGuest),
        3 => at.clone().prop_map(|at| Op::Follow { at }),
        1 => at.prop_map(|at| Op::TakeRecent { at }),
        1 => Just(Op::RemoveAccount),
        1 => Just(Op::Reopen),
    ]
}

/// A message of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    flags: Flags,
    keywords: BTreeSet<String>,
    octets: Vec<u8>,
}

type Seen = BTreeMap<Uid, (Flags, BTreeSet<String>)>;

#[derive(Debug, Clone, Default)]
struct Mailbox {
    messages: BTreeMap<Uid, Known>,
    last_uid: u32,
    last_modseq: ModSeq,
    /// What a session saw when it followed last.
    seen: (ModSeq, Seen),
    /// What the guest may do, where there is an entry; what they have read, and what their session saw.
    granted: Option<Rights>,
    read: BTreeSet<Uid>,
    guest_seen: (ModSeq, BTreeMap<Uid, (bool, ModSeq)>),
    notes: Notes,
}

struct World {
    fixture: Option<Fixture>,
    account: AccountId,
    guest: AccountId,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// Highest UIDVALIDITY that each name ever had.
    uid_validities: BTreeMap<String, UidValidity>,
}

impl World {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let account = fixture.account().await;
        let guest = fixture.store.ensure_account(&name(GUEST)).await.unwrap();
        let mut world = Self {
            fixture: Some(fixture),
            account,
            guest,
            mailboxes: BTreeMap::new(),
            uid_validities: BTreeMap::new(),
        };
        world.follow_names();
        world
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    fn as_guest(&self) -> Store {
        self.store().on_behalf_of(self.guest, &name(GUEST))
    }

    fn as_owner(&self) -> Store {
        self.store().on_behalf_of(self.account, &name("user1@example.org"))
    }

    fn store(&self) -> Store {
        self.fixture().store.clone()
    }

    /// Takes over which mailboxes there are; messages stay with their numbers.
    fn follow_names(&mut self) {
        let all = self.store().mailboxes(self.account).unwrap();
        let mut mailboxes = BTreeMap::new();
        for info in all.iter().filter(|info| info.selectable) {
            let known = self.mailboxes.remove(&info.id).unwrap_or_else(|| {
                // A new mailbox under an old name must have other UIDs.
                let last = self.uid_validities.get(info.name.as_str()).copied().unwrap_or_default();
                assert!(info.uid_validity > last, "{} {last}", info.name);
                // What is below another inherits.
                let granted = self.store().acl(info.id).unwrap().entries().next().map(|(_, rights)| rights);
                Mailbox { granted, ..Mailbox::default() }
            });
            let last = self.uid_validities.entry(info.name.to_string()).or_default();
            *last = info.uid_validity.max(*last);
            mailboxes.insert(info.id, known);
        }
        self.mailboxes = mailboxes;
    }

    fn at(&self, index: usize) -> MailboxId {
        *self.mailboxes.keys().nth(index % self.mailboxes.len()).unwrap()
    }

    fn uids(&self, at: MailboxId, messages: &[usize]) -> Vec<Uid> {
        let known: Vec<Uid> = self.mailboxes[&at].messages.keys().copied().collect();
        // Some name messages that are gone or were never there.
        messages.iter().map(|index| known.get(*index).copied().unwrap_or(Uid(*index as u32 + 1))).collect()
    }

    fn insert(&mut self, at: MailboxId, uid: Uid, known: Known) {
        let mailbox = self.mailboxes.get_mut(&at).unwrap();
        assert!(uid.0 > mailbox.last_uid, "{uid} after {}", mailbox.last_uid);
        mailbox.last_uid = uid.0;
        mailbox.messages.insert(uid, known);
    }

    async fn run(&mut self, op: &Op) {
        match op {
            Op::Deliver { to, octets } => self.deliver(to, octets).await,
            Op::Append { to, count, flags, keyword } => self.append(*to, *count, *flags, *keyword).await,
            Op::Flags { at, messages, mode, flags, keyword } => {
                self.flags(*at, messages, *mode, *flags, *keyword).await;
            }
            Op::Expunge { at, messages } => self.expunge(*at, messages.as_deref()).await,
            Op::Copy { from, messages, to } => self.transfer(*from, messages, *to, false).await,
            Op::Move { from, messages, to } => self.transfer(*from, messages, *to, true).await,
            Op::Replace { from, message, to } => self.replace(*from, *message, *to).await,
            Op::Follow { at } => self.follow(*at),
            Op::TakeRecent { at } => {
                let at = self.at(*at);
                let first = self.store().take_recent(at).await.unwrap();
                assert!(first.0 <= self.mailboxes[&at].last_uid + 1);
                assert_eq!(self.store().recent(at).unwrap(), 0);
            }
            Op::Grant { at, rights } => {
                let (at, rights) = (self.at(*at), Rights::from_bits(*rights));
                let change = AclChange::Replace(rights);
                self.store().set_acl(at, &Identifier::of(&name(GUEST)), change).await.unwrap();
                self.mailboxes.get_mut(&at).unwrap().granted = Some(rights);
            }
            Op::Annotate { at, by_guest, name, value } => {
                self.annotate(*at, *by_guest, *name, *value).await;
            }
            Op::Read { at, messages, mode } => self.read(*at, messages, *mode).await,
            Op::RemoveGuest => {
                let store = self.store();
                assert!(store.remove_account(&name(GUEST)).await.unwrap());
                self.guest = store.ensure_account(&name(GUEST)).await.unwrap();
                for mailbox in self.mailboxes.values_mut() {
                    (mailbox.granted, mailbox.read, mailbox.guest_seen) = Default::default();
                    mailbox.notes.guests.clear();
                }
            }
            Op::Create { .. } | Op::Delete { .. } | Op::Rename { .. } => self.name(op).await,
            Op::RemoveAccount => {
                let store = self.store();
                assert!(store.remove_account(&name("user1@example.org")).await.unwrap());
                self.account = store.ensure_account(&name("user1@example.org")).await.unwrap();
                (self.mailboxes, self.uid_validities) = (BTreeMap::new(), BTreeMap::new());
                self.follow_names();
            }
            Op::Reopen => {
                let fixture = self.fixture.take().unwrap();
                self.fixture = Some(fixture.reopened().await);
            }
        }
    }

    async fn deliver(&mut self, to: &[usize], octets: &[u8]) {
        let to: Vec<MailboxId> = to.iter().map(|index| self.at(*index)).collect();
        let uids = deliver(&self.store(), &to, b"P: q\r\n", octets).await.unwrap();
        for (at, uid) in to.into_iter().zip(uids) {
            let octets = [b"P: q\r\n", octets].concat();
            self.insert(at, uid, Known { flags: Flags::NONE, keywords: BTreeSet::new(), octets });
        }
    }

    async fn append(&mut self, to: usize, count: usize, flags: u8, keyword: Option<u8>) {
        let at = self.at(to);
        let keywords: Vec<String> = keyword.map(|keyword| format!("k{keyword}")).into_iter().collect();
        let flags = Flags::from_bits(flags);
        let new = |n: usize| NewMessage { flags, keywords: keywords.clone(), ..message(&vec![b'a'; n]) };
        let (_, uids) = self.store().append(at, (0..count).map(new).collect()).await.unwrap();
        for (n, uid) in uids.into_iter().enumerate() {
            let keywords = keywords.iter().cloned().collect();
            self.insert(at, uid, Known { flags, keywords, octets: vec![b'a'; n] });
        }
    }

    async fn flags(&mut self, at: usize, messages: &[usize], mode: u8, flags: u8, keyword: Option<u8>) {
        let at = self.at(at);
        let uids = self.uids(at, messages);
        let keywords: Vec<String> = keyword.map(|keyword| format!("K{keyword}")).into_iter().collect();
        let names: Vec<&str> = keywords.iter().map(String::as_str).collect();
        let mode = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace][usize::from(mode)];
        let flags = Flags::from_bits(flags);
        let change = FlagChange { mode, keywords: &names, ..add(flags) };
        self.store().store_flags(at, &uids, &change).await.unwrap();
        let named: BTreeSet<String> = keywords.iter().map(|name| name.to_lowercase()).collect();
        for uid in uids {
            let Some(known) = self.mailboxes.get_mut(&at).unwrap().messages.get_mut(&uid) else { continue };
            match mode {
                FlagMode::Add => {
                    known.flags = known.flags.with(flags);
                    known.keywords.extend(named.iter().cloned());
                }
                FlagMode::Remove => {
                    known.flags = known.flags.without(flags);
                    known.keywords.retain(|keyword| !named.contains(keyword));
                }
                FlagMode::Replace => (known.flags, known.keywords) = (flags, named.clone()),
            }
        }
    }

    async fn expunge(&mut self, at: usize, messages: Option<&[usize]>) {
        let at = self.at(at);
        let uids = messages.map(|messages| self.uids(at, messages));
        let expunged = self.store().expunge(at, uids.as_deref()).await.unwrap();
        let mailbox = self.mailboxes.get_mut(&at).unwrap();
        let is_named = |uid: &Uid| uids.as_ref().is_none_or(|uids| uids.contains(uid));
        let expected: Vec<Uid> = mailbox
            .messages
            .iter()
            .filter(|(uid, known)| is_named(uid) && known.flags.contains(Flags::DELETED))
            .map(|(uid, _)| *uid)
            .collect();
        assert_eq!(expunged.uids, expected);
        mailbox.messages.retain(|uid, _| !expected.contains(uid));
    }

    async fn transfer(&mut self, from: usize, messages: &[usize], to: usize, moves: bool) {
        let (from, to) = (self.at(from), self.at(to));
        let uids = self.uids(from, messages);
        let store = self.store();
        let copied =
            if moves { store.move_(from, &uids, to).await } else { store.copy(from, &uids, to).await }
                .unwrap();
        let existing: BTreeSet<Uid> =
            uids.into_iter().filter(|uid| self.mailboxes[&from].messages.contains_key(uid)).collect();
        assert_eq!(copied.uids.iter().map(|(source, _)| *source).collect::<BTreeSet<_>>(), existing);
        for (source, target) in copied.uids {
            let messages = &mut self.mailboxes.get_mut(&from).unwrap().messages;
            let known = if moves { messages.remove(&source) } else { messages.get(&source).cloned() };
            self.insert(to, target, known.unwrap());
        }
    }

    async fn replace(&mut self, from: usize, old: usize, to: usize) {
        let (from, to) = (self.at(from), self.at(to));
        let old = self.uids(from, &[old])[0];
        let is_there = self.mailboxes[&from].messages.contains_key(&old);
        let replaced = self.store().replace((from, old), to, message(b"replaced")).await;
        assert_eq!(replaced.is_ok(), is_there);
        if let Ok((_, uid)) = replaced {
            self.mailboxes.get_mut(&from).unwrap().messages.remove(&old);
            let octets = b"replaced".to_vec();
            self.insert(to, uid, Known { flags: Flags::NONE, keywords: BTreeSet::new(), octets });
        }
    }

    async fn name(&mut self, op: &Op) {
        let store = self.store();
        let of = |index: usize| mailbox_name(NAMES[index]);
        let inbox = MailboxId::inbox(self.account);
        let outcome = match op {
            Op::Create { name } => store.create_mailbox(self.account, &of(*name), None).await.map(drop),
            Op::Delete { name } => store.delete_mailbox(self.account, &of(*name)).await,
            Op::Rename { from, to } => store.rename_mailbox(self.account, &of(*from), &of(*to)).await,
            _ => Ok(()),
        };
        self.follow_names();
        if let (Op::Rename { from, to }, Ok(())) = (op, outcome)
            && of(*from).is_inbox()
        {
            let target = store.mailbox(self.account, &of(*to)).unwrap().id;
            let moved = std::mem::take(&mut self.mailboxes.get_mut(&inbox).unwrap().messages);
            (1..).zip(moved.into_values()).for_each(|(uid, known)| self.insert(target, Uid(uid), known));
            let mut notes = self.mailboxes[&inbox].notes.clone();
            notes.guests.clear();
            self.mailboxes.get_mut(&target).unwrap().notes = notes;
        }
    }

    /// A session asks what changed since it did last.
    fn follow(&mut self, at: usize) {
        let at = self.at(at);
        let (store, mailbox) = (self.store(), self.mailboxes.get_mut(&at).unwrap());
        let (since, mut seen) = std::mem::take(&mut mailbox.seen);
        let delta = store.changes_since(at, since).unwrap();
        assert!(delta.complete && delta.highest_modseq >= since);
        for uid in &delta.expunged {
            seen.remove(uid);
        }
        for listed in &delta.changed {
            assert!(listed.modseq > since && listed.modseq <= delta.highest_modseq);
            let keywords = delta.keywords.names(listed.keywords).map(str::to_lowercase).collect();
            seen.insert(listed.uid, (listed.flags, keywords));
        }
        let expected: BTreeMap<_, _> = mailbox
            .messages
            .iter()
            .map(|(uid, known)| (*uid, (known.flags, known.keywords.clone())))
            .collect();
        assert_eq!(seen, expected);
        mailbox.seen = (delta.highest_modseq, seen);
    }

    /// What the store says is what the model knows.
    fn compare(&mut self) {
        let store = self.store();
        for (id, mailbox) in &mut self.mailboxes {
            let (status, view) = (store.status(*id).unwrap(), store.view(*id).unwrap());
            let count =
                |test: &dyn Fn(&Known) -> bool| mailbox.messages.values().filter(|k| test(k)).count() as u64;
            assert_eq!(status.messages, count(&|_| true));
            assert_eq!(status.unseen, count(&|known| !known.flags.contains(Flags::SEEN)));
            assert_eq!(status.deleted, count(&|known| known.flags.contains(Flags::DELETED)));
            assert_eq!(status.uid_next, Uid(mailbox.last_uid + 1));
            assert!(status.highest_modseq >= mailbox.last_modseq && status.highest_modseq.0 > 0);
            mailbox.last_modseq = status.highest_modseq;
            let listed: Vec<(Uid, Flags)> =
                view.messages.iter().map(|listed| (listed.uid, listed.flags)).collect();
            let known: Vec<(Uid, Flags)> =
                mailbox.messages.iter().map(|(uid, known)| (*uid, known.flags)).collect();
            assert_eq!(listed, known);
            let reader = store.reader(*id).unwrap();
            for (uid, known) in &mailbox.messages {
                assert_eq!(reader.octets(*uid).unwrap().unwrap().to_bytes().unwrap(), known.octets);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_the_model_does(operations in proptest::collection::vec(operation(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &operations {
                world.run(op).await;
                world.compare();
                world.compare_guest();
                world.compare_notes();
            }
            world.fixture.take().unwrap().close().await;
        });
    }
}
